//! Makes TUF repositories, good and bad, with keys of its own.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Map, Value, json};

/// By path below the repository: `2.root.json`, `targets/<hex>.trusted_root.json`.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What the targets role signs, and the only file that anybody asks for.
pub(crate) const TARGET: &str = "trusted_root.json";

#[derive(Clone)]
pub(crate) struct Key {
    /// PKCS#8, of the curve; without one it is Ed25519.
    pkcs8: Vec<u8>,
    curve: Option<&'static EcdsaSigningAlgorithm>,
    /// As the root holds it.
    pub(crate) value: Value,
    /// Its own unless a test says otherwise.
    pub(crate) id: String,
}

/// Who signs a role, and how.
pub(crate) struct Role {
    pub(crate) keys: Vec<Key>,
    pub(crate) threshold: u64,
    pub(crate) version: u64,
    pub(crate) expires: &'static str,
}

/// Changes what a role says before it is signed.
type Edit = Box<dyn Fn(&mut Value)>;

pub(crate) struct Repository {
    pub(crate) root: Role,
    pub(crate) timestamp: Role,
    pub(crate) snapshot: Role,
    pub(crate) targets: Role,
    pub(crate) consistent: bool,
    pub(crate) target: Vec<u8>,
    /// Keys of the root before, which sign this one too.
    pub(crate) outgoing: Vec<Key>,
    edits: Vec<(&'static str, Edit)>,
}

impl Key {
    pub(crate) fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec();
        let public = hex(Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap().public_key().as_ref());
        Self::new((pkcs8, None), "ed25519", "ed25519", &public)
    }

    pub(crate) fn ecdsa() -> Self {
        Self::on_curve(&ECDSA_P256_SHA256_ASN1_SIGNING, "ecdsa-sha2-nistp256")
    }

    pub(crate) fn ecdsa_p384() -> Self {
        Self::on_curve(&ECDSA_P384_SHA384_ASN1_SIGNING, "ecdsa-sha2-nistp384")
    }

    fn on_curve(curve: &'static EcdsaSigningAlgorithm, scheme: &str) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).unwrap().as_ref().to_vec();
        let public = hex(EcdsaKeyPair::from_pkcs8(curve, &pkcs8).unwrap().public_key().as_ref());
        Self::new((pkcs8, Some(curve)), "ecdsa", scheme, &public)
    }

    fn new(
        (pkcs8, curve): (Vec<u8>, Option<&'static EcdsaSigningAlgorithm>),
        key_type: &str,
        scheme: &str,
        public: &str,
    ) -> Self {
        let value = json!({"keytype": key_type, "scheme": scheme, "keyval": {"public": public}});
        let id = key_id(&value);
        Self { pkcs8, curve, value, id }
    }

    /// The same key, described in other words: it has another id and signs the same.
    pub(crate) fn described(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.value);
        self.id = key_id(&self.value);
        self
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self.curve {
            Some(curve) => {
                let pair = EcdsaKeyPair::from_pkcs8(curve, &self.pkcs8).unwrap();
                pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
            }
            None => Ed25519KeyPair::from_pkcs8(&self.pkcs8).unwrap().sign(message).as_ref().to_vec(),
        }
    }
}

impl Role {
    fn one(key: Key) -> Self {
        Self { keys: vec![key], threshold: 1, version: 1, expires: "2030-01-01T00:00:00Z" }
    }

    fn definition(&self) -> Value {
        let ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        json!({"keyids": ids, "threshold": self.threshold})
    }
}

impl Repository {
    pub(crate) fn new(make: fn() -> Key) -> Self {
        Self {
            root: Role::one(make()),
            timestamp: Role::one(make()),
            snapshot: Role::one(make()),
            targets: Role::one(make()),
            consistent: true,
            target: b"a trusted root".to_vec(),
            outgoing: Vec::new(),
            edits: Vec::new(),
        }
    }

    pub(crate) fn edit(&mut self, role: &'static str, change: impl Fn(&mut Value) + 'static) {
        self.edits.push((role, Box::new(change)));
    }

    /// The next root, by new keys: `outgoing` are those before.
    pub(crate) fn rotate(&mut self, keys: Vec<Key>) {
        self.outgoing = std::mem::replace(&mut self.root.keys, keys);
        self.root.version += 1;
    }

