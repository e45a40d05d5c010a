//! Whom `portcullis verify` believes by Notary v1: the signers under a pinned root.

use keys::notary::{Gun, NotaryTrust};
use keys::trust_store::Vouches;

use crate::cli::notary::PinArgs;

/// The voucher with its name, if one was asked for.
pub(super) fn voucher(args: &PinArgs) -> anyhow::Result<Option<(String, Vouches)>> {
    let Some(pin) = args.pin()? else { return Ok(None) };
    let gun = args.notary_gun.clone().map_or(Gun::Own, Gun::Is);
    let trust = NotaryTrust { pin, gun, lookup: args.lookup()? };
    Ok(Some(("Notary v1".to_owned(), Vouches::Notary(Box::new(trust)))))
}
