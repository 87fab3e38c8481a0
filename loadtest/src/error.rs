//! [`Error`]: the reason why a run produces no measurement.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::process::ExitCode;

use rejoin_client::ConnectError;

/// The reason why a run produces no measurement.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line is invalid.
    Usage(String),
    /// The server or this system does not support what the work needs.
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

/// Describes a failed handshake, with a hint if there is one.
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
                "the server requires credentials: set them with --header NAME=VALUE or in the URL's query, with {client} in them if \
                 each client needs different ones"
            }
            404 => "the server does not accept WebSockets at the URL's path",
            409 => {
                "each client needs its own ID: put {client} in the URL or in a --header, and {run} if earlier runs are still connected"
            }
            _ => return None,
        },
        ConnectError::Subprotocol { selected: None, .. } => {
            "for servers without rejoin's session mode use --plain"
        }
        ConnectError::Timeout => {
            "the server accepts slowly, or has no descriptor left (`ulimit -n` where it was started): try fewer --clients, less \
             --concurrency, or a longer --timeout"
        }
        ConnectError::Dial(_) | ConnectError::Tls(_) => {
            let io = error.source()?.downcast_ref::<io::Error>()?;
            match io.kind() {
                io::ErrorKind::ConnectionRefused => {
                    "nothing listens there: is the server running, and on this port?"
                }
                io::ErrorKind::AddrNotAvailable => {
                    "no local port is left: one machine can open about 28,000 connections to one address"
                }
                _ if io.raw_os_error() == Some(TOO_MANY_OPEN_FILES) => {
                    "this process has no descriptor left: raise `ulimit -n`, or use fewer --clients"
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// `EMFILE` on Linux, macOS and the BSDs.
const TOO_MANY_OPEN_FILES: i32 = 24;
