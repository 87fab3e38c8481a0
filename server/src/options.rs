//! The options of a server: their defaults and their ranges.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rejoin_codecs::JsonCodec;
use rejoin_core::{Codec, Mode, Overflow, SessionConfig, Side, is_codec_name};

use crate::accept::headers::is_token;
use crate::accept::origin::Origins;
use crate::error::ConfigError;
use crate::fanout::rewind::Histories;
use crate::limits::options::LimitOptions;
use crate::observe::health;

/// The policy for a connection that claims an ID that is in use.
///
/// With each policy except [`Self::Reject`], a client that `ConnectFn` lets claim an ID can end the session that has it. Not with a
/// request that came before the one which opened that session: it is refused with HTTP 409, however late it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DuplicateId {
    /// The old session ends with 1000 `duplicate connection id`, and a fresh one opens.
    #[default]
    Replace,
    /// In plain mode, the new socket takes over the session, even from an attached socket. In session mode like [`Self::Replace`].
    Resume,
    /// The new connection is refused with HTTP 409.
    Reject,
}

/// The options as [`Builder`](crate::Builder) collects them. `build()` checks them.
#[derive(Debug, Clone)]
pub(crate) struct ServerOptions {
    pub(crate) resume_window: Option<Duration>,
    pub(crate) ping_interval: Duration,
    pub(crate) pong_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) ask_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) max_message_size: usize,
    pub(crate) send_buffer: usize,
    pub(crate) send_buffer_bytes: usize,
    pub(crate) overflow: Overflow,
    pub(crate) broadcast_overflow: Overflow,
    pub(crate) max_retained_bytes: usize,
    pub(crate) codecs: Vec<Arc<dyn Codec>>,
    pub(crate) subprotocols: Vec<Box<str>>,
    pub(crate) origins: Origins,
    pub(crate) health_path: Option<Box<str>>,
    pub(crate) script_path: Option<Box<str>>,
    pub(crate) max_request_head: usize,
    pub(crate) max_handshakes: usize,
    pub(crate) duplicate_id: DuplicateId,
    pub(crate) limits: LimitOptions,
    pub(crate) name_rooms: bool,
    pub(crate) histories: Histories,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            resume_window: Some(Duration::from_secs(30)),
            ping_interval: Duration::from_secs(10),
            pong_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            ask_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            max_message_size: 64 * 1024,
            send_buffer: 256,
            send_buffer_bytes: MIB,
            overflow: Overflow::Reject,
            broadcast_overflow: Overflow::DropOldest,
            max_retained_bytes: 1024 * MIB,
            codecs: Vec::new(),
            subprotocols: Vec::new(),
            origins: Origins::default(),
            health_path: None,
            script_path: None,
            max_request_head: 16 * KIB,
            max_handshakes: 8192,
            duplicate_id: DuplicateId::default(),
            limits: LimitOptions::default(),
            name_rooms: false,
            histories: Histories::default(),
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

