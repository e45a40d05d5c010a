//! Why and why not, in words: the text of a refusal, and what a policy asks of an image.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::policy::{Enforcement, Level, Mark, Pin, Policy, Rule, Unexplained, User, When, format_bytes};
use super::verdict::{Denial, Reason};
use super::words::printable;

/// Enough for a dozen reasons, and less than every client that prints the first error message keeps of it.
pub const MESSAGE_BYTES_MAX: usize = 4096;

impl Denial {
    /// One text for people: what was refused, then a line for each reason, worst first, at most `bytes_max` bytes.
    /// Docker, skopeo and podman print it as it is.
    pub fn message(&self, bytes_max: usize) -> String {
        let rule = self.reasons.first().map_or("none", |reason| reason.rule.as_str());
        let count = self.reasons.len().saturating_add(self.omitted);
        let reasons = if count == 1 { "1 reason".to_owned() } else { format!("{count} reasons") };
        let image = printable(&self.image, 600);
        let mut text =
            format!("{image} was refused at {} by policy rule `{rule}`, {reasons}:", self.checkpoint);
        let help = self.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
        // Room for the last line, however large its number.
        let room =
            bytes_max.saturating_sub(help.len()).saturating_sub("\n… and 18446744073709551615 more".len());
        let mut told = 0;
        for reason in &self.reasons {
            let line = format!("\n{}. {}", told + 1, reason.line());
            if text.len().saturating_add(line.len()) > room {
                break;
            }
            text.push_str(&line);
            told += 1;
        }
        if told < count {
            let _ = write!(text, "\n… and {} more", count - told);
        }
        text.push_str(&help);
        cut(text, bytes_max)
    }
}

impl Reason {
    /// One line: what is wrong, where, and what to do.
    pub fn line(&self) -> String {
        let platform = self.platform.as_ref().map(|platform| format!("{platform}: ")).unwrap_or_default();
        let layer = self.layer.as_ref().map(|layer| match &layer.instruction {
            Some(instruction) => format!(" (layer {}: `{}`)", layer.index, printable(instruction, 80)),
            None => format!(" (layer {})", layer.index),
        });
        format!(
            "{platform}[{}] {}{}; {}",
            self.check,
            self.message,
            layer.unwrap_or_default(),
            self.next_step
        )
    }
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
    text
}

/// What could not be known, as a refusal tells it.
pub fn unknown(unknown: &scanner::report::Unknown) -> String {
    let told = super::checks::tell_unknown(unknown);
    told.map_or_else(|| printable(&serde_json::json!(unknown).to_string(), 300), |(message, ..)| message)
}

/// What a policy asks of the images of one repository (`host/path`), a line for each check that is in force.
pub fn explain(policy: &Policy, repository: &str) -> String {
    let Some(rule) = policy.rule_for(repository) else {
        return format!("{repository}: no rule matches, so every image is refused\n");
    };
    let mut lines = vec![format!("{repository}: rule `{}` ({})", rule.name, join(&rule.images))];
    lines.push(signatures(rule));
    lines.extend(attestations(rule));
    lines.extend(serve_as(rule));
    lines.push(match rule.pin.pull {
        Pin::Digest => "pull, admit: only by digest".to_owned(),
        Pin::SignedTag => "pull, admit: by digest, or by a tag that is signed for it".to_owned(),
        Pin::Tag => "pull, admit: by tag or digest".to_owned(),
    });
    lines.extend(scan(rule));
    lines.extend(image(rule));
    let runtime = &rule.runtime;
    for (what, level) in [
        ("privileged containers", runtime.privileged),
        ("containers without AppArmor", runtime.apparmor),
        ("binding paths of the host", runtime.host_bind_mounts),
    ] {
        lines.push(format!("admit: {what}: {}", word(level)));
    }
    match rule.enforce {
        Enforcement::Deny => {}
        Enforcement::Shadow => lines.push("enforce = shadow: refusals are only logged".to_owned()),
        Enforcement::Warn => lines.push("enforce = warn: refusals are only warnings".to_owned()),
    }
    for exception in policy.exceptions() {
        if exception.images.iter().any(|pattern| pattern.matches(repository)) {
            let what = match &exception.waives {
                super::policy::Waives::Check(check) => format!("check {check}"),
                super::policy::Waives::Finding(id) => id.clone(),
                super::policy::Waives::Malware(rule) => format!("what YARA rule {rule} matches"),
                super::policy::Waives::Secret(value_sha256) => format!("secret {value_sha256}"),
                super::policy::Waives::Statement { statement, .. } => statement.names.join(" = "),
            };
            let package =
                exception.package.as_ref().map(|package| format!(" in {package}")).unwrap_or_default();
            let (owner, expires, reason) = (&exception.owner, exception.expires, &exception.reason);
            lines.push(format!("exception: {what}{package}, by {owner} until {expires}: {reason}"));
        }
    }
    lines.extend(statements(policy, repository));
    lines.join("\n  ") + "\n"
}

/// One line for each document; its statements may be thousands.
fn statements(policy: &Policy, repository: &str) -> Vec<String> {
    let mut documents: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for exception in policy.statements() {
        if let super::policy::Waives::Statement { document, .. } = &exception.waives
            && exception.images.iter().any(|pattern| pattern.matches(repository))
        {
            *documents.entry((document, &exception.owner)).or_default() += 1;
        }
    }
    let line = |((document, author), count)| format!("vex: {count} statements of `{document}`, by {author}");
    documents.into_iter().map(line).collect()
}

