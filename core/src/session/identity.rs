//! [`SessionIdentity`]: token, connection ID and room of a session.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Token;

/// The part of `$open` that is constant for the life of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionIdentity {
    /// The secret that authorizes a resume.
    pub token: Token,
    /// The connection ID.
    pub id: Box<str>,
    /// The room.
    pub room: Arc<str>,
}

impl SessionIdentity {
    /// Creates an identity from its parts.
    pub fn new(token: Token, id: impl Into<Box<str>>, room: impl Into<Arc<str>>) -> Self {
        Self { token, id: id.into(), room: room.into() }
    }
}
