//! Credentials that what stands around them tells: a key of a file format, an address, a file's name.

use super::{Judge, Rule, Shape};
use crate::detectors::secrets::judge;

const fn rule(name: &'static str, keywords: &'static str, pattern: &'static str, judge: Judge) -> Rule {
    Rule { name, keywords, files: &[], shape: Shape::Pattern { pattern, judge, everywhere: false } }
}

/// The keyword only says which format this is.
const fn format_rule(
    name: &'static str,
    keywords: &'static str,
    files: &'static [&'static str],
    pattern: &'static str,
    judge: Judge,
) -> Rule {
    Rule { name, keywords, files, shape: Shape::Pattern { pattern, judge, everywhere: true } }
}

const fn file_rule(
    name: &'static str,
    files: &'static [&'static str],
    pattern: &'static str,
    judge: Judge,
) -> Rule {
    Rule { name, keywords: "", files, shape: Shape::Pattern { pattern, judge, everywhere: false } }
}

pub(super) const FORMATS: &[Rule] = &[
    rule(
        "aws-secret-access-key",
        "aws_secret AWS_SECRET ecretAccessKey",
        r#"(?i)(?:aws_secret(?:_access)?_key|secretaccesskey)["']?\s*(?:=>|[=:])\s*["']?([0-9A-Za-z/+]{40})(?:[^0-9A-Za-z/+=]|$)"#,
        judge::random,
    ),
    rule(
        "azure-app-configuration",
        ".azconfig.io;",
        r"\.azconfig\.io;Id=[^;\s]{4,64};Secret=([0-9A-Za-z+/=]{40,90})",
        judge::random,
    ),
    rule(
        "azure-shared-access-key",
        "SharedAccessKey=",
        r"SharedAccessKey=([0-9A-Za-z+/]{43}=)",
        judge::random,
    ),
    rule("azure-storage-key", "AccountKey=", r"AccountKey=([0-9A-Za-z+/]{86}==)", judge::random),
    rule("cloudinary-url", "cloudinary://", r"cloudinary://[0-9]{15}:([0-9A-Za-z_-]{27})@", judge::random),
    rule(
        "database-url-password",
        "postgres:// postgresql:// mysql:// mariadb:// mongodb:// mongodb+srv:// redis:// rediss:// amqp:// amqps:// \
         mssql:// sqlserver:// clickhouse:// cockroachdb://",
        r#"[a-z+]{4,12}://[^\s:/@"'<>]{0,64}:([^\s:@/"'<>]{6,128})@[0-9A-Za-z._\[-]"#,
        judge::password,
    ),
    rule(
        "discord-webhook",
        ".com/api/webhooks/",
        r"(https://(?:ptb\.|canary\.)?discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[0-9A-Za-z_-]{60,70})",
        judge::random,
    ),
    format_rule(
        "docker-config-auth",
        r#""auths""#,
        &[".dockercfg"],
        r#""(?:auth|identitytoken|registrytoken)"\s*:\s*"([0-9A-Za-z+/_.-]{8,}={0,2})""#,
        judge::any,
    ),
    rule(
        "file-transfer-url-password",
        "ftp:// ftps:// sftp:// smtp:// smtps:// imaps:// ldap:// ldaps://",
        r#"[a-z]{3,5}://[^\s:/@"'<>]{1,64}:([^\s:@/"'<>]{6,128})@[0-9A-Za-z._\[-]"#,
        judge::password,
    ),
    format_rule(
        "kube-config-client-key",
        "client-key-data",
        &[],
        r#"client-key-data["']?:\s*["']?([0-9A-Za-z+/=]{100,})"#,
        judge::random,
    ),
    format_rule(
        "kube-config-token",
        "current-context:",
        &["kubeconfig"],
        r#"\s(?:token|password):\s*["']?([0-9A-Za-z._~+/=-]{16,4096})"#,
        judge::random,
    ),
    rule(
        "npm-registry-token",
        "_authToken",
        r#"_authToken\s*=\s*"?([0-9A-Za-z_+/=.-]{16,256})"#,
        judge::foreign_registry_token,
    ),
    rule(
        "nuget-config-password",
        "ClearTextPassword",
        r#"ClearTextPassword"?\s+value="([^"]{6,256})""#,
        judge::password,
    ),
    format_rule(
        "putty-private-key",
        "PuTTY-User-Key-File-",
        &[],
        r"Encryption: none\r?\n[\s\S]{1,4000}?Private-Lines: [0-9]{1,3}\r?\n([0-9A-Za-z+/=\r\n]{40,4000}?)\r?\nPrivate-",
        judge::any,
    ),
    rule(
        "sidekiq-credentials",
        "contribsys.com",
        r"https?://([0-9a-f]{8}:[0-9a-f]{8})@(?:gems|enterprise)\.contribsys\.com",
        judge::any,
    ),
    rule(
        "slack-webhook",
        "hooks.slack.com/services/ hooks.slack.com/workflows/",
        r"(https://hooks\.slack\.com/(?:services|workflows)/T[0-9A-Z]{8,12}/[AB][0-9A-Z]{8,12}/[0-9A-Za-z/]{20,46})",
        judge::random,
    ),
    rule(
        "teams-webhook",
        ".webhook.office.com/webhookb2/",
        r"(https://[0-9a-z]+\.webhook\.office\.com/webhookb2/[0-9a-f@-]{60,80}/IncomingWebhook/[0-9a-f]{32}/[0-9a-f-]{36})",
        judge::random,
    ),
    rule(
        "wordpress-database-password",
        "DB_PASSWORD",
        r#"define\(\s*['"]DB_PASSWORD['"]\s*,\s*['"]([^'"]{6,128})['"]"#,
        judge::password,
    ),
    rule(
        "zapier-webhook",
        "hooks.zapier.com/hooks/catch/",
        r"(https://hooks\.zapier\.com/hooks/catch/[0-9]{4,10}/[0-9a-z]{5,10})",
        judge::any,
    ),
    file_rule(
        "cargo-registry-token",
        &["credentials.toml"],
        r#"(?m)^\s*token\s*=\s*"([^"\s]{20,256})""#,
        judge::random,
    ),
    file_rule(
        "composer-auth",
        &["auth.json"],
        r#""(?:password|bearer)"\s*:\s*"([^"\s]{8,256})""#,
        judge::password,
    ),
    file_rule(
        "dotenv-credential",
        &[
            ".env",
            ".env.dev",
            ".env.development",
            ".env.local",
            ".env.prod",
            ".env.production",
            ".env.staging",
        ],
        r#"(?m)^\s*(?:export\s+)?[A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_KEY|PRIVATE_KEY)\s*=\s*["']?([^\s"'#/]{12,256})"#,
        judge::chosen_by_chance,
    ),
    file_rule(
        "git-credentials",
        &[".git-credentials"],
        r"(?m)^https?://[^\s:/@]{1,128}:([^\s@]{4,256})@",
        judge::any,
    ),
    file_rule("jenkins-master-key", &["master.key"], r"^([0-9a-f]{256})\s*$", judge::any),
    file_rule(
        "maven-settings-password",
        &["settings.xml"],
        r"<password>([^<>{}$\s]{6,128})</password>",
        judge::password,
    ),
    file_rule(
        "mysql-client-password",
        &[".my.cnf", ".mylogin.cnf"],
        r"(?m)^\s*password\s*=\s*(\S{4,256})",
        judge::any,
    ),
    file_rule("netrc-password", &[".netrc", "_netrc"], r"\bpassword\s+(\S{4,256})", judge::any),
    file_rule(
        "npm-registry-password",
        &[".npmrc"],
        r#"(?m)^[^#;\n]*\b_(?:auth|password)\s*=\s*"?([0-9A-Za-z+/]{8,512}={0,2})"#,
        judge::any,
    ),
    file_rule(
        "postgres-password-file",
        &[".pgpass"],
        r"(?m)^[^#:\n]+:[^:\n]+:[^:\n]+:[^:\n]+:(\S{4,256})\s*$",
        judge::any,
    ),
    file_rule("pypirc-password", &[".pypirc"], r"(?m)^\s*password\s*[=:]\s*(\S{4,512})", judge::any),
    file_rule("rails-master-key", &["master.key"], r"^([0-9a-f]{32})\s*$", judge::any),
    file_rule(
        "rclone-password",
        &["rclone.conf"],
        r"(?m)^\s*pass(?:word2?)?\s*=\s*([0-9A-Za-z_-]{20,256})",
        judge::any,
    ),
    file_rule(
        "s3cmd-secret-key",
        &[".s3cfg"],
        r"(?m)^\s*secret_key\s*=\s*([0-9A-Za-z/+]{40})",
        judge::random,
    ),
    file_rule(
        "shadow-password-hash",
        &["shadow", "shadow-"],
        r"(?m)^[^:\n]{1,64}:(\$(?:1|2[aby]|5|6|7|y|gy)\$[^:\s]{20,256}):",
        judge::any,
    ),
    Rule { name: "private-key", keywords: "PRIVATE\0KEY-----", files: &[], shape: Shape::Pem },
];
