//! What a push may have completed is asked about again.

use std::sync::Arc;

use keys::notary::COLLECTION_TAG;

use super::{Judge, JudgeError, SWEEP_STEP, signatures};
use crate::records::{RecordError, manifests, verdicts};
use crate::staging::Push;

impl Judge {
    /// Asks about what a push may have completed: the subject of a referrer, the image whose `.sig` tag or fallback tag
    /// was pushed; all that waits in the repository whose collection of Notary v1 was pushed.
    pub(super) async fn release_related(self: &Arc<Self>, push: &Push) {
        let mut related: Vec<String> =
            push.manifest.subject.iter().map(|subject| subject.digest.clone()).collect();
        related.extend(push.tags.iter().filter_map(|tag| signatures::subject_of_tag(tag)));
        related.sort();
        related.dedup();
        for digest in related {
            if let Err(error) = self.ask_again(&push.repository, &digest, &push.pushed_by).await {
                // The push itself is stored; the sweep asks again.
                tracing::error!(repository = push.repository, digest, %error, "could not ask for a release");
                self.metrics.error("release");
            }
        }
        if push.tags.iter().any(|tag| tag == COLLECTION_TAG) {
            let (judge, repository, caller) =
                (Arc::clone(self), push.repository.clone(), push.pushed_by.clone());
            // A task of its own: it goes on when the client that pushed does not wait for a thousand images.
            let asked = tokio::spawn(async move { judge.ask_about_all(&repository, &caller).await }).await;
            if let Err(error) = asked.map_err(JudgeError::from).and_then(|asked| asked) {
                let repository = &push.repository;
                tracing::error!(repository, %error, "could not ask for what the collection releases");
                self.metrics.error("release");
            }
        }
    }

    /// Something about a manifest has come: what is staged may now be released, and what was refused since its release
    /// may be served again. Where the rule asks for attestations, one that came may also be the newest, and bad.
    async fn ask_again(
        self: &Arc<Self>,
        repository: &str,
        digest: &str,
        caller: &str,
    ) -> Result<(), JudgeError> {
        let (held, about) = (repository.to_owned(), digest.to_owned());
        let policy = self.basis().policy;
        let rule = policy.rule_for(&self.full_name(repository));
        let may_speak_against = rule.is_some_and(|rule| !rule.attestations.is_empty());
        self.records
            .write(repository, move |connection| -> Result<(), RecordError> {
                for name in manifests::children(connection, &held, &about)?.iter().chain([&about]) {
                    match may_speak_against {
                        true => verdicts::forget(connection, &held, name)?,
                        false => verdicts::forget_denial(connection, &held, name)?,
                    }
                }
                Ok(())
            })
            .await?;
        self.try_release(repository, digest, caller).await
    }

    /// The same about everything in a repository. What fails does not keep the others waiting.
    async fn ask_about_all(self: &Arc<Self>, repository: &str, caller: &str) -> Result<(), JudgeError> {
        let mut after = String::new();
        loop {
            let read = |connection: &rusqlite::Connection| {
                manifests::staged_in(connection, repository, &after, SWEEP_STEP)
            };
            let step = self.records.read(read)?;
            for digest in &step {
                if let Err(error) = self.try_release(repository, digest, caller).await {
                    tracing::error!(repository, digest, %error, "could not ask for a release");
                    self.metrics.error("release");
                }
            }
            match step.last() {
                Some(last) => last.clone_into(&mut after),
                None => return Ok(()),
            }
        }
    }
}
