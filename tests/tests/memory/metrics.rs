//! Every hook is called when what it is named after happens, with the right numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use metrics_util::{CompositeKey, MetricKind};
use rejoin_server::{
    Builder, CallbackKind, CloseReason, Codec, ConnectRequest, DecodeError, DropReason, DuplicateId,
    EncodeError, FacadeMetrics, Frame, Identity, JsonCodec, Message, Metrics, Reject, ResumeRefused, Server,
    StatusCode,
};
use rejoin_tests::harness::{self, Dials, Direction, Line, MetricsLog, Recorder, next, number, numbers};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::raw::{self, request};
use crate::{client, millis, secs, shut_down};

/// `{"event":"n","payload":1}`
const FRAME: i64 = 25;
/// With the WebSocket header.
const FRAMED: i64 = FRAME + 2;

/// A server with these options, what it tells its application, and what it tells its metrics.
fn server(configure: impl FnOnce(Builder) -> Builder) -> (Server, Recorder, MetricsLog) {
    let metrics = MetricsLog::default();
    let (server, log) = crate::server(|builder| configure(builder.metrics(metrics.clone())));
    (server, log, metrics)
}

#[tokio::test(start_paused = true)]
async fn connections_and_rooms_come_and_go() {
    let (server, mut log, metrics) = server(|builder| builder);
    let (ada, _) = client(&server, &mut log, "ada").await;
    assert_eq!(metrics.happened(), ["room created", "connection opened"]);
    let (_ben, _) = client(&server, &mut log, "ben").await;
    assert_eq!(metrics.happened(), ["connection opened"], "the room was there");
    tokio::time::sleep(secs(7)).await;
    ada.close().await;
    assert_eq!(log.next().await, "ada disconnected: closed by the peer");
    assert_eq!(metrics.happened(), ["connection closed after 7 s: normal"], "ben is still in the room");
    let ben = server.connection("ben").unwrap();
    server.kick("ben").await.unwrap();
    ben.closed().await;
    assert_eq!(metrics.happened(), ["room destroyed", "connection closed after 7 s: kicked"]);
    shut_down(&server).await;
    assert_eq!(metrics.happened(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_socket_never_comes_is_a_room_but_no_connection() {
    let (server, mut log, metrics) = server(|builder| builder.handshake_timeout(secs(2)));
    let line = Line::to(&server).with_capacity(16);
    let mut io = line.dial().unwrap();
    // The answer does not fit, and nobody reads it.
    io.write_all(request("/?id=ada", "rejoin.v1.json").as_bytes()).await.unwrap();
    tokio::time::sleep(secs(1)).await;
    // It is a member of its room already.
    assert_eq!(server.broadcast("room", &number(1)), Ok(1));
    tokio::time::sleep(millis(1)).await;
    assert_eq!(metrics.sum("retained_bytes"), FRAMED);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(metrics.happened(), ["room created", "room destroyed"]);
    assert_eq!((log.try_next(), metrics.sum("retained_bytes")), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn refused_upgrades_are_told_with_their_status() {
    let metrics = MetricsLog::default();
    let connect = async |request: ConnectRequest| match request.query("id") {
        Some(_) => harness::connect(request).await,
        None => Err(Reject::forbidden("who?")),
    };
    let server = Server::builder(connect).metrics(metrics.clone()).build().unwrap();
    let line = Line::to(&server);
    for (path, protocols, status) in [("/", "rejoin.v1.json", 403), ("/?id=ada", "rejoin.v9.json", 400)] {
        let mut io = line.dial().unwrap();
        io.write_all(request(path, protocols).as_bytes()).await.unwrap();
        let mut answer = String::new();
        io.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(metrics.happened(), [format!("upgrade refused: {status}")]);
    }
    let mut io = line.dial().unwrap();
    io.write_all(b"GET / HTTP/1.1\r\nhost: server.test\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    io.read_to_string(&mut answer).await.unwrap();
    assert_eq!(metrics.happened(), ["upgrade refused: 426"]);
}

#[tokio::test(start_paused = true)]
async fn frames_and_bytes_are_counted_in_both_directions() {
    for plain in [false, true] {
        let (server, mut log, metrics) = server(|builder| builder);
        let line = Line::to(&server);
        let builder = line.client("/?id=ada");
        let builder = if plain { builder.plain() } else { builder };
        let mut ada = builder.connect().await.unwrap();
        log.connected().await;
        for n in 1..=3 {
            ada.send(&number(n)).unwrap();
        }
        assert_eq!(log.numbers(3).await, [1, 2, 3]);
        for n in 1..=5 {
            server.send("ada", &number(n)).unwrap();
        }
        assert_eq!(numbers(&mut ada, 5).await, [1, 2, 3, 4, 5]);
        assert_eq!((metrics.sum("received"), metrics.sum("received_bytes")), (3, 3 * FRAME));
        assert_eq!((metrics.sum("sent"), metrics.sum("sent_bytes")), (5, 5 * FRAMED));
        assert_eq!(metrics.buffer(), [(5, 256)], "told when it is fullest");
        let stats = server.stats();
        assert_eq!((stats.bytes_in, stats.bytes_out), (3 * FRAME as u64, 5 * FRAMED as u64));
        assert_eq!(metrics.sum("retained_bytes"), if plain { 0 } else { 5 * FRAMED });
        // The acknowledgement comes within a second.
        tokio::time::sleep(secs(2)).await;
        assert_eq!((metrics.sum("retained_bytes"), server.stats().retained_bytes), (0, 0));
        assert_eq!((metrics.sum("replayed"), metrics.sum("frames_dropped")), (0, 0));
        shut_down(&server).await;
        let stats = server.stats();
        assert_eq!((stats.bytes_in, stats.bytes_out), (3 * FRAME as u64, 5 * FRAMED as u64), "totals stay");
    }
}

#[tokio::test(start_paused = true)]
async fn broadcasts_are_told_with_the_bytes_of_their_encodings_and_their_receivers() {
    let (server, mut log, metrics) = server(|builder| builder);
    let (_ada, _) = client(&server, &mut log, "ada").await;
    let (_ben, _) = client(&server, &mut log, "ben").await;
    server.broadcast("room", &number(1)).unwrap();
    server.broadcast("nobody's", &number(1)).unwrap();
    assert!(server.broadcast("room", &Frame::event_only("$x")).is_err(), "told of nobody");
    assert_eq!(metrics.sum("broadcasts"), 2);
    assert_eq!((metrics.sum("broadcast_bytes"), metrics.sum("broadcast_receivers")), (FRAMED, 2));
}

/// Of a client in plain mode nothing comes back for which the session's task would have to run.
#[tokio::test(start_paused = true)]
async fn what_a_broadcast_has_written_is_told_at_once() {
    let (server, mut log, metrics) = server(|builder| builder.send_buffer(8));
    let mut ada = Line::to(&server).client("/?id=ada").plain().connect().await.unwrap();
    log.connected().await;
    for n in 1..=3 {
        server.broadcast("room", &number(n)).unwrap();
        assert_eq!(numbers(&mut ada, 1).await, [n]);
        assert_eq!((metrics.sum("sent"), metrics.sum("sent_bytes")), (n as i64, n as i64 * FRAMED));
        assert_eq!(metrics.buffer(), [(1, 8)], "before it was written");
        assert_eq!(metrics.sum("retained_bytes"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_writes_when_half_a_buffer_waits() {
    // By frames, and by bytes.
    for (frames, bytes, writes) in [(8, 1 << 20, 4), (256, 4 * FRAMED as usize, 2)] {
        let (server, mut log, metrics) =
            server(|builder| builder.send_buffer(frames).send_buffer_bytes(bytes));
        let _ada = Line::to(&server).client("/?id=ada").plain().connect().await.unwrap();
        log.connected().await;
        for n in 1..=writes {
            assert_eq!(metrics.sum("sent"), 0, "{n}: the fan-out has not had its turn");
            server.broadcast("room", &number(n)).unwrap();
        }
        assert_eq!(metrics.sum("sent"), writes as i64, "before the last returned");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_its_handler_cuts_is_told_as_dropped_and_then_as_closed() {
    let (server, _, metrics) = server(|builder| {
        builder.resume_window(None).on_message(|connection, _| async move {
            connection.server().cut(connection.id()).unwrap();
        })
    });
    let ada = Line::to(&server).client("/?id=ada").no_reconnect().connect().await.unwrap();
    let connection = server.connection("ada").unwrap();
    ada.send(&number(1)).unwrap();
    connection.closed().await;
    let happened = metrics.happened();
    assert_eq!(
        happened[2..],
        ["transport dropped: cut", "connection closed after 0 s: transport_lost", "room destroyed"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_drop_and_its_resume_are_told_with_what_was_replayed() {
    let (server, mut log, metrics) = server(|builder| builder);
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    server.send("ada", &number(1)).unwrap();
    assert_eq!(numbers(&mut ada, 1).await, [1]);
    metrics.happened();
    line.stall(Direction::ToClient);
    for n in 2..=4 {
        server.send("ada", &number(n)).unwrap();
    }
    tokio::time::sleep(millis(1)).await;
    line.set_dials(Dials::Refused);
    line.cut();
    assert_eq!(log.next().await, "ada dropped: connection reset");
    assert_eq!(metrics.happened(), ["transport dropped: io"]);
    server.send("ada", &number(5)).unwrap();
    tokio::time::sleep(millis(1)).await;
    assert_eq!(metrics.sum("retained_bytes"), 5 * FRAMED);
    assert_eq!(server.stats().retained_bytes as i64, 5 * FRAMED);
    line.set_dials(Dials::Served);
    assert_eq!(numbers(&mut ada, 4).await, [2, 3, 4, 5]);
    assert_eq!(metrics.happened(), ["resume attempted", "transport restored"]);
    // 2, 3 and 4 twice.
    assert_eq!((metrics.sum("sent"), metrics.sum("replayed")), (8, 3));
    assert_eq!((metrics.sum("sent_bytes"), metrics.sum("gap_sent")), (8 * FRAMED, 0));
    server.cut("ada").unwrap();
    assert_eq!(next(&mut ada).await, "dropped: unexpected end of file");
    assert_eq!(next(&mut ada).await, "restored");
    assert_eq!(metrics.happened(), ["transport dropped: cut", "resume attempted", "transport restored"]);
}

#[tokio::test(start_paused = true)]
async fn a_takeover_is_told_between_the_drop_and_the_restore() {
    let (server, mut log, metrics) = server(|builder| builder.heartbeat(secs(200), secs(300)));
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").heartbeat(secs(2), secs(5)).connect().await.unwrap();
    log.connected().await;
    metrics.happened();
    line.half_open();
    assert_eq!(next(&mut ada).await, "dropped: nothing arrived for the pong timeout");
    assert_eq!(next(&mut ada).await, "restored");
    assert_eq!(
        metrics.happened(),
        ["resume attempted", "transport dropped: taken_over", "takeover", "transport restored"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_plain_takeover_attempts_a_resume() {
    let (server, mut log, metrics) = server(|builder| builder.duplicate_id(DuplicateId::Resume));
    let line = Line::to(&server);
    let _old = line.client("/?id=ada").plain().connect().await.unwrap();
    log.connected().await;
    assert_eq!(metrics.happened(), ["room created", "connection opened"]);
    let _new = line.client("/?id=ada").plain().connect().await.unwrap();
    assert_eq!(log.next().await, "ada dropped: taken over by another socket");
    assert_eq!(
        metrics.happened(),
        ["resume attempted", "transport dropped: taken_over", "takeover", "transport restored"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_retains_no_bytes() {
    for ends_by_kick in [true, false] {
        let (server, mut log, metrics) = server(|builder| builder.resume_window(secs(5)));
        let (_ada, line) = client(&server, &mut log, "ada").await;
        line.set_dials(Dials::Refused);
        line.cut();
        assert_eq!(log.next().await, "ada dropped: connection reset");
        for n in 1..=3 {
            server.send("ada", &number(n)).unwrap();
            tokio::time::sleep(millis(1)).await;
        }
        assert_eq!(metrics.sum("retained_bytes"), 3 * FRAMED);
        if ends_by_kick {
            server.kick("ada").await.unwrap();
        }
        log.next().await;
        tokio::time::sleep(millis(1)).await;
        assert_eq!((metrics.sum("retained_bytes"), server.stats().retained_bytes), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_heartbeat_is_told_with_its_drop_and_then_the_end_of_the_window() {
    let (server, mut log, metrics) =
        server(|builder| builder.heartbeat(secs(3), secs(8)).resume_window(secs(12)));
    let (_ada, line) = client(&server, &mut log, "ada").await;
    metrics.happened();
    line.set_dials(Dials::Refused);
    line.half_open();
    assert_eq!(log.next().await, "ada dropped: nothing arrived for the pong timeout");
    assert_eq!(metrics.happened(), ["transport dropped: heartbeat_timeout", "heartbeat failed"]);
    assert_eq!(log.next().await, "ada disconnected: resume window expired");
    assert_eq!(metrics.happened(), ["connection closed after 20 s: window_expired", "room destroyed"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_window_a_drop_is_told_and_then_the_end() {
    let (server, mut log, metrics) = server(|builder| builder.resume_window(None));
    let (_ada, line) = client(&server, &mut log, "ada").await;
    metrics.happened();
    line.set_dials(Dials::Refused);
    line.cut();
    assert_eq!(log.next().await, "ada disconnected: socket lost: connection reset");
    let happened = metrics.happened();
    assert_eq!(
        happened,
        ["transport dropped: io", "connection closed after 0 s: transport_lost", "room destroyed"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_resume_that_is_refused_is_told_with_why() {
    let (server, mut log, metrics) = server(|builder| builder.codec(JsonCodec).codec(OtherJson));
    let line = Line::to(&server);
    let mut socket = raw::dial(&line, "ada", "rejoin.v1.json").await.unwrap();
    let open = raw::read(&mut socket).await;
    let token = raw::token(&open);
    log.connected().await;
    metrics.happened();
    let refused = |why: &str| ["resume attempted".to_owned(), format!("resume refused: {why}")];

    let offer = format!("rejoin.v1.json, rejoin.resume.{token}.99");
    assert_eq!(raw::dial(&line, "ada", &offer).await.err(), Some(400));
    let [attempted, bad_count] = refused("bad_count");
    assert_eq!(metrics.happened(), [attempted, bad_count, "upgrade refused: 400".into()]);

    let offer = format!("rejoin.v1.json2, rejoin.resume.{token}.0");
    let mut open = Vec::new();
    for (id, offer, why) in [
        ("eve", format!("rejoin.v1.json, rejoin.resume.{token}.0"), "identity"),
        ("joe", format!("rejoin.v1.json, rejoin.resume.{}.0", "x".repeat(43)), "unknown"),
        ("ada", offer, "codec"),
    ] {
        let mut socket = raw::dial(&line, id, &offer).await.unwrap();
        assert!(raw::read(&mut socket).await.contains(&format!(r#""lost":"{why}""#)));
        let happened = metrics.happened();
        assert_eq!(happened[..2], refused(why));
        open.push(socket);
        assert_eq!(happened.iter().filter(|what| *what == "connection opened").count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_resume_whose_session_is_gone_or_taken_when_its_socket_comes_is_told_as_refused() {
    let (server, mut log, metrics) = server(|builder| builder);
    let line = Line::to(&server);
    let mut socket = raw::dial(&line, "ada", "rejoin.v1.json").await.unwrap();
    let open = raw::read(&mut socket).await;
    log.connected().await;
    metrics.happened();
    let offer = format!("rejoin.v1.json, rejoin.resume.{}.0", raw::token(&open));

    // Its answer does not fit into the line, so that it waits until somebody reads.
    let narrow = Line::to(&server).with_capacity(16);
    let mut late = narrow.dial().unwrap();
    late.write_all(request("/?id=ada", &offer).as_bytes()).await.unwrap();
    let mut sooner = raw::dial(&line, "ada", &offer).await.unwrap();
    assert!(raw::read(&mut sooner).await.contains(r#""resumed":true"#));
    let mut answer = Vec::new();
    late.read_to_end(&mut answer).await.unwrap();
    let taken_over = ["transport dropped: taken_over", "takeover", "transport restored"].map(str::to_owned);
    let happened = metrics.happened();
    assert_eq!(happened[..2], ["resume attempted", "resume attempted"]);
    assert_eq!(happened[2..5], taken_over);
    assert_eq!(happened[5..], ["resume refused: overtaken"]);

    let mut late = narrow.dial().unwrap();
    late.write_all(request("/?id=ada", &offer).as_bytes()).await.unwrap();
    tokio::time::sleep(millis(1)).await;
    server.kick("ada").await.unwrap();
    let mut answer = Vec::new();
    late.read_to_end(&mut answer).await.unwrap();
    let happened = metrics.happened();
    assert_eq!(happened.first().unwrap(), "resume attempted");
    assert_eq!(happened.last().unwrap(), "resume refused: ended");
    assert!(happened.iter().any(|what| what.ends_with(": kicked")), "{happened:?}");
}

#[tokio::test(start_paused = true)]
async fn a_resume_whose_count_is_out_of_date_when_its_socket_comes_is_told_as_refused() {
    let (server, mut log, metrics) = server(|builder| builder);
    let line = Line::to(&server);
    let mut socket = raw::dial(&line, "ada", "rejoin.v1.json").await.unwrap();
    let open = raw::read(&mut socket).await;
    log.connected().await;
    server.send("ada", &number(1)).unwrap();
    raw::read(&mut socket).await;
    // The answer does not fit into the line, so that it waits until somebody reads.
    let mut late = Line::to(&server).with_capacity(16).dial().unwrap();
    let offer = format!("rejoin.v1.json, rejoin.resume.{}.0", raw::token(&open));
    late.write_all(request("/?id=ada", &offer).as_bytes()).await.unwrap();
    tokio::time::sleep(millis(1)).await;
    raw::write(&mut socket, r#"{"event":"$ack","payload":1}"#).await;
    tokio::time::sleep(millis(1)).await;
    metrics.happened();
    let mut answer = Vec::new();
    late.read_to_end(&mut answer).await.unwrap();
    let close = b"\x03\xeaacknowledged less than before";
    assert!(answer.ends_with(close), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(metrics.happened(), ["resume refused: bad_count"]);
    assert!(server.connection("ada").unwrap().is_attached(), "the session stays as it is");
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_and_told_as_a_gap_is_counted() {
    let (server, mut log, metrics) = server(|builder| builder.send_buffer(4));
    let (mut slow, line) = client(&server, &mut log, "slow").await;
    line.set_dials(Dials::Refused);
    line.cut();
    assert_eq!(log.next().await, "slow dropped: connection reset");
    assert_eq!(next(&mut slow).await, "dropped: connection reset");
    for n in 1..=9 {
        server.broadcast("room", &number(n)).unwrap();
        tokio::time::sleep(millis(1)).await;
    }
    assert_eq!((metrics.sum("frames_dropped"), metrics.sum("gap_sent")), (5, 0));
    assert_eq!(metrics.sum("retained_bytes"), 4 * FRAMED);
    let full = metrics.buffer();
    assert_eq!(full[..4], [(1, 4), (2, 4), (3, 4), (4, 4)]);
    assert!(full[4..].iter().all(|full| *full == (4, 4)) && full.len() == 9);
    line.set_dials(Dials::Served);
    assert_eq!(next(&mut slow).await, "restored");
    assert_eq!(next(&mut slow).await, "gap 1-5");
    assert_eq!(numbers(&mut slow, 4).await, [6, 7, 8, 9]);
    assert_eq!((metrics.sum("frames_dropped"), metrics.sum("gap_sent")), (5, 5));
    assert_eq!((metrics.sum("sent"), metrics.sum("replayed")), (4, 0), "no socket had been handed them");
    server.kick("slow").await.unwrap();
    shut_down(&server).await;
    assert_eq!(metrics.sum("retained_bytes"), 0, "what is kept ends with the session");
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_the_client_announces_is_no_frame_received() {
    let (server, mut log, metrics) = server(|builder| builder);
    let mut socket = raw::dial(&Line::to(&server), "ada", "rejoin.v1.json").await.unwrap();
    raw::read(&mut socket).await;
    log.connected().await;
    raw::write(&mut socket, r#"{"event":"$gap","payload":{"from":1,"to":3}}"#).await;
    raw::write(&mut socket, r#"{"event":"n","payload":4}"#).await;
    assert_eq!(log.next().await, "ada gap 1-3");
    assert_eq!(log.numbers(1).await, [4]);
    tokio::time::sleep(millis(1)).await;
    assert_eq!((metrics.sum("gap_received"), metrics.sum("received")), (3, 1));
    assert_eq!(metrics.sum("received_bytes"), FRAME);
}

#[tokio::test(start_paused = true)]
async fn each_callback_is_told_with_the_time_that_it_took() {
    let metrics = MetricsLog::default();
    let nap = |n| tokio::time::sleep(secs(n));
    let connect = async |request: ConnectRequest| {
        tokio::time::sleep(secs(1)).await;
        harness::connect(request).await
    };
    let server = Server::builder(connect)
        .metrics(metrics.clone())
        .on_connect(move |_| nap(2))
        .on_message(move |_, _| nap(3))
        .on_transport_drop(move |_, _| nap(4))
        .on_transport_restore(move |_| nap(5))
        .on_gap(move |_, _| nap(6))
        .on_disconnect(move |_, _| nap(7))
        .build()
        .unwrap();
    let line = Line::to(&server);
    let mut socket = raw::dial(&line, "ada", "rejoin.v1.json").await.unwrap();
    let open = raw::read(&mut socket).await;
    line.cut();
    let offer = format!("rejoin.v1.json, rejoin.resume.{}.0", raw::token(&open));
    let mut socket = raw::dial(&line, "ada", &offer).await.unwrap();
    raw::write(&mut socket, r#"{"event":"n","payload":1}"#).await;
    raw::write(&mut socket, r#"{"event":"$gap","payload":{"from":2,"to":2}}"#).await;
    let ada = server.connection("ada").unwrap();
    socket.close(None).await.unwrap();
    ada.closed().await;
    let mut callbacks = metrics.callbacks();
    // Before the callbacks of the session that it resumes are through.
    assert_eq!(callbacks.remove(1), (CallbackKind::ConnectFn, secs(1)));
    let expected = [
        (CallbackKind::ConnectFn, 1),
        (CallbackKind::Connect, 2),
        (CallbackKind::TransportDrop, 4),
        (CallbackKind::TransportRestore, 5),
        (CallbackKind::Message, 3),
        (CallbackKind::Gap, 6),
        (CallbackKind::Disconnect, 7),
    ];
    assert_eq!(callbacks, expected.map(|(kind, took)| (kind, secs(took))));
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_is_told_too_and_one_that_is_not_there_is_not() {
    let metrics = MetricsLog::default();
    let builder = || Server::builder(harness::connect).metrics(metrics.clone());
    let servers = [
        builder().on_message(|_, _| async { panic!("on purpose") }),
        // Before there is a future.
        builder().on_message(|_, frame| {
            assert!(frame.event().is_empty(), "on purpose");
            async {}
        }),
    ];
    for server in servers.map(|builder| builder.build().unwrap()) {
        let line = Line::to(&server);
        let ada = line.client("/?id=ada").max_retries(1).connect().await.unwrap();
        let connection = server.connection("ada").unwrap();
        line.set_dials(Dials::Refused);
        ada.send(&number(1)).unwrap();
        connection.closed().await;
        let kinds: Vec<_> = metrics.callbacks().into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [CallbackKind::ConnectFn, CallbackKind::Message]);
        assert!(metrics.happened().contains(&"connection closed after 0 s: handler_panicked".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_that_a_shutdown_drops_are_told_as_closed() {
    let (server, mut log, metrics) = server(|builder| builder.on_message(|_, _| std::future::pending()));
    let (ada, line) = client(&server, &mut log, "ada").await;
    line.set_dials(Dials::Refused);
    ada.send(&number(1)).unwrap();
    tokio::time::sleep(secs(1)).await;
    metrics.happened();
    assert_eq!(server.shutdown(secs(4)).await, 1);
    let happened = metrics.happened();
    assert_eq!(happened, ["connection closed after 1 s: server_closed", "room destroyed"]);
    assert_eq!(metrics.sum("retained_bytes"), 0);
}

/// Its callback never returns and it has no socket: nothing but the end of its task tells its end.
#[tokio::test(start_paused = true)]
async fn a_suspended_session_that_a_shutdown_drops_is_told_as_closed() {
    let (server, mut log, metrics) = server(|builder| builder.on_message(|_, _| std::future::pending()));
    let (ada, line) = client(&server, &mut log, "ada").await;
    ada.send(&number(1)).unwrap();
    tokio::time::sleep(millis(1)).await;
    line.set_dials(Dials::Refused);
    line.cut();
    tokio::time::sleep(secs(1)).await;
    server.send("ada", &number(2)).unwrap();
    tokio::time::sleep(millis(1)).await;
    assert_eq!(metrics.sum("retained_bytes"), FRAMED);
    metrics.happened();
    assert_eq!(server.shutdown(secs(4)).await, 1);
    let happened = metrics.happened();
    assert!(happened.iter().any(|what| what.starts_with("connection closed after")), "{happened:?}");
    assert_eq!(metrics.sum("retained_bytes"), 0);
}

/// Metrics that do this whatever they are told.
struct Always<F>(F);

impl<F: Fn() + Send + Sync + 'static> Metrics for Always<F> {
    fn upgrade_refused(&self, _: StatusCode) {
        self.0();
    }
    fn connection_opened(&self) {
        self.0();
    }
    fn connection_closed(&self, _: Duration, _: &CloseReason) {
        self.0();
    }
    fn room_created(&self) {
        self.0();
    }
    fn room_destroyed(&self) {
        self.0();
    }
    fn resume_attempted(&self) {
        self.0();
    }
    fn resume_refused(&self, _: ResumeRefused) {
        self.0();
    }
    fn takeover(&self) {
        self.0();
    }
    fn transport_dropped(&self, _: &DropReason) {
        self.0();
    }
    fn transport_restored(&self) {
        self.0();
    }
    fn received(&self, _: u64, _: u64) {
        self.0();
    }
    fn sent(&self, _: u64, _: u64) {
        self.0();
    }
    fn send_buffer_used(&self, _: usize, _: usize) {
        self.0();
    }
    fn retained_bytes_changed(&self, _: i64) {
        self.0();
    }
    fn broadcast(&self, _: u64, _: usize) {
        self.0();
    }
    fn callback_finished(&self, _: CallbackKind, _: Duration) {
        self.0();
    }
}

/// Everything that a server does, once.
async fn everything(server: &Server, mut log: Recorder) {
    let (mut ada, line) = client(server, &mut log, "ada").await;
    for n in 1..=3 {
        ada.send(&number(n)).unwrap();
        server.send("ada", &number(n)).unwrap();
        assert_eq!(server.broadcast("room", &number(10 + n)), Ok(1));
        line.cut();
    }
    assert_eq!(log.numbers_over_drops(3).await, [1, 2, 3]);
    assert_eq!(numbers(&mut ada, 6).await, [1, 11, 2, 12, 3, 13]);
    assert_eq!(raw::dial(&line, "ben", "rejoin.v9.json").await.err(), Some(400));
    let offer = format!("rejoin.v1.json, rejoin.resume.{}.0", "x".repeat(43));
    let mut ben = raw::dial(&Line::to(server), "ben", &offer).await.unwrap();
    assert!(raw::read(&mut ben).await.contains("unknown"));
    server.kick("ada").await.unwrap();
    assert_eq!((server.stats().rooms, server.stats().refused), (1, 1));
    shut_down(server).await;
    assert_eq!((server.stats().rooms, server.stats().connections), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn hooks_that_panic_change_nothing() {
    let (server, log) = crate::server(|builder| builder.metrics(Always(|| panic!("on purpose"))));
    everything(&server, log).await;
}

#[tokio::test(start_paused = true)]
async fn no_lock_of_the_server_is_held_while_a_hook_runs() {
    let (calls, watched) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceLock::<Server>::new()));
    let (hook_calls, hook_server) = (calls.clone(), watched.clone());
    let hook = move || {
        let server = hook_server.get().unwrap().clone();
        let (done, looked) = std::sync::mpsc::channel();
        // On another thread, so that a lock that is held is a failure and no deadlock.
        let look = std::thread::spawn(move || {
            server.stats();
            assert!(server.connections("room").iter().all(|member| member.counts().dropped == 0));
            done.send(()).ok();
        });
        looked.recv_timeout(secs(20)).expect("a lock is held");
        look.join().unwrap();
        hook_calls.fetch_add(1, Ordering::Relaxed);
    };
    let (server, log) = crate::server(|builder| builder.metrics(Always(hook)));
    watched.set(server.clone()).unwrap();
    everything(&server, log).await;
    assert!(calls.load(Ordering::Relaxed) > 30, "{calls:?}");
}

/// What a snapshot says of each metric and its labels: `name{label=value}`.
fn values(snapshotter: &Snapshotter) -> BTreeMap<String, DebugValue> {
    let named = |key: &CompositeKey| {
        let labels: Vec<_> =
            key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        format!("{}{labels}", key.key().name())
    };
    let snapshot = snapshotter.snapshot().into_vec();
    snapshot.into_iter().map(|(key, .., value)| (named(&key), value)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_facade_gets_every_number_under_its_name_and_labels() {
    let recorder = DebuggingRecorder::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let (server, mut log) = crate::server(|builder| {
        builder.send_buffer(4).heartbeat(secs(200), secs(300)).metrics(FacadeMetrics::new())
    });
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    ada.send(&number(1)).unwrap();
    assert_eq!(log.numbers(1).await, [1]);
    // Handed to a socket that does not bring them, and replayed after a takeover.
    line.half_open();
    for n in 1..=2 {
        server.send("ada", &number(n)).unwrap();
    }
    assert_eq!(numbers(&mut ada, 2).await, [1, 2]);
    // Given up while nobody is there, and told.
    line.set_dials(Dials::Refused);
    line.cut();
    assert_eq!(next(&mut ada).await, "dropped: connection reset");
    tokio::time::sleep(secs(1)).await;
    for n in 3..=9 {
        server.broadcast("room", &number(n)).unwrap();
    }
    line.set_dials(Dials::Served);
    while !next(&mut ada).await.starts_with("gap ") {}
    assert_eq!(numbers(&mut ada, 4).await, [6, 7, 8, 9]);
    let offer = format!("rejoin.v1.json, rejoin.resume.{}.0", "x".repeat(43));
    let mut ben = raw::dial(&Line::to(&server), "ben", &offer).await.unwrap();
    raw::read(&mut ben).await;
    raw::write(&mut ben, r#"{"event":"$gap","payload":{"from":1,"to":3}}"#).await;
    assert_eq!(raw::dial(&Line::to(&server), "eve", "rejoin.v9.json").await.err(), Some(400));
    // Silent for the pong timeout.
    line.half_open();
    line.set_dials(Dials::Refused);
    tokio::time::sleep(secs(400)).await;
    assert_eq!(server.stats().connections + server.stats().suspended, 0);

    let values = values(&recorder.snapshotter());
    let counters: Vec<_> = values
        .iter()
        .filter_map(|(name, value)| match value {
            DebugValue::Counter(count) => Some((name.as_str(), *count)),
            _ => None,
        })
        .collect();
    let bytes = 27;
    assert_eq!(
        counters,
        [
            ("rejoin_broadcast_bytes_total", 7 * bytes),
            ("rejoin_broadcasts_total", 7),
            ("rejoin_connections_closed_total{reason=window_expired}", 2),
            ("rejoin_connections_opened_total", 2),
            ("rejoin_dropped_frames_total", 3),
            ("rejoin_gap_frames_total{direction=received}", 3),
            ("rejoin_gap_frames_total{direction=sent}", 3),
            ("rejoin_heartbeat_failures_total", 2),
            ("rejoin_received_bytes_total", 25),
            ("rejoin_received_frames_total", 1),
            ("rejoin_replayed_frames_total", 2),
            ("rejoin_resume_attempts_total", 3),
            ("rejoin_resumes_refused_total{reason=unknown}", 1),
            ("rejoin_rooms_created_total", 1),
            ("rejoin_sent_bytes_total", 8 * bytes),
            ("rejoin_sent_frames_total", 8),
            ("rejoin_takeovers_total", 1),
            ("rejoin_transport_drops_total{reason=heartbeat_timeout}", 2),
            ("rejoin_transport_drops_total{reason=io}", 1),
            ("rejoin_transport_drops_total{reason=taken_over}", 1),
            ("rejoin_transport_restores_total", 2),
            ("rejoin_upgrades_refused_total{status=4xx}", 1),
        ]
    );
    for gauge in ["rejoin_connections", "rejoin_rooms", "rejoin_retained_bytes"] {
        assert_eq!(values[gauge], DebugValue::Gauge(0.0.into()), "{gauge}: all are gone");
    }
    let histogram = |name: &str| match &values[name] {
        DebugValue::Histogram(samples) => samples.iter().map(|sample| sample.0).collect::<Vec<_>>(),
        other => panic!("{name} is no histogram: {other:?}"),
    };
    assert_eq!(histogram("rejoin_broadcast_receivers"), [1.0; 7]);
    assert!(histogram("rejoin_connection_duration_seconds").iter().all(|lived| *lived > 300.0));
    assert!(histogram("rejoin_send_buffer_ratio").contains(&1.0));
    assert_eq!(histogram("rejoin_callback_duration_seconds{callback=message}").len(), 1);
}

/// The names and kinds in the table of the documentation.
fn documented() -> BTreeMap<&'static str, MetricKind> {
    let rows = include_str!("../../../server/src/observe/facade.rs").lines().filter_map(|line| {
        let row = line.strip_prefix("/// | `rejoin_")?;
        let (name, rest) = row.split_once('`').unwrap();
        let kind = match rest.split('|').nth(1).unwrap().trim() {
            "counter" => MetricKind::Counter,
            "gauge" => MetricKind::Gauge,
            "histogram" => MetricKind::Histogram,
            other => panic!("{name} is a {other}"),
        };
        Some((name, kind))
    });
    rows.collect()
}

#[test]
fn the_table_of_the_facade_is_what_it_describes_and_what_it_tells() {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || {
        let facade = FacadeMetrics::new();
        facade.upgrade_refused(StatusCode::BAD_GATEWAY);
        facade.connection_opened();
        facade.connection_closed(secs(1), &CloseReason::Normal);
        facade.room_created();
        facade.room_destroyed();
        facade.resume_attempted();
        facade.resume_refused(ResumeRefused::Unknown);
        facade.takeover();
        facade.transport_dropped(&DropReason::Cut);
        facade.heartbeat_failed();
        facade.transport_restored();
        facade.received(1, 1);
        facade.sent(1, 1);
        facade.replayed(1);
        facade.broadcast(1, 1);
        facade.frames_dropped(1);
        facade.gap_sent(1);
        facade.gap_received(1);
        facade.send_buffer_used(1, 2);
        facade.retained_bytes_changed(-1);
        facade.callback_finished(CallbackKind::Message, secs(1));
    });
    let told = recorder.snapshotter().snapshot().into_vec();
    let table = documented();
    assert_eq!(table.len(), 26);
    for (key, _, description, _) in &told {
        let name = key.key().name().strip_prefix("rejoin_").unwrap();
        assert_eq!(table.get(name), Some(&key.kind()), "{name} stands in the table");
        assert!(description.is_some(), "{name} is described");
    }
    let names: std::collections::BTreeSet<_> = told.iter().map(|(key, ..)| key.key().name()).collect();
    assert_eq!(names.len(), table.len(), "each of the table is told");
}

/// JSON under another name.
#[derive(Debug)]
struct OtherJson;

impl Codec for OtherJson {
    fn name(&self) -> &'static str {
        "json2"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        JsonCodec.encode(frame)
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        JsonCodec.decode(message)
    }
}

#[allow(dead_code, reason = "it compiles: that is the claim")]
fn metrics_write_only_the_hooks_that_they_want() {
    struct None;
    impl Metrics for None {}
    let _ = Server::builder(async |_| Ok::<_, Reject>(Identity::new().with_room("room"))).metrics(None);
}
