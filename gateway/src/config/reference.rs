//! The reference page, generated from the table of keys.

use std::fmt::Write;

use super::keys::{KEYS, Key, Kind};

/// The page in Markdown; `docs/configuration.md` is this text, and a test compares them.
pub fn render() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            let _ = write!(page, "\n## [{section}]\n");
        }
        entry(&mut page, key);
    }
    page.push_str(ACCOUNTS);
    page
}

fn entry(page: &mut String, key: &Key) {
    let default = match (key.default, key.kind) {
        (None, _) => "unset".to_owned(),
        (Some(""), Kind::List) => "`[]`".to_owned(),
        (Some(default), Kind::List) => format!("`[\"{default}\"]`"),
        (Some(default), Kind::Count | Kind::Flag) => format!("`{default}`"),
        (Some(default), _) => format!("`\"{default}\"`"),
    };
    let expected = match key.kind {
        Kind::Choice(choices) => format!("`{}`", choices.join("` or `")),
        kind => kind.expected().to_owned(),
    };
    let _ = write!(
        page,
        "\n### `{}`\n\n{}\n\n- Value: {expected}\n- Default: {default}\n- Variable: `{}`\n",
        key.name,
        key.meaning,
        key.variable()
    );
}

const INTRODUCTION: &str = "\
# Configuration

`portcullis serve --config portcullis.toml` reads one TOML file. Every key below may be overridden by the environment
variable named with it (lists with commas between the items). Unknown keys are mistakes; all mistakes are reported at
once. `portcullis config check` does that without starting anything and prints the values in force, secrets masked.

This page is what `portcullis config reference` prints.
";

const ACCOUNTS: &str = "
## [[account]]

One section for everybody who may log in.

```toml
[[account]]
name = \"builder\"
password-hash = \"$2y$12$…\"   # as `htpasswd -nB builder` prints it; bcrypt or Argon2id
grants = [{ repositories = [\"prod/**\"], actions = [\"pull\", \"push\"] }]
```

Actions, each of which contains those before it: `pull` (what is released), `sign` (push signatures and other referrers
that cannot run; see staged images), `push` (push images), `admin` (delete and withdraw). In `repositories`, `*` stays
within a path segment and `**` crosses them. What no grant names is not allowed.
";
