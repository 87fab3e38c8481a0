//! [`Jwt`]: JSON Web Tokens (RFC 7519).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::accept::{Identity, Reject};

use super::Verify;

/// JSON Web Tokens (RFC 7519), by the crate [`jsonwebtoken`], which this module re-exports. Needs the feature `jwt`.
///
/// The claim `sub` becomes the [user](Identity::with_user), and `exp`, which a token must have, the time at which the [credentials
/// expire](Identity::expires_at): the socket is closed then with 3000, and the client resumes with another token. The algorithm is the
/// one that you choose, whatever the token's header says. A token with an `aud` is refused unless the validation names the
/// audience.
///
/// ```
/// use rejoin_server::auth::{Auth, Bearer, Jwt};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Claims {
///     name: String,
///     rooms: Vec<String>,
/// }
///
/// let jwt = Jwt::hs256(b"a secret of 32 bytes or more, shared with the issuer").with_claims(|claims: Claims, identity| {
///     Ok(identity.with_further_rooms(claims.rooms).with_fresh_data(claims.name))
/// });
/// let auth = Auth::new().scheme(Bearer::new(jwt));
/// # let _ = rejoin_server::Server::builder(auth);
/// ```
///
/// The feature turns on the backend `rust_crypto` of that crate. A program that turns on another one has to install one of them
/// ([`CryptoProvider::install_default`](jsonwebtoken::crypto::CryptoProvider::install_default)).
///
/// A signature takes from 1 µs (HS256) to about 200 µs (RS256, ES256), on the thread that accepts the request.
#[derive(Clone)]
pub struct Jwt {
    key: DecodingKey,
    validation: Validation,
    identify: Option<Arc<Identify>>,
}

type Identify = dyn Fn(Value, Identity) -> Result<Identity, Reject> + Send + Sync;

impl Jwt {
    /// Verifies tokens that are signed with HMAC and SHA-256 by this secret, which issuer and server share: 32 bytes or more.
    ///
    /// # Panics
    /// Panics if the secret is empty.
    pub fn hs256(secret: &[u8]) -> Self {
        let key = DecodingKey::from_secret(secret).expect("the secret is empty");
        Self::new(key, Validation::new(Algorithm::HS256))
    }

    /// Verifies tokens with any key and validation of the crate [`jsonwebtoken`]: other algorithms, issuer, audience, leeway (by
    /// default 60 s). The claims `exp`, which is required, and `nbf` are checked whatever the validation says.
    pub fn new(key: DecodingKey, mut validation: Validation) -> Self {
        validation.validate_exp = true;
        validation.validate_nbf = true;
        validation.required_spec_claims.insert("exp".to_owned());
        Self { key, validation, identify: None }
    }

    /// Sets a function that completes the identity by further claims, or refuses the token. A token whose claims have another form
    /// is refused with 401. A second call replaces the first.
    #[must_use]
    pub fn with_claims<C, F>(mut self, identify: F) -> Self
    where
        C: DeserializeOwned,
        F: Fn(C, Identity) -> Result<Identity, Reject> + Send + Sync + 'static,
    {
        self.identify = Some(Arc::new(move |claims, identity| {
            let claims = serde_json::from_value(claims).map_err(|error| invalid().with_cause(error))?;
            identify(claims, identity)
        }));
        self
    }

    fn check(&self, token: &str) -> Result<Identity, Reject> {
        let claims = decode::<Value>(token, &self.key, &self.validation).map_err(refusal)?.claims;
        // `exp` may have a fraction (RFC 7519 §2). One beyond the clock's range is never.
        let exp = claims.get("exp").and_then(Value::as_f64).ok_or_else(invalid)?;
        let until = Duration::try_from_secs_f64(exp.max(0.0)).ok();
        let until = until.and_then(|until| {
            SystemTime::UNIX_EPOCH
                .checked_add(until)?
                .checked_add(Duration::from_secs(self.validation.leeway))
        });
        let mut identity = Identity::new();
        if let Some(until) = until {
            identity = identity.expires_at(until);
        }
        if let Some(sub) = claims.get("sub").and_then(Value::as_str) {
            identity = identity.with_user(sub);
        }
        match &self.identify {
            Some(identify) => identify(claims, identity),
            None => Ok(identity),
        }
    }
}

impl Verify for Jwt {
    async fn verify(&self, token: String) -> Result<Identity, Reject> {
        self.check(&token)
    }
}

fn invalid() -> Reject {
    Reject::unauthorized("the token is invalid")
}

#[allow(clippy::needless_pass_by_value, reason = "`map_err` passes a value")]
fn refusal(error: jsonwebtoken::errors::Error) -> Reject {
    match error.kind() {
        ErrorKind::ExpiredSignature => Reject::unauthorized("the token has expired"),
        ErrorKind::ImmatureSignature => Reject::unauthorized("the token is not valid yet"),
        // The kind alone: the error's text may quote the token.
        kind => invalid().with_cause(kind_of(kind)),
    }
}

/// The fault, without quoting the token.
fn kind_of(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "invalid signature",
        ErrorKind::InvalidAlgorithm => "another algorithm",
        ErrorKind::InvalidAudience => "another audience",
        ErrorKind::InvalidIssuer => "another issuer",
        ErrorKind::InvalidSubject => "another subject",
        ErrorKind::MissingRequiredClaim(_) => "a required claim is missing",
        ErrorKind::Json(_) | ErrorKind::Base64(_) | ErrorKind::Utf8(_) | ErrorKind::InvalidToken => {
            "malformed"
        }
        _ => "not accepted",
    }
}

impl fmt::Debug for Jwt {
    /// Without the key, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("validation", &self.validation).finish_non_exhaustive()
    }
}
