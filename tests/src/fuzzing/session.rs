//! The session alone: any call with any arguments at any time, on either side and in either mode.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rejoin_core::{
    AttachmentState, CloseFrame, CloseReason, Epoch, Frame, LostReason, Mode, Payload, SegmentWriter,
    Session, SessionConfig, SessionIdentity, SessionState, Side, Token,
};

use super::Input;

mod checks;

mod choices;
use choices::{Millis, close_frame, close_reason, drop_reason, overflow};

/// The session's token, and another one.
const TOKENS: [&str; 2] = ["abcdefghijklmnopqrstuv", "zzzzzzzzzzzzzzzzzzzzzz"];

/// The number of frames that a transport accepts before it has written them.
const BATCH: usize = 64;

/// The first bytes are the configuration, the rest is the events.
///
/// # Panics
/// Panics if a bound is exceeded, a count decreases, the application or the peer gets a duplicate or an event out of order, or
/// the timer stops.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input);
    while !input.is_empty() {
        world.step(&mut input);
        world.check();
    }
    world.settle();
    world.session.end(CloseReason::Kicked);
    world.take(usize::MAX);
    assert!(
        world.session.state() == SessionState::Closed && world.life == Life::After,
        "the end is reported"
    );
}

/// A session, its application and its socket, with their observations.
struct World {
    session: Session,
    config: Arc<SessionConfig>,
    now: Instant,
    /// The epochs that were reserved.
    epochs: Vec<Epoch>,
    /// The number of the next data frame from the peer, and of the last one that the application has received.
    sends: u64,
    taken: u64,
    life: Life,
    /// The number of the next message from the application, and of the last one that this socket got.
    accepts: u64,
    written: u64,
    /// Plain mode: frames that the socket has accepted and not written yet.
    under_way: usize,
    biggest: usize,
    /// The segments of messages that are shared with other sessions.
    segments: SegmentWriter,
    /// The number of frames that lost sessions had accepted.
    lost: u64,
    watched: Vec<u64>,
    /// The socket on which the peer waits for an acknowledgement.
    asked: Option<Epoch>,
    /// Whether the attached socket was given a close frame.
    closes: bool,
    before: Seen,
}

/// Values that only grow during a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Seen {
    received: u64,
    accepted: u64,
    dropped: u64,
    resumed: u64,
}

