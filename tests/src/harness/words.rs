//! Texts for a client's events, and frames that carry numbers.

use rejoin_client::{CloseReason, Connection, DropReason, Event, Frame, LostReason};

/// A frame whose event is `n` and whose payload is this number.
///
/// # Panics
/// Never panics: JSON can represent the number.
pub fn number(n: u64) -> Frame {
    Frame::new("n", &n).expect("JSON can represent a number")
}

/// The numbers in these frames.
///
/// # Panics
/// Panics if a frame carries something else.
pub fn read_numbers(frames: &[Frame]) -> Vec<u64> {
    frames.iter().map(|frame| frame.decode().expect("the payload is a number")).collect()
}

/// The client's next event.
///
/// # Panics
/// Panics if no event comes.
pub async fn next_event(connection: &mut Connection) -> Event {
    super::within("event", connection.recv()).await.expect("the connection has not ended")
}

/// The client's next event as a text: [`describe`].
///
/// # Panics
/// Panics if no event comes.
pub async fn next(connection: &mut Connection) -> String {
    describe(&next_event(connection).await)
}

/// The numbers in the next messages, across drops and restores.
///
/// # Panics
/// Panics if the session is lost or ends, or a gap is reported.
pub async fn numbers(connection: &mut Connection, count: usize) -> Vec<u64> {
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count {
        match next_event(connection).await {
            Event::Message(frame) => numbers.push(frame.decode().expect("the payload is a number")),
            Event::Disconnected { .. } | Event::Reconnected { .. } => {}
            other => panic!("unexpected: {}", describe(&other)),
        }
    }
    numbers
}

/// `message EVENT PAYLOAD`, `dropped: WHY`, `refused: STATUS`, `restored`, `gap 2-3`, `lost WHY [UNACKNOWLEDGED]`, `closed: WHY`.
pub fn describe(event: &Event) -> String {
    match event {
        Event::Message(frame) => format!("message {}", describe_frame(frame)),
        Event::Disconnected { reason } => format!("dropped: {}", drop_words(reason)),
        Event::Refused(refusal) => format!("refused: {}", refusal.status),
        Event::Reconnected { .. } => "restored".into(),
        Event::Gap(gap) => format!("gap {}-{}", gap.from, gap.to),
        Event::SessionLost { reason, unacknowledged, .. } => {
            let why = match reason {
                None => "ended",
                Some(LostReason::Codec) => "codec",
                Some(LostReason::Identity) => "identity",
                Some(_) => "unknown",
            };
            let frames: Vec<_> = unacknowledged.iter().map(describe_frame).collect();
            format!("lost {why} [{}]", frames.join(", "))
        }
        Event::Closed(closed) => format!("closed: {}", client_close_words(&closed.reason)),
        other => format!("{other:?}"),
    }
}

// The words for reasons are labels and details, and not the texts for operators, which may change (`memory/texts.rs`).

/// The label of a drop's reason, or what an I/O error or the peer's close frame says.
pub(super) fn drop_words(reason: &DropReason) -> String {
    match reason {
        DropReason::Io(kind) => kind.to_string(),
        DropReason::Closed(Some(frame)) => format!("closed {frame}"),
        other => other.kind().to_owned(),
    }
}

/// The label of the end of a server's session, with the details that it has.
pub(super) fn close_words(reason: &rejoin_server::CloseReason) -> String {
    use rejoin_server::CloseReason as Reason;
    match reason {
        Reason::TransportLost(why) => format!("transport_lost: {}", drop_words(why)),
        Reason::Protocol(frame) | Reason::Remote(frame) => format!("{} {frame}", reason.kind()),
        other => other.kind().to_owned(),
    }
}

/// The variant of the end of a client, with the details that it has.
fn client_close_words(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Local => "local".into(),
        CloseReason::Remote(frame) => format!("remote {frame}"),
        CloseReason::TakenOver => "taken_over".into(),
        CloseReason::Protocol(frame) => format!("protocol {frame}"),
        CloseReason::Overflow => "overflow".into(),
        CloseReason::TooBig => "too_big".into(),
        CloseReason::Refused(refusal) => format!("refused {}", refusal.status),
        CloseReason::ReconnectDisabled(why) => format!("reconnect_disabled: {}", drop_words(why)),
        other => format!("{other:?}"),
    }
}

pub(super) fn describe_frame(frame: &Frame) -> String {
    match frame.payload() {
        Some(payload) => format!("{} {}", frame.event(), String::from_utf8_lossy(payload.data())),
        None => frame.event().to_owned(),
    }
}
