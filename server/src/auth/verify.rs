//! [`Verify`]: decides on a token.

use std::future::Future;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;

use crate::accept::{Identity, Reject};

/// Verifies a token, whichever place of a request it comes from: [`ApiKeys`](super::ApiKeys), `Jwt`, or an async function.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not verify tokens",
    note = "pass an `async fn(String) -> Result<Identity, Reject>`, `ApiKeys`, `Jwt`, or a type that implements `Verify`"
)]
pub trait Verify: Send + Sync + 'static {
    /// Decides on a token.
    ///
    /// # Errors
    /// Fails for a wrong token: [`Reject::unauthorized`] for one that is not valid (any more), [`Reject::unavailable`] if it cannot
    /// be verified at the moment. The text must not quote the token.
    fn verify(&self, token: String) -> impl Future<Output = Result<Identity, Reject>> + Send;
}

impl<F, Fut> Verify for F
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, Reject>> + Send,
{
    fn verify(&self, token: String) -> impl Future<Output = Result<Identity, Reject>> + Send {
        self(token)
    }
}

/// One verifier for several schemes.
impl<V: Verify> Verify for Arc<V> {
    fn verify(&self, token: String) -> impl Future<Output = Result<Identity, Reject>> + Send {
        (**self).verify(token)
    }
}

/// Whether two secrets are equal, in a time that depends on their lengths alone: an attacker who measures it learns nothing about
/// where they differ. For passwords, compare hashes that are made for passwords (argon2, for example) instead.
///
/// ```
/// assert!(rejoin_server::auth::secrets_match("s3cret", "s3cret"));
/// assert!(!rejoin_server::auth::secrets_match("s3cret", "s3cres"));
/// ```
pub fn secrets_match(a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> bool {
    a.as_ref().ct_eq(b.as_ref()).into()
}
