//! A server that leaves in order on SIGTERM: newcomers are refused, sockets are closed in waves, and sessions are kept meanwhile.
//!
//! ```sh
//! cargo run -p rejoin-examples --bin drain [HOST:PORT]
//! cargo run -p rejoin-examples --bin client -- 'ws://127.0.0.1:8085/ws'
//! curl -i http://127.0.0.1:8085/readyz
//! kill %1
//! ```

use std::io;
use std::process::ExitCode;

use rejoin_examples::drain;
use rejoin_server::Pace;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt::init();
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8085".into());
    match run(&addr).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drain: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(addr: &str) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    println!("drain: ws://{}/ws", listener.local_addr()?);
    let stop = terminated()?;
    let closed = drain::serve(listener, Pace::per_second(200), stop).await?;
    println!("drain: {closed} sockets were asked to come back elsewhere");
    Ok(())
}

/// Waits for SIGTERM, which supervisors send, or for Ctrl-C.
#[cfg(unix)]
fn terminated() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    // Installed now: a signal that comes before the future is polled must not end the process.
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn terminated() -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async { tokio::signal::ctrl_c().await.expect("a handler for Ctrl-C can be installed") })
}
