//! The server's numbers for Prometheus, in an axum app: `/metrics` beside `/ws`.
//!
//! ```sh
//! cargo run -p rejoin-examples --bin metrics [HOST:PORT]
//! curl -s http://127.0.0.1:8084/metrics
//! ```
//!
//! A visitor of its own says something ten times a second, and loses the socket once a second. What one sees after some
//! seconds, among other lines; the numbers differ:
//!
//! ```text
//! # HELP rejoin_transport_drops_total sockets that sessions lost
//! # TYPE rejoin_transport_drops_total counter
//! rejoin_transport_drops_total{reason="cut"} 4
//! rejoin_resume_attempts_total 3
//! rejoin_transport_restores_total 3
//! rejoin_received_frames_total 41
//! rejoin_sent_frames_total 27
//! rejoin_connections 1
//! rejoin_retained_bytes 300
//! rejoin_callback_duration_seconds_bucket{callback="message",le="0.0001"} 41
//! ```
//!
//! Others may come: `cargo run -p rejoin-examples --bin client -- 'ws://127.0.0.1:8084/ws?room=lobby'`.

use std::process::ExitCode;

use rejoin_examples::metrics;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt::init();
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8084".into());
    match run(&addr).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("metrics: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(addr: &str) -> Result<(), Box<dyn std::error::Error>> {
    // First: what is counted while no recorder is there is lost.
    let handle = metrics::recorder()?.install_recorder()?;
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    println!("metrics: http://{addr}/metrics");
    let stop = async { tokio::signal::ctrl_c().await.expect("Ctrl-C can be listened for") };
    let url = format!("ws://{addr}/ws?room=lobby");
    tokio::select! {
        served = metrics::serve(listener, handle, stop) => served?,
        // The visitor comes back for ever, or could not come at all.
        visited = metrics::visit(&url) => visited?,
    }
    Ok(())
}
