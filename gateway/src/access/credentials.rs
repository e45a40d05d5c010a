//! Password hashes, and checking a password without letting strangers spend our processors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use aws_lc_rs::{constant_time, hmac, rand};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Longest password we hash, in bytes. Long enough for any token; a header could carry far more.
const PASSWORD_BYTES_MAX: usize = 1024;
/// bcrypt's highest cost we accept in a file: 2^14 rounds are about a second; 31 would stall a login for days.
const BCRYPT_COST_MAX: u32 = 14;
/// Argon2's largest memory we accept in a file, in KiB: a login must not take the memory a scan needs.
const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// How long a password that was right is not hashed again, in seconds.
const REMEMBERED_SECONDS: i64 = 60;
/// Logins that may wait for a free hashing slot, for one account: clients log in once for each of the six layers that
/// they send at a time. A flood of guesses at one account (or at names that do not exist, which share one queue) cannot
/// fill the queue of the others.
const WAITING_PER_ACCOUNT_MAX: usize = 16;

/// A password hash as the operator wrote it: bcrypt (`$2a$`, `$2b$`, `$2y$`) or Argon2id in PHC form.
#[derive(Clone)]
pub struct PasswordHash {
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Argon2id,
    Bcrypt,
}

/// A password hash that cannot be used. The hash itself is never repeated: it can be attacked offline.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordHashError {
    /// Neither bcrypt nor Argon2id.
    #[error("the hash is neither bcrypt (`$2y$…`) nor Argon2id (`$argon2id$…`)")]
    Algorithm,
    /// So costly that logins would stall the gateway.
    #[error("the hash costs {seen}, the highest accepted is {max}")]
    Cost {
        /// bcrypt's cost or Argon2's memory in KiB.
        seen: u32,
        /// The limit.
        max: u32,
    },
    /// It begins well and does not parse.
    #[error("the hash is cut off or damaged")]
    Damaged,
}

impl PasswordHash {
    /// Parses a hash from a configuration or an htpasswd file.
    ///
    /// # Errors
    /// When the algorithm is not accepted, the text is damaged or the cost is beyond reason.
    pub fn parse(text: &str) -> Result<Self, PasswordHashError> {
        if text.starts_with("$argon2id$") {
            let parsed = argon2::PasswordHash::new(text).map_err(|_| PasswordHashError::Damaged)?;
            if parsed.salt.is_none() || parsed.hash.is_none() {
                return Err(PasswordHashError::Damaged);
            }
            let params = argon2::Params::try_from(&parsed).map_err(|_| PasswordHashError::Damaged)?;
            if params.m_cost() > ARGON2_MEMORY_KIB_MAX {
                return Err(PasswordHashError::Cost { seen: params.m_cost(), max: ARGON2_MEMORY_KIB_MAX });
            }
            return Ok(Self { text: text.to_owned(), kind: Kind::Argon2id });
        }
        if !["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            return Err(PasswordHashError::Algorithm);
        }
        let parts: bcrypt::HashParts = text.parse().map_err(|_| PasswordHashError::Damaged)?;
        if parts.get_cost() > BCRYPT_COST_MAX {
            return Err(PasswordHashError::Cost { seen: parts.get_cost(), max: BCRYPT_COST_MAX });
        }
        Ok(Self { text: text.to_owned(), kind: Kind::Bcrypt })
    }

    /// Hashes a new password (Argon2id with the crate's recommended cost) under a fresh salt.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn of(password: &str) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut salt = [0u8; 16];
        rand::fill(&mut salt)?;
        let hashed = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
        let hashed: argon2::PasswordHash = hashed.map_err(|_| aws_lc_rs::error::Unspecified)?;
        Ok(Self { text: hashed.to_string(), kind: Kind::Argon2id })
    }

    /// The text to write into a configuration file. Deliberately not `Display`.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Takes tens of milliseconds by design: never on an async thread.
    fn accepts(&self, password: &[u8]) -> bool {
        match self.kind {
            Kind::Argon2id => Argon2::default().verify_password(password, self.text.as_str()).is_ok(),
            // bcrypt reads 72 bytes and ignores the rest; two long passwords that share a beginning would be one.
            Kind::Bcrypt => bcrypt::non_truncating_verify(password, &self.text).unwrap_or(false),
        }
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("****")
    }
}

/// The password of one account, and whether it was lately proven.
#[derive(Debug)]
pub(super) struct Password {
    hash: PasswordHash,
    remembered: Mutex<Option<Remembered>>,
    waiting: AtomicUsize,
}

/// Keyed digest of the last right password, and until when it spares us the hashing.
#[derive(Clone, Copy)]
struct Remembered {
    tag: [u8; 32],
    until: i64,
}

