//! [`Bearer`]: access tokens in `Authorization: Bearer`, or in the subprotocol `rejoin.auth.TOKEN`.

use std::fmt;

use http::header;

use crate::accept::{ConnectRequest, Identity, Reject};

use super::challenge;
use super::{Scheme, Verify};

/// Access tokens in `Authorization: Bearer TOKEN` (RFC 6750), or in the subprotocol `rejoin.auth.TOKEN` (PROTOCOL.md §1) for pages,
/// which cannot set headers.
///
/// A request with both, or with more than one `Authorization`, is refused with 400.
pub struct Bearer<V>(V);

impl<V: Verify> Bearer<V> {
    /// Creates the scheme with a verifier: an async function, `Jwt`, or another [`Verify`].
    pub fn new(verify: V) -> Self {
        Self(verify)
    }
}

impl<V: Verify> Scheme for Bearer<V> {
    fn name(&self) -> &'static str {
        "bearer"
    }

    async fn authenticate(&self, request: &ConnectRequest) -> Result<Option<Identity>, Reject> {
        let token = match (authorization(request, "bearer")?, request.token_bytes()) {
            (None, None) => return Ok(None),
            (Some(token), None) => token,
            (None, Some(_)) => request.token().ok_or_else(|| Reject::unauthorized("invalid token"))?,
            (Some(_), Some(_)) => return Err(Reject::bad_request("more than one access token")),
        };
        self.0.verify(token.to_owned()).await.map(Some)
    }

    fn challenge(&self, realm: &str, failed: bool) -> Option<String> {
        Some(challenge::bearer(realm, failed))
    }
}

/// The credentials in `Authorization`, if they are of this scheme. Its name has no case (RFC 9110 §11.1).
///
/// # Errors
/// Fails with 400 for more than one header, and for credentials that are empty or no text.
pub(super) fn authorization<'a>(
    request: &'a ConnectRequest,
    scheme: &str,
) -> Result<Option<&'a str>, Reject> {
    let mut values = request.headers().get_all(header::AUTHORIZATION).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Reject::bad_request("more than one Authorization"));
    }
    let malformed = || Reject::bad_request("malformed Authorization");
    let value = value.to_str().map_err(|_| malformed())?;
    let (name, credentials) = value.split_once(' ').unwrap_or((value, ""));
    if !name.eq_ignore_ascii_case(scheme) {
        return Ok(None);
    }
    Some(credentials.trim_matches(' ')).filter(|text| !text.is_empty()).map(Some).ok_or_else(malformed)
}

impl<V> fmt::Debug for Bearer<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").finish_non_exhaustive()
    }
}
