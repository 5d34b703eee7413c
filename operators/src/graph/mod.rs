//! From a plan to a dataflow: arrangements and their sharing, operators, sinks. Every decision has been made in the plan;
//! this is straight-line code.

pub mod columns;
mod join;
mod recursion;
pub mod requirements;

use crate::operators::arrangement::{arrange, RowTrace};
use crate::operators::border::{Diff, Time};
use crate::operators::bridge::{receive, BridgeReader};
use crate::operators::context::Context;
use crate::operators::linear::{linear, negate, repeat, union, Step};
use crate::operators::lookup::key_by;
use crate::operators::pg_map::{pg_map, Results};
use crate::operators::pg_window::{pg_window, Specification as PgWindowSpecification};
use crate::operators::reduce::{reduce, Specification};
use crate::operators::sink::{sink, SinkHandle};
use crate::operators::temporal::temporal;
use crate::operators::top_k::{top_k, Limits, Specification as TopKSpecification};
use crate::operators::window::{window, Functions};
use crate::operators::{scalar, Collection, Rows};
use crate::plan::{GraphId, Plan, Reduce, Rel, SourceId, TopK, Window, WindowFunctions};
use crate::value::Row;
use columns::conjunction;
use requirements::{Requirements, SharedArrangement};
use std::cell::RefCell;
use std::collections::HashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::core::input::Handle;
use timely::dataflow::operators::core::Input;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::operators::Concat;
use timely::dataflow::Scope;
use timely::worker::Worker;

/// How rows enter a dataflow.
pub type InputHandle = Handle<Time, CapacityContainerBuilder<Vec<(Row, Diff)>>>;

/// An arrangement that exists, and how its rows are narrowed to what the graph asked for.
pub struct Shared {
    pub trace: RowTrace,
    pub project: Option<Vec<usize>>,
}

/// What a graph is connected to, in the order of its [`Requirements`].
pub struct Wiring {
    /// The first time of the graph; everything before is history.
    pub at: Time,
    pub arrangements: Vec<Shared>,
    pub bridges: Vec<BridgeReader>,
}

/// A graph as one worker runs it.
pub struct Graph {
    /// One a source of the requirements.
    pub sources: Vec<InputHandle>,
    /// One a stream table of the requirements: the way its heap content enters.
    pub stream_tables: Vec<InputHandle>,
    /// The way the clock's readings enter on this worker, if the requirements have one.
    pub clock: Option<InputHandle>,
    pub sink: SinkHandle,
}

/// While a graph is built.
struct Builder<'s, 'a> {
    scope: Scope<'s, Time>,
    context: &'a Context,
    at: Time,
    requirements: Requirements,
    arrangements: Vec<Shared>,
    sources: HashMap<(SourceId, Vec<i16>), Rows<'s>>,
    stream_tables: HashMap<(GraphId, Vec<i16>), Rows<'s>>,
    clock: Option<Rows<'s>>,
    /// How many columns each fragment returns.
    results: Vec<usize>,
    /// Subplans that have been rendered.
    rendered: RefCell<HashMap<Rel, Rows<'s>>>,
}

/// Builds the dataflow of a shared arrangement, which starts at time `at`.
pub fn build_arrangement(
    worker: &mut Worker,
    arrangement: &SharedArrangement,
    at: Time,
    context: &Context,
) -> (InputHandle, RowTrace) {
    let name = format!("source {}", arrangement.source);
    worker.dataflow_named(&name, |scope: Scope<'_, Time>| {
        let (mut input, rows) = scope.new_input::<Vec<(Row, Diff)>>();
        input.advance_to(at);
        let key = arrangement.key.clone();
        let keyed = key_by(rows, &name, context, move |row, out| scalar::key(&key, row, out));
        (input, arrange(keyed, &name, context).trace)
    })
}

