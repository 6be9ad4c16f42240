//! Links between the documents.

use std::collections::BTreeSet;
use std::fs;

use super::{Document, documents};

#[test]
fn links_between_the_documents_lead_to_a_file_and_a_heading_that_exist() {
    let mut broken = BTreeSet::new();
    for document in documents() {
        for target in targets(&document).filter(|target| !target.contains("://")) {
            if let Some(reason) = fault(&document, target) {
                broken.insert(format!("{}: {target}: {reason}", document.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Returns the targets of `[text](target)`.
fn targets(document: &Document) -> impl Iterator<Item = &str> {
    document.text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

fn fault(document: &Document, target: &str) -> Option<&'static str> {
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = match file {
        "" => document.path.clone(),
        file => document.path.parent()?.join(file),
    };
    if !path.exists() {
        return Some("no such file");
    }
    let anchor = anchor?;
    let text = fs::read_to_string(&path).ok()?;
    let has_anchor = headings(&text).any(|heading| slug(heading) == anchor);
    (!has_anchor).then_some("no such heading")
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2).flat_map(str::lines);
    prose.filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

/// Returns the anchor that GitHub gives to a heading.
fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn a_heading_has_the_anchor_that_github_gives_it() {
    assert_eq!(slug("`clickhouse`: at least once"), "clickhouse-at-least-once");
    assert_eq!(slug("Retry rejected rows"), "retry-rejected-rows");
}
