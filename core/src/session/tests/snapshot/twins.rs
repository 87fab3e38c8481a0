//! After any calls on a session of either side and mode, a copy from its snapshot answers further calls like the original.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::pair::identity;
use super::super::random::check;
use super::super::{control, data};
use super::{copy_of, detach, observed};
use crate::session::*;
use crate::{CloseFrame, Control, Frame, Gap, LostReason, Open, Payload};

/// A call, or several that belong together.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Send(usize, Overflow),
    Broadcast(Overflow),
    Missing,
    EvictFor(usize, Overflow),
    Watch,
    Reserve,
    /// A resume on a server offers the acknowledged count plus this number.
    Attach(u64),
    /// The number of polls; once there is a copy, everything that is due is polled. Then the number of frames that are written,
    /// and the number of pending bytes.
    Write(usize, usize, Option<usize>),
    Data(usize),
    Gap(u64),
    /// Acknowledges this number more than before.
    Ack(u64),
    Sync,
    Ping,
    /// Whether it resumes, and how much the received count exceeds the acknowledged one.
    Open(bool, u64),
    /// Attaches a socket, on which the server opens the session.
    Dial(bool, u64),
    Lose(DropReason),
    Left,
    Close(CloseReason, u64),
    End(CloseReason),
    CloseFrame(Option<CloseFrame>),
    Take(usize),
    TakeDeliveries,
    /// Milliseconds pass.
    Pass(u64),
    Timeout,
    Discard,
    TakeUnacknowledged,
    PeerMax(u64),
}

fn overflow() -> impl Strategy<Value = Overflow> {
    prop_oneof![
        3 => Just(Overflow::Reject),
        3 => Just(Overflow::DropOldest),
        2 => Just(Overflow::DropNewest),
        1 => Just(Overflow::Disconnect)
    ]
}

fn close_frame() -> impl Strategy<Value = Option<CloseFrame>> {
    let codes = [1000, 1001, 1002, 1011, 1012, 1013, 4000, 4123];
    let reasons = ["", "retry in 250 ms", "server shutting down"];
    proptest::option::of(
        (0..codes.len(), 0..reasons.len())
            .prop_map(move |(code, reason)| CloseFrame::from_static(codes[code], reasons[reason])),
    )
}

fn close_reason() -> impl Strategy<Value = CloseReason> {
    prop_oneof![
        Just(CloseReason::Local(CloseFrame::from_static(1000, "bye"))),
        Just(CloseReason::Duplicate),
        Just(CloseReason::ServerClosed),
        Just(CloseReason::Kicked),
    ]
}

fn drop_reason() -> impl Strategy<Value = DropReason> {
    let io = DropReason::Io(io::ErrorKind::BrokenPipe);
    prop_oneof![Just(io), Just(DropReason::Cut), close_frame().prop_map(DropReason::Closed)]
}

pub(super) fn call() -> impl Strategy<Value = Call> {
    let sending = prop_oneof![
        6 => (1..30usize, overflow()).prop_map(|(size, overflow)| Call::Send(size, overflow)),
        6 => overflow().prop_map(Call::Broadcast),
        1 => Just(Call::Missing),
        1 => (1..30usize, overflow()).prop_map(|(size, overflow)| Call::EvictFor(size, overflow)),
        2 => Just(Call::Watch),
        8 => (1..4usize, 0..4usize, proptest::option::of(1..3000usize))
            .prop_map(|(polls, frames, pending)| Call::Write(polls, frames, pending)),
    ];
    let receiving = prop_oneof![
        6 => (0..30usize).prop_map(Call::Data),
        1 => (1..4u64).prop_map(Call::Gap),
        4 => (0..4u64).prop_map(Call::Ack),
        1 => Just(Call::Sync),
        1 => Just(Call::Ping),
        4 => (any::<bool>(), 0..3u64).prop_map(|(resumed, more)| Call::Open(resumed, more)),
        4 => (1..4usize).prop_map(Call::Take),
        1 => Just(Call::TakeDeliveries),
    ];
    let sockets = prop_oneof![
        1 => Just(Call::Reserve),
        6 => (0..3u64).prop_map(Call::Attach),
        4 => (any::<bool>(), 0..3u64).prop_map(|(resumes, more)| Call::Dial(resumes, more)),
        3 => drop_reason().prop_map(Call::Lose),
        3 => Just(Call::Left),
        1 => close_frame().prop_map(Call::CloseFrame),
        3 => (0..12_000u64).prop_map(Call::Pass),
        2 => Just(Call::Timeout),
        1 => (0..200_000u64).prop_map(Call::PeerMax),
    ];
    let ends = prop_oneof![
        4 => (close_reason(), 0..20_000u64).prop_map(|(reason, millis)| Call::Close(reason, millis)),
        1 => close_reason().prop_map(Call::End),
        1 => Just(Call::Discard),
        1 => Just(Call::TakeUnacknowledged),
    ];
    prop_oneof![8 => sending, 8 => receiving, 8 => sockets, 1 => ends]
}

