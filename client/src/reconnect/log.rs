//! The log events of a connection.

use rejoin_core::{SessionIdentity, SessionState};

use crate::shared::Shared;

/// Logs the session that a socket has opened; `had` is the session before it.
pub(super) fn log_opened(shared: &Shared, had: Option<&SessionIdentity>) {
    let (has, lost, counts) =
        shared.session.drive(|session| (session.identity().cloned(), session.lost(), session.counts()));
    let id = has.as_ref().map(|identity| &*identity.id);
    match (had, has.as_deref()) {
        (Some(had), Some(has)) if had.token != has.token => {
            tracing::debug!(id, ?lost, "session lost, a fresh one is open");
        }
        _ if counts.resumed > 0 => tracing::debug!(id, "session resumed"),
        _ => tracing::debug!(id, "connected"),
    }
}

pub(super) fn log_dropped(shared: &Shared) {
    let (state, why) = shared.session.drive(|session| (session.state(), session.dropped().cloned()));
    if let (SessionState::Suspended, Some(why)) = (state, why) {
        tracing::debug!(%why, "socket dropped");
    }
}

pub(super) fn log_closed(shared: &Shared) {
    let (reason, counts) = shared.session.drive(|session| (shared.end_reason(session), session.counts()));
    let (received, sent) = (counts.received, counts.sent);
    tracing::debug!(%reason, received, sent, unacknowledged = counts.unacknowledged, "connection closed");
}
