//! rejoin mounted in an axum app: state that HTTP routes and sessions share, announcements over HTTP, one shutdown for both.
//!
//! ```sh
//! cargo run -p rejoin-examples --bin axum_mount [HOST:PORT]
//! cargo run -p rejoin-examples --bin client -- 'ws://127.0.0.1:8082/ws?room=lobby'
//! ```
//!
//! What one sees in the client's terminal, with `>` before what is typed there, and in a third one, with `$`:
//!
//! ```text
//! -- Connected: ID in lobby
//! > hello
//! say {"text":"hello"}
//! $ curl http://127.0.0.1:8082/rooms/lobby
//! [{"id":"ID","from":"127.0.0.1:PORT","attached":true}]
//! $ curl -d 'Lunch!' http://127.0.0.1:8082/rooms/lobby/announce
//! {"told":1}
//! announcement "Lunch!"
//! $ curl http://127.0.0.1:8082/
//! 1 connected, 1 rooms, 1 announcements made
//! (Ctrl-C ends the app: it prints that every session has ended)
//! -- dropped: closed by the peer with 1001 server shutting down
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
    let stop = async { tokio::signal::ctrl_c().await.expect("Ctrl-C can be listened for") };
    match axum_mount::serve(listener, stop).await? {
        0 => println!("axum_mount: every session has ended"),
        left => println!("axum_mount: {left} sessions were cut short"),
    }
    Ok(())
}
