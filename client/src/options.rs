//! [`ClientOptions`]: the options of a client, their defaults and their ranges.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use rejoin_codecs::JsonCodec;
use rejoin_core::{Codec, Mode, Overflow, SessionConfig, Side};

use crate::backoff::Jitter;
use crate::error::ConfigError;
use crate::sources::{Connector, DialHeaders, DialToken, DialUrl};
use crate::tls::TlsOptions;

/// The options. The methods of [`ClientBuilder`](crate::ClientBuilder) document them.
#[derive(Clone)]
pub(crate) struct ClientOptions {
    pub(crate) codec: Arc<dyn Codec>,
    pub(crate) mode: Mode,
    pub(crate) reconnect: bool,
    pub(crate) base_delay: Duration,
    pub(crate) max_delay: Duration,
    /// `None` is unlimited.
    pub(crate) max_retries: Option<u32>,
    pub(crate) ping_interval: Duration,
    pub(crate) pong_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) ask_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) close_timeout: Duration,
    /// `None` is unlimited.
    pub(crate) max_message_size: Option<usize>,
    pub(crate) send_buffer: usize,
    pub(crate) send_buffer_bytes: usize,
    pub(crate) overflow: Overflow,
    pub(crate) headers: HeaderMap,
    pub(crate) dial_headers: Option<DialHeaders>,
    pub(crate) dial_url: Option<DialUrl>,
    pub(crate) dial_token: Option<DialToken>,
    pub(crate) cookies: bool,
    pub(crate) jitter: Jitter,
    pub(crate) connector: Option<Connector>,
    pub(crate) tls: TlsOptions,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            codec: Arc::new(JsonCodec),
            mode: Mode::Session,
            reconnect: true,
            base_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(30),
            max_retries: None,
            ping_interval: Duration::from_secs(20),
            pong_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            ask_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            max_message_size: Some(MIB),
            send_buffer: 256,
            send_buffer_bytes: 1 << 20,
            overflow: Overflow::Reject,
            headers: HeaderMap::new(),
            dial_headers: None,
            dial_url: None,
            dial_token: None,
            cookies: true,
            jitter: Jitter::Random,
            connector: None,
            tls: TlsOptions::default(),
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;

impl ClientOptions {
    /// Checks that each option is in its range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let positive = |time: Duration, most: Duration| !time.is_zero() && time <= most;
        let (base, max) = (self.base_delay, self.max_delay);
        require(
            positive(base, MINUTE) && base <= max && max <= 5 * MINUTE,
            "reconnect",
            &(base, max),
            "0 < base <= max, base at most 1 min, max at most 5 min",
        )?;
        require(
            self.max_retries.is_none_or(|retries| (1..=32).contains(&retries)),
            "max_retries",
            &self.max_retries.unwrap_or_default(),
            "1 to 32, `None` for no limit, or `no_reconnect` for no reconnects",
        )?;
        let (ping, pong) = (self.ping_interval, self.pong_timeout);
        require(
            !ping.is_zero() && ping < pong && pong <= 10 * MINUTE,
            "heartbeat",
            &(ping, pong),
            "0 < ping < pong <= 10 min",
        )?;
        require(
            positive(self.write_timeout, MINUTE / 2),
            "write_timeout",
            &self.write_timeout,
            "more than 0, at most 30 s",
        )?;
        require(!self.ask_timeout.is_zero(), "ask_timeout", &self.ask_timeout, "more than 0")?;
        require(
            positive(self.handshake_timeout, MINUTE),
            "handshake_timeout",
            &self.handshake_timeout,
            "more than 0, at most 1 min",
        )?;
        require(
            positive(self.close_timeout, 2 * MINUTE),
            "close_timeout",
            &self.close_timeout,
            "more than 0, at most 2 min",
        )?;
        require(
            self.max_message_size.is_none_or(|bytes| (1..=64 * MIB).contains(&bytes)),
            "max_message_size",
            &self.max_message_size.unwrap_or_default(),
            "1 byte to 64 MiB, or `None` for no limit",
        )?;
        require(
            (1..=65_536).contains(&self.send_buffer),
            "send_buffer",
            &self.send_buffer,
            "1 to 65,536 frames",
        )?;
        require(
            self.send_buffer_bytes >= 1,
            "send_buffer_bytes",
            &self.send_buffer_bytes,
            "at least 1 byte",
        )?;
        require(
            self.dial_token.is_none() || self.mode == Mode::Session,
            "token",
            &self.mode,
            "session mode, whose subprotocols carry it",
        )?;
        self.check_headers(&self.headers)?;
        require(
            rejoin_core::is_codec_name(self.codec.name()),
            "codec",
            &self.codec.name(),
            "a name of 1 to 32 characters of [a-z0-9_-]",
        )
    }

    /// Checks that a dial may send these headers.
    pub(crate) fn check_headers(&self, headers: &HeaderMap) -> Result<(), ConfigError> {
        for name in headers.keys() {
            let why = match name.as_str() {
                "sec-websocket-protocol" if self.mode == Mode::Plain => continue,
                "sec-websocket-protocol" => "session mode offers its own subprotocol",
                "connection" | "upgrade" | "content-length" | "transfer-encoding" => {
                    "it belongs to the upgrade"
                }
                name if name.starts_with("sec-websocket-") => "it belongs to the upgrade",
                _ => continue,
            };
            return Err(ConfigError::Header { name: name.to_string(), why });
        }
        Ok(())
    }

    /// Whether the next dial may have other credentials than the last.
    pub(crate) fn has_fresh_credentials(&self) -> bool {
        self.dial_headers.is_some() || self.dial_url.is_some() || self.dial_token.is_some()
    }

    /// The configuration of sessions.
    pub(crate) fn session_config(&self) -> SessionConfig {
        let mut config = SessionConfig::new(Side::Client, self.mode);
        config.buffer_frames = u32::try_from(self.send_buffer).expect("checked to be at most 65,536");
        config.buffer_bytes = self.send_buffer_bytes;
        config.ping_interval = self.ping_interval;
        config.pong_timeout = self.pong_timeout;
        config.write_timeout = self.write_timeout;
        config
    }
}

