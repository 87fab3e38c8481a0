//! Tasks that wait for events of a session: a reader, receipts, and an asker.

use std::future::poll_fn;
use std::sync::Arc;

use rejoin_core::drive::model::{explore, idle, thread};
use rejoin_core::drive::{AskError, SharedSession, now};
use rejoin_core::{CloseReason, Event, Mode, Session, SessionConfig, Side};

use super::client::ScenarioClient;
use super::{ScenarioWorld, frame, joined, kick};

/// Messages arrive while the application begins to wait for them.
#[test]
fn reader_gets_each_message() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let mut session = Session::new(Arc::new(SessionConfig::new(Side::Client, Mode::Plain)), now());
        let epoch = session.reserve();
        session.attach(epoch, None, now()).unwrap();
        let session = Arc::new(SharedSession::new(session));
        let reading = session.clone();
        let reads = world.task(async move {
            let mut events = Vec::new();
            for _ in 0..4 {
                events.push(poll_fn(|cx| reading.poll_event(cx)).await);
            }
            events
        });
        let receives = thread(move || {
            for event in ["1", "2"] {
                session.drive(|session| session.handle_frame(epoch, frame(event), 1, now())).unwrap();
            }
            session.command(|session| session.end(CloseReason::ServerClosed));
        });
        receives.join().unwrap();
        idle();
        let messages = ["1", "2"].map(|event| Event::Message(frame(event)));
        let [first, second] = messages;
        let expected = [Event::Connected, first, second, Event::Closed(CloseReason::ServerClosed)];
        assert_eq!(joined(reads), expected);
        world.finish();
    });
}

/// A frame is acknowledged on the socket that is being lost, or by the offer of the next one.
#[test]
fn receipt_comes_by_either_socket() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut ada, connection) = ScenarioClient::session(world.shared(), "ada");
        let sends = world.task(async move { connection.send_acked(&frame("1")).await });
        idle();
        ada.read();
        let acks = thread(move || {
            ada.send(r#"{"event":"$ack","payload":1}"#);
            ada
        });
        let server = world.server.clone();
        let cuts = thread(move || server.cut("ada").is_ok());
        let mut ada = acks.join().unwrap();
        cuts.join().unwrap();
        idle();
        assert!(ada.resume());
        idle();
        assert_eq!(joined(sends), Ok(()));
        assert_eq!(ada.received, ["1"]);
        ada.leave();
        world.finish();
    });
}

/// A session ends while a receipt is on its way, and while another one begins.
#[test]
fn no_receipt_outlives_its_session() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut ada, connection) = ScenarioClient::session(world.shared(), "ada");
        let sending = connection.clone();
        let first = world.task(async move { sending.send_acked(&frame("1")).await });
        idle();
        ada.read();
        let second = world.task(async move { connection.send_acked(&frame("2")).await });
        let server = world.server.clone();
        let kicks = thread(move || kick(&server, "ada"));
        let acks = thread(move || {
            ada.send(r#"{"event":"$ack","payload":1}"#);
            ada
        });
        kicks.join().unwrap();
        let mut ada = acks.join().unwrap();
        idle();
        _ = joined(first);
        assert!(joined(second).is_err(), "nobody has acknowledged it");
        ada.leave();
        world.finish();
    });
}

/// An answer arrives while the session ends.
#[test]
fn asker_gets_the_answer_or_the_end() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut ada, connection) = ScenarioClient::session(world.shared(), "ada");
        let asks = world.task(async move { connection.ask(&frame("what").with_id("q")).await });
        idle();
        ada.read();
        let answers = thread(move || {
            ada.send(r#"{"event":"that","re":"q"}"#);
            ada
        });
        let server = world.server.clone();
        let kicks = thread(move || kick(&server, "ada"));
        let mut ada = answers.join().unwrap();
        kicks.join().unwrap();
        idle();
        let answer = joined(asks).map(|answer| answer.event().to_owned());
        assert!(matches!(answer.as_deref(), Ok("that") | Err(AskError::Ended)), "{answer:?}");
        ada.leave();
        world.finish();
    });
}
