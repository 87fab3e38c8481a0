//! Callbacks are called in order, one at a time, and delay no other connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rejoin_server::CloseReason;
use rejoin_tests::harness::{Heard, RESET, What, closed, next, number};
use tokio::sync::{Notify, mpsc};

use crate::{client, secs, server, shut_down};

#[tokio::test(start_paused = true)]
async fn messages_of_a_connection_are_handled_serially() {
    let running = Arc::new(AtomicUsize::new(0));
    let (handled, mut order) = mpsc::unbounded_channel();
    let (server, mut log) = server(|builder| {
        builder.on_message(move |_, frame| {
            let (running, handled) = (running.clone(), handled.clone());
            async move {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "another handler is running");
                let n: u64 = frame.decode().unwrap();
                tokio::time::sleep(secs(1) / (1 + u32::try_from(n % 7).unwrap())).await;
                running.fetch_sub(1, Ordering::SeqCst);
                handled.send(n).unwrap();
            }
        })
    });
    let (client, _) = client(&server, &mut log, "ada").await;
    for n in 0..100 {
        client.send(&number(n)).unwrap();
    }
    for n in 0..100 {
        assert_eq!(order.recv().await, Some(n));
    }
    assert_eq!(log.try_next(), None, "no handler has panicked");
}

#[tokio::test(start_paused = true)]
async fn waiting_handlers_are_counted_until_they_return() {
    let gate = Arc::new(Notify::new());
    let waits = gate.clone();
    let (server, mut log) = server(|builder| {
        builder.on_message(move |_, _| {
            let gate = waits.clone();
            async move { gate.notified().await }
        })
    });
    let (ada, _) = client(&server, &mut log, "ada").await;
    let (ben, _) = client(&server, &mut log, "ben").await;
    let running = async |number| {
        while server.stats().handlers_running != number {
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(server.stats().handlers_running, 0);
    for client in [&ada, &ada, &ben] {
        client.send(&number(1)).unwrap();
    }
    running(2).await;
    gate.notify_waiters();
    running(1).await;
    gate.notify_one();
    running(0).await;
    for client in [&ada, &ben] {
        client.send(&number(1)).unwrap();
    }
    running(2).await;
    assert_eq!(server.shutdown(secs(1)).await, 2, "they are dropped");
    running(0).await;
}

#[tokio::test(start_paused = true)]
async fn first_message_waits_for_on_connect() {
    let gate = Arc::new(Notify::new());
    let (told, mut order) = mpsc::unbounded_channel();
    let (on_message, opened) = (told.clone(), gate.clone());
    let (server, _log) = server(|builder| {
        builder
            .on_connect(move |_| {
                let (gate, told) = (gate.clone(), told.clone());
                async move {
                    gate.notified().await;
                    told.send("connected").unwrap();
                }
            })
            .on_message(move |_, _| {
                on_message.send("message").unwrap();
                std::future::ready(())
            })
    });
    let line = rejoin_tests::network::Line::to(&server);
    let client = line.client("/?id=ada").connect().await.unwrap();
    client.send(&number(1)).unwrap();
    // The message has arrived once it is counted.
    while server.stats().frames_in == 0 {
        tokio::time::sleep(secs(1)).await;
    }
    assert!(order.try_recv().is_err());
    opened.notify_one();
    assert_eq!(order.recv().await, Some("connected"));
    assert_eq!(order.recv().await, Some("message"));
}

#[tokio::test(start_paused = true)]
async fn on_disconnect_comes_after_last_message() {
    let (told, mut order) = mpsc::unbounded_channel();
    let on_disconnect = told.clone();
    let (server, mut log) = server(|builder| {
        builder
            .on_message(move |_, frame| {
                let told = told.clone();
                async move {
                    tokio::time::sleep(secs(3)).await;
                    told.send(frame.decode::<u64>().unwrap().to_string()).unwrap();
                }
            })
            .on_disconnect(move |_, reason| {
                on_disconnect.send(reason.kind().to_owned()).unwrap();
                std::future::ready(())
            })
    });
    let (client, _) = client(&server, &mut log, "ada").await;
    let connection = server.connection("ada").unwrap();
    for n in 1..=5 {
        client.send(&number(n)).unwrap();
    }
    assert_eq!(client.close().await.unacknowledged, 0);
    for expected in ["1", "2", "3", "4", "5", "normal"] {
        assert_eq!(order.recv().await.unwrap(), expected);
    }
    connection.closed().await;
}

#[tokio::test(start_paused = true)]
async fn handler_panic_ends_only_its_own_connection() {
    let (sender, mut handled) = mpsc::unbounded_channel();
    let (server, mut log) = server(|builder| {
        builder.on_message(move |_, frame| {
            let sender = sender.clone();
            async move {
                let n: u64 = frame.decode().unwrap();
                assert!(n != 13, "handler panics on purpose");
                sender.send(n).unwrap();
            }
        })
    });
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let (ben, _) = client(&server, &mut log, "ben").await;
    ada.send(&number(13)).unwrap();
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::HandlerPanicked)));
    assert_eq!(next(&mut ada).await, Heard::Disconnected(closed(1011, "handler panicked")));
    let lost = Heard::SessionLost { reason: None, unacknowledged: vec![number(13)] };
    assert_eq!(next(&mut ada).await, lost);
    assert_eq!(next(&mut ada).await, Heard::Reconnected);
    assert_eq!(log.next().await, ("ada", What::Connected));
    ada.send(&number(1)).unwrap();
    assert_eq!(handled.recv().await, Some(1));
    ben.send(&number(2)).unwrap();
    assert_eq!(handled.recv().await, Some(2));
    assert_eq!(log.try_next(), None);
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn callback_panic_ends_only_its_own_connection() {
    let (server, mut log) = server(|builder| {
        builder
            .on_connect(|connection| async move { assert!(connection.id() != "ada", "on purpose") })
            .on_transport_drop(|connection, _| async move { assert!(connection.id() != "ben", "on purpose") })
    });
    let line = rejoin_tests::network::Line::to(&server);
    let _ada = line.client("/?id=ada").max_retries(1).connect().await.unwrap();
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::HandlerPanicked)));
    line.set_dials(rejoin_tests::network::Dials::Refused);
    let ben_line = rejoin_tests::network::Line::to(&server);
    let mut ben = ben_line.client("/?id=ben").connect().await.unwrap();
    ben_line.cut();
    loop {
        let happened = log.next().await;
        if happened == ("ben", What::Disconnected(CloseReason::HandlerPanicked)) {
            break;
        }
        assert_eq!(happened.connection.id(), "ada");
    }
    assert_eq!(next(&mut ben).await, Heard::Disconnected(RESET));
    let lost = next(&mut ben).await;
    assert!(matches!(lost, Heard::SessionLost { .. }), "{lost:?}");
}
