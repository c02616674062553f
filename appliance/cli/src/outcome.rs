//! How a command ends: the exit codes, in one place (design 6), and errors as people and scripts see them.

use holdfast_model::{
    Error, Kind,
    job::{JobState, JobView},
    view::ErrorView,
};

/// Done, nothing to tell.
pub const DONE: i32 = 0;
/// Not done.
pub const FAILED: i32 = 1;
/// Done, but something was left out.
pub const PROBLEMS: i32 = 3;
/// Somebody stopped it.
pub const STOPPED: i32 = 130;

/// What a command comes to: an exit code, or an error.
pub type Outcome = Result<i32, Failure>;

/// An error on its way to the terminal; from this process or from the appliance.
#[derive(Debug, PartialEq)]
pub struct Failure(pub Box<ErrorView>);

impl Failure {
    /// The process's exit code.
    pub fn exit_code(&self) -> i32 {
        Kind::from_name(&self.0.kind).exit_code()
    }

    /// The error in lines for people.
    pub fn words(&self) -> String {
        let hint = self.0.hint.as_deref().map(|hint| format!("\n{hint}")).unwrap_or_default();
        format!("holdfast: {} [{}]{hint}", self.0.detail, self.0.code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure(Box::new(holdfast_web::error_view(&error)))
    }
}

impl From<ErrorView> for Failure {
    fn from(view: ErrorView) -> Self {
        Failure(Box::new(view))
    }
}

/// The exit code of one ended job.
pub fn of_job(job: &JobView) -> i32 {
    match job.state {
        JobState::Queued | JobState::Running | JobState::Done => DONE,
        JobState::DoneWithProblems => PROBLEMS,
        JobState::Failed => job.error_kind.as_deref().map_or(FAILED, |kind| Kind::from_name(kind).exit_code()),
        JobState::Cancelled => STOPPED,
        JobState::Interrupted => FAILED,
    }
}

/// The exit code of several jobs: the first failure counts most, then problems.
pub fn of_jobs(jobs: &[JobView]) -> i32 {
    let codes: Vec<i32> = jobs.iter().map(of_job).collect();
    let failed = codes.iter().copied().find(|code| ![DONE, PROBLEMS].contains(code));
    failed.unwrap_or_else(|| codes.into_iter().max().unwrap_or(DONE))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use holdfast_model::{JobId, Moment, job::JobKind, job::Progress};

    /// A job in some state.
    pub fn job(state: JobState, error_kind: Option<&str>) -> JobView {
        JobView {
            id: JobId::new(Moment::from_millis(1), [7; 10]),
            kind: JobKind::Backup,
            subject: "local/shop".into(),
            state,
            created: Moment::from_millis(1),
            started: None,
            ended: None,
            progress: Progress::default(),
            snapshot: None,
            summary: None,
            error_kind: error_kind.map(str::to_owned),
            problems: Vec::new(),
            log: Vec::new(),
        }
    }

    #[test]
    fn errors_have_their_codes() {
        for (kind, code) in [
            (Kind::Invalid, 2),
            (Kind::NotFound, 4),
            (Kind::Conflict, 5),
            (Kind::Denied, 5),
            (Kind::Refused, 5),
            (Kind::Unavailable, 6),
            (Kind::Stopped, 130),
            (Kind::Full, 1),
            (Kind::Corrupt, 1),
            (Kind::Bug, 1),
        ] {
            assert_eq!(Failure::from(Error::new(kind, "c", "w")).exit_code(), code, "{kind:?}");
        }
    }

    #[test]
    fn jobs_have_their_codes() {
        for (state, kind, code) in [
            (JobState::Done, None, 0),
            (JobState::DoneWithProblems, None, 3),
            (JobState::Failed, Some("unavailable"), 6),
            (JobState::Failed, Some("refused"), 5),
            (JobState::Failed, Some("full"), 1),
            (JobState::Failed, None, 1),
            (JobState::Cancelled, None, 130),
            (JobState::Interrupted, None, 1),
        ] {
            assert_eq!(of_job(&job(state, kind)), code, "{state:?} {kind:?}");
        }
    }

    #[test]
    fn a_failure_outweighs_problems() {
        let (done, problems) = (job(JobState::Done, None), job(JobState::DoneWithProblems, None));
        let failed = job(JobState::Failed, Some("unavailable"));
        assert_eq!(of_jobs(&[done.clone(), problems.clone()]), 3);
        assert_eq!(of_jobs(&[problems, failed, done]), 6);
        assert_eq!(of_jobs(&[]), 0);
    }

    #[test]
    fn words_carry_code_and_hint() {
        let error = Error::not_found("snapshot.none", "there is no snapshot 01ab").advice("See holdfast snapshots.");
        let words = Failure::from(error).words();
        assert_eq!(words, "holdfast: there is no snapshot 01ab [snapshot.none]\nSee holdfast snapshots.");
    }
}
