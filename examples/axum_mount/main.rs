//! rejoin mounted in an axum app: HTTP routes and sessions share state, announcements arrive over HTTP, and one shutdown ends both.
//!
//! ```sh
//! cargo run -p rejoin-examples --bin axum_mount [HOST:PORT]
//! cargo run -p rejoin-examples --bin client -- 'ws://127.0.0.1:8082/rooms/lobby/ws'
//! ```
//!
//! The output of the client's terminal, with `>` before typed lines, and of a third terminal, with `$` before commands:
//!
//! ```text
//! -- Connected: ID in lobby
//! > hello
//! say {"text":"hello"}
//! $ curl http://127.0.0.1:8082/rooms/lobby
//! [{"id":"ID","from":"127.0.0.1:PORT","attached":true}]
//! $ curl -d 'Lunch!' http://127.0.0.1:8082/rooms/lobby/announce
//! {"receivers":1}
//! announcement "Lunch!"
//! $ curl http://127.0.0.1:8082/
//! 1 connected, 1 rooms, 1 announcements made
//! (Ctrl-C ends the app: it prints that every session has ended)
//! -- disconnected: closed by the peer with 1001 server shutting down
//! (Ctrl-D)
//! -- over: closed by the application; not acknowledged: 0
//! ```

use std::io;
use std::process::ExitCode;

use rejoin_examples::axum_mount;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt::init();
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8082".into());
    match run(&addr).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axum_mount: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(addr: &str) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    println!("axum_mount: http://{}", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.expect("a handler for Ctrl-C can be installed") };
    match axum_mount::serve(listener, stop).await? {
        0 => println!("axum_mount: every session has ended"),
        left => println!("axum_mount: {left} sessions did not end in time"),
    }
    Ok(())
}
