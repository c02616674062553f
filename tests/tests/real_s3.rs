//! The bucket client, the probe and the provider against real S3 servers. Skipped, aloud, unless their
//! addresses are given: `HOLDFAST_TEST_SEAWEED_ENDPOINT` and `HOLDFAST_TEST_CEPH_ENDPOINT`, each with
//! `…_ACCESS_KEY` and `…_SECRET_KEY` (deploy/lib/seaweedfs and deploy/lib/ceph-rgw print them).

use holdfast_model::{
    Secret,
    bucket::{BucketUrl, Credentials, S3Place},
    settings::BucketSettings,
};
use holdfast_provider::{Driver, IamDriver, Provider, TenantRequest, bundle};
use holdfast_runtime::{Clock, random};
use holdfast_s3::{Admin, Reach, S3Store, probe};
use holdfast_storage::conformance;
use std::sync::Arc;

/// An administrator's reach of the server `name`, or `None` with a line that says so.
fn server(name: &str) -> Option<Reach> {
    let read = |what: &str| std::env::var(format!("HOLDFAST_TEST_{name}_{what}")).ok();
    let (Some(endpoint), Some(access_key), Some(secret_key)) =
        (read("ENDPOINT"), read("ACCESS_KEY"), read("SECRET_KEY"))
    else {
        eprintln!("SKIPPED: HOLDFAST_TEST_{name}_ENDPOINT, _ACCESS_KEY and _SECRET_KEY are not set");
        return None;
    };
    let credentials = Credentials { access_key, secret_key: Secret::new(secret_key), session_token: None };
    let region = "us-east-1".into();
    Some(Reach { endpoint: Some(endpoint), region, path_style: true, credentials, ca: None, proxy: None })
}

fn settings(reach: &Reach, bucket: &str) -> BucketSettings {
    let place = S3Place {
        bucket: bucket.into(),
        prefix: "site".into(),
        endpoint: reach.endpoint.clone(),
        region: reach.region.clone(),
        path_style: true,
        ca: None,
        proxy: None,
        class: None,
    };
    BucketSettings {
        url: BucketUrl::S3(place),
        credentials: Some(reach.credentials.clone()),
        ca: None,
        proxy_password: None,
        lock: None,
    }
}

fn unique(what: &str) -> String {
    format!("holdfast-{what}-{}", hex::encode(random::<5>()))
}

async fn keeps_promises(reach: &Reach) {
    let admin = Admin::open(reach).expect("the server does it");
    let bucket = unique("suite");
    admin.create_bucket(&bucket, false).await.expect("the server does it");
    conformance::run(Arc::new(S3Store::open(&settings(reach, &bucket)).expect("the server does it"))).await;
    assert_eq!(
        admin.create_bucket(&bucket, false).await.err().map_or("", |error| match error.code() {
            "bucket.exists" => "",
            _ => "another error",
        }),
        ""
    );
    admin.empty_bucket(&bucket).await.expect("the server does it");
    admin.delete_bucket(&bucket).await.expect("the server does it");
    assert!(!admin.exists(&bucket).await.expect("the server does it"));
}

async fn errors_are_told(reach: &Reach) {
    let mut wrong = reach.clone();
    wrong.credentials.secret_key = Secret::new("wrong-wrong-wrong-wrong");
    let code = |reach: &Reach, bucket: &str| {
        let store = S3Store::open(&settings(reach, bucket)).expect("the server does it");
        async move { holdfast_storage::Store::list(&store, "").await.expect_err("an error").code().to_owned() }
    };
    assert_eq!(code(reach, &unique("nowhere")).await, "bucket.missing");
    assert_eq!(code(&wrong, &unique("nowhere")).await, "bucket.denied");
}

async fn is_probed(reach: &Reach) {
    let admin = Admin::open(reach).expect("the server does it");
    let (plain, locking) = (unique("plain"), unique("locking"));
    admin.create_bucket(&plain, false).await.expect("the server does it");
    admin.create_bucket(&locking, true).await.expect("the server does it");
    let caps = probe(&settings(reach, &plain)).await.expect("the server does it");
    eprintln!("plain: {caps:?}");
    assert!(caps.list_after_put && caps.conditional_put && caps.conditional_race && caps.range && caps.checksum);
    assert!(caps.can_delete && !caps.versioning && !caps.object_lock && caps.clock_skew_seconds.abs() <= 2);
    let caps = probe(&settings(reach, &locking)).await.expect("the server does it");
    eprintln!("locking: {caps:?}");
    assert!(caps.versioning && caps.object_lock && caps.can_delete);
    let store = S3Store::open(&settings(reach, &locking)).expect("the server does it");
    conformance::locks(&store, Clock::system().now()).await;
    admin.empty_bucket(&plain).await.expect("the server does it");
    admin.delete_bucket(&plain).await.expect("the server does it");
}

#[tokio::test]
async fn seaweedfs_keeps_the_promises_of_stores() {
    let Some(reach) = server("SEAWEED") else { return };
    keeps_promises(&reach).await;
    errors_are_told(&reach).await;
}

#[tokio::test]
async fn seaweedfs_is_probed() {
    let Some(reach) = server("SEAWEED") else { return };
    is_probed(&reach).await;
}

#[tokio::test]
async fn ceph_keeps_the_promises_of_stores() {
    let Some(reach) = server("CEPH") else { return };
    keeps_promises(&reach).await;
    errors_are_told(&reach).await;
}

#[tokio::test]
async fn ceph_is_probed() {
    let Some(reach) = server("CEPH") else { return };
    is_probed(&reach).await;
}

#[tokio::test]
async fn seaweedfs_walls_tenants_in() {
    let Some(reach) = server("SEAWEED") else { return };
    let home = tempfile::tempdir().unwrap();
    let provider = Provider::open(home.path()).unwrap();
    let driver = || {
        Driver::Iam(IamDriver {
            endpoint: reach.endpoint.clone(),
            region: reach.region.clone(),
            access_key: reach.credentials.access_key.clone(),
            secret_key: reach.credentials.secret_key.clone(),
            ca: None,
            iam_endpoint: None,
        })
    };
    for (name, append_only, lock) in [("plain", false, false), ("append", true, false), ("lock", true, true)] {
        let name = unique(name);
        let request = TenantRequest {
            name: name.clone(),
            provider: "Norddaten".into(),
            quota_bytes: Some(5_000_000_000),
            valid_for_seconds: 3600,
            lock,
            append_only,
        };
        let made = provider.tenant_create(driver(), request).await.unwrap();
        for line in &made.proof {
            eprintln!("{name}: {}: {}", line.test, line.detail);
        }
        let enrolment = bundle::open(&made.bundle, Clock::system().now(), Some(&provider.public_key())).unwrap();
        let own = BucketSettings {
            url: enrolment.bucket,
            credentials: Some(enrolment.credentials),
            ca: enrolment.ca,
            proxy_password: None,
            lock: None,
        };
        let caps = probe(&own).await.unwrap();
        eprintln!("{name}: {caps:?}");
        assert_eq!(caps.can_delete, !append_only);
        assert_eq!(caps.versioning, append_only);
        assert_eq!(caps.object_lock, lock);
    }
}
