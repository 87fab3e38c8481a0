//! [`Registry`]: the connections of a server by token and by number, and [`Ids`], those of a realm by ID.

use rejoin_core::{LostReason, Token};
use subtle::ConstantTimeEq as _;

use crate::connection::Connection;
use crate::durable::proof;
use crate::session::sharded::{Keyed, Sharded, Shards};

/// The connected and suspended sessions. An entry holds only the connection, and reads its key from there.
///
/// The tables are locked one after the other, never two at a time, so a connection may be found in one of them and not yet, or no
/// longer, in another. Each caller copes with a session that has just ended.
#[derive(Debug)]
pub(crate) struct Registry {
    /// By the public half of the token; the secret half is compared in constant time.
    by_token: Sharded<ByToken>,
    /// The sessions whose task has not ended for good, including hibernated ones: the application has not seen their end.
    running: Sharded<ByNumber>,
}

/// The connected and suspended sessions of one realm, by their IDs.
#[derive(Debug)]
pub(crate) struct Ids(Sharded<ById>);

impl Ids {
    pub(crate) fn new(size: Shards) -> Self {
        Self(Sharded::new(size))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    pub(crate) fn all(&self) -> Vec<Connection> {
        self.0.collect(|found| found.0.clone())
    }

    pub(crate) fn get(&self, id: &str) -> Option<Connection> {
        self.0.lock(id).get().map(|found| found.0.clone())
    }
}

/// Defines an entry: a connection with its key.
macro_rules! entry {
    ($name:ident, $key:ty, $key_of:expr) => {
        #[derive(Debug)]
        struct $name(Connection);

        impl Keyed for $name {
            type Key = $key;

            fn key(&self) -> &$key {
                let key_of: fn(&Connection) -> &$key = $key_of;
                key_of(&self.0)
            }
        }
    };
}

entry!(ById, str, Connection::id);
entry!(ByToken, Lookup, |connection| connection.handle().token().map_or(&NO_TOKEN, lookup));
entry!(ByNumber, u64, |connection| connection.handle().number());

/// The characters of a token by which it is found: 96 bits. The rest is the secret, of more than 128 bits.
type Lookup = [u8; 16];

/// The key of a connection without a token.
const NO_TOKEN: Lookup = [0; 16];

/// The bytes of randomness in a token: 43 characters.
const TOKEN_BYTES: usize = 32;

impl Registry {
    pub(crate) fn new() -> Self {
        Self { by_token: Sharded::new(Shards::Usual), running: Sharded::new(Shards::Usual) }
    }

    /// The session that a resume offer names.
    ///
    //= PROTOCOL.md#R5.23: The server MUST compare tokens in constant time
    pub(crate) fn by_token(&self, token: &Token) -> Result<Connection, LostReason> {
        let offered = token.as_str();
        let found = self.by_token.lock(lookup(token)).get().map(|found| found.0.clone());
        let found = found.ok_or(LostReason::Unknown)?;
        // For a restored session, only the proof of its token is known.
        let is_same = match found.handle().writer().and_then(|writer| writer.proof()) {
            Some(known) => known.ct_eq(&proof(token)),
            None => {
                let known = found.handle().token().map(Token::as_str).unwrap_or_default();
                known.as_bytes().ct_eq(offered.as_bytes())
            }
        };
        if bool::from(is_same) { Ok(found) } else { Err(LostReason::Unknown) }
    }

    /// The session with this public part of a token.
    pub(crate) fn by_key(&self, key: &[u8; 16]) -> Option<Connection> {
        self.by_token.lock(key).get().map(|found| found.0.clone())
    }

    /// Adds a connection to these tables and to those of its realm. Returns the one that had its ID before.
    ///
    /// # Errors
    /// Fails and changes nothing if a session that has not ended has the ID, unless `replaces` is set and no later request has opened
    /// that one: its client may have given this one up, and dialled again.
    pub(crate) fn insert(
        &self,
        ids: &Ids,
        connection: &Connection,
        replaces: bool,
    ) -> Result<Option<Connection>, ()> {
        let number = *connection.handle().number();
        let stays = |existing: &Connection| !replaces || existing.handle().is_later_than(number);
        // Checked, or checked again, and replaced under one lock: of two newcomers with the same ID the later one sees the earlier.
        let mut place = ids.0.lock(connection.id());
        // An access to a session may run foreign wakers, so none is made under the lock.
        while let Some(existing) = place.get().map(|found| &found.0).filter(|found| stays(found)).cloned() {
            drop(place);
            if existing.is_open() {
                return Err(());
            }
            place = ids.0.lock(connection.id());
            // One that has ended does not open again.
            if place.get().is_none_or(|found| found.0 == existing) {
                break;
            }
        }
        let existing = place.insert(ById(connection.clone())).map(|existing| existing.0);
        drop(place);
        self.running.lock(connection.handle().number()).insert(ByNumber(connection.clone()));
        if let Some(token) = connection.handle().token() {
            self.by_token.lock(lookup(token)).insert(ByToken(connection.clone()));
        }
        Ok(existing)
    }

