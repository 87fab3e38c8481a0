//! Callbacks are called in order, and delay no other connection.

use std::sync::Arc;

use rejoin_tests::harness::{next, number, numbers};
use rejoin_tests::network::Dials;
use tokio::sync::{Semaphore, mpsc};

use crate::in_both_modes;
use crate::stage::Stage;

#[test]
fn drop_and_restore_callbacks_on() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let (mut client, line) = stage.connect_on_a_line("ada").await;
        for n in 1..=3 {
            client.send(&number(n)).unwrap();
            assert_eq!(stage.log.next().await, format!("ada message n {n}"));
            // Held back: otherwise a plain client could return before the server has noticed the loss, as another session with
            // this ID.
            stage.drop_and_hold("ada", &line).await;
            line.set_dials(Dials::Served);
            assert_eq!(stage.log.next().await, "ada restored");
            assert!(next(&mut client).await.starts_with("dropped: "));
            assert_eq!(next(&mut client).await, "restored");
        }
        client.close().await;
        assert_eq!(stage.log.next().await, "ada disconnected: normal");
        stage.end().await;
        assert_eq!(stage.log.try_next(), None);
    });
}

#[test]
fn drop_and_restore_callbacks_off_without_a_window() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder.resume_window(None)).await;
        let (mut client, line) = stage.connect_on_a_line("ada").await;
        line.set_dials(Dials::Held);
        line.cut();
        let told = stage.log.next().await;
        assert!(told.starts_with("ada disconnected: transport_lost: "), "{told}");
        line.set_dials(Dials::Served);
        assert_eq!(stage.log.next().await, "ada connected", "with a fresh session");
        client.send(&number(1)).unwrap();
        while next(&mut client).await != "restored" {}
        client.close().await;
        let mut told = stage.log.next().await;
        // A plain client that had not noticed the loss yet may have written the message into the lost socket.
        if told == "ada message n 1" {
            told = stage.log.next().await;
        }
        assert_eq!(told, "ada disconnected: normal");
        stage.end().await;
        assert_eq!(stage.log.try_next(), None);
    });
}

#[test]
fn callbacks_never_stall_others() {
    in_both_modes(async |mode| {
        let gate = Arc::new(Semaphore::new(0));
        let (told, mut handled) = mpsc::unbounded_channel();
        let (closed, on_message) = (gate.clone(), told.clone());
        let mut stage = Stage::set(mode, |builder| {
            let (gate, on_connect) = (closed.clone(), told.clone());
            builder
                .on_connect(move |connection| {
                    let (gate, told) = (gate.clone(), on_connect.clone());
                    async move {
                        if connection.id() == "slow to connect" {
                            drop(gate.acquire().await.unwrap());
                        }
                        told.send(format!("{} connected", connection.id())).unwrap();
                    }
                })
                .on_message(move |connection, frame| {
                    let (gate, told) = (closed.clone(), on_message.clone());
                    async move {
                        if connection.id() == "ada" {
                            drop(gate.acquire().await.unwrap());
                        }
                        told.send(format!("{} {}", connection.id(), frame.decode::<u64>().unwrap())).unwrap();
                    }
                })
        })
        .await;
        let _slow = stage.client_at(stage.addr, "id=slow+to+connect").connect().await.unwrap();
        let mut ada = stage.client("ada").connect().await.unwrap();
        assert_eq!(handled.recv().await.unwrap(), "ada connected");
        let mut ben = stage.client("ben").connect().await.unwrap();
        assert_eq!(handled.recv().await.unwrap(), "ben connected");
        ada.send(&number(1)).unwrap();
        ben.send(&number(2)).unwrap();
        assert_eq!(handled.recv().await.unwrap(), "ben 2");
        // Neither other connections wait, nor writes to the connection whose handler waits.
        assert_eq!(stage.server.broadcast("room", &number(3)), Ok(3));
        for n in 4..=500 {
            stage.server.connection("ada").unwrap().send_wait(&number(n)).await.unwrap();
            assert_eq!(numbers(&mut ada, 1).await, [n - 1]);
        }
        assert_eq!(numbers(&mut ben, 1).await, [3]);
        stage.server.kick("ben").await.unwrap();
        assert_eq!(stage.log.next().await, "ben disconnected: kicked");
        gate.add_permits(1);
        let mut last = [handled.recv().await.unwrap(), handled.recv().await.unwrap()];
        last.sort();
        assert_eq!(last, ["ada 1", "slow to connect connected"]);
        stage.end().await;
    });
}
