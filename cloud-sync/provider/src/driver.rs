//! How buckets and keys come about: through an IAM-compatible API, or by hand. And how they go again when
//! something failed.

use crate::{
    rights,
    tenant::{Made, Record},
};
use holdfast_model::{
    Error, Kind, Result, Secret,
    bucket::{BucketUrl, Credentials, S3Place},
};
use holdfast_s3::{Admin, Iam, Reach};
use std::fmt::Display;

/// Where a tenant's bucket and key come from.
#[derive(Clone, Debug)]
pub enum Driver {
    /// Made through IAM: AWS, SeaweedFS, Ceph accounts and kin.
    Iam(IamDriver),
    /// They exist already; they are tried and handed over, nothing is made.
    ByHand {
        /// The bucket.
        bucket: BucketUrl,
        /// Its key.
        credentials: Credentials,
        /// PEM of the endpoint's own CA.
        ca: Option<String>,
    },
}

/// An S3 endpoint with IAM, and the provider's own rights there.
#[derive(Clone, Debug)]
pub struct IamDriver {
    /// S3 endpoint; `None` is AWS.
    pub endpoint: Option<String>,
    /// Region.
    pub region: String,
    /// The provider's access key.
    pub access_key: String,
    /// The provider's secret key.
    pub secret_key: Secret,
    /// PEM of the endpoint's own CA.
    pub ca: Option<String>,
    /// IAM endpoint where it is not the S3 endpoint.
    pub iam_endpoint: Option<String>,
}

impl IamDriver {
    /// The provider's own reach.
    pub(crate) fn reach(&self) -> Reach {
        Reach {
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            path_style: self.endpoint.is_some(),
            credentials: Credentials {
                access_key: self.access_key.clone(),
                secret_key: self.secret_key.clone(),
                session_token: None,
            },
            ca: self.ca.clone(),
            proxy: None,
        }
    }

    /// The same endpoint with another key.
    pub(crate) fn reach_as(&self, credentials: &Credentials) -> Reach {
        Reach { credentials: credentials.clone(), ..self.reach() }
    }

    /// The URL of a bucket here.
    pub(crate) fn url(&self, bucket: &str) -> BucketUrl {
        BucketUrl::S3(S3Place {
            bucket: bucket.to_owned(),
            prefix: String::new(),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            path_style: self.endpoint.is_some(),
            ca: None,
            proxy: None,
            class: None,
        })
    }

    pub(crate) fn iam(&self) -> Result<Iam> {
        Iam::open(&self.reach(), self.iam_endpoint.as_deref())
    }

    /// Makes bucket, user, policy and key as planned in `record`; `keep` writes the record whenever it learns more.
    pub(crate) async fn make(&self, record: &mut Record, keep: &dyn Fn(&Record) -> Result<()>) -> Result<Credentials> {
        let Made::Iam { bucket: Some(bucket), user: Some(user), .. } = record.made.clone() else {
            return Err(Error::bug("an IAM tenant was planned without bucket or user"));
        };
        let (admin, iam) = (Admin::open(&self.reach())?, self.iam()?);
        if let Err(error) = admin.create_bucket(&bucket, record.lock).await {
            // A bucket that was there before is not ours to remove.
            not_ours(record, &error, |made| clear(made, true), keep)?;
            return Err(error.while_doing(format!("make the bucket for {}", record.name)));
        }
        if record.append_only && !record.lock {
            // A key that may not delete may still overwrite; versions keep what was there.
            let on = admin.set_versioning(&bucket, true).await;
            on.map_err(|error| error.while_doing("have the bucket keep versions, as append-only keys need"))?;
        }
        if let Err(error) = iam.create_user(&user).await {
            not_ours(record, &error, |made| clear(made, false), keep)?;
            return Err(error.while_doing(format!("make the user for {}", record.name)));
        }
        let document = rights::document(&bucket, record.append_only, record.lock);
        let arn = give(&iam, &user, &document, |arn| {
            if let Made::Iam { policy_arn, .. } = &mut record.made {
                *policy_arn = Some(arn.to_owned());
            }
            keep(record)
        });
        arn.await.map_err(|error| error.while_doing(format!("give {} its rights", record.name)))?;
        let key = iam.create_access_key(&user).await?;
        if let Made::Iam { access_key, .. } = &mut record.made {
            *access_key = Some(key.id.clone());
        }
        keep(record)?;
        Ok(Credentials { access_key: key.id, secret_key: key.secret, session_token: None })
    }

