//! What things are called after the restore: as before, or under the new app's name. Pure.

use crate::survey::PROJECT;
use holdfast_model::{Error, Result};
use holdfast_runtime::random;
use serde_json::Value;
use std::collections::HashMap;

/// Longest name we make; Docker itself bounds names only by the file system.
const NAME_LIMIT: usize = 200;

/// Old names to new ones. In place every name stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// The app's old and new name, when it gets a new one.
    change: Option<(String, String)>,
    project: bool,
    containers: HashMap<String, String>,
    volumes: HashMap<String, String>,
    networks: HashMap<String, String>,
}

impl Names {
    /// Names as they were.
    pub(crate) fn same() -> Self {
        Names::default()
    }

    /// Names of a copy of `app` that is called `new`.
    pub(crate) fn changed(app: &str, new: &str, project: bool) -> Self {
        Names { change: Some((app.to_owned(), new.to_owned())), project, ..Names::default() }
    }

    /// The app's new name, if it changes.
    pub(crate) fn new_app(&self) -> Option<&str> {
        self.change.as_ref().map(|(_, new)| new.as_str())
    }

    /// A container's name; equal for equal input.
    pub(crate) fn container(&mut self, old: &str) -> String {
        let Some((app, new)) = &self.change else { return old.to_owned() };
        let wish = if self.project { prefixed(app, new, old, '-') } else { new.clone() };
        settle(&mut self.containers, old, wish, '-')
    }

    /// A volume's name; an anonymous volume gets a fresh one as Docker would make it.
    pub(crate) fn volume(&mut self, old: &str, anonymous: bool) -> String {
        let Some((app, new)) = &self.change else { return old.to_owned() };
        let wish = if anonymous { hex::encode(random::<32>()) } else { prefixed(app, new, old, '_') };
        settle(&mut self.volumes, old, wish, '_')
    }

    /// Name of the volume that stands for a bind mount of the host path `source`.
    pub(crate) fn bind(&mut self, source: &str) -> String {
        let new = self.new_app().unwrap_or("holdfast").to_owned();
        let last = source.rsplit('/').find(|part| !part.is_empty()).unwrap_or("root");
        let clean: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
        settle(&mut self.volumes, source, format!("{new}_bind-{}", clean.trim_matches('-')), '_')
    }

    /// A network's name. Networks that Docker itself makes keep theirs.
    pub(crate) fn network(&mut self, old: &str) -> String {
        let Some((app, new)) = &self.change else { return old.to_owned() };
        if is_predefined(old) {
            return old.to_owned();
        }
        let wish = prefixed(app, new, old, '_');
        settle(&mut self.networks, old, wish, '_')
    }

    /// Rewrites compose's project label among the `Labels` of a create body, if the app's name changes.
    pub(crate) fn relabel(&self, body: &mut Value) {
        let Some(new) = self.new_app() else { return };
        if let Some(project) = body.pointer_mut("/Labels").and_then(|labels| labels.get_mut(PROJECT)) {
            *project = new.into();
        }
    }
}

/// Whether a network is one of those that every engine has.
pub(crate) fn is_predefined(network: &str) -> bool {
    matches!(network, "" | "default" | "bridge" | "host" | "none")
}

/// Refuses what Docker would refuse as part of a name.
pub(crate) fn check(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if first && rest && name.len() >= 2 && name.len() <= NAME_LIMIT {
        return Ok(());
    }
    let text = format!("{name:?} cannot be the name of a restored app");
    Err(Error::invalid("name.invalid", text)
        .advice("Use letters, digits, '_', '.' and '-', and begin with a letter or digit."))
}

/// `shop_db` of app `shop` becomes `copy_db`; what does not carry the app's name gets the new one in front.
fn prefixed(app: &str, new: &str, old: &str, separator: char) -> String {
    let rest = old.strip_prefix(app);
    match rest {
        Some("") => new.to_owned(),
        Some(rest) if rest.starts_with(['-', '_', '.']) => format!("{new}{rest}"),
        _ => format!("{new}{separator}{old}"),
    }
}

/// Remembers the new name of `old`, with a number behind it if another thing has it.
fn settle(known: &mut HashMap<String, String>, old: &str, wish: String, separator: char) -> String {
    if let Some(name) = known.get(old) {
        return name.clone();
    }
    let wish: String = wish.chars().take(NAME_LIMIT).collect();
    let mut name = wish.clone();
    let mut number = 2;
    while known.values().any(|taken| *taken == name) {
        name = format!("{wish}{separator}{number}");
        number += 1;
    }
    known.insert(old.to_owned(), name.clone());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_carries_the_new_name() {
        let mut names = Names::changed("shop", "shop-restore", true);
        assert_eq!(names.container("shop-db-1"), "shop-restore-db-1");
        assert_eq!(names.container("shop_web_1"), "shop-restore_web_1");
        assert_eq!(names.container("my-proxy"), "shop-restore-my-proxy");
        assert_eq!(names.volume("shop_data", false), "shop-restore_data");
        assert_eq!(names.volume("shared", false), "shop-restore_shared");
        assert_eq!(names.network("shop_default"), "shop-restore_default");
        assert_eq!(names.network("bridge"), "bridge");
        assert_eq!(names.bind("/srv/www/"), "shop-restore_bind-www");
        assert_eq!(names.bind("/opt/www"), "shop-restore_bind-www_2");
        assert_eq!(names.bind("/srv/www/"), "shop-restore_bind-www");
        let fresh = names.volume(&"a".repeat(64), true);
        assert!(crate::json::is_long_id(&fresh) && fresh != "a".repeat(64));
        assert_eq!(names.volume(&"a".repeat(64), true), fresh);
    }

    #[test]
    fn a_lone_container_takes_the_name_itself() {
        let mut names = Names::changed("db", "db-test", false);
        assert_eq!(names.container("db"), "db-test");
        assert_eq!(names.volume("pgdata", false), "db-test_pgdata");
    }

    #[test]
    fn in_place_nothing_changes() {
        let mut names = Names::same();
        assert_eq!(names.container("a"), "a");
        assert_eq!(names.volume("v", true), "v");
        assert_eq!(names.network("n"), "n");
    }

    #[test]
    fn names_docker_refuses_are_refused_early() {
        assert!(check("shop-restore").is_ok());
        for bad in ["", "-x", "a b", "a/b", "ä1"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
