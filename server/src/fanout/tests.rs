//! Tests of rooms, and of the fan-outs to their members.

use std::sync::{Arc, Mutex};

use rejoin_core::{Frame, Overflow};
use tokio::io::{AsyncReadExt as _, DuplexStream};

use super::members::Joined;
use super::snapshot::CHUNK;
use crate::connection::Connection;
use crate::inner::ServerInner;
use crate::testing::{connection, dial, dial_session, runtime, server};
use crate::{ConnectRequest, History, Identity, Reject, Server};

fn join(shared: &ServerInner, connection: &Connection) -> Joined {
    shared.realm.rooms.join(connection, connection.handle().shared_room())
}

fn leave(shared: &ServerInner, connection: &Connection) -> bool {
    shared.realm.rooms.leave(connection, "room")
}

#[test]
fn next_runtime_takes_over_a_stopped_fan_out() {
    let shared = server();
    for _ in 0..=CHUNK {
        join(&shared, &connection(&shared));
    }
    let broadcast =
        || shared.realm.rooms.broadcast("room", &Frame::event_only("e"), None, Overflow::DropOldest, false);
    let is_flushing = || shared.realm.rooms.get("room").unwrap().lock().flushing;
    let first = runtime();
    first.block_on(async {
        shared.runtimes.note();
        assert_eq!(broadcast().unwrap().0, CHUNK + 1);
        // The fan-out has written to one of two chunks.
        tokio::task::yield_now().await;
        assert!(is_flushing());
    });
    drop(first);
    assert!(!is_flushing(), "there is no fan-out any more");
    runtime().block_on(async {
        shared.runtimes.note();
        broadcast().unwrap();
        assert!(is_flushing(), "there is another");
        while is_flushing() {
            tokio::task::yield_now().await;
        }
    });
}

#[tokio::test(start_paused = true)]
async fn moving_a_member_wakes_its_blocked_sender() {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect).send_buffer(4).send_buffer_bytes(2000).build().unwrap();
    let shared = server.shared();
    let members: Vec<_> = (0..=CHUNK).map(|_| connection(shared)).collect();
    for member in &members {
        join(shared, member);
    }
    let moved = &members[CHUNK];
    let of_size = |size: usize| Frame::new("e", &"x".repeat(size)).unwrap();
    for _ in 0..4 {
        moved.send(&of_size(400)).unwrap();
    }
    let last = Frame::event_only("last");
    // The member has not drained the big frame, which takes the place of two, when another one's place becomes its own.
    let moves = async {
        shared.realm.rooms.broadcast("room", &of_size(900), None, Overflow::DropOldest, false).unwrap();
        assert!(leave(shared, &members[0]));
    };
    let since = tokio::time::Instant::now();
    let (sent, ()) = tokio::join!(biased; moved.send_wait(&last), moves);
    assert_eq!((sent, since.elapsed()), (Ok(()), std::time::Duration::ZERO));
}

#[test]
fn members_fill_one_chunk_after_the_other() {
    let shared = server();
    let members: Vec<_> = (0..=2 * CHUNK).map(|_| connection(&shared)).collect();
    assert!(members.iter().all(|member| join(&shared, member) == Joined::Added));
    assert_eq!(join(&shared, &members[3]), Joined::Already);
    let sizes = || -> Vec<_> {
        let room = shared.realm.rooms.get("room").unwrap();
        room.lock().chunks.iter().map(|chunk| chunk.members.len()).collect()
    };
    assert_eq!(sizes(), [CHUNK, CHUNK, 1]);
    assert!(leave(&shared, &members[7]) && !leave(&shared, &members[7]));
    assert_eq!(sizes(), [CHUNK, CHUNK]);
    let slot = shared.realm.rooms.get("room").unwrap().lock().slot(&members[2 * CHUNK]);
    assert_eq!(slot, Some(7), "the last member of the room takes the slot");
    assert!(leave(&shared, &members[2 * CHUNK]));
    assert_eq!(sizes(), [CHUNK, CHUNK - 1]);
    assert_eq!(shared.realm.rooms.get("room").unwrap().lock().codecs, [2 * CHUNK - 1]);
}

