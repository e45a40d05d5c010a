//! Files and environments, and what they become.

use super::*;
use crate::access::Action;

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::parse(text, Path::new("/etc/portcullis"), &Environment::given(variables))
}

#[track_caller]
fn mistakes(text: &str, variables: &[(&str, &str)], expected: &str) {
    let printed = parse(text, variables).unwrap_err().to_string();
    assert_eq!(printed, expected);
}

#[test]
fn the_empty_file_gives_every_default() {
    let config = parse("", &[]).unwrap();
    assert_eq!(config.listen, "127.0.0.1:5000".parse().unwrap());
    assert_eq!(config.name, "127.0.0.1:5000");
    assert_eq!(config.limits, ServerLimits::default());
    assert_eq!(config.plain_http, PlainHttp::LoopbackOnly);
    assert_eq!(config.data_dir, Path::new("/etc/portcullis/portcullis-data"));
    assert_eq!(config.policy_file, Path::new("/etc/portcullis/policy.toml"));
    assert_eq!(config.blob_bytes_max, 20 * 1024 * 1024 * 1024);
    assert_eq!(config.token_lifetime, Duration::from_secs(300));
    assert_eq!(config.anonymous.highest("any/thing"), Some(Action::Pull));
    assert!(
        config.advisories.is_none()
            && config.accounts.is_empty()
            && config.tls.is_none()
            && config.anonymous_push_dangerous.is_empty()
    );
}

#[test]
fn the_environment_lies_over_the_file() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\nconnections = 7\n[storage]\ndata-dir = \"/srv/gate\"\n";
    let variables = [
        ("PORTCULLIS_SERVER_LISTEN", "127.0.0.1:2"),
        ("PORTCULLIS_SERVER_TLS_CERTIFICATE", "tls.crt"),
        ("PORTCULLIS_SERVER_TLS_KEY", "/run/tls.key"),
        ("PORTCULLIS_ACCESS_ANONYMOUS_PULL", "public/*, mirror/**"),
        ("PORTCULLIS_TEST_DATA", "not ours"),
    ];
    let config = parse(text, &variables).unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.limits.connections, 7);
    assert_eq!(config.data_dir, Path::new("/srv/gate"));
    let tls = config.tls.unwrap();
    assert_eq!(tls.certificate, Path::new("/etc/portcullis/tls.crt"));
    assert_eq!(tls.key, Path::new("/run/tls.key"));
    assert_eq!(config.anonymous.highest("mirror/a/b"), Some(Action::Pull));
    assert_eq!(config.anonymous.highest("prod/app"), None);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = r#"
        [server]
        listen = "everywhere"
        conections = 5
        connections = 0
        public-url = "registry.example/path"
        [server.tls]
        certificate = "tls.crt"
        [storage]
        max-blob-size = "20 elephants"
        [access]
        anonymous-pull = ["prod/["]
        token-lifetime = "0s"
        [log]
        format = "xml"
        level = "portcullis=loud"
        requests = "perhaps"
        [sever]
        listen = "x"
    "#;
    mistakes(
        text,
        &[("PORTCULLIS_SERVER_LISTNE", "x"), ("PORTCULLIS_GC_INTERVAL", "soon")],
        "the configuration has 14 mistakes\n  \
         `server.conections`: no such key; the section has listen, name, public-url, operations-listen, \
         insecure-plain-http-on-public-address-DANGEROUS, connections, header-timeout, body-timeout, idle-timeout, \
         drain-timeout\n  \
         `sever`: no such section; there are access, advisories, gc, log, malware, policy, receipts, scan, server, server.tls, storage, \
         trust and account\n  \
         `PORTCULLIS_SERVER_LISTNE`: no key has this variable; expected a name from `portcullis config reference`\n  \
         `server.listen`: `everywhere` is not usable; expected an address and a port such as `127.0.0.1:5000`\n  \
         `server.connections`: `0` is not usable; expected a whole number from 1 to 1000000\n  \
         `server.tls`: only one of `certificate` and `key` is given; expected both, or neither for plain HTTP on \
         loopback\n  \
         `server.public-url`: `registry.example/path` is not usable; expected a URL such as \
         `https://registry.example`, without a path\n  \
         `access.anonymous-pull`: `prod/[` is not a repository pattern; expected a repository pattern such as \
         `prod/**`\n  \
         `PORTCULLIS_GC_INTERVAL`: `soon` is not usable; expected a time such as `30s`, `5m` or `7d`\n  \
         `log.format`: `xml` is not usable; expected `json` or `text`\n  \
         `log.level`: `portcullis=loud` is no log filter; expected `info`, `debug`, or `warn,portcullis::judge=debug`\n  \
         `log.requests`: `perhaps` is not usable; expected `true` or `false`\n  \
         `storage.max-blob-size`: `20 elephants` is not usable; expected a size such as `500MiB` or `20GiB`\n  \
         `access.token-lifetime`: `0s` is not usable; expected a time such as `30s`, `5m` or `7d`",
    );
}

#[test]
fn a_file_that_is_no_toml_is_named_by_its_line() {
    mistakes(
        "[server]\nlisten = ",
        &[],
        "the configuration has 1 mistake\n  `line 2`: string values must be quoted, expected literal string; expected TOML",
    );
}

