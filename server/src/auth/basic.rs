//! [`Basic`]: a name and a password in `Authorization: Basic`.

use std::fmt;
use std::future::Future;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::accept::{ConnectRequest, Identity, Reject};

use super::Scheme;
use super::bearer::authorization;

/// A name and a password in `Authorization: Basic` (RFC 7617), in UTF-8. Only over TLS: they travel readable with every dial.
///
/// ```
/// use rejoin_server::auth::{Auth, Basic, secrets_match};
/// use rejoin_server::{Identity, Reject};
///
/// # async fn hash_of(_: &str) -> Option<Vec<u8>> { None }
/// # fn hash(_: &str) -> Vec<u8> { Vec::new() }
/// async fn login(name: String, password: String) -> Result<Identity, Reject> {
///     // Hash an unknown user's password, too: otherwise the time tells which users exist.
///     let (known, given) = (hash_of(&name).await, hash(&password));
///     if known.is_some_and(|known| secrets_match(known, given)) {
///         Ok(Identity::new().with_user(name))
///     } else {
///         Err(Reject::unauthorized("wrong name or password"))
///     }
/// }
///
/// let auth = Auth::new().realm("staff").scheme(Basic::new(login));
/// # let _ = rejoin_server::Server::builder(auth);
/// ```
pub struct Basic<F>(F);

impl<F, Fut> Basic<F>
where
    F: Fn(String, String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, Reject>> + Send,
{
    /// Creates the scheme with a function that decides on a name and a password.
    pub fn new(login: F) -> Self {
        Self(login)
    }
}

impl<F, Fut> Scheme for Basic<F>
where
    F: Fn(String, String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, Reject>> + Send,
{
    fn name(&self) -> &'static str {
        "basic"
    }

    async fn authenticate(&self, request: &ConnectRequest) -> Result<Option<Identity>, Reject> {
        let Some(credentials) = authorization(request, "basic")? else { return Ok(None) };
        let (name, password) =
            decode(credentials).ok_or_else(|| Reject::bad_request("malformed Authorization"))?;
        (self.0)(name, password).await.map(Some)
    }

    fn challenge(&self, realm: &str, _: bool) -> Option<String> {
        Some(format!("Basic realm={realm}, charset=\"UTF-8\""))
    }
}

/// The name and the password (RFC 7617 §2): a name has no colon, and neither has control characters.
fn decode(credentials: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64_STANDARD.decode(credentials).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    (!text.contains(char::is_control)).then(|| (name.to_owned(), password.to_owned()))
}

impl<F> fmt::Debug for Basic<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_name_and_password() {
        let decoded = |text: &str| decode(&BASE64_STANDARD.encode(text));
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        // The example of RFC 7617 §2.
        assert_eq!(decode("QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(decoded("test:123£"), pair("test", "123£"));
        assert_eq!(decoded("a:b:c"), pair("a", "b:c"));
        assert_eq!(decoded(":"), pair("", ""));
        for wrong in ["no colon", "a:b\n", "a\0:b"] {
            assert_eq!(decoded(wrong), None, "{wrong:?}");
        }
        assert_eq!((decode("*"), decode("_w=="), decode("/w==")), (None, None, None));
    }
}
