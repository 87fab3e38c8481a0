//! Sessions with a socket, with `Durability::Handover`: what of them goes past the store, and what waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rejoin_client::{Event, Frame};
use rejoin_server::{Audience, Connection, Durability, Server};
use rejoin_store::{Fault, LogId, MemoryStore, Store as _, StoreCall};
use rejoin_tests::harness::{self, number, numbers, secs, within};
use rejoin_tests::network::{Direction, Line};

use crate::handover::{count, exported, is_exported, join, kill, lead, start};

#[tokio::test(start_paused = true)]
async fn a_broadcast_that_has_come_out_of_the_log_holds_nothing_up() {
    let store = MemoryStore::new();
    let builder = Server::builder(harness::connect).on_message(
        async |connection: Connection, frame: Frame| match frame.decode::<u64>().unwrap() {
            1 => _ = connection.broadcast(&frame).unwrap(),
            _ => connection.send(&frame).unwrap(),
        },
    );
    let (server, _) = start(builder, &store);
    let (mut ada, _line) = join(&server, "ada").await;
    ada.send(&number(1)).unwrap();
    assert_eq!(numbers(&mut ada, 1).await, [1]);
    server.committed().await;
    let commits = count(&store, StoreCall::Commit);
    for n in 2..=9 {
        ada.send(&number(n)).unwrap();
    }
    assert_eq!(numbers(&mut ada, 8).await, [2, 3, 4, 5, 6, 7, 8, 9]);
    server.connection("ada").unwrap().set_state("kept");
    tokio::time::sleep(secs(1)).await;
    assert_eq!(commits.load(Ordering::SeqCst), 0, "neither answers nor the state need the store");
    server.shutdown(secs(20)).await;
}

/// The client answers each question, and is asked once.
#[tokio::test(start_paused = true)]
async fn a_question_goes_past_the_store() {
    let store = MemoryStore::new();
    let (server, _) = start(Server::builder(harness::connect), &store);
    let (mut ada, _line) = join(&server, "ada").await;
    server.committed().await;
    let commits = count(&store, StoreCall::Commit);
    let client = tokio::spawn(async move {
        let mut asked = Vec::new();
        while let Ok(Some(event)) = tokio::time::timeout(secs(1), ada.recv()).await {
            let Event::Message(frame) = event else { panic!("{event:?}") };
            asked.push(frame.decode::<u64>().unwrap());
            ada.send(&number(7).with_re(frame.id())).unwrap();
        }
        (asked, ada)
    });
    let connection = server.connection("ada").unwrap();
    for n in 1..=2 {
        let answer = within("the answer", connection.ask(&number(n))).await.unwrap();
        assert_eq!(answer.decode::<u64>().unwrap(), 7);
    }
    let (asked, _ada) = client.await.unwrap();
    assert_eq!(asked, [1, 2]);
    assert_eq!(commits.load(Ordering::SeqCst), 0);
    server.shutdown(secs(20)).await;
}

/// The callback of a join hangs while other changes wait: all are reported by the next process, in their order.
#[tokio::test(start_paused = true)]
async fn changes_that_are_not_reported_are_reported_in_order_by_the_next_process() {
    let (store, told) = (MemoryStore::new(), Arc::new(Mutex::new(Vec::new())));
    let builder = |hangs: bool| {
        let [joined, left] = [(); 2].map(|()| told.clone());
        Server::builder(harness::connect)
            .on_join(move |_, room| {
                let joined = joined.clone();
                async move {
                    if hangs && &*room == "first" {
                        std::future::pending::<()>().await;
                    }
                    joined.lock().unwrap().push(format!("+{room}"));
                }
            })
            .on_leave(move |_, room| {
                left.lock().unwrap().push(format!("-{room}"));
                async {}
            })
    };
    let (first, _) = start(builder(true), &store);
    let (mut ada, line) = join(&first, "ada").await;
    let connection = first.connection("ada").unwrap();
    for room in ["zeroth", "first"] {
        connection.join(room).await.unwrap();
    }
    assert!(connection.leave("zeroth").await.unwrap());
    connection.join("second").await.unwrap();
    first.shutdown(secs(20)).await;
    assert_eq!(*told.lock().unwrap(), ["+room", "+zeroth"]);
    let (second, _) = start(builder(false), &store);
    lead(&[&line], &second);
    second.committed().await;
    second.broadcast("second", &number(1)).unwrap();
    assert_eq!(crate::store::values(&mut ada, 1).await, [1]);
    assert_eq!(*told.lock().unwrap(), ["+room", "+zeroth", "+first", "-zeroth", "+second"]);
    second.shutdown(secs(20)).await;
}

