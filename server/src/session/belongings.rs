//! [`Belongings`]: the values that an application keeps with a connection.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

/// A value of any type.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

/// The values that an application keeps with a connection. Few connections have more than data, so the rest is boxed.
#[derive(Default)]
pub(crate) struct Belongings {
    /// From `ConnectFn`.
    pub(crate) data: Option<Value>,
    more: Option<Box<More>>,
    /// Whether one of the values is the connection's own handlers, or will be.
    pub(crate) has_handler: bool,
    /// It had handlers of its own in another process. The next request brings them.
    awaits_handler: bool,
}

#[derive(Default)]
struct More {
    /// Headers of the last request.
    headers: Option<Arc<HeaderMap>>,
    /// At most one of each type. A linear search is cheaper than hashing, because there are few.
    values: Vec<Value>,
}

/// The changes that a socket's request makes to its session, once the socket is attached.
#[derive(Default)]
pub(crate) struct Renewal {
    /// The expiry time of the credentials with which the socket was accepted.
    pub(crate) expires: Option<Instant>,
    /// New data of a resumed session.
    pub(crate) data: Option<Value>,
    /// Headers of the request.
    pub(crate) headers: Option<Arc<HeaderMap>>,
    /// The handlers of a connection that [awaits](Belongings::awaits_handler) them.
    pub(crate) handler: Option<Value>,
}

impl Belongings {
    pub(crate) fn new(data: Option<Value>, headers: Option<Arc<HeaderMap>>) -> Self {
        let more = headers.map(|headers| Box::new(More { headers: Some(headers), values: Vec::new() }));
        Self { data, more, ..Self::default() }
    }

    /// Those of a session that another process has had.
    pub(crate) fn of_restored(has_handler: bool) -> Self {
        Self { has_handler, awaits_handler: has_handler, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.data.is_none() && self.more.is_none() && !self.has_handler
    }

    /// Whether callbacks have to wait for the connection's own handlers.
    pub(crate) fn awaits_handler(&self) -> bool {
        self.awaits_handler
    }

    /// The connection's own handlers, of type `T`, if it has some; `Some(None)` if it awaits them.
    #[allow(clippy::option_option, reason = "the caller tells the three cases apart at once")]
    pub(crate) fn handler<T: Any>(&self) -> Option<Option<Value>> {
        self.has_handler.then(|| self.get::<T>().cloned())
    }

    /// The handlers of a fresh session, or those that a request brings for one that awaits them: `None` if there are none any
    /// more, and the server's are called.
    pub(crate) fn settle_handler(&mut self, handler: Option<Value>) {
        self.awaits_handler = false;
        self.has_handler = handler.is_some();
        if let Some(handler) = handler {
            self.put(handler);
        }
    }

    pub(crate) fn headers(&self) -> Option<&Arc<HeaderMap>> {
        self.more.as_ref()?.headers.as_ref()
    }

    /// Takes over the values of a request. Returns the replaced value; drop it after all locks are released, because that runs foreign
    /// code.
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

    /// Sets the value of this type. Returns the old one; drop it after all locks are released.
    pub(crate) fn set<T: Any + Send + Sync>(&mut self, value: Arc<T>) -> Option<Value> {
        self.put(value)
    }

    fn put(&mut self, value: Value) -> Option<Value> {
        let values = &mut self.more.get_or_insert_default().values;
        match values.iter_mut().find(|old| (***old).type_id() == (*value).type_id()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str) -> Option<Arc<HeaderMap>> {
        Some(Arc::new(HeaderMap::from_iter([(name.parse().unwrap(), "1".parse().unwrap())])))
    }

    #[test]
    fn a_request_replaces_only_what_it_brings() {
        let names = |belongings: &Belongings| {
            belongings
                .headers()
                .map(|headers| headers.keys().map(|name| name.to_string()).collect::<Vec<_>>())
        };
        let text = |value: Option<&Value>| value.map(|value| *value.downcast_ref::<&str>().unwrap());
        let mut belongings = Belongings::default();
        assert!(belongings.is_empty());
        assert!(belongings.renew(None, None).is_none());
        assert!(belongings.is_empty(), "nothing is allocated for nothing");
        assert!(belongings.renew(Some(Arc::new("old")), None).is_none());
        assert_eq!((text(belongings.data.as_ref()), names(&belongings)), (Some("old"), None));
        assert!(belongings.renew(None, headers("a")).is_none());
        assert_eq!(
            (text(belongings.data.as_ref()), names(&belongings)),
            (Some("old"), Some(vec!["a".into()]))
        );
        let replaced = belongings.renew(Some(Arc::new("new")), headers("b"));
        assert_eq!(text(replaced.as_ref()), Some("old"));
        assert_eq!(
            (text(belongings.data.as_ref()), names(&belongings)),
            (Some("new"), Some(vec!["b".into()]))
        );
        assert!(belongings.renew(None, None).is_none());
        assert_eq!(
            (text(belongings.data.as_ref()), names(&belongings)),
            (Some("new"), Some(vec!["b".into()]))
        );
    }

    #[test]
    fn there_is_one_value_of_each_type() {
        let mut belongings = Belongings::new(None, headers("a"));
        assert!(belongings.get::<u8>().is_none() && belongings.take::<u8>().is_none());
        assert!(belongings.set(Arc::new(1_u8)).is_none() && belongings.set(Arc::new("text")).is_none());
        let number = |value: Option<Value>| value.map(|value| *value.downcast_ref::<u8>().unwrap());
        assert_eq!(number(belongings.set(Arc::new(2_u8))), Some(1));
        assert_eq!(number(belongings.get::<u8>().cloned()), Some(2));
        assert_eq!([number(belongings.take::<u8>()), number(belongings.take::<u8>())], [Some(2), None]);
        assert!(belongings.get::<&str>().is_some() && belongings.headers().is_some());
    }

    #[test]
    fn a_renewal_prints_without_what_it_brings() {
        let renewal = Renewal { data: Some(Arc::new("secret")), headers: headers("a"), ..Renewal::default() };
        assert_eq!(format!("{renewal:?}"), "Renewal { expires: None, .. }");
    }
}
