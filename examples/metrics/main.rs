//! A server's metrics for Prometheus, in an axum app: `/metrics` beside `/ws`.
//!
//! ```sh
//! cargo run -p rejoin-examples --bin metrics [HOST:PORT]
//! curl -s http://127.0.0.1:8084/metrics
//! ```
//!
//! A built-in visitor sends ten messages a second and loses its socket once a second. After some seconds the page contains, among
//! other lines and with other numbers:
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
//! `grafana.json` beside this file is a board for Grafana that shows all of them: *Dashboards, New, Import*, then choose the data
//! source of a Prometheus that scrapes this page.
//!
//! Connect more clients with `cargo run -p rejoin-examples --bin client -- 'ws://127.0.0.1:8084/ws?room=lobby'`.

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
    // Installed first, because counts without a recorder are lost.
    let handle = metrics::recorder()?.install_recorder()?;
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    println!("metrics: http://{addr}/metrics");
    let stop = async { tokio::signal::ctrl_c().await.expect("a handler for Ctrl-C can be installed") };
    let url = format!("ws://{addr}/ws?room=lobby");
    tokio::select! {
        served = metrics::serve(listener, handle, stop) => served?,
        // The visitor reconnects forever, so it only returns if its first dial failed.
        visited = metrics::visit(&url) => visited?,
    }
    Ok(())
}
