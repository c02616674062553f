//! Slows down who guesses passwords or tokens: per address, with growing waits, in constant memory.
//!
//! Addresses share a fixed table by a keyed hash: two in one place slow each other down, which
//! costs comfort, never safety; nobody outside can choose whom to collide with.

use holdfast_model::Moment;
use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

/// Places in the table: 16 KiB for any number of addresses.
const PLACES: usize = 1024;
/// Failures that cost nothing: people mistype.
const FREE_FAILURES: u32 = 3;
/// The longest wait; a growing wait without end would lock the owner out.
const LONGEST_SECONDS: i64 = 300;
/// After this quiet time an address begins anew.
const FORGET_SECONDS: i64 = 3600;

/// Failures by address.
pub(crate) struct Throttle {
    places: Vec<Place>,
    keys: RandomState,
}

#[derive(Clone, Copy, Default)]
struct Place {
    failures: u32,
    last: Moment,
}

impl Default for Throttle {
    fn default() -> Self {
        Throttle { places: vec![Place::default(); PLACES], keys: RandomState::new() }
    }
}

impl Throttle {
    /// Seconds that this address still has to wait; `None` if it may try now.
    pub(crate) fn wait(&self, address: IpAddr, now: Moment) -> Option<u64> {
        let place = self.places[self.index(address)];
        let left = delay_seconds(place.failures) * 1000 - now.since(place.last);
        (left > 0).then(|| u64::try_from(left).unwrap_or(0).div_ceil(1000))
    }

    /// Counts a failure.
    pub(crate) fn failed(&mut self, address: IpAddr, now: Moment) {
        let index = self.index(address);
        let place = &mut self.places[index];
        if now.since(place.last) > FORGET_SECONDS * 1000 {
            place.failures = 0;
        }
        *place = Place { failures: place.failures.saturating_add(1), last: now };
    }

    /// Forgets the failures of an address that proved itself.
    pub(crate) fn succeeded(&mut self, address: IpAddr) {
        let index = self.index(address);
        self.places[index] = Place::default();
    }

    fn index(&self, address: IpAddr) -> usize {
        let hash = self.keys.hash_one(network(address));
        usize::try_from(hash % PLACES as u64).expect("below the table's length")
    }
}

/// IPv6 customers own a /64 and more: one of its addresses is as good as another.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 64).expect("64 bits are left"),
    }
}

fn delay_seconds(failures: u32) -> i64 {
    match failures.checked_sub(FREE_FAILURES) {
        None | Some(0) => 0,
        Some(more) => (1i64 << more.min(10)).min(LONGEST_SECONDS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let mut throttle = Throttle::default();
        let home: IpAddr = "192.0.2.7".parse().unwrap();
        let start = Moment::from_millis(1_795_410_000_000);
        for _ in 0..FREE_FAILURES {
            assert_eq!(throttle.wait(home, start), None);
            throttle.failed(home, start);
        }
        assert_eq!(throttle.wait(home, start), None);
        throttle.failed(home, start);
        assert_eq!(throttle.wait(home, start), Some(2));
        assert_eq!(throttle.wait(home, start.plus_seconds(2)), None);
        for _ in 0..40 {
            throttle.failed(home, start);
        }
        assert_eq!(throttle.wait(home, start), Some(300));
        throttle.succeeded(home);
        assert_eq!(throttle.wait(home, start), None);
    }

    #[test]
    fn a_whole_ipv6_network_counts_as_one() {
        let address = |text: &str| network(text.parse().unwrap());
        assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff::9"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_eq!(address("::ffff:192.0.2.7"), address("192.0.2.7"));
    }
}
