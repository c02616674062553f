//! What one case is held to: a failure says why, what is called done is true, and without faults all ends well.

use holdfast_cloud_sync::Shipper;
use holdfast_model::{Error, Kind, Result, Severity};
use holdfast_repository::Repository;
use holdfast_runtime::Stop;
use holdfast_storage::Store;
use holdfast_tests::{s3proxy::S3Proxy, s3site::Keeper};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// A job that failed so often has the faults taken away: what is tried there is over.
const FAILURES: u32 = 3;
/// One that failed so often is preceded by what a start and the daily check do.
const MENDED: u32 = 5;
/// One that failed so often does not end well.
const HOPELESS: u32 = 7;
/// Shipping that takes so long has the faults taken away.
const PATIENCE: Duration = Duration::from_secs(8);
/// Shipping that takes so long does not end well.
const LONGEST: Duration = Duration::from_secs(16);

/// The judge of one case.
pub(crate) struct Judge {
    pub(crate) proxy: S3Proxy,
    /// The bucket by way of the proxy.
    pub(crate) bucket: Arc<dyn Store>,
    told: RefCell<BTreeSet<String>>,
}

impl Judge {
    pub(crate) fn new(proxy: S3Proxy, bucket: Arc<dyn Store>) -> Judge {
        Judge { proxy, bucket, told: RefCell::default() }
    }

    /// What was told of trouble, as codes.
    pub(crate) fn told(&self) -> BTreeSet<String> {
        self.told.borrow().clone()
    }

    pub(crate) fn hears(&self, code: &str) {
        assert!(code.contains('.'), "a reason that nobody can look up: {code}");
        self.told.borrow_mut().insert(code.to_owned());
    }

    fn hears_error(&self, what: &str, error: &Error) {
        assert!(error.kind() != Kind::Bug, "{what}: {}", error.chain());
        self.hears(error.code());
    }

    /// Does a job until it is done. It may fail as long as something goes wrong, each time with a reason; then it has to end well:
    /// by itself, or after what the appliance does at its next start and each day.
    pub(crate) async fn job<T, F>(&self, what: &str, repository: Option<&Repository>, work: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T>>,
    {
        let mut failures = 0;
        loop {
            let error = match work().await {
                Ok(done) => return done,
                Err(error) => error,
            };
            self.hears_error(what, &error);
            failures += 1;
            assert!(failures < HOPELESS, "{what} fails though nothing is wrong any more: {}", error.chain());
            if failures == FAILURES {
                self.proxy.heal();
            }
            if let Some(repository) = repository.filter(|_| failures == MENDED) {
                self.mend(repository).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn mend(&self, repository: &Repository) {
        let seen = repository.attach_bucket(self.bucket.clone()).await;
        seen.unwrap_or_else(|error| panic!("the bucket is well and is not attached: {}", error.chain()));
        let checked = repository.check(false, None, &Stop::new()).await;
        checked.unwrap_or_else(|error| panic!("the bucket is well and is not checked: {}", error.chain()));
    }

    /// Waits until everything is said to be in the cloud.
    pub(crate) async fn shipped(&self, keeper: &Keeper, shipper: &Shipper) {
        shipper.nudge();
        let begun = Instant::now();
        while !keeper.is_shipped() {
            let trouble = shipper.status().error;
            if let Some(trouble) = &trouble {
                self.hears(&trouble.code);
            }
            let waited = begun.elapsed();
            assert!(waited < LONGEST, "not shipped: {trouble:?}, {:?}", keeper.repository.to_ship());
            if waited > PATIENCE {
                self.proxy.heal();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Checks with every byte read. What is called damaged must be well when it is looked at without faults.
    pub(crate) async fn checked(&self, repository: &Repository) {
        for turn in 0..4 {
            let view = self.job("check", Some(repository), || check(repository)).await;
            let open: Vec<_> = view.problems.iter().filter(|problem| problem.severity != Severity::Note).collect();
            if open.is_empty() {
                return;
            }
            for problem in &open {
                self.hears(&problem.code);
            }
            assert!(turn < 3 && !self.proxy.hits().is_empty(), "a check finds what is not there: {open:?}");
            self.proxy.heal();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn check(repository: &Repository) -> Result<holdfast_model::view::CheckView> {
    repository.check(true, None, &Stop::new()).await
}
