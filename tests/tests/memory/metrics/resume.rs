//! Hooks for resumes: attempted, refused, takeovers, replayed frames.

use rejoin_server::{Codec, DecodeError, DropReason, DuplicateId, EncodeError, Frame, JsonCodec, Message};
use rejoin_tests::harness::{END_OF_STREAM, Heard, RESET, What, next, number, numbers};
use rejoin_tests::network::{Direction, Line};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{FRAMED, server};
use crate::raw::{self, request};
use crate::{client, millis, secs};

#[tokio::test(start_paused = true)]
async fn drop_and_resume_report_replayed_frames() {
    let (server, mut log, metrics) = server(|builder| builder);
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    server.send("ada", &number(1)).unwrap();
    assert_eq!(numbers(&mut ada, 1).await, [1]);
    metrics.happened();
    line.stall(Direction::ToClient);
    for n in 2..=4 {
        server.send("ada", &number(n)).unwrap();
    }
    tokio::time::sleep(millis(1)).await;
    line.unplug();
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    assert_eq!(metrics.happened(), ["transport dropped: io"]);
    server.send("ada", &number(5)).unwrap();
    tokio::time::sleep(millis(1)).await;
    assert_eq!(metrics.sum("retained_bytes"), 5 * FRAMED);
    assert_eq!(server.stats().retained_bytes as i64, 5 * FRAMED);
    line.plug_in();
    assert_eq!(numbers(&mut ada, 4).await, [2, 3, 4, 5]);
    assert_eq!(metrics.happened(), ["resume attempted", "transport restored"]);
    // The frames 2, 3 and 4 were sent twice.
    assert_eq!((metrics.sum("sent"), metrics.sum("replayed")), (8, 3));
    assert_eq!((metrics.sum("sent_bytes"), metrics.sum("gap_sent")), (8 * FRAMED, 0));
    server.cut("ada").unwrap();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(END_OF_STREAM));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    assert_eq!(metrics.happened(), ["transport dropped: cut", "resume attempted", "transport restored"]);
}

#[tokio::test(start_paused = true)]
async fn takeover_is_reported_between_drop_and_restore() {
    let (server, mut log, metrics) = server(|builder| builder.heartbeat(secs(200), secs(300)));
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").heartbeat(secs(2), secs(5)).connect().await.unwrap();
    log.connected().await;
    metrics.happened();
    line.half_open();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(DropReason::HeartbeatTimeout));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    assert_eq!(
        metrics.happened(),
        ["resume attempted", "transport dropped: taken_over", "takeover", "transport restored"]
    );
}

#[tokio::test(start_paused = true)]
async fn plain_takeover_counts_as_resume_attempt() {
    let (server, mut log, metrics) = server(|builder| builder.duplicate_id(DuplicateId::Resume));
    let line = Line::to(&server);
    let _old = line.client("/?id=ada").plain().connect().await.unwrap();
    log.connected().await;
    assert_eq!(metrics.happened(), ["room created", "connection opened"]);
    let _new = line.client("/?id=ada").plain().connect().await.unwrap();
    assert_eq!(log.next().await, ("ada", What::Dropped(DropReason::TakenOver)));
    assert_eq!(
        metrics.happened(),
        ["resume attempted", "transport dropped: taken_over", "takeover", "transport restored"]
    );
}

