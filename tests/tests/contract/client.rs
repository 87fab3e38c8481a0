//! The client's side of a connection's life.

use rejoin_client::{CloseReason, Connection, ConnectionState, Event, Frame, SendError};
use rejoin_server::Builder;
use rejoin_tests::harness::{next, next_event, number, within};
use rejoin_tests::network::{Condition, Dials};
use tokio::task::JoinSet;

use crate::stage::Stage;
use crate::{Mode, in_both_modes, secs};

fn echo(builder: Builder) -> Builder {
    builder.on_message(|connection, frame| async move {
        connection.send_wait(&frame).await.ok();
    })
}

async fn expect_dropped(client: &mut Connection) {
    let dropped = next(client).await;
    assert!(dropped.starts_with("dropped: "), "{dropped}");
}

#[test]
fn client_echo_and_clean_close() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, echo).await;
        let mut client = stage.connect("ada").await;
        for n in 0..100 {
            let frame = Frame::new("say", &("Grüße", n)).unwrap().with_id(n.to_string());
            client.send(&frame).unwrap();
            let Event::Message(heard) = next_event(&mut client).await else { panic!("no message") };
            assert_eq!(heard, frame);
        }
        let closed = client.close().await;
        assert!(matches!(closed.reason, CloseReason::Local), "{closed:?}");
        assert_eq!(closed.unacknowledged, 0);
        assert!(client.recv().await.is_none() && client.recv().await.is_none());
        assert_eq!(stage.log.next().await, "ada disconnected: normal");
        stage.end().await;
    });
}

#[test]
fn client_drop_without_reconnect() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let mut client = stage.client("ada").no_reconnect().connect().await.unwrap();
        stage.log.connected().await;
        stage.server.cut("ada").unwrap();
        expect_dropped(&mut client).await;
        let Event::Closed(closed) = next_event(&mut client).await else { panic!("not closed") };
        assert!(matches!(closed.reason, CloseReason::ReconnectDisabled(_)), "{closed:?}");
        assert!(client.recv().await.is_none(), "nothing comes after the end");
        assert_eq!(client.send(&number(1)), Err(SendError::Closed));
        assert_eq!(stage.log.next().await, "ada dropped: cut");
        stage.end().await;
        assert_eq!(stage.log.next().await, "ada disconnected: server_closed");
    });
}

#[test]
fn client_reconnect() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, echo).await;
        let mut client = stage.connect("ada").await;
        for n in 0..5 {
            stage.server.cut("ada").unwrap();
            expect_dropped(&mut client).await;
            assert_eq!(next(&mut client).await, "restored");
            assert_eq!(client.state(), ConnectionState::Connected);
            client.send(&number(n)).unwrap();
            assert_eq!(next(&mut client).await, format!("message n {n}"));
            assert_eq!(stage.log.next().await, "ada dropped: cut");
            assert_eq!(stage.log.next().await, "ada restored");
        }
        client.close().await;
        stage.end().await;
    });
}

#[test]
fn client_retries_exhausted() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let mut client = stage.client("ada").max_retries(3).connect().await.unwrap();
        stage.log.connected().await;
        stage.end().await;
        expect_dropped(&mut client).await;
        let Event::Closed(closed) = next_event(&mut client).await else { panic!("not closed") };
        assert!(matches!(closed.reason, CloseReason::RetriesExhausted { attempts: 3, .. }), "{closed:?}");
        assert!(client.recv().await.is_none(), "nothing comes after the end");
        assert_eq!(client.state(), ConnectionState::Closed);
    });
}

