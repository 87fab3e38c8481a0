//! [`Calls`]: the callbacks of one session, in their order.

use rejoin_core::{CloseReason, DropReason, Event};

use crate::connection::Connection;
use crate::inner::ServerInner;
use crate::observe::errors::{self, ErrorKind};
use crate::observe::metrics::CallbackKind;
use crate::session::call::Call;
use crate::session::changes::Change;
use crate::session::hooks;

/// The callbacks of one session, in their order:
///
/// ```text
/// connect ─▶ join… ─▶ message, gap, join, leave, (drop, away) ─▶ (restore, back) … ─▶ before_disconnect ─▶ leave… ─▶ expired ─▶ disconnect
/// ```
///
/// Joins and leaves by other tasks, and dropped frames, come before the session's next event.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// `on_connect` has been called.
    connected: bool,
    /// `on_away` has been called, and `on_back` has not.
    is_away: bool,
    /// A callback has panicked.
    has_panicked: bool,
    /// An earlier process ended before `on_connect` returned.
    owes_connect: bool,
    /// An earlier process lost the socket when it ended, before it could report the loss.
    owes_loss: bool,
    next: NextCall,
}

/// The call that comes before the next event.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum NextCall {
    #[default]
    Change,
    /// `on_away`, after `on_transport_drop`.
    Away,
    /// `on_back`, after `on_transport_restore`.
    Back,
    /// The store has recorded that the window has passed, or that another server owns the session.
    Claimed,
    /// `before_disconnect` was called: the connection leaves its rooms.
    End,
    /// `on_leave` for each of them, then `on_expired` if the window has passed.
    Leaves,
    /// `on_disconnect`.
    Disconnect,
    /// Another server owns the session: only `on_moved` follows.
    Moved,
    /// `on_disconnect` was called.
    Nothing,
}

impl Calls {
    /// The calls of a session that has hibernated: it is away. A restored session may owe calls of an earlier process.
    pub(super) fn of_woken(connection: &Connection) -> Self {
        let owed = connection.handle().writer().map(|writer| writer.take_owed());
        let (owes_connect, owes_loss) = owed.unwrap_or_default();
        Self { connected: !owes_connect, is_away: !owes_loss, owes_connect, owes_loss, ..Self::default() }
    }

    /// Whether `on_disconnect` has been called, or never will be.
    pub(super) fn is_over(&self) -> bool {
        self.next == NextCall::Nothing
    }

    /// Whether `on_connect` has been called. No other callback is called before.
    pub(super) fn have_begun(&self) -> bool {
        self.connected
    }

    /// Whether the session may hibernate: not before `on_connect`, and not while a call is due that is not an event.
    pub(super) fn may_rest(&self) -> bool {
        self.connected && !self.owes_loss && self.next == NextCall::Change
    }

    /// Whether there is a call that is not an event. Must not be called once the calls are over.
    pub(super) fn is_due(&self, connection: &Connection) -> bool {
        let is_owed = self.owes_connect || self.owes_loss;
        self.next != NextCall::Change || is_owed || self.connected && connection.has_changes()
    }

    /// Records that another server owns the session, so that its received frames are not handled here.
    pub(super) fn note_moved(&mut self) {
        if self.next != NextCall::Nothing {
            self.next = NextCall::Moved;
        }
    }

    /// Notes that a callback has panicked, and reports it.
    pub(super) fn note_panic(
        &mut self,
        shared: &ServerInner,
        connection: &Connection,
        callback: CallbackKind,
    ) {
        self.has_panicked = true;
        shared.report_error(|| ErrorKind::CallbackPanicked { connection: connection.clone(), callback });
    }

    /// Reports the end of a session if it is an error.
    fn report(&self, shared: &ServerInner, connection: &Connection, reason: &CloseReason) {
        if errors::is_of_peer(reason) {
            shared
                .report_error(|| ErrorKind::Peer { connection: connection.clone(), reason: reason.clone() });
        } else if *reason == CloseReason::HandlerPanicked && !self.has_panicked {
            // Codecs run while the socket is in use, so their panics are reported here.
            shared.report_error(|| ErrorKind::CodecPanicked { connection: connection.clone() });
        }
    }