pub(super) fn config() -> impl Strategy<Value = SessionConfig> {
    let side = prop_oneof![Just(Side::Server), Just(Side::Client)];
    let mode = prop_oneof![Just(Mode::Session), Just(Mode::Plain)];
    let bytes = || prop_oneof![Just(1 << 20), 1..100usize];
    let window = prop_oneof![4 => Just(30), 1 => Just(0), 1 => Just(u64::MAX)];
    (side, mode, 1..8u32, bytes(), 1..6usize, bytes(), window).prop_map(
        |(side, mode, buffer_frames, buffer_bytes, inbox_frames, inbox_bytes, window)| SessionConfig {
            buffer_frames,
            buffer_bytes,
            inbox_frames,
            inbox_bytes,
            resume_window: Duration::from_secs(window),
            ..SessionConfig::new(side, mode)
        },
    )
}

/// A session, and the copy that continues from its snapshot.
pub(super) struct Twins {
    pub(super) original: Session,
    copy: Option<Session>,
    pub(super) now: Instant,
    /// The last epoch that was reserved.
    epoch: Option<Epoch>,
    /// Plain mode: number of frames that the socket has not written yet.
    in_flight: usize,
    sends: u32,
    segments: SegmentWriter,
    spans: Vec<Span>,
}

impl Twins {
    pub(super) fn new(config: SessionConfig) -> Self {
        let now = Instant::now();
        let config = Arc::new(config);
        let original = match (config.side, config.mode) {
            (Side::Server, Mode::Session) => {
                Session::new_server(config, identity(0), Some(LostReason::Codec), now)
            }
            _ => Session::new(config, now),
        };
        let (segments, spans) = (SegmentWriter::default(), Vec::new());
        Self { original, copy: None, now, epoch: None, in_flight: 0, sends: 0, segments, spans }
    }

    fn separate(&mut self) {
        self.copy = Some(copy_of(&self.original, self.now));
        detach(&mut self.original, self.now);
        self.in_flight = 0;
        self.compare();
    }

    fn compare(&self) {
        if let Some(copy) = &self.copy {
            assert_eq!(observed(copy, self.now), observed(&self.original, self.now));
        }
    }

    /// Makes a call on both sessions, and compares the answers.
    fn both<T: PartialEq + Debug>(&mut self, call: impl Fn(&mut Session) -> T) -> T {
        let answer = call(&mut self.original);
        if let Some(copy) = &mut self.copy {
            assert_eq!(call(copy), answer);
        }
        answer
    }

    fn frame(&mut self, frame: &Frame) {
        let (Some(epoch), now) = (self.epoch, self.now) else { return };
        if !self.original.wants_read() {
            return;
        }
        _ = self.both(|session| {
            let size = frame.event().len();
            let result = session.handle_frame(epoch, frame.clone(), size, now);
            if let Err(violation) = result {
                session.handle_violation(epoch, CloseFrame::truncated(1002, violation.to_string()));
            }
            result
        });
    }

