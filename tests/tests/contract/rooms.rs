//! Sends reach one connection, and broadcasts one room.

use rejoin_server::{BroadcastError, SendError};
use rejoin_tests::harness::{next, number, numbers};
use rejoin_tests::network::Dials;

use crate::stage::Stage;
use crate::{Mode, in_both_modes};

#[test]
fn send_to_one() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let (mut ada, mut ben) = (stage.connect("ada").await, stage.connect("ben").await);
        stage.server.send("ada", &number(1)).unwrap();
        stage.server.send("ben", &number(2)).unwrap();
        stage.server.send("ada", &number(3)).unwrap();
        assert_eq!(numbers(&mut ada, 2).await, [1, 3]);
        assert_eq!(numbers(&mut ben, 1).await, [2]);
        stage.end().await;
        // The next event is the end: neither has got more.
        for client in [&mut ada, &mut ben] {
            assert!(next(client).await.starts_with("dropped: "));
        }
    });
}

#[test]
fn broadcast_to_one_room_only() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let mut clients = Vec::new();
        for (id, room) in [("ada", "library"), ("ben", "library"), ("eve", "garden")] {
            let query = format!("id={id}&room={room}");
            clients.push(stage.client_at(stage.addr, &query).connect().await.unwrap());
            assert_eq!(stage.log.connected().await.room(), Some(room));
        }
        assert_eq!(stage.server.broadcast("library", &number(1)), Ok(2));
        assert_eq!(stage.server.broadcast("garden", &number(2)), Ok(1));
        assert_eq!(stage.server.broadcast("nowhere", &number(3)), Ok(0));
        assert_eq!(stage.server.broadcast("library", &number(4)), Ok(2));
        stage.end().await;
        for (client, expected) in clients.iter_mut().zip([&[1, 4][..], &[1, 4], &[2]]) {
            assert_eq!(numbers(client, expected.len()).await, expected);
            assert!(next(client).await.starts_with("dropped: "), "and nothing more");
        }
    });
}

#[test]
fn broadcast_to_both_modes_in_one_room() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let (mut ours, mut theirs) = (stage.connect("ada").await, stage.bare("ben").await);
        assert_eq!(stage.server.broadcast("room", &number(1)), Ok(2));
        assert_eq!(next(&mut ours).await, "message n 1");
        assert_eq!(theirs.number().await, 1);
        theirs.close().await;
        stage.end().await;
    });
}

#[test]
fn send_to_an_unknown_id() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        assert_eq!(stage.server.send("nobody", &number(1)), Err(SendError::NotFound));
        let client = stage.connect("ada").await;
        client.close().await;
        assert_eq!(stage.log.next().await, "ada disconnected: normal");
        assert_eq!(stage.server.send("ada", &number(1)), Err(SendError::NotFound));
        stage.end().await;
    });
}

#[test]
fn broadcast_after_shutdown() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let _client = stage.connect("ada").await;
        let connection = stage.server.connection("ada").unwrap();
        stage.end().await;
        assert_eq!(stage.server.broadcast("room", &number(1)), Err(BroadcastError::ShutDown));
        assert_eq!(stage.server.send("ada", &number(1)), Err(SendError::NotFound));
        assert_eq!(connection.send(&number(1)), Err(SendError::Closed));
    });
}

#[test]
fn snapshot_includes_suspended() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let (_ada, line) = stage.connect_on_a_line("ada").await;
        let _ben = stage.connect("ben").await;
        stage.drop_and_hold("ada", &line).await;
        assert_eq!(members(&stage), [("ada".into(), false), ("ben".into(), true)]);
        assert_eq!(stage.server.broadcast("room", &number(1)), Ok(2), "suspended members count");
        line.set_dials(Dials::Served);
        assert_eq!(stage.log.next().await, "ada restored");
        assert_eq!(members(&stage), [("ada".into(), true), ("ben".into(), true)]);
        stage.server.kick("ada").await.unwrap();
        assert_eq!(members(&stage), [("ben".into(), true)]);
        stage.end().await;
        assert!(members(&stage).is_empty());
    });
}

/// The members of the room, and whether each has a socket.
fn members(stage: &Stage) -> Vec<(String, bool)> {
    let members = stage.server.connections("room");
    let mut members: Vec<_> =
        members.iter().map(|member| (member.id().to_owned(), member.is_attached())).collect();
    members.sort();
    members
}

/// Members in both modes share a room.
#[test]
fn snapshot_of_both_modes() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let _ours = stage.connect("ada").await;
        stage.mode = if mode == Mode::Plain { Mode::Session } else { Mode::Plain };
        let _other = stage.connect("ben").await;
        assert_eq!(members(&stage), [("ada".into(), true), ("ben".into(), true)]);
        stage.end().await;
    });
}
