//! Sessions and frames that survive a lost connection, and those that do not.

use rejoin_client::LostReason;
use rejoin_server::{CloseReason, SendError};
use rejoin_tests::harness::{END_OF_STREAM, Heard, What, disconnected, millis, next, number, numbers, secs};
use tokio::time::Instant;

use crate::bare::Bare;
use crate::setting::{Mode, Setting};
use crate::stage::Stage;

scenario!(lost_connection_suspends_the_session);
async fn lost_connection_suspends_the_session(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut client, line) = stage.connect_on_line("ada").await;
    let connection = stage.server.connection("ada").unwrap();
    stage.take_away("ada", &line).await;
    disconnected(&mut client).await;
    let stats = stage.server.stats();
    assert_eq!((stats.connections, stats.suspended, stats.rooms), (0, 1, 1));
    assert!(connection.is_open() && !connection.is_attached());
    connection.send(&number(1)).unwrap();
    stage.end().await;
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::ServerClosed)));
}

scenario!(lost_foreign_client_is_suspended, Plain);
async fn lost_foreign_client_is_suspended(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    drop(stage.bare("ada").await);
    assert_eq!(stage.log.next().await, ("ada", What::Dropped(END_OF_STREAM)));
    assert_eq!(stage.server.stats().suspended, 1);
    stage.end().await;
}

scenario!(resume_delivers_frames_sent_meanwhile);
async fn resume_delivers_frames_sent_meanwhile(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut client, line) = stage.connect_on_line("ada").await;
    let connection = stage.server.connection("ada").unwrap();
    stage.take_away("ada", &line).await;
    disconnected(&mut client).await;
    for n in 1..=50 {
        connection.send(&number(n)).unwrap();
        client.send(&number(100 + n)).unwrap();
    }
    line.plug_in();
    assert_eq!(next(&mut client).await, stage.back());
    assert_eq!(numbers(&mut client, 50).await, Vec::from_iter(1..=50));
    assert_eq!(stage.log.next().await, ("ada", What::Restored), "before its first message");
    assert_eq!(stage.log.numbers(50).await, Vec::from_iter(101..=150));
    assert!(connection.is_attached(), "it is the same connection");
    assert_eq!((stage.server.stats().resumed, stage.server.stats().dropped), (1, 0));
    assert_eq!(client.close().await.unacknowledged, 0);
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::Normal)));
    stage.end().await;
}

scenario!(foreign_client_resumes_by_its_id, Plain);
async fn foreign_client_resumes_by_its_id(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    drop(stage.bare("ada").await);
    assert_eq!(stage.log.next().await, ("ada", What::Dropped(END_OF_STREAM)));
    for n in 1..=50 {
        stage.server.send("ada", &number(n)).unwrap();
    }
    let mut bare = Bare::connect(&stage.line(), "id=ada").await.unwrap();
    assert_eq!(bare.numbers(50).await, Vec::from_iter(1..=50));
    assert_eq!(stage.log.next().await, ("ada", What::Restored));
    bare.close().await;
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::Normal)));
    stage.end().await;
}

scenario!(frames_lost_in_transit_are_replayed_in_order, Session);
async fn frames_lost_in_transit_are_replayed_in_order(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut client, line) = stage.connect_on_line("ada").await;
    line.half_open();
    for n in 1..=50 {
        stage.server.send("ada", &number(n)).unwrap();
        client.send(&number(n)).unwrap();
    }
    // A frame has at least 27 bytes.
    line.vanished(2 * 50 * 27).await;
    line.cut();
    stage.server.send("ada", &number(51)).unwrap();
    client.send(&number(51)).unwrap();
    disconnected(&mut client).await;
    assert_eq!(next(&mut client).await, Heard::Resumed);
    assert_eq!(numbers(&mut client, 51).await, Vec::from_iter(1..=51));
    assert_eq!(stage.log.numbers_over_drops(51).await, Vec::from_iter(1..=51));
    assert_eq!(stage.server.stats().resumed, 1);
    stage.end().await;
}

scenario!(window_expires_on_time);
async fn window_expires_on_time(setting: Setting) {
    // In memory even a long window ends to the millisecond.
    let window = if setting.is_in_memory() { secs(12) } else { millis(100) };
    let mut stage = Stage::set(setting, |builder| builder.resume_window(window));
    let (mut client, line) = stage.connect_on_line("ada").await;
    let connection = stage.server.connection("ada").unwrap();
    stage.take_away("ada", &line).await;
    let since = Instant::now();
    stage.server.send("ada", &number(1)).unwrap();
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::WindowExpired)));
    stage.assert_took(since, window);
    assert!(stage.server.connection("ada").is_none(), "the ID is free when `on_disconnect` is called");
    assert_eq!(stage.server.stats().suspended, 0);
    assert_eq!(connection.send(&number(1)), Err(SendError::Closed));
    line.plug_in();
    disconnected(&mut client).await;
    if stage.mode == Mode::Session {
        assert_eq!(next(&mut client).await, Heard::session_lost(LostReason::Unknown));
    }
    assert_eq!(next(&mut client).await, Heard::Reconnected);
    assert_eq!(stage.log.next().await, ("ada", What::Connected), "with a fresh session");
    stage.end().await;
}
