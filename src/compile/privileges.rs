//! Who may read what a query reads.

use crate::pg::catalog_lookup;
use crate::pg::node::Arena;
use crate::pg::query::{self, Permission, Query};

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

/// The first relation, if any, that the owner of a view may not read as the view does (HAZARDS H36). Raises an ERROR if there
/// is no such view.
pub fn denied(view: u32) -> Option<Denied> {
    let arena = Arena::new();
    let query = query::of_view(&arena, view).ok()?;
    let mut denied = None;
    each_level(query, &mut |level| {
        if level.permitted() {
            return true;
        }
        let relation = level.permissions().first().map_or(0, |permission| permission.relation);
        denied = Some(Denied { relation, name: catalog_lookup::qualified_name(relation).unwrap_or_default() });
        false
    });
    denied
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
