//! A clean shutdown leaves every session to the store, whatever the server was doing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rejoin_client::{Connection as Client, Event, Frame};
use rejoin_server::{Connection, Durability, Server};
use rejoin_store::{Fault, LogId, MemoryStore, Store as _, StoreCall};
use rejoin_tests::harness::{self, number, secs, within};
use rejoin_tests::network::Line;
use tokio::time::Instant;

use crate::store::values;

/// A server over this store that answers each message by what its client answers to a question.
fn asking(store: &MemoryStore) -> Server {
    let builder = Server::builder(harness::connect).on_message(|connection: Connection, frame| async move {
        if !frame.re().is_empty() {
            return;
        }
        let n = frame.decode::<u64>().unwrap();
        let answer = connection.ask(&Frame::new("double", &n).unwrap()).await.unwrap();
        connection.send(&number(answer.decode().unwrap())).unwrap();
    });
    builder.store(store.clone()).build().unwrap()
}

/// The next message; questions on the way are answered if `answers`.
async fn next(client: &mut Client, answers: bool) -> Frame {
    loop {
        match within("an event", client.recv()).await.unwrap() {
            Event::Message(frame) if frame.event() == "double" && answers => {
                let doubled = 2 * frame.decode::<u64>().unwrap();
                client.send(&number(doubled).with_re(frame.id())).unwrap();
            }
            Event::Message(frame) => return frame,
            Event::Disconnected { .. } | Event::Refused(_) | Event::Reconnected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_asks_its_client_does_not_hold_up_a_shutdown() {
    let store = MemoryStore::new();
    let first = asking(&store);
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    ada.send(&number(21)).unwrap();
    assert_eq!(next(&mut ada, false).await.event(), "double", "the handler waits for the answer");
    let begun = Instant::now();
    assert_eq!(first.shutdown(secs(20)).await, 0);
    assert!(begun.elapsed() < secs(2), "{:?}", begun.elapsed());

    let second = asking(&store);
    line.lead_to(&second);
    assert_eq!(next(&mut ada, true).await.decode::<u64>().unwrap(), 42, "the handler ran again");
    second.shutdown(secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_before_the_restart_is_over_ends_no_session() {
    let store = MemoryStore::new();
    let first = crate::store::server(&store);
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    first.shutdown(secs(20)).await;

    // The second server reads the log for three seconds; the client's request waits for that when it is shut down.
    let second = crate::store::server(&store);
    store.set_faults(|call| match call {
        StoreCall::Read => Fault::SlowAnswer(Duration::from_secs(1)),
        _ => Fault::None,
    });
    line.lead_to(&second);
    let dials = line.dials();
    while line.dials() == dials {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(second.shutdown(secs(20)).await, 0);
    store.heal();

    let third = crate::store::server(&store);
    line.lead_to(&third);
    ada.send(&number(2)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [2]);
    third.shutdown(secs(20)).await;
}

/// The committer is in the middle of a commit while its runtime drops the sessions' tasks.
#[test]
fn a_runtime_that_ends_ends_no_session_of_the_store() {
    let store = MemoryStore::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();

    let first = runtime.block_on(async { crate::store::server(&store) });
    let addr = runtime.block_on(first.listen("127.0.0.1:0")).unwrap().local_addr();

    let here = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ending = here.block_on(async {
        let builder = rejoin_client::Client::builder(format!("ws://{addr}/?id=ada")).no_reconnect();
        let mut ada = builder.connect().await.unwrap();
        ada.send(&number(1)).unwrap();
        assert_eq!(values(&mut ada, 1).await, [1]);

        store.set_faults(move |call| {
            if call == StoreCall::Commit && begun.send(()).is_ok() {
                released.recv().ok();
            }
            Fault::None
        });
        ada.send(&number(2)).unwrap();
        tokio::task::spawn_blocking(move || has_begun.recv()).await.unwrap().unwrap();
        let ending = std::thread::spawn(|| drop(runtime));
        // The session's task is gone when its socket is.
        while !matches!(ada.recv().await, None | Some(Event::Closed(_))) {}
        drop(release);
        ending
    });

    // The committer has ended, too.
    ending.join().unwrap();
    let records = here.block_on(store.records(LogId(1), None, 10)).unwrap();
    assert!(records.iter().any(|record| &*record.id == "ada"), "{records:?}");
}

/// A handler that runs has its commit: it does not run again.
#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_handlers_that_run() {
    for durability in [Durability::Commit, Durability::Handover] {
        let (store, handled) = (MemoryStore::new(), Arc::new(AtomicUsize::new(0)));
        let server = || {
            let handled = handled.clone();
            let builder =
                Server::builder(harness::connect).on_message(move |connection: Connection, frame| {
                    handled.fetch_add(1, Ordering::SeqCst);
                    async move {
                        tokio::time::sleep(secs(3)).await;
                        connection.send(&frame).unwrap();
                    }
                });
            builder.store(store.clone()).durability(durability).build().unwrap()
        };
        let first = server();
        let line = Line::to(&first);
        let mut ada = line.client("/?id=ada").connect().await.unwrap();
        ada.send(&number(1)).unwrap();
        tokio::time::sleep(secs(1)).await;
        let begun = Instant::now();
        assert_eq!(first.shutdown(secs(20)).await, 0);
        assert!((secs(2)..secs(3)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        let second = server();
        line.lead_to(&second);
        assert_eq!(values(&mut ada, 1).await, [1]);
        tokio::time::sleep(secs(5)).await;
        assert_eq!(handled.load(Ordering::SeqCst), 1, "{durability:?}");
        second.shutdown(secs(20)).await;
    }
}

/// So that not all of them are back at the same moment.
#[tokio::test(start_paused = true)]
async fn a_shutdown_asks_its_clients_to_come_back_one_after_the_other() {
    let server = crate::store::server(&MemoryStore::new());
    let mut clients = Vec::new();
    for n in 0..3 {
        clients.push(Line::to(&server).client(&format!("/?id={n}")).connect().await.unwrap());
    }
    server.shutdown(secs(20)).await;
    for (client, delay) in clients.iter_mut().zip([500, 501, 502]) {
        let Some(Event::Disconnected { reason }) = client.recv().await else { panic!("it has a socket") };
        assert!(reason.to_string().contains(&format!("retry in {delay} ms")), "{reason}");
    }
}
