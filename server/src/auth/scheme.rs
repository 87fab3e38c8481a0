//! [`Auth`]: a [`ConnectFn`] made of [`Scheme`]s.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};

use crate::accept::connect::IdentityFuture;
use crate::accept::{ConnectFn, ConnectRequest, Identity, Reject};

use super::challenge::Challenge;
use super::failure::AuthFailure;

/// A place in a request where credentials are, and their verification. [`Auth::scheme`] takes it; [`Bearer`](super::Bearer) and
/// others implement it.
pub trait Scheme: Send + Sync + 'static {
    /// The scheme's name, for [`AuthFailure`].
    fn name(&self) -> &'static str;

    /// Verifies the credentials of a request. Returns `None` if the request has none of this scheme: the next one is asked.
    ///
    /// # Errors
    /// Fails for credentials that are wrong. No other scheme is asked then.
    fn authenticate(
        &self,
        request: &ConnectRequest,
    ) -> impl Future<Output = Result<Option<Identity>, Reject>> + Send;

    /// The challenge of this scheme in `WWW-Authenticate` (RFC 9110 §11.6.1); `None` if it has none. `realm` has been quoted.
    /// `failed` is set if the request had credentials of this scheme.
    fn challenge(&self, realm: &str, failed: bool) -> Option<String>;
}

type Authenticating<'a> = Pin<Box<dyn Future<Output = Result<Option<Identity>, Reject>> + Send + 'a>>;

/// The dyn-compatible form of a [`Scheme`].
trait DynScheme: Send + Sync {
    fn name(&self) -> &'static str;

    fn authenticate<'a>(&'a self, request: &'a ConnectRequest) -> Authenticating<'a>;

    fn challenge(&self, realm: &str, failed: bool) -> Option<String>;
}

impl<T: Scheme> DynScheme for T {
    fn name(&self) -> &'static str {
        Scheme::name(self)
    }

    fn authenticate<'a>(&'a self, request: &'a ConnectRequest) -> Authenticating<'a> {
        Box::pin(Scheme::authenticate(self, request))
    }

    fn challenge(&self, realm: &str, failed: bool) -> Option<String> {
        Scheme::challenge(self, realm, failed)
    }
}

type OnFailure = dyn Fn(AuthFailure) -> Reject + Send + Sync;
type ThenConnect = dyn Fn(ConnectRequest, Identity) -> IdentityFuture<'static> + Send + Sync;

/// A [`ConnectFn`] that authenticates requests: the [module](super) has an example. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    schemes: Vec<Arc<dyn DynScheme>>,
    realm: Challenge,
    on_failure: Option<Arc<OnFailure>>,
    then: Option<Arc<ThenConnect>>,
}

impl Auth {
    /// Creates one without schemes, which refuses every request.
    #[must_use]
    pub fn new() -> Self {
        Self { schemes: Vec::new(), realm: Challenge::new("rejoin"), on_failure: None, then: None }
    }

    /// Adds a scheme. Schemes are asked in this order; the first one whose credentials the request has decides.
    #[must_use]
    pub fn scheme(mut self, scheme: impl Scheme) -> Self {
        self.schemes.push(Arc::new(scheme));
        self
    }

    /// Sets the realm that challenges name: what the credentials are for. Characters other than visible ASCII and spaces are
    /// replaced by `?`. Default: `rejoin`.
    #[must_use]
    pub fn realm(mut self, realm: &str) -> Self {
        self.realm = Challenge::new(realm);
        self
    }

    /// Sets a function that is called for each request that is not authenticated, with the refusal, which it may replace: to
    /// count or log failures in one place. A 401 without `WWW-Authenticate` gets the schemes' challenges afterwards. Default: the
    /// refusal is sent as it is. A second call replaces the first.
    #[must_use]
    pub fn on_failure(mut self, on_failure: impl Fn(AuthFailure) -> Reject + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Arc::new(on_failure));
        self
    }

    /// Sets a function that decides on each authenticated request: it completes the identity, or refuses the request. Default:
    /// the identity is taken as the scheme has made it. A second call replaces the first.
    #[must_use]
    pub fn then<F, Fut>(mut self, then: F) -> Self
    where
        F: Fn(ConnectRequest, Identity) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Identity, Reject>> + Send + 'static,
    {
        self.then = Some(Arc::new(move |request, identity| Box::pin(then(request, identity))));
        self
    }

    /// Authenticates a request, for a `ConnectFn` of your own. [`Self::then`] is not called.
    ///
    /// # Errors
    /// Fails with the refusal, after [`Self::on_failure`].
    pub async fn authenticate(&self, request: &ConnectRequest) -> Result<Identity, Reject> {
        for scheme in &self.schemes {
            match scheme.authenticate(request).await {
                Ok(None) => {}
                Ok(Some(identity)) => return Ok(identity),
                Err(reject) => return Err(self.refuse(request, Some(scheme.name()), reject)),
            }
        }
        Err(self.refuse(request, None, Reject::unauthorized("credentials are missing")))
    }

    fn refuse(&self, request: &ConnectRequest, scheme: Option<&'static str>, reject: Reject) -> Reject {
        let reject = match &self.on_failure {
            Some(on_failure) => on_failure(AuthFailure::new(request, scheme, reject)),
            None => reject,
        };
        let has_challenge =
            reject.headers.as_ref().is_some_and(|headers| headers.contains_key(header::WWW_AUTHENTICATE));
        if reject.status != StatusCode::UNAUTHORIZED || has_challenge {
            return reject;
        }
        self.challenges(scheme)
            .into_iter()
            .fold(reject, |reject, challenge| reject.with_any_header(header::WWW_AUTHENTICATE, challenge))
    }

    /// The challenges of all schemes, each once. A 401 has to have one at least.
    fn challenges(&self, failed: Option<&'static str>) -> Vec<HeaderValue> {
        let mut challenges = Vec::<HeaderValue>::new();
        let realm = self.realm.quoted();
        let of_schemes =
            self.schemes.iter().filter_map(|scheme| scheme.challenge(realm, failed == Some(scheme.name())));
        for challenge in of_schemes {
            // A scheme of the application may return an invalid header value.
            if let Ok(value) = HeaderValue::try_from(challenge)
                && !challenges.contains(&value)
            {
                challenges.push(value);
            }
        }
        if challenges.is_empty() {
            challenges.extend(HeaderValue::try_from(format!("Bearer realm={realm}")));
        }
        challenges
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self::new()
    }
}

impl ConnectFn for Auth {
    async fn connect(&self, request: ConnectRequest) -> Result<Identity, Reject> {
        let identity = self.authenticate(&request).await?;
        match &self.then {
            Some(then) => then(request, identity).await,
            None => Ok(identity),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schemes: Vec<_> = self.schemes.iter().map(|scheme| scheme.name()).collect();
        f.debug_struct("Auth").field("schemes", &schemes).finish_non_exhaustive()
    }
}