impl std::fmt::Debug for Remembered {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("****")
    }
}

impl Password {
    pub(super) fn new(hash: PasswordHash) -> Self {
        Self { hash, remembered: Mutex::new(None), waiting: AtomicUsize::new(0) }
    }

    /// The same hash with a queue and a memory of its own, for names that do not exist.
    pub(super) fn decoy(&self) -> Self {
        Self::new(self.hash.clone())
    }

    fn recall(&self) -> Option<Remembered> {
        *self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the guess with this tag was right lately.
    fn recalls(&self, tag: &[u8; 32], now: i64) -> bool {
        self.recall().is_some_and(|remembered| {
            let same = constant_time::verify_slices_are_equal(&remembered.tag, tag).is_ok();
            same && now < remembered.until
        })
    }

    fn remember(&self, remembered: Remembered) {
        *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = Some(remembered);
    }
}

/// The answer about a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PasswordAnswer {
    /// Too many logins wait already; says nothing about the password.
    Busy,
    Right,
    Wrong,
}

/// Checks passwords on a bounded number of threads.
#[derive(Debug)]
pub(super) struct PasswordChecker {
    /// Keys the memory of right passwords; new with each start, so that the memory is worthless outside the process.
    key: hmac::Key,
    slots: Arc<Semaphore>,
}

