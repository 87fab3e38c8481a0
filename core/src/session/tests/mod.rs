//! Two sessions, scripted sockets and a simulated clock.

mod oracle;
mod pair;
mod socket;

mod ahead;
mod asking;
mod backpressure;
mod close_codes;
mod closing;
mod committing;
mod counting;
mod credentials;
mod dismissal;
mod ending;
mod heartbeat;
mod inbound;
mod opening;
mod plain;
mod questions;
mod questions_random;
mod resuming;
mod revived;
mod rewinding;
mod sizes;

mod random;
mod snapshot;
mod volatile;
mod walk;

use std::time::Duration;

use bytes::Bytes;

use crate::{Control, Event, Frame, Payload, PayloadFormat, Transmit};

/// Prefix of each session's token, without the session's number.
const TOKEN: &str = "abcdefghijklmnopqrstuv";

const SECOND: Duration = Duration::from_secs(1);

/// Represents a message on the wire: its text is the event of a frame.
fn frame_of(transmit: Transmit) -> Frame {
    match transmit {
        Transmit::Data(message) | Transmit::Volatile(message) => {
            data(std::str::from_utf8(&message).expect("messages are texts"))
        }
        Transmit::Control(control) => {
            let frame = Frame::event_only(control.event());
            match control.json() {
                Some(json) => frame.with_payload(Payload::from_parts(PayloadFormat::Json, json)),
                None => frame,
            }
        }
        Transmit::Ping | Transmit::Close(_) | Transmit::Batch(_) => {
            unreachable!("not a frame of the session's own")
        }
    }
}

/// A data frame. Its first character may make it a question or an answer (see [`questions`]), or volatile (see [`volatile`]).
fn data(text: &str) -> Frame {
    let frame = Frame::event_only(text);
    match (text.get(..1), text.get(1..)) {
        (Some("?"), Some(id)) => frame.with_id(id),
        (Some("="), Some(re)) => frame.with_re(re),
        (Some("+"), Some(re)) => frame.with_re(re).with_more(true),
        (Some("~"), _) => frame.with_volatile(true),
        _ => frame,
    }
}

fn control(control: Control) -> Frame {
    frame_of(Transmit::Control(control))
}

/// A control frame with an arbitrary payload, or none.
fn raw_control(event: &str, json: &str) -> Frame {
    match json {
        "" => Frame::event_only(event),
        json => Frame::event_only(event).with_payload(Payload::json_text(json).unwrap()),
    }
}

/// An event as scripts write it.
fn text_of(event: &Event) -> String {
    match event {
        Event::Connected => "connected".to_owned(),
        Event::Message(frame) => frame.event().to_owned(),
        Event::Dropped(_) => "dropped".to_owned(),
        Event::Restored => "restored".to_owned(),
        Event::Gap(gap) => format!("gap {}-{}", gap.from, gap.to),
        Event::Lost { unacknowledged, dropped, .. } => {
            format!("lost {} and {dropped}", texts(unacknowledged).join(" "))
        }
        Event::Closed(reason) => format!("closed: {reason}"),
    }
}

fn texts(messages: &[Bytes]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8_lossy(message).into_owned()).collect()
}
