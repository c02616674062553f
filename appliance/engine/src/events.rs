//! The event stream: what every open face is told. Small and lossy by design.
//!
//! Invariant: sending never waits; a listener that is too slow is told to ask again by its receiver
//! (`Lagged`), which the web room turns into [`Event::Resync`].

use holdfast_model::{job::JobView, view::Event};
use tokio::sync::broadcast;

/// Events a listener may be behind. Two jobs at five events a second fill it in 25 s: a tab that
/// sleeps longer asks for everything again anyway.
const CAPACITY: usize = 256;

/// Tells all listeners. Clones share them.
#[derive(Clone, Debug)]
pub struct Events(broadcast::Sender<Event>);

impl Default for Events {
    fn default() -> Self {
        Events(broadcast::channel(CAPACITY).0)
    }
}

impl Events {
    /// A new listener; hears what is sent from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
    /// A job changed.
    pub fn job(&self, job: JobView) {
        self.send(Event::Job { job: Box::new(job) });
    }
    /// Apps or hosts changed.
    pub fn apps(&self) {
        self.send(Event::Apps);
    }
    /// Snapshots or their tiers changed.
    pub fn snapshots(&self) {
        self.send(Event::Snapshots);
    }
    /// Cache, bucket, policies or settings changed.
    pub fn status(&self) {
        self.send(Event::Status);
    }
    /// Everything changed.
    pub fn resync(&self) {
        self.send(Event::Resync);
    }

    fn send(&self, event: Event) {
        // Nobody listening is fine: events are only hints to ask again.
        let _ = self.0.send(event);
    }
}
