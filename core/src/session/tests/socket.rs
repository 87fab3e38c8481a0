//! [`TestSocket`]: a socket, modelled as two queues of items in transit.

use std::collections::VecDeque;

use crate::session::*;
use crate::{CloseFrame, Frame};

/// An item in transit, in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Frame(Frame),
    Ping,
    Pong,
    Close(Option<CloseFrame>),
    /// The other end has dropped the socket.
    End,
}

impl Item {
    /// The item as scripts write it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Frame(frame) => match frame.payload() {
                Some(payload) if frame.event() != "$open" => {
                    format!("{} {}", frame.event(), String::from_utf8_lossy(payload.data()))
                }
                _ => frame.event().to_owned(),
            },
            Self::Ping => "ping".to_owned(),
            Self::Pong => "pong".to_owned(),
            Self::Close(Some(frame)) => format!("close {frame}"),
            Self::Close(None) => "close".to_owned(),
            Self::End => "end".to_owned(),
        }
    }
}

/// One end of a socket.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) epoch: Epoch,
    /// Items in transit to this end.
    pub(super) arriving: VecDeque<Item>,
    /// This end has written its close frame, or was detached: it writes no more.
    pub(super) left: bool,
    /// This end has dropped the socket: it reads no more.
    pub(super) gone: bool,
}

impl End {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { epoch, arriving: VecDeque::new(), left: false, gone: false }
    }
}

/// A socket between the client and one of the server's sessions.
#[derive(Debug, Clone)]
pub(super) struct TestSocket {
    /// Index of the server session that owns it.
    pub(super) session: usize,
    pub(super) server: End,
    pub(super) client: End,
}

impl TestSocket {
    pub(super) fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Server => &mut self.server,
            Side::Client => &mut self.client,
        }
    }
}

pub(super) fn other(side: Side) -> Side {
    match side {
        Side::Server => Side::Client,
        Side::Client => Side::Server,
    }
}