    /// One version further, for all that a publisher signs often.
    pub(crate) fn advance(&mut self) {
        for role in [&mut self.timestamp, &mut self.snapshot, &mut self.targets] {
            role.version += 1;
        }
    }

    /// Everything a server has of this state.
    pub(crate) fn publish(&self, files: &mut Files) {
        let name = |version: u64, name: &str| match self.consistent {
            true => format!("{version}.{name}"),
            false => name.to_owned(),
        };
        files.insert(format!("{}.root.json", self.root.version), self.root_file());
        let sha256 = hex(digest(&SHA256, &self.target).as_ref());
        let entry = json!({"length": self.target.len(), "hashes": {"sha256": sha256}});
        let targets = self.signed("targets", &self.targets, json!({"targets": {TARGET: entry}}));
        let snapshot = json!({"meta": {"targets.json": meta(&targets, self.targets.version),
            "other.json": {"version": self.targets.version}}});
        let snapshot = self.signed("snapshot", &self.snapshot, snapshot);
        let timestamp = json!({"meta": {"snapshot.json": meta(&snapshot, self.snapshot.version)}});
        let timestamp = self.signed("timestamp", &self.timestamp, timestamp);
        files.insert(name(self.targets.version, "targets.json"), targets);
        files.insert(name(self.snapshot.version, "snapshot.json"), snapshot);
        files.insert("timestamp.json".to_owned(), timestamp);
        let prefix = if self.consistent { format!("{sha256}.") } else { String::new() };
        files.insert(format!("targets/{prefix}{TARGET}"), self.target.clone());
    }

    pub(crate) fn files(&self) -> Files {
        let mut files = Files::new();
        self.publish(&mut files);
        files
    }

    pub(crate) fn root_file(&self) -> Vec<u8> {
        let roles = [&self.root, &self.timestamp, &self.snapshot, &self.targets];
        let keys = roles.iter().flat_map(|role| &role.keys);
        let keys: Map<String, Value> = keys.map(|key| (key.id.clone(), key.value.clone())).collect();
        let names = ["root", "timestamp", "snapshot", "targets"];
        let roles: Map<String, Value> =
            names.iter().zip(roles).map(|(name, role)| ((*name).to_owned(), role.definition())).collect();
        let body = json!({"keys": keys, "roles": roles, "consistent_snapshot": self.consistent});
        self.signed("root", &self.root, body)
    }

    fn signed(&self, name: &'static str, role: &Role, mut body: Value) -> Vec<u8> {
        let common = json!({"_type": name, "spec_version": "1.0.31", "version": role.version,
            "expires": role.expires});
        let Value::Object(common) = common else { unreachable!("an object is written above") };
        body.as_object_mut().unwrap().extend(common);
        self.edits.iter().filter(|(edited, _)| *edited == name).for_each(|(_, edit)| edit(&mut body));
        let outgoing: &[Key] = if name == "root" { &self.outgoing } else { &[] };
        envelope(&body, role.keys.iter().chain(outgoing))
    }
}

/// A file with the signatures of `keys`.
pub(crate) fn envelope<'a>(signed: &Value, keys: impl IntoIterator<Item = &'a Key>) -> Vec<u8> {
    let message = canonical(signed);
    let signature = |key: &Key| json!({"keyid": key.id, "sig": hex(&key.sign(message.as_bytes()))});
    let signatures: Vec<Value> = keys.into_iter().map(signature).collect();
    json!({"signed": signed, "signatures": signatures}).to_string().into_bytes()
}

fn meta(file: &[u8], version: u64) -> Value {
    let sha256 = hex(digest(&SHA256, file).as_ref());
    json!({"version": version, "length": file.len(), "hashes": {"sha256": sha256}})
}

fn key_id(value: &Value) -> String {
    hex(digest(&SHA256, canonical(value).as_bytes()).as_ref())
}

/// Written here anew, so that a mistake in the one under test is noticed.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut names: Vec<&String> = map.keys().collect();
            names.sort();
            let member = |name: &&String| format!("{}:{}", quoted(name), canonical(&map[name.as_str()]));
            format!("{{{}}}", names.iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
