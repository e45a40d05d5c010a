//! Documents for people and other tools, held against the rules of their formats.

use std::collections::BTreeSet;

use tests::check_folder::{CheckFolder, POLICY};
use tests::image_builder::{Archive, Compression, ImageBuilder};

const SECDB: &str = r#"{
  "distroversion": "v3.20", "reponame": "main",
  "packages": [{ "pkg": { "name": "badlib", "secfixes": { "1.2.4-r0": ["CVE-2026-9001"] } } }]
}"#;

/// A name, an instruction and a path that would be markup if they were let.
fn hostile() -> CheckFolder {
    let folder = CheckFolder::new(POLICY, &[("alpine.json", SECDB)]);
    let packages = [("badlib", "1.2.3-r0"), ("<img/src=x>", "1\"onload=\"x")];
    let system = Archive::new().alpine("3.20", &packages).layer(Compression::Plain);
    let cache =
        Archive::new().file("tmp/<script>alert(1)<script>", 0o644, &[1; 500]).layer(Compression::Plain);
    let image = ImageBuilder::new()
        .layer(system, "ADD </style><script>alert('x')</script> /")
        .layer(cache, "RUN echo \"&amp;\" '<b>' \u{202e}\u{1b}[2J");
    folder.image("image", image);
    folder
}

#[test]
fn the_page_stands_alone_and_nothing_of_the_image_is_markup() {
    let folder = hostile();
    let outcome = folder.check("oci:image", &["--output", "html", "--output-file", "page.html"]);
    assert_eq!(outcome.code, 1, "{}", outcome.shown);
    let page = folder.read("page.html");
    for word in [
        "<h1 class=\"bad\">Denied at push</h1>",
        "CVE-2026-9001",
        "1.2.4-r0",
        "Layers",
        "What it could do without",
    ] {
        assert!(page.contains(word), "{word} is missing");
    }
    // What the page may be made of; everything else is text.
    let tags: BTreeSet<&str> = page
        .split('<')
        .skip(1)
        .map(|rest| rest.split([' ', '>', '\n']).next().unwrap_or_default().trim_start_matches('/'))
        .collect();
    let known = [
        "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer",
        "h1", "h2", "h3", "p", "dl", "dt", "dd", "div", "table", "thead", "tbody", "tr", "th", "td", "span",
        "ul", "li", "i",
    ];
    let unknown: Vec<_> = tags.iter().filter(|tag| !known.contains(*tag)).collect();
    assert!(unknown.is_empty(), "the page has {unknown:?}");
    for tag in page.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        for word in ["src=", "href=", " on", "http:", "https:"] {
            assert!(!tag.contains(word), "the page has `<{tag}>`");
        }
    }
    for word in ["url(", "@import", "<script", "\u{1b}", "\u{202e}"] {
        assert!(!page.contains(word), "the page has `{word}`");
    }
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    assert!(page.contains("default-src 'none'"), "nothing may be fetched");
    for word in ["prefers-color-scheme:dark", "@media print"] {
        assert!(page.contains(word), "{word}");
    }
    let undecided = folder.check("oci:absent<b>", &["--output", "html"]);
    assert_eq!(undecided.code, 3, "{}", undecided.shown);
    assert!(undecided.stdout.contains("Could not decide") && !undecided.stdout.contains("<b>"));
}
