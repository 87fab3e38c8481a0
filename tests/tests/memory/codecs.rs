//! Connections with different formats in one room: each gets the same value in its own format.

use rejoin_client::{Connection, Event, Frame, JsonCodec, MsgpackCodec, Payload, PayloadFormat};
use rejoin_server::Server;
use rejoin_tests::harness::{Heard, RESET, Recorder, What, next, next_event, number, numbers};
use rejoin_tests::network::Line;
use serde_json::{Value, json};

use crate::{client, server};

/// A server with both codecs, and a recorder of its callbacks.
fn bilingual_server() -> (Server, Recorder) {
    server(|builder| builder.codec(JsonCodec).codec(MsgpackCodec))
}

async fn msgpack_client(server: &Server, log: &mut Recorder, id: &str) -> (Connection, Line) {
    let line = Line::to(server);
    let connection = line.client(&format!("/?id={id}")).codec(MsgpackCodec).connect().await.unwrap();
    assert_eq!(log.next().await, (id, What::Connected));
    (connection, line)
}

async fn payload(connection: &mut Connection) -> Payload {
    let Event::Message(frame) = next_event(connection).await else { panic!("no message") };
    frame.payload().unwrap().clone()
}

async fn heard_by_server(log: &mut Recorder) -> Frame {
    let What::Message(frame) = log.next().await.what else { panic!("no message") };
    frame
}

#[tokio::test(start_paused = true)]
async fn each_member_gets_the_value_in_its_format() {
    let (server, mut log) = bilingual_server();
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let (mut ben, _) = msgpack_client(&server, &mut log, "ben").await;
    let value = json!({"to": [1, -1.5, u64::MAX], "who": "ä\n", "none": null});
    for frame in [Frame::new("move", &value).unwrap(), Frame::msgpack("move", &value).unwrap()] {
        assert_eq!(server.broadcast("room", &frame), Ok(2));
        let (of_ada, of_ben) = (payload(&mut ada).await, payload(&mut ben).await);
        assert_eq!(of_ada.format(), PayloadFormat::Json);
        assert_eq!(of_ben.format(), PayloadFormat::Msgpack);
        assert_eq!(of_ada.decode::<Value>().unwrap(), value);
        assert_eq!(of_ben.decode::<Value>().unwrap(), value);
    }
    let bytes = Frame::event_only("picture").with_payload(Payload::bytes(vec![0xff; 1000]));
    server.broadcast("room", &bytes).unwrap();
    assert_eq!(payload(&mut ada).await.to_bytes().unwrap(), vec![0xff; 1000]);
    assert_eq!(payload(&mut ben).await, Payload::bytes(vec![0xff; 1000]));
}

#[tokio::test(start_paused = true)]
async fn members_with_different_codecs_understand_each_other() {
    let (server, mut log) = bilingual_server();
    let (ada, _) = client(&server, &mut log, "ada").await;
    let (mut ben, _) = msgpack_client(&server, &mut log, "ben").await;
    ben.send(&Frame::new("n", &json!({"x": [1.0, 2]})).unwrap()).unwrap();
    let frame = heard_by_server(&mut log).await;
    assert_eq!(frame.payload().unwrap().format(), PayloadFormat::Msgpack);
    assert_eq!(frame.decode::<Value>().unwrap(), json!({"x": [1.0, 2]}));
    ada.send(&frame).unwrap();
    let back = heard_by_server(&mut log).await;
    assert_eq!(back.payload().unwrap().data(), r#"{"x":[1.0,2]}"#);
    server.send("ben", &back).unwrap();
    assert_eq!(payload(&mut ben).await, *frame.payload().unwrap());
}

//= PROTOCOL.md#2-frames
#[tokio::test(start_paused = true)]
async fn unrepresentable_value_is_a_gap_for_some() {
    let (server, mut log) = bilingual_server();
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let (mut ben, _) = msgpack_client(&server, &mut log, "ben").await;
    let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
    let deep = Frame::event_only("deep").with_payload(Payload::json_text(&deep).unwrap());
    assert_eq!(server.broadcast("room", &deep), Ok(1));
    assert_eq!(server.broadcast("room", &number(2)), Ok(2));
    assert_eq!(next(&mut ada).await, Heard::Message(deep));
    assert_eq!(next(&mut ada).await, Heard::Message(number(2)));
    assert_eq!(next(&mut ben).await, Heard::gap(1, 1));
    assert_eq!(numbers(&mut ben, 1).await, [2]);
    assert_eq!(server.stats().dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn messagepack_session_resumes() {
    let (server, mut log) = bilingual_server();
    let (mut ben, line) = msgpack_client(&server, &mut log, "ben").await;
    server.send("ben", &number(1)).unwrap();
    assert_eq!(numbers(&mut ben, 1).await, [1]);
    line.unplug();
    assert_eq!(log.next().await, ("ben", What::Dropped(RESET)));
    for n in 2..=200 {
        server.send("ben", &number(n)).unwrap();
        ben.send(&number(n)).unwrap();
    }
    line.plug_in();
    assert_eq!(numbers(&mut ben, 199).await, (2..=200).collect::<Vec<_>>());
    assert_eq!(log.numbers_over_drops(199).await, (2..=200).collect::<Vec<_>>());
    assert_eq!(server.stats().resumed, 1);
}