/// The session's state according to its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Before,
    Connected,
    Dropped,
    After,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let flags = input.byte();
        let side = if flags & 1 == 0 { Side::Server } else { Side::Client };
        let mode = if flags & 2 == 0 { Mode::Session } else { Mode::Plain };
        let mut config = SessionConfig::new(side, mode);
        config.buffer_frames = input.one_of(&[2, 1, 3, 8, 256]);
        config.buffer_bytes = input.one_of(&[1 << 20, 1, 40]);
        config.inbox_frames = input.one_of(&[2, 1, 4, 64]);
        config.inbox_bytes = input.one_of(&[1 << 20, 1, 40]);
        config.ack_delay = input.one_of(&[1000, 0, 1]).millis();
        config.resume_window = input.one_of(&[30_000.millis(), 0.millis(), 1.millis(), Duration::MAX]);
        let config = Arc::new(config);
        let now = Instant::now();
        let session = if side == Side::Server && mode == Mode::Session {
            let lost = input.one_of(&[None, Some(LostReason::Unknown), Some(LostReason::Codec)]);
            Session::new_server(config.clone(), SessionIdentity::new(token(0), "ada", "room"), lost, now)
        } else {
            Session::new(config.clone(), now)
        };
        Self {
            session,
            config,
            now,
            epochs: Vec::new(),
            sends: 1,
            taken: 0,
            life: Life::Before,
            accepts: 1,
            written: 0,
            under_way: 0,
            biggest: 0,
            segments: SegmentWriter::default(),
            lost: 0,
            watched: Vec::new(),
            asked: None,
            closes: false,
            before: Seen::default(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 25 {
            0..=2 => self.send(input),
            3 | 4 => self.transmit(input.byte().into()),
            5..=7 => self.handle_data(input),
            8..=10 => self.handle_control(input),
            11 => self.take(input.byte().into()),
            12 => self.attach(input),
            13 => {
                let epoch = self.epoch(input);
                self.session.handle_lost(epoch, drop_reason(input), self.now);
            }
            14 => self.pass(input),
            15 => self.timer(),
            16 => self.close_by_peer(input),
            17 => {
                let epoch = self.epoch(input);
                self.session.handle_violation(epoch, close_frame(input));
            }
            18 => self.written(input),
            19 => {
                let epoch = self.epoch(input);
                self.session.handle_activity(epoch, self.now);
            }
            20 => self.close(input),
            21 => _ = self.session.cut(self.now),
            22 => self.send_oddly(input),
            23 => self.leave(input),
            _ => _ = self.session.check_resume(input.number()),
        }
    }

    /// The application sends.
    fn send(&mut self, input: &mut Input<'_>) {
        let message = self.message(input);
        let overflow = overflow(input);
        let fits = self.session.has_capacity(message.len());
        let open = self.session.is_open();
        let before = self.session.counts().accepted;
        // Two of three are shared with other sessions.
        let result = if self.accepts.is_multiple_of(3) {
            self.session.send(message, overflow)
        } else {
            self.session.send_span(&self.segments.push(message), overflow)
        };
        assert!(open || result.is_err(), "nothing is accepted after the end");
        assert!(!(open && fits) || result.is_ok(), "there was room: {result:?}");
        if let Ok(number) = result {
            assert_eq!(number, before + 1);
            if input.flag() && self.config.mode == Mode::Session {
                self.session.watch_last();
                self.watched.push(number);
            }
        }
    }

    /// Sends a gap in place of frames, a volatile frame, or a frame that cannot be encoded.
    fn send_oddly(&mut self, input: &mut Input<'_>) {
        if input.flag() {
            let before = self.session.retained_bytes();
            let message = self.message(input);
            let overflow = overflow(input);
            let result = self.session.evict_for(message.len(), overflow);
            let result = result.and_then(|()| self.session.send(message, overflow));
            assert!(result.is_err() || self.session.retained_bytes() <= before, "it took a place");
        } else if input.flag() {
            let message = self.message(input);
            let key = input.flag().then(|| "key".into());
            self.session.send_volatile(message, key).ok();
        } else {
            self.session.send_missing().ok();
        }
    }

    fn message(&mut self, input: &mut Input<'_>) -> Bytes {
        let mut message = self.accepts.to_be_bytes().to_vec();
        self.accepts += 1;
        message.resize(8 + usize::from(input.byte()), 0);
        self.biggest = self.biggest.max(message.len());
        message.into()
    }

    /// The socket accepts up to this many frames.
    fn transmit(&mut self, most: usize) {
        let Some(&epoch) = self.epochs.last() else { return };
        for _ in 0..most {
            if self.under_way >= BATCH {
                return;
            }
            let Some(transmit) = self.session.poll_transmit(epoch, self.now) else { return };
            self.transmitted(transmit);
        }
    }

    /// The peer sends the next data frame, on some socket.
    fn handle_data(&mut self, input: &mut Input<'_>) {
        let frame = Frame::event_only(self.sends.to_string());
        self.sends += 1;
        self.handle(input, frame);
    }

    /// The peer sends a control frame, or a frame that looks like one.
    fn handle_control(&mut self, input: &mut Input<'_>) {
        let received = self.session.counts().received;
        let event = input.one_of(&["$open", "$ack", "$gap", "$ping", "$pong", "$later", "$sync"]);
        let text = match (event, input.byte()) {
            (_, 0) => None,
            (_, 1) => Some(input.text()),
            ("$open", kind) => {
                let session = TOKENS[usize::from(kind & 1)];
                let (resumed, count) = (kind & 2 != 0, input.number());
                let buffer = input.number() as u32;
                let limits =
                    input.one_of(&["", r#","buffer_bytes":0"#, r#","buffer_bytes":600,"max_message":100"#]);
                Some(format!(
                    r#"{{"session":"{session}","id":"","room":"","resumed":{resumed},"received":{count},"window_ms":{count},"buffer":{buffer}{limits}}}"#
                ))
            }
            ("$sync", _) => None,
            ("$ack", _) => Some(input.number().to_string()),
            ("$gap", kind) => {
                let from = if kind & 1 == 0 { received + 1 } else { input.number() };
                let to = if kind & 2 == 0 { from.saturating_add(input.number()) } else { input.number() };
                Some(format!(r#"{{"from":{from},"to":{to}}}"#))
            }
            (_, _) => Some("[1, 2]".to_owned()),
        };
        let mut frame = Frame::event_only(event);
        if let Some(text) = text {
            frame = frame.with_payload(match Payload::json_text(&text) {
                Ok(payload) => payload,
                Err(_) => Payload::bytes(text),
            });
        }
        self.handle(input, frame);
    }

    fn handle(&mut self, input: &mut Input<'_>, frame: Frame) {
        let epoch = self.epoch(input);
        let size = frame.event().len() + input.number().min(1 << 30) as usize;
        let asks = frame.event() == "$sync"
            && self.config.mode == Mode::Session
            && self.session.is_opened()
            && self.session.attachment_state(epoch) == AttachmentState::Attached;
        let may_be_fresh = self.config.side == Side::Client && !self.session.is_opened();
        if let Err(violation) = self.session.handle_frame(epoch, frame, size, self.now) {
            self.session.handle_violation(epoch, CloseFrame::truncated(1002, violation.to_string()));
            assert_eq!(self.session.state(), SessionState::Closed);
        } else if asks {
            self.asked = Some(epoch);
        } else if may_be_fresh && self.session.is_opened() && self.session.counts().received == 0 {
            // Possibly a new session, whose counts start at 0.
            self.lost += self.before.accepted;
            self.before = Seen { received: 0, accepted: 0, ..self.before };
        }
    }

    /// A socket arrives, in order or too late.
    fn attach(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        let epoch = match kind & 1 {
            0 => self.session.reserve(),
            _ => self.epoch(input),
        };
        let offers = kind & 2 != 0 && self.config.side == Side::Server && self.config.mode == Mode::Session;
        let received = offers.then(|| input.number());
        if self.session.attach(epoch, received, self.now).is_ok() {
            self.epochs.retain(|old| *old != epoch);
            self.epochs.push(epoch);
            self.written = 0;
            self.under_way = 0;
            self.closes = false;
            assert_eq!(self.session.attachment_state(epoch), AttachmentState::Attached);
        } else if kind & 1 == 0 {
            assert!(self.session.state() == SessionState::Closed || received.is_some());
        }
    }

    /// The application receives up to this many events.
    fn take(&mut self, most: usize) {
        for _ in 0..most {
            let Some(event) = self.session.poll_event() else {
                return assert!(!self.session.has_events());
            };
            self.saw(&event);
        }
    }

    /// Time passes without any call.
    fn pass(&mut self, input: &mut Input<'_>) {
        self.now += input.one_of(&[1, 10, 999, 1000, 9_999, 10_000, 30_000, 3_600_000]).millis();
        if input.flag() {
            self.session.handle_timeout(self.now);
        }
    }

    /// Time passes until the timer fires, and the due work is done: then its next deadline is later.
    fn timer(&mut self) {
        self.take(usize::MAX);
        if let Some(at) = self.session.poll_timeout() {
            self.now = self.now.max(at);
        }
        self.session.handle_timeout(self.now);
        self.flush();
        if let Some(at) = self.session.poll_timeout() {
            assert!(at > self.now, "the timer stands still");
        }
    }

    /// The application receives everything, and so does the socket.
    fn flush(&mut self) {
        let Some(&epoch) = self.epochs.last() else { return };
        for round in 0.. {
            assert!(round < 10_000, "there is always more to write");
            self.take(usize::MAX);
            self.session.handle_written(epoch, usize::MAX, 2000, None, self.now);
            self.under_way = 0;
            match self.session.poll_transmit(epoch, self.now) {
                Some(transmit) => self.transmitted(transmit),
                None => break,
            }
        }
        self.session.handle_written(epoch, usize::MAX, 2000, None, self.now);
        if self.session.attachment_state(epoch) == AttachmentState::Attached {
            assert!(self.asked != Some(epoch) || self.closes, "a request is answered");
            assert!(self.session.wants_read(), "no other task would wake it");
        }
    }

    fn written(&mut self, input: &mut Input<'_>) {
        let (frames, kind) = (usize::from(input.byte()), input.byte());
        let epoch = self.epoch(input);
        let attached = self.session.attachment_state(epoch) == AttachmentState::Attached;
        self.session.handle_written(
            epoch,
            frames,
            usize::from(kind & 1) * 700,
            (kind & 2 != 0).then_some(2 * usize::from(kind) * 10),
            self.now,
        );
        if attached {
            self.under_way = self.under_way.saturating_sub(frames);
        }
    }

    fn close_by_peer(&mut self, input: &mut Input<'_>) {
        let epoch = self.epoch(input);
        let frame = input.flag().then(|| close_frame(input));
        let code = frame.as_ref().map(|frame| frame.code);
        let (ack, answer) = self.session.handle_close(epoch, frame, self.now);
        assert_eq!(answer.map(|answer| answer.code), code, "the code comes back");
        assert!(ack.is_none_or(|count| count == self.session.counts().received));
        assert_ne!(
            self.session.attachment_state(epoch),
            AttachmentState::Attached,
            "it has announced its close"
        );
    }

    /// The driver has dropped a lost socket.
    fn leave(&mut self, input: &mut Input<'_>) {
        let epoch = self.epoch(input);
        if self.session.attachment_state(epoch) != AttachmentState::Attached {
            self.session.handle_detached(epoch);
        }
    }

    fn close(&mut self, input: &mut Input<'_>) {
        let deadline = self.now + input.number().min(1 << 40).millis();
        let reason = close_reason(input);
        match input.byte() % 8 {
            0 => self.session.end(reason),
            1 if self.config.side == Side::Client && self.session.state() == SessionState::Closed => {
                let counts = self.session.counts();
                let kept = self.session.take_unacknowledged();
                assert!(kept.len() as u64 <= counts.unacknowledged);
                self.before = Seen { accepted: 0, ..self.before };
            }
            2 if self.session.state() == SessionState::Closed => self.session.discard_events(),
            _ => {
                self.session.close(reason, deadline);
                assert!(!self.session.is_open());
            }
        }
    }

    /// A socket that asked for the session, usually the last one.
    fn epoch(&mut self, input: &mut Input<'_>) -> Epoch {
        let back = usize::from(input.byte() / 64);
        match self.epochs.len().checked_sub(1 + back) {
            Some(index) => self.epochs[index],
            None => {
                let epoch = self.session.reserve();
                self.epochs.insert(0, epoch);
                epoch
            }
        }
    }

    /// The network works, and time passes: the timer runs until nothing is due, or for a long time.
    fn settle(&mut self) {
        self.flush();
        for _ in 0..8 {
            self.timer();
            self.check();
        }
    }
}

fn token(which: usize) -> Token {
    Token::parse(TOKENS[which]).expect("it has the right length")
}
