//! Sessions and frames that survive a drop, and those that do not.

use rejoin_tests::harness::{alone, next, number, numbers};
use rejoin_tests::network::Dials;

use crate::bare::Bare;
use crate::stage::Stage;
use crate::{Mode, in_both_modes, millis};

#[test]
fn drop() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let (mut client, line) = stage.connect_on_a_line("ada").await;
        let connection = stage.server.connection("ada").unwrap();
        stage.drop_and_hold("ada", &line).await;
        let dropped = next(&mut client).await;
        assert!(dropped.starts_with("dropped: "), "{dropped}");
        let stats = stage.server.stats();
        assert_eq!((stats.connections, stats.suspended, stats.rooms), (0, 1, 1));
        assert!(connection.is_open() && !connection.is_attached());
        connection.send(&number(1)).unwrap();
        stage.end().await;
        assert_eq!(stage.log.next().await, "ada disconnected: server_closed");
    });
}

#[test]
fn drop_of_a_foreign_client() {
    alone(async {
        let mut stage = Stage::set(Mode::Plain, |builder| builder).await;
        let bare = stage.bare("ada").await;
        std::mem::drop(bare);
        assert_eq!(stage.log.next().await, "ada dropped: unexpected end of file");
        assert_eq!(stage.server.stats().suspended, 1);
        stage.end().await;
    });
}

#[test]
fn resume_within_the_window() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let (mut client, line) = stage.connect_on_a_line("ada").await;
        let connection = stage.server.connection("ada").unwrap();
        stage.drop_and_hold("ada", &line).await;
        let dropped = next(&mut client).await;
        assert!(dropped.starts_with("dropped: "), "{dropped}");
        for n in 1..=50 {
            connection.send(&number(n)).unwrap();
            client.send(&number(100 + n)).unwrap();
        }
        line.set_dials(Dials::Served);
        assert_eq!(next(&mut client).await, "restored");
        assert_eq!(numbers(&mut client, 50).await, Vec::from_iter(1..=50));
        assert_eq!(stage.log.next().await, "ada restored");
        assert_eq!(stage.log.numbers(50).await, Vec::from_iter(101..=150));
        assert!(connection.is_attached(), "it is the same connection");
        assert_eq!((stage.server.stats().resumed, stage.server.stats().dropped), (1, 0));
        client.close().await;
        assert_eq!(stage.log.next().await, "ada disconnected: normal");
        stage.end().await;
    });
}

#[test]
fn resume_of_a_foreign_client() {
    alone(async {
        let mut stage = Stage::set(Mode::Plain, |builder| builder).await;
        std::mem::drop(stage.bare("ada").await);
        assert_eq!(stage.log.next().await, "ada dropped: unexpected end of file");
        for n in 1..=50 {
            stage.server.send("ada", &number(n)).unwrap();
        }
        let mut bare = Bare::connect(stage.addr, "id=ada").await;
        assert_eq!(bare.numbers(50).await, Vec::from_iter(1..=50));
        assert_eq!(stage.log.next().await, "ada restored");
        bare.close().await;
        assert_eq!(stage.log.next().await, "ada disconnected: normal");
        stage.end().await;
    });
}

#[test]
fn window_expires() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder.resume_window(millis(50))).await;
        let (mut client, line) = stage.connect_on_a_line("ada").await;
        let connection = stage.server.connection("ada").unwrap();
        stage.drop_and_hold("ada", &line).await;
        assert_eq!(stage.log.next().await, "ada disconnected: window_expired");
        assert!(stage.server.connection("ada").is_none(), "the ID is free when `on_disconnect` is called");
        assert_eq!(connection.send(&number(1)), Err(rejoin_server::SendError::Closed));
        line.set_dials(Dials::Served);
        let dropped = next(&mut client).await;
        assert!(dropped.starts_with("dropped: "), "{dropped}");
        if mode == Mode::Session {
            assert_eq!(next(&mut client).await, "lost unknown []");
        }
        assert_eq!(next(&mut client).await, "restored");
        assert_eq!(stage.log.next().await, "ada connected", "with a fresh session");
        stage.end().await;
    });
}
