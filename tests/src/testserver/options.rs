//! The command line of the test server.

use std::fmt;
use std::time::Duration;

use rejoin_server::{Builder, Durability, JsonCodec, MsgpackCodec, ProtobufCodec, RatePolicy};

/// The options of the test server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The address for WebSocket connections. Default `127.0.0.1:0`, or the port in `PORT`.
    pub addr: String,
    /// The address for commands. Default `127.0.0.1:0`, or the port in `CONTROL_PORT`.
    pub control: String,
    /// Default 30 s; 0 turns resuming off.
    pub resume_window: Duration,
    /// In frames; default: the server's.
    pub send_buffer: Option<usize>,
    /// In bytes; default: the server's.
    pub send_buffer_bytes: Option<usize>,
    /// In bytes; default: the server's.
    pub max_message_size: Option<usize>,
    /// Default: the server's.
    pub write_timeout: Option<Duration>,
    /// Default: the server's.
    pub close_timeout: Option<Duration>,
    /// The frames of history per room; default: none.
    pub rewind: Option<usize>,
    /// Sessions of the server; default: any number.
    pub max_connections: Option<usize>,
    /// Sessions of a user; default: any number.
    pub max_per_user: Option<usize>,
    /// Rooms of a connection; default: any number.
    pub max_rooms: Option<usize>,
    /// Messages of a connection per second; default: any number.
    pub rate: Option<u64>,
    /// The policy beyond that; default: the server's.
    pub rate_policy: RatePolicy,
    /// The directory of a store; default: none.
    pub store: Option<String>,
    /// The name among the servers of a store.
    pub node: Option<String>,
    /// When acts and inputs reach the store.
    pub durability: Durability,
    /// In this order; plain clients get the first. Default: all, JSON first.
    pub codecs: Vec<CodecName>,
}

/// A codec that the test server can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecName {
    /// JSON.
    Json,
    /// MessagePack.
    Msgpack,
    /// Protobuf.
    Protobuf,
}

impl CodecName {
    const ALL: [Self; 3] = [Self::Json, Self::Msgpack, Self::Protobuf];

    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Msgpack => "msgpack",
            Self::Protobuf => "protobuf",
        }
    }

    pub(super) fn add_to(self, builder: Builder) -> Builder {
        match self {
            Self::Json => builder.codec(JsonCodec),
            Self::Msgpack => builder.codec(MsgpackCodec),
            Self::Protobuf => builder.codec(ProtobufCodec),
        }
    }
}

/// An invalid command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{USAGE}", self.0)
    }
}

impl std::error::Error for UsageError {}

const USAGE: &str = "\
usage: rejoin-testserver [--addr HOST:PORT] [--control HOST:PORT] [--resume-window SECS] [--send-buffer FRAMES]
                         [--send-buffer-bytes BYTES] [--max-message-size BYTES] [--write-timeout SECS]
                         [--close-timeout SECS] [--max-connections N] [--max-per-user N] [--max-rooms N] [--rate FRAMES]
                         [--rate-policy delay|close] [--codecs NAME,..] [--rewind FRAMES] [--store local:DIR]
                         [--node NAME] [--durability process|handover|commit]

--codecs is json,msgpack,protobuf by default; the first is that of connections in plain mode.
--addr and --control are 127.0.0.1:0 by default, or take their port from PORT and CONTROL_PORT.
READY:<port>:<control port> on stderr says that both are listened on.";

/// Options in the contract of test servers that this one does not support.
const UNSUPPORTED: [&str; 1] = ["--compression"];

