//! A stream table's definition: what the user asked for, and the objects that stand for it.

use crate::pg::definition::qualified_name;
use crate::pg::hooks;
use crate::pg::role::{self, as_extension};
use crate::pg::spi::{self, TextRow};
use crate::schedule::Schedule;

/// Importance where something has to wait; ordered, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    Critical,
    Standard,
    Background,
}

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshMode {
    Auto,
    Differential,
    Full,
}

/// What was found possible when it was created or altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Differential,
    Full,
}

/// One stream table of this database's incarnation.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    pub table: u32,
    pub view: u32,
    pub owner: u32,
    /// Schema-qualified, quoted where needed: for messages.
    pub name: String,
    pub schedule: Schedule,
    pub refresh_mode: RefreshMode,
    pub tier: Tier,
    pub suspended: bool,
    /// Settings pinned at creation.
    pub settings: Vec<(String, String)>,
    /// Changes with each change of the definition: then the table is attached anew.
    pub generation: i64,
    /// The catalog row's uuid.
    pub id: String,
    pub query: String,
    pub schedule_text: Option<String>,
    pub mode: Mode,
    /// Why it is refreshed in full.
    pub reason: Option<String>,
    /// The index by which changed rows are found; 0: none.
    pub key_index: u32,
    /// Attribute numbers of the result's key, if one is known.
    pub key_columns: Option<Vec<i16>>,
}

impl Tier {
    pub fn parse(text: &str) -> Option<Tier> {
        [Tier::Critical, Tier::Standard, Tier::Background].into_iter().find(|tier| tier.name() == text)
    }

    pub fn name(self) -> &'static str {
        match self {
            Tier::Critical => "critical",
            Tier::Standard => "standard",
            Tier::Background => "background",
        }
    }
}

impl RefreshMode {
    pub fn parse(text: &str) -> Option<RefreshMode> {
        [RefreshMode::Auto, RefreshMode::Differential, RefreshMode::Full].into_iter().find(|mode| mode.name() == text)
    }

    pub fn name(self) -> &'static str {
        match self {
            RefreshMode::Auto => "auto",
            RefreshMode::Differential => "differential",
            RefreshMode::Full => "full",
        }
    }
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Differential => "differential",
            Mode::Full => "full",
        }
    }
}

/// Between name and value pairs when settings travel as text; no setting can contain it.
const SEPARATOR: char = '\u{1f}';

const SELECT: &str = "SELECT l.relid, l.view, s.schedule, s.refresh_mode, s.sla_tier, s.suspended,
       pg_catalog.array_to_string(s.settings, pg_catalog.chr(31)), l.generation, s.id, s.query, l.mode, l.reason, l.key_index,
       pg_catalog.array_to_string(l.key_columns, ' ')
  FROM pgtrickle.stream_table s JOIN pgtrickle.live_table l ON l.id = s.id
 WHERE l.system_identifier = $1::int8 AND l.database = $2::oid";

/// All stream tables of this database, in order of name.
pub fn all() -> Vec<Definition> {
    let (system, database) = role::incarnation();
    let rows = as_extension(|| {
        let statement = format!("{SELECT} ORDER BY s.table_schema, s.table_name");
        spi::query(&statement, &[Some(&system), Some(&database)])
    });
    rows.into_iter().filter_map(read).collect()
}

/// One stream table; `None` if `table` is none.
pub fn find(table: u32) -> Option<Definition> {
    let (system, database) = role::incarnation();
    let rows = as_extension(|| {
        let statement = format!("{SELECT} AND l.relid = $3::oid");
        spi::query(&statement, &[Some(&system), Some(&database), Some(&table.to_string())])
    });
    rows.into_iter().next().and_then(read)
}

/// A row of [`SELECT`]; `None` if its table is gone, or a column that is never null is.
fn read(row: TextRow) -> Option<Definition> {
    let mut columns = row.into_iter();
    let mut next = || columns.next().flatten();
    let table: u32 = next()?.parse().ok()?;
    let view: u32 = next()?.parse().ok()?;
    let schedule_text = next();
    let refresh_mode = RefreshMode::parse(&next()?)?;
    let tier = Tier::parse(&next()?)?;
    let suspended = next()? == "t";
    let settings = next().unwrap_or_default();
    let settings = settings
        .split(SEPARATOR)
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let generation = next()?.parse().ok()?;
    let id = next()?;
    let query = next()?;
    let mode = if next()? == "full" { Mode::Full } else { Mode::Differential };
    let reason = next();
    let key_index = next()?.parse().ok()?;
    let key_columns = next().and_then(|text| text.split(' ').map(|number| number.parse().ok()).collect());
    let name = qualified_name(table)?;
    Some(Definition {
        table,
        view,
        owner: role::owner(table),
        name,
        schedule: Schedule::from_catalog(schedule_text.as_deref()),
        refresh_mode,
        tier,
        suspended,
        settings,
        generation,
        id,
        query,
        schedule_text,
        mode,
        reason,
        key_index,
        key_columns,
    })
}

/// What is stored of a new stream table.
pub struct NewDefinition<'a> {
    pub id: &'a str,
    pub table: u32,
    pub query: &'a str,
    pub schedule: Option<&'a str>,
    pub refresh_mode: RefreshMode,
    pub tier: Tier,
    pub settings: &'a [(String, String)],
}

/// Adds the row that a dump carries.
pub fn insert(new: &NewDefinition<'_>) {
    let settings: Vec<String> = new.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let settings = settings.join(&SEPARATOR.to_string());
    as_extension(|| {
        spi::execute(
            "INSERT INTO pgtrickle.stream_table
                    (id, table_schema, table_name, query, schedule, refresh_mode, sla_tier, settings)
             SELECT $1::uuid, n.nspname, c.relname, $3, $4, $5, $6, pg_catalog.string_to_array($7, pg_catalog.chr(31))
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE c.oid = $2::oid",
            &[
                Some(new.id),
                Some(&new.table.to_string()),
                Some(new.query),
                new.schedule,
                Some(new.refresh_mode.name()),
                Some(new.tier.name()),
                Some(&settings),
            ],
        )
    });
}

/// Stores what a user may change.
pub fn update(definition: &Definition) {
    as_extension(|| {
        spi::execute(
            "UPDATE pgtrickle.stream_table SET query = $2, schedule = $3, refresh_mode = $4, sla_tier = $5,
                    suspended = $6::bool
              WHERE id = $1::uuid",
            &[
                Some(&definition.id),
                Some(&definition.query),
                definition.schedule_text.as_deref(),
                Some(definition.refresh_mode.name()),
                Some(definition.tier.name()),
                Some(if definition.suspended { "true" } else { "false" }),
            ],
        )
    });
    // The worker reads the catalog when it hears of a stream table of its own.
    hooks::announce(definition.table);
}
