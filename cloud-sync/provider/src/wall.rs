//! The proof that a tenant's key is walled in: it is tried at everything it must not reach. Only refusals that
//! came back count, and at the end the provider looks whether the canary is untouched.

use crate::{driver::IamDriver, rights};
use bytes::Bytes;
use holdfast_model::{
    Error, Kind, Result,
    bucket::{BucketUrl, Credentials},
    settings::BucketSettings,
    view::DoctorLine,
};
use holdfast_runtime::random;
use holdfast_s3::{Admin, Iam, Reach, S3Store};
use holdfast_storage::{PutMode, Store};
use std::time::{Duration, Instant};

/// How long a fresh key may take to become known to the store.
const KEY_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks whether it is.
const KEY_PAUSE: Duration = Duration::from_millis(300);
/// What lies in the canary bucket.
const CANARY: Bytes = Bytes::from_static(b"canary");
const CANARY_KEY: &str = "canary";

/// The attempts so far.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    lines: Vec<DoctorLine>,
    leaks: Vec<String>,
}

impl Proof {
    fn line(&mut self, test: &str, ok: bool, detail: impl Into<String>) {
        self.lines.push(DoctorLine { test: test.to_owned(), ok, detail: detail.into() });
    }

    /// Notes an attempt that must be refused. An error that is no refusal proves nothing: `tenant.unproven`.
    fn must_fail<T>(&mut self, test: &str, result: Result<T>) -> Result<()> {
        let error = match result {
            Err(error) if error.kind() != Kind::Conflict => error,
            // “Exists already”, “not empty”: the key was let in, only the state stood against it.
            _ => {
                self.leaks.push(test.to_owned());
                self.line(test, false, "was allowed");
                return Ok(());
            }
        };
        match error.kind() {
            Kind::Denied => self.line(test, true, "refused"),
            Kind::NotFound => self.line(test, true, "not visible"),
            Kind::Refused if error.code() == "bucket.not_supported" => self.line(test, true, "not known to the store"),
            _ => return Err(unproven(test, error)),
        }
        Ok(())
    }

    /// Notes what must work.
    fn must_work<T>(&mut self, test: &str, result: Result<T>) -> Result<T> {
        let value = result.map_err(|error| unproven(test, error))?;
        self.line(test, true, "works");
        Ok(value)
    }

    /// The lines, or `tenant.leaks` if anything was allowed that must not be.
    pub(crate) fn finish(self) -> Result<Vec<DoctorLine>> {
        if self.leaks.is_empty() {
            return Ok(self.lines);
        }
        Err(Error::new(
            Kind::Refused,
            "tenant.leaks",
            format!("the tenant's key reaches more than its own bucket: it could {}", self.leaks.join("; ")),
        )
        .advice("The tenant was not handed out. Check how the store enforces policies, or use a store per tenant."))
    }
}

fn unproven(test: &str, error: Error) -> Error {
    let what = format!("could not prove what the tenant's key may do ({test})");
    Error::new(error.kind(), "tenant.unproven", what)
        .caused_by(error)
        .advice("The tenant was not handed out; try again when the store answers as it should.")
}

/// Who is tried, and where.
pub(crate) struct Suspect<'a> {
    pub(crate) bucket: &'a BucketUrl,
    pub(crate) credentials: &'a Credentials,
    pub(crate) ca: Option<&'a str>,
    pub(crate) append_only: bool,
}

impl Suspect<'_> {
    fn settings(&self, bucket: BucketUrl) -> BucketSettings {
        BucketSettings {
            url: bucket,
            credentials: Some(self.credentials.clone()),
            ca: self.ca.map(str::to_owned),
            proxy_password: None,
            lock: None,
        }
    }

    fn own_store(&self) -> Result<S3Store> {
        S3Store::open(&self.settings(self.bucket.clone()))
    }

    fn own_name(&self) -> String {
        match self.bucket {
            BucketUrl::S3(place) => place.bucket.clone(),
            BucketUrl::Directory(path) => path.clone(),
        }
    }
}

