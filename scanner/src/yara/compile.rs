//! Rule files as text in, one compiled rule set out, or the first mistake with its file and line.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use boreal::compiler::{Compiler, CompilerBuilder, CompilerParams};
use boreal::module::{Dex, Dotnet, Elf, Hash, MachO, Math, Pe, String_};
use boreal::scanner::ScanParams;
use boreal_parser::file::{Include, YaraFile, YaraFileComponent};
use sha2::{Digest, Sha256};

use super::counting::counts;
use super::{NAMES, VERSION, events};
use crate::limits::{
    YARA_FILE_BYTES_MAX, YARA_FILE_TIME_MAX, YARA_INCLUDES_DEPTH_MAX, YARA_INCLUDES_MAX, YARA_MATCHES_MAX,
    YARA_RULES_MAX,
};

/// A file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path in the folder of rules, with `/` between the parts; told in every answer.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// How much of one file is searched, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes from the begin of a file that are searched; of what is larger the rest is told as unsearched. They are held
    /// in memory. Default 32 MiB.
    pub file_bytes_max: usize,
    /// How long one file may take, as far as the engine looks at the time. Default 10 s.
    pub file_time_max: Duration,
    /// Matches of one string in one file that are kept. Default 1000.
    pub matches_max: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            file_bytes_max: YARA_FILE_BYTES_MAX,
            file_time_max: YARA_FILE_TIME_MAX,
            matches_max: YARA_MATCHES_MAX,
        }
    }
}

/// Why rules are not usable. All of them are refused then: half the rules would find half of what they should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// There is nothing to search for.
    #[error("there is no rule in it")]
    Empty,
    /// A file that includes itself, by whatever way.
    #[error("`{file}` includes itself, or is included through more than {YARA_INCLUDES_DEPTH_MAX} files")]
    Circular {
        /// Which.
        file: String,
    },
    /// A mistake in a rule, or something that is not allowed here.
    #[error("`{file}`, line {line}: {problem}")]
    Rule {
        /// In which file.
        file: String,
        /// Where.
        line: usize,
        /// What.
        problem: String,
    },
    /// More than anybody has.
    #[error("there are more than {max} {what}")]
    TooMany {
        /// `rules`, `includes`.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// Rules that are ready to search.
pub struct RuleSet {
    pub(super) scanner: boreal::Scanner,
    counting: HashSet<String>,
    digest: String,
    rules: usize,
    files: usize,
    bounds: Bounds,
    warnings: Vec<String>,
}

impl RuleSet {
    /// Compiles rule files. Each has a name space of its own, as if it were given alone; one that another includes is
    /// compiled where it is included, and only there.
    ///
    /// # Errors
    /// At the first mistake, in the order of names.
    pub fn compile(mut sources: Vec<Source>, bounds: Bounds) -> Result<Self, RulesError> {
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        let digest = digest(&sources, &bounds);
        let files = Files::parse(&sources)?;
        let mut compiling =
            Compiling { compiler: compiler(), files: &files, warnings: Vec::new(), includes: 0 };
        let included = files.included();
        let mut reached = HashSet::new();
        for name in files.0.keys().filter(|name| !included.contains(**name)) {
            compiling.file(name, name, 0, &mut reached)?;
        }
        // What is included and yet reached from no file that is not: they include each other in a ring.
        if let Some(file) = files.0.keys().find(|name| !reached.contains(**name)) {
            return Err(RulesError::Circular { file: (*file).to_owned() });
        }
        let Compiling { compiler, warnings, .. } = compiling;
        let mut scanner = compiler.finalize();
        let rules = scanner.rules().count();
        match rules {
            0 => return Err(RulesError::Empty),
            YARA_RULES_MAX.. => return Err(RulesError::TooMany { what: "rules", max: YARA_RULES_MAX - 1 }),
            _ => {}
        }
        let params = ScanParams::default()
            .match_max_length(0)
            .string_max_nb_matches(bounds.matches_max)
            .timeout_duration(Some(bounds.file_time_max))
            .callback_events(events());
        scanner.set_scan_params(params);
        Ok(Self {
            scanner,
            counting: files.counting(),
            digest,
            rules,
            files: sources.len(),
            bounds,
            warnings,
        })
    }

    /// SHA-256 over names and texts of all files, over the bounds and the engine's version, hex: two sets of the same digest say
    /// the same of every file.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules
    }

    /// Never: rules that are none are a mistake.
    pub fn is_empty(&self) -> bool {
        self.rules == 0
    }

    /// Of how many files.
    pub fn files(&self) -> usize {
        self.files
    }

    /// What the compiler has to say of rules that it takes, each with file and line: such as are slow.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(crate) fn file_bytes_max(&self) -> usize {
        self.bounds.file_bytes_max
    }

    /// Whether a rule of this name depends on how often or where its strings match.
    pub(super) fn counts(&self, rule: &str) -> bool {
        self.counting.contains(rule)
    }
}

impl std::fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RuleSet({} rules, {})", self.rules, self.digest)
    }
}

