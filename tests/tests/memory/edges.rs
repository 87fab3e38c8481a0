//! Edge cases of promises that other files test on the main path.

use rejoin_client::Frame;
use rejoin_server::{CloseReason, Overflow};
use rejoin_tests::harness::{Heard, RESET, What, local, message, next, number, numbers};
use rejoin_tests::network::{Direction, Line};
use tokio::time::Instant;

use crate::{client, millis, secs, server, shut_down};

#[tokio::test(start_paused = true)]
async fn disconnect_policy_acts_at_once_in_small_room() {
    let (server, mut log) = server(|builder| builder.send_buffer(2).broadcast_overflow(Overflow::Disconnect));
    let (_slow, line) = client(&server, &mut log, "slow").await;
    line.stall(Direction::ToClient);
    for n in 1..=2 {
        assert_eq!(server.broadcast("room", &number(n)), Ok(1));
    }
    // Nothing is in transit that would wake the session's task.
    tokio::time::sleep(millis(1)).await;
    let since = Instant::now();
    assert_eq!(server.broadcast("room", &number(3)), Ok(0));
    assert_eq!(log.next().await, ("slow", What::Disconnected(CloseReason::Overflow)));
    assert!(since.elapsed().is_zero(), "before the next ping: {:?}", since.elapsed());
    assert_eq!(server.broadcast("room", &number(4)), Ok(0));
}

