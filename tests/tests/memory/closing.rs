//! Ends of sessions: closed by either side, kicked, or ended with the server.

use std::sync::{Arc, Mutex};

use rejoin_client::LostReason;
use rejoin_server::{CloseFrame, CloseReason, ConnectionError, DropReason, DuplicateId, InvalidClose};
use rejoin_tests::harness::{Heard, RESET, What, closed, local, next, number};
use rejoin_tests::network::{Dials, Direction, Line};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::{client, millis, secs, server, shut_down};

#[tokio::test(start_paused = true)]
async fn client_reconnects_afresh_after_application_code() {
    let (server, mut log) = server(|builder| builder);
    let (mut client, _) = client(&server, &mut log, "ada").await;
    server.connection("ada").unwrap().close_with(4321, "moved").unwrap();
    assert_eq!(next(&mut client).await, Heard::Disconnected(closed(4321, "moved")));
    assert_eq!(next(&mut client).await, Heard::session_lost(LostReason::Unknown));
    assert_eq!(next(&mut client).await, Heard::Reconnected);
    assert_eq!(log.next().await, ("ada", What::Disconnected(local(4321, "moved"))));
    assert_eq!(log.next().await, ("ada", What::Connected));
}

#[tokio::test(start_paused = true)]
async fn kick_of_ended_session_fails_and_keeps_messages() {
    let (hears, mut heard) = mpsc::unbounded_channel();
    let (server, mut log) = server(|builder| {
        builder.resume_window(None).on_message(move |_, frame| {
            hears.send(frame.decode::<u64>().unwrap()).unwrap();
            tokio::time::sleep(secs(1))
        })
    });
    let (client, line) = client(&server, &mut log, "ada").await;
    line.set_dials(Dials::Refused);
    for n in 1..=3 {
        client.send(&number(n)).unwrap();
    }
    assert_eq!(heard.recv().await, Some(1));
    while server.connection("ada").unwrap().counts().received < 3 {
        tokio::task::yield_now().await;
    }
    // Without a window the cut ends the session; the application gets `on_disconnect` after the earlier messages.
    server.cut("ada").unwrap();
    assert_eq!(server.kick("ada").await, Err(ConnectionError::NotFound));
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::TransportLost(DropReason::Cut))));
    assert_eq!([heard.recv().await, heard.recv().await], [Some(2), Some(3)]);
}

#[tokio::test(start_paused = true)]
async fn after_shutdown_connections_are_refused() {
    let (server, mut log) = server(|builder| builder);
    shut_down(&server).await;
    let error = Line::to(&server).client("/").connect().await;
    assert!(error.is_err());
    assert_eq!(log.try_next(), None);
}

