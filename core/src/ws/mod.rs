//! RFC 6455 framing, sans-IO.
