//! `pgtrickle.live_table`: the objects of a stream table in this database's incarnation.

use super::definition::Mode;
use crate::pg::hooks;
use crate::pg::role::{self, as_extension};
use crate::pg::spi;

/// One row.
pub struct LiveTable<'a> {
    pub table: u32,
    pub id: &'a str,
    pub view: u32,
    /// 0: none.
    pub key_index: u32,
    /// Attribute numbers of the key, if one is known.
    pub key_columns: Option<&'a [i16]>,
    pub mode: Mode,
    pub reason: Option<&'a str>,
}

/// Stores a row, in place of one that the table has, and with the next generation.
pub fn put(live: &LiveTable<'_>) {
    let key = live.key_columns.map(|columns| {
        let numbers: Vec<String> = columns.iter().map(i16::to_string).collect();
        format!("{{{}}}", numbers.join(","))
    });
    let (system, database) = role::incarnation();
    as_extension(|| {
        spi::execute(
            "INSERT INTO pgtrickle.live_table AS l
                    (relid, id, view, key_index, key_columns, mode, reason, generation, system_identifier, database)
             VALUES ($1::oid, $2::uuid, $3::oid, $4::oid, $5::int2[], $6, $7, 1, $8::int8, $9::oid)
             ON CONFLICT (relid) DO UPDATE
                SET id = EXCLUDED.id, view = EXCLUDED.view, key_index = EXCLUDED.key_index,
                    key_columns = EXCLUDED.key_columns, mode = EXCLUDED.mode, reason = EXCLUDED.reason,
                    generation = l.generation + 1, system_identifier = EXCLUDED.system_identifier,
                    database = EXCLUDED.database",
            &[
                Some(&live.table.to_string()),
                Some(live.id),
                Some(&live.view.to_string()),
                Some(&live.key_index.to_string()),
                key.as_deref(),
                Some(live.mode.name()),
                live.reason,
                Some(&system),
                Some(&database),
            ],
        )
    });
    hooks::announce(live.table);
}

/// Stores another index by which changed rows are found, without a key. The definition is what it was.
pub fn put_key(table: u32, index: u32) {
    spi::execute(
        "UPDATE pgtrickle.live_table SET key_index = $2::oid, key_columns = NULL WHERE relid = $1::oid",
        &[Some(&table.to_string()), Some(&index.to_string())],
    );
    hooks::announce(table);
}

/// The definition is as good as another one: whatever the worker has given up, it tries again.
pub fn renew(table: u32) {
    as_extension(|| {
        spi::execute(
            "UPDATE pgtrickle.live_table SET generation = generation + 1 WHERE relid = $1::oid",
            &[Some(&table.to_string())],
        )
    });
    hooks::announce(table);
}

/// Notes how a stream table is maintained from now on; the definition is what it was.
pub fn set_mode(table: u32, mode: Mode, reason: Option<&str>) {
    as_extension(|| {
        spi::execute(
            "UPDATE pgtrickle.live_table SET mode = $2, reason = $3 WHERE relid = $1::oid",
            &[Some(&table.to_string()), Some(mode.name()), reason],
        )
    });
}
