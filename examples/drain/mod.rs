//! A process that a supervisor replaces: probes while it runs, and a drain when it has to stop.
//!
//! | route | purpose |
//! |---|---|
//! | `/ws` | rejoin: echoes messages |
//! | `GET /livez` | 200 while the process answers |
//! | `GET /readyz` | 200 while it accepts newcomers, then 503 |

use std::io;
use std::time::Duration;

use axum::Router;
use rejoin_server::{ConnectRequest, Identity, Pace, Reject, Server};
use tokio::net::TcpListener;

/// How long sockets may take to leave. Together with [`SHUTDOWN`] it is less than the 30 s that Kubernetes allows.
const DRAIN: Duration = Duration::from_secs(20);

/// The deadline for sessions and their handlers to end afterwards.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Serves until `stop` is ready. Then it refuses newcomers, sends its clients away at `pace`, and ends. Returns the number of
/// sockets that it closed while it drained.
///
/// # Errors
/// Fails when the listener fails.
pub async fn serve(
    listener: TcpListener,
    pace: Pace,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<usize> {
    let server = Server::builder(connect)
        .on_message(|connection, frame| async move {
            connection.send_wait(&frame).await.ok(); // the session may have ended
        })
        .build()
        .map_err(io::Error::other)?;
    let routes = Router::new()
        .route_service("/livez", server.livez())
        .route_service("/readyz", server.readyz())
        .route_service("/ws", server.service());

    // HTTP continues during the drain: the load balancer sees 503 at /readyz, and clients may still resume.
    let http = axum::serve(listener, routes).with_graceful_shutdown(server.shutting_down());
    let sessions = async {
        stop.await;
        let drained = tokio::time::timeout(DRAIN, server.drain(pace)).await;
        server.shutdown(SHUTDOWN).await;
        // After a timeout the drain has ended with the shutdown.
        match drained {
            Ok(closed) => closed,
            Err(_) => server.drain(pace).await,
        }
    };
    let (served, closed) = tokio::join!(http.into_future(), sessions);
    served.map(|()| closed)
}

async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
    Ok(Identity::new())
}
