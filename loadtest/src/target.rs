//! [`Target`]: the server, and each client's identity.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rejoin_client::rustls::crypto::ring;
use rejoin_client::rustls::pki_types::{CertificateDer, pem::PemObject};
use rejoin_client::rustls::{ClientConfig, RootCertStore};
use rejoin_client::{
    Client, ClientBuilder, ConnectError, Connection, MsgpackCodec, ProtobufCodec, http::Uri,
};

use crate::cable::Cable;
use crate::common::{CodecName, Common};
use crate::dial::Dialer;
use crate::error::Error;

/// The server, and each client's identity.
pub(crate) struct Target {
    url: String,
    headers: Vec<(String, String)>,
    plain: bool,
    codec: CodecName,
    rooms: u32,
    /// The replacement for `{run}`.
    run: String,
    timeout: Duration,
    /// Host and port, for messages.
    address: String,
    dialer: Arc<Dialer>,
}

impl Target {
    /// Checks the arguments that all clients share. Does not connect.
    ///
    /// # Errors
    /// Fails for an invalid URL or header, and for a host without an address.
    pub(crate) async fn new(common: &Common) -> Result<Self, Error> {
        let run = format!("{:08x}", rand::random::<u32>());
        let expanded = expand(&common.url, 0, 0, &run);
        // The client reports any other error in the URL.
        let uri: Uri = expanded.parse().map_err(|error| {
            Error::usage(format!("invalid URL: {expanded}: {error} (expected ws://… or wss://…)"))
        })?;
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let secure = matches!(uri.scheme_str(), Some("wss" | "https"));
        let tls = if secure { Some(tls(common.ca.as_deref())?) } else { None };
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Client::builder(expanded.clone()).build().map_err(|error| Error::usage(error.to_string()))?;
        let dialer = Arc::new(Dialer::new(host, port, tls).await?);
        let target = Self {
            url: common.url.clone(),
            headers: common.header.clone(),
            plain: common.plain,
            codec: common.codec,
            rooms: common.rooms,
            run,
            timeout: common.timeout,
            address: format!("{}:{port}", uri.host().unwrap_or_default()),
            dialer,
        };
        if common.rooms > 1 && !target.has("{room}") {
            return Err(Error::usage(
                "--rooms: expected {room} in the URL or in a --header, or all clients would be in the same room",
            ));
        }
        target.builder(0).build().map_err(|error| Error::usage(error.to_string()))?;
        Ok(target)
    }

    /// Host and port. The rest of the URL may be secret.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Whether the URL or a header contains this placeholder.
    pub(crate) fn has(&self, placeholder: &str) -> bool {
        self.url.contains(placeholder) || self.headers.iter().any(|(_, value)| value.contains(placeholder))
    }

    /// The room of a client.
    pub(crate) fn room_of(&self, client: u32) -> u32 {
        client % self.rooms
    }

    /// Connects a client that does not reconnect.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub(crate) async fn connect(&self, client: u32) -> Result<Connection, ConnectError> {
        let dialer = self.dialer.clone();
        let builder = self.builder(client).no_reconnect().handshake_timeout(self.timeout);
        builder.connector(move || dial(dialer.clone())).connect().await
    }

    /// A builder for a client whose sockets go over this cable. The caller sets the reconnect options.
    pub(crate) fn on_cable(&self, client: u32, cable: Arc<Cable>) -> ClientBuilder {
        let dialer = self.dialer.clone();
        self.builder(client).connector(move || cable.clone().dial(dialer.clone()))
    }

    fn builder(&self, client: u32) -> ClientBuilder {
        let fill = |text: &str| expand(text, client, self.room_of(client), &self.run);
        let mut builder = Client::builder(fill(&self.url)).max_message_size(None);
        for (name, value) in &self.headers {
            builder = builder.header(name, &fill(value));
        }
        if self.plain {
            builder = builder.plain();
        }
        match self.codec {
            CodecName::Json => builder,
            CodecName::Msgpack => builder.codec(MsgpackCodec),
            CodecName::Protobuf => builder.codec(ProtobufCodec),
        }
    }
}

async fn dial(dialer: Arc<Dialer>) -> std::io::Result<crate::dial::Stream> {
    dialer.dial().await
}

fn expand(text: &str, client: u32, room: u32, run: &str) -> String {
    text.replace("{client}", &client.to_string()).replace("{room}", &room.to_string()).replace("{run}", run)
}

/// Trusts Mozilla's root certificates, or those in a file.
fn tls(ca: Option<&Path>) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let wrong = |why: &dyn std::fmt::Display| Error::usage(format!("--ca {}: {why}", file.display()));
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"expected at least one certificate"));
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
