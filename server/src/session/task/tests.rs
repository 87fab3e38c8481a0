//! Tests of [`SessionTask`].

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rejoin_core::drive::{OptimisticTcp, SocketDriver, Unmasked, WsTransport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::session::belongings::Renewal;
use crate::session::handle::PendingSocket;
use crate::testing::dial;
use crate::{ConnectRequest, Identity, Reject, Server};

/// A server with an `on_connect` that makes another socket arrive for each new session, before the session task sleeps.
fn server(taking_over: Arc<Mutex<Option<tokio::io::DuplexStream>>>) -> Server {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room").with_id("ada"));
    let server = Server::builder(connect).on_connect(move |connection| {
        let (ours, theirs) = tokio::io::duplex(1024);
        let epoch = connection.session().drive(|session| session.reserve());
        let driver = Box::new(SocketDriver::new(epoch, WsTransport::new(ours, Unmasked, &[], 1024)));
        let pending = PendingSocket {
            driver,
            received: None,
            renewal: Renewal::default(),
            attachment: None,
            resuming: None,
            resumes: true,
        };
        assert!(connection.handle().arrive(pending).is_none());
        *taking_over.lock().unwrap() = Some(theirs);
        async {}
    });
    server.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_comes_while_callbacks_run_is_attached_at_once() {
    let taking_over = Arc::default();
    let server = server(Arc::clone(&taking_over));
    let (ours, mut first) = tokio::io::duplex(1024);
    let serving = server.clone();
    tokio::spawn(async move { serving.serve_connection(ours).await });
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    first.write_all(request).await.unwrap();
    let since = tokio::time::Instant::now();
    let mut read = Vec::new();
    while !read.ends_with(b"taken over") {
        assert!(first.read_buf(&mut read).await.unwrap() > 0);
    }
    assert!(since.elapsed().is_zero(), "not with the next ping");
    assert!(server.connection("ada").unwrap().is_attached());
    drop(taking_over);
}

/// The task checks for it after it has registered its waker, and before it ends.
#[tokio::test(start_paused = true)]
async fn a_socket_that_comes_as_the_task_comes_to_rest_is_attached() {
    let came: Arc<Mutex<Option<tokio::io::DuplexStream>>> = Arc::default();
    let slot = came.clone();
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room").with_id("ada"));
    let server = Server::builder(connect).on_transport_drop(move |connection, _| {
        let (pending, theirs) = crate::testing::pending(&connection, true);
        assert!(connection.handle().arrive(pending).is_none());
        *slot.lock().unwrap() = Some(theirs);
        async {}
    });
    let server = server.build().unwrap();
    drop(dial(&server).await);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(came.lock().unwrap().is_some());
    assert!(server.connection("ada").unwrap().is_attached());
}

/// Between the task's last look at its socket and its end.
#[tokio::test(start_paused = true)]
async fn a_session_that_hibernates_over_a_socket_starts_a_task_for_it() {
    let shared = crate::testing::server();
    let connection = crate::testing::connection(&shared);
    let (pending, theirs) = crate::testing::pending(&connection, false);
    drop(theirs);
    assert!(connection.handle().arrive(pending).is_none());
    let mut task = SessionTask::new(shared, connection.clone(), None);
    std::future::poll_fn(|cx| Pin::new(&mut task).poll(cx)).await;
    let (pending, _theirs) = crate::testing::pending(&connection, true);
    assert!(connection.handle().arrive(pending).is_none());
    assert!(task.hibernate());
    drop(task);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(connection.is_attached());
}

/// The callbacks of a server in which each newcomer replaces the session before, and when they ran.
type Told = Arc<Mutex<Vec<(&'static str, u64, Duration)>>>;

/// Such a server, whose `on_disconnect` takes this long.
fn replacing(takes: Duration) -> (Server, Told) {
    let told = Told::default();
    let since = tokio::time::Instant::now();
    let [joined, left] = [told.clone(), told.clone()];
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room").with_id("ada"));
    let server = Server::builder(connect)
        .on_connect(move |connection| {
            joined.lock().unwrap().push(("joined", connection.number(), since.elapsed()));
            async {}
        })
        .on_disconnect(move |connection, _| {
            let left = left.clone();
            async move {
                tokio::time::sleep(takes).await;
                left.lock().unwrap().push(("left", connection.number(), since.elapsed()));
            }
        });
    (server.build().unwrap(), told)
}

#[tokio::test(start_paused = true)]
async fn the_callbacks_of_a_newcomer_begin_when_those_of_the_session_it_replaces_are_over() {
    let takes = PREDECESSOR_PATIENCE / 2;
    let (server, told) = replacing(takes);
    let _first = dial(&server).await;
    let old = server.connection("ada").unwrap();
    let _second = dial(&server).await;
    let new = server.connection("ada").unwrap();
    assert!(old != new && old == old.clone() && old.number() < new.number());
    assert_eq!(std::collections::HashSet::from([old.clone(), new.clone(), old.clone()]).len(), 2);
    tokio::time::sleep(2 * takes).await;
    let expected = [
        ("joined", old.number(), Duration::ZERO),
        ("left", old.number(), takes),
        ("joined", new.number(), takes),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_holds_a_newcomer_up_for_a_second_and_its_socket_not_at_all() {
    let (server, told) = replacing(Duration::MAX);
    let _first = dial(&server).await;
    let mut second = dial(&server).await;
    let new = server.connection("ada").unwrap();
    new.send(&crate::Frame::event_only("e")).unwrap();
    let since = tokio::time::Instant::now();
    assert_eq!(second.read_u8().await.unwrap(), 0x81);
    assert!(since.elapsed().is_zero() && told.lock().unwrap().len() == 1);
    tokio::time::sleep(2 * PREDECESSOR_PATIENCE).await;
    assert_eq!(told.lock().unwrap()[1..], [("joined", new.number(), PREDECESSOR_PATIENCE)]);
}

#[tokio::test(start_paused = true)]
async fn session_without_any_socket_has_no_callbacks() {
    let calls = Arc::new(AtomicUsize::new(0));
    let [joined, left, expired] = [0; 3].map(|_| calls.clone());
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect)
        .on_connect(move |_| std::future::ready(_ = joined.fetch_add(1, Ordering::Relaxed)))
        .on_disconnect(move |_, _| std::future::ready(_ = left.fetch_add(1, Ordering::Relaxed)))
        .on_expired(move |_, _| std::future::ready(_ = expired.fetch_add(1, Ordering::Relaxed)))
        .build()
        .unwrap();
    for reason in [CloseReason::Kicked, CloseReason::WindowExpired] {
        let connection = crate::testing::connection(server.shared());
        let task = tokio::spawn(SessionTask::new(server.shared().clone(), connection.clone(), None));
        connection.end(reason);
        task.await.unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn abort_during_a_callback_ends_the_task_at_once() {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect).on_message(|connection, _| {
        connection.server().shared().abort();
        async {}
    });
    let mut theirs = dial(&server.build().unwrap()).await;
    let since = tokio::time::Instant::now();
    theirs.write_all(b"\x81\x8d\0\0\0\0{\"event\":\"e\"}").await.unwrap();
    let mut read = Vec::new();
    theirs.read_to_end(&mut read).await.unwrap();
    assert!(since.elapsed().is_zero(), "not with the next ping");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_without_a_pause_lets_other_tasks_have_their_turn() {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let handled = Arc::new(AtomicUsize::new(0));
    let counts = handled.clone();
    let server = Server::builder(connect).on_message(move |_, _| {
        counts.fetch_add(1, Ordering::Relaxed);
        async {}
    });
    let message = br#"{"event":"e"}"#;
    let mut frame = vec![0x81, 0x80 | u8::try_from(message.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(message);
    let total = 20 * EVENTS_PER_POLL;
    let mut theirs = dial(&server.build().unwrap()).await;
    // All at once, before the session task reads.
    theirs.write_all(&frame.repeat(total)).await.unwrap();
    // The session task and this one take turns, although this one yields as often as it can.
    let (mut turns, mut before) = (0, 0);
    while before < total {
        tokio::task::yield_now().await;
        let now = handled.load(Ordering::Relaxed);
        assert!(now - before <= EVENTS_PER_POLL, "{} in one turn", now - before);
        turns += 1;
        before = now;
    }
    assert!(turns <= total / EVENTS_PER_POLL + 1, "{turns} turns: it goes on by itself, as far as it may");
}

/// Every connection has one of each, so their growth affects the memory of all connections. Sizes are in bytes on a 64-bit machine.
#[test]
#[cfg(target_pointer_width = "64")]
fn an_idle_connection_stays_small() {
    // With tokio's header a task of up to 128 bytes takes 256. A connection of up to 264 bytes takes 288 with the counts of its
    // `Arc` and the header of glibc's allocator, as one of 256 bytes does.
    let sizes =
        [size_of::<SessionTask>(), Connection::SIZE, size_of::<SocketDriver<WsTransport<OptimisticTcp>>>()];
    assert!(sizes.iter().zip([112, 264, 264]).all(|(size, most)| *size <= most), "{sizes:?}");
}
