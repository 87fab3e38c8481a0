//! Hooks for connections, rooms, refused upgrades, and ends of sessions.

use rejoin_server::{CloseReason, ConnectRequest, DropReason, Reject, Server};
use rejoin_tests::harness::{self, MetricsLog, RESET, What, number};
use rejoin_tests::network::{Dials, Line};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{FRAMED, server};
use crate::raw::request;
use crate::{client, millis, secs, shut_down};

#[tokio::test(start_paused = true)]
async fn connections_and_rooms_come_and_go() {
    let (server, mut log, metrics) = server(|builder| builder);
    let (ada, _) = client(&server, &mut log, "ada").await;
    assert_eq!(metrics.happened(), ["room created", "connection opened"]);
    let (_ben, _) = client(&server, &mut log, "ben").await;
    assert_eq!(metrics.happened(), ["connection opened"], "the room already existed");
    tokio::time::sleep(secs(7)).await;
    ada.close().await;
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::Normal)));
    assert_eq!(metrics.happened(), ["connection closed after 7 s: normal"], "ben is still in the room");
    let ben = server.connection("ben").unwrap();
    server.kick("ben").await.unwrap();
    ben.closed().await;
    assert_eq!(metrics.happened(), ["room destroyed", "connection closed after 7 s: kicked"]);
    shut_down(&server).await;
    assert_eq!(metrics.happened(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn session_without_socket_counts_only_its_room() {
    let (server, mut log, metrics) = server(|builder| builder.handshake_timeout(secs(2)));
    let line = Line::to(&server).with_capacity(16);
    let mut io = line.dial().unwrap();
    // The answer does not fit into the line, and is not read.
    io.write_all(request("/?id=ada", "rejoin.v1.json").as_bytes()).await.unwrap();
    tokio::time::sleep(secs(1)).await;
    // The session is already a member of its room.
    assert_eq!(server.broadcast("room", &number(1)), Ok(1));
    tokio::time::sleep(millis(1)).await;
    assert_eq!(metrics.sum("retained_bytes"), FRAMED);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(metrics.happened(), ["room created", "room destroyed"]);
    assert_eq!((log.try_next(), metrics.sum("retained_bytes")), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn refused_upgrades_report_their_status() {
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
async fn cut_by_handler_reports_drop_then_close() {
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
async fn failed_heartbeat_is_reported_after_its_drop() {
    let (server, mut log, metrics) =
        server(|builder| builder.heartbeat(secs(3), secs(8)).resume_window(secs(12)));
    let (_ada, line) = client(&server, &mut log, "ada").await;
    metrics.happened();
    line.set_dials(Dials::Refused);
    line.half_open();
    assert_eq!(log.next().await, ("ada", What::Dropped(DropReason::HeartbeatTimeout)));
    assert_eq!(metrics.happened(), ["transport dropped: heartbeat_timeout", "heartbeat failed"]);
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::WindowExpired)));
    assert_eq!(metrics.happened(), ["connection closed after 20 s: window_expired", "room destroyed"]);
}

#[tokio::test(start_paused = true)]
async fn without_window_drop_is_reported_before_close() {
    let (server, mut log, metrics) = server(|builder| builder.resume_window(None));
    let (_ada, line) = client(&server, &mut log, "ada").await;
    metrics.happened();
    line.unplug();
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::TransportLost(RESET))));
    let happened = metrics.happened();
    assert_eq!(
        happened,
        ["transport dropped: io", "connection closed after 0 s: transport_lost", "room destroyed"]
    );
}

#[tokio::test(start_paused = true)]
async fn sessions_dropped_by_shutdown_are_reported_closed() {
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

/// Its callback never returns and it has no socket: only the end of its task reports its end.
#[tokio::test(start_paused = true)]
async fn suspended_session_dropped_by_shutdown_is_reported_closed() {
    let (server, mut log, metrics) = server(|builder| builder.on_message(|_, _| std::future::pending()));
    let (ada, line) = client(&server, &mut log, "ada").await;
    ada.send(&number(1)).unwrap();
    tokio::time::sleep(millis(1)).await;
    line.unplug();
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
