//! Log lines carry the span of their session, and never contain tokens, payloads or queries.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod capture;
mod refusals;
mod sessions;

use capture::{Captured, Tapped};
use rejoin_client::{Client, Event, Frame};
use rejoin_tests::harness::{next_event, secs};
use rejoin_tests::network::Line;

/// Contained in every payload, and in the client's query.
const SECRET: &str = "the-payload-is-nobodys-business";

/// A client with this ID on this line; the bytes that it receives are captured.
async fn client(line: &Line, id: &str, wire: &Captured) -> rejoin_client::Connection {
    let (line, captured) = (line.clone(), wire.clone());
    let builder = Client::builder(format!("ws://server.test/?id={id}&auth={SECRET}")).seed(1);
    let builder = builder.heartbeat(secs(2), secs(5)).max_retries(3);
    let builder = builder.connector(move || {
        let stream = line.dial();
        let captured = captured.clone();
        async move { Ok(Tapped { io: stream?, captured }) }
    });
    builder.connect().await.unwrap()
}

fn secret(n: u64) -> Frame {
    Frame::new("secret", &(n, SECRET)).unwrap()
}

async fn gets(client: &mut rejoin_client::Connection, count: usize) {
    for _ in 0..count {
        let event = next_event(client).await;
        assert!(matches!(&event, Event::Message(_)), "{event:?}");
    }
}

/// The tokens in the bytes that clients have received.
fn tokens(wire: &Captured) -> Vec<String> {
    let text = wire.text();
    let found = text.split(r#""session":""#).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    found.collect()
}

/// The lines in one session's span, without the span.
fn of_session(lines: &[String], id: &str) -> Vec<String> {
    let span = format!(r#"session{{id="{id}" room="room"}}: rejoin_server::"#);
    let rest = lines.iter().filter_map(|line| line.split_once(&span)).map(|(_, rest)| rest);
    rest.map(|rest| rest.split_once(": ").unwrap().1.to_owned()).collect()
}

/// Checks that the log contains neither a token nor a payload nor a query.
fn assert_no_secret(captured: &Captured, wire: &Captured, openings: usize) {
    let (tokens, text) = (tokens(wire), captured.text());
    assert!(tokens.len() >= openings, "{tokens:?}");
    for secret in tokens.iter().map(String::as_str).chain([SECRET, "auth="]) {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
}
