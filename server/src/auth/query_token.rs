//! [`QueryToken`]: tokens in the query.

use std::fmt;

use crate::accept::{ConnectRequest, Identity, Reject};

use super::challenge;
use super::{Scheme, Verify};

/// Tokens in a parameter of the query (RFC 6750 §2.3). URLs are written to access logs, and are kept in histories: use tokens that
/// work once or for seconds, or [`Bearer`](super::Bearer) with rejoin's clients. The server itself does not log queries.
pub struct QueryToken<V> {
    name: Box<str>,
    verify: V,
}

impl<V: Verify> QueryToken<V> {
    /// Creates the scheme with the parameter's name and a verifier.
    pub fn new(name: impl Into<Box<str>>, verify: V) -> Self {
        Self { name: name.into(), verify }
    }
}

impl<V: Verify> Scheme for QueryToken<V> {
    fn name(&self) -> &'static str {
        "query"
    }

    async fn authenticate(&self, request: &ConnectRequest) -> Result<Option<Identity>, Reject> {
        let Some(token) = request.query(&self.name) else { return Ok(None) };
        self.verify.verify(token).await.map(Some)
    }

    fn challenge(&self, realm: &str, failed: bool) -> Option<String> {
        Some(challenge::bearer(realm, failed))
    }
}

impl<V> fmt::Debug for QueryToken<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryToken").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_names_the_parameter() {
        let scheme = QueryToken { name: "ticket".into(), verify: () };
        assert_eq!(format!("{scheme:?}"), r#"QueryToken { name: "ticket", .. }"#);
    }
}