/// Tries a key that somebody made by hand: what can be tried without rights of our own.
pub(crate) async fn prove_by_hand(suspect: &Suspect<'_>) -> Result<Vec<DoctorLine>> {
    let mut proof = Proof::default();
    own_bucket(&mut proof, suspect).await?;
    let (reach, _) = Reach::of(&suspect.settings(suspect.bucket.clone()))?;
    let admin = Admin::open(&reach)?;
    sees_no_other_bucket(&mut proof, suspect, &admin).await?;
    let fresh = fresh_name();
    let made = admin.create_bucket(&fresh, false).await;
    if made.is_ok() {
        admin.delete_bucket(&fresh).await.map_err(|error| unproven("remove the bucket it could make", error))?;
    }
    proof.must_fail("make a bucket", made)?;
    proof.line("other buckets of the store, users, policies", true, "not tried: bucket and key were made by hand");
    proof.finish()
}

/// Tries a key that was made through IAM against a canary bucket and the store's administration.
pub(crate) async fn prove(
    suspect: &Suspect<'_>,
    driver: &IamDriver,
    canary: &str,
    user: &str,
) -> Result<Vec<DoctorLine>> {
    let ours = Admin::open(&driver.reach())?;
    let canary_url = driver.url(canary);
    let keeper = S3Store::open(&BucketSettings {
        url: canary_url.clone(),
        credentials: Some(driver.reach().credentials),
        ca: driver.ca.clone(),
        proxy_password: None,
        lock: None,
    })?;
    ours.create_bucket(canary, false).await.map_err(|error| unproven("make a canary bucket", error))?;
    keeper.put(CANARY_KEY, CANARY, PutMode::Replace).await.map_err(|error| unproven("put the canary", error))?;

    let mut proof = Proof::default();
    own_bucket(&mut proof, suspect).await?;
    let admin = Admin::open(&driver.reach_as(suspect.credentials))?;
    other_bucket(&mut proof, &S3Store::open(&suspect.settings(canary_url))?).await?;
    sees_no_other_bucket(&mut proof, suspect, &admin).await?;
    side_doors(&mut proof, suspect, &admin, canary).await?;
    administration(&mut proof, suspect, &admin, canary).await?;
    let fresh = fresh_name();
    let made = admin.create_bucket(&fresh, false).await;
    if made.is_ok() {
        ours.delete_bucket(&fresh).await.map_err(|error| unproven("remove the bucket it could make", error))?;
    }
    proof.must_fail("make a bucket", made)?;
    let iam = Iam::open(&driver.reach_as(suspect.credentials), driver.iam_endpoint.as_deref())?;
    users(&mut proof, driver, &iam, user).await?;
    own_keys(&mut proof, suspect, driver, &iam, (user, canary)).await?;
    // Refusals are words; the canary is the deed.
    let alive = keeper.get(CANARY_KEY).await.is_ok_and(|body| body == CANARY);
    let alone = keeper.list("").await.is_ok_and(|objects| objects.len() == 1);
    if alive && alone {
        proof.line("look at the other bucket afterwards", true, "untouched");
    } else {
        proof.leaks.push("change another bucket although it was refused".to_owned());
    }
    proof.finish()
}

fn fresh_name() -> String {
    format!("hf-attempt-{}", hex::encode(random::<5>()))
}

async fn own_bucket(proof: &mut Proof, suspect: &Suspect<'_>) -> Result<()> {
    let store = suspect.own_store()?;
    let key = "probe/wall";
    proof.must_work("list its own bucket", once_known(&store).await)?;
    proof.must_work("write into its own bucket", store.put(key, CANARY, PutMode::Replace).await)?;
    let body = proof.must_work("read its own bucket", store.get(key).await)?;
    if body != CANARY {
        return Err(unproven(
            "read its own bucket",
            Error::new(Kind::Corrupt, "object.corrupt", "other bytes came back"),
        ));
    }
    let deleted = store.delete(key).await;
    if suspect.append_only {
        proof.must_fail("delete in its own bucket", deleted)
    } else {
        proof.must_work("delete in its own bucket", deleted)
    }
}

/// Waits until the store knows a fresh key.
async fn once_known(own: &S3Store) -> Result<()> {
    let begun = Instant::now();
    loop {
        match own.list("probe/").await {
            Err(error) if error.kind() == Kind::Denied && begun.elapsed() < KEY_PATIENCE => {
                tokio::time::sleep(KEY_PAUSE).await;
            }
            other => return other.map(drop),
        }
    }
}