    /// Removes whatever of `made` is there; returns what could not be removed.
    pub(crate) async fn unmake(&self, made: &Made) -> Vec<String> {
        let Made::Iam { bucket, canary, user, policy_arn, access_key } = made else { return Vec::new() };
        let (Ok(admin), Ok(iam)) = (Admin::open(&self.reach()), self.iam()) else {
            return vec!["everything that was made".to_owned()];
        };
        let mut left = Vec::new();
        if let Some(user) = user {
            remove_keys(&iam, user, access_key.clone(), &mut left).await;
            remove_user(&iam, user, policy_arn.as_deref(), &mut left).await;
        }
        for bucket in [bucket, canary].into_iter().flatten() {
            let gone = async {
                admin.empty_bucket(bucket).await?;
                admin.delete_bucket(bucket).await
            };
            note(&mut left, format!("bucket {bucket}"), gone.await);
        }
        left
    }
}

/// Gives a user its rights: as a managed policy, or written into the user where there are none.
async fn give(iam: &Iam, user: &str, document: &str, mut made: impl FnMut(&str) -> Result<()>) -> Result<()> {
    match iam.create_policy(user, document).await {
        Ok(arn) => {
            made(&arn)?;
            iam.attach_user_policy(user, &arn).await
        }
        Err(error) if error.code() == "bucket.not_supported" => iam.put_user_policy(user, user, document).await,
        Err(error) => Err(error),
    }
}

/// Removes all keys of a user: also one that was made a moment before a crash could note it.
async fn remove_keys(iam: &Iam, user: &str, known: Option<String>, left: &mut Vec<String>) {
    let keys = match iam.list_access_keys(user).await {
        Ok(keys) => keys,
        Err(error) if is_gone(&error) => known.into_iter().collect(),
        Err(_) => return left.push(format!("the keys of user {user}")),
    };
    for key in keys {
        note(left, format!("access key {key}"), iam.delete_access_key(user, &key).await);
    }
}

async fn remove_user(iam: &Iam, user: &str, policy_arn: Option<&str>, left: &mut Vec<String>) {
    match policy_arn {
        Some(arn) => {
            note(left, format!("policy {arn} of user {user}"), iam.detach_user_policy(user, arn).await);
            note(left, format!("policy {arn}"), iam.delete_policy(arn).await);
        }
        None => note(left, format!("policy of user {user}"), iam.delete_user_policy(user, user).await),
    }
    note(left, format!("user {user}"), iam.delete_user(user).await);
}

fn is_gone(error: &Error) -> bool {
    error.kind() == Kind::NotFound || error.code() == "bucket.not_supported"
}

fn note(left: &mut Vec<String>, what: impl Display, result: Result<()>) {
    match result {
        Err(error) if !is_gone(&error) => left.push(format!("{what} ({error})")),
        _ => {}
    }
}

/// Takes a thing out of the record if the store says that it was there before.
fn not_ours(
    record: &mut Record,
    error: &Error,
    clear: impl Fn(&mut Made),
    keep: &dyn Fn(&Record) -> Result<()>,
) -> Result<()> {
    if error.code() == "bucket.exists" {
        clear(&mut record.made);
        keep(record)?;
    }
    Ok(())
}

fn clear(made: &mut Made, is_bucket: bool) {
    if let Made::Iam { bucket, user, .. } = made {
        if is_bucket { *bucket = None } else { *user = None }
    }
}
