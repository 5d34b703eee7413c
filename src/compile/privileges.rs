//! Who may read what a query reads.

use crate::compile::check::check_function;
use crate::pg::catalog_lookup;
use crate::pg::clock::reads_clock;
use crate::pg::node::{Arena, Node, View};
use crate::pg::query::{self, Permission, Query, RangeKind};

/// A relation that its reader may not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub relation: u32,
    pub name: String,
}

/// All permissions that a query needs, its subqueries and the views that it reads included.
pub(super) fn of(query: Query<'_>) -> Vec<Permission> {
    let mut permissions: Vec<Permission> = Vec::new();
    each_level(query, &mut |level| {
        for permission in level.permissions() {
            if !permissions.contains(&permission) {
                permissions.push(permission);
            }
        }
        true
    });
    permissions
}

/// The relations of these to which row-level security applies for the role that reads them.
pub(super) fn row_security(permissions: &[Permission]) -> Vec<u32> {
    permissions
        .iter()
        .filter(|permission| catalog_lookup::row_security(permission.relation, permission.role))
        .map(|permission| permission.relation)
        .collect()
}

/// What the owner of a definition may see through it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The first relation, if any, that it may not read.
    pub denied: Option<Denied>,
    /// Row-level security applies to something that it reads.
    pub row_security: bool,
    /// A policy shows other rows to other sessions of the same role, or at another time: a full sentence.
    pub unsteady: Option<String>,
}

/// What the owner of the definition `view` may see through it; as that owner. Raises an ERROR if there is no such view
/// (HAZARDS H36).
pub fn access(view: u32) -> Access {
    let arena = Arena::new();
    let mut access = Access::default();
    let Ok(query) = query::of_view(&arena, view) else { return access };
    each_level(query, &mut |level| {
        if access.denied.is_none() && !level.permitted() {
            let relation = level.denied().unwrap_or(0);
            access.denied = Some(Denied { relation, name: name_of(relation) });
        }
        for entry in level.range_table() {
            let quals = entry.security_quals();
            access.row_security |= !quals.is_empty();
            let RangeKind::Relation { relation, .. } = entry.kind() else { continue };
            if access.unsteady.is_none() {
                access.unsteady = quals.into_iter().find_map(|qual| unsteady(qual, relation));
            }
        }
        true
    });
    access
}

/// Why a policy's condition is not the same for all sessions of a role, at all times. The worker has no session of anybody's,
/// and nothing tells it that a session's settings have changed.
fn unsteady(qual: Node<'_>, relation: u32) -> Option<String> {
    let place = format!("a row-level security policy of {}", name_of(relation));
    let mut found = None;
    qual.visit(&mut |node| {
        found = match node.view() {
            View::CurrentTime(name) => Some(format!("{name} in {place} changes with time.")),
            View::CurrentUser(name @ ("SESSION_USER" | "CURRENT_SCHEMA")) => {
                Some(format!("{name} in {place} depends on the session."))
            }
            View::Function(call) if reads_clock(call.function) => Some(format!(
                "Function {} in {place} changes with time.",
                catalog_lookup::function_signature(call.function)
            )),
            _ => node
                .functions()
                .into_iter()
                .filter(|function| !follows_roles(*function))
                .find_map(|function| check_function(function, &place).err().map(|not| not.detail)),
        };
        found.is_some()
    });
    found
}

/// Asks about memberships of roles, whose changes are noticed.
fn follows_roles(function: u32) -> bool {
    catalog_lookup::function(function).is_some_and(|facts| facts.builtin && facts.name == "pg_has_role")
}

fn name_of(relation: u32) -> String {
    catalog_lookup::qualified_name(relation).unwrap_or_default()
}

/// Raises PostgreSQL's own ERROR if the current user may not read what a query text reads, views as their owners.
pub fn require_permitted(sql: &str) {
    let arena = Arena::new();
    if let Ok(query) = query::of_text(&arena, sql) {
        each_level(query, &mut |level| {
            level.require_permitted();
            true
        });
    }
}

fn each_level(query: Query<'_>, visit: &mut dyn FnMut(Query<'_>) -> bool) {
    query.node().visit(&mut |node| Query::from_node(node).is_some_and(|level| !visit(level)));
}
