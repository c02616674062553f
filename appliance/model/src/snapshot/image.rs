//! What makes the archive of an image whole and harmless: the same rules for who stores it, who knows it again and who gives it to an engine.
//!
//! Invariant: nothing here reads bytes. Digests are those that were counted when the bytes were stored; that a stream still has its own is proved
//! by the repository with each reading.

use super::{ImagePart, ImageSection, Snapshot};
use std::collections::HashSet;

/// Code of the problem that an engine's copy of an image is not what the engine promises.
pub const IMAGE_DAMAGED: &str = "image.damaged";
/// Members of an archive that say what is in it.
pub const IMAGE_LISTS: [&str; 2] = ["manifest.json", "index.json"];
/// Longest of them, bytes: they have some kilobytes, and are read into memory.
pub const IMAGE_LIST_LIMIT: u64 = 4 << 20;
/// Where members lie that are named by their digest.
pub const IMAGE_BLOBS: &str = "blobs/sha256/";

/// Whether a member's name, and where it leads if it is a link, stay within the archive. A link goes up first and then down: on the way
/// up again it could pass through another one.
pub fn is_within(path: &str, link: Option<&str>) -> bool {
    let folders = path.matches('/').count();
    let leads_in = |target: &str| {
        let up = target.split('/').take_while(|part| *part == "..").count();
        up <= folders && target.split('/').skip(up).all(is_name)
    };
    path.split('/').all(is_name) && !path.contains('\0') && link.is_none_or(leads_in)
}

