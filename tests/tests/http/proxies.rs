//! The proxy configurations in the server's guide, unchanged, in nginx and in HAProxy.

mod process;
mod upstreams;

use std::net::SocketAddr;
use std::time::Duration;

use process::Proxy;
use rejoin_client::{Client, ClientBuilder, ConnectError, Connection, LostReason};
use rejoin_server::Server;
use rejoin_tests::harness::{self, Heard, Recorder, What, disconnected, next, number};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::last_words::close;
use super::{body, dial, exchange, frame, read_head, status, upgrade, within};

const GUIDE: &str = include_str!("../../../server/src/guide/deployment.rs");

/// The only block in this language in the guide.
fn block(language: &str) -> String {
    let fence = format!("```{language}");
    let mut lines = GUIDE.lines().map(|line| line.trim_start_matches("//!").trim_start_matches(' '));
    assert_eq!(lines.clone().filter(|line| *line == fence).count(), 1, "blocks of {language}");
    lines.find(|line| *line == fence);
    lines.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect()
}

/// The configuration with a text replaced that occurs exactly once.
fn with(config: &str, from: &str, to: &str) -> String {
    assert_eq!(config.matches(from).count(), 1, "{from:?} in:\n{config}");
    config.replace(from, to)
}

/// Two servers behind a proxy; nginx only uses the first.
struct Site {
    proxy: Proxy,
    servers: [Server; 2],
    logs: [Recorder; 2],
}

impl Site {
    async fn nginx(change: impl FnOnce(String) -> String) -> Self {
        Self::start(|[one, _]| {
            let config = with(&block("nginx"), "listen 80;", "listen LISTEN;");
            Proxy::nginx(&change(with(&config, "127.0.0.1:9000", &one.to_string())))
        })
        .await
    }

    async fn haproxy(change: impl FnOnce(String) -> String) -> Self {
        Self::start(|[one, two]| {
            let config = with(&block("haproxy"), "bind :80", "bind LISTEN");
            let config = with(&config, "10.0.0.1:9000", &one.to_string());
            Proxy::haproxy(&change(with(&config, "10.0.0.2:9000", &two.to_string())))
        })
        .await
    }

