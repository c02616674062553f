//! The provider: its folder, and the making of tenants from first note to signed bundle.

use crate::{
    bundle,
    driver::{Driver, IamDriver},
    ledger::{Ledger, Pen},
    tenant::{BundleNote, Created, Made, Record, TenantRequest, TenantView},
    wall::{self, Suspect},
};
use ed25519_dalek::SigningKey;
use holdfast_model::{
    Error, Kind, Result,
    bucket::{BucketUrl, Credentials},
    bundle::{Enrolment, FORMAT, SignedBundle},
    view::DoctorLine,
};
use holdfast_runtime::{Clock, random};
use holdfast_s3::Admin;
use std::{fmt, path::Path};

/// A provider, with its folder: signing key and tenants. The folder holds no tenant's secret, but whoever has
/// the signing key can speak for the provider: keep a backup of it, and keep it private.
pub struct Provider {
    ledger: Ledger,
    key: SigningKey,
    clock: Clock,
}

/// What the tenant gets, with the proof that it is no more than that.
struct Grant {
    credentials: Credentials,
    ca: Option<String>,
    proof: Vec<DoctorLine>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({})", bundle::fingerprint(&self.public_key()))
    }
}

impl Provider {
    /// Opens the folder; at first use makes it, readable by its owner alone, with a fresh signing key.
    /// Errors: those of the file system, `provider.key`.
    pub fn open(dir: impl AsRef<Path>) -> Result<Provider> {
        let ledger = Ledger::open(dir.as_ref())?;
        let key = ledger.signing_key()?;
        Ok(Provider { ledger, key, clock: Clock::system() })
    }

