//! What every engine behind [`Engine`] must do: one suite for the real and the fake one.
//!
//! Each scenario cleans up after itself, also when it fails; everything it makes begins with the bench's
//! prefix. Never here: what only one engine does.

mod archives;
mod containers;
mod images;
mod networks;
#[cfg(test)]
mod tests;

use crate::{
    ByteStream, Engine,
    archive::{Entry, image, tar},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Result};
use serde_json::{Value, json};
use std::sync::Arc;

/// An engine under test.
pub struct Bench {
    engine: Arc<dyn Engine>,
    prefix: String,
    program: Vec<u8>,
}

/// Fails with a sentence unless something holds.
macro_rules! ensure {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(holdfast_model::Error::bug(format!($($words)+)));
        }
    };
}
use ensure;

impl Bench {
    /// `prefix` begins all names; `program` is a static program that takes `sleep SECONDS` (busybox), run
    /// only by a real engine.
    pub fn new(engine: Arc<dyn Engine>, prefix: &str, program: Vec<u8>) -> Bench {
        Bench { engine, prefix: prefix.to_owned(), program }
    }

    /// Runs all scenarios; the first that fails is named.
    pub async fn run(&self) -> Result<()> {
        self.clear().await?;
        let outcome = self.scenarios().await;
        let cleared = self.clear().await;
        outcome.and(cleared)
    }

    async fn scenarios(&self) -> Result<()> {
        images::run(self).await.map_err(|error| error.while_doing("images"))?;
        containers::run(self).await.map_err(|error| error.while_doing("containers"))?;
        archives::run(self).await.map_err(|error| error.while_doing("archives"))?;
        networks::run(self).await.map_err(|error| error.while_doing("networks"))
    }

    async fn clear(&self) -> Result<()> {
        for found in self.engine.container_list().await? {
            if self.names(&found["Names"]).iter().any(|name| self.is_ours(name.trim_start_matches('/'))) {
                self.engine.container_remove(found["Id"].as_str().unwrap_or_default(), true).await?;
            }
        }
        for volume in self.engine.volume_list().await? {
            if let Some(name) = volume["Name"].as_str().filter(|name| self.is_ours(name)) {
                self.engine.volume_remove(name).await?;
            }
        }
        for network in self.engine.network_list().await? {
            if let Some(name) = network["Name"].as_str().filter(|name| self.is_ours(name)) {
                self.engine.network_remove(name).await?;
            }
        }
        for image in self.engine.image_list().await? {
            for tag in self.names(&image["RepoTags"]).iter().filter(|tag| self.is_ours(tag)) {
                self.engine.image_remove(tag).await?;
            }
        }
        Ok(())
    }

    fn names(&self, list: &Value) -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    fn is_ours(&self, name: &str) -> bool {
        name.starts_with(&self.prefix)
    }

    fn name(&self, rest: &str) -> String {
        format!("{}-{rest}", self.prefix)
    }

    /// The image that containers run from.
    fn image_name(&self) -> String {
        format!("{}/base:1", self.prefix)
    }

    fn layers(&self) -> [Vec<u8>; 2] {
        let base = [Entry::directory("bin"), Entry::file("bin/busybox", self.program.clone()).mode(0o755)];
        [tar(&base), tar(&[Entry::directory("etc"), Entry::file("etc/app.conf", "factory")])]
    }

    fn config(&self) -> Value {
        json!({ "architecture": "amd64", "os": "linux",
            "config": { "Cmd": ["/bin/busybox", "sleep", "600"], "Env": ["COLOUR=green"] } })
    }

    async fn load_base(&self) -> Result<()> {
        self.engine.image_load(flow(image(&self.image_name(), &self.config(), &self.layers()))).await
    }

    /// Creates a container from the base image.
    async fn create(&self, rest: &str, mut body: Value) -> Result<String> {
        body["Image"] = self.image_name().into();
        self.engine.container_create(&self.name(rest), &body).await
    }

    async fn inspect(&self, id: &str) -> Result<Value> {
        parse(&self.engine.container_inspect(id).await?)
    }
}

fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Error::bug("a description is not JSON").caused_by(error))
}

/// Bytes as a stream of uneven pieces.
fn flow(bytes: Vec<u8>) -> ByteStream {
    let bytes = Bytes::from(bytes);
    let pieces: Vec<_> = (0..bytes.len().div_ceil(10_007))
        .map(|n| Ok(bytes.slice(n * 10_007..((n + 1) * 10_007).min(bytes.len()))))
        .collect();
    stream::iter(pieces).boxed()
}

async fn collect(mut stream: ByteStream) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

/// An error of this kind and code, nothing else.
fn refused<T>(outcome: Result<T>, kind: Kind, code: &str, what: &str) -> Result<()> {
    match outcome {
        Ok(_) => Err(Error::bug(format!("{what} was not refused"))),
        Err(error) if error.kind() == kind && error.code() == code => Ok(()),
        Err(error) => Err(error.while_doing(format!("{what}: expected {code}"))),
    }
}
