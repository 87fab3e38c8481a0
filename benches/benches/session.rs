//! The cost of a session without any I/O: a frame accepted, sent, acknowledged; a replay.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use rejoin_core::{
    Control, Epoch, Frame, Mode, Overflow, Payload, Session, SessionConfig, SessionIdentity, Side, Token,
};

fn main() {
    divan::main();
}

const FRAMES: u64 = 64;

fn server(mode: Mode, now: Instant) -> (Session, Epoch) {
    let config = Arc::new(SessionConfig::new(Side::Server, mode));
    let mut session = match mode {
        Mode::Plain => Session::new(config, now),
        Mode::Session => {
            let token = Token::parse("abcdefghijklmnopqrstuvwxyz").expect("26 letters are a token");
            Session::new_server(config, SessionIdentity::new(token, "id", "room"), None, now)
        }
    };
    let epoch = session.reserve();
    session.attach(epoch, None, now).expect("nothing is attached yet");
    while session.poll_transmit(epoch, now).is_some() {}
    (session, epoch)
}

fn ack(count: u64) -> Frame {
    let json = Control::Ack(count).json().expect("an ack has a payload");
    Frame::event_only("$ack").with_payload(Payload::from_parts(rejoin_core::PayloadFormat::Json, json))
}

/// 64 frames accepted, sent, and acknowledged at once.
#[divan::bench]
fn send_and_acknowledge(bencher: Bencher<'_, '_>) {
    let now = Instant::now();
    let (mut session, epoch) = server(Mode::Session, now);
    let message = Bytes::from(vec![b'x'; 128]);
    let mut sent = 0;
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        for _ in 0..FRAMES {
            session.send(message.clone(), Overflow::Reject).expect("all earlier frames are acknowledged");
        }
        while let Some(transmit) = session.poll_transmit(epoch, now) {
            black_box(transmit);
        }
        sent += FRAMES;
        session.handle_frame(epoch, ack(sent), 0, now).expect("this many frames were sent");
    });
}

/// 64 frames accepted and written, in plain mode.
#[divan::bench]
fn send_and_forget(bencher: Bencher<'_, '_>) {
    let now = Instant::now();
    let (mut session, epoch) = server(Mode::Plain, now);
    let message = Bytes::from(vec![b'x'; 128]);
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        for _ in 0..FRAMES {
            session.send(message.clone(), Overflow::Reject).expect("all earlier frames are written");
        }
        while let Some(transmit) = session.poll_transmit(epoch, now) {
            black_box(transmit);
        }
        session.handle_written(epoch, FRAMES as usize, 2000, None, now);
    });
}

/// A full buffer of 256 frames replayed to the next socket.
#[divan::bench]
fn resume_and_replay(bencher: Bencher<'_, '_>) {
    let now = Instant::now();
    let (mut session, _) = server(Mode::Session, now);
    for _ in 0..256 {
        session.send(Bytes::from(vec![b'x'; 128]), Overflow::Reject).expect("the buffer holds 256 frames");
    }
    bencher.counter(ItemsCount::new(256_u64)).bench_local(|| {
        let epoch = session.reserve();
        session.attach(epoch, Some(0), now).expect("nothing was acknowledged");
        while session.poll_event().is_some() {}
        while let Some(transmit) = session.poll_transmit(epoch, now) {
            black_box(transmit);
        }
    });
}
