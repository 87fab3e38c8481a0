//! The values that a function returns when its body is skipped.

use syn::{GenericArgument, PathArguments, ReturnType, Type};

/// The values to return early, as source; the empty one for `()`.
pub(super) fn values(output: &ReturnType) -> Vec<String> {
    match output {
        ReturnType::Default => vec![String::new()],
        ReturnType::Type(_, kind) => of_type(kind),
    }
}

fn of_type(kind: &Type) -> Vec<String> {
    match kind {
        Type::Tuple(tuple) if tuple.elems.is_empty() => vec!["()".to_owned()],
        Type::Tuple(tuple) => {
            let elements: Option<Vec<String>> =
                tuple.elems.iter().map(|kind| of_type(kind).into_iter().next()).collect();
            elements.map(|elements| format!("({})", elements.join(", "))).into_iter().collect()
        }
        Type::Reference(reference) => match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => vec!["\"\"".to_owned()],
            Type::Slice(_) => vec!["&[]".to_owned()],
            _ => Vec::new(),
        },
        Type::Path(path) => match last_segment(path) {
            Some((name, arguments)) => of_name(&name, &arguments),
            None => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn of_name(name: &str, arguments: &[&Type]) -> Vec<String> {
    let inner = || arguments.first().map(|kind| of_type(kind)).unwrap_or_default();
    let around = |outer: &str| inner().into_iter().map(move |value| format!("{outer}({value})")).collect();
    match name {
        "bool" => vec!["true".to_owned(), "false".to_owned()],
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => {
            vec!["0".to_owned(), "1".to_owned()]
        }
        "Option" => {
            let mut values = vec!["None".to_owned()];
            values.extend(
                inner()
                    .into_iter()
                    .filter(|value| value != "Default::default()")
                    .map(|value| format!("Some({value})")),
            );
            values
        }
        // `fmt::Result` and `io::Result<T>`, too.
        "Result" if arguments.is_empty() => vec!["Ok(())".to_owned()],
        "Result" => around("Ok"),
        "Poll" => around("std::task::Poll::Ready"),
        _ => vec!["Default::default()".to_owned()],
    }
}

/// The name of a type without its path, and its type arguments.
fn last_segment(path: &syn::TypePath) -> Option<(String, Vec<&Type>)> {
    let segment = path.path.segments.last()?;
    let arguments = match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => arguments
            .args
            .iter()
            .filter_map(|argument| match argument {
                GenericArgument::Type(kind) => Some(kind),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    Some((segment.ident.to_string(), arguments))
}
