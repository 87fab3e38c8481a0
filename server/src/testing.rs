//! Helpers for the tests of several modules.

use std::sync::Arc;

use rejoin_core::drive::{SocketDriver, Unmasked, WsTransport, now};
use rejoin_core::{Mode, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::connection::{Connection, NewConnection};
use crate::inner::ServerInner;
use crate::server::Server;
use crate::session::belongings::{Belongings, Renewal};
use crate::session::handle::{PendingSocket, SessionKey};
use crate::session::registry;
use crate::{ConnectRequest, Identity, Reject};

pub(crate) fn server() -> Arc<ServerInner> {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    Server::builder(connect).build().unwrap().shared().clone()
}

/// A single-threaded runtime with paused time.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A session in plain mode that has not had a socket yet.
pub(crate) fn session(shared: &ServerInner) -> Session {
    Session::new(shared.session_config(Mode::Plain).clone(), now())
}

/// A registered connection without a task.
pub(crate) fn connection(shared: &Arc<ServerInner>) -> Connection {
    let connection = Connection::new(NewConnection {
        number: None,
        host: shared.clone(),
        who: SessionKey::Plain { id: registry::new_id().unwrap().into(), room: "room".into() },
        remote_addr: None,
        belongings: Belongings::default(),
        codec_index: 0,
        session: session(shared),
        writer: None,
    });
    shared.registry.insert(&shared.realm.ids, &connection, true).unwrap();
    connection
}

/// A socket that waits for a session, and the peer's end of it.
pub(crate) fn pending(connection: &Connection, resumes: bool) -> (PendingSocket, DuplexStream) {
    let epoch = connection.session().drive(Session::reserve);
    let (ours, theirs) = tokio::io::duplex(64);
    let driver = Box::new(SocketDriver::new(epoch, WsTransport::new(ours, Unmasked, &[], 64)));
    (
        PendingSocket {
            driver,
            received: None,
            renewal: Renewal::default(),
            attachment: None,
            resuming: None,
            resumes,
        },
        theirs,
    )
}

/// Connects a client in plain mode. It has read the answer, and its session has its socket.
pub(crate) async fn dial(server: &Server) -> DuplexStream {
    dial_with(server, "").await
}

/// A client in session mode, otherwise like that of [`dial`].
pub(crate) async fn dial_session(server: &Server) -> DuplexStream {
    dial_with(server, "sec-websocket-protocol: rejoin.v1.json\r\n").await
}

async fn dial_with(server: &Server, header: &str) -> DuplexStream {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let request = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n{header}\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    theirs.write_all(request.as_bytes()).await.unwrap();
    server.spawn_connection(ours, None);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(theirs.read_u8().await.unwrap());
    }
    tokio::task::yield_now().await;
    theirs
}
