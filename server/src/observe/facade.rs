//! [`FacadeMetrics`]: [`Metrics`] for the facade of the crate `metrics`.

use std::time::Duration;

use http::StatusCode;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use rejoin_core::{CloseReason, DropReason};

use crate::limits::limit::Limit;
use crate::observe::metrics::{CallbackKind, Metrics, ResumeRefused};

/// [`Metrics`] for the facade of the crate [`metrics`], and so for any recorder that is installed there, such as Prometheus'.
/// Requires the feature `metrics`.
///
/// Install the recorder before you call [`Self::new`], which describes the metrics to it. Numbers that are reported without a
/// recorder are lost. Costs a look-up in the recorder for each number. The numbers of several servers in one process add up.
///
/// ```
/// # use rejoin_server::{Identity, Reject, Server};
/// use rejoin_server::FacadeMetrics;
///
/// # fn main() -> Result<(), rejoin_server::ConfigError> {
/// let server = Server::builder(async |_| Ok::<_, Reject>(Identity::new().with_room("lobby")))
///     .metrics(FacadeMetrics::new())
///     .build()?;
/// # let _ = server; Ok(())
/// # }
/// ```
///
/// # The metrics
/// Each label has a fixed set of values: those of [`CloseReason::kind`], [`DropReason::kind`], [`ResumeRefused::as_str`],
/// [`Limit::as_str`], [`CallbackKind::as_str`], [`ErrorKind::as_str`](crate::ErrorKind::as_str), and those in this table.
///
/// | name | kind | labels | meaning |
/// |---|---|---|---|
/// | `rejoin_connections` | gauge | | live sessions, including suspended ones |
/// | `rejoin_connections_opened_total` | counter | | sessions that began |
/// | `rejoin_connections_closed_total` | counter | `reason` | sessions that ended |
/// | `rejoin_connection_duration_seconds` | histogram | | how long sessions lived |
/// | `rejoin_rooms` | gauge | | rooms with members |
/// | `rejoin_rooms_created_total` | counter | | rooms that got a first member |
/// | `rejoin_memberships` | gauge | | members of all rooms together |
/// | `rejoin_joins_total` | counter | | joins, the rooms included that sessions began with |
/// | `rejoin_joins_refused_total` | counter | | joins that the application refused |
/// | `rejoin_upgrades_refused_total` | counter | `status`: `4xx`, `5xx` | HTTP requests that were refused |
/// | `rejoin_limits_reached_total` | counter | `limit` | clients that were refused or had to wait |
/// | `rejoin_resume_attempts_total` | counter | | sockets that asked for an existing session |
/// | `rejoin_resumes_refused_total` | counter | `reason` | those among them that did not get it |
/// | `rejoin_transport_drops_total` | counter | `reason` | sockets that sessions lost |
/// | `rejoin_transport_restores_total` | counter | | sockets that sessions got back |
/// | `rejoin_takeovers_total` | counter | | those among them that replaced an attached socket |
/// | `rejoin_heartbeat_failures_total` | counter | | sockets lost because they were silent |
/// | `rejoin_received_frames_total` | counter | | data frames received |
/// | `rejoin_received_bytes_total` | counter | | their bytes |
/// | `rejoin_sent_frames_total` | counter | | data frames sent to sockets, including replayed ones |
/// | `rejoin_sent_bytes_total` | counter | | their bytes |
/// | `rejoin_replayed_frames_total` | counter | | those among them that had been sent to an older socket |
/// | `rejoin_dropped_frames_total` | counter | | data frames accepted and dropped |
/// | `rejoin_volatile_dropped_frames_total` | counter | | volatile frames dropped, in both directions |
/// | `rejoin_gap_frames_total` | counter | `direction`: `sent`, `received` | data frames reported as gaps by one side to the other |
/// | `rejoin_broadcasts_total` | counter | | broadcasts |
/// | `rejoin_broadcast_bytes_total` | counter | | bytes of their encodings, one for each codec |
/// | `rejoin_broadcast_receivers` | histogram | | members that each broadcast was queued for |
/// | `rejoin_send_buffer_ratio` | histogram | | how full a send buffer was when frames were accepted, 0 to 1 |
/// | `rejoin_retained_bytes` | gauge | | bytes kept for peers |
/// | `rejoin_callback_duration_seconds` | histogram | `callback` | how long callbacks took |
/// | `rejoin_errors_total` | counter | `kind` | panics, failures, and peers that violated the protocol |
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FacadeMetrics;