async fn other_bucket(proof: &mut Proof, other: &S3Store) -> Result<()> {
    proof.must_fail("list another bucket", other.list("").await)?;
    proof.must_fail("read from another bucket", other.get(CANARY_KEY).await)?;
    proof.must_fail("write into another bucket", other.put("intruder", CANARY, PutMode::Replace).await)?;
    proof.must_fail("overwrite in another bucket", other.put(CANARY_KEY, CANARY, PutMode::Replace).await)?;
    proof.must_fail("delete in another bucket", other.delete(CANARY_KEY).await)
}

/// A list of buckets is harmless as long as it names no bucket but its own.
async fn sees_no_other_bucket(proof: &mut Proof, suspect: &Suspect<'_>, admin: &Admin) -> Result<()> {
    let (test, own) = ("list the buckets of others", suspect.own_name());
    match admin.list_buckets().await {
        Ok(names) if names.iter().all(|name| *name == own) => {
            proof.line(test, true, "sees its own only");
            Ok(())
        }
        other => proof.must_fail(test, other),
    }
}

/// Ways into another bucket that do not look like reading or writing it.
async fn side_doors(proof: &mut Proof, suspect: &Suspect<'_>, admin: &Admin, canary: &str) -> Result<()> {
    let (own, bait) = (suspect.own_name(), "probe/bait");
    let laid = suspect.own_store()?.put(bait, CANARY, PutMode::Replace).await;
    laid.map_err(|error| unproven("write into its own bucket", error))?;
    let stolen = admin.copy((canary, CANARY_KEY), (&own, "probe/stolen")).await;
    proof.must_fail("copy from another bucket into its own", stolen)?;
    proof.must_fail("copy into another bucket", admin.copy((&own, bait), (canary, "intruder")).await)?;
    proof.must_fail("delete several in another bucket", admin.delete_several(canary, &[CANARY_KEY]).await)
}

async fn administration(proof: &mut Proof, suspect: &Suspect<'_>, admin: &Admin, canary: &str) -> Result<()> {
    let own = suspect.own_name();
    proof.must_fail("remove another bucket", admin.delete_bucket(canary).await)?;
    for (whose, bucket) in [("its own", own.as_str()), ("another", canary)] {
        let policy = rights::open_bucket(bucket);
        proof.must_fail(&format!("open {whose} bucket to the public"), admin.set_policy(bucket, &policy).await)?;
        proof.must_fail(
            &format!("have objects expire in {whose} bucket"),
            admin.set_expiry(bucket, "none/", 3650).await,
        )?;
        proof.must_fail(&format!("stop versions in {whose} bucket"), admin.set_versioning(bucket, false).await)?;
    }
    Ok(())
}

async fn users(proof: &mut Proof, driver: &IamDriver, iam: &Iam, user: &str) -> Result<()> {
    proof.must_fail("list users", iam.list_users().await)?;
    let intruder = fresh_name();
    let made = iam.create_user(&intruder).await;
    if made.is_ok() {
        driver.iam()?.delete_user(&intruder).await.map_err(|error| unproven("remove the user it could make", error))?;
    }
    proof.must_fail("make a user", made)?;
    proof.must_fail("give itself more rights", iam.put_user_policy(user, "more", &rights::everything()).await)
}

/// Some stores let every user make keys for itself (SeaweedFS). Such a key is no leak if it opens no more.
async fn own_keys(
    proof: &mut Proof,
    suspect: &Suspect<'_>,
    driver: &IamDriver,
    iam: &Iam,
    (user, canary): (&str, &str),
) -> Result<()> {
    let test = "make itself another key";
    let key = match iam.create_access_key(user).await {
        Ok(key) => key,
        refused => return proof.must_fail(test, refused),
    };
    let credentials = Credentials { access_key: key.id.clone(), secret_key: key.secret, session_token: None };
    let second = Suspect { credentials: &credentials, ..*suspect };
    let tried = async {
        once_known(&second.own_store()?).await.map_err(|error| unproven(test, error))?;
        let other = S3Store::open(&second.settings(driver.url(canary)))?;
        proof.must_fail("list another bucket with a key it made itself", other.list("").await)?;
        let body = other.put("intruder", CANARY, PutMode::Replace).await;
        proof.must_fail("write into another bucket with a key it made itself", body)
    };
    let tried = tried.await;
    driver.iam()?.delete_access_key(user, &key.id).await.map_err(|error| unproven("remove the key it made", error))?;
    tried?;
    proof.line(test, true, "the store allows it; such a key opens the same bucket only, and goes with the user");
    Ok(())
}