#[test]
fn client_close_while_reconnecting() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        // Once while it waits a minute for the next dial, and once while it dials.
        let waiting = stage.client("ada").reconnect(secs(60), secs(60)).connect().await.unwrap();
        let line = stage.line();
        let dialling = stage.client_on(&line, "id=ben").handshake_timeout(secs(60));
        let dialling = dialling.connect().await.unwrap();
        stage.log.next_sorted::<2>().await;
        line.set_dials(Dials::Held);
        stage.server.cut("ada").unwrap();
        stage.server.cut("ben").unwrap();
        for mut client in [waiting, dialling] {
            expect_dropped(&mut client).await;
            assert_eq!(client.state(), ConnectionState::Reconnecting);
            let closed = within("end", client.close()).await;
            assert!(matches!(closed.reason, CloseReason::Local), "{closed:?}");
            assert_eq!(closed.unacknowledged, 0);
            assert!(client.recv().await.is_none(), "the client's own close is not an event");
            assert_eq!(client.state(), ConnectionState::Closed);
        }
        stage.end().await;
    });
}

#[test]
fn client_send_after_close() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let client = stage.connect("ada").await;
        let sender = client.sender();
        let (closed, sent) = tokio::join!(client.close(), async { sender.send(&number(1)) });
        assert_eq!((closed.unacknowledged, sent), (0, Err(SendError::Closed)));
        assert_eq!(client.send(&number(2)), Err(SendError::Closed));
        assert_eq!(sender.send_wait(&number(3)).await, Err(SendError::Closed));
        assert_eq!(stage.log.next().await, "ada disconnected: normal", "and no message before");
        stage.end().await;
    });
}

#[test]
fn client_concurrent_sends() {
    const SENDERS: usize = 8;
    const EACH: usize = 200;
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, echo).await;
        let mut client = stage.connect("ada").await;
        let mut senders = JoinSet::new();
        for from in 0..SENDERS {
            let sender = client.sender();
            senders.spawn(async move {
                for n in 0..EACH {
                    sender.send_wait(&Frame::new("from", &(from, n)).unwrap()).await.unwrap();
                }
            });
        }
        let mut heard = [0; SENDERS];
        for _ in 0..SENDERS * EACH {
            let Event::Message(frame) = next_event(&mut client).await else { panic!("no message") };
            let (from, n): (usize, usize) = frame.decode().unwrap();
            assert_eq!(heard[from], n, "once, and in each sender's order");
            heard[from] += 1;
        }
        senders.join_all().await;
        assert_eq!(client.close().await.unacknowledged, 0);
        stage.end().await;
    });
}

#[test]
fn client_close_racing_a_drop() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let line = stage.line();
        for round in 0..30 {
            let client = stage.client_on(&line, &format!("id={round}")).close_timeout(secs(60));
            let mut client = client.connect().await.unwrap();
            for n in 1..=20 {
                client.send(&number(n)).unwrap();
            }
            let fault = [Condition::Reset, Condition::Finished][round % 2];
            let (closed, ()) = if round % 3 == 0 {
                tokio::join!(biased; client.close(), async { line.fail(fault) })
            } else {
                let ((), closed) = tokio::join!(biased; async { line.fail(fault) }, client.close());
                (closed, ())
            };
            assert!(matches!(closed.reason, CloseReason::Local), "round {round}: {closed:?}");
            assert_eq!(client.state(), ConnectionState::Closed);
            assert!(client.recv().await.is_none(), "no event follows the close");
        }
        stage.end().await;
        // In plain mode, frames that were written into the lost socket are gone.
        if mode == Mode::Session {
            // The cut may have destroyed the acknowledgement of frames that the server has received.
            for (round, heard) in heard(&mut stage, 30).iter().enumerate() {
                assert_eq!(heard, &Vec::from_iter(1..=20), "round {round}: one cut is overcome");
            }
        }
    });
}

/// The numbers in the application's messages, by connection ID.
fn heard(stage: &mut Stage, ids: usize) -> Vec<Vec<u64>> {
    let mut heard = vec![Vec::new(); ids];
    while let Some(told) = stage.log.try_next() {
        if let Some((id, n)) = told.split_once(" message n ") {
            heard[id.parse::<usize>().unwrap()].push(n.parse().unwrap());
        }
    }
    heard
}
