//! The map of the modules, as `src/lib.rs` shows it.

/// A line of the map.
#[derive(Debug)]
pub(super) struct Line {
    /// A module of the server, or a crate.
    pub(super) name: String,
    uses: Vec<String>,
}

impl Line {
    pub(super) fn allows(&self, name: &str) -> bool {
        self.allows_everything() || self.uses.iter().any(|used| used == name)
    }

    pub(super) fn allows_everything(&self) -> bool {
        self.uses == ["everything"]
    }

    /// The names that it allows, one by one.
    pub(super) fn names(&self) -> &[String] {
        if self.allows_everything() { &[] } else { &self.uses }
    }

    /// What it allows, as text.
    pub(super) fn allowed(&self) -> String {
        if self.uses.is_empty() { "no other module".to_owned() } else { self.uses.join(", ") }
    }
}

/// Reads the table in a crate's documentation: the lines that begin with a name in a link.
pub(super) fn read(documentation: &str) -> Vec<Line> {
    documentation.lines().filter_map(|line| line.strip_prefix("//! | [`")).map(line).collect()
}

fn line(text: &str) -> Line {
    let cells: Vec<&str> = text.split('|').collect();
    let [name, _, uses, ""] = cells[..] else { panic!("not a line of the map: {text}") };
    let name = name.trim().trim_end_matches("`]").to_owned();
    let words = uses.split([' ', ',']).map(|word| word.trim_matches('`')).filter(|word| !word.is_empty());
    Line { name, uses: words.filter(|word| *word != "nothing").map(str::to_owned).collect() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_says_which_modules_may_be_used() {
        let map = super::read(
            "//! | module | what | uses |\n//! |---|---|---|\n//! | [`a`] | all | everything |\n\
             //! | [`b`] | with [`a`](x) | `c`, `d_e` |\n//! | [`c`] | pure | nothing |\n",
        );
        let lines: Vec<_> = map.iter().map(|line| format!("{}: {}", line.name, line.allowed())).collect();
        assert_eq!(lines, ["a: everything", "b: c, d_e", "c: no other module"]);
        assert!(map[0].allows("x") && map[1].allows("d_e") && !map[1].allows("b") && !map[2].allows("a"));
    }
}
