//! [`Joining`]: a join that may have to wait for the application's permission.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::connection::Connection;
use crate::error::JoinError;
use crate::session::hooks::Permission;

/// The future of a [`Join`](crate::Join). Without [`before_join`](crate::Builder::before_join) it never waits.
#[must_use = "await it"]
pub struct Joining<'a> {
    connection: &'a Connection,
    room: &'a str,
    join: fn(&Connection, &str) -> Result<bool, JoinError>,
    /// The application has been asked, and has not answered.
    permission: Option<Permission>,
}

impl<'a> Joining<'a> {
    /// A join that `join` makes once it is permitted.
    pub(super) fn new(
        connection: &'a Connection,
        room: &'a str,
        join: fn(&Connection, &str) -> Result<bool, JoinError>,
    ) -> Self {
        // There is no permission for what fails anyway.
        let is_asked = !room.is_empty() && connection.is_open();
        let hooks = &connection.server().shared.hooks;
        let permission =
            if is_asked { hooks.ask_to_join(connection, room, || connection.is_in(room)) } else { None };
        Self { connection, room, join, permission }
    }
}

impl Future for Joining<'_> {
    type Output = Result<bool, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(permission) = &mut self.permission {
            let permitted = ready!(permission.as_mut().poll(cx));
            self.permission = None;
            if let Err(refused) = permitted {
                self.connection.server().shared.metrics.report(|metrics| metrics.join_refused());
                return Poll::Ready(Err(refused));
            }
        }
        Poll::Ready((self.join)(self.connection, self.room))
    }
}

impl fmt::Debug for Joining<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joining").field("room", &self.room).finish_non_exhaustive()
    }
}
