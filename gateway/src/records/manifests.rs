//! Manifests, tags, referrers, refusals and verdicts: the rows, without opinions about who may see them.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::RecordError;
use crate::gate::evidence::State;
use crate::manifest::Manifest;

/// One manifest in one repository.
#[derive(Clone, Debug)]
pub struct ManifestRow {
    /// As it was pushed: sha256, or sha512 when pushed by such a digest.
    pub digest: String,
    /// Content type to serve it with.
    pub media_type: String,
    /// What referrers report.
    pub artifact_type: Option<String>,
    /// JSON object of its annotations.
    pub annotations: String,
    /// Bytes of the manifest.
    pub size: u64,
    /// The digest it is about.
    pub subject: Option<String>,
    /// Where it stands.
    pub state: State,
    /// JSON denial of the last attempt to release it.
    pub waiting: Option<String>,
}

const COLUMNS: &str = "digest, media_type, artifact_type, annotations, size, subject, state, waiting";

fn manifest_row(row: &Row<'_>) -> rusqlite::Result<ManifestRow> {
    let state: String = row.get(6)?;
    Ok(ManifestRow {
        digest: row.get(0)?,
        media_type: row.get(1)?,
        artifact_type: row.get(2)?,
        annotations: row.get(3)?,
        size: row.get(4)?,
        subject: row.get(5)?,
        state: state_of(&state),
        waiting: row.get(7)?,
    })
}

fn state_of(name: &str) -> State {
    match name {
        "released" => State::Released,
        "withdrawn" => State::Withdrawn,
        _ => State::Staged,
    }
}

/// A manifest of a repository.
///
/// # Errors
/// When the database fails.
pub fn find(
    connection: &Connection,
    repository: &str,
    digest: &str,
) -> Result<Option<ManifestRow>, RecordError> {
    let sql = format!("SELECT {COLUMNS} FROM manifests WHERE repository = ?1 AND digest = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([repository, digest], manifest_row).optional()?)
}

/// The exact bytes of a manifest. Who may have them is decided before.
///
/// # Errors
/// When the database fails.
pub fn bytes(connection: &Connection, digest: &str) -> Result<Option<Vec<u8>>, RecordError> {
    let mut statement = connection.prepare_cached("SELECT bytes FROM manifest_bytes WHERE digest = ?1")?;
    Ok(statement.query_row([digest], |row| row.get(0)).optional()?)
}

/// Inserts a manifest as staged, with what it names. One that is there already keeps its state: pushing again neither
/// withdraws nor revives.
///
/// # Errors
/// When the database fails.
pub fn insert(
    connection: &Connection,
    repository: &str,
    digest: &str,
    manifest: &Manifest,
    pushed_by: &str,
    now: i64,
) -> Result<(), RecordError> {
    let sql = "INSERT INTO manifest_bytes (digest, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![digest, &manifest.bytes[..]])?;
    let sql = "INSERT INTO manifests (repository, digest, media_type, artifact_type, annotations, size, subject, state,
                   waiting, pushed_by, pushed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'staged', NULL, ?8, ?9)
               ON CONFLICT DO UPDATE SET pushed_by = excluded.pushed_by, pushed_at = excluded.pushed_at";
    let annotations = serde_json::to_string(&manifest.annotations)
        .map_err(|_| RecordError::Malformed { what: "annotations" })?;
    let subject = manifest.subject.as_ref().map(|subject| subject.digest.as_str());
    let size = u64::try_from(manifest.bytes.len()).unwrap_or(u64::MAX);
    connection.prepare_cached(sql)?.execute(params![
        repository,
        digest,
        manifest.media_type,
        manifest.referrer_type(),
        annotations,
        size,
        subject,
        pushed_by,
        now
    ])?;
    let sql = "INSERT INTO manifest_refs (repository, digest, target, kind) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    for blob in manifest.blobs() {
        statement.execute([repository, digest, &blob.digest, "blob"])?;
    }
    for child in manifest.children() {
        statement.execute([repository, digest, &child.digest, "manifest"])?;
    }
    Ok(())
}