impl Options {
    /// Parses the arguments, without the program's name, and the environment.
    ///
    /// # Errors
    /// Fails for unknown arguments, and lists the known ones.
    pub fn parse(
        args: impl IntoIterator<Item = String>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, UsageError> {
        let local = |name: &str| format!("127.0.0.1:{}", env(name).unwrap_or_else(|| "0".into()));
        let mut options = Self { addr: local("PORT"), control: local("CONTROL_PORT"), ..Self::default() };
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or_else(|| UsageError(format!("{name} takes a value")));
            match name.as_str() {
                "--addr" => options.addr = value()?,
                "--control" => options.control = value()?,
                "--resume-window" => options.resume_window = seconds(&name, &value()?)?,
                "--write-timeout" => options.write_timeout = Some(seconds(&name, &value()?)?),
                "--close-timeout" => options.close_timeout = Some(seconds(&name, &value()?)?),
                "--send-buffer-bytes" => options.send_buffer_bytes = Some(number(&name, &value()?)?),
                "--send-buffer" => options.send_buffer = Some(number(&name, &value()?)?),
                "--max-message-size" => options.max_message_size = Some(number(&name, &value()?)?),
                "--rewind" => options.rewind = Some(number(&name, &value()?)?),
                "--max-connections" => options.max_connections = Some(number(&name, &value()?)?),
                "--max-per-user" => options.max_per_user = Some(number(&name, &value()?)?),
                "--max-rooms" => options.max_rooms = Some(number(&name, &value()?)?),
                "--rate" => options.rate = Some(number(&name, &value()?)?),
                "--rate-policy" => options.rate_policy = rate_policy(&value()?)?,
                "--store" => options.store = Some(store(&value()?)?),
                "--node" => options.node = Some(value()?),
                "--durability" => options.durability = durability(&value()?)?,
                "--codecs" => options.codecs = codecs(&value()?)?,
                _ if UNSUPPORTED.contains(&&*name) => {
                    return Err(UsageError(format!("{name} is not supported by this server")));
                }
                _ => return Err(UsageError(format!("unknown argument {name}"))),
            }
        }
        Ok(options)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: "127.0.0.1:0".into(),
            control: "127.0.0.1:0".into(),
            resume_window: Duration::from_secs(30),
            send_buffer: None,
            send_buffer_bytes: None,
            max_message_size: None,
            write_timeout: None,
            close_timeout: None,
            rewind: None,
            max_connections: None,
            max_per_user: None,
            max_rooms: None,
            rate: None,
            rate_policy: RatePolicy::default(),
            store: None,
            node: None,
            durability: Durability::default(),
            codecs: CodecName::ALL.into(),
        }
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, UsageError> {
    value.parse().map_err(|_| UsageError(format!("{name} takes a number, not {value}")))
}

fn seconds(name: &str, value: &str) -> Result<Duration, UsageError> {
    let seconds = number(name, value)?;
    Duration::try_from_secs_f64(seconds).map_err(|error| UsageError(format!("{name}: {error}")))
}

fn rate_policy(name: &str) -> Result<RatePolicy, UsageError> {
    match name {
        "delay" => Ok(RatePolicy::Delay),
        "close" => Ok(RatePolicy::Close),
        _ => Err(UsageError(format!("unknown rate policy {name}"))),
    }
}

fn store(name: &str) -> Result<String, UsageError> {
    match name.split_once(':') {
        Some(("local", directory)) if !directory.is_empty() => Ok(directory.into()),
        _ => Err(UsageError(format!("--store is local:DIR; {name} is not supported by this server"))),
    }
}

fn durability(name: &str) -> Result<Durability, UsageError> {
    match name {
        "process" => Ok(Durability::Process),
        "handover" => Ok(Durability::Handover),
        "commit" => Ok(Durability::Commit),
        _ => Err(UsageError(format!("--durability {name} is not supported by this server"))),
    }
}

fn codecs(names: &str) -> Result<Vec<CodecName>, UsageError> {
    let read = |name| {
        let found = CodecName::ALL.into_iter().find(|codec| codec.name() == name);
        found.ok_or_else(|| UsageError(format!("unknown codec {name}")))
    };
    names.split(',').map(str::trim).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, UsageError> {
        Options::parse(line.split_whitespace().map(str::to_owned), |name| {
            (name == "PORT").then(|| "4711".to_owned())
        })
    }

    #[test]
    fn reads_every_option() {
        let options = parse(
            "--addr [::1]:1 --control h:2 --resume-window 1.5 --send-buffer 3 --max-message-size 4 --codecs protobuf,json \
             --send-buffer-bytes 5 --write-timeout 0.5 --close-timeout 2 --max-connections 6 --max-per-user 7 --max-rooms 8 \
             --rewind 7 --rate 9 --rate-policy close",
        )
        .unwrap();
        assert_eq!((options.addr.as_str(), options.control.as_str()), ("[::1]:1", "h:2"));
        assert_eq!(options.resume_window, Duration::from_millis(1500));
        assert_eq!((options.send_buffer, options.max_message_size), (Some(3), Some(4)));
        assert_eq!(options.send_buffer_bytes, Some(5));
        let limits = [options.max_connections, options.max_per_user, options.max_rooms];
        assert_eq!(limits, [6, 7, 8].map(Some));
        assert_eq!((options.rate, options.rate_policy), (Some(9), RatePolicy::Close));
        assert_eq!(options.write_timeout, Some(Duration::from_millis(500)));
        assert_eq!(options.close_timeout, Some(Duration::from_secs(2)));
        assert_eq!(options.rewind, Some(7));
        assert_eq!(options.codecs, [CodecName::Protobuf, CodecName::Json]);
    }

    #[test]
    fn takes_ports_from_the_environment() {
        let options = parse("").unwrap();
        assert_eq!((options.addr.as_str(), options.control.as_str()), ("127.0.0.1:4711", "127.0.0.1:0"));
    }

    #[test]
    fn names_unknown_and_unsupported_arguments() {
        for (line, unsupported) in [
            ("--compression on", "--compression is not supported"),
            ("--store redis://x", "--store is local:DIR"),
            ("--durability never", "--durability never is not supported"),
        ] {
            assert!(parse(line).unwrap_err().to_string().starts_with(unsupported), "{line}");
        }
        let kept = parse("--store local:x --node a --durability process").unwrap();
        assert_eq!((kept.store.as_deref(), kept.node.as_deref()), (Some("x"), Some("a")));
        assert_eq!(kept.durability, Durability::Process);
        assert_eq!(parse("--durability handover").unwrap().durability, Durability::Handover);
        for line in [
            "--write-timeout NaN",
            "--close-timeout -1",
            "--send-buffer-bytes 1.5",
            "--bogus",
            "--addr",
            "--send-buffer many",
            "--resume-window -1",
            "--codecs xml",
            "--rate-policy panic",
        ] {
            assert!(parse(line).unwrap_err().to_string().contains("usage:"), "{line}");
        }
    }
}
