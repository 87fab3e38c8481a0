//! Callbacks of sessions in a store, when the server's process is killed before they return.

use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rejoin_client::{Connection as Client, Event};
use rejoin_server::{Builder, CloseReason, Connection, DropReason, Durability, Frame, Server};
use rejoin_store::{Fault, MemoryStore, StoreCall};
use rejoin_tests::harness::{self, MortalStore, number, secs, within};
use rejoin_tests::network::Line;

/// The callbacks that have begun, in all lives of the server.
#[derive(Debug, Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn note(&self, call: impl Into<String>) -> Ready<()> {
        self.0.lock().unwrap().push(call.into());
        ready(())
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A server that sends its client the name of each callback that it calls, and echoes.
fn builder(calls: &Calls) -> Builder {
    let told = |name: &'static str| {
        let calls = calls.clone();
        move |connection: Connection| {
            connection.send(&Frame::event_only(name)).ok();
            calls.note(name)
        }
    };
    let [connect, away, back] = ["connect", "away", "back"].map(told);
    let (join, leave) = (told("join"), calls.clone());
    let (drops, ends) = (calls.clone(), calls.clone());
    Server::builder(harness::connect)
        .on_connect(connect)
        .on_join(move |connection, _| join(connection))
        .on_leave(move |_, room| leave.note(format!("leave {room}")))
        .on_transport_drop(move |_, why| drops.note(format!("drop: {}", why.kind())))
        .on_away(away)
        .on_back(back)
        .on_disconnect(move |_, why| ends.note(format!("end: {}", why.kind())))
        .on_message(async |connection: Connection, frame: Frame| connection.send(&frame).unwrap())
}

fn start(builder: Builder, store: &MemoryStore) -> (Server, MortalStore) {
    let mortal = MortalStore::new(store);
    (builder.store(mortal.clone()).build().unwrap(), mortal)
}

/// Kills a server: its clients find no server until the next one is there.
async fn kill(server: Server, store: &MortalStore, line: &Line) {
    store.kill().await;
    line.unplug();
    server.shutdown(Duration::ZERO).await;
}

fn revive(line: &Line, server: &Server) {
    line.lead_to(server);
    line.plug_in();
}

