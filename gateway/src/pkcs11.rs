//! Signing keys in PKCS#11 tokens (OASIS PKCS#11 2.40): hardware, or software that behaves like it. The private half never
//! leaves the token.
//!
//! The module is a library that the operator names; it runs in this process, so it must be as trusted as this program.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use keys::signer::{RemoteKey, ecdsa_signature};
use keys::trust_store::{KeyAlgorithm, PublicKey, PublicKeyError};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Why a key in a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The module, or the token, said no.
    #[error("the PKCS#11 module cannot {what}")]
    Module {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        #[source]
        source: Error,
    },
    /// No token of that name.
    #[error("no token has the label `{asked}`; found: {found}")]
    NoToken {
        /// The label asked for.
        asked: String,
        /// The labels that are there.
        found: String,
    },
    /// Not exactly one key pair of that name.
    #[error("the token has {count} {what} keys with the label `{label}`, and one is needed")]
    Keys {
        /// How many there are.
        count: usize,
        /// `private` or `public`.
        what: &'static str,
        /// The label asked for.
        label: String,
    },
    /// The public half is of a kind that is not used here.
    #[error("the key `{label}` is none that we sign with")]
    PublicKey {
        /// Its label.
        label: String,
        /// Why.
        #[source]
        source: PublicKeyError,
    },
    /// The token does not tell the public half.
    #[error("the token does not tell the public half of `{0}`: neither a point on a curve nor a modulus")]
    Untold(String),
    /// Tokens sign with ECDSA and RSA here.
    #[error("the key `{label}` is {algorithm}; tokens sign with ECDSA or RSA here")]
    Algorithm {
        /// Its label.
        label: String,
        /// What it is.
        algorithm: KeyAlgorithm,
    },
}

/// A key in a token that is logged in to. Dropping it logs out.
#[derive(Debug)]
pub struct TokenKey {
    session: Mutex<Session>,
    private: ObjectHandle,
    public_key: PublicKey,
    // Last: the session ends before its module is unloaded.
    _module: Pkcs11,
}

/// Which key, in which token.
#[derive(Clone, Copy, Debug)]
pub struct KeyName<'a> {
    /// `CKA_LABEL` of the token.
    pub token: &'a str,
    /// `CKA_LABEL` of both halves of the key.
    pub key: &'a str,
}

impl TokenKey {
    /// Loads a module, logs in, and finds the key.
    ///
    /// # Errors
    /// When any of it is not there, or there is more than one.
    pub fn open(module: &Path, name: KeyName<'_>, pin: Zeroizing<String>) -> Result<Self, TokenError> {
        let asked = |what| move |source| TokenError::Module { what, source };
        let module = Pkcs11::new(module).map_err(asked("be loaded"))?;
        let locking = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        module.initialize(locking).map_err(asked("start"))?;
        let mut found = Vec::new();
        let mut slot = None;
        for candidate in module.get_slots_with_token().map_err(asked("list its tokens"))? {
            let info = module.get_token_info(candidate).map_err(asked("tell of a token"))?;
            if info.label() == name.token {
                slot = Some(candidate);
            }
            found.push(format!("`{}`", crate::gate::words::printable(info.label(), 64)));
        }
        let Some(slot) = slot else {
            return Err(TokenError::NoToken { asked: name.token.to_owned(), found: found.join(", ") });
        };
        let session = module.open_ro_session(slot).map_err(asked("open a session"))?;
        let pin = AuthPin::from(pin.as_str());
        session
            .login(UserType::User, Some(&pin))
            .map_err(asked("log in: wrong PIN, or the token is locked"))?;
        let private = one(&session, ObjectClass::PRIVATE_KEY, "private", name.key)?;
        let public = one(&session, ObjectClass::PUBLIC_KEY, "public", name.key)?;
        let public_key = public_key(&session, public, name.key)?;
        if matches!(public_key.algorithm(), KeyAlgorithm::Ed25519) {
            let algorithm = public_key.algorithm();
            return Err(TokenError::Algorithm { label: name.key.to_owned(), algorithm });
        }
        Ok(Self { session: Mutex::new(session), private, public_key, _module: module })
    }
}

fn one(
    session: &Session,
    class: ObjectClass,
    what: &'static str,
    label: &str,
) -> Result<ObjectHandle, TokenError> {
    let template = [Attribute::Class(class), Attribute::Label(label.as_bytes().to_vec())];
    let found = session
        .find_objects(&template)
        .map_err(|source| TokenError::Module { what: "search for the key", source })?;
    match found.as_slice() {
        [only] => Ok(*only),
        others => Err(TokenError::Keys { count: others.len(), what, label: label.to_owned() }),
    }
}

fn public_key(session: &Session, public: ObjectHandle, label: &str) -> Result<PublicKey, TokenError> {
    let asked = [
        AttributeType::EcParams,
        AttributeType::EcPoint,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
    ];
    let told = session
        .get_attributes(public, &asked)
        .map_err(|source| TokenError::Module { what: "tell the public half of the key", source })?;
    let (mut curve, mut point, mut modulus, mut exponent) = (None, None, None, None);
    for attribute in told {
        match attribute {
            Attribute::EcParams(bytes) => curve = Some(bytes),
            Attribute::EcPoint(bytes) => point = Some(bytes),
            Attribute::Modulus(bytes) => modulus = Some(bytes),
            Attribute::PublicExponent(bytes) => exponent = Some(bytes),
            _ => {}
        }
    }
    let key = match (curve.zip(point), modulus.zip(exponent)) {
        (Some((curve, point)), _) => PublicKey::from_ec_point(&curve, &point),
        (None, Some((modulus, exponent))) => PublicKey::from_rsa_numbers(&modulus, &exponent),
        (None, None) => return Err(TokenError::Untold(label.to_owned())),
    };
    key.map_err(|source| TokenError::PublicKey { label: label.to_owned(), source })
}

impl RemoteKey for TokenKey {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |error: Error| format!("the token does not sign: {error}");
        match self.public_key.algorithm() {
            KeyAlgorithm::Rsa { .. } => {
                session.sign(&Mechanism::Sha256RsaPkcs, self.private, message).map_err(told)
            }
            // Over SHA-256 whatever the curve, as with keys in files.
            _ => {
                let raw = session.sign(&Mechanism::Ecdsa, self.private, &Sha256::digest(message));
                ecdsa_signature(&raw.map_err(told)?).ok_or_else(|| "the token gave no signature".to_owned())
            }
        }
    }
}
