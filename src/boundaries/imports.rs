//! Reads which paths a Rust source names. It looks at tokens only, so it also sees paths in macros.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A path in a source, such as `crate::domain::money`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

/// What a source says about modules. Code that is compiled for tests only is left out.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The child modules that have a file of their own.
    pub(super) children: Vec<String>,
    /// The paths that it names and that do not begin in the module itself.
    pub(super) named: Vec<Named>,
    /// The names that `use` brings in, each with its path.
    pub(super) imported: Vec<(String, Vec<String>)>,
}

impl Source {
    /// Reads a source. All its paths begin with the name of a crate.
    pub(super) fn read(text: &str, module: &[String]) -> Self {
        let tokens: TokenStream = text.parse().expect("a source that compiles has valid tokens");
        let mut source = Self::default();
        source.walk(&tokens.into_iter().collect::<Vec<_>>(), module);
        source
    }

    fn walk(&mut self, tokens: &[TokenTree], module: &[String]) {
        let mut at = 0;
        while at < tokens.len() {
            at += match (&tokens[at], tokens.get(at + 1), tokens.get(at + 2)) {
                (TokenTree::Punct(hash), Some(TokenTree::Group(attribute)), _)
                    if hash.as_char() == '#' && is_for_tests(&attribute.stream()) =>
                {
                    2 + item_length(&tokens[at + 2..])
                }
                (TokenTree::Ident(word), Some(TokenTree::Ident(name)), Some(TokenTree::Punct(_)))
                    if word == "mod" =>
                {
                    self.children.push(name.to_string());
                    3
                }
                (TokenTree::Ident(word), Some(TokenTree::Ident(name)), Some(TokenTree::Group(body)))
                    if word == "mod" =>
                {
                    let inner = [module, &[name.to_string()]].concat();
                    self.walk(&body.stream().into_iter().collect::<Vec<_>>(), &inner);
                    3
                }
                (TokenTree::Ident(word), _, _) if word == "use" => {
                    let end = tokens[at..].iter().position(is_semicolon).unwrap_or(tokens.len() - at);
                    self.use_tree(&tokens[at + 1..at + end], &[], module);
                    end + 1
                }
                (TokenTree::Ident(_), _, _) => self.path(&tokens[at..], module),
                (TokenTree::Group(group), _, _) => {
                    self.walk(&group.stream().into_iter().collect::<Vec<_>>(), module);
                    1
                }
                // What comes after `::`, `.` or `$` does not begin a path.
                (TokenTree::Punct(mark), Some(TokenTree::Ident(_)), _) if ":.$".contains(mark.as_char()) => {
                    let is_type = mark.as_char() == ':' && !is_second_colon(tokens, at);
                    if is_type { 1 } else { 2 }
                }
                _ => 1,
            };
        }
    }

    /// Reads the path that begins here, and returns its number of tokens.
    fn path(&mut self, tokens: &[TokenTree], module: &[String]) -> usize {
        let (segments, length) = segments(tokens);
        if segments.len() > 1
            && let Some(path) = absolute(&segments, module)
        {
            self.named.push(Named { path, line: line(&tokens[0]) });
        }
        length
    }

    /// Reads what follows `use`, or one branch of it.
    fn use_tree(&mut self, tokens: &[TokenTree], prefix: &[String], module: &[String]) {
        let (more, length) = segments(tokens);
        let segments = [prefix, &more].concat();
        let rest = &tokens[length..];
        if let [.., TokenTree::Group(branches)] = rest {
            let inner: Vec<TokenTree> = branches.stream().into_iter().collect();
            for branch in inner.split(is_comma).filter(|branch| !branch.is_empty()) {
                self.use_tree(branch, &segments, module);
            }
            return;
        }
        let Some(path) = tokens.first().and_then(|_| absolute(&segments, module)) else { return };
        let path = match path.split_last() {
            Some((last, before)) if last == "self" => before.to_vec(),
            _ => path,
        };
        let name = match rest {
            [TokenTree::Ident(_), TokenTree::Ident(alias)] => Some(alias.to_string()),
            [] => path.last().cloned(),
            // All names of a module.
            _ => None,
        };
        self.imported.extend(name.map(|name| (name, path.clone())));
        self.named.push(Named { path, line: line(&tokens[0]) });
    }
}