    /// The same provider with another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Provider {
        self.clock = clock;
        self
    }

    /// The public key that bundles are signed with, in hex.
    pub fn public_key(&self) -> String {
        hex::encode(self.key.verifying_key().as_bytes())
    }

    /// All tenants, by name.
    pub fn tenant_list(&self) -> Result<Vec<TenantView>> {
        Ok(self.ledger.all()?.iter().map(Record::view).collect())
    }

    /// One tenant. `tenant.not_found` if there is none.
    pub fn tenant_show(&self, name: &str) -> Result<TenantView> {
        let found = if holdfast_model::policy::is_name(name) { self.ledger.read(name)? } else { None };
        found.map(|record| record.view()).ok_or_else(|| {
            Error::not_found("tenant.not_found", format!("there is no tenant {name}"))
                .advice("List the tenants to see their names.")
        })
    }

    /// Makes a tenant, proves that its key is walled in, and signs its bundle. On any error everything that was
    /// made is removed again; what could not be removed is named, and making the tenant again clears it.
    ///
    /// Errors: `tenant.exists`, `tenant.leaks`, `tenant.unproven`, `tenant.name`, `provider.busy`, and those of
    /// the store.
    pub async fn tenant_create(&self, driver: Driver, request: TenantRequest) -> Result<Created> {
        request.validate()?;
        let pen = self.ledger.pen()?;
        self.make_room(&pen, &driver, &request.name).await?;
        match driver {
            Driver::Iam(driver) => self.create_by_iam(&pen, &driver, &request).await,
            Driver::ByHand { bucket, credentials, ca } => {
                self.create_by_hand(&pen, &request, bucket, credentials, ca).await
            }
        }
    }

    /// Refuses a name that is taken; clears what a broken-off attempt has left.
    async fn make_room(&self, pen: &Pen, driver: &Driver, name: &str) -> Result<()> {
        let Some(old) = self.ledger.read(name)? else { return Ok(()) };
        if old.ready {
            return Err(Error::new(Kind::Conflict, "tenant.exists", format!("there is a tenant {name} already"))
                .advice("Choose another name."));
        }
        if let Driver::Iam(driver) = driver {
            let left = driver.unmake(&old.made).await;
            if !left.is_empty() {
                return Err(Error::new(
                    Kind::Conflict,
                    "tenant.unfinished",
                    format!(
                        "an earlier attempt to make {name} left things that cannot be removed: {}",
                        left.join(", ")
                    ),
                )
                .advice("Remove them by hand, or choose another name."));
            }
        }
        self.ledger.forget(pen, name)
    }

    async fn create_by_iam(&self, pen: &Pen, driver: &IamDriver, request: &TenantRequest) -> Result<Created> {
        // One random part ties the names together and keeps them from meeting anybody else's.
        let unique = hex::encode(random::<5>());
        let name = format!("hf-{}-{unique}", request.name);
        let made = Made::Iam {
            bucket: Some(name.clone()),
            canary: Some(format!("hf-canary-{unique}")),
            user: Some(name.clone()),
            policy_arn: None,
            access_key: None,
        };
        let mut record = self.plan(request, driver.url(&name), made);
        self.ledger.keep(pen, &record)?;
        let error = match self.make_and_prove(pen, driver, &mut record).await {
            Ok((credentials, proof)) => {
                let grant = Grant { credentials, ca: driver.ca.clone(), proof };
                return self.hand_over(pen, record, grant, request.valid_for_seconds);
            }
            Err(error) => error,
        };
        let left = driver.unmake(&record.made).await;
        if left.is_empty() {
            self.ledger.forget(pen, &request.name)?;
            return Err(error);
        }
        tracing::warn!(tenant = request.name, left = left.join(", "), "could not remove all that was made");
        let advice = format!("Still there: {}. Making the tenant again tries to remove them.", left.join(", "));
        Err(error.advice(advice))
    }

    async fn make_and_prove(
        &self,
        pen: &Pen,
        driver: &IamDriver,
        record: &mut Record,
    ) -> Result<(Credentials, Vec<DoctorLine>)> {
        let credentials = driver.make(record, &|record| self.ledger.keep(pen, record)).await?;
        let Made::Iam { canary: Some(canary), user: Some(user), .. } = record.made.clone() else {
            return Err(Error::bug("an IAM tenant was planned without canary or user"));
        };
        let suspect = Suspect {
            bucket: &record.bucket,
            credentials: &credentials,
            ca: driver.ca.as_deref(),
            append_only: record.append_only,
        };
        let proof = wall::prove(&suspect, driver, &canary, &user).await?;
        let admin = Admin::open(&driver.reach())?;
        admin.empty_bucket(&canary).await?;
        admin.delete_bucket(&canary).await?;
        if let BucketUrl::S3(place) = &record.bucket {
            // What the proof has left in the tenant's bucket: nobody else has written there yet.
            admin.empty_bucket(&place.bucket).await?;
        }
        if let Made::Iam { canary, .. } = &mut record.made {
            *canary = None;
        }
        Ok((credentials, proof))
    }

    async fn create_by_hand(
        &self,
        pen: &Pen,
        request: &TenantRequest,
        bucket: BucketUrl,
        credentials: Credentials,
        ca: Option<String>,
    ) -> Result<Created> {
        let suspect =
            Suspect { bucket: &bucket, credentials: &credentials, ca: ca.as_deref(), append_only: request.append_only };
        let proof = wall::prove_by_hand(&suspect).await?;
        let record = self.plan(request, bucket, Made::ByHand { access_key: credentials.access_key.clone() });
        self.hand_over(pen, record, Grant { credentials, ca, proof }, request.valid_for_seconds)
    }

    fn plan(&self, request: &TenantRequest, bucket: BucketUrl, made: Made) -> Record {
        Record {
            name: request.name.clone(),
            provider: request.provider.trim().to_owned(),
            ready: false,
            created: self.clock.now(),
            bucket,
            made,
            quota_bytes: request.quota_bytes,
            lock: request.lock,
            append_only: request.append_only,
            bundle: None,
        }
    }

    fn hand_over(&self, pen: &Pen, mut record: Record, mut grant: Grant, valid_seconds: u64) -> Result<Created> {
        let issued = self.clock.now();
        let valid = i64::try_from(valid_seconds).unwrap_or(i64::MAX / 1000);
        let note = BundleNote { id: hex::encode(random::<16>()), expires: issued.plus_seconds(valid) };
        let bundle = self.signed(&record, &note, &grant)?;
        record.ready = true;
        record.bundle = Some(note);
        self.ledger.keep(pen, &record)?;
        if let Some(quota) = record.quota_bytes {
            let detail = format!("{quota} bytes, told to the appliance; the store itself does not stop at it");
            grant.proof.push(DoctorLine { test: "quota".to_owned(), ok: true, detail });
        }
        Ok(Created { tenant: record.view(), bundle, proof: grant.proof })
    }

    fn signed(&self, record: &Record, note: &BundleNote, grant: &Grant) -> Result<SignedBundle> {
        let enrolment = Enrolment {
            format: FORMAT,
            provider: record.provider.clone(),
            tenant: record.name.clone(),
            id: note.id.clone(),
            issued: self.clock.now(),
            expires: note.expires,
            bucket: record.bucket.clone(),
            credentials: grant.credentials.clone(),
            ca: grant.ca.clone(),
            quota_bytes: record.quota_bytes,
        };
        bundle::sign(&enrolment, &self.key)
    }
}
