//! The client's side of a connection's life.

use rejoin_client::{
    CloseReason, Codec, ConnectError, ConnectionState, DecodeError, EncodeError, Event, Frame, JsonCodec,
    Message,
};
use rejoin_server::Server;
use rejoin_tests::harness::{self, END_OF_STREAM, Heard, RESET, What, next, next_event, number, numbers};
use rejoin_tests::network::{Dials, Direction, Line};
use tokio::time::Instant;

use crate::{client, echo_server, millis, secs, server, shut_down};

#[tokio::test(start_paused = true)]
async fn failed_first_dial_is_an_immediate_error() {
    let server = echo_server();
    let line = Line::to(&server);
    line.set_dials(Dials::Refused);
    let error = line.client("/").connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Dial(_)), "{error}");
    line.plug_in();
    tokio::time::sleep(secs(600)).await;
    assert_eq!(line.dials(), 1);
    assert_eq!(server.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn frames_sent_offline_leave_after_resume_in_order() {
    let (server, mut log) = server(|builder| builder);
    let (client, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    for n in 1..=100 {
        client.send(&number(n)).unwrap();
    }
    line.plug_in();
    assert_eq!(log.next().await, ("ada", What::Restored));
    assert_eq!(log.numbers(100).await, Vec::from_iter(1..=100));
}

#[tokio::test(start_paused = true)]
async fn reconnect_resets_the_retry_count() {
    let (server, mut log) = server(|builder| builder.resume_window(secs(600)));
    let line = Line::to(&server);
    let mut client = line.client("/?id=ada").max_retries(2).connect().await.unwrap();
    log.connected().await;
    for round in 0..5 {
        line.unplug();
        line.dialled(2 * round + 2).await;
        line.plug_in();
        assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
        assert_eq!(next(&mut client).await, Heard::Resumed);
    }
}

#[tokio::test(start_paused = true)]
async fn on_connect_that_always_panics_exhausts_the_retries() {
    for plain in [false, true] {
        let (server, _log) = server(|builder| builder.on_connect(|_| async { panic!("on purpose") }));
        let line = Line::to(&server);
        let builder = line.client("/?id=ada").max_retries(5);
        let builder = if plain { builder.plain() } else { builder };
        let since = Instant::now();
        let mut client = builder.connect().await.unwrap();
        let closed = loop {
            match next_event(&mut client).await {
                Event::Closed(closed) => break closed,
                event => assert!(!matches!(event, Event::Message(_) | Event::Gap(_)), "{event:?}"),
            }
        };
        assert!(matches!(closed.reason, CloseReason::RetriesExhausted { attempts: 5, .. }), "{closed:?}");
        assert!(closed.reason.to_string().contains("1011"), "{}", closed.reason);
        // At least half of the delays 500 ms, 1 s, 2 s, 4 s and 8 s.
        assert!(since.elapsed() >= millis(7_750), "{:?}", since.elapsed());
        assert_eq!(line.dials(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn close_while_reconnecting_delivers_accepted_frames() {
    let (server, mut log) = server(|builder| builder);
    let (mut client, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    for n in 1..=10 {
        client.send(&number(n)).unwrap();
    }
    line.dialled(2).await;
    line.plug_in();
    assert_eq!(client.close().await.unacknowledged, 0);
    assert_eq!(log.numbers_over_drops(10).await, Vec::from_iter(1..=10));
    assert_eq!(log.next().await, ("ada", What::Disconnected(rejoin_server::CloseReason::Normal)));
}

#[tokio::test(start_paused = true)]
async fn close_counts_unacknowledged_frames_at_its_timeout() {
    let (server, mut log) = server(|builder| builder);
    let (mut client, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    for n in 1..=10 {
        client.send(&number(n)).unwrap();
    }
    let since = Instant::now();
    assert_eq!(client.close().await.unacknowledged, 10);
    assert!(since.elapsed() >= secs(5) && since.elapsed() <= secs(6), "{:?}", since.elapsed());
    assert_eq!(harness::read_numbers(&client.take_unacknowledged()), Vec::from_iter(1..=10));
}

#[tokio::test(start_paused = true)]
async fn close_racing_a_drop_delivers_or_counts() {
    for seed in 0_u64..200 {
        let (server, mut log) = server(|builder| builder);
        let (client, line) = client(&server, &mut log, "ada").await;
        for n in 1..=20 {
            client.send(&number(n)).unwrap();
        }
        // The twenty frames take about 700 bytes, the answers less than 100.
        let overcome = seed.is_multiple_of(2);
        match seed % 4 {
            0 => line.cut_after(Direction::ToServer, usize::try_from(5 * seed).unwrap()),
            2 => line.cut_after(Direction::ToClient, usize::try_from(seed / 2).unwrap()),
            _ => line.cut_at_random(seed, 500),
        }
        let closed = client.close().await;
        assert!(client.state() == ConnectionState::Closed);
        let received = server_received(&server, &mut log).await;
        assert_eq!(received, Vec::from_iter(1..=received.len() as u64), "seed {seed}: in order, once");
        let missing = 20 - received.len() as u64;
        assert!(missing <= closed.unacknowledged, "seed {seed}: {missing} missing, reported: {closed:?}");
        assert!(!overcome || missing == 0, "seed {seed}: {missing} frames are missing after a single cut");
    }
}

/// All messages that the server's application has received when the server has ended.
async fn server_received(server: &Server, log: &mut harness::Recorder) -> Vec<u64> {
    shut_down(server).await;
    let mut received = Vec::new();
    while let Some(happened) = log.try_next() {
        if let What::Message(frame) = happened.what {
            received.push(frame.decode().unwrap());
        }
    }
    received
}

#[tokio::test(start_paused = true)]
async fn abort_leaves_session_suspended_at_server() {
    for by_drop in [false, true] {
        let (server, mut log) = server(|builder| builder);
        let (client, line) = client(&server, &mut log, "ada").await;
        let sender = client.sender();
        if by_drop {
            drop(client);
        } else {
            client.abort();
        }
        assert!(matches!(sender.closed().await.reason, CloseReason::Local));
        assert_eq!(log.next().await, ("ada", What::Dropped(END_OF_STREAM)));
        assert_eq!(server.stats().suspended, 1);
        assert_eq!(log.next().await, ("ada", What::Disconnected(rejoin_server::CloseReason::WindowExpired)));
        assert_eq!(line.dials(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn second_client_on_a_line_has_own_session() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let client = line.client("/").build().unwrap();
    let (one, other) = (client.connect().await.unwrap(), client.connect().await.unwrap());
    log.connected().await;
    log.connected().await;
    assert_ne!(one.id(), other.id());
    assert_eq!(server.connections("room").len(), 2);
}

/// JSON without control frames.
struct NoControl;

impl Codec for NoControl {
    fn name(&self) -> &str {
        "json"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        JsonCodec.encode(frame)
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        JsonCodec.decode(message)
    }

    fn encode_control(&self, _: &str, _: Option<bytes::Bytes>) -> Result<Message, EncodeError> {
        Err(EncodeError::new("control frames"))
    }
}

#[tokio::test(start_paused = true)]
async fn ends_when_codec_cannot_encode_acknowledgements() {
    let (server, mut log) = server(|builder| builder.heartbeat(secs(200), secs(400)));
    let line = Line::to(&server);
    let mut client = line.client("/?id=ada").codec(NoControl).connect().await.unwrap();
    log.next().await;
    server.send("ada", &number(1)).unwrap();
    assert_eq!(numbers(&mut client, 1).await, [1]);
    let begin = Instant::now();
    client.closed().await;
    assert!(begin.elapsed() < secs(10), "{:?}", begin.elapsed());
}
