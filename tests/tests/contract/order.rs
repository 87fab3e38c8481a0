//! Messages arrive once, in the order of the sends.

use rejoin_client::Frame;
use rejoin_tests::harness::{What, disconnected, message, next_event, number, numbers};
use tokio::task::JoinSet;

use crate::setting::{Mode, Setting};
use crate::stage::Stage;

scenario!(messages_arrive_in_send_order);
async fn messages_arrive_in_send_order(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let mut client = stage.connect("ada").await;
    let connection = stage.server.connection("ada").unwrap();
    let sender = client.sender();
    let says = async {
        for n in 0..3000 {
            sender.send_wait(&number(n)).await.unwrap();
        }
    };
    let answers = async {
        for n in 0..3000 {
            connection.send_wait(&number(n)).await.unwrap();
        }
    };
    let hears = async { tokio::join!(numbers(&mut client, 3000), stage.log.numbers(3000)) };
    let ((), (), (at_client, at_server)) = tokio::join!(says, answers, hears);
    assert_eq!(at_client, Vec::from_iter(0..3000));
    assert_eq!(at_server, Vec::from_iter(0..3000));
    assert_eq!(client.close().await.unacknowledged, 0);
    stage.end().await;
}

scenario!(replay_comes_in_order_before_new_frames);
async fn replay_comes_in_order_before_new_frames(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut client, line) = stage.connect_on_line("ada").await;
    stage.server.send("ada", &number(1)).unwrap();
    client.send(&number(1)).unwrap();
    assert_eq!((numbers(&mut client, 1).await, stage.log.numbers(1).await), (vec![1], vec![1]));
    stage.take_away("ada", &line).await;
    disconnected(&mut client).await;
    for n in 2..=100 {
        stage.server.send("ada", &number(n)).unwrap();
        client.send(&number(n)).unwrap();
    }
    line.plug_in();
    assert_eq!(stage.log.next().await, ("ada", What::Restored), "before its first message");
    for n in 101..=200 {
        stage.server.send("ada", &number(n)).unwrap();
    }
    let expected = Vec::from_iter(2..=200);
    assert_eq!(numbers(&mut client, 199).await, expected, "buffered frames come before new ones");
    assert_eq!(stage.log.numbers(99).await, Vec::from_iter(2..=100));
    assert_eq!(client.close().await.unacknowledged, 0);
    stage.end().await;
}

const TASKS: usize = 8;
const EACH: usize = 250;

/// The frame `n` of a task.
fn said(task: usize, n: usize) -> Frame {
    Frame::new("said", &(task, n)).unwrap()
}

/// Checks the messages of several tasks: exactly once, in order for each task.
#[derive(Default)]
struct Listener([usize; TASKS]);

impl Listener {
    fn hear(&mut self, frame: &Frame) {
        let (task, n): (usize, usize) = frame.decode().unwrap();
        assert_eq!(n, self.0[task], "of task {task}");
        self.0[task] += 1;
    }

    fn total(&self) -> usize {
        self.0.iter().sum()
    }
}

scenario!(concurrent_sends_arrive_once_in_task_order);
async fn concurrent_sends_arrive_once_in_task_order(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let (mut client, line) = stage.connect_on_line("ada").await;
    let mut senders = JoinSet::new();
    for task in 0..TASKS {
        let (sender, connection) = (client.sender(), stage.server.connection("ada").unwrap());
        senders.spawn(async move {
            for n in 0..EACH {
                sender.send_wait(&said(task, n)).await.unwrap();
            }
        });
        senders.spawn(async move {
            for n in 0..EACH {
                connection.send_wait(&said(task, n)).await.unwrap();
            }
        });
    }
    let (mut at_client, mut at_server) = (Listener::default(), Listener::default());
    // In plain mode, frames that were written into the lost socket are gone.
    let mut cut = stage.mode == Mode::Plain;
    while at_client.total() + at_server.total() < 2 * TASKS * EACH {
        tokio::select! {
            event = next_event(&mut client) => if let rejoin_client::Event::Message(frame) = event {
                at_client.hear(&frame);
            },
            happening = stage.log.next() => if let What::Message(frame) = happening.what {
                at_server.hear(&frame);
            },
        }
        if !cut && at_client.total() + at_server.total() >= TASKS * EACH / 2 {
            cut = true;
            line.cut();
        }
    }
    assert_eq!((at_client.0, at_server.0), ([EACH; TASKS], [EACH; TASKS]));
    senders.join_all().await;
    assert_eq!(client.close().await.unacknowledged, 0);
    stage.end().await;
}

scenario!(members_see_broadcasts_in_the_same_order);
async fn members_see_broadcasts_in_the_same_order(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder.send_buffer(4096));
    let mut members = Vec::new();
    for id in ["ada", "ben", "eve"] {
        members.push(stage.client(&format!("id={id}")).send_buffer(4096).connect().await.unwrap());
        stage.log.connected().await;
    }
    let mut senders = JoinSet::new();
    for task in 0..TASKS {
        let server = stage.server.clone();
        senders.spawn(async move {
            for n in 0..EACH {
                assert_eq!(server.broadcast("room", &said(task, n)), Ok(3));
            }
        });
    }
    let mut orders = Vec::new();
    for member in &mut members {
        let mut listener = Listener::default();
        let mut order = Vec::new();
        while listener.total() < TASKS * EACH {
            let frame = message(member).await;
            listener.hear(&frame);
            order.push(frame);
        }
        orders.push(order);
    }
    assert!(orders[0] == orders[1] && orders[1] == orders[2]);
    senders.join_all().await;
    stage.end().await;
    for member in &mut members {
        // No further event follows.
        disconnected(member).await;
    }
}
