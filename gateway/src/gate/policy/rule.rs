//! `[[rule]]`: what images of some repositories must show.

use std::collections::BTreeSet;
use std::time::Duration;

use scanner::finding::{Decimal, Severity};
use serde::Serialize;

use super::KeyFiles;
use super::attestation::{self, AttestationRule};
use super::known_bad::{self, KnownBad};
use super::pattern::Pattern;
use super::reader::{Entry, Mistakes, Place, Section};
use super::signatures::{self, SignatureRule};
use super::values::{ENFORCEMENTS, Enforcement, LEVELS, Level, Share};

/// One rule, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rule {
    /// As given, else the first image pattern.
    pub name: String,
    /// Which images.
    pub images: Vec<Pattern>,
    /// Who must have signed.
    pub signatures: SignatureRule,
    /// What must have been stated about an image, from the same checkpoint on.
    #[serde(rename = "attestation", skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<AttestationRule>,
    /// What must be named by digest.
    pub pin: PinRule,
    /// Base images that may be built on; empty: any.
    pub base: Vec<BaseRule>,
    /// Whether the image's layers must begin with those of an approved base.
    pub base_register: Level,
    /// What the scan may find.
    pub scan: ScanRule,
    /// Sizes, layers, user, permissions.
    pub image: ImageRule,
    /// What a container may ask for (admission only).
    pub runtime: RuntimeRule,
    /// What this rule's refusals do.
    pub enforce: Enforcement,
    /// Whom to ask, or where to read on; ends every refusal by this rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How precisely something must be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pin {
    /// By digest.
    Digest,
    /// By digest, or by a tag that the image's signers bound to it (Notary v1).
    SignedTag,
    /// A tag will do.
    Tag,
}

/// What must be named by digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PinRule {
    /// How consumers and engines ask.
    pub pull: Pin,
    /// How the image names its base (`org.opencontainers.image.base.digest`).
    pub base_image: Pin,
}

/// A base image that may be built on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BaseRule {
    /// Its name.
    pub image: Pattern,
    /// Its digest, where the rule names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// `critical`, `high-fixable`, `known-exploited`, `epss-0.5`: findings that reach a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Worst {
    /// The mark.
    pub mark: Mark,
    /// Only where a fixed version exists.
    pub fixable: bool,
}

/// See [`Worst`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Its EPSS probability is this or more.
    Epss(Decimal),
    /// A catalogue says that it is used in attacks.
    KnownExploited,
    /// This severity or worse.
    Severity(Severity),
}

impl Mark {
    /// `critical`, `known-exploited`, `epss-0.5`. A probability of 0 would mean every finding that has any.
    pub(super) fn parse(word: &str) -> Option<Self> {
        if word == "known-exploited" {
            return Some(Self::KnownExploited);
        }
        if let Some(probability) = word.strip_prefix("epss-") {
            let probability = Decimal::parse(probability).filter(|it| (0.00001..=1.0).contains(&it.as_f64()));
            return probability.map(Self::Epss);
        }
        SEVERITIES.iter().find(|(known, _)| *known == word).map(|(_, severity)| Self::Severity(*severity))
    }
}

/// What the scan may find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScanRule {
    /// Findings that refuse. Empty only where the file says `nothing-unsafe`.
    pub deny: Vec<Worst>,
    /// Credentials in any layer.
    pub secrets: Level,
    /// What could not be judged; [`Level::Warn`] only where the file says `accept-unsafe`.
    pub unknown: Level,
    /// Programs that nobody answers for.
    pub unexplained: Unexplained,
    /// A distribution's release that gets no fixes any more: advisories about it fall silent.
    pub end_of_life: Level,
    /// Programs that no image may hold, in any layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_bad: Option<KnownBad>,
    /// What YARA rules match; `None`: refused where the gate has such rules. What is written asks for them too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub malware: Option<Level>,
    /// Files so large that YARA rules saw only their begin.
    pub malware_oversize: Level,
    /// What a finding without severity counts as.
    pub unrated: Severity,
    /// How long an image that is released already goes on being served after it is first refused for a vulnerability;
    /// `None`: not at all.
    #[serde(serialize_with = "humantime_option", skip_serializing_if = "Option::is_none")]
    pub grace: Option<Duration>,
    /// How old the advisories may be, since they were last fetched.
    #[serde(serialize_with = "humantime_text")]
    pub max_advisory_age: Duration,
}

/// What programs that nobody answers for do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unexplained {
    /// More than this refuses, of the bytes of all programs.
    AtMost(Share),
    /// Any refuses, is told, or is not looked at.
    Each(Level),
}

