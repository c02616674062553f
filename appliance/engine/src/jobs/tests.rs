//! The queue at work: order, limits, cancel, panic, history.

use super::*;
use holdfast_model::Problem;
use holdfast_repository::Meter;
use tokio::sync::oneshot;

fn jobs(catalog: &Arc<Catalog>) -> Jobs {
    Jobs::load(catalog.clone(), Clock::system(), Events::default(), Stop::new(), TaskTracker::new())
}

fn order(app: &str) -> Order {
    Order { kind: JobKind::Backup, subject: app.into(), claim: Claim::Backup(app.into()) }
}

fn quick(outcome: Result<String>) -> Work {
    Box::new(move |_| Box::pin(async move { outcome }))
}

/// Work that ends when told, or when stopped.
fn held() -> (oneshot::Sender<()>, Work) {
    let (release, told) = oneshot::channel::<()>();
    let work: Work = Box::new(move |desk| {
        Box::pin(async move {
            tokio::select! {
                _ = told => Ok("released".into()),
                () = desk.stop().cancelled() => Err(desk.check_stop().unwrap_err()),
            }
        })
    });
    (release, work)
}

#[tokio::test]
async fn outcomes_are_honest() {
    let jobs = jobs(&Arc::new(Catalog::in_memory()));
    let done = jobs.add(order("a"), quick(Ok("fine".into()))).unwrap();
    done.done().cancelled().await;
    assert_eq!(done.view().state, JobState::Done);

    let partly: Work = Box::new(|desk| {
        Box::pin(async move {
            desk.problems([Problem::warning("bind.not_captured", "/srv", "left out")]);
            Ok("fine".into())
        })
    });
    let partly = jobs.add(order("b"), partly).unwrap();
    partly.done().cancelled().await;
    assert_eq!(partly.view().state, JobState::DoneWithProblems);

    let failed = jobs.add(order("c"), quick(Err(Error::not_found("app.gone", "no such app")))).unwrap();
    failed.done().cancelled().await;
    let view = failed.view();
    assert_eq!((view.state, view.error_kind.as_deref()), (JobState::Failed, Some("not_found")));
    assert_eq!(view.problems[0].code, "app.gone");
    assert_eq!(failed.failure().unwrap().code(), "app.gone");
}

#[tokio::test]
async fn a_panic_is_a_failed_job_and_the_queue_goes_on() {
    let jobs = jobs(&Arc::new(Catalog::in_memory()));
    let work: Work = Box::new(|_| Box::pin(async { panic!("on purpose") }));
    let broken = jobs.add(order("a"), work).unwrap();
    broken.done().cancelled().await;
    assert_eq!(broken.view().error_kind.as_deref(), Some("bug"));
    let next = jobs.add(order("a"), quick(Ok("fine".into()))).unwrap();
    next.done().cancelled().await;
    assert_eq!(next.view().state, JobState::Done);
}

#[tokio::test]
async fn the_same_app_twice_is_refused_and_the_third_app_waits() {
    let jobs = jobs(&Arc::new(Catalog::in_memory()));
    let (release_a, work_a) = held();
    let (_release_b, work_b) = held();
    let (_release_c, work_c) = held();
    let a = jobs.add(order("a"), work_a).unwrap();
    let b = jobs.add(order("b"), work_b).unwrap();
    let c = jobs.add(order("c"), work_c).unwrap();
    assert_eq!(jobs.add(order("a"), quick(Ok(String::new()))).err().unwrap().code(), "backup.running");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(
        [a.view().state, b.view().state, c.view().state],
        [JobState::Running, JobState::Running, JobState::Queued]
    );
    release_a.send(()).unwrap();
    a.done().cancelled().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(c.view().state, JobState::Running);
    assert_eq!(jobs.active().len(), 2);
}

#[tokio::test]
async fn cancel_ends_what_waits_and_what_runs() {
    let jobs = jobs(&Arc::new(Catalog::in_memory()));
    let mut keep = Vec::new();
    let mut add = |app: &str| {
        let (release, work) = held();
        keep.push(release);
        jobs.add(order(app), work).unwrap()
    };
    let (a, _b, c) = (add("a"), add("b"), add("c"));
    assert_eq!(jobs.cancel(&c.view().id).unwrap().state, JobState::Cancelled);
    jobs.cancel(&a.view().id).unwrap();
    a.done().cancelled().await;
    assert_eq!(a.view().state, JobState::Cancelled);
    assert_eq!(jobs.cancel(&a.view().id).unwrap_err().code(), "job.ended");
}

#[tokio::test]
async fn history_survives_and_names_what_was_interrupted() {
    let catalog = Arc::new(Catalog::in_memory());
    let first = jobs(&catalog);
    let done = first.add(order("a"), quick(Ok("fine".into()))).unwrap();
    done.done().cancelled().await;
    let (_release, work) = held();
    let cut = first.add(order("b"), work).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;

    let second = jobs(&catalog);
    let views = second.list();
    assert_eq!(views.len(), 2);
    assert_eq!((&views[0].id, views[0].state), (&cut.view().id, JobState::Interrupted));
    assert_eq!(views[1].state, JobState::Done);
}

