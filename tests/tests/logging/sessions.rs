//! The log lines of sessions: opened, dropped, resumed, lost, evicted, closed.

use rejoin_client::LostReason;
use rejoin_server::{Connection, DropReason, Frame, Gap, Server};
use rejoin_store::MemoryStore;
use rejoin_tests::harness::{self, Heard, RESET, What, next, secs};
use rejoin_tests::network::{Dials, Line};

use crate::capture::{Captured, capture};
use crate::{SECRET, assert_no_secret, client, gets, of_session, secret};

#[tokio::test(start_paused = true)]
async fn session_is_logged_in_its_span_without_secrets() {
    let (captured, _guard) = capture("trace");
    let wire = Captured::default();
    let (builder, mut log) = harness::builder();
    let server = builder.send_buffer(4).build().unwrap();
    let line = Line::to(&server);
    let mut ada = client(&line, "ada", &wire).await;
    log.connected().await;
    let mut ben = client(&Line::to(&server), "ben", &wire).await;
    log.connected().await;

    // A message in each direction, a takeover, a gap, a kick.
    ada.send(&secret(1)).unwrap();
    log.next().await;
    server.send("ada", &secret(1)).unwrap();
    gets(&mut ada, 1).await;
    line.half_open();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(DropReason::HeartbeatTimeout));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    line.unplug();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    for n in 2..=8 {
        server.broadcast("room", &secret(n)).unwrap();
        gets(&mut ben, 1).await;
    }
    line.plug_in();
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    assert_eq!(next(&mut ada).await, Heard::gap(2, 4));
    gets(&mut ada, 4).await;
    server.kick("ada").await.unwrap();
    assert_eq!(next(&mut ada).await, Heard::closed_by_server(1000, "kicked"));
    ben.send(&secret(9)).unwrap();
    assert_eq!(ben.close().await.unacknowledged, 0);
    server.shutdown(secs(5)).await;

    let lines = captured.lines();
    let remote = r#"mode=Session codec="json" remote_addr=None"#;
    let logged = of_session(&lines, "ada");
    let (closed, logged) = logged.split_last().unwrap();
    assert_eq!(
        logged,
        [
            &format!("session opened {remote}"),
            "socket dropped why=taken over by another socket",
            "socket attached, session continues",
            "socket dropped why=connection reset",
            "frames dropped frames=1",
            "frames dropped frames=1",
            "frames dropped frames=1",
            "socket attached, session continues",
            "gap reported to peer frames=3",
        ]
    );
    assert!(closed.starts_with(r#"session closed id="ada" room="room" reason=kicked lived="#), "{closed}");
    assert!(closed.ends_with(" unacknowledged=0 lost_sockets=2 resumed=2"), "{closed}");
    assert!(closed.contains(" received=1 sent=5 replayed=0 dropped=3 "), "{closed}");
    let logged = of_session(&lines, "ben");
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert_eq!(logged[0], format!("session opened {remote}"));
    let closed = r#"session closed id="ben" room="room" reason=closed by the peer lived="#;
    assert!(logged[1].starts_with(closed), "{}", logged[1]);
    // All lines of a session's task are in its span.
    for line in lines.iter().filter(|line| line.contains("rejoin_server::observe::reporter")) {
        assert!(line.contains("session{id="), "{line}");
    }
    let client_says =
        |text: &str| lines.iter().any(|line| line.contains("connection{host=") && line.contains(text));
    for text in ["connected", "socket dropped why=", "session resumed", "connection closed reason="] {
        assert!(client_says(text), "{text}");
    }
    assert_no_secret(&captured, &wire, 4);
}

#[tokio::test(start_paused = true)]
async fn lost_session_is_logged_by_both_sides() {
    let (captured, _guard) = capture("debug");
    let wire = Captured::default();
    let (old, _old_log) = harness::builder();
    let (new, mut log) = harness::builder();
    let (old, new) = (old.build().unwrap(), new.build().unwrap());
    let line = Line::to(&old);
    let mut ada = client(&line, "ada", &wire).await;
    line.lead_to(&new);
    line.cut();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut ada).await, Heard::session_lost(LostReason::Unknown));
    log.connected().await;
    let text = captured.text();
    assert!(text.contains(r#"resume refused path="/" why=unknown"#), "{text}");
    assert!(text.contains(r#"session lost, a fresh one is open id="ada" lost=Some(Unknown)"#), "{text}");
    assert_no_secret(&captured, &wire, 2);
}

#[tokio::test(start_paused = true)]
async fn ends_of_sessions_and_server_are_at_info() {
    let (captured, _guard) = capture("info");
    let (builder, mut log) = harness::builder();
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let wire = Captured::default();
    let _ada = client(&line, "ada", &wire).await;
    log.connected().await;
    tokio::time::sleep(secs(3)).await;
    assert_eq!(server.shutdown(secs(5)).await, 0);
    let lines = captured.lines();
    let expected = [
        "INFO rejoin_server::server: shutting down sessions=1 deadline=5s",
        r#"INFO rejoin_server::observe::reporter: session closed id="ada" room="room" reason=server shut down lived=3s received=0 sent=0 replayed=0 dropped=0 unacknowledged=0 lost_sockets=0 resumed=0"#,
        "INFO rejoin_server::server: shut down dropped=0",
    ];
    let logged: Vec<_> =
        lines.iter().map(|line| line.trim()).filter(|line| line.contains("rejoin_server")).collect();
    assert_eq!(logged, expected);
}

#[tokio::test(start_paused = true)]
async fn evictions_of_a_burst_share_one_line() {
    let (captured, _guard) = capture("warn");
    let (builder, mut log) = harness::builder();
    let server = builder.max_retained_bytes(40_000).build().unwrap();
    let wire = Captured::default();
    let mut away = Vec::new();
    for id in ["a", "b", "c"] {
        let line = Line::to(&server);
        let client = client(&line, id, &wire).await;
        log.connected().await;
        line.unplug();
        assert_eq!(log.next().await, (id, What::Dropped(RESET)));
        away.push((client, line));
    }
    let big = |size: usize| Frame::new("big", &"x".repeat(size)).unwrap();
    for id in ["a", "b", "c"] {
        server.send(id, &big(10_000)).unwrap();
    }
    // The two oldest sessions are evicted for one frame.
    server.send("c", &big(25_000)).unwrap();
    assert_eq!(captured.lines(), Vec::<String>::new(), "the burst goes on");
    tokio::time::sleep(secs(2)).await;
    let expected = "evicted=2 limit=40000";
    let lines = captured.lines();
    assert!(lines.len() == 1 && lines[0].ends_with(expected), "{lines:?}");
    // A burst of a single eviction, and a server that shuts down before its end.
    server.broadcast("room", &big(30_000)).unwrap();
    tokio::task::yield_now().await;
    server.shutdown(secs(5)).await;
    let lines = captured.lines();
    assert!(lines.len() == 2 && lines[1].ends_with("evicted=1 limit=40000"), "{lines:?}");
    drop(away);
}

#[tokio::test(start_paused = true)]
async fn handler_panic_is_logged_at_error_with_id() {
    let (captured, _guard) = capture("error");
    let server = Server::builder(harness::connect)
        .on_message(|_: Connection, _| async { panic!("cannot read {SECRET}") })
        .build()
        .unwrap();
    let line = Line::to(&server);
    let wire = Captured::default();
    let ada = client(&line, "ada", &wire).await;
    let connection = server.connection("ada").unwrap();
    line.set_dials(Dials::Refused);
    ada.send(&secret(1)).unwrap();
    connection.closed().await;
    let expected = r#"ERROR rejoin_server::session::handle: handler panicked id="ada" which="message""#;
    assert_eq!(captured.lines(), [expected]);
    assert_no_secret(&captured, &wire, 1);
}

#[tokio::test(start_paused = true)]
async fn gap_from_client_is_logged_at_debug() {
    let (captured, _guard) = capture("debug");
    let (builder, mut log) = harness::builder();
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let builder = line.client("/?id=ada").send_buffer(2).overflow(rejoin_client::Overflow::DropOldest);
    let mut ada = builder.connect().await.unwrap();
    log.connected().await;
    line.unplug();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    for n in 1..=5 {
        ada.send(&secret(n)).unwrap();
    }
    line.plug_in();
    while log.next().await != ("ada", What::Gap(Gap::new(1, 3))) {}
    let lines = of_session(&captured.lines(), "ada");
    assert!(lines.contains(&"peer reports a gap from=1 to=3".to_owned()), "{lines:?}");
}

/// Hooks that do nothing, or panic.
struct Hooks {
    panics: bool,
}

impl rejoin_server::Metrics for Hooks {
    fn connection_opened(&self) {
        assert!(!self.panics, "on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn panicking_hooks_and_gaps_are_logged() {
    for panics in [false, true] {
        let (captured, _guard) = capture("debug");
        let (builder, mut log) = harness::builder();
        let server = builder.metrics(Hooks { panics }).send_buffer(2).build().unwrap();
        let line = Line::to(&server);
        let mut ada = line.client("/?id=ada").connect().await.unwrap();
        assert_eq!(log.next().await, ("ada", What::Connected));
        server.broadcast("room", &secret(1)).unwrap();
        assert_eq!(next(&mut ada).await, Heard::Message(secret(1)));
        tokio::time::sleep(secs(60)).await;
        let text = captured.text();
        assert_eq!(text.contains("metrics hook panicked"), panics, "{text}");
        assert!(!text.contains("gap reported"), "{text}");

        line.unplug();
        assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
        for n in 2..=4 {
            server.broadcast("room", &secret(n)).unwrap();
        }
        line.plug_in();
        while !matches!(next(&mut ada).await, Heard::Gap(_)) {}
        let text = captured.text();
        assert!(
            text.lines().any(|line| line.contains("gap reported") && line.contains("frames=1")),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_that_live_on_are_not_logged_as_closed() {
    let (captured, _guard) = capture("info");
    let (builder, mut log) = harness::builder();
    let server = builder.store(MemoryStore::new()).build().unwrap();
    let line = Line::to(&server);
    let wire = Captured::default();
    let _ada = client(&line, "ada", &wire).await;
    log.connected().await;
    server.shutdown(secs(5)).await;
    let text = captured.text();
    assert!(text.contains(r#"session left to the store id="ada" room="room" lived="#), "{text}");
    assert!(!text.contains("rejoin_server::observe::reporter: session closed"), "{text}");
}