fn is_name(part: &str) -> bool {
    !matches!(part, "" | "." | "..")
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl ImagePart {
    /// The digest that its name promises: of a blob, of a configuration or of a layer.
    fn promised(&self) -> Option<&str> {
        if let Some(blob) = self.path.strip_prefix(IMAGE_BLOBS) {
            return Some(blob);
        }
        let stem = self.path.strip_suffix(".json").or_else(|| self.path.strip_suffix(".tar"))?;
        Some(stem).filter(|stem| is_digest(stem))
    }

    fn contradiction(&self) -> Option<String> {
        let path = &self.path;
        if !is_within(path, self.link.as_deref()) {
            return Some(format!("{path:?} leads out of the archive"));
        }
        let is_list = IMAGE_LISTS.contains(&path.as_str());
        if self.link.is_some() {
            return is_list.then(|| format!("{path} is a link"));
        }
        if is_list && self.stream.length > IMAGE_LIST_LIMIT {
            return Some(format!("{path} is longer than any list of contents"));
        }
        if self.stream.sha256 != self.sha256 || self.promised().is_some_and(|digest| digest != self.sha256) {
            return Some(format!("the bytes of {path:?} have another digest"));
        }
        // Blobs may be compressed; then this is the digest of what is in them.
        let layer = self.diff_id.as_deref().filter(|_| !path.starts_with(IMAGE_BLOBS));
        let other = layer.filter(|layer| layer.strip_prefix("sha256:") != Some(self.sha256.as_str()));
        other.map(|layer| format!("layer {path:?} has another digest than {layer}"))
    }
}

impl ImageSection {
    /// Why no engine may be given it, in words: a member has other bytes than its name, its layer or the section says, leads out of the
    /// archive, is there twice, lies behind a link, or is a list of contents that nobody can have looked at.
    pub fn contradiction(&self) -> Option<String> {
        if let Some(why) = self.parts.iter().find_map(ImagePart::contradiction) {
            return Some(why);
        }
        let links = self.parts.iter().filter(|part| part.link.is_some());
        let links: HashSet<&str> = links.map(|part| part.path.as_str()).collect();
        let mut names = HashSet::new();
        self.parts.iter().find_map(|part| {
            let path = part.path.as_str();
            if !names.insert(path) {
                return Some(format!("{path:?} is in it twice"));
            }
            let mut above = path.match_indices('/').map(|(end, _)| &path[..end]);
            above.any(|folder| links.contains(folder)).then(|| format!("{path:?} lies behind a link"))
        })
    }

    /// Whether it is all of the image: nothing contradicts it, its list of layers is there, and so is each layer that the engine promised, by
    /// its digest.
    pub fn is_sound(&self) -> bool {
        let has_layer = |diff_id: &String| {
            self.parts.iter().any(|part| part.link.is_none() && part.diff_id.as_ref() == Some(diff_id))
        };
        self.parts.iter().any(|part| part.path == IMAGE_LISTS[0])
            && self.diff_ids.iter().all(has_layer)
            && self.contradiction().is_none()
    }
}

impl Snapshot {
    /// An image by id, if the snapshot has all of it: its section is sound, and the capture had no damage to tell.
    pub fn sound_image(&self, id: &str) -> Option<&ImageSection> {
        let image = self.images.iter().find(|image| image.id == id && image.is_sound())?;
        let shown = image.tags.first().unwrap_or(&image.id);
        let is_told = self.problems.iter().any(|told| told.code == IMAGE_DAMAGED && told.subject == *shown);
        (!is_told).then_some(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{RawJson, StreamRef};

    fn part(path: &str, digest: &str) -> ImagePart {
        let stream = StreamRef { sha256: digest.to_owned(), ..StreamRef::default() };
        ImagePart { path: path.to_owned(), sha256: digest.to_owned(), stream, diff_id: None, link: None }
    }

    fn link(path: &str, target: &str) -> ImagePart {
        ImagePart { link: Some(target.to_owned()), ..part(path, "") }
    }

    fn layer(path: &str, digest: &str, diff_id: &str) -> ImagePart {
        ImagePart { diff_id: Some(format!("sha256:{diff_id}")), ..part(path, digest) }
    }

    /// Two layers: one under a folder, one compressed among the blobs.
    fn whole() -> ImageSection {
        let (digest, packed) = ("a".repeat(64), "b".repeat(64));
        ImageSection {
            id: format!("sha256:{digest}"),
            tags: vec!["shop:1".into()],
            inspect: RawJson("{}".into()),
            diff_ids: vec!["sha256:one".into(), "sha256:two".into()],
            parts: vec![
                layer("l/layer.tar", "one", "one"),
                layer(&format!("blobs/sha256/{packed}"), &packed, "two"),
                link("m/layer.tar", "../l/layer.tar"),
                part(&format!("{digest}.json"), &digest),
                part("manifest.json", "list"),
            ],
            bytes: 0,
        }
    }

    type Change = Box<dyn Fn(&mut ImageSection)>;

    fn with(part: ImagePart) -> Change {
        Box::new(move |image: &mut ImageSection| image.parts.push(part.clone()))
    }

    #[test]
    fn an_image_that_contradicts_itself_is_told_and_is_not_sound() {
        assert_eq!(whole().contradiction(), None);
        assert!(whole().is_sound());
        let changes: Vec<(&str, Change)> = vec![
            ("another digest", Box::new(|image| image.parts[0].stream.sha256 = "x".into())),
            (
                "another digest",
                Box::new(|image| (image.parts[1].sha256, image.parts[1].stream.sha256) = ("x".into(), "x".into())),
            ),
            (
                "another digest",
                Box::new(|image| (image.parts[3].sha256, image.parts[3].stream.sha256) = ("x".into(), "x".into())),
            ),
            ("another digest", Box::new(|image| image.parts[0].diff_id = Some("sha256:two".into()))),
            ("another digest", with(part(&format!("{}.tar", "c".repeat(64)), "x"))),
            ("another digest", with(part("blobs/sha256/short", "x"))),
            ("leads out", with(part("../x", "x"))),
            ("leads out", with(part("/etc/x", "x"))),
            ("leads out", with(part("a//x", "x"))),
            ("leads out", with(part("a/./x", "x"))),
            ("leads out", with(part("", "x"))),
            ("leads out", with(link("a/x", "../../x"))),
            ("leads out", with(link("a/x", "b/../../x"))),
            ("leads out", with(link("x", "/etc/x"))),
            ("leads out", with(link("x", ""))),
            ("twice", with(part("manifest.json", "list"))),
            ("behind a link", with(part("m/layer.tar/x", "x"))),
            ("is a link", with(link("index.json", "l/layer.tar"))),
            ("longer", Box::new(|image| image.parts[4].stream.length = IMAGE_LIST_LIMIT + 1)),
        ];
        for (words, change) in changes {
            let mut image = whole();
            change(&mut image);
            let why = image.contradiction().unwrap_or_default();
            assert!(why.contains(words), "{words}: {why:?}");
            assert!(!image.is_sound(), "{why}");
        }
    }

    #[test]
    fn an_image_that_lacks_something_is_not_sound() {
        for lost in [0, 1, 4] {
            let mut image = whole();
            image.parts.remove(lost);
            assert!(!image.is_sound(), "{lost}");
        }
        let mut image = whole();
        image.parts[0].diff_id = None;
        assert_eq!((image.contradiction(), image.is_sound()), (None, false));
        image.parts.clear();
        image.diff_ids.clear();
        assert!(!image.is_sound(), "a description is no image");
    }
}
