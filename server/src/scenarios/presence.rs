//! Joins and leaves are reported in their order, each once, while sessions rest and end.

use std::sync::{Arc, Mutex};

use rejoin_core::drive::model::{Time, explore, idle, thread};

use super::client::ScenarioClient;
use super::{ScenarioWorld, kick, now_or_never};

type Notes = Arc<Mutex<Vec<String>>>;

/// A world, and its recorded joins, leaves and disconnects.
fn world(time: &Time) -> (ScenarioWorld<'_>, Notes) {
    let notes = Notes::default();
    let [joins, leaves, ends] = [(); 3].map(|()| notes.clone());
    let world = ScenarioWorld::with(time, |builder| {
        let note = |notes: &Notes, what: String| notes.lock().unwrap().push(what);
        builder
            .on_join(move |_, room| {
                note(&joins, format!("join {room}"));
                async {}
            })
            .on_leave(move |_, room| {
                note(&leaves, format!("leave {room}"));
                async {}
            })
            .on_disconnect(move |_, _| {
                note(&ends, "end".into());
                async {}
            })
    });
    (world, notes)
}

fn taken(notes: &Notes) -> Vec<String> {
    std::mem::take(&mut *notes.lock().unwrap())
}

/// A session loses its socket and comes to rest while another thread changes its rooms: a change wakes it.
#[test]
fn changes_of_a_resting_session_are_reported() {
    explore(|time| {
        let (world, notes) = world(time);
        let (mut ada, connection) = ScenarioClient::session(world.shared(), "ada");
        idle();
        assert_eq!(taken(&notes), ["join room"]);
        let changes = thread({
            let connection = connection.clone();
            move || {
                assert_eq!(now_or_never(connection.join("side")), Ok(true));
                assert_eq!(now_or_never(connection.leave("side")), Ok(true));
            }
        });
        world.server.cut("ada").unwrap();
        changes.join().unwrap();
        idle();
        assert_eq!(taken(&notes), ["join side", "leave side"]);
        ada.leave();
        drop(connection);
        world.finish();
    });
}

/// Two threads change the rooms of a session that a third one kicks.
#[test]
fn each_join_is_followed_by_one_leave() {
    explore(|time| {
        let (world, notes) = world(time);
        let (mut ada, connection) = ScenarioClient::plain(world.shared(), "ada");
        idle();
        let changes = [(); 2].map(|()| {
            let connection = connection.clone();
            thread(move || {
                now_or_never(connection.join("side")).ok();
                now_or_never(connection.leave("side")).unwrap();
            })
        });
        let server = world.server.clone();
        let kicks = thread(move || kick(&server, "ada"));
        changes.into_iter().for_each(|thread| thread.join().unwrap());
        kicks.join().unwrap();
        idle();
        let notes = taken(&notes);
        let mut rooms = Vec::new();
        for note in &notes {
            match note.split_once(' ') {
                Some(("join", room)) => {
                    assert!(!rooms.contains(&room), "{notes:?}");
                    rooms.push(room);
                }
                Some((_, room)) => {
                    let place = rooms.iter().position(|other| *other == room);
                    rooms.remove(place.unwrap_or_else(|| panic!("{notes:?}")));
                }
                None => assert!(rooms.is_empty(), "{notes:?}"),
            }
        }
        assert_eq!(notes.last().map(String::as_str), Some("end"));
        ada.leave();
        drop(connection);
        world.finish();
    });
}
