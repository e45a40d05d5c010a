//! The COSE form: a COSE_Sign1 with its tag (RFC 9052 § 4.2), labels as the Notary Project assigns them.

use super::cbor::{self, Item};
use super::envelope::{Algorithm, AttributeValue, EnvelopeError, UnverifiedEnvelope, attribute};
use crate::{json, limits};

/// COSE_Sign1 (RFC 9052 § 2).
pub(crate) const SIGN1_TAG: u64 = 18;
/// Epoch-based date and time (RFC 8949 § 3.4.2).
pub(crate) const EPOCH_TAG: u64 = 1;
/// RFC 9052 § 3.1.
pub(crate) const ALGORITHM: Item = Item::Integer(1);
pub(crate) const CRITICAL: Item = Item::Integer(2);
pub(crate) const CONTENT_TYPE: Item = Item::Integer(3);
/// RFC 9360 § 2.
pub(crate) const X5CHAIN: Item = Item::Integer(33);

/// Takes a COSE_Sign1 apart. Nothing in it is believed.
pub(crate) fn parse(bytes: &[u8]) -> Result<UnverifiedEnvelope, EnvelopeError> {
    let Item::Tag(SIGN1_TAG, message) = read(bytes, "envelope")? else {
        return Err(member("COSE_Sign1 tag"));
    };
    let Item::Array(parts) = *message else { return Err(member("COSE_Sign1")) };
    let [Item::Bytes(protected_bytes), Item::Map(header), Item::Bytes(payload), Item::Bytes(signature)] =
        parts.as_slice()
    else {
        return Err(member("COSE_Sign1"));
    };
    let Item::Map(protected) = read(protected_bytes, "protected header")? else {
        return Err(member("protected header"));
    };
    // RFC 9052 § 3: labels must not occur in both.
    if let Some((label, _)) = header.iter().find(|(label, _)| value(&protected, label).is_some()) {
        return Err(EnvelopeError::Repeated(spelled(label)));
    }
    let algorithm = value(&protected, &ALGORITHM).ok_or_else(|| member("alg"))?;
    let known = |known: &Algorithm| *algorithm == Item::Integer(known.label());
    let found = Algorithm::ALL.into_iter().find(known);
    let content_type = value(&protected, &CONTENT_TYPE).and_then(Item::as_text);
    Ok(UnverifiedEnvelope {
        algorithm: found.ok_or_else(|| EnvelopeError::Algorithm(spelled(algorithm)))?,
        content_type: content_type.ok_or_else(|| member("content type"))?.to_owned(),
        critical: critical(&protected)?,
        attributes: attributes(&protected),
        chain: chain(header)?,
        payload: payload.clone(),
        message: to_be_signed(protected_bytes, payload),
        signature: signature.clone(),
        timestamp: timestamp(header)?,
    })
}

/// The Sig_structure of RFC 9052 § 4.4, with no external data.
pub(crate) fn to_be_signed(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let structure = Item::Array(vec![
        Item::Text("Signature1".to_owned()),
        Item::Bytes(protected.to_vec()),
        Item::Bytes(Vec::new()),
        Item::Bytes(payload.to_vec()),
    ]);
    let mut bytes = Vec::new();
    cbor::write(&structure, &mut bytes);
    bytes
}

fn critical(protected: &[(Item, Item)]) -> Result<Vec<String>, EnvelopeError> {
    let Some(Item::Array(labels)) = value(protected, &CRITICAL) else { return Err(member("crit")) };
    let mut critical: Vec<String> = Vec::new();
    for label in labels {
        // Algorithm and content type are understood, and always there (RFC 9052 § 3.1 lets them be named).
        if [ALGORITHM, CONTENT_TYPE].contains(label) {
            continue;
        }
        let name = spelled(label);
        if critical.contains(&name) {
            return Err(EnvelopeError::Repeated(name));
        }
        critical.push(name);
    }
    Ok(critical)
}

fn attributes(protected: &[(Item, Item)]) -> Vec<(String, AttributeValue)> {
    let others = protected.iter().filter(|(label, _)| ![ALGORITHM, CRITICAL, CONTENT_TYPE].contains(label));
    others
        .map(|(label, value)| {
            let value = match value {
                Item::Text(text) => AttributeValue::Text(text.clone()),
                Item::Tag(EPOCH_TAG, seconds) => match **seconds {
                    Item::Integer(seconds) => {
                        i64::try_from(seconds).map_or(AttributeValue::Other, AttributeValue::Time)
                    }
                    _ => AttributeValue::Other,
                },
                _ => AttributeValue::Other,
            };
            (spelled(label), value)
        })
        .collect()
}

/// A single certificate may stand without an array (RFC 9360 § 2).
fn chain(header: &[(Item, Item)]) -> Result<Vec<Vec<u8>>, EnvelopeError> {
    match value(header, &X5CHAIN) {
        Some(Item::Bytes(certificate)) => Ok(vec![certificate.clone()]),
        Some(Item::Array(certificates)) => {
            let bounded = certificates.iter().take(limits::CHAIN_MAX + 1);
            let bytes = |item: &Item| item.as_bytes().map(<[u8]>::to_vec).ok_or_else(|| member("x5chain"));
            bounded.map(bytes).collect()
        }
        _ => Err(member("x5chain")),
    }
}

fn timestamp(header: &[(Item, Item)]) -> Result<Option<Vec<u8>>, EnvelopeError> {
    match value(header, &Item::Text(attribute::TIMESTAMP.to_owned())) {
        None => Ok(None),
        Some(Item::Bytes(token)) => Ok(Some(token.clone())),
        Some(_) => Err(member(attribute::TIMESTAMP)),
    }
}

fn value<'a>(map: &'a [(Item, Item)], label: &Item) -> Option<&'a Item> {
    map.iter().find(|(other, _)| other == label).map(|(_, value)| value)
}

/// A label as a name. A number becomes `#7`, which no attribute of ours is called.
fn spelled(label: &Item) -> String {
    match label {
        Item::Text(text) if !text.starts_with('#') => text.clone(),
        Item::Text(text) => format!("#`{}`", json::quote(text)),
        Item::Integer(number) => format!("#{number}"),
        _ => "#?".to_owned(),
    }
}

fn read(bytes: &[u8], part: &'static str) -> Result<Item, EnvelopeError> {
    cbor::parse(bytes).map_err(|problem| EnvelopeError::Cbor { part, problem })
}

fn member(name: &str) -> EnvelopeError {
    EnvelopeError::Member(name.to_owned())
}
