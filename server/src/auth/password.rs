//! Passwords: argon2id, off the threads that serve, and few at a time.
//! In: a password. Out: its hash in the form of the Password Hashing Competition, or whether it
//! fits one. Leaves to others: whose it is.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::Arc;
use tokio::sync::{Semaphore, TryAcquireError};

/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 << 10;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// RFC 9106 section 3.1 recommends 16 bytes.
const SALT_BYTES: usize = 16;

/// Shorter ones are guessed (NIST SP 800-63B section 5.1.1); longer ones only cost time.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=256;

/// Passwords that may wait for their turn, for each that is being hashed: with some 20 ms each,
/// nobody waits for longer than a second.
const WAITING: usize = 48;

/// Whether a password may be taken; if not, why.
pub(crate) fn check_password(password: &str) -> Result<(), String> {
    if PASSWORD_BYTES.contains(&password.len()) {
        return Ok(());
    }
    let (least, most) = PASSWORD_BYTES.into_inner();
    Err(format!("the password has {} bytes, {least} to {most} are taken", password.len()))
}

/// Hashes passwords, as many at a time as there are cores.
#[derive(Debug)]
pub(crate) struct Passwords {
    turns: Semaphore,
    places: Arc<Semaphore>,
    /// Fits no password; checked where there is no account, so that it takes as long.
    nobody: String,
}

/// Why a password was neither hashed nor checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("too many passwords wait to be checked, try again in a moment")]
    Busy,
    #[error("the system gives no randomness, or no memory for a password")]
    System,
}

impl Passwords {
    /// For a machine with so many cores.
    pub(crate) fn new(cores: usize) -> Self {
        let cores = cores.max(1);
        // Of a password that is longer than any that is taken.
        let nobody = hash(&"x".repeat(PASSWORD_BYTES.end() + 1)).unwrap_or_default();
        let places = Arc::new(Semaphore::new(cores * WAITING));
        Self { turns: Semaphore::new(cores), places, nobody }
    }

    /// The hash of a password.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let password = password.to_owned();
        self.work(move || hash(&password)).await
    }

    /// Whether a password fits the hash. Without a hash it takes as long and fits none.
    pub(crate) async fn fits(
        &self,
        password: &str,
        hash: Option<&str>,
    ) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let (password, hash) = (password.to_owned(), hash.unwrap_or(&self.nobody).to_owned());
        self.work(move || Ok(fits(&password, &hash) && known)).await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self.places.try_acquire().map_err(|error| match error {
            TryAcquireError::NoPermits | TryAcquireError::Closed => PasswordError::Busy,
        })?;
        let _turn = self.turns.acquire().await.map_err(|_| PasswordError::Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| PasswordError::System)?
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> Result<String, PasswordError> {
    let mut salt = [0; SALT_BYTES];
    SystemRandom::new().fill(&mut salt).map_err(|_| PasswordError::System)?;
    let hash = argon2().hash_password_with_salt(password.as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).map_err(|_| PasswordError::System)
}

fn fits(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    argon2().verify_password(password.as_bytes(), &hash).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_alone() {
        let passwords = Passwords::new(2);
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        for (password, hash, fits) in [
            ("correct horse", Some(hash.as_str()), true),
            ("correct hors", Some(hash.as_str()), false),
            ("correct horse", None, false),
            ("correct horse", Some(""), false),
            ("", Some(""), false),
        ] {
            assert_eq!(passwords.fits(password, hash).await.unwrap(), fits, "{password} {hash:?}");
        }
        assert_ne!(hash, passwords.hash("correct horse").await.unwrap(), "salted");
    }

    #[test]
    fn too_short_and_too_long_are_refused() {
        for (length, good) in [(0, false), (7, false), (8, true), (256, true), (257, false)] {
            assert_eq!(check_password(&"x".repeat(length)).is_ok(), good, "{length}");
        }
    }
}
