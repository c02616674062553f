//! Waits for jobs, and shows how far they are: bars on a terminal, plain lines elsewhere.

use crate::{
    client::{Client, part},
    outcome::Failure,
    output::{self, Output, clean},
};
use holdfast_engine::Appliance;
use holdfast_model::{
    Error, JobId, Kind,
    job::{JobState, JobView, Progress},
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// Between looks at a job: quick enough for the eye, cheap enough for the socket.
const LOOK: Duration = Duration::from_millis(300);
/// Between plain lines about the same phase.
const LINE: Duration = Duration::from_secs(10);

/// Where jobs are asked for.
pub enum Reach<'a> {
    /// The running appliance.
    Socket(&'a Client),
    /// One inside this process.
    Inside(&'a Appliance),
}

impl Reach<'_> {
    async fn job(&self, id: &JobId) -> Result<JobView, Failure> {
        match self {
            Reach::Socket(client) => client.get(&format!("/jobs/{}", part(id.as_str()))).await,
            Reach::Inside(appliance) => Ok(appliance.job(id).await?),
        }
    }
}

/// Waits until all jobs have ended; returns them as they ended, in the same order.
///
/// Ctrl-C ends the waiting, not the jobs.
pub async fn until_ended(reach: &Reach<'_>, output: Output, jobs: Vec<JobView>) -> Result<Vec<JobView>, Failure> {
    tokio::select! {
        ended = follow(reach, output, jobs.clone()) => ended,
        stopped = interrupted() => {
            for job in &jobs {
                output.talk(&format!("{} goes on; stop it with: holdfast job cancel {}", title(job), job.id));
            }
            Err(stopped)
        }
    }
}

/// Waits for Ctrl-C. Whatever waits must select on this: once a signal was listened to, it ends nothing by itself.
pub async fn interrupted() -> Failure {
    let _ = tokio::signal::ctrl_c().await;
    Error::new(Kind::Stopped, "wait.stopped", "waiting was stopped; the work goes on").into()
}

/// Waits until one job has ended.
pub async fn until_one_ended(reach: &Reach<'_>, output: Output, job: JobView) -> Result<JobView, Failure> {
    let mut ended = until_ended(reach, output, vec![job]).await?;
    Ok(ended.pop().expect("as many jobs as were asked for"))
}

async fn follow(reach: &Reach<'_>, output: Output, mut jobs: Vec<JobView>) -> Result<Vec<JobView>, Failure> {
    let mut display: Box<dyn Display> =
        if output.has_bars() { Box::new(Bars::new(&jobs)) } else { Box::new(Lines::new(output, jobs.len())) };
    loop {
        for (place, job) in jobs.iter_mut().enumerate() {
            if !job.state.is_final() {
                *job = reach.job(&job.id).await?;
                display.show(place, job);
            }
        }
        if jobs.iter().all(|job| job.state.is_final()) {
            display.end();
            return Ok(jobs);
        }
        tokio::time::sleep(LOOK).await;
    }
}

trait Display: Send {
    fn show(&mut self, place: usize, job: &JobView);
    fn end(&mut self) {}
}

/// One bar per job on stderr.
struct Bars {
    all: MultiProgress,
    bars: Vec<ProgressBar>,
}

impl Bars {
    fn new(jobs: &[JobView]) -> Self {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix}  {wide_bar}  {msg}").expect("a fixed template");
        let bar = |job: &JobView| {
            let bar = all.add(ProgressBar::new(1).with_style(style.clone()));
            bar.set_prefix(clean(&title(job)));
            bar
        };
        let bars = jobs.iter().map(bar).collect();
        Bars { all, bars }
    }
}

impl Display for Bars {
    fn show(&mut self, place: usize, job: &JobView) {
        let bar = &self.bars[place];
        bar.set_length(job.progress.bytes_total.max(job.progress.bytes_done).max(1));
        bar.set_position(job.progress.bytes_done);
        bar.set_message(clean(&describe(job)));
        if job.state.is_final() {
            bar.abandon();
        }
    }

    fn end(&mut self) {
        // The result follows on stdout; bars that stay would say it twice.
        let _ = self.all.clear();
    }
}

/// A line when a phase begins, at most every ten seconds within one, and at the end.
struct Lines {
    output: Output,
    last: Vec<(String, Instant)>,
}

impl Lines {
    fn new(output: Output, jobs: usize) -> Self {
        Lines { output, last: vec![(String::new(), Instant::now()); jobs] }
    }
}

impl Display for Lines {
    fn show(&mut self, place: usize, job: &JobView) {
        let (phase, said) = &mut self.last[place];
        let now_in = format!("{:?} {}", job.state, job.progress.phase);
        if *phase == now_in && said.elapsed() < LINE {
            return;
        }
        (*phase, *said) = (now_in, Instant::now());
        self.output.talk(&format!("{}: {}", title(job), describe(job)));
    }
}

/// What a job is about: `backup local/shop`.
pub fn title(job: &JobView) -> String {
    format!("{} {}", output::name_of(&job.kind), job.subject).trim_end().to_owned()
}

fn describe(job: &JobView) -> String {
    match job.state {
        JobState::Running => describe_progress(&job.progress),
        state => {
            let summary = job.summary.as_deref().map(|words| format!(", {words}")).unwrap_or_default();
            format!("{}{summary}", output::name_of(&state))
        }
    }
}

fn describe_progress(progress: &Progress) -> String {
    if progress.phase.is_empty() {
        return "begins".into();
    }
    let mut words = vec![format!("{} ({}/{})", progress.phase, progress.phase_number, progress.phases)];
    if !progress.item.is_empty() {
        words.push(progress.item.clone());
    }
    if progress.bytes_done > 0 {
        words.push(output::bytes(progress.bytes_done));
    }
    if progress.rate > 0 {
        words.push(format!("{}/s", output::bytes(progress.rate)));
    }
    if let Some(seconds) = progress.eta_seconds {
        words.push(format!("{} left", output::duration(seconds)));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_one_line() {
        let progress = Progress {
            phase: "volumes".into(),
            phase_number: 3,
            phases: 5,
            item: "shop_db".into(),
            bytes_done: 1_500_000,
            rate: 80_000_000,
            eta_seconds: Some(61),
            ..Progress::default()
        };
        assert_eq!(describe_progress(&progress), "volumes (3/5), shop_db, 1.50 MB, 80.0 MB/s, 1 min 1 s left");
    }
}
