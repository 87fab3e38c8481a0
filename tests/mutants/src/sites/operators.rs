//! The replacements of operators, and of methods that act like operators.

use syn::BinOp;

pub(super) fn instead_of(operator: &BinOp) -> &'static [&'static str] {
    match operator {
        BinOp::Add(_) => &["-", "*"],
        BinOp::Sub(_) => &["+"],
        BinOp::Mul(_) => &["+", "/"],
        BinOp::Div(_) => &["*", "%"],
        BinOp::Rem(_) => &["/"],
        BinOp::And(_) => &["||"],
        BinOp::Or(_) => &["&&"],
        BinOp::BitAnd(_) => &["|"],
        BinOp::BitOr(_) => &["&", "^"],
        BinOp::BitXor(_) => &["|"],
        BinOp::Shl(_) => &[">>"],
        BinOp::Shr(_) => &["<<"],
        BinOp::Eq(_) => &["!="],
        BinOp::Ne(_) => &["=="],
        BinOp::Lt(_) => &["<=", ">"],
        BinOp::Le(_) => &["<", ">"],
        BinOp::Gt(_) => &[">=", "<"],
        BinOp::Ge(_) => &[">", "<"],
        BinOp::AddAssign(_) => &["-="],
        BinOp::SubAssign(_) => &["+="],
        BinOp::MulAssign(_) => &["+="],
        BinOp::DivAssign(_) => &["*="],
        BinOp::BitXorAssign(_) => &["|="],
        BinOp::BitOrAssign(_) => &["&="],
        BinOp::BitAndAssign(_) => &["|="],
        BinOp::ShlAssign(_) => &[">>="],
        BinOp::ShrAssign(_) => &["<<="],
        _ => &[],
    }
}

pub(super) fn assigns(operator: &BinOp) -> bool {
    use BinOp::{AddAssign, BitAndAssign, BitOrAssign, BitXorAssign, DivAssign, MulAssign, SubAssign};
    use BinOp::{RemAssign, ShlAssign, ShrAssign};
    matches!(operator, AddAssign(_) | SubAssign(_) | MulAssign(_) | DivAssign(_) | RemAssign(_))
        || matches!(
            operator,
            BitAndAssign(_) | BitOrAssign(_) | BitXorAssign(_) | ShlAssign(_) | ShrAssign(_)
        )
}

pub(super) fn instead_of_method(method: &str) -> Option<&'static str> {
    Some(match method {
        "min" => "max",
        "max" => "min",
        "saturating_sub" => "wrapping_sub",
        "saturating_add" => "wrapping_add",
        "is_some" => "is_none",
        "is_none" => "is_some",
        "is_ok" => "is_err",
        "is_err" => "is_ok",
        "first" => "last",
        "last" => "first",
        "front" => "back",
        "back" => "front",
        "push_back" => "push_front",
        "push_front" => "push_back",
        "pop_back" => "pop_front",
        "pop_front" => "pop_back",
        "any" => "all",
        "all" => "any",
        "starts_with" => "ends_with",
        "ends_with" => "starts_with",
        _ => return None,
    })
}

/// Whether a method returns a boolean, and is not in [`instead_of_method`].
pub(super) fn is_question(method: &str) -> bool {
    matches!(
        method,
        "is_empty" | "contains" | "contains_key" | "eq_ignore_ascii_case" | "is_some_and" | "is_none_or"
    ) || matches!(method, "is_ok_and" | "is_ready" | "is_pending" | "is_ascii")
}
