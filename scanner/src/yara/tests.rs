//! Which rules compile, which are refused and where, and what a search says of hostile content.

use std::time::Duration;

use super::*;

fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    let source = |(name, text): &(&str, &str)| Source { name: (*name).to_owned(), text: (*text).to_owned() };
    files.iter().map(source).collect()
}

fn compile(files: &[(&str, &str)]) -> Result<RuleSet, RulesError> {
    RuleSet::compile(sources(files), Bounds::default())
}

/// `rule`, `!problem` of what was found.
fn found(rules: RuleSet, path: &str, content: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    Search::new(Arc::new(rules)).file(path.as_bytes(), content, &mut found);
    let word = |detected| match detected {
        Detected::Malware { rule, .. } => rule,
        Detected::Unsearched(why) => format!("!{why:?}"),
        _ => unreachable!("neither rule nor bound"),
    };
    found.into_iter().map(word).collect()
}

#[test]
fn a_mistake_names_its_file_and_line() {
    let good = "rule good { condition: true }";
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("a.yar", good), ("b/c.yar", "\n\nrule bad { condition: }")], "`b/c.yar`, line 3"),
        (&[("a.yar", "rule a {\n strings:\n  $x = \"y\"\n condition:\n  $z\n}")], "`a.yar`, line 5"),
        (&[("a.yar", "rule a { condition: true }\nrule a { condition: true }")], "`a.yar`, line 2"),
        (&[("a.yar", "\nimport \"time\"\nrule a { condition: time.now() > 0 }")], "`a.yar`, line 2"),
        (&[("a.yar", "rule a {\n condition: true and")], "`a.yar`, line 2"),
        (&[("a.yar", "rule a {\n condition: true and\n")], "`a.yar`, line 3"),
        (&[("a.yar", "import \"console\"\nrule a { condition: console.log(\"x\") }")], "`a.yar`, line 1"),
        (&[("a.yar", "\ninclude \"../etc/passwd\"\n")], "`a.yar`, line 2: `../etc/passwd` is no file"),
        (&[("a.yar", "include \"/etc/passwd\"")], "`a.yar`, line 1"),
        (&[("a.yar", "include \"b.yar\"\n"), ("b.yar", "rule x {\n condition: y }")], "`b.yar`, line 2"),
        (&[("a.yar", "include \"b.yar\"\n\nrule x { condition: y }"), ("b.yar", good)], "`a.yar`, line 3"),
        (&[("a.yar", "include \"b.yar\""), ("b.yar", "include \"a.yar\"")], "`a.yar` includes itself"),
        (&[("c.yar", good), ("a.yar", "include \"a.yar\"")], "`a.yar` includes itself"),
        (&[("a.yar", "// nothing")], "no rule"),
        (&[], "no rule"),
    ];
    for (files, expected) in cases {
        let error = compile(files).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}; expected {expected}");
    }
}

#[test]
fn files_have_name_spaces_of_their_own_and_what_is_included_counts_once() {
    let shared = "rule shared { strings: $a = \"evil\" condition: $a }";
    let files = [
        ("index.yar", "include \"more/b.yar\"\nrule last { condition: shared }"),
        ("more/b.yar", "include \"./c.yar\""),
        ("more/c.yar", shared),
        ("own.yar", "rule shared { strings: $a = \"other\" condition: $a }"),
    ];
    let rules = compile(&files).expect("good rules");
    assert_eq!((rules.len(), rules.files(), rules.is_empty()), (3, 4, false));
    assert_eq!(found(rules, "a", b"an evil thing"), ["shared", "last"]);
    assert_eq!(found(compile(&files).expect("good rules"), "a", b"other"), ["shared"]);
}

#[test]
fn files_as_editors_leave_them_compile() {
    for text in [
        "\u{feff}rule a { condition: true }",
        "rule a { condition: true } // end",
        "/* c */ rule a { condition: true }\r\n",
    ] {
        assert_eq!(found(compile(&[("a.yar", text)]).expect(text), "f", b"x"), ["a"], "{text}");
    }
}

#[test]
fn a_digest_tells_what_could_change_an_answer() {
    let digest = |files: &[(&str, &str)], bounds| {
        RuleSet::compile(sources(files), bounds).expect("good rules").digest().to_owned()
    };
    let (one, two) = ("rule a { condition: true }", "rule b { condition: true }");
    let bounds = Bounds::default();
    let first = digest(&[("a.yar", one), ("b.yar", two)], bounds);
    assert_eq!(first, digest(&[("b.yar", two), ("a.yar", one)], bounds), "whatever their order");
    for other in [
        digest(&[("a.yar", one), ("c.yar", two)], bounds),
        digest(&[("a.yar", one), ("b.yar", "rule b { condition: false }")], bounds),
        digest(&[("a.yar", one)], bounds),
        digest(&[("a.yar", one), ("b.yar", two)], Bounds { file_bytes_max: 7, ..bounds }),
    ] {
        assert_ne!(first, other);
    }
}

