//! A layout: which columns of a source a change row holds, and their types.
//!
//! The trigger gets its part (the id, and each column's number and type) as arguments, so that it reaches a writer with
//! the table's definition, under the same lock and invalidation, and no table must be read (HAZARDS H16). The whole of
//! it is kept in pgtrickle.layout: enough to decode a change row when the columns and even their types are gone (H9).

use crate::capture::members::Member;
use crate::pg::image;
use crate::pg::relation::{Attribute, TABLE_OID};
use crate::pg::trigger::Column;
use crate::pg::txn::Failure;
use pgrx::Spi;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use trickle_operators::value::{ColumnType, Row, RowRef};

pub type LayoutId = i32;

/// Version of the form of the trigger's arguments.
const FORM: &str = "2";

/// The argument that says whether a change of a column that is not captured is told.
const EVERY_CHANGE: &str = "every";
const CAPTURED_ONLY: &str = "captured";

/// What a trigger knows of its layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    pub layout: LayoutId,
    /// By attribute number. Empty: only that something changed is recorded.
    pub columns: Vec<Column>,
    /// Whether an UPDATE that leaves these columns as they were is recorded too, as something that changed: full-mode
    /// stream tables read columns that nobody counts.
    pub every_change: bool,
}

/// A layout as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub id: LayoutId,
    pub source: u32,
    /// By attribute number, which is the order of a row's columns.
    pub columns: Vec<(i16, ColumnType)>,
}

/// Where the value of a column is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a change row, counted from 0.
    Column(usize),
    /// It is the OID of the table that the change row is of.
    TableOid,
}

/// The row of the values at `places`, of a change row of `table`.
pub fn arranged(row: RowRef<'_>, table: u32, places: impl Iterator<Item = Place>) -> Row {
    let oid = table.to_ne_bytes();
    Row::from_columns(places.map(|place| match place {
        Place::Column(at) => row.column(at),
        Place::TableOid => Some(oid.as_slice()),
    }))
}

impl Captured {
    pub fn arguments(&self) -> Vec<String> {
        let columns = self.columns.iter().map(|column| format!("{}:{}", column.attnum, column.ty));
        let every = if self.every_change { EVERY_CHANGE } else { CAPTURED_ONLY };
        [FORM.to_string(), self.layout.to_string(), every.to_string()].into_iter().chain(columns).collect()
    }

    /// `None` if the arguments are not in the form that this version of the library writes.
    pub fn parse<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Option<Captured> {
        if arguments.next()? != FORM {
            return None;
        }
        let layout = arguments.next()?.parse().ok()?;
        let every_change = match arguments.next()? {
            EVERY_CHANGE => true,
            CAPTURED_ONLY => false,
            _ => return None,
        };
        let columns = arguments
            .map(|argument| {
                let (attnum, ty) = argument.split_once(':')?;
                Some(Column { attnum: attnum.parse().ok()?, ty: ty.parse().ok()? })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Captured { layout, columns, every_change })
    }
}

thread_local! {
    /// Layouts never change once they are made.
    static KNOWN: RefCell<HashMap<LayoutId, Rc<Layout>>> = RefCell::new(HashMap::new());
}

impl Layout {
    /// Writes a new layout, in the worker's transaction.
    pub fn create(source: u32, attributes: &[&Attribute]) -> Result<LayoutId, Failure> {
        let id: i32 = Spi::get_one("SELECT coalesce(max(layout), 0) + 1 FROM pgtrickle.layout")
            .map_err(|error| Failure::new(b"XX000", format!("could not number a layout: {error}")))?
            .unwrap_or(1);
        for attribute in attributes {
            let ty = &attribute.ty;
            let command = format!(
                "INSERT INTO pgtrickle.layout (layout, source, attnum, name, type, base_type, typmod, collation_id, length, \
                 by_value, align) VALUES ({id}, {source}, {}, $1, {}, {}, {}, {}, {}, {}, '{}')",
                attribute.attnum,
                ty.oid,
                attribute.base,
                ty.typmod,
                ty.collation,
                ty.length,
                ty.by_value,
                char::from(ty.align)
            );
            Spi::run_with_args(&command, &[attribute.name.clone().into()])
                .map_err(|error| Failure::new(b"XX000", format!("could not write a layout: {error}")))?;
        }
        Ok(id)
    }

    /// A layout by its id, from memory or the catalog.
    pub fn load(id: LayoutId) -> Result<Rc<Layout>, Failure> {
        if let Some(layout) = KNOWN.with_borrow(|known| known.get(&id).cloned()) {
            return Ok(layout);
        }
        let layout = Rc::new(Self::read(id)?);
        KNOWN.with_borrow_mut(|known| known.insert(id, layout.clone()));
        Ok(layout)
    }

    /// The columns of a source that change rows of its member have in this layout, each with its place in them.
    pub fn columns_of(&self, member: &Member) -> Vec<(i16, Place)> {
        let places = self.columns.iter().enumerate();
        places.filter_map(|(place, (own, _))| Some((member.of_source(*own)?, Place::Column(place)))).collect()
    }

    /// The place of a column of the table that the layout is of.
    pub fn place(&self, own: i16) -> Option<Place> {
        match own {
            TABLE_OID => Some(Place::TableOid),
            own => self.columns.iter().position(|(have, _)| *have == own).map(Place::Column),
        }
    }

    fn read(id: LayoutId) -> Result<Layout, Failure> {
        let mut layout = Layout { id, source: 0, columns: Vec::new() };
        let read = Spi::connect(|client| {
            let command = format!(
                "SELECT source, attnum, type, base_type, typmod, collation_id, length, by_value, align::text \
                 FROM pgtrickle.layout WHERE layout = {id} ORDER BY attnum"
            );
            for row in client.select(&command, None, &[])? {
                let oid = |at| row.get::<pgrx::pg_sys::Oid>(at).map(|oid| oid.map_or(0, |oid| oid.to_u32()));
                layout.source = oid(1)?;
                let ty = ColumnType {
                    kind: image::kind(oid(4)?),
                    oid: oid(3)?,
                    typmod: row.get(5)?.unwrap_or(-1),
                    collation: oid(6)?,
                    length: row.get(7)?.unwrap_or(-1),
                    by_value: row.get(8)?.unwrap_or(false),
                    align: row.get::<&str>(9)?.and_then(|align| align.bytes().next()).unwrap_or(b'i'),
                };
                layout.columns.push((row.get(2)?.unwrap_or(0), ty));
            }
            Ok::<(), pgrx::spi::Error>(())
        });
        read.map_err(|error| Failure::new(b"XX000", format!("could not read layout {id}: {error}")))?;
        match layout.columns.is_empty() {
            true => Err(Failure::new(b"XX001", format!("layout {id} of the change buffer does not exist"))),
            false => Ok(layout),
        }
    }
}