/// Sets where a manifest stands; only `staging` calls this.
///
/// # Errors
/// When the database fails.
pub(crate) fn set_state(
    connection: &Connection,
    repository: &str,
    digest: &str,
    state: State,
) -> Result<(), RecordError> {
    let name = match state {
        State::Released => "released",
        State::Withdrawn => "withdrawn",
        State::Staged | State::Unknown => "staged",
    };
    let sql = "UPDATE manifests SET state = ?3, waiting = NULL WHERE repository = ?1 AND digest = ?2";
    connection.prepare_cached(sql)?.execute([repository, digest, name])?;
    Ok(())
}

/// Remembers why a manifest waits for its release.
///
/// # Errors
/// When the database fails.
pub fn set_waiting(
    connection: &Connection,
    repository: &str,
    digest: &str,
    denial: &str,
) -> Result<(), RecordError> {
    let sql = "UPDATE manifests SET waiting = ?3 WHERE repository = ?1 AND digest = ?2 AND state = 'staged'";
    connection.prepare_cached(sql)?.execute([repository, digest, denial])?;
    Ok(())
}

/// Removes a manifest, what it names, and the tags that point at it. `false`: it was not there.
///
/// # Errors
/// When the database fails.
pub(crate) fn remove(connection: &Connection, repository: &str, digest: &str) -> Result<bool, RecordError> {
    let both = [repository, digest];
    let gone = connection
        .prepare_cached("DELETE FROM manifests WHERE repository = ?1 AND digest = ?2")?
        .execute(both)?
        > 0;
    for sql in [
        "UPDATE tags SET staged = NULL WHERE repository = ?1 AND staged = ?2",
        "UPDATE tags SET released = NULL WHERE repository = ?1 AND released = ?2",
        "DELETE FROM verdicts WHERE repository = ?1 AND digest = ?2",
    ] {
        connection.prepare_cached(sql)?.execute(both)?;
    }
    let sql = "DELETE FROM tags WHERE repository = ?1 AND staged IS NULL AND released IS NULL";
    connection.prepare_cached(sql)?.execute([repository])?;
    let sql = "DELETE FROM manifest_bytes WHERE digest = ?1
               AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.digest = manifest_bytes.digest)";
    connection.prepare_cached(sql)?.execute([digest])?;
    super::inventories::forget_unheld(connection, digest)?;
    Ok(gone)
}

/// What a tag points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRow {
    /// For producers.
    pub staged: Option<String>,
    /// For consumers.
    pub released: Option<String>,
}

/// A tag of a repository.
///
/// # Errors
/// When the database fails.
pub fn tag(connection: &Connection, repository: &str, tag: &str) -> Result<Option<TagRow>, RecordError> {
    let sql = "SELECT staged, released FROM tags WHERE repository = ?1 AND tag = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let row = |row: &Row<'_>| Ok(TagRow { staged: row.get(0)?, released: row.get(1)? });
    Ok(statement.query_row([repository, tag], row).optional()?)
}

/// Points a tag at a manifest, for producers.
///
/// # Errors
/// When the database fails.
pub(crate) fn set_staged_tag(
    connection: &Connection,
    repository: &str,
    tag: &str,
    digest: &str,
) -> Result<(), RecordError> {
    let sql = "INSERT INTO tags (repository, tag, staged) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET staged = excluded.staged";
    connection.prepare_cached(sql)?.execute([repository, tag, digest])?;
    Ok(())
}

/// Lets consumers see a manifest under every tag by which producers see it.
///
/// # Errors
/// When the database fails.
pub(crate) fn release_tags(
    connection: &Connection,
    repository: &str,
    digest: &str,
) -> Result<(), RecordError> {
    let sql = "UPDATE tags SET released = staged WHERE repository = ?1 AND staged = ?2";
    connection.prepare_cached(sql)?.execute([repository, digest])?;
    Ok(())
}

