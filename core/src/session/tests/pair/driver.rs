//! The work of the drivers: writing, delivering and settling.

use std::io;
use std::time::Instant;

use super::super::frame_of;
use super::super::socket::{Item, other};
use super::Pair;
use crate::session::*;
use crate::{CloseFrame, Control, Frame};

impl Pair {
    /// `side` writes everything that it has for its socket.
    pub(in super::super) fn write(&mut self, side: Side) {
        for socket in 0..self.sockets.len() {
            while self.write_one(socket, side) {}
        }
        self.settle();
    }

    fn write_one(&mut self, socket: usize, side: Side) -> bool {
        let now = self.now;
        let end = self.sockets[socket].end(side);
        if end.left || end.gone {
            return false;
        }
        let epoch = end.epoch;
        let session = self.owner(socket, side);
        let Some(transmit) = next_transmit(session, epoch, now) else {
            return false;
        };
        let frames = match &transmit {
            Transmit::Data(_) => 1,
            Transmit::Batch(batch) => batch.ends.len(),
            _ => 0,
        };
        session.handle_written(epoch, frames, 2000, None, now);
        let item = match transmit {
            Transmit::Batch(batch) => {
                for message in batch.frames() {
                    self.put(socket, side, Item::Frame(frame_of(Transmit::Data(message))));
                }
                return true;
            }
            Transmit::Ping => Item::Ping,
            Transmit::Close(frame) => {
                self.sockets[socket].end(side).left = true;
                Item::Close(Some(frame))
            }
            transmit => Item::Frame(frame_of(transmit)),
        };
        self.put(socket, side, item);
        true
    }

    /// Puts an item in transit from `side`, whether or not its session sent it.
    pub(in super::super) fn put(&mut self, socket: usize, side: Side, item: Item) {
        let to = self.sockets[socket].end(other(side));
        if !to.gone {
            to.arriving.push_back(item);
        }
    }

    /// Forges a frame: it arrives behind everything else at the other end of the newest socket, as if `side` had sent it.
    pub(in super::super) fn forge(&mut self, side: Side, frame: Frame) {
        let socket = self.sockets.len() - 1;
        self.put(socket, side, Item::Frame(frame));
        self.deliver(other(side), usize::MAX);
    }

    /// Up to `count` items arrive at `side` on the newest socket. Returns the number of items.
    pub(in super::super) fn deliver(&mut self, side: Side, count: usize) -> usize {
        self.sockets.len().checked_sub(1).map_or(0, |socket| self.deliver_on(socket, side, count))
    }

    pub(in super::super) fn deliver_on(&mut self, socket: usize, side: Side, count: usize) -> usize {
        for done in 0..count {
            // A driver reads on from a detached socket until it notices.
            let reads = self.owner(socket, side).wants_read() || self.sockets[socket].end(side).left;
            let item = self.sockets[socket].end(side).arriving.pop_front();
            match item {
                Some(item) if reads => self.arrive(socket, side, item),
                Some(item) => {
                    self.sockets[socket].end(side).arriving.push_front(item);
                    return done;
                }
                None => return done,
            }
        }
        count
    }

    fn arrive(&mut self, socket: usize, side: Side, item: Item) {
        let (epoch, now) = (self.sockets[socket].end(side).epoch, self.now);
        let session = self.owner(socket, side);
        if item != Item::End {
            session.handle_activity(epoch, now);
        }
        match item {
            Item::Frame(frame) => {
                let size = frame.event().len();
                if let Err(violation) = session.handle_frame(epoch, frame, size, now) {
                    session.handle_violation(epoch, CloseFrame::truncated(1002, violation.to_string()));
                }
            }
            Item::Ping => self.put(socket, side, Item::Pong),
            Item::Pong => {}
            Item::Close(frame) => {
                let (ack, answer) = session.handle_close(epoch, frame, now);
                if !std::mem::replace(&mut self.sockets[socket].end(side).left, true) {
                    if let Some(count) = ack {
                        let ack = frame_of(Transmit::Control(Control::Ack(count)));
                        self.put(socket, side, Item::Frame(ack));
                    }
                    self.put(socket, side, Item::Close(answer));
                } else {
                    assert_eq!(ack, None, "nothing can follow a close frame");
                }
                self.sockets[socket].end(side).gone = true;
            }
            Item::End => {
                let why = DropReason::Io(io::ErrorKind::UnexpectedEof);
                session.handle_lost(epoch, why, now);
                self.sockets[socket].end(side).gone = true;
            }
        }
        self.settle();
    }

    /// Every end checks whether it is still attached, as a driver does after each event.
    pub(in super::super) fn settle(&mut self) {
        for socket in 0..self.sockets.len() {
            for side in [Side::Server, Side::Client] {
                let epoch = self.sockets[socket].end(side).epoch;
                let standing = self.owner(socket, side).attachment_state(epoch);
                let end = self.sockets[socket].end(side);
                let writes = !end.left && !end.gone;
                match standing {
                    AttachmentState::Attached => {}
                    AttachmentState::Leave(frame) if writes => {
                        end.left = true;
                        if let Some(count) = self.owner(socket, side).take_last_ack(epoch) {
                            let ack = frame_of(Transmit::Control(Control::Ack(count)));
                            self.put(socket, side, Item::Frame(ack));
                        }
                        self.put(socket, side, Item::Close(Some(frame)));
                    }
                    AttachmentState::Gone if writes => {
                        end.left = true;
                        end.gone = true;
                        end.arriving.clear();
                        self.put(socket, side, Item::End);
                    }
                    AttachmentState::Leave(_) | AttachmentState::Gone => {}
                }
            }
        }
        self.sockets.retain(|socket| !(socket.server.gone && socket.client.gone));
    }

    /// Writes and delivers everything, until nothing moves any more.
    pub(in super::super) fn run(&mut self) {
        for _ in 0..100_000 {
            self.write(Side::Server);
            self.write(Side::Client);
            let mut moved = 0;
            for side in [Side::Server, Side::Client] {
                // Index from the back: settling an older socket may remove sockets, so look up each index again.
                for back in (1..=self.sockets.len()).rev() {
                    if let Some(socket) = self.sockets.len().checked_sub(back) {
                        moved += self.deliver_on(socket, side, 1);
                    }
                }
            }
            if moved == 0 {
                return;
            }
        }
        panic!("something moves again and again");
    }
}

/// Takes the next item to write, as a driver does.
fn next_transmit(session: &mut Session, epoch: Epoch, now: Instant) -> Option<Transmit> {
    let before = session.clone();
    let Some(message) = session.poll_lone(epoch, now).cloned() else {
        return session.poll_transmit(epoch, now);
    };
    let mut other = before;
    let lent = Some(Transmit::Data(message));
    assert_eq!(other.poll_transmit(epoch, now), lent, "the message is due");
    assert_eq!(other.poll_transmit(epoch, now), None, "and nothing else is");
    assert_eq!(other.counts(), session.counts());
    lent
}