fn signatures(rule: &Rule) -> String {
    let clauses: Vec<String> = rule.signatures.require.iter().map(|clause| clause.join(" or ")).collect();
    let when = match rule.signatures.when {
        When::BeforePush => "push",
        When::BeforeRelease => "release",
    };
    match clauses.as_slice() {
        [] => format!("{when}: NOBODY has to sign"),
        [one] => format!("{when}: signed by {one}"),
        several => format!("{when}: signed by {} (different people)", several.join(", and by ")),
    }
}

fn serve_as(rule: &Rule) -> Option<String> {
    let forms: Vec<&str> = rule.signatures.serve_as.iter().map(|form| form.name()).collect();
    (!forms.is_empty()).then(|| format!("release: signed again by the gate: {}", forms.join(", ")))
}

fn attestations(rule: &Rule) -> impl Iterator<Item = String> {
    let when = match rule.signatures.when {
        When::BeforePush => "push",
        When::BeforeRelease => "release",
    };
    rule.attestations.iter().map(move |asked| {
        let newest = if asked.newest_only { "the newest " } else { "" };
        let age = asked
            .max_age
            .map_or_else(String::new, |age| format!(", at most {} old", humantime::format_duration(age)));
        let condition = asked
            .condition
            .as_ref()
            .map_or_else(String::new, |condition| format!(", where {}", condition.source()));
        format!("{when}: {newest}{} stated by {}{age}{condition}", asked.predicate, asked.from.join(" or "))
    })
}

fn scan(rule: &Rule) -> Vec<String> {
    let told = |worst: &super::policy::Worst| {
        let mark = match worst.mark {
            Mark::Epss(probability) => format!("EPSS {probability} or more"),
            Mark::KnownExploited => "known exploited".to_owned(),
            Mark::Severity(severity) => format!("{} or worse", format!("{severity:?}").to_lowercase()),
        };
        if worst.fixable { format!("{mark} with a fix") } else { mark }
    };
    let deny: Vec<String> = rule.scan.deny.iter().map(told).collect();
    let vulnerabilities =
        if deny.is_empty() { "ALL ACCEPTED".to_owned() } else { format!("denied: {}", deny.join(", ")) };
    let unknown = if rule.scan.unknown == Level::Deny { "denied" } else { "ACCEPTED with a warning" };
    let age = humantime::format_duration(rule.scan.max_advisory_age);
    let grace = rule.scan.grace.map(humantime::format_duration);
    let mut lines = vec![
        format!(
            "push: vulnerabilities {vulnerabilities}; unrated counts as {}",
            format!("{:?}", rule.scan.unrated).to_lowercase()
        ),
        format!("push: secrets: {}", word(rule.scan.secrets)),
        format!("push: what cannot be judged: {unknown}; advisories at most {age} old"),
    ];
    lines.extend(grace.map(|grace| {
        format!("pull, admit: what was released is served for {grace} after a vulnerability first refuses it")
    }));
    lines.extend(
        rule.scan.known_bad.as_ref().map(|list| {
            format!("push: {} programs of `{}` are denied in every layer", list.len(), list.file)
        }),
    );
    lines.push(match rule.scan.malware {
        None => "push: what YARA rules match: denied, where the gate has rules".to_owned(),
        Some(Level::Off) => "push: what YARA rules match: not checked".to_owned(),
        Some(level) => format!("push: what YARA rules match: {}; the gate must have rules", word(level)),
    });
    match rule.scan.unexplained {
        Unexplained::Each(Level::Off) => {}
        Unexplained::Each(level) => {
            lines.push(format!("push: programs that nothing explains: {}", word(level)));
        }
        Unexplained::AtMost(share) => {
            lines.push(format!("push: at most {share} of programs that nothing explains"));
        }
    }
    lines
}

fn image(rule: &Rule) -> Vec<String> {
    let image = &rule.image;
    let mut lines = Vec::new();
    if let Some(bytes) = image.max_size {
        lines.push(format!("push: at most {} (compressed)", format_bytes(bytes)));
    }
    if let Some(layers) = image.max_layers {
        lines.push(format!("push: at most {layers} layers"));
    }
    if let Some(share) = image.max_growth {
        lines.push(format!("push: at most {share} more bytes of files than the release that it replaces"));
    }
    if let Some(share) = image.max_wasted {
        lines.push(format!("push: at most {share} hidden by later layers"));
    }
    match image.user {
        User::Any => {}
        User::NonRoot => lines.push("push: the user is not root".to_owned()),
        User::NonRootNumeric => lines.push("push: the user is a number other than 0".to_owned()),
    }
    for (what, level) in [
        ("setuid files", image.setuid),
        ("setgid files", image.setgid),
        ("world-writable files", image.world_writable),
        ("what is aimed at the engine", image.attacks),
    ] {
        if level != Level::Off {
            lines.push(format!("push: {what}: {}", word(level)));
        }
    }
    if rule.pin.base_image == Pin::Digest {
        lines.push("push: the base image is named by digest".to_owned());
    }
    if !rule.base.is_empty() {
        let allowed: Vec<&str> = rule.base.iter().map(|base| base.image.as_str()).collect();
        lines.push(format!("push: built on {}", allowed.join(" or ")));
    }
    if rule.base_register != Level::Off {
        lines.push(format!("push: layers of no approved base: {}", word(rule.base_register)));
    }
    lines
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Deny => "denied",
        Level::Off => "not checked",
        Level::Warn => "warned about",
    }
}

fn join(patterns: &[super::policy::Pattern]) -> String {
    patterns.iter().map(super::policy::Pattern::as_str).collect::<Vec<_>>().join(", ")
}
