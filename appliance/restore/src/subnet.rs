//! Subnets: do two overlap, does one look as if Docker chose it. Pure.

use std::net::IpAddr;

/// A CIDR block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    bits: u128,
    prefix: u32,
    wide: bool,
}

impl Subnet {
    /// Parses `172.18.0.0/16` or `fd00::/64`; host bits are allowed.
    pub(crate) fn parse(text: &str) -> Option<Subnet> {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u32 = prefix.parse().ok()?;
        let (bits, width, wide) = match address.parse().ok()? {
            IpAddr::V4(four) => (u128::from(u32::from(four)) << 96, 32, false),
            IpAddr::V6(six) => (u128::from(six), 128, true),
        };
        (prefix <= width).then_some(Subnet { bits: bits & mask(prefix), prefix, wide })
    }

    /// Whether they share an address.
    pub(crate) fn overlaps(&self, other: &Subnet) -> bool {
        let common = mask(self.prefix.min(other.prefix));
        self.wide == other.wide && self.bits & common == other.bits & common
    }

    /// Whether the block comes from Docker's default pools (172.17.0.0/16 to 172.31.0.0/16,
    /// 192.168.0.0/20 and on): then nobody chose it.
    pub(crate) fn looks_automatic(&self) -> bool {
        if self.wide {
            return false;
        }
        let four = (self.bits >> 96) as u32;
        let [first, second, ..] = four.to_be_bytes();
        match self.prefix {
            16 => first == 172 && (17..=31).contains(&second),
            20 => first == 192 && second == 168,
            _ => false,
        }
    }
}

fn mask(prefix: u32) -> u128 {
    if prefix == 0 { 0 } else { u128::MAX << (128 - prefix) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_symmetric_and_exact() {
        let of = |text| Subnet::parse(text).unwrap();
        assert!(of("172.18.0.0/16").overlaps(&of("172.18.5.0/24")));
        assert!(of("172.18.5.0/24").overlaps(&of("172.18.0.0/16")));
        assert!(!of("172.18.0.0/16").overlaps(&of("172.19.0.0/16")));
        assert!(!of("10.0.0.0/8").overlaps(&of("fd00::/8")));
        assert!(of("0.0.0.0/0").overlaps(&of("10.1.2.3/32")));
        assert!(of("fd00::/64").overlaps(&of("fd00::1/128")));
        assert_eq!(Subnet::parse("10.0.0.0/33"), None);
        assert_eq!(Subnet::parse("nonsense"), None);
    }

    #[test]
    fn dockers_own_choices_are_known() {
        assert!(Subnet::parse("172.20.0.0/16").unwrap().looks_automatic());
        assert!(Subnet::parse("192.168.16.0/20").unwrap().looks_automatic());
        assert!(!Subnet::parse("10.5.0.0/16").unwrap().looks_automatic());
        assert!(!Subnet::parse("172.20.0.0/24").unwrap().looks_automatic());
    }
}
