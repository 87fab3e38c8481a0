//! Broadcasts while members join, leave, hibernate and close.

use rejoin_core::Overflow;
use rejoin_core::drive::model::{explore, idle, thread};

use super::client::{ScenarioClient, arrive};
use super::{ScenarioWorld, broadcast, frame, kick, send};
use crate::accept::offer::Offer;

/// The fan-out ends, starts another round, and writes concurrently with a broadcast.
#[test]
fn broadcasts_of_two_threads_have_one_order() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let mut clients = ["ada", "bob", "cyd"].map(|id| ScenarioClient::plain(world.shared(), id).0);
        idle();
        let threads = [["a1", "a2"], ["b1", "b2"]].map(|events| {
            let server = world.server.clone();
            thread(move || assert_eq!(broadcast(&server, &events), 6))
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        idle();
        assert_eq!(world.shared().budget.used(), 0, "all have it");
        for client in &mut clients {
            client.read();
            let of = |thread: char| client.received.iter().filter(|event| event.starts_with(thread)).count();
            assert_eq!((client.received.len(), of('a'), of('b')), (4, 2, 2));
            let place = |event: &str| client.received.iter().position(|received| received == event);
            assert!(place("a1") < place("a2") && place("b1") < place("b2"));
        }
        assert!(clients.iter().all(|client| client.received == clients[0].received));
        clients.into_iter().for_each(|mut client| client.leave());
        world.finish();
    });
}

/// A broadcast writes to a chunk itself while the fan-out writes to it.
#[test]
fn members_of_a_lagging_chunk_lose_nothing() {
    explore(|time| {
        let world = ScenarioWorld::with(time, |builder| builder.send_buffer(8));
        let mut clients = ["ada", "bob"].map(|id| ScenarioClient::plain(world.shared(), id).0);
        idle();
        let threads = [["1", "2", "3"], ["1", "2", "3"]].map(|events| {
            let server = world.server.clone();
            thread(move || broadcast(&server, &events))
        });
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), 6));
        idle();
        for client in &mut clients {
            client.read();
            assert_eq!(client.received.len(), 6);
        }
        assert_eq!(clients[0].received, clients[1].received);
        clients.into_iter().for_each(|mut client| client.leave());
        world.finish();
    });
}

/// A member loses its socket, hibernates, and gets another socket while broadcasts continue.
#[test]
fn hibernated_member_gets_missed_broadcasts() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut ada, connection) = ScenarioClient::session(world.shared(), "ada");
        let (mut bob, _) = ScenarioClient::plain(world.shared(), "bob");
        idle();
        let server = world.server.clone();
        let cuts = thread(move || server.cut("ada").unwrap());
        let server = world.server.clone();
        let broadcasts = thread(move || {
            assert_eq!(broadcast(&server, &["1", "2"]), 4);
            send(&connection, &["3"]);
            assert_eq!(broadcast(&server, &["4"]), 2);
        });
        cuts.join().unwrap();
        let resumes = thread(move || {
            assert!(ada.resume());
            ada
        });
        broadcasts.join().unwrap();
        let mut ada = resumes.join().unwrap();
        idle();
        assert!(ada.read() && bob.read());
        assert_eq!(
            (ada.received.as_slice(), bob.received.as_slice()),
            (&["1", "2", "3", "4"].map(String::from)[..], &["1", "2", "4"].map(String::from)[..])
        );
        ada.leave();
        bob.leave();
        world.finish();
    });
}

/// When a member leaves, the last member takes its slot, and changes its log.
#[test]
fn members_miss_nothing_while_others_join_and_leave() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let [mut ada, mut bob, mut cyd] =
            ["ada", "bob", "cyd"].map(|id| ScenarioClient::plain(world.shared(), id).0);
        idle();
        let server = world.server.clone();
        let leaves = thread(move || kick(&server, "ada"));
        let shared = world.shared().clone();
        let joins = thread(move || ScenarioClient::plain(&shared, "dan").0);
        let server = world.server.clone();
        let broadcasts = thread(move || broadcast(&server, &["1", "2", "3"]));
        leaves.join().unwrap();
        let mut dan = joins.join().unwrap();
        let queued = broadcasts.join().unwrap();
        idle();
        for client in [&mut ada, &mut bob, &mut cyd, &mut dan] {
            client.read();
        }
        let all = ["1", "2", "3"].map(String::from);
        assert_eq!((&*bob.received, &*cyd.received), (&all[..], &all[..]));
        assert!(all.ends_with(&dan.received), "{:?}", dan.received);
        // A kick discards queued frames.
        assert!(all.starts_with(&ada.received), "{:?}", ada.received);
        assert!((6..=9 + 3).contains(&queued) && queued >= 6 + dan.received.len() + ada.received.len());
        [ada, bob, cyd, dan].iter_mut().for_each(ScenarioClient::leave);
        idle();
        assert_eq!(world.shared().budget.messages(), 0, "all have it");
        world.finish();
    });
}

