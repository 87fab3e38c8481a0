//! Realms: parts of a server that know nothing of each other.

use super::Server;
use crate::connection::Connection;
use crate::durable;

impl Server {
    /// Returns a handle that speaks to another realm of the server ([`Identity::with_realm`](crate::Identity::with_realm)): its
    /// broadcasts, rooms, users and connections are those of that realm. The empty name is the default realm, which the handle that
    /// [`Builder::build`](crate::Builder::build) returns speaks to. [`Connection::server`] and [`User`](crate::User) speak to the realm of
    /// the connection and of the user.
    ///
    /// What concerns the whole server is the same through each handle: [`stats`](Self::stats), [`drain`](Self::drain),
    /// [`shutdown`](Self::shutdown). Connections that come in through a listener
    /// or a service of this handle are in its realm unless their identity names another.
    ///
    /// ```
    /// # use rejoin_server::{Audience, Frame, Server};
    /// # fn example(server: &Server, frame: &Frame) -> Result<(), rejoin_server::BroadcastError> {
    /// let acme = server.realm("acme");
    /// acme.broadcast("lobby", frame)?; // not the default realm's lobby
    /// println!("{:?}", acme.connection("ada"));
    /// for name in server.realms() {
    ///     server.realm(&name).broadcast(Audience::everyone(), frame)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A realm needs no connection to exist. Costs a look-up, and the memory of the realm while the handle lives.
    ///
    /// With a [store](crate::Builder::store) each realm has a log. What a handler says to another realm is a commit of its own there, as
    /// if it was said outside of handlers: it is not undone if the process dies before the handler's commit, and said again by the
    /// next run. [`committed`](Self::committed) waits for the log of this handle's realm. A log is open, which costs a task and a read of
    /// the store every two seconds, while the realm has connections here or a handle: to speak often to a realm that may have none, keep
    /// the handle.
    #[must_use = "it changes nothing"]
    pub fn realm(&self, name: &str) -> Self {
        let shared = self.shared.in_realm(name);
        durable::tasks::begin(&shared);
        Self::new(shared)
    }

    /// The name of the realm that this handle speaks to; `None` for the default realm.
    pub fn realm_name(&self) -> Option<&str> {
        Some(&*self.shared.realm.name).filter(|name| !name.is_empty())
    }

    /// Returns the names of the realms that have connections, in alphabetical order. The default realm has no name. Visits each realm.
    pub fn realms(&self) -> Vec<String> {
        let views = self.shared.views();
        let used = views.iter().map(|view| &view.realm).filter(|realm| !realm.ids.is_empty());
        used.map(|realm| String::from(&*realm.name)).filter(|name| !name.is_empty()).collect()
    }
}

impl Connection {
    /// The realm of the connection, which `ConnectFn` assigned ([`Identity::with_realm`](crate::Identity::with_realm)); `None` for the
    /// default realm.
    pub fn realm(&self) -> Option<&str> {
        Some(self.host().realm()).filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests;
