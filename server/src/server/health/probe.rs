//! [`Probe`]: answers health checks as a tower service.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use crate::accept::ResponseBody;
use crate::inner::ServerInner;

/// A tower service that answers health checks with JSON ([`Server::livez`](crate::Server::livez),
/// [`Server::readyz`](crate::Server::readyz)): GET and HEAD, and 405 for other methods. Cheap to clone.
#[derive(Clone)]
pub struct Probe {
    shared: Arc<ServerInner>,
    /// Whether it answers 503 when the server is not ready.
    asks_readiness: bool,
}

impl Probe {
    pub(super) fn new(shared: Arc<ServerInner>, asks_readiness: bool) -> Self {
        Self { shared, asks_readiness }
    }

    fn answer(&self, method: &Method) -> Response<ResponseBody> {
        let health = self.shared.health();
        let status = match method {
            &Method::GET | &Method::HEAD if health.is_ready || !self.asks_readiness => StatusCode::OK,
            &Method::GET | &Method::HEAD => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        let json = serde_json::to_vec(&health).expect("numbers and names can be represented in JSON");
        let body = if method == Method::HEAD { Vec::new() } else { json };
        let mut response = Response::new(ResponseBody::from(body));
        *response.status_mut() = status;
        for (name, value) in [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
            (header::ALLOW, "GET, HEAD"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl<B> tower_service::Service<Request<B>> for Probe {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request.method())))
    }
}

impl<B> hyper::service::Service<Request<B>> for Probe {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request.method())))
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("asks_readiness", &self.asks_readiness).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::server;

    #[test]
    fn probes_answer_by_method_and_state() {
        let shared = server();
        let [live, ready] = [false, true].map(|ready| Probe::new(shared.clone(), ready));
        let status = |probe: &Probe, method: Method| probe.answer(&method).status().as_u16();
        assert_eq!([status(&live, Method::GET), status(&ready, Method::HEAD)], [200, 200]);
        assert_eq!([status(&live, Method::POST), status(&ready, Method::DELETE)], [405, 405]);
        shared.closing.cancel();
        assert_eq!([status(&live, Method::GET), status(&ready, Method::GET)], [200, 503]);
    }
}
