//! `where = "…"`: a condition in CEL over what an attestation says, compiled when the policy is read, bounded when it is
//! asked.
//!
//! The language has no bound of its own, so each turn of a loop is counted: the compiled expression is rewritten to call
//! a counter from the condition of every loop, and the answer is the same on every machine. Whatever is not `true` (an
//! error, a field that is not there, another type) is not satisfied. The library takes a field of what has no fields to
//! be `false`, which `!predicate.a.b` would turn into consent; fields are therefore looked up in the strict way that
//! `predicate["a"]["b"]` is.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kube_cel::KubeCelExt as _;
use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue};
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::parser::{Expression, Parser};
use kube_cel::cel::{Context, ExecutionError, Value};
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use super::words::printable;

/// Longest condition, in bytes. People write it, in a line of a policy.
const SOURCE_BYTES_MAX: usize = 4096;
/// Deepest nesting of an expression: evaluation recurses, and a thread's stack ends.
const DEPTH_MAX: usize = 48;
/// Values of a statement that a condition is asked about, objects, lists, texts and numbers together. An SBOM of a large
/// image has some 100,000; each takes about a hundred bytes.
const VALUES_MAX: usize = 300_000;
/// Work that one evaluation may do. A turn of a loop costs [`TURN_COST`], and one that makes a list as much more as the
/// list is long by then: it is copied each time.
const WORK_MAX: u64 = 5_000_000;
const TURN_COST: u64 = 25;
/// Not names that the language knows, so no condition can call them.
const COUNTER: &str = "@work";
const HAS: &str = "@has";
/// The operator `a["b"]`.
const INDEX: &str = "_[_]";

/// The names that a condition may use.
pub const VARIABLES: [&str; 4] = ["image", "predicate", "predicateType", "subject"];

/// A compiled condition.
#[derive(Clone)]
pub struct Condition {
    source: String,
    expression: Arc<Expression>,
}

/// What a condition is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// The verified statement, whole.
    pub statement: &'a Json,
    /// The image's registry and repository.
    pub repository: &'a str,
    /// The digest that the statement was found for.
    pub digest: &'a str,
}

/// Why a text is no condition.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// It does not parse.
    #[error("is no CEL expression: {0}")]
    Syntax(String),
    /// It is too long.
    #[error("has {0} bytes, more than {SOURCE_BYTES_MAX}")]
    TooLong(usize),
    /// It is nested too deeply.
    #[error("is nested more than {DEPTH_MAX} deep")]
    TooDeep,
    /// It makes a message, which the language has and attestations do not.
    #[error("makes a value of type `{0}`; there are no types here")]
    Struct(String),
    /// A name that nothing stands behind.
    #[error("uses `{0}`, which is nothing known here")]
    Unknown(String),
}

