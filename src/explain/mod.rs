//! What the engine would do for a query, in EXPLAIN's look. Nothing is run.

use crate::api::{incremental_plan, Reason};
use crate::pg::catalog_lookup::{self, attribute_name};
use crate::pg::definition::{quote_identifier, relation_name};
use crate::pg::txn::Failure;
use crate::pg::{spi, text};
use pgrx::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;
use trickle_operators::plan::text::{self as plan_text, FunctionName, Names};
use trickle_operators::value::Kind;

#[pg_extern]
fn explain(query: Option<&str>, format: Option<&str>) -> SetOfIterator<'static, String> {
    crate::api::require_preloaded();
    let null = |name: &str| -> ! { Failure::new(b"22004", format!("{name} cannot be null")).raise() };
    let query = query.unwrap_or_else(|| null("query"));
    let format = format.unwrap_or_else(|| null("format"));
    if format != "text" {
        Failure::new(b"22023", format!("invalid format: \"{format}\"")).hint("The only format is \"text\".").raise();
    }
    let lines = match incremental_plan(query) {
        Ok(plan) => plan_text::lines(&plan, &Catalogs::default()),
        Err(reason) => full(&reason),
    };
    SetOfIterator::new(lines)
}

fn full(reason: &Reason) -> Vec<String> {
    let mut lines = vec!["Full Refresh".to_string(), format!("  Construct: {}", reason.construct)];
    lines.push(format!("  Reason: {}", reason.detail));
    lines.extend(reason.hint.iter().map(|hint| format!("  Hint: {hint}")));
    lines
}

/// Names by PostgreSQL's catalogs; operators are remembered, because they are found by statement.
#[derive(Default)]
struct Catalogs {
    operators: RefCell<HashMap<u32, Option<String>>>,
}

impl Catalogs {
    fn operator(&self, function: u32) -> Option<String> {
        let look = || {
            let rows = spi::query(
                "SELECT oprname FROM pg_catalog.pg_operator WHERE oprcode OPERATOR(pg_catalog.=) $1::pg_catalog.oid
                  ORDER BY oid LIMIT 1",
                &[Some(&function.to_string())],
            );
            rows.into_iter().next()?.into_iter().next()?
        };
        self.operators.borrow_mut().entry(function).or_insert_with(look).clone()
    }
}

impl Names for Catalogs {
    fn relation(&self, relation: u32) -> String {
        catalog_lookup::qualified_name(relation).unwrap_or_else(|| relation.to_string())
    }

    fn bare(&self, relation: u32) -> String {
        relation_name(relation)
    }

    fn column(&self, relation: u32, attribute: i16) -> String {
        quote_identifier(&attribute_name(relation, attribute).unwrap_or_else(|| attribute.to_string()))
    }

    fn quote(&self, identifier: &str) -> String {
        quote_identifier(identifier)
    }

    fn function(&self, function: u32) -> FunctionName {
        match self.operator(function) {
            Some(name) => FunctionName::Operator(name),
            None => FunctionName::Function(
                catalog_lookup::function(function).map_or_else(|| function.to_string(), |facts| facts.name),
            ),
        }
    }

    fn literal(&self, image: &[u8], kind: Kind) -> String {
        text::literal(image, kind)
    }
}
