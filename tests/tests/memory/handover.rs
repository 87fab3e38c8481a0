//! `Durability::Handover`: sessions are in the store while they wait for a socket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rejoin_client::{Connection as Client, Event, Frame};
use rejoin_server::{Audience, Builder, Connection, Durability, Server};
use rejoin_store::{Fault, LogId, MemoryStore, Store as _, StoreCall};
use rejoin_tests::harness::{self, MortalStore, number, numbers, secs, session_lost, within};
use rejoin_tests::network::Line;

use crate::store::values;

/// A builder whose handler broadcasts each message to the others in the room, then answers the sender.
fn talking() -> Builder {
    Server::builder(harness::connect).on_message(|connection: Connection, frame| async move {
        connection.server().broadcast(Audience::room("room").except(&connection), &frame).ok();
        connection.send(&frame).ok();
    })
}

/// A server over this store, and its way to the store, which may be cut off.
pub(crate) fn start(builder: Builder, store: &MemoryStore) -> (Server, MortalStore) {
    let mortal = MortalStore::new(store);
    (builder.store(mortal.clone()).durability(Durability::Handover).build().unwrap(), mortal)
}

/// Kills a server: its clients find no server until the next one is there.
pub(crate) async fn kill(server: Server, store: &MortalStore, lines: &[&Line]) {
    store.kill().await;
    lines.iter().for_each(|line| line.unplug());
    server.shutdown(Duration::ZERO).await;
}

pub(crate) fn lead(lines: &[&Line], server: &Server) {
    for line in lines {
        line.lead_to(server);
        line.plug_in();
    }
}

pub(crate) async fn join(server: &Server, id: &str) -> (Client, Line) {
    let line = Line::to(server);
    (line.client(&format!("/?id={id}&room=room")).connect().await.unwrap(), line)
}

/// Counts the calls of the store from now on.
pub(crate) fn count(store: &MemoryStore, kind: StoreCall) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    store.set_faults(move |call| {
        counted.fetch_add(usize::from(call == kind), Ordering::SeqCst);
        Fault::None
    });
    calls
}

/// Whether the store has this session as one that waits for a socket.
pub(crate) async fn is_exported(store: &MemoryStore, id: &str) -> bool {
    let records = store.records(LogId(1), None, 99).await.unwrap();
    records.iter().any(|record| &*record.id == id && !record.state.is_empty())
}

