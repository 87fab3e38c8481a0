//! Realms of a server with a store: a log for each.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rejoin_client::Connection as Client;
use rejoin_server::{Audience, Builder, Connection, Durability, Frame, History, Reject, Rewind, Server};
use rejoin_store::{LogId, MemoryStore, Store, StoreCall};
use rejoin_store_local::LocalStore;
use rejoin_tests::harness::{self, MortalStore, number, secs, session_lost, within};
use rejoin_tests::network::Line;

use crate::store::values;

const REALMS: [&str; 3] = ["", "blue", "red"];

/// A server that broadcasts each message to the others of the room, and echoes it.
fn talking(builder: Builder) -> Builder {
    builder.on_message(async |connection: Connection, frame: Frame| {
        connection.set_state(frame.payload().unwrap().data().to_vec());
        connection.server().broadcast(Audience::room("room").except(&connection), &frame).unwrap();
        connection.send(&frame).unwrap();
    })
}

fn builder(store: impl Store) -> Builder {
    talking(Server::builder(harness::connect)).store(store)
}

async fn join(server: &Server, id: &str, realm: &str) -> (Client, Line) {
    let line = Line::to(server);
    let client = line.client(&format!("/?id={id}&room=room&realm={realm}")).connect().await.unwrap();
    (client, line)
}

/// Two members of the same room in each realm, with the same IDs.
async fn members(server: &Server) -> Vec<[(Client, Line); 2]> {
    let mut members = Vec::new();
    for realm in REALMS {
        members.push([join(server, "ada", realm).await, join(server, "bob", realm).await]);
    }
    members
}

/// Each hears the other, and nobody else.
async fn talk(members: &mut [[(Client, Line); 2]], from: u64) {
    for (n, [(ada, _), _]) in (from..).step_by(10).zip(members.iter_mut()) {
        ada.send(&number(n)).unwrap();
    }
    for (n, [(ada, _), (bob, _)]) in (from..).step_by(10).zip(members.iter_mut()) {
        assert_eq!((values(ada, 1).await, values(bob, 1).await), (vec![n], vec![n]));
        bob.send(&number(n + 1)).unwrap();
        assert_eq!((values(ada, 1).await, values(bob, 1).await), (vec![n + 1], vec![n + 1]));
    }
}

