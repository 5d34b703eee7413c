//! Arguments that several functions take, checked with one clear error each.

use crate::catalog::{self, Definition, RefreshMode, Tier};
use crate::pg::definition::{relation_name, Name};
use crate::pg::txn::Failure;
use crate::pg::{hooks, lock, role};
use crate::schedule::{Schedule, NEVER_FIRES};

/// A definition as the user wants it.
pub struct Wanted<'a> {
    pub query: &'a str,
    /// As written; `None` for the default.
    pub schedule: Option<&'a str>,
    pub refresh_mode: RefreshMode,
    pub tier: Tier,
}

impl<'a> Wanted<'a> {
    pub fn check(
        query: Option<&'a str>,
        schedule: Option<&'a str>,
        refresh_mode: Option<&str>,
        sla_tier: Option<&str>,
    ) -> Wanted<'a> {
        Wanted {
            query: required(query, "query"),
            schedule: schedule_text(schedule),
            refresh_mode: refresh_mode_of(required(refresh_mode, "refresh_mode")),
            tier: tier_of(required(sla_tier, "sla_tier")),
        }
    }
}

pub fn required<T>(value: Option<T>, name: &str) -> T {
    value.unwrap_or_else(|| Failure::new(b"22004", format!("{name} cannot be null")).raise())
}

/// A schedule that can be read, as it is to be stored.
pub fn schedule_text(text: Option<&str>) -> Option<&str> {
    let text = text?;
    match Schedule::parse(text) {
        Ok(Schedule::Default) => None,
        Ok(_) => Some(text.trim()),
        Err(reason) => {
            let failure = Failure::new(b"22023", format!("invalid schedule: \"{text}\""));
            let failure = match reason == NEVER_FIRES {
                true => failure.hint("Give days of the month that its months have."),
                false => failure,
            };
            failure.detail(reason).raise()
        }
    }
}

pub fn refresh_mode_of(text: &str) -> RefreshMode {
    RefreshMode::parse(text).unwrap_or_else(|| {
        Failure::new(b"22023", format!("invalid refresh_mode: \"{text}\""))
            .hint("Valid values are \"auto\", \"differential\" and \"full\".")
            .raise()
    })
}

pub fn tier_of(text: &str) -> Tier {
    Tier::parse(text).unwrap_or_else(|| {
        Failure::new(b"22023", format!("invalid sla_tier: \"{text}\""))
            .hint("Valid values are \"critical\", \"standard\" and \"background\".")
            .raise()
    })
}

/// Whether `status` is to be suspended.
pub fn suspended_of(text: &str) -> bool {
    match text {
        "active" => false,
        "suspended" => true,
        _ => Failure::new(b"22023", format!("invalid status: \"{text}\""))
            .hint("Valid values are \"active\" and \"suspended\".")
            .raise(),
    }
}

/// The OID of a stream table by name; an ERROR if there is none.
pub fn stream_table(name: &str) -> u32 {
    let name = Name::parse(name);
    let Some(relation) = name.find() else {
        Failure::new(b"42P01", format!("stream table \"{}\" does not exist", name.display())).raise()
    };
    require_stream_table(relation);
    relation
}

pub fn require_stream_table(relation: u32) {
    if hooks::stream_table_view(relation).is_none() {
        Failure::new(b"42809", format!("\"{}\" is not a stream table", relation_name(relation))).raise()
    }
}

/// The definition of a stream table by name.
pub fn definition(name: &str) -> Definition {
    definition_of(stream_table(name))
}

pub fn definition_of(relation: u32) -> Definition {
    // It may have been dropped since it was found by its name.
    catalog::definition::find(relation).unwrap_or_else(|| gone(relation))
}

/// The definition, for a change of it: nobody else changes it before this transaction ends, nor drops the table.
pub fn definition_to_change(relation: u32) -> Definition {
    lock::definition(relation);
    if !lock::lock_existing(relation, lock::Mode::AccessShare) {
        gone(relation);
    }
    definition_of(relation)
}

fn gone(relation: u32) -> ! {
    Failure::new(b"42P01", format!("stream table \"{}\" does not exist", relation_name(relation))).raise()
}

/// Raises unless the current user owns the stream table.
pub fn require_owner(relation: u32) {
    if role::owner_if_any(relation).is_none() {
        gone(relation);
    }
    if !role::owns(role::current(), relation) {
        Failure::new(b"42501", format!("must be owner of stream table {}", relation_name(relation))).raise()
    }
}

/// Raises unless the current user may have the stream table maintained: its owner, or with MAINTAIN on it.
pub fn require_maintain(relation: u32) {
    if !may_maintain(relation) {
        Failure::new(b"42501", format!("permission denied for stream table {}", relation_name(relation))).raise()
    }
}

pub fn may_maintain(relation: u32) -> bool {
    role::has_privilege(role::current(), relation, pgrx::pg_sys::ACL_MAINTAIN)
}

/// Raises unless the current user may read the stream table.
pub fn require_select(relation: u32) {
    if !role::has_privilege(role::current(), relation, pgrx::pg_sys::ACL_SELECT) {
        Failure::new(b"42501", format!("permission denied for stream table {}", relation_name(relation))).raise()
    }
}
