//! Callbacks are called in order, one at a time, and delay no other connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rejoin_tests::harness::{next, number, numbers};
use tokio::sync::{Notify, mpsc};

use crate::{client, secs, server, shut_down};

#[tokio::test(start_paused = true)]
async fn callbacks_come_in_order_across_drops() {
    let (server, mut log) = server(|builder| builder);
    let (mut client, line) = client(&server, &mut log, "ada").await;
    client.send(&number(1)).unwrap();
    assert_eq!(log.next().await, "ada message n 1");
    line.finish();
    assert_eq!(log.next().await, "ada dropped: unexpected end of file");
    client.send(&number(2)).unwrap();
    assert_eq!(log.next().await, "ada restored");
    assert_eq!(log.next().await, "ada message n 2");
    server.cut("ada").unwrap();
    assert_eq!(log.next().await, "ada dropped: cut");
    assert_eq!(log.next().await, "ada restored");
    assert_eq!(next(&mut client).await, "dropped: unexpected end of file");
    client.close().await;
    assert_eq!(log.next().await, "ada disconnected: normal");
    assert_eq!(log.try_next(), None);
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn without_window_a_drop_only_disconnects() {
    let (server, mut log) = server(|builder| builder.resume_window(None));
    let (mut client, line) = client(&server, &mut log, "ada").await;
    line.cut();
    assert_eq!(log.next().await, "ada disconnected: transport_lost: connection reset");
    assert_eq!(log.next().await, "ada connected", "the client returns with a fresh session");
    assert_eq!(next(&mut client).await, "dropped: connection reset");
    assert_eq!(next(&mut client).await, "lost unknown []");
    assert_eq!(next(&mut client).await, "restored");
}

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
async fn waiting_callback_blocks_neither_writes_nor_connections() {
    let gate = Arc::new(Notify::new());
    let (done, mut handled) = mpsc::unbounded_channel();
    let opened = gate.clone();
    let (server, mut log) = server(|builder| {
        builder.on_message(move |connection, frame| {
            let (gate, done) = (gate.clone(), done.clone());
            async move {
                if connection.id() == "ada" {
                    gate.notified().await;
                }
                done.send(format!("{} {}", connection.id(), frame.decode::<u64>().unwrap())).unwrap();
            }
        })
    });
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let (mut ben, _) = client(&server, &mut log, "ben").await;
    ada.send(&number(1)).unwrap();
    ben.send(&number(2)).unwrap();
    assert_eq!(handled.recv().await.unwrap(), "ben 2");
    server.send("ada", &number(3)).unwrap();
    assert_eq!(server.broadcast("room", &number(4)), Ok(2));
    assert_eq!(numbers(&mut ada, 2).await, [3, 4]);
    assert_eq!(numbers(&mut ben, 1).await, [4]);
    // Acknowledgements are read and written meanwhile, too: more messages pass than the buffer holds.
    for n in 0..1000 {
        server.connection("ada").unwrap().send_wait(&number(n)).await.unwrap();
        assert_eq!(numbers(&mut ada, 1).await, [n]);
    }
    // The heartbeat keeps the connection alive meanwhile.
    tokio::time::sleep(secs(600)).await;
    assert_eq!(log.try_next(), None);
    opened.notify_one();
    assert_eq!(handled.recv().await.unwrap(), "ada 1");
    shut_down(&server).await;
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
    assert_eq!(log.next().await, "ada disconnected: handler_panicked");
    assert_eq!(next(&mut ada).await, "dropped: closed 1011 handler panicked");
    let lost = next(&mut ada).await;
    assert!(lost.starts_with("lost ended"), "{lost}");
    assert_eq!(next(&mut ada).await, "restored");
    assert_eq!(log.next().await, "ada connected");
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
    assert_eq!(log.next().await, "ada disconnected: handler_panicked");
    line.set_dials(rejoin_tests::network::Dials::Refused);
    let ben_line = rejoin_tests::network::Line::to(&server);
    let mut ben = ben_line.client("/?id=ben").connect().await.unwrap();
    ben_line.cut();
    loop {
        let happened = log.next().await;
        if happened == "ben disconnected: handler_panicked" {
            break;
        }
        assert!(happened.starts_with("ada "), "{happened}");
    }
    assert_eq!(next(&mut ben).await, "dropped: connection reset");
    let lost = next(&mut ben).await;
    assert!(lost.starts_with("lost"), "{lost}");
}