fn digest(sources: &[Source], bounds: &Bounds) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(format!("{VERSION} {bounds:?}").as_bytes());
    for source in sources {
        part(source.name.as_bytes());
        part(source.text.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// Every module that depends on the file alone: not `time`, whose answers change while the bytes stay, nor `console`, and
/// none that asks other programs.
fn compiler() -> Compiler {
    let mut compiler = CompilerBuilder::default()
        .add_module(Dex)
        .add_module(Dotnet)
        .add_module(Elf)
        .add_module(Hash)
        .add_module(MachO)
        .add_module(Math)
        .add_module(Pe)
        .add_module(String_)
        .build();
    // Includes are resolved here, among the files of the folder; the engine would open files.
    compiler.set_params(CompilerParams::default().disable_includes(true));
    for name in NAMES {
        compiler.define_symbol(name, "");
    }
    compiler
}

/// All files by name, parsed.
struct Files<'s>(BTreeMap<&'s str, Parsed>);

struct Parsed {
    text: String,
    file: YaraFile,
}

impl<'s> Files<'s> {
    fn parse(sources: &'s [Source]) -> Result<Self, RulesError> {
        let mut files = BTreeMap::new();
        for Source { name, text } in sources {
            // Editors leave a mark at the begin, and a comment without its line's end; the parser takes neither.
            let text = format!("{}\n", text.strip_prefix('\u{feff}').unwrap_or(text));
            let file = boreal_parser::parse(&text).map_err(|error| {
                let diagnostic = error.to_diagnostic();
                let label = diagnostic.labels.first();
                let at = label.map_or(0, |label| label.range.start);
                let said = label.map(|label| label.message.as_str()).filter(|said| !said.is_empty());
                mistake(name, &text, at, said.unwrap_or(&diagnostic.message))
            })?;
            files.insert(name.as_str(), Parsed { text, file });
        }
        Ok(Self(files))
    }

    /// Names of files that some file includes. One that is not there is a mistake where it is compiled.
    fn included(&self) -> HashSet<&'s str> {
        let includes = self.0.iter().flat_map(|(name, parsed)| {
            parsed.includes().filter_map(|include| self.find(name, &include.path))
        });
        includes.collect()
    }

    /// The file that `path` means in file `from`: relative to it, and inside the folder.
    fn find(&self, from: &str, path: &str) -> Option<&'s str> {
        let mut parts: Vec<&str> = from.split('/').collect();
        parts.pop();
        if path.starts_with('/') {
            return None;
        }
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()?),
                part => parts.push(part),
            }
        }
        self.0.get_key_value(parts.join("/").as_str()).map(|(name, _)| *name)
    }

    fn counting(&self) -> HashSet<String> {
        let components = self.0.values().flat_map(|parsed| &parsed.file.components);
        let rules = components.filter_map(|component| match component {
            YaraFileComponent::Rule(rule) if counts(&rule.condition) => Some(rule.name.clone()),
            _ => None,
        });
        rules.collect()
    }
}

impl Parsed {
    fn includes(&self) -> impl Iterator<Item = &Include> {
        self.file.components.iter().filter_map(|component| match component {
            YaraFileComponent::Include(include) => Some(include),
            YaraFileComponent::Import(_) | YaraFileComponent::Rule(_) => None,
        })
    }
}

struct Compiling<'f, 's> {
    compiler: Compiler,
    files: &'f Files<'s>,
    warnings: Vec<String>,
    includes: usize,
}

impl<'s> Compiling<'_, 's> {
    /// Adds a file to the name space of the one that is not included, piece by piece: what stands before an include, the file
    /// that it names, and so on.
    fn file(
        &mut self,
        name: &'s str,
        space: &str,
        depth: usize,
        reached: &mut HashSet<&'s str>,
    ) -> Result<(), RulesError> {
        let files = self.files;
        let Some(parsed) = files.0.get(name) else { return Ok(()) };
        if depth > YARA_INCLUDES_DEPTH_MAX {
            return Err(RulesError::Circular { file: name.to_owned() });
        }
        reached.insert(name);
        let mut from = 0;
        for Include { path, span } in parsed.includes() {
            self.piece(name, space, from..span.start)?;
            from = span.end;
            let Some(included) = files.find(name, path) else {
                let problem =
                    format!("`{path}` is no file of rules in this folder, and no other is included");
                return Err(mistake(name, &parsed.text, span.start, &problem));
            };
            self.includes += 1;
            if self.includes > YARA_INCLUDES_MAX {
                return Err(RulesError::TooMany { what: "includes", max: YARA_INCLUDES_MAX });
            }
            self.file(included, space, depth + 1, reached)?;
        }
        self.piece(name, space, from..parsed.text.len())
    }

    fn piece(&mut self, name: &str, space: &str, piece: Range<usize>) -> Result<(), RulesError> {
        let Some(text) = self.files.0.get(name).map(|parsed| parsed.text.as_str()) else { return Ok(()) };
        let at = |error: &boreal::compiler::AddRuleError| {
            let diagnostic = error.to_diagnostic();
            let start = diagnostic.labels.first().map_or(0, |label| label.range.start);
            mistake(name, text, piece.start + start, &diagnostic.message)
        };
        let slice = text.get(piece.clone()).unwrap_or_default();
        let status = self.compiler.add_rules_str_in_namespace(slice, space).map_err(|error| at(&error))?;
        self.warnings.extend(status.warnings().map(|warning| at(warning).to_string()));
        Ok(())
    }
}

fn mistake(file: &str, text: &str, at: usize, problem: &str) -> RulesError {
    // What is missing at the end is missing in the last line, and not behind the line's end that was added.
    let before = at.min(text.len().saturating_sub(1));
    let line = text.bytes().take(before).filter(|byte| *byte == b'\n').count() + 1;
    RulesError::Rule { file: file.to_owned(), line, problem: problem.to_owned() }
}