/// Tags by which producers see a manifest.
///
/// # Errors
/// When the database fails.
pub fn staged_tags(
    connection: &Connection,
    repository: &str,
    digest: &str,
) -> Result<Vec<String>, RecordError> {
    let sql = "SELECT tag FROM tags WHERE repository = ?1 AND staged = ?2 ORDER BY tag";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map([repository, digest], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// What a tag shows to consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedTag {
    /// The tag.
    pub tag: String,
    /// Digest of the manifest.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
}

/// What consumers have now in place of `digest`: under one of `tags` first, then under any tag, newest push first; bounded.
/// Signatures and the like, which have tags of their own or a subject, are not among them.
///
/// # Errors
/// When the database fails.
pub fn released_before(
    connection: &Connection,
    repository: &str,
    digest: &str,
    tags: &[String],
) -> Result<Vec<ReleasedTag>, RecordError> {
    let sql = "SELECT t.tag, m.digest, m.media_type
               FROM tags t JOIN manifests m ON m.repository = t.repository AND m.digest = t.released
               WHERE t.repository = ?1 AND m.digest <> ?2 AND m.state = 'released' AND m.subject IS NULL
                   AND t.tag NOT GLOB 'sha256-*'
               ORDER BY t.tag IN (SELECT value FROM json_each(?3)) DESC, m.pushed_at DESC, t.tag LIMIT 8";
    let tags = serde_json::to_string(tags).map_err(|_| RecordError::Malformed { what: "tags" })?;
    let mut statement = connection.prepare_cached(sql)?;
    let row =
        |row: &Row<'_>| Ok(ReleasedTag { tag: row.get(0)?, digest: row.get(1)?, media_type: row.get(2)? });
    Ok(statement.query_map([repository, digest, &tags], row)?.collect::<Result<_, _>>()?)
}

/// Every stored image that can run, in the order of repositories and digests: repository, digest, media type and state. With
/// `repository`, those of one.
///
/// # Errors
/// When the database fails.
pub fn runnable(
    connection: &Connection,
    repository: Option<&str>,
) -> Result<Vec<(String, String, String, State)>, RecordError> {
    let sql = "SELECT m.repository, m.digest, m.media_type, m.state FROM manifests m JOIN inventories i USING (digest)
               WHERE i.traits IS NOT NULL AND (?1 IS NULL OR m.repository = ?1) ORDER BY m.repository, m.digest";
    let mut statement = connection.prepare_cached(sql)?;
    let row = |row: &Row<'_>| {
        let state: String = row.get(3)?;
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, state_of(&state)))
    };
    Ok(statement.query_map([repository], row)?.collect::<Result<_, _>>()?)
}

/// How many manifests, of any repository, name a blob; one that is in two repositories counts once.
///
/// # Errors
/// When the database fails.
pub fn naming(connection: &Connection, blob: &str) -> Result<u64, RecordError> {
    let sql = "SELECT count(DISTINCT r.digest) FROM blob_links l
               JOIN manifest_refs r ON r.repository = l.repository AND r.target = l.digest
               WHERE l.digest = ?1 AND r.kind = 'blob'";
    Ok(connection.prepare_cached(sql)?.query_row([blob], |row| row.get(0))?)
}

/// Removes a tag for everybody. `false`: it was not there.
///
/// # Errors
/// When the database fails.
pub(crate) fn remove_tag(connection: &Connection, repository: &str, tag: &str) -> Result<bool, RecordError> {
    let sql = "DELETE FROM tags WHERE repository = ?1 AND tag = ?2";
    Ok(connection.prepare_cached(sql)?.execute([repository, tag])? > 0)
}

/// Which rows a listing shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// Only what was released.
    Consumer,
    /// Also what is staged.
    Producer,
}

