//! Capture: from a user's statement to a change row in a segment, and from there to a cut.
//!
//! The side of the sessions is [`record`] (what a capture trigger does) and [`segments::place`] (where it writes); the
//! side of the worker is [`install`] (triggers and layouts), [`segments`] (rotating, sealing, freeing), [`cut`] (reading
//! exactly what lies between two snapshots), [`members`] (whose changes are a source's; [`kin`]: how new ones begin) and [`generation`] (the net under
//! every change that no trigger saw).

pub mod cut;
pub mod generation;
pub mod install;
pub mod kin;
pub mod layout;
pub mod members;
pub mod payload;
pub mod record;
pub mod segments;

/// What a change row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Changed rows: the payload has them.
    Changes,
    /// Something changed; nobody asked for columns.
    Dirty,
    /// Something changed that is not described: what reads the source must be built anew.
    Break,
}

impl Kind {
    pub fn code(self) -> u8 {
        match self {
            Kind::Changes => b'c',
            Kind::Dirty => b'd',
            Kind::Break => b'b',
        }
    }

    pub fn from_code(code: u8) -> Option<Kind> {
        [Kind::Changes, Kind::Dirty, Kind::Break].into_iter().find(|kind| kind.code() == code)
    }
}

/// Prepares a process for capturing; called when the library is loaded.
pub fn init() {
    crate::pg::trigger::handle(record::fired);
}
