//! The protocol of prune as a model, explored until nothing new is found (law L5).
//!
//! Two processes share a bucket: two appliances of which the second takes over, or an appliance and the provider's
//! collector. Each may be backing up, pruning, repacking, all at once, crash at every step and pause for as long as it likes;
//! every request may be delayed beyond its sender's death. Promised: what was acknowledged restores; what somebody
//! could take for restorable stays so; garbage is gone after a grace and two prunes. Crippled protocols are explored too:
//! a checker that finds no fault in them would prove nothing.

mod appliance;
mod bucket;
mod moving;

use appliance::{Appliance, Collector, Mutant, Phase, Role, Rules, Writer};
use bucket::{Bucket, DOOMED, Packs, Request};
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::time::{Duration, Instant};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    bucket: Bucket,
    who: [Appliance; 2],
    /// Requests on their way; those of a dead sender are acknowledged to nobody.
    flights: Vec<Flight>,
    /// Snapshots that could be taken for restorable at some time.
    seen: [bool; 3],
}

/// A request, whom its acknowledgement goes to, and whether a grace has ended since it was sent.
type Flight = (Request, Option<(u8, Role)>, bool);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Act {
    Start(usize),
    Write(usize),
    Reuse(usize),
    Collect(usize),
    Watch,
    Land(usize),
    /// A pack sent by somebody dead never arrives.
    Lose(usize),
    Crash(usize),
    /// Time passes: a whole grace, or half of one where somebody looks in time.
    Tick,
}

/// One bounded instance.
#[derive(Clone, Copy, Debug)]
struct Play {
    rules: Rules,
    back_up: [bool; 2],
    crashes: [u8; 2],
    runs: [u8; 2],
    /// Repacks that each may begin.
    moves: [u8; 2],
    /// What of the first pack the first appliance has in its cache.
    cached: Packs,
}

impl Play {
    fn appliance(&self, me: u8) -> Appliance {
        let at = usize::from(me);
        Appliance {
            me,
            phase: if me == 0 { Phase::Running } else { Phase::Off },
            writer: Writer::Idle,
            collector: Collector::Idle,
            cache: if me == 0 { self.cached } else { 0 },
            known: if me == 0 { bucket::FIRST } else { 0 },
            own: 0,
            doomed: 0,
            local: 0,
            acknowledged: false,
            lost: false,
            looked: true,
            may_back_up: self.back_up[at],
            crashes: self.crashes[at],
            runs: self.runs[at],
            moves: self.moves[at],
            believed: 0,
            next_pack: 0,
            next_list: 0,
            edition: 0,
            told: 0,
            born: 0,
            found: [false; 3],
            calm: 0,
            ran_in_this_grace: false,
            calm_run: false,
        }
    }
}

impl World {
    fn send(&mut self, request: Option<Request>, who: usize, role: Role) {
        if let Some(request) = request {
            self.flights.push((request, Some((who as u8, role)), false));
            self.flights.sort_unstable();
        }
    }
    fn idle_but(&self, who: usize) -> bool {
        let rests = |one: &Appliance| {
            let written = !one.may_back_up || matches!(one.writer, Writer::Done | Writer::Spent);
            matches!(one.phase, Phase::Off | Phase::Stopped) || written && one.phase == Phase::Running
        };
        let other = &self.who[1 - who];
        self.flights.is_empty() && rests(&self.who[who]) && rests(other) && other.collector == Collector::Idle
            || self.flights.is_empty() && rests(&self.who[who]) && matches!(other.phase, Phase::Off | Phase::Stopped)
    }
    /// Begins or ends a prune as far as calmness is concerned.
    fn note_run(&mut self, who: usize, was_idle: bool) {
        let quiet = self.idle_but(who);
        let one = &mut self.who[who];
        let is_idle = one.collector == Collector::Idle || one.phase != Phase::Running;
        if was_idle && !is_idle {
            one.calm_run = quiet && !one.ran_in_this_grace;
        }
        if !was_idle && is_idle && one.phase == Phase::Running {
            one.calm = if one.calm_run && quiet { one.calm + 1 } else { 0 };
            one.ran_in_this_grace = true;
        }
    }
    fn is_garbage_free(&self) -> bool {
        let needed = (0..3).filter(|snapshot| self.bucket.snapshots[*snapshot]);
        let needed = needed.fold(0, |packs, snapshot| packs | self.bucket.reaches(snapshot));
        let wanted = self.who.iter().fold(0, |packs, one| packs | one.needs());
        self.bucket.packs & !(needed | wanted) == 0
    }
}

