//! A server whose sessions are OpenTelemetry spans, printed to the terminal.
//!
//! ```sh
//! cargo run -p rejoin-examples --bin traces [HOST:PORT]
//! cargo run -p rejoin-examples --bin client -- 'ws://127.0.0.1:8086/'
//! ```
//!
//! Type messages into the client: the terminal of the server prints a span for each. Stop the client: its session is printed
//! when its resume window has passed, half a minute later. For a collector, replace the exporter by that of the crate
//! `opentelemetry-otlp`.

use std::process::ExitCode;
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use rejoin_examples::traces;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The deadline for sessions to end when the program stops.
const SHUTDOWN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8086".into());
    match run(&addr).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("traces: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(addr: &str) -> Result<(), Box<dyn std::error::Error>> {
    let exporter = opentelemetry_stdout::SpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
    tracing_subscriber::registry().with(traces::layer(&provider)).init();
    let server = traces::server()?;
    let listening = server.listen(addr).await?;
    println!("traces: ws://{}/", listening.local_addr());
    tokio::signal::ctrl_c().await?;
    server.shutdown(SHUTDOWN).await;
    // Exports the remaining spans.
    provider.shutdown()?;
    Ok(())
}
