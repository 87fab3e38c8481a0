//! Why a store does not do what is asked.

use std::fmt;

/// The store cannot be asked, or has failed.
///
/// What was asked may have happened nevertheless: repeat it as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(Box<str>);

impl StoreError {
    /// Describes what has failed, for a log line.
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
            /// The store cannot be asked. Whether it was done is unknown: repeat it as it was.
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
        /// It has passed, and others have taken over something that the node owned. It goes on as another incarnation.
        Passed => "the lease of this incarnation has passed",
    }
    /// Why a writer was not begun.
    OpenError {
        /// Another record has the key.
        KeyTaken => "another session has this key",
        /// Another record of the log has the connection ID.
        IdTaken => "another session has this connection ID",
        /// The lease of the node is gone.
        NoLease => "the lease of this node is gone",
    }
    /// Why a writer was not handed over.
    AttachError {
        /// There is no such record: it has ended, or the store has lost it.
        Unknown => "there is no such session",
        /// The proof is wrong.
        Secret => "the secret is wrong",
        /// The lease of the node is gone.
        NoLease => "the lease of this node is gone",
        /// The node has asked with a later nonce, and was answered: this request is a late one, and nobody waits for it.
        Late => "a later request of this node was answered",
        /// [`Store::adopt`](crate::Store::adopt) alone: the window is not over, and the lease of the owner is not gone.
        Owned => "a living node has this session",
    }
    /// Why nothing was committed.
    CommitError {
        /// Another epoch is current, or the writer has ended: nothing that this life of it says counts any more.
        Fenced => "another has taken the session over",
        /// The commit before it is missing.
        OutOfOrder => "an earlier commit of this writer is missing",
    }
    /// Why a log was not read.
    ReadError {
        /// It begins after the place.
        Trimmed => "the log begins later",
        /// The log is another one than that of the position.
        Generation => "the log was lost or recreated",
    }
}
