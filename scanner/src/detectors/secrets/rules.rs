//! The rules: credentials whose form is their own, so that a hit is a credential and not a guess.

use crate::detectors::secrets::{judge, pem};

/// One kind of credential.
pub(super) struct Rule {
    /// Stable name, which exceptions in policies use.
    pub(super) name: &'static str,
    /// Literals of which one stands in every such credential. All bytes are searched for them, so they should be rare.
    pub(super) keywords: &'static [&'static str],
    /// Files that are looked at whatever they hold.
    pub(super) files: &'static [&'static str],
    pub(super) shape: Shape,
}

/// What a credential looks like around its keyword.
pub(super) enum Shape {
    /// The first group is the value.
    Pattern {
        pattern: &'static str,
        judge: fn(&[u8]) -> bool,
        /// Matches count that do not touch the keyword too; the keyword then only says which format this is.
        everywhere: bool,
    },
    /// A private key in PEM.
    Pem,
}

impl Rule {
    pub(super) fn before_bytes(&self) -> usize {
        match self.shape {
            Shape::Pattern { .. } => 64,
            Shape::Pem => pem::BEFORE_BYTES,
        }
    }

    pub(super) fn after_bytes(&self) -> usize {
        match self.shape {
            Shape::Pattern { everywhere: true, .. } => 8 << 10,
            Shape::Pattern { everywhere: false, .. } => 512,
            Shape::Pem => pem::AFTER_BYTES,
        }
    }
}

const fn rule(
    name: &'static str,
    keywords: &'static [&'static str],
    pattern: &'static str,
    judge: fn(&[u8]) -> bool,
) -> Rule {
    Rule { name, keywords, files: &[], shape: Shape::Pattern { pattern, judge, everywhere: false } }
}

const fn file_rule(
    name: &'static str,
    files: &'static [&'static str],
    pattern: &'static str,
    judge: fn(&[u8]) -> bool,
) -> Rule {
    Rule { name, keywords: &[], files, shape: Shape::Pattern { pattern, judge, everywhere: false } }
}