/// Limits on the image itself; what is not written is not checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageRule {
    /// Sum of the layers as stored (compressed), in bytes.
    pub max_size: Option<u64>,
    /// Number of layers.
    pub max_layers: Option<usize>,
    /// Bytes of files that it may have more than the release whose place it takes, of that one's.
    pub max_growth: Option<Share>,
    /// Bytes that later layers hide, of all bytes.
    pub max_wasted: Option<Share>,
    /// Whom containers run as by default.
    pub user: User,
    /// Set-user-ID files.
    pub setuid: Level,
    /// Set-group-ID files.
    pub setgid: Level,
    /// Files that everyone may write.
    pub world_writable: Level,
    /// What is aimed at the engine that unpacks or starts the image.
    pub attacks: Level,
}

/// See [`ImageRule::user`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum User {
    /// Anyone.
    Any,
    /// A name or number other than root's. What the name maps to inside the image is not looked up.
    NonRoot,
    /// A number other than 0, which no `/etc/passwd` can turn into root (Kubernetes' `runAsNonRoot`).
    NonRootNumeric,
}

/// What a container may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RuntimeRule {
    /// `privileged`.
    pub privileged: Level,
    /// AppArmor switched off.
    pub apparmor: Level,
    /// Paths of the host.
    pub host_bind_mounts: Level,
}

pub(super) fn humantime_text<S: serde::Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

pub(super) fn humantime_option<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.as_ref().map(|duration| humantime::format_duration(*duration).to_string()).serialize(serializer)
}

/// A week: long enough for a mirror's bad weekend, short enough that a critical advisory is not missed for a month.
const ADVISORY_AGE_MAX_DEFAULT: Duration = Duration::from_secs(7 * 86_400);

const SEVERITIES: [(&str, Severity); 5] = [
    ("critical", Severity::Critical),
    ("high", Severity::High),
    ("medium", Severity::Medium),
    ("low", Severity::Low),
    ("negligible", Severity::Negligible),
];

pub(super) fn parse(
    mut section: Section<'_>,
    identities: &BTreeSet<String>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Rule> {
    let name = section.take("name").map(|entry| entry.line(mistakes));
    let images = super::patterns(&mut section, mistakes);
    let hint = "say who must sign: `signatures = { require = [[\"release\"]] }`";
    let signatures = section.require("signatures", hint, mistakes);
    let signatures = signatures.and_then(|entry| signatures::parse(&entry, identities, mistakes));
    let attestations = match section.take("attestation") {
        Some(entry) => attestation::parse(&entry, identities, mistakes),
        None => Some(Vec::new()),
    };
    let pin = optional(&mut section, "pin", parse_pin, mistakes);
    let mut base_register = Level::Off;
    let base = match section.take("base") {
        Some(entry) => parse_base(&entry, mistakes).map(|(allow, register)| {
            base_register = register;
            allow
        }),
        None => Some(Vec::new()),
    };
    let scan = optional(&mut section, "scan", |fields| parse_scan(fields, key_files), mistakes);
    let image = optional(&mut section, "image", parse_image, mistakes);
    let runtime = optional(&mut section, "runtime", parse_runtime, mistakes);
    let enforce =
        section.take("enforce").map_or(Some(Enforcement::Deny), |entry| entry.word(&ENFORCEMENTS, mistakes));
    let help = section.take("help").map(|entry| entry.line(mistakes));
    section.finish(mistakes);
    let images = images?;
    let name = match name {
        Some(name) => name?,
        None => images.first()?.to_string(),
    };
    let help = match help {
        Some(help) => Some(help?),
        None => None,
    };
    Some(Rule {
        name,
        images,
        signatures: signatures?,
        attestations: attestations?,
        pin: pin?,
        base: base?,
        base_register,
        scan: scan?,
        image: image?,
        runtime: runtime?,
        enforce: enforce?,
        help,
    })
}

/// A pattern that an earlier rule has already would never be reached: the author thinks it is in force.
pub(super) fn refuse_hidden(rule: &Rule, earlier: &[Rule], place: &Place, mistakes: &mut Mistakes<'_>) {
    for pattern in &rule.images {
        let hides =
            |earlier: &&Rule| earlier.images.iter().any(|other| other == pattern || other.as_str() == "**");
        if let Some(hiding) = earlier.iter().find(hides) {
            let problem =
                format!("`{pattern}` is never reached: rule `{}` above matches all of it", hiding.name);
            mistakes.note(place, problem, "the first rule that matches decides; move the narrower rule up");
        }
    }
}

/// A section that may be absent: then it is read as if empty, so that each default stands in one place.
fn optional<T>(
    section: &mut Section<'_>,
    key: &'static str,
    parse: impl FnOnce(Fields<'_, '_, '_>) -> Option<T>,
    mistakes: &mut Mistakes<'_>,
) -> Option<T> {
    let inner = match section.take(key) {
        Some(entry) => Some(entry.section(mistakes)?),
        None => None,
    };
    parse(Fields { section: inner, mistakes })
}

/// The keys of a section that may be absent.
struct Fields<'a, 'm, 't> {
    section: Option<Section<'a>>,
    mistakes: &'m mut Mistakes<'t>,
}

impl<'a> Fields<'a, '_, '_> {
    /// The value of `key`; `default` where it is not written, `None` where it is wrong.
    fn read<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&Entry<'a>, &mut Mistakes<'_>) -> Option<T>,
    ) -> Option<T> {
        match self.section.as_mut().and_then(|section| section.take(key)) {
            Some(entry) => parse(&entry, self.mistakes),
            None => Some(default),
        }
    }

    fn finish(self) {
        if let Some(section) = self.section {
            section.finish(self.mistakes);
        }
    }
}

