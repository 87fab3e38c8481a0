//! Callbacks are called in order, and delay no other connection.

use std::sync::Arc;

use rejoin_client::LostReason;
use rejoin_server::{CloseReason, DropReason};
use rejoin_tests::harness::{END_OF_STREAM, Heard, What, disconnected, next, number, numbers, secs};
use rejoin_tests::network::Dials;
use tokio::sync::{Semaphore, mpsc};

use crate::setting::{Mode, Setting};
use crate::stage::Stage;

scenario!(callbacks_come_in_order_across_drops);
async fn callbacks_come_in_order_across_drops(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut client, line) = stage.connect_on_line("ada").await;
    for n in 1..=3 {
        client.send(&number(n)).unwrap();
        assert_eq!(stage.log.next().await, ("ada", What::Message(number(n))));
        // Refused until the server has noticed the loss: before that, a plain client that returns gets another session.
        line.set_dials(Dials::Refused);
        match n {
            1 => line.cut(),
            2 => line.finish(),
            _ => stage.server.cut("ada").unwrap(),
        }
        let why = stage.log.dropped("ada").await;
        match n {
            1 => assert!(matches!(why, DropReason::Io(_)), "{why:?}"),
            2 => assert_eq!(why, END_OF_STREAM),
            _ => assert_eq!(why, DropReason::Cut),
        }
        line.plug_in();
        assert_eq!(stage.log.next().await, ("ada", What::Restored));
        disconnected(&mut client).await;
        assert_eq!(next(&mut client).await, stage.back());
    }
    client.close().await;
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::Normal)));
    stage.end().await;
    assert_eq!(stage.log.try_next(), None);
}

scenario!(without_window_a_drop_only_disconnects);
async fn without_window_a_drop_only_disconnects(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder.resume_window(None));
    let (mut client, line) = stage.connect_on_line("ada").await;
    line.unplug();
    let end = stage.log.next().await.what;
    assert!(matches!(end, What::Disconnected(CloseReason::TransportLost(DropReason::Io(_)))), "{end:?}");
    disconnected(&mut client).await;
    line.plug_in();
    assert_eq!(stage.log.next().await, ("ada", What::Connected), "with a fresh session");
    if stage.mode == Mode::Session {
        assert_eq!(next(&mut client).await, Heard::session_lost(LostReason::Unknown));
    }
    assert_eq!(next(&mut client).await, Heard::Reconnected);
    client.send(&number(1)).unwrap();
    assert_eq!(stage.log.next().await, ("ada", What::Message(number(1))));
    client.close().await;
    assert_eq!(stage.log.next().await, ("ada", What::Disconnected(CloseReason::Normal)));
    stage.end().await;
    assert_eq!(stage.log.try_next(), None);
}

/// A callback that has finished: its connection, and the number of its message.
type Finished = (String, Option<u64>);

scenario!(waiting_callback_blocks_neither_writes_nor_connections);
async fn waiting_callback_blocks_neither_writes_nor_connections(setting: Setting) {
    let gate = Arc::new(Semaphore::new(0));
    let (sender, mut finished) = mpsc::unbounded_channel::<Finished>();
    let (opened, on_message) = (gate.clone(), sender.clone());
    let mut stage = Stage::set(setting, |builder| {
        let (at_connect, on_connect) = (gate.clone(), sender);
        builder
            .on_connect(move |connection| {
                let (gate, sender) = (at_connect.clone(), on_connect.clone());
                async move {
                    if connection.id() == "slow to connect" {
                        drop(gate.acquire().await.unwrap());
                    }
                    sender.send((connection.id().to_owned(), None)).unwrap();
                }
            })
            .on_message(move |connection, frame| {
                let (gate, sender) = (gate.clone(), on_message.clone());
                async move {
                    if connection.id() == "ada" {
                        drop(gate.acquire().await.unwrap());
                    }
                    sender.send((connection.id().to_owned(), Some(frame.decode().unwrap()))).unwrap();
                }
            })
    });
    let mut next_finished = async || finished.recv().await.unwrap();
    let ends = |id: &str, n: Option<u64>| (id.to_owned(), n);
    let _slow = stage.client("id=slow+to+connect").connect().await.unwrap();
    let mut ada = stage.client("id=ada").connect().await.unwrap();
    assert_eq!(next_finished().await, ends("ada", None));
    let mut ben = stage.client("id=ben").connect().await.unwrap();
    assert_eq!(next_finished().await, ends("ben", None));
    ada.send(&number(1)).unwrap();
    ben.send(&number(2)).unwrap();
    assert_eq!(next_finished().await, ends("ben", Some(2)));
    // Neither other connections wait, nor writes to the connection whose handler waits.
    assert_eq!(stage.server.broadcast("room", &number(3)), Ok(3));
    assert_eq!(numbers(&mut ben, 1).await, [3]);
    assert_eq!(numbers(&mut ada, 1).await, [3]);
    // Acknowledgements are read and written meanwhile, too: more messages pass than the buffer holds.
    for n in 0..1000 {
        stage.server.connection("ada").unwrap().send_wait(&number(n)).await.unwrap();
        assert_eq!(numbers(&mut ada, 1).await, [n]);
    }
    if stage.is_in_memory() {
        // The heartbeat keeps the connection alive.
        tokio::time::sleep(secs(600)).await;
        assert_eq!(stage.log.try_next(), None);
    }
    stage.server.kick("ben").await.unwrap();
    assert_eq!(stage.log.next().await, ("ben", What::Disconnected(CloseReason::Kicked)));
    opened.add_permits(1);
    let mut last = [next_finished().await, next_finished().await];
    last.sort();
    assert_eq!(last, [ends("ada", Some(1)), ends("slow to connect", None)]);
    stage.end().await;
}
