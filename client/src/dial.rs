//! [`Dialer`]: dials a server and upgrades to a WebSocket.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;
use rejoin_core::drive::limit_unsent;
use rejoin_core::{Mode, Token};
use tokio::net::TcpStream;

use crate::cookies::Cookies;
use crate::error::{ConfigError, ConnectError};
use crate::happy_eyeballs;
use crate::options::ClientOptions;
use crate::stream::BoxIo;
use crate::target::DialTarget;
use crate::tls::TlsConnector;
use crate::transport::ClientTransport;
use crate::upgrade;

/// Makes sockets to one server. Of sessions it knows only the resume offer that it sends.
pub(crate) struct Dialer {
    target: DialTarget,
    /// For `wss` without a connector, if a URL is or may be one. An error fails the dials that need it.
    tls: Option<Result<TlsConnector, ConfigError>>,
    options: Arc<ClientOptions>,
}

impl Dialer {
    /// # Errors
    /// Fails if reconnects of a `wss` URL would have no TLS. Without reconnects a dial fails instead: the application may bring a
    /// stream that speaks TLS already.
    pub(crate) fn new(target: DialTarget, options: Arc<ClientOptions>) -> Result<Self, ConfigError> {
        let may_need_tls = target.tls || options.dial_url.is_some();
        let tls = (may_need_tls && options.connector.is_none()).then(|| TlsConnector::new(&options.tls));
        match &tls {
            Some(Err(error)) if target.tls && options.reconnect => Err(error.clone()),
            _ => Ok(Self { target, tls, options }),
        }
    }

    /// Host and port, for logs.
    pub(crate) fn authority(&self) -> &str {
        &self.target.authority
    }

    /// Dials, unless the application has supplied a stream, and upgrades to a WebSocket. The caller limits the time.
    pub(crate) async fn dial(
        &self,
        ready: Option<BoxIo>,
        resume: Option<(&Token, u64)>,
        cookies: &mut Cookies,
    ) -> Result<ClientTransport, ConnectError> {
        // Before the dial, because a server does not wait long for the request.
        let target = self.target().await?;
        let mut headers = self.headers().await?;
        let auth = self.token().await?;
        if self.options.cookies {
            cookies.add_to(headers.to_mut(), &target);
        }
        let mut io = match ready {
            Some(stream) => stream,
            None => self.stream(&target).await?,
        };
        let offer = match self.options.mode {
            Mode::Session => {
                let max_message = self.options.max_message_size;
                Some(upgrade::DialOffer {
                    codec: self.options.codec.name(),
                    resume,
                    max_message,
                    auth: auth.as_ref(),
                })
            }
            Mode::Plain => None,
        };
        let cookies = self.options.cookies.then_some(cookies);
        let tail = upgrade::upgrade(&mut io, &target, &headers, offer.as_ref(), cookies).await?;
        Ok(ClientTransport::new(io, &tail, self.options.max_message_size))
    }

    async fn target(&self) -> Result<Cow<'_, DialTarget>, ConnectError> {
        let Some(fresh) = &self.options.dial_url else { return Ok(Cow::Borrowed(&self.target)) };
        let url = fresh().await.map_err(ConnectError::Url)?;
        Ok(Cow::Owned(DialTarget::parse(&url)?))
    }

    async fn headers(&self) -> Result<Cow<'_, HeaderMap>, ConnectError> {
        let fixed = &self.options.headers;
        let Some(fresh) = &self.options.dial_headers else { return Ok(Cow::Borrowed(fixed)) };
        let fresh = fresh().await.map_err(ConnectError::Headers)?;
        self.options.check_headers(&fresh)?;
        let mut headers = fixed.clone();
        // Replaces headers of the same names.
        headers.extend(fresh);
        Ok(Cow::Owned(headers))
    }

    async fn token(&self) -> Result<Option<upgrade::Credentials>, ConnectError> {
        let Some(fresh) = &self.options.dial_token else { return Ok(None) };
        let token = fresh().await.map_err(ConnectError::Token)?;
        upgrade::Credentials::new(token).map(Some).map_err(ConnectError::Token)
    }

    async fn stream(&self, target: &DialTarget) -> Result<BoxIo, ConnectError> {
        if let Some(connector) = &self.options.connector {
            return connector().await.map_err(ConnectError::Dial);
        }
        // Checked before TCP, so that the server does not see a socket on which nothing arrives.
        let tls = match &self.tls {
            Some(tls) if target.tls => Some(tls.as_ref().map_err(Clone::clone)?),
            _ => None,
        };
        let tcp = tcp(target).await?;
        limit_unsent(&tcp, self.options.write_timeout);
        match tls {
            Some(tls) => tls.connect(&target.host, tcp).await,
            None => Ok(Box::new(tcp)),
        }
    }
}

async fn tcp(target: &DialTarget) -> Result<TcpStream, ConnectError> {
    let addresses = resolved(tokio::net::lookup_host((target.host.as_str(), target.port)).await)?;
    let tcp = happy_eyeballs::connect(addresses, TcpStream::connect).await.map_err(ConnectError::Dial)?;
    // Small frames must not wait for the acknowledgement of earlier ones.
    tcp.set_nodelay(true).map_err(ConnectError::Dial)?;
    Ok(tcp)
}

/// The addresses that the resolver found, at least one.
fn resolved(found: io::Result<impl Iterator<Item = SocketAddr>>) -> Result<Vec<SocketAddr>, ConnectError> {
    let addresses: Vec<_> = found.map_err(ConnectError::Resolve)?.collect();
    if addresses.is_empty() {
        return Err(ConnectError::Resolve(io::ErrorKind::NotFound.into()));
    }
    Ok(addresses)
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("authority", &self.target.authority).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_without_addresses_is_an_error() {
        let error = resolved(Ok(std::iter::empty())).unwrap_err();
        assert!(
            matches!(&error, ConnectError::Resolve(why) if why.kind() == io::ErrorKind::NotFound),
            "{error:?}"
        );
        let failed = io::Result::<std::iter::Empty<_>>::Err(io::Error::other("no network"));
        assert!(
            matches!(resolved(failed), Err(ConnectError::Resolve(why)) if why.to_string() == "no network")
        );
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(resolved(Ok([address].into_iter())).unwrap(), [address]);
    }

    #[tokio::test]
    async fn dialled_sockets_have_no_delay() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = DialTarget::parse(&format!("ws://{}", listener.local_addr().unwrap())).unwrap();
        let stream = tcp(&target).await.unwrap();
        assert!(stream.nodelay().unwrap(), "Nagle's algorithm is off");
    }
}
