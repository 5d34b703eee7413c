//! The index by which the rows of a stream table are found when they change.
//!
//! A unique key of the result becomes the primary key, or a unique index in which NULLs are equal if NULLs can occur. Without
//! a key, an index on the hash of the whole row serves, and the table's replica identity is the full row: a publication of
//! it would refuse updates otherwise (HAZARDS H40).

use super::definition::Definition;
use crate::pg::definition::{attributes_of, has_btree_order, qualified_name, quote_identifier, Attribute};
use crate::pg::{role, spi, txn};

/// A function takes no more arguments; wider tables without a key are searched by scan.
const MAX_HASHED: usize = 100;

/// Makes the index on a table of these columns, as the current user, who owns it; its OID, 0 if none was made. Also the
/// attribute numbers of the key, if it is one.
/// Values that are too long for a unique index make it one without a key.
pub fn create(table: u32, attributes: &[Attribute], key: Option<&(Vec<usize>, bool)>) -> (u32, Option<Vec<i16>>) {
    if key.is_none() {
        return make(table, attributes, None);
    }
    match txn::subtransaction(|| Ok(make(table, attributes, key))) {
        Ok(made) => made,
        Err(failure) if failure.sqlstate == *b"54000" => make(table, attributes, None),
        Err(failure) => failure.raise(),
    }
}

fn make(table: u32, attributes: &[Attribute], key: Option<&(Vec<usize>, bool)>) -> (u32, Option<Vec<i16>>) {
    let Some(name) = qualified_name(table) else { return (0, None) };
    let before = indexes(table);
    let numbers = numbers(attributes, key);
    match key.filter(|_| numbers.is_some()) {
        Some((columns, not_null)) => {
            let columns = list(attributes, columns.iter().copied());
            if *not_null {
                spi::execute(&format!("ALTER TABLE {name} ADD PRIMARY KEY ({columns})"), &[]);
            } else {
                spi::execute(&format!("CREATE UNIQUE INDEX ON {name} ({columns}) NULLS NOT DISTINCT"), &[]);
                spi::execute(&format!("ALTER TABLE {name} REPLICA IDENTITY FULL"), &[]);
            }
        }
        None => {
            spi::execute(&format!("ALTER TABLE {name} REPLICA IDENTITY FULL"), &[]);
            hash(&name, attributes);
        }
    }
    let made = indexes(table).into_iter().find(|index| !before.contains(index));
    (made.unwrap_or(0), numbers)
}

/// The attribute numbers of the key, if an index can hold it: an empty key (a single row) has no columns to index, more than
/// 32 do not fit one.
fn numbers(attributes: &[Attribute], key: Option<&(Vec<usize>, bool)>) -> Option<Vec<i16>> {
    let (columns, _) = key?;
    let ordered = columns.iter().all(|&at| has_btree_order(attributes[at].ty));
    let fits = ordered && (1..=32).contains(&columns.len());
    fits.then(|| columns.iter().map(|at| *at as i16 + 1).collect())
}

/// Whether the index that `definition` has is the one that [`create`] would make.
pub fn serves(definition: &Definition, attributes: &[Attribute], key: Option<&(Vec<usize>, bool)>) -> bool {
    let numbers = numbers(attributes, key);
    let not_null = numbers.is_some() && key.is_some_and(|(_, not_null)| *not_null);
    exists(definition)
        && numbers == definition.key_columns
        && not_null == constraint(definition.table, definition.key_index).is_some()
}

/// Whether the table has no other index.
pub fn is_only_index(definition: &Definition) -> bool {
    indexes(definition.table) == [definition.key_index]
}

/// Whether the index that was made for a stream table is still there. Others, the user's, are none of our business.
pub fn exists(definition: &Definition) -> bool {
    definition.key_index != 0 && indexes(definition.table).contains(&definition.key_index)
}

/// Whether the key is a primary key, which no NULL passes.
pub fn forbids_null(definition: &Definition) -> bool {
    constraint(definition.table, definition.key_index).is_some()
}

