//! # Kubernetes
//!
//! Three routes and one order of events: on SIGTERM `/readyz` answers 503 while clients are sent away in waves, then the process ends.
//!
//! ```
//! use std::time::Duration;
//! use axum::Router;
//! use rejoin_server::{Pace, Server};
//! use tokio::net::TcpListener;
//!
//! /// Serves until `stop` is ready, which is SIGTERM; the example `drain` has that future, too.
//! async fn serve(listener: TcpListener, server: Server, stop: impl Future<Output = ()>) -> std::io::Result<()> {
//!     let routes = Router::new()
//!         .route_service("/livez", server.livez())
//!         .route_service("/readyz", server.readyz())
//!         .route_service("/ws", server.service());
//!     let http = axum::serve(listener, routes).with_graceful_shutdown(server.shutting_down());
//!     let sessions = async {
//!         stop.await;
//!         // The probe and resumes need HTTP until the drain has ended.
//!         tokio::time::timeout(Duration::from_secs(40), server.drain(Pace::per_second(200))).await.ok();
//!         server.shutdown(Duration::from_secs(10)).await;
//!     };
//!     let (served, ()) = tokio::join!(http.into_future(), sessions);
//!     served
//! }
//! # use rejoin_server::{ConnectRequest, Identity, Reject};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(connect).build()?;
//! # let listener = TcpListener::bind("127.0.0.1:0").await?;
//! # let url = format!("ws://{}/ws", listener.local_addr()?);
//! # let (stop, stopped) = tokio::sync::oneshot::channel();
//! # let client = async move {
//! #     let mut client = rejoin_client::Client::builder(url).no_reconnect().connect().await.unwrap();
//! #     stop.send(()).unwrap();
//! #     format!("{:?}", client.recv().await)
//! # };
//! # let (served, event) = tokio::join!(serve(listener, server, async { stopped.await.unwrap() }), client);
//! # served?;
//! # assert!(event.contains("1012"), "{event}");
//! # Ok(())
//! # }
//! ```
//!
//! ```yaml
//! spec:
//!   terminationGracePeriodSeconds: 60   # more than drain and shutdown together; the default of 30 s is less
//!   containers:
//!     - name: chat
//!       ports: [{ containerPort: 9000 }]
//!       livenessProbe:
//!         httpGet: { path: /livez, port: 9000 }
//!       readinessProbe:
//!         httpGet: { path: /readyz, port: 9000 }
//!         periodSeconds: 2              # how soon newcomers go elsewhere
//!         failureThreshold: 1
//! ```
//!
//! **With more than one pod, sessions need sticky routing.** A session and its rooms live in one process. A client whose reconnect
//! reaches another pod gets a fresh session there and `SessionLost`, and a broadcast reaches the members in its own pod only.
//! `sessionAffinity: ClientIP` does not help a phone that changes its network. A cookie does: rejoin's clients and browsers send it
//! back. With ingress-nginx:
//!
//! ```yaml
//! metadata:
//!   annotations:
//!     nginx.ingress.kubernetes.io/affinity: cookie
//!     nginx.ingress.kubernetes.io/affinity-mode: persistent   # do not move clients when pods are added
//!     nginx.ingress.kubernetes.io/session-cookie-name: pod
//!     nginx.ingress.kubernetes.io/proxy-read-timeout: "60"    # longer than the ping interval of 10 s
//! ```
//!
//! All clients of one room have to be in one pod: choose the pod by the room, for example with
//! `nginx.ingress.kubernetes.io/upstream-hash-by: $arg_room` instead of the cookie, which also brings a client back to its session.
//! Rooms that pods share are not available yet.
//!
//! **What a deploy does to sessions today: they end with their pod**, unless a [store](super::restarts) in a volume outlives it, which one
//! pod at a time can have (a StatefulSet). Otherwise a client that was sent away dials again after the time that the
//! server named. If it reaches the old pod once more, it resumes, gets what it has missed, and is sent away again at the end. Otherwise
//! another pod opens a fresh session: the client gets `SessionLost` with the frames that it sent and that were never acknowledged, and
//! frames that the old pod still held for it are lost. Keep in a database what must outlive a deploy, and let the client ask for it
//! after `SessionLost`. [Deployment](super::deployment) has nginx and HAProxy without Kubernetes.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
