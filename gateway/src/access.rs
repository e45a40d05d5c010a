//! Who is calling: credentials in, a [`Caller`] with rights per repository out.
//!
//! Two schemes are always accepted: HTTP Basic on every request, and the Docker token flow, for which this gateway is
//! its own token service ([`door`]). What a caller may do comes from the account's grants alone. Nothing else that a
//! client sends (`User-Agent`, `X-Forwarded-*`, a name that looks like a robot's) is read here.

mod challenge;
mod credentials;
pub mod door;
mod grants;
mod token;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use zeroize::Zeroizing;

pub use challenge::Wanted;
pub use credentials::{PasswordHash, PasswordHashError};
pub use grants::{Action, Grants, PatternError, RepositoryPattern};
pub use token::{TokenError, TokenKey, TokenKeyError, TokenScope};

use crate::clock::Clock;
use credentials::{Password, PasswordAnswer, PasswordChecker};
use token::Claims;

/// Longest account name, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// What logs call a caller without an account; no account may have this name.
pub const ANONYMOUS: &str = "anonymous";

/// An account as configured.
#[derive(Clone, Debug)]
pub struct AccountConfig {
    /// What the caller logs in as.
    pub name: String,
    /// Its password; an account without one cannot log in.
    pub password: Option<PasswordHash>,
    /// What it may do.
    pub grants: Grants,
}

/// All that [`Access`] is made of.
#[derive(Clone, Debug)]
pub struct AccessConfig {
    /// Everybody who may log in.
    pub accounts: Vec<AccountConfig>,
    /// What callers without credentials may do.
    pub anonymous: Grants,
    /// The registry's name: service, audience and issuer of the tokens.
    pub service: String,
    /// How clients reach us (`https://registry.example`); `None`: by the name they used.
    pub public_url: Option<String>,
    /// Whether the listener speaks TLS; chooses the scheme where [`Self::public_url`] is absent.
    pub tls: bool,
    /// How long a token is good, in seconds.
    pub token_lifetime_seconds: i64,
    /// Passwords that may be hashed at once.
    pub hashing_slots: usize,
}

/// Accounts, and the keys that tokens are signed with. Built once, shared by all doors.
#[derive(Debug)]
pub struct Access {
    accounts: HashMap<String, Arc<Account>>,
    anonymous: Arc<Account>,
    passwords: PasswordChecker,
    /// Hashed against when the name is unknown, so that the time taken does not tell which names exist.
    decoy: Option<Arc<Password>>,
    token_key: TokenKey,
    service: String,
    public_url: Option<String>,
    tls: bool,
    token_lifetime_seconds: i64,
    clock: Clock,
}

#[derive(Debug)]
struct Account {
    name: String,
    password: Option<Arc<Password>>,
    grants: Grants,
}

/// Somebody whose credentials were checked, or who gave none. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    account: Arc<Account>,
    credential: Credential,
}

#[derive(Clone, Debug)]
enum Credential {
    Missing,
    Password,
    Token(Arc<TokenScope>),
}

/// How a caller without the needed right is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 403 `DENIED`: other credentials are needed, and asking again with these is pointless.
    Forbidden,
    /// 401 with [`Access::challenge`]: log in, or get a token for this repository.
    Unauthorized,
}

/// Why a request's credentials are not accepted. The messages never tell whether the account exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// Too many logins are being checked; says nothing about the credentials. Worth a retry (503).
    #[error("too many logins at once, try again in a moment")]
    Busy,
    /// The `Authorization` header is neither Basic nor Bearer, or damaged, or there are two.
    #[error("the `Authorization` header is damaged; send Basic or Bearer")]
    Malformed,
    /// Unknown account or wrong password (401).
    #[error("unknown account or wrong password")]
    Password,
    /// A token we do not accept (401: get a new one).
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Accounts that cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Two accounts with one name.
    #[error("two accounts are named `{name}`")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A name that no client could send or that means something else.
    #[error(
        "`{name}` is no account name: 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_`, `-`; not `{ANONYMOUS}`"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The machine has no randomness to give.
    #[error("no randomness to protect passwords with")]
    Randomness,
}

/// Checks a request's credentials. No `Authorization` header gives the anonymous caller; a wrong one never does.
///
/// # Errors
/// When credentials were given and are not accepted, or cannot be checked now.
pub async fn authenticate(headers: &HeaderMap, access: &Access) -> Result<Caller, AuthenticateError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(access.anonymous_caller()) };
    // Two headers: whoever stands before us may have looked at the other one.
    if values.next().is_some() {
        return Err(AuthenticateError::Malformed);
    }
    let (scheme, rest) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(AuthenticateError::Malformed)?;
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = STANDARD.decode(rest.trim()).map_err(|_| AuthenticateError::Malformed)?;
        let decoded = Zeroizing::new(decoded);
        let text = std::str::from_utf8(&decoded).map_err(|_| AuthenticateError::Malformed)?;
        let (name, password) = text.split_once(':').ok_or(AuthenticateError::Malformed)?;
        return access.log_in(name, password).await;
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(access.recognise(rest.trim())?);
    }
    Err(AuthenticateError::Malformed)
}

