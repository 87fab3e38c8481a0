//! Several requests for one connection ID at the same time: the latest one gets it, whichever is decided first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rejoin_client::{ConnectError, Connection};
use rejoin_server::{Builder, ConnectRequest, DuplicateId, Server};
use rejoin_store::{Fault, MemoryStore, StoreCall};
use rejoin_tests::harness::{self, millis, number, numbers, within};
use rejoin_tests::network::Line;

use crate::shut_down;

/// A server that decides on its first request long after those that follow.
fn slow_at_first() -> Builder {
    let requests = AtomicUsize::new(0);
    let connect = move |request: ConnectRequest| {
        let is_first = requests.fetch_add(1, Ordering::Relaxed) == 0;
        let identity = harness::connect(request);
        async move {
            if is_first {
                tokio::time::sleep(millis(100)).await;
            }
            identity.await
        }
    };
    harness::echo(Server::builder(connect))
}

/// Dials twice, like a client that has given its first dial up. Returns the second connection, and the answer to the first dial,
/// which comes later.
async fn dial_twice(server: &Server, plain: bool) -> (Connection, u16) {
    let [early, late] = [(); 2].map(|()| Line::to(server));
    let dial = |line: &Line| {
        let builder = line.client("/?id=ada");
        if plain { builder.plain().connect() } else { builder.connect() }
    };
    let given_up = tokio::spawn(dial(&early));
    tokio::time::sleep(millis(1)).await;
    let client = dial(&late).await.unwrap();
    assert!(!given_up.is_finished());
    match within("the answer", given_up).await.unwrap() {
        Err(ConnectError::Refused(refusal)) => (client, refusal.status),
        other => panic!("{other:?}"),
    }
}

async fn goes_on(client: &mut Connection) {
    client.send(&number(1)).unwrap();
    assert_eq!(numbers(client, 1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_request_replaces_no_session_of_a_later_one() {
    for policy in [DuplicateId::Replace, DuplicateId::Resume] {
        for plain in [false, true] {
            let server = slow_at_first().duplicate_id(policy).build().unwrap();
            let (mut client, status) = dial_twice(&server, plain).await;
            assert_eq!(status, 409, "{policy:?}, plain: {plain}");
            goes_on(&mut client).await;
            assert_eq!((server.stats().connections, server.stats().refused), (1, 1));
            shut_down(&server).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_request_may_take_the_id_of_a_session_that_has_ended() {
    let server = slow_at_first().build().unwrap();
    let [early, late] = [(); 2].map(|()| Line::to(&server));
    let slow = tokio::spawn(early.client("/?id=ada").connect());
    tokio::time::sleep(millis(1)).await;
    late.client("/?id=ada").connect().await.unwrap().close().await;
    goes_on(&mut within("the answer", slow).await.unwrap().unwrap()).await;
    shut_down(&server).await;
}

/// The requests reach the server, and then the store, whose answers change their order.
#[tokio::test(start_paused = true)]
async fn an_earlier_request_ends_no_session_of_a_later_one_in_the_store() {
    let store = MemoryStore::new();
    let server = harness::echo(Server::builder(harness::connect)).store(store.clone()).build().unwrap();
    // The server itself has begun in the store.
    let _bob = Line::to(&server).client("/?id=bob").connect().await.unwrap();
    let mut is_first = true;
    store.set_faults(move |call| match call {
        StoreCall::Open if std::mem::take(&mut is_first) => Fault::Delayed(millis(100)),
        _ => Fault::None,
    });
    let (mut client, status) = dial_twice(&server, false).await;
    assert_eq!(status, 409);
    goes_on(&mut client).await;
    shut_down(&server).await;
}

/// The store refuses the acts of its handler after its end. If that looked like a move, the client would return.
#[tokio::test(start_paused = true)]
async fn a_replaced_session_with_a_store_is_told_so() {
    let (store, told) = (MemoryStore::new(), Arc::new(Mutex::new(Vec::new())));
    let note = |what: &'static str| {
        let told = told.clone();
        move || {
            told.lock().unwrap().push(what);
            std::future::ready(())
        }
    };
    let [connects, moves, ends] = ["connect", "moved", "end"].map(note);
    let server = Server::builder(harness::connect)
        .on_message(async |connection, frame| {
            tokio::time::sleep(millis(50)).await;
            connection.send(&frame).ok();
        })
        .on_connect(move |_| connects())
        .on_moved(move |_| moves())
        .on_disconnect(move |_, _| {
            let ends = ends.clone();
            async move {
                tokio::time::sleep(millis(200)).await;
                ends().await;
            }
        })
        .store(store.clone())
        .build()
        .unwrap();
    let [line, other] = [(); 2].map(|()| Line::to(&server));
    let mut old = line.client("/?id=ada").connect().await.unwrap();
    old.send(&number(7)).unwrap();
    tokio::time::sleep(millis(1)).await;
    // The newcomer asks the store twice: the handler returns in between.
    store.set_faults(|call| if call == StoreCall::Open { Fault::Delayed(millis(40)) } else { Fault::None });
    let mut new = other.client("/?id=ada").connect().await.unwrap();
    let event = within("the end", old.recv()).await;
    assert!(format!("{event:?}").contains("duplicate connection id"), "{event:?}");
    goes_on(&mut new).await;
    assert_eq!(*told.lock().unwrap(), ["connect", "end", "connect"]);
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_taken_id_is_refused_with_a_store_as_without() {
    let store = MemoryStore::new();
    let builder = || harness::echo(Server::builder(harness::connect)).duplicate_id(DuplicateId::Reject);
    let alone = builder().build().unwrap();
    let [first, second] = ["a", "b"].map(|name| builder().store(store.clone()).node(name).build().unwrap());
    for (has_it, asked) in [(&alone, &alone), (&first, &first), (&first, &second)] {
        let mut ada = Line::to(has_it).client("/?id=ada").connect().await.unwrap();
        match within("the answer", Line::to(asked).client("/?id=ada").connect()).await {
            Err(ConnectError::Refused(refusal)) => assert_eq!(refusal.status, 409),
            other => panic!("{other:?}"),
        }
        goes_on(&mut ada).await;
        ada.close().await;
        tokio::time::sleep(millis(100)).await;
    }
    for server in [alone, first, second] {
        shut_down(&server).await;
    }
}
