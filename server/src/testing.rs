//! What the tests of several modules stand on.

use std::sync::Arc;

use rejoin_core::drive::now;
use rejoin_core::{Mode, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::connection::{Connection, Parts, Who};
use crate::registry;
use crate::server::Server;
use crate::shared::Shared;

/// A session in plain mode that no socket has come for.
pub(crate) fn session(shared: &Shared) -> Session {
    Session::new(shared.session_config(Mode::Plain).clone(), now())
}

/// A connection that is registered, without a task.
pub(crate) fn connection(shared: &Arc<Shared>) -> Connection {
    let connection = Connection::new(Parts {
        shared: shared.clone(),
        who: Who::Plain { id: registry::new_id().unwrap().into(), room: "room".into() },
        remote_addr: None,
        data: None,
        codec_index: 0,
        session: session(shared),
    });
    shared.registry.insert(&connection, true).unwrap();
    connection
}

/// A client in plain mode. It has read the answer, and its session has been told.
pub(crate) async fn dial(server: &Server) -> DuplexStream {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    theirs.write_all(request).await.unwrap();
    server.spawn_connection(ours, None);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(theirs.read_u8().await.unwrap());
    }
    tokio::task::yield_now().await;
    theirs
}