/// Builds the dataflow of a plan.
pub fn build_graph(worker: &mut Worker, plan: &Plan, wiring: Wiring, context: &Context) -> Graph {
    let requirements = Requirements::of(plan);
    worker.dataflow_named(&format!("stream table {}", context.control.graph), |scope: Scope<'_, Time>| {
        let new_input = || {
            let (mut handle, rows) = scope.new_input::<Vec<(Row, Diff)>>();
            handle.advance_to(wiring.at);
            (handle, rows)
        };
        let mut handles = Vec::new();
        let mut sources = HashMap::new();
        for required in &requirements.sources {
            let (handle, rows) = new_input();
            handles.push(handle);
            sources.insert(required.clone(), rows);
        }
        let mut table_handles = Vec::new();
        let mut stream_tables = HashMap::new();
        for (required, reader) in requirements.stream_tables.iter().zip(wiring.bridges) {
            let (handle, rows) = new_input();
            table_handles.push(handle);
            let live = receive(scope, reader, wiring.at, &format!("stream table {}", required.0), context);
            stream_tables.insert(required.clone(), rows.concat(project_columns(live, &required.1, context)));
        }
        let (clock_handle, clock) = match requirements.clock {
            true => {
                let (handle, rows) = new_input();
                (Some(handle), Some(rows))
            }
            false => (None, None),
        };
        let builder = Builder {
            scope,
            context,
            at: wiring.at,
            requirements,
            arrangements: wiring.arrangements,
            sources,
            stream_tables,
            clock,
            results: plan.fragments.iter().map(|fragment| fragment.results.len()).collect(),
            rendered: RefCell::default(),
        };
        let output = builder.render(&plan.root);
        let sink = sink(scope, output, "Output", context);
        Graph { sources: handles, stream_tables: table_handles, clock: clock_handle, sink }
    })
}

/// Narrows an upstream's rows, which have all of its columns, to the listed attribute numbers.
fn project_columns<'s>(rows: Rows<'s>, columns: &[i16], context: &Context) -> Rows<'s> {
    // A stream table's attribute n is its query's column n: it has no hidden columns, and none is ever dropped.
    let columns = columns.iter().map(|&attribute| attribute as usize - 1).collect();
    let all = Collection { rows, errors: Vec::new() };
    linear(all, vec![Step::Project { columns }], "columns", context).rows
}