/// Tags after `last` in byte order, at most `count_max`.
///
/// # Errors
/// When the database fails.
pub fn tags(
    connection: &Connection,
    repository: &str,
    view: View,
    last: &str,
    count_max: u32,
) -> Result<Vec<String>, RecordError> {
    let seen = match view {
        View::Consumer => {
            "EXISTS (SELECT 1 FROM manifests m WHERE m.repository = tags.repository AND m.digest = tags.released
                     AND m.state = 'released')"
        }
        View::Producer => "coalesce(staged, released) IS NOT NULL",
    };
    let sql =
        format!("SELECT tag FROM tags WHERE repository = ?1 AND tag > ?2 AND {seen} ORDER BY tag LIMIT ?3");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![repository, last, count_max], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a repository holds anything that this class of caller may know of.
///
/// # Errors
/// When the database fails.
pub fn repository_exists(connection: &Connection, repository: &str, view: View) -> Result<bool, RecordError> {
    let seen = match view {
        View::Consumer => "AND state = 'released'",
        View::Producer => "",
    };
    let sql = format!("SELECT 1 FROM manifests WHERE repository = ?1 {seen} LIMIT 1");
    Ok(connection.prepare_cached(&sql)?.exists([repository])?)
}

/// Names of repositories after `last` that hold a manifest, and whether one of those is released.
///
/// # Errors
/// When the database fails.
pub fn repositories(
    connection: &Connection,
    last: &str,
    count_max: u32,
) -> Result<Vec<(String, bool)>, RecordError> {
    let sql = "SELECT repository, max(state = 'released') FROM manifests WHERE repository > ?1
               GROUP BY repository ORDER BY repository LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![last, count_max], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Manifests about `subject`, after digest `last`, oldest digest order.
///
/// # Errors
/// When the database fails.
pub fn referrers(
    connection: &Connection,
    repository: &str,
    subject: &str,
    last: &str,
    count_max: u32,
) -> Result<Vec<ManifestRow>, RecordError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM manifests WHERE repository = ?1 AND subject = ?2 AND digest > ?3
         ORDER BY digest LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![repository, subject, last, count_max], manifest_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Digests of manifests about `subject`, at most `count_max`: from the index alone, for one digest may have thousands.
///
/// # Errors
/// When the database fails.
pub fn referrer_digests(
    connection: &Connection,
    repository: &str,
    subject: &str,
    count_max: u32,
) -> Result<Vec<String>, RecordError> {
    let sql = "SELECT digest FROM manifests INDEXED BY manifests_by_subject
               WHERE repository = ?1 AND subject = ?2 LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![repository, subject, count_max], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Indexes of `repository` that list `digest`; bounded.
///
/// # Errors
/// When the database fails.
pub fn parents(connection: &Connection, repository: &str, digest: &str) -> Result<Vec<String>, RecordError> {
    let sql = "SELECT digest FROM manifest_refs WHERE repository = ?1 AND target = ?2 AND kind = 'manifest' LIMIT 16";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([repository, digest], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Indexes of any repository that list `digest`.
///
/// # Errors
/// When the database fails.
pub fn listed_by(connection: &Connection, digest: &str) -> Result<Vec<String>, RecordError> {
    let sql = "SELECT DISTINCT r.digest FROM manifests m
               JOIN manifest_refs r ON r.repository = m.repository AND r.target = m.digest
               WHERE m.digest = ?1 AND r.kind = 'manifest'";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map([digest], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Where a manifest is stored, in the order of repositories: the repository, its state there, and its tags.
///
/// # Errors
/// When the database fails.
pub fn places(
    connection: &Connection,
    digest: &str,
) -> Result<Vec<(String, State, Vec<String>)>, RecordError> {
    let sql = "SELECT repository, state FROM manifests WHERE digest = ?1 ORDER BY repository";
    let mut statement = connection.prepare_cached(sql)?;
    let places = statement.query_map([digest], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let sql = "SELECT tag FROM tags WHERE repository = ?1 AND coalesce(released, staged) = ?2 ORDER BY tag";
    let mut statement = connection.prepare_cached(sql)?;
    places
        .map(|place| {
            let (repository, state): (String, _) = place?;
            let tags = statement.query_map([repository.as_str(), digest], |row| row.get(0))?;
            let tags = tags.collect::<Result<_, _>>()?;
            Ok((repository, state_of(&state), tags))
        })
        .collect()
}

/// Manifests that an index of `repository` lists.
///
/// # Errors
/// When the database fails.
pub fn children(connection: &Connection, repository: &str, digest: &str) -> Result<Vec<String>, RecordError> {
    let sql = "SELECT target FROM manifest_refs WHERE repository = ?1 AND digest = ?2 AND kind = 'manifest'";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([repository, digest], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Everything that is staged, in any repository: what a new policy or new advisories may release.
///
/// # Errors
/// When the database fails.
pub fn staged(
    connection: &Connection,
    before: i64,
    count_max: u32,
) -> Result<Vec<(String, String)>, RecordError> {
    let sql = "SELECT repository, digest FROM manifests WHERE state = 'staged' AND pushed_at < ?1
               ORDER BY pushed_at LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![before, count_max], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Digests of what is staged in one repository, in their order, from the first one after `after`.
///
/// # Errors
/// When the database fails.
pub fn staged_in(
    connection: &Connection,
    repository: &str,
    after: &str,
    count_max: u32,
) -> Result<Vec<String>, RecordError> {
    let sql = "SELECT digest FROM manifests WHERE repository = ?1 AND state = 'staged' AND digest > ?2
               ORDER BY digest LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![repository, after, count_max], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes a manifest that is still staged and was last pushed before `before`. `true`: removed.
///
/// # Errors
/// When the database fails.
pub(crate) fn remove_expired(
    connection: &Connection,
    repository: &str,
    digest: &str,
    before: i64,
) -> Result<bool, RecordError> {
    let sql = "SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2 AND state = 'staged' AND pushed_at < ?3";
    if !connection.prepare_cached(sql)?.exists(params![repository, digest, before])? {
        return Ok(false);
    }
    remove(connection, repository, digest)
}

/// Remembers a refusal under a digest or tag.
///
/// # Errors
/// When the database fails.
pub fn put_refusal(
    connection: &Connection,
    repository: &str,
    reference: &str,
    digest: &str,
    denial: &str,
    now: i64,
) -> Result<(), RecordError> {
    let sql =
        "INSERT INTO refusals (repository, reference, digest, denial, refused_at) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO UPDATE SET digest = excluded.digest, denial = excluded.denial,
                   refused_at = excluded.refused_at";
    connection.prepare_cached(sql)?.execute(params![repository, reference, digest, denial, now])?;
    Ok(())
}

/// Forgets the refusal under a reference: something better stands there now.
///
/// # Errors
/// When the database fails.
pub fn clear_refusal(connection: &Connection, repository: &str, reference: &str) -> Result<(), RecordError> {
    let sql = "DELETE FROM refusals WHERE repository = ?1 AND reference = ?2";
    connection.prepare_cached(sql)?.execute([repository, reference])?;
    Ok(())
}

/// The refused digest and the denial under a reference, as JSON.
///
/// # Errors
/// When the database fails.
pub fn refusal(
    connection: &Connection,
    repository: &str,
    reference: &str,
) -> Result<Option<(String, String)>, RecordError> {
    let sql = "SELECT digest, denial FROM refusals WHERE repository = ?1 AND reference = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    Ok(statement.query_row([repository, reference], row).optional()?)
}

/// Forgets refusals older than `before`: they explain, they do not protect.
///
/// # Errors
/// When the database fails.
pub fn forget_refusals(connection: &Connection, before: i64) -> Result<usize, RecordError> {
    Ok(connection.prepare_cached("DELETE FROM refusals WHERE refused_at < ?1")?.execute([before])?)
}
