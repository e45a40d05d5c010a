//! What verified metadata of Notary v1 taught: the memory by which an older state is refused.

use keys::notary::Seen;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::RecordError;

/// What is to be remembered of one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The repository here.
    pub repository: String,
    /// Its name with the signers.
    pub gun: String,
    /// Fingerprint of the pin.
    pub pin: String,
    /// Versions and root.
    pub seen: Seen,
}

/// What was seen of a repository under a pin; nothing, at first.
///
/// # Errors
/// When the database fails, or what it holds cannot be read: to go on without would be to forget.
pub fn seen(connection: &Connection, repository: &str, gun: &str, pin: &str) -> Result<Seen, RecordError> {
    let sql = "SELECT says FROM notary_seen WHERE repository = ?1 AND gun = ?2 AND pin = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let says: Option<String> = statement.query_row([repository, gun, pin], |row| row.get(0)).optional()?;
    let Some(says) = says else { return Ok(Seen::default()) };
    serde_json::from_str(&says).map_err(|_| RecordError::Malformed { what: "seen metadata of Notary v1" })
}

/// Remembers what a decision learned, in its transaction. `false`: meanwhile another decision saw something newer, so
/// this one rests on what no longer counts; nothing is remembered then.
///
/// # Errors
/// When the database fails, or what it holds cannot be read.
pub(crate) fn remember(connection: &Connection, learned: &[Learned]) -> Result<bool, RecordError> {
    for Learned { repository, gun, pin, seen: new } in learned {
        let known = seen(connection, repository, gun, pin)?;
        if !new.covers(&known) {
            return Ok(false);
        }
        let says = serde_json::to_string(new)
            .map_err(|_| RecordError::Malformed { what: "seen metadata of Notary v1" })?;
        let sql = "INSERT INTO notary_seen (repository, gun, pin, says) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT DO UPDATE SET says = excluded.says";
        connection.prepare_cached(sql)?.execute(params![repository, gun, pin, says])?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::records::schema::migrate;

    fn learned(version: u64) -> Learned {
        let versions = BTreeMap::from([("timestamp".to_owned(), version)]);
        let seen = Seen { root: None, versions, checked_at: 7 };
        Learned { repository: "app".into(), gun: "registry.example/app".into(), pin: "p".into(), seen }
    }

    #[test]
    fn what_is_older_than_what_was_seen_is_not_remembered() {
        let connection = Connection::open_in_memory().unwrap();
        migrate(&connection).unwrap();
        let stored = || seen(&connection, "app", "registry.example/app", "p").unwrap();
        assert_eq!(stored(), Seen::default());
        assert!(remember(&connection, &[learned(2)]).unwrap());
        assert!(remember(&connection, &[learned(2)]).unwrap());
        assert!(!remember(&connection, &[learned(1)]).unwrap());
        assert_eq!(stored(), learned(2).seen);
        assert!(remember(&connection, &[learned(3)]).unwrap());
        assert_eq!(stored(), learned(3).seen);
        assert_eq!(seen(&connection, "app", "registry.example/app", "other").unwrap(), Seen::default());
        assert_eq!(seen(&connection, "app2", "registry.example/app", "p").unwrap(), Seen::default());
        connection.execute("UPDATE notary_seen SET says = '{}'", []).unwrap();
        assert!(matches!(
            seen(&connection, "app", "registry.example/app", "p"),
            Err(RecordError::Malformed { .. })
        ));
    }
}
