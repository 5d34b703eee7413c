//! What definitions read, and whether one of them reads itself.
//!
//! A definition can only name what exists, so no stream table reads itself when it is created; but a view that it reads may
//! be replaced by one that reads the stream table.

use crate::pg::definition::qualified_name;
use crate::pg::role::as_extension;
use crate::pg::txn::Failure;
use crate::pg::{hooks, spi};
use std::collections::HashMap;

/// A relation that a definition reads.
pub struct Source {
    pub relation: u32,
    /// pg_class.relkind
    pub kind: u8,
    /// Its definition view, if it is a stream table.
    pub stream_table: Option<u32>,
}

/// The relations that a view reads directly; with `through_views`, what its views read, down to tables and stream tables.
pub fn sources(view: u32, through_views: bool) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    let mut queue = vec![view];
    while let Some(next) = queue.pop() {
        let rows = as_extension(|| {
            spi::query(
                "SELECT DISTINCT d.refobjid, c.relkind
                   FROM pg_catalog.pg_rewrite r
                   JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
                   JOIN pg_catalog.pg_class c ON c.oid = d.refobjid
                  WHERE r.ev_class = $1::oid AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> r.ev_class
                    AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                  ORDER BY 1",
                &[Some(&next.to_string())],
            )
        });
        for row in rows {
            let [Some(relation), Some(kind)] = &row[..] else { continue };
            let Ok(relation) = relation.parse::<u32>() else { continue };
            if sources.iter().any(|source| source.relation == relation) {
                continue;
            }
            let kind = kind.bytes().next().unwrap_or(b'r');
            if kind == b'v' && through_views {
                if !queue.contains(&relation) {
                    queue.push(relation);
                }
                continue;
            }
            sources.push(Source { relation, kind, stream_table: hooks::stream_table_view(relation) });
        }
    }
    sources
}

/// Whether a definition is one of `views`, or reads the stream table of one, directly or through others.
pub fn reads(definition: u32, views: &[u32]) -> bool {
    let (mut seen, mut open) = (vec![definition], vec![definition]);
    while let Some(next) = open.pop().filter(|_| !views.is_empty()) {
        if views.contains(&next) {
            return true;
        }
        let above = sources(next, true).into_iter().filter_map(|source| source.stream_table);
        let above: Vec<u32> = above.filter(|view| !seen.contains(view)).collect();
        seen.extend(&above);
        open.extend(above);
    }
    false
}

/// A way from a stream table back to itself.
pub struct Circle {
    /// `stream table public.st`
    table: String,
    /// What it leads through, in order: `view public.v`, ...
    through: Vec<String>,
}

/// The shortest way from a view or stream table back to it; `None`: there is none.
pub fn circle(start: u32) -> Option<Circle> {
    // Whence each relation was reached.
    let mut reached: HashMap<u32, u32> = HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(next) = queue.pop_front() {
        let definition = hooks::stream_table_view(next).unwrap_or(next);
        for source in sources(definition, false) {
            if source.relation == start {
                let mut way = vec![next];
                while let Some(before) = way.last().and_then(|last| reached.get(last)) {
                    way.push(*before);
                }
                way.reverse();
                return Some(described(way));
            }
            let follows = source.kind == b'v' || source.stream_table.is_some();
            if follows && !reached.contains_key(&source.relation) {
                reached.insert(source.relation, next);
                queue.push_back(source.relation);
            }
        }
    }
    None
}

/// `way` begins with any relation of the circle; it is told from the first stream table on.
fn described(mut way: Vec<u32>) -> Circle {
    if let Some(first) = way.iter().position(|relation| hooks::stream_table_view(*relation).is_some()) {
        way.rotate_left(first);
    }
    let describe = |relation: u32| {
        let kind = if hooks::stream_table_view(relation).is_some() { "stream table" } else { "view" };
        format!("{kind} {}", qualified_name(relation).unwrap_or_else(|| relation.to_string()))
    };
    let mut described = way.into_iter().map(describe);
    Circle { table: described.next().unwrap_or_default(), through: described.collect() }
}

impl Circle {
    fn way(&self) -> String {
        match &self.through[..] {
            [] => String::new(),
            [one] => format!(" through {one}"),
            [all @ .., last] => format!(" through {} and {last}", all.join(", ")),
        }
    }

    /// That it is so.
    pub fn failure(&self) -> Failure {
        Failure::new(b"42P17", format!("{} reads itself{}", self.table, self.way()))
            .hint("Replace one of the views by one that does not read a stream table of the circle.")
    }

    /// That it would be so.
    pub fn refusal(&self) -> Failure {
        Failure::new(b"42P17", format!("{} would read itself{}", self.table, self.way()))
    }
}