#[test]
fn broadcasts_write_to_lagging_chunks_in_turn() {
    let shared = server();
    for _ in 0..3 * CHUNK {
        join(&shared, &connection(&shared));
    }
    let room = shared.realm.rooms.get("room").unwrap();
    let mut members = room.lock();
    let mut next =
        |lagging: &[usize]| members.next_lagging(lagging).is_some().then(|| members.next_lagging - 1);
    assert_eq!(next(&[]), None);
    assert_eq!([next(&[0, 2]), next(&[0, 2]), next(&[0, 2])], [Some(0), Some(2), Some(0)]);
    assert_eq!([next(&[0, 1, 2]), next(&[0, 1, 2])], [Some(1), Some(2)]);
    assert_eq!([next(&[1]), next(&[1])], [Some(1), Some(1)]);
}

/// Nothing else touches a session meanwhile.
#[tokio::test(start_paused = true)]
async fn fan_out_that_frees_bytes_wakes_blocked_senders() {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect).max_retained_bytes(1000).build().unwrap();
    let shared = server.shared();
    let _theirs = dial(&server).await;
    let waits = connection(shared);
    let frame = |size: usize| Frame::new("e", &"x".repeat(size)).unwrap();
    assert_eq!(server.broadcast("room", &frame(900)), Ok(1));
    let since = tokio::time::Instant::now();
    assert_eq!(waits.send_wait(&frame(200)).await, Ok(()));
    assert_eq!(since.elapsed(), std::time::Duration::ZERO);
}

#[test]
fn fan_out_continues_in_the_next_runtime() {
    let shared = server();
    let members: Vec<_> = (0..=CHUNK).map(|_| connection(&shared)).collect();
    members.iter().for_each(|member| _ = join(&shared, member));
    let is_flushing = || shared.realm.rooms.get("room").unwrap().lock().flushing;
    let [first, second] = [runtime(), runtime()];
    first.block_on(async {
        shared.runtimes.note();
        let _second = second.enter();
        shared.runtimes.note();
    });
    first.block_on(async {
        shared
            .realm
            .rooms
            .broadcast("room", &Frame::event_only("e"), None, Overflow::DropOldest, false)
            .unwrap();
        // The fan-out has written to one of two chunks.
        tokio::task::yield_now().await;
    });
    drop(first);
    assert!(is_flushing(), "the other chunk is left");
    second.block_on(async {
        while is_flushing() {
            tokio::task::yield_now().await;
        }
    });
    assert!(!shared.realm.rooms.get("room").unwrap().lock().is_dirty);
}

/// A waker that panics.
struct Panics;

impl std::task::Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("as it is meant to");
    }
}

#[tokio::test(start_paused = true)]
async fn panicking_waker_leaves_the_room_its_fan_out() {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect).send_buffer(1).build().unwrap();
    let shared = server.shared();
    shared.runtimes.note();
    let frame = Frame::event_only("e");
    let [full, empty] = [0; 2].map(|_| connection(shared));
    full.send(&frame).unwrap();
    [&full, &empty].iter().for_each(|member| _ = join(shared, member));
    let mut waits = Box::pin(full.send_wait(&frame));
    let waker = Arc::new(Panics).into();
    assert!(waits.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    let broadcast = || server.broadcast_with("room", &frame, Overflow::Disconnect);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(broadcast)).is_err());
    let room = shared.realm.rooms.get("room").unwrap();
    assert!(room.lock().flushing);
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    assert!(!room.lock().flushing, "it has come to its end");
}

