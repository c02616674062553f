//! What is done to whole buckets: made, versioned, given a policy, removed. For providers and for the
//! attempts that a tenant's key must fail at.

use crate::{
    fault::{self, Refusal},
    wire::{Patience, Reach},
};
use aws_sdk_s3::{
    Client,
    types::{
        BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration,
        Delete, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, ObjectIdentifier,
        VersioningConfiguration,
    },
};
use holdfast_model::{Error, Result};
use std::fmt;

/// Buckets at one endpoint, with one account's rights.
pub struct Admin {
    client: Client,
    place: String,
    /// The region to ask for when a bucket is made; only AWS needs it.
    location: Option<String>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admin({})", self.place)
    }
}

impl Admin {
    /// Touches no network. Errors: `bucket.ca`, `bucket.url`.
    pub fn open(reach: &Reach) -> Result<Admin> {
        Ok(Admin {
            client: reach.client(&Patience::default())?,
            place: reach.place(),
            location: (reach.endpoint.is_none() && reach.region != "us-east-1").then(|| reach.region.clone()),
        })
    }

    fn at(&self, bucket: &str) -> String {
        format!("the bucket {bucket} at {}", self.place)
    }

    /// Makes a bucket, if asked with object lock (which brings versioning). `bucket.exists` if there is one.
    pub async fn create_bucket(&self, bucket: &str, lock: bool) -> Result<()> {
        let location = self.location.as_deref().map(|region| {
            CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region)).build()
        });
        let make = self.client.create_bucket().bucket(bucket).set_create_bucket_configuration(location);
        let make = make.set_object_lock_enabled_for_bucket(lock.then_some(true));
        make.send().await.map(drop).map_err(|error| fault::explain(&self.at(bucket), &error))
    }

    /// Whether a bucket is there, or anything of that name that we may not see.
    pub async fn exists(&self, bucket: &str) -> Result<bool> {
        match self.client.head_bucket().bucket(bucket).send().await {
            Ok(_) => Ok(true),
            Err(error) => match fault::refusal(&error) {
                Some(said) if said.status == 404 => Ok(false),
                Some(said) if matches!(said.status, 301 | 403) => Ok(true),
                _ => Err(fault::explain(&self.at(bucket), &error)),
            },
        }
    }

    /// Removes an empty bucket.
    pub async fn delete_bucket(&self, bucket: &str) -> Result<()> {
        let done = self.client.delete_bucket().bucket(bucket).send().await;
        done.map(drop).map_err(|error| fault::explain(&self.at(bucket), &error))
    }

    /// Removes every version of every object; for buckets that a failed act has made, at most 1000 objects.
    pub async fn empty_bucket(&self, bucket: &str) -> Result<()> {
        let explain = |error: Error| error.while_doing(format!("empty {}", self.at(bucket)));
        let found = self.client.list_object_versions().bucket(bucket).send().await;
        let found = found.map_err(|error| explain(fault::explain(&self.at(bucket), &error)))?;
        let versions = found.versions().iter().map(|version| (version.key(), version.version_id()));
        let markers = found.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        for (key, version) in versions.chain(markers) {
            let Some(key) = key else { continue };
            let version = version.filter(|version| !version.is_empty()).map(str::to_owned);
            let done = self.client.delete_object().bucket(bucket).key(key).set_version_id(version).send().await;
            done.map_err(|error| explain(fault::explain(&self.at(bucket), &error)))?;
        }
        Ok(())
    }

    /// Copies an object inside the store, from one bucket to another.
    pub async fn copy(&self, from: (&str, &str), to: (&str, &str)) -> Result<()> {
        let copy = self.client.copy_object().copy_source(format!("{}/{}", from.0, from.1));
        let done = copy.bucket(to.0).key(to.1).send().await;
        done.map(drop).map_err(|error| fault::explain(&self.at(from.0), &error))
    }

    /// Deletes several objects in one call. The call as a whole succeeds at stores even if every single deletion
    /// is refused, so the first refusal is the error here.
    pub async fn delete_several(&self, bucket: &str, keys: &[&str]) -> Result<()> {
        let invalid = |_| Error::bug("a list of deletions that cannot be written");
        let one = |key: &&str| ObjectIdentifier::builder().key(*key).build().map_err(invalid);
        let list = keys.iter().map(one).collect::<Result<Vec<_>>>()?;
        let list = Delete::builder().set_objects(Some(list)).build().map_err(invalid)?;
        let done = self.client.delete_objects().bucket(bucket).delete(list).send().await;
        let done = done.map_err(|error| fault::explain(&self.at(bucket), &error))?;
        let Some(refused) = done.errors().first() else { return Ok(()) };
        Err(fault::of_refusal(
            &self.at(bucket),
            &Refusal {
                status: 403,
                code: refused.code().unwrap_or_default().to_owned(),
                message: refused.message().unwrap_or_default().to_owned(),
                ..Refusal::default()
            },
        ))
    }

    /// Names of the buckets this account sees.
    pub async fn list_buckets(&self) -> Result<Vec<String>> {
        let found = self.client.list_buckets().send().await.map_err(|error| fault::explain(&self.place, &error))?;
        Ok(found.buckets().iter().filter_map(|bucket| bucket.name().map(str::to_owned)).collect())
    }

    /// Turns versioning on or suspends it.
    pub async fn set_versioning(&self, bucket: &str, on: bool) -> Result<()> {
        let status = if on { BucketVersioningStatus::Enabled } else { BucketVersioningStatus::Suspended };
        let wanted = VersioningConfiguration::builder().status(status).build();
        let done = self.client.put_bucket_versioning().bucket(bucket).versioning_configuration(wanted).send().await;
        done.map(drop).map_err(|error| fault::explain(&self.at(bucket), &error))
    }

    /// Writes the bucket's policy document.
    pub async fn set_policy(&self, bucket: &str, document: &str) -> Result<()> {
        let done = self.client.put_bucket_policy().bucket(bucket).policy(document).send().await;
        done.map(drop).map_err(|error| fault::explain(&self.at(bucket), &error))
    }

    /// Has objects under `prefix` expire after `days`.
    pub async fn set_expiry(&self, bucket: &str, prefix: &str, days: i32) -> Result<()> {
        let invalid = |_| Error::bug("a lifecycle rule that cannot be written");
        let rule = LifecycleRule::builder()
            .id("expiry")
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
            .expiration(LifecycleExpiration::builder().days(days).build())
            .build()
            .map_err(invalid)?;
        let wanted = BucketLifecycleConfiguration::builder().rules(rule).build().map_err(invalid)?;
        let done = self.client.put_bucket_lifecycle_configuration().bucket(bucket).lifecycle_configuration(wanted);
        done.send().await.map(drop).map_err(|error| fault::explain(&self.at(bucket), &error))
    }
}
