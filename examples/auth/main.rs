//! Authentication: logins over HTTP, signed tokens, and rooms with access control.
//!
//! ```sh
//! cargo run -p rejoin-examples --bin auth
//! ```
//!
//! starts the server on a free port, connects to it in every way, and exits:
//!
//! ```text
//! ada logs in: 200 OK, a token for 300 s
//! ada, with a header → office: welcome {"you":"ada","room":"office","rooms":["lobby","office"]}
//! ada, with a cookie → office: welcome {"you":"ada","room":"office","rooms":["lobby","office"]}
//! ada, with a forged signature → office: 401 this token is not signed by us
//! ada, too late → office: 401 this token has expired
//! without a token → lobby: 401 log in first, and send the token
//! ben → lobby: welcome {"you":"ben","room":"lobby","rooms":["lobby"]}
//! ben → office: 403 ben may not enter office
//! ben, with another password: 401 Unauthorized, no such user, or not this password
//! ```
//!
//! With `--serve HOST:PORT` it serves your own clients until Ctrl-C:
//!
//! ```sh
//! cargo run -p rejoin-examples --bin auth -- --serve 127.0.0.1:8081
//! curl -H 'content-type: application/json' -d '{"user":"ada","password":"countess"}' http://127.0.0.1:8081/login
//! cargo run -p rejoin-examples --bin client -- ws://127.0.0.1:8081/ws/lobby TOKEN
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use rejoin_examples::auth::token::Signer;
use rejoin_examples::auth::{serve, tour};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt::init();
    let mut args = std::env::args().skip(1);
    let result = match (args.next().as_deref(), args.next(), args.next()) {
        (None, ..) => tour_and_end().await,
        (Some("--serve"), Some(addr), None) => stay(&addr).await,
        _ => {
            eprintln!("usage: auth [--serve HOST:PORT]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("auth: {error}");
            ExitCode::FAILURE
        }
    }
}

type Result = std::result::Result<(), Box<dyn Error + Send + Sync>>;

async fn tour_and_end() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let signer = Arc::new(Signer::random()?);
    tokio::select! {
        served = serve(listener, signer.clone(), std::future::pending()) => served?,
        toured = tour::tour(addr, &signer, |line| println!("{line}")) => toured?,
    }
    Ok(())
}

async fn stay(addr: &str) -> Result {
    let listener = TcpListener::bind(addr).await?;
    println!("auth: log in at http://{}/login", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.expect("a handler for Ctrl-C can be installed") };
    Ok(serve(listener, Arc::new(Signer::random()?), stop).await?)
}
