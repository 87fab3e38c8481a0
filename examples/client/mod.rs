//! A client for a terminal: it says what is typed, prints what it is told, and comes back by itself.

use rejoin_client::{Client, ConnectError, Event, Frame, PayloadFormat, SendError, Sender};
use serde_json::json;
use tokio::sync::mpsc;

/// Connects to `url`, with a bearer token where there is one; sends each line as `say {text}`, and prints all that happens.
/// An empty line prints where the connection stands. Ends when the lines do, or the connection.
///
/// # Errors
/// Fails when the first dial does. Later ones are tried again.
pub async fn run(
    url: &str,
    token: Option<&str>,
    lines: mpsc::Receiver<String>,
    print: impl Fn(String) + Clone + Send + 'static,
) -> Result<(), ConnectError> {
    let mut builder = Client::builder(url);
    if let Some(token) = token {
        // Sent with each dial: where tokens expire, choose one that holds for as long as it is to come back.
        builder = builder.header("authorization", &format!("Bearer {token}"));
    }
    let mut connection = builder.connect().await?;
    print(standing(&connection));

    // In a task of its own, as a full buffer makes it wait: what the server says is to be read meanwhile.
    let typing = tokio::spawn(say(connection.sender(), lines, print.clone()));
    while let Some(event) = connection.recv().await {
        print(describe(&event));
    }
    // Nothing more comes: the server has ended it, or we have. An end of our own is no event.
    let closed = connection.closed().await;
    typing.abort();
    print(format!("-- over: {}; not acknowledged: {}", closed.reason, closed.unacknowledged));
    Ok(())
}

/// Sends what is typed, and closes the connection when nothing more can come.
async fn say(sender: Sender, mut lines: mpsc::Receiver<String>, print: impl Fn(String)) {
    while let Some(line) = lines.recv().await {
        if line.is_empty() {
            print(standing(&sender));
            continue;
        }
        let frame = Frame::new("say", &json!({ "text": line })).expect("a string has an image in JSON");
        // While there is no socket it is kept, and leaves when there is one. Once 256 are, this waits for room.
        match sender.send_wait(&frame).await {
            Ok(()) => {}
            Err(SendError::Closed) => return,
            Err(error) => print(format!("-- not sent: {error}")),
        }
    }
    // Delivers what was accepted first, within the close timeout.
    sender.close().await;
}

fn standing(sender: &Sender) -> String {
    let known = |what: Option<String>| what.unwrap_or_else(|| "somewhere".into());
    format!("-- {:?}: {} in {}", sender.state(), known(sender.id()), known(sender.room()))
}

fn describe(event: &Event) -> String {
    match event {
        Event::Message(frame) => format!("{} {}", frame.event(), payload(frame)),
        Event::Dropped { reason } => format!("-- dropped: {reason}"),
        Event::Refused(refusal) => format!("-- refused: {refusal}"),
        Event::Restored => "-- restored".into(),
        Event::Gap(gap) => format!("-- gap: the server gave up frames {} to {}", gap.from, gap.to),
        Event::SessionLost { reason, unacknowledged, .. } => {
            let why = reason.map_or_else(|| "the server had ended it".into(), |reason| format!("{reason:?}"));
            format!("-- session lost ({why}); perhaps not delivered: {}", unacknowledged.len())
        }
        Event::Closed(closed) => format!("-- closed: {}", closed.reason),
        other => format!("-- {other:?}"),
    }
}

fn payload(frame: &Frame) -> String {
    match frame.payload() {
        None => String::new(),
        Some(payload) if payload.format() == PayloadFormat::Json => {
            String::from_utf8_lossy(payload.data()).into_owned()
        }
        Some(payload) => format!("{payload:?}"),
    }
}
