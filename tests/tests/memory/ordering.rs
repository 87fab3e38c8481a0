//! Messages arrive exactly once, in order.

use std::collections::HashMap;

use rejoin_client::Frame;
use rejoin_tests::harness::{What, next_event, number, numbers};
use rejoin_tests::network::Line;
use serde::{Deserialize, Serialize};

use crate::{client, server, shut_down};

/// A message of one of several tasks.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    task: u64,
    n: u64,
}

fn said(task: u64, n: u64) -> Frame {
    Frame::new("said", &Said { task, n }).unwrap()
}

/// Checks the messages of several tasks: exactly once, in order for each task.
#[derive(Debug, Default)]
struct Listener(HashMap<u64, u64>);

impl Listener {
    fn hear(&mut self, frame: &Frame) {
        let Said { task, n } = frame.decode().unwrap();
        let last = self.0.entry(task).or_default();
        assert_eq!(n, *last + 1, "of task {task}");
        *last = n;
    }
}

#[tokio::test(start_paused = true)]
async fn messages_arrive_in_send_order() {
    let (server, mut log) = server(|builder| builder);
    let (mut client, _) = client(&server, &mut log, "ada").await;
    let connection = server.connection("ada").unwrap();
    let sender = client.sender();
    let (_, _, (), ()) = tokio::join!(
        async { assert_eq!(numbers(&mut client, 3000).await, Vec::from_iter(0..3000)) },
        async { assert_eq!(log.numbers(3000).await, Vec::from_iter(0..3000)) },
        async {
            for n in 0..3000 {
                connection.send_wait(&number(n)).await.unwrap();
            }
        },
        async {
            for n in 0..3000 {
                sender.send_wait(&number(n)).await.unwrap();
            }
        },
    );
}

#[tokio::test(start_paused = true)]
async fn replay_comes_in_order_before_new_frames() {
    let (server, mut log) = server(|builder| builder);
    let (mut client, line) = client(&server, &mut log, "ada").await;
    for round in 0..10 {
        for n in 0..20 {
            server.send("ada", &number(20 * round + n)).unwrap();
            if n == 10 {
                line.cut();
            }
        }
        assert_eq!(numbers(&mut client, 20).await, Vec::from_iter(20 * round..20 * (round + 1)));
    }
}

#[tokio::test]
async fn concurrent_sends_arrive_once_in_task_order() {
    concurrent_sends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_sends_from_threads_arrive_in_order() {
    concurrent_sends().await;
}

const TASKS: u64 = 8;
const EACH: u64 = 250;

async fn concurrent_sends() {
    let (server, mut log) = server(|builder| builder);
    let (mut client, line) = client(&server, &mut log, "ada").await;
    for task in 0..TASKS {
        let (sender, connection) = (client.sender(), server.connection("ada").unwrap());
        tokio::spawn(async move {
            for n in 1..=EACH {
                sender.send_wait(&said(task, n)).await.unwrap();
            }
        });
        tokio::spawn(async move {
            for n in 1..=EACH {
                connection.send_wait(&said(task, n)).await.unwrap();
            }
        });
    }
    let (mut at_client, mut at_server) = (Listener::default(), Listener::default());
    let mut heard = 0;
    while heard < 2 * TASKS * EACH {
        tokio::select! {
            event = next_event(&mut client) => if let rejoin_client::Event::Message(frame) = event {
                at_client.hear(&frame);
                heard += 1;
            },
            happening = log.next_event() => if let What::Message(frame) = happening.what {
                at_server.hear(&frame);
                heard += 1;
            },
        }
        if heard == TASKS * EACH / 2 {
            line.cut();
        }
    }
    for listener in [at_client, at_server] {
        assert_eq!(listener.0, (0..TASKS).map(|task| (task, EACH)).collect());
    }
    assert_eq!(client.close().await.unacknowledged, 0);
    shut_down(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_see_broadcasts_in_the_same_order() {
    let (server, mut log) = server(|builder| builder.send_buffer(4096));
    let mut members = Vec::new();
    for id in ["ada", "ben", "eve"] {
        let line = Line::to(&server);
        members.push(line.client(&format!("/?id={id}")).send_buffer(4096).connect().await.unwrap());
        log.connected().await;
    }
    for task in 0..TASKS {
        let server = server.clone();
        tokio::spawn(async move {
            for n in 1..=EACH {
                assert_eq!(server.broadcast("room", &said(task, n)), Ok(3));
            }
        });
    }
    let mut orders = Vec::new();
    for member in &mut members {
        let mut listener = Listener::default();
        let mut order = Vec::new();
        for _ in 0..TASKS * EACH {
            let rejoin_client::Event::Message(frame) = next_event(member).await else { panic!("no message") };
            listener.hear(&frame);
            order.push(frame.payload().unwrap().data().clone());
        }
        orders.push(order);
    }
    assert!(orders[0] == orders[1] && orders[1] == orders[2]);
}