/// A closing connection gets the frames that were queued for it, and none is queued for it afterwards.
#[test]
fn closing_member_gets_each_broadcast_that_counted_it() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut ada, connection) = ScenarioClient::plain(world.shared(), "ada");
        let (mut bob, _) = ScenarioClient::plain(world.shared(), "bob");
        idle();
        let closes = thread(move || connection.close_with(4321, "enough").unwrap());
        let server = world.server.clone();
        let broadcasts = thread(move || broadcast(&server, &["1", "2", "3"]));
        closes.join().unwrap();
        let queued = broadcasts.join().unwrap();
        idle();
        ada.read();
        bob.read();
        assert_eq!((ada.closed, bob.received.len()), (Some(4321), 3));
        assert_eq!(queued, 3 + ada.received.len());
        ada.leave();
        bob.leave();
        world.finish();
    });
}

/// Frames that are offered to each member are in one order with those in the log.
#[test]
fn broadcasts_of_two_policies_have_one_order() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut ada, connection) = ScenarioClient::plain(world.shared(), "ada");
        let mut bob = ScenarioClient::plain(world.shared(), "bob").0;
        idle();
        let server = world.server.clone();
        let logs = thread(move || assert_eq!(broadcast(&server, &["l1", "l2"]), 4));
        let server = world.server.clone();
        let asks = thread(move || {
            for event in ["r1", "r2"] {
                assert_eq!(server.broadcast_with("room", &frame(event), Overflow::Reject), Ok(2));
            }
        });
        send(&connection, &["s1", "s2"]);
        logs.join().unwrap();
        asks.join().unwrap();
        idle();
        ada.read();
        bob.read();
        let place = |event: &str| ada.received.iter().position(|received| received == event).unwrap();
        assert!(place("l1") < place("l2") && place("r1") < place("r2") && place("s1") < place("s2"));
        ada.received.retain(|event| !event.starts_with('s'));
        assert_eq!((ada.received.len(), &ada.received), (4, &bob.received));
        ada.leave();
        bob.leave();
        drop(connection);
        world.finish();
    });
}

/// The session's own task continues to write to a full socket, also when the fan-out has found it full.
#[test]
fn full_socket_is_written_again_when_read() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let (mut ada, _) =
            ScenarioClient::open(world.shared(), "ada", Offer::Plain { subprotocol: None }, 24);
        idle();
        let server = world.server.clone();
        let broadcasts = thread(move || assert_eq!(broadcast(&server, &["first", "second", "third"]), 3));
        let reads = thread(move || {
            ada.read();
            ada.read();
            ada
        });
        broadcasts.join().unwrap();
        let mut ada = reads.join().unwrap();
        for _ in 0..10 {
            idle();
            ada.read();
        }
        assert_eq!(ada.received, ["first", "second", "third"]);
        ada.leave();
        world.finish();
    });
}

/// The last member leaves, and the room ends, while another one joins.
#[test]
fn member_joining_an_ending_room_gets_a_room() {
    explore(|time| {
        let world = ScenarioWorld::new(time);
        let mut ada = ScenarioClient::plain(world.shared(), "ada").0;
        idle();
        let server = world.server.clone();
        let leaves = thread(move || kick(&server, "ada"));
        let shared = world.shared().clone();
        let joins = thread(move || {
            let offer = Offer::Plain { subprotocol: None };
            arrive(&shared, "bob", &offer, 1 << 10).expect("nothing is against it")
        });
        leaves.join().unwrap();
        let bob = joins.join().unwrap();
        idle();
        assert_eq!((broadcast(&world.server, &["1"]), world.shared().realm.rooms.len()), (1, 1));
        ada.leave();
        drop(bob);
        world.finish();
    });
}
