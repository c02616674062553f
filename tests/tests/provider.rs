//! Tenants on an S3 server in process: made, walled in, handed over; and what stays behind when it fails.

use holdfast_model::{Kind, Moment, Secret, bucket::BucketUrl, bucket::Credentials};
use holdfast_provider::{Driver, IamDriver, Provider, TenantRequest, bundle};
use holdfast_runtime::Clock;
use holdfast_s3::S3Store;
use holdfast_storage::{PutMode, Store};
use holdfast_tests::s3mem::{Fault, Quirks, S3Mem};

fn driver(server: &S3Mem) -> Driver {
    Driver::Iam(IamDriver {
        endpoint: Some(server.url.clone()),
        region: "us-east-1".into(),
        access_key: server.access_key.clone(),
        secret_key: Secret::new(&server.secret_key),
        ca: None,
        iam_endpoint: None,
    })
}

fn request(name: &str) -> TenantRequest {
    TenantRequest {
        name: name.into(),
        provider: "Norddaten".into(),
        quota_bytes: Some(500_000_000_000),
        valid_for_seconds: 3600,
        lock: false,
        append_only: false,
    }
}

fn state() -> (tempfile::TempDir, Provider) {
    let home = tempfile::tempdir().expect("a folder");
    let provider = Provider::open(home.path()).expect("a provider");
    (home, provider)
}

fn everything_in(home: &tempfile::TempDir) -> String {
    let mut text = String::new();
    for dir in [home.path().to_owned(), home.path().join("tenants")] {
        for entry in std::fs::read_dir(dir).expect("the folder").flatten().filter(|entry| entry.path().is_file()) {
            text.push_str(&std::fs::read_to_string(entry.path()).expect("a file"));
        }
    }
    text
}

#[tokio::test]
async fn a_tenant_gets_its_own_bucket_and_a_key_for_nothing_else() {
    let server = S3Mem::start(Quirks::default()).await;
    let (home, provider) = state();
    let made = provider.tenant_create(driver(&server), request("acme")).await.unwrap();
    assert!(made.proof.len() > 20 && made.proof.iter().all(|line| line.ok), "{:?}", made.proof);
    assert_eq!(server.buckets().len(), 2, "the first bucket and the tenant's, no canary: {:?}", server.buckets());

    let text = bundle::to_line(&made.bundle);
    let now = Clock::system().now();
    let enrolment = bundle::open(&bundle::parse(&text).unwrap(), now, Some(&provider.public_key())).unwrap();
    assert_eq!((enrolment.tenant.as_str(), enrolment.provider.as_str()), ("acme", "Norddaten"));
    assert_eq!(enrolment.quota_bytes, Some(500_000_000_000));
    let settings = holdfast_model::settings::BucketSettings {
        url: enrolment.bucket.clone(),
        credentials: Some(enrolment.credentials.clone()),
        ca: None,
        proxy_password: None,
        lock: None,
    };
    let store = S3Store::open(&settings).unwrap();
    store.put("packs/a", "body".into(), PutMode::Once).await.unwrap();
    store.delete("packs/a").await.unwrap();

    let kept = everything_in(&home);
    assert!(!kept.contains(enrolment.credentials.secret_key.reveal()), "the folder holds the tenant's secret");
    assert!(!kept.contains(&server.secret_key));
    assert_eq!(provider.tenant_show("acme").unwrap(), made.tenant);
    assert_eq!(provider.tenant_list().unwrap(), std::slice::from_ref(&made.tenant));
    assert_eq!(provider.tenant_show("nobody").unwrap_err().code(), "tenant.not_found");
    assert_eq!(provider.tenant_show("../acme").unwrap_err().code(), "tenant.not_found");
    let again = provider.tenant_create(driver(&server), request("acme")).await.unwrap_err();
    assert_eq!((again.code(), again.kind()), ("tenant.exists", Kind::Conflict));
}

#[tokio::test]
async fn an_append_only_key_cannot_delete() {
    let server = S3Mem::start(Quirks::default()).await;
    let (_home, provider) = state();
    let wanted = TenantRequest { append_only: true, ..request("acme") };
    let made = provider.tenant_create(driver(&server), wanted).await.unwrap();
    assert!(made.proof.iter().any(|line| line.test == "delete in its own bucket" && line.detail == "refused"));
    let BucketUrl::S3(place) = BucketUrl::parse(&made.tenant.bucket).unwrap() else { panic!("an S3 bucket") };
    assert!(server.keys(&place.bucket).is_empty(), "the proof's object is gone");
}

#[tokio::test]
async fn stores_without_managed_policies_do_too() {
    let server = S3Mem::start(Quirks { inline_policies_only: true, ..Quirks::default() }).await;
    let (_home, provider) = state();
    provider.tenant_create(driver(&server), TenantRequest { lock: true, ..request("acme") }).await.unwrap();
}

#[tokio::test]
async fn keys_that_users_make_for_themselves_are_tried_as_well() {
    let server = S3Mem::start(Quirks { own_keys: true, ..Quirks::default() }).await;
    let (_home, provider) = state();
    let made = provider.tenant_create(driver(&server), request("acme")).await.unwrap();
    let line = made.proof.iter().find(|line| line.test == "make itself another key").unwrap();
    assert!(line.ok && line.detail.contains("same bucket only"));
    assert_eq!(server.access_keys(), 2, "the administrator's and the tenant's");
}

