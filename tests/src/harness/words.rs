//! Texts for a client's events, and frames that carry numbers.

use rejoin_client::{Connection, Event, Frame, LostReason};

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
        Event::Disconnected { reason } => format!("dropped: {reason}"),
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
        Event::Closed(closed) => format!("closed: {}", closed.reason),
        other => format!("{other:?}"),
    }
}

pub(super) fn describe_frame(frame: &Frame) -> String {
    match frame.payload() {
        Some(payload) => format!("{} {}", frame.event(), String::from_utf8_lossy(payload.data())),
        None => frame.event().to_owned(),
    }
}
