//! A server performs the exchange at the end of PROTOCOL.md.

use futures_util::{SinkExt as _, StreamExt as _};
use rejoin_server::{CloseReason, Frame, Overflow};
use rejoin_tests::harness::{What, within};
use rejoin_tests::network::Line;
use rejoin_tests::protocol::root;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::{raw, server};

/// The steps of the exchange: the arrow `-->`, `<--` or `-x>`, and the text that is sent.
fn steps() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(root().join("PROTOCOL.md")).unwrap();
    let (_, exchange) = page.split_once("## An exchange from open to close").unwrap();
    let (_, exchange) = exchange.split_once("```text\n").unwrap();
    let (exchange, _) = exchange.split_once("```").unwrap();
    let mut steps: Vec<(String, String)> = Vec::new();
    for line in exchange.lines() {
        if let Some((arrow @ ("-->" | "<--" | "-x>"), sent)) = line.split_once(' ') {
            steps.push((arrow.to_owned(), sent.to_owned()));
        } else if line.starts_with("    ") {
            let (_, sent) = steps.last_mut().unwrap();
            sent.push('\n');
            sent.push_str(line.trim_start());
        }
    }
    steps
}

fn say(word: &str) -> Frame {
    Frame::new("say", word).unwrap()
}

#[tokio::test(start_paused = true)]
async fn server_performs_the_exchange_in_protocol_md() {
    let (server, mut log) = server(|builder| builder.send_buffer(4).overflow(Overflow::DropOldest));
    let line = Line::to(&server);
    let mut socket = None;
    let mut token = None::<String>;
    let mut words = ["A", "B", "C", "D", "E", "F", "G"].into_iter();
    for (arrow, sent) in steps() {
        let sent = token.as_ref().map_or_else(|| sent.clone(), |token| sent.replace("TOKEN", token));
        match (&*arrow, &*sent) {
            ("-->", request) if request.starts_with("GET ") => {
                let (_, protocols) = request.split_once("Sec-WebSocket-Protocol: ").unwrap();
                socket = Some(raw::dial(&line, "ada", protocols).await.unwrap());
                let is_first = token.is_none();
                assert_eq!(log.next().await.what, if is_first { What::Connected } else { What::Restored });
            }
            ("<--", answer) if answer.starts_with("HTTP/1.1 101 ") => {}
            ("-x>", _) => {
                socket = None;
                log.dropped("ada").await;
                for word in words.by_ref() {
                    server.send("ada", &say(word)).unwrap();
                }
            }
            ("-->", "close 1000") => {
                let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                socket.as_mut().unwrap().send(Message::Close(Some(frame))).await.unwrap();
            }
            ("<--", "close 1000") => {
                let message = within("close frame", socket.as_mut().unwrap().next()).await.unwrap().unwrap();
                let Message::Close(Some(frame)) = message else { panic!("{message:?}") };
                assert_eq!(u16::from(frame.code), 1000);
            }
            ("-->", frame) => {
                raw::write(socket.as_mut().unwrap(), frame).await;
                if !frame.contains('$') {
                    let What::Message(frame) = log.next().await.what else { panic!("no message") };
                    assert_eq!(frame.event(), "say");
                }
            }
            (_, frame) => {
                if frame.contains(r#""say""#) && words.len() == 7 {
                    server.send("ada", &say(words.next().unwrap())).unwrap();
                }
                let read = raw::read(socket.as_mut().unwrap()).await;
                let token = token.get_or_insert_with(|| raw::token(&read).to_owned());
                let expected: Value = serde_json::from_str(&frame.replace("TOKEN", token)).unwrap();
                assert_eq!(serde_json::from_str::<Value>(&read).unwrap(), expected);
            }
        }
    }
    assert_eq!(log.next().await.what, What::Disconnected(CloseReason::Normal));
}
