//! [`Identity::expires_at`]: credentials that end while their connection lives.

use std::time::{Duration, SystemTime};

use rejoin_core::drive::now;

use crate::accept::connect::Identity;

impl Identity {
    /// Sets when the credentials end with which this request was accepted, for example the `exp` of a token. The server then
    /// closes the socket with 3000 `credentials expired`, and the session is suspended: rejoin's clients fetch fresh credentials,
    /// dial again and resume, so that no frame is lost. `ConnectFn` decides on that request as on any other, and its identity has
    /// the next time. Default: never. A time that has passed closes the socket once it is open.
    ///
    /// The time is converted to a duration from now on: later changes of the system's clock do not move it. Costs about 100 bytes
    /// for the connection, and no timer of its own.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use rejoin_server::Identity;
    ///
    /// let exp = 4_102_444_800; // seconds since 1970, from the token
    /// let identity = Identity::new().with_id("ada").expires_at(SystemTime::UNIX_EPOCH + Duration::from_secs(exp));
    /// # let _ = identity;
    /// ```
    #[must_use]
    pub fn expires_at(self, at: SystemTime) -> Self {
        self.expires_in(at.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// Like [`Self::expires_at`], after this time.
    #[must_use]
    pub fn expires_in(mut self, time: Duration) -> Self {
        // A time beyond the clock's range is never.
        self.expires = now().checked_add(time);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn expiry_counts_from_now() {
        let left = |identity: Identity| identity.expires.map(|at| at - now());
        assert_eq!(left(Identity::new()), None);
        assert_eq!(left(Identity::new().expires_in(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(left(Identity::new().expires_in(Duration::MAX)), None);
        assert_eq!(left(Identity::new().expires_at(SystemTime::UNIX_EPOCH)), Some(Duration::ZERO));
        let soon = left(Identity::new().expires_at(SystemTime::now() + Duration::from_secs(60))).unwrap();
        assert!(soon > Duration::from_secs(50) && soon <= Duration::from_secs(60), "{soon:?}");
    }
}
