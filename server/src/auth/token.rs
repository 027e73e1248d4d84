//! Access tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA256, and with nothing else.
//! In: an account and a time. Out: a token; of a token, whose it is, or why it is not taken.
//! Leaves to others: refresh tokens, which are not signed but kept (`store`).

use crate::store::UserId;
use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

/// The header of every token that is made.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// The one algorithm that is taken: one that the token could choose would be no protection.
const ALGORITHM: &str = "HS256";

/// Who makes the tokens; those of another program with the same secret are not taken.
const ISSUER: &str = "ebbtide";

/// Bytes of a token that are looked at; ours have some 300.
const TOKEN_BYTES: usize = 4_096;

/// Time an access token lives.
const LIVES_MS: u64 = 15 * 60 * 1_000;

/// Who somebody is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) user: UserId,
    pub(crate) name: String,
    /// May do everything everywhere.
    pub(crate) admin: bool,
    /// The family of refresh tokens that this came of: what ends when one logs out.
    pub(crate) session: String,
    /// Unix time in milliseconds at which it has to be renewed.
    pub(crate) expires_ms: u64,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("the access token is not one of this server's")]
    Invalid,
    #[error("the access token has expired (get a new one at `/api/v1/auth/refresh`)")]
    Expired,
}

/// Makes and reads access tokens.
pub(crate) struct Tokens(hmac::Key);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(..)")
    }
}

#[derive(Deserialize)]
struct Header<'a> {
    alg: &'a str,
    /// Extensions that must be understood, RFC 7515 section 4.1.11: none are.
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Serialize)]
struct Claims {
    iss: String,
    sub: String,
    name: String,
    #[serde(default)]
    admin: bool,
    sid: String,
    /// Seconds of Unix time.
    iat: u64,
    exp: u64,
}

impl Tokens {
    /// Signs with the secret.
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A token for the identity, good from now on; and the seconds it lives.
    pub(crate) fn make(&self, who: &Identity, now_ms: u64) -> (String, u64) {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: who.user.0.to_string(),
            name: who.name.clone(),
            admin: who.admin,
            sid: who.session.clone(),
            iat: now_ms / 1_000,
            exp: (now_ms + LIVES_MS) / 1_000,
        };
        let claims = serde_json::to_vec(&claims).expect("strings and numbers are always JSON");
        let mut token = BASE64URL_NOPAD.encode(HEADER.as_bytes());
        token.push('.');
        BASE64URL_NOPAD.encode_append(&claims, &mut token);
        let signature = hmac::sign(&self.0, token.as_bytes());
        token.push('.');
        BASE64URL_NOPAD.encode_append(signature.as_ref(), &mut token);
        (token, LIVES_MS / 1_000)
    }

    /// Whose token it is.
    pub(crate) fn authenticate(&self, token: &str, now_ms: u64) -> Result<Identity, AuthError> {
        let claims = self.read(token).ok_or(AuthError::Invalid)?;
        let user = claims.sub.parse().map_err(|_| AuthError::Invalid)?;
        let expires_ms = claims.exp.saturating_mul(1_000);
        if expires_ms <= now_ms {
            return Err(AuthError::Expired);
        }
        Ok(Identity {
            user: UserId(user),
            name: claims.name,
            admin: claims.admin,
            session: claims.sid,
            expires_ms,
        })
    }

    /// What it says, if it is signed by us.
    fn read(&self, token: &str) -> Option<Claims> {
        if token.len() > TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = BASE64URL_NOPAD.decode(header.as_bytes()).ok()?;
        let header: Header<'_> = serde_json::from_slice(&header).ok()?;
        if header.alg != ALGORITHM || header.crit.is_some() {
            return None;
        }
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
        hmac::verify(&self.0, signed.as_bytes(), &signature).ok()?;
        let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        (claims.iss == ISSUER).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn ada() -> Identity {
        let expires_ms = NOW + LIVES_MS;
        let (name, session) = ("Ada".to_owned(), "s".to_owned());
        Identity { user: UserId(7), name, admin: false, session, expires_ms }
    }

    /// A token with the parts as given, signed with the secret.
    fn forge(header: &str, claims: &str, secret: &[u8]) -> String {
        let parts = [header, claims].map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
        let signed = parts.join(".");
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    #[test]
    fn a_token_says_whose_it_is_until_it_expires() {
        let tokens = Tokens::new(b"secret");
        let (token, seconds) = tokens.make(&ada(), NOW);
        assert_eq!(seconds, 900);
        assert_eq!(tokens.authenticate(&token, NOW), Ok(ada()));
        assert_eq!(tokens.authenticate(&token, NOW + LIVES_MS - 1), Ok(ada()));
        assert_eq!(tokens.authenticate(&token, NOW + LIVES_MS), Err(AuthError::Expired));
    }

    #[test]
    fn what_others_made_is_not_taken() {
        let tokens = Tokens::new(b"secret");
        let good = tokens.make(&ada(), NOW).0;
        let claims =
            r#"{"iss":"ebbtide","sub":"7","name":"Ada","sid":"s","iat":0,"exp":9999999999}"#;
        assert!(tokens.authenticate(&forge(HEADER, claims, b"secret"), NOW).is_ok());
        let unsigned = |alg: &str| {
            let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
            let parts = [&header, claims].map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
            format!("{}.", parts.join("."))
        };
        let other = claims.replace("ebbtide", "other");
        let (head, signature) = good.rsplit_once('.').unwrap();
        let (header, _) = head.split_once('.').unwrap();
        let changed = BASE64URL_NOPAD.encode(claims.replace('7', "1").as_bytes());
        for (why, token) in [
            ("alg none", unsigned("none")),
            ("alg None", unsigned("None")),
            ("signed, but called none", forge(r#"{"alg":"none"}"#, claims, b"secret")),
            ("another algorithm", forge(r#"{"alg":"HS512"}"#, claims, b"secret")),
            ("critical", forge(r#"{"alg":"HS256","crit":["x"]}"#, claims, b"secret")),
            ("wrong key", forge(HEADER, claims, b"Secret")),
            ("empty key", forge(HEADER, claims, b"")),
            ("another's", forge(HEADER, &other, b"secret")),
            ("changed", format!("{header}.{changed}.{signature}")),
            ("cut", good[..good.len() - 1].to_owned()),
            ("no signature", format!("{head}.")),
            ("two parts", head.to_owned()),
            ("empty", String::new()),
            ("long", "x".repeat(TOKEN_BYTES + 1)),
        ] {
            assert_eq!(tokens.authenticate(&token, NOW), Err(AuthError::Invalid), "{why}");
        }
    }
}
