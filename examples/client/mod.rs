//! A terminal client: sends what you type, prints every event, and reconnects by itself.

use rejoin_client::{Client, ConnectError, Event, Frame, PayloadFormat, SendError, Sender};
use serde_json::json;
use tokio::sync::mpsc;

/// Connects to `url`, with a bearer token if there is one. Sends each line as `say {text}`, and prints every event. An empty line
/// prints the connection's state. Ends when the lines or the connection end.
///
/// # Errors
/// Fails when the first dial fails. Later dials are retried.
pub async fn run(
    url: &str,
    token: Option<&str>,
    lines: mpsc::Receiver<String>,
    print: impl Fn(String) + Clone + Send + 'static,
) -> Result<(), ConnectError> {
    let mut builder = Client::builder(url);
    if let Some(token) = token {
        // Sent with each dial, so it must stay valid for as long as the client should reconnect.
        builder = builder.header("authorization", &format!("Bearer {token}"));
    }
    let mut connection = builder.connect().await?;
    print(standing(&connection.sender()));

    // A separate task, because a full buffer makes it wait, and events must be read meanwhile.
    let typing = tokio::spawn(say(connection.sender(), lines, print.clone()));
    while let Some(event) = connection.recv().await {
        print(describe(&event));
    }
    // `recv` returns `None` at the end. Our own close produces no event, so print the end here.
    let closed = connection.closed().await;
    typing.abort();
    print(format!("-- over: {}; not acknowledged: {}", closed.reason, closed.unacknowledged));
    Ok(())
}

/// Sends each line, and closes the connection after the last one.
async fn say(sender: Sender, mut lines: mpsc::Receiver<String>, print: impl Fn(String)) {
    while let Some(line) = lines.recv().await {
        if line.is_empty() {
            print(standing(&sender));
            continue;
        }
        let frame = Frame::new("say", &json!({ "text": line })).expect("a string can be represented in JSON");
        // Without a socket the frame is kept until there is one. When 256 frames are kept, this waits for capacity.
        match sender.send_wait(&frame).await {
            Ok(()) => {}
            Err(SendError::Closed) => return,
            Err(error) => print(format!("-- not sent: {error}")),
        }
    }
    // First delivers the accepted frames, within the close timeout.
    sender.close().await;
}

fn standing(sender: &Sender) -> String {
    let known = |what: Option<String>| what.unwrap_or_else(|| "somewhere".into());
    format!("-- {:?}: {} in {}", sender.state(), known(sender.id()), known(sender.room()))
}

fn describe(event: &Event) -> String {
    match event {
        Event::Message(frame) => format!("{} {}", frame.event(), payload(frame)),
        Event::Disconnected { reason } => format!("-- disconnected: {reason}"),
        Event::Refused(refusal) => format!("-- refused: {refusal}"),
        Event::Reconnected { .. } => "-- reconnected".into(),
        Event::Gap(gap) => format!("-- gap: the server dropped frames {} to {}", gap.from, gap.to),
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
