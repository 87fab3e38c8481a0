//! The parts of a session that a restart restores, in addition to its frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rejoin_client::{Connection as Client, Event};
use rejoin_server::{ConnectRequest, Connection, Frame, Payload, Reject, Server};
use rejoin_store::MemoryStore;
use rejoin_tests::harness::{self, number, numbers, within};
use rejoin_tests::network::Line;

/// A server that echoes. Each request brings a user, a presence, and its number as data.
fn server(store: Option<&MemoryStore>, requests: &Arc<AtomicU32>) -> Server {
    let requests = requests.clone();
    let connect = move |request: ConnectRequest| {
        let nth = requests.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            let identity = harness::connect(request).await?;
            let presence = Payload::json("reading").unwrap();
            Ok::<_, Reject>(identity.with_user("Ada L.").with_presence(presence).with_data(nth))
        }
    };
    let builder = Server::builder(connect)
        .on_message(async |connection: Connection, frame: Frame| connection.send(&frame).unwrap());
    match store {
        Some(store) => builder.store(store.clone()),
        None => builder,
    }
    .build()
    .unwrap()
}

async fn resumed(client: &mut Client) {
    loop {
        match within("the resume", client.recv()).await.unwrap() {
            Event::Reconnected { resumed: true } => return,
            Event::Disconnected { .. } | Event::Refused(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn user_presence_state_and_rooms_come_back() {
    // With and without changes since it began; from its beginning and from a checkpoint.
    for (changes, messages) in [(false, 1), (true, 1), (false, 2200), (true, 2200)] {
        let (store, requests) = (MemoryStore::new(), Arc::default());
        let first = server(Some(&store), &requests);
        let mut ada = Line::to(&first).client("/?id=ada&room=room").connect().await.unwrap();
        let connection = first.connection("ada").unwrap();
        if changes {
            connection.join("side").await.unwrap();
            connection.set_user(Some("Countess"));
            connection.set_presence(Payload::json("typing").unwrap());
            connection.set_state("draft");
        }
        first.committed().await;
        for n in 1..=messages {
            ada.send(&number(n)).unwrap();
            if n % 50 == 0 || messages == 1 {
                assert_eq!(numbers(&mut ada, messages.min(50) as usize).await.last(), Some(&n));
            }
            if n % 1100 == 0 {
                tokio::time::sleep(Duration::from_secs(5)).await; // the follower visits its sessions
            }
        }
        first.shutdown(Duration::ZERO).await;

        let second = server(Some(&store), &requests);
        second.committed().await;
        let rooms = if changes { vec!["room", "side"] } else { vec!["room"] };
        assert_eq!(second.member_count("side"), rooms.len() - 1);
        let connection = second.connection("ada").unwrap();
        let presence = connection.presence().map(|presence| presence.decode::<String>().unwrap());
        let user = connection.user();
        let state = connection.state();
        let (expected_user, expected_presence) =
            if changes { ("Countess", "typing") } else { ("Ada L.", "reading") };
        assert_eq!(user.as_deref(), Some(expected_user), "{messages} messages");
        assert_eq!(presence.as_deref(), Some(expected_presence), "{messages} messages");
        assert_eq!(state.as_deref(), changes.then_some(&b"draft"[..]), "{messages} messages");
        assert_eq!(connection.room(), Some("room"));
        assert_eq!(second.member_count("room"), 1);
        second.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test(start_paused = true)]
async fn data_that_a_restart_has_lost_comes_with_the_next_request() {
    let (store, requests) = (MemoryStore::new(), Arc::new(AtomicU32::new(0)));
    let data = |server: &Server| server.connection("ada").unwrap().data::<u32>().map(|data| *data);
    for store in [Some(&store), None] {
        requests.store(0, Ordering::SeqCst);
        let first = server(store, &requests);
        let line = Line::to(&first);
        let mut ada = line.client("/?id=ada").connect().await.unwrap();
        assert_eq!(data(&first), Some(1));
        line.cut();
        resumed(&mut ada).await;
        assert_eq!((data(&first), requests.load(Ordering::SeqCst)), (Some(1), 2), "it has kept what it had");
        line.unplug();
        first.shutdown(Duration::ZERO).await;
        if store.is_none() {
            continue;
        }
        let second = server(store, &requests);
        second.committed().await;
        assert_eq!(data(&second), None);
        line.lead_to(&second);
        line.plug_in();
        resumed(&mut ada).await;
        assert_eq!((data(&second), requests.load(Ordering::SeqCst)), (Some(3), 3));
        line.cut();
        resumed(&mut ada).await;
        assert_eq!((data(&second), requests.load(Ordering::SeqCst)), (Some(3), 4));
        second.shutdown(Duration::ZERO).await;
    }
}

/// Only a store makes a session lose its data: without one, a session that has none keeps none.
#[tokio::test(start_paused = true)]
async fn a_session_without_data_gets_none_by_a_resume() {
    let requests = Arc::new(AtomicU32::new(0));
    let counted = requests.clone();
    let connect = move |request: ConnectRequest| {
        let nth = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let identity = harness::connect(request).await?;
            Ok::<_, Reject>(if nth == 0 { identity } else { identity.with_data(nth) })
        }
    };
    let server = Server::builder(connect).build().unwrap();
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    line.cut();
    resumed(&mut ada).await;
    assert_eq!(requests.load(Ordering::SeqCst), 2);
    assert!(server.connection("ada").unwrap().data::<u32>().is_none());
    server.shutdown(Duration::ZERO).await;
}
