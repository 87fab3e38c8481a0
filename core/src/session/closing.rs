//! How a session ends, initiated by us or by the peer.

use std::time::{Duration, Instant};

use crate::{CloseFrame, Control};

use super::pending_close::Closing;
use super::span::Span;
use super::state::Step;
use super::{
    Answer, CloseReason, DropReason, Epoch, Event, Mode, Reconnect, Session, SessionState, Side, Transmit,
};

impl Session {
    /// Closes the session: frames are no longer accepted or counted, accepted frames are delivered, then the close frame is
    /// written and answered. The session ends at `deadline` even if frames are undelivered.
    pub fn close(&mut self, reason: CloseReason, deadline: Instant) {
        if let Some(closing) = &mut self.closing {
            // A server shutdown may allow less time than the application did.
            closing.deadline = closing.deadline.min(deadline);
        }
        if !self.is_open() {
            return;
        }
        if reason.discards_events() {
            self.discard_events();
        }
        self.ahead = None;
        // Answers that arrive from now on are not counted.
        self.end_questions(&Answer::Ended);
        self.closing = Some(Box::new(Closing { reason, deadline, sent: false }));
        if self.state != SessionState::Connected && self.send_buffer.unacknowledged() == 0 {
            self.end_closing();
        }
    }

    /// If we are closing, returns the last `$ack`, then the close frame. Called when nothing else is left to write.
    pub(super) fn transmit_close(&mut self) -> Option<Transmit> {
        self.closing.as_ref()?;
        if let Some(count) = self.last_ack() {
            return Some(Transmit::Control(Control::Ack(count)));
        }
        let closing = self.closing.as_mut()?;
        closing.sent = true;
        Some(Transmit::Close(closing.reason.close_frame()))
    }

    /// The acknowledgement that is still due before a close frame, if the peer can receive one.
    fn last_ack(&mut self) -> Option<u64> {
        self.owes_ack().then(|| self.report_received())
    }

    /// Whether such an acknowledgement is due.
    //= PROTOCOL.md#R7.6: it MUST acknowledge what it has received if it still can
    pub(super) fn owes_ack(&self) -> bool {
        let speaks = self.config.mode == Mode::Session && self.opened && !self.close_sent();
        speaks && (self.receiver.has_unreported() || self.asked)
    }

    /// Marks all received frames that may be acknowledged as reported to the peer, and returns their count.
    pub(super) fn report_received(&mut self) -> u64 {
        self.asked = false;
        self.receiver.report();
        self.reportable()
    }