#[tokio::test(start_paused = true)]
async fn stuck_handler_is_dropped_at_deadline_and_counted() {
    struct Dropped(mpsc::UnboundedSender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.send(()).ok();
        }
    }
    let (entered, mut running) = mpsc::unbounded_channel();
    let (sender, mut dropped) = mpsc::unbounded_channel();
    let (server, mut log) = server(|builder| {
        builder.on_message(move |_, _| {
            entered.send(()).unwrap();
            let guard = Dropped(sender.clone());
            async move {
                std::future::pending::<()>().await;
                drop(guard);
            }
        })
    });
    let (ada, _) = client(&server, &mut log, "ada").await;
    let (_ben, _) = client(&server, &mut log, "ben").await;
    let connection = server.connection("ada").unwrap();
    ada.send(&number(1)).unwrap();
    running.recv().await.unwrap();
    let since = Instant::now();
    assert_eq!(server.shutdown(secs(3)).await, 1);
    assert!(since.elapsed() >= secs(3) && since.elapsed() < secs(3) + millis(10), "{:?}", since.elapsed());
    dropped.try_recv().expect("the handler was dropped");
    assert_eq!(log.next().await, ("ben", What::Disconnected(CloseReason::ServerClosed)));
    connection.closed().await;
    assert_eq!(server.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn last_quarter_of_shutdown_is_for_callbacks() {
    for (deadline, ends) in [(millis(400), millis(300)), (secs(4), secs(3)), (secs(8), secs(7))] {
        let (server, mut log) = server(|builder| builder);
        let (_client, line) = client(&server, &mut log, "ada").await;
        let connection = server.connection("ada").unwrap();
        line.half_open();
        server.send("ada", &number(1)).unwrap();
        let since = Instant::now();
        let ended = async {
            connection.closed().await;
            since.elapsed()
        };
        let (ended, dropped) = tokio::join!(ended, server.shutdown(deadline));
        assert!(ended >= ends && ended <= ends + millis(10), "{ended:?} of {deadline:?}");
        assert_eq!(dropped, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn close_from_a_handler_does_not_deadlock() {
    let kept = Arc::new(Mutex::new(None));
    let handle = kept.clone();
    let (server, mut log) = server(|builder| {
        builder.on_message(move |connection, frame| {
            connection.send(&frame).unwrap();
            connection.close_with(1000, "bye").unwrap();
            *handle.lock().unwrap() = Some(connection);
            std::future::ready(())
        })
    });
    let (mut client, _) = client(&server, &mut log, "ada").await;
    client.send(&number(1)).unwrap();
    client.send(&number(2)).unwrap();
    assert_eq!(next(&mut client).await, Heard::Message(number(1)));
    assert_eq!(next(&mut client).await, Heard::closed_by_server(1000, "bye"));
    assert_eq!(log.next().await, ("ada", What::Disconnected(local(1000, "bye"))));
    let connection = kept.lock().unwrap().take().unwrap();
    connection.closed().await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_deadline_covers_sessions_already_closing() {
    let (server, mut log) = server(|builder| builder);
    let (_client, line) = client(&server, &mut log, "ada").await;
    line.stall(Direction::ToClient);
    server.connection("ada").unwrap().close_with(1000, "bye").unwrap();
    assert_eq!(server.shutdown(secs(3)).await, 0);
    assert_eq!(log.next().await, ("ada", What::Disconnected(local(1000, "bye"))));
}

#[tokio::test(start_paused = true)]
async fn close_counts_frames_lost_with_unreported_session() {
    let (server, mut log) = server(|builder| builder.resume_window(secs(1)));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    ada.send(&number(1)).unwrap();
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::WindowExpired)));
    line.plug_in();
    assert_eq!(log.next().await, ("ada", What::Connected));
    // The application has not received its events, and so does not know that the first session is lost.
    assert_eq!(ada.send_acked(&number(2)).await, Ok(()));
    assert_eq!(ada.close().await.unacknowledged, 1);
    assert!(ada.recv().await.is_none());
    assert_eq!(ada.take_unacknowledged(), [number(1)]);
}

#[tokio::test(start_paused = true)]
async fn close_by_application_keeps_its_reason() {
    for window in [secs(1), secs(60)] {
        let (server, mut log) = server(|builder| builder.resume_window(window).close_timeout(secs(30)));
        let (ada, line) = client(&server, &mut log, "ada").await;
        line.unplug();
        assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
        let connection = server.connection("ada").unwrap();
        connection.send(&number(1)).unwrap();
        connection.close();
        // Ends by the window or by the shutdown.
        tokio::time::sleep(secs(2)).await;
        shut_down(&server).await;
        assert_eq!(log.next().await, ("ada", What::Disconnected(local(1000, ""))));
        drop(ada);
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_code_or_reason_closes_nothing() {
    let (server, mut log) = server(|builder| builder);
    let (mut client, _) = client(&server, &mut log, "ada").await;
    let ada = server.connection("ada").unwrap();
    for code in [0, 999, 1004, 1005, 1006, 1015, 5000] {
        assert_eq!(ada.close_with(code, "bye"), Err(InvalidClose::Code(code)));
    }
    assert_eq!(ada.close_with(1000, "x".repeat(124)), Err(InvalidClose::Reason(124)));
    assert!(ada.is_open());
    ada.close_with(4999, "x".repeat(123)).unwrap();
    let frame = CloseFrame::new(4999, "x".repeat(123)).unwrap();
    assert_eq!(next(&mut client).await, Heard::Disconnected(DropReason::Closed(Some(frame))));
}

#[tokio::test(start_paused = true)]
async fn plain_socket_does_not_take_over_closing_session() {
    let (server, mut log) = server(|builder| builder.duplicate_id(DuplicateId::Resume));
    let line = Line::to(&server);
    let _old = line.client("/?id=ada").plain().connect().await.unwrap();
    let old = log.connected().await;
    // Its close frame cannot be written, and its answer cannot be read.
    line.stall(Direction::ToClient);
    line.stall(Direction::ToServer);
    old.send(&number(1)).unwrap();
    old.close();
    let since = Instant::now();
    let _new = Line::to(&server).client("/?id=ada").plain().connect().await.unwrap();
    assert!(!old.is_open());
    let told = [log.next().await, log.next().await];
    assert!(told.iter().any(|told| *told == ("ada", What::Connected)), "a separate session: {told:?}");
    assert!(since.elapsed() <= secs(1), "before the other client returns");
    assert!(server.connection("ada").unwrap().is_open());
}

#[tokio::test(start_paused = true)]
async fn shutdown_without_deadline_waits_for_sessions() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    assert_eq!(server.shutdown(std::time::Duration::MAX).await, 0);
    assert_eq!(next(&mut ada).await, Heard::Disconnected(closed(1001, "server shutting down")));
}

#[tokio::test(start_paused = true)]
async fn shutdown_reserves_at_most_a_second_for_callbacks() {
    // At most a second.
    for (deadline, ends) in [(millis(800), millis(600)), (secs(4), secs(3)), (secs(20), secs(19))] {
        let (server, mut log) = server(|builder| builder.heartbeat(secs(100), secs(200)));
        let (_ada, line) = client(&server, &mut log, "ada").await;
        line.half_open();
        let since = Instant::now();
        let shuts_down = tokio::spawn(async move { server.shutdown(deadline).await });
        assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::ServerClosed)));
        assert_eq!((since.elapsed(), shuts_down.await.unwrap()), (ends, 0));
    }
}
