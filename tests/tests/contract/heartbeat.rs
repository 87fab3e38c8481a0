//! A socket that is silent for too long is lost.

use rejoin_tests::harness::next;

use crate::stage::Stage;
use crate::{Mode, in_both_modes, millis};

#[test]
fn heartbeat_timeout() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder.heartbeat(millis(50), millis(400))).await;
        let (_client, line) = stage.connect_on_a_line("ada").await;
        line.half_open();
        assert_eq!(stage.log.next().await, "ada dropped: heartbeat_timeout");
        stage.end().await;
        // On a machine slower than this heartbeat, other events may come first.
        while stage.log.next().await != "ada disconnected: server_closed" {}
    });
}

#[test]
fn client_heartbeat_timeout() {
    in_both_modes(async |mode| {
        // The socket that is taken over answers nothing.
        let mut stage = Stage::set(mode, |builder| builder.close_timeout(millis(50))).await;
        let line = stage.line();
        let client = stage.client_on(&line, "id=ada").heartbeat(millis(50), millis(400));
        let mut client = client.connect().await.unwrap();
        stage.log.connected().await;
        line.half_open();
        assert_eq!(next(&mut client).await, "dropped: heartbeat_timeout");
        assert_eq!(next(&mut client).await, "restored");
        // In plain mode another socket with the same ID is another session: the server has not noticed the loss.
        let back = if mode == Mode::Session { "ada restored" } else { "ada connected" };
        while stage.log.next().await != back {}
        client.close().await;
        stage.end().await;
    });
}
