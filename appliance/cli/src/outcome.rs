//! How a command ends: the exit codes, in one place (design 6), and errors as people and scripts see them.

use holdfast_model::{
    Error, Kind, Severity,
    job::{JobState, JobView},
    view::ErrorView,
};

/// Done, nothing to tell.
pub const DONE: i32 = 0;
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

/// How jobs that were shown end the command: the first failure as an error, else done or done with problems.
/// Jobs that still run are taken on, which is all that was asked for.
pub fn of_jobs(jobs: &[JobView]) -> Outcome {
    for job in jobs {
        if let JobState::Failed | JobState::Cancelled | JobState::Interrupted = job.state {
            return Err(not_done(job));
        }
    }
    let problems = jobs.iter().any(|job| job.state == JobState::DoneWithProblems);
    Ok(if problems { PROBLEMS } else { DONE })
}

/// The error of a job that was not done.
fn not_done(job: &JobView) -> Failure {
    let kind = match job.state {
        JobState::Cancelled => Kind::Stopped,
        _ => job.error_kind.as_deref().map_or(Kind::Bug, Kind::from_name),
    };
    let cause = job.problems.iter().rev().find(|problem| problem.severity == Severity::Error);
    let code = cause.map_or_else(|| format!("job.{}", kind.as_str()), |problem| problem.code.clone());
    let what = job.summary.clone().unwrap_or_else(|| "the job did not end well".into());
    let error = Error::new(kind, code, what);
    match cause.and_then(|problem| problem.advice.clone()) {
        Some(advice) => error.advice(advice).into(),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::{JobId, Moment, Problem, job::JobKind, job::Progress};

    fn job(state: JobState, error_kind: Option<&str>) -> JobView {
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

    fn code(jobs: &[JobView]) -> i32 {
        of_jobs(jobs).unwrap_or_else(|failure| failure.exit_code())
    }

    #[test]
    fn jobs_have_their_codes() {
        for (state, kind, expected) in [
            (JobState::Queued, None, 0),
            (JobState::Done, None, 0),
            (JobState::DoneWithProblems, None, 3),
            (JobState::Failed, Some("unavailable"), 6),
            (JobState::Failed, Some("refused"), 5),
            (JobState::Failed, Some("full"), 1),
            (JobState::Failed, None, 1),
            (JobState::Cancelled, None, 130),
            (JobState::Interrupted, None, 1),
        ] {
            assert_eq!(code(&[job(state, kind)]), expected, "{state:?} {kind:?}");
        }
    }

    #[test]
    fn a_failure_outweighs_problems() {
        let (done, problems) = (job(JobState::Done, None), job(JobState::DoneWithProblems, None));
        let failed = job(JobState::Failed, Some("unavailable"));
        assert_eq!(code(&[done.clone(), problems.clone()]), 3);
        assert_eq!(code(&[problems, failed, done]), 6);
        assert_eq!(code(&[]), 0);
    }

    #[test]
    fn a_failed_job_speaks_in_its_own_words() {
        let mut failed = job(JobState::Failed, Some("full"));
        failed.summary = Some("there is no space left".into());
        failed.problems.push(Problem::error("disk.full", "cache", "words").advice("Make room."));
        failed.problems.push(Problem::note("something.else", "x", "words"));
        let Failure(view) = of_jobs(&[failed]).unwrap_err();
        assert_eq!((view.code.as_str(), view.title.as_str()), ("disk.full", "there is no space left"));
        assert_eq!(view.hint.as_deref(), Some("Make room."));
    }

    #[test]
    fn words_carry_code_and_hint() {
        let error = Error::not_found("snapshot.none", "there is no snapshot 01ab").advice("See holdfast snapshots.");
        let words = Failure::from(error).words();
        assert_eq!(words, "holdfast: there is no snapshot 01ab [snapshot.none]\nSee holdfast snapshots.");
    }
}
