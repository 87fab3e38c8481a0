//! [`Record`]: what one application did and saw in one session.

use crate::session::*;

/// The application of one side in one session.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    pub(super) accepted: Vec<String>,
    /// Number of the peer's messages that it has seen or that were reported to it as missing.
    pub(super) seen: usize,
    pub(super) missed: u64,
    pub(super) life: Life,
}

/// The state of a connection as events have reported it to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Life {
    #[default]
    Before,
    Connected,
    Dropped,
    After,
}

impl Life {
    pub(super) fn step(&mut self, event: &Event) {
        let next = match (*self, event) {
            (Self::Before, Event::Connected) | (Self::Dropped, Event::Restored) => Self::Connected,
            (Self::Connected, Event::Message(_) | Event::Gap(_)) => Self::Connected,
            (Self::Connected, Event::Dropped(_)) => Self::Dropped,
            (Self::Dropped, Event::Lost { .. }) => Self::Dropped,
            (Self::Before | Self::Connected | Self::Dropped, Event::Closed(_)) => Self::After,
            (life, event) => panic!("{event:?} cannot come after {life:?}"),
        };
        *self = next;
    }
}

impl Record {
    /// Records `event`; `peer` lists the messages that the peer accepted.
    pub(super) fn saw(&mut self, event: &Event, peer: &[String]) {
        match event {
            Event::Message(frame) => {
                let expected = peer.get(self.seen).map(String::as_str);
                assert_eq!(Some(frame.event()), expected, "the next, once");
                self.seen += 1;
            }
            Event::Gap(gap) => {
                assert_eq!(gap.from, self.seen as u64 + 1, "a gap follows the seen frames");
                self.seen = usize::try_from(gap.to).unwrap();
                self.missed += gap.frames();
                assert!(self.seen <= peer.len(), "only accepted frames can be missing");
            }
            _ => {}
        }
    }
}
