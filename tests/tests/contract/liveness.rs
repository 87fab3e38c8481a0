//! A connection that is silent for too long is lost.

use rejoin_client::DropReason;
use rejoin_server::CloseReason;
use rejoin_tests::harness::{What, disconnected, millis, next, number, numbers, secs};
use tokio::time::Instant;

use crate::setting::{Mode, Setting};
use crate::stage::Stage;

scenario!(server_detects_half_open_socket_after_pong_timeout);
async fn server_detects_half_open_socket_after_pong_timeout(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder.heartbeat(millis(50), millis(400)));
    let (_client, line) = stage.connect_on_line("ada").await;
    line.half_open();
    let since = Instant::now();
    assert_eq!(stage.log.next().await, ("ada", What::Dropped(DropReason::HeartbeatTimeout)));
    stage.assert_took(since, millis(400));
    stage.end().await;
    // On a machine slower than this heartbeat, other events may come first.
    while stage.log.next().await != ("ada", What::Disconnected(CloseReason::ServerClosed)) {}
}

scenario!(half_open_socket_is_taken_over);
async fn half_open_socket_is_taken_over(setting: Setting) {
    // The server alone would not notice for a minute.
    let mut stage = Stage::set(setting, |builder| {
        builder
            .heartbeat(secs(40), secs(60))
            // The old socket answers nothing.
            .close_timeout(millis(100))
    });
    let line = stage.line();
    let client = stage.client_on(&line, "id=ada").heartbeat(millis(50), millis(400));
    let mut client = client.connect().await.unwrap();
    stage.log.connected().await;
    line.half_open();
    let since = Instant::now();
    let session = stage.mode == Mode::Session;
    // In plain mode, frames that are written into the half-open socket are lost.
    for n in (1..=20).filter(|_| session) {
        stage.server.send("ada", &number(n)).unwrap();
        client.send(&number(n)).unwrap();
    }
    assert_eq!(disconnected(&mut client).await, DropReason::HeartbeatTimeout);
    stage.assert_took(since, millis(400));
    assert_eq!(next(&mut client).await, stage.back());
    if session {
        assert_eq!(numbers(&mut client, 20).await, Vec::from_iter(1..=20));
        assert_eq!(stage.log.next().await, ("ada", What::Dropped(DropReason::TakenOver)));
        assert_eq!(stage.log.next().await, ("ada", What::Restored));
        assert_eq!(stage.log.numbers(20).await, Vec::from_iter(1..=20));
    } else {
        // Another socket with the same ID is another session.
        while stage.log.next().await != ("ada", What::Connected) {}
    }
    client.close().await;
    stage.end().await;
}
