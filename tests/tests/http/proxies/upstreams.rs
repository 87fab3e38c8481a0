//! The guide's claims about nginx with several servers.

use std::net::{Ipv4Addr, SocketAddr};

use rejoin_client::{Client, ConnectError};
use rejoin_server::{ConnectRequest, Identity, Reject, Server, StatusCode};
use rejoin_tests::harness;
use socket2::{Domain, Socket, Type};

use super::process::Proxy;
use super::{block, connect, with};

/// The guide's configuration with these two servers, and with more lines in its `location`.
fn nginx([one, two]: [SocketAddr; 2], more: &str) -> Proxy {
    let config = with(&block("nginx"), "listen 80;", "listen LISTEN;");
    let pass = format!("proxy_pass http://rejoin;\n{more}");
    let config = with(&config, "proxy_pass http://127.0.0.1:9000;", &pass);
    Proxy::nginx(&format!("upstream rejoin {{\nserver {one};\nserver {two};\n}}\n{config}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_tries_stopped_server_once() {
    let server = harness::builder().0.build().unwrap();
    let up = server.listen("127.0.0.1:0").await.unwrap().local_addr();
    // An address that is in use, and on which no socket listens.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let down = socket.local_addr().unwrap().as_socket().unwrap();
    for addrs in [[up, down], [down, up]] {
        let proxy = nginx(addrs, "");
        for n in 0..8 {
            let client = Client::builder(format!("ws://{}/ws?id=ada-{n}", proxy.addr)).no_reconnect();
            connect(client).await.unwrap();
        }
        assert_eq!(proxy.errors().matches("Connection refused").count(), 1, "{}", proxy.errors());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_retries_503_only_if_configured() {
    for (more, asked) in [("", 1), ("proxy_next_upstream error timeout http_503;", 2)] {
        let full = async |_: ConnectRequest| {
            Err::<Identity, _>(Reject::from_static(StatusCode::SERVICE_UNAVAILABLE, "full"))
        };
        let servers = [(); 2].map(|()| Server::builder(full).build().unwrap());
        let mut addrs = Vec::new();
        for server in &servers {
            addrs.push(server.listen("127.0.0.1:0").await.unwrap().local_addr());
        }
        let proxy = nginx([addrs[0], addrs[1]], more);
        let refused = connect(Client::builder(format!("ws://{}/ws?id=ada", proxy.addr))).await;
        assert!(
            matches!(&refused, Err(ConnectError::Refused(refusal)) if refusal.status == 503),
            "{refused:?}"
        );
        assert_eq!(servers.iter().map(|server| server.stats().refused).sum::<u64>(), asked, "{more:?}");
    }
}
