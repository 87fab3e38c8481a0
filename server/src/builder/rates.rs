//! The options that limit what clients may send.

use super::Builder;
use crate::limits::rate::RatePolicy;

/// Each of these limits is off by default, and costs nothing then. Where one is set, a frame costs about 8 ns for each rate, what
/// arrives together a look at the clock (25 ns), and a session about 200 bytes.
impl Builder {
    /// Sets how many messages a client may send per second, with a burst of one second's worth. Default: none; 1 to 1,000,000,000.
    /// [`Self::rate_policy`] sets what happens beyond it; by default the client has to wait.
    ///
    /// The rate is the session's, so a new socket has no new burst. Control frames of the session count, and WebSocket pings do
    /// not. A limit of about ten times of what your application needs stops floods and hinders nobody.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, RatePolicy, Reject, Server};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
    /// let server = Server::builder(connect)
    ///     .frame_rate(100)
    ///     .byte_rate(1 << 20)
    ///     .user_frame_rate(200)
    ///     .rate_policy(RatePolicy::Delay)
    ///     .build()?;
    /// # let _ = server;
    /// # Ok::<(), rejoin_server::ConfigError>(())
    /// ```
    pub fn frame_rate(mut self, per_second: u64) -> Self {
        self.options.limits.rates.frames = self.options.limits.rate("frame_rate", per_second);
        self
    }

    /// Sets how many bytes a client may send per second, as [`Self::frame_rate`] does for messages: their payloads, before they are
    /// decoded. Default: none; 1 to 1,000,000,000. A message of more than one second's worth is accepted when the client was silent
    /// before, and makes it wait accordingly longer afterwards.
    pub fn byte_rate(mut self, per_second: u64) -> Self {
        self.options.limits.rates.bytes = self.options.limits.rate("byte_rate", per_second);
        self
    }

    /// Sets how many messages all connections of one [user](crate::Identity::with_user) may send per second, as [`Self::frame_rate`]
    /// does for each of them. Default: none; 1 to 1,000,000,000.
    pub fn user_frame_rate(mut self, per_second: u64) -> Self {
        self.options.limits.user_rates.frames = self.options.limits.rate("user_frame_rate", per_second);
        self
    }

    /// Sets how many bytes all connections of one user may send per second, as [`Self::byte_rate`] does for each of them. Default:
    /// none; 1 to 1,000,000,000.
    pub fn user_byte_rate(mut self, per_second: u64) -> Self {
        self.options.limits.user_rates.bytes = self.options.limits.rate("user_byte_rate", per_second);
        self
    }

    /// Sets what happens to messages beyond a rate. Default: [`RatePolicy::Delay`], the client has to wait.
    pub fn rate_policy(mut self, policy: RatePolicy) -> Self {
        self.options.limits.rate_policy = policy;
        self
    }

    /// Sets the number of bytes of messages, of all sessions together, that may wait for handlers. Beyond it, sessions that have
    /// such messages are not read until handlers have caught up; their clients have to wait. Default: none, so that each session
    /// may hold 64 frames and 1 MiB; at least 1.
    ///
    /// The total can exceed the limit by what each session reads at a time, up to 256 KiB. Messages that have not arrived completely do
    /// not count. A session that holds nothing is always read, so that a handler that awaits an answer gets it.
    pub fn max_inbound_bytes(mut self, bytes: usize) -> Self {
        self.options.limits.inbound_bytes = bytes;
        self
    }
}