/// The event names of the next `count` messages.
async fn events(client: &mut Client, count: usize) -> Vec<String> {
    let mut got = Vec::new();
    while got.len() < count {
        match within("a message", client.recv()).await.unwrap() {
            Event::Message(frame) => got.push(frame.event().to_owned()),
            Event::Disconnected { .. } | Event::Refused(_) | Event::Reconnected { resumed: true } => {}
            other => panic!("{other:?} after {got:?}"),
        }
    }
    got
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_is_not_called_again() {
    let (store, calls) = (MemoryStore::new(), Calls::default());
    let (first, mortal) = start(builder(&calls), &store);
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    assert_eq!(events(&mut ada, 2).await, ["connect", "join"]);
    kill(first, &mortal, &line).await;
    assert_eq!(calls.take(), ["connect", "join"]);

    let (second, mortal) = start(builder(&calls), &store);
    revive(&line, &second);
    assert_eq!(events(&mut ada, 2).await, ["away", "back"]);
    ada.send(&number(1)).unwrap();
    assert_eq!(events(&mut ada, 1).await, ["n"]);
    assert_eq!(calls.take(), ["drop: restarted", "away", "back"]);
    // It is away when the next one is killed.
    line.unplug();
    tokio::time::sleep(secs(1)).await;
    kill(second, &mortal, &line).await;
    assert_eq!(calls.take(), ["drop: io", "away"]);

    let (third, _) = start(builder(&calls), &store);
    revive(&line, &third);
    assert_eq!(
        events(&mut ada, 2).await,
        ["away", "back"],
        "the first of them was said by the second server"
    );
    assert_eq!(calls.take(), ["back"]);
    third.shutdown(secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_not_committed_is_called_again() {
    let (store, calls) = (MemoryStore::new(), Calls::default());
    let (first, mortal) = start(builder(&calls), &store);
    mortal.stick(StoreCall::Commit);
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    tokio::time::sleep(secs(1)).await;
    assert_eq!(calls.take(), ["connect", "join"]);
    kill(first, &mortal, &line).await;
    calls.take();

    let (second, _) = start(builder(&calls), &store);
    revive(&line, &second);
    assert_eq!(events(&mut ada, 4).await, ["connect", "join", "away", "back"], "each is said once");
    assert_eq!(calls.take(), ["connect", "join", "drop: restarted", "away", "back"]);
    second.shutdown(secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_window_that_has_passed_is_over_for_all_times() {
    let (store, calls) = (MemoryStore::new(), Calls::default());
    // In its first life the hook never returns.
    let hanging = |calls: &Calls, hangs: bool| {
        let expired = calls.clone();
        builder(calls).on_expired(move |_, frames| {
            let noted = expired.note(format!("expired: {}", frames.len()));
            async move {
                noted.await;
                if hangs {
                    std::future::pending::<()>().await;
                }
            }
        })
    };
    let (first, mortal) = start(hanging(&calls, true), &store);
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada").reconnect(secs(60), secs(300)).connect().await.unwrap();
    assert_eq!(events(&mut ada, 2).await, ["connect", "join"]);
    // The store does not even learn when the window ends.
    store.set_faults(|call| if call == StoreCall::Touch { Fault::Lost } else { Fault::None });
    line.unplug();
    tokio::time::sleep(secs(31)).await;
    assert_eq!(calls.take()[2..], ["drop: io", "away", "leave room", "expired: 3"]);
    kill(first, &mortal, &line).await;

    let (second, mortal) = start(hanging(&calls, false), &store);
    tokio::time::sleep(secs(1)).await;
    let calls_again = ["leave room", "expired: 3", "end: window_expired"];
    assert_eq!(calls.take(), calls_again, "its end has not returned, so it is called again");
    kill(second, &mortal, &line).await;

    let (third, _) = start(hanging(&calls, false), &store);
    revive(&line, &third);
    tokio::time::sleep(secs(1)).await;
    assert!(calls.take().is_empty(), "it has ended");
    tokio::time::sleep(secs(7200)).await;
    loop {
        match within("the report", ada.recv()).await.unwrap() {
            Event::SessionLost { .. } => break,
            Event::Disconnected { .. } | Event::Refused(_) => {}
            other => panic!("{other:?}"),
        }
    }
    third.shutdown(secs(5)).await;
}

/// The store counts from the last loss, whatever came between.
#[tokio::test(start_paused = true)]
async fn a_window_begins_with_the_last_loss_of_a_socket() {
    for durability in [Durability::Commit, Durability::Handover] {
        let (store, calls) = (MemoryStore::new(), Calls::default());
        let builder = || builder(&calls).durability(durability).resume_window(secs(30));
        let (first, mortal) = start(builder(), &store);
        let line = Line::to(&first);
        let mut ada = line.client("/?id=ada").connect().await.unwrap();
        for n in 1..=2 {
            line.cut();
            first.connection("ada").unwrap().send(&number(n)).unwrap();
            while events(&mut ada, 1).await != ["n"] {}
            tokio::time::sleep(secs(20)).await;
        }
        line.unplug();
        tokio::time::sleep(secs(20)).await;
        kill(first, &mortal, &line).await;
        let (second, _) = start(builder(), &store);
        second.committed().await;
        tokio::time::sleep(secs(6)).await;
        assert!(second.connection("ada").is_some(), "{durability:?}");
        tokio::time::sleep(secs(5)).await;
        assert!(second.connection("ada").is_none(), "{durability:?}");
        second.shutdown(secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leave_that_was_not_reported_is_reported_after_a_crash() {
    let (store, calls) = (MemoryStore::new(), Calls::default());
    let (first, mortal) = start(builder(&calls), &store);
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    let connection = first.connection("ada").unwrap();
    connection.join("aside").await.unwrap();
    assert_eq!(events(&mut ada, 3).await, ["connect", "join", "join"]);
    first.committed().await;
    // That it has left is committed, and that the callback was called is not.
    let mut commits = 0;
    store.set_faults(move |call| {
        commits += u32::from(call == StoreCall::Commit);
        if call == StoreCall::Commit && commits > 1 { Fault::Lost } else { Fault::None }
    });
    connection.leave("aside").await.unwrap();
    tokio::time::sleep(secs(1)).await;
    kill(first, &mortal, &line).await;
    store.heal();
    assert!(calls.take().contains(&"leave aside".to_owned()));
    let (second, _) = start(builder(&calls), &store);
    revive(&line, &second);
    assert_eq!(events(&mut ada, 2).await, ["away", "back"]);
    assert_eq!(calls.take(), ["leave aside", "drop: restarted", "away", "back"]);
    second.shutdown(secs(5)).await;
}

#[test]
fn a_moved_session_and_a_restart_have_names() {
    assert_eq!((DropReason::Restarted.kind(), CloseReason::Moved.kind()), ("restarted", "moved"));
}
