//! [`Belongings`]: what an application keeps with a connection.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

/// A value of any type.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

/// What an application keeps with a connection. Few connections have more than data, so the rest is boxed.
#[derive(Default)]
pub(crate) struct Belongings {
    /// From `ConnectFn`.
    pub(crate) data: Option<Value>,
    more: Option<Box<More>>,
    /// Whether one of the values is the connection's own handlers.
    pub(crate) has_handler: bool,
}

#[derive(Default)]
struct More {
    /// Headers of the last request.
    headers: Option<Arc<HeaderMap>>,
    /// At most one of each type. A linear search is cheaper than hashing, because there are few.
    values: Vec<Value>,
}

/// What the request of a socket changes in its session, once the socket is attached.
#[derive(Default)]
pub(crate) struct Renewal {
    /// When the credentials end with which the socket was accepted.
    pub(crate) expires: Option<Instant>,
    /// New data of a resumed session.
    pub(crate) data: Option<Value>,
    /// Headers of the request.
    pub(crate) headers: Option<Arc<HeaderMap>>,
}

impl Belongings {
    pub(crate) fn new(data: Option<Value>, headers: Option<Arc<HeaderMap>>) -> Self {
        let more = headers.map(|headers| Box::new(More { headers: Some(headers), values: Vec::new() }));
        Self { data, more, has_handler: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.data.is_none() && self.more.is_none()
    }

    pub(crate) fn headers(&self) -> Option<&Arc<HeaderMap>> {
        self.more.as_ref()?.headers.as_ref()
    }

    /// Takes over what a request brings. Returns what it replaces, to be dropped once no lock is held: that is foreign code.
    pub(crate) fn renew(&mut self, data: Option<Value>, headers: Option<Arc<HeaderMap>>) -> Option<Value> {
        if headers.is_some() {
            self.more.get_or_insert_default().headers = headers;
        }
        if data.is_some() { std::mem::replace(&mut self.data, data) } else { None }
    }

    /// The value of this type.
    pub(crate) fn get<T: Any>(&self) -> Option<&Value> {
        self.more.as_ref()?.values.iter().find(|value| value.is::<T>())
    }

    /// Sets the value of this type. Returns the old one, to be dropped once no lock is held.
    pub(crate) fn set<T: Any + Send + Sync>(&mut self, value: Arc<T>) -> Option<Value> {
        let values = &mut self.more.get_or_insert_default().values;
        match values.iter_mut().find(|value| value.is::<T>()) {
            Some(old) => Some(std::mem::replace(old, value)),
            None => {
                values.push(value);
                None
            }
        }
    }

    /// Removes the value of this type.
    pub(crate) fn take<T: Any>(&mut self) -> Option<Value> {
        let values = &mut self.more.as_mut()?.values;
        let index = values.iter().position(|value| value.is::<T>())?;
        Some(values.swap_remove(index))
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").field("expires", &self.expires).finish_non_exhaustive()
    }
}
