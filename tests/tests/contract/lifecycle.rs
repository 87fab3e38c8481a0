//! Connections open, and end: closed by either side, kicked, or with the server.

use rejoin_client::{ConnectionState, LostReason};
use rejoin_server::{CloseReason, ConnectionError, SendError};
use rejoin_tests::harness::{Heard, What, closed, disconnected, local, next, number, numbers, secs, within};
use tokio::time::Instant;

use crate::setting::{Mode, Setting};
use crate::stage::Stage;

scenario!(both_ends_know_the_identity);
async fn both_ends_know_the_identity(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let client = stage.client("id=ada&room=library").connect().await.unwrap();
    let connection = stage.log.connected().await;
    assert_eq!((connection.id(), connection.room()), ("ada", Some("library")));
    assert!(connection.is_attached());
    if stage.mode == Mode::Session {
        assert_eq!((client.id().as_deref(), client.room().as_deref()), (Some("ada"), Some("library")));
    }
    let stats = stage.server.stats();
    assert_eq!((stats.connections, stats.suspended, stats.rooms), (1, 0, 1));
    client.close().await;
    let end = ("ada", What::Disconnected(CloseReason::Normal));
    assert_eq!(stage.log.next().await, end, "and nothing between");
    stage.end().await;
    assert_eq!(stage.log.try_next(), None);
}

scenario!(foreign_client_is_served, Plain);
async fn foreign_client_is_served(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let mut bare = stage.bare("ada").await;
    bare.send(r#"{"event":"n","payload":1}"#).await;
    assert_eq!(stage.log.next().await, ("ada", What::Message(number(1))));
    stage.server.send("ada", &number(2)).unwrap();
    assert_eq!(bare.text().await, r#"{"event":"n","payload":2}"#);
    bare.close().await;
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::Normal)));
    stage.end().await;
    assert_eq!(stage.log.try_next(), None);
}

scenario!(clean_close_delivers_everything_first);
async fn clean_close_delivers_everything_first(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut client, line) = stage.connect_on_line("ada").await;
    for n in 1..=100 {
        client.send(&number(n)).unwrap();
    }
    let closed = client.close().await;
    assert_eq!((closed.unacknowledged, client.state()), (0, ConnectionState::Closed));
    assert!(client.recv().await.is_none(), "the client's own close is not an event");
    assert_eq!(stage.log.numbers(100).await, Vec::from_iter(1..=100));
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::Normal)));
    assert!(stage.server.connection("ada").is_none() && stage.server.connections("room").is_empty());
    let stats = stage.server.stats();
    let left = (stats.connections, stats.suspended, stats.rooms, stats.retained_bytes);
    assert_eq!(left, (0, 0, 0, 0));
    assert_eq!(line.dials(), 1);
    stage.end().await;
}

scenario!(server_close_delivers_sent_frames_first);
async fn server_close_delivers_sent_frames_first(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut client, line) = stage.connect_on_line("ada").await;
    let connection = stage.server.connection("ada").unwrap();
    for n in 1..=100 {
        connection.send(&number(n)).unwrap();
    }
    connection.close();
    assert_eq!(connection.send(&number(101)), Err(SendError::Closed));
    assert_eq!(numbers(&mut client, 100).await, Vec::from_iter(1..=100));
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(local(1000, ""))));
    within("end", connection.closed()).await;
    assert_eq!(next(&mut client).await, Heard::closed_by_server(1000, ""));
    assert!(client.recv().await.is_none());
    assert_eq!(line.dials(), 1, "the client does not come back");
    stage.end().await;
    assert_eq!(stage.log.try_next(), None);
}

scenario!(kick_is_done_when_it_returns);
async fn kick_is_done_when_it_returns(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut client, line) = stage.connect_on_line("ada").await;
    let connection = stage.server.connection("ada").unwrap();
    stage.server.kick("ada").await.unwrap();
    assert!(stage.server.connection("ada").is_none() && stage.server.connections("room").is_empty());
    assert_eq!(connection.send(&number(1)), Err(SendError::Closed));
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::Kicked)));
    assert_eq!(next(&mut client).await, Heard::closed_by_server(1000, "kicked"));
    assert!(client.recv().await.is_none());
    assert_eq!(line.dials(), 1, "the client does not come back");
    assert_eq!(stage.server.kick("ada").await, Err(ConnectionError::NotFound));
    stage.end().await;
    assert_eq!(stage.log.try_next(), None);
}

