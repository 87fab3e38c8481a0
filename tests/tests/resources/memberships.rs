//! What a further room of a connection costs in memory.

use rejoin_server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::{alone, echo_server, live};

/// Three lists of a room, all full.
const MEMBERS: usize = 3 * 256;

/// The number of rooms of each connection beyond its home.
const ROOMS: usize = 4;

/// The most that a further membership may take, in bytes (`Connection::join`).
const MOST: usize = 48;

/// Opens a plain WebSocket in a small room.
async fn open(server: &Server, id: usize) -> DuplexStream {
    let (mut ours, theirs) = tokio::io::duplex(1024);
    let server = server.clone();
    tokio::spawn(async move { server.serve_connection(theirs).await });
    let request = format!(
        "GET /?id={id}&room=home-{} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        id / 10
    );
    ours.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(ours.read_u8().await.unwrap());
    }
    ours
}

#[test]
fn further_memberships_are_small() {
    alone(true, async {
        let server = echo_server(|builder| builder);
        let mut sockets = Vec::new();
        for id in 0..MEMBERS {
            sockets.push(open(&server, id).await);
        }
        let members: Vec<_> =
            (0..MEMBERS).map(|id| server.connection(&id.to_string()).expect("it has a socket")).collect();
        let before = live();
        for room in 0..ROOMS {
            let name = format!("further-{room}");
            for member in &members {
                assert!(member.join(&name).await.unwrap());
            }
        }
        let each = (live() - before) as f64 / (MEMBERS * ROOMS) as f64;
        println!("{each:.1} bytes for each membership");
        assert!(each <= MOST as f64, "{each:.1} bytes");
        drop(sockets);
    });
}
