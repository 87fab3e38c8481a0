//! Sends reach one connection, and broadcasts one room.

use rejoin_server::{BroadcastError, CloseReason, SendError};
use rejoin_tests::harness::{What, disconnected, number, numbers};

use crate::setting::{Mode, Setting};
use crate::stage::Stage;

scenario!(send_reaches_only_one_connection);
async fn send_reaches_only_one_connection(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut ada, mut ben) = (stage.connect("ada").await, stage.connect("ben").await);
    stage.server.send("ada", &number(1)).unwrap();
    stage.server.send("ben", &number(2)).unwrap();
    stage.server.send("ada", &number(3)).unwrap();
    assert_eq!(numbers(&mut ada, 2).await, [1, 3]);
    assert_eq!(numbers(&mut ben, 1).await, [2]);
    stage.end().await;
    for client in [&mut ada, &mut ben] {
        // No further event follows.
        disconnected(client).await;
    }
}

scenario!(broadcast_reaches_only_its_room);
async fn broadcast_reaches_only_its_room(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let mut clients = Vec::new();
    for (id, room) in [("ada", "library"), ("ben", "library"), ("eve", "garden")] {
        clients.push(stage.client(&format!("id={id}&room={room}")).connect().await.unwrap());
        assert_eq!(stage.log.connected().await.room(), Some(room));
    }
    assert_eq!(stage.server.stats().rooms, 2);
    assert_eq!(stage.server.broadcast("library", &number(1)), Ok(2));
    assert_eq!(stage.server.broadcast("garden", &number(2)), Ok(1));
    assert_eq!(stage.server.broadcast("nowhere", &number(3)), Ok(0));
    assert_eq!(stage.server.broadcast("library", &number(4)), Ok(2));
    stage.end().await;
    for (client, expected) in clients.iter_mut().zip([&[1, 4][..], &[1, 4], &[2]]) {
        assert_eq!(numbers(client, expected.len()).await, expected);
        // No further event follows.
        disconnected(client).await;
    }
}

scenario!(broadcast_reaches_both_modes_in_one_room);
async fn broadcast_reaches_both_modes_in_one_room(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut ours, mut theirs) = (stage.connect("ada").await, stage.bare("ben").await);
    assert_eq!(stage.server.broadcast("room", &number(1)), Ok(2));
    assert_eq!(numbers(&mut ours, 1).await, [1]);
    assert_eq!(theirs.number().await, 1);
    theirs.close().await;
    stage.end().await;
}

scenario!(send_to_unknown_id_is_an_error);
async fn send_to_unknown_id_is_an_error(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    assert_eq!(stage.server.send("nobody", &number(1)), Err(SendError::NotFound));
    let client = stage.connect("ada").await;
    client.close().await;
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::Normal)));
    assert_eq!(stage.server.send("ada", &number(1)), Err(SendError::NotFound));
    stage.end().await;
}

scenario!(sends_and_broadcasts_fail_after_shutdown);
async fn sends_and_broadcasts_fail_after_shutdown(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let _client = stage.connect("ada").await;
    let connection = stage.server.connection("ada").unwrap();
    stage.end().await;
    assert_eq!(stage.server.broadcast("room", &number(1)), Err(BroadcastError::ShutDown));
    assert_eq!(stage.server.send("ada", &number(1)), Err(SendError::NotFound));
    assert_eq!(connection.send(&number(1)), Err(SendError::Closed));
}

scenario!(suspended_members_are_listed_and_get_broadcasts);
async fn suspended_members_are_listed_and_get_broadcasts(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut ada, line) = stage.connect_on_line("ada").await;
    let _ben = stage.connect("ben").await;
    stage.take_away("ada", &line).await;
    assert_eq!(members(&stage), [("ada".into(), false), ("ben".into(), true)]);
    for n in 1..=10 {
        assert_eq!(stage.server.broadcast("room", &number(n)), Ok(2), "suspended members count");
    }
    line.plug_in();
    assert_eq!(numbers(&mut ada, 10).await, Vec::from_iter(1..=10));
    assert_eq!(stage.log.next().await, ("ada", What::Restored));
    assert_eq!(members(&stage), [("ada".into(), true), ("ben".into(), true)]);
    stage.server.kick("ada").await.unwrap();
    assert_eq!(members(&stage), [("ben".into(), true)]);
    stage.end().await;
    assert!(members(&stage).is_empty());
}

/// The members of the room, and whether each has a socket.
fn members(stage: &Stage) -> Vec<(String, bool)> {
    let members = stage.server.connections("room");
    let mut members: Vec<_> =
        members.iter().map(|member| (member.id().to_owned(), member.is_attached())).collect();
    members.sort();
    members
}

scenario!(members_of_both_modes_are_listed);
async fn members_of_both_modes_are_listed(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let _ours = stage.connect("ada").await;
    stage.mode = if stage.mode == Mode::Plain { Mode::Session } else { Mode::Plain };
    let _other = stage.connect("ben").await;
    assert_eq!(members(&stage), [("ada".into(), true), ("ben".into(), true)]);
    stage.end().await;
}