/// Returns the words of the path that begins here, and its number of tokens.
fn segments(tokens: &[TokenTree]) -> (Vec<String>, usize) {
    let mut segments = Vec::new();
    let mut at = 0;
    while let Some(TokenTree::Ident(word)) = tokens.get(at) {
        segments.push(word.to_string());
        at += 1;
        match (tokens.get(at), tokens.get(at + 1)) {
            (Some(TokenTree::Punct(first)), Some(TokenTree::Punct(second)))
                if first.as_char() == ':' && first.spacing() == Spacing::Joint && second.as_char() == ':' =>
            {
                at += 2;
            }
            _ => break,
        }
    }
    (segments, at)
}

/// Returns a path from the root of its crate. None if it begins with a local name or a foreign crate.
fn absolute(segments: &[String], module: &[String]) -> Option<Vec<String>> {
    let (first, rest) = segments.split_first()?;
    match first.as_str() {
        "crate" => Some([&module[..1], rest].concat()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let ups = segments.iter().take_while(|word| *word == "super").count();
            Some([&module[..module.len().checked_sub(ups)?], &segments[ups..]].concat())
        }
        name if name.starts_with("roundhouse_") => Some(segments.to_vec()),
        _ => None,
    }
}

/// Whether an attribute is `cfg(test)`, perhaps with further conditions.
fn is_for_tests(attribute: &TokenStream) -> bool {
    let text = attribute.to_string();
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    words.first() == Some(&"cfg") && words.contains(&"test") && !words.contains(&"not")
}

/// Returns how many tokens belong to the item that begins here.
fn item_length(tokens: &[TokenTree]) -> usize {
    let is_end = |token: &TokenTree| {
        is_semicolon(token)
            || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
    };
    tokens.iter().position(is_end).map_or(tokens.len(), |end| end + 1)
}

fn is_semicolon(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(mark) if mark.as_char() == ';')
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(mark) if mark.as_char() == ',')
}

fn is_second_colon(tokens: &[TokenTree], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    matches!(before, Some(TokenTree::Punct(mark)) if mark.as_char() == ':' && mark.spacing() == Spacing::Joint)
}

fn line(token: &TokenTree) -> usize {
    token.span().start().line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Source {
        Source::read(text, &["roundhouse".to_owned(), "http".to_owned(), "form".to_owned()])
    }

    fn named(text: &str) -> Vec<String> {
        read(text).named.iter().map(|named| format!("{} {}", named.line, named.path.join("::"))).collect()
    }

    #[test]
    fn the_paths_of_every_kind_of_import_are_found() {
        for (text, paths) in [
            ("use crate::domain::money;", &["1 roundhouse::domain::money"][..]),
            (
                "\npub(crate) use super::state::{self, App as Server};",
                &["2 roundhouse::http::state", "2 roundhouse::http::state::App"],
            ),
            (
                "use {\n  crate::a,\n  roundhouse_part::lock::*,\n};",
                &["2 roundhouse::a", "3 roundhouse_part::lock"],
            ),
            (
                "use self::disposition::{a, b::{c, d}};",
                &[
                    "1 roundhouse::http::form::disposition::a",
                    "1 roundhouse::http::form::disposition::b::c",
                    "1 roundhouse::http::form::disposition::b::d",
                ],
            ),
            ("use std::io; use serde_json::{Value, json};", &[]),
        ] {
            assert_eq!(named(text), paths, "{text}");
        }
    }

    #[test]
    fn paths_in_code_types_and_macros_are_found_and_text_is_not() {
        let text = "/// crate::a::b\nfn f(x: crate::domain::Money) -> Vec<super::state::App> {\n\
                    info!(\"crate::c::d\", x = %crate::loader::run(x));\n y.crate_::z(); a::crate_::b() }";
        assert_eq!(
            named(text),
            ["2 roundhouse::domain::Money", "2 roundhouse::http::state::App", "3 roundhouse::loader::run"]
        );
    }

    #[test]
    fn super_in_a_module_within_a_file_means_the_file() {
        assert_eq!(
            named("mod inner { use super::super::state; use super::x; }"),
            ["1 roundhouse::http::state", "1 roundhouse::http::form::x"]
        );
    }

    #[test]
    fn code_for_tests_is_left_out() {
        let text = "mod a; #[cfg(test)] mod b; #[cfg(test)] mod tests { use crate::x::y; }\n\
                    #[cfg(test)] use crate::{c::d, e}; #[cfg(not(test))] use crate::f::g; #[cfg(all(test, unix))] fn h() { crate::i::j() }";
        assert_eq!(named(text), ["2 roundhouse::f::g"]);
        assert_eq!(read(text).children, ["a"]);
    }
}
