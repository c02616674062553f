//! The one door to the engine room: everything a face can ask, each act in its own module.
//!
//! Never here: any decision. Invariant: an act that a face began goes on when the face goes away.

use crate::{
    apps::Facts, backup, bucket, cache, coverage, doctor, files, forgotten, hooks, hostbook, house::House, keyring,
    kit, locks, policies, recover, restore, snapshots, start, start::Start, status, upkeep, users, verify,
};
use holdfast_model::{
    Error, JobId, Result, Secret,
    bundle::SignedBundle,
    cache::{CacheRule, CacheView, EvictRequest, Evicted},
    hooks::ServiceHooks,
    job::JobView,
    lock::LockRequest,
    policy::Policy,
    uploads::UploadsRequest,
    verification::{Verification, VerificationView},
    view::{
        AppView, BackupRequest, BucketRequest, BucketView, CheckView, CoverageView, DiffView, DoctorLine,
        EnrolmentView, EscrowRequest, Event, FindView, FolderView, HooksView, HostRequest, HostView, KeysChange,
        KeysView, KitView, PassphraseRequest, PlanView, PolicyView, PruneView, PutRequest, RecoverRequest,
        RestoreRequest, SectionView, SetupView, SnapshotDetail, SnapshotView, StatusView,
    },
};
use holdfast_runtime::Stop;
use std::{future::Future, sync::Arc};
use tokio::sync::broadcast;

/// Everything the appliance can be asked. Clones share it.
#[derive(Clone)]
pub struct Appliance(pub(crate) Arc<House>);

