//! A proxy before an S3 server that has faults on order: connections that break, answers that lie, and a line that is slow or down.
//!
//! Plain HTTP/1.1 on loopback. What the client sends goes on byte for byte: signatures are over the headers, `Host` among them, so a
//! client whose endpoint is the proxy is signed for the proxy's address, and the server compares with the `Host` that it is given.
//! Bodies are held whole in memory.

mod carry;
mod fault;
mod reply;
mod seen;
mod spoil;
mod wire;

pub use fault::Fault;
pub use seen::{Kind, Seen};

use carry::{Break, carry};
use holdfast_runtime::Throttle;
use reply::Reply;
use std::{
    collections::HashSet,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use wire::Head;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 256;
/// What the system takes of uploads before a slow line has: little, or the line would not look slow.
const ROOM: u32 = 64 << 10;

/// A fault waiting for its requests: of those that it fits, the first `after` pass, and the next `times` are hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What happens.
    pub fault: Fault,
    /// Requests that pass first.
    pub after: usize,
    /// Requests that are hit.
    pub times: usize,
}

/// A line with limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of bodies per second each way; 0 for no limit.
    pub bytes_per_second: u64,
    /// What a request takes to travel, and an answer.
    pub delay: Duration,
    /// Of a thousand requests, how many break off on their way or on that of their answer.
    pub breaks: u64,
}

/// Whether anybody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    ShutFor(Duration),
    Shut,
}

/// A running proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct S3Proxy {
    /// `http://ADDRESS:PORT`.
    pub url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// `ADDRESS:PORT` of the server.
    server: String,
    shape: Shape,
    /// How late a late answer is.
    late: Duration,
    up: Throttle,
    down: Throttle,
    door: watch::Sender<Door>,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    plans: Vec<Plan>,
    seen: Vec<Seen>,
    hits: Vec<Fault>,
    /// Paths of objects that were written.
    written: HashSet<String>,
    /// The page that a listing without end gives for ever.
    circle: Option<Reply>,
    dice: u64,
    /// Bytes of requests under way, and the most there were.
    flying: (usize, usize),
}

/// Counts a request while it is under way.
struct InFlight(Arc<Shared>, usize);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.ledger().flying.0 -= self.1;
    }
}

impl S3Proxy {
    /// Starts one on a free port of loopback before `server` (`http://ADDRESS:PORT`). Late answers come `late`.
    pub async fn start(server: &str, late: Duration) -> S3Proxy {
        S3Proxy::begin(Ipv4Addr::LOCALHOST.into(), server, late, Shape::default()).expect("a free port on loopback")
    }

    /// Starts one on a free port of this address, with a line of this shape behind it.
    pub async fn shaped(at: IpAddr, server: &str, shape: Shape) -> S3Proxy {
        S3Proxy::begin(at, server, Duration::ZERO, shape).expect("a free port at the address")
    }

    fn begin(at: IpAddr, server: &str, late: Duration, shape: Shape) -> io::Result<S3Proxy> {
        let held = hold(SocketAddr::new(at, 0), shape)?;
        let address = held.local_addr()?;
        let listener = held.listen(BACKLOG)?;
        let rate = Some(shape.bytes_per_second).filter(|rate| *rate > 0);
        let (up, down) = (Throttle::default(), Throttle::default());
        up.limit(rate);
        down.limit(rate);
        let shared = Arc::new(Shared {
            server: server.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            shape,
            late,
            up,
            down,
            door: watch::Sender::new(Door::Open),
            ledger: Mutex::new(Ledger { dice: 1, ..Ledger::default() }),
        });
        let task = tokio::spawn(serve(listener, address, shared.clone()));
        Ok(S3Proxy { url: format!("http://{address}"), shared, task })
    }

    /// Has a fault happen.
    pub fn plan(&self, plan: Plan) {
        self.shared.ledger().plans.push(plan);
    }

    /// Nothing happens any more, listings end again, and a door that is shut for a while opens.
    pub fn heal(&self) {
        {
            let mut ledger = self.shared.ledger();
            ledger.plans.clear();
            ledger.circle = None;
        }
        self.shared.reopen();
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.ledger().seen.clone()
    }

    /// How many of the requests so far a fault could have happened to.
    pub fn fitting(&self, fault: Fault) -> usize {
        self.shared.ledger().seen.iter().filter(|seen| fault.fits(seen)).count()
    }

