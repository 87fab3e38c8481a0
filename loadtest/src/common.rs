//! Options that all works share, and the values of options. Each work defines its own options.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

/// Options of every work.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// The server's URL: ws://… or wss://…, with placeholders
    pub(crate) url: String,
    /// Number of clients
    #[arg(long, short = 'n', default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) clients: u32,
    /// Number of rooms that {room} is spread over
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rooms: u32,
    /// Use plain mode, for servers without rejoin's session mode
    #[arg(long)]
    pub(crate) plain: bool,
    /// The wire format
    #[arg(long, value_enum, default_value_t = CodecName::Json)]
    pub(crate) codec: CodecName,
    /// A header of each upgrade request, with placeholders; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
    /// Trust only the certificate authorities in this file (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Number of concurrent handshakes
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) concurrency: u32,
    /// Timeout for a handshake or an answer, in seconds
    #[arg(long, default_value = "10", value_name = "SECS", value_parser = positive_seconds)]
    pub(crate) timeout: Duration,
    /// The server's process ID: adds its CPU time and memory to the report, from /proc
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Threads of this tool; default: one per core
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
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.trim().is_empty() {
        return Err("expected a name before `=`".into());
    }
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Seconds, from 0 to a day.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    if !(0.0..=86_400.0).contains(&seconds) {
        return Err("expected 0 to 86,400 seconds".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Seconds, more than 0 and at most the longest handshake timeout.
pub(crate) fn positive_seconds(text: &str) -> Result<Duration, String> {
    seconds(text).and_then(|time| match time {
        time if time.is_zero() || time > Duration::from_secs(120) => {
            Err("expected more than 0 and at most 120 seconds".into())
        }
        time => Ok(time),
    })
}

/// Events per second, more than 0.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= 10_000_000.0 => Ok(rate),
        _ => Err("expected a number above 0 and at most 10,000,000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_split_at_the_first_equals_sign() {
        let (name, value) = header("cookie=session={client}").unwrap();
        assert_eq!((name.as_str(), value.as_str()), ("cookie", "session={client}"));
        assert!(header("authorization").is_err());
        assert!(header("=x").is_err());
    }

    #[test]
    fn times_and_rates_have_limits() {
        assert_eq!(seconds("0.5").unwrap(), Duration::from_millis(500));
        for wrong in ["-1", "NaN", "1e9", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert!(positive_seconds("0").is_err());
        assert!(rate("0").is_err());
    }
}
