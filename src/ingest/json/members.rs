//! The text of a JSON object to the texts of its columns. It is checked whole, also what no column needs. Flat objects are read by [`flat`].
//!
//! Of the parsers that were measured with price events on one core, `serde_json` with raw values was the fastest: 3.1 million rows/s, jiter
//! 2.3, sonic-rs 1.7 (which also overflowed the stack at a depth of 100,000). simd-json does not keep the text of a number. What no
//! column needs is skipped without recursion, so the depth of an object does not matter.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::flat;
use super::layout::{Layout, Member, Node};
use crate::domain::columns::UnknownMembers;
use crate::ingest::records::shown;

/// Something that is wrong with a member which is no column's value, or is the second one of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberFault {
    pub(super) pointer: String,
    /// Index of the column, if it is one's.
    pub(super) column: Option<usize>,
    pub(super) code: &'static str,
    pub(super) reason: &'static str,
    pub(super) value: String,
}

/// What was found in an object. Reused from row to row.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// For each column, the range of its value in the text of the object.
    ranges: Vec<Option<(usize, usize)>>,
    /// The nodes that were met.
    met: Vec<bool>,
    pub(super) faults: Vec<MemberFault>,
}

impl Members {
    /// Reads an object of `columns` columns.
    ///
    /// # Errors
    /// It is not valid JSON.
    pub(super) fn read(
        &mut self,
        text: &str,
        layout: &Layout,
        columns: usize,
    ) -> Result<(), serde_json::Error> {
        self.ranges.clear();
        self.ranges.resize(columns, None);
        self.faults.clear();
        let rejects_unknown = layout.unknown_members == UnknownMembers::Reject;
        let is_flat =
            layout.nodes == 1 && flat::read(text, &layout.root, rejects_unknown, &mut self.ranges).is_some();
        if is_flat { Ok(()) } else { self.read_any(text, layout) }
    }

    /// Reads any object.
    fn read_any(&mut self, text: &str, layout: &Layout) -> Result<(), serde_json::Error> {
        self.ranges.fill(None);
        self.met.clear();
        self.met.resize(layout.nodes, false);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Reading { node: &layout.root, layout, members: self, text }.deserialize(&mut deserializer)?;
        deserializer.end()
    }

    /// Returns the text of a column's value as it is written. None: the object does not have it.
    #[inline]
    pub(super) fn text<'t>(&self, column: usize, text: &'t str) -> Option<&'t str> {
        let (start, end) = (*self.ranges.get(column)?)?;
        text.get(start..end)
    }

    #[cold]
    fn add_fault(&mut self, pointer: String, column: Option<usize>, code: &'static str, value: &str) {
        let reason = match code {
            "duplicate_member" => "the object has this value twice; remove one of them",
            "unknown_member" => "the schema has no such member; remove it, or correct its name",
            _ => "this is not an object, and the schema has values in it; correct it",
        };
        self.faults.push(MemberFault { pointer, column, code, reason, value: shown(value.as_bytes()) });
    }
}

/// Reads one object.
struct Reading<'a, 't> {
    node: &'a Node,
    layout: &'a Layout,
    members: &'a mut Members,
    text: &'t str,
}

/// The name of a member: what it is, or the pointer to a member that must not be there.
struct Name<'a, 'h> {
    node: &'a Node,
    hint: &'h mut usize,
    layout: &'a Layout,
}

enum Named<'a> {
    Known(&'a Member),
    Ignored,
    Unknown { pointer: String },
}

