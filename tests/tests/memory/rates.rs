//! Limits on what clients send, each reached.

use std::sync::Arc;

use rejoin_client::{Connection, Event};
use rejoin_server::{
    Builder, CloseReason, ConnectRequest, ErrorAnswer, Frame, Identity, RatePolicy, Reject, Server,
};
use rejoin_tests::harness::{Ended, Heard, MetricsLog, Recorder, What, next, number};
use rejoin_tests::network::Line;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::{millis, secs, shut_down};

/// A server whose query sets `id` and `user`, with these options, and its metrics.
fn start(configure: impl FnOnce(Builder) -> Builder) -> (Server, Recorder, MetricsLog) {
    let connect = |request: ConnectRequest| {
        let query = |name: &str| request.query(name).unwrap_or_default();
        std::future::ready(Ok::<_, Reject>(Identity::new().with_id(query("id")).with_user(query("user"))))
    };
    let metrics = MetricsLog::default();
    let (builder, log) = Recorder::of(Server::builder(connect).metrics(metrics.clone()));
    (configure(builder).build().unwrap(), log, metrics)
}

async fn dial(server: &Server, log: &mut Recorder, query: &str) -> (Connection, Line) {
    let line = Line::to(server);
    let client = line.client(&format!("/?{query}")).reconnect(millis(1), millis(1)).connect().await.unwrap();
    log.connected().await;
    (client, line)
}

fn was_reached(metrics: &MetricsLog, limit: &str) -> bool {
    metrics.happened().contains(&format!("limit reached: {limit}"))
}

/// A message whose payload in JSON has this number of bytes.
fn text(bytes: usize) -> Frame {
    Frame::event_only("x").with_payload(rejoin_server::Payload::json(&"x".repeat(bytes - 2)).unwrap())
}

#[tokio::test(start_paused = true)]
async fn frames_beyond_the_rate_wait() {
    for plain in [false, true] {
        let (server, mut log, metrics) = start(|builder| builder.frame_rate(10));
        let client = Line::to(&server).client("/");
        let client = if plain { client.plain() } else { client };
        let client = client.connect().await.unwrap();
        log.connected().await;
        let start = Instant::now();
        for n in 1..=30 {
            client.send(&number(n)).unwrap();
        }
        assert_eq!(log.numbers(10).await, (1..=10).collect::<Vec<_>>());
        assert!(start.elapsed() < millis(50), "a burst of one second's worth");
        for n in 11..=30 {
            assert_eq!(log.numbers(1).await, [n]);
            let expected = (n - 10) * 100;
            let elapsed = start.elapsed().as_millis();
            assert!((expected..expected + 20).contains(&u64::try_from(elapsed).unwrap()), "{n}: {elapsed}");
        }
        assert!(was_reached(&metrics, "frame_rate"));
        // Two seconds of silence are one second's worth.
        tokio::time::sleep(secs(2)).await;
        let start = Instant::now();
        (1..=11).for_each(|n| client.send(&number(n)).unwrap());
        log.numbers(11).await;
        assert!((millis(100)..millis(120)).contains(&start.elapsed()));
    }
}

