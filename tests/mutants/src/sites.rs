//! [`Site`]: a place in the source that can be mutated.

use std::collections::BTreeMap;
use std::ops::Range;

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ExprBinary, ExprMatch, Lit, Pat, Signature, Stmt, UnOp};

use crate::Error;

mod bodies;
mod hints;
mod operators;

/// A place in a file, in bytes, and its possible mutations.
pub(crate) struct Site {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) form: Form,
    pub(crate) mutations: Vec<Mutation>,
}

/// How a mutation replaces the source.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// At the start of a body: returns early.
    Entry,
    /// Removes a statement.
    Statement,
    /// Replaces an expression.
    Value,
    /// After a pattern: the arm is never taken.
    Arm,
}

pub(crate) struct Mutation {
    pub(crate) id: u32,
    pub(crate) what: String,
    pub(crate) text: String,
    pub(crate) viable: bool,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// All sites of a file, in the order of their starts, an outer one before its inner ones.
pub(crate) fn find(text: &str) -> Result<Vec<Site>, Error> {
    let file = syn::parse_file(text)?;
    let mut finder = Finder { text, sites: BTreeMap::new() };
    finder.visit_file(&file);
    let sites = finder.sites.into_iter().map(|((start, from_end, form), mutations)| Site {
        start,
        end: usize::MAX - from_end,
        form,
        mutations,
    });
    Ok(sites.collect())
}

struct Finder<'a> {
    text: &'a str,
    sites: BTreeMap<(usize, usize, Form), Vec<Mutation>>,
}

