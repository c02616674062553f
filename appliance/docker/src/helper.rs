//! Which containers are helpers, ours or those of other appliances on the same engine, and the image of the ones that never run.
//!
//! # Invariants
//! - A label alone proves nothing: an image hands its labels on to every container that is made of it, so whoever builds an image could keep what is
//!   made of it out of backups, or have it removed. A helper has the label, a name as only [`helper_name`] draws it, and an image that we load. Engines
//!   forget an image's name when it is taken away or goes to another image; then the command stands in for it.
//! - Nothing of the proof is one appliance's own: another one's helpers are nobody's app either.

use crate::{Engine, HELPER_LABEL, archive};
use futures::{StreamExt, stream};
use holdfast_model::Result;
use holdfast_runtime::random;
use serde_json::{Value, json};

/// The image of helpers that are created and never started: it has no layer, so nothing of it can run.
pub const EMPTY_IMAGE: &str = "holdfast/empty:1";
/// Repository of the images of movers; the tag is the beginning of the program's digest.
pub(crate) const MOVER_IMAGE: &str = "holdfast/mover";
/// Digits of it.
pub(crate) const MOVER_TAG: usize = 12;
/// Where their program lies.
pub(crate) const MOVER_PROGRAM: &str = "/holdfast-mover";
/// What helpers that never run would run: engines want a command even so.
pub const NEVER: &str = "/never";
/// The same, in helpers of earlier releases.
const NEVER_STARTED: &str = "/never-started";
/// How names of helpers begin.
const BEGIN: &str = "holdfast-";
/// Random bytes at their end.
const RANDOM: usize = 6;

/// A new name for a helper; `work` is what it does, one word of small letters.
pub fn helper_name(work: &str) -> String {
    format!("{BEGIN}{work}-{}", hex::encode(random::<RANDOM>()))
}

