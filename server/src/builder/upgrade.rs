//! Options of the upgrade: from the TCP connection to the answer.

use std::time::Duration;

use super::Builder;

impl Builder {
    /// Sets how long each step of an upgrade may take: reading the request's head, `ConnectFn`, and writing the answer. Default
    /// 10 s; more than 0, at most 1 min.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// Accepts pages of this origin in addition to those of the request's own host (PROTOCOL.md §9). Default: no other origin.
    /// Can be called several times. [`Self::build`] fails for an origin that no browser sends.
    ///
    /// | `origin` | accepts |
    /// |---|---|
    /// | `https://app.example`, `http://localhost:3000` | pages of this scheme, host and port; without a port, that of the scheme |
    /// | `https://*.app.example` | pages of every host below this domain, at any depth, but not of the domain itself |
    /// | `app://-`, `chrome-extension://…` | pages of a scheme that an application or an extension has registered |
    /// | `file://` | pages from files, as Electron loads them |
    /// | `null` | pages without an origin: sandboxed frames, `data:` URLs, files in some browsers |
    ///
    /// Any page on a user's machine can have the origins `file://` and `null`: allow them only if `ConnectFn` does not trust
    /// cookies. A refused page gets a 403 whose body names the origin and the host, and the refusal is logged as a warning, at
    /// most once a second.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.options.origins.allow(origin.into());
        self
    }

    /// Accepts pages of further origins, by a function of the `Origin` as the browser sent it and of all headers of the request. It
    /// is asked for pages that neither come from the request's own host nor are [allowed](Self::allow_origin) otherwise. Default:
    /// none. A second call replaces the first; a panic refuses the page.
    ///
    /// Compare whole origins: `ends_with("example.com")` also accepts `https://evil-example.com`.
    ///
    /// ```
    /// # use std::collections::HashSet;
    /// # use std::sync::{Arc, RwLock};
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
    /// let customers = Arc::new(RwLock::new(HashSet::from(["https://shop.example".to_owned()])));
    /// let known = customers.clone();
    /// let server = Server::builder(connect)
    ///     .origin_fn(move |origin, _headers| known.read().is_ok_and(|known| known.contains(origin)))
    ///     .build()?;
    /// # let _ = server;
    /// # Ok::<(), rejoin_server::ConfigError>(())
    /// ```
    pub fn origin_fn(
        mut self,
        accepts: impl Fn(&str, &http::HeaderMap) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.options.origins.allow_by(accepts);
        self
    }

    /// Accepts pages of any origin. Any page that a user visits can then connect with the cookies of the user's browser: call it
    /// only if `ConnectFn` does not trust cookies (PROTOCOL.md §9).
    pub fn allow_any_origin(mut self) -> Self {
        self.options.origins.allow_any();
        self
    }

    /// Adds a subprotocol of the application, which is selected for plain clients that offer it. Can be called several times,
    /// once for each name; the first known name among the client's offers is selected. A name must be a token (RFC 9110 §5.6.2)
    /// that does not begin with `rejoin.`, otherwise [`Self::build`] fails. Default: none is selected.
    pub fn subprotocol(mut self, name: impl Into<Box<str>>) -> Self {
        self.options.subprotocols.push(name.into());
        self
    }

    /// Answers health checks at this path, for example `/healthz`: GET, HEAD and OPTIONS, also of HTTP/1.0, with 200, and with
    /// 503 once the server drains or shuts down. Default: none. Health checks are then refused with 405 or 426, and a load balancer marks
    /// the server as down.
    ///
    /// Upgrade requests at the same path are still accepted. Health checks are neither logged nor counted as refused. With
    /// [`Server::service`](crate::Server::service) the path is the one that the service sees; [`Upgrade`](crate::Upgrade) answers none. [`Self::build`] fails for a path that does not begin with
    /// `/` or that has a query.
    pub fn health_path(mut self, path: impl Into<Box<str>>) -> Self {
        self.options.health_path = Some(path.into());
        self
    }

    /// Serves the client for browsers ([`Script`](crate::Script)) at this path, for example `/rejoin.js`, to GET and HEAD. Default: none. It
    /// is also served while the server drains. Requests for it are neither logged nor counted as refused. Upgrade requests at the
    /// same path are still accepted. With [`Server::service`](crate::Server::service) the path is the one that the service sees.
    /// [`Self::build`] fails for a path that does not begin with `/` or that has a query.
    #[cfg(feature = "script")]
    pub fn script_path(mut self, path: impl Into<Box<str>>) -> Self {
        self.options.script_path = Some(path.into());
        self
    }

    /// Sets the longest request head that the server's own listeners read, in bytes; a longer one is refused with 431. Default 16
    /// KiB; 1 KiB to 1 MiB. A head can have at most 64 headers, and one more for each 256 bytes beyond 16 KiB.
    ///
    /// Costs up to that much memory for each handshake in progress. If another HTTP server reads the requests, its own limit
    /// applies.
    pub fn max_request_head(mut self, bytes: usize) -> Self {
        self.options.max_request_head = bytes;
        self
    }

    /// Sets the number of handshakes that the server's own listeners perform concurrently, including refusals that are still
    /// being delivered. At the limit the listeners accept no connection until a handshake ends; the operating system queues up to
    /// 4,096 further ones in its backlog. Default 8,192; 1 to 1,000,000.
    ///
    /// Together with [`Self::handshake_timeout`] it limits the cost of peers that connect and send nothing. Established
    /// connections do not count.
    pub fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.options.max_handshakes = handshakes;
        self
    }
}