    /// The faults that happened so far.
    pub fn hits(&self) -> Vec<Fault> {
        self.shared.ledger().hits.clone()
    }

    /// The most bytes of requests that were under way at once.
    pub fn most_in_flight(&self) -> usize {
        self.shared.ledger().flying.1
    }

    /// From now on nobody listens, and what is under way breaks.
    pub fn shut(&self) {
        self.shared.door.send_replace(Door::Shut);
    }

    /// Somebody listens again.
    pub fn open(&self) {
        self.shared.door.send_replace(Door::Open);
    }
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics with the ledger in hand")
    }

    /// Takes note of a request, and says what happens to it.
    fn meets(&self, head: &Head) -> (Seen, Option<Fault>) {
        let mut ledger = self.ledger();
        let seen = Seen::of(head, |path| ledger.written.contains(path));
        ledger.seen.push(seen.clone());
        let mut due = None;
        // Each plan counts for itself, whatever another one does to the request.
        for plan in ledger.plans.iter_mut().filter(|plan| plan.fault.fits(&seen)) {
            if plan.after > 0 {
                plan.after -= 1;
            } else if plan.times > 0 && due.is_none() {
                plan.times -= 1;
                due = Some(plan.fault);
            }
        }
        ledger.hits.extend(due);
        (seen, due)
    }

    fn in_flight(self: &Arc<Self>, length: usize) -> InFlight {
        let mut ledger = self.ledger();
        let now = ledger.flying.0 + length;
        ledger.flying = (now, ledger.flying.1.max(now));
        InFlight(Arc::clone(self), length)
    }

    fn was_written(&self, path: &str) {
        self.ledger().written.insert(path.to_owned());
    }

    /// The page of a listing without end, if it is that one that is asked for.
    fn circle(&self, target: &str) -> Option<Reply> {
        let again = format!("continuation-token={}", spoil::AGAIN);
        self.ledger().circle.clone().filter(|_| target.contains(&again))
    }

    fn begin_circle(&self, page: &Reply) {
        self.ledger().circle = Some(page.clone());
    }

    /// Where the line breaks under this request, if it does.
    fn line_breaks(&self) -> Option<Break> {
        if self.shape.breaks == 0 {
            return None;
        }
        let mut ledger = self.ledger();
        ledger.dice = ledger.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let thrown = ledger.dice >> 33;
        let place = if thrown.is_multiple_of(2) { Break::Request } else { Break::Answer };
        (thrown / 2 % 1000 < self.shape.breaks).then_some(place)
    }

    async fn travel(&self) {
        if !self.shape.delay.is_zero() {
            tokio::time::sleep(self.shape.delay).await;
        }
    }

    fn shut_for(&self, time: Duration) {
        self.door.send_if_modified(|door| {
            let open = *door == Door::Open;
            if open {
                *door = Door::ShutFor(time);
            }
            open
        });
    }

    fn reopen(&self) {
        self.door.send_if_modified(|door| {
            let waits = matches!(door, Door::ShutFor(_));
            if waits {
                *door = Door::Open;
            }
            waits
        });
    }
}

/// A socket at an address that nobody can take away, and on which nobody listens: connections are refused.
fn hold(address: SocketAddr, shape: Shape) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if shape.bytes_per_second > 0 {
        socket.set_recv_buffer_size(ROOM)?;
    }
    socket.bind(address)?;
    Ok(socket)
}

/// Accepts connections while the door is open; when it shuts they end.
async fn serve(mut listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    let mut door = shared.door.subscribe();
    loop {
        accept(&listener, &mut door, &shared).await;
        drop(listener);
        let held = hold(address, shared.shape).expect("the port is still ours");
        loop {
            let state = *door.borrow_and_update();
            match state {
                Door::Open => break,
                Door::Shut => drop(door.changed().await),
                Door::ShutFor(time) => tokio::select! {
                    changed = door.changed() => drop(changed),
                    () = tokio::time::sleep(time) => shared.reopen(),
                },
            }
        }
        listener = held.listen(BACKLOG).expect("the port is still ours");
    }
}

async fn accept(listener: &TcpListener, door: &mut watch::Receiver<Door>, shared: &Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let state = *door.borrow_and_update();
        if state != Door::Open {
            break;
        }
        tokio::select! {
            changed = door.changed() => drop(changed),
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(carry(client, shared.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}
