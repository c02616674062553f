//! Commands of an app's own around its backups: what labels say of a service, and what people set beside them.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Longest time a command may take, seconds.
pub const TIMEOUT_MAX: u64 = 86_400;
/// Longest command, bytes: a line, not a program.
const COMMAND_MAX: usize = 8192;

/// Commands by service; of an app that is one container, by its name.
pub type AppHooks = BTreeMap<String, ServiceHooks>;

/// Commands around the backups of one service. They run by `/bin/sh -c` in its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceHooks {
    /// Before anything is read: for a dump into a volume.
    pub dump: Option<String>,
    /// Just before the app is held.
    pub pre: Option<String>,
    /// After it was let go, whatever happened meanwhile; after a crash of the appliance too, then perhaps twice.
    pub post: Option<String>,
    /// As whom; otherwise as the container's own user.
    pub user: Option<String>,
    /// Longest time for each, seconds, 1 to 86400; otherwise 60, for a dump 3600.
    pub timeout_seconds: Option<u64>,
}

impl ServiceHooks {
    /// Refuses what could not have its effect.
    pub fn validate(&self) -> Result<()> {
        if *self == ServiceHooks::default() {
            let advice = "Give a command for dump, pre or post; an empty one takes away what a label says.";
            return Err(Error::invalid("hooks.empty", "there is nothing to set").advice(advice));
        }
        for text in [&self.dump, &self.pre, &self.post, &self.user].into_iter().flatten() {
            if text.len() > COMMAND_MAX || text.contains('\0') {
                let words = format!("a command has at most {COMMAND_MAX} bytes, none of them 0");
                return Err(Error::invalid("hooks.command", words)
                    .advice("Put a script into the image or a volume, and call that."));
            }
        }
        match self.timeout_seconds {
            Some(seconds) if !(1..=TIMEOUT_MAX).contains(&seconds) => Err(Error::invalid(
                "hooks.timeout",
                format!("a time limit is 1 to {TIMEOUT_MAX} seconds, not {seconds}"),
            )),
            _ => Ok(()),
        }
    }

    /// What holds if these were set beside those of labels: each of its own, where it is set. An empty command is none.
    #[must_use]
    pub fn over(&self, labels: &ServiceHooks) -> ServiceHooks {
        let text = |own: &Option<String>, other: &Option<String>| {
            own.as_ref().or(other.as_ref()).filter(|text| !text.is_empty()).cloned()
        };
        ServiceHooks {
            dump: text(&self.dump, &labels.dump),
            pre: text(&self.pre, &labels.pre),
            post: text(&self.post, &labels.post),
            user: text(&self.user, &labels.user),
            timeout_seconds: self.timeout_seconds.or(labels.timeout_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn each_of_its_own_and_an_empty_one_is_none() {
        let labels = ServiceHooks {
            pre: some("sync"),
            post: some("go"),
            user: some("root"),
            timeout_seconds: Some(5),
            ..ServiceHooks::default()
        };
        let set = ServiceHooks { pre: some("flush"), post: some(""), dump: some("dump"), ..ServiceHooks::default() };
        let both = set.over(&labels);
        let expected = ServiceHooks { pre: some("flush"), post: None, ..set.clone() };
        assert_eq!(both, ServiceHooks { user: some("root"), timeout_seconds: Some(5), ..expected });
        assert_eq!(ServiceHooks::default().over(&labels), labels);
    }

    #[test]
    fn what_could_have_no_effect_is_refused() {
        let code = |hooks: ServiceHooks| hooks.validate().unwrap_err().code().to_owned();
        assert_eq!(code(ServiceHooks::default()), "hooks.empty");
        assert_eq!(code(ServiceHooks { pre: some("a\0b"), ..ServiceHooks::default() }), "hooks.command");
        assert_eq!(code(ServiceHooks { pre: some(&"x".repeat(9000)), ..ServiceHooks::default() }), "hooks.command");
        for seconds in [0, 86_401] {
            assert_eq!(
                code(ServiceHooks { timeout_seconds: Some(seconds), ..ServiceHooks::default() }),
                "hooks.timeout"
            );
        }
        ServiceHooks { post: some(""), ..ServiceHooks::default() }.validate().unwrap();
    }
}