/// Why a condition is not satisfied.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsatisfied {
    /// It is false.
    #[error("its condition is false")]
    False,
    /// It is neither true nor false.
    #[error("its condition gives a {0}, not true or false")]
    NotBoolean(String),
    /// It could not be evaluated.
    #[error("its condition cannot be evaluated: {0}")]
    Failed(String),
    /// It took too long.
    #[error(
        "its condition needs more work than is allowed; `all` and `exists` cost less than `map` and `filter`"
    )]
    TooMuchWork,
    /// The statement is too large.
    #[error("it has more than {VALUES_MAX} values, too many for a condition")]
    TooLarge,
}

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// When it is none, or uses a name or function that nothing stands behind.
    pub fn compile(source: &str) -> Result<Self, ConditionError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(ConditionError::TooLong(source.len()));
        }
        let mut expression = Parser::new().parse(source).map_err(|errors| {
            let first = errors.errors.first().map_or("it is empty", |error| error.msg.as_str());
            ConditionError::Syntax(printable(first, 200))
        })?;
        let mut names = Names::default();
        names.walk(&mut expression, 0)?;
        let functions = context(&Arc::new(AtomicU64::new(WORK_MAX)));
        let unknown = names.used.difference(&names.bound).find(|name| !VARIABLES.contains(&name.as_str()));
        let unknown = unknown.or_else(|| names.called.iter().find(|name| !is_function(&functions, name)));
        match unknown {
            Some(name) => Err(ConditionError::Unknown(printable(name, 100))),
            None => Ok(Self { source: source.to_owned(), expression: Arc::new(expression) }),
        }
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether a statement satisfies it.
    ///
    /// # Errors
    /// Why it does not. There is no other outcome.
    pub fn check(&self, about: Statement<'_>) -> Result<(), Unsatisfied> {
        let mut values_left = VALUES_MAX;
        let mut variable = |json: Option<&Json>| {
            value(json.unwrap_or(&Json::Null), &mut values_left).ok_or(Unsatisfied::TooLarge)
        };
        let field = |name| about.statement.get(name);
        let work_left = Arc::new(AtomicU64::new(WORK_MAX));
        let mut context = context(&work_left);
        context.add_variable_from_value("predicate", variable(field("predicate"))?);
        context.add_variable_from_value("predicateType", variable(field("predicateType"))?);
        context.add_variable_from_value("subject", variable(field("subject"))?);
        let image = [("repository", about.repository), ("digest", about.digest)];
        let image = image.map(|(name, text)| (name.to_owned(), text.to_owned()));
        context.add_variable_from_value("image", HashMap::from(image));
        let outcome = context.resolve(&self.expression);
        // First, because `or` forgets the error of one side when the other is true.
        if work_left.load(Ordering::Relaxed) == 0 {
            return Err(Unsatisfied::TooMuchWork);
        }
        match outcome {
            Ok(Value::Bool(true)) => Ok(()),
            Ok(Value::Bool(false)) => Err(Unsatisfied::False),
            Ok(other) => Err(Unsatisfied::NotBoolean(format!("{:?}", other.type_of()).to_lowercase())),
            Err(error) => Err(Unsatisfied::Failed(printable(&error.to_string(), 200))),
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Condition({:?})", self.source)
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Condition {}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

/// The functions of the language, those that Kubernetes adds, and the counter. Once `work_left` is 0 nothing more runs.
fn context<'a>(work_left: &Arc<AtomicU64>) -> Context<'a> {
    let mut context = Context::default().with_all();
    let work_left = Arc::clone(work_left);
    let count = move |goes_on: bool, copied: i64| -> Result<bool, ExecutionError> {
        let cost = TURN_COST.saturating_add(u64::try_from(copied).unwrap_or(0));
        let left = work_left.load(Ordering::Relaxed).saturating_sub(cost);
        work_left.store(left, Ordering::Relaxed);
        if left == 0 { Err(ExecutionError::function_error(COUNTER, "too much work")) } else { Ok(goes_on) }
    };
    context.add_function(COUNTER, count);
    context.add_function(HAS, has);
    context
}

/// `has(a.b)`: only of a map can it be said whether something is in it.
fn has(holder: Value, field: Arc<String>) -> Result<bool, ExecutionError> {
    match holder {
        Value::Map(map) => Ok(map.map.contains_key(&Key::String(field))),
        _ => Err(ExecutionError::no_such_key(&field)),
    }
}

/// Called with nothing, a function that exists complains of something else.
fn is_function(context: &Context<'_>, name: &str) -> bool {
    !matches!(context.resolve(&call(name, Vec::new())), Err(ExecutionError::UndeclaredReference(_)))
}

/// What an expression refers to. The walk also puts the counter into every loop.
#[derive(Default)]
struct Names {
    used: BTreeSet<String>,
    bound: BTreeSet<String>,
    called: BTreeSet<String>,
}

impl Names {
    fn walk(&mut self, expression: &mut Expression, depth: usize) -> Result<(), ConditionError> {
        if depth > DEPTH_MAX {
            return Err(ConditionError::TooDeep);
        }
        let depth = depth + 1;
        match &mut expression.expr {
            Expr::Unspecified => return Err(ConditionError::Syntax("a part of it is empty".to_owned())),
            Expr::Struct(made) => return Err(ConditionError::Struct(printable(&made.type_name, 100))),
            Expr::Literal(_) => {}
            Expr::Ident(name) => {
                self.used.insert(name.clone());
            }
            Expr::Call(call) => {
                // Operators have names that nobody can write (`_==_`), and are no functions.
                if call.func_name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
                    && !call.func_name.starts_with('_')
                {
                    self.called.insert(call.func_name.clone());
                }
                // `sets.contains(…)`, `math.abs(…)`: the name before the point is part of the function's.
                if let Some(target) = &mut call.target {
                    self.walk(target, depth)?;
                }
                call.args.iter_mut().try_for_each(|argument| self.walk(argument, depth))?;
            }
            Expr::Select(select) => {
                self.walk(&mut select.operand, depth)?;
                let field = Expr::Literal(LiteralValue::String(select.field.as_str().into()));
                let holder = std::mem::take(&mut *select.operand);
                let function = if select.test { HAS } else { INDEX };
                *expression = call(function, vec![holder, Expression { id: 0, expr: field }]);
            }
            Expr::List(list) => {
                list.elements.iter_mut().try_for_each(|element| self.walk(element, depth))?;
            }
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    match &mut entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            self.walk(&mut entry.key, depth)?;
                            self.walk(&mut entry.value, depth)?;
                        }
                        EntryExpr::StructField(field) => {
                            return Err(ConditionError::Struct(printable(&field.field, 100)));
                        }
                    }
                }
            }
            Expr::Comprehension(turns) => self.walk_loop(turns, depth)?,
        }
        Ok(())
    }

    fn walk_loop(&mut self, turns: &mut ComprehensionExpr, depth: usize) -> Result<(), ConditionError> {
        self.bound.extend([turns.iter_var.clone(), turns.accu_var.clone()]);
        self.bound.extend(turns.iter_var2.clone());
        for part in [
            &mut turns.iter_range,
            &mut turns.accu_init,
            &mut turns.loop_cond,
            &mut turns.loop_step,
            &mut turns.result,
        ] {
            self.walk(part, depth)?;
        }
        let so_far = Expression { id: 0, expr: Expr::Ident(turns.accu_var.clone()) };
        let copied = match &turns.accu_init.expr {
            Expr::List(_) => call("size", vec![so_far]),
            _ => Expression { id: 0, expr: Expr::Literal(LiteralValue::Int(0.into())) },
        };
        let goes_on = std::mem::take(&mut turns.loop_cond);
        turns.loop_cond = call(COUNTER, vec![goes_on, copied]);
        Ok(())
    }
}

