//! Loops: the body of a fixpoint, rendered in a scope of its own.

use super::columns::{conjunction, projection, renumber};
use super::join::place;
use super::Builder;
use crate::operators::border::Time;
use crate::operators::linear::{linear as outside, Step};
use crate::operators::pg_map::Results;
use crate::operators::recursion::{
    arrange_by, bound, earliest, enter, gate, leave_errors, linear, negate, pairs, pg_map, reduce, Arranged, Changes,
    LoopErrors, LoopTime,
};
use crate::operators::reduce::Specification;
use crate::operators::{scalar, Collection, Errors};
use crate::plan::{Earliest, Fixpoint, Join, JoinInput, KeyColumn, Reduce, Rel};
use crate::value::{RowBuilder, RowRef};
use differential_dataflow::operators::iterate::Variable;
use std::cell::RefCell;
use std::collections::HashMap;
use timely::dataflow::Scope;
use timely::order::Product;

/// The inside of one loop while it is built.
struct Loop<'i, 's, 'b, 'a> {
    outer: &'b Builder<'s, 'a>,
    scope: Scope<'i, LoopTime>,
    id: usize,
    /// What the body has come to in the round before.
    recursive: Changes<'i, LoopTime>,
    rendered: RefCell<HashMap<Rel, Changes<'i, LoopTime>>>,
    /// What enters arranged, by relation, filter and key.
    arranged: RefCell<HashMap<(JoinInput, Vec<KeyColumn>), Arranged<'s, Time>>>,
    errors: RefCell<Vec<LoopErrors<'i>>>,
    /// Of what enters.
    entering_errors: RefCell<Vec<Errors<'s>>>,
}

impl<'s> Builder<'s, '_> {
    pub(super) fn fixpoint(&self, fixpoint: &Fixpoint) -> Collection<'s> {
        let outer = self.scope;
        outer.iterative::<u64, _, _>(|scope| {
            let (variable, recursive) = Variable::new(scope, Product::new(Default::default(), 1));
            let inside = Loop {
                outer: self,
                scope,
                id: fixpoint.id,
                recursive,
                rendered: RefCell::default(),
                arranged: RefCell::default(),
                errors: RefCell::default(),
                entering_errors: RefCell::default(),
            };
            let mut body = inside.render(&fixpoint.body);
            if let Some(Earliest { keys, round }) = &fixpoint.earliest {
                let keys = keys.clone();
                let key = move |row: RowRef<'_>, out: &mut RowBuilder| scalar::key(&keys, row, out);
                body = earliest(body, key, *round, self.context);
            }
            let (body, totals) = gate(body, fixpoint.rounds, self.context);
            variable.set(body.clone());
            let mut errors: Vec<Errors<'s>> = inside.entering_errors.take();
            errors.extend(inside.errors.take().into_iter().map(|inside| leave_errors(inside, outer)));
            let what = (fixpoint.name.as_str(), fixpoint.rounds, fixpoint.site);
            let (rows, raised) = bound(body, totals, outer, what, self.context);
            errors.push(raised);
            Collection { rows, errors }
        })
    }
}

