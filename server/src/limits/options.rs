//! [`LimitOptions`]: the limits as [`Builder`](crate::Builder) collects them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use rejoin_core::drive::UnitsPerSecond;

use crate::error::ConfigError;
use crate::limits::rate::{RatePolicy, Rates};

type ClientAddress = Arc<dyn Fn(&HeaderMap) -> Option<IpAddr> + Send + Sync>;

/// The limits of a server. [`usize::MAX`] stands for none.
#[derive(Clone)]
pub(crate) struct LimitOptions {
    pub(crate) connections: usize,
    pub(crate) connections_per_user: usize,
    pub(crate) connections_per_address: usize,
    /// Finds the client's address in the headers that a proxy has set.
    pub(crate) client_address: Option<ClientAddress>,
    pub(crate) rooms: usize,
    pub(crate) rooms_per_connection: usize,
    pub(crate) members: usize,
    pub(crate) rates: Rates,
    pub(crate) user_rates: Rates,
    /// The values that are no rates, by their options.
    pub(crate) wrong_rates: Vec<(&'static str, u64)>,
    pub(crate) rate_policy: RatePolicy,
    pub(crate) inbound_bytes: usize,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self {
            connections: usize::MAX,
            connections_per_user: usize::MAX,
            connections_per_address: usize::MAX,
            client_address: None,
            rooms: usize::MAX,
            rooms_per_connection: usize::MAX,
            members: usize::MAX,
            rates: Rates::default(),
            user_rates: Rates::default(),
            wrong_rates: Vec::new(),
            rate_policy: RatePolicy::default(),
            inbound_bytes: usize::MAX,
        }
    }
}

impl LimitOptions {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let counts = [
            ("max_connections", self.connections),
            ("max_connections_per_user", self.connections_per_user),
            ("max_connections_per_address", self.connections_per_address),
            ("max_rooms", self.rooms),
            ("max_rooms_per_connection", self.rooms_per_connection),
            ("max_members", self.members),
            ("max_inbound_bytes", self.inbound_bytes),
        ];
        if let Some((option, value)) = self.wrong_rates.first() {
            return Err(ConfigError {
                option,
                value: value.to_string(),
                range: "1 to 1,000,000,000 per second",
            });
        }
        match counts.into_iter().find(|(_, count)| *count == 0) {
            None => Ok(()),
            Some((option, _)) => {
                Err(ConfigError { option, value: "0".into(), range: "at least 1, or no such limit" })
            }
        }
    }
}

/// The highest rate: beyond it the clock's resolution would not suffice.
const MAX_RATE: u64 = 1_000_000_000;

impl LimitOptions {
    /// A rate, if this value is one.
    pub(crate) fn rate(&mut self, option: &'static str, per_second: u64) -> Option<UnitsPerSecond> {
        self.wrong_rates.retain(|(wrong, _)| *wrong != option);
        let rate = UnitsPerSecond::new(per_second).filter(|_| per_second <= MAX_RATE);
        if rate.is_none() {
            self.wrong_rates.push((option, per_second));
        }
        rate
    }
}

impl fmt::Debug for LimitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitOptions")
            .field("connections", &self.connections)
            .field("connections_per_user", &self.connections_per_user)
            .field("connections_per_address", &self.connections_per_address)
            .field("client_address", &self.client_address.is_some())
            .field("rooms", &self.rooms)
            .field("rooms_per_connection", &self.rooms_per_connection)
            .field("members", &self.members)
            .field("rates", &self.rates)
            .field("user_rates", &self.user_rates)
            .field("rate_policy", &self.rate_policy)
            .field("inbound_bytes", &self.inbound_bytes)
            .finish_non_exhaustive()
    }
}