impl PasswordChecker {
    /// `slots`: how many passwords may be hashed at once.
    pub(super) fn new(slots: usize) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut key = Zeroizing::new([0u8; 32]);
        rand::fill(key.as_mut())?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()),
            slots: Arc::new(Semaphore::new(slots.max(1))),
        })
    }

    /// Whether `guess` is the password. Everything that differs by the guess is either constant time or hashing.
    pub(super) async fn check(&self, password: &Arc<Password>, guess: &str, now: i64) -> PasswordAnswer {
        if guess.len() > PASSWORD_BYTES_MAX {
            return PasswordAnswer::Wrong;
        }
        let tag = self.tag(&password.hash, guess);
        if password.recalls(&tag, now) {
            return PasswordAnswer::Right;
        }
        let Some(_place) = Place::take(password) else { return PasswordAnswer::Busy };
        let Ok(_slot) = self.slots.clone().acquire_owned().await else { return PasswordAnswer::Busy };
        // Logins of one client come together; the first of them proved it for all.
        if password.recalls(&tag, now) {
            return PasswordAnswer::Right;
        }
        let guess = Zeroizing::new(guess.as_bytes().to_vec());
        let hashed = password.clone();
        let right = tokio::task::spawn_blocking(move || hashed.hash.accepts(&guess)).await;
        match right {
            Ok(true) => {
                password.remember(Remembered { tag, until: now.saturating_add(REMEMBERED_SECONDS) });
                PasswordAnswer::Right
            }
            Ok(false) => PasswordAnswer::Wrong,
            Err(_) => PasswordAnswer::Busy,
        }
    }

    /// The stored hash is part of what is tagged: a changed hash forgets the old password at once.
    fn tag(&self, hash: &PasswordHash, guess: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(hash.text.as_bytes());
        context.update(&[0]);
        context.update(guess.as_bytes());
        let mut tag = [0u8; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

/// A place in an account's queue; given back when dropped, also when the client leaves.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(password: &'a Password) -> Option<Self> {
        let taken = password.waiting.fetch_add(1, Ordering::AcqRel);
        let place = Self(&password.waiting);
        (taken < WAITING_PER_ACCOUNT_MAX).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// bcrypt of `secret`, cost 4, the three prefixes that mean the same.
    fn bcrypt_of(password: &str) -> String {
        bcrypt::hash(password, 4).unwrap()
    }

    #[test]
    fn only_bcrypt_and_argon2id_are_accepted() {
        let twice = bcrypt_of("secret");
        assert!(PasswordHash::parse(&twice).is_ok());
        assert!(PasswordHash::parse(&twice.replacen("$2b$", "$2y$", 1)).is_ok());
        assert!(PasswordHash::parse(PasswordHash::of("secret").unwrap().expose()).is_ok());
        for (text, expected) in [
            ("$apr1$abcdefgh$xxxxxxxxxxxxxxxxxxxxxx", PasswordHashError::Algorithm),
            ("{SHA}qvTGHdzF6KLavt4PO0gs2a6pQ00=", PasswordHashError::Algorithm),
            ("secret", PasswordHashError::Algorithm),
            ("", PasswordHashError::Algorithm),
            ("$argon2i$v=19$m=16,t=2,p=1$c29tZXNhbHQ$aaaa", PasswordHashError::Algorithm),
            ("$2y$10$short", PasswordHashError::Damaged),
            ("$argon2id$v=19$m=16", PasswordHashError::Damaged),
        ] {
            assert_eq!(PasswordHash::parse(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn a_hash_that_would_stall_logins_is_refused() {
        let costly = bcrypt_of("secret").replacen("$04$", "$15$", 1);
        assert_eq!(PasswordHash::parse(&costly).unwrap_err(), PasswordHashError::Cost { seen: 15, max: 14 });
    }

    #[test]
    fn a_long_password_is_not_cut_to_72_bytes_and_accepted() {
        let hash = PasswordHash::parse(&bcrypt_of(&"a".repeat(71))).unwrap();
        assert!(hash.accepts("a".repeat(71).as_bytes()));
        assert!(!hash.accepts("a".repeat(72).as_bytes()));
        assert!(!hash.accepts("a".repeat(80).as_bytes()));
    }

    #[test]
    fn hashes_and_remembered_passwords_are_not_printed() {
        let password = Password::new(PasswordHash::of("secret").unwrap());
        password.remember(Remembered { tag: [7; 32], until: 1 });
        let printed = format!("{password:?}");
        assert!(!printed.contains("argon2id") && !printed.contains("7, 7"), "{printed}");
    }

    #[tokio::test]
    async fn a_right_password_is_remembered_for_a_while_and_a_wrong_one_never() {
        let checker = PasswordChecker::new(1).unwrap();
        let password = Arc::new(Password::new(PasswordHash::parse(&bcrypt_of("secret")).unwrap()));
        assert_eq!(checker.check(&password, "wrong", 100).await, PasswordAnswer::Wrong);
        assert!(password.recall().is_none());
        assert_eq!(checker.check(&password, "secret", 100).await, PasswordAnswer::Right);
        // No slot left: only what is remembered can still answer.
        checker.slots.close();
        assert_eq!(checker.check(&password, "secret", 159).await, PasswordAnswer::Right);
        assert_eq!(checker.check(&password, "secret", 160).await, PasswordAnswer::Busy);
        assert_eq!(checker.check(&password, "wrong", 159).await, PasswordAnswer::Busy);
    }

    #[tokio::test]
    async fn logins_that_come_together_hash_once() {
        let checker = Arc::new(PasswordChecker::new(1).unwrap());
        let held = checker.slots.clone().acquire_owned().await.unwrap();
        // Hashed, the guess would be wrong: only what another login proved can make it right.
        let password = Arc::new(Password::new(PasswordHash::parse(&bcrypt_of("another")).unwrap()));
        let mut together = Vec::new();
        for _ in 0..2 {
            let (checker, password) = (checker.clone(), password.clone());
            together.push(tokio::spawn(async move { checker.check(&password, "secret", 0).await }));
            tokio::task::yield_now().await;
        }
        assert_eq!(password.waiting.load(Ordering::Acquire), 2);
        password.remember(Remembered { tag: checker.tag(&password.hash, "secret"), until: 1 });
        drop(held);
        for task in together {
            assert_eq!(task.await.unwrap(), PasswordAnswer::Right);
        }
    }

    #[tokio::test]
    async fn a_flood_of_guesses_at_one_account_leaves_the_others_their_queue() {
        let checker = Arc::new(PasswordChecker::new(1).unwrap());
        let held = checker.slots.clone().acquire_owned().await.unwrap();
        let attacked = Arc::new(Password::new(PasswordHash::parse(&bcrypt_of("secret")).unwrap()));
        let other = Arc::new(Password::new(PasswordHash::parse(&bcrypt_of("other")).unwrap()));
        let mut waiting = Vec::new();
        for _ in 0..WAITING_PER_ACCOUNT_MAX {
            let (checker, attacked) = (checker.clone(), attacked.clone());
            waiting.push(tokio::spawn(async move { checker.check(&attacked, "guess", 0).await }));
            tokio::task::yield_now().await;
        }
        assert_eq!(checker.check(&attacked, "guess", 0).await, PasswordAnswer::Busy);
        drop(held);
        assert_eq!(checker.check(&other, "other", 0).await, PasswordAnswer::Right);
        for task in waiting {
            assert_eq!(task.await.unwrap(), PasswordAnswer::Wrong);
        }
        assert_eq!(attacked.waiting.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn an_oversized_password_is_wrong_without_being_hashed() {
        let checker = PasswordChecker::new(1).unwrap();
        checker.slots.close();
        let password = Arc::new(Password::new(PasswordHash::parse(&bcrypt_of("secret")).unwrap()));
        let long = "a".repeat(PASSWORD_BYTES_MAX + 1);
        assert_eq!(checker.check(&password, &long, 0).await, PasswordAnswer::Wrong);
    }
}