#[tokio::test(start_paused = true)]
async fn refused_resume_reports_its_reason() {
    let (server, mut log, metrics) = server(|builder| builder.codec(JsonCodec).codec(OtherJson));
    let line = Line::to(&server);
    let mut socket = raw::dial(&line, "ada", "rejoin.v1.json").await.unwrap();
    let open = raw::read(&mut socket).await;
    let token = raw::token(&open);
    log.connected().await;
    metrics.happened();
    let refused = |why: &str| ["resume attempted".to_owned(), format!("resume refused: {why}")];

    let offer = format!("rejoin.v1.json, rejoin.resume.{token}.99");
    assert_eq!(raw::dial(&line, "ada", &offer).await.err(), Some(400));
    let [attempted, bad_count] = refused("bad_count");
    assert_eq!(metrics.happened(), [attempted, bad_count, "upgrade refused: 400".into()]);

    let offer = format!("rejoin.v1.json2, rejoin.resume.{token}.0");
    let mut open = Vec::new();
    for (id, offer, why) in [
        ("eve", format!("rejoin.v1.json, rejoin.resume.{token}.0"), "identity"),
        ("joe", format!("rejoin.v1.json, rejoin.resume.{}.0", "x".repeat(43)), "unknown"),
        ("ada", offer, "codec"),
    ] {
        let mut socket = raw::dial(&line, id, &offer).await.unwrap();
        assert!(raw::read(&mut socket).await.contains(&format!(r#""lost":"{why}""#)));
        let happened = metrics.happened();
        assert_eq!(happened[..2], refused(why));
        open.push(socket);
        assert_eq!(happened.iter().filter(|what| *what == "connection opened").count(), 1);
    }
}

/// JSON under another codec name.
#[derive(Debug)]
struct OtherJson;

impl Codec for OtherJson {
    fn name(&self) -> &'static str {
        "json2"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        JsonCodec.encode(frame)
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        JsonCodec.decode(message)
    }
}

#[tokio::test(start_paused = true)]
async fn late_socket_reports_refused_resume() {
    let (server, mut log, metrics) = server(|builder| builder);
    let line = Line::to(&server);
    let mut socket = raw::dial(&line, "ada", "rejoin.v1.json").await.unwrap();
    let open = raw::read(&mut socket).await;
    log.connected().await;
    metrics.happened();
    let offer = format!("rejoin.v1.json, rejoin.resume.{}.0", raw::token(&open));

    // Its answer does not fit into the line, so that the server waits until the client reads.
    let narrow = Line::to(&server).with_capacity(16);
    let mut late = narrow.dial().unwrap();
    late.write_all(request("/?id=ada", &offer).as_bytes()).await.unwrap();
    let mut sooner = raw::dial(&line, "ada", &offer).await.unwrap();
    assert!(raw::read(&mut sooner).await.contains(r#""resumed":true"#));
    let mut answer = Vec::new();
    late.read_to_end(&mut answer).await.unwrap();
    let taken_over = ["transport dropped: taken_over", "takeover", "transport restored"].map(str::to_owned);
    let happened = metrics.happened();
    assert_eq!(happened[..2], ["resume attempted", "resume attempted"]);
    assert_eq!(happened[2..5], taken_over);
    assert_eq!(happened[5..], ["resume refused: overtaken"]);

    let mut late = narrow.dial().unwrap();
    late.write_all(request("/?id=ada", &offer).as_bytes()).await.unwrap();
    tokio::time::sleep(millis(1)).await;
    server.kick("ada").await.unwrap();
    let mut answer = Vec::new();
    late.read_to_end(&mut answer).await.unwrap();
    let happened = metrics.happened();
    assert_eq!(happened.first().unwrap(), "resume attempted");
    assert_eq!(happened.last().unwrap(), "resume refused: ended");
    assert!(happened.iter().any(|what| what.ends_with(": kicked")), "{happened:?}");
}

#[tokio::test(start_paused = true)]
async fn outdated_resume_count_reports_refused_resume() {
    let (server, mut log, metrics) = server(|builder| builder);
    let line = Line::to(&server);
    let mut socket = raw::dial(&line, "ada", "rejoin.v1.json").await.unwrap();
    let open = raw::read(&mut socket).await;
    log.connected().await;
    server.send("ada", &number(1)).unwrap();
    raw::read(&mut socket).await;
    // The answer does not fit into the line, so that the server waits until the client reads.
    let mut late = Line::to(&server).with_capacity(16).dial().unwrap();
    let offer = format!("rejoin.v1.json, rejoin.resume.{}.0", raw::token(&open));
    late.write_all(request("/?id=ada", &offer).as_bytes()).await.unwrap();
    tokio::time::sleep(millis(1)).await;
    raw::write(&mut socket, r#"{"event":"$ack","payload":1}"#).await;
    tokio::time::sleep(millis(1)).await;
    metrics.happened();
    let mut answer = Vec::new();
    late.read_to_end(&mut answer).await.unwrap();
    let close = b"\x03\xeaacknowledged less than before";
    assert!(answer.ends_with(close), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(metrics.happened(), ["resume refused: bad_count"]);
    assert!(server.connection("ada").unwrap().is_attached(), "the session stays as it is");
}
