//! The values that the application supplies for each dial: [`ClientBuilder::dial_headers`], [`dial_url`](ClientBuilder::dial_url),
//! [`token`](ClientBuilder::token).

use std::future::Future;
use std::io;
use std::sync::Arc;

use http::HeaderMap;

use super::ClientBuilder;

impl ClientBuilder {
    /// Sets a source of headers, which is called before each dial, including reconnects: for tokens that expire. Its headers
    /// replace those of [`Self::header`] that have the same name. An error counts as a failed dial ([`ConnectError::Headers`](crate::ConnectError::Headers)),
    /// and the time is part of the [handshake timeout](Self::handshake_timeout). Default: none.
    ///
    /// ```
    /// use rejoin_client::Client;
    /// use rejoin_client::http::{HeaderMap, header};
    ///
    /// async fn fetch_token() -> std::io::Result<String> {
    ///     Ok("Bearer ...".into()) // from your identity provider
    /// }
    ///
    /// let client = Client::builder("wss://chat.example.com/ws")
    ///     .dial_headers(|| async {
    ///         let token = fetch_token().await?;
    ///         let value = token.parse().map_err(std::io::Error::other)?;
    ///         Ok(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
    ///     })
    ///     .build()?;
    /// # Ok::<(), rejoin_client::ConfigError>(())
    /// ```
    pub fn dial_headers<F, Fut>(mut self, headers: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<HeaderMap>> + Send + 'static,
    {
        self.options.dial_headers = Some(Arc::new(move || Box::pin(headers())));
        self
    }

    /// Sets a source of URLs, which is called before each dial, including reconnects, and replaces the URL that the client was
    /// built with: for a server that takes a short-lived token in the query, or whose address changes. Prefer
    /// [`Self::dial_headers`] for tokens if the server accepts headers: URLs are written to access logs. An error counts as a
    /// failed dial ([`ConnectError::Url`](crate::ConnectError::Url)), and the time is part of the [handshake timeout](Self::handshake_timeout). The
    /// client's first URL still names the connection in logs. Default: none.
    ///
    /// ```
    /// use rejoin_client::Client;
    ///
    /// async fn fetch_ticket() -> std::io::Result<String> {
    ///     Ok("one-time-ticket".into()) // from the application's login
    /// }
    ///
    /// let client = Client::builder("wss://chat.example.com/ws")
    ///     .dial_url(|| async { Ok(format!("wss://chat.example.com/ws?ticket={}", fetch_ticket().await?)) })
    ///     .build()?;
    /// # Ok::<(), rejoin_client::ConfigError>(())
    /// ```
    pub fn dial_url<F, Fut>(mut self, url: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<String>> + Send + 'static,
    {
        self.options.dial_url = Some(Arc::new(move || Box::pin(url())));
        self
    }

    /// Sets a source of access tokens, which is called before each dial, including reconnects. The client sends the token with the
    /// subprotocol `rejoin.auth.TOKEN` (PROTOCOL.md §1), as pages have to, and the server's application gets it from
    /// `ConnectRequest::token`. The server asks for a fresh one during a connection by closing the socket with 3000 `credentials
    /// expired`: the client then dials with another token, and resumes. Default: none. Not available in [plain
    /// mode](Self::plain).
    ///
    /// An error counts as a failed dial ([`ConnectError::Token`](crate::ConnectError::Token)), and so does a token that is empty or
    /// longer than 3,072 bytes; the time is part of the [handshake timeout](Self::handshake_timeout). The token is not logged. For
    /// a header instead, see [`Self::dial_headers`].
    ///
    /// ```
    /// use rejoin_client::Client;
    ///
    /// async fn fetch_token() -> std::io::Result<String> {
    ///     Ok("...".into()) // from your identity provider
    /// }
    ///
    /// let client = Client::builder("wss://chat.example.com/ws").token(fetch_token).build()?;
    /// # Ok::<(), rejoin_client::ConfigError>(())
    /// ```
    pub fn token<F, Fut>(mut self, token: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<String>> + Send + 'static,
    {
        self.options.dial_token = Some(Arc::new(move || Box::pin(token())));
        self
    }
}
