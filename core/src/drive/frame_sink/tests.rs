//! Tests of [`FrameSink`] on a session with a small send buffer.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use super::super::deadline::now;
use super::*;
use crate::{
    CloseFrame, CloseReason, Control, Epoch, MessageKind, Mode, Payload, PayloadFormat, Session,
    SessionConfig, SessionIdentity, Side, Token, ws,
};

#[derive(Clone)]
struct Target(Arc<SharedSession>, Epoch);

impl FrameTarget for Target {
    fn session(&self) -> &SharedSession {
        &self.0
    }

    fn encode(&self, frame: &Frame) -> Result<EncodedFrame, SendError> {
        self.0.check(frame)?;
        Ok(ws::encode_message(MessageKind::Text, frame.event().as_bytes()).into())
    }
}

impl Target {
    /// A session with a socket, whose send buffer takes this number of frames.
    fn with_capacity(frames: u32) -> Self {
        let mut config = SessionConfig::new(Side::Server, Mode::Session);
        config.buffer_frames = frames;
        let identity = SessionIdentity::new(Token::parse("abcdefghijklmnopqrstuv").unwrap(), "id", "room");
        let mut session = Session::new_server(Arc::new(config), identity, None, now());
        let epoch = session.reserve();
        session.attach(epoch, None, now()).unwrap();
        Self(Arc::new(SharedSession::new(session)), epoch)
    }

    /// Sends a frame as another task would.
    fn send(&self, text: &str) -> Result<(), SendError> {
        let message = self.encode(&frame(text)).unwrap();
        self.0.send(message, Overflow::Reject).map(drop)
    }

    /// Writes all frames to the socket, and acknowledges `count` frames of the session.
    fn acknowledge(&self, count: u64) {
        self.0.command(|session| {
            while session.poll_transmit(self.1, now()).is_some() {}
            let ack = Control::Ack(count);
            let json = Payload::from_parts(PayloadFormat::Json, ack.json().unwrap());
            session
                .handle_frame(self.1, Frame::event_only(ack.event()).with_payload(json), 1, now())
                .unwrap();
        });
    }

    /// The frames that the session keeps for the peer.
    fn kept(&self) -> Vec<Bytes> {
        self.0.command(Session::take_unacknowledged)
    }
}

fn frame(text: &str) -> Frame {
    Frame::event_only(text)
}

fn encoded(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| ws::encode_message(MessageKind::Text, text.as_bytes())).collect()
}

type Polled = Poll<Result<(), SendError>>;

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn ready(sink: &mut FrameSink<Target>) -> Polled {
    Pin::new(sink).poll_ready(&mut cx())
}

fn send(sink: &mut FrameSink<Target>, text: &str) -> Result<(), SendError> {
    Pin::new(sink).start_send(frame(text))
}

fn flush(sink: &mut FrameSink<Target>) -> Polled {
    Pin::new(sink).poll_flush(&mut cx())
}

fn close(sink: &mut FrameSink<Target>) -> Polled {
    Pin::new(sink).poll_close(&mut cx())
}

const DONE: Polled = Poll::Ready(Ok(()));

#[test]
fn full_buffer_makes_the_sink_wait() {
    let target = Target::with_capacity(1);
    let mut sink = FrameSink::new(target.clone());
    assert_eq!((ready(&mut sink), send(&mut sink, "1"), ready(&mut sink)), (DONE, Ok(()), Poll::Pending));
    target.acknowledge(1);
    assert_eq!((ready(&mut sink), send(&mut sink, "2")), (DONE, Ok(())));
    assert_eq!(target.kept(), encoded(&["2"]));
}

#[test]
fn flush_waits_for_acceptance_of_a_kept_frame() {
    let target = Target::with_capacity(1);
    let mut sink = FrameSink::new(target.clone());
    assert_eq!(ready(&mut sink), DONE);
    target.send("of another task").unwrap();
    assert_eq!(send(&mut sink, "kept"), Ok(()));
    assert_eq!(
        (flush(&mut sink), close(&mut sink), ready(&mut sink)),
        (Poll::Pending, Poll::Pending, Poll::Pending)
    );
    assert_eq!(send(&mut sink, "too early"), Err(SendError::Full));
    target.acknowledge(1);
    assert_eq!((flush(&mut sink), ready(&mut sink)), (DONE, Poll::Pending));
    assert_eq!(target.kept(), encoded(&["kept"]));
}

#[test]
fn flush_waits_neither_for_capacity_nor_for_acknowledgements() {
    let mut sink = FrameSink::new(Target::with_capacity(1));
    assert_eq!((ready(&mut sink), send(&mut sink, "1")), (DONE, Ok(())));
    assert_eq!((flush(&mut sink), ready(&mut sink), flush(&mut sink)), (DONE, Poll::Pending, DONE));
}

#[test]
fn closed_sink_leaves_the_session_open() {
    let target = Target::with_capacity(2);
    let mut sink = FrameSink::new(target.clone());
    assert_eq!((ready(&mut sink), send(&mut sink, "1"), close(&mut sink)), (DONE, Ok(()), DONE));
    assert_eq!(ready(&mut sink), Poll::Ready(Err(SendError::Closed)));
    assert_eq!(send(&mut sink, "2"), Err(SendError::Closed));
    assert_eq!(target.send("of another task"), Ok(()));
    assert_eq!(close(&mut sink), DONE, "closed twice");
}

#[test]
fn refused_frame_leaves_the_sink_usable() {
    let target = Target::with_capacity(1);
    let mut sink = FrameSink::new(target.clone());
    assert_eq!((ready(&mut sink), send(&mut sink, "$mine")), (DONE, Err(SendError::Reserved)));
    assert_eq!((ready(&mut sink), send(&mut sink, "1"), flush(&mut sink)), (DONE, Ok(()), DONE));
}

#[test]
fn end_of_the_session_fails_waiting_sinks() {
    let target = Target::with_capacity(1);
    let [mut waits, mut keeps] = [(); 2].map(|()| FrameSink::new(target.clone()));
    assert_eq!((ready(&mut waits), ready(&mut keeps)), (DONE, DONE));
    target.send("of another task").unwrap();
    assert_eq!((ready(&mut waits), send(&mut keeps, "kept")), (Poll::Pending, Ok(())));
    assert_eq!(flush(&mut keeps), Poll::Pending);
    target.0.close(|session| session.end(CloseReason::Local(CloseFrame::from_static(1000, ""))));
    let closed = Poll::Ready(Err(SendError::Closed));
    assert_eq!(
        (ready(&mut waits), flush(&mut keeps), ready(&mut keeps)),
        (closed.clone(), closed.clone(), closed)
    );
}
