//! Whom `portcullis verify` believes by Notary v1: the signers under a pinned root.

use keys::notary::{Gun, NotaryTrust, Seen};
use keys::trust_store::Vouches;
use keys::verify::Verifier;

use crate::cli::notary::PinArgs;
use crate::clock::Clock;
use crate::source::notary::from_registry;
use crate::source::registry::Remote;

/// The voucher with its name, if one was asked for.
pub(super) fn voucher(args: &PinArgs) -> anyhow::Result<Option<(String, Vouches)>> {
    let Some(pin) = args.pin()? else { return Ok(None) };
    let gun = args.notary_gun.clone().map_or(Gun::Own, Gun::Is);
    let trust = NotaryTrust { pin, gun, lookup: args.lookup()? };
    Ok(Some(("Notary v1".to_owned(), Vouches::Notary(Box::new(trust)))))
}

/// Looks at the collection of the image's repository, without memory of what was seen before: that is the gate's.
pub(super) fn examine(
    args: &PinArgs,
    remote: &Remote,
    repository: &str,
    verifier: &mut Verifier<'_>,
) -> anyhow::Result<()> {
    let Some(pin) = args.pin()? else { return Ok(()) };
    let candidate = || "notary-v1".to_owned();
    let collection = match from_registry(remote) {
        Ok(Some(collection)) => collection,
        Ok(None) => return Ok(()),
        Err(error) => {
            verifier.refuse(candidate(), error.to_string());
            return Ok(());
        }
    };
    let gun = args.notary_gun.as_deref().unwrap_or(repository);
    match collection.verify(gun, &pin, Seen::default(), Clock::system().now()) {
        Ok((verified, _)) => {
            verifier.examine_repository(&candidate(), &verified);
        }
        Err(error) => verifier.refuse(candidate(), error.to_string()),
    }
    Ok(())
}
