//! [`Challenge`]: the realm of challenges in `WWW-Authenticate` (RFC 9110 §11.5).

/// A realm as a quoted string.
#[derive(Debug, Clone)]
pub(super) struct Challenge(Box<str>);

impl Challenge {
    pub(super) fn new(realm: &str) -> Self {
        let mut quoted = String::with_capacity(realm.len() + 2);
        quoted.push('"');
        for c in realm.chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                ' '..='~' => quoted.push(c),
                _ => quoted.push('?'),
            }
        }
        quoted.push('"');
        Self(quoted.into())
    }

    pub(super) fn quoted(&self) -> &str {
        &self.0
    }
}

/// A challenge for a bearer token (RFC 6750 §3).
pub(super) fn bearer(realm: &str, failed: bool) -> String {
    let error = if failed { ", error=\"invalid_token\"" } else { "" };
    format!("Bearer realm={realm}{error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms_are_quoted() {
        for (realm, quoted) in [("a b", r#""a b""#), (r#"a"b\"#, r#""a\"b\\""#), ("ä\r\n", r#""???""#)] {
            assert_eq!(Challenge::new(realm).quoted(), quoted);
        }
    }
}
