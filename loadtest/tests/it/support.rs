//! The tool, and servers to run it against.

use std::process::Stdio;
use std::sync::Arc;

use rejoin_server::{Builder, ConnectRequest, Identity, Reject, ServeHandle, Server};
use rejoin_tests::harness::within;
use rejoin_tests::testserver::{Options, TestServer};
use serde_json::Value;
use tokio::process::Command;

/// The tool's output and exit status.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The report of a successful run.
    pub(crate) fn report(&self) -> Value {
        assert_eq!(self.status, 0, "{}", self.stderr);
        assert_eq!(self.stderr, "", "no progress bar where there is no terminal");
        serde_json::from_str(&self.stdout).expect("with --json it prints one JSON object")
    }
}

/// The tool with these arguments, separated by spaces.
pub(crate) fn tool(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin-loadtest"));
    command.args(args.split_whitespace()).stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub(crate) async fn run(command: &mut Command) -> Ran {
    let output = within("the end of the tool", command.output()).await.unwrap();
    Ran {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A test server, and a URL that gives each client its ID and room.
pub(crate) async fn test_server() -> (Arc<TestServer>, String) {
    let (server, _) = TestServer::start(Options::default()).await.unwrap();
    let url = format!("ws://127.0.0.1:{}/ws?id=c{{client}}&room={{room}}", server.port());
    (server, url)
}

/// A server with these options.
pub(crate) async fn server(configure: impl FnOnce(Builder) -> Builder) -> (Server, ServeHandle, String) {
    let server = configure(Server::builder(connect)).build().unwrap();
    let listening = server.listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws?id=c{{client}}&room={{room}}", listening.local_addr());
    (server, listening, url)
}

/// Refuses a wrong `Authorization` header.
async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    if request.header("authorization").is_some_and(|value| !value.starts_with("Bearer key-")) {
        return Err(Reject::unauthorized("this is no key"));
    }
    let id = request.query("id").unwrap_or_default();
    Ok(Identity::new().with_room(request.query("room").unwrap_or_default()).with_id(id))
}
