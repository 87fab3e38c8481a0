//! [`ApiKeys`]: a fixed set of keys.

use std::fmt;

use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use crate::accept::{Identity, Reject};

use super::Verify;

/// A fixed set of keys, each with an identity: for services, and for tools. Use it with [`HeaderToken`](super::HeaderToken) or
/// [`Bearer`](super::Bearer).
///
/// A look-up compares with every key in constant time: its time depends on the number of keys and on their lengths, not on which
/// one fits, or how much of one. It costs about a nanosecond for each byte of each key. Keys should be random, of 16 bytes or more.
///
/// ```
/// use rejoin_server::Identity;
/// use rejoin_server::auth::{ApiKeys, Auth, HeaderToken};
///
/// let keys = ApiKeys::new()
///     .key("6f1c…", Identity::new().with_user("billing"))
///     .key("90ab…", Identity::new().with_user("reports").with_room("reports"));
/// let auth = Auth::new().scheme(HeaderToken::new("x-api-key", keys));
/// # let _ = rejoin_server::Server::builder(auth);
/// ```
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<(Box<str>, Identity)>);

impl ApiKeys {
    /// Creates an empty set, which refuses every key.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, and the identity of a client that has it. Of two equal keys the later one counts. An empty key fits nothing.
    #[must_use]
    pub fn key(mut self, key: impl Into<Box<str>>, identity: Identity) -> Self {
        self.0.push((key.into(), identity));
        self
    }

    /// The index of the key, looking at all of them.
    fn find(&self, key: &str) -> Option<usize> {
        const NONE: u64 = u64::MAX;
        let mut found = NONE;
        for (index, (known, _)) in (0_u64..).zip(&self.0) {
            found.conditional_assign(&index, known.as_bytes().ct_eq(key.as_bytes()));
        }
        (found != NONE && !key.is_empty()).then_some(found as usize)
    }
}

impl Verify for ApiKeys {
    async fn verify(&self, key: String) -> Result<Identity, Reject> {
        let found = self.find(&key).ok_or_else(|| Reject::unauthorized("unknown key"))?;
        Ok(self.0[found].1.clone())
    }
}

impl fmt::Debug for ApiKeys {
    /// Without the keys, which are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiKeys").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_keys_are_found() {
        let keys = ["first-key", "second-key", "first-key", ""]
            .into_iter()
            .fold(ApiKeys::new(), |keys, key| keys.key(key, Identity::new()));
        for (key, found) in [
            ("second-key", Some(1)),
            ("first-key", Some(2)),
            ("", None),
            ("first", None),
            ("first-key2", None),
            ("Second-key", None),
        ] {
            assert_eq!(keys.find(key), found, "{key:?}");
        }
        assert_eq!(ApiKeys::new().find("x"), None);
        assert_eq!(format!("{keys:?}"), "ApiKeys(4)");
    }
}
