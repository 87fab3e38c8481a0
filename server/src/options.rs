//! Every option of a server, once: what it is, its default, its range, its cost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rejoin_codecs::JsonCodec;
use rejoin_core::{Codec, Mode, SessionConfig, Side, is_codec_name};

use crate::origin::Origins;

/// What happens when a connection claims an ID that another one has.
///
/// Whoever `ConnectFn` lets claim an ID can end the session that has it, with each of these but [`Self::Reject`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DuplicateId {
    /// The old session ends with 1000 `duplicate connection id`; the new one starts empty.
    #[default]
    Replace,
    /// In plain mode the new socket takes the session over, even while the old socket is still attached. Sessions of
    /// session mode are resumed by their token alone: here they are replaced.
    Resume,
    /// The new one is refused with HTTP 409.
    Reject,
}

/// The options as [`Builder`](crate::Builder) collects them. `build()` checks them.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) resume_window: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) pong_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) max_message_size: usize,
    pub(crate) send_buffer: usize,
    pub(crate) send_buffer_bytes: usize,
    pub(crate) codecs: Vec<Arc<dyn Codec>>,
    pub(crate) subprotocols: Vec<Box<str>>,
    pub(crate) origins: Origins,
    pub(crate) duplicate_id: DuplicateId,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resume_window: Duration::from_secs(30),
            ping_interval: Duration::from_secs(10),
            pong_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            max_message_size: 64 * 1024,
            send_buffer: 256,
            send_buffer_bytes: 1 << 20,
            codecs: Vec::new(),
            subprotocols: Vec::new(),
            origins: Origins::default(),
            duplicate_id: DuplicateId::default(),
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MIB: usize = 1 << 20;

impl Options {
    /// Refuses what cannot be, and fills in what was left to us.
    pub(crate) fn checked(mut self) -> Result<Self, ConfigError> {
        if self.codecs.is_empty() {
            self.codecs.push(Arc::new(JsonCodec));
        }
        let check = |fits: bool, option, value: &dyn fmt::Debug, range| {
            if fits { Ok(()) } else { Err(ConfigError { option, value: format!("{value:?}"), range }) }
        };
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
        for (index, codec) in self.codecs.iter().enumerate() {
            let name = codec.name();
            check(is_codec_name(name), "codec", &name, "a name of 1 to 32 characters of [a-z0-9_-]")?;
            let unique = self.codecs[..index].iter().all(|other| other.name() != name);
            check(unique, "codec", &name, "one codec of each name")?;
        }
        for name in &self.subprotocols {
            let fits = is_token(name) && !name.starts_with("rejoin.");
            check(fits, "subprotocol", &name, "an HTTP token that does not begin with rejoin.")?;
        }
        self.origins.check()?;
        Ok(self)
    }

    /// What a session of this mode is allowed.
    pub(crate) fn session(&self, mode: Mode) -> Arc<SessionConfig> {
        let mut config = SessionConfig::new(Side::Server, mode);
        config.resume_window = self.resume_window;
        config.ping_interval = self.ping_interval;
        config.pong_timeout = self.pong_timeout;
        config.write_timeout = self.write_timeout;
        config.buffer_frames = u32::try_from(self.send_buffer).expect("checked to be at most 65,536");
        config.buffer_bytes = self.send_buffer_bytes;
        Arc::new(config)
    }
}

/// Whether `text` is a token of RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// An option that cannot be: a mistake in the program, found when the server is built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The builder's method.
    pub option: &'static str,
    /// What it was given.
    pub value: String,
    /// What it takes.
    pub range: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "option {} is {}, and takes {}", self.option, self.value, self.range)
    }
}

impl std::error::Error for ConfigError {}
