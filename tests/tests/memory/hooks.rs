//! Hooks: decisions and events in addition to the callbacks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rejoin_server::{
    BroadcastError, Builder, Codec, ConnectRequest, Connection, DecodeError, EncodeError, ErrorKind, Frame,
    Handler, Identity, JoinError, JsonCodec, Message, Overflow, Reject, Server, WhyDropped,
};
use rejoin_tests::harness::{Heard, RESET, connect, millis, next, number, numbers, secs, within};
use rejoin_tests::network::Line;
use tokio::sync::{Notify, mpsc};

use crate::{raw, shut_down};

type Dropped = mpsc::UnboundedReceiver<(String, Option<u64>, WhyDropped)>;

/// Notes the dropped frames.
fn dropped(builder: Builder) -> (Builder, Dropped) {
    let (sender, dropped) = mpsc::unbounded_channel();
    let builder = builder.on_send_dropped(move |me, frame, why| {
        let number = frame.map(|frame| frame.decode::<u64>().unwrap());
        sender.send((me.id().to_owned(), number, why)).ok();
        std::future::ready(())
    });
    (builder, dropped)
}

#[tokio::test(start_paused = true)]
async fn frames_dropped_for_a_suspended_session_are_reported() {
    let (builder, mut dropped) = dropped(Server::builder(connect).send_buffer(2));
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    line.unplug();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    let connection = server.connection("ada").unwrap();
    // It no longer has a task.
    tokio::time::sleep(secs(1)).await;
    for n in 1..=3 {
        server.broadcast("room", &number(n)).unwrap();
    }
    let mut next_dropped = async || within("dropped frame", dropped.recv()).await.unwrap();
    assert_eq!(next_dropped().await, ("ada".into(), Some(1), WhyDropped::Evicted));
    connection.send_with(&number(4), Overflow::DropOldest).unwrap();
    assert_eq!(next_dropped().await, ("ada".into(), Some(2), WhyDropped::Evicted));
    connection.send_with(&number(5), Overflow::DropNewest).unwrap();
    assert_eq!(next_dropped().await, ("ada".into(), Some(5), WhyDropped::Newest));
    // Its caller gets the error.
    connection.send(&number(6)).unwrap_err();
    assert_eq!(server.broadcast_with("room", &number(7), Overflow::Reject), Ok(0));
    assert_eq!(next_dropped().await, ("ada".into(), Some(7), WhyDropped::Refused));
    assert_eq!(server.broadcast_with("room", &number(8), Overflow::DropNewest), Ok(0));
    assert_eq!(next_dropped().await, ("ada".into(), Some(8), WhyDropped::Newest));
    tokio::time::sleep(secs(1)).await;
    assert!(dropped.try_recv().is_err());
    line.plug_in();
    while !matches!(next(&mut ada).await, Heard::Gap(_)) {}
    assert_eq!(numbers(&mut ada, 2).await, [3, 4]);
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn frames_in_flight_are_reported_as_such() {
    let (builder, mut dropped) = dropped(Server::builder(connect).send_buffer(2));
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let _ada = line.client("/?id=ada").connect().await.unwrap();
    // Sent to the socket, and never acknowledged.
    line.half_open();
    for n in 1..=2 {
        server.send("ada", &number(n)).unwrap();
    }
    tokio::time::sleep(millis(1)).await;
    server.broadcast("room", &number(3)).unwrap();
    let reported = within("dropped frame", dropped.recv()).await.unwrap();
    assert_eq!(reported, ("ada".into(), Some(1), WhyDropped::EvictedInFlight));
    shut_down(&server).await;
}

/// JSON that cannot represent the event `secret`.
struct Prudish;

impl Codec for Prudish {
    fn name(&self) -> &str {
        "prudish"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        if frame.event() == "secret" {
            Err(EncodeError::new("it is secret"))
        } else {
            JsonCodec.encode(frame)
        }
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        JsonCodec.decode(message)
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_a_receiver_cannot_take_are_reported() {
    let (builder, mut dropped) = dropped(Server::builder(connect).codec(JsonCodec).codec(Prudish));
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let _ada = raw::dial(&line, "ada", "rejoin.v1.json, rejoin.max.60").await.unwrap();
    let _ben = raw::dial(&line, "ben", "rejoin.v1.prudish").await.unwrap();
    while server.member_count("room") < 2 {
        tokio::time::sleep(millis(1)).await;
    }
    server.broadcast("room", &Frame::event_only("secret")).unwrap();
    let reported = within("dropped frame", dropped.recv()).await.unwrap();
    assert_eq!(reported, ("ben".into(), None, WhyDropped::Codec));
    let long = number(1).with_id("x".repeat(60));
    server.broadcast("room", &long).unwrap();
    let reported = within("dropped frame", dropped.recv()).await.unwrap();
    assert_eq!(reported, ("ada".into(), Some(1), WhyDropped::TooBig));
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn dropped_frames_wait_for_a_running_callback() {
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let (builder, mut dropped) = dropped(Server::builder(connect).send_buffer(1));
    let server = builder
        .on_message(move |_, _| {
            let gate = gate.clone();
            async move { gate.notified().await }
        })
        .build()
        .unwrap();
    let line = Line::to(&server);
    let ada = line.client("/?id=ada").connect().await.unwrap();
    ada.send(&number(0)).unwrap();
    while server.stats().frames_in == 0 {
        tokio::time::sleep(millis(1)).await;
    }
    let since = server.stats().dropped;
    line.unplug();
    tokio::time::sleep(secs(1)).await;
    for n in 0..100 {
        server.broadcast("room", &number(n)).unwrap();
    }
    tokio::time::sleep(secs(1)).await;
    assert!(dropped.try_recv().is_err());
    assert_eq!(server.stats().dropped - since, 99);
    opened.notify_one();
    for n in 0..64 {
        let reported = within("dropped frame", dropped.recv()).await.unwrap();
        assert_eq!(reported, ("ada".into(), Some(n), WhyDropped::Evicted));
    }
    tokio::time::sleep(secs(1)).await;
    assert!(dropped.try_recv().is_err(), "64 wait at most");
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn expired_session_hands_over_its_unacknowledged_frames() {
    let (sender, mut calls) = mpsc::unbounded_channel();
    let ends = sender.clone();
    let server = Server::builder(connect)
        .on_expired(move |me, frames| {
            let numbers: Vec<u64> = frames.iter().map(|frame| frame.decode().unwrap()).collect();
            sender.send(format!("{} {numbers:?}", me.id())).unwrap();
            std::future::ready(())
        })
        .on_disconnect(move |me, reason| {
            ends.send(format!("{} {}", me.id(), reason.kind())).unwrap();
            std::future::ready(())
        })
        .build()
        .unwrap();
    for is_plain in [false, true] {
        let line = Line::to(&server);
        let client = line.client("/?id=ada");
        let client = if is_plain { client.plain() } else { client };
        let mut ada = client.connect().await.unwrap();
        server.send("ada", &number(0)).unwrap();
        assert_eq!(numbers(&mut ada, 1).await, [0]);
        tokio::time::sleep(secs(2)).await;
        line.unplug();
        assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
        server.send("ada", &number(1)).unwrap();
        server.broadcast("room", &number(2)).unwrap();
        for expected in ["ada [1, 2]", "ada window_expired"] {
            assert_eq!(within("callback", calls.recv()).await.as_deref(), Some(expected));
        }
        ada.abort();
    }
    // Nothing was sent to this one; and one that is kicked has not expired.
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    line.unplug();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    for expected in ["ada []", "ada window_expired"] {
        assert_eq!(within("callback", calls.recv()).await.as_deref(), Some(expected));
    }
    let _ben = Line::to(&server).client("/?id=ben").connect().await.unwrap();
    server.send("ben", &number(3)).unwrap();
    server.kick("ben").await.unwrap();
    assert_eq!(within("callback", calls.recv()).await.as_deref(), Some("ben kicked"));
    shut_down(&server).await;
    assert_eq!(server.stats().retained_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn before_join_may_refuse_after_a_while() {
    let (asked, mut questions) = mpsc::unbounded_channel();
    let server = Server::builder(connect)
        .before_join(move |me, room| {
            asked.send(format!("{} {room}", me.id())).unwrap();
            async move {
                // Locks nothing, so it may use the connection.
                assert!(!me.is_in(&room) && me.is_in("room"));
                tokio::time::sleep(secs(1)).await;
                if room == "secret" { Err(JoinError::Refused) } else { Ok(()) }
            }
        })
        .build()
        .unwrap();
    let _ada = Line::to(&server).client("/?id=ada").connect().await.unwrap();
    let _ben = Line::to(&server).client("/?id=ben").connect().await.unwrap();
    assert!(questions.try_recv().is_err(), "the home room was not asked for");
    let ada = server.connection("ada").unwrap();
    assert_eq!(ada.join("open").await, Ok(true));
    assert_eq!(ada.join("secret").await, Err(JoinError::Refused));
    assert_eq!(ada.rooms(), ["room", "open"]);
    for expected in ["ada open", "ada secret"] {
        assert_eq!(questions.recv().await.as_deref(), Some(expected));
    }
    // Without a question: it is a member, the name is empty, it has ended.
    assert_eq!(ada.join("open").await, Ok(false));
    assert_eq!(ada.join("").await, Err(JoinError::EmptyName));
    assert_eq!(server.join("room", "secret").await, Ok(0));
    assert_eq!(server.join("room", "open").await, Ok(1));
    for expected in ["ada secret", "ben secret", "ben open"] {
        assert_eq!(questions.recv().await.as_deref(), Some(expected));
    }
    let joins = tokio::spawn({
        let ada = ada.clone();
        async move { ada.join("late").await }
    });
    assert_eq!(questions.recv().await.as_deref(), Some("ada late"));
    server.kick("ada").await.unwrap();
    assert_eq!(joins.await.unwrap(), Err(JoinError::Closed), "it has ended since it was asked");
    assert_eq!(ada.join("open").await, Err(JoinError::Closed));
    assert!(questions.try_recv().is_err());
    shut_down(&server).await;
}

type Errors = Arc<Mutex<Vec<String>>>;

/// Notes the errors.
fn errors(builder: Builder) -> (Builder, Errors) {
    let errors = Errors::default();
    let noted = errors.clone();
    let builder = builder.on_error(move |error| {
        let who = error.connection().map_or("", Connection::id);
        noted.lock().unwrap().push(format!("{who} {}: {error}", error.as_str()));
        if let Some(connection) = error.connection() {
            // Nothing is locked.
            assert_eq!(connection.server().broadcast("room", &number(1)).err(), None::<BroadcastError>);
            connection.close();
        }
    });
    (builder, errors)
}

async fn noted(errors: &Errors, count: usize) -> Vec<String> {
    while errors.lock().unwrap().len() < count {
        tokio::time::sleep(millis(1)).await;
    }
    std::mem::take(&mut *errors.lock().unwrap())
}

/// Panics on the event `boom`.
struct Fragile;

impl Codec for Fragile {
    fn name(&self) -> &str {
        "fragile"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        JsonCodec.encode(frame)
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        let frame = JsonCodec.decode(message)?;
        assert!(frame.event() != "boom", "the codec panics on purpose");
        Ok(frame)
    }
}

struct Panics;

impl Handler for Panics {
    async fn on_message(&self, _: &Connection, _: Frame) {
        panic!("the handler panics on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_sessions_are_reported_once() {
    let builder = Server::builder(connect).codec(Fragile).max_message_size(100).handler(Panics);
    let (builder, errors) = errors(builder);
    let server = builder.build().unwrap();
    let cases = [
        (r#"{"event":"e"}"#, "ada callback_panicked: the callback message panicked"),
        (r#"{"event":"boom"}"#, "ada codec_panicked: the codec panicked"),
        ("not a frame", "ada peer: session ended by its peer: "),
        (&"x".repeat(101), "ada peer: session ended by its peer: message too big"),
    ];
    for (message, expected) in cases {
        let mut ada = raw::dial(&Line::to(&server), "ada", "rejoin.v1.fragile").await.unwrap();
        raw::write(&mut ada, message).await;
        let noted = within("error", noted(&errors, 1)).await;
        assert!(noted.len() == 1 && noted[0].starts_with(expected), "{noted:?}");
    }
    // An end that is no error.
    let ada = Line::to(&server).client("/?id=ada").connect().await;
    drop(ada);
    shut_down(&server).await;
    assert_eq!(*errors.lock().unwrap(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn failures_of_connect_fn_are_reported() {
    let connect = async |request: ConnectRequest| {
        match request.query("id").as_deref() {
            Some("panics") => panic!("ConnectFn panics on purpose"),
            Some("waits") => tokio::time::sleep(Duration::MAX).await,
            Some("fails") => return Err(Reject::unavailable("no database")),
            _ => return Err(Reject::unauthorized("who are you?")),
        }
        Ok(Identity::new())
    };
    let (builder, errors) = errors(Server::builder(connect));
    let server = builder.build().unwrap();
    for id in ["nobody", "panics", "waits", "fails"] {
        raw::dial(&Line::to(&server), id, "rejoin.v1.json").await.err().expect("it is refused");
    }
    let expected = [
        " connect_panicked: ConnectFn panicked",
        " connect_timed_out: ConnectFn took too long",
        " connect_failed: ConnectFn failed with 503 Service Unavailable",
    ];
    assert_eq!(*errors.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_error_hook_breaks_nothing() {
    let server = Server::builder(connect)
        .handler(Panics)
        .on_error(|error: &ErrorKind| panic!("on_error panics on purpose, for {error}"))
        .build()
        .unwrap();
    let ada = Line::to(&server).client("/?id=ada").connect().await.unwrap();
    let connection = server.connection("ada").unwrap();
    ada.send(&number(1)).unwrap();
    within("end", connection.closed()).await;
    assert!(server.members("room").is_empty());
    shut_down(&server).await;
}