fn parse_pin(mut fields: Fields<'_, '_, '_>) -> Option<PinRule> {
    let words = [("digest", Pin::Digest), ("tag", Pin::Tag)];
    let asked = [("digest", Pin::Digest), ("signed-tag", Pin::SignedTag), ("tag", Pin::Tag)];
    let pull = fields.read("pull", Pin::Digest, |entry, mistakes| entry.word(&asked, mistakes));
    let base_image = fields.read("base-image", Pin::Tag, |entry, mistakes| entry.word(&words, mistakes));
    fields.finish();
    Some(PinRule { pull: pull?, base_image: base_image? })
}

fn parse_base(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<(Vec<BaseRule>, Level)> {
    const HINT: &str = "write `allow = [\"registry.example/base/*\"]`; leave `base` out to allow any";
    let mut section = entry.section(mistakes)?;
    let register = section.take("register").map(|entry| entry.level(mistakes));
    // Whoever asks for the register alone allows any name.
    let allow = match &register {
        Some(_) => section.take("allow"),
        None => Some(section.require("allow", HINT, mistakes)?),
    };
    section.finish(mistakes);
    let register = match register {
        Some(level) => level?,
        None => Level::Off,
    };
    let Some(allow) = allow else { return Some((Vec::new(), register)) };
    let entries = allow.list(mistakes)?;
    if entries.is_empty() {
        mistakes.note(&allow.place, "an empty list allows no base image at all", HINT);
        return None;
    }
    let allowed = entries.iter().map(|entry| parse_base_rule(entry, mistakes)).collect::<Vec<_>>();
    Some((allowed.into_iter().collect::<Option<_>>()?, register))
}

fn parse_base_rule(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<BaseRule> {
    let text = entry.text(mistakes)?;
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    if let Some(digest) = digest
        && crate::digest::Digest::parse(digest).is_err()
    {
        let problem = format!("`{digest}` is no digest");
        mistakes.note(&entry.place, problem, "write `name@sha256:` and 64 lower-case hexadecimal digits");
        return None;
    }
    match Pattern::parse(name) {
        Ok(image) => Some(BaseRule { image, digest: digest.map(ToOwned::to_owned) }),
        Err(error) => {
            mistakes.note(&entry.place, format!("`{name}` {error}"), "");
            None
        }
    }
}

fn parse_scan(mut fields: Fields<'_, '_, '_>, key_files: &mut KeyFiles<'_>) -> Option<ScanRule> {
    let default = vec![
        Worst { mark: Mark::Severity(Severity::Critical), fixable: false },
        Worst { mark: Mark::Severity(Severity::High), fixable: true },
    ];
    let deny = fields.read("deny", default, parse_scan_deny);
    let secrets = fields.read("secrets", Level::Deny, |entry, mistakes| entry.level(mistakes));
    // `off` would hide that nothing was judged, so even the loosest word still warns, each time.
    let words = [("deny", Level::Deny), ("accept-unsafe", Level::Warn)];
    let unknown = fields.read("unknown", Level::Deny, |entry, mistakes| entry.word(&words, mistakes));
    let unexplained = fields.read("unexplained", Unexplained::Each(Level::Off), parse_unexplained);
    let end_of_life = fields.read("end-of-life", Level::Warn, |entry, mistakes| entry.level(mistakes));
    let unrated = fields.read("unrated", Severity::High, |entry, mistakes| entry.word(&SEVERITIES, mistakes));
    let age =
        fields.read("max-advisory-age", ADVISORY_AGE_MAX_DEFAULT, |entry, mistakes| entry.duration(mistakes));
    let known_bad = fields
        .read("known-bad", None, |entry, mistakes| known_bad::parse(entry, key_files, mistakes).map(Some));
    let malware = fields.read("malware", None, |entry, mistakes| entry.level(mistakes).map(Some));
    let oversize = fields.read("malware-oversize", Level::Warn, |entry, mistakes| entry.level(mistakes));
    let grace = fields.read("grace", None, |entry, mistakes| entry.duration(mistakes).map(Some));
    fields.finish();
    Some(ScanRule {
        deny: deny?,
        secrets: secrets?,
        unknown: unknown?,
        unexplained: unexplained?,
        end_of_life: end_of_life?,
        known_bad: known_bad?,
        malware: malware?,
        malware_oversize: oversize?,
        unrated: unrated?,
        grace: grace?,
        max_advisory_age: age?,
    })
}

/// A level, or a limit in bytes or per cent.
fn parse_unexplained(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<Unexplained> {
    let is_limit =
        entry.value.as_str().is_some_and(|text| text.starts_with(|first: char| first.is_ascii_digit()));
    if is_limit {
        entry.share(mistakes).map(Unexplained::AtMost)
    } else {
        entry.level(mistakes).map(Unexplained::Each)
    }
}

fn parse_scan_deny(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<Vec<Worst>> {
    const HINT: &str = "write `deny = [\"critical\", \"high-fixable\"]`; to accept every vulnerability, `deny = \"nothing-unsafe\"`";
    if let Some(word) = entry.value.as_str() {
        if word != "nothing-unsafe" {
            mistakes.note(&entry.place, format!("`{word}` is not a word known here"), HINT);
            return None;
        }
        return Some(Vec::new());
    }
    let entries = entry.list(mistakes)?;
    if entries.is_empty() {
        mistakes.note(&entry.place, "an empty list would deny nothing", HINT);
        return None;
    }
    let mut words = Vec::with_capacity(entries.len());
    for entry in &entries {
        let Some(text) = entry.text(mistakes) else { continue };
        let (word, fixable) = text.strip_suffix("-fixable").map_or((text, false), |word| (word, true));
        match Mark::parse(word) {
            Some(mark) => words.push(Worst { mark, fixable }),
            None => {
                let hint = "use `critical`, `high`, `medium`, `low` or `negligible` (each means: or worse), `known-exploited`, or `epss-0.5` (this probability or more), with `-fixable` to mean only what has a fix";
                mistakes.note(&entry.place, format!("`{text}` is no severity"), hint);
            }
        }
    }
    (words.len() == entries.len()).then_some(words)
}

fn parse_image(mut fields: Fields<'_, '_, '_>) -> Option<ImageRule> {
    let max_size = fields.read("max-size", None, |entry, mistakes| entry.bytes(mistakes).map(Some));
    let max_layers = fields.read("max-layers", None, |entry, mistakes| entry.count(mistakes).map(Some));
    let max_growth = fields.read("max-growth", None, |entry, mistakes| entry.share(mistakes).map(Some));
    let max_wasted = fields.read("max-wasted", None, |entry, mistakes| entry.share(mistakes).map(Some));
    let words = [("any", User::Any), ("non-root", User::NonRoot), ("non-root-numeric", User::NonRootNumeric)];
    let user = fields.read("user", User::Any, |entry, mistakes| entry.word(&words, mistakes));
    let setuid = fields.read("setuid", Level::Off, |entry, mistakes| entry.level(mistakes));
    let setgid = fields.read("setgid", Level::Off, |entry, mistakes| entry.level(mistakes));
    let world_writable = fields.read("world-writable", Level::Off, |entry, mistakes| entry.level(mistakes));
    // Not a matter of taste, unlike the others: it refuses unless the file says otherwise.
    let attacks = fields.read("attacks", Level::Deny, |entry, mistakes| entry.level(mistakes));
    fields.finish();
    Some(ImageRule {
        max_size: max_size?,
        max_layers: max_layers?,
        max_growth: max_growth?,
        max_wasted: max_wasted?,
        user: user?,
        setuid: setuid?,
        setgid: setgid?,
        world_writable: world_writable?,
        attacks: attacks?,
    })
}

fn parse_runtime(mut fields: Fields<'_, '_, '_>) -> Option<RuntimeRule> {
    let privileged = fields.read("privileged", Level::Deny, |entry, mistakes| entry.word(&LEVELS, mistakes));
    let words = [("require", Level::Deny), ("warn", Level::Warn), ("off", Level::Off)];
    let apparmor = fields.read("apparmor", Level::Deny, |entry, mistakes| entry.word(&words, mistakes));
    let host_bind_mounts =
        fields.read("host-bind-mounts", Level::Warn, |entry, mistakes| entry.level(mistakes));
    fields.finish();
    Some(RuntimeRule { privileged: privileged?, apparmor: apparmor?, host_bind_mounts: host_bind_mounts? })
}
