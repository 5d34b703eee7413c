//! Delta joins: one path of lookups for each input.

use super::columns::{conjunction, projection, renumber};
use super::requirements::SharedArrangement;
use super::Builder;
use crate::operators::arrangement::{arrange, changes, import, sweep, Arrangement};
use crate::operators::context::Downstream;
use crate::operators::linear::{linear, union, Step};
use crate::operators::lookup::{key_by, lookup, Side};
use crate::operators::{scalar, Collection, Rows};
use crate::plan::{Join, KeyColumn, Lookup, Rel};
use timely::dataflow::operators::Concat;

/// One input of a join, ready to be looked up.
struct Input<'s> {
    /// Its changes, after its filter.
    changes: Collection<'s>,
    /// By key; the rows are the input's columns.
    arrangements: Vec<(Vec<KeyColumn>, Held<'s>)>,
    /// Whether its arrangements are shared, and so not filtered.
    shared: bool,
}

struct Held<'s> {
    arrangement: Arrangement<'s>,
    project: Option<Vec<usize>>,
}

impl<'s> Builder<'s, '_> {
    pub(super) fn join(&self, join: &Join) -> Collection<'s> {
        let starts: Vec<usize> =
            join.inputs.iter().scan(0, |next, input| Some(std::mem::replace(next, *next + input.width))).collect();
        let inputs: Vec<Input<'s>> = (0..join.inputs.len()).map(|index| self.input(join, index)).collect();
        // Where every input is history, nothing would ever set a path going. Seen as content that arrives as a whole at
        // the graph's first time, of all inputs' changes only those of the last meet content of all the others.
        let history = inputs.iter().all(|input| input.shared).then(|| inputs.len() - 1);
        let mut paths = Vec::new();
        for (index, path) in join.paths.iter().enumerate() {
            let mut rows = inputs[index].changes.rows.clone();
            let mut own = Downstream::default();
            if history == Some(index) {
                let (_, held) = &inputs[index].arrangements[0];
                let past = sweep(&held.arrangement, self.at, &own, self.context, held.project.clone());
                rows = rows.concat(self.filtered(past, join, index));
            }
            // The global column numbers of the path's rows so far.
            let mut bound: Vec<usize> = (starts[index]..starts[index] + join.inputs[index].width).collect();
            for step in path {
                let next = Downstream::default();
                let input = (&inputs[step.input], starts[step.input]);
                rows = self.step(rows, &mut bound, join, step, index, input, (&own, &next));
                own = next;
            }
            let mut steps = Vec::new();
            let global = (0..bound.len()).map(|column| place(&bound, column)).collect();
            if let Some(columns) = projection(global, bound.len()) {
                steps.push(Step::Project { columns });
            }
            if let Some(predicate) = conjunction(join.residual.iter().cloned()) {
                steps.push(Step::Filter { predicate, site: join.site });
            }
            paths.push(linear(Collection { rows, errors: Vec::new() }, steps, "join result", self.context));
        }
        let errors: Vec<_> = inputs.into_iter().flat_map(|input| input.changes.errors).collect();
        let mut output = union(paths).expect("a join has two or more inputs");
        output.errors.extend(errors);
        output
    }

    fn input(&self, join: &Join, index: usize) -> Input<'s> {
        let input = &join.inputs[index];
        let mut keys: Vec<&Vec<KeyColumn>> = Vec::new();
        for lookup in join.paths.iter().flatten().filter(|lookup| lookup.input == index) {
            if !keys.contains(&&lookup.key) {
                keys.push(&lookup.key);
            }
        }
        if let Rel::Source { source, columns } = &input.relation {
            let arrangements: Vec<_> = keys
                .into_iter()
                .map(|key| {
                    let wanted = SharedArrangement { source: *source, columns: columns.clone(), key: key.clone() };
                    let known = self.requirements.arrangements.iter().position(|other| *other == wanted);
                    let shared = &self.arrangements[known.expect("requirements name every arrangement of the plan")];
                    let name = format!("source {source}");
                    let arrangement = import(self.scope, &shared.trace, self.at, &name, self.context);
                    (key.clone(), Held { arrangement, project: shared.project.clone() })
                })
                .collect();
            let (_, held) = &arrangements[0];
            let live = changes(&held.arrangement, self.context, held.project.clone());
            let rows = self.filtered(live, join, index);
            return Input { changes: Collection { rows, errors: Vec::new() }, arrangements, shared: true };
        }
        let mut changes = self.render(&input.relation);
        changes.rows = self.filtered(changes.rows, join, index);
        let arrangements = keys
            .into_iter()
            .map(|key| {
                let by = key.clone();
                let name = format!("join input {index}");
                let keyed =
                    key_by(changes.rows.clone(), &name, self.context, move |row, out| scalar::key(&by, row, out));
                let arrangement = arrange(keyed, &name, self.context);
                (key.clone(), Held { arrangement, project: None })
            })
            .collect();
        Input { changes, arrangements, shared: false }
    }

    /// The rows that pass the input's own filter.
    fn filtered(&self, rows: Rows<'s>, join: &Join, index: usize) -> Rows<'s> {
        let Some(predicate) = conjunction(join.inputs[index].filter.iter().cloned()) else { return rows };
        let all = Collection { rows, errors: Vec::new() };
        linear(all, vec![Step::Filter { predicate, site: join.site }], "filter", self.context).rows
    }

    /// One lookup of path `path`; `bound` grows by the input's columns.
    #[allow(clippy::too_many_arguments)]
    fn step(
        &self,
        rows: Rows<'s>,
        bound: &mut Vec<usize>,
        join: &Join,
        step: &Lookup,
        path: usize,
        (input, start): (&Input<'s>, usize),
        flow: (&Downstream, &Downstream),
    ) -> Rows<'s> {
        let name = format!("path {path} input {}", step.input);
        let probe: Vec<_> = step.probe.iter().map(|part| renumber(part, &|column| place(bound, column))).collect();
        let key = step.key.clone();
        let keyed = key_by(rows, &name, self.context, move |row, out| {
            for (part, column) in probe.iter().zip(&key) {
                if !scalar::part(part, column, row, out)? {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        let width = bound.len();
        bound.extend(start..start + join.inputs[step.input].width);
        let own = if input.shared { &join.inputs[step.input].filter[..] } else { &[] };
        let predicate = conjunction(
            own.iter()
                .map(|part| renumber(part, &|column| width + column))
                .chain(step.filter.iter().map(|part| renumber(part, &|column| place(bound, column)))),
        );
        let (_, held) =
            input.arrangements.iter().find(|(key, _)| *key == step.key).expect("every lookup's key has an arrangement");
        let project = held.project.clone();
        let side = if step.input < path { Side::Through } else { Side::Before };
        lookup(keyed, &held.arrangement, side, &name, flow, self.context, move |row, value, out| {
            out.extend(row);
            match &project {
                None => out.extend(value),
                Some(columns) => columns.iter().for_each(|&column| out.push(value.column(column))),
            }
            // Path predicates are infallible: an error is a malformed image (HAZARDS E24).
            predicate.as_ref().map_or(Ok(true), |predicate| scalar::is_true(predicate, out.as_ref()))
        })
    }
}

/// Where the global column stands in a path's row.
pub(super) fn place(bound: &[usize], column: usize) -> usize {
    bound.iter().position(|other| *other == column).expect("a path's expression refers to what it has visited")
}
