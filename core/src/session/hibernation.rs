//! [`Hibernated`]: the compact form of a suspended session that keeps no frames.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::receiver::Receiver;
use super::send_buffer::SendBuffer;
use super::{Epoch, LostReason, Session, SessionConfig, SessionIdentity, SessionState, Side};

/// The compact form of a server's session that is [suspended](Session::can_hibernate) and keeps no frames for its peer: a few
/// numbers, a tenth of the size of a [`Session`].
#[derive(Debug)]
pub struct Hibernated {
    config: Arc<SessionConfig>,
    identity: Option<Arc<SessionIdentity>>,
    /// [`Session::numbers`] in LEB128, because most are small.
    numbers: Box<[u8]>,
}

/// Length of [`Session::numbers`].
const NUMBERS: usize = 23;

impl Session {
    /// Returns the compact form of the session, or `None` if the session [cannot hibernate](Self::can_hibernate) or keeps more
    /// than numbers. The compact form does not keep [`Session::dropped`].
    pub fn hibernate(&self) -> Option<Hibernated> {
        let is_numbers = self.config.side == Side::Server
            && self.can_hibernate()
            && self.send_buffer.is_numbers()
            && self.ended.is_none()
            && self.unreported.is_none()
            && !self.retired;
        let since = self.suspended_since.filter(|_| is_numbers)?;
        let mut numbers = Vec::with_capacity(2 * NUMBERS);
        for number in self.numbers(since) {
            write(&mut numbers, number);
        }
        Some(Hibernated {
            config: self.config.clone(),
            identity: self.identity.clone(),
            numbers: numbers.into(),
        })
    }

    fn numbers(&self, since: Instant) -> [u64; NUMBERS] {
        let [accepted, cursor, sent, acked, dropped] = self.send_buffer.numbers();
        let [received, gaps, bytes, unreported, untold_bytes] = self.receiver.numbers();
        let lost = match self.lost {
            None => 0,
            Some(LostReason::Codec) => 1,
            Some(LostReason::Identity) => 2,
            Some(LostReason::Unknown) => 3,
        };
        [
            of_instant(since),
            self.epoch.0,
            self.reserved.0,
            lost,
            self.buffer.into(),
            self.peer_buffer.into(),
            self.peer_max.into(),
            accepted,
            cursor,
            sent,
            acked,
            dropped,
            received,
            gaps,
            bytes,
            unreported,
            untold_bytes,
            self.sent.frames,
            self.sent.bytes,
            self.sent.replayed,
            self.sent.gaps,
            self.resumed.into(),
            self.drops.into(),
        ]
    }
}

impl Hibernated {
    /// Restores the session.
    pub fn wake(&self) -> Session {
        let mut rest = &*self.numbers;
        let mut next = || read(&mut rest);
        let since = instant_of(next());
        let mut session = Session::new(self.config.clone(), since);
        session.identity.clone_from(&self.identity);
        session.state = SessionState::Suspended;
        session.suspended_since = Some(since);
        session.epoch = Epoch(next());
        session.reserved = Epoch(next());
        session.lost = match next() {
            0 => None,
            1 => Some(LostReason::Codec),
            2 => Some(LostReason::Identity),
            _ => Some(LostReason::Unknown),
        };
        session.buffer = small(next());
        session.peer_buffer = small(next());
        session.peer_max = small(next());
        session.send_buffer = SendBuffer::of_numbers(self.config.mode, [(); 5].map(|()| next()));
        session.receiver = Receiver::of_numbers([(); 5].map(|()| next()), since);
        session.sent.frames = next();
        session.sent.bytes = next();
        session.sent.replayed = next();
        session.sent.gaps = next();
        session.resumed = small(next());
        session.drops = small(next());
        debug_assert!(rest.is_empty(), "every number is read");
        session
    }
}

/// Reference point for stored times, which are in nanoseconds from it: 63 bits cover 292 years.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Encodes times after the origin as even numbers, earlier ones as odd: with paused clocks, times before it occur.
fn of_instant(at: Instant) -> u64 {
    let origin = *ORIGIN.get_or_init(|| at);
    let nanos = |distance: Duration| distance.as_nanos() as u64;
    match at.checked_duration_since(origin) {
        Some(after) => 2 * nanos(after),
        None => 2 * nanos(origin - at) + 1,
    }
}

fn instant_of(number: u64) -> Instant {
    let origin = *ORIGIN.get().expect("a number is written before one is read");
    let distance = Duration::from_nanos(number / 2);
    if number.is_multiple_of(2) { origin + distance } else { origin - distance }
}

fn small(number: u64) -> u32 {
    u32::try_from(number).expect("the number was a u32")
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    while let Some((first, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, Token};

    #[test]
    fn a_time_before_or_after_any_other_is_read_as_it_was_written() {
        let now = Instant::now();
        for nanos in [0, 1, 999, 1_000_000_000, 86_400_000_000_000] {
            let distance = Duration::from_nanos(nanos);
            for at in [now + distance, now - distance] {
                assert_eq!(instant_of(of_instant(at)), at);
            }
        }
    }

    #[test]
    fn why_a_session_was_not_resumed_outlives_a_rest() {
        let now = Instant::now();
        let config = Arc::new(SessionConfig::new(Side::Server, Mode::Session));
        for lost in [None, Some(LostReason::Codec), Some(LostReason::Identity), Some(LostReason::Unknown)] {
            let identity =
                SessionIdentity::new(Token::parse("abcdefghijklmnopqrstuv").unwrap(), "id", "room");
            let mut session = Session::new_server(config.clone(), identity, lost, now);
            let epoch = session.reserve();
            session.attach(epoch, None, now).unwrap();
            session.cut(now);
            while session.poll_event().is_some() {}
            assert_eq!(session.hibernate().unwrap().wake().lost(), lost);
        }
    }

    #[test]
    fn a_number_of_any_size_is_read_as_it_was_written() {
        for number in (0..64).flat_map(|bits| [(1_u64 << bits) - 1, 1 << bits]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            write(&mut bytes, number);
            write(&mut bytes, 1);
            let mut rest = &bytes[..];
            assert_eq!((read(&mut rest), read(&mut rest), rest.len()), (number, 1, 0));
        }
    }
}