impl<'s> Builder<'s, '_> {
    /// A subplan that occurs several times is built once; its errors go where it is met first.
    fn render(&self, relation: &Rel) -> Collection<'s> {
        if let Rel::Shared(shared) = relation {
            return self.render(shared.rel());
        }
        if let Some(rows) = self.rendered.borrow().get(relation) {
            return Collection { rows: rows.clone(), errors: Vec::new() };
        }
        let collection = self.build(relation);
        self.rendered.borrow_mut().insert(relation.clone(), collection.rows.clone());
        collection
    }

    fn build(&self, relation: &Rel) -> Collection<'s> {
        let plain = |rows| Collection { rows, errors: Vec::new() };
        match relation {
            Rel::Source { source, columns } => plain(self.sources[&(*source, columns.clone())].clone()),
            Rel::StreamTable { table, columns } => plain(self.stream_tables[&(*table, columns.clone())].clone()),
            Rel::Values { rows } => plain(self.values(rows)),
            Rel::Map { .. } | Rel::Filter { .. } | Rel::Project { .. } => self.linear(relation),
            Rel::PgMap { input, fragment, arguments, site } => {
                let mut input = self.render(input);
                let results = Results::One;
                let (rows, raised) = pg_map(input.rows, *fragment, arguments.clone(), results, *site, self.context);
                input.errors.push(raised);
                Collection { rows, errors: input.errors }
            }
            Rel::PgFlatMap { input, fragment, arguments, padded, site } => {
                let mut input = self.render(input);
                let results = if *padded { Results::Padded(self.results[*fragment]) } else { Results::Any };
                let (rows, raised) = pg_map(input.rows, *fragment, arguments.clone(), results, *site, self.context);
                input.errors.push(raised);
                Collection { rows, errors: input.errors }
            }
            Rel::Repeat { input, times, left, right } => {
                repeat(self.render(input), *times, *left, *right, self.context)
            }
            Rel::Union { inputs } => {
                let inputs = inputs.iter().map(|input| self.render(input)).collect();
                union(inputs).unwrap_or_else(|| plain(self.values(&[])))
            }
            Rel::Negate { input } => negate(self.render(input), self.context),
            Rel::Join(join) => self.join(join),
            Rel::Reduce(reduce) => self.reduce(reduce),
            Rel::Fixpoint(fixpoint) => self.fixpoint(fixpoint),
            Rel::Recursive { .. } => unreachable!("a recursive reference stands in the body of its fixpoint"),
            Rel::Temporal(node) => {
                let input = self.render(&node.input);
                let clock = self.clock.clone().unwrap_or_else(|| self.values(&[]));
                let rows = temporal(input.rows, clock, node.tests.clone(), node.condition.clone(), self.context);
                Collection { rows, errors: input.errors }
            }
            Rel::TopK(node) => self.top_k(node),
            Rel::Window(node) => self.window(node),
            Rel::Shared(shared) => self.render(shared.rel()),
        }
    }

    /// Runs a chain of row-by-row nodes as one operator.
    fn linear(&self, relation: &Rel) -> Collection<'s> {
        let (steps, below) = row_by_row(relation);
        linear(self.render(below), steps, "map", self.context)
    }

    fn reduce(&self, node: &Reduce) -> Collection<'s> {
        let mut input = self.render(&node.input);
        let keys = node.keys.clone();
        let keyed = key_by(input.rows, "group", self.context, move |row, out| scalar::key(&keys, row, out));
        let specification = Specification {
            aggregates: node.aggregates.clone(),
            collected: node.collected.clone(),
            global: node.global,
            site: node.site,
            at: self.at,
        };
        let (rows, raised) = reduce(keyed, specification, self.context);
        input.errors.push(raised);
        Collection { rows, errors: input.errors }
    }

    fn top_k(&self, node: &TopK) -> Collection<'s> {
        let input = self.render(&node.input);
        let keys = node.keys.clone();
        let keyed = key_by(input.rows, "partition", self.context, move |row, out| scalar::key(&keys, row, out));
        let limits = Limits { offset: node.offset, limit: node.limit, with_ties: node.with_ties };
        let specification = TopKSpecification { order: node.order.clone(), limits };
        Collection { rows: top_k(keyed, specification, self.context), errors: input.errors }
    }

    fn window(&self, node: &Window) -> Collection<'s> {
        let mut input = self.render(&node.input);
        let keys = node.keys.clone();
        let keyed = key_by(input.rows, "partition", self.context, move |row, out| scalar::key(&keys, row, out));
        let (rows, raised) = match &node.functions {
            WindowFunctions::Native { order, calls } => {
                window(keyed, Functions::new(order.clone(), calls.clone()), node.site, self.context)
            }
            WindowFunctions::Foreign { fragment, arguments } => {
                let (fragment, arguments) = (*fragment, arguments.clone());
                let specification = PgWindowSpecification { fragment, arguments, site: node.site };
                pg_window(keyed, specification, self.context)
            }
        };
        input.errors.push(raised);
        Collection { rows, errors: input.errors }
    }

    /// Constant rows: there from the graph's first time on.
    fn values(&self, rows: &[Row]) -> Rows<'s> {
        let (at, rows) = (self.at, if self.context.worker == 0 { rows.to_vec() } else { Vec::new() });
        source::<_, CapacityContainerBuilder<Vec<(Row, Diff)>>, _, _>(self.scope, "Values", move |capability, _| {
            let mut capability = Some(capability.delayed(&at));
            move |output| {
                if let Some(capability) = capability.take() {
                    output.session(&capability).give_iterator(rows.iter().map(|row| (row.clone(), 1)));
                }
            }
        })
    }
}

/// A chain of row-by-row nodes, and what is below it.
fn row_by_row(relation: &Rel) -> (Vec<Step>, &Rel) {
    let mut steps = Vec::new();
    let mut below = relation;
    loop {
        below = match below {
            Rel::Map { input, expressions, site } => {
                steps.push(Step::Map { expressions: expressions.clone(), site: *site });
                input
            }
            Rel::Filter { input, predicates, site } => {
                if let Some(predicate) = conjunction(predicates.iter().cloned()) {
                    steps.push(Step::Filter { predicate, site: *site });
                }
                input
            }
            Rel::Project { input, columns } => {
                steps.push(Step::Project { columns: columns.clone() });
                input
            }
            _ => break,
        };
    }
    steps.reverse();
    (steps, below)
}