impl Access {
    /// Puts the accounts together.
    ///
    /// # Errors
    /// When two accounts share a name, a name cannot be used, or there is no randomness.
    pub fn new(config: AccessConfig, token_key: TokenKey, clock: Clock) -> Result<Self, AccessError> {
        let mut accounts = HashMap::with_capacity(config.accounts.len());
        for account in config.accounts {
            check_name(&account.name)?;
            let password = account.password.map(|hash| Arc::new(Password::new(hash)));
            let account = Account { name: account.name, password, grants: account.grants };
            let name = account.name.clone();
            if accounts.insert(name.clone(), Arc::new(account)).is_some() {
                return Err(AccessError::Duplicate { name });
            }
        }
        let some_hash = accounts.values().find_map(|account| account.password.as_ref());
        let decoy = some_hash.map(|password| Arc::new(password.decoy()));
        let anonymous =
            Arc::new(Account { name: ANONYMOUS.to_owned(), password: None, grants: config.anonymous });
        Ok(Self {
            accounts,
            anonymous,
            passwords: PasswordChecker::new(config.hashing_slots).map_err(|_| AccessError::Randomness)?,
            decoy,
            token_key,
            service: config.service,
            public_url: config.public_url.map(|url| url.trim_end_matches('/').to_owned()),
            tls: config.tls,
            token_lifetime_seconds: config.token_lifetime_seconds,
            clock,
        })
    }

    /// A caller without credentials.
    pub fn anonymous_caller(&self) -> Caller {
        Caller { account: self.anonymous.clone(), credential: Credential::Missing }
    }

    /// The same as if it had shown a password, for tests of doors that treat the two apart.
    #[cfg(test)]
    pub(crate) fn anonymous_caller_with_credentials(&self) -> Caller {
        Caller { account: self.anonymous.clone(), credential: Credential::Password }
    }

    /// The `WWW-Authenticate` value of a 401 answer to the request with these `headers`.
    pub fn challenge(&self, headers: &HeaderMap, wanted: Wanted<'_>) -> HeaderValue {
        challenge::challenge(headers, self.public_url.as_deref(), self.tls, &self.service, wanted)
    }

    async fn log_in(&self, name: &str, password: &str) -> Result<Caller, AuthenticateError> {
        let account = self.accounts.get(name);
        let known = account.and_then(|account| account.password.as_ref());
        let Some(against) = known.or(self.decoy.as_ref()) else { return Err(AuthenticateError::Password) };
        let answer = self.passwords.check(against, password, self.clock.now()).await;
        match (answer, account, known) {
            (PasswordAnswer::Right, Some(account), Some(_)) => {
                Ok(Caller { account: account.clone(), credential: Credential::Password })
            }
            (PasswordAnswer::Busy, ..) => Err(AuthenticateError::Busy),
            _ => Err(AuthenticateError::Password),
        }
    }

    fn recognise(&self, token: &str) -> Result<Caller, TokenError> {
        let Claims { account, scope } = self.token_key.verify(token, &self.service, self.clock.now())?;
        let account = if account.is_empty() {
            &self.anonymous
        } else {
            self.accounts.get(&account).ok_or(TokenError::UnknownAccount)?
        };
        Ok(Caller { account: account.clone(), credential: Credential::Token(Arc::new(scope)) })
    }

    /// A token for what `caller` wants, as far as its account's grants reach.
    fn issue(&self, caller: &Caller, wanted: &TokenScope, now: i64) -> String {
        let grants = &caller.account.grants;
        let granted = |(name, wanted): &(String, Action)| {
            grants.highest(name).map(|highest| (name.clone(), highest.min(*wanted)))
        };
        let repositories = wanted.repositories.iter().filter_map(granted).collect();
        let account = if caller.is_anonymous() { String::new() } else { caller.name().to_owned() };
        let claims = Claims { account, scope: TokenScope { repositories, catalog: wanted.catalog } };
        self.token_key.issue(&claims, &self.service, now, self.token_lifetime_seconds)
    }
}

impl Caller {
    /// The account's name, for logs and the decision log; [`ANONYMOUS`] without one.
    pub fn name(&self) -> &str {
        &self.account.name
    }

    /// Whether nobody logged in.
    pub fn is_anonymous(&self) -> bool {
        self.account.name == ANONYMOUS
    }

    /// Whether the request carried a credential at all, be it an anonymous token. `GET /v2/` answers 401 without one,
    /// because clients learn only there that and how they can log in.
    pub fn gave_credentials(&self) -> bool {
        !matches!(self.credential, Credential::Missing)
    }

    fn used_token(&self) -> bool {
        matches!(self.credential, Credential::Token(_))
    }

    /// Whether this request may do `action` in `repository`: by the account's grants, and by the token where one
    /// was used.
    pub fn may(&self, action: Action, repository: &str) -> bool {
        let by_token = match &self.credential {
            Credential::Missing | Credential::Password => true,
            Credential::Token(scope) => scope.highest(repository) >= Some(action),
        };
        by_token && self.account.grants.highest(repository) >= Some(action)
    }

    /// Whether `repository` may be shown to this request in the catalog.
    pub fn may_list(&self, repository: &str) -> bool {
        let by_token = match &self.credential {
            Credential::Missing | Credential::Password => true,
            Credential::Token(scope) => scope.catalog,
        };
        by_token && self.account.grants.highest(repository).is_some()
    }

    /// Whether staged images of `repository` are visible to this caller: by the account, whatever the token is for. A
    /// docker that pulls back what it pushed asks for a token to pull only.
    pub fn is_producer(&self, repository: &str) -> bool {
        self.account.grants.highest(repository) > Some(Action::Pull)
    }

    /// How to answer when [`Caller::may`] said no: a caller that could do it with a better token, or has not logged in,
    /// is told to.
    pub fn refusal(&self, action: Action, repository: &str) -> Refusal {
        let account_may = self.account.grants.highest(repository) >= Some(action);
        if account_may || self.is_anonymous() { Refusal::Unauthorized } else { Refusal::Forbidden }
    }
}

fn check_name(name: &str) -> Result<(), AccessError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let good = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) && name != ANONYMOUS;
    if good { Ok(()) } else { Err(AccessError::Name { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests;
