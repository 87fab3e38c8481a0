//! `rejoin-testserver`: see [`rejoin_tests::testserver`].

use std::process::ExitCode;

use rejoin_tests::testserver::{Options, TestServer};

fn main() -> ExitCode {
    // Tasks that do not fit into their worker's queue wait in the global queue. Without this, a busy worker rarely checks it.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().global_queue_interval(3).build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve()),
        Err(error) => {
            eprintln!("no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for SIGINT or SIGTERM.
async fn stopped() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    tokio::signal::ctrl_c().await.ok();
}

async fn serve() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let options = match Options::parse(std::env::args().skip(1), |name| std::env::var(name).ok()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match TestServer::start(options).await {
        Ok((server, control_port)) => {
            eprintln!("READY:{}:{control_port}", server.port());
            stopped().await;
            server.shutdown().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