#[tokio::test(start_paused = true)]
async fn refused_broadcast_asks_for_an_acknowledgement() {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect).send_buffer(4).build().unwrap();
    let mut theirs = dial_session(&server).await;
    let broadcast = || server.broadcast_with("room", &Frame::event_only("e"), Overflow::Reject);
    for _ in 0..4 {
        assert_eq!(broadcast(), Ok(1));
    }
    let mut read = String::new();
    read_until(&mut theirs, &mut read, |read| read.matches(r#""event":"e""#).count() == 4).await;
    // Paused time passes once every task sleeps: no other poll of the session is due.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(broadcast(), Ok(0), "the peer acknowledges nothing, so the buffer is full");
    let since = tokio::time::Instant::now();
    read_until(&mut theirs, &mut read, |read| read.contains("$sync")).await;
    assert_eq!(since.elapsed(), std::time::Duration::ZERO, "it does not wait for the next ping");
}

#[tokio::test(start_paused = true)]
async fn broadcasts_to_several_rooms_write_to_a_lagging_chunk() {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect).send_buffer(4).build().unwrap();
    let _theirs = dial(&server).await;
    // No other task runs meanwhile.
    for _ in 0..32 {
        let audience = crate::Audience::rooms(["room", "other"]);
        assert_eq!(server.broadcast(audience, &Frame::event_only("e")), Ok(1));
    }
    assert_eq!(server.stats().dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn refused_broadcast_retains_no_bytes() {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect).send_buffer(2).build().unwrap();
    let shared = server.shared();
    let members = [0; 2].map(|_| connection(shared));
    members.iter().for_each(|member| _ = join(shared, member));
    // The second frame begins a segment of two.
    for _ in 0..2 {
        assert_eq!(server.broadcast_with("room", &Frame::event_only("e"), Overflow::Reject), Ok(2));
    }
    let retained = server.stats().retained_bytes;
    for overflow in [Overflow::Reject, Overflow::DropNewest, Overflow::Disconnect] {
        let frame = Frame::new("refused", &"x".repeat(500)).unwrap();
        assert_eq!(server.broadcast_with("room", &frame, overflow), Ok(0));
        let retains = if overflow == Overflow::Disconnect { 0 } else { retained };
        assert_eq!(server.stats().retained_bytes, retains, "{overflow:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn frames_evicted_at_the_memory_limit_free_their_bytes() {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect).max_retained_bytes(2000).build().unwrap();
    let shared = server.shared();
    shared.runtimes.note();
    let member = connection(shared);
    join(shared, &member);
    for n in 1..=8 {
        assert_eq!(server.broadcast("room", &Frame::new("e", &"x".repeat(900)).unwrap()), Ok(1));
        while shared.realm.rooms.get("room").unwrap().lock().flushing {
            tokio::task::yield_now().await;
        }
        let [retained, of_member] = [server.stats().retained_bytes, member.counts().retained_bytes];
        assert_eq!(retained, of_member, "after {n} frames");
        assert!(retained < 2000, "each takes the place of an older one");
    }
}

async fn read_until(peer: &mut DuplexStream, read: &mut String, is_enough: impl Fn(&str) -> bool) {
    while !is_enough(read) {
        let mut bytes = Vec::new();
        assert!(peer.read_buf(&mut bytes).await.unwrap() > 0, "{read}");
        read.push_str(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_room_that_another_thread_has_created_meanwhile_is_the_same() {
    type Other = (Arc<ServerInner>, Connection);
    let other: Arc<Mutex<Option<Other>>> = Arc::default();
    let joins = other.clone();
    // Called while no room is locked: another thread may do as much at that moment.
    let history = move |_: &str| {
        let other = joins.lock().unwrap().take();
        if let Some((shared, connection)) = other {
            assert_eq!(join(&shared, &connection), Joined::Added);
        }
        History::none()
    };
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect).history_of(history).max_rooms(1).build().unwrap();
    let shared = server.shared();
    *other.lock().unwrap() = Some((shared.clone(), connection(shared)));
    let connection = connection(shared);
    assert_eq!(join(shared, &connection), Joined::Added);
    assert_eq!(shared.realm.rooms.get("room").unwrap().len(), 2);
    assert!(other.lock().unwrap().is_none());
}
