//! The client's side of a connection's life.

use rejoin_client::{CloseReason, ConnectionState, Event, Frame, SendError};
use rejoin_server::{CloseReason as ServerReason, DropReason};
use rejoin_tests::harness::{
    What, disconnected, echo, message, next, next_event, number, numbers, read_numbers, secs, within,
};
use rejoin_tests::network::{Condition, Dials, Direction};
use tokio::time::Instant;

use crate::setting::{Mode, Setting};
use crate::stage::Stage;

scenario!(receives_echo_and_closes_cleanly);
async fn receives_echo_and_closes_cleanly(setting: Setting) {
    let mut stage = Stage::set(setting, echo);
    let mut client = stage.connect("ada").await;
    for n in 0..100 {
        let frame = Frame::new("say", &("Grüße", n)).unwrap().with_id(n.to_string());
        client.send(&frame).unwrap();
        assert_eq!(message(&mut client).await, frame);
    }
    let closed = client.close().await;
    assert!(matches!(closed.reason, CloseReason::Local), "{closed:?}");
    assert_eq!(closed.unacknowledged, 0);
    assert_eq!(client.state(), ConnectionState::Closed);
    assert!(client.recv().await.is_none() && client.recv().await.is_none());
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(ServerReason::Normal)));
    stage.end().await;
}

scenario!(without_reconnect_a_drop_ends_the_client);
async fn without_reconnect_a_drop_ends_the_client(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let line = stage.line();
    let mut client = stage.client_on(&line, "id=ada").no_reconnect().connect().await.unwrap();
    stage.log.connected().await;
    line.stall(Direction::ToServer);
    client.send(&number(1)).unwrap();
    stage.server.cut("ada").unwrap();
    disconnected(&mut client).await;
    let Event::Closed(closed) = next_event(&mut client).await else { panic!("not closed") };
    assert!(matches!(closed.reason, CloseReason::ReconnectDisabled(_)), "{closed:?}");
    if stage.mode == Mode::Session {
        assert_eq!(closed.unacknowledged, 1);
        assert_eq!(read_numbers(&client.take_unacknowledged()), [1]);
    }
    assert!(client.recv().await.is_none(), "nothing comes after the end");
    assert_eq!(client.send(&number(2)), Err(SendError::Closed));
    assert_eq!(line.dials(), 1);
    assert_eq!(stage.log.next().await, ("ada", What::Dropped(DropReason::Cut)));
    stage.end().await;
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(ServerReason::ServerClosed)));
}

scenario!(reconnects_and_reports_its_state);
async fn reconnects_and_reports_its_state(setting: Setting) {
    let mut stage = Stage::set(setting, echo);
    let (mut client, line) = stage.connect_on_line("ada").await;
    assert_eq!(client.state(), ConnectionState::Connected);
    for n in 0..5 {
        stage.take_away("ada", &line).await;
        disconnected(&mut client).await;
        line.dialled(line.dials() + 2).await;
        assert_eq!(client.state(), ConnectionState::Reconnecting);
        line.plug_in();
        assert_eq!(next(&mut client).await, stage.back());
        assert_eq!(client.state(), ConnectionState::Connected);
        assert_eq!(stage.log.next().await, ("ada", What::Restored));
        client.send(&number(n)).unwrap();
        assert_eq!(numbers(&mut client, 1).await, [n]);
    }
    client.close().await;
    stage.end().await;
}

scenario!(ends_when_retries_are_exhausted);
async fn ends_when_retries_are_exhausted(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let line = stage.line();
    let mut client = stage.client_on(&line, "id=ada").max_retries(3).connect().await.unwrap();
    stage.log.connected().await;
    line.stall(Direction::ToServer);
    client.send(&number(1)).unwrap();
    stage.take_away("ada", &line).await;
    disconnected(&mut client).await;
    let Event::Closed(closed) = next_event(&mut client).await else { panic!("not closed") };
    assert!(matches!(closed.reason, CloseReason::RetriesExhausted { attempts: 3, .. }), "{closed:?}");
    if stage.mode == Mode::Session {
        assert_eq!(closed.unacknowledged, 1);
    }
    assert_eq!(line.dials(), 4);
    assert!(client.recv().await.is_none(), "nothing comes after the end");
    assert_eq!(client.state(), ConnectionState::Closed);
    stage.end().await;
}

