//! [`Error`]: why there is no measurement.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::process::ExitCode;

use rejoin_client::ConnectError;

/// Why there is no measurement.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line asks for what cannot be.
    Usage(String),
    /// The server, or this system, does not do what the work needs.
    Failed(String),
}

impl Error {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(text) | Self::Failed(text)) = self;
        f.write_str(text)
    }
}

/// What went wrong with a handshake, and what helps.
pub(crate) fn explain(error: &ConnectError) -> String {
    match hint(error) {
        Some(hint) => format!("{error}\n{hint}"),
        None => error.to_string(),
    }
}

fn hint(error: &ConnectError) -> Option<&'static str> {
    Some(match error {
        ConnectError::Refused(refusal) => match refusal.status {
            401 | 403 => {
                "the server wants to know who connects: --header NAME=VALUE and the URL's query say so, with {client} in them where \
                 each client is somebody else"
            }
            404 => "the URL's path is not where the server accepts WebSockets",
            409 => {
                "each client needs an ID of its own: {client} in the URL or in a --header, {run} where earlier runs are still there"
            }
            _ => return None,
        },
        ConnectError::Subprotocol { selected: None, .. } => {
            "for servers that do not speak rejoin's session mode there is --plain"
        }
        ConnectError::Timeout => {
            "the server accepts slowly, or has no descriptor left (`ulimit -n` where it was started): fewer --clients, less \
             --concurrency, or a longer --timeout"
        }
        ConnectError::Dial(_) | ConnectError::Tls(_) => {
            let io = error.source()?.downcast_ref::<io::Error>()?;
            match io.kind() {
                io::ErrorKind::ConnectionRefused => {
                    "nothing listens there: is the server running, and is it this port?"
                }
                io::ErrorKind::AddrNotAvailable => {
                    "no local port is left: some 28,000 connections to one address are possible from one machine"
                }
                _ if io.raw_os_error() == Some(TOO_MANY_OPEN_FILES) => {
                    "this process has no descriptor left: raise `ulimit -n`, or ask for fewer --clients"
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// `EMFILE` on Linux, macOS and the BSDs.
const TOO_MANY_OPEN_FILES: i32 = 24;
