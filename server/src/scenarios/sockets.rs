//! Sockets arrive and are lost while the session hibernates and wakes.

use rejoin_core::drive::model::{explore, idle, thread};

use rejoin_core::CloseReason;

use super::client::ScenarioClient;
use super::{ScenarioWorld, kick, send};

/// The session hibernates while a socket arrives: whichever comes second sees the other.
#[test]
fn arriving_socket_gets_frames_the_lost_one_missed() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut client, connection) = ScenarioClient::session(world.shared(), "ada");
        let server = world.server.clone();
        let cuts = thread(move || server.cut("ada").is_ok());
        let sending = connection.clone();
        let sends = thread(move || send(&sending, &["1", "2"]));
        let resumes = thread(move || {
            assert!(client.resume());
            client
        });
        let mut client = resumes.join().unwrap();
        sends.join().unwrap();
        cuts.join().unwrap();
        idle();
        if !client.read() {
            // The second socket was cut.
            assert!(client.resume());
            idle();
            assert!(client.read());
        }
        assert_eq!(client.received, ["1", "2"]);
        client.leave();
        drop(connection);
        world.finish();
    });
}

/// The session ends for good while a socket arrives for it: without a task, that socket would stay open forever.
#[test]
fn socket_arriving_at_the_end_is_closed() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut client, connection) = ScenarioClient::plain(world.shared(), "ada");
        idle();
        world.server.cut("ada").unwrap();
        let server = world.server.clone();
        let kicks = thread(move || kick(&server, "ada"));
        let resumes = thread(move || {
            client.resume();
            client
        });
        let mut client = resumes.join().unwrap();
        kicks.join().unwrap();
        idle();
        if connection.is_gone() && world.shared().realm.ids.get("ada").is_none() {
            assert!(!client.read() || client.closed.is_some(), "the socket was left open");
        }
        assert_eq!(world.ends()[0], ("ada".to_owned(), CloseReason::Kicked));
        client.leave();
        world.finish();
    });
}
