//! [`Joining`]: a join that may have to wait for the application's permission.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::connection::Connection;
use crate::durable::say;
use crate::error::JoinError;
use crate::fanout::rewind::{Rewind, Rewound};
use crate::session::hooks::Permission;

/// The future of a [`Join`](crate::Join), or of a [`JoinRewound`](crate::JoinRewound). Without [`before_join`](crate::Builder::before_join) it never waits.
#[must_use = "await it"]
pub struct Joining<'a, T = bool> {
    connection: &'a Connection,
    room: &'a str,
    rewind: Option<Rewind>,
    /// The result.
    output: fn(Rewound) -> T,
    /// The application has been asked, and has not answered.
    permission: Option<Permission>,
    /// The store has been asked.
    said: Option<say::SaidJoin>,
}

impl<'a, T> Joining<'a, T> {
    /// A join that is made once it is permitted.
    pub(super) fn new(
        connection: &'a Connection,
        room: &'a str,
        rewind: Option<Rewind>,
        output: fn(Rewound) -> T,
    ) -> Self {
        // There is no permission for what fails anyway.
        let is_asked = !room.is_empty() && connection.is_open();
        let hooks = &connection.server().shared.hooks;
        let permission =
            if is_asked { hooks.ask_to_join(connection, room, || connection.is_in(room)) } else { None };
        Self { connection, room, rewind, output, permission, said: None }
    }
}

impl<T> Future for Joining<'_, T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(permission) = &mut self.permission {
            let permitted = ready!(permission.as_mut().poll(cx));
            self.permission = None;
            if let Err(refused) = permitted {
                self.connection.server().shared.metrics.report(|metrics| metrics.join_refused());
                return Poll::Ready(Err(refused));
            }
        }
        let this = &mut *self;
        let connection = this.connection;
        let is_kept = connection.handle().writer().is_some();
        if !is_kept || this.room.is_empty() || !connection.is_open() {
            return Poll::Ready(connection.join_now(this.room, this.rewind.as_ref()).map(this.output));
        }
        let said = this.said.get_or_insert_with(|| {
            say::join(connection, this.room, this.rewind.clone(), connection.is_in(this.room))
        });
        let outcome = ready!(said.poll(cx));
        Poll::Ready(connection.joined(outcome).map(this.output))
    }
}

impl<T> fmt::Debug for Joining<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joining").field("room", &self.room).finish_non_exhaustive()
    }
}