impl Appliance {
    /// Opens or sets up a data folder, undoes what a crash left (law L6), starts scheduler and shipper.
    /// `Conflict` (`appliance.running`) if another process has the folder.
    pub async fn start(begin: Start, stop: Stop) -> Result<Appliance> {
        start::start(begin, stop).await.map(Appliance)
    }
    /// Waits until running work has ended after `stop`.
    pub async fn finished(&self) {
        start::finished(&self.0).await;
    }
    /// What changes from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.listen()
    }
    /// The first page.
    pub async fn status(&self) -> StatusView {
        status::view(&self.0)
    }

    /// All apps, by id.
    pub async fn apps(&self) -> Vec<AppView> {
        Facts::gather(&self.0).views()
    }
    /// By `host/name` or unique name. `NotFound` (`app.unknown`), `Invalid` (`app.ambiguous`).
    pub async fn app(&self, app: &str) -> Result<AppView> {
        let (facts, id) = backup::find(&self.0, app).await?;
        Ok(facts.view(&id))
    }
    /// Assigns a policy, or takes the app off.
    pub async fn app_assign(&self, app: &str, policy: Option<&str>) -> Result<AppView> {
        let (app, policy) = (app.to_owned(), policy.map(str::to_owned));
        self.shielded(|house| async move { policies::assign(&house, &app, policy.as_deref()).await }).await
    }
    /// One job per app, in the order asked.
    pub async fn backup(&self, request: BackupRequest) -> Result<Vec<JobView>> {
        backup::request(&self.0, request).await
    }

    /// Oldest first, without those that somebody forgot.
    pub async fn snapshots(&self, app: Option<&str>) -> Result<Vec<SnapshotView>> {
        snapshots::list(&self.0, app, false)
    }
    /// Those that somebody forgot and that can be brought back, oldest first.
    pub async fn snapshots_forgotten(&self, app: Option<&str>) -> Result<Vec<SnapshotView>> {
        snapshots::list(&self.0, app, true)
    }
    /// By id, a unique beginning of one, or `latest:APP`.
    pub async fn snapshot(&self, id: &str) -> Result<SnapshotDetail> {
        snapshots::detail(&self.0, id)
    }
    /// A compose file made of what a snapshot says: a name to save it under, and its text.
    pub async fn snapshot_compose(&self, id: &str) -> Result<(String, String)> {
        snapshots::compose(&self.0, id)
    }
    /// Forgets a snapshot: it is hidden, and removed after a while. With `now` it is removed at once, and what nothing needs then is freed.
    pub async fn snapshot_forget(&self, id: &str, now: bool) -> Result<()> {
        let id = id.to_owned();
        self.shielded(move |house| async move { forgotten::forget(&house, &id, now).await }).await
    }
    /// Takes back that a snapshot was forgotten. `Conflict` (`snapshot.not_forgotten`).
    pub async fn snapshot_unforget(&self, id: &str) -> Result<SnapshotView> {
        let id = id.to_owned();
        self.shielded(|house| async move { forgotten::unforget(&house, &id).await }).await
    }
    /// The parts of a snapshot that hold files.
    pub async fn files_sections(&self, snapshot: &str) -> Result<Vec<SectionView>> {
        files::sections(&self.0, snapshot)
    }
    /// One page of a folder. `NotFound` (`files.section`, `files.absent`), `Invalid` (`files.path`, `files.not_folder`).
    pub async fn files_list(&self, asked: files::Asked, after: Option<&str>, limit: usize) -> Result<FolderView> {
        files::list(&self.0, asked, after, limit).await
    }
    /// Opens a file or folder for reading. Errors as above; `Invalid` (`files.not_file`).
    pub async fn files_open(&self, asked: files::Asked) -> Result<files::OpenFile> {
        files::open(&self.0, asked).await
    }
    /// Looks for names in all snapshots of an app, newest first. `Invalid` (`files.pattern`).
    pub async fn files_find(&self, app: &str, pattern: &str, limit: usize) -> Result<FindView> {
        files::find(&self.0, app, pattern, limit).await
    }
    /// One page of what differs between two snapshots. `Invalid` (`files.after`).
    pub async fn files_diff(&self, before: &str, after: &str, page: Option<&str>, limit: usize) -> Result<DiffView> {
        files::diff(&self.0, before, after, page, limit).await
    }
    /// Puts a file or folder of a snapshot back. Errors as above; `Refused` (`files.no_place`), `NotFound` (`volume.gone`).
    pub async fn files_put(&self, snapshot: &str, request: PutRequest) -> Result<JobView> {
        files::put(&self.0, snapshot, request).await
    }
    /// What a restore would do.
    pub async fn restore_plan(&self, request: RestoreRequest) -> Result<PlanView> {
        restore::preview(&self.0, &request).await
    }
    /// Restores. `Refused`: `restore.conflict`, `restore.unconfirmed`.
    pub async fn restore(&self, request: RestoreRequest) -> Result<JobView> {
        restore::request(&self.0, request).await
    }

    /// Newest first.
    pub async fn jobs(&self) -> Vec<JobView> {
        self.0.jobs.list()
    }
    /// One job. `NotFound` (`job.unknown`).
    pub async fn job(&self, id: &JobId) -> Result<JobView> {
        Ok(self.0.jobs.get(id)?.view())
    }
    /// Stops a job. `Conflict` (`job.ended`).
    pub async fn job_cancel(&self, id: &JobId) -> Result<JobView> {
        self.0.jobs.cancel(id)
    }

    /// By name.
    pub async fn hosts(&self) -> Vec<HostView> {
        hostbook::list(&self.0)
    }
    /// Registers a host that answers. `Conflict` (`host.exists`).
    pub async fn host_add(&self, request: HostRequest) -> Result<HostView> {
        self.shielded(|house| async move { hostbook::add(&house, request).await }).await
    }
    /// Takes a host out; its snapshots stay.
    pub async fn host_remove(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.shielded(|house| async move { hostbook::remove(&house, &name).await }).await
    }

    /// Commands around the backups of an app.
    pub async fn hooks(&self, app: &str) -> Result<HooksView> {
        hooks::list(&self.0, app).await
    }
    /// Sets those of one service. `NotFound` (`service.unknown`), `Invalid` (`hooks.empty` and others).
    pub async fn hooks_put(&self, app: &str, service: &str, set: ServiceHooks) -> Result<HooksView> {
        let (app, service) = (app.to_owned(), service.to_owned());
        self.shielded(|house| async move { hooks::put(&house, &app, &service, set).await }).await
    }
    /// Takes away what was set for one service. `NotFound` (`hooks.none`).
    pub async fn hooks_remove(&self, app: &str, service: &str) -> Result<HooksView> {
        let (app, service) = (app.to_owned(), service.to_owned());
        self.shielded(|house| async move { hooks::remove(&house, &app, &service).await }).await
    }

    /// By name.
    pub async fn policies(&self) -> Vec<PolicyView> {
        policies::list(&self.0)
    }
    /// Makes or changes a policy.
    pub async fn policy_put(&self, policy: Policy) -> Result<PolicyView> {
        self.shielded(|house| async move { policies::put(&house, policy).await }).await
    }
    /// Removes a policy that covers nothing. `Conflict` (`policy.in_use`).
    pub async fn policy_remove(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.shielded(|house| async move { policies::remove(&house, &name).await }).await
    }

    /// Verifies the repository; with `read_data` every byte.
    pub async fn check(&self, read_data: bool) -> Result<JobView> {
        upkeep::check(&self.0, if read_data { 100 } else { 0 })
    }
    /// Verifies presence and sizes, and the bytes of `percent` (1 to 100) of everything, longest unread first.
    pub async fn check_share(&self, percent: u8) -> Result<JobView> {
        if !(1..=100).contains(&percent) {
            return Err(Error::invalid("check.percent", "a share is a percentage from 1 to 100"));
        }
        upkeep::check(&self.0, percent)
    }
    /// The result of the last finished check.
    pub async fn check_report(&self) -> Option<CheckView> {
        self.0.memory.check()
    }
    /// How much is verified each day without anybody asking, when, and what that reads.
    pub async fn verification(&self) -> VerificationView {
        verify::view(&self.0)
    }
    /// Decides how much is verified each day. `Invalid` (`check.percent`).
    pub async fn verification_set(&self, rule: Verification) -> Result<VerificationView> {
        self.shielded(move |house| async move { verify::set(&house, rule).await }).await
    }
    /// What prune would do now.
    pub async fn prune_plan(&self) -> Result<PruneView> {
        upkeep::plan(&self.0).await
    }
    /// Lets go what no policy keeps.
    pub async fn prune(&self) -> Result<JobView> {
        upkeep::prune(&self.0)
    }

    /// The recovery kit. Holds the recovery key.
    pub async fn kit(&self) -> Result<KitView> {
        Ok(kit::view(&self.0))
    }
    /// Somebody says that the kit is stored safely.
    pub async fn kit_confirm(&self) -> Result<()> {
        self.shielded(|house| async move { kit::confirm(&house).await }).await
    }
    /// All ways to open the repository.
    pub async fn keys(&self) -> Result<KeysView> {
        keyring::view(&self.0).await
    }
    /// Lets a passphrase open the repository. `Conflict` (`slot.full`).
    pub async fn passphrase_add(&self, request: PassphraseRequest) -> Result<KeysChange> {
        self.shielded(|house| async move { keyring::add_passphrase(&house, request).await }).await
    }
    /// Puts another passphrase in the place of one. `NotFound` (`slot.unknown`).
    pub async fn passphrase_change(&self, id: &str, request: PassphraseRequest) -> Result<KeysChange> {
        let id = id.to_owned();
        self.shielded(|house| async move { keyring::change_passphrase(&house, &id, request).await }).await
    }
    /// Lets the owner of a key open the repository.
    pub async fn escrow_add(&self, request: EscrowRequest) -> Result<KeysChange> {
        self.shielded(|house| async move { keyring::add_escrow(&house, request).await }).await
    }
    /// Takes a passphrase or an escrow key away; what its owner has read stays read. `Refused` (`slot.fixed`).
    pub async fn slot_remove(&self, id: &str) -> Result<KeysChange> {
        let id = id.to_owned();
        self.shielded(|house| async move { keyring::remove(&house, &id).await }).await
    }
    /// A new recovery key; the answer holds the new kit.
    pub async fn recovery_rotate(&self) -> Result<KeysChange> {
        self.shielded(|house| async move { keyring::rotate_recovery(&house).await }).await
    }
    /// A new key epoch; the answer holds the new kit.
    pub async fn epoch_rotate(&self) -> Result<KeysChange> {
        self.shielded(|house| async move { keyring::rotate_epoch(&house).await }).await
    }
    /// Attaches a bucket. `Conflict` (`bucket.foreign`) if another repository lives there.
    pub async fn bucket_set(&self, request: BucketRequest) -> Result<BucketView> {
        self.shielded(|house| async move { bucket::set(&house, request).await }).await
    }
    /// Decides what uploads may take of the line. `Invalid` (`uploads.limit`, `uploads.window`), `Conflict` (`uploads.changed`).
    pub async fn uploads_set(&self, request: UploadsRequest) -> Result<BucketView> {
        self.shielded(|house| async move { bucket::uploads(&house, request).await }).await
    }
    /// Decides how long the bucket keeps what is written into it. `Invalid` (`lock.days`), `Refused` (`bucket.no_lock`).
    pub async fn lock_set(&self, request: LockRequest) -> Result<BucketView> {
        self.shielded(move |house| async move { locks::decide(&house, request).await }).await
    }
    /// Finds out again what the bucket really does.
    pub async fn bucket_probe(&self) -> Result<BucketView> {
        bucket::probe(&self.0).await
    }
    /// Binds the appliance to a tenant. `Refused` (`bucket.only_copy`) if data would stay behind and may not.
    pub async fn enrol(&self, bundle: SignedBundle, leave_behind: bool) -> Result<EnrolmentView> {
        self.shielded(move |house| async move { bucket::enrol(&house, bundle, leave_behind).await }).await
    }
    /// How the cache does, and what it may take.
    pub async fn cache(&self) -> CacheView {
        cache::show(&self.0)
    }
    /// Decides what the cache may take. `Invalid` (`cache.rule`).
    pub async fn cache_set(&self, rule: CacheRule) -> Result<CacheView> {
        self.shielded(|house| async move { cache::set(&house, rule).await }).await
    }
    /// Lets packs go that the bucket holds, or says which would.
    pub async fn cache_evict(&self, request: EvictRequest) -> Result<Evicted> {
        self.shielded(|house| async move { cache::evict(&house, request).await }).await
    }
    /// Brings a snapshot (by id, a unique beginning of one, or `latest:APP`) back into the cache. `Unavailable` (`bucket.none`).
    pub async fn warm(&self, snapshot: &str) -> Result<JobView> {
        cache::warm(&self.0, snapshot)
    }
    /// Only on an appliance without snapshots: replaces its repository by the one in the bucket.
    pub async fn recover(&self, request: RecoverRequest) -> Result<JobView> {
        recover::request(&self.0, request).await
    }

    /// Looks at everything on every host: what is protected, what is not, and why.
    pub async fn coverage(&self) -> CoverageView {
        coverage::look(&self.0).await
    }

    /// Tries everything the appliance stands on.
    pub async fn doctor(&self) -> Vec<DoctorLine> {
        doctor::look(&self.0).await
    }
    /// First-run state.
    pub async fn setup(&self) -> SetupView {
        status::setup(&self.0)
    }
    /// Makes the first admin. `Conflict` if there is one.
    pub async fn user_create_first(&self, name: &str, password: &Secret) -> Result<()> {
        let (name, password) = (name.to_owned(), password.clone());
        self.shielded(|house| async move { users::create_first(&house, &name, &password).await }).await
    }
    /// Checks a password in constant time; `Denied` (`login.wrong`) says the same for a wrong name.
    pub async fn user_verify(&self, name: &str, password: &Secret) -> Result<()> {
        users::verify(&self.0, name, password).await
    }

    /// Runs an act in a task of its own: a request that is dropped half-way must not leave half an act.
    async fn shielded<T, F>(&self, act: impl FnOnce(Arc<House>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let task = self.0.tracker.spawn(act(self.0.clone()));
        task.await.unwrap_or_else(|_| Err(Error::bug("a mistake in the program ended this act")))
    }
}
