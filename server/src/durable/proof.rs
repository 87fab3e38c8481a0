//! The form of a session's token in the store: its public part, and a proof of the rest.

use rejoin_core::{SessionIdentity, Token};
use sha1_smol::Sha1;

use super::act::Key;

/// The public part of a session's token.
pub(super) fn key(identity: &SessionIdentity) -> Key {
    key_of(&identity.token)
}

/// The public part of a token.
pub(super) fn key_of(token: &Token) -> Key {
    let token = token.as_str().as_bytes();
    Key::new(*token.first_chunk().expect("a token has 22 characters at least"))
}

/// The proof that the store compares instead of the token. SHA-1 suffices: finding a token of 256 random bits with a given hash remains
/// infeasible, and an attacker gains nothing from a collision.
pub(crate) fn proof(token: &Token) -> [u8; 32] {
    let mut proof = [0; 32];
    proof[..20].copy_from_slice(&Sha1::from(token.as_str()).digest().bytes());
    proof
}

/// A token with this public part, for a session whose real token is unknown until its client presents it. No client has this one: it is
/// never sent, and it fails the proof.
pub(super) fn unknown_token(key: Key) -> Option<Token> {
    let public = key.bytes();
    Token::parse(&format!("{}{:A<27}", str::from_utf8(&public).ok()?, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_token_has_the_public_part_and_another_proof() {
        let token = Token::parse("abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE").unwrap();
        let identity = SessionIdentity::new(token.clone(), "id", "room");
        let unknown = unknown_token(key(&identity)).unwrap();
        assert_eq!((&unknown.as_str()[..16], unknown.as_str().len()), ("abcdefghijklmnop", 43));
        assert_ne!(proof(&unknown), proof(&token));
    }
}