const CONNECTIONS: &str = "rejoin_connections";
const OPENED: &str = "rejoin_connections_opened_total";
const CLOSED: &str = "rejoin_connections_closed_total";
const LIVED: &str = "rejoin_connection_duration_seconds";
const ROOMS: &str = "rejoin_rooms";
const ROOMS_CREATED: &str = "rejoin_rooms_created_total";
const MEMBERSHIPS: &str = "rejoin_memberships";
const JOINS: &str = "rejoin_joins_total";
const JOINS_REFUSED: &str = "rejoin_joins_refused_total";
const UPGRADES_REFUSED: &str = "rejoin_upgrades_refused_total";
const LIMITS_REACHED: &str = "rejoin_limits_reached_total";
const RESUME_ATTEMPTS: &str = "rejoin_resume_attempts_total";
const RESUMES_REFUSED: &str = "rejoin_resumes_refused_total";
const DROPS: &str = "rejoin_transport_drops_total";
const RESTORES: &str = "rejoin_transport_restores_total";
const TAKEOVERS: &str = "rejoin_takeovers_total";
const HEARTBEAT_FAILURES: &str = "rejoin_heartbeat_failures_total";
const RECEIVED_FRAMES: &str = "rejoin_received_frames_total";
const RECEIVED_BYTES: &str = "rejoin_received_bytes_total";
const SENT_FRAMES: &str = "rejoin_sent_frames_total";
const SENT_BYTES: &str = "rejoin_sent_bytes_total";
const REPLAYED_FRAMES: &str = "rejoin_replayed_frames_total";
const DROPPED_FRAMES: &str = "rejoin_dropped_frames_total";
const VOLATILE_DROPPED_FRAMES: &str = "rejoin_volatile_dropped_frames_total";
const GAP_FRAMES: &str = "rejoin_gap_frames_total";
const BROADCASTS: &str = "rejoin_broadcasts_total";
const BROADCAST_BYTES: &str = "rejoin_broadcast_bytes_total";
const BROADCAST_RECEIVERS: &str = "rejoin_broadcast_receivers";
const SEND_BUFFER: &str = "rejoin_send_buffer_ratio";
const RETAINED_BYTES: &str = "rejoin_retained_bytes";
const CALLBACK_DURATION: &str = "rejoin_callback_duration_seconds";
const ERRORS: &str = "rejoin_errors_total";

impl FacadeMetrics {
    /// Describes the metrics to the installed recorder.
    #[allow(clippy::new_without_default, reason = "it has a side effect")]
    pub fn new() -> Self {
        describe_gauge!(CONNECTIONS, Unit::Count, "live sessions, including suspended ones");
        describe_counter!(OPENED, Unit::Count, "sessions that began");
        describe_counter!(CLOSED, Unit::Count, "sessions that ended");
        describe_histogram!(LIVED, Unit::Seconds, "how long sessions lived");
        describe_gauge!(ROOMS, Unit::Count, "rooms with members");
        describe_counter!(ROOMS_CREATED, Unit::Count, "rooms that got a first member");
        describe_gauge!(MEMBERSHIPS, Unit::Count, "members of all rooms together");
        describe_counter!(JOINS, Unit::Count, "joins, the rooms included that sessions began with");
        describe_counter!(JOINS_REFUSED, Unit::Count, "joins that the application refused");
        describe_counter!(UPGRADES_REFUSED, Unit::Count, "HTTP requests that were refused");
        describe_counter!(LIMITS_REACHED, Unit::Count, "clients that were refused or had to wait");
        describe_counter!(RESUME_ATTEMPTS, Unit::Count, "sockets that asked for an existing session");
        describe_counter!(
            RESUMES_REFUSED,
            Unit::Count,
            "sockets that did not get the session they asked for"
        );
        describe_counter!(DROPS, Unit::Count, "sockets that sessions lost");
        describe_counter!(RESTORES, Unit::Count, "sockets that sessions got back");
        describe_counter!(TAKEOVERS, Unit::Count, "sockets restored while an older one was attached");
        describe_counter!(HEARTBEAT_FAILURES, Unit::Count, "sockets lost because they were silent");
        describe_counter!(RECEIVED_FRAMES, Unit::Count, "data frames received");
        describe_counter!(RECEIVED_BYTES, Unit::Bytes, "bytes of data frames received");
        describe_counter!(SENT_FRAMES, Unit::Count, "data frames sent to sockets, including replayed ones");
        describe_counter!(SENT_BYTES, Unit::Bytes, "bytes of data frames sent to sockets");
        describe_counter!(REPLAYED_FRAMES, Unit::Count, "data frames that had been sent to an older socket");
        describe_counter!(DROPPED_FRAMES, Unit::Count, "data frames accepted and dropped");
        describe_counter!(
            VOLATILE_DROPPED_FRAMES,
            Unit::Count,
            "volatile frames dropped, in both directions"
        );
        describe_counter!(GAP_FRAMES, Unit::Count, "data frames reported as gaps by one side to the other");
        describe_counter!(BROADCASTS, Unit::Count, "broadcasts");
        describe_counter!(BROADCAST_BYTES, Unit::Bytes, "bytes of the encodings of broadcasts");
        describe_histogram!(BROADCAST_RECEIVERS, Unit::Count, "members that a broadcast was queued for");
        describe_histogram!(SEND_BUFFER, "how full a send buffer was when frames were accepted, 0 to 1");
        describe_gauge!(RETAINED_BYTES, Unit::Bytes, "bytes kept for peers");
        describe_histogram!(CALLBACK_DURATION, Unit::Seconds, "how long callbacks took");
        describe_counter!(ERRORS, Unit::Count, "panics, failures, and peers that violated the protocol");
        Self
    }
}

