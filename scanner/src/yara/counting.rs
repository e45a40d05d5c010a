//! Which rules count, place or measure the matches of their strings, and so may be wrong where only some are kept.

use boreal_parser::expression::{Expression, ExpressionKind, ForSelection, IdentifierOperationType};

/// Whether a condition asks for more than that strings are there. What is not known here asks for more.
pub(super) fn counts(expression: &Expression) -> bool {
    use ExpressionKind as Kind;
    match &expression.expr {
        Kind::Filesize
        | Kind::Entrypoint
        | Kind::Integer(_)
        | Kind::Double(_)
        | Kind::Boolean(_)
        | Kind::Bytes(_)
        | Kind::Regex(_)
        | Kind::Variable(_) => false,
        Kind::ReadInteger { addr: inner, .. }
        | Kind::Neg(inner)
        | Kind::BitwiseNot(inner)
        | Kind::Not(inner)
        | Kind::Matches(inner, _)
        | Kind::Defined(inner) => counts(inner),
        Kind::Add(left, right)
        | Kind::Sub(left, right)
        | Kind::Mul(left, right)
        | Kind::Div(left, right)
        | Kind::Mod(left, right)
        | Kind::BitwiseXor(left, right)
        | Kind::BitwiseAnd(left, right)
        | Kind::BitwiseOr(left, right)
        | Kind::ShiftLeft(left, right)
        | Kind::ShiftRight(left, right)
        | Kind::Cmp { left, right, .. }
        | Kind::Eq(left, right)
        | Kind::NotEq(left, right)
        | Kind::Contains { haystack: left, needle: right, .. }
        | Kind::StartsWith { expr: left, prefix: right, .. }
        | Kind::EndsWith { expr: left, suffix: right, .. }
        | Kind::IEquals(left, right) => counts(left) || counts(right),
        Kind::And(all) | Kind::Or(all) => all.iter().any(counts),
        Kind::For { selection, body: None, .. } | Kind::ForRules { selection, .. } => selects(selection),
        Kind::Identifier(identifier) => identifier.operations.iter().any(|operation| match &operation.op {
            IdentifierOperationType::Subscript(inner) => counts(inner),
            IdentifierOperationType::Subfield(_) => false,
            IdentifierOperationType::FunctionCall(arguments) => arguments.iter().any(counts),
        }),
        _ => true,
    }
}

fn selects(selection: &ForSelection) -> bool {
    match selection {
        ForSelection::Any | ForSelection::All | ForSelection::None => false,
        ForSelection::Expr { expr, .. } => counts(expr),
    }
}
