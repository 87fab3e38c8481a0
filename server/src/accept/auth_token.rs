//! [`AuthToken`]: the credentials in the offer `rejoin.auth.TOKEN` (PROTOCOL.md §1).

use std::fmt;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The credentials of a client that cannot set headers.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AuthToken(Box<[u8]>);

/// The most characters that an offered token has. Proxies limit the lines of a request's head to 8 KiB.
const MAX: usize = 4096;

/// Base64url without padding. The last character may have bits that no byte uses, as in most decoders.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

impl AuthToken {
    /// Reads the offered form; `None` if it is empty, longer than 4,096 characters, or not base64url without padding.
    //= PROTOCOL.md#R1.23: answer with HTTP 400 when a request has more than one such offer, or one of another form
    pub(crate) fn parse(offered: &str) -> Option<Self> {
        if offered.is_empty() || offered.len() > MAX {
            return None;
        }
        BASE64URL.decode(offered).ok().map(|bytes| Self(bytes.into()))
    }

    /// The token's bytes, decoded.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The token, if it is UTF-8.
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for AuthToken {
    /// Without the token, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_base64url_without_padding() {
        let text =
            |offered: &str| AuthToken::parse(offered).and_then(|token| token.text().map(str::to_owned));
        assert_eq!(text("YQ").as_deref(), Some("a"));
        assert_eq!(text("YR").as_deref(), Some("a"), "unused bits");
        assert_eq!(text("aGVhZGVyLmJvZHk_fn4-").as_deref(), Some("header.body?~~>"));
        assert!(AuthToken::parse(&"Y".repeat(MAX)).is_some());
        for wrong in ["", "Y", "YWJjZ", "YQ==", "YQ.", "a+b/", "a b", "é", &"Y".repeat(MAX + 4)] {
            assert_eq!(AuthToken::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn token_may_be_any_bytes() {
        let token = AuthToken::parse("_w").unwrap();
        assert_eq!((token.bytes(), token.text()), (&[0xff][..], None));
        assert_eq!(format!("{token:?}"), "AuthToken(..)");
    }
}