/// What a process has handed over is in the store already, until its client is back.
#[tokio::test(start_paused = true)]
async fn a_restart_writes_no_session_once_more() {
    let store = MemoryStore::new();
    let builder = || Server::builder(harness::connect);
    let (first, _) = start(builder(), &store);
    let (mut ada, line) = join(&first, "ada").await;
    let since = tokio::time::Instant::now();
    assert_eq!(first.shutdown(secs(20)).await, 0);
    assert!(since.elapsed() < secs(1), "{:?}", since.elapsed());
    let (second, mortal) = start(builder(), &store);
    second.committed().await;
    let commits = count(&store, StoreCall::Commit);
    tokio::time::sleep(secs(5)).await;
    assert_eq!(commits.load(Ordering::SeqCst), 0);
    lead(&[&line], &second);
    second.connection("ada").unwrap().send(&number(1)).unwrap();
    assert_eq!(crate::store::values(&mut ada, 1).await, [1]);
    kill(second, &mortal, &[&line]).await;
    let (third, _) = start(builder(), &store);
    lead(&[&line], &third);
    harness::session_lost(&mut ada).await;
    third.shutdown(secs(20)).await;
}

/// The answer to the request waits for its client. Until the socket is attached, the store does not have the session.
#[tokio::test(start_paused = true)]
async fn a_session_is_not_exported_while_the_answer_to_a_resume_is_on_its_way() {
    let store = MemoryStore::new();
    let (server, _) = start(Server::builder(harness::connect), &store);
    let line = Line::to(&server).with_capacity(32);
    let mut ada = line.client("/?id=ada&room=room").connect().await.unwrap();
    line.unplug();
    exported(&store, "ada").await;
    let dials = line.dials();
    line.plug_in();
    line.dialled(dials + 1).await;
    line.stall(Direction::ToClient);
    tokio::time::sleep(secs(1)).await;
    assert!(!is_exported(&store, "ada").await);
    line.release(Direction::ToClient);
    server.connection("ada").unwrap().send(&number(1)).unwrap();
    assert_eq!(crate::store::values(&mut ada, 1).await, [1]);
    assert_eq!(line.dials(), dials + 1);
    server.shutdown(secs(20)).await;
}

/// A handler still runs when the client is back: there is no export that would have to become void.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_in_the_store_is_resumed_at_once() {
    let store = MemoryStore::new();
    let builder =
        Server::builder(harness::connect).on_message(async |connection: Connection, frame: Frame| {
            tokio::time::sleep(secs(1)).await;
            connection.send(&frame).unwrap();
        });
    let (server, _) = start(builder, &store);
    let (mut ada, line) = join(&server, "ada").await;
    for n in 1..=5 {
        ada.send(&number(n)).unwrap();
        tokio::time::sleep(secs(1) / 2).await;
        let dials = line.dials();
        line.cut();
        assert_eq!(crate::store::values(&mut ada, 1).await, [n]);
        assert_eq!(line.dials(), dials + 1, "the first request is accepted");
    }
    server.shutdown(secs(20)).await;
}

/// While the store is down, what handlers say is bounded: they wait, and go on with it.
#[tokio::test(start_paused = true)]
async fn handlers_wait_while_too_much_waits_for_the_store() {
    let (store, handled) = (MemoryStore::new(), Arc::new(AtomicU64::new(0)));
    let counted = handled.clone();
    let builder = Server::builder(harness::connect).on_message(move |connection: Connection, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        for n in 0..100 {
            connection.server().broadcast("others", &number(n)).unwrap();
        }
        async {}
    });
    let (server, _) = start(builder, &store);
    let (ada, _line) = join(&server, "ada").await;
    server.committed().await;
    store.set_faults(|_| Fault::Lost);
    ada.send(&number(1)).unwrap();
    tokio::time::sleep(secs(5)).await;
    for n in 2..=60 {
        ada.send(&number(n)).unwrap();
    }
    tokio::time::sleep(secs(1)).await;
    assert_eq!(
        handled.load(Ordering::SeqCst),
        42,
        "4096 broadcasts wait, and those of the first are on their way"
    );
    store.heal();
    server.committed().await;
    tokio::time::sleep(secs(1)).await;
    assert_eq!(handled.load(Ordering::SeqCst), 60);
    server.shutdown(secs(20)).await;
}

/// Many entries, and a session that was there before all of them: a crash would not need them for it.
#[tokio::test(start_paused = true)]
async fn a_log_is_trimmed_up_to_where_its_sessions_are() {
    for durability in [Durability::Handover, Durability::Commit] {
        let store = MemoryStore::new();
        let builder = Server::builder(harness::connect).store(store.clone()).durability(durability);
        let server = builder.build().unwrap();
        let (mut ada, _line) = join(&server, "ada").await;
        let (_ben, line) = join(&server, "ben").await;
        if durability == Durability::Handover {
            line.unplug();
            exported(&store, "ben").await;
        }
        for _ in 0..2 {
            for n in 1..=1030 {
                server.broadcast("others", &number(n)).unwrap();
                server.committed().await;
            }
            server.broadcast(Audience::id("ada"), &number(0)).unwrap();
            assert_eq!(numbers(&mut ada, 1).await, [0]);
            tokio::time::sleep(secs(20)).await; // it acknowledges that
        }
        tokio::time::sleep(secs(900)).await;
        let (first, last) = store.bounds(LogId(1)).await.unwrap();
        assert!(last.offset > 2000 && first.offset > 1000, "{durability:?}: {first:?} to {last:?}");
        server.shutdown(secs(20)).await;
    }
}
