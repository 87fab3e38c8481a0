//! When two handles are the same [`Connection`], and how it is shown.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Connection;

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Connection {}

impl Hash for Connection {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number().hash(state);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("room", &self.room())
            .finish_non_exhaustive()
    }
}