    /// Removes a session that is over: neither its ID nor its token finds it any more.
    pub(crate) fn remove(&self, ids: &Ids, connection: &Connection) {
        if let Some(token) = connection.handle().token() {
            let mut place = self.by_token.lock(lookup(token));
            // The session may have returned from another server by now.
            if place.get().is_some_and(|found| found.0 == *connection) {
                place.remove();
            }
        }
        let mut place = ids.0.lock(connection.id());
        // A newcomer may have the ID by now.
        if place.get().is_some_and(|found| found.0 == *connection) {
            place.remove();
        }
    }

    /// Removes a session whose task has ended for good.
    pub(crate) fn remove_running(&self, connection: &Connection) {
        self.running.lock(connection.handle().number()).remove();
    }

    /// The sessions whose task has not ended for good.
    pub(crate) fn running(&self) -> Vec<Connection> {
        self.running.collect(|entry| entry.0.clone())
    }

    /// The number of [running](Self::running) sessions.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Like [`Self::running`], in the order in which the sessions began, so that a repeated simulation takes the same course.
    pub(crate) fn running_in_order(&self) -> Vec<Connection> {
        let mut running = self.running();
        running.sort_unstable_by_key(Connection::number);
        running
    }
}

fn lookup(token: &Token) -> &Lookup {
    token.as_str().as_bytes().first_chunk().expect("a token has 22 characters at least")
}

/// A new token from the operating system's generator.
///
/// # Errors
/// Fails when the operating system provides no randomness.
pub(crate) fn new_token() -> Result<Token, getrandom::Error> {
    use base64::Engine as _;
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes)?;
    let text = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes);
    Ok(Token::parse(&text).expect("43 characters of base64url are a token"))
}

/// A random connection ID: a UUID of version 4 (RFC 9562 §5.4).
///
/// # Errors
/// Fails when the operating system provides no randomness.
pub(crate) fn new_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use rejoin_core::SessionIdentity;

    use super::*;
    use crate::connection::NewConnection;
    use crate::session::belongings::Belongings;
    use crate::session::handle::SessionKey;

    #[test]
    fn an_id_that_nobody_chose_is_a_uuid_of_version_4() {
        let ids = [new_id().unwrap(), new_id().unwrap()];
        assert_ne!(ids[0], ids[1]);
        for id in ids {
            let lengths: Vec<_> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(
                id.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
                "{id}"
            );
            assert_eq!(&id[14..15], "4", "{id}");
            assert!("89ab".contains(&id[19..20]), "{id}");
        }
    }

    #[test]
    fn a_random_id_is_a_uuid_of_version_4_with_122_random_bits() {
        let (mut ones, mut zeros, mut differs) = (0, 0, [0; 128]);
        for _ in 0..300 {
            let id = new_id().unwrap();
            let groups: Vec<_> = id.split('-').collect();
            assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
            let bits = u128::from_str_radix(&groups.concat(), 16).unwrap();
            (ones, zeros) = (ones | bits, zeros | !bits);
            differs.iter_mut().enumerate().for_each(|(shift, differs)| *differs |= bits ^ bits >> shift);
            assert_eq!((groups[2].as_bytes()[0], bits >> 62 & 3), (b'4', 2), "{id}");
        }
        // Every other bit takes both values.
        let random = ones & zeros;
        assert_eq!(random.count_ones(), 122);
        // No two of them are always equal.
        for (shift, differs) in differs.into_iter().enumerate().skip(1) {
            let pairs = random & random >> shift;
            assert_eq!(differs & pairs, pairs, "a distance of {shift}");
        }
    }

    #[test]
    fn a_session_that_is_over_is_found_by_nothing() {
        let shared = crate::testing::server();
        let token = new_token().unwrap();
        let identity = SessionIdentity::new(token.clone(), "ada", "room");
        let connection = Connection::new(NewConnection {
            number: None,
            host: shared.clone(),
            who: SessionKey::Session(identity.into()),
            remote_addr: None,
            belongings: Belongings::default(),
            codec_index: 0,
            session: crate::testing::session(&shared),
            writer: None,
        });
        let (registry, ids) = (Registry::new(), Ids::new(Shards::Small));
        assert_eq!(registry.insert(&ids, &connection, false), Ok(None));
        assert_eq!(
            (ids.get("ada"), registry.by_token(&token)),
            (Some(connection.clone()), Ok(connection.clone()))
        );
        // Only its first characters equal those of the session's token.
        let other = Token::parse(&format!("{}{}", &token.as_str()[..16], "x".repeat(27))).unwrap();
        assert_eq!(registry.by_token(&other), Err(LostReason::Unknown));
        registry.remove(&ids, &connection);
        assert_eq!((ids.0.len(), registry.by_token.len(), registry.running.len()), (0, 0, 1));
        registry.remove_running(&connection);
        assert_eq!(registry.running.len(), 0);
    }

    #[test]
    fn those_who_run_are_listed_in_the_order_in_which_they_came() {
        let shared = crate::testing::server();
        let numbers: Vec<_> = (0..100).map(|_| crate::testing::connection(&shared).number()).collect();
        let listed = shared.registry.running_in_order();
        assert_eq!(listed.iter().map(Connection::number).collect::<Vec<_>>(), numbers);
    }
}
