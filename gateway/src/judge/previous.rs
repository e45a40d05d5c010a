//! The release whose place an image is to take: what its growth is measured by.

use rusqlite::Connection;

use super::{Basis, Judge, JudgeError};
use crate::gate::evidence::{Content, Evidence, Previous};
use crate::records::manifests;

impl Judge {
    /// What is released under the first of `tags`, else the newest release of the repository under any tag; nothing where the
    /// rule does not ask, or nothing is released there yet. One that cannot be read is no answer: it might be the small one.
    pub(super) fn previous(
        &self,
        connection: &Connection,
        repository: &str,
        evidence: &Evidence,
        tags: &[String],
        basis: &Basis,
    ) -> Result<Option<Previous>, JudgeError> {
        let rule = basis.policy.rule_for(&evidence.repository);
        if tags.is_empty()
            || !runs(&evidence.content)
            || rule.is_none_or(|rule| rule.image.max_growth.is_none())
        {
            return Ok(None);
        }
        for released in manifests::released_before(connection, repository, &evidence.digest, tags)? {
            let manifest = self.stored_manifest(connection, &released.digest, &released.media_type)?;
            let content = self.content(connection, &manifest, basis)?;
            if runs(&content) {
                let name = format!("{repository}:{}", released.tag);
                return Ok(Some(Previous { name, content }));
            }
        }
        Ok(None)
    }
}

fn runs(content: &Content) -> bool {
    match content {
        Content::Image(_) => true,
        Content::Index(children) => children.iter().any(|child| runs(&child.content)),
        Content::Artifact { .. } | Content::Judged => false,
    }
}
