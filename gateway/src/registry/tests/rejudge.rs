//! New advisories judge what is stored: no layer is read again, nothing is silent, and what was released goes on being
//! served as the rule's grace says.

use std::sync::Arc;

use scanner::advisory::{Advisories, Builder};
use serde_json::json;

use super::fixture::*;
use crate::decisions::{Entry, Outcome};
use crate::judge::Rejudged;
use crate::records::decisions::rows;

const DAY: i64 = 86_400;
const OS: &str = "ID=alpine\nVERSION_ID=3.20.1\n";

fn rule(scan: &str) -> String {
    format!(
        "[[rule]]\nimages = [\"registry.example/**\"]\nsignatures = {{ require = \"nobody-unsafe\" }}
pin = {{ pull = \"tag\" }}\nscan = {{ deny = [\"high\"], max-advisory-age = \"90d\", {scan} }}\n"
    )
}

/// Alpine 3.20's advisories: `(package, fixed version, id)`.
fn secdb(fixes: &[(&str, &str, &str)]) -> Vec<u8> {
    let packages: Vec<_> = fixes
        .iter()
        .map(|(name, fixed, id)| json!({"pkg": {"name": name, "secfixes": {*fixed: [id]}}}))
        .collect();
    let feed = json!({"distroversion": "v3.20", "reponame": "main", "packages": packages,
        "urlprefix": "https://dl.example", "apkurl": "", "archs": ["x86_64"]});
    let mut builder = Builder::new();
    builder.add("alpine", None, feed.to_string().as_bytes()).unwrap();
    builder.finish(1_800_000_000).unwrap()
}

/// Nothing about what the images hold.
const QUIET: [(&str, &str, &str); 1] = [("zlib", "1.0-r0", "CVE-2020-1")];

impl Fixture {
    /// Pushes an Alpine image with one package; gives its digest.
    async fn push_package(&self, name: &str, package: &str) -> String {
        let installed = format!("P:{package}\nV:3.0.0-r0\nA:x86_64\no:{package}\n\n");
        let files = [("etc/os-release", OS), ("lib/apk/db/installed", installed.as_str())];
        let manifest = self.image_of(name, &[tar_of(&files)]).await;
        let answer = self.put_manifest(As::Pusher, name, "v1", &manifest).await.expect(201);
        answer.header("docker-content-digest")
    }

    /// Waits until what nobody waits for is written.
    async fn settle(&self) {
        let nothing = |_: &rusqlite::Connection| Ok::<_, crate::records::RecordError>(());
        self.registry.records.write("", nothing).await.unwrap();
    }

    async fn take_up(&self, fixes: &[(&str, &str, &str)]) -> (Rejudged, Option<Arc<Advisories>>) {
        self.settle().await;
        let before = self.advisories.current();
        self.advisories.install(&secdb(fixes)).unwrap();
        let rejudged = self.registry.judge().rejudge(before.as_deref()).await.unwrap();
        (rejudged, before)
    }

    async fn pulled(&self, name: &str) -> Answer {
        self.get(As::Consumer, &format!("/v2/{name}/manifests/v1")).await
    }

    fn log(&self) -> Vec<Entry> {
        let rows = self.registry.records.read(|connection| rows(connection, 1, 1000)).unwrap();
        rows.iter().map(|(_, entry, _)| serde_json::from_slice(entry).unwrap()).collect()
    }
}

fn with(rule_text: &str) -> Fixture {
    let fixture = Fixture::new();
    fixture.policy.store(Arc::new(policy(rule_text)));
    fixture.advisories.install(&secdb(&QUIET)).unwrap();
    fixture
}

const OPENSSL: (&str, &str, &str) = ("openssl", "3.0.1-r0", "CVE-2026-1111");

#[tokio::test]
async fn a_new_advisory_takes_a_released_image_away_and_touches_no_other() {
    let fixture = with(&rule("unrated = \"high\""));
    let bad = fixture.push_package("open/bad", "openssl").await;
    let _ = fixture.push_package("open/good", "busybox").await;
    let _ = fixture.pulled("open/bad").await.expect(200);
    let before = fixture.log().len();

    let (rejudged, _) = fixture.take_up(&[QUIET[0], OPENSSL]).await;
    assert_eq!(rejudged, Rejudged { untouched: 1, same: 0, weighed: 1, failed: 0 });
    let refused = fixture.pulled("open/bad").await.expect_error(403, "DENIED").json().to_string();
    assert!(refused.contains("CVE-2026-1111") && refused.contains("3.0.1-r0"), "{refused}");
    let _ = fixture.pulled("open/good").await.expect(200);
    let log = fixture.log();
    assert_eq!(log.len(), before + 1, "one change, one row");
    let told = &log[before].decision;
    assert_eq!((told.digest.as_str(), told.outcome), (bad.as_str(), Outcome::Denied));
    assert_eq!(told.reasons[0].finding.as_deref(), Some("CVE-2026-1111"));

    // Said again, it is not told again.
    let (rejudged, _) = fixture.take_up(&[QUIET[0], OPENSSL, ("musl", "9-r0", "CVE-2026-3")]).await;
    assert_eq!(rejudged, Rejudged { untouched: 2, ..Rejudged::default() });
    assert_eq!(fixture.log().len(), before + 1);

    // The advisory turns out to be wrong.
    let (rejudged, _) = fixture.take_up(&QUIET).await;
    assert_eq!(rejudged.weighed, 1);
    let _ = fixture.pulled("open/bad").await.expect(200);
    assert_eq!(fixture.log().last().unwrap().decision.outcome, Outcome::Allowed);
}

#[tokio::test]
async fn an_index_is_taken_away_with_the_platform_that_is_refused() {
    let fixture = with(&rule("unrated = \"high\""));
    let name = "open/many";
    let child = fixture.push_package(name, "openssl").await;
    let size = fixture.get(As::Pusher, &format!("/v2/{name}/manifests/{child}")).await.body.len();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX_TYPE, "manifests": [
        {"mediaType": crate::manifest::OCI_MANIFEST, "digest": child, "size": size,
         "platform": {"os": "linux", "architecture": "amd64"}}]});
    let _ = fixture.put_manifest(As::Pusher, name, "v2", &index).await.expect(201);
    let path = format!("/v2/{name}/manifests/v2");
    let _ = fixture.get(As::Consumer, &path).await.expect(200);
    let (rejudged, _) = fixture.take_up(&[OPENSSL]).await;
    assert_eq!(rejudged.weighed, 2, "{rejudged:?}");
    let refused = fixture.get(As::Consumer, &path).await.expect_error(403, "DENIED").json().to_string();
    assert!(refused.contains("CVE-2026-1111"), "{refused}");
}