impl ServerOptions {
    /// Checks all options, and adds the JSON codec if the application has added none.
    pub(crate) fn checked(mut self) -> Result<Self, ConfigError> {
        if self.codecs.is_empty() {
            self.codecs.push(Arc::new(JsonCodec));
        }
        let check = |fits: bool, option, value: &dyn fmt::Debug, range| {
            if fits { Ok(()) } else { Err(ConfigError { option, value: format!("{value:?}"), range }) }
        };
        check(
            self.resume_window.is_none_or(|window| !window.is_zero()),
            "resume_window",
            &self.resume_window.unwrap_or_default(),
            "more than 0, or `None` to turn resuming off",
        )?;
        let (ping, pong) = (self.ping_interval, self.pong_timeout);
        check(
            !ping.is_zero() && ping < pong && pong <= 600 * SECOND,
            "heartbeat",
            &(ping, pong),
            "0 < ping < pong <= 10 min",
        )?;
        let positive = |time: Duration, most: Duration| !time.is_zero() && time <= most;
        check(
            positive(self.write_timeout, 30 * SECOND),
            "write_timeout",
            &self.write_timeout,
            "more than 0, at most 30 s",
        )?;
        check(!self.ask_timeout.is_zero(), "ask_timeout", &self.ask_timeout, "more than 0")?;
        check(
            positive(self.close_timeout, 30 * SECOND),
            "close_timeout",
            &self.close_timeout,
            "more than 0, at most 30 s",
        )?;
        check(
            positive(self.handshake_timeout, 60 * SECOND),
            "handshake_timeout",
            &self.handshake_timeout,
            "more than 0, at most 1 min",
        )?;
        check(
            (1..=64 * MIB).contains(&self.max_message_size),
            "max_message_size",
            &self.max_message_size,
            "1 byte to 64 MiB",
        )?;
        check(
            (1..=65_536).contains(&self.send_buffer),
            "send_buffer",
            &self.send_buffer,
            "1 to 65,536 frames",
        )?;
        check(self.send_buffer_bytes >= 1, "send_buffer_bytes", &self.send_buffer_bytes, "at least 1 byte")?;
        check(
            self.max_retained_bytes >= 1,
            "max_retained_bytes",
            &self.max_retained_bytes,
            "at least 1 byte",
        )?;
        for (index, codec) in self.codecs.iter().enumerate() {
            let name = codec.name();
            check(is_codec_name(name), "codec", &name, "a name of 1 to 32 characters of [a-z0-9_-]")?;
            let unique = self.codecs[..index].iter().all(|other| other.name() != name);
            check(unique, "codec", &name, "one codec of each name")?;
        }
        for (index, name) in self.subprotocols.iter().enumerate() {
            let fits = is_token(name) && !name.starts_with("rejoin.");
            check(fits, "subprotocol", &name, "an HTTP token that does not begin with rejoin.")?;
            let unique = !self.subprotocols[..index].contains(name);
            check(unique, "subprotocol", &name, "each name once")?;
        }
        check(
            (KIB..=MIB).contains(&self.max_request_head),
            "max_request_head",
            &self.max_request_head,
            "1 KiB to 1 MiB",
        )?;
        check(
            (1..=1_000_000).contains(&self.max_handshakes),
            "max_handshakes",
            &self.max_handshakes,
            "1 to 1,000,000",
        )?;
        let paths = [("health_path", &self.health_path), ("script_path", &self.script_path)];
        for (option, path) in paths.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?))) {
            check(health::is_path(path), option, path, "a path that begins with / and has no query")?;
        }
        check(
            self.histories.usual.is_valid(),
            "history",
            &self.histories.usual,
            "at most 65,536 frames, at least 1 byte, an age of more than 0",
        )?;
        self.origins.check()?;
        self.limits.check()?;
        Ok(self)
    }

    /// The configuration of sessions in this mode.
    pub(crate) fn session(&self, mode: Mode) -> SessionConfig {
        let mut config = SessionConfig::new(Side::Server, mode);
        config.resume_window = self.resume_window.unwrap_or_default();
        config.ping_interval = self.ping_interval;
        config.pong_timeout = self.pong_timeout;
        config.write_timeout = self.write_timeout;
        config.max_message = self.max_message_size;
        config.buffer_frames = u32::try_from(self.send_buffer).expect("checked to be at most 65,536");
        config.buffer_bytes = self.send_buffer_bytes;
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, ConnectRequest, Identity, JsonCodec, RatePolicy, Reject, Server};

    async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
        Ok(Identity::new().with_room("room"))
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn build(configure: impl FnOnce(Builder) -> Builder) -> Result<(), ConfigError> {
        configure(Server::builder(connect)).build().map(drop)
    }

    #[test]
    fn names_each_option_out_of_range() {
        type Case = (&'static str, fn(Builder) -> Builder);
        let cases: [Case; 43] = [
            ("resume_window", |b| b.resume_window(Duration::ZERO)),
            ("heartbeat", |b| b.heartbeat(Duration::ZERO, secs(1))),
            ("heartbeat", |b| b.heartbeat(secs(2), secs(2))),
            ("heartbeat", |b| b.heartbeat(secs(2), secs(601))),
            ("write_timeout", |b| b.write_timeout(Duration::ZERO)),
            ("write_timeout", |b| b.write_timeout(secs(31))),
            ("close_timeout", |b| b.close_timeout(Duration::ZERO)),
            ("close_timeout", |b| b.close_timeout(secs(31))),
            ("handshake_timeout", |b| b.handshake_timeout(Duration::ZERO)),
            ("handshake_timeout", |b| b.handshake_timeout(secs(61))),
            ("max_message_size", |b| b.max_message_size(0)),
            ("max_message_size", |b| b.max_message_size(64 * MIB + 1)),
            ("send_buffer", |b| b.send_buffer(0)),
            ("send_buffer", |b| b.send_buffer(65_537)),
            ("send_buffer_bytes", |b| b.send_buffer_bytes(0)),
            ("max_retained_bytes", |b| b.max_retained_bytes(0)),
            ("codec", |b| b.codec(JsonCodec).codec(JsonCodec)),
            ("codec", |b| b.codec(Named("")).codec(JsonCodec)),
            ("codec", |b| b.codec(Named("Upper"))),
            ("codec", |b| b.codec(Named("a-name-of-thirty-three-characters"))),
            ("subprotocol", |b| b.subprotocol("")),
            ("subprotocol", |b| b.subprotocol("two words")),
            ("subprotocol", |b| b.subprotocol("rejoin.v1.json")),
            ("allow_origin", |b| b.allow_origin("")),
            ("allow_origin", |b| b.allow_origin("app.example/path")),
            ("subprotocol", |b| b.subprotocol("a").subprotocol("a")),
            ("max_request_head", |b| b.max_request_head(KIB - 1)),
            ("max_request_head", |b| b.max_request_head(MIB + 1)),
            ("max_handshakes", |b| b.max_handshakes(0)),
            ("max_handshakes", |b| b.max_handshakes(1_000_001)),
            ("health_path", |b| b.health_path("healthz")),
            ("health_path", |b| b.health_path("/healthz?full")),
            ("max_connections", |b| b.max_connections(0)),
            ("max_connections_per_user", |b| b.max_connections_per_user(0)),
            ("max_connections_per_address", |b| b.max_connections_per_address(0)),
            ("max_rooms", |b| b.max_rooms(0)),
            ("max_rooms_per_connection", |b| b.max_rooms_per_connection(0)),
            ("max_members", |b| b.max_members(0)),
            ("frame_rate", |b| b.frame_rate(1).frame_rate(0)),
            ("byte_rate", |b| b.byte_rate(1_000_000_001)),
            ("user_frame_rate", |b| b.user_frame_rate(0)),
            ("user_byte_rate", |b| b.user_byte_rate(0)),
            ("max_inbound_bytes", |b| b.max_inbound_bytes(0)),
        ];
        for (index, (option, configure)) in cases.into_iter().enumerate() {
            let error = build(configure).expect_err(option);
            assert_eq!(error.option, option, "case {index}");
            let text = error.to_string();
            assert!(text.starts_with(&format!("invalid `{option}`: ")), "{text}");
            assert!(text.contains(error.range) && text.contains(&error.value), "{text}");
        }
    }

    #[test]
    fn accepts_the_bounds_of_each_range() {
        let ends: [fn(Builder) -> Builder; 15] = [
            |b| b.heartbeat(Duration::from_nanos(1), secs(600)),
            |b| b.write_timeout(secs(30)).close_timeout(secs(30)).handshake_timeout(secs(60)),
            |b| b.max_message_size(1).send_buffer(1).send_buffer_bytes(1).max_retained_bytes(1),
            |b| b.max_message_size(64 * MIB).send_buffer(65_536).send_buffer_bytes(usize::MAX),
            |b| b.resume_window(None),
            |b| b.resume_window(Duration::from_nanos(1)),
            |b| b.resume_window(Duration::MAX).max_retained_bytes(usize::MAX),
            |b| b.codec(Named("a")).codec(JsonCodec),
            |b| b.subprotocol("graphql-ws").allow_origin("https://app.example:8443"),
            |b| b.max_request_head(KIB).max_handshakes(1).health_path("/"),
            |b| b.max_request_head(MIB).max_handshakes(1_000_000),
            |b| b.max_connections(1).max_connections_per_user(1).max_connections_per_address(1),
            |b| b.max_rooms(1).max_rooms_per_connection(1).max_members(1),
            |b| b.frame_rate(0).frame_rate(1).byte_rate(1_000_000_000).max_inbound_bytes(1),
            |b| b.user_frame_rate(1_000_000_000).user_byte_rate(1),
        ];
        for (index, configure) in ends.into_iter().enumerate() {
            assert_eq!(build(configure), Ok(()), "case {index}");
        }
    }

    struct Named(&'static str);

    impl Codec for Named {
        fn name(&self) -> &str {
            self.0
        }

        fn encode(
            &self,
            frame: &rejoin_core::Frame,
        ) -> Result<rejoin_core::Message, rejoin_core::EncodeError> {
            JsonCodec.encode(frame)
        }

        fn decode(
            &self,
            message: rejoin_core::Message,
        ) -> Result<rejoin_core::Frame, rejoin_core::DecodeError> {
            JsonCodec.decode(message)
        }
    }

    /// The cell of an option in the table of defaults in the documentation.
    fn documented(option: &str) -> &'static str {
        let row = include_str!("builder.rs").lines().find_map(|line| {
            line.strip_prefix("/// | ")?.split_once(" | ").filter(|(session, _)| session.contains(option))
        });
        row.expect(option).1.split(" | ").next().unwrap()
    }

    #[test]
    fn documentation_states_the_defaults() {
        let options = ServerOptions::default();
        let is = |option: &str, text: &str, holds: bool| {
            assert!(holds && documented(option) == text, "{option}: {}", documented(option));
        };
        let pings = options.ping_interval == secs(10) && options.pong_timeout == secs(30);
        is("`resume_window`", "30 s", options.resume_window == Some(secs(30)));
        is("`heartbeat`", "10 s / 30 s", pings);
        is("`write_timeout`", "10 s", options.write_timeout == secs(10));
        is("`ask_timeout`", "30 s", options.ask_timeout == secs(30));
        is("`close_timeout`", "5 s", options.close_timeout == secs(5));
        is("`handshake_timeout`", "10 s", options.handshake_timeout == secs(10));
        is("`max_message_size`", "64 KiB", options.max_message_size == 65_536);
        is("`send_buffer`", "256 frames", options.send_buffer == 256);
        is("`send_buffer_bytes`", "1 MiB", options.send_buffer_bytes == 1_048_576);
        is("`overflow`", "reject", options.overflow == Overflow::Reject);
        is("`broadcast_overflow`", "drop oldest", options.broadcast_overflow == Overflow::DropOldest);
        is("`subprotocol`", "none", options.subprotocols.is_empty());
        is("`max_retained_bytes`", "1 GiB", options.max_retained_bytes == 1_073_741_824);
        is("`duplicate_id`", "replace", options.duplicate_id == DuplicateId::Replace);
        is("`history`", "none", options.histories.usual == crate::History::none());
        is("`name_rooms`", "false", !options.name_rooms);
        is("`health_path`", "none", options.health_path.is_none());
        is("`script_path`", "none", options.script_path.is_none());
        is("`max_request_head`", "16 KiB", options.max_request_head == 16_384);
        let LimitOptions { connections, connections_per_user, connections_per_address, .. } = options.limits;
        let none = |limits: &[usize]| limits.iter().all(|limit| *limit == usize::MAX);
        is("`max_connections`", "none", none(&[connections, connections_per_user, connections_per_address]));
        let LimitOptions { rooms, rooms_per_connection, members, .. } = options.limits;
        is("`max_rooms`", "none", none(&[rooms, rooms_per_connection, members]));
        let LimitOptions { rates, user_rates, rate_policy, inbound_bytes, .. } = options.limits;
        is("`frame_rate`", "none", !rates.is_limited() && !user_rates.is_limited());
        is("`rate_policy`", "delay", rate_policy == RatePolicy::Delay);
        is("`max_inbound_bytes`", "none", none(&[inbound_bytes]));
        is("`client_address`", "the peer's", options.limits.client_address.is_none());
        is("`max_handshakes`", "8,192", options.max_handshakes == 8192);
        let codecs = options.checked().unwrap().codecs;
        is("`codec`", "JSON", codecs.iter().map(|codec| codec.name()).eq(["json"]));
    }

    #[test]
    fn sessions_are_configured_by_the_options() {
        let (a, b, c, d) = (secs(1), secs(2), secs(3), secs(4));
        let options = ServerOptions {
            resume_window: Some(a),
            ping_interval: b,
            pong_timeout: c,
            write_timeout: d,
            max_message_size: 5,
            send_buffer: 6,
            send_buffer_bytes: 7,
            ..ServerOptions::default()
        };
        for mode in [Mode::Plain, Mode::Session] {
            let config = options.session(mode);
            assert_eq!((config.side, config.mode, config.resume_window), (Side::Server, mode, a));
            assert_eq!((config.ping_interval, config.pong_timeout, config.write_timeout), (b, c, d));
            assert_eq!((config.max_message, config.buffer_frames, config.buffer_bytes), (5, 6, 7));
        }
    }
}
