//! A terminal client: sends what you type, prints every event, and reconnects by itself.
//!
//! ```sh
//! cargo run -p rejoin-examples --bin client -- URL [TOKEN]
//! ```
//!
//! The token is sent as `Authorization: Bearer`; the example `auth` issues tokens. A typed line is sent as `say {"text":…}`, an
//! empty line prints the connection's state, and Ctrl-D closes the connection. To try it with the chat and a cable that you can
//! cut:
//!
//! ```sh
//! cargo run -p rejoin-chat
//! socat tcp-listen:9000,reuseaddr,fork tcp:127.0.0.1:8080
//! cargo run -p rejoin-examples --bin client -- 'ws://127.0.0.1:9000/ws?room=lobby&name=Ada'
//! ```
//!
//! Typed lines are marked with `>` here, and payloads from the chat are shortened:
//!
//! ```text
//! -- Connected: ID in lobby
//! welcome {…}
//! joined {…}
//! > hello
//! said {…}
//! (Ctrl-C ends socat)
//! -- disconnected: unexpected end of file
//! >
//! -- Reconnecting: ID in lobby
//! > this is kept
//! (socat is started again, within 30 s)
//! -- reconnected
//! away {…}
//! back {…}
//! said {…}
//! >
//! -- Connected: ID in lobby
//! (Ctrl-D)
//! -- over: closed by the application; not acknowledged: 0
//! ```
//!
//! After more than 30 s the session has ended. Instead of the replay the client prints `-- session lost`, `-- reconnected`, and the
//! welcome of a fresh session. If the chat itself is restarted within that time, the session goes on: the chat has a store.

use std::io::BufRead as _;
use std::process::ExitCode;

use rejoin_examples::client;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt::init();
    let mut args = std::env::args().skip(1);
    let (Some(url), token, None) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: client URL [TOKEN]");
        return ExitCode::from(2);
    };
    match client::run(&url, token.as_deref(), typed(), |line| println!("{line}")).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("client: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The lines of standard input. They come from a separate thread because a blocking read cannot be cancelled, and the program
/// must end when the connection does.
fn typed() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
