//! [`Signer`]: issues and verifies signed tokens.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Issues and verifies tokens of the form `CLAIMS.SIGNATURE`, both in base64url. The claims are JSON, the signature is their
/// HMAC-SHA256 (RFC 2104). The key that verifies can also sign.
pub struct Signer {
    mac: Hmac<Sha256>,
}

/// The contents of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Claims {
    /// The user's name.
    pub user: String,
    /// The last second in which the token is valid, since 1970.
    pub until: u64,
}

/// The reason why a token is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// Not signed with this key, or changed since.
    Forged,
    /// No longer valid.
    Expired,
}

impl Claims {
    /// Claims for a user, valid up to and including this second since 1970.
    pub fn new(user: impl Into<String>, until: u64) -> Self {
        Self { user: user.into(), until }
    }
}

impl Signer {
    /// Creates a signer with a random key, which is lost with the process. A real server reads the key from its secret store, so
    /// that tokens are valid on its other instances and after a restart.
    ///
    /// # Errors
    /// Fails when the operating system cannot provide random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self { mac: Hmac::new_from_slice(&key).expect("HMAC takes keys of any length") })
    }

    /// Issues a token with these claims.
    ///
    /// # Panics
    /// Never: a string and a number can be represented in JSON.
    pub fn sign(&self, claims: &Claims) -> String {
        let claims = serde_json::to_vec(claims).expect("a string and a number can be represented in JSON");
        let signature = self.mac.clone().chain_update(&claims).finalize().into_bytes();
        format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(claims), BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the claims of a token with a valid signature that has not expired at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// Rejects any other token.
    pub fn check(&self, token: &str, now: u64) -> Result<Claims, TokenError> {
        let (claims, signature) = token.split_once('.').ok_or(TokenError::Forged)?;
        let decode = |part| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Forged);
        let (claims, signature) = (decode(claims)?, decode(signature)?);
        // Verified first, and in constant time: unsigned input is never parsed.
        let mac = self.mac.clone().chain_update(&claims);
        mac.verify_slice(&signature).map_err(|_| TokenError::Forged)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| TokenError::Forged)?;
        if now > claims.until { Err(TokenError::Expired) } else { Ok(claims) }
    }
}

impl fmt::Debug for Signer {
    /// Omits the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forged => "this token is not signed by us",
            Self::Expired => "this token has expired",
        })
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Claims {
        Claims { user: "ada".into(), until: 1000 }
    }

    #[test]
    fn token_is_valid_until_its_last_second() {
        let signer = Signer::random().unwrap();
        let token = signer.sign(&ada());
        assert_eq!(signer.check(&token, 1000), Ok(ada()));
        assert_eq!(signer.check(&token, 1001), Err(TokenError::Expired));
    }

    #[test]
    fn changed_tokens_are_refused() {
        let signer = Signer::random().unwrap();
        let token = signer.sign(&ada());
        for at in 0..token.len() {
            for bit in 0..7 {
                let mut changed = token.clone().into_bytes();
                changed[at] ^= 1 << bit;
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(signer.check(&changed, 0), Err(TokenError::Forged), "{changed}");
            }
        }
    }

    #[test]
    fn tokens_with_other_or_no_key_are_refused() {
        let signer = Signer::random().unwrap();
        let other = Signer::random().unwrap().sign(&ada());
        for token in [other.as_str(), "", ".", "a.b", "e30", "e30."] {
            assert_eq!(signer.check(token, 0), Err(TokenError::Forged), "{token}");
        }
    }
}
