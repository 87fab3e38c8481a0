//! Ends of sessions: windows, evictions, kicks, shutdown, and callers that wait for them.

use std::time::Duration;

use rejoin_core::CloseReason;
use rejoin_core::drive::model::{explore, idle, thread};

use super::client::{ScenarioClient, arrive};
use super::{ScenarioWorld, WINDOW, kick};
use crate::accept::offer::Offer;

/// A caller waits for the end of a session, or is just about to.
#[test]
fn closed_returns_when_the_session_ends() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut client, connection) = ScenarioClient::plain(world.shared(), "ada");
        let waits = [(); 2].map(|()| {
            let connection = connection.clone();
            world.task(async move { connection.closed().await })
        });
        let server = world.server.clone();
        let kicks = thread(move || kick(&server, "ada"));
        kicks.join().unwrap();
        connection.end(CloseReason::Kicked);
        idle();
        waits.into_iter().for_each(super::joined);
        assert!(world.shared().ends.is_empty());
        client.leave();
        drop(connection);
        world.finish();
    });
}

/// A window expires while the client returns.
#[test]
fn session_resumes_or_its_window_expires() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut client, connection) = ScenarioClient::session(world.shared(), "ada");
        idle();
        world.server.cut("ada").unwrap();
        let passes = thread({
            let time = time.clone();
            move || time.pass(WINDOW)
        });
        let resumes = thread(move || {
            assert!(client.resume());
            client
        });
        passes.join().unwrap();
        let mut client = resumes.join().unwrap();
        idle();
        let is_open = client.read();
        if connection.is_gone() {
            assert_eq!(world.ends(), [("ada".to_owned(), CloseReason::WindowExpired)]);
            // The client has a fresh session, unless its socket was promised the old one.
            assert_eq!(world.shared().realm.ids.get("ada").is_some(), client.closed.is_none());
        } else {
            assert!(connection.is_attached() && is_open && world.ends().is_empty());
        }
        client.leave();
        drop(connection);
        world.finish();
    });
}

/// The last session leaves the expiry queue, whose task ends, while another one enters.
#[test]
fn window_expires_after_entering_an_empty_queue() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let mut ada = ScenarioClient::plain(world.shared(), "ada").0;
        let (mut bob, connection) = ScenarioClient::plain(world.shared(), "bob");
        idle();
        world.server.cut("ada").unwrap();
        let resumes = thread(move || {
            ada.resume();
            ada
        });
        let server = world.server.clone();
        let cuts = thread(move || server.cut("bob").unwrap());
        let mut ada = resumes.join().unwrap();
        cuts.join().unwrap();
        idle();
        assert!(ada.read() && !bob.read() && !connection.is_gone());
        time.pass(WINDOW);
        idle();
        assert!(connection.is_gone());
        assert_eq!(world.ends(), [("bob".to_owned(), CloseReason::WindowExpired)]);
        ada.leave();
        drop(connection);
        world.finish();
    });
}

/// A session is closed, and loses its socket at the same time.
#[test]
fn closed_session_ends_exactly_once() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut client, connection) = ScenarioClient::plain(world.shared(), "ada");
        let server = world.server.clone();
        let cuts = thread(move || server.cut("ada").is_ok());
        let closing = connection.clone();
        let closes = thread(move || closing.close());
        cuts.join().unwrap();
        closes.join().unwrap();
        let waiting = connection.clone();
        let waits = world.task(async move { waiting.closed().await });
        idle();
        client.leave();
        for _ in 0..10 {
            time.pass(Duration::from_secs(1));
            idle();
        }
        super::joined(waits);
        assert!(world.ends().len() <= 1 && connection.is_gone());
        drop(connection);
        world.finish();
    });
}

/// A socket and its session arrive while the server shuts down.
#[test]
fn shutdown_ends_late_sessions() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let mut ada = ScenarioClient::plain(world.shared(), "ada").0;
        let shared = world.shared().clone();
        let accepts = world.shared().tasks.track_future(async move {
            arrive(&shared, "bob", &Offer::Plain { subprotocol: None }, 1 << 10)
        });
        let accepts = world.task(accepts);
        let server = world.server.clone();
        let shutdown = world.task(async move { server.shutdown(Duration::from_secs(20)).await });
        idle();
        ada.leave();
        drop(super::joined(accepts));
        idle();
        assert_eq!(super::joined(shutdown), 0);
        assert_eq!(world.shared().registry.running().len(), 0);
        world.finish();
    });
}

/// An abort ends everything while a session hibernates.
#[test]
fn abort_reaches_a_hibernating_session() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut client, connection) = ScenarioClient::plain(world.shared(), "ada");
        idle();
        let server = world.server.clone();
        let cuts = thread(move || server.cut("ada").is_ok());
        let shared = world.shared().clone();
        let aborts = thread(move || shared.abort());
        cuts.join().unwrap();
        aborts.join().unwrap();
        idle();
        assert!(connection.is_gone());
        client.leave();
        drop(connection);
        world.finish();
    });
}
