//! Callbacks as the methods of one type.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rejoin_server::{CloseReason, Connection, DropReason, Frame, Handler, Server};
use rejoin_tests::harness::{self, END_OF_STREAM, Heard, RESET, What, next, number};
use rejoin_tests::network::Line;

use crate::shut_down;

/// Counts the messages of all connections, and replies with the count. Its other methods are the defaults.
#[derive(Default)]
struct Counter(AtomicU64);

impl Handler for Counter {
    async fn on_message(&self, connection: &Connection, _: Frame) {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::task::yield_now().await;
        connection.send(&number(count)).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn connections_share_the_state_of_a_handler() {
    let counter = Arc::new(Counter::default());
    let server = Server::builder(harness::connect).handler(counter.clone()).build().unwrap();
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    let mut ben = line.client("/?id=ben").connect().await.unwrap();
    ada.send(&number(0)).unwrap();
    assert_eq!(next(&mut ada).await, Heard::Message(number(1)));
    ben.send(&number(0)).unwrap();
    assert_eq!(next(&mut ben).await, Heard::Message(number(2)));
    // The default methods neither end a session nor delay it.
    server.cut("ada").unwrap();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(END_OF_STREAM));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    ada.send(&number(0)).unwrap();
    assert_eq!(next(&mut ada).await, Heard::Message(number(3)));
    assert_eq!(counter.0.load(Ordering::Relaxed), 3);
    shut_down(&server).await;
}

/// Records each call.
#[derive(Default)]
struct Notes(Mutex<Vec<What>>);

impl Notes {
    fn note(&self, what: What) {
        self.0.lock().unwrap().push(what);
    }
}

impl Handler for Notes {
    async fn on_connect(&self, _: &Connection) {
        self.note(What::Connected);
    }

    async fn on_message(&self, _: &Connection, frame: Frame) {
        self.note(What::Message(frame));
    }

    async fn on_transport_drop(&self, _: &Connection, reason: DropReason) {
        self.note(What::Dropped(reason));
    }

    async fn on_transport_restore(&self, _: &Connection) {
        self.note(What::Restored);
    }

    async fn on_disconnect(&self, _: &Connection, reason: CloseReason) {
        self.note(What::Disconnected(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn methods_of_a_handler_are_called_in_order() {
    let notes = Arc::new(Notes::default());
    let server = Server::builder(harness::connect).handler(notes.clone()).build().unwrap();
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    ada.send(&number(1)).unwrap();
    line.cut();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    ada.close().await;
    shut_down(&server).await;
    let noted = notes.0.lock().unwrap().clone();
    let [first, middle @ .., last] = &noted[..] else { panic!("{noted:?}") };
    assert_eq!((first, last), (&What::Connected, &What::Disconnected(CloseReason::Normal)));
    let position = |what: &What| middle.iter().position(|noted| noted == what).expect("it is noted");
    assert!(position(&What::Dropped(RESET)) < position(&What::Restored));
    assert_eq!(middle.iter().filter(|noted| matches!(noted, What::Message(_))).count(), 1, "{noted:?}");
}

#[test]
fn handler_plus_closures_is_a_config_error() {
    let builder = || Server::builder(harness::connect).handler(Counter::default());
    assert!(builder().handler(Notes::default()).build().is_ok());
    let router = rejoin_server::Router::builder().build().unwrap();
    let cases = [
        (builder().on_connect(|_| async {}), "on_connect"),
        (builder().on_disconnect(|_, _| async {}), "on_disconnect"),
        (builder().router(router), "on_message"),
        (Server::builder(harness::connect).on_gap(|_, _| async {}).handler(Counter::default()), "on_gap"),
    ];
    for (builder, closure) in cases {
        let error = builder.build().unwrap_err();
        assert_eq!((error.option, error.value), ("handler", format!("together with `{closure}`")));
    }
}
