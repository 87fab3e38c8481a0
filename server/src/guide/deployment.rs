//! # Shutting down
//!
//! [`Server::shutdown`] accepts no more connections, delivers the accepted frames, closes every session with 1001, and returns when the
//! last callback has returned. Tasks that are still running at the deadline are dropped. Clients reconnect by themselves to the next
//! process that listens. They get a fresh session, because sessions live in the memory of one process; or, with a
//! [store](super::restarts), they resume theirs.
//!
//! ```
//! use std::time::Duration;
//! use rejoin_server::Server;
//!
//! async fn run_until(server: Server, stop: impl Future<Output = ()>) {
//!     stop.await; // `tokio::signal::ctrl_c()`, or SIGTERM
//!     let left = server.shutdown(Duration::from_secs(10)).await;
//!     if left > 0 {
//!         eprintln!("{left} sessions had handlers that did not return in time");
//!     }
//! }
//! # use rejoin_server::{ConnectRequest, Identity, Reject};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(connect).build()?;
//! # let listening = server.listen("127.0.0.1:0").await?;
//! # run_until(server, std::future::ready(())).await;
//! # listening.closed().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Draining
//!
//! A shutdown sends all clients away at once, and ends their sessions. [`Server::drain`] before it is gentler: newcomers get 503 with
//! `Retry-After`, and sockets are closed in waves, idle ones first, each with a time after which its client comes back (1012 `retry in
//! N ms`). The sessions live meanwhile: a client that the load balancer sends back to this process resumes, loses nothing, and is
//! asked to leave again at the end. The example `drain` does this on SIGTERM:
//!
//! 1. `/readyz` ([`Server::readyz`]) answers 503, and the load balancer chooses other processes for newcomers.
//! 2. `server.drain(Pace::per_second(200)).await` closes the sockets. Give it a timeout of less than the supervisor's grace period.
//! 3. [`Server::shutdown`] ends the suspended sessions and the process.
//!
//! With a [store](Builder::store) the third step leaves the sessions to it, and they continue in the next process. Two modes do that:
//! with [`Durability::Commit`] nothing is lost even in a crash, at the cost of a share of a store call for each message; with
//! [`Durability::Handover`] a crash loses the sessions that had a socket, and a message costs no call.
//!
//! Choose the pace by what the other processes can take: N sockets per second are N upgrades per second there.
//!
//! If the server is mounted in axum, stop both at the same time, as the example `axum_mount` does: axum's graceful shutdown waits
//! for requests, but not for upgraded sockets.
//!
//! # Behind a proxy
//!
//! A proxy has to forward `Connection: upgrade` and `Upgrade: websocket`, keep the browser's `Host` (or else allow the page's
//! origin with [`Builder::allow_origin`]), and keep idle connections open for longer than the ping interval, 10 s. Exclude
//! `Sec-WebSocket-Protocol` from its logs: resume offers are secrets. Both of the following configurations are tested.
//!
//! For nginx, in the block `http`:
//!
//! ```nginx
//! server {
//!     listen 80;
//!
//!     location /ws {
//!         proxy_pass http://127.0.0.1:9000;
//!         proxy_http_version 1.1;
//!         proxy_set_header Upgrade $http_upgrade;
//!         proxy_set_header Connection "upgrade";
//!         proxy_set_header Host $http_host;
//!     }
//! }
//! ```
//!
//! `$host` lacks the port, so that pages on a port other than 80 and 443 would be refused. The default `proxy_read_timeout` of 60
//! s is long enough. With several servers, `proxy_pass` names an `upstream` block that lists them. If a server does not accept a
//! request, nginx passes it to the next one, and avoids the first for 10 s (`max_fails`, `fail_timeout`). It sends no health
//! checks. `proxy_next_upstream` must not list `http_503`, otherwise nginx asks every server again after a refusal with 503.
//!
//! For HAProxy, with two servers:
//!
//! ```haproxy
//! frontend web
//!     bind :80
//!     default_backend rejoin
//!
//! backend rejoin
//!     balance leastconn
//!     cookie server insert indirect nocache
//!     option httpchk GET /healthz
//!     server one 10.0.0.1:9000 check cookie one
//!     server two 10.0.0.2:9000 check cookie two
//! ```
//!
//! **Several processes** need that cookie, or a part of the URL by which the proxy chooses the same process each time. The
//! client's address is not suitable, because a phone's address changes when it leaves the house. A session lives in one process,
//! and a broadcast reaches only the members in the server's own process. A client that reaches another process gets a fresh
//! session, and an event that reports the loss. Browsers send the cookie back, and so does `rejoin-client`.
//!
//! **Health checks** need [`Builder::health_path`], here `health_path("/healthz")`. Without it, a load balancer that checks with
//! GET, HEAD or OPTIONS gets 426 or 405, and marks the server as down. An AWS target group needs the same path and the code 200,
//! Kubernetes an `httpGet` probe of that path. During a drain and a shutdown the answer is 503, or the connection is refused, because a
//! server first closes its own listener.
//!
//! Under axum or hyper, [`Server::livez`] and [`Server::readyz`] are services for two probes with JSON: the first answers 200 while the
//! process works (Kubernetes: `livenessProbe`), the second 503 once the server drains or shuts down (`readinessProbe`).
//! [`Server::health`] is the same snapshot for an answer of your own; it visits no connection.
//!
//! # Everything else
//!
//! - **TLS.** Let a proxy in front terminate it, or use [`Server::listen_tls`] (feature `tls`), whose certificates are replaced while
//!   connections live ([`Tls::reload`]), or wrap the accepted socket (`tokio-rustls`, `native-tls`) and pass the stream
//!   to [`Server::spawn_connection`] with the peer's address.
//! - **Unix sockets.** Behind a proxy on the same machine, [`Server::listen_unix`] saves ports and needs no firewall: nginx takes
//!   `proxy_pass http://unix:/run/chat/ws.sock`. A server can have several listeners at once.
//! - **Nagle's algorithm** holds a small frame back until the previous one is acknowledged, for up to 40 ms. It is turned off
//!   (`TCP_NODELAY`) on connections that [`Server::listen`] accepts, and, if the upgraded stream is a `tokio::net::TcpStream`,
//!   under hyper and, with the feature `axum`, under axum. On sockets inside other streams, such as TLS, call `set_nodelay(true)`
//!   after accepting them. Under `axum::serve` without the feature `axum`, the listener can do that:
//!
//!   ```
//!   use axum::serve::ListenerExt as _;
//!
//!   # #[tokio::main(flavor = "current_thread")]
//!   # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!   # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!   let listener = listener.tap_io(|tcp| {
//!       tcp.set_nodelay(true).ok(); // fails if the peer has already disconnected
//!   });
//!   # let mut listener = listener;
//!   # use axum::serve::Listener as _;
//!   # let _client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
//!   # assert!(listener.accept().await.0.nodelay()?);
//!   # Ok(())
//!   # }
//!   ```
//! - **A new version.** [Drain](#draining) the old process and shut it down within the time that your supervisor allows: Kubernetes kills a
//!   process after 30 s unless `terminationGracePeriodSeconds` is longer. Backoff and jitter spread the clients' reconnects.
//! - **File descriptors.** A connection takes one; the usual `ulimit -n` of 1024 is soon reached. When none is left, accepting
//!   pauses for 50 ms, and a warning is logged at most once a second. At the limit of [`Builder::max_handshakes`], accepting
//!   pauses until a handshake is done.
//! - **Release builds.** A delivery calls functions of several crates: `lto = "fat"` and `codegen-units = 1` in
//!   `[profile.release]` saved a sixth of the time that rejoin's own code spends on it.
//! - **Logs.** At `RUST_LOG=rejoin_server=info`, the server logs each address that it listens on, the start and end of a
//!   shutdown, the end of each session, each refused request with its status, path and peer, and each failed resume with its
//!   cause, path and peer (with the session's ID if the socket arrived too late). Refused pages of other origins are logged as
//!   warnings, at most once a second. Payloads and tokens are never logged.
//! - **Monitoring.** [`Server::stats`] returns the current numbers, and [`Metrics`] reports events, for Prometheus and similar
//!   systems; [`DebugMetrics`] prints them. The example `metrics` has a board for Grafana. Each session's `tracing` events are in one
//!   span with its ID and room; the example `traces` exports spans that continue over a resume to OpenTelemetry.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
