//! Ready-made parts of a [`ConnectFn`](crate::ConnectFn): where a request carries its credentials, and how they are verified.
//!
//! [`Auth`] is a `ConnectFn` that asks one [`Scheme`] after the other:
//!
//! | scheme | the credentials are in |
//! |---|---|
//! | [`Bearer`] | `Authorization: Bearer TOKEN`, or the subprotocol `rejoin.auth.TOKEN`, which pages can send |
//! | [`Basic`] | `Authorization: Basic …`: a name and a password |
//! | [`HeaderToken`] | a header of your choice, such as `X-Api-Key` |
//! | [`QueryToken`] | a parameter of the query, which ends up in access logs |
//!
//! A [`Verify`] decides on the credentials that a scheme has read: [`ApiKeys`], `Jwt` (feature `jwt`), or an async function of your own.
//!
//! ```
//! use rejoin_server::auth::{ApiKeys, Auth, Bearer, HeaderToken};
//! use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//!
//! // Your own verification: of a token in a database, for example.
//! async fn session(token: String) -> Result<Identity, Reject> {
//!     match token.as_str() {
//!         "ada-logged-in" => Ok(Identity::new().with_user("ada")),
//!         _ => Err(Reject::unauthorized("the session has ended")),
//!     }
//! }
//!
//! let services = ApiKeys::new().key("6f1c…", Identity::new().with_user("billing"));
//! let auth = Auth::new()
//!     .scheme(Bearer::new(session))
//!     .scheme(HeaderToken::new("x-api-key", services))
//!     .on_failure(|failure| {
//!         println!("{:?} failed at {}", failure.scheme, failure.path);
//!         failure.reject
//!     })
//!     // The request is authenticated: choose rooms, or refuse it nevertheless.
//!     .then(|request: ConnectRequest, identity: Identity| async move {
//!         let room = request.query("room").ok_or_else(|| Reject::bad_request("which room?"))?;
//!         Ok(identity.with_room(room))
//!     });
//! let server = Server::builder(auth).build()?;
//! # let _ = server;
//! # Ok::<(), rejoin_server::ConfigError>(())
//! ```
//!
//! A request without credentials, or with wrong ones, is refused with 401 and the challenges of all schemes in `WWW-Authenticate`
//! (RFC 9110 §11.6.1). Comparisons of secrets take constant time. Nothing here logs credentials.
//!
//! `Auth` decides on each request that resumes a session, too: the session's token alone is not enough.

mod scheme;
pub use scheme::{Auth, Scheme};

mod failure;
pub use failure::AuthFailure;

mod verify;
pub use verify::{Verify, secrets_match};

// --- where the credentials are

mod bearer;
pub use bearer::Bearer;

mod basic;
pub use basic::Basic;

mod header_token;
pub use header_token::HeaderToken;

mod query_token;
pub use query_token::QueryToken;

mod challenge;

// --- how they are verified

mod api_keys;
pub use api_keys::ApiKeys;

#[cfg(feature = "jwt")]
mod jwt;
#[cfg(feature = "jwt")]
#[doc(no_inline)]
pub use ::jsonwebtoken;
#[cfg(feature = "jwt")]
pub use jwt::Jwt;

#[cfg(test)]
mod tests;
