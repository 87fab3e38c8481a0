//! The test server: one program to test clients in every language against.
//!
//! It accepts upgrades on every path. The query sets `room` (default `test`), further `rooms` (`a,b`), `id` and `user`; `expires=SECS`
//! ends the credentials after that time; `reject=1`
//! asks for a refusal, and `ignore_pings=1` for a server that answers no ping of this client. The server echoes each frame to its
//! sender unchanged, except for the events `pub`, `stream` and `sink` (see `events`), and `join`, `leave`, `say` and `who` (see
//! `memberships`), and questions (see `questions`). A second port accepts commands (see `control`).

mod control;
mod events;
mod front;
mod memberships;
mod options;
mod pingless;
mod questions;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rejoin_server::{ConfigError, ConnectRequest, History, Identity, Reject, Server};
use rejoin_store_local::LocalStore;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use options::{CodecName, Options, UsageError};

use events::Sinks;

/// How long sessions may take to end in a shutdown or restart.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// A running test server, which the control port controls.
#[derive(Debug)]
pub struct TestServer {
    options: Options,
    addr: std::net::SocketAddr,
    sinks: Arc<Sinks>,
    store: Option<LocalStore>,
    running: Mutex<Option<Running>>,
    /// Serializes commands that end servers.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Running {
    server: Server,
    accepting: JoinHandle<()>,
}

impl TestServer {
    /// Starts a server and its control port. Returns the server and the control port's number.
    ///
    /// # Errors
    /// Fails if an address cannot be listened on, or if an option is out of its range.
    pub async fn start(options: Options) -> io::Result<(Arc<Self>, u16)> {
        let control = TcpListener::bind(&options.control).await?;
        let control_port = control.local_addr()?.port();
        let listener = TcpListener::bind(&options.addr).await?;
        let addr = listener.local_addr()?;
        let sinks = Arc::new(Sinks::default());
        let store = options.store.as_ref().map(LocalStore::open).transpose().map_err(io::Error::other)?;
        let running = run(&options, &sinks, store.as_ref(), listener)?;
        let test_server = Arc::new(Self {
            options,
            addr,
            sinks,
            store,
            running: Mutex::new(Some(running)),
            changing: tokio::sync::Mutex::new(()),
        });
        let router = control::router(test_server.clone());
        tokio::spawn(async move { axum::serve(control, router).await });
        Ok((test_server, control_port))
    }

    /// The port for WebSocket connections.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The server, unless it has been shut down.
    pub fn server(&self) -> Option<Server> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|running| running.server.clone())
    }

    /// Shuts down the server and its listener, so that later dials fail. Returns `false` if that has already happened.
    pub async fn shutdown(&self) -> bool {
        let _one_at_a_time = self.changing.lock().await;
        self.stop().await
    }

    /// Starts a fresh server on the same port.
    ///
    /// # Errors
    /// Fails if the port cannot be listened on again.
    pub async fn restart(&self) -> io::Result<()> {
        let _one_at_a_time = self.changing.lock().await;
        self.stop().await;
        let listener = TcpListener::bind(self.addr).await?;
        let running = run(&self.options, &self.sinks, self.store.as_ref(), listener)?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(())
    }

    async fn stop(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { server, accepting }) = running else { return false };
        accepting.abort();
        server.shutdown(SHUTDOWN).await;
        // Waits until the task has been cancelled and the listener is closed.
        accepting.await.ok();
        true
    }
}

fn run(
    options: &Options,
    sinks: &Arc<Sinks>,
    store: Option<&LocalStore>,
    listener: TcpListener,
) -> io::Result<Running> {
    let server = build(options, sinks.clone(), store)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    // The same default as the server's.
    let write_timeout = options.write_timeout.unwrap_or(Duration::from_secs(10));
    let accepting = tokio::spawn(front::accept(server.clone(), listener, write_timeout));
    Ok(Running { server, accepting })
}

fn build(options: &Options, sinks: Arc<Sinks>, store: Option<&LocalStore>) -> Result<Server, ConfigError> {
    // One count for each message, not two: the workers share it.
    let app = Arc::new(events::App { sinks, router: questions::router() });
    let mut builder = Server::builder(connect)
        .resume_window(Some(options.resume_window).filter(|window| !window.is_zero()))
        .on_message(move |connection, frame| events::handle(app.clone(), connection, frame));
    if let Some(frames) = options.send_buffer {
        builder = builder.send_buffer(frames);
    }
    if let Some(bytes) = options.send_buffer_bytes {
        builder = builder.send_buffer_bytes(bytes);
    }
    if let Some(bytes) = options.max_message_size {
        builder = builder.max_message_size(bytes);
    }
    if let Some(timeout) = options.write_timeout {
        builder = builder.write_timeout(timeout);
    }
    if let Some(timeout) = options.close_timeout {
        builder = builder.close_timeout(timeout);
    }
    if let Some(frames) = options.rewind {
        builder = builder.history(History::new().frames(frames));
    }
    if let Some(sessions) = options.max_connections {
        builder = builder.max_connections(sessions);
    }
    if let Some(sessions) = options.max_per_user {
        builder = builder.max_connections_per_user(sessions);
    }
    if let Some(rooms) = options.max_rooms {
        builder = builder.max_rooms_per_connection(rooms);
    }
    if let Some(frames) = options.rate {
        builder = builder.frame_rate(frames).rate_policy(options.rate_policy);
    }
    if let Some(store) = store {
        builder = builder.store(store.clone()).durability(options.durability);
    }
    if let Some(node) = &options.node {
        builder = builder.node(node);
    }
    for codec in &options.codecs {
        builder = codec.add_to(builder);
    }
    builder.build()
}

async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    if request.query("reject").is_some_and(|value| value == "1") {
        return Err(Reject::unauthorized("rejected on request"));
    }
    let expires =
        match request.query("expires").map(|seconds| seconds.parse().map(Duration::try_from_secs_f64)) {
            None => None,
            Some(Ok(Ok(time))) => Some(time),
            Some(_) => return Err(Reject::bad_request("expires takes a number of seconds")),
        };
    let query = |name| request.query(name).unwrap_or_default();
    let room = request.query("room").unwrap_or_else(|| "test".into());
    let identity = Identity::new().with_room(room).with_id(query("id")).with_user(query("user"));
    let identity = identity.with_further_rooms(query("rooms").split(',').map(str::trim));
    // An invalid number is 0.
    let identity = identity.with_rewind(query("rewind").parse().unwrap_or(0_usize));
    Ok(match expires {
        Some(time) => identity.expires_in(time),
        None => identity,
    })
}
