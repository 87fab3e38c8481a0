//! Sessions in a store outlive their server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rejoin_client::{Connection as Client, Event, JsonCodec, MsgpackCodec, PayloadFormat};
use rejoin_server::{Audience, Connection, Server};
use rejoin_store::{Fault, LogId, MemoryStore, Store as _, StoreCall, TailFault};
use rejoin_tests::harness::{self, number, numbers, within};
use rejoin_tests::network::Line;
use tokio::time::Instant;

/// A server over this store. Its handler broadcasts each message to the room, then answers the sender.
pub(crate) fn server(store: &MemoryStore) -> Server {
    let builder = Server::builder(harness::connect).on_message(|connection: Connection, frame| async move {
        connection.server().broadcast(Audience::room("room").except(&connection), &frame).unwrap();
        connection.send(&frame).unwrap();
    });
    builder.store(store.clone()).build().unwrap()
}

/// The server is gone, as after a kill: its uncommitted acts are lost.
async fn kill(server: Server) {
    server.shutdown(Duration::ZERO).await;
}

/// The next messages, over losses of the socket.
pub(crate) async fn values(connection: &mut Client, count: usize) -> Vec<u64> {
    let mut got = Vec::new();
    while got.len() < count {
        match within("an event", connection.recv()).await.unwrap() {
            Event::Message(frame) => got.push(frame.decode::<u64>().unwrap()),
            Event::Disconnected { .. } | Event::Refused(_) | Event::Reconnected { .. } => {}
            other => panic!("{other:?} after {got:?}"),
        }
    }
    got
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_with_the_next_server() {
    let store = MemoryStore::new();
    let first = server(&store);
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada&room=room").connect().await.unwrap();
    let bob_line = Line::to(&first);
    let mut bob = bob_line.client("/?id=bob&room=room").connect().await.unwrap();
    for n in 1..=5 {
        ada.send(&number(n)).unwrap();
    }
    assert_eq!(numbers(&mut ada, 5).await, [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&mut bob, 5).await, [1, 2, 3, 4, 5]);
    bob_line.unplug();
    ada.send(&number(6)).unwrap();
    assert_eq!(numbers(&mut ada, 1).await, [6]);

    kill(first).await;
    let second = server(&store);
    line.lead_to(&second);
    bob_line.lead_to(&second);
    bob_line.plug_in();
    ada.send(&number(7)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [7]);
    assert_eq!(
        values(&mut bob, 2).await,
        [6, 7],
        "what was said while it was away, and then what the next server says"
    );
    assert_eq!(second.member_count("room"), 2);
    kill(second).await;
}

/// A frame is encoded when it is said, in one of the formats, and kept as that until it comes out of the log.
#[tokio::test(start_paused = true)]
async fn each_member_gets_what_was_kept_in_its_format() {
    for names_rooms in [false, true] {
        let builder = Server::builder(harness::connect).codec(JsonCodec).codec(MsgpackCodec);
        let server = builder.name_rooms(names_rooms).store(MemoryStore::new()).build().unwrap();
        let line = Line::to(&server);
        let mut ada = line.client("/?id=ada&room=room").connect().await.unwrap();
        let mut ben = line.client("/?id=ben&room=room").codec(MsgpackCodec).connect().await.unwrap();
        assert_eq!(server.broadcast("room", &number(7)), Ok(2));
        for (member, format) in [(&mut ada, PayloadFormat::Json), (&mut ben, PayloadFormat::Msgpack)] {
            let Some(Event::Message(frame)) = within("a message", member.recv()).await else { panic!() };
            assert_eq!(frame.payload().map(|payload| payload.format()), Some(format));
            assert_eq!(frame.decode::<u64>().unwrap(), 7);
            assert_eq!(frame.room(), if names_rooms { "room" } else { "" });
        }
        kill(server).await;
    }
}

/// A store, and the milliseconds by which its clock is ahead of the servers'.
fn store_that_goes_on() -> (MemoryStore, Arc<AtomicU64>) {
    let ahead = Arc::new(AtomicU64::new(0));
    let (begin, by) = (Instant::now(), ahead.clone());
    let clock = move || 1_000_000 + by.load(Ordering::SeqCst) + begin.elapsed().as_millis() as u64;
    (MemoryStore::with_clock(clock), ahead)
}

/// As after `SIGSTOP`, or when a laptop has slept: the store's clock has gone on.
#[tokio::test(start_paused = true)]
async fn a_server_that_stood_still_for_longer_than_its_lease_goes_on() {
    let (store, ahead) = store_that_goes_on();
    let server = server(&store);
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    ahead.store(3_600_000, Ordering::SeqCst);
    ada.send(&number(2)).unwrap();
    line.cut();
    ada.send(&number(3)).unwrap();
    assert_eq!(values(&mut ada, 2).await, [2, 3]);
    kill(server).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_session_was_adopted_meanwhile_writes_no_more() {
    let (store, ahead) = store_that_goes_on();
    let first = server(&store);
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    // The first one's lease passes, and the second one adopts its sessions before the first one hears of it.
    ahead.store(3_600_000, Ordering::SeqCst);
    let second = server(&store);
    let second_line = Line::to(&second);
    let _bob = second_line.client("/?id=bob").connect().await.unwrap();
    line.lead_to(&second);
    ada.send(&number(2)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [2]);
    let refused = Line::to(&first).client("/?id=cay").no_reconnect().connect().await.unwrap_err();
    assert!(refused.to_string().contains("503"), "{refused}");
    tokio::time::sleep(harness::secs(60)).await; // it has asked for its lease
    assert!(!first.health().is_ready, "a load balancer sends nobody to it any more");
    kill(second).await;
    kill(first).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_forgot_what_a_session_needs_loses_it_and_says_so() {
    let store = MemoryStore::new();
    store.keep_steps(1000);
    let first = server(&store);
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    kill(first).await;
    store.fail_over(1);
    let second = server(&store);
    line.lead_to(&second);
    loop {
        match within("the report", ada.recv()).await.unwrap() {
            Event::SessionLost { .. } => break,
            Event::Disconnected { .. } | Event::Refused(_) => {}
            other => panic!("{other:?}"),
        }
    }
    kill(second).await;
}

/// The IDs of the sessions that the store has.
async fn ids(store: &MemoryStore) -> Vec<Box<str>> {
    let records = store.records(LogId(1), None, 99).await.unwrap();
    records.into_iter().map(|record| record.id).filter(|id| !id.is_empty()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_leaves_no_session_in_the_store() {
    let store = MemoryStore::new();
    let server = server(&store);
    server.committed().await;
    // Longer than a request waits for the store.
    store.set_faults(|call| match call {
        StoreCall::Open => Fault::Late(harness::secs(30)),
        _ => Fault::None,
    });
    let line = Line::to(&server);
    let connecting = tokio::spawn(line.client("/?id=ada&room=room").connect());
    line.dialled(1).await;
    tokio::time::sleep(harness::secs(12)).await;
    line.unplug();
    connecting.abort();
    store.heal();
    tokio::time::sleep(harness::secs(120)).await;
    assert_eq!(ids(&store).await, Vec::<Box<str>>::new());
    kill(server).await;
}

#[tokio::test(start_paused = true)]
async fn the_last_entry_arrives_although_the_tail_has_lost_it() {
    let store = MemoryStore::new();
    let server = server(&store);
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    store.set_tail_faults(|| TailFault::Dropped);
    for n in 1..=3 {
        ada.send(&number(n)).unwrap();
        assert_eq!(values(&mut ada, 1).await, [n], "it was read, and it is not read again");
    }
    store.heal();
    ada.send(&number(4)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [4]);
    kill(server).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_waits_for_a_store_that_fails() {
    let store = MemoryStore::new();
    let first = server(&store);
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    kill(first).await;
    let mut failures = 0;
    store.set_faults(move |call| {
        failures += usize::from(call == StoreCall::Read);
        if call == StoreCall::Read && !failures.is_multiple_of(3) { Fault::Lost } else { Fault::None }
    });
    let second = server(&store);
    line.lead_to(&second);
    ada.send(&number(2)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [2]);
    kill(second).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_reads_what_follows_the_checkpoints() {
    let store = MemoryStore::new();
    let first = server(&store);
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    for n in 1..=4500 {
        ada.send(&number(n)).unwrap();
        if n % 50 == 0 {
            assert_eq!(values(&mut ada, 50).await.last(), Some(&n));
        }
        if n % 1500 == 0 {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
    kill(first).await;
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = reads.clone();
    store.set_faults(move |call| {
        counted.fetch_add(usize::from(call == StoreCall::Read), Ordering::Relaxed);
        Fault::None
    });
    let second = server(&store);
    line.lead_to(&second);
    ada.send(&number(4501)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [4501]);
    let reads = reads.load(Ordering::Relaxed);
    assert!((2..14).contains(&reads), "{reads} reads of 256 entries, of 4500");
    kill(second).await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_was_overtaken_does_not_end_the_session() {
    let store = MemoryStore::new();
    let server = server(&store);
    let line = Line::to(&server);
    let client = line.client("/?id=ada").handshake_timeout(harness::millis(200));
    let mut ada = client.reconnect(harness::millis(20), harness::millis(20)).connect().await.unwrap();
    let dials = line.clone();
    // The second dial asks the store again and again, and its client gives it up.
    store.set_faults(move |call| match call {
        StoreCall::Attach if dials.dials() == 2 => Fault::Lost,
        _ => Fault::None,
    });
    line.cut();
    line.dialled(2).await;
    tokio::time::sleep(harness::millis(100)).await;
    line.half_open();
    ada.send(&number(1)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [1]);
    tokio::time::sleep(harness::secs(1)).await;
    ada.send(&number(2)).unwrap();
    assert_eq!(values(&mut ada, 1).await, [2]);
    kill(server).await;
}