    pub(super) fn call(&mut self, call: &Call) {
        let now = self.now;
        let acknowledged = self.original.send_buffer.acked();
        let is_over = self.original.state() == SessionState::Closed;
        match call.clone() {
            Call::Send(size, overflow) => {
                let message = Bytes::from(vec![b'a' + (self.sends % 26) as u8; size]);
                self.sends += 1;
                _ = self.both(|session| session.send(message.clone(), overflow));
            }
            Call::Broadcast(overflow) => {
                let span = self.segments.push(Bytes::from(self.sends.to_string()));
                self.sends += 1;
                _ = self.both(|session| session.send_span(&span, overflow));
                self.spans.push(span);
            }
            Call::Missing => _ = self.both(Session::send_missing),
            Call::EvictFor(size, overflow) => _ = self.both(|session| session.evict_for(size, overflow)),
            // A number is watched once, and only in session mode.
            Call::Watch => {
                let sent = self.both(|session| session.send(Bytes::from_static(b"w"), Overflow::DropOldest));
                if sent.is_ok() && self.original.mode() == Mode::Session {
                    self.both(Session::watch_last);
                }
            }
            Call::Reserve => self.epoch = Some(self.both(Session::reserve)),
            Call::Attach(more) => {
                let epoch = self.both(Session::reserve);
                self.epoch = Some(epoch);
                let config = &self.original.config;
                let resumes = self.original.state() != SessionState::New
                    && (config.side, config.mode) == (Side::Server, Mode::Session);
                let received = resumes.then_some(acknowledged + more);
                if self.both(|session| session.attach(epoch, received, now)).is_ok() {
                    self.in_flight = 0;
                }
            }
            Call::Dial(resumes, more) => {
                self.call(&Call::Attach(more));
                self.call(&Call::Open(resumes, more));
            }
            Call::Write(polls, frames, pending) => self.write(polls, frames, pending),
            Call::Data(size) => self.frame(&data(&"d".repeat(size))),
            Call::Gap(frames) => {
                let ahead = self.original.ahead.as_ref().map_or(0, |ahead| ahead.numbers());
                let from = self.original.counts().received + ahead + 1;
                self.frame(&control(Control::Gap(Gap::new(from, from + frames - 1))));
            }
            Call::Ack(more) => {
                let count = (acknowledged + more).min(self.original.send_buffer.sent());
                self.frame(&control(Control::Ack(count)));
            }
            Call::Sync => self.frame(&control(Control::Sync)),
            Call::Ping => {
                let value = Payload::json_text("[1]").unwrap();
                self.frame(&Frame::event_only("$ping").with_payload(value));
            }
            Call::Open(resumes, more) => {
                let known = self.original.identity().cloned();
                let resumes = resumes && known.is_some();
                let identity = match known {
                    Some(identity) if resumes => identity,
                    _ => Arc::new(identity(1 + self.sends as usize)),
                };
                let mut open = Open::new(identity.token.clone(), &*identity.id, &*identity.room);
                (open.resumed, open.buffer, open.buffer_bytes) = (resumes, 1 + (more as u32 * 3), 30);
                let sent = self.original.send_buffer.sent();
                // At times less than was acknowledged: the session is then lost.
                open.received =
                    if resumes { (acknowledged + more).min(sent).saturating_sub(more / 2) } else { 0 };
                let opens = self.original.config.side == Side::Client && !self.original.is_opened();
                if opens {
                    self.frame(&control(Control::Open(Box::new(open))));
                }
            }
            Call::Lose(why) => {
                if let Some(epoch) = self.epoch {
                    self.both(|session| session.handle_lost(epoch, why.clone(), now));
                }
            }
            Call::Left => {
                if let Some(epoch) = self.epoch {
                    self.both(|session| session.handle_detached(epoch));
                    if self.original.state() != SessionState::Connected {
                        self.in_flight = 0;
                    }
                }
            }
            Call::Close(reason, millis) => {
                let deadline = now + Duration::from_millis(millis);
                self.both(|session| session.close(reason.clone(), deadline));
            }
            Call::End(reason) => self.both(|session| session.end(reason.clone())),
            Call::CloseFrame(frame) => {
                if let Some(epoch) = self.epoch {
                    self.both(|session| session.handle_close(epoch, frame.clone(), now));
                }
            }
            Call::Take(count) => {
                for _ in 0..count {
                    self.both(Session::poll_event);
                }
            }
            Call::TakeDeliveries => while self.both(Session::poll_delivery).is_some() {},
            Call::Pass(millis) => self.now += Duration::from_millis(millis),
            Call::Timeout => self.both(|session| session.handle_timeout(now)),
            Call::Discard if is_over => self.both(Session::discard_events),
            Call::TakeUnacknowledged if is_over && self.original.config.side == Side::Client => {
                _ = self.both(Session::take_unacknowledged);
            }
            Call::Discard | Call::TakeUnacknowledged => {}
            Call::PeerMax(bytes) => self.both(|session| session.set_peer_max(bytes)),
        }
        self.compare();
    }

    /// Writes all due frames of both sessions and compares them one by one, because a copy keeps single messages where the
    /// original keeps spans.
    fn write(&mut self, polls: usize, frames: usize, pending: Option<usize>) {
        let (Some(epoch), now) = (self.epoch, self.now) else { return };
        let polls = if self.copy.is_some() { usize::MAX } else { polls };
        let written = self.both(|session| {
            let mut written = Vec::new();
            for _ in 0..polls {
                if let Some(message) = session.poll_lone(epoch, now) {
                    written.push(Transmit::Data(message.clone()));
                    continue;
                }
                match session.poll_transmit(epoch, now) {
                    Some(Transmit::Batch(batch)) => written.extend(batch.frames().map(Transmit::Data)),
                    Some(transmit) => written.push(transmit),
                    None => break,
                }
            }
            written
        });
        self.in_flight += written.iter().filter(|transmit| matches!(transmit, Transmit::Data(_))).count();
        let frames = frames.min(self.in_flight);
        self.in_flight -= frames;
        self.both(|session| session.handle_written(epoch, frames, 10 * frames, pending, now));
    }
}

#[test]
fn a_copy_from_a_snapshot_answers_the_same() {
    let calls = |most| vec(call(), 0..most);
    check(1500, &(config(), calls(40), calls(50)), |(config, before, after)| {
        let mut twins = Twins::new(config);
        for call in &before {
            twins.call(call);
        }
        twins.separate();
        for call in &after {
            twins.call(call);
        }
    });
}

#[test]
fn a_restored_session_has_the_same_snapshot() {
    check(500, &(config(), vec(call(), 0..80)), |(config, calls)| {
        let mut twins = Twins::new(config);
        for call in &calls {
            twins.call(call);
        }
        let copy = copy_of(&twins.original, twins.now);
        assert_eq!(copy.snapshot(twins.now), twins.original.snapshot(twins.now));
    });
}