impl<'i, 's> Loop<'i, 's, '_, '_> {
    fn render(&self, relation: &Rel) -> Changes<'i, LoopTime> {
        if let Some(changes) = self.rendered.borrow().get(relation) {
            return changes.clone();
        }
        let changes = self.build(relation);
        self.rendered.borrow_mut().insert(relation.clone(), changes.clone());
        changes
    }

    fn build(&self, relation: &Rel) -> Changes<'i, LoopTime> {
        if !relation.is_recursive(self.id) {
            return self.collection(relation).enter(self.scope);
        }
        match relation {
            Rel::Recursive { .. } => self.recursive.clone(),
            Rel::Map { .. } | Rel::Filter { .. } | Rel::Project { .. } => {
                let (steps, below) = super::row_by_row(relation);
                self.linear(self.render(below), steps)
            }
            Rel::PgMap { input, fragment, arguments, site } => {
                self.evaluated(input, (*fragment, arguments), Results::One, *site)
            }
            Rel::PgFlatMap { input, fragment, arguments, padded, site } => {
                let results = if *padded { Results::Padded(self.outer.results[*fragment]) } else { Results::Any };
                self.evaluated(input, (*fragment, arguments), results, *site)
            }
            Rel::Union { inputs } => {
                let mut inputs = inputs.iter().map(|input| self.render(input));
                let first = inputs.next().expect("a recursive union has inputs");
                first.concatenate(inputs)
            }
            Rel::Negate { input } => negate(self.render(input)),
            Rel::Join(join) => self.join(join),
            Rel::Reduce(reduce) => self.reduce(reduce),
            Rel::Shared(shared) => self.render(shared.rel()),
            Rel::Source { .. }
            | Rel::StreamTable { .. }
            | Rel::Values { .. }
            | Rel::Repeat { .. }
            | Rel::Temporal(_)
            | Rel::TopK(_)
            | Rel::Window(_)
            | Rel::Fixpoint(_) => {
                unreachable!("the compiler leaves nothing in a loop that is unfit for one")
            }
        }
    }

    fn evaluated(
        &self,
        input: &Rel,
        (fragment, arguments): (usize, &[usize]),
        expected: Results,
        site: usize,
    ) -> Changes<'i, LoopTime> {
        let input = self.render(input);
        let (rows, raised) = pg_map(input, fragment, arguments.to_vec(), expected, site, self.outer.context);
        self.errors.borrow_mut().push(raised);
        rows
    }

    /// A relation of outside, with its times written out.
    fn collection(&self, relation: &Rel) -> Changes<'s, Time> {
        let Collection { rows, errors } = self.outer.render(relation);
        self.entering_errors.borrow_mut().extend(errors);
        enter(rows, self.outer.context)
    }

    fn linear(&self, input: Changes<'i, LoopTime>, steps: Vec<Step>) -> Changes<'i, LoopTime> {
        let (rows, raised) = linear(input, steps, "map", self.outer.context);
        self.errors.borrow_mut().extend(raised);
        rows
    }

    fn reduce(&self, node: &Reduce) -> Changes<'i, LoopTime> {
        let keys = node.keys.clone();
        let key = move |row: RowRef<'_>, out: &mut RowBuilder| scalar::key(&keys, row, out);
        let specification = Specification {
            aggregates: node.aggregates.clone(),
            collected: None,
            global: false,
            site: node.site,
            at: self.outer.at,
        };
        let (rows, raised) = reduce(self.render(&node.input), key, specification, self.outer.context);
        self.errors.borrow_mut().push(raised);
        rows
    }

    /// The lookups of the recursive input's path, one after the other; what comes out of each but the last is arranged. No
    /// other path is needed: a stock join is driven by the changes of both of its inputs.
    fn join(&self, join: &Join) -> Changes<'i, LoopTime> {
        let starts: Vec<usize> =
            join.inputs.iter().scan(0, |next, input| Some(std::mem::replace(next, *next + input.width))).collect();
        let first = join.inputs.iter().position(|input| input.relation.is_recursive(self.id));
        let first = first.expect("one of the inputs makes the join recursive");
        let mut rows = self.filtered(&join.inputs[first]);
        let mut bound: Vec<usize> = (starts[first]..starts[first] + join.inputs[first].width).collect();
        for lookup in &join.paths[first] {
            let input = &join.inputs[lookup.input];
            let name = format!("recursive join input {}", lookup.input);
            let probe: Vec<_> =
                lookup.probe.iter().map(|part| renumber(part, &|column| place(&bound, column))).collect();
            let key = lookup.key.clone();
            let left = arrange_by(rows, &name, self.outer.context, move |row, out| {
                for (part, column) in probe.iter().zip(&key) {
                    if !scalar::part(part, column, row, out)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            });
            bound.extend(starts[lookup.input]..starts[lookup.input] + input.width);
            rows = if input.relation.is_recursive(self.id) {
                let key = lookup.key.clone();
                let right = arrange_by(self.filtered(input), &name, self.outer.context, move |row, out| {
                    scalar::key(&key, row, out)
                });
                pairs(left, right, &name, self.outer.context)
            } else {
                let right = self.entering(input, &lookup.key, &name).enter(self.scope);
                pairs(left, right, &name, self.outer.context)
            };
            let filter = conjunction(lookup.filter.iter().map(|part| renumber(part, &|column| place(&bound, column))));
            rows = self.linear(
                rows,
                filter.into_iter().map(|predicate| Step::Filter { predicate, site: join.site }).collect(),
            );
        }
        let mut steps = Vec::new();
        let global = (0..bound.len()).map(|column| place(&bound, column)).collect();
        if let Some(columns) = projection(global, bound.len()) {
            steps.push(Step::Project { columns });
        }
        if let Some(predicate) = conjunction(join.residual.iter().cloned()) {
            steps.push(Step::Filter { predicate, site: join.site });
        }
        self.linear(rows, steps)
    }

    /// The rows of a recursive input that pass its filter.
    fn filtered(&self, input: &JoinInput) -> Changes<'i, LoopTime> {
        let filter = conjunction(input.filter.iter().cloned());
        let steps = filter.into_iter().map(|predicate| Step::Filter { predicate, site: 0 }).collect();
        self.linear(self.render(&input.relation), steps)
    }

    /// An input of outside, arranged there.
    fn entering(&self, input: &JoinInput, key: &[KeyColumn], name: &str) -> Arranged<'s, Time> {
        let wanted = (input.clone(), key.to_vec());
        if let Some(arranged) = self.arranged.borrow().get(&wanted) {
            return arranged.clone();
        }
        let Collection { rows, errors } = self.outer.render(&input.relation);
        self.entering_errors.borrow_mut().extend(errors);
        let filter = conjunction(input.filter.iter().cloned());
        let steps = filter.into_iter().map(|predicate| Step::Filter { predicate, site: 0 }).collect();
        let rows = outside(Collection { rows, errors: Vec::new() }, steps, "filter", self.outer.context).rows;
        let key = key.to_vec();
        let rows = enter(rows, self.outer.context);
        let arranged = arrange_by(rows, name, self.outer.context, move |row, out| scalar::key(&key, row, out));
        self.arranged.borrow_mut().insert(wanted, arranged.clone());
        arranged
    }
}