scenario!(kick_ends_suspended_session_at_once);
async fn kick_ends_suspended_session_at_once(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder.resume_window(secs(3600)));
    let (mut client, line) = stage.connect_on_line("ada").await;
    stage.take_away("ada", &line).await;
    if stage.mode == Mode::Session {
        client.send(&number(1)).unwrap();
    }
    let since = Instant::now();
    stage.server.kick("ada").await.unwrap();
    assert!(stage.server.connection("ada").is_none());
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::Kicked)));
    stage.assert_took(since, secs(0));
    line.plug_in();
    disconnected(&mut client).await;
    if stage.mode == Mode::Session {
        let lost = Heard::SessionLost { reason: Some(LostReason::Unknown), unacknowledged: vec![number(1)] };
        assert_eq!(next(&mut client).await, lost);
    }
    assert_eq!(next(&mut client).await, Heard::Reconnected);
    assert_eq!(stage.log.next().await, ("ada", What::Connected), "with a fresh session");
    stage.end().await;
}

scenario!(kick_and_cut_fail_for_unknown_id);
async fn kick_and_cut_fail_for_unknown_id(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut client, line) = stage.connect_on_line("ada").await;
    assert_eq!(stage.server.kick("nobody").await, Err(ConnectionError::NotFound));
    assert_eq!(stage.server.cut("nobody"), Err(ConnectionError::NotFound));
    stage.take_away("ada", &line).await;
    assert_eq!(stage.server.cut("ada"), Err(ConnectionError::NotAttached));
    line.plug_in();
    assert_eq!(stage.log.next().await, ("ada", What::Restored));
    // A plain client that closes before it knows that it is back just leaves.
    disconnected(&mut client).await;
    assert_eq!(next(&mut client).await, stage.back());
    client.close().await;
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::Normal)));
    assert_eq!(stage.server.kick("ada").await, Err(ConnectionError::NotFound));
    stage.end().await;
}

scenario!(shutdown_delivers_accepted_frames_first);
async fn shutdown_delivers_accepted_frames_first(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let mut client = stage.connect("ada").await;
    stage.server.send("ada", &number(1)).unwrap();
    stage.end().await;
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::ServerClosed)));
    assert_eq!(next(&mut client).await, Heard::Message(number(1)));
    assert_eq!(next(&mut client).await, Heard::Disconnected(closed(1001, "server shutting down")));
}

scenario!(shutdown_ends_every_session_and_task);
async fn shutdown_ends_every_session_and_task(setting: Setting) {
    let mut old = Stage::set(setting.clone(), |builder| builder);
    let (mut ada, line) = old.connect_on_line("ada").await;
    let (_ben, away) = old.connect_on_line("ben").await;
    let mut eve = old.client("id=eve").plain().no_reconnect().connect().await.unwrap();
    old.log.connected().await;
    old.take_away("ben", &away).await;
    let since = Instant::now();
    old.end().await;
    old.assert_took(since, secs(0));
    let ended = || What::Disconnected(CloseReason::ServerClosed);
    assert_eq!(old.log.next_sorted().await, [("ada", ended()), ("ben", ended()), ("eve", ended())]);
    let stats = old.server.stats();
    assert_eq!((stats.connections, stats.suspended, stats.rooms), (0, 0, 0));
    for client in [&mut eve, &mut ada] {
        assert_eq!(next(client).await, Heard::Disconnected(closed(1001, "server shutting down")));
    }
    // The client keeps dialling, and reaches the next server.
    let mut new = Stage::set(setting, |builder| builder);
    line.lead_to(new.target.clone());
    if old.mode == Mode::Session {
        assert_eq!(next(&mut ada).await, Heard::session_lost(None));
    }
    assert_eq!(next(&mut ada).await, Heard::Reconnected);
    assert_eq!(new.log.next().await, ("ada", What::Connected));
    old.end().await;
    new.end().await;
}

scenario!(shutdown_waits_for_silent_peer_until_its_deadline);
async fn shutdown_waits_for_silent_peer_until_its_deadline(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (_client, line) = stage.connect_on_line("ada").await;
    line.half_open();
    stage.server.send("ada", &number(1)).unwrap();
    let since = Instant::now();
    assert_eq!(stage.server.shutdown(secs(1)).await, 0, "no callback was dropped");
    assert!(since.elapsed() < secs(5), "{:?}", since.elapsed());
    if stage.is_in_memory() {
        assert!(since.elapsed() <= secs(1), "{:?}", since.elapsed());
    }
    let end = stage.log.try_next().expect("the callback has run");
    assert_eq!(end, ("ada", What::Disconnected(CloseReason::ServerClosed)));
}
