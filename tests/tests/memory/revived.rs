//! Frames from before a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rejoin_client::Event;
use rejoin_server::{History, Overflow, Server};
use rejoin_store::{LogId, MemoryStore, Store as _};
use rejoin_tests::harness::{self, MortalStore, number, numbers, secs, within};
use rejoin_tests::network::Line;

/// The capacity of a client's buffer.
const BUFFER: usize = 4;

/// A server that counts the calls of `on_send_dropped`.
fn server(overflow: Overflow, told: &Arc<AtomicUsize>, store: &MortalStore) -> Server {
    let told = told.clone();
    Server::builder(harness::connect)
        .send_buffer(BUFFER)
        .broadcast_overflow(overflow)
        .on_send_dropped(move |_, _, _| {
            told.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        })
        .store(store.clone())
        .build()
        .unwrap()
}

/// The log has more frames than the client's buffer takes. It does not record that the client has acknowledged most of them.
#[tokio::test(start_paused = true)]
async fn what_the_client_had_takes_no_capacity_after_a_restart() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Reject, Overflow::Disconnect] {
        let (store, told) = (MemoryStore::new(), Arc::default());
        let mortal = MortalStore::new(&store);
        let first = server(overflow, &told, &mortal);
        let line = Line::to(&first);
        let mut ada = line.client("/?id=ada&room=room").connect().await.unwrap();
        for n in 1..=10 {
            first.broadcast("room", &number(n)).unwrap();
            assert_eq!(numbers(&mut ada, 1).await, [n]);
            tokio::time::sleep(secs(5)).await; // it acknowledges
        }
        line.unplug();
        for n in 11..=12 {
            first.broadcast("room", &number(n)).unwrap();
        }
        first.committed().await;
        mortal.kill().await;
        first.shutdown(secs(0)).await;

        let second = server(overflow, &told, &MortalStore::new(&store));
        line.lead_to(&second);
        line.plug_in();
        let mut got = Vec::new();
        while got.len() < 2 {
            match within("an event", ada.recv()).await.unwrap() {
                Event::Message(frame) => got.push(frame.decode::<u64>().unwrap()),
                Event::Disconnected { .. } | Event::Refused(_) | Event::Reconnected { resumed: true } => {}
                other => panic!("{overflow:?}: {other:?} after {got:?}"),
            }
        }
        assert_eq!(got, [11, 12], "{overflow:?}");
        assert_eq!(second.stats().dropped, 0, "{overflow:?}");
        assert_eq!(
            told.load(Ordering::SeqCst),
            0,
            "{overflow:?}: nobody is told of frames that have arrived"
        );
        second.shutdown(secs(1)).await;
    }
}

/// The log is trimmed meanwhile, and no session needs its entries.
#[tokio::test(start_paused = true)]
async fn a_history_of_an_hour_outlives_its_process_after_half_of_it() {
    let store = MemoryStore::new();
    let server = || {
        let history = History::new().age(secs(3600));
        Server::builder(harness::connect).history(history).store(store.clone()).build().unwrap()
    };
    let first = server();
    let line = Line::to(&first);
    line.client("/?id=ada").connect().await.unwrap().close().await;
    for n in 1..=3 {
        first.broadcast("news", &number(n)).unwrap();
    }
    first.committed().await;
    tokio::time::sleep(secs(1800)).await;
    first.shutdown(secs(1)).await;

    let second = server();
    line.lead_to(&second);
    let mut ben = line.client("/?id=ben").connect().await.unwrap();
    let rewound = second.connection("ben").unwrap().join("news").rewind(9).await.unwrap();
    assert_eq!(rewound.frames, 3);
    assert_eq!(numbers(&mut ben, 3).await, [1, 2, 3]);
    second.shutdown(secs(1)).await;
}

/// What no session and no history needs goes, although the server itself writes on.
#[tokio::test(start_paused = true)]
async fn a_log_forgets_what_nothing_needs() {
    let store = MemoryStore::new();
    let server = Server::builder(harness::connect).store(store.clone()).build().unwrap();
    let line = Line::to(&server);
    let ada = line.client("/?id=ada&room=news").connect().await.unwrap();
    for n in 1..=3 {
        server.broadcast("news", &number(n)).unwrap();
        server.committed().await;
    }
    ada.close().await;
    tokio::time::sleep(secs(900)).await;
    let (first, last) = store.bounds(LogId(1)).await.unwrap();
    assert!(first == last && last.offset >= 4, "a session and three broadcasts: {first:?} to {last:?}");
    server.shutdown(secs(1)).await;
}

/// Everything before its checkpoint was trimmed, and nothing that it needs.
#[tokio::test(start_paused = true)]
async fn a_session_goes_on_from_where_the_log_begins() {
    let store = MemoryStore::new();
    let server = || Server::builder(harness::connect).store(store.clone()).build().unwrap();
    let first = server();
    for n in 1..=3 {
        first.broadcast("nobody", &number(n)).unwrap();
        first.committed().await;
    }
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada&room=room").connect().await.unwrap();
    first.broadcast("room", &number(1)).unwrap();
    assert_eq!(numbers(&mut ada, 1).await, [1]);
    tokio::time::sleep(secs(1800)).await; // the log is trimmed meanwhile
    first.shutdown(secs(0)).await;

    let second = server();
    line.lead_to(&second);
    second.broadcast("room", &number(2)).unwrap();
    assert_eq!(numbers(&mut ada, 1).await, [2]);
    second.shutdown(secs(1)).await;
}