fn require(
    holds: bool,
    option: &'static str,
    value: &dyn fmt::Debug,
    range: &'static str,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::Option { option, value: format!("{value:?}"), range }) }
}

impl fmt::Debug for ClientOptions {
    /// Omits the values of headers, which are often secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("codec", &self.codec)
            .field("mode", &self.mode)
            .field("reconnect", &self.reconnect)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cell of an option in the table of the documentation.
    fn documented(option: &str) -> &'static str {
        let row = include_str!("builder.rs").lines().find_map(|line| {
            line.strip_prefix("/// | ")?.split_once(" | ").filter(|(session, _)| session.contains(option))
        });
        row.expect(option).1.split(" | ").next().unwrap()
    }

    #[test]
    fn documentation_states_the_defaults() {
        let secs = Duration::from_secs;
        let options = ClientOptions::default();
        let is = |option: &str, text: &str, holds: bool| {
            assert!(holds && documented(option) == text, "{option}: {}", documented(option));
        };
        let delays = (options.base_delay, options.max_delay) == (Duration::from_millis(500), secs(30));
        let pings = (options.ping_interval, options.pong_timeout) == (secs(20), secs(60));
        is("`codec`", "JSON", options.codec.name() == "json");
        is("`plain`", "session mode", options.mode == Mode::Session);
        is("`reconnect`", "500 ms to 30 s", options.reconnect && delays);
        is("`max_retries`", "`None`: unlimited", options.max_retries.is_none());
        is("`heartbeat`", "20 s / 60 s", pings);
        is("`write_timeout`", "10 s", options.write_timeout == secs(10));
        is("`ask_timeout`", "30 s", options.ask_timeout == secs(30));
        is("`handshake_timeout`", "10 s", options.handshake_timeout == secs(10));
        is("`close_timeout`", "5 s", options.close_timeout == secs(5));
        is("`max_message_size`", "1 MiB", options.max_message_size == Some(1_048_576));
        is("`send_buffer`", "256 frames", options.send_buffer == 256);
        is("`send_buffer_bytes`", "1 MiB", options.send_buffer_bytes == 1_048_576);
        is("`overflow`", "reject", options.overflow == Overflow::Reject);
        is("`token`", "none", options.dial_token.is_none());
        is("`no_cookies`", "cookies are kept for later dials", options.cookies);
        is("`seed`", "random", matches!(options.jitter, Jitter::Random));
    }

    #[test]
    fn sessions_are_configured_by_the_options() {
        let (a, b, c) = (Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3));
        for mode in [Mode::Plain, Mode::Session] {
            let config = ClientOptions {
                mode,
                ping_interval: a,
                pong_timeout: b,
                write_timeout: c,
                send_buffer: 4,
                send_buffer_bytes: 5,
                ..ClientOptions::default()
            };
            let config = config.session_config();
            assert_eq!((config.side, config.mode), (Side::Client, mode));
            assert_eq!((config.ping_interval, config.pong_timeout, config.write_timeout), (a, b, c));
            assert_eq!((config.buffer_frames, config.buffer_bytes), (4, 5));
        }
    }
}