#[tokio::test(start_paused = true)]
async fn flood_closes_after_what_was_accepted_is_handled() {
    let (server, mut log, metrics) = start(|builder| builder.frame_rate(10).rate_policy(RatePolicy::Close));
    let (mut ada, _) = dial(&server, &mut log, "id=ada").await;
    (1..=15).for_each(|n| ada.send(&number(n)).unwrap());
    assert_eq!(log.numbers(10).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::RateExceeded)));
    let closed = next(&mut ada).await;
    let Heard::Closed(Ended::Remote(frame)) = closed else { panic!("{closed:?}") };
    assert_eq!((frame.code, &*frame.reason), (1008, "rate limit exceeded"));
    assert!(was_reached(&metrics, "frame_rate"));
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn frames_beyond_the_rate_are_answered() {
    let (server, mut log, metrics) = start(|builder| builder.frame_rate(2).rate_policy(RatePolicy::Answer));
    let (mut ada, _) = dial(&server, &mut log, "id=ada").await;
    (1..=2).for_each(|n| ada.send(&number(n)).unwrap());
    let refused = ada.ask(&Frame::event_only("question")).await;
    let Err(rejoin_client::AskError::Answer(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.code(), "rate_limited");
    ada.send(&number(4)).unwrap();
    let Some(Event::Message(answer)) = ada.recv().await else { panic!("no answer") };
    assert_eq!((answer.event(), answer.re()), (ErrorAnswer::EVENT, ""));
    assert!(was_reached(&metrics, "frame_rate"));
    tokio::time::sleep(millis(500)).await;
    ada.send(&number(5)).unwrap();
    assert_eq!(log.numbers(3).await, [1, 2, 5]);
    assert_eq!(log.try_next(), None);
}

#[tokio::test(start_paused = true)]
async fn event_and_payload_count_for_the_byte_rate() {
    let (server, mut log, metrics) = start(|builder| builder.byte_rate(1000).rate_policy(RatePolicy::Answer));
    let (ada, _) = dial(&server, &mut log, "id=ada").await;
    // The name and the payload of each of these are about as long, so that neither is forgotten.
    let event = "e".repeat(300);
    for bytes in [300, 99, 300] {
        let frame = Frame::event_only(&*event).with_payload(text(bytes).payload().unwrap().clone());
        ada.send(&frame).unwrap();
    }
    tokio::time::sleep(millis(10)).await;
    assert!(was_reached(&metrics, "byte_rate"));
    assert_eq!(server.connection("ada").unwrap().counts().accepted, 1, "600 + 399 + 600");
}

#[tokio::test(start_paused = true)]
async fn resume_brings_no_new_burst() {
    let (server, mut log, _) = start(|builder| builder.frame_rate(10));
    let (mut ada, line) = dial(&server, &mut log, "id=ada").await;
    (1..=10).for_each(|n| ada.send(&number(n)).unwrap());
    log.numbers(10).await;
    tokio::time::sleep(millis(1)).await;
    line.cut();
    while next(&mut ada).await != Heard::Resumed {}
    while log.next().await != ("ada", What::Restored) {}
    let start = Instant::now();
    (11..=21).for_each(|n| ada.send(&number(n)).unwrap());
    assert_eq!(log.numbers(11).await, (11..=21).collect::<Vec<_>>());
    assert!(start.elapsed() > secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn connections_of_a_user_share_a_rate() {
    let (server, mut log, metrics) =
        start(|builder| builder.user_frame_rate(4).rate_policy(RatePolicy::Close));
    let (phone, _) = dial(&server, &mut log, "id=phone&user=ada").await;
    let (laptop, _) = dial(&server, &mut log, "id=laptop&user=ada").await;
    let (other, _) = dial(&server, &mut log, "id=other").await;
    for client in [&phone, &laptop, &phone, &laptop] {
        client.send(&number(1)).unwrap();
        log.numbers(1).await;
    }
    (0..50).for_each(|_| other.send(&number(2)).unwrap());
    assert_eq!(log.numbers(50).await, [2; 50], "it has no user");
    assert!(server.connection("other").unwrap().set_user(Some("ada")));
    other.send(&number(3)).unwrap();
    assert_eq!(log.next().await, ("other", What::Disconnected(CloseReason::RateExceeded)));
    assert!(was_reached(&metrics, "user_frame_rate"));
}

#[tokio::test(start_paused = true)]
async fn bytes_beyond_the_rate_wait() {
    for (limit, option) in
        [("byte_rate", Builder::byte_rate as fn(_, _) -> _), ("user_byte_rate", Builder::user_byte_rate)]
    {
        let (server, mut log, metrics) = start(|builder| option(builder, 1000));
        let (ada, _) = dial(&server, &mut log, "id=ada&user=ada").await;
        let start = Instant::now();
        ada.send(&text(5000)).unwrap();
        ada.send(&number(1)).unwrap();
        assert!(matches!(log.next().await.what, What::Message(_)), "a large message is not refused");
        assert!(start.elapsed() < millis(50));
        assert_eq!(log.numbers(1).await, [1]);
        assert!((secs(4)..millis(4200)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert!(was_reached(&metrics, limit));
    }
}

#[tokio::test(start_paused = true)]
async fn client_that_waits_is_not_silent() {
    let (server, mut log, _) = start(|builder| builder.byte_rate(100).heartbeat(secs(1), secs(3)));
    let (ada, _) = dial(&server, &mut log, "id=ada").await;
    ada.send(&text(6000)).unwrap();
    ada.send(&number(1)).unwrap();
    assert!(matches!(log.next().await.what, What::Message(_)));
    assert_eq!(log.numbers(1).await, [1], "a minute later, over the same socket");
    assert_eq!(server.connection("ada").unwrap().counts().drops, 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_messages_of_all_sessions_are_bounded() {
    let gate = Arc::new(Semaphore::new(0));
    let handlers = gate.clone();
    let (server, mut log, metrics) = start(|builder| {
        builder.max_inbound_bytes(1000).on_message(move |_, _| {
            let gate = handlers.clone();
            async move { gate.acquire().await.unwrap().forget() }
        })
    });
    let (ada, _) = dial(&server, &mut log, "id=ada").await;
    let (ben, _) = dial(&server, &mut log, "id=ben").await;
    let received = |id: &str| server.connection(id).unwrap().counts().received;
    // One message of each is being handled, and one waits.
    for client in [&ada, &ben] {
        (0..2).for_each(|_| client.send(&text(600)).unwrap());
        tokio::time::sleep(millis(10)).await;
    }
    for client in [&ada, &ben] {
        (0..5).for_each(|_| client.send(&text(600)).unwrap());
    }
    tokio::time::sleep(secs(60)).await;
    assert_eq!(["ada", "ben"].map(received), [2, 2]);
    assert!(was_reached(&metrics, "inbound_bytes"));
    let (eve, _) = dial(&server, &mut log, "id=eve").await;
    eve.send(&text(600)).unwrap();
    tokio::time::sleep(millis(10)).await;
    assert_eq!(received("eve"), 1, "it holds nothing");
    gate.add_permits(15);
    tokio::time::sleep(millis(10)).await;
    assert_eq!(["ada", "ben", "eve"].map(received), [7, 7, 1]);
    assert_eq!(server.stats().handlers_running, 0);
}

#[tokio::test(start_paused = true)]
async fn session_that_ends_frees_what_it_held() {
    let gate = Arc::new(Semaphore::new(0));
    let handlers = gate.clone();
    let (server, mut log, _) = start(|builder| {
        builder.max_inbound_bytes(1000).on_message(move |_, _| {
            let gate = handlers.clone();
            async move { gate.acquire().await.unwrap().forget() }
        })
    });
    let (ada, _) = dial(&server, &mut log, "id=ada").await;
    let (ben, _) = dial(&server, &mut log, "id=ben").await;
    (0..3).for_each(|_| ada.send(&text(600)).unwrap());
    tokio::time::sleep(millis(10)).await;
    (0..2).for_each(|_| ben.send(&text(100)).unwrap());
    tokio::time::sleep(millis(10)).await;
    (0..2).for_each(|_| ben.send(&text(100)).unwrap());
    tokio::time::sleep(millis(10)).await;
    let received = server.connection("ben").unwrap().counts().received;
    assert_eq!(received, 2);
    server.kick("ada").await.unwrap();
    gate.add_permits(1);
    tokio::time::sleep(millis(10)).await;
    assert_eq!(server.connection("ben").unwrap().counts().received, 4);
    drop(ada);
}

#[tokio::test(start_paused = true)]
async fn session_that_holds_nothing_is_read_again() {
    let gate = Arc::new(Semaphore::new(0));
    let handlers = gate.clone();
    let (server, mut log, _) = start(|builder| {
        builder.max_inbound_bytes(1000).on_message(move |connection, _| {
            let gate = handlers.clone();
            async move {
                if connection.id() == "busy" {
                    std::future::pending::<()>().await;
                }
                gate.acquire().await.unwrap().forget();
            }
        })
    });
    let (busy, _) = dial(&server, &mut log, "id=busy").await;
    let (ada, _) = dial(&server, &mut log, "id=ada").await;
    (0..4).for_each(|_| busy.send(&text(600)).unwrap());
    tokio::time::sleep(millis(10)).await;
    (0..2).for_each(|_| ada.send(&text(100)).unwrap());
    tokio::time::sleep(millis(10)).await;
    ada.send(&text(100)).unwrap();
    tokio::time::sleep(millis(10)).await;
    let received = || server.connection("ada").unwrap().counts().received;
    assert_eq!(received(), 2, "one is being handled, and one waits");
    gate.add_permits(1);
    tokio::time::sleep(millis(10)).await;
    assert_eq!(received(), 3, "the other session still holds too much");
}
/// What limits its reading passes on everything that is written.
#[tokio::test(start_paused = true)]
async fn a_client_under_a_rate_gets_every_kind_of_frame() {
    let (server, mut log, _) = start(|builder| builder.frame_rate(10));
    let (mut ada, _line) = dial(&server, &mut log, "id=ada").await;
    let connection = server.connection("ada").unwrap();
    for n in (1..=9).step_by(2) {
        connection.send(&number(n)).unwrap();
        connection.send(&number(n + 1).volatile()).unwrap();
    }
    for n in 1..=10 {
        assert_eq!(next(&mut ada).await, Heard::Message(number(n).with_volatile(n % 2 == 0)));
    }
    assert_eq!(server.stats().frames_out, 5, "volatile frames have no number");
    shut_down(&server).await;
}