    /// The first call of a session that has ended.
    fn begin_end(
        &mut self,
        shared: &ServerInner,
        connection: &Connection,
        reason: CloseReason,
    ) -> Option<Call> {
        self.next = NextCall::End;
        self.report(shared, connection, &reason);
        if self.connected {
            return Some(Call::BeforeDisconnect(reason));
        }
        self.next(shared, connection)
    }

    /// The next call.
    pub(super) fn next(&mut self, shared: &ServerInner, connection: &Connection) -> Option<Call> {
        loop {
            match std::mem::take(&mut self.next) {
                NextCall::Change => {}
                // If another socket has been attached since, the connection was not away.
                NextCall::Away
                    if connection.whereabouts().is_some_and(|presence| !presence.is_attached()) =>
                {
                    self.is_away = true;
                    return Some(Call::Away);
                }
                NextCall::Away => {}
                NextCall::Back => {
                    if std::mem::take(&mut self.is_away) {
                        return Some(Call::Back);
                    }
                }
                NextCall::Claimed => return self.begin_end(shared, connection, CloseReason::WindowExpired),
                NextCall::End => {
                    shared.forget(connection);
                    self.next = NextCall::Leaves;
                    continue;
                }
                NextCall::Leaves => {
                    if self.connected
                        && let Some(call) = change(shared, connection, true)
                    {
                        self.next = NextCall::Leaves;
                        return Some(call);
                    }
                    self.next = NextCall::Disconnect;
                    if self.connected && shared.hooks.keeps_expired() {
                        let reason = connection.session().drive(|session| session.ended().cloned());
                        if reason == Some(CloseReason::WindowExpired) {
                            return Some(hooks::expired(connection, connection.handle().codec(shared)));
                        }
                    }
                }
                NextCall::Disconnect => {
                    self.next = NextCall::Nothing;
                    let reason = connection.session().drive(|session| session.ended().cloned())?;
                    // Otherwise it ended before its first socket arrived, and the application has not seen it begin.
                    return self.connected.then_some(Call::Event(Event::Closed(reason)));
                }
                NextCall::Moved => {
                    self.next = NextCall::Nothing;
                    // While a fan-out holds the attachment, the end is reported when the task ends.
                    if let Some(mut socket) = connection.try_attachment() {
                        socket.note_closed(shared, connection.handle());
                    }
                    shared.forget(connection);
                    return self.connected.then_some(Call::Moved);
                }
                NextCall::Nothing => {
                    self.next = NextCall::Nothing;
                    return None;
                }
            }
            if std::mem::take(&mut self.owes_connect) {
                self.connected = true;
                return Some(Call::Event(Event::Connected));
            }
            if self.connected
                && let Some(call) = change(shared, connection, false).or_else(|| dropped(shared, connection))
            {
                return Some(call);
            }
            if std::mem::take(&mut self.owes_loss) {
                self.next = NextCall::Away;
                return Some(Call::Event(Event::Dropped(DropReason::Restarted)));
            }
            let event = connection.session().next_event()?;
            match event {
                Event::Connected => self.connected = true,
                Event::Dropped(_) => self.next = NextCall::Away,
                Event::Restored => self.next = NextCall::Back,
                Event::Closed(reason) => {
                    // While a fan-out holds the attachment, the end is reported when the task ends.
                    if let Some(mut socket) = connection.try_attachment() {
                        socket.note_closed(shared, connection.handle());
                    }
                    if reason == CloseReason::WindowExpired
                        && connection.handle().writer().is_some_and(|writer| !writer.is_over())
                    {
                        self.next = NextCall::Claimed;
                        return Some(Call::Claim);
                    }
                    return self.begin_end(shared, connection, reason);
                }
                Event::Gap(gap) => tracing::debug!(from = gap.from, to = gap.to, "peer reports a gap"),
                _ => {}
            }
            return Some(Call::Event(event));
        }
    }
}

/// The next join or leave to report.
fn change(shared: &ServerInner, connection: &Connection, has_ended: bool) -> Option<Call> {
    let flag = &connection.handle().has_changes;
    Some(match shared.changes.next(connection.number(), has_ended, flag)? {
        Change::Joined(room) => Call::Joined(room),
        Change::Left(room) | Change::LeftAtEnd(room) => Call::Left(room),
    })
}

/// The next dropped frame to report.
fn dropped(shared: &ServerInner, connection: &Connection) -> Option<Call> {
    if !shared.hooks.reports_discarded() {
        return None;
    }
    hooks::next_dropped(connection, connection.handle().codec(shared))
}
