//! A store that fails or does not answer.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rejoin_client::{ConnectError, Connection, Event};
use rejoin_server::{
    Audience, BroadcastError, Builder, Codec, DecodeError, DeliveryError, EncodeError, Frame, JsonCodec,
    Message, Overflow, SendError, Server, ServerState,
};
use rejoin_store::{Fault, LogId, MemoryStore, Store as _, StoreCall};
use rejoin_tests::harness::{self, MortalStore, number, numbers, secs, within};
use rejoin_tests::network::Line;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

fn builder() -> Builder {
    harness::echo(Server::builder(harness::connect)).health_path("/healthz")
}

/// The status of the answer to a request, and whether it has a `Retry-After`.
async fn refusal(line: &Line, query: &str) -> (u16, bool) {
    match line.client(query).connect().await {
        Err(ConnectError::Refused(refusal)) => (refusal.status, refusal.retry_after.is_some()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn newcomers_are_refused_at_once_while_the_store_is_down() {
    let store = MemoryStore::new();
    let server = builder().store(store.clone()).build().unwrap();
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    ada.send(&number(1)).unwrap();
    assert_eq!(numbers(&mut ada, 1).await, [1]);
    store.set_faults(|_| Fault::Lost);
    ada.send(&number(2)).unwrap();
    tokio::time::sleep(secs(1)).await;
    let other = Line::to(&server);
    let since = Instant::now();
    assert_eq!(refusal(&other, "/?id=bob").await, (503, true));
    assert!(since.elapsed() < Duration::from_millis(100), "{:?}", since.elapsed());
    assert!(!server.health().is_ready && server.state() == ServerState::Running);
    store.heal();
    assert_eq!(numbers(&mut ada, 1).await, [2]);
    assert!(server.health().is_ready);
    let mut bob = other.client("/?id=bob").connect().await.unwrap();
    bob.send(&number(3)).unwrap();
    assert_eq!(numbers(&mut bob, 1).await, [3]);
    server.shutdown(secs(5)).await;
}

/// An idle server notices with its next request, and notices the end by itself.
#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_down_until_it_does() {
    let store = MemoryStore::new();
    let server = builder().store(store.clone()).build().unwrap();
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    store.set_faults(|_| Fault::SlowAnswer(secs(6)));
    ada.send(&number(1)).unwrap();
    tokio::time::sleep(secs(3)).await;
    assert_eq!(refusal(&Line::to(&server), "/?id=bob").await, (503, true));
    store.heal();
    assert_eq!(numbers(&mut ada, 1).await, [1]);
    // A request of before may still wait for its answer.
    tokio::time::sleep(secs(10)).await;
    assert!(Line::to(&server).client("/?id=bob").connect().await.is_ok());
    server.shutdown(secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn attached_sessions_wait_with_bounds_and_lose_nothing() {
    let store = MemoryStore::new();
    let handled = Arc::new(Mutex::new(0));
    let counted = handled.clone();
    let builder = Server::builder(harness::connect).on_message(move |connection, frame| {
        *counted.lock().unwrap() += 1;
        async move { connection.send(&frame).unwrap() }
    });
    let server = builder.store(store.clone()).build().unwrap();
    let line = Line::to(&server);
    let mut ada: Connection = line.client("/?id=ada").connect().await.unwrap();
    let mut idle = Line::to(&server).client("/?id=idle").connect().await.unwrap();
    tokio::time::sleep(secs(1)).await;
    store.set_faults(|call| if call == StoreCall::Commit { Fault::Lost } else { Fault::None });
    for n in 1..=100 {
        ada.send(&number(n)).unwrap();
    }
    tokio::time::sleep(secs(5)).await;
    assert_eq!(*handled.lock().unwrap(), 64, "then the handlers wait");
    let Event::Disconnected { reason } = within("the end of the socket", ada.recv()).await.unwrap() else {
        panic!("what is not committed was sent");
    };
    assert!(reason.to_string().contains("1013"), "{reason}");
    tokio::time::sleep(secs(5)).await;
    store.heal();
    let mut got: Vec<u64> = Vec::new();
    while got.len() < 100 {
        match within("an event", ada.recv()).await.unwrap() {
            Event::Message(frame) => got.push(frame.decode().unwrap()),
            Event::Refused(refusal) => assert_eq!(refusal.status, 503),
            Event::Disconnected { .. } | Event::Reconnected { resumed: true } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, (1..=100).collect::<Vec<_>>());
    assert_eq!(*handled.lock().unwrap(), 100);
    idle.send(&number(1)).unwrap();
    assert_eq!(
        within("an event", idle.recv()).await.map(|event| matches!(event, Event::Message(_))),
        Some(true)
    );
    server.shutdown(secs(5)).await;
}

/// The names of the inputs that the handlers of all lives got.
type Inputs = Arc<Mutex<Vec<(String, u64)>>>;

fn naming(inputs: &Inputs) -> Builder {
    let inputs = inputs.clone();
    Server::builder(harness::connect)
        .on_connect(async |connection| assert_eq!(connection.input(), None))
        .on_message(move |connection, frame: Frame| {
            let input = connection.input().expect("a store keeps it");
            assert_eq!(input.to_string(), format!("{}-{}", input.session(), input.number()));
            inputs.lock().unwrap().push((input.session().to_owned(), frame.decode().unwrap()));
            inputs.lock().unwrap().push((String::new(), input.number()));
            async move {
                assert_eq!(connection.input().as_ref(), Some(&input));
                let elsewhere = connection.clone();
                assert_eq!(tokio::spawn(async move { elsewhere.input() }).await.unwrap(), None);
                connection.send(&frame).unwrap();
            }
        })
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_runs_again_gets_the_same_input() {
    let (store, inputs) = (MemoryStore::new(), Inputs::default());
    let mortal = MortalStore::new(&store);
    let first = naming(&inputs).store(mortal.clone()).build().unwrap();
    let line = Line::to(&first);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    ada.send(&number(1)).unwrap();
    assert_eq!(numbers(&mut ada, 1).await, [1]);
    mortal.stick(StoreCall::Commit);
    ada.send(&number(2)).unwrap();
    ada.send(&number(3)).unwrap();
    tokio::time::sleep(secs(1)).await;
    mortal.kill().await;
    line.unplug();
    first.shutdown(Duration::ZERO).await;
    let second = naming(&inputs).store(MortalStore::new(&store)).build().unwrap();
    line.lead_to(&second);
    line.plug_in();
    assert_eq!(numbers(&mut ada, 2).await, [2, 3]);
    let got = std::mem::take(&mut *inputs.lock().unwrap());
    let session = got[0].0.clone();
    let want = [1, 2, 3, 2, 3].into_iter().flat_map(|n| [(session.clone(), n), (String::new(), n)]);
    assert_eq!(got, want.collect::<Vec<_>>());
    assert_eq!(session.len(), 16);
    second.shutdown(secs(5)).await;
}

/// JSON without IDs.
#[derive(Debug)]
struct Picky;

impl Codec for Picky {
    fn name(&self) -> &str {
        JsonCodec.name()
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        if frame.id().is_empty() { JsonCodec.encode(frame) } else { Err(EncodeError::new("an id")) }
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        JsonCodec.decode(message)
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_that_no_codec_can_represent_fails_as_without_a_store() {
    let of = |store: Option<MemoryStore>| {
        let builder = Server::builder(harness::connect).codec(Picky);
        let builder = match store {
            Some(store) => builder.store(store),
            None => builder,
        };
        builder.build().unwrap()
    };
    let bytes = Frame::event_only("bytes").with_id("id");
    for server in [of(None), of(Some(MemoryStore::new()))] {
        let _ada = Line::to(&server).client("/?id=ada").connect().await.unwrap();
        assert!(matches!(server.broadcast("room", &bytes), Err(BroadcastError::Encode(_))));
        assert!(matches!(
            server.broadcast(Audience::rooms(["room", "other"]), &bytes),
            Err(BroadcastError::Encode(_))
        ));
        assert_eq!(server.broadcast("nobody", &bytes), Ok(0));
        server.shutdown(secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_dropped_leaves_no_task() {
    let before = harness::Baseline::now();
    let store = MemoryStore::new();
    let server = builder().store(store.clone()).build().unwrap();
    server.committed().await;
    drop(server);
    before.restored(secs(20)).await.unwrap();
    // The next one need not wait for its lease.
    let since = Instant::now();
    let next = builder().store(store).build().unwrap();
    next.committed().await;
    assert!(since.elapsed() < secs(1));
    next.shutdown(secs(5)).await;
}

/// Asks for a session with these subprotocols. Returns the text of the answer and of the first frame.
pub(crate) async fn dial(server: &Server, id: &str, protocols: &str) -> String {
    let mut stream = Line::to(server).dial().unwrap();
    let request = format!(
        "GET /?id={id} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-protocol: {protocols}\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if text.ends_with("}}") || text.starts_with("HTTP/1.1 4") {
            return text;
        }
        assert!(within("the answer", stream.read_buf(&mut read)).await.unwrap() > 0, "{text}");
    }
}

/// A store that has lost its last second: the client knows more of the session than it has.
#[tokio::test(start_paused = true)]
async fn an_offer_beyond_the_log_gets_a_fresh_session() {
    for has_store in [true, false] {
        let builder = match has_store {
            true => builder().store(MemoryStore::new()),
            false => builder(),
        };
        let server = builder.build().unwrap();
        let opened = dial(&server, "ada", "rejoin.v1.json").await;
        let token = opened.split("\"session\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        tokio::time::sleep(secs(1)).await;
        let answer = dial(&server, "ada", &format!("rejoin.v1.json, rejoin.resume.{token}.99")).await;
        if has_store {
            assert!(
                answer.starts_with("HTTP/1.1 101") && answer.contains("\"lost\":\"unknown\""),
                "{answer}"
            );
            assert!(!answer.contains(&token));
            let again = dial(&server, "ada", &format!("rejoin.v1.json, rejoin.resume.{token}.0")).await;
            assert!(again.contains("\"lost\":\"unknown\""), "it has ended: {again}");
        } else {
            assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        }
        server.shutdown(secs(5)).await;
    }
}

/// The store has no token, so a restarted server learns it from its client.
#[tokio::test(start_paused = true)]
async fn tokens_are_not_in_the_store() {
    let store = MemoryStore::new();
    let first = builder().store(store.clone()).build().unwrap();
    let opened = dial(&first, "ada", "rejoin.v1.json").await;
    let token = opened.split("\"session\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    first.shutdown(secs(5)).await;
    let records = store.records(LogId(1), None, 10).await.unwrap();
    let kept = records.iter().any(|record| {
        let texts = [&record.identity, &record.state, &record.checkpoint.state];
        texts.into_iter().any(|text| text.windows(17).any(|part| token.as_bytes().starts_with(part)))
    });
    assert!(records.len() == 2 && !kept, "{records:?}");
    let second = builder().store(store).build().unwrap();
    let other = format!("{}{}", &token[..42], if token.ends_with('A') { 'B' } else { 'A' });
    let refused = dial(&second, "eve", &format!("rejoin.v1.json, rejoin.resume.{other}.0")).await;
    assert!(refused.contains("\"lost\":\"unknown\""), "{refused}");
    let resumed = dial(&second, "ada", &format!("rejoin.v1.json, rejoin.resume.{token}.0")).await;
    assert!(resumed.contains("\"resumed\":true") && resumed.contains(&token), "{resumed}");
    second.shutdown(secs(5)).await;
}

/// It has handled one frame whose answer waits: that is enough to wait no longer.
#[tokio::test(start_paused = true)]
async fn a_session_with_one_uncommitted_frame_loses_its_socket_too() {
    let store = MemoryStore::new();
    let server = harness::echo(builder()).store(store.clone()).build().unwrap();
    let mut ada = Line::to(&server).client("/?id=ada").connect().await.unwrap();
    tokio::time::sleep(secs(1)).await;
    store.set_faults(|call| if call == StoreCall::Commit { Fault::Lost } else { Fault::None });
    ada.send(&number(1)).unwrap();
    let Event::Disconnected { reason } = within("the end of the socket", ada.recv()).await.unwrap() else {
        panic!("what is not committed was sent");
    };
    assert!(reason.to_string().contains("1013"), "{reason}");
    store.heal();
    server.shutdown(secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn frames_that_wait_for_the_store_are_bounded() {
    let store = MemoryStore::new();
    let server = builder().send_buffer(4).store(store.clone()).build().unwrap();
    let mut ada = Line::to(&server).client("/?id=ada").connect().await.unwrap();
    let connection = server.connection("ada").unwrap();
    server.committed().await;
    store.set_faults(|call| if call == StoreCall::Commit { Fault::Lost } else { Fault::None });
    for n in 1..=4 {
        connection.send(&number(n)).unwrap();
    }
    assert_eq!(connection.send(&number(5)), Err(SendError::Full));
    assert_eq!(connection.send_with(&number(5), Overflow::Reject), Err(SendError::Full));
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        assert_eq!(
            connection.send_with(&number(5), overflow),
            Ok(()),
            "{overflow:?}: it may take the place of another"
        );
    }
    store.heal();
    assert!(matches!(within("an event", ada.recv()).await, Some(Event::Message(_) | Event::Gap(_))));
    server.shutdown(secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_frame_arrives_alone() {
    let server = builder().store(MemoryStore::new()).build().unwrap();
    let mut ada = Line::to(&server).client("/?id=ada").connect().await.unwrap();
    let connection = server.connection("ada").unwrap();
    for n in 1..=2 {
        let frame = number(n);
        let (sent, received) = tokio::join!(connection.send_acked(&frame), numbers(&mut ada, 1));
        assert_eq!((sent, received), (Ok(()), vec![n]));
    }
    assert_eq!(server.stats().dropped, 0);
    server.shutdown(secs(5)).await;
}

/// The handler's own commit would have to come first.
#[tokio::test(start_paused = true)]
async fn a_handler_does_not_wait_for_what_it_says_to_arrive() {
    let (told, mut outcome) = tokio::sync::mpsc::unbounded_channel();
    let builder = builder().on_message(move |connection: rejoin_server::Connection, frame: Frame| {
        let told = told.clone();
        async move { told.send(connection.send_acked(&frame).await).unwrap() }
    });
    let server = builder.store(MemoryStore::new()).build().unwrap();
    let ada = Line::to(&server).client("/?id=ada").connect().await.unwrap();
    ada.send(&number(1)).unwrap();
    assert_eq!(within("the outcome", outcome.recv()).await, Some(Err(DeliveryError::WouldDeadlock)));
    server.shutdown(secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_for_capacity_without_asking_the_store() {
    let store = MemoryStore::new();
    let server = builder().send_buffer(2).write_timeout(secs(30)).store(store.clone()).build().unwrap();
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    line.unplug();
    let connection = server.connection("ada").unwrap();
    for n in 1..=2 {
        connection.send_wait(&number(n)).await.unwrap();
        server.committed().await;
    }
    let commits = crate::handover::count(&store, StoreCall::Commit);
    let acked = connection.clone();
    let waits = tokio::spawn(async move { connection.send_wait(&number(3)).await });
    let acked = tokio::spawn(async move { acked.send_acked(&number(3)).await });
    tokio::time::sleep(secs(10)).await;
    assert!(!waits.is_finished() && !acked.is_finished() && commits.load(Ordering::SeqCst) == 0);
    line.plug_in();
    assert_eq!(crate::store::values(&mut ada, 4).await, [1, 2, 3, 3]);
    waits.await.unwrap().unwrap();
    acked.await.unwrap().unwrap();
    server.shutdown(secs(5)).await;
}
