//! An outer join, semijoin or antijoin as a relation.

use super::{Kind, Outer};
use crate::compile::block::{columns_of, missing_column, Block, Leaf, LeafKind, Output};
use crate::compile::equality::image_column;
use crate::compile::stage::Stage;
use crate::compile::{Compiler, Lowered, NotIncremental};
use crate::pg::catalog_lookup;
use crate::pg::node::{Node, View};
use std::collections::{BTreeSet, HashMap};
use trickle_operators::expr::Expr;
use trickle_operators::plan::{Join, JoinInput, Lookup, Reduce, Rel};
use trickle_operators::value::ColumnType;

/// One side with what is used of it.
struct Side<'t> {
    /// As an input of a join.
    leaf: Leaf<'t>,
    /// Outputs that are used, each with the leaf's attribute number.
    used: Vec<(usize, i16)>,
    /// All rows, with the used outputs as columns.
    rel: Rel,
    columns: Vec<(String, ColumnType)>,
}

impl<'t> Compiler<'t, '_> {
    /// The join as leaf 0 of a block that uses these of its columns.
    pub(in crate::compile) fn outer_join(&mut self, outer: &Outer<'t>, used: &BTreeSet<i16>) -> Lowered<Stage> {
        let offset = outer.sides[0].outputs.len();
        let mut wanted: [BTreeSet<usize>; 2] = Default::default();
        for column in used.iter().map(|attribute| *attribute as usize - 1) {
            let side = usize::from(column >= offset);
            wanted[side].insert(column - side * offset);
        }
        for (side, attribute) in outer.condition.iter().flat_map(|condition| columns_of(*condition)) {
            wanted[side].insert(attribute as usize - 1);
        }
        let [mut first, mut second] = wanted;
        some_of(&outer.sides[0], &mut first)?;
        some_of(outer.whole.as_ref().unwrap_or(&outer.sides[1]), &mut second)?;
        let sides = [self.outer_side(&outer.sides[0], &first)?, self.outer_side(&outer.sides[1], &second)?];
        let whole = match &outer.whole {
            Some(block) => {
                second.retain(|output| *output < block.outputs.len());
                Some(self.outer_side(block, &second)?)
            }
            None => None,
        };
        let condition: Vec<Node<'t>> =
            outer.condition.iter().map(|condition| self.in_leaves(*condition, &sides)).collect::<Lowered<_>>()?;

        let block = Block {
            leaves: sides.iter().map(|side| side.leaf.clone()).collect(),
            predicates: condition.clone(),
            outputs: (0..2).flat_map(|side| self.side_outputs(&sides[side], side + 1)).collect(),
            ..Block::default()
        };
        let mut joined = match outer.kind {
            Kind::Left | Kind::Full => Some(self.columns(&block)?),
            Kind::Semi | Kind::Anti => None,
        };
        let mut inputs: Vec<Rel> = joined.iter().cloned().collect();
        for kept in 0..=usize::from(outer.kind == Kind::Full) {
            let rows = whole.as_ref().filter(|_| kept == 1).unwrap_or(&sides[kept]);
            let by_keys = match kept == 1 && whole.is_some() {
                true => None,
                false => self.by_keys(&sides, kept, &condition)?,
            };
            let matched = match by_keys {
                Some(matched) => matched,
                None => {
                    let pairs = match joined.take() {
                        Some(pairs) => pairs,
                        None => self.columns(&block)?,
                    };
                    let start = if kept == 0 { 0 } else { sides[0].columns.len() };
                    self.by_image(rows, start, joined.insert(pairs))
                }
            };
            if outer.kind == Kind::Semi {
                inputs.push(matched);
                continue;
            }
            let matched = Rel::Negate { input: Box::new(matched) };
            let rest = Rel::Union { inputs: vec![rows.rel.clone(), matched] };
            inputs.push(if outer.kind == Kind::Anti { rest } else { self.pad(rows, &sides, kept, rest) });
        }
        let rel = if inputs.len() == 1 { inputs.remove(0) } else { Rel::Union { inputs } };
        let shown = if matches!(outer.kind, Kind::Semi | Kind::Anti) { 1 } else { 2 };
        let mut positions = HashMap::new();
        let mut columns = Vec::new();
        for (side, start) in sides.into_iter().zip([0, offset]).take(shown) {
            for ((output, _), column) in side.used.iter().zip(side.columns) {
                positions.insert((0, (start + output) as i16 + 1), columns.len());
                columns.push(column);
            }
        }
        Ok(Stage { rel: self.share(rel), positions, columns })
    }

    fn outer_side(&mut self, block: &Block<'t>, wanted: &BTreeSet<usize>) -> Lowered<Side<'t>> {
        let outputs: Vec<Output<'t>> = wanted.iter().map(|output| block.outputs[*output].clone()).collect();
        let columns: Vec<(String, ColumnType)> =
            outputs.iter().map(|output| (output.name.clone(), output.expression.column_type())).collect();
        // A table with nothing to be done is looked up where all graphs do.
        let attributes: Option<Vec<i16>> = match &block.leaves[..] {
            [Leaf { kind: LeafKind::Table { .. }, .. }] if block.predicates.is_empty() => outputs
                .iter()
                .map(|output| match output.expression.view() {
                    View::Var(var) => Some(var.attribute),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        if let Some(attributes) = attributes {
            let leaf = block.leaves[0].clone();
            let scan = self.scan(0, &leaf, &attributes.iter().copied().collect())?;
            let places = attributes.iter().map(|attribute| scan.positions[&(0, *attribute)]).collect();
            let rel = Rel::Project { input: Box::new(scan.rel), columns: places };
            let used = wanted.iter().copied().zip(attributes).collect();
            return Ok(Side { leaf, used, rel, columns });
        }
        let finished = self.finish(&Block { outputs, ..block.clone() })?;
        let (described, keys) = (finished.columns.iter().cloned().map(Some).collect(), finished.keys.clone());
        let rel = finished.projected();
        let leaf = Leaf { kind: LeafKind::Derived(rel.clone()), name: "input".to_string(), columns: described, keys };
        let used = wanted.iter().copied().zip(1..).collect();
        Ok(Side { leaf, used, rel, columns })
    }

    /// The condition in terms of the sides' leaves.
    fn in_leaves(&self, condition: Node<'t>, sides: &[Side<'t>; 2]) -> Lowered<Node<'t>> {
        self.arena.rewrite(condition, &mut |node| match node.view() {
            View::Var(var) => {
                let output = var.attribute as usize - 1;
                let place = sides[var.entry - 1].used.iter().find(|(used, _)| *used == output);
                let (_, attribute) = place.ok_or_else(missing_column)?;
                Ok(Some(self.arena.var_like(node, var.entry, *attribute)))
            }
            _ => Ok(None),
        })
    }

    fn side_outputs(&self, side: &Side<'t>, entry: usize) -> Vec<Output<'t>> {
        let outputs = side.used.iter().zip(&side.columns);
        outputs
            .map(|((_, attribute), (name, ty))| Output {
                name: name.clone(),
                expression: self.arena.var(entry, *attribute, ty),
            })
            .collect()
    }

    /// A block whose outputs are columns, as a relation of just these.
    fn columns(&mut self, block: &Block<'t>) -> Lowered<Rel> {
        Ok(self.finish(block)?.projected())
    }

    /// The rows of side `kept` that the other side's keys match; none if the condition is not made of keys.
    fn by_keys(&mut self, sides: &[Side<'t>; 2], kept: usize, condition: &[Node<'t>]) -> Lowered<Option<Rel>> {
        let other = 1 - kept;
        let (mut own, mut others, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for predicate in condition {
            let read: BTreeSet<usize> = columns_of(*predicate).into_iter().map(|column| column.0).collect();
            match (read.contains(&kept), read.contains(&other)) {
                (true, true) => match key_of(*predicate, other) {
                    Some(key) => keys.push((*predicate, key)),
                    None => return Ok(None),
                },
                // What fails must not fail twice.
                _ if !self.is_certain(*predicate) => return Ok(None),
                (false, true) => others.push(*predicate),
                _ => own.push(*predicate),
            }
        }
        let mut expressions: Vec<Node<'t>> = Vec::new();
        for (_, key) in &keys {
            if !expressions.contains(key) {
                expressions.push(*key);
            }
        }
        // Without a key all that matters is whether there is a row at all.
        let some = [self.arena.truth()];
        let shown = if expressions.is_empty() { &some[..] } else { &expressions[..] };
        let below = Block {
            leaves: vec![sides[other].leaf.clone()],
            predicates: others.iter().map(|predicate| self.moved(*predicate, 1)).collect::<Lowered<_>>()?,
            outputs: shown
                .iter()
                .map(|key| Ok(Output { name: "key".to_string(), expression: self.moved(*key, 1)? }))
                .collect::<Lowered<_>>()?,
            ..Block::default()
        };
        let Ok(distinct) = self.distinct(below, "a join condition") else { return Ok(None) };
        let mut predicates =
            own.iter().map(|predicate| self.moved(*predicate, 1)).collect::<Lowered<Vec<Node<'t>>>>()?;
        for (predicate, key) in keys {
            let at = expressions.iter().position(|known| *known == key).expect("every key is an expression");
            let var = self.arena.var(2, at as i16 + 1, &key.column_type());
            predicates.push(self.arena.rewrite::<NotIncremental>(predicate, &mut |node| match node.view() {
                _ if node == key => Ok(Some(var)),
                View::Var(own) => Ok(Some(self.arena.var_like(node, 1, own.attribute))),
                _ => Ok(None),
            })?);
        }
        let set = distinct.leaves.into_iter().next().expect("a reduced relation is one leaf");
        let matched = Block {
            leaves: vec![sides[kept].leaf.clone(), set],
            predicates,
            outputs: self.side_outputs(&sides[kept], 1),
            ..Block::default()
        };
        self.columns(&matched).map(Some)
    }

    /// Whether the engine evaluates it, and it cannot raise.
    pub(super) fn is_certain(&self, predicate: Node<'t>) -> bool {
        let positions = columns_of(predicate).into_iter().enumerate().map(|(at, column)| (column, at)).collect();
        self.certain(predicate, &positions).is_some()
    }

    fn moved(&self, expression: Node<'t>, entry: usize) -> Lowered<Node<'t>> {
        self.arena.rewrite(expression, &mut |node| match node.view() {
            View::Var(var) => Ok(Some(self.arena.var_like(node, entry, var.attribute))),
            _ => Ok(None),
        })
    }

    /// Those rows of a side that occur in the join, where their columns begin at `start`, by what they are.
    fn by_image(&mut self, side: &Side<'t>, start: usize, joined: &Rel) -> Rel {
        let types: Vec<ColumnType> = side.columns.iter().map(|(_, ty)| ty.clone()).collect();
        let width = types.len();
        let key: Vec<_> = types.iter().enumerate().map(|(at, ty)| image_column(at, ty)).collect();
        let site = self.site("outer join".to_string(), types.clone());
        let in_join = Rel::Reduce(Reduce {
            input: Box::new(Rel::Project {
                input: Box::new(joined.clone()),
                columns: (start..start + width).collect(),
            }),
            keys: key.clone(),
            aggregates: Vec::new(),
            collected: None,
            global: false,
            site,
        });
        let step = |input: usize, from: usize| Lookup {
            input,
            probe: types.iter().enumerate().map(|(at, ty)| Expr::Column(from + at, ty.kind)).collect(),
            key: key.clone(),
            filter: Vec::new(),
        };
        let input = |relation| JoinInput { relation, width, filter: Vec::new() };
        let site = self.site("outer join".to_string(), types.iter().chain(&types).cloned().collect());
        let join = Rel::Join(Join {
            inputs: vec![input(side.rel.clone()), input(in_join)],
            paths: vec![vec![step(1, 0)], vec![step(0, width)]],
            residual: Vec::new(),
            site,
        });
        Rel::Project { input: Box::new(join), columns: (0..width).collect() }
    }

    /// Rows of side `kept` with NULLs for the columns that they do not have.
    fn pad(&mut self, rows: &Side<'t>, sides: &[Side<'t>; 2], kept: usize, rest: Rel) -> Rel {
        let own = rows.columns.len();
        let other = &sides[1 - kept].columns;
        let further = &sides[kept].columns[own..];
        let expressions = other.iter().chain(further).map(|(_, ty)| Expr::Literal(None, ty.kind)).collect();
        let (other, end) = (own + other.len(), own + other.len() + further.len());
        let site = self.site("NULL".to_string(), rows.columns.iter().map(|(_, ty)| ty.clone()).collect());
        let padded = Rel::Map { input: Box::new(rest), expressions, site };
        match kept {
            0 => padded,
            _ => Rel::Project {
                input: Box::new(padded),
                columns: (own..other).chain(0..own).chain(other..end).collect(),
            },
        }
    }
}

/// Rows are told apart by their columns: there must be one.
fn some_of(block: &Block<'_>, wanted: &mut BTreeSet<usize>) -> Lowered<()> {
    if wanted.range(..block.outputs.len()).next().is_none() {
        let fixed = |output: &Output<'_>| output.expression.column_type().length > 0;
        let some = block.outputs.iter().position(fixed).or((!block.outputs.is_empty()).then_some(0));
        let none = || NotIncremental::new("outer join", "An outer join has an input without columns.");
        wanted.insert(some.ok_or_else(none)?);
    }
    Ok(())
}

/// The other side's expression, if the predicate is an equality of one with one of the kept side, and each value of the
/// kept side's is equal to at most one of the other's distinct values.
fn key_of<'t>(predicate: Node<'t>, other: usize) -> Option<Node<'t>> {
    let call = match predicate.view() {
        View::Operator(call) => call,
        View::Not(inner) => match inner.view() {
            View::Distinct(call) => call,
            _ => return None,
        },
        _ => return None,
    };
    let [left, right] = call.arguments[..] else { return None };
    let of = |node: Node<'t>| columns_of(node).iter().all(|column| column.0 == other);
    let key = match (of(left), of(right)) {
        (true, false) => left,
        (false, true) => right,
        _ => return None,
    };
    let apart = {
        let against = if key == left { right } else { left };
        columns_of(against).iter().all(|column| column.0 != other) && against.type_oid() == key.type_oid()
    };
    let same = catalog_lookup::default_equality(key.type_oid(), call.operator)
        && catalog_lookup::deterministic(call.collation)
        && catalog_lookup::deterministic(key.collation());
    (apart && same).then_some(key)
}
