//! Who somebody is, and what they may do.
//! In: passwords and tokens. Out: an [`Identity`], or why there is none; and from [`access`], the
//! one place that decides, a yes or a no.
//! Leaves to others: keeping accounts and tokens (`store`), how they travel (`api`, sessions).

pub(crate) mod access;
mod password;
mod token;

pub(crate) use password::{PasswordError, Passwords, check_password};
pub(crate) use token::{AuthError, Identity, Tokens};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::rand::{SecureRandom, SystemRandom};

/// Bytes of a secret that nobody guesses.
const SECRET_BYTES: usize = 32;

/// Bytes of an account's name.
const NAME_BYTES: usize = 32;

/// A text nobody can guess; none when the system has no randomness to give.
pub(crate) fn random_secret() -> Option<String> {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(BASE64URL_NOPAD.encode(&bytes))
}

/// SHA-256 in hex, which is what is kept of a secret that nobody guesses.
pub(crate) fn hash_secret(secret: &str) -> String {
    HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()).as_ref())
}

/// Whether an account may be called so; if not, why.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > NAME_BYTES {
        return Err(format!("`username` has {} bytes, 1 to {NAME_BYTES} are taken", name.len()));
    }
    if !name.chars().all(good) {
        return Err("`username` may have letters, digits, and - _ . alone".to_owned());
    }
    // `users/me` is the account of who asks.
    if name.eq_ignore_ascii_case("me") {
        return Err("`username` cannot be `me`".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for (name, good) in [
            ("Ada", true),
            ("Éva_1.x-", true),
            ("", false),
            ("a b", false),
            ("<script>", false),
            ("me", false),
            ("ME", false),
            ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn secrets_differ_and_hashes_do_not() {
        let one = random_secret().unwrap();
        assert_ne!(one, random_secret().unwrap());
        assert_eq!(hash_secret(&one), hash_secret(&one));
        assert_eq!(hash_secret("abc").len(), 64);
    }
}