    /// A site behind each of the proxies.
    async fn each() -> [(&'static str, Self); 2] {
        [("nginx", Self::nginx(|config| config).await), ("HAProxy", Self::haproxy(|config| config).await)]
    }

    async fn start(proxy: impl FnOnce([SocketAddr; 2]) -> Proxy) -> Self {
        let build = || {
            let (builder, log) = harness::builder();
            (builder.health_path("/healthz").build().unwrap(), log)
        };
        let ((one, log_of_one), (two, log_of_two)) = (build(), build());
        let mut addrs = Vec::new();
        for server in [&one, &two] {
            addrs.push(server.listen("127.0.0.1:0").await.unwrap().local_addr());
        }
        let proxy = proxy([addrs[0], addrs[1]]);
        Self { proxy, servers: [one, two], logs: [log_of_one, log_of_two] }
    }

    fn client(&self) -> ClientBuilder {
        Client::builder(format!("ws://{}/ws?id=ada", self.proxy.addr))
            .reconnect(Duration::from_millis(10), Duration::from_millis(100))
    }

    /// The server with the session.
    fn server(&self) -> &Server {
        let mut servers = self.servers.iter().filter(|server| server.connection("ada").is_some());
        servers.next().expect("a server has the session")
    }
}

async fn connect(client: ClientBuilder) -> Result<Connection, ConnectError> {
    within("connect", client.connect()).await
}

async fn shut_down(site: Site) {
    for server in &site.servers {
        server.shutdown(Duration::from_secs(1)).await;
    }
}

/// The page has the address that its `WebSocket` dials, with a port that `Host` and `Origin` have to contain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_on_any_port_connects_through_a_proxy() {
    for (name, site) in Site::each().await {
        let own = format!("http://{}", site.proxy.addr);
        connect(site.client().header("origin", &own)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let other = connect(site.client().header("origin", "http://127.0.0.1:1")).await;
        assert!(matches!(other, Err(ConnectError::Refused(refusal)) if refusal.status == 403), "{name}");
        shut_down(site).await;
    }
    // This is why the guide uses `$http_host`.
    let site = Site::nginx(|config| with(&config, "$http_host", "$host")).await;
    let own = format!("http://{}", site.proxy.addr);
    let refused = connect(site.client().header("origin", &own)).await;
    assert!(matches!(refused, Err(ConnectError::Refused(refusal)) if refusal.status == 403));
    shut_down(site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_resumes_through_a_proxy() {
    for (name, site) in Site::each().await {
        let mut client = connect(site.client()).await.unwrap();
        for n in 1..=3 {
            let server = site.server();
            server.cut("ada").unwrap();
            server.send("ada", &number(n)).unwrap();
            disconnected(&mut client).await;
            assert_eq!(next(&mut client).await, Heard::Resumed, "{name}");
            assert_eq!(next(&mut client).await, Heard::Message(number(n)), "{name}");
        }
        shut_down(site).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_frames_arrive_through_a_proxy() {
    const BIG: usize = 5_000_000;
    for (name, site) in Site::each().await {
        for round in 0..3 {
            let mut tcp = dial(site.proxy.addr).await;
            let request = upgrade("").replace("/?id=ada", &format!("/ws?id=ada-{round}"));
            tcp.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(status(&read_head(&mut tcp).await), 101, "{name}");
            let message = frame(1, &vec![b'x'; BIG]);
            within("write", tcp.write_all(&message)).await.expect("the server reads on");
            let mut sent = Vec::new();
            within("last words", tcp.read_to_end(&mut sent)).await.expect("no reset");
            assert_eq!(close(&sent).0, 1009, "{name}, round {round}");
            for size in [1_000_000, BIG] {
                let head = format!(
                    "POST /ws HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n"
                );
                let answer = exchange(site.proxy.addr, &[head.as_bytes(), &vec![b'x'; size]].concat()).await;
                assert_eq!(status(&answer), 405, "{name}, round {round}: {answer}");
                assert_eq!(body(&answer), "a WebSocket upgrade is a GET request", "{name}, round {round}");
            }
        }
        shut_down(site).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookie_routes_client_back_to_its_server() {
    let site = Site::haproxy(|config| config).await;
    let mut client = connect(site.client()).await.unwrap();
    for _ in 0..8 {
        site.server().cut("ada").unwrap();
        disconnected(&mut client).await;
        assert_eq!(next(&mut client).await, Heard::Resumed);
    }
    shut_down(site).await;
    // Without the cookie the next dial reaches the other server, where the session is unknown.
    let in_turn = |config: String| with(&config, "balance leastconn", "balance roundrobin");
    let site = Site::haproxy(in_turn).await;
    let mut client = connect(site.client().no_cookies()).await.unwrap();
    site.server().cut("ada").unwrap();
    disconnected(&mut client).await;
    assert_eq!(next(&mut client).await, Heard::session_lost(LostReason::Unknown));
    shut_down(site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_move_clients_off_stopping_server() {
    let mut site = Site::haproxy(|config| config).await;
    for name in ["one", "two"] {
        let passed = format!("server rejoin/{name} succeeded, reason: Layer7 check passed, code: 200");
        site.proxy.logs(&passed).await;
    }
    assert_eq!(site.servers.iter().map(|server| server.stats().refused).sum::<u64>(), 0);
    let mut client = connect(site.client()).await.unwrap();
    let first = site.servers.iter().position(|server| server.connection("ada").is_some()).unwrap();
    let name = ["one", "two"][first];
    assert_eq!(site.servers[first].shutdown(Duration::from_secs(20)).await, 0);
    site.proxy.logs(&format!("Server rejoin/{name} is DOWN")).await;
    while next(&mut client).await != Heard::Reconnected {}
    assert_eq!(site.logs[1 - first].next().await, ("ada", What::Connected));
    shut_down(site).await;
}