#[test]
fn accounts_are_read_with_their_grants() {
    let hash = bcrypt::hash("secret", 4).unwrap();
    let text = format!(
        "[[account]]\nname = \"builder\"\npassword-hash = \"{hash}\"\n\
         grants = [{{ repositories = [\"prod/**\"], actions = [\"pull\", \"push\"] }}]\n"
    );
    let config = parse(&text, &[]).unwrap();
    assert_eq!(config.accounts[0].name, "builder");
    assert_eq!(config.accounts[0].grants.highest("prod/app"), Some(Action::Push));
    assert_eq!(config.accounts[0].grants.highest("dev/app"), None);
    let printed = format!("{config:?}{}", config.render());
    assert!(!printed.contains(&hash) && !printed.contains("$2b$"), "{printed}");
    assert!(config.render().contains("name = \"builder\"\npassword-hash = \"****\""));
}

#[test]
fn accounts_with_mistakes_are_named_and_their_hashes_are_not_repeated() {
    let text = r#"
        [[account]]
        name = "plain"
        password-hash = "hunter2"
        [[account]]
        name = "none"
        [[account]]
        name = "typo"
        pasword-hash = "x"
        [[account]]
        name = "grants"
        password-hash = "$2y$04$luyWy4w9BL2q7fb/zC.Viu/DGWjwz3xP9eBLK3xd/jKrCTfr4LF.6"
        grants = [{ repositories = [""], actions = ["pull"] }, { repositories = ["a"], actions = [] }]
    "#;
    let errors = parse(text, &[]).unwrap_err();
    let keys: Vec<_> = errors.0.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["account[0].password-hash", "account[1]", "account[2]", "account[3]", "account[3]"]);
    assert!(!errors.to_string().contains("hunter2"));
}

#[test]
fn an_htpasswd_file_gives_passwords_and_consumers() {
    let folder = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("secret", 4).unwrap();
    let file = format!("# people\nbuilder:{hash}\n\nguest:{hash}\n");
    std::fs::write(folder.path().join("htpasswd"), file).unwrap();
    let text = "[access]\nhtpasswd = \"htpasswd\"\nanonymous-pull = [\"public/**\"]\n[[account]]\nname = \"builder\"\n\
                grants = [{ repositories = [\"**\"], actions = [\"push\"] }]\n";
    let config = Config::parse(text, folder.path(), &Environment::default()).unwrap();
    let [builder, guest] = config.accounts.as_slice() else { panic!("{:?}", config.accounts) };
    assert!(builder.password.is_some() && builder.grants.highest("a") == Some(Action::Push));
    assert!(guest.password.is_some() && guest.grants.highest("public/a") == Some(Action::Pull));
    assert_eq!(guest.grants.highest("prod/a"), None);

    std::fs::write(folder.path().join("htpasswd"), "a:{SHA}x\nno colon\n").unwrap();
    let errors = Config::parse(text, folder.path(), &Environment::default()).unwrap_err();
    assert_eq!(errors.0.len(), 3, "{errors}");
}

#[test]
fn sizes_and_urls_are_parsed_strictly() {
    for (text, expected) in [("1", Some(1)), ("500MiB", Some(500 << 20)), ("1 GB", Some(1_000_000_000))] {
        let config = parse(&format!("[storage]\nmax-blob-size = \"{text}\""), &[]);
        assert_eq!(config.ok().map(|config| config.blob_bytes_max), expected, "{text}");
    }
    for text in ["0", "-1", "1.5GiB", "GiB", "99999999999TiB", ""] {
        assert!(parse(&format!("[storage]\nmax-blob-size = \"{text}\""), &[]).is_err(), "{text}");
    }
    for (url, good) in [
        ("https://registry.example", true),
        ("https://registry.example:8443/", true),
        ("ftp://registry.example", false),
        ("https://registry.example/v2", false),
        ("https://registry.example?x", false),
        ("https://user@registry.example", false),
    ] {
        assert_eq!(parse(&format!("[server]\npublic-url = \"{url}\""), &[]).is_ok(), good, "{url}");
    }
}

#[test]
fn every_key_is_read_and_shown() {
    let text = "[server]\nname = \"r\"\npublic-url = \"http://r\"\noperations-listen = \"127.0.0.1:3\"\n\
                [server.tls]\ncertificate = \"c\"\nkey = \"k\"\n[advisories]\nfile = \"a\"\n[scan]\nthreads = 3\n\
                [trust]\ndir = \"t\"\n[receipts]\nkey = \"k\"\nkey-password-file = \"p\"\n\
                [malware]\nyara = \"y\"\n";
    let config = parse(text, &[]).unwrap();
    let shown: Vec<_> = config.effective.iter().map(|entry| (entry.section, entry.name)).collect();
    let all: Vec<_> = keys::KEYS.iter().map(|key| (key.section, key.name)).collect();
    let unset = ("access", "htpasswd");
    assert_eq!(shown, all.into_iter().filter(|key| *key != unset).collect::<Vec<_>>());
    // What is printed is itself a configuration.
    let again = parse(&config.render(), &[]).unwrap();
    assert_eq!(again.limits, config.limits);
}

#[test]
fn the_reference_page_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        written == reference::render(),
        "docs/configuration.md is stale: run `portcullis config reference > docs/configuration.md`"
    );
}
