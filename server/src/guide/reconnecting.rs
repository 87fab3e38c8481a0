//! # Reconnecting
//!
//! When a socket is lost, the session waits for the [resume window](Builder::resume_window), 30 s, and buffers the frames that
//! are sent to it. The client returns with the session's token, both sides compare their counts, and missing frames are sent
//! again, in order, before any new frame. The application does not have to do anything. Callbacks report each lost socket and
//! each new one ([`Builder::on_transport_drop`], [`Builder::on_transport_restore`]); whether others should know of it is a matter
//! of [presence](super::presence).
//!
//! # Dead sockets
//!
//! A socket can die without any notice. The server detects that by the silence ([`Builder::heartbeat`], 30 s), or earlier when
//! the client opens its next socket, which takes over the session at once. To test how your application reacts, cut sockets with
//! [`Server::cut`].
//!
//! # Replaced sessions
//!
//! [`DuplicateId`] sets what happens when a client without a token claims a connection ID that is in use. When a session replaces
//! another, `on_disconnect` of the old one returns before `on_connect` of the new one is called. If it takes longer than a second,
//! the new session does not wait for it; the session's [number](Connection::number) tells the two apart.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
