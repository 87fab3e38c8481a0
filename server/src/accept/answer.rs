//! The answers to a request: [`Switch`], or a refusal.

use http::{HeaderName, HeaderValue, Response, header};

use crate::accept::reject::Reject;

/// A response of this server.
pub(crate) type HttpResponse = Response<bytes::Bytes>;

/// The answer that switches protocols.
#[derive(Debug)]
pub(crate) struct Switch {
    /// `Sec-WebSocket-Accept`.
    pub(crate) accept: String,
    pub(crate) subprotocol: Option<Box<str>>,
}

impl Switch {
    /// The headers of the answer.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        let subprotocol = self.subprotocol.as_deref().map(|name| (header::SEC_WEBSOCKET_PROTOCOL, name));
        let headers = [
            (header::CONNECTION, "Upgrade"),
            (header::UPGRADE, "websocket"),
            (header::SEC_WEBSOCKET_ACCEPT, &*self.accept),
        ];
        headers.into_iter().chain(subprotocol)
    }

    /// The answer as a response of an HTTP server other than ours.
    #[cfg(feature = "hyper")]
    pub(crate) fn into_response(self) -> HttpResponse {
        let mut response = Response::new(bytes::Bytes::new());
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        for (name, value) in self.headers() {
            let value = HeaderValue::from_str(value).expect("base64 and checked tokens are header values");
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// The response to a request that is refused.
pub(crate) fn refuse(reject: Reject) -> HttpResponse {
    let mut response = Response::new(bytes::Bytes::from(reject.body.into_owned()));
    *response.status_mut() = reject.status;
    if let Some(headers) = reject.headers {
        *response.headers_mut() = *headers;
    }
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().entry(header::CONTENT_TYPE).or_insert(text);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_is_plain_text_by_default() {
        let content_type = |reject: Reject| refuse(reject).headers()[header::CONTENT_TYPE].clone();
        assert_eq!(content_type(Reject::forbidden("no")), "text/plain; charset=utf-8");
        let json = HeaderValue::from_static("application/json");
        assert_eq!(
            content_type(Reject::bad_request("{}").with_header(header::CONTENT_TYPE, json.clone()).unwrap()),
            json
        );
    }
}