pub(super) const RULES: &[Rule] = &[
    rule("age-secret-key", &["AGE-SECRET-KEY-1"], r"\b(AGE-SECRET-KEY-1[0-9A-Z]{58})\b", judge::any),
    rule("anthropic-api-key", &["sk-ant-"], r"\b(sk-ant-[a-z0-9]{3,12}-[0-9A-Za-z_-]{80,})", judge::random),
    rule("atlassian-token", &["ATATT3"], r"\b(ATATT3[0-9A-Za-z_=-]{180,})", judge::random),
    rule("aws-access-key-id", &["AKIA", "ASIA"], r"\b((?:AKIA|ASIA)[A-Z2-7]{16})\b", judge::random),
    rule(
        "aws-secret-access-key",
        &["aws_secret", "AWS_SECRET", "ecretAccessKey"],
        r#"(?i)(?:aws_secret(?:_access)?_key|secretaccesskey)["']?\s*(?:=>|[=:])\s*["']?([0-9A-Za-z/+]{40})(?:[^0-9A-Za-z/+=]|$)"#,
        judge::random,
    ),
    rule("azure-storage-key", &["AccountKey="], r"AccountKey=([0-9A-Za-z+/]{86}==)", judge::random),
    rule(
        "database-url-password",
        &[
            "postgres://",
            "postgresql://",
            "mysql://",
            "mongodb://",
            "mongodb+srv://",
            "redis://",
            "rediss://",
            "amqp://",
            "amqps://",
        ],
        r#"[a-z+]{4,12}://[^\s:/@"'<>]{0,64}:([^\s:@/"'<>]{6,128})@[0-9A-Za-z._\[-]"#,
        judge::password,
    ),
    rule(
        "digitalocean-token",
        &["dop_v1_", "doo_v1_", "dor_v1_"],
        r"\b(do[opr]_v1_[0-9a-f]{64})\b",
        judge::random,
    ),
    Rule {
        name: "docker-config-auth",
        keywords: &[r#""auths""#],
        files: &[".dockercfg"],
        shape: Shape::Pattern {
            pattern: r#""(?:auth|identitytoken)"\s*:\s*"([0-9A-Za-z+/_.-]{8,}={0,2})""#,
            judge: judge::any,
            everywhere: true,
        },
    },
    rule("docker-hub-token", &["dckr_pat_"], r"\b(dckr_pat_[0-9A-Za-z_-]{27})", judge::random),
    rule("github-app-token", &["ghs_", "ghu_"], r"\b(gh[su]_[0-9A-Za-z]{36})\b", judge::checksummed),
    rule(
        "github-fine-grained-pat",
        &["github_pat_"],
        r"\b(github_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59})\b",
        judge::random,
    ),
    rule("github-oauth-token", &["gho_"], r"\b(gho_[0-9A-Za-z]{36})\b", judge::checksummed),
    rule("github-pat", &["ghp_"], r"\b(ghp_[0-9A-Za-z]{36})\b", judge::checksummed),
    rule("github-refresh-token", &["ghr_"], r"\b(ghr_[0-9A-Za-z]{36})\b", judge::checksummed),
    rule("gitlab-pat", &["glpat-"], r"\b(glpat-[0-9A-Za-z_-]{20,64})", judge::random),
    rule("gitlab-runner-token", &["glrt-", "gldt-"], r"\b(gl[rd]t-[0-9A-Za-z_-]{20,64})", judge::random),
    rule("google-api-key", &["AIza"], r"\b(AIza[0-9A-Za-z_-]{35})(?:[^0-9A-Za-z_-]|$)", judge::random),
    rule("grafana-token", &["glsa_"], r"\b(glsa_[0-9A-Za-z]{32}_[0-9a-f]{8})\b", judge::random),
    rule("hugging-face-token", &["hf_"], r"\b(hf_[A-Za-z]{34})\b", judge::random),
    file_rule("netrc-password", &[".netrc", "_netrc"], r"\bpassword\s+(\S{4,256})", judge::any),
    rule(
        "npm-registry-token",
        &["_authToken"],
        r#"_authToken\s*=\s*"?([0-9A-Za-z_+/=.-]{16,256})"#,
        judge::foreign_registry_token,
    ),
    rule("npm-token", &["npm_"], r"\b(npm_[0-9A-Za-z]{36})\b", judge::checksummed),
    rule(
        "openai-api-key",
        &["T3BlbkFJ"],
        r"\b(sk-[0-9A-Za-z_-]{16,160}T3BlbkFJ[0-9A-Za-z_-]{16,160})",
        judge::random,
    ),
    file_rule(
        "postgres-password-file",
        &[".pgpass"],
        r"(?m)^[^#:\n]+:[^:\n]+:[^:\n]+:[^:\n]+:(\S{4,256})\s*$",
        judge::any,
    ),
    Rule { name: "private-key", keywords: &["PRIVATE KEY-----"], files: &[], shape: Shape::Pem },
    rule("pypi-token", &["pypi-AgEI"], r"\b(pypi-AgEI[0-9A-Za-z_-]{50,})", judge::random),
    rule("rubygems-api-key", &["rubygems_"], r"\b(rubygems_[0-9a-f]{48})\b", judge::random),
    rule(
        "sendgrid-key",
        &["SG."],
        r"\b(SG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43})(?:[^0-9A-Za-z_-]|$)",
        judge::random,
    ),
    rule("shopify-token", &["shpat_"], r"\b(shpat_[0-9a-f]{32})\b", judge::random),
    rule(
        "slack-app-token",
        &["xapp-"],
        r"\b(xapp-[0-9]-[0-9A-Z]{8,}-[0-9]{8,}-[0-9a-f]{32,})",
        judge::random,
    ),
    rule("slack-bot-token", &["xoxb-"], r"\b(xoxb-[0-9]{8,14}-[0-9]{8,14}-[0-9A-Za-z]{18,})", judge::random),
    rule(
        "slack-user-token",
        &["xoxp-", "xoxa-"],
        r"\b(xox[ap]-(?:[0-9]{8,14}-){2,3}[0-9A-Za-z]{18,})",
        judge::random,
    ),
    rule(
        "slack-webhook",
        &["hooks.slack.com/services/"],
        r"(https://hooks\.slack\.com/services/T[0-9A-Z]{8,12}/B[0-9A-Z]{8,12}/[0-9A-Za-z]{20,26})",
        judge::random,
    ),
    rule("stripe-live-key", &["sk_live_", "rk_live_"], r"\b([sr]k_live_[0-9A-Za-z]{20,128})", judge::random),
    rule("vault-token", &["hvs.", "hvb."], r"\b(hv[sb]\.[0-9A-Za-z_-]{24,400})", judge::random),
];