/// Whether a container of a listing is a helper. Everything else is somebody's, whatever its labels say.
pub fn is_helper(listed: &Value) -> bool {
    let mut names = listed["Names"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let text = |key: &str| listed[key].as_str().unwrap_or_default();
    let is_ours = || is_our_image(text("Image")) || (is_nameless(text("Image")) && is_our_command(text("Command")));
    has_label(&listed["Labels"]) && is_ours() && names.any(is_our_name)
}

/// Whether an event tells of a helper, or of an image of ours. Images of others that carry the label are none of our business: no
/// app changes with an image.
pub(crate) fn is_about_helpers(event: &Value) -> bool {
    let told = &event["Actor"]["Attributes"];
    let text = |key: &str| told.get(key).and_then(Value::as_str).unwrap_or_default();
    has_label(told) && (event["Type"] == "image" || is_our_image(text("image")) && is_our_name(text("name")))
}

/// Loads [`EMPTY_IMAGE`] for the engine's architecture.
pub async fn load_empty_image(engine: &dyn Engine) -> Result<()> {
    let info = engine.info().await?;
    let (os, architecture) = info.platform.split_once('/').unwrap_or(("linux", "amd64"));
    let config = json!({
        "architecture": architecture,
        "os": os,
        "created": "1970-01-01T00:00:00Z",
        "config": { "Labels": { HELPER_LABEL: "image" } },
    });
    let bytes = archive::image(EMPTY_IMAGE, &config, &[]);
    engine
        .image_load(stream::iter([Ok(bytes.into())]).boxed())
        .await
        .map_err(|error| error.while_doing("load the empty image that volumes are read and written through"))
}

fn has_label(labels: &Value) -> bool {
    labels.get(HELPER_LABEL).is_some_and(Value::is_string)
}

/// The container's own name: one that a link of another gives it has a second slash.
fn is_our_name(name: &str) -> bool {
    let name = name.strip_prefix('/').unwrap_or(name).strip_prefix(BEGIN);
    name.and_then(|rest| rest.split_once('-')).is_some_and(|(work, number)| {
        !work.is_empty() && work.bytes().all(|byte| byte.is_ascii_lowercase()) && is_hex(number, 2 * RANDOM)
    })
}

fn is_our_image(name: &str) -> bool {
    // Podman says from which registry it would be.
    let name = ["docker.io/", "localhost/"].iter().find_map(|registry| name.strip_prefix(registry)).unwrap_or(name);
    let tag = name.strip_prefix(MOVER_IMAGE).and_then(|rest| rest.strip_prefix(':'));
    name == EMPTY_IMAGE || tag.is_some_and(|tag| is_hex(tag, MOVER_TAG))
}

/// An image that has lost its name is listed by its digest.
fn is_nameless(image: &str) -> bool {
    image.strip_prefix("sha256:").is_some_and(|digest| is_hex(digest, 64))
}

/// A listed command is a program and what it is told.
fn is_our_command(command: &str) -> bool {
    matches!(command.split(' ').next(), Some(NEVER | NEVER_STARTED | MOVER_PROGRAM))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, image: &str, labels: Value) -> Value {
        json!({ "Id": "1", "Names": [name], "Image": image, "Labels": labels })
    }

    #[test]
    fn helpers_of_every_appliance_on_every_engine_are_known() {
        let mover = "holdfast/mover:0123456789ab";
        for image in [EMPTY_IMAGE, mover, &format!("docker.io/{mover}"), "localhost/holdfast/empty:1"] {
            for owner in ["me", "somebody else", ""] {
                let name = format!("/{}", helper_name("read"));
                assert!(is_helper(&listed(&name, image, json!({ HELPER_LABEL: owner }))), "{name} {image} {owner}");
            }
        }
    }

    #[test]
    fn a_label_alone_makes_no_helper_nor_does_anything_else_alone() {
        let (name, labels) = ("/holdfast-read-0123456789ab", json!({ HELPER_LABEL: "me" }));
        let honest = listed(name, EMPTY_IMAGE, labels.clone());
        assert!(is_helper(&honest));
        for other in [
            "/web",
            "/x/holdfast-read-0123456789ab",
            "/holdfast-read-0123456789AB",
            "/holdfast-read-0123",
            "/holdfast--0123456789ab",
        ] {
            assert!(!is_helper(&listed(other, EMPTY_IMAGE, labels.clone())), "{other}");
        }
        for other in [
            "busybox:1",
            "holdfast/empty:2",
            "holdfast/mover:latest",
            "example.com/holdfast/empty:1",
            "sha256:0123456789ab",
        ] {
            assert!(!is_helper(&listed(name, other, labels.clone())), "{other}");
        }
        for other in [Value::Null, json!({}), json!({ "io.holdfast.life": "1" }), json!([HELPER_LABEL])] {
            assert!(!is_helper(&listed(name, EMPTY_IMAGE, other.clone())), "{other}");
        }
        assert!(!is_helper(&json!({})));
    }

    #[test]
    fn a_helper_whose_image_lost_its_name_is_known_by_what_it_runs() {
        let (name, image) = (format!("/{}", helper_name("read")), format!("sha256:{}", "0a".repeat(32)));
        let run = |image: &str, command: &str| {
            let mut found = listed(&name, image, json!({ HELPER_LABEL: "me" }));
            found["Command"] = command.into();
            found
        };
        for command in
            [NEVER, NEVER_STARTED, MOVER_PROGRAM, "/holdfast-mover serve /v", "/holdfast-mover via /s thin tar /v v"]
        {
            assert!(is_helper(&run(&image, command)), "{command}");
        }
        for command in ["", "/x", "/never/x", "/holdfast-movers serve /v", "sh -c /holdfast-mover", "never"] {
            assert!(!is_helper(&run(&image, command)), "{command}");
        }
        for image in ["shop:1", "sha256:0a", "0a0a0a0a0a0a", ""] {
            assert!(!is_helper(&run(image, NEVER)), "a name is a name: {image}");
        }
        let mut other = run(&image, NEVER);
        other["Names"] = json!(["/web"]);
        assert!(!is_helper(&other), "whoever builds an image chooses its command too, and no name");
    }

    #[test]
    fn events_of_pretenders_are_news() {
        let event = |kind: &str, name: &str, image: &str, label: &str| json!({ "Type": kind, "Action": "start", "Actor": { "ID": "1", "Attributes": { "name": name, "image": image, label: "me" } } });
        let name = helper_name("restore");
        assert!(is_about_helpers(&event("container", &name, EMPTY_IMAGE, HELPER_LABEL)));
        assert!(is_about_helpers(&event("image", EMPTY_IMAGE, "", HELPER_LABEL)));
        assert!(!is_about_helpers(&event("container", "web", EMPTY_IMAGE, HELPER_LABEL)));
        assert!(!is_about_helpers(&event("container", &name, "busybox:1", HELPER_LABEL)));
        assert!(!is_about_helpers(&event("container", &name, EMPTY_IMAGE, "other")));
        assert!(!is_about_helpers(&json!({ "Type": "volume", "Action": "create" })));
    }
}
