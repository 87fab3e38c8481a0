//! Descriptions of a [`Witness`], to compare worlds.

use std::fmt;

use super::Witness;
use crate::session::*;

impl Witness {
    /// Writes all state except the configuration, so that equal worlds have equal descriptions.
    pub(in super::super) fn describe(&self, to: &mut impl fmt::Write) -> fmt::Result {
        let Self { pair, servers, client, sessions, reported_losses, client_life, sent, .. } = self;
        write!(to, "{servers:?}{client:?}{sessions:?}{reported_losses}{client_life:?}{sent:?}")?;
        for session in pair.servers.iter().chain([&pair.client]) {
            let Session { state, epoch, opened, lost, retired, buffer, peer_buffer, asking, asked, .. } =
                session;
            write!(to, "{state:?}{epoch:?}{opened}{lost:?}{retired}{buffer}{peer_buffer}{asking:?}{asked}")?;
            let Session { send_buffer, receiver, events, ahead, rare, resumed, closing, ended, .. } = session;
            write!(
                to,
                "{send_buffer:?}{receiver:?}{events:?}{ahead:?}{rare:?}{resumed}{closing:?}{ended:?}"
            )?;
        }
        for session in pair.servers.iter().chain([&pair.client]) {
            let Session { last_activity, ping, suspended_since, .. } = session;
            write!(to, "{:?}{ping:?}", pair.now - *last_activity)?;
            write!(to, "{:?}", suspended_since.map(|at| pair.now - at))?;
            assert!(session.blocked.is_none(), "these sockets take everything");
        }
        write!(to, "{:?}", pair.sockets)
    }

    /// The records of the applications, and the items in transit.
    pub(in super::super) fn seen(&self) -> String {
        let Self {
            pair,
            servers,
            client,
            sessions,
            reported_losses,
            client_life,
            sent,
            watches_deliveries: _,
            outcomes,
            delivered,
        } = self;
        let seen = (servers, client, sessions, reported_losses, client_life, sent, outcomes, delivered);
        format!("{seen:?}{:?}{:?}", pair.sockets, pair.now)
    }
}