    /// Whether our close frame was sent to the attached socket; nothing may follow it.
    pub(super) fn close_sent(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.sent)
    }

    /// Handles a close frame from the peer. Returns the last `$ack` to write, if any, and the close frame to write after it;
    /// `None` is an empty close frame.
    pub fn handle_close(
        &mut self,
        epoch: Epoch,
        frame: Option<CloseFrame>,
        now: Instant,
    ) -> (Option<u64>, Option<CloseFrame>) {
        let answer = frame.as_ref().map(|frame| CloseFrame::truncated(frame.code, ""));
        if epoch != self.epoch || self.state != SessionState::Connected {
            return (None, answer);
        }
        if self.answers_ours(frame.as_ref()) {
            if self.config.mode == Mode::Plain {
                // The peer read everything before our close frame before it answered. In session mode only its `$ack`s count.
                self.send_buffer.acknowledge(self.send_buffer.accepted()).ok();
            }
            self.end_closing();
            return (None, answer);
        }
        let end = end_by(self.config.side, frame.as_ref());
        // Deliver the frames that arrived before the close frame.
        if end.is_none() && self.outlives_socket() {
            self.count_before_suspension();
        } else {
            self.count_all_ahead();
        }
        let ack = self.last_ack();
        if self.config.side == Side::Client {
            self.apply_close(frame.as_ref(), end.is_some());
        }
        match end {
            Some(reason) => self.end(reason),
            None => self.suspend(DropReason::Closed(frame), now),
        }
        (ack, answer)
    }

    /// Whether a close frame from the peer answers ours: it has our code, or none.
    fn answers_ours(&self, frame: Option<&CloseFrame>) -> bool {
        self.closing.as_ref().is_some_and(|closing| {
            let ours = closing.reason.close_frame().code;
            closing.sent && frame.is_none_or(|frame| frame.code == ours)
        })
    }

    /// Counts read-ahead frames before a suspension, up to the most that one socket can leave. Without this limit, a peer that
    /// closes and resumes repeatedly could grow the event queue without bound.
    pub(super) fn count_before_suspension(&mut self) {
        let frames = self.config.inbox_frames.saturating_add(self.peer_buffer as usize);
        // A full event queue, one message that exceeds it, and the same amount of read-ahead frames.
        self.count_ahead(frames, self.config.inbox_bytes.saturating_mul(3));
    }

    /// Client: applies the server's close frame to its reconnects.
    fn apply_close(&mut self, frame: Option<&CloseFrame>, is_end: bool) {
        let Some(frame) = frame else {
            return;
        };
        //= PROTOCOL.md#R7.1: 1001 `server shutting down`
        let has_ended = frame.code == 1011 || *frame == CloseReason::ServerClosed.close_frame();
        if has_ended && !self.retired {
            self.retired = true;
            self.lost = None;
        }
        if is_end {
            self.reconnect = Reconnect::Never;
        } else if frame.code == 1012
            && let Some(delay) = retry_delay(&frame.reason)
        {
            self.reconnect = Reconnect::After(delay);
        }
    }

    /// Ends the session now. An attached socket is closed with the reason's close frame.
    pub fn end(&mut self, reason: CloseReason) {
        let Some(state) = self.state.after(Step::End) else {
            return;
        };
        self.state = state;
        let reason = match self.closing.take() {
            Some(closing) if closing.reason.prevails_over(&reason) => closing.reason,
            _ => reason,
        };
        if reason.discards_events() {
            self.discard_events();
        }
        self.ahead = None;
        self.end_questions(&Answer::Ended);
        self.drop_socket_state();
        self.send_buffer.end_deliveries();
        if self.config.side == Side::Server {
            // Frees the frames, because handles may outlive the session. Only a client's application can still ask for them.
            let abandoned = self.send_buffer.abandon();
            if self.config.keeps_expired && reason == CloseReason::WindowExpired {
                let messages: Vec<_> = abandoned.into_iter().flat_map(Span::into_messages).collect();
                if !messages.is_empty() {
                    self.rare.get_or_insert_default().expired = messages;
                }
            }
        }
        self.ended = Some(Box::new(reason.clone()));
        self.events.push(Event::Closed(reason));
    }

    /// Completes a pending close: either nothing is left to deliver, or time is up.
    pub(super) fn end_closing(&mut self) {
        if let Some(closing) = self.closing.take() {
            self.end(closing.reason);
        }
    }
}

/// How a close frame from the peer ends a session on `side`; `None` if the session is suspended.
//= PROTOCOL.md#R7.1: Both sides MUST treat a close frame as this table says
fn end_by(side: Side, frame: Option<&CloseFrame>) -> Option<CloseReason> {
    let code = frame.map(|frame| frame.code);
    let remote = || frame.cloned().map(CloseReason::Remote);
    match (side, code) {
        (Side::Server, None | Some(1000)) => Some(CloseReason::Normal),
        (Side::Client, Some(1000)) => remote(),
        (_, Some(1002 | 1007 | 1008 | 1009)) | (Side::Client, Some(3003)) => remote(),
        (Side::Client, Some(4000)) => Some(CloseReason::TakenOver),
        _ => None,
    }
}

/// The delay in `retry in N ms` (PROTOCOL.md §7, 1012).
fn retry_delay(reason: &str) -> Option<Duration> {
    let number = reason.strip_prefix("retry in ")?.strip_suffix(" ms")?;
    let is_decimal = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    // A number of any length is a time; the client's own limit bounds it.
    is_decimal.then(|| Duration::from_millis(number.parse().unwrap_or(u64::MAX)))
}