#[tokio::test]
async fn a_grace_warns_then_refuses_and_each_finding_has_its_own() {
    let fixture = with(&rule("unrated = \"high\", grace = \"7d\""));
    let _ = fixture.push_package("open/app", "openssl").await;
    let _ = fixture.take_up(&[OPENSSL]).await;
    let _ = fixture.pulled("open/app").await.expect(200);
    let log = fixture.log();
    let told = &log.last().unwrap().decision;
    assert_eq!(told.outcome, Outcome::Allowed);
    assert!(told.reasons[0].message.contains("served until 2027-01-22T08:00:00Z"), "{:?}", told.reasons);

    // A second finding on the fifth day neither shortens nor lengthens the first one's.
    fixture.clock.advance(5 * DAY);
    let second = ("openssl", "3.0.2-r0", "CVE-2026-2222");
    let _ = fixture.take_up(&[OPENSSL, second]).await;
    let _ = fixture.pulled("open/app").await.expect(200);
    fixture.clock.advance(2 * DAY);
    let refused = fixture.pulled("open/app").await.expect_error(403, "DENIED").json().to_string();
    assert!(refused.contains("CVE-2026-1111"), "{refused}");

    // The first is withdrawn: the second one's grace still runs, and ends on its own day.
    let _ = fixture.take_up(&[second]).await;
    let _ = fixture.pulled("open/app").await.expect(200);
    fixture.clock.advance(5 * DAY);
    let rows_before = fixture.log().len();
    fixture.registry.judge().ask_about_ended().await;
    let log = fixture.log();
    assert_eq!(log.len(), rows_before + 1, "the end of a grace is told without a pull");
    assert_eq!(log.last().unwrap().decision.outcome, Outcome::Denied);
    let _ = fixture.pulled("open/app").await.expect_error(403, "DENIED");
}

