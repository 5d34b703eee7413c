//! The index by which the rows of a stream table are found when they change.
//!
//! A unique key of the result becomes the primary key, or a unique index in which NULLs are equal if NULLs can occur. Without
//! a key, an index on the hash of the whole row serves, and the table's replica identity is the full row: a publication of
//! it would refuse updates otherwise (HAZARDS H40).

use crate::pg::definition::{has_btree_order, qualified_name, quote_identifier, Attribute};
use crate::pg::spi;

/// A function takes no more arguments; wider tables without a key are searched by scan.
const MAX_HASHED: usize = 100;

/// Makes the index on a table of these columns, as the current user, who owns it; its OID, 0 if none was made. Also the
/// attribute numbers of the key, if it is one.
pub fn create(table: u32, attributes: &[Attribute], key: Option<&(Vec<usize>, bool)>) -> (u32, Option<Vec<i16>>) {
    let Some(name) = qualified_name(table) else { return (0, None) };
    let before = indexes(table);
    let ordered = |columns: &[usize]| columns.iter().all(|&at| has_btree_order(attributes[at].ty));
    let list = |columns: &mut dyn Iterator<Item = usize>| {
        columns.map(|at| quote_identifier(&attributes[at].name)).collect::<Vec<_>>().join(", ")
    };
    let mut numbers = None;
    match key {
        // An empty key (a single row) has no columns to index; more than 32 do not fit one.
        Some((columns, not_null)) if ordered(columns) && (1..=32).contains(&columns.len()) => {
            let columns_text = list(&mut columns.iter().copied());
            if *not_null {
                spi::execute(&format!("ALTER TABLE {name} ADD PRIMARY KEY ({columns_text})"), &[]);
            } else {
                spi::execute(&format!("CREATE UNIQUE INDEX ON {name} ({columns_text}) NULLS NOT DISTINCT"), &[]);
                spi::execute(&format!("ALTER TABLE {name} REPLICA IDENTITY FULL"), &[]);
            }
            numbers = Some(columns.iter().map(|at| *at as i16 + 1).collect());
        }
        _ => {
            spi::execute(&format!("ALTER TABLE {name} REPLICA IDENTITY FULL"), &[]);
            if attributes.len() <= MAX_HASHED {
                let columns_text = list(&mut (0..attributes.len()));
                spi::execute(&format!("CREATE INDEX ON {name} (pgtrickle.row_hash({columns_text}))"), &[]);
            }
        }
    }
    let made = indexes(table).into_iter().find(|index| !before.contains(index));
    (made.unwrap_or(0), numbers)
}

fn indexes(table: u32) -> Vec<u32> {
    let rows = spi::query(
        "SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid",
        &[Some(&table.to_string())],
    );
    rows.into_iter().filter_map(|row| row[0].as_deref()?.parse().ok()).collect()
}