/// The index on the hash of the row, made if there is none, without keeping anybody from reading; its OID, 0 if the table is
/// too wide for one.
pub fn hash_index(definition: &Definition) -> u32 {
    let table = definition.table;
    let Some(name) = qualified_name(table) else { return 0 };
    let rows = spi::query(
        "SELECT i.indexrelid FROM pg_catalog.pg_index i
           JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid
                AND d.refclassid = 'pg_catalog.pg_proc'::regclass
                AND d.refobjid = 'pgtrickle.row_hash(\"any\")'::regprocedure
          WHERE i.indrelid = $1::oid AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL
          ORDER BY 1 LIMIT 1",
        &[Some(&table.to_string())],
    );
    if let Some(index) = rows.into_iter().flatten().next().flatten().and_then(|oid| oid.parse().ok()) {
        return index;
    }
    let before = indexes(table);
    hash(&name, &attributes_of(table));
    indexes(table).into_iter().find(|index| !before.contains(index)).unwrap_or(0)
}

/// Drops the key's index that was made for a stream table, and what came with it. An index that is not there, or that is not
/// the table's, is left alone.
pub fn drop(old: &Definition) {
    if !exists(old) {
        return;
    }
    let (Some(table), Some(index)) = (qualified_name(old.table), qualified_name(old.key_index)) else { return };
    match constraint(old.table, old.key_index) {
        Some(constraint) => {
            spi::execute(&format!("ALTER TABLE {table} DROP CONSTRAINT {constraint}"), &[]);
            let attributes = attributes_of(old.table);
            let columns = old.key_columns.iter().flatten();
            let columns = columns.filter_map(|number| attributes.get(usize::try_from(*number).ok()?.checked_sub(1)?));
            for attribute in columns {
                let column = quote_identifier(&attribute.name);
                spi::execute(&format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL"), &[]);
            }
            spi::execute(&format!("ALTER TABLE {table} REPLICA IDENTITY DEFAULT"), &[]);
        }
        None => {
            spi::execute(&format!("DROP INDEX {index}"), &[]);
            spi::execute(&format!("ALTER TABLE {table} REPLICA IDENTITY DEFAULT"), &[]);
        }
    }
}

/// Puts the index on the hash of the row, made before, in the place of a key that does not hold any more: a publication
/// tells rows apart by all their columns from then on.
pub fn replace_by_hash(old: &Definition) {
    drop(old);
    if let Some(table) = qualified_name(old.table) {
        spi::execute(&format!("ALTER TABLE {table} REPLICA IDENTITY FULL"), &[]);
    }
}

/// The name, as it must be written, of the primary key that an index belongs to.
fn constraint(table: u32, index: u32) -> Option<String> {
    if index == 0 {
        return None;
    }
    let rows = spi::query(
        "SELECT pg_catalog.quote_ident(conname) FROM pg_catalog.pg_constraint
          WHERE conindid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
            AND conrelid OPERATOR(pg_catalog.=) $2::pg_catalog.oid
            AND contype OPERATOR(pg_catalog.=) 'p'",
        &[Some(&index.to_string()), Some(&table.to_string())],
    );
    rows.into_iter().flatten().next().flatten()
}

/// The index or constraint of a table that is named by the message of a violation: its bare name, and whether it is the index
/// `own`. Messages are translated, names in them are not.
pub fn violated(table: u32, own: u32, message: &str) -> Option<(String, bool)> {
    let rows = role::as_extension(|| {
        spi::query(
            "SELECT c.relname, c.oid FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
              WHERE i.indrelid = $1::oid
              UNION ALL
             SELECT conname, 0 FROM pg_catalog.pg_constraint WHERE conrelid = $1::oid AND conindid = 0
              ORDER BY 2 DESC",
            &[Some(&table.to_string())],
        )
    });
    rows.into_iter().find_map(|row| {
        let [Some(name), Some(oid)] = <[Option<String>; 2]>::try_from(row).ok()? else { return None };
        message.contains(&format!("\"{name}\"")).then(|| (name, own != 0 && oid == own.to_string()))
    })
}

fn list(attributes: &[Attribute], columns: impl Iterator<Item = usize>) -> String {
    columns.map(|at| quote_identifier(&attributes[at].name)).collect::<Vec<_>>().join(", ")
}

fn hash(name: &str, attributes: &[Attribute]) {
    if attributes.len() <= MAX_HASHED {
        let columns = list(attributes, 0..attributes.len());
        spi::execute(&format!("CREATE INDEX ON {name} (pgtrickle.row_hash({columns}))"), &[]);
    }
}

fn indexes(table: u32) -> Vec<u32> {
    let rows = spi::query(
        "SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid",
        &[Some(&table.to_string())],
    );
    rows.into_iter().filter_map(|row| row[0].as_deref()?.parse().ok()).collect()
}
