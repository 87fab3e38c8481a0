//! The words of a source file, without comments, literals, and items that are only compiled for tests.

/// The words and signs of the code; `::` is one sign. Omits comments, literals, and items under `#[cfg(test)]` or for the model.
pub(crate) fn words(text: &str) -> Vec<String> {
    without_tests(&split(&without_literals(text)))
}

/// The text with a space for each comment and each literal.
fn without_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\n');
    let mut code = String::new();
    let mut index = 0;
    while index < chars.len() {
        let word_before = code.chars().last().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let end = match (at(index), at(index + 1)) {
            ('/', '/') => (index..chars.len()).find(|end| at(*end) == '\n').unwrap_or(chars.len()),
            ('/', '*') => end_of_comment(&at, index, chars.len()),
            ('"', _) => end_of_string(&at, index, chars.len()),
            ('b', '"') if !word_before => end_of_string(&at, index + 1, chars.len()),
            ('b', 'r') if !word_before => end_of_raw(&at, index + 1, chars.len()).unwrap_or(index),
            ('r', '"' | '#') if !word_before => end_of_raw(&at, index, chars.len()).unwrap_or(index),
            ('\'', '\\') => {
                (index + 3..chars.len()).find(|end| at(*end) == '\'').map_or(chars.len(), |end| end + 1)
            }
            ('\'', _) if at(index + 2) == '\'' => index + 3,
            _ => index,
        };
        if end > index {
            code.push(' ');
            index = end;
        } else {
            code.push(at(index));
            index += 1;
        }
    }
    code
}

fn end_of_comment(at: &impl Fn(usize) -> char, from: usize, length: usize) -> usize {
    let mut depth = 0;
    let mut index = from;
    while index < length {
        match (at(index), at(index + 1)) {
            ('/', '*') => (depth, index) = (depth + 1, index + 2),
            ('*', '/') => (depth, index) = (depth - 1, index + 2),
            _ => index += 1,
        }
        if depth == 0 {
            return index;
        }
    }
    length
}

fn end_of_string(at: &impl Fn(usize) -> char, from: usize, length: usize) -> usize {
    let mut index = from + 1;
    while index < length && at(index) != '"' {
        index += if at(index) == '\\' { 2 } else { 1 };
    }
    index + 1
}

/// `None` if it is not a raw string, but for example a raw identifier.
fn end_of_raw(at: &impl Fn(usize) -> char, from: usize, length: usize) -> Option<usize> {
    let hashes = (from + 1..length).take_while(|index| at(*index) == '#').count();
    if at(from + 1 + hashes) != '"' {
        return None;
    }
    let ends = |index: &usize| at(*index) == '"' && (1..=hashes).all(|hash| at(index + hash) == '#');
    (from + 2 + hashes..length).find(ends).map(|index| index + 1 + hashes)
}

fn split(code: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut joins = false;
    for c in code.chars() {
        let is_word = c.is_alphanumeric() || c == '_';
        match words.last_mut() {
            Some(last) if joins && is_word == last.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                if is_word || (c == ':' && last == ":") {
                    last.push(c);
                } else if !c.is_whitespace() {
                    words.push(c.into());
                }
            }
            _ if !c.is_whitespace() => words.push(c.into()),
            _ => {}
        }
        joins = !c.is_whitespace();
    }
    words
}

fn without_tests(words: &[String]) -> Vec<String> {
    let is = |index: usize, word: &str| words.get(index).is_some_and(|found| found == word);
    let mut kept = Vec::new();
    let mut index = 0;
    while index < words.len() {
        let is_attribute = is(index, "#") && is(index + 1, "[");
        let end = if is_attribute { closing(words, index + 1) } else { index };
        let tests = ["test", "doctest", "rejoin_model", "rejoin_loom"];
        let first = if is(index + 4, "all") { index + 6 } else { index + 4 };
        if is_attribute && is(index + 2, "cfg") && tests.iter().any(|test| is(first, test)) {
            index = end_of_item(words, end);
        } else {
            kept.push(words[index].clone());
            index += 1;
        }
    }
    kept
}

/// The end of the item that begins here, with its attributes.
fn end_of_item(words: &[String], from: usize) -> usize {
    let mut index = from;
    while words.get(index).is_some_and(|word| word == "#") {
        index = closing(words, index + 1);
    }
    let starts_with = |kinds: &[&str]| {
        words[index..].iter().take(6).take_while(|word| *word != "{").any(|word| kinds.contains(&&**word))
    };
    let has_body = starts_with(&["fn", "mod", "impl", "struct", "enum", "trait"]);
    let is_statement = !has_body && starts_with(&["use", "const", "static", "type", "let"]);
    while let Some(word) = words.get(index) {
        match &**word {
            "{" if has_body => return closing(words, index),
            "{" | "(" | "[" => index = closing(words, index),
            ";" => return index + 1,
            "," if !has_body && !is_statement => return index + 1,
            "}" => return index,
            _ => index += 1,
        }
    }
    words.len()
}

/// The index after the closing bracket.
pub(crate) fn closing(words: &[String], from: usize) -> usize {
    let mut depth = 0_usize;
    for (index, word) in words.iter().enumerate().skip(from) {
        match &**word {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    words.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> String {
        words(text).join(" ")
    }

    #[test]
    fn comments_and_literals_are_ignored() {
        let text = "//! crate::a\na /* b /* c */ d */ e \"f \\\" g\" r#\"h \" i\"# b\"j\" br\"k\" 'l' '\\'' '\\u{7f}' m";
        assert_eq!(joined(text), "a e m");
        assert_eq!(joined("fn f<'a>(x: &'a str) -> r#type"), "fn f < ' a > ( x : & ' a str ) - > r # type");
    }

    #[test]
    fn paths_are_words_and_signs() {
        assert_eq!(joined("use super::a::{B, self as c};"), "use super :: a :: { B , self as c } ;");
        assert_eq!(joined("x: ::y"), "x : :: y");
    }

    #[test]
    fn test_only_items_are_ignored() {
        assert_eq!(joined("a; #[cfg(test)] mod tests { use b::{C}; fn d() {} } e;"), "a ; e ;");
        assert_eq!(joined("#[cfg(test)] mod tests; a;"), "a ;");
        assert_eq!(joined("#[cfg(test)] #[allow(x)] pub(crate) fn f(y: [u8; 2]) -> Z { w } a"), "a");
        assert_eq!(joined("#[cfg(test)] pub(crate) const A: usize = { b(); c }; d"), "d");
        assert_eq!(joined("#[cfg(test)] pub(crate) const fn a() {} d"), "d");
        assert_eq!(joined("#[cfg(test)] use a::{b, c}; d"), "d");
        assert_eq!(joined("#[cfg(all(test, feature = \"x\"))] mod tests { a } d"), "d");
        assert_eq!(
            joined("#[cfg_attr(test, derive(A))] struct B;"),
            "# [ cfg_attr ( test , derive ( A ) ) ] struct B ;"
        );
        assert_eq!(joined("struct A { #[cfg(test)] b: C, d: E }"), "struct A { d : E }");
    }
}
