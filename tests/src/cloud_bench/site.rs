//! The bucket of a bench: where it is, what it does, and what was asked of it.

use crate::counting_proxy::{CountingProxy, Requests};
use holdfast_cloud_sync::Line;
use holdfast_model::{
    Error, Result, Secret,
    bucket::{BucketUrl, Credentials},
    settings::BucketSettings,
    view::Capabilities,
};
use holdfast_s3::S3Store;
use holdfast_storage::Store;
use std::{env, sync::Arc};

/// A bucket, and the proxy before it if requests are counted.
pub struct Site {
    settings: BucketSettings,
    proxy: Option<CountingProxy>,
}

impl Site {
    /// The bucket that the environment names: `HOLDFAST_BENCH_ENDPOINT`, `_BUCKET`, `_ACCESS_KEY` and `_SECRET_KEY`.
    pub fn of_environment() -> Result<Site> {
        let url = format!("s3://{}?endpoint={}", read("BUCKET")?, read("ENDPOINT")?);
        let secret_key = Secret::new(read("SECRET_KEY")?);
        let credentials = Credentials { access_key: read("ACCESS_KEY")?, secret_key, session_token: None };
        let url = BucketUrl::parse(&url)?;
        let credentials = Some(credentials);
        Ok(Site::at(BucketSettings { url, credentials, ca: None, proxy_password: None, lock: None }))
    }

    /// Any bucket.
    pub fn at(settings: BucketSettings) -> Site {
        Site { settings, proxy: None }
    }

    /// From now on requests go by a proxy that counts them. Speeds that are measured so are the proxy's.
    pub async fn counted(mut self) -> Result<Site> {
        let BucketUrl::S3(place) = &mut self.settings.url else {
            return Err(Error::invalid("bench.site", "only requests to an S3 bucket can be counted"));
        };
        let endpoint = place.endpoint.clone().unwrap_or_default();
        let proxy = CountingProxy::start(&endpoint).await;
        let proxy = proxy.map_err(|error| Error::io("start the proxy that counts", error))?;
        place.endpoint = Some(proxy.url.clone());
        self.proxy = Some(proxy);
        Ok(self)
    }

    /// What was asked so far; nothing where nobody counts.
    pub fn requests(&self) -> Requests {
        self.proxy.as_ref().map(CountingProxy::requests).unwrap_or_default()
    }

    /// Finds out what the bucket does, as an appliance does it at first and every week.
    pub(super) async fn probe(&self) -> Result<Capabilities> {
        holdfast_s3::probe(&self.settings).await
    }

    /// The bucket as an appliance opens it that has probed it before.
    pub(super) async fn open(&self, line: &Line) -> Result<Arc<dyn Store>> {
        let seen = self.probe().await?;
        let store = S3Store::open(&self.settings)?.throttled(line.bytes.clone(), line.requests.clone());
        Ok(Arc::new(store.knowing(&seen)))
    }
}

fn read(what: &str) -> Result<String> {
    let name = format!("HOLDFAST_BENCH_{what}");
    env::var(&name).map_err(|_| Error::invalid("bench.site", format!("{name} is not set; deploy/bench cloud sets it")))
}
