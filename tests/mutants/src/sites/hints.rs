//! Code that only changes speed or memory: no test of behaviour can find a mistake in it; benchmarks and tests of sizes measure
//! its effect. Mutations skip
//!
//! - the capacity in `with_capacity(...)`, `.reserve(...)` and `.shrink_to(...)`, and the last two, as `.shrink_to_fit()`, as
//!   statements;
//! - functions with `prefetch` in their names, calls of them, and an `if` that does nothing else.

use syn::{Expr, Ident, Stmt};

/// Whether a function or method is a hint.
pub(super) fn is_hint(name: &Ident) -> bool {
    let name = name.to_string();
    name.contains("prefetch") || matches!(&*name, "reserve" | "shrink_to" | "shrink_to_fit")
}

/// Whether this is `with_capacity` of any type.
pub(super) fn is_capacity(function: &Expr) -> bool {
    let Expr::Path(path) = function else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == "with_capacity")
}

/// Whether a statement consists only of hints.
pub(super) fn only_hints(stmt: &Stmt) -> bool {
    let Stmt::Expr(expr, _) = stmt else { return false };
    match expr {
        Expr::MethodCall(call) => is_hint(&call.method),
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) => path.path.segments.last().is_some_and(|segment| is_hint(&segment.ident)),
            _ => false,
        },
        Expr::If(choice) => {
            let stmts = &choice.then_branch.stmts;
            choice.else_branch.is_none() && !stmts.is_empty() && stmts.iter().all(only_hints)
        }
        _ => false,
    }
}
