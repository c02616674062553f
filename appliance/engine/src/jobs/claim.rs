//! Who may run beside whom. Pure.
//!
//! Invariants: one backup or restore per app at a time; prune runs alone with the repository's
//! contents; recover runs alone with everything; a job never overtakes an earlier one that it excludes.
//! What comes back into the cache takes hours on a slow line: nobody but its own kind waits for that.

use holdfast_model::{Error, Kind};

/// Backups at once: enough to keep two hosts busy, few enough to bound memory and the bucket's queue.
const BACKUPS_MAX: usize = 2;
/// Restores at once, for the same reasons.
const RESTORES_MAX: usize = 2;

/// What a job needs for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Reads this app (`host/app`).
    Backup(String),
    /// Writes this app (`host/app`).
    Restore(String),
    /// Reads the whole repository.
    Check,
    /// Removes from the repository.
    Prune,
    /// Replaces the repository.
    Recover,
    /// Brings this snapshot back into the cache.
    Warm(String),
}

impl Claim {
    /// Whether two jobs must not run at the same time.
    pub fn excludes(&self, other: &Claim) -> bool {
        match (self, other) {
            (Claim::Recover, _) | (_, Claim::Recover) => true,
            // They would share one line. A prune takes nothing away from it: it holds what it reads.
            (Claim::Warm(_), Claim::Warm(_)) => true,
            (Claim::Warm(_), _) | (_, Claim::Warm(_)) => false,
            (Claim::Prune, _) | (_, Claim::Prune) => true,
            (Claim::Check, Claim::Check) => true,
            (Claim::Check, _) | (_, Claim::Check) => false,
            (Claim::Backup(a) | Claim::Restore(a), Claim::Backup(b) | Claim::Restore(b)) => a == b,
        }
    }

    /// Whether it may start beside `running`, with `earlier` still waiting before it.
    pub fn may_start<'a>(
        &self,
        running: impl Iterator<Item = &'a Claim> + Clone,
        mut earlier: impl Iterator<Item = &'a Claim>,
    ) -> bool {
        let of_kind = |wanted: fn(&Claim) -> bool| running.clone().filter(|claim| wanted(claim)).count();
        let room = match self {
            Claim::Backup(_) => of_kind(|claim| matches!(claim, Claim::Backup(_))) < BACKUPS_MAX,
            Claim::Restore(_) => of_kind(|claim| matches!(claim, Claim::Restore(_))) < RESTORES_MAX,
            _ => true,
        };
        room && !running.clone().any(|claim| claim.excludes(self)) && !earlier.any(|claim| claim.excludes(self))
    }

    /// Why asking for the same thing again while it is under way is refused.
    pub fn refusal(&self, active: &Claim) -> Option<Error> {
        if self != active {
            return None;
        }
        let (code, words) = match self {
            Claim::Backup(app) => ("backup.running", format!("a backup of {app} is under way already")),
            Claim::Restore(app) => ("restore.running", format!("a restore to {app} is under way already")),
            Claim::Check => ("check.running", "a check is under way already".into()),
            // Forgetting two snapshots one after the other is lawful: each is its own prune.
            Claim::Prune => return None,
            Claim::Recover => ("recover.running", "a recovery is under way already".into()),
            Claim::Warm(id) => ("warm.running", format!("snapshot {id} is being brought into the cache already")),
        };
        Some(Error::new(Kind::Conflict, code, words).advice("Look at the running job, or wait until it ends."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(app: &str) -> Claim {
        Claim::Backup(app.into())
    }

    #[test]
    fn exclusion_is_symmetric() {
        let warm = |id: &str| Claim::Warm(id.into());
        let restore = Claim::Restore("a".into());
        let all = [backup("a"), backup("b"), restore, Claim::Check, Claim::Prune, Claim::Recover, warm("1"), warm("2")];
        for left in &all {
            for right in &all {
                assert_eq!(left.excludes(right), right.excludes(left), "{left:?} {right:?}");
            }
        }
    }

    #[test]
    fn two_backups_run_a_third_waits() {
        let running = [backup("a"), backup("b")];
        assert!(!backup("c").may_start(running.iter(), [].iter()));
        assert!(backup("c").may_start(running[..1].iter(), [].iter()));
        assert!(!backup("a").may_start(running[..1].iter(), [].iter()));
        assert!(Claim::Check.may_start(running.iter(), [].iter()));
    }

    #[test]
    fn a_waiting_prune_is_not_starved() {
        let running = [backup("a")];
        assert!(!Claim::Prune.may_start(running.iter(), [].iter()));
        assert!(!backup("b").may_start(running.iter(), [Claim::Prune].iter()));
        assert!(Claim::Prune.may_start([].iter(), [].iter()));
    }

    #[test]
    fn nobody_waits_for_what_comes_into_the_cache() {
        let running = [Claim::Warm("1".into())];
        for other in [backup("a"), Claim::Restore("a".into()), Claim::Check, Claim::Prune] {
            assert!(other.may_start(running.iter(), [].iter()), "{other:?}");
        }
        assert!(!Claim::Warm("2".into()).may_start(running.iter(), [].iter()), "they share one line");
        assert!(!Claim::Recover.may_start(running.iter(), [].iter()));
        assert_eq!(running[0].refusal(&running[0]).unwrap().code(), "warm.running");
    }

    #[test]
    fn the_same_again_is_refused() {
        assert_eq!(backup("a").refusal(&backup("a")).unwrap().code(), "backup.running");
        assert!(backup("a").refusal(&backup("b")).is_none());
        assert!(Claim::Prune.refusal(&Claim::Prune).is_none());
    }
}