scenario!(idle_close_while_reconnecting_ends_at_once);
async fn idle_close_while_reconnecting_ends_at_once(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    // Once while it waits a minute for the next dial, and once while it dials.
    let waiting = stage.client("id=ada").reconnect(secs(60), secs(60)).connect().await.unwrap();
    let line = stage.line();
    let dialling = stage.client_on(&line, "id=ben").handshake_timeout(secs(60)).connect().await.unwrap();
    stage.log.next_sorted::<2>().await;
    line.set_dials(Dials::Held);
    stage.server.cut("ada").unwrap();
    stage.server.cut("ben").unwrap();
    line.dialled(2).await;
    for mut client in [waiting, dialling] {
        disconnected(&mut client).await;
        assert_eq!(client.state(), ConnectionState::Reconnecting);
        let since = Instant::now();
        let closed = within("end", client.close()).await;
        stage.assert_took(since, secs(0));
        assert!(matches!(closed.reason, CloseReason::Local), "{closed:?}");
        assert_eq!(closed.unacknowledged, 0);
        assert!(client.recv().await.is_none(), "the client's own close is not an event");
        assert_eq!(client.state(), ConnectionState::Closed);
    }
    stage.end().await;
}

scenario!(close_rejects_later_sends);
async fn close_rejects_later_sends(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let client = stage.connect("ada").await;
    let sender = client.sender();
    let (closed, sent) = tokio::join!(client.close(), async { sender.send(&number(1)) });
    assert_eq!((closed.unacknowledged, sent), (0, Err(SendError::Closed)));
    assert_eq!(client.send(&number(2)), Err(SendError::Closed));
    assert_eq!(sender.send_wait(&number(3)).await, Err(SendError::Closed));
    let end = ("ada", What::Disconnected(ServerReason::Normal));
    assert_eq!(stage.log.next().await, end, "and no message before");
    stage.end().await;
}

scenario!(close_racing_a_drop_loses_no_frame);
async fn close_racing_a_drop_loses_no_frame(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    for round in 0..30 {
        let line = stage.line();
        let client = stage.client_on(&line, &format!("id={round}")).close_timeout(secs(60));
        let mut client = client.connect().await.unwrap();
        for n in 1..=20 {
            client.send(&number(n)).unwrap();
        }
        let fault = [Condition::Reset, Condition::Finished][round % 2];
        let fails = async { line.fail(fault) };
        let (closed, ()) = if round % 3 == 0 {
            tokio::join!(biased; client.close(), fails)
        } else {
            let ((), closed) = tokio::join!(biased; fails, client.close());
            (closed, ())
        };
        assert!(matches!(closed.reason, CloseReason::Local), "round {round}: {closed:?}");
        assert_eq!(client.state(), ConnectionState::Closed);
        assert!(client.recv().await.is_none(), "no event follows the close");
    }
    stage.end().await;
    // In plain mode, frames that were written into the lost socket are gone.
    if stage.mode == Mode::Session {
        // The cut may have destroyed the acknowledgement of frames that the server has received.
        for (round, heard) in heard(&mut stage, 30).iter().enumerate() {
            assert_eq!(heard, &Vec::from_iter(1..=20), "round {round}: one cut is overcome");
        }
    }
}

/// The numbers in the application's messages, by connection ID.
fn heard(stage: &mut Stage, ids: usize) -> Vec<Vec<u64>> {
    let mut heard = vec![Vec::new(); ids];
    while let Some(happening) = stage.log.try_next() {
        if let What::Message(frame) = happening.what {
            heard[happening.connection.id().parse::<usize>().unwrap()].push(frame.decode().unwrap());
        }
    }
    heard
}
