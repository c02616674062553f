//! The event stream: what changed, as it changes (server-sent events).
//!
//! Whoever is too slow or comes back after a break gets `resync` instead of what was missed: the
//! state is asked for again, so nothing has to be kept for absent readers.

use crate::shared::{App, Caller};
use axum::response::sse;
use futures::{Stream, stream};
use holdfast_model::view::Event;
use std::{convert::Infallible, time::Duration};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, Interval, interval_at},
};

/// Comments keep proxies from closing a quiet stream, and are the moments to look at the session.
const HEARTBEAT: Duration = Duration::from_secs(15);

struct Feed {
    app: App,
    caller: Caller,
    receiver: Receiver<Event>,
    beat: Interval,
    number: u64,
    resync: bool,
}

/// The stream of one reader; `resumed` readers have missed something.
pub(crate) fn feed(app: App, caller: Caller, resumed: bool) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    let receiver = app.appliance.events();
    let beat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    let feed = Feed { app, caller, receiver, beat, number: 0, resync: resumed };
    stream::unfold(feed, |mut feed| async move {
        let item = feed.next().await?;
        Some((Ok(item), feed))
    })
}

impl Feed {
    /// The next thing to say; `None` ends the stream.
    async fn next(&mut self) -> Option<sse::Event> {
        if std::mem::take(&mut self.resync) {
            return Some(self.say(&Event::Resync));
        }
        tokio::select! {
            biased;
            () = self.app.closing.cancelled() => None,
            _ = self.beat.tick() => self.app.is_alive(&self.caller).then(|| sse::Event::default().comment("")),
            received = self.receiver.recv() => match received {
                Ok(event) => Some(self.say(&event)),
                Err(RecvError::Lagged(_)) => Some(self.say(&Event::Resync)),
                Err(RecvError::Closed) => None,
            },
        }
    }

    fn say(&mut self, event: &Event) -> sse::Event {
        self.number += 1;
        let said = sse::Event::default().id(self.number.to_string()).event(name(event));
        said.json_data(event).expect("events are plain JSON")
    }
}

/// The event's name: its `type` in JSON.
fn name(event: &Event) -> &'static str {
    match event {
        Event::Job { .. } => "job",
        Event::Apps => "apps",
        Event::Snapshots => "snapshots",
        Event::Status => "status",
        Event::Resync => "resync",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_types() {
        for event in [Event::Apps, Event::Snapshots, Event::Status, Event::Resync] {
            assert_eq!(serde_json::to_value(&event).unwrap()["type"], name(&event));
        }
    }
}