fn call(name: &str, args: Vec<Expression>) -> Expression {
    let call = CallExpr { func_name: name.to_owned(), target: None, args };
    Expression { id: 0, expr: Expr::Call(call) }
}

/// A JSON value for the language; `None`: there are too many. Whole numbers are `int`, as people write them: the language
/// calls an unsigned 3 and a signed 3 different.
fn value(json: &Json, values_left: &mut usize) -> Option<Value> {
    *values_left = values_left.checked_sub(1)?;
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(bool) => Value::Bool(*bool),
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::Int(whole),
            (None, Some(large)) => Value::UInt(large),
            (None, None) => Value::Float(number.as_f64()?),
        },
        Json::Array(items) => {
            let items = items.iter().map(|item| value(item, values_left));
            Value::List(Arc::new(items.collect::<Option<_>>()?))
        }
        Json::Object(fields) => {
            let field = |(name, field): (&String, &Json)| {
                Some((Key::String(Arc::new(name.clone())), value(field, values_left)?))
            };
            Value::Map(Map { map: Arc::new(fields.iter().map(field).collect::<Option<_>>()?) })
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(source: &str, statement: &Json) -> Result<(), Unsatisfied> {
        let condition = Condition::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let digest = "sha256:aa";
        condition.check(Statement { statement, repository: "registry.example/prod/app", digest })
    }

    fn provenance() -> Json {
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "app", "digest": {"sha256": "aa"}}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": "https://jenkins.example/pipeline/v1",
                    "externalParameters": {"repository": "https://git.example/app", "ref": "refs/heads/main"},
                    "resolvedDependencies": [
                        {"uri": "git+https://git.example/app", "digest": {"gitCommit": "c0ffee"}},
                        {"uri": "pkg:docker/debian@12", "digest": {"sha256": "bb"}},
                    ],
                },
                "runDetails": {"builder": {"id": "https://jenkins.example"}, "metadata": {"attempts": 3}},
                "large": 18_446_744_073_709_551_615_u64,
                "share": 0.5,
            },
        })
    }

    #[test]
    fn what_is_true_satisfies() {
        for source in [
            "predicate.runDetails.builder.id == 'https://jenkins.example'",
            "predicate.buildDefinition.externalParameters == {'repository': 'https://git.example/app', 'ref': 'refs/heads/main'}",
            "predicate.buildDefinition.resolvedDependencies.all(d, d.uri.startsWith('git+https://git.example/') || has(d.digest.sha256))",
            "predicate.buildDefinition.resolvedDependencies.exists(d, d.uri.matches('^pkg:docker/') && d.digest.sha256 == 'bb')",
            "predicate.runDetails.metadata.attempts == 3 && predicate.runDetails.metadata.attempts < 4",
            "predicate.large > 9223372036854775807u && predicate.share < 1.0",
            "predicate.buildDefinition.resolvedDependencies.filter(d, d.uri.startsWith('pkg:')).size() == 1",
            "predicate.buildDefinition.resolvedDependencies.map(d, d.uri).size() == 2",
            "!has(predicate.metadata)",
            "predicateType == 'https://slsa.dev/provenance/v1' && subject.size() == 1",
            "image.repository.startsWith('registry.example/prod/') && image.digest == 'sha256:' + subject[0].digest.sha256",
            "predicate.runDetails.builder.id.lowerAscii().split('/')[2] == 'jenkins.example'",
            "semver('1.10.0').isGreaterThan(semver('1.9.0'))",
            "timestamp('2026-07-01T00:00:00Z') > timestamp('2026-06-30T00:00:00Z')",
        ] {
            assert_eq!(ask(source, &provenance()), Ok(()), "{source}");
        }
    }

    #[test]
    fn whatever_is_not_true_does_not() {
        let failed = |outcome: &Result<(), Unsatisfied>| matches!(outcome, Err(Unsatisfied::Failed(_)));
        for source in [
            "predicate.missing == 1",
            "predicate.runDetails.builder.id + 1 == 2",
            "predicate.buildDefinition.resolvedDependencies[7].uri == ''",
            "!predicate.runDetails.builder.id",
            "1 / 0 == 0",
            "timestamp('yesterday') < timestamp('2026-07-01T00:00:00Z')",
            "predicate.runDetails.builder.id.charAt(-1) == 'a'",
            "predicate.share.all(x, x)",
            // No field of what has none: neither this nor that.
            "!predicate.share.reviewed",
            "predicate.share.reviewed != 'no'",
            "!predicate.runDetails.builder.id.reviewed",
            "!predicate.buildDefinition.resolvedDependencies.reviewed",
            "!has(predicate.share.reviewed)",
            "!has(predicate.buildDefinition.resolvedDependencies.reviewed)",
            "predicate.buildDefinition.resolvedDependencies.all(d, !d.uri.reviewed)",
        ] {
            let outcome = ask(source, &provenance());
            assert!(failed(&outcome), "{source}: {outcome:?}");
        }
        assert_eq!(ask("predicate.share == 2.0", &provenance()), Err(Unsatisfied::False));
        assert_eq!(ask("'true'", &provenance()), Err(Unsatisfied::NotBoolean("string".to_owned())));
        assert_eq!(
            ask("predicate.share == 'x' || false", &json!({"predicate": {"share": 1}})),
            Err(Unsatisfied::False)
        );
        for source in
            ["predicate.share == 1", "predicate.share != 1", "!predicate.share", "!has(predicate.share)"]
        {
            assert!(failed(&ask(source, &json!({}))), "{source} of no predicate");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_no_condition() {
        let deep = |count: usize| format!("{}1{} == 1", "[".repeat(count), "]".repeat(count));
        let long = format!("1{} == 1", "+1".repeat(1500));
        for (source, expected) in [
            ("predicate.a ==", "is no CEL expression"),
            ("", "is no CEL expression"),
            ("predicat.a == 1", "uses `predicat`"),
            ("predicate.all(x, y == 1)", "uses `y`"),
            ("sha256(predicate) == ''", "uses `sha256`"),
            ("predicate.a.uppercase() == 'A'", "uses `uppercase`"),
            ("Foo{a: 1} == 1", "makes a value of type `Foo`"),
            ("@work(true, 1)", "is no CEL expression"),
            (deep(40).repeat(200).as_str(), "bytes, more than 4096"),
            (deep(300).as_str(), ""),
            (long.as_str(), "is nested more than"),
        ] {
            let error = Condition::compile(source).expect_err(source).to_string();
            assert!(error.contains(expected), "{source}: {error}");
        }
    }

    #[test]
    fn work_is_bounded_whatever_the_statement_holds() {
        let items = |count: usize| json!({"predicate": {"items": (0..count).collect::<Vec<_>>()}});
        for (source, count, expected) in [
            ("predicate.items.all(x, x >= 0)", 150_000, Ok(())),
            ("predicate.items.all(x, x >= 0)", 250_000, Err(Unsatisfied::TooMuchWork)),
            ("predicate.items.filter(x, x >= 0).size() > 0", 2_000, Ok(())),
            ("predicate.items.filter(x, x >= 0).size() > 0", 20_000, Err(Unsatisfied::TooMuchWork)),
            (
                "predicate.items.all(x, predicate.items.exists(y, y == x))",
                2_000,
                Err(Unsatisfied::TooMuchWork),
            ),
            (
                "predicate.items.map(x, predicate.items.map(y, y)).size() > 0",
                1_000,
                Err(Unsatisfied::TooMuchWork),
            ),
            // What runs out cannot be caught by the other side of an `or`.
            ("predicate.items.all(x, x >= 0) || true", 250_000, Err(Unsatisfied::TooMuchWork)),
            ("true", 300_001, Err(Unsatisfied::TooLarge)),
        ] {
            assert_eq!(ask(source, &items(count)), expected, "{source} over {count}");
        }
    }
}