#[tokio::test]
async fn a_leaking_key_is_never_handed_out_and_leaves_nothing() {
    let server = S3Mem::start(Quirks { open_doors: true, ..Quirks::default() }).await;
    let (home, provider) = state();
    let error = provider.tenant_create(driver(&server), request("acme")).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("tenant.leaks", Kind::Refused), "{error:?}");
    assert!(error.to_string().contains("write into another bucket"), "{error}");
    assert_eq!(server.buckets(), ["bucket"]);
    assert!(server.users().is_empty(), "{:?}", server.users());
    assert!(provider.tenant_list().unwrap().is_empty());
    assert!(!everything_in(&home).contains("acme"));
}

#[tokio::test]
async fn one_side_door_is_enough_to_refuse() {
    let server = S3Mem::start(Quirks { copies_anything: true, ..Quirks::default() }).await;
    let (_home, provider) = state();
    let error = provider.tenant_create(driver(&server), request("acme")).await.unwrap_err();
    assert_eq!(error.code(), "tenant.leaks");
    assert!(error.to_string().ends_with("it could copy from another bucket into its own"), "{error}");
    assert_eq!(server.buckets(), ["bucket"]);
}

#[tokio::test]
async fn a_failure_at_any_step_leaves_nothing() {
    let server = S3Mem::start(Quirks::default()).await;
    let (_home, provider) = state();
    // Each request that makes something fails once, in turn, and then every fifth of the rest of a run, in a way
    // that is not tried again.
    let mut failed = 0;
    for step in (0..12).chain((12..).step_by(5)) {
        let name = format!("t{step}");
        server.trap("*", "", step, 1, Fault::Status(400, "InvalidRequest"));
        match provider.tenant_create(driver(&server), request(&name)).await {
            Ok(made) => {
                server.heal();
                assert!(step > 30, "only {step} requests in a run?");
                assert!(made.proof.iter().all(|line| line.ok));
                break;
            }
            Err(error) => {
                failed += 1;
                server.heal();
                assert_eq!(server.buckets(), ["bucket"], "step {step}: {error:?}");
                assert!(server.users().is_empty(), "step {step}: {error:?}");
                assert!(provider.tenant_list().unwrap().is_empty(), "step {step}");
            }
        }
    }
    assert!(failed > 15);
}

#[tokio::test]
async fn what_could_not_be_removed_is_named_and_removed_next_time() {
    let server = S3Mem::start(Quirks::default()).await;
    let (_home, provider) = state();
    // From the making of the key on nothing works any more, the clearing neither.
    server.trap("*", "", 4, 1000, Fault::Status(403, "AccessDenied"));
    let error = provider.tenant_create(driver(&server), request("acme")).await.unwrap_err();
    assert!(error.advice_text().unwrap().contains("hf-acme"), "{error:?}");
    server.heal();
    assert_eq!(provider.tenant_show("acme").unwrap().state, "unfinished");
    let made = provider.tenant_create(driver(&server), request("acme")).await.unwrap();
    assert_eq!(made.tenant.state, "ready");
    assert_eq!((server.buckets().len(), server.users().len()), (2, 1));
}

#[tokio::test]
async fn a_bucket_by_hand_is_tried_too() {
    let server = S3Mem::start(Quirks::default()).await;
    let (_home, provider) = state();
    let by_hand = |key: (String, String)| Driver::ByHand {
        bucket: BucketUrl::parse(&format!("s3://bucket?endpoint={}", server.url)).unwrap(),
        credentials: Credentials { access_key: key.0, secret_key: Secret::new(key.1), session_token: None },
        ca: None,
    };
    let wide = (server.access_key.clone(), server.secret_key.clone());
    server.make_bucket("other", false);
    let error = provider.tenant_create(by_hand(wide), request("acme")).await.unwrap_err();
    assert_eq!(error.code(), "tenant.leaks");
    assert_eq!(server.buckets(), ["bucket", "other"]);
    let narrow = server.user("t", "bucket", &["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"]);
    let made = provider.tenant_create(by_hand(narrow), request("acme")).await.unwrap();
    assert_eq!(made.tenant.driver, "by-hand");
    assert!(bundle::open(&made.bundle, Moment::from_millis(0), None).is_err());
}

#[tokio::test]
async fn impossible_requests_are_refused_before_anything_is_made() {
    let server = S3Mem::start(Quirks::default()).await;
    let (_home, provider) = state();
    for (wanted, code) in [
        (request("Acme"), "tenant.name"),
        (request("../x"), "tenant.name"),
        (request("acme-"), "tenant.name"),
        (TenantRequest { valid_for_seconds: 1, ..request("acme") }, "tenant.validity"),
        (TenantRequest { quota_bytes: Some(0), ..request("acme") }, "tenant.quota"),
    ] {
        assert_eq!(provider.tenant_create(driver(&server), wanted).await.unwrap_err().code(), code);
    }
    assert!(server.requests().is_empty());
}
