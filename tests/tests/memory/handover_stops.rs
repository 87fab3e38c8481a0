//! `Durability::Handover`: a shutdown that meets requests, handlers and a restart under way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use rejoin_client::{Event, Frame};
use rejoin_server::{Builder, Connection, Durability, Server};
use rejoin_store::{Fault, MemoryStore, StoreCall, TailFault};
use rejoin_tests::harness::{self, number, numbers, secs, within};
use rejoin_tests::network::Line;
use tokio::time::sleep;

use crate::handover::{exported, join, lead, start};
use crate::store::values;

/// The numbers of the messages that were handled, in all processes.
#[derive(Clone, Default)]
struct Handled(Arc<Mutex<Vec<u64>>>);

impl Handled {
    /// A server that records each message. Its handler sets the state, waits for ever with one of these numbers, and answers.
    fn builder(&self, hangs_at: &'static [u64]) -> Builder {
        let handled = self.clone();
        Server::builder(harness::connect).resume_window(secs(600)).on_message(
            move |connection: Connection, frame: Frame| {
                let handled = handled.clone();
                async move {
                    let n = frame.decode::<u64>().unwrap();
                    connection.set_state(n.to_be_bytes().to_vec());
                    if hangs_at.contains(&n) {
                        std::future::pending::<()>().await;
                    }
                    handled.0.lock().unwrap().push(n);
                    connection.send(&frame).ok();
                }
            },
        )
    }

    fn all(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Delays the answers of one kind of calls.
fn delay(store: &MemoryStore, kind: StoreCall, by: Duration) {
    store.set_faults(move |call| if call == kind { Fault::SlowAnswer(by) } else { Fault::None });
}

/// The handler of a session that no client has resumed yet changes the session before it returns. That is no moment for an export.
#[tokio::test(start_paused = true)]
async fn a_handler_that_a_restart_has_begun_is_handed_over_again() {
    let (store, handled) = (MemoryStore::new(), Handled::default());
    let (first, _) = start(handled.builder(&[3]), &store);
    let (mut ada, line) = join(&first, "ada").await;
    for n in 1..=5 {
        ada.send(&number(n)).unwrap();
    }
    assert_eq!(values(&mut ada, 2).await, [1, 2]);
    line.unplug();
    first.shutdown(secs(5)).await;
    let (second, _) = start(handled.builder(&[4]), &store);
    second.committed().await;
    sleep(secs(1)).await;
    assert_eq!(handled.all(), [1, 2, 3]);
    second.shutdown(secs(5)).await;
    let (third, _) = start(handled.builder(&[]), &store);
    lead(&[&line], &third);
    assert_eq!(values(&mut ada, 3).await, [3, 4, 5]);
    assert_eq!(handled.all(), [1, 2, 3, 4, 5]);
    third.shutdown(secs(20)).await;
}

/// A request asks the store for its session when the shutdown begins. It must not take the session out of the store any more.
#[tokio::test(start_paused = true)]
async fn a_shutdown_keeps_a_session_whose_request_is_under_way() {
    for attach in [20, 60, 100, 140] {
        let (store, handled) = (MemoryStore::new(), Handled::default());
        let (first, _) = start(handled.builder(&[]), &store);
        let (mut ada, line) = join(&first, "ada").await;
        line.unplug();
        exported(&store, "ada").await;
        store.set_faults(move |call| match call {
            StoreCall::Attach => Fault::SlowAnswer(millis(attach)),
            StoreCall::Commit => Fault::SlowAnswer(millis(200)),
            _ => Fault::None,
        });
        let dials = line.dials();
        line.plug_in();
        line.dialled(dials + 1).await;
        sleep(millis(10)).await;
        first.shutdown(secs(20)).await;
        store.heal();
        let (second, _) = start(handled.builder(&[]), &store);
        lead(&[&line], &second);
        let resumed = async {
            loop {
                match ada.next().await {
                    Some(Event::Reconnected { resumed }) => break resumed,
                    Some(_) => {}
                    None => break false,
                }
            }
        };
        assert!(within("the resume", resumed).await, "the store answers after {attach} ms");
        second.shutdown(secs(20)).await;
    }
}

/// A handler's broadcast is on its way through the log while the client returns. An answer of the next handler does not overtake it.
#[tokio::test(start_paused = true)]
async fn an_answer_after_a_resume_does_not_overtake_a_broadcast_before_it() {
    let store = MemoryStore::new();
    let builder =
        Server::builder(harness::connect).on_message(|connection: Connection, frame: Frame| async move {
            match frame.decode::<u64>().unwrap() {
                1 => _ = connection.broadcast(&frame).unwrap(),
                _ => connection.send(&frame).unwrap(),
            }
        });
    let (server, _) = start(builder, &store);
    let (mut ada, line) = join(&server, "ada").await;
    store.set_tail_faults(|| TailFault::Delayed(secs(1)));
    ada.send_acked(&number(1)).await.unwrap();
    line.unplug();
    exported(&store, "ada").await;
    line.plug_in();
    ada.send(&number(2)).unwrap();
    assert_eq!(values(&mut ada, 2).await, [1, 2]);
    server.shutdown(secs(20)).await;
}

/// A realm's restart ends during the shutdown. Its sessions stay as they are in the store, and nothing of them is handled.
#[tokio::test(start_paused = true)]
async fn a_shutdown_stops_a_realm_whose_restart_is_under_way() {
    let (store, handled) = (MemoryStore::new(), Handled::default());
    let (first, _) = start(handled.builder(&[1]), &store);
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada&room=room&realm=blue").connect().await.unwrap();
    for n in 1..=3 {
        ada.send(&number(n)).unwrap();
    }
    ada.send_acked(&number(4)).await.unwrap();
    line.unplug();
    first.shutdown(secs(20)).await;
    for read in (4..200).rev().step_by(4) {
        delay(&store, StoreCall::Read, millis(read));
        let builder = handled.builder(&[]).store(store.clone()).durability(Durability::Handover);
        let server = builder.build().unwrap();
        sleep(millis(100)).await;
        server.shutdown(secs(20)).await;
    }
    store.heal();
    let (last, _) = start(handled.builder(&[]), &store);
    lead(&[&line], &last);
    assert_eq!(numbers(&mut ada, 4).await, [1, 2, 3, 4]);
    assert_eq!(handled.all(), [1, 2, 3, 4]);
    last.shutdown(secs(20)).await;
}
