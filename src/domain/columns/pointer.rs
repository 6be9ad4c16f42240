//! JSON Pointers: <https://www.rfc-editor.org/rfc/rfc6901>.

use std::fmt;

/// The place of a value in a JSON document: names of members, or positions in arrays, from the outside in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads `/data/price`, in which `~1` is a slash and `~0` a tilde. None: not a pointer to a part of a document.
    pub fn parse(text: &str) -> Option<Self> {
        let names = text.strip_prefix('/')?.split('/').map(unescaped).collect::<Option<Vec<_>>>()?;
        Some(Self(names))
    }

    /// The pointer to a member of the document itself.
    pub fn member(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// Returns the names from the outside in; at least one.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|name| write!(f, "/{}", escaped(name)))
    }
}

/// Writes a name as a part of a pointer.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn unescaped(name: &str) -> Option<String> {
    let is_escape = |(at, _): (usize, &str)| matches!(name.as_bytes().get(at + 1), Some(b'0' | b'1'));
    let is_valid = name.match_indices('~').all(is_escape);
    is_valid.then(|| name.replace("~1", "/").replace("~0", "~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_read_back_as_they_are_written() {
        for (text, names) in [
            ("/price", &["price"][..]),
            ("/data/0/b", &["data", "0", "b"]),
            ("/a~1b/~01/", &["a/b", "~1", ""]),
        ] {
            let pointer = Pointer::parse(text).unwrap();
            assert_eq!(
                (pointer.names(), pointer.to_string().as_str()),
                (&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()[..], text)
            );
        }
        for text in ["", "price", "#/price", "/a~", "/a~2"] {
            assert_eq!(Pointer::parse(text), None, "{text:?}");
        }
    }
}