impl Finder<'_> {
    fn add(&mut self, at: Range<usize>, form: Form, position: LineColumn, what: String, text: String) {
        let mutation =
            Mutation { id: 0, what, text, viable: true, line: position.line, column: position.column + 1 };
        self.sites.entry((at.start, usize::MAX - at.end, form)).or_default().push(mutation);
    }

    /// Another value instead of this expression.
    fn value(&mut self, expr: &impl Spanned, what: impl Into<String>, text: impl Into<String>) {
        self.add(expr.span().byte_range(), Form::Value, expr.span().start(), what.into(), text.into());
    }

    fn text(&self, node: &impl Spanned) -> &str {
        &self.text[node.span().byte_range()]
    }

    /// The node's text with a part of it replaced.
    fn with(&self, node: &impl Spanned, part: &impl Spanned, by: &str) -> String {
        let (whole, part) = (node.span().byte_range(), part.span().byte_range());
        format!("{}{by}{}", &self.text[whole.start..part.start], &self.text[part.end..whole.end])
    }

    fn body(&mut self, signature: &Signature, block: &syn::Block) {
        if block.stmts.is_empty() || hints::is_hint(&signature.ident) {
            return;
        }
        let at = block.brace_token.span.open().byte_range().end;
        let statements = self.text(block).trim_matches(['{', '}', ' ', '\n']).to_owned();
        for value in bodies::values(&signature.output).into_iter().filter(|value| *value != statements) {
            let what =
                format!("replace {} with {}", signature.ident, if value.is_empty() { "()" } else { &value });
            let position = signature.ident.span().start();
            self.add(at..at, Form::Entry, position, what, format!("return {value};"));
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        use syn::Item::{Const, ExternCrate, Fn, Impl, Macro, Mod, Static, Trait};
        match item {
            Const(_) | Static(_) | Macro(_) | ExternCrate(_) => {}
            Fn(syn::ItemFn { attrs, .. })
            | Impl(syn::ItemImpl { attrs, .. })
            | Mod(syn::ItemMod { attrs, .. })
            | Trait(syn::ItemTrait { attrs, .. })
                if is_left_out(attrs) => {}
            Impl(item) if item.trait_.as_ref().is_some_and(|(_, path, _)| path.is_ident("Default")) => {}
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if item.sig.constness.is_none() && !hints::is_hint(&item.sig.ident) {
            self.body(&item.sig, &item.block);
            visit::visit_block(self, &item.block);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        let is_hint = hints::is_hint(&item.sig.ident);
        if item.sig.constness.is_none() && !is_hint && !is_left_out(&item.attrs) {
            self.body(&item.sig, &item.block);
            visit::visit_block(self, &item.block);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(&item.sig, block);
            visit::visit_block(self, block);
        }
    }

    // Attributes are evaluated at compile time, and are not expressions.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_pat(&mut self, _: &'ast Pat) {}
    fn visit_generic_argument(&mut self, _: &'ast syn::GenericArgument) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_expr_repeat(&mut self, expr: &'ast syn::ExprRepeat) {
        self.visit_expr(&expr.expr);
    }

    fn visit_stmt(&mut self, stmt: &'ast Stmt) {
        if hints::only_hints(stmt) {
            return;
        }
        if let Stmt::Expr(expr, Some(_)) = stmt
            && can_be_deleted(expr)
        {
            let what = format!("delete {}", shortened(self.text(expr)));
            self.add(stmt.span().byte_range(), Form::Statement, stmt.span().start(), what, String::new());
        }
        visit::visit_stmt(self, stmt);
    }

    fn visit_expr_if(&mut self, expr: &'ast syn::ExprIf) {
        let is_operator = matches!(&*expr.cond, Expr::Binary(_) | Expr::Unary(_));
        if !is_operator && !contains_let(&expr.cond) {
            let negated = format!("!({})", self.text(&expr.cond));
            self.value(&expr.cond, format!("negate {}", shortened(self.text(&expr.cond))), negated);
        }
        visit::visit_expr_if(self, expr);
    }

    fn visit_expr_match(&mut self, expr: &'ast ExprMatch) {
        for (index, arm) in expr.arms.iter().enumerate() {
            match &arm.guard {
                Some((_, guard)) if !contains_let(guard) => {
                    self.value(&**guard, "replace match guard with true", "true");
                    self.value(&**guard, "replace match guard with false", "false");
                }
                Some(_) => {}
                None => {
                    let later = &expr.arms[index + 1..];
                    if later.iter().any(|arm| arm.guard.is_none() && takes_all(&arm.pat)) {
                        let end = arm.pat.span().byte_range().end;
                        let what = format!("delete match arm {}", shortened(self.text(&arm.pat)));
                        self.add(end..end, Form::Arm, arm.pat.span().start(), what, String::new());
                    }
                }
            }
        }
        visit::visit_expr_match(self, expr);
    }

    fn visit_expr_binary(&mut self, expr: &'ast ExprBinary) {
        let joins_lets = matches!(expr.op, BinOp::And(_) | BinOp::Or(_))
            && (contains_let(&expr.left) || contains_let(&expr.right));
        if !joins_lets {
            for other in operators::instead_of(&expr.op) {
                let what = format!("replace {} with {other}", self.text(&expr.op));
                let text = self.with(expr, &expr.op, other);
                self.add(expr.span().byte_range(), Form::Value, expr.op.span().start(), what, text);
            }
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast syn::ExprUnary) {
        if matches!(expr.op, UnOp::Not(_) | UnOp::Neg(_)) {
            let what = format!("delete {}", self.text(&expr.op));
            self.value(expr, what, self.text(&*expr.expr).to_owned());
        }
        visit::visit_expr_unary(self, expr);
    }

    fn visit_expr_lit(&mut self, expr: &'ast syn::ExprLit) {
        match &expr.lit {
            Lit::Bool(lit) => {
                self.value(
                    expr,
                    format!("replace {} with {}", lit.value, !lit.value),
                    (!lit.value).to_string(),
                );
            }
            Lit::Int(lit) => {
                let Ok(value) = lit.base10_parse::<u128>() else { return };
                for other in [value.checked_add(1), value.checked_sub(1)].into_iter().flatten() {
                    let text = format!("{other}{}", lit.suffix());
                    self.value(expr, format!("replace {lit} with {other}"), text);
                }
            }
            _ => {}
        }
    }

    fn visit_expr_call(&mut self, expr: &'ast syn::ExprCall) {
        if matches!(&*expr.func, Expr::Path(path) if path.path.is_ident("Some")) {
            self.value(expr, format!("replace {} with None", shortened(self.text(expr))), "None");
        }
        if !hints::is_capacity(&expr.func) {
            visit::visit_expr_call(self, expr);
        }
    }

    fn visit_expr_method_call(&mut self, expr: &'ast syn::ExprMethodCall) {
        let method = expr.method.to_string();
        if let Some(other) = operators::instead_of_method(&method) {
            let text = self.with(expr, &expr.method, other);
            let (at, position) = (expr.span().byte_range(), expr.method.span().start());
            self.add(at, Form::Value, position, format!("replace {method} with {other}"), text);
        }
        if operators::is_question(&method) {
            let text = format!("!{}", self.text(expr));
            let (at, position) = (expr.span().byte_range(), expr.method.span().start());
            self.add(at, Form::Value, position, format!("negate {}", shortened(self.text(expr))), text);
        }
        if matches!(&*method, "min" | "max") {
            let what = format!("delete .{method}({})", shortened(self.text(&expr.args)));
            self.value(expr, what, self.text(&*expr.receiver).to_owned());
        }
        if hints::is_hint(&expr.method) {
            self.visit_expr(&expr.receiver);
        } else {
            visit::visit_expr_method_call(self, expr);
        }
    }

    fn visit_expr_macro(&mut self, expr: &'ast syn::ExprMacro) {
        if expr.mac.path.is_ident("matches") {
            let text = self.text(expr).to_owned();
            self.value(expr, format!("negate {}", shortened(&text)), format!("!{text}"));
        }
    }
}

fn is_left_out(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let of_tests = attribute.path().is_ident("test");
        let condition = attribute.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default();
        of_tests
            || attribute.path().is_ident("cfg")
                && (condition == "test" || condition.contains("all (test") || condition.contains("not"))
    })
}

fn can_be_deleted(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => !matches!(&*call.func, Expr::Path(path) if path.path.is_ident("drop")),
        Expr::MethodCall(_) | Expr::Assign(_) | Expr::Return(_) | Expr::Continue(_) => true,
        Expr::Binary(binary) => operators::assigns(&binary.op),
        Expr::Try(inner) => can_be_deleted(&inner.expr),
        Expr::Await(inner) => can_be_deleted(&inner.base),
        _ => false,
    }
}

