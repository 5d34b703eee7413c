//! WITH RECURSIVE: a relation that is defined by itself, round by round.
//!
//! The two arms of the common table expression become the body of a [`Fixpoint`], in which a reference to itself is a leaf.
//! PostgreSQL has already turned SEARCH and CYCLE into columns and conditions. What is to be checked is that the second arm maps
//! each row by itself (see [`Fixpoint`]): for UNION ALL as bags, for UNION as sets ([`super::linear`]). What it joins the rows
//! with does not matter, and neither does what is in subqueries that do not refer to the expression.

use super::block::{Block, Column, Leaf, LeafKind, Output};
use super::equality::{has_key, key_column};
use super::linear::{self, refused};
use super::{Compiler, Lowered};
use crate::pg::query::{Cte, Query, SetColumn, SetKind, SetTree};
use crate::pg::{catalog_lookup, image};
use trickle_operators::expr::Expr;
use trickle_operators::plan::{Earliest, Fixpoint, Rel};
use trickle_operators::value::{ColumnType, Kind};

const INT8: pgrx::pg_sys::Oid = pgrx::pg_sys::INT8OID;
/// The function of int8 + int8.
const INT8PL: u32 = 463;

/// A recursive common table expression.
pub(super) struct Recursion<'t> {
    query: Query<'t>,
    /// A reference to it: to itself while it is lowered, to the whole after that, which is built once.
    leaf: Leaf<'t>,
}

