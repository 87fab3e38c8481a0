//! `chat [--addr HOST:PORT]`: starts the chat and prints its address.

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use tokio::net::TcpListener;

const DEFAULT_ADDR: &str = "127.0.0.1:8080";

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt::init();
    let mut args = std::env::args().skip(1);
    let addr = match (args.next().as_deref(), args.next(), args.next()) {
        (None, ..) => None,
        (Some("--addr"), Some(addr), None) => Some(addr),
        _ => {
            eprintln!("usage: chat [--addr HOST:PORT]");
            return ExitCode::from(2);
        }
    };
    match run(addr).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(addr: Option<String>) -> io::Result<()> {
    let listener = match addr {
        Some(addr) => TcpListener::bind(&addr).await.map_err(|error| at(&addr, &error))?,
        None => listen_by_default().await?,
    };
    println!("chat: open http://{} in two windows", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.expect("a handler for Ctrl-C can be installed") };
    rejoin_chat::serve(listener, stop).await.map_err(io::Error::other)
}

/// Listens on the default address, or on a free port if that address is taken.
async fn listen_by_default() -> io::Result<TcpListener> {
    match TcpListener::bind(DEFAULT_ADDR).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            println!("chat: {DEFAULT_ADDR} is taken, using a free port");
            TcpListener::bind("127.0.0.1:0").await
        }
        result => result.map_err(|error| at(DEFAULT_ADDR, &error)),
    }
}

fn at(addr: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}"))
}
