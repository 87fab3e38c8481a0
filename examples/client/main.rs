//! A client for a terminal: says what is typed, prints what it is told, and comes back by itself.
//!
//! ```sh
//! cargo run -p rejoin-examples --bin client -- URL [TOKEN]
//! ```
//!
//! A token is sent as `Authorization: Bearer`; the example `auth` gives some away. A line that is typed is sent as
//! `say {"text":…}`, an empty one prints where the connection stands, and Ctrl-D closes it. Against the chat, with a cable in
//! between that can be cut:
//!
//! ```sh
//! cargo run -p rejoin-chat
//! socat tcp-listen:9000,reuseaddr,fork tcp:127.0.0.1:8080
//! cargo run -p rejoin-examples --bin client -- 'ws://127.0.0.1:9000/ws?room=lobby&name=Ada'
//! ```
//!
//! What is typed is marked by `>` here, and what the chat says is cut short:
//!
//! ```text
//! -- Connected: ID in lobby
//! welcome {…}
//! joined {…}
//! > hello
//! said {…}
//! (Ctrl-C ends socat)
//! -- dropped: unexpected end of file
//! >
//! -- Reconnecting: ID in lobby
//! > this is kept
//! (socat is started again, within 30 s)
//! -- restored
//! away {…}
//! back {…}
//! said {…}
//! >
//! -- Connected: ID in lobby
//! (Ctrl-D)
//! -- over: closed by the application; not acknowledged: 0
//! ```
//!
//! After more than 30 s, or when the chat itself was started again, the session is gone: instead of the replay comes
//! `-- session lost`, and the welcome of a fresh one.

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

/// The lines of standard input. From a thread of their own, as a read that waits for a line cannot be called off: the program
/// is to end when the connection does.
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
