//! Which member of a JSON object is which column.

use crate::domain::columns::pointer::{Pointer, escaped};
use crate::domain::columns::{Column, UnknownMembers};
use crate::ingest::column_names::Naming;

/// The members that are columns, from the outside in.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) root: Node,
    /// How many nodes there are.
    pub(super) nodes: usize,
    pub(super) unknown_members: UnknownMembers,
    /// A member of the object that is never unknown.
    pub(super) known: Option<&'static str>,
    /// The place of each column, as faults name it.
    pointers: Vec<String>,
}

/// An object or an array that has columns in it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: usize,
    /// As faults name it.
    pub(super) pointer: String,
    members: Vec<(String, Member)>,
}

/// What a member is.
#[derive(Debug)]
pub(super) enum Member {
    /// The column with this index.
    Column(usize),
    Node(Node),
}

impl Layout {
    /// `known`: a member that rows may have besides those of the schema.
    pub(super) fn of(naming: Naming<'_>, known: Option<&'static str>) -> Self {
        let mut layout = Self {
            root: Node { id: 0, pointer: String::new(), members: Vec::new() },
            nodes: 1,
            unknown_members: naming.columns.unknown_members(),
            known,
            pointers: Vec::new(),
        };
        for (index, column) in naming.columns.iter().enumerate() {
            let places = if column.is_field() { places(naming, column) } else { Vec::new() };
            layout.pointers.push(places.first().map(Pointer::to_string).unwrap_or_default());
            for place in &places {
                layout.root.add(place.names(), index, &mut layout.nodes);
            }
        }
        layout
    }

    /// Returns the place of a column; of several names, that of the first one.
    pub(super) fn pointer(&self, index: usize) -> &str {
        self.pointers.get(index).map_or("", String::as_str)
    }
}

/// Returns where the value of a column may be.
fn places(naming: Naming<'_>, column: &Column) -> Vec<Pointer> {
    match (naming.names.name_of(&column.name), &column.path) {
        (Some(name), _) => vec![Pointer::member(name)],
        (None, Some(path)) => vec![path.clone()],
        (None, None) => column.names().map(Pointer::member).collect(),
    }
}

impl Node {
    fn add(&mut self, names: &[String], column: usize, nodes: &mut usize) {
        let Some((name, inner)) = names.split_first() else { return };
        if inner.is_empty() {
            self.members.push((name.clone(), Member::Column(column)));
            return;
        }
        let at = self
            .members
            .iter()
            .position(|(other, member)| other == name && matches!(member, Member::Node(_)));
        let at = at.unwrap_or_else(|| {
            let node = Self { id: *nodes, pointer: self.pointer_of(name), members: Vec::new() };
            *nodes += 1;
            self.members.push((name.clone(), Member::Node(node)));
            self.members.len() - 1
        });
        if let Some((_, Member::Node(node))) = self.members.get_mut(at) {
            node.add(inner, column, nodes);
        }
    }

    /// Finds a member. `hint`: where it probably is in the list; set to the place after it, since objects mostly have their members in the
    /// same order.
    #[inline]
    pub(super) fn find(&self, name: &str, hint: &mut usize) -> Option<&Member> {
        let at = match self.members.get(*hint) {
            Some((expected, _)) if expected == name => *hint,
            _ => self.members.iter().position(|(known, _)| known == name)?,
        };
        *hint = at + 1;
        self.members.get(at).map(|(_, member)| member)
    }

    /// The pointer to a member.
    pub(super) fn pointer_of(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, escaped(name))
    }
}