impl Model for Play {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let who = [self.appliance(0), self.appliance(1)];
        vec![World {
            bucket: Bucket::new(if self.rules.watchful { 2 } else { 1 }, self.rules.mutant == Mutant::HighestAlone),
            who,
            flights: Vec::new(),
            seen: [false; 3],
        }]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        for (at, one) in world.who.iter().enumerate() {
            let used = self.back_up[at] || self.runs[at] > 0;
            match one.phase {
                Phase::Off | Phase::ReadLists | Phase::ReadPacks | Phase::ReadFence if used => {
                    acts.push(Act::Start(at))
                }
                Phase::Running => {
                    match one.writer {
                        Writer::Idle if !one.may_back_up => {}
                        Writer::SentPack(_) | Writer::SentReach | Writer::SentSnapshot => {}
                        Writer::Done | Writer::Spent => {}
                        Writer::Idle => acts.extend([Act::Write(at), Act::Reuse(at)]),
                        _ => acts.push(Act::Write(at)),
                    }
                    match one.collector {
                        Collector::Idle if one.runs == 0 => {}
                        Collector::SentVerdict(_) | Collector::SentDropPack(..) | Collector::SentDropOther(_) => {}
                        Collector::SentDropList(_)
                        | Collector::SentForget
                        | Collector::SentList
                        | Collector::SentMove(..)
                        | Collector::SentEdition(..)
                        | Collector::SentAbsorb => {}
                        _ => acts.push(Act::Collect(at)),
                    }
                }
                _ => {}
            }
            if one.crashes > 0 && !matches!(one.phase, Phase::Off | Phase::Stopped) {
                acts.push(Act::Crash(at));
            }
        }
        acts.extend((0..world.flights.len()).map(Act::Land));
        // The one thing assumed of the network: a pack arrives within a grace or never.
        let is_pack = |flight: &Flight| matches!(flight.0, Request::PutPack(_));
        let lost = world.flights.iter().enumerate().filter(|(_, flight)| is_pack(flight) && flight.1.is_none());
        acts.extend(lost.map(|(number, _)| Act::Lose(number)));
        let overdue = world.flights.iter().any(|flight| is_pack(flight) && flight.2);
        let first = &world.who[0];
        let in_time =
            first.looked && matches!(first.writer, Writer::Idle | Writer::Leaning(_) | Writer::Ship | Writer::Done);
        if !overdue && (!self.rules.watchful || in_time) {
            acts.push(Act::Tick);
        }
        if self.rules.watchful && !first.looked && first.phase == Phase::Running {
            acts.push(Act::Watch);
        }
    }

    fn next_state(&self, before: &World, act: Act) -> Option<World> {
        let mut world = before.clone();
        let rules = &self.rules;
        match act {
            Act::Start(at) => {
                let request = world.who[at].start(&before.bucket, rules);
                world.send(request, at, Role::Start);
            }
            Act::Write(at) => {
                let request = world.who[at].write(&before.bucket, rules);
                world.send(request, at, Role::Writer);
            }
            Act::Reuse(at) => drop(world.who[at].reuse().then_some(())?),
            Act::Collect(at) => {
                let was_idle = before.who[at].collector == Collector::Idle;
                let request = world.who[at].collect(&before.bucket, rules);
                world.send(request, at, Role::Collector);
                world.note_run(at, was_idle);
            }
            Act::Watch => world.who[0].watch(&before.bucket, rules),
            Act::Land(number) => {
                let (request, owner, _) = world.flights.remove(number);
                world.bucket.land(request);
                if let Some((at, role)) = owner {
                    let at = usize::from(at);
                    let request = world.who[at].acknowledge(role, &world.bucket, rules);
                    world.send(request, at, role);
                    if role == Role::Collector {
                        world.note_run(at, before.who[at].collector == Collector::Idle);
                    }
                }
            }
            Act::Lose(number) => drop(world.flights.remove(number)),
            Act::Crash(at) => {
                world.who[at].crash();
                for (_, owner, _) in &mut world.flights {
                    *owner = owner.filter(|(who, _)| usize::from(*who) != at);
                }
                world.flights.sort_unstable();
            }
            Act::Tick => {
                world.bucket.grow_old();
                for flight in &mut world.flights {
                    flight.2 = matches!(flight.0, Request::PutPack(_));
                }
                world.flights.sort_unstable();
                for one in &mut world.who {
                    (one.looked, one.ran_in_this_grace) = (false, false);
                }
            }
        }
        for snapshot in 1..3 {
            let buried = world.bucket.tombs[snapshot];
            world.seen[snapshot] = !buried && (world.seen[snapshot] || world.bucket.is_committed(snapshot));
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what was acknowledged restores", |_, world: &World| {
                world.who.iter().all(|one| !one.acknowledged || world.bucket.restores(one.snapshot()))
            }),
            Property::always("what could be taken for restorable stays so", |_, world: &World| {
                (1..3).all(|snapshot| !world.seen[snapshot] || world.bucket.restores(snapshot))
            }),
            // One who was overtaken, or who sleeps beside a foreign collector, is not promised this.
            Property::always("no committed snapshot loses data it leans on", |play: &Play, world: &World| {
                let promised = play.rules.watchful || !play.rules.provider && !world.bucket.fence;
                !promised || !world.who[0].lost
            }),
            Property::always("garbage is gone after a grace and two prunes", |_, world: &World| {
                let calm = |one: &Appliance| one.calm >= 3 && one.collector == Collector::Idle;
                !world.who.iter().any(calm) || world.is_garbage_free()
            }),
            Property::sometimes("a backup is acknowledged", |_, world: &World| {
                world.who.iter().any(|one| one.acknowledged)
            }),
            Property::sometimes("a forgotten pack is gone", |_, world: &World| {
                !world.bucket.snapshots[DOOMED] && world.bucket.packs & bucket::FIRST == 0
            }),
            Property::sometimes(MOVED, |play: &Play, world: &World| {
                let gone = world.bucket.packs & bucket::FIRST == 0;
                play.moves[0] > 0 && gone && world.who[0].moves == 0 && world.bucket.restores(1)
            }),
        ]
    }
}

