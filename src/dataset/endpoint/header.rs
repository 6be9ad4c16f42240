//! The comment at the beginning of an endpoint's file: title, description and directives.

use super::statement::Mistake;

/// A comment line `-- name: value`, or `-- param …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub name: String,
    pub value: String,
    /// The position of its line in the file.
    pub byte: usize,
}

/// The comment, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// The first line, without a full stop.
    pub title: String,
    /// The lines after it.
    pub description: String,
    pub directives: Vec<Directive>,
}

/// Spaces after `--` of a line that continues the description of a parameter.
const INDENT: &str = "  ";

impl Header {
    /// Reads the comment lines at the beginning of a file. Blank lines between them are allowed.
    ///
    /// # Errors
    /// There is no title, or text follows a directive.
    pub(super) fn parse(text: &str) -> Result<Self, Mistake> {
        let mut header = Self::default();
        let mut byte = 0;
        for line in text.split_inclusive('\n') {
            let content = line.trim_end();
            match content.strip_prefix("--") {
                Some(comment) => header.line(comment, byte)?,
                None if content.is_empty() => {}
                None => break,
            }
            byte += line.len();
        }
        if header.title.is_empty() {
            return Err(Mistake::new(
                0,
                "the file does not say what it returns; begin with a comment: -- Title",
            ));
        }
        Ok(header)
    }

    /// Checks that all directives are among these.
    ///
    /// # Errors
    /// One is not.
    pub(super) fn check_known(&self, known: &[&str]) -> Result<(), Mistake> {
        match self.directives.iter().find(|one| !known.contains(&one.name.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                let message = format!("unknown directive {}; use one of {}", unknown.name, known.join(", "));
                Err(Mistake::new(unknown.byte, message))
            }
        }
    }

    fn line(&mut self, comment: &str, byte: usize) -> Result<(), Mistake> {
        let content = comment.trim();
        if content.is_empty() {
            return Ok(());
        }
        if let Some((name, value)) = directive(content) {
            let (name, value) = (name.to_owned(), value.trim().to_owned());
            self.directives.push(Directive { name, value, byte });
            return Ok(());
        }
        match self.directives.last_mut() {
            Some(last) if last.name == "param" && comment.starts_with(INDENT) => {
                last.value = format!("{} {content}", last.value);
            }
            Some(_) => {
                return Err(Mistake::new(
                    byte,
                    "text follows a directive; move it to the lines before the first directive, or indent it if it continues a param",
                ));
            }
            None if self.title.is_empty() => content.trim_end_matches('.').clone_into(&mut self.title),
            None if self.description.is_empty() => content.clone_into(&mut self.description),
            None => self.description = format!("{} {content}", self.description),
        }
        Ok(())
    }
}

/// Splits `name: value` and `param …`. A directive begins with a lower case word.
fn directive(line: &str) -> Option<(&str, &str)> {
    let end = line.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap_or(line.len());
    let (name, rest) = line.split_at_checked(end)?;
    if name.is_empty() {
        return None;
    }
    match rest.strip_prefix(':') {
        Some(value) => Some((name, value)),
        // `params x` and `parameter x` are mistakes, not text.
        None if name.starts_with("param") => Some((name, rest)),
        None => None,
    }
}

/// Returns a directive's value without a remark, which two spaces separate.
pub(super) fn without_remark(value: &str) -> &str {
    value.split("  ").next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comment_is_title_description_and_directives() {
        let text = "-- Candles of a pair.\n--\n-- Note: late events\n-- correct their candle.\n-- path: /a   remark\n\
                    -- param base required  Currency,\n--     such as BTC\n\nSELECT 1 -- path: /b\n-- path: /c\n";
        let header = Header::parse(text).unwrap();
        assert_eq!(header.title, "Candles of a pair");
        assert_eq!(header.description, "Note: late events correct their candle.");
        let found: Vec<(&str, &str)> =
            header.directives.iter().map(|one| (one.name.as_str(), one.value.as_str())).collect();
        assert_eq!(found, [("path", "/a   remark"), ("param", "base required  Currency, such as BTC")]);
        assert_eq!(without_remark("/a   remark"), "/a");
    }

    #[test]
    fn a_file_without_title_or_with_text_after_a_directive_is_a_mistake() {
        assert!(Header::parse("SELECT 1").unwrap_err().message.contains("begin with a comment"));
        assert!(Header::parse("-- path: /a\nSELECT 1").unwrap_err().message.contains("begin with a comment"));
        let mistake = Header::parse("-- A\n-- cache: 1s\n-- text\nSELECT 1").unwrap_err();
        assert_eq!((mistake.byte, mistake.message.starts_with("text follows a directive")), (18, true));
    }
}
