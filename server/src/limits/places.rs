//! [`Places`]: the places that sessions take, of the server and of their addresses.

use std::net::IpAddr;

use rejoin_core::drive::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::addresses::Addresses;
use crate::limits::limit::Limit;
use crate::limits::options::LimitOptions;
use crate::session::handle::SessionHandle;

/// The places that sessions take, suspended ones included. A session takes its places before it opens, and releases them once,
/// when it has ended.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    taken: AtomicUsize,
    addresses: Addresses,
}

impl Places {
    pub(crate) fn new(options: &LimitOptions) -> Self {
        Self {
            max: options.connections,
            taken: AtomicUsize::new(0),
            addresses: Addresses::new(options.connections_per_address),
        }
    }

    /// Takes the places of a session that is about to open. At a limit it gets that of the session which it is about to replace.
    ///
    /// # Errors
    /// Fails at a limit. The session then has no place.
    pub(crate) fn take(
        &self,
        session: &SessionHandle,
        addr: Option<IpAddr>,
        predecessor: Option<&SessionHandle>,
    ) -> Result<(), Limit> {
        if !self.reserve() && !predecessor.is_some_and(SessionHandle::give_place) {
            return Err(Limit::Connections);
        }
        session.take_place();
        let number = *session.number();
        let predecessor = predecessor.map(|predecessor| *predecessor.number());
        if addr.is_some_and(|addr| !self.addresses.take(addr, number, predecessor)) {
            self.release(session);
            return Err(Limit::ConnectionsPerAddress);
        }
        Ok(())
    }

    /// Takes one place, if there is one. Of several newcomers that come at the same time, each gets another one, or none.
    fn reserve(&self) -> bool {
        let next = |taken| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
    }

    /// Releases the places of a session. A second call does nothing.
    pub(crate) fn release(&self, session: &SessionHandle) {
        if session.give_place() {
            self.taken.fetch_sub(1, Ordering::SeqCst);
        }
        self.addresses.release(*session.number());
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{connection, server};

    #[test]
    fn newcomers_share_the_last_places() {
        let shared = server();
        let places = Places::new(&LimitOptions { connections: 2, ..LimitOptions::default() });
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let session = connection(&shared);
                    for _ in 0..2000 {
                        if places.take(session.handle(), None, None).is_ok() {
                            assert!(taken.fetch_add(1, Ordering::SeqCst) < 2);
                            std::thread::yield_now();
                            taken.fetch_sub(1, Ordering::SeqCst);
                            places.release(session.handle());
                            places.release(session.handle());
                        }
                    }
                });
            }
        });
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn refused_newcomer_keeps_no_place() {
        let shared = server();
        let options = LimitOptions { connections: 2, connections_per_address: 1, ..LimitOptions::default() };
        let places = Places::new(&options);
        let addr = Some("192.0.2.1".parse().unwrap());
        let [one, two, three] = [(); 3].map(|()| connection(&shared));
        assert_eq!(places.take(one.handle(), addr, None), Ok(()));
        assert_eq!(places.take(two.handle(), addr, None), Err(Limit::ConnectionsPerAddress));
        assert_eq!(places.taken(), 1);
        assert_eq!(places.take(two.handle(), addr, Some(one.handle())), Ok(()));
        assert_eq!(places.taken(), 2, "one has not been replaced yet");
        assert_eq!(places.take(three.handle(), None, None), Err(Limit::Connections));
        assert_eq!(places.take(three.handle(), None, Some(one.handle())), Ok(()));
        places.release(one.handle());
        assert_eq!(places.taken(), 2);
    }
}