/// Over a restart with this store everything is where it was.
async fn restarts<S: Store>(open: impl AsyncFn() -> S, durability: Durability) {
    let first = builder(open().await).durability(durability).build().unwrap();
    let mut members = members(&first).await;
    talk(&mut members, 1).await;
    for [_, (_, bob_line)] in &members {
        bob_line.unplug();
    }
    for (n, [(ada, _), _]) in (100..).zip(&mut members) {
        ada.send(&number(n)).unwrap();
        assert_eq!(values(ada, 1).await, [n]);
    }
    members.iter().flatten().for_each(|(_, line)| line.unplug());
    first.shutdown(secs(20)).await;
    // The store closes when nobody has the server.
    let nowhere = Server::builder(harness::connect).build().unwrap();
    members.iter().flatten().for_each(|(_, line)| line.lead_to(&nowhere));
    drop(first);

    let second = builder(open().await).durability(durability).build().unwrap();
    second.committed().await;
    assert_eq!(second.realms(), REALMS[1..], "before any request");
    for realm in REALMS.map(|realm| second.realm(realm)) {
        assert_eq!((realm.member_count("room"), realm.connections(Audience::everyone()).len()), (2, 2));
        assert!(realm.connection("ada").is_some_and(|ada| ada.realm() == realm.realm_name()));
    }
    for (_, line) in members.iter().flatten() {
        line.lead_to(&second);
        line.plug_in();
    }
    for (n, [_, (bob, _)]) in (100..).zip(&mut members) {
        assert_eq!(values(bob, 1).await, [n]);
    }
    talk(&mut members, 200).await;
    second.shutdown(secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_brings_the_sessions_of_each_realm_back() {
    for durability in [Durability::Commit, Durability::Handover] {
        let store = MemoryStore::new();
        restarts(async || store.clone(), durability).await;
    }
}

#[tokio::test]
async fn so_it_does_from_a_directory() {
    for durability in [Durability::Commit, Durability::Handover] {
        let folder = tempfile::tempdir().unwrap();
        restarts(async || LocalStore::open(folder.path()).unwrap(), durability).await;
    }
}

/// A request that leaves the realm out finds its session after a restart, too: before the server has opened the realm for anybody else.
#[tokio::test(start_paused = true)]
async fn a_resume_without_a_realm_finds_its_session() {
    for durability in [Durability::Commit, Durability::Handover] {
        let store = MemoryStore::new();
        let realm = Arc::new(Mutex::new(Some("blue")));
        let server = || {
            let realm = realm.clone();
            let connect = move |request| {
                let realm = *realm.lock().unwrap();
                async move {
                    let identity = harness::connect(request).await?;
                    Ok::<_, Reject>(identity.with_realm(realm.unwrap_or_default()))
                }
            };
            let builder =
                Server::builder(connect).on_message(async |connection: Connection, frame: Frame| {
                    connection.send(&frame).unwrap();
                });
            builder.store(store.clone()).durability(durability).build().unwrap()
        };
        let first = server();
        let (mut ada, line) = join(&first, "ada", "").await;
        ada.send(&number(1)).unwrap();
        assert_eq!(values(&mut ada, 1).await, [1]);
        *realm.lock().unwrap() = None;
        first.shutdown(secs(20)).await;
        let second = server();
        line.lead_to(&second);
        ada.send(&number(2)).unwrap();
        assert_eq!(values(&mut ada, 1).await, [2]);
        assert!(second.connection("ada").is_none() && second.realm("blue").connection("ada").is_some());

        // Another realm is a fresh session, as without a store.
        *realm.lock().unwrap() = Some("red");
        line.cut();
        session_lost(&mut ada).await;
        ada.send(&number(3)).unwrap();
        assert_eq!(values(&mut ada, 1).await, [3]);
        assert_eq!(second.realms(), ["blue", "red"]);
        second.shutdown(secs(20)).await;
    }
}

/// Two servers; whether the requests name their realm or not, the session moves, and its room goes on at both.
#[tokio::test(start_paused = true)]
async fn a_session_of_a_realm_moves_to_another_server() {
    let store = MemoryStore::new();
    let says_realm = Arc::new(AtomicBool::new(true));
    let [a, b] = ["a", "b"].map(|name| {
        let says_realm = says_realm.clone();
        let connect = move |request| {
            let says_realm = says_realm.load(Ordering::SeqCst);
            async move {
                let identity = harness::connect(request).await?;
                Ok::<_, Reject>(if says_realm { identity } else { identity.with_realm("") })
            }
        };
        talking(Server::builder(connect)).store(store.clone()).node(name).build().unwrap()
    });
    let (mut ada, line) = join(&a, "ada", "blue").await;
    let (mut bob, _bob_line) = join(&a, "bob", "blue").await;
    let (mut eve, _eve_line) = join(&b, "ada", "red").await;
    for (n, to) in [&b, &a, &b, &a].into_iter().enumerate() {
        says_realm.store(n < 2, Ordering::SeqCst);
        let said = 2 * n as u64;
        line.lead_to(to);
        line.cut();
        bob.send(&number(said)).unwrap();
        assert_eq!((values(&mut ada, 1).await, values(&mut bob, 1).await), (vec![said], vec![said]));
        ada.send(&number(said + 1)).unwrap();
        assert_eq!((values(&mut ada, 1).await, values(&mut bob, 1).await), (vec![said + 1], vec![said + 1]));
        let has = |server: &Server| server.realm("blue").connection("ada").is_some();
        assert_eq!((has(&a), has(&b)), (std::ptr::eq(to, &a), std::ptr::eq(to, &b)));
    }
    eve.send(&number(50)).unwrap();
    assert_eq!(values(&mut eve, 1).await, [50], "the same ID in another realm is nobody's duplicate");
    a.shutdown(secs(5)).await;
    b.shutdown(secs(5)).await;
}

/// What a handler says to another realm is not part of its commit.
#[tokio::test(start_paused = true)]
async fn what_is_said_to_another_realm_is_a_commit_of_its_own() {
    let store = MemoryStore::new();
    let mortal = MortalStore::new(&store);
    let waits = Arc::new(tokio::sync::Semaphore::new(0));
    let permits = waits.clone();
    let make = |store: MortalStore| {
        let permits = permits.clone();
        Server::builder(harness::connect)
            .on_message(move |connection: Connection, frame: Frame| {
                let permits = permits.clone();
                async move {
                    let red = connection.server().realm("red");
                    red.broadcast("room", &frame).unwrap();
                    connection.server().broadcast("room", &frame).unwrap();
                    red.committed().await;
                    permits.acquire().await.unwrap().forget();
                }
            })
            .store(store)
            .build()
            .unwrap()
    };
    let first = make(mortal.clone());
    let (mut blue, blue_line) = join(&first, "ada", "blue").await;
    let (mut red, red_line) = join(&first, "ada", "red").await;
    blue.send(&number(1)).unwrap();
    assert_eq!(values(&mut red, 1).await, [1], "although the handler has not returned");
    mortal.kill().await;
    blue_line.unplug();
    red_line.unplug();
    first.shutdown(secs(0)).await;

    waits.add_permits(10);
    let second = make(MortalStore::new(&store));
    for line in [&blue_line, &red_line] {
        line.lead_to(&second);
        line.plug_in();
    }
    assert_eq!(values(&mut blue, 1).await, [1], "once, by the second run");
    assert_eq!(values(&mut red, 1).await, [1], "once more, by the second run");
    second.shutdown(secs(5)).await;
}

/// The records of a log.
async fn records(store: &MemoryStore, log: LogId) -> Vec<String> {
    let records = store.records(log, None, 99).await.unwrap();
    records.into_iter().map(|record| record.id.into()).collect()
}

/// A realm that everybody has left has no tasks, and what was said last is in the store. It is opened again with what the store has.
#[tokio::test(start_paused = true)]
async fn a_realm_is_closed_when_everybody_has_left() {
    let store = MemoryStore::new();
    let ends = Arc::new(Mutex::new(Vec::new()));
    let seen = ends.clone();
    let server = builder(store.clone())
        .on_disconnect(move |connection, _| {
            seen.lock().unwrap().push(connection.realm().map(String::from));
            connection.server().broadcast("room", &number(9)).unwrap();
            async {}
        })
        .build()
        .unwrap();
    server.committed().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for round in 1..=3 {
        let (mut ada, line) = join(&server, "ada", "blue").await;
        let (mut bob, _line) = join(&server, "bob", "blue").await;
        ada.send(&number(round)).unwrap();
        assert_eq!((values(&mut ada, 1).await, values(&mut bob, 1).await), (vec![round], vec![round]));
        assert!(tasks() > before);
        ada.close().await;
        assert_eq!(values(&mut bob, 1).await, [9]);
        bob.close().await;
        // Opened again before the tasks of the last time have ended.
        let (mut ada, _line) = join(&server, "ada", "blue").await;
        ada.send(&number(round)).unwrap();
        assert_eq!(values(&mut ada, 1).await, [round]);
        ada.close().await;
        drop(line);
        tokio::time::sleep(secs(10)).await;
        assert_eq!((server.realms(), tasks()), (vec![], before), "in round {round}");
        assert_eq!(ends.lock().unwrap().len() as u64, 3 * round);
    }
    server.shutdown(secs(5)).await;
    // No session is left, only what the server has noted: its writer in each log, and the realm.
    assert_eq!(records(&store, LogId(1)).await, ["", ""]);
    let second = builder(store.clone()).build().unwrap();
    second.committed().await;
    assert_eq!((second.realms(), records(&store, LogId(1)).await.len()), (vec![], 1), "it forgets the realm");
    second.shutdown(secs(5)).await;
}

/// What is said through a handle to a realm in which nobody is, is committed although the handle is gone at once.
#[tokio::test(start_paused = true)]
async fn what_is_said_to_an_empty_realm_is_in_its_log() {
    let store = MemoryStore::new();
    let history = || History::new().frames(5);
    let server = builder(store.clone()).history(history()).build().unwrap();
    for n in 1..=3 {
        server.realm("blue").broadcast("room", &number(n)).unwrap();
    }
    let (mut ada, _line) = join(&server, "ada", "blue").await;
    let connection = server.realm("blue").connection("ada").unwrap();
    connection.join("other").await.unwrap();
    server.realm("blue").broadcast("other", &number(4)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [4]);
    ada.close().await;
    tokio::time::sleep(secs(5)).await;
    server.shutdown(secs(5)).await;

    let second = builder(store.clone()).history(history()).build().unwrap();
    let (mut ben, _line) = join(&second, "ben", "blue").await;
    let connection = second.realm("blue").connection("ben").unwrap();
    assert_eq!(connection.join("other").rewind(Rewind::Last(5)).await.unwrap().frames, 1);
    assert_eq!(values(&mut ben, 1).await, [4]);
    // The first three were said to the home room.
    let (mut eve, _line) = {
        let line = Line::to(&second);
        (line.client("/?id=eve&room=room&realm=blue&rewind=5").connect().await.unwrap(), line)
    };
    assert_eq!(values(&mut eve, 3).await, [1, 2, 3]);
    second.shutdown(secs(5)).await;
}

/// The window of a session in a realm ends once, in whichever process.
#[tokio::test(start_paused = true)]
async fn windows_of_a_realm_end_after_a_restart() {
    let store = MemoryStore::new();
    let ends = Arc::new(Mutex::new(Vec::new()));
    let make = |store: MortalStore| {
        let seen = ends.clone();
        builder(store)
            .on_disconnect(move |connection, why| {
                seen.lock().unwrap().push((connection.realm().map(String::from), why.kind()));
                async {}
            })
            .build()
            .unwrap()
    };
    let mortal = MortalStore::new(&store);
    let first = make(mortal.clone());
    let (mut ada, line) = join(&first, "ada", "blue").await;
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    line.unplug();
    mortal.kill().await;
    first.shutdown(secs(0)).await;
    let second = make(MortalStore::new(&store));
    second.committed().await;
    assert_eq!(second.realms(), ["blue"]);
    tokio::time::sleep(secs(120)).await;
    assert_eq!(*ends.lock().unwrap(), [(Some("blue".into()), "window_expired")]);
    assert_eq!(second.realms(), Vec::<String>::new());
    second.shutdown(secs(5)).await;
}

/// The store is down for all realms; each goes on when it is back.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_fails_for_each_realm() {
    let store = MemoryStore::new();
    let server = builder(store.clone()).build().unwrap();
    let (mut ada, _line) = join(&server, "ada", "blue").await;
    store.set_faults(|_: StoreCall| rejoin_store::Fault::Lost);
    ada.send(&number(1)).unwrap();
    tokio::time::sleep(secs(3)).await;
    for realm in REALMS.map(|realm| server.realm(realm)) {
        assert!(!realm.health().is_ready);
    }
    let line = Line::to(&server);
    assert!(line.client("/?id=eve&realm=red").connect().await.is_err());
    store.heal();
    assert_eq!(values(&mut ada, 1).await, [1]);
    assert!(server.health().is_ready);
    let (_eve, _line) = within("a newcomer", join(&server, "eve", "red")).await;
    server.shutdown(secs(5)).await;
}