#[tokio::test(start_paused = true)]
async fn disconnect_policy_ends_suspended_member_at_once() {
    let (server, mut log) = server(|builder| builder.send_buffer(2).broadcast_overflow(Overflow::Disconnect));
    let (_away, line) = client(&server, &mut log, "away").await;
    line.unplug();
    assert_eq!(log.next().await, ("away", What::Dropped(RESET)));
    for n in 1..=2 {
        assert_eq!(server.broadcast("room", &number(n)), Ok(1));
    }
    tokio::time::sleep(millis(1)).await;
    let since = Instant::now();
    assert_eq!(server.broadcast("room", &number(3)), Ok(0));
    assert_eq!(log.next().await, ("away", What::Disconnected(CloseReason::Overflow)));
    assert!(since.elapsed().is_zero(), "{:?}", since.elapsed());
    assert_eq!((server.stats().suspended, server.stats().retained_bytes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn replaced_session_leaves_its_room() {
    for suspended in [false, true] {
        let (server, mut log) = server(|builder| builder);
        let line = Line::to(&server);
        let _old = line.client("/?id=ada&room=garden").connect().await.unwrap();
        let old = log.connected().await;
        if suspended {
            line.unplug();
            assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
        }
        let mut new = Line::to(&server).client("/?id=ada&room=library").connect().await.unwrap();
        log.next_sorted::<2>().await;
        old.closed().await;
        assert!(server.connections("garden").is_empty());
        assert_eq!(server.broadcast("garden", &number(1)), Ok(0));
        assert_eq!(server.broadcast("library", &number(2)), Ok(1));
        assert_eq!(next(&mut new).await, Heard::Message(number(2)));
        assert_eq!((server.stats().rooms, server.stats().connections), (1, 1));
        shut_down(&server).await;
        assert_eq!(server.stats().rooms, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn expired_sessions_free_their_memory() {
    // Memory for two suspended sessions with a frame each, and not for a third.
    let (server, mut log) =
        server(|builder| builder.resume_window(secs(5)).max_retained_bytes(25_000).send_buffer(8));
    for round in 0..10 {
        let mut away = Vec::new();
        for n in 0..2 {
            let id = format!("{round}-{n}");
            let (connection, line) = client(&server, &mut log, &id).await;
            line.unplug();
            assert_eq!(log.next().await, (id.as_str(), What::Dropped(RESET)));
            server.send(&id, &Frame::new("big", &"x".repeat(10_000)).unwrap()).unwrap();
            away.push((connection, line));
        }
        assert!(server.stats().retained_bytes > 20_000, "round {round}");
        let ends = [0, 1].map(|n| format!("{round}-{n}"));
        let ends = ends.each_ref().map(|id| (id.as_str(), What::Disconnected(CloseReason::WindowExpired)));
        assert_eq!(log.next_sorted().await, ends);
        assert_eq!((server.stats().retained_bytes, server.stats().suspended), (0, 0), "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn closing_member_is_not_listed() {
    let (server, mut log) = server(|builder| builder);
    let (_ada, line) = client(&server, &mut log, "ada").await;
    let (mut ben, _) = client(&server, &mut log, "ben").await;
    line.stall(Direction::ToClient);
    let ada = server.connection("ada").unwrap();
    ada.send(&number(0)).unwrap();
    ada.close();
    // The peer has not answered the close yet.
    tokio::time::sleep(millis(100)).await;
    let members: Vec<_> = server.connections("room").iter().map(|member| member.id().to_owned()).collect();
    assert_eq!(members, ["ben"]);
    assert_eq!(server.broadcast("room", &number(1)), Ok(1));
    assert_eq!(next(&mut ben).await, Heard::Message(number(1)));
    line.release(Direction::ToClient);
    assert_eq!(log.next().await, ("ada", What::Disconnected(local(1000, ""))));
}

#[tokio::test(start_paused = true)]
async fn broadcast_evicting_two_frames_wakes_waiting_sender() {
    let (server, mut log) = server(|builder| builder.send_buffer(4).send_buffer_bytes(2000));
    let (mut client, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    let ada = server.connection("ada").unwrap();
    let of_size = |event: &str, size: usize| Frame::new(event, &"x".repeat(size)).unwrap();
    for n in 1..=4 {
        ada.send(&of_size(&format!("small{n}"), 400)).unwrap();
    }
    let since = Instant::now();
    let broadcast = async { server.broadcast("room", &of_size("big", 900)) };
    let last = number(6);
    let (waited, queued) = tokio::join!(biased; ada.send_wait(&last), broadcast);
    assert_eq!((waited, queued), (Ok(()), Ok(1)));
    assert!(since.elapsed().is_zero(), "{:?}", since.elapsed());
    line.plug_in();
    for told in [Heard::Disconnected(RESET), Heard::Resumed, Heard::gap(1, 2)] {
        assert_eq!(next(&mut client).await, told);
    }
    for event in ["small3", "small4", "big", "n"] {
        assert_eq!(message(&mut client).await.event(), event);
    }
}

#[tokio::test(start_paused = true)]
async fn broadcasts_evict_down_to_the_byte_limit() {
    let (server, mut log) = server(|builder| builder.send_buffer_bytes(10_000));
    let (mut client, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    let frame = |n: u64| Frame::new("n", &(n, "x".repeat(4000))).unwrap();
    for n in 1..=5 {
        assert_eq!(server.broadcast("room", &frame(n)), Ok(1));
    }
    assert_eq!(server.stats().dropped, 3);
    line.plug_in();
    for told in [Heard::Disconnected(RESET), Heard::Resumed, Heard::gap(1, 3)] {
        assert_eq!(next(&mut client).await, told);
    }
    for n in 4..=5 {
        assert_eq!(next(&mut client).await, Heard::Message(frame(n)));
    }
}

#[tokio::test(start_paused = true)]
async fn broadcast_reaches_members_that_stay() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let (ben, _) = client(&server, &mut log, "ben").await;
    server.broadcast("room", &number(1)).unwrap();
    ben.close().await;
    assert_eq!(log.next().await, ("ben", What::Disconnected(CloseReason::Normal)));
    assert_eq!(server.broadcast("room", &number(2)), Ok(1));
    assert_eq!(numbers(&mut ada, 2).await, [1, 2]);
    assert_eq!(server.connections("room").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn debug_output_hides_secrets() {
    let (builder, mut log) = rejoin_tests::harness::builder();
    let shown = format!("{builder:?}");
    assert!(shown.starts_with("Builder {") && shown.contains("\"on_message\""), "{shown}");
    let server = builder.build().unwrap();
    assert!(format!("{server:?}").starts_with("Server"));
    assert!(format!("{:?}", server.service()).starts_with("Service"));
    let identity = rejoin_server::Identity::new().with_room("garden").with_id("ada").with_data("secret");
    let shown = format!("{identity:?}");
    assert!(shown.contains("garden") && shown.contains("ada") && !shown.contains("secret"), "{shown}");

    let line = Line::to(&server);
    let builder = line.client("/?id=ada&auth=secret").header("authorization", "secret");
    let shown = format!("{builder:?}");
    assert!(shown.starts_with("ClientBuilder {") && !shown.contains("secret"), "{shown}");
    let client = builder.connect().await.unwrap();
    let connection = log.connected().await;
    let shown = format!("{connection:?}");
    assert!(shown.contains("\"ada\"") && shown.contains("\"room\""), "{shown}");
    let shown = format!("{client:?} {:?}", client.sender());
    assert!(shown.starts_with("Connection {") && shown.contains("Sender {"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

/// Counts the calls with zero frames, and all calls.
#[derive(Clone, Default)]
struct NoZeros(std::sync::Arc<[std::sync::atomic::AtomicU64; 2]>);

impl NoZeros {
    fn told(&self, number: u64) {
        self.0[usize::from(number > 0)].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn counts(&self) -> [u64; 2] {
        [0, 1].map(|index| self.0[index].load(std::sync::atomic::Ordering::Relaxed))
    }
}

impl rejoin_server::Metrics for NoZeros {
    fn received(&self, frames: u64, _: u64) {
        self.told(frames);
    }

    fn sent(&self, frames: u64, _: u64) {
        self.told(frames);
    }

    fn replayed(&self, frames: u64) {
        self.told(frames);
    }

    fn frames_dropped(&self, frames: u64) {
        self.told(frames);
    }

    fn gap_sent(&self, frames: u64) {
        self.told(frames);
    }

    fn gap_received(&self, frames: u64) {
        self.told(frames);
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_are_never_called_with_zero_frames() {
    let metrics = NoZeros::default();
    let (server, mut log) = server(|builder| builder.metrics(metrics.clone()).send_buffer(2));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    tokio::time::sleep(secs(60)).await;
    assert_eq!(metrics.counts(), [0, 0], "heartbeats do not count as frames");
    server.send("ada", &number(1)).unwrap();
    assert_eq!(next(&mut ada).await, Heard::Message(number(1)));
    ada.send(&number(1)).unwrap();
    assert_eq!(log.next().await, ("ada", What::Message(number(1))));
    line.unplug();
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    for n in 2..=4 {
        server.broadcast("room", &number(n)).unwrap();
    }
    line.plug_in();
    while next(&mut ada).await != Heard::Message(number(4)) {}
    ada.close().await;
    tokio::time::sleep(secs(60)).await;
    let [zeros, others] = metrics.counts();
    assert!(zeros == 0 && others >= 5, "{zeros} {others}");
}