#[test]
fn rules_see_content_names_and_formats() {
    let rules = "import \"elf\"\nimport \"hash\"\nimport \"math\"
        rule text { strings: $a = \"MiNeR\" nocase wide ascii condition: $a }
        rule bytes { strings: $a = { 7f 45 [1-4] 02 } condition: $a at 0 }
        rule name { condition: filename == \"run.sh\" and extension == \".sh\" and filepath == \"/opt/run.sh\" }
        rule program { condition: elf.machine == elf.EM_X86_64 }
        rule digest { condition: hash.sha256(0, filesize) == \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\" }
        rule random { condition: filesize > 100 and math.entropy(0, filesize) > 7.9 }
        private rule hidden { condition: filesize == 3 }
        rule small { condition: hidden }";
    let all: Vec<u8> = (0..=255).cycle().take(1024).collect();
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.resize(64, 0);
    elf[52] = 64;
    let cases: [(&str, &[u8], &[&str]); 7] = [
        ("a", b"a miner here", &["text"]),
        ("a", b"M\0i\0N\0e\0R\0", &["text"]),
        ("opt/run.sh", b"#!", &["name"]),
        ("b", &elf, &["bytes", "program"]),
        ("c", b"abc", &["digest", "small"]),
        ("d", &all, &["random"]),
        ("e", b"", &[]),
    ];
    for (path, content, expected) in cases {
        let rules = compile(&[("a.yar", rules)]).expect("good rules");
        assert_eq!(found(rules, path, content), expected, "{path}");
    }
}

#[test]
fn a_search_that_hits_a_bound_is_unknown() {
    let many = "a".repeat(5000);
    let counts = "rule c { strings: $a = \"a\" condition: #a > 4000 }";
    assert_eq!(
        found(compile(&[("a.yar", counts)]).expect("good"), "f", many.as_bytes()),
        ["!TooManyMatches { rule: \"c\" }"]
    );
    // A rule that only asks whether a string is there is answered all the same.
    let asks = "rule c { strings: $a = \"a\" $b = \"b\" condition: all of them }";
    assert!(found(compile(&[("a.yar", asks)]).expect("good"), "f", many.as_bytes()).is_empty());

    let slow = "rule s { condition: for all i in (1..100000000): (uint8(i % 100) != 7) }";
    let bounds = Bounds { file_time_max: Duration::from_millis(20), ..Bounds::default() };
    let rules = RuleSet::compile(sources(&[("a.yar", slow)]), bounds).expect("good");
    assert_eq!(found(rules, "f", many.as_bytes()), ["!TimedOut"]);

    let all: String = (0..150).map(|number| format!("rule r{number} {{ condition: true }}\n")).collect();
    let found = found(compile(&[("a.yar", &all)]).expect("good"), "f", b"x");
    assert_eq!(found.len(), YARA_RULES_PER_FILE_MAX + 1);
    assert_eq!(found.last().map(String::as_str), Some("!TooManyRules"));
}

/// Whether the answer may depend on matches beyond those that are kept.
#[test]
fn rules_that_count_are_told_from_those_that_ask() {
    let cases = [
        ("any of them", false),
        ("2 of ($a*) and filesize < 10KB and uint16(0) == 0x5a4d", false),
        ("not $a or $b", false),
        ("for any of them : ($ at 0)", true),
        ("#a > 3", true),
        ("@a[2] > 3", true),
        ("!a[1] == 2", true),
        ("$a in (0..10)", true),
        ("uint8(@a) == 3", true),
        ("filesize + #a > 3", true),
        ("#a of ($b)", true),
        ("for any i in (1..#a) : (i == 2)", true),
    ];
    for (condition, expected) in cases {
        let strings = format!(
            "$a = \"x\"{}",
            if condition.contains("$b") || condition.contains("them") { " $b = \"y\"" } else { "" }
        );
        let text = format!("rule r {{ strings: {strings} condition: {condition} }}");
        let file = boreal_parser::parse(&text).expect("it parses");
        let boreal_parser::file::YaraFileComponent::Rule(rule) = &file.components[0] else {
            panic!("a rule")
        };
        assert_eq!(counting::counts(&rule.condition), expected, "{condition}");
    }
}