impl<'a, 'de> DeserializeSeed<'de> for Name<'a, '_> {
    type Value = Named<'a>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Named<'a>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a, '_> {
    type Value = Named<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    #[inline]
    fn visit_str<E>(self, name: &str) -> Result<Named<'a>, E> {
        let Layout { unknown_members, known, .. } = self.layout;
        Ok(match (self.node.find(name, self.hint), unknown_members) {
            (Some(member), _) => Named::Known(member),
            (None, UnknownMembers::Ignore) => Named::Ignored,
            (None, _) if *known == Some(name) => Named::Ignored,
            (None, UnknownMembers::Reject) => Named::Unknown { pointer: self.node.pointer_of(name) },
        })
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Reading<'_, 'de> {
    /// Notes the value of a member.
    #[inline]
    fn see(&mut self, member: &Member, raw: &'de RawValue) -> Result<(), serde_json::Error> {
        match member {
            Member::Column(column) => {
                // The value is a part of the text.
                let start = (raw.get().as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
                let range = (start, start + raw.get().len());
                let place = self.members.ranges.get_mut(*column);
                if let Some(place) = place
                    && place.replace(range).is_some()
                {
                    let pointer = self.layout.pointer(*column).to_owned();
                    self.members.add_fault(pointer, Some(*column), "duplicate_member", raw.get());
                }
            }
            Member::Node(node) => {
                let met = self.members.met.get_mut(node.id);
                if met.is_some_and(|met| std::mem::replace(met, true)) {
                    self.members.add_fault(node.pointer.clone(), None, "duplicate_member", raw.get());
                    return Ok(());
                }
                let Self { layout, text, .. } = *self;
                let inner = Reading { node, layout, members: self.members, text };
                return inner.deserialize(&mut serde_json::Deserializer::from_str(raw.get()));
            }
        }
        Ok(())
    }

    /// Notes that a value is not the object that it should be. A null object has no members.
    fn refuse(self, value: impl fmt::Display) {
        self.members.add_fault(self.node.pointer.clone(), None, "wrong_type", &value.to_string());
    }
}

impl<'de> Visitor<'de> for Reading<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut hint = 0;
        let Self { node, layout, .. } = self;
        while let Some(named) = map.next_key_seed(Name { node, hint: &mut hint, layout })? {
            match named {
                Named::Known(member) => {
                    let raw = map.next_value()?;
                    self.see(member, raw).map_err(A::Error::custom)?;
                }
                Named::Ignored => {
                    map.next_value::<IgnoredAny>()?;
                }
                Named::Unknown { pointer } => {
                    let raw = map.next_value::<&RawValue>()?;
                    self.members.add_fault(pointer, None, "unknown_member", raw.get());
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let (node, mut hint, mut at) = (self.node, 0, 0_usize);
        while let Some(raw) = elements.next_element::<&RawValue>()? {
            if let Some(member) = node.find(&at.to_string(), &mut hint) {
                self.see(member, raw).map_err(A::Error::custom)?;
            }
            at += 1;
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.refuse(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.refuse(value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.refuse(value);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.refuse(value);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.refuse(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::columns::Columns;
    use crate::ingest::column_names::{ColumnNames, Naming};

    /// The layout of two columns, of which one has two names.
    fn layout(more: &str) -> Layout {
        let schema = format!(
            r#"{{"type":"record","name":"R",{more}"fields":[{{"name":"a","type":"string"}},{{"name":"b","type":"long","aliases":["é"]}}]}}"#
        );
        let (columns, names) = (Columns::parse(&schema).unwrap(), ColumnNames::default());
        Layout::of(Naming { columns: &columns, names: &names }, None)
    }

    /// Reads an object as a flat one. Returns what is found, which must be what is found otherwise.
    fn flat(text: &str, layout: &Layout) -> Option<Vec<Option<(usize, usize)>>> {
        let mut ranges = vec![None; 2];
        let rejects_unknown = layout.unknown_members == UnknownMembers::Reject;
        flat::read(text, &layout.root, rejects_unknown, &mut ranges)?;
        let mut members = Members { ranges: vec![None; 2], ..Members::default() };
        members.read_any(text, layout).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(members.ranges, ranges, "{text}");
        assert!(members.faults.is_empty(), "{text}");
        Some(ranges)
    }

    #[test]
    fn a_flat_object_is_read_in_one_pass_and_no_other_is() {
        let (any, known) = (layout(""), layout(r#""unknown_members":"reject","#));
        for (text, ranges) in [
            ("{}", [None, None]),
            (r#"{"a":"x","b":12}"#, [Some((5, 8)), Some((13, 15))]),
            (" {\t\"b\" : -0.5e+7 ,\r\n\"a\": null } ".trim(), [Some((24, 28)), Some((8, 15))]),
            (r#"{"é":true,"a":"日本 ~"}"#, [Some((15, 25)), Some((6, 10))]),
        ] {
            assert_eq!(flat(text, &any).as_deref(), Some(&ranges[..]), "{text}");
            assert!(flat(text, &known).is_some(), "{text}");
        }
        let more = r#"{"c":false,"a":"","c":1}"#;
        assert_eq!(flat(more, &any), Some(vec![Some((15, 17)), None]));
        assert_eq!(flat(more, &known), None);
        for text in [
            "",
            "{",
            "{}x",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":.5}"#,
            r#"{"a":1e}"#,
            r#"{"a":-}"#,
            r#"{"a":+1}"#,
            r#"{"a":truex}"#,
            r#"{"a":nul}"#,
            "{\"a\":\"\u{1}\"}",
            r#"{"a":"x}"#,
            r#"{"a":"\n"}"#,
            r#"{"\u0061":1}"#,
            r#"{"a":{}}"#,
            r#"{"a":[1]}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"b":1,"é":2}"#,
            r#"{"a":1}{"a":2}"#,
            r#"{'a':1}"#,
            "{\"a\":NaN}",
        ] {
            assert_eq!(flat(text, &any), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_as_flat_is_read_the_same_by_the_parser_of_all_json(text in r#"[{}":,ab12.eE+\-\\ntrfusl\[\] é]{0,24}"#) {
            let layout = layout("");
            flat(&text, &layout);
            flat(&format!("{{\"a\":{text}}}"), &layout);
            flat(&format!("{{\"b\":1,{text}:\"x\"}}"), &layout);
        }
    }
}