impl<'t> Compiler<'t, '_> {
    pub(super) fn recursive(&mut self, cte: &Cte<'t>, correlated: bool) -> Lowered<Block<'t>> {
        if correlated {
            return Err(refused(cte, "refers to the query around it"));
        }
        if let Some(known) = self.recursions.iter().find(|known| known.query.is(cte.query)) {
            let mut block = Block::of_relation(self, known.leaf.clone());
            block.outputs.truncate(cte.columns.len());
            return Ok(block);
        }
        let Some(SetTree::Operation { kind: SetKind::Union, all, left, right, types }) = cte.query.set_operations()
        else {
            return Err(refused(cte, "is not a UNION"));
        };
        self.check_clauses(cte.query)?;
        linear::check(cte, &right, all)?;
        let id = self.recursions.len();
        let mut columns: Vec<_> =
            types.iter().zip(&cte.columns).map(|(ty, name)| Some(recursive_column(ty, name))).collect();
        if is_loose(&types, all) {
            // What nobody sees is there all the same.
            let by_image = |column: &Option<Column>| column.as_ref().is_some_and(|column| !has_key(&column.ty));
            let images = columns.iter().filter(|column| by_image(column)).count();
            let hidden = |oid| Column {
                name: ROUND.to_string(),
                ty: image::column_type(oid, -1, pgrx::pg_sys::InvalidOid),
                nullable: false,
                determined: true,
                settled: true,
            };
            columns.push(Some(hidden(INT8)));
            columns.extend((0..images).map(|_| Some(hidden(pgrx::pg_sys::BYTEAOID))));
        }
        let width = columns.len();
        let leaf = Leaf {
            kind: LeafKind::Derived(Rel::Recursive { id, width }),
            name: cte.name.clone(),
            columns,
            keys: Vec::new(),
        };
        self.recursions.push(Recursion { query: cte.query, leaf });
        let correlated = self.correlated.take();
        let leaf = self.at_level(cte.query, |compiler| compiler.fixpoint(cte, id, all, [&left, &right], &types));
        self.correlated = correlated;
        let leaf = leaf?;
        self.recursions[id].leaf = leaf.clone();
        Ok(Block::of_relation(self, leaf))
    }

    fn fixpoint(
        &mut self,
        cte: &Cte<'t>,
        id: usize,
        all: bool,
        arms: [&SetTree; 2],
        types: &[SetColumn],
    ) -> Lowered<Leaf<'t>> {
        let [base, step] = arms.map(|arm| self.set_arm(cte.query, arm, types, &None));
        let loose = is_loose(types, all);
        let body = if loose { self.earliest(cte, id, [base?, step?])? } else { self.plain_body([base?, step?], all)? };
        let Body { rel, mut columns, hidden, keys, earliest } = body;
        if let Some(what) = rel.unfit_for_loop(id) {
            return Err(refused(cte, &format!("needs {what} in each round")));
        }
        // A column of the step may be computed from any column of the round before.
        let determined = !loose && columns.iter().all(|column| column.determined);
        let settled = columns.iter().all(|column| column.settled);
        for (column, name) in columns.iter_mut().zip(&cte.columns) {
            column.name.clone_from(name);
            column.determined = determined;
            column.settled = settled;
        }
        let site = self.site(format!("WITH RECURSIVE {}", cte.name), Vec::new());
        let is_plain = hidden.is_empty();
        let fixpoint = Rel::Fixpoint(Fixpoint {
            id,
            name: cte.name.clone(),
            columns: cte.columns.iter().cloned().chain(hidden).collect(),
            body: Box::new(rel),
            earliest,
            rounds: self.options.recursion_rounds,
            site,
        });
        let shown = (0..columns.len()).collect();
        Ok(Leaf {
            kind: LeafKind::Derived(match is_plain {
                true => fixpoint,
                false => Rel::Project { input: Box::new(fixpoint), columns: shown },
            }),
            name: cte.name.clone(),
            columns: columns.into_iter().map(Some).collect(),
            keys,
        })
    }

    fn plain_body(&mut self, arms: [Block<'t>; 2], all: bool) -> Lowered<Body> {
        let mut block = self.union(arms.into(), "UNION ALL")?;
        if !all {
            block = self.distinct(block, "UNION")?;
        }
        let finished = self.finish(&block)?;
        let (columns, keys) = (finished.columns.clone(), finished.keys.clone());
        Ok(Body { rel: finished.projected(), columns, hidden: Vec::new(), keys, earliest: None })
    }

    /// The body of a UNION whose equal rows may be written differently: its rows know their round, after the columns that are
    /// shown; then come the canonical images of those that are compared by these.
    fn earliest(&mut self, cte: &Cte<'t>, id: usize, [base, step]: [Block<'t>; 2]) -> Lowered<Body> {
        let width = base.outputs.len();
        let round = image::column_type(INT8, -1, pgrx::pg_sys::InvalidOid);
        let own =
            |leaf: &Leaf<'t>| matches!(&leaf.kind, LeafKind::Derived(Rel::Recursive { id: found, .. }) if *found == id);
        let leaf = step.leaves.iter().position(own);
        let leaf = leaf.ok_or_else(|| {
            refused(
                cte,
                "does not show each row's own columns, under UNION of values that may be equal and written differently",
            )
        })?;
        let mut step = step;
        let before = self.arena.var(leaf + 1, width as i16 + 1, &round);
        step.outputs.push(Output { name: ROUND.to_string(), expression: before });
        let zero = Expr::Literal(Some(0i64.to_ne_bytes().to_vec()), Kind::Int8);
        let one = Expr::Literal(Some(1i64.to_ne_bytes().to_vec()), Kind::Int8);
        let next = Expr::Call {
            function: INT8PL,
            arguments: vec![Expr::Column(width, Kind::Int8), one],
            kind: Kind::Int8,
            collation: 0,
        };
        let arms = vec![self.with_round(&base, width, zero)?, self.with_round(&step, width, next)?];
        let block = self.union(arms, "UNION ALL")?;
        let mut outputs = block.outputs.clone();
        let mut compared = Vec::new();
        for output in &block.outputs[..width] {
            let canonical = self.canonical(output.expression, output.expression.collation());
            compared.push(canonical.map(|canonical| {
                outputs.push(Output { name: format!("key of {}", output.name), expression: canonical });
                outputs.len() - 1
            }));
        }
        let hidden: Vec<String> = outputs[width..].iter().map(|output| output.name.clone()).collect();
        let finished = self.finish(&Block { outputs, ..block })?;
        let mut keys = Vec::new();
        for (at, compared) in compared.into_iter().enumerate() {
            let place = compared.unwrap_or(at);
            let ty = &finished.columns[place].ty;
            let what = format!("UNION column {}", cte.columns[at]);
            keys.push(key_column(Expr::Column(place, ty.kind), ty, true, &what)?);
        }
        let columns = finished.columns[..width].to_vec();
        let earliest = Some(Earliest { keys, round: width });
        Ok(Body { rel: finished.projected(), columns, hidden, keys: Vec::new(), earliest })
    }

    /// An arm with its rows' round after the first `width` columns.
    fn with_round(&mut self, arm: &Block<'t>, width: usize, round: Expr) -> Lowered<Block<'t>> {
        let finished = self.finish(arm)?;
        let mut columns = finished.columns[..width].to_vec();
        let ty = image::column_type(INT8, -1, pgrx::pg_sys::InvalidOid);
        columns.push(Column { name: ROUND.to_string(), ty, nullable: false, determined: true, settled: true });
        let count = finished.outputs.len();
        // Nobody asks for the place: there are not so many rounds.
        let site = self.site(ROUND.to_string(), Vec::new());
        let map = Rel::Map { input: Box::new(finished.projected()), expressions: vec![round], site };
        let order = (0..width).chain([count]).collect();
        let leaf = Leaf {
            kind: LeafKind::Derived(Rel::Project { input: Box::new(map), columns: order }),
            name: ROUND.to_string(),
            columns: columns.into_iter().map(Some).collect(),
            keys: Vec::new(),
        };
        Ok(Block::of_relation(self, leaf))
    }
}

/// What is to become of a round.
struct Body {
    rel: Rel,
    columns: Vec<Column>,
    /// Names of the columns after them that nobody sees.
    hidden: Vec<String>,
    keys: Vec<Vec<usize>>,
    earliest: Option<Earliest>,
}

const ROUND: &str = "round";

/// Whether which of several equal rows goes round makes a difference.
fn is_loose(types: &[SetColumn], all: bool) -> bool {
    !all && types.iter().any(|ty| !exact(&image::column_type(ty.oid.into(), ty.typmod, ty.collation.into())))
}

fn recursive_column(ty: &SetColumn, name: &str) -> Column {
    Column {
        name: name.to_string(),
        ty: image::column_type(ty.oid.into(), ty.typmod, ty.collation.into()),
        nullable: true,
        determined: true,
        settled: true,
    }
}

/// Whether equal values have the same image, in an array too.
fn exact(ty: &ColumnType) -> bool {
    catalog_lookup::equal_image(ty)
        || catalog_lookup::element_type(ty).is_some_and(|element| catalog_lookup::equal_image(&element))
}
