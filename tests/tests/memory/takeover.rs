//! Sessions that move between running servers over one store.

use std::sync::{Arc, Mutex};

use rejoin_client::Connection as Client;
use rejoin_server::{Audience, Builder, Connection, Frame, Rewind, Server};
use rejoin_store::{LogId, MemoryStore, Store as _, TailFault};
use rejoin_tests::harness::{self, millis, number, secs, session_lost, within};
use rejoin_tests::network::Line;

use crate::store::values;

/// Callbacks that have begun: of which server, and which.
#[derive(Debug, Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn note(&self, call: String) -> std::future::Ready<()> {
        self.0.lock().unwrap().push(call);
        std::future::ready(())
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A server that broadcasts each message to the others of the room, and echoes it. "join" is the exception: its sender joins a room.
fn builder(name: &'static str, store: &MemoryStore) -> Builder {
    Server::builder(harness::connect)
        .on_message(async |connection: Connection, frame: Frame| {
            if frame.event() == "join" {
                connection.join("aside").rewind(Rewind::Last(2)).await.unwrap();
                return;
            }
            connection.set_state(frame.payload().unwrap().data().to_vec());
            connection.server().broadcast(Audience::room("room").except(&connection), &frame).unwrap();
            connection.send(&frame).unwrap();
        })
        .store(store.clone())
        .node(name)
}

/// Two servers over one store.
fn servers(store: &MemoryStore) -> [Server; 2] {
    ["a", "b"].map(|name| builder(name, store).build().unwrap())
}

async fn client(line: &Line, id: &str) -> Client {
    line.client(&format!("/?id={id}&room=room")).connect().await.unwrap()
}

/// The next request goes to this server, and it comes at once.
fn redirect(line: &Line, to: &Server) {
    line.lead_to(to);
    line.cut();
}

