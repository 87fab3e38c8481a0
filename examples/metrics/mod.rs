//! A server's metrics for Prometheus: an axum app with a rejoin endpoint and a page of metrics.
//!
//! | route | purpose |
//! |---|---|
//! | `GET /metrics` | all metrics, in Prometheus' text format |
//! | `/ws?room=…` | rejoin: broadcasts each message to the room; the event `drop` cuts its sender's socket |

use std::io;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use rejoin_client::{Client, ConnectError, Event};
use rejoin_server::{
    ConfigError, ConnectRequest, Connection, FacadeMetrics, Frame, Identity, Reject, Server,
};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

/// The deadline for sessions to end when the app stops.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// The interval at which the recorder discards unscraped samples.
const UPKEEP: Duration = Duration::from_secs(5);

/// A recorder with suitable buckets. Without buckets a histogram is exported as a summary, which cannot be summed over processes.
///
/// # Errors
/// Never fails, because no list of buckets is empty.
pub fn recorder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        // A callback takes microseconds, a session lives for hours.
        .set_buckets_for_metric(
            Matcher::Full("rejoin_callback_duration_seconds".into()),
            &[1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0],
        )?
        .set_buckets_for_metric(
            Matcher::Full("rejoin_connection_duration_seconds".into()),
            &[1.0, 10.0, 60.0, 600.0, 3600.0, 6.0 * 3600.0, 24.0 * 3600.0],
        )?
        .set_buckets_for_metric(
            Matcher::Full("rejoin_broadcast_receivers".into()),
            &[0.0, 1.0, 10.0, 100.0, 1000.0, 10_000.0],
        )?
        .set_buckets_for_metric(
            Matcher::Full("rejoin_send_buffer_ratio".into()),
            &[0.1, 0.25, 0.5, 0.75, 0.9, 1.0],
        )
}

/// Serves the app until `stop` is ready. The recorder of `metrics` must already be installed, because the server describes its
/// metrics to it.
///
/// # Errors
/// Fails when the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: PrometheusHandle,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let server = server().map_err(io::Error::other)?;
    let page = metrics.clone();
    let app = Router::new()
        .route("/metrics", get(async move || ([(CONTENT_TYPE, "text/plain; version=0.0.4")], page.render())))
        .route_service("/ws", server.service());
    // Without TCP_NODELAY a small frame waits for the acknowledgement of the previous one.
    tokio::select! {
        result = axum::serve(listener, app) => result?,
        () = upkeep(metrics) => {}
        () = stop => drop(server.shutdown(SHUTDOWN).await),
    }
    Ok(())
}

fn server() -> Result<Server, ConfigError> {
    Server::builder(connect).on_message(handle_message).metrics(FacadeMetrics::new()).build()
}

async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    let room = request.query("room").ok_or_else(|| Reject::unauthorized("which room?"))?;
    Ok(Identity::new().with_room(room))
}

async fn handle_message(me: Connection, frame: Frame) {
    if frame.event() == "drop" {
        // Like a network failure: the client reconnects by itself and resumes.
        me.server().cut(me.id()).ok();
        return;
    }
    // Fails after a shutdown, when the room is empty anyway.
    me.broadcast(&frame).ok();
}

/// Discards old samples. Histograms keep every sample until the next scrape, so without scrapes they would grow forever.
async fn upkeep(metrics: PrometheusHandle) {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

/// A visitor that sends ten messages a second and loses its socket on every tenth, so that the metrics change. Returns when the
/// session ends.
///
/// # Errors
/// Fails when the server cannot be reached.
pub async fn visit(url: &str) -> Result<(), ConnectError> {
    let mut connection = Client::builder(url).connect().await?;
    let sender = connection.sender();
    let mut ticks = interval(Duration::from_millis(100));
    let mut said: u64 = 0;
    loop {
        tokio::select! {
            event = connection.recv() => match event {
                Some(Event::Closed(_)) | None => return Ok(()),
                Some(_) => {}
            },
            _ = ticks.tick() => {
                said += 1;
                let event = if said.is_multiple_of(10) { "drop" } else { "say" };
                // During a long outage the buffer fills up; the visitor does not mind losing a message.
                sender.send(&Frame::new(event, &said).expect("a number can be represented in JSON")).ok();
            }
        }
    }
}