const MOVED: &str = "a repacked pack is gone, and its snapshot restores";

const HONEST: Rules = Rules { mutant: Mutant::None, provider: false, watchful: false };

fn plays() -> Vec<(&'static str, Play)> {
    let (none, cached) = ([0, 0], bucket::FIRST);
    let base = Play { rules: HONEST, back_up: [true, true], crashes: none, runs: none, moves: none, cached };
    let provider = Rules { provider: true, ..HONEST };
    let watchful = Rules { watchful: true, ..provider };
    vec![
        (
            "one appliance backs up and prunes at once, and crashes",
            Play { back_up: [true, false], crashes: [1, 0], runs: [3, 0], cached: 0, ..base },
        ),
        (
            "taken over while it backs up",
            Play { crashes: [0, 1], runs: [0, 3], back_up: [true, false], cached: 0, ..base },
        ),
        ("taken over while it prunes", Play { crashes: [0, 0], runs: [2, 1], back_up: [false, true], ..base }),
        ("taken over while it does both", Play { runs: [1, 2], back_up: [true, false], ..base }),
        (
            "beside the provider's collector",
            Play { rules: provider, back_up: [true, false], crashes: [0, 0], runs: [1, 2], ..base },
        ),
        (
            "beside the provider's collector, data in the bucket only",
            Play { rules: watchful, back_up: [true, false], crashes: [0, 1], runs: [0, 3], cached: 0, ..base },
        ),
        (
            "repacks what a committed snapshot leans on, and crashes",
            Play { back_up: [true, false], crashes: [1, 0], runs: [4, 0], moves: [1, 0], ..base },
        ),
        ("taken over while it repacks", Play { back_up: [true, false], runs: [1, 2], moves: [1, 1], ..base }),
    ]
}

fn explore(play: Play, patience: Duration) -> impl Checker<Play> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    play.checker().threads(threads).timeout(patience).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join()
}

/// A way into trouble, step by step.
fn told(path: stateright::Path<World, Act>) -> String {
    let tell = |(world, act): (World, Option<Act>)| {
        let who: Vec<_> = world.who.iter().map(|one| (one.phase, one.writer, one.collector, one.local)).collect();
        format!("{who:?}\n  {:?}\n  {:?}\n  -> {act:?}", world.bucket, world.flights)
    };
    path.into_vec().into_iter().map(tell).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_protocol_holds_in_every_interleaving() {
    let mut all = 0;
    for (name, play) in plays() {
        let begun = Instant::now();
        let checker = explore(play, Duration::from_secs(90));
        let states = checker.unique_state_count();
        all += states;
        println!("{name}: {states} states, depth {}, {:.1} s", checker.max_depth(), begun.elapsed().as_secs_f32());
        assert!(checker.is_done(), "{name}: not exhausted");
        let moved = checker.discovery(MOVED).is_some();
        assert!(moved || play.moves == [0, 0], "{name}: nothing was ever repacked");
        for property in play.properties() {
            let wrong = matches!(property.expectation, stateright::Expectation::Always);
            if let Some(path) = checker.discovery(property.name).filter(|_| wrong) {
                panic!("{name}: “{}” is broken:\n{}", property.name, told(path));
            }
        }
    }
    println!("{all} states in all");
}

#[test]
fn crippled_protocols_are_found_out() {
    for mutant in [
        Mutant::NoRemark,
        Mutant::NoCheck,
        Mutant::ClientClock,
        Mutant::NoVerdict,
        Mutant::NoFence,
        Mutant::PacksFirst,
        Mutant::NoNeeds,
        Mutant::EditionLater,
        Mutant::HighestAlone,
    ] {
        assert!(is_found_out(mutant), "{mutant:?} was not found out");
    }
}

/// Whether some play breaks a promise under a crippled protocol.
fn is_found_out(mutant: Mutant) -> bool {
    let plays = plays();
    let broken = plays.iter().find_map(|(name, play)| {
        let play = Play { rules: Rules { mutant, ..play.rules }, ..*play };
        let checker = explore(play, Duration::from_secs(30));
        let always = play.properties().into_iter().filter(|p| matches!(p.expectation, stateright::Expectation::Always));
        let found = always.filter_map(|property| Some((property.name, checker.discovery(property.name)?)));
        found.map(|(property, path)| format!("{name}: “{property}” in {} steps", path.into_actions().len())).next()
    });
    println!("{mutant:?}: {}", broken.as_deref().unwrap_or("not found out"));
    broken.is_some()
}
