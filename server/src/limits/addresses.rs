//! [`Addresses`]: the number of sessions of each client address.

use std::net::IpAddr;

use crate::session::sharded::{Keyed, Sharded, Shards};

/// The number of sessions of each client address, and the address that each of them counts for. Empty unless there is a limit.
#[derive(Debug)]
pub(crate) struct Addresses {
    max: usize,
    counts: Sharded<Count>,
    holders: Sharded<Holder>,
}

/// An address as it counts: of an IPv6 address the first 64 bits, since a network of one customer has at least as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct AddressKey([u8; 16]);

impl From<IpAddr> for AddressKey {
    fn from(addr: IpAddr) -> Self {
        match addr.to_canonical() {
            // Never equal to the other kind, whose last 64 bits are 0.
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => {
                let mut octets = v6.octets();
                octets[8..].fill(0);
                Self(octets)
            }
        }
    }
}

#[derive(Debug)]
struct Count {
    key: AddressKey,
    sessions: usize,
}

impl Keyed for Count {
    type Key = AddressKey;

    fn key(&self) -> &AddressKey {
        &self.key
    }
}

/// A session, by its number.
#[derive(Debug)]
struct Holder {
    number: u64,
    key: AddressKey,
}

impl Keyed for Holder {
    type Key = u64;

    fn key(&self) -> &u64 {
        &self.number
    }
}

impl Addresses {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, counts: Sharded::new(Shards::Usual), holders: Sharded::new(Shards::Usual) }
    }

    /// Takes a place for the session of this number. At the limit it gets that of the session which it is about to replace.
    /// Returns `false` if there is none.
    pub(crate) fn take(&self, addr: IpAddr, number: u64, predecessor: Option<u64>) -> bool {
        if self.max == usize::MAX {
            return true;
        }
        let key = AddressKey::from(addr);
        let is_taken = self.count(key) || predecessor.is_some_and(|number| self.inherit(key, number));
        if is_taken {
            self.holders.lock(&number).insert(Holder { number, key });
        }
        is_taken
    }

    /// Counts a session, unless the limit is reached.
    fn count(&self, key: AddressKey) -> bool {
        let mut place = self.counts.lock(&key);
        let count = place.get_or_insert_with(|| Count { key, sessions: 0 });
        let fits = count.sessions < self.max;
        count.sessions += usize::from(fits);
        fits
    }

    /// Takes the place of another session of this address, which then has none to release.
    fn inherit(&self, key: AddressKey, from: u64) -> bool {
        let mut place = self.holders.lock(&from);
        place.get().is_some_and(|holder| holder.key == key) && place.remove().is_some()
    }

    /// Releases the place of a session. A second call does nothing.
    pub(crate) fn release(&self, number: u64) {
        if self.max == usize::MAX {
            return;
        }
        let Some(Holder { key, .. }) = self.holders.lock(&number).remove() else { return };
        let mut place = self.counts.lock(&key);
        if let Some(count) = place.get_mut() {
            count.sessions -= 1;
            if count.sessions == 0 {
                place.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_count_by_host_or_network() {
        let key = |text| AddressKey::from(addr(text));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("0.0.0.0"), key("::"));
    }

    #[test]
    fn places_are_released_once_and_forgotten() {
        let addresses = Addresses::new(2);
        let one = addr("192.0.2.1");
        assert_eq!([1, 2, 3].map(|number| addresses.take(one, number, None)), [true, true, false]);
        assert!(addresses.take(addr("192.0.2.2"), 4, None));
        addresses.release(1);
        addresses.release(1);
        addresses.release(3);
        assert_eq!([5, 6].map(|number| addresses.take(one, number, None)), [true, false]);
        for number in 1..=6 {
            addresses.release(number);
        }
        assert_eq!((addresses.counts.len(), addresses.holders.len()), (0, 0));
    }

    #[test]
    fn successor_gets_the_place_at_the_limit() {
        let addresses = Addresses::new(1);
        let one = addr("192.0.2.1");
        assert!(addresses.take(one, 1, None));
        assert!(addresses.take(addr("192.0.2.2"), 2, None));
        assert!(!addresses.take(one, 3, Some(2)), "that is a place of another address");
        assert!(addresses.take(one, 3, Some(1)));
        addresses.release(1);
        assert!(!addresses.take(one, 4, Some(1)), "it has left its place to another");
        addresses.release(3);
        assert!(addresses.take(one, 5, None));
    }

    #[test]
    fn no_limit_costs_nothing() {
        let addresses = Addresses::new(usize::MAX);
        assert!(addresses.take(addr("192.0.2.1"), 1, None));
        assert_eq!((addresses.counts.len(), addresses.holders.len()), (0, 0));
        addresses.release(1);
    }
}
