//! The command line: what all works have in common. What is a work's own stands with the work.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::work::{churn, connect, echo, fanout, idle, resume_storm};

/// Puts load on a rejoin server, any of them, and says what it took.
#[derive(Debug, Parser)]
#[command(name = "rejoin-loadtest", version, max_term_width = 110, after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) work: Work,
}

/// Wrapped to the terminal's width, but for the examples.
const HELP: &str = concat!(
    "In the URL and in headers {client} stands for the client's number, {room} for its room's, {run} for a word that no other ",
    "run has:\n\n",
    "  rejoin-loadtest echo 'ws://127.0.0.1:9000/ws?id={client}'\n",
    "  rejoin-loadtest fanout 'wss://chat.example.com/ws?room=load-{room}' \\\n",
    "      --header 'authorization=Bearer test-{client}' --publish-event chat.message\n\n",
    "echo needs a server that sends a frame of --echo-event back, fanout one that broadcasts a frame of --publish-event to the ",
    "sender's room, its payload unchanged; resume-storm uses both where they are there. rejoin-testserver does.\n\n",
    "Ctrl-C ends with the figures so far.",
);

#[derive(Debug, Subcommand)]
pub(crate) enum Work {
    /// Handshakes per second: how fast so many clients connect
    Connect(connect::Options),
    /// Clients that do nothing: what each costs the server in memory, where --pid names it
    Idle(idle::Options),
    /// Round trips: each client sends, waits for the answer, and sends again
    Echo(echo::Options),
    /// Broadcasts: one client in each room publishes, all others measure when it arrives
    Fanout(fanout::Options),
    /// Clients that come and go at a rate
    Churn(churn::Options),
    /// All sockets are cut at once and all clients come back: how long that takes, and whether anything is lost or repeated
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

/// What every work is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// The server: ws://… or wss://…, with placeholders
    pub(crate) url: String,
    /// How many clients
    #[arg(long, short = 'n', default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) clients: u32,
    /// How many rooms {room} is spread over
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rooms: u32,
    /// Plain mode: for servers that do not speak rejoin's session mode
    #[arg(long)]
    pub(crate) plain: bool,
    /// The wire format
    #[arg(long, value_enum, default_value_t = CodecName::Json)]
    pub(crate) codec: CodecName,
    /// A header of each upgrade, with placeholders; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
    /// Trust the authorities in this file (PEM), and nobody else
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// How many handshakes are under way at a time
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) concurrency: u32,
    /// How long a handshake, or an answer, may take, in seconds
    #[arg(long, default_value = "10", value_name = "SECS", value_parser = positive_seconds)]
    pub(crate) timeout: Duration,
    /// The server's process: adds its CPU time and memory, from /proc
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Threads of this tool; default: one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodecName {
    Json,
    Msgpack,
    Protobuf,
}

impl CodecName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Msgpack => "msgpack",
            Self::Protobuf => "protobuf",
        }
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has to be NAME=VALUE")?;
    if name.trim().is_empty() {
        return Err("it has no name".into());
    }
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Seconds, 0 included, no more than a day.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it has to be a number of seconds".to_owned())?;
    if !(0.0..=86_400.0).contains(&seconds) {
        return Err("it has to be 0 to 86400 seconds".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Seconds, more than 0, as long as a handshake may take at most.
pub(crate) fn positive_seconds(text: &str) -> Result<Duration, String> {
    seconds(text).and_then(|time| match time {
        time if time.is_zero() || time > Duration::from_secs(120) => {
            Err("it has to be more than 0 and at most 120 seconds".into())
        }
        time => Ok(time),
    })
}

/// Events per second, more than 0.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= 10_000_000.0 => Ok(rate),
        _ => Err("it has to be a number more than 0, and at most 10000000".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn headers_are_split_at_the_first_equals_sign() {
        let (name, value) = header("cookie=session={client}").unwrap();
        assert_eq!((name.as_str(), value.as_str()), ("cookie", "session={client}"));
        assert!(header("authorization").is_err());
        assert!(header("=x").is_err());
    }

    #[test]
    fn times_and_rates_are_in_their_range() {
        assert_eq!(seconds("0.5").unwrap(), Duration::from_millis(500));
        for wrong in ["-1", "NaN", "1e9", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert!(positive_seconds("0").is_err());
        assert!(rate("0").is_err());
    }
}
