//! `send_acked` reports whether a frame was delivered, or that this is unknown.

use rejoin_client::{LostReason, SendError};
use rejoin_server::{CloseReason, DeliveryError, Overflow};
use rejoin_tests::harness::{Heard, RESET, What, next, number, numbers};
use rejoin_tests::network::{Direction, Line};
use tokio::time::Instant;

use crate::{client, secs, server};

#[tokio::test(start_paused = true)]
async fn acked_send_returns_on_acknowledgement() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, _line) = client(&server, &mut log, "ada").await;
    let connection = server.connection("ada").unwrap();
    let since = Instant::now();
    let (frame, answer) = (number(1), number(2));
    let (receipt, came) = tokio::join!(connection.send_acked(&frame), numbers(&mut ada, 1));
    assert_eq!((receipt, came), (Ok(()), vec![1]));
    assert!(since.elapsed() <= secs(1), "{:?}", since.elapsed());
    // The same in the other direction.
    assert_eq!(ada.send_acked(&answer).await, Ok(()));
    assert_eq!(log.next().await, ("ada", What::Message(number(2))));
}

#[tokio::test(start_paused = true)]
async fn acked_send_returns_on_resume() {
    let (server, mut log) = server(|builder| builder);
    let (ada, line) = client(&server, &mut log, "ada").await;
    line.stall(Direction::ToClient);
    let frame = number(1);
    let cut = async {
        assert_eq!(log.next().await, ("ada", What::Message(number(1))));
        line.cut();
        assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
        assert_eq!(log.next().await, ("ada", What::Restored));
    };
    assert_eq!(tokio::join!(ada.send_acked(&frame), cut).0, Ok(()));
    assert_eq!(log.try_next(), None, "the frame is not delivered twice");
}

#[tokio::test(start_paused = true)]
async fn acked_send_fails_when_session_ends() {
    let (server, mut log) = server(|builder| builder);
    let (ada, line) = client(&server, &mut log, "ada").await;
    line.stall(Direction::ToClient);
    let connection = server.connection("ada").unwrap();
    let frame = number(1);
    let (receipt, kicked) = tokio::join!(connection.send_acked(&frame), server.kick("ada"));
    assert_eq!((receipt, kicked), (Err(DeliveryError::Ended), Ok(())));
    assert_eq!(connection.send_acked(&frame).await, Err(DeliveryError::NotSent(SendError::Closed)));
    drop(ada);
}

#[tokio::test(start_paused = true)]
async fn acked_send_fails_when_session_is_lost() {
    let (server, mut log) = server(|builder| builder.resume_window(secs(1)));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    let sender = ada.sender();
    let waits = tokio::spawn(async move { sender.send_acked(&number(1)).await });
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::WindowExpired)));
    line.plug_in();
    assert_eq!(
        next(&mut ada).await,
        Heard::SessionLost { reason: Some(LostReason::Unknown), unacknowledged: vec![number(1)] }
    );
    assert_eq!(waits.await.unwrap(), Err(DeliveryError::Ended));
    // Frame numbers restart with the fresh session, and so do its acknowledgements.
    assert_eq!(ada.send_acked(&number(2)).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn acked_send_fails_when_frame_is_evicted() {
    let (server, mut log) = server(|builder| builder.send_buffer(2));
    let (ada, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    log.next().await;
    let connection = server.connection("ada").unwrap();
    let frame = number(1);
    let overflow = async {
        for n in 2..=3 {
            connection.send_with(&number(n), Overflow::DropOldest).unwrap();
        }
    };
    let (receipt, ()) = tokio::join!(biased; connection.send_acked(&frame), overflow);
    assert_eq!(receipt, Err(DeliveryError::Dropped));
    drop(ada);
}

#[tokio::test(start_paused = true)]
async fn acked_send_waits_for_space_first() {
    let (server, mut log) = server(|builder| builder.send_buffer(1).write_timeout(secs(3)));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    line.stall(Direction::ToClient);
    let connection = server.connection("ada").unwrap();
    connection.send(&number(1)).unwrap();
    assert_eq!(connection.send_acked(&number(2)).await, Err(DeliveryError::NotSent(SendError::Timeout)));
    line.release(Direction::ToClient);
    let frame = number(3);
    let (receipt, came) = tokio::join!(connection.send_acked(&frame), numbers(&mut ada, 2));
    assert_eq!((receipt, came), (Ok(()), vec![1, 3]));
}

#[tokio::test(start_paused = true)]
async fn plain_mode_has_no_acked_sends() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let ada = line.client("/?id=ada").plain().connect().await.unwrap();
    log.connected().await;
    assert_eq!(ada.send_acked(&number(1)).await, Err(DeliveryError::PlainMode));
    let connection = server.connection("ada").unwrap();
    assert_eq!(connection.send_acked(&number(1)).await, Err(DeliveryError::PlainMode));
    assert_eq!(connection.counts().accepted, 0);
}
