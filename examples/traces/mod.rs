//! OpenTelemetry spans of sessions: one for each session, however many sockets it has.
//!
//! | span | begins | ends | parent | links |
//! |---|---|---|---|---|
//! | `session` | with the first upgrade request | with the session | the `traceparent` of that request | the `traceparent` of each request that resumed the session |
//! | `message` | with a message | when it is handled | `session` | |
//!
//! A span that ended with its socket would fall apart into pieces whenever a client changes its network. Here the session's data
//! holds the span, so it continues over a resume, and the trace of each later request is linked to it. Absences are events of the
//! span.

use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use rejoin_server::{
    Builder, CloseReason, ConfigError, ConnectRequest, Connection, Frame, Identity, Reject, Server,
};
use tracing::{Instrument as _, Span, Subscriber, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

/// A layer for `tracing` that exports this module's spans, and no others: rejoin has spans for its log, which end with a task.
pub fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let only_ours = Targets::new().with_target(module_path!(), tracing::Level::INFO);
    tracing_opentelemetry::layer().with_tracer(provider.tracer("traces")).with_filter(only_ours)
}

/// A server that echoes messages, with a span for each session.
///
/// # Errors
/// Never fails, because every option is in its range.
pub fn server() -> Result<Server, ConfigError> {
    with_spans(Server::builder(connect)).build()
}

/// The data of a connection. The span ends when it is dropped, with the connection.
struct Traced {
    session: Span,
}

async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    // The context of the client's own span, if it has one.
    let upgrade = TraceContextPropagator::new().extract(&Headers(request.headers()));
    if let Some(traced) = request.resumes().and_then(Connection::data::<Traced>) {
        traced.session.add_link(upgrade.span().span_context().clone());
        // The session keeps its data, and with it the span.
        return Ok(Identity::new());
    }
    let session = info_span!(parent: None, "session", "otel.kind" = "server", id = tracing::field::Empty);
    // Fails if no layer wants the span.
    session.set_parent(upgrade).ok();
    Ok(Identity::new().with_room("lobby").with_data(Traced { session }))
}

fn with_spans(builder: Builder) -> Builder {
    builder
        .on_connect(async |me: Connection| {
            session(&me).record("id", me.id());
        })
        .on_message(|me, frame| {
            let span = info_span!(parent: &session(&me), "message", event = frame.event());
            handle(me, frame).instrument(span)
        })
        .on_away(async |me: Connection| session(&me).add_event("away", Vec::new()))
        .on_back(async |me: Connection| session(&me).add_event("back", Vec::new()))
        .on_disconnect(async |me: Connection, reason: CloseReason| {
            session(&me).set_attribute("rejoin.reason", reason.kind());
            session(&me)
                .set_attribute("rejoin.resumed", i64::try_from(me.counts().resumed).unwrap_or(i64::MAX));
        })
}

async fn handle(me: Connection, frame: Frame) {
    // The session may have ended.
    me.send_wait(&frame).await.ok();
}

fn session(connection: &Connection) -> Span {
    connection.data::<Traced>().expect("connect attaches it").session.clone()
}

/// The headers of a request, as OpenTelemetry reads them.
struct Headers<'a>(&'a axum::http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