#[tokio::test]
async fn what_is_not_released_yet_gets_no_grace() {
    let fixture = with(&rule("unrated = \"high\", grace = \"7d\""));
    let _ = fixture.take_up(&[OPENSSL]).await;
    let installed = "P:openssl\nV:3.0.0-r0\nA:x86_64\no:openssl\n\n";
    let archive = tar_of(&[("etc/os-release", OS), ("lib/apk/db/installed", installed)]);
    let manifest = fixture.image_of("open/late", &[archive]).await;
    let refused = fixture.put_manifest(As::Pusher, "open/late", "v1", &manifest).await;
    let refused = refused.expect_error(403, "DENIED").json().to_string();
    assert!(refused.contains("CVE-2026-1111"), "{refused}");
}

#[tokio::test]
async fn after_a_restart_what_new_advisories_say_is_found_without_reading_a_layer() {
    let text = rule("unrated = \"high\"");
    let fixture = with(&text);
    let _ = fixture.push_package("open/app", "openssl").await;
    let _ = fixture.push_package("open/good", "busybox").await;
    fixture.advisories.install(&secdb(&[OPENSSL])).unwrap();
    let folder = fixture.folder.path().to_owned();
    let fixture = fixture.restart();
    fixture.policy.store(Arc::new(policy(&text)));
    // Neither the stored reports nor the layers are needed: both are gone.
    let forget = |connection: &rusqlite::Connection| -> Result<(), crate::records::RecordError> {
        connection.execute("DELETE FROM layer_reports", [])?;
        Ok(())
    };
    fixture.registry.records.write("", forget).await.unwrap();
    std::fs::remove_dir_all(folder.join("blobs")).unwrap();
    let rejudged = fixture.registry.judge().rejudge(None).await.unwrap();
    assert_eq!(rejudged, Rejudged { untouched: 0, same: 1, weighed: 1, failed: 0 });
    let _ = fixture.pulled("open/app").await.expect_error(403, "DENIED");
    assert_eq!(fixture.registry.judge().rejudge(None).await.unwrap(), Rejudged::default(), "nothing is left");
}

#[tokio::test]
async fn an_inventory_that_is_missing_is_made_again() {
    let fixture = with(&rule("unrated = \"high\""));
    let _ = fixture.push_package("open/app", "openssl").await;
    let forget = |connection: &rusqlite::Connection| -> Result<(), crate::records::RecordError> {
        connection.execute("DELETE FROM inventories", [])?;
        Ok(())
    };
    fixture.registry.records.write("", forget).await.unwrap();
    let fixture = fixture.restart();
    fixture.policy.store(Arc::new(policy(&rule("unrated = \"high\""))));
    assert_eq!(fixture.registry.judge().rejudge(None).await.unwrap(), Rejudged::default());
    let (rejudged, _) = fixture.take_up(&[OPENSSL]).await;
    assert_eq!(rejudged.weighed, 1, "it is found by its packages: {rejudged:?}");
}

#[tokio::test]
async fn what_is_deleted_leaves_no_inventory() {
    let fixture = with(&rule("unrated = \"high\""));
    let digest = fixture.push_package("open/app", "openssl").await;
    let count = || {
        let count = |connection: &rusqlite::Connection| -> Result<i64, crate::records::RecordError> {
            let sql = "SELECT (SELECT count(*) FROM inventories WHERE contents IS NOT NULL)
                           + (SELECT count(*) FROM inventory_packages)";
            Ok(connection.query_row(sql, [], |row| row.get(0))?)
        };
        fixture.registry.records.read(count).unwrap()
    };
    let _ = fixture.take_up(&QUIET).await;
    assert_eq!(count(), 3, "an inventory, a key of advisories, and a package by its own name");
    let path = format!("/v2/open/app/manifests/{digest}");
    let _ = fixture.call(As::Admin, http::Method::DELETE, &path, axum::body::Body::empty()).await.expect(202);
    assert_eq!(count(), 0);
}
