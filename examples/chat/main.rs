//! `chat [--addr HOST:PORT] [--data DIR]`: starts the chat and prints its address.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;

use rejoin_store_local::{LocalError, LocalStore};
use tokio::net::TcpListener;

const DEFAULT_ADDR: &str = "127.0.0.1:8080";

const USAGE: &str = "\
usage: chat [--addr HOST:PORT] [--data DIR]

--addr is 127.0.0.1:8080 by default, or a free port if that is taken.
--data is where sessions outlive the program; rejoin-chat in the user's folder for such data by default.";

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt::init();
    let (mut addr, mut data) = (None, None);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        match (name.as_str(), args.next()) {
            ("--addr", Some(value)) => addr = Some(value),
            ("--data", Some(value)) => data = Some(PathBuf::from(value)),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    match run(addr, data).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(addr: Option<String>, data: Option<PathBuf>) -> io::Result<()> {
    let store = open(data).map_err(io::Error::other)?;
    let listener = match addr {
        Some(addr) => TcpListener::bind(&addr).await.map_err(|error| at(&addr, &error))?,
        None => listen_by_default().await?,
    };
    println!("chat: open http://{} in two windows", listener.local_addr()?);
    rejoin_chat::serve(listener, store, stopped()).await.map_err(io::Error::other)
}

/// Opens the store. A second chat on this machine finds the directory locked, and runs without a store.
fn open(data: Option<PathBuf>) -> Result<Option<LocalStore>, LocalError> {
    let is_chosen = data.is_some();
    let data = data.unwrap_or_else(default_data);
    match LocalStore::open(&data) {
        Ok(store) => {
            println!("chat: sessions are kept in {}", data.display());
            Ok(Some(store))
        }
        Err(LocalError::Locked { .. }) if !is_chosen => {
            println!("chat: another chat has {}; sessions of this one end with it", data.display());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// `rejoin-chat` in the user's folder for data that programs keep over restarts.
fn default_data() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    folder("XDG_STATE_HOME")
        .or_else(|| folder("LOCALAPPDATA"))
        .or_else(|| Some(folder("HOME")?.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir)
        .join("rejoin-chat")
}

/// Waits for Ctrl-C or SIGTERM.
async fn stopped() {
    let interrupt = async { tokio::signal::ctrl_c().await.expect("a handler for Ctrl-C can be installed") };
    #[cfg(unix)]
    {
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        let mut terminate = terminate.expect("a handler for SIGTERM can be installed");
        tokio::select! {
            () = interrupt => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    interrupt.await;
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
