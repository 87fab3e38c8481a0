//! [`HeaderToken`]: tokens in a header of the application's choice.

use std::fmt;

use http::HeaderName;

use crate::accept::{ConnectRequest, Identity, Reject};

use super::{Scheme, Verify};

/// Tokens in a header of your choice, such as `X-Api-Key`. Its challenge is `ApiKey` with the header's name, which is not a
/// registered scheme: a 401 has to name one.
pub struct HeaderToken<V> {
    name: HeaderName,
    verify: V,
}

impl<V: Verify> HeaderToken<V> {
    /// Creates the scheme with the header's name and a verifier, such as [`ApiKeys`](super::ApiKeys).
    ///
    /// # Panics
    /// Panics if the name is not a header's name in lower case.
    pub fn new(name: &'static str, verify: V) -> Self {
        Self { name: HeaderName::from_static(name), verify }
    }
}

impl<V: Verify> Scheme for HeaderToken<V> {
    fn name(&self) -> &'static str {
        "header"
    }

    async fn authenticate(&self, request: &ConnectRequest) -> Result<Option<Identity>, Reject> {
        let mut values = request.headers().get_all(&self.name).into_iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Reject::bad_request(format!("more than one {}", self.name)));
        }
        let token = value.to_str().map_err(|_| Reject::bad_request(format!("malformed {}", self.name)))?;
        self.verify.verify(token.trim().to_owned()).await.map(Some)
    }

    fn challenge(&self, realm: &str, _: bool) -> Option<String> {
        Some(format!("ApiKey realm={realm}, header=\"{}\"", self.name))
    }
}

impl<V> fmt::Debug for HeaderToken<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderToken").field("name", &self.name).finish_non_exhaustive()
    }
}
