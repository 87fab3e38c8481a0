//! The errors of a store.

use std::fmt;

/// The store cannot be reached, or has failed.
///
/// The request may have been applied nevertheless, so repeat it unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(Box<str>);

impl StoreError {
    /// An error with a description for a log line.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident => $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(clippy::exhaustive_enums)] // servers decide on each
        pub enum $name {
            $($(#[$case_doc])* $case,)*
            /// The store cannot be reached, and the outcome is unknown. Repeat the request unchanged.
            Unsure(StoreError),
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$case => f.write_str($text),)*
                    Self::Unsure(error) => error.fmt(f),
                }
            }
        }

        impl std::error::Error for $name {}

        impl From<StoreError> for $name {
            fn from(error: StoreError) -> Self {
                Self::Unsure(error)
            }
        }
    )*};
}

errors! {
    /// Why a lease was not renewed.
    LeaseError {
        /// It has expired, and another node has adopted one of this node's sessions. Continue as another incarnation.
        Passed => "the lease of this incarnation has passed",
    }
    /// Why a writer was not begun.
    OpenError {
        /// Another record has the key.
        KeyTaken => "another session has this key",
        /// Another record of the log has the connection ID.
        IdTaken => "another session has this connection ID",
        /// The node's lease has expired.
        NoLease => "the lease of this node is gone",
    }
    /// Why a writer was not attached.
    AttachError {
        /// There is no such record: the session has ended, or the store has lost it.
        Unknown => "there is no such session",
        /// The proof is wrong.
        Secret => "the secret is wrong",
        /// The node's lease has expired.
        NoLease => "the lease of this node is gone",
        /// The store has already answered a later nonce of this node, so this request arrived late, and no caller waits for it.
        Late => "a later request of this node was answered",
        /// Only from [`Store::adopt`](crate::Store::adopt): the window has not passed, and the owner's lease has not expired.
        Owned => "a living node has this session",
    }
    /// Why nothing was committed.
    CommitError {
        /// Another epoch is current, or the writer has ended: commits of this epoch are refused from now on.
        Fenced => "another has taken the session over",
        /// The previous commit is missing.
        OutOfOrder => "an earlier commit of this writer is missing",
    }
    /// Why a log was not read.
    ReadError {
        /// The log begins after the position.
        Trimmed => "the log begins later",
        /// The log has another generation than the position.
        Generation => "the log was lost or recreated",
    }
}
