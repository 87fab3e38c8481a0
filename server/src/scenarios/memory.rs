//! The memory limit of all sessions: refusals, evictions, and waiting senders.

use std::time::Duration;

use rejoin_core::CloseReason;
use rejoin_core::drive::SendError;
use rejoin_core::drive::model::{explore, give_way, idle, thread};

use super::client::ScenarioClient;
use super::{ScenarioWorld, frame, joined, kick, send};
use crate::accept::offer::Offer;

/// A frame of slightly more than this many bytes.
fn big(size: usize) -> String {
    "x".repeat(size)
}

/// The event that frees the bytes that a sender waits for: each notifies it in its own way.
#[derive(Debug, Clone, Copy)]
enum Frees {
    Kick,
    Acknowledgement,
    Suspension,
}

/// A sender is refused while the bytes that it needs become free.
fn refused_sender_goes_on(frees: Frees) {
    explore(move |time| {
        let world = ScenarioWorld::with(time, |builder| builder.max_retained_bytes(2000));
        let (mut ada, keeps) = ScenarioClient::session(world.shared(), "ada");
        let (mut bob, wants) = ScenarioClient::session(world.shared(), "bob");
        idle();
        // Retained until it is acknowledged.
        send(&keeps, &[&big(1500)]);
        idle();
        ada.read();
        let sending = wants.clone();
        let sends = world.task(async move { sending.send_wait(&frame(big(1000))).await });
        let server = world.server.clone();
        let free = thread(move || match frees {
            Frees::Kick => kick(&server, "ada"),
            Frees::Acknowledgement => ada.send(r#"{"event":"$ack","payload":1}"#),
            Frees::Suspension => server.cut("ada").unwrap(),
        });
        free.join().unwrap();
        idle();
        assert_eq!(joined(sends), Ok(()));
        bob.read();
        assert_eq!(bob.received.len(), 1);
        bob.leave();
        drop((keeps, wants));
        world.finish();
    });
}

#[test]
fn refused_sender_continues_when_a_session_ends() {
    refused_sender_goes_on(Frees::Kick);
}

#[test]
fn refused_sender_continues_when_a_frame_is_acknowledged() {
    refused_sender_goes_on(Frees::Acknowledgement);
}

#[test]
fn refused_sender_continues_when_a_session_becomes_evictable() {
    refused_sender_goes_on(Frees::Suspension);
}

/// A session that enters the queue is evicted before it counts there.
#[test]
fn session_evicted_while_entering_counts_once() {
    explore(|time| {
        let world = ScenarioWorld::with(time, |builder| builder.max_retained_bytes(1000));
        let (mut ada, keeps) = ScenarioClient::session(world.shared(), "ada");
        let (mut bob, connection) = ScenarioClient::session(world.shared(), "bob");
        idle();
        send(&keeps, &[&big(600)]);
        idle();
        world.server.cut("ada").unwrap();
        let server = world.server.clone();
        let sends = thread(move || {
            (0..20).any(|_| {
                give_way();
                let sent = connection.send(&frame(big(600)));
                // At most both messages, plus the cost of a session.
                let used = server.shared().budget.used();
                assert!(used <= 2000, "{used} bytes are in use");
                sent.is_ok()
            })
        });
        assert!(sends.join().unwrap());
        idle();
        bob.read();
        assert_eq!(bob.received.len(), 1);
        assert_eq!(world.ends(), [("ada".to_owned(), CloseReason::Evicted)]);
        ada.leave();
        bob.leave();
        drop(keeps);
        world.finish();
    });
}

/// A session is evicted while its client returns.
#[test]
fn session_is_resumed_or_evicted() {
    explore(|time| {
        let world = ScenarioWorld::with(time, |builder| builder.max_retained_bytes(1000));
        let (mut ada, connection) = ScenarioClient::session(world.shared(), "ada");
        let (mut bob, sends) = ScenarioClient::session(world.shared(), "bob");
        idle();
        world.server.cut("ada").unwrap();
        idle();
        let resumes = thread(move || {
            assert!(ada.resume());
            ada
        });
        let sends = thread(move || sends.send(&frame(big(600))));
        let mut ada = resumes.join().unwrap();
        let sent = sends.join().unwrap();
        idle();
        let is_open = ada.read();
        bob.read();
        // The cost of a session with a socket may count for a moment longer.
        let is_refused = sent == Err(SendError::Full) && !connection.is_gone();
        assert!(is_refused || sent == Ok(()), "{sent:?}");
        assert_eq!(bob.received.len(), usize::from(sent.is_ok()));
        if connection.is_gone() {
            assert_eq!(world.ends(), [("ada".to_owned(), CloseReason::Evicted)]);
            assert_eq!(world.shared().realm.ids.get("ada").is_some(), ada.closed.is_none());
        } else {
            assert!(connection.is_attached() && is_open && world.ends().is_empty());
        }
        ada.leave();
        bob.leave();
        drop(connection);
        world.finish();
    });
}

/// The buffer of a session is full, and its socket too.
#[test]
fn sender_continues_when_a_full_socket_is_read() {
    explore(|time| {
        let world = ScenarioWorld::with(time, |builder| builder.send_buffer(1));
        let (mut ada, connection) =
            ScenarioClient::open(world.shared(), "ada", Offer::Plain { subprotocol: None }, 24);
        idle();
        let sends = world.task(async move {
            for event in ["first", "second", "third", "fourth"] {
                connection.send_wait(&frame(event)).await.unwrap();
            }
        });
        for _ in 0..20 {
            let reads = thread(move || {
                ada.read();
                ada
            });
            ada = reads.join().unwrap();
        }
        for _ in 0..10 {
            idle();
            ada.read();
        }
        joined(sends);
        assert_eq!(ada.received, ["first", "second", "third", "fourth"]);
        ada.leave();
        world.finish();
    });
}

/// A sender waits for space in the buffer of a session that hibernates and wakes.
#[test]
fn sender_continues_when_a_hibernated_session_resumes() {
    explore(|time| {
        let world = ScenarioWorld::with(time, |builder| {
            builder.send_buffer(1).write_timeout(Duration::from_secs(30))
        });
        let (mut ada, connection) = ScenarioClient::plain(world.shared(), "ada");
        idle();
        let server = world.server.clone();
        let cuts = thread(move || server.cut("ada").unwrap());
        let sends = world.task(async move {
            for event in ["1", "2", "3"] {
                connection.send_wait(&frame(event)).await.unwrap();
            }
        });
        cuts.join().unwrap();
        let resumes = thread(move || {
            assert!(ada.resume());
            ada
        });
        let mut ada = resumes.join().unwrap();
        idle();
        joined(sends);
        ada.read();
        assert_eq!(ada.received, ["1", "2", "3"]);
        ada.leave();
        world.finish();
    });
}