#[allow(clippy::cast_precision_loss, reason = "gauges and histograms are floating-point numbers")]
impl Metrics for FacadeMetrics {
    fn upgrade_refused(&self, status: StatusCode) {
        let class = if status.is_server_error() { "5xx" } else { "4xx" };
        counter!(UPGRADES_REFUSED, "status" => class).increment(1);
    }

    fn limit_reached(&self, limit: Limit) {
        counter!(LIMITS_REACHED, "limit" => limit.as_str()).increment(1);
    }

    fn connection_opened(&self) {
        counter!(OPENED).increment(1);
        gauge!(CONNECTIONS).increment(1);
    }

    fn connection_closed(&self, lived: Duration, reason: &CloseReason) {
        counter!(CLOSED, "reason" => reason.kind()).increment(1);
        gauge!(CONNECTIONS).decrement(1);
        histogram!(LIVED).record(lived);
    }

    fn room_created(&self) {
        counter!(ROOMS_CREATED).increment(1);
        gauge!(ROOMS).increment(1);
    }

    fn room_destroyed(&self) {
        gauge!(ROOMS).decrement(1);
    }

    fn joined(&self) {
        counter!(JOINS).increment(1);
        gauge!(MEMBERSHIPS).increment(1);
    }

    fn left(&self) {
        gauge!(MEMBERSHIPS).decrement(1);
    }

    fn join_refused(&self) {
        counter!(JOINS_REFUSED).increment(1);
    }

    fn resume_attempted(&self) {
        counter!(RESUME_ATTEMPTS).increment(1);
    }

    fn resume_refused(&self, why: ResumeRefused) {
        counter!(RESUMES_REFUSED, "reason" => why.as_str()).increment(1);
    }

    fn takeover(&self) {
        counter!(TAKEOVERS).increment(1);
    }

    fn transport_dropped(&self, reason: &DropReason) {
        counter!(DROPS, "reason" => reason.kind()).increment(1);
    }

    fn heartbeat_failed(&self) {
        counter!(HEARTBEAT_FAILURES).increment(1);
    }

    fn transport_restored(&self) {
        counter!(RESTORES).increment(1);
    }

    fn received(&self, frames: u64, bytes: u64) {
        counter!(RECEIVED_FRAMES).increment(frames);
        counter!(RECEIVED_BYTES).increment(bytes);
    }

    fn sent(&self, frames: u64, bytes: u64) {
        counter!(SENT_FRAMES).increment(frames);
        counter!(SENT_BYTES).increment(bytes);
    }

    fn replayed(&self, frames: u64) {
        counter!(REPLAYED_FRAMES).increment(frames);
    }

    fn broadcast(&self, bytes: u64, receivers: usize) {
        counter!(BROADCASTS).increment(1);
        counter!(BROADCAST_BYTES).increment(bytes);
        histogram!(BROADCAST_RECEIVERS).record(receivers as f64);
    }

    fn frames_dropped(&self, frames: u64) {
        counter!(DROPPED_FRAMES).increment(frames);
    }

    fn volatile_dropped(&self, frames: u64) {
        counter!(VOLATILE_DROPPED_FRAMES).increment(frames);
    }

    fn gap_sent(&self, frames: u64) {
        counter!(GAP_FRAMES, "direction" => "sent").increment(frames);
    }

    fn gap_received(&self, frames: u64) {
        counter!(GAP_FRAMES, "direction" => "received").increment(frames);
    }

    fn send_buffer_used(&self, used: usize, capacity: usize) {
        histogram!(SEND_BUFFER).record(used as f64 / capacity as f64);
    }

    fn retained_bytes_changed(&self, by: i64) {
        gauge!(RETAINED_BYTES).increment(by as f64);
    }

    fn callback_finished(&self, which: CallbackKind, took: Duration) {
        histogram!(CALLBACK_DURATION, "callback" => which.as_str()).record(took);
    }

    fn error(&self, kind: &'static str) {
        counter!(ERRORS, "kind" => kind).increment(1);
    }
}
