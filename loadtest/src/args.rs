//! The command line: one work, with its options.

use clap::{Parser, Subcommand};

use crate::common::Common;
use crate::work::{churn, connect, echo, fanout, idle, resume_storm};

/// Puts load on any rejoin server and measures it.
#[derive(Debug, Parser)]
#[command(name = "rejoin-loadtest", version, max_term_width = 110, after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) work: Work,
}

/// clap wraps it to the terminal's width, except for the examples.
const HELP: &str = concat!(
    "In the URL and in headers, {client} is replaced by the client's number, {room} by its room's, and {run} by a word unique to ",
    "the run:\n\n",
    "  rejoin-loadtest echo 'ws://127.0.0.1:9000/ws?id={client}'\n",
    "  rejoin-loadtest fanout 'wss://chat.example.com/ws?room=load-{room}' \\\n",
    "      --header 'authorization=Bearer test-{client}' --publish-event chat.message\n\n",
    "echo needs a server that sends a frame of --echo-event back; fanout needs one that broadcasts a frame of --publish-event to ",
    "the sender's room, payload unchanged; resume-storm uses both if available. rejoin-testserver does both.\n\n",
    "Ctrl-C stops and prints the figures so far.",
);

#[derive(Debug, Subcommand)]
pub(crate) enum Work {
    /// Handshakes per second: how fast clients connect
    Connect(connect::Options),
    /// Idle clients: the server's memory for each, if --pid names the server
    Idle(idle::Options),
    /// Round trips: each client sends, waits for the answer, and sends again
    Echo(echo::Options),
    /// Broadcasts: one client in each room publishes, all members measure the delivery
    Fanout(fanout::Options),
    /// Clients that connect and disconnect at a given rate
    Churn(churn::Options),
    /// Cuts all sockets at once: how long all clients take to resume, and whether any frame is lost or repeated
    ResumeStorm(resume_storm::Options),
}

impl Work {
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Connect(options) => &options.common,
            Self::Idle(options) => &options.common,
            Self::Echo(options) => &options.common,
            Self::Fanout(options) => &options.common,
            Self::Churn(options) => &options.common,
            Self::ResumeStorm(options) => &options.common,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_definition_is_valid() {
        Args::command().debug_assert();
    }
}
