//! What a file is: CSV, or JSON in one of its forms.

/// How the rows of a file are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileFormat {
    #[default]
    Csv,
    /// An array of objects, or objects one after the other, each perhaps on a line of its own.
    Json,
    /// One object on each line.
    NdJson,
    /// One row, which may take several lines.
    JsonRow,
    /// JSON if its first character is a bracket or a brace, otherwise CSV.
    Any,
}

impl FileFormat {
    /// Returns the format that a media type names. None: it names no format.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "text/csv" | "application/csv" => Some(Self::Csv),
            "application/json" => Some(Self::Json),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines" => Some(Self::NdJson),
            _ => None,
        }
    }

    /// Returns its name in the ledger and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json | Self::NdJson | Self::JsonRow => "json",
            Self::Any => "",
        }
    }

    /// Says whether a file that was read as `name` would be read in the same way now.
    pub fn may_be(self, name: &str) -> bool {
        self == Self::Any || name.is_empty() || self.name() == name
    }

    /// Looks at the first text of a file. None: more text is needed.
    pub(super) fn found_in(self, text: &[u8]) -> Option<Self> {
        if self != Self::Any {
            return Some(self);
        }
        match text.trim_ascii_start().first()? {
            b'[' | b'{' => Some(Self::Json),
            _ => Some(Self::Csv),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_named_by_a_media_type_or_shown_by_the_first_character() {
        for (media_type, expected) in [
            ("text/csv; charset=utf-8", Some(FileFormat::Csv)),
            ("Application/JSON", Some(FileFormat::Json)),
            ("application/x-ndjson", Some(FileFormat::NdJson)),
            ("application/ndjson;charset=utf-8", Some(FileFormat::NdJson)),
            ("application/octet-stream", None),
            ("", None),
        ] {
            assert_eq!(FileFormat::of_media_type(media_type), expected, "{media_type}");
        }
        for (text, expected) in [
            ("", None),
            (" \r\n\t", None),
            (" \n[", Some(FileFormat::Json)),
            ("{", Some(FileFormat::Json)),
            ("id,name", Some(FileFormat::Csv)),
        ] {
            assert_eq!(FileFormat::Any.found_in(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(FileFormat::NdJson.found_in(b"id,name"), Some(FileFormat::NdJson));
    }
}