pub(crate) async fn exported(store: &MemoryStore, id: &str) {
    let waiting = async {
        while !is_exported(store, id).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("the export", waiting).await;
}

#[tokio::test(start_paused = true)]
async fn a_clean_shutdown_hands_every_session_over() {
    let store = MemoryStore::new();
    let (first, _) = start(talking(), &store);
    let (mut ada, ada_line) = join(&first, "ada").await;
    let (mut bob, bob_line) = join(&first, "bob").await;
    for n in 1..=5 {
        ada.send(&number(n)).unwrap();
    }
    assert_eq!(numbers(&mut ada, 5).await, [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&mut bob, 5).await, [1, 2, 3, 4, 5]);
    bob_line.unplug();
    ada.send(&number(6)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [6]);
    assert_eq!(first.shutdown(secs(20)).await, 0);

    let (second, _) = start(talking(), &store);
    lead(&[&ada_line, &bob_line], &second);
    ada.send(&number(7)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [7]);
    assert_eq!(values(&mut bob, 2).await, [6, 7]);
    assert_eq!(second.member_count("room"), 2);
    second.shutdown(secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_who_was_attached_and_keeps_who_was_not() {
    let store = MemoryStore::new();
    let (first, mortal) = start(talking(), &store);
    let (mut ada, ada_line) = join(&first, "ada").await;
    let (mut bob, bob_line) = join(&first, "bob").await;
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    bob_line.stall(rejoin_tests::network::Direction::ToClient);
    first.connection("bob").unwrap().send(&number(2)).unwrap();
    bob_line.unplug();
    exported(&store, "bob").await;
    ada.send(&number(3)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [3]);
    first.connection("bob").unwrap().send(&number(4)).unwrap();
    first.committed().await;
    kill(first, &mortal, &[&ada_line, &bob_line]).await;

    let (second, _) = start(talking(), &store);
    second.committed().await;
    let there = second.connections(Audience::everyone());
    assert_eq!(there.iter().map(Connection::id).collect::<Vec<_>>(), ["bob"]);
    lead(&[&ada_line, &bob_line], &second);
    bob_line.release(rejoin_tests::network::Direction::ToClient);
    session_lost(&mut ada).await;
    assert_eq!(values(&mut bob, 4).await, [1, 2, 3, 4], "what was sent before and after its socket was lost");
    ada.send(&number(5)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [5], "the fresh session has the ID");
    assert_eq!(values(&mut bob, 1).await, [5]);
    second.shutdown(secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn inputs_and_frames_of_attached_sessions_cost_no_call() {
    let store = MemoryStore::new();
    let (server, _) = start(harness::echo(Server::builder(harness::connect)), &store);
    let (mut ada, _line) = join(&server, "ada").await;
    server.committed().await;
    let commits = count(&store, StoreCall::Commit);
    for n in 1..=100 {
        ada.send(&number(n)).unwrap();
    }
    assert_eq!(numbers(&mut ada, 100).await, (1..=100).collect::<Vec<_>>());
    server
        .connection("ada")
        .unwrap()
        .send_acked(&number(101))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(commits.load(Ordering::SeqCst), 0);
    server.shutdown(secs(20)).await;
}

/// Frames from the handlers of one connection keep their order, with or without the log.
#[tokio::test(start_paused = true)]
async fn an_answer_does_not_overtake_the_broadcast_before_it() {
    let store = MemoryStore::new();
    let builder =
        Server::builder(harness::connect).on_message(|connection: Connection, frame: Frame| async move {
            match frame.decode::<u64>().unwrap() % 3 {
                0 => _ = connection.broadcast(&frame).unwrap(),
                _ => connection.send(&frame).unwrap(),
            }
        });
    let (server, _) = start(builder, &store);
    let (mut ada, _line) = join(&server, "ada").await;
    store.set_faults(
        |call| if call == StoreCall::Commit { Fault::SlowAnswer(millis(20)) } else { Fault::None },
    );
    for n in 1..=30 {
        ada.send(&number(n)).unwrap();
    }
    assert_eq!(numbers(&mut ada, 30).await, (1..=30).collect::<Vec<_>>());
    server.shutdown(secs(20)).await;
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Frames that were broadcast during the absence go through the log, and those after the return must not overtake them.
#[tokio::test(start_paused = true)]
async fn frames_keep_their_order_over_a_resume() {
    let store = MemoryStore::new();
    let (server, _) = start(talking(), &store);
    let (mut ada, line) = join(&server, "ada").await;
    let connection = server.connection("ada").unwrap();
    line.unplug();
    exported(&store, "ada").await;
    store.set_faults(
        |call| if call == StoreCall::Commit { Fault::SlowAnswer(millis(300)) } else { Fault::None },
    );
    let sending = tokio::spawn(async move {
        for n in 1..=200 {
            connection.send(&number(n)).unwrap();
            tokio::time::sleep(millis(7)).await;
        }
    });
    line.plug_in();
    assert_eq!(values(&mut ada, 200).await, (1..=200).collect::<Vec<_>>());
    sending.await.unwrap();
    server.shutdown(secs(20)).await;
}

/// The commit of its suspension is under way while the client resumes. The frames that it then gets must not be repeated after a crash.
#[tokio::test(start_paused = true)]
async fn a_resume_beats_an_export_that_is_under_way() {
    for delay in [0, 1, 5, 20, 50, 100, 200] {
        let store = MemoryStore::new();
        let (first, mortal) = start(talking(), &store);
        let (mut ada, line) = join(&first, "ada").await;
        let mut commits = 0;
        store.set_faults(move |call| {
            commits += u32::from(call == StoreCall::Commit);
            if call == StoreCall::Commit && commits % 2 == 1 { Fault::Late(millis(70)) } else { Fault::None }
        });
        line.unplug();
        tokio::time::sleep(millis(delay)).await;
        line.plug_in();
        ada.send(&number(1)).unwrap();
        assert_eq!(values(&mut ada, 1).await, [1]);
        assert!(!is_exported(&store, "ada").await, "it has a socket, after {delay} ms");
        kill(first, &mortal, &[&line]).await;
        store.heal();
        tokio::time::sleep(secs(1)).await;
        let (second, _) = start(talking(), &store);
        lead(&[&line], &second);
        session_lost(&mut ada).await;
        second.shutdown(secs(20)).await;
    }
}

/// A request that is abandoned after it has reached the store leaves the session unchanged: suspended, and in the store.
#[tokio::test(start_paused = true)]
async fn a_resume_that_is_given_up_leaves_the_session_in_the_store() {
    let store = MemoryStore::new();
    let (first, mortal) = start(talking(), &store);
    let (mut ada, line) = join(&first, "ada").await;
    line.unplug();
    exported(&store, "ada").await;
    let dials = line.dials();
    store.set_faults(|call| if call == StoreCall::Commit { Fault::SlowAnswer(secs(1)) } else { Fault::None });
    line.plug_in();
    line.dialled(dials + 1).await;
    tokio::time::sleep(millis(100)).await;
    line.unplug();
    tokio::time::sleep(secs(3)).await;
    exported(&store, "ada").await;
    store.heal();
    kill(first, &mortal, &[&line]).await;
    let (second, _) = start(talking(), &store);
    lead(&[&line], &second);
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    second.shutdown(secs(20)).await;
}

/// Inputs that were acknowledged and not handled are handled by the next process, and so is the one whose handler does not return.
#[tokio::test(start_paused = true)]
async fn a_shutdown_hands_over_what_is_not_handled() {
    let store = MemoryStore::new();
    let handled = Arc::new(Mutex::new(Vec::new()));
    let builder = |hangs: bool| {
        let handled = handled.clone();
        Server::builder(harness::connect).on_message(move |connection: Connection, frame: Frame| {
            let handled = handled.clone();
            async move {
                if hangs && frame.decode::<u64>().unwrap() == 3 {
                    std::future::pending::<()>().await;
                }
                handled.lock().unwrap().push(frame.decode::<u64>().unwrap());
                connection.send(&frame).ok();
            }
        })
    };
    let (first, _) = start(builder(true), &store);
    let (mut ada, line) = join(&first, "ada").await;
    for n in 1..=9 {
        ada.send(&number(n)).unwrap();
    }
    assert_eq!(values(&mut ada, 2).await, [1, 2]);
    first.shutdown(secs(20)).await;
    let (second, mortal) = start(builder(false), &store);
    second.committed().await;
    tokio::time::sleep(secs(1)).await;
    assert_eq!(*handled.lock().unwrap(), (1..=9).collect::<Vec<_>>(), "before the client is back");
    // The messages are not handled again.
    exported(&store, "ada").await;
    kill(second, &mortal, &[&line]).await;
    let (third, _) = start(builder(false), &store);
    lead(&[&line], &third);
    assert_eq!(values(&mut ada, 7).await, (3..=9).collect::<Vec<_>>());
    assert_eq!(*handled.lock().unwrap(), (1..=9).collect::<Vec<_>>());
    third.shutdown(secs(20)).await;
}

/// The store is down when the socket is lost: the session stays in memory, and is written when the store is back.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_suspended_while_the_store_is_down_stays_in_memory() {
    for comes_back in [true, false] {
        let store = MemoryStore::new();
        let (first, mortal) = start(talking(), &store);
        let (mut ada, line) = join(&first, "ada").await;
        let (mut bob, bob_line) = join(&first, "bob").await;
        ada.send(&number(1)).unwrap();
        assert_eq!(values(&mut bob, 1).await, [1]);
        store.set_faults(|_| Fault::Lost);
        bob_line.unplug();
        tokio::time::sleep(secs(5)).await;
        first.connection("ada").unwrap().send(&number(2)).unwrap();
        assert_eq!(values(&mut ada, 2).await, [1, 2], "those with a socket go on");
        if comes_back {
            store.heal();
            exported(&store, "bob").await;
        }
        kill(first, &mortal, &[&line, &bob_line]).await;
        store.heal();
        let (second, _) = start(talking(), &store);
        lead(&[&line, &bob_line], &second);
        session_lost(&mut ada).await;
        if comes_back {
            second.connection("bob").unwrap().send(&number(3)).unwrap();
            assert_eq!(values(&mut bob, 1).await, [3]);
        } else {
            session_lost(&mut bob).await;
        }
        second.shutdown(secs(20)).await;
    }
}

/// A full send buffer of big frames.
#[tokio::test(start_paused = true)]
async fn big_buffers_are_handed_over() {
    let store = MemoryStore::new();
    let builder = || talking().send_buffer(1000).send_buffer_bytes(64 << 20).max_message_size(8 << 20);
    let (first, _) = start(builder(), &store);
    let (mut ada, line) = join(&first, "ada").await;
    line.unplug();
    exported(&store, "ada").await;
    let big = |n: usize| Frame::new("big", &"x".repeat(1_000_000)).unwrap().with_id(n.to_string());
    for n in 0..30 {
        first.connection("ada").unwrap().send(&big(n)).unwrap();
    }
    first.committed().await;
    // The state in the log is exported once more.
    first.connection("ada").unwrap().set_state("set");
    first.shutdown(secs(20)).await;
    let (second, _) = start(builder(), &store);
    second.committed().await;
    let connection = second.connection("ada").unwrap();
    assert_eq!(connection.state().as_deref(), Some(&b"set"[..]));
    assert!(second.stats().retained_bytes >= 30_000_000, "{:?}", second.stats());
    lead(&[&line], &second);
    let mut got = 0;
    while got < 30 {
        match within("a frame", ada.recv()).await.unwrap() {
            Event::Message(frame) => {
                assert_eq!(frame, big(got));
                got += 1;
            }
            Event::Disconnected { .. } | Event::Refused(_) | Event::Reconnected { resumed: true } => {}
            other => panic!("{other:?}"),
        }
    }
    second.shutdown(secs(20)).await;
}

/// The window continues by the store's clock, and the last callbacks run once.
#[tokio::test(start_paused = true)]
async fn a_window_goes_on_over_a_crash() {
    let store = MemoryStore::new();
    let ended = Arc::new(Mutex::new(Vec::new()));
    let builder = || {
        let (ended, expired) = (ended.clone(), ended.clone());
        talking()
            .resume_window(secs(30))
            .on_expired(move |_, frames| {
                expired.lock().unwrap().push(format!("expired: {}", frames.len()));
                async {}
            })
            .on_disconnect(move |_, why| {
                ended.lock().unwrap().push(why.kind().to_owned());
                async {}
            })
    };
    let (first, mortal) = start(builder(), &store);
    let (_ada, line) = join(&first, "ada").await;
    line.unplug();
    exported(&store, "ada").await;
    first.connection("ada").unwrap().send(&number(1)).unwrap();
    tokio::time::sleep(secs(20)).await;
    kill(first, &mortal, &[&line]).await;
    let (second, _) = start(builder(), &store);
    second.committed().await;
    tokio::time::sleep(secs(6)).await;
    assert!(second.connection("ada").is_some() && ended.lock().unwrap().is_empty());
    tokio::time::sleep(secs(5)).await;
    assert_eq!(*ended.lock().unwrap(), ["expired: 1", "window_expired"]);
    second.committed().await;
    assert!(!store.records(LogId(1), None, 9).await.unwrap().iter().any(|record| &*record.id == "ada"));
    second.shutdown(secs(20)).await;
}
