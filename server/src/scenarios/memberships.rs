//! Broadcasts to several rooms while connections join and leave them.

use rejoin_core::drive::model::{explore, idle, thread};

use super::client::ScenarioClient;
use super::{ScenarioWorld, frame, now_or_never};
use crate::{Audience, Connection};

fn join(connection: &Connection, room: &str) -> bool {
    now_or_never(connection.join(room)).is_ok_and(|is_new| is_new)
}

/// Two threads lock the same rooms, which their audiences name in opposite orders.
#[test]
fn audiences_lock_rooms_in_one_order() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut ada, connection) = ScenarioClient::plain(world.shared(), "ada");
        let mut bob = ScenarioClient::plain(world.shared(), "bob").0;
        idle();
        assert!(join(&connection, "side"));
        let threads = [["room", "side"], ["side", "room"]].map(|rooms| {
            let server = world.server.clone();
            thread(move || {
                assert_eq!(server.broadcast(Audience::rooms(rooms), &frame(rooms[0])), Ok(2), "each once");
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        idle();
        ada.read();
        bob.read();
        assert_eq!((ada.received.len(), &ada.received), (2, &bob.received), "one order");
        ada.leave();
        bob.leave();
        drop(connection);
        world.finish();
    });
}

/// If one thread broadcasts to one room and then to another, the frames arrive in this order, even while other fan-outs run.
#[test]
fn order_is_causal_across_rooms() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut ada, connection) = ScenarioClient::session(world.shared(), "ada");
        let mut bob = ScenarioClient::plain(world.shared(), "bob").0;
        idle();
        assert!(join(&connection, "side"));
        let server = world.server.clone();
        let others = thread(move || assert_eq!(server.broadcast(Audience::everyone(), &frame("all")), Ok(2)));
        let server = world.server.clone();
        let speaks = thread(move || {
            assert_eq!(server.broadcast("room", &frame("1")), Ok(2));
            assert_eq!(server.broadcast("side", &frame("2")), Ok(1));
            connection.send(&frame("3")).unwrap();
            assert_eq!(server.broadcast(Audience::everyone(), &frame("4")), Ok(2));
            connection
        });
        others.join().unwrap();
        let connection = speaks.join().unwrap();
        idle();
        ada.read();
        bob.read();
        let without = |client: &ScenarioClient| -> Vec<_> {
            client.received.iter().filter(|event| *event != "all").cloned().collect()
        };
        assert_eq!((ada.received.len(), without(&ada)), (5, ["1", "2", "3", "4"].map(String::from).to_vec()));
        assert_eq!((bob.received.len(), without(&bob)), (3, ["1", "4"].map(String::from).to_vec()));
        ada.leave();
        bob.leave();
        drop(connection);
        world.finish();
    });
}

/// A room gains and loses a member while frames are queued for it.
#[test]
fn member_gets_broadcasts_between_join_and_leave() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut ada, connection) = ScenarioClient::plain(world.shared(), "ada");
        let (mut bob, stays) = ScenarioClient::plain(world.shared(), "bob");
        idle();
        assert!(join(&stays, "side"));
        let server = world.server.clone();
        let broadcasts = thread(move || {
            ["1", "2", "3"]
                .map(|event| server.broadcast("side", &frame(event)).unwrap())
                .iter()
                .sum::<usize>()
        });
        assert!(join(&connection, "side"));
        assert_eq!(now_or_never(connection.leave("side")), Ok(true));
        let queued = broadcasts.join().unwrap();
        idle();
        ada.read();
        bob.read();
        assert_eq!((queued, bob.received.len()), (3 + ada.received.len(), 3));
        assert!(
            bob.received
                .windows(ada.received.len().max(1))
                .any(|part| ada.received.is_empty() || part == ada.received)
        );
        ada.leave();
        bob.leave();
        drop((connection, stays));
        world.finish();
    });
}

/// A connection joins a room and gets a user while its session ends.
#[test]
fn ending_connection_stays_in_no_table() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut ada, connection) = ScenarioClient::plain(world.shared(), "ada");
        idle();
        let server = world.server.clone();
        let kicks = thread(move || super::kick(&server, "ada"));
        join(&connection, "side");
        connection.set_user(Some("ada"));
        kicks.join().unwrap();
        idle();
        assert_eq!((world.server.rooms(), world.server.users()), (vec![], vec![]));
        ada.leave();
        drop(connection);
        world.finish();
    });
}