fn contains_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => contains_let(&binary.left) || contains_let(&binary.right),
        Expr::Paren(inner) => contains_let(&inner.expr),
        _ => false,
    }
}

fn takes_all(pattern: &Pat) -> bool {
    match pattern {
        Pat::Wild(_) => true,
        // A constant is in upper case, a variant has a path.
        Pat::Ident(name) => {
            name.subpat.is_none()
                && name.ident.to_string().starts_with(|letter: char| letter.is_ascii_lowercase())
        }
        _ => false,
    }
}

/// The start of a piece of source, on one line.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(60) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let sites = find(text).unwrap();
        sites.iter().flat_map(|site| site.mutations.iter().map(|mutation| mutation.what.clone())).collect()
    }

    #[test]
    fn mutates_operators_statements_bodies_and_guards() {
        let found = of("fn f(x: u8) -> bool { g(); match x { 0 => true, n if n > 3 => !h(), _ => false } }");
        for what in [
            "replace f with true",
            "delete g()",
            "delete match arm 0",
            "replace match guard with false",
            "replace > with >=",
            "delete !",
            "replace 3 with 2",
            "replace true with false",
        ] {
            assert!(found.iter().any(|found| found == what), "{what} is not in {found:?}");
        }
    }

    #[test]
    fn skips_constants_patterns_and_tests() {
        let text = "const A: u8 = 1 + 1; static B: bool = true; const fn c() -> u8 { 3 }
            #[cfg(test)] mod tests { fn d() -> bool { true } }
            #[cfg(all(test, unix))] mod more { fn d() -> bool { true } }
            fn e(x: [u8; 4]) { if let Some(1..=3) = x.get(i) {} }";
        assert_eq!(of(text), ["replace e with ()"]);
    }

    #[test]
    fn skips_performance_hints() {
        let text = "fn f(x: &mut Vec<u8>) { x.reserve(1 + 2); g(Vec::with_capacity(3)); x.shrink_to_fit();
            if let Some(next) = all.get(i + 1) { next.prefetch(); next.prefetch_link(); } note_prefetch_hint(1 + 1); }
            fn prefetch(&self) { touch(self.a + 64); }";
        assert_eq!(of(text), ["replace f with ()", "delete g(Vec::with_capacity(3))"]);
    }

    #[test]
    fn chains_of_let_stay_chains() {
        let found = of("fn f() { if let Some(a) = b && a > c {} }");
        assert_eq!(found, ["replace f with ()", "replace > with >=", "replace > with <"]);
    }
}