#[tokio::test]
async fn shutdown_interrupts() {
    let stop = Stop::new();
    let tracker = TaskTracker::new();
    let catalog = Arc::new(Catalog::in_memory());
    let jobs = Jobs::load(catalog, Clock::system(), Events::default(), stop.clone(), tracker.clone());
    let (_release, work) = held();
    let job = jobs.add(order("a"), work).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    assert_eq!(job.view().state, JobState::Interrupted);
}

#[tokio::test]
async fn old_jobs_make_room() {
    let catalog = Arc::new(Catalog::in_memory());
    let jobs = jobs(&catalog);
    for _ in 0..HISTORY_MAX + 5 {
        let order = Order { kind: JobKind::Prune, subject: String::new(), claim: Claim::Prune };
        jobs.add(order, quick(Ok(String::new()))).unwrap().done().cancelled().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(jobs.list().len(), HISTORY_MAX);
    assert_eq!(catalog.list::<JobView>(Table::Jobs, "").len(), HISTORY_MAX);
}

#[tokio::test]
async fn progress_has_rate_and_eta_and_bounded_lines() {
    let clock = Clock::manual(Moment::from_millis(1_795_000_000_000));
    let id = JobId::new(clock.now(), [0; 10]);
    let desk = Desk::new(queued(&id, JobKind::Backup, "a".into(), clock.now()), clock.clone(), Stop::new());
    desk.begin();
    desk.total(10_000);
    desk.measure();
    for _ in 0..20 {
        clock.advance(Duration::from_secs(1));
        desk.moved(100);
        desk.measure();
    }
    let progress = desk.view().progress;
    assert_eq!((progress.bytes_done, progress.rate, progress.eta_seconds), (2000, 100, Some(80)));
    desk.moved(20_000);
    assert_eq!(desk.view().progress.bytes_total, 0, "a guess that was too low is taken back");
    for line in 0..300 {
        desk.log(&format!("{line}\n{}", "x".repeat(1000)));
    }
    let log = desk.view().log;
    assert_eq!(log.len(), 200);
    assert!(log.iter().all(|line| line.text.len() <= 500 && !line.text.contains('\n')));
}

#[tokio::test]
async fn faces_are_told_at_most_five_times_a_second() {
    let events = Events::default();
    let catalog = Arc::new(Catalog::in_memory());
    let jobs = Jobs::load(catalog, Clock::system(), events.clone(), Stop::new(), TaskTracker::new());
    let mut told = events.listen();
    let work: Work = Box::new(|desk| {
        Box::pin(async move {
            for _ in 0..300 {
                desk.moved(1);
                desk.item("a volume");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok("fine".into())
        })
    });
    let begun = std::time::Instant::now();
    jobs.add(order("a"), work).unwrap().done().cancelled().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let most = begun.elapsed().as_millis() / TICK.as_millis() + 5;
    let mut states = Vec::new();
    while let Ok(event) = told.try_recv() {
        if let holdfast_model::view::Event::Job { job } = event {
            states.push(job.state);
        }
    }
    assert!(states.len() as u128 <= most, "{} events", states.len());
    assert_eq!((states[0], states[1]), (JobState::Queued, JobState::Running));
    assert_eq!(states.last(), Some(&JobState::Done));
}

#[tokio::test]
async fn a_cut_restore_is_told_until_something_heals_it() {
    let catalog = Arc::new(Catalog::in_memory());
    let first = jobs(&catalog);
    let (_release, work) = held();
    let restore = Order { kind: JobKind::Restore, subject: "local/a".into(), claim: Claim::Restore("local/a".into()) };
    first.add(restore, work).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;

    let second = jobs(&catalog);
    assert_eq!(second.cut_restores().len(), 1);
    assert!(second.cut_restores()[0].summary.as_ref().unwrap().contains("restore it again"));
    second.add(order("local/b"), quick(Ok("fine".into()))).unwrap().done().cancelled().await;
    assert_eq!(second.cut_restores().len(), 1, "another app heals nothing");
    second.add(order("local/a"), quick(Ok("fine".into()))).unwrap().done().cancelled().await;
    assert!(second.cut_restores().is_empty());
}

#[tokio::test]
async fn a_failed_backup_is_told_by_its_reason_until_a_newer_one_ends_otherwise() {
    let jobs = jobs(&Arc::new(Catalog::in_memory()));
    let ends = async |app: &str, outcome| jobs.add(order(app), quick(outcome)).unwrap().done().cancelled().await;
    let full = || Err(Error::new(Kind::Full, "cache.full", "no room"));
    ends("local/a", full()).await;
    ends("local/b", full()).await;
    ends("local/c", Err(Error::not_found("app.gone", "no such app"))).await;
    assert_eq!(jobs.failed_backups("cache.full"), ["local/a", "local/b"]);
    ends("local/a", Ok("fine".into())).await;
    ends("local/b", Err(Error::not_found("app.gone", "no such app"))).await;
    assert!(jobs.failed_backups("cache.full").is_empty());
}
