//! Stamps: what PostgreSQL evaluates for a graph, identified in time (HAZARDS E16).
//!
//! The engine never evaluates the past again, so a graph is only good as long as its functions, operators, types and
//! collations are the ones that it was built with. What comes with the server changes only with the server, and a restart
//! of the server rebuilds every graph: it is not stamped. Of a type everything counts that its values' texts depend on: the
//! types that it is made of, labels, attributes, constraints. A function that is not compiled can call others, which nothing
//! tells: then every change of any function of the database counts.

use crate::pg::catalog_lookup::{self, RowStamp, StampedCatalog};
use crate::pg::node::{Node, View};
use crate::pg::query::Query;
use crate::pg::type_lookup::{self, RowAttribute};
use std::collections::BTreeMap;
use trickle_operators::value::ColumnType;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    rows: BTreeMap<(StampedCatalog, u32), Option<RowStamp>>,
    /// The labels of each enum type: their texts are not in the type's row.
    enums: BTreeMap<u32, Vec<(u32, u32)>>,
    /// The attributes of each composite type: they are not in the type's row either.
    composites: BTreeMap<u32, Vec<RowAttribute>>,
    /// The constraints of each domain, likewise.
    domains: BTreeMap<u32, Vec<(u32, u32)>>,
    /// Some function is neither C nor internal: a graph with it depends on all function DDL of the database.
    pub interpreted: bool,
}

impl Stamps {
    /// Whether a stamped object is not what it was; to be asked in the transaction that publishes what it computed.
    pub fn changed(&self) -> bool {
        self.rows.iter().any(|((catalog, object), stamp)| catalog_lookup::row_stamp(*catalog, *object) != *stamp)
            || self.enums.iter().any(|(ty, labels)| catalog_lookup::enum_labels(*ty) != *labels)
            || self.composites.iter().any(|(ty, attributes)| type_lookup::row_attributes(*ty) != *attributes)
            || self.domains.iter().any(|(ty, constraints)| type_lookup::constraints(*ty) != *constraints)
    }

    fn add(&mut self, catalog: StampedCatalog, object: u32) {
        if object != 0 && !catalog_lookup::builtin(object) {
            self.rows.entry((catalog, object)).or_insert_with(|| catalog_lookup::row_stamp(catalog, object));
        }
    }

    /// A type by whose values the engine sorts: of an enum, its labels say how.
    pub(super) fn add_order(&mut self, ty: &ColumnType) {
        if !catalog_lookup::enum_order(ty.oid).is_empty() {
            self.add_type(ty.oid);
        }
    }

    /// A type with those that its values are made of.
    fn add_type(&mut self, ty: u32) {
        if ty == 0 || catalog_lookup::builtin(ty) || self.rows.contains_key(&(StampedCatalog::Type, ty)) {
            return;
        }
        self.add(StampedCatalog::Type, ty);
        let labels = catalog_lookup::enum_labels(ty);
        if !labels.is_empty() {
            self.enums.insert(ty, labels);
        }
        let attributes = type_lookup::row_attributes(ty);
        if !attributes.is_empty() {
            self.composites.insert(ty, attributes);
        }
        if type_lookup::is_domain(ty) {
            self.domains.insert(ty, type_lookup::constraints(ty));
        }
        for component in type_lookup::component_types(ty) {
            self.add_type(component);
        }
    }

    /// The types of everything in a query that is run as a whole. Which functions it calls is not known: they may call others.
    pub(super) fn of_types(query: Query<'_>) -> Stamps {
        let mut stamps = Stamps::default();
        query.node().visit(&mut |node| {
            if node.is_expression() {
                stamps.add_type(node.type_oid());
            }
            false
        });
        stamps
    }

    /// A function, with those that it is made of.
    pub(super) fn add_function(&mut self, function: u32) {
        self.add(StampedCatalog::Function, function);
        if let Some(facts) = catalog_lookup::function(function) {
            if facts.aggregate {
                for part in catalog_lookup::aggregate_parts(function) {
                    self.add_function(part);
                }
            } else if !facts.builtin && !facts.compiled {
                self.interpreted = true;
            }
        }
    }

    /// Adds everything that evaluating `expression` depends on.
    pub(super) fn add_expression(&mut self, expression: Node<'_>) {
        expression.visit(&mut |node| {
            for function in node.functions() {
                self.add_function(function);
            }
            if let View::Operator(call) | View::Distinct(call) | View::NullIf(call) = node.view() {
                self.add(StampedCatalog::Operator, call.operator);
            }
            if node.is_expression() {
                self.add_type(node.type_oid());
                self.add(StampedCatalog::Collation, node.collation());
            }
            false
        });
    }
}