#[tokio::test(start_paused = true)]
async fn a_session_moves_to_another_running_server_and_back() {
    let store = MemoryStore::new();
    let [a, b] = servers(&store);
    let (line, bob_line) = (Line::to(&a), Line::to(&a));
    let (mut ada, mut bob) = (client(&line, "ada").await, client(&bob_line, "bob").await);
    ada.send(&number(1)).unwrap();
    assert_eq!((values(&mut ada, 1).await, values(&mut bob, 1).await), (vec![1], vec![1]));
    let mut said = 2;
    for to in [&b, &a, &b, &b, &a] {
        redirect(&line, to);
        // Frames are sent while it moves, and by the other server afterwards.
        bob.send(&number(said)).unwrap();
        assert_eq!(values(&mut ada, 1).await, [said]);
        ada.send(&number(said + 1)).unwrap();
        assert_eq!(values(&mut ada, 1).await, [said + 1]);
        bob.send(&number(said + 2)).unwrap();
        assert_eq!(values(&mut ada, 1).await, [said + 2]);
        assert_eq!(values(&mut bob, 3).await.len(), 3);
        said += 3;
        let has = |server: &Server| server.connection("ada").is_some();
        let is_at_a = std::ptr::eq(to, &a);
        assert_eq!((has(&a), has(&b)), (is_at_a, !is_at_a));
        let state = to.connection("ada").unwrap().state().unwrap();
        assert_eq!(state, (said - 2).to_string().as_bytes(), "the state has come along");
    }
    for server in [a, b] {
        server.shutdown(secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_former_server_is_told_once_and_sees_no_end() {
    let (store, calls) = (MemoryStore::new(), Calls::default());
    let [a, b] = ["a", "b"].map(|name| {
        let [connects, moves, ends, backs] = [(); 4].map(|()| calls.clone());
        builder(name, &store)
            .on_connect(move |_| connects.note(format!("{name}: connect")))
            .on_back(move |_| backs.note(format!("{name}: back")))
            .on_moved(move |_| moves.note(format!("{name}: moved")))
            .on_disconnect(move |_, why| ends.note(format!("{name}: {}", why.kind())))
            .build()
            .unwrap()
    });
    let line = Line::to(&a);
    let mut ada = client(&line, "ada").await;
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    redirect(&line, &b);
    ada.send(&number(2)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [2]);
    tokio::time::sleep(secs(100)).await;
    assert_eq!(calls.take(), ["a: connect", "a: moved", "b: back"]);
    assert_eq!((a.member_count("room"), b.member_count("room")), (0, 1));
    ada.close().await;
    tokio::time::sleep(secs(1)).await;
    assert_eq!(calls.take(), ["b: normal"]);
    assert_eq!(store.records(LogId(1), None, 9).await.unwrap().len(), 2, "those of the servers themselves");
    for server in [a, b] {
        server.shutdown(secs(5)).await;
    }
}

async fn epoch(store: &MemoryStore, id: &str) -> u64 {
    let records = store.records(LogId(1), None, 99).await.unwrap();
    records.iter().find(|record| *record.id == *id).map_or(0, |record| record.epoch)
}

/// The first server's tail is silent for a while, so the server still believes to own the session when the client returns.
#[tokio::test(start_paused = true)]
async fn a_server_that_has_not_heard_of_it_asks_the_store() {
    let store = MemoryStore::new();
    let [a, b] = servers(&store);
    let line = Line::to(&a);
    let mut ada = client(&line, "ada").await;
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    let before = a.connection("ada").unwrap();
    store.set_tail_faults(|| TailFault::Delayed(millis(900)));
    redirect(&line, &b);
    while epoch(&store, "ada").await < 2 {
        tokio::time::sleep(millis(10)).await;
    }
    assert_eq!(a.connection("ada"), Some(before.clone()));
    redirect(&line, &a);
    ada.send(&number(3)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [3]);
    tokio::time::sleep(secs(10)).await;
    store.heal();
    assert!(a.connection("ada").is_some_and(|now| now != before) && b.connection("ada").is_none());
    ada.send(&number(4)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [4]);
    for server in [a, b] {
        server.shutdown(secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_of_a_dead_server_goes_on_at_another_one() {
    let store = MemoryStore::new();
    let [a, b] = servers(&store);
    let line = Line::to(&a);
    let mut ada = client(&line, "ada").await;
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    line.unplug();
    a.shutdown(std::time::Duration::ZERO).await;
    let bob_line = Line::to(&b);
    let bob = client(&bob_line, "bob").await;
    for n in 2..=4 {
        bob.send(&number(n)).unwrap();
    }
    tokio::time::sleep(secs(1)).await;
    line.lead_to(&b);
    line.plug_in();
    ada.send(&number(5)).unwrap();
    assert_eq!(values(&mut ada, 4).await, [2, 3, 4, 5]);
    b.shutdown(secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn rooms_and_what_was_rewound_are_folded() {
    let store = MemoryStore::new();
    let [a, b] = ["a", "b"].map(|name| {
        let history = rejoin_server::History::new();
        builder(name, &store).history(history).build().unwrap()
    });
    let line = Line::to(&a);
    let mut ada = client(&line, "ada").await;
    for n in 1..=3 {
        a.broadcast("aside", &number(n)).unwrap();
    }
    a.committed().await;
    ada.send(&Frame::event_only("join")).unwrap();
    assert_eq!(values(&mut ada, 2).await, [2, 3]);
    b.broadcast("aside", &number(4)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [4]);
    redirect(&line, &b);
    a.broadcast("aside", &number(5)).unwrap();
    a.broadcast(Audience::rooms(["room", "aside"]), &number(6)).unwrap();
    a.broadcast(Audience::everyone().except_room("aside"), &number(7)).unwrap();
    a.broadcast(Audience::id("ada"), &number(8)).unwrap();
    assert_eq!(values(&mut ada, 3).await, [5, 6, 8]);
    assert_eq!(b.member_count("aside"), 1);
    for server in [a, b] {
        server.shutdown(secs(5)).await;
    }
}

/// Its first frames are those of a history that is older than the session.
#[tokio::test(start_paused = true)]
async fn what_a_newcomer_was_rewound_to_is_folded() {
    let store = MemoryStore::new();
    let [a, b] = ["a", "b"].map(|name| {
        let history = rejoin_server::History::new();
        builder(name, &store).history(history).build().unwrap()
    });
    for n in 1..=3 {
        a.broadcast("room", &number(n)).unwrap();
    }
    a.committed().await;
    let line = Line::to(&a);
    let mut ada = line.client("/?id=ada&room=room&rewind=2").connect().await.unwrap();
    assert_eq!(values(&mut ada, 2).await, [2, 3]);
    redirect(&line, &b);
    ada.send(&number(4)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [4]);
    for server in [a, b] {
        server.shutdown(secs(5)).await;
    }
}

/// A join beyond the limit is no join in the fold, either.
#[tokio::test(start_paused = true)]
async fn a_fold_counts_rooms_as_the_follower_does() {
    let store = MemoryStore::new();
    let [a, b] = ["a", "b"].map(|name| builder(name, &store).max_rooms_per_connection(2).build().unwrap());
    let line = Line::to(&a);
    let mut ada = client(&line, "ada").await;
    let connection = a.connection("ada").unwrap();
    connection.join("second").await.unwrap();
    connection.join("third").await.unwrap_err();
    connection.leave("second").await.unwrap();
    connection.join("fourth").await.unwrap();
    for (n, room) in (1..).zip(["second", "third", "fourth", "room"]) {
        a.broadcast(room, &number(n)).unwrap();
    }
    assert_eq!(values(&mut ada, 2).await, [3, 4]);
    redirect(&line, &b);
    ada.send(&number(5)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [5]);
    let members = ["second", "third", "fourth", "room"].map(|room| b.member_count(room));
    assert_eq!(members, [0, 0, 1, 1]);
    for server in [a, b] {
        server.shutdown(secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_of_another_server_needs_its_secret() {
    let store = MemoryStore::new();
    let [a, b] = servers(&store);
    let line = Line::to(&a);
    let mut ada = client(&line, "ada").await;
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    let key = store.records(LogId(1), None, 9).await.unwrap();
    let key = key.iter().find(|record| &*record.id == "ada").unwrap().key.0;
    let forged = format!("{}{}", str::from_utf8(&key).unwrap(), "x".repeat(27));
    let answer =
        crate::store_down::dial(&b, "eve", &format!("rejoin.v1.json, rejoin.resume.{forged}.0")).await;
    assert!(answer.contains(r#""lost":"unknown""#), "{answer}");
    ada.send(&number(2)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [2]);
    assert!(a.connection("ada").is_some());
    let event = tokio::time::timeout(secs(1), ada.recv()).await;
    assert!(event.is_err(), "{event:?}");
    within("the end", async {
        for server in [a, b] {
            server.shutdown(secs(5)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_takes_the_id_of_a_session_at_another_server() {
    let (store, calls) = (MemoryStore::new(), Calls::default());
    let [a, b] = ["a", "b"].map(|name| {
        let [moves, ends] = [(); 2].map(|()| calls.clone());
        builder(name, &store)
            .on_moved(move |_| moves.note(format!("{name}: moved")))
            .on_disconnect(move |connection, why| {
                connection.server().broadcast("room", &number(7)).unwrap();
                ends.note(format!("{name}: {}", why.kind()))
            })
            .build()
            .unwrap()
    });
    let (line, other) = (Line::to(&a), Line::to(&b));
    let mut ada = client(&line, "ada").await;
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    let mut newcomer = client(&other, "ada").await;
    let event = within("the end", ada.recv()).await.unwrap();
    assert!(format!("{event:?}").contains("duplicate connection id"), "{event:?}");
    assert_eq!(values(&mut newcomer, 1).await, [7], "what the last callback says is not lost");
    newcomer.send(&number(2)).unwrap();
    assert_eq!(values(&mut newcomer, 1).await, [2]);
    assert_eq!(calls.take(), ["a: duplicate"]);
    assert_eq!(store.records(LogId(1), None, 9).await.unwrap().len(), 3);
    for server in [a, b] {
        server.shutdown(secs(5)).await;
    }
}

/// As after a failover to a copy that lags behind.
#[tokio::test(start_paused = true)]
async fn servers_begin_anew_when_the_store_has_lost_something() {
    let (store, calls) = (MemoryStore::new(), Calls::default());
    store.keep_steps(1000);
    let [a, b] = ["a", "b"].map(|name| {
        let moves = calls.clone();
        builder(name, &store).on_moved(move |_| moves.note(format!("{name}: moved"))).build().unwrap()
    });
    let (line, other) = (Line::to(&a), Line::to(&b));
    let (mut ada, mut bob) = (client(&line, "ada").await, client(&other, "bob").await);
    for n in 1..=3 {
        ada.send(&number(n)).unwrap();
    }
    assert_eq!(values(&mut ada, 3).await, [1, 2, 3]);
    assert_eq!(values(&mut bob, 3).await, [1, 2, 3]);
    assert_eq!(store.fail_over(2), 2);
    session_lost(&mut ada).await;
    session_lost(&mut bob).await;
    assert_eq!(a.connection("ada").unwrap().state(), None, "it is another session");
    for n in 4..=6 {
        ada.send(&number(n)).unwrap();
    }
    assert_eq!(values(&mut ada, 3).await, [4, 5, 6]);
    assert_eq!(values(&mut bob, 3).await, [4, 5, 6]);
    redirect(&line, &b);
    ada.send(&number(7)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [7]);
    assert_eq!(values(&mut bob, 1).await, [7]);
    let mut calls = calls.take();
    calls.sort();
    assert_eq!(calls, ["a: moved", "a: moved", "b: moved"]);
    for server in [a, b] {
        server.shutdown(secs(5)).await;
    }
}

/// The server was about to take its sessions back when another server took them.
#[tokio::test(start_paused = true)]
async fn a_restart_leaves_what_another_server_has_by_now() {
    let store = MemoryStore::new();
    let mortal = harness::MortalStore::new(&store);
    let a = Server::builder(harness::connect).store(mortal.clone()).node("a").build().unwrap();
    let b = builder("b", &store).build().unwrap();
    let line = Line::to(&a);
    let mut ada = client(&line, "ada").await;
    a.committed().await;
    // Its lease continues, as after a crash of the machine: the next process has to wait.
    line.unplug();
    mortal.vanish();
    a.shutdown(std::time::Duration::ZERO).await;
    let next = builder("a", &store).build().unwrap();
    tokio::time::sleep(secs(10)).await;
    line.lead_to(&b);
    line.plug_in();
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    let since = tokio::time::Instant::now();
    let _bob = client(&Line::to(&next), "bob").await;
    assert!(since.elapsed() < secs(5), "{:?}", since.elapsed());
    assert!(next.connection("ada").is_none());
    for server in [b, next] {
        server.shutdown(secs(5)).await;
    }
}
