//! Messages arrive once, in the order of the sends.

use std::sync::Arc;

use rejoin_client::Frame;
use rejoin_tests::harness::{next_event, number, numbers};
use rejoin_tests::network::Dials;
use tokio::task::JoinSet;

use crate::stage::Stage;
use crate::{Mode, in_both_modes};

#[test]
fn order_of_messages() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let mut client = stage.connect("ada").await;
        let connection = stage.server.connection("ada").unwrap();
        let sender = client.sender();
        let says = async {
            for n in 0..2000 {
                sender.send_wait(&number(n)).await.unwrap();
            }
        };
        let answers = async {
            for n in 0..2000 {
                connection.send_wait(&number(n)).await.unwrap();
            }
        };
        let hears = async { tokio::join!(numbers(&mut client, 2000), stage.log.numbers(2000)) };
        let ((), (), (at_client, at_server)) = tokio::join!(says, answers, hears);
        assert_eq!(at_client, Vec::from_iter(0..2000));
        assert_eq!(at_server, Vec::from_iter(0..2000));
        assert_eq!(client.close().await.unacknowledged, 0);
        stage.end().await;
    });
}

#[test]
fn order_of_the_replay() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let (mut client, line) = stage.connect_on_a_line("ada").await;
        stage.server.send("ada", &number(1)).unwrap();
        client.send(&number(1)).unwrap();
        assert_eq!((numbers(&mut client, 1).await, stage.log.numbers(1).await), (vec![1], vec![1]));
        stage.drop_and_hold("ada", &line).await;
        for n in 2..=100 {
            stage.server.send("ada", &number(n)).unwrap();
            client.send(&number(n)).unwrap();
        }
        line.set_dials(Dials::Served);
        assert_eq!(stage.log.next().await, "ada restored", "before the first message of the new socket");
        for n in 101..=200 {
            stage.server.send("ada", &number(n)).unwrap();
        }
        assert_eq!(
            numbers(&mut client, 199).await,
            Vec::from_iter(2..=200),
            "buffered frames come before new ones"
        );
        // A plain client that had not noticed the loss yet may have written some frames into the lost socket.
        if mode == Mode::Session {
            assert_eq!(stage.log.numbers(99).await, Vec::from_iter(2..=100));
            assert_eq!(client.close().await.unacknowledged, 0);
        }
        stage.end().await;
    });
}

#[test]
fn concurrent_sends() {
    const SENDERS: usize = 8;
    const EACH: usize = 200;
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let mut client = stage.connect("ada").await;
        let connection = stage.server.connection("ada").unwrap();
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let connection = connection.clone();
            senders.spawn(async move {
                for n in 0..EACH {
                    let frame = Frame::new("from", &(sender, n)).unwrap();
                    connection.send_wait(&frame).await.unwrap();
                }
            });
        }
        let mut heard = [0; SENDERS];
        for _ in 0..SENDERS * EACH {
            let rejoin_client::Event::Message(frame) = next_event(&mut client).await else { panic!() };
            let (sender, n): (usize, usize) = frame.decode().unwrap();
            assert_eq!(heard[sender], n, "once, and in each sender's order");
            heard[sender] += 1;
        }
        senders.join_all().await;
        stage.end().await;
        assert!(rejoin_tests::harness::next(&mut client).await.starts_with("dropped: "), "and nothing more");
    });
}

#[test]
fn concurrent_broadcasts_arrive_in_one_order() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 25;
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let mut clients =
            [stage.connect("ada").await, stage.connect("ben").await, stage.connect("eve").await];
        let server = Arc::new(stage.server.clone());
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let server = server.clone();
            senders.spawn(async move {
                for n in 0..EACH {
                    assert_eq!(server.broadcast("room", &number(sender * EACH + n)), Ok(3));
                }
            });
        }
        senders.join_all().await;
        let count = usize::try_from(SENDERS * EACH).unwrap();
        let [ada, ben, eve] = &mut clients;
        let heard = [numbers(ada, count).await, numbers(ben, count).await, numbers(eve, count).await];
        assert_eq!(heard[0], heard[1]);
        assert_eq!(heard[1], heard[2]);
        let mut sorted = heard[0].clone();
        sorted.sort_unstable();
        assert_eq!(sorted, Vec::from_iter(0..SENDERS * EACH));
        stage.end().await;
    });
}
