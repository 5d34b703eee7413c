//! From PostgreSQL's analysed and rewritten query to a plan of the engine; or the reason why there is none.
//!
//! # The way of a query
//!
//! Each query level is lowered to a [`block::Block`]: leaves (tables, or relations that are complete already), predicates
//! and output expressions, all of them still PostgreSQL's nodes whose Vars mean (leaf, column). Subqueries, views and CTEs
//! that only filter and project dissolve in the block that reads them, so that one join sees all its inputs. What cannot
//! dissolve (GROUP BY, DISTINCT, UNION) becomes a relation, and a leaf of the block around it.
//!
//! A block becomes a relation in [`stage`] (filter, then compute) and [`join`] (keys, paths). Only there is it decided,
//! expression by expression, whether the engine evaluates it natively ([`native`]) or PostgreSQL does ([`fragment`]).
//!
//! Nothing is evaluated at compile time that is not native: no function of a user's runs here.

mod aggregate;
mod block;
mod check;
mod context;
mod conversion;
mod equality;
mod existence;
mod fragment;
mod from;
mod functions;
mod grouped_subquery;
mod join;
mod join_order;
mod limit;
mod linear;
mod native;
mod outer_join;
mod privileges;
mod recursion;
mod scope;
mod semi_join;
mod set_operation;
mod sources;
mod stage;
mod stamps;
mod subquery;
mod temporal;
mod unique;
mod window;
mod window_dependent;

pub use privileges::{access, require_permitted, Access};
pub use sources::Source;
pub use stamps::Stamps;

use crate::pg::catalog_lookup::RelationFacts;
use crate::pg::node::{Arena, Node};
use crate::pg::query::{self, NotAQuery, Query};
use crate::settings;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use trickle_operators::plan::{self, Fragment, Plan, Rel, Shared, Site};
use trickle_operators::value::ColumnType;

/// How another stream table follows its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamMode {
    Incremental,
    /// Its content is fed to its readers as the difference of two refreshes.
    Full,
}

/// What the compiler must be told.
pub struct Options<'a> {
    /// Whether a relation is a stream table, and how it is maintained.
    pub stream_table: &'a dyn Fn(u32) -> Option<StreamMode>,
    /// Whether the engine may evaluate expressions itself. Off, PostgreSQL evaluates all of them, which is how the two are
    /// compared.
    pub native_expressions: bool,
    /// How many rounds of a recursive query there may be.
    pub recursion_rounds: u64,
}

impl<'a> Options<'a> {
    /// Those of the settings in force.
    pub fn new(stream_table: &'a dyn Fn(u32) -> Option<StreamMode>) -> Self {
        Options {
            stream_table,
            native_expressions: settings::native_expressions(),
            recursion_rounds: settings::recursion_rounds(),
        }
    }
}

/// Why a query cannot be maintained incrementally.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotIncremental {
    /// The construct, short: `LEFT JOIN`, `function random() is volatile`.
    pub reason: String,
    /// A full sentence.
    pub detail: String,
}

/// A text that is no query at all. PostgreSQL's own errors (syntax, unknown names, permissions) are raised as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    pub sqlstate: [u8; 5],
    pub message: String,
}

/// An output column of the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    pub name: String,
    pub ty: ColumnType,
}

/// What is known of a query.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub plan: Result<Plan, NotIncremental>,
    /// Every relation that the query reads, views expanded. With a plan: the columns that it reads.
    pub sources: Vec<Source>,
    pub columns: Vec<OutputColumn>,
    pub stamps: Stamps,
    /// The result may change though no relation does: with time, or at every look.
    pub unsteady: bool,
    /// Views that the query reads, directly or through others: it is another query when one of them is replaced.
    pub views: Vec<u32>,
}

type Lowered<T> = Result<T, NotIncremental>;

impl NotIncremental {
    fn new(reason: impl Into<String>, detail: impl Into<String>) -> Self {
        NotIncremental { reason: reason.into(), detail: detail.into() }
    }
}

/// Compiles the definition of a stream table, kept as a view. Raises an ERROR if there is no such view; takes AccessShareLock
/// on everything the view reads. Expressions are not evaluated, but types' support functions may be asked: call it as the
/// view's owner.
pub fn compile_view(view: u32, options: &Options<'_>) -> Result<Compiled, CompileError> {
    let arena = Arena::new();
    let query = query::of_view(&arena, view).map_err(not_a_query)?;
    Ok(compile(&arena, query, options))
}

/// Compiles a query text as the current user with the current settings. Raises PostgreSQL's own errors.
pub fn compile_query(sql: &str, options: &Options<'_>) -> Result<Compiled, CompileError> {
    let arena = Arena::new();
    let query = query::of_text(&arena, sql).map_err(not_a_query)?;
    Ok(compile(&arena, query, options))
}

fn not_a_query(what: NotAQuery) -> CompileError {
    let (sqlstate, message) = match what {
        NotAQuery::Empty => (b"42601", "query is empty"),
        NotAQuery::SeveralStatements => (b"42601", "query must be a single statement"),
        NotAQuery::NotSelect => (b"42601", "query must be a SELECT"),
    };
    CompileError { sqlstate: *sqlstate, message: message.to_string() }
}

fn compile<'t>(arena: &'t Arena, query: Query<'t>, options: &Options<'_>) -> Compiled {
    let columns = query
        .targets()
        .into_iter()
        .filter(|target| !target.junk)
        .map(|target| OutputColumn { name: target.name, ty: target.expression.column_type() })
        .collect();
    let query = arena.with_sorted_input(query, &aggregate::depends_on_order);
    let relations = sources::relations(query);
    let permissions = privileges::of(query);
    let row_security = privileges::row_security(&permissions);
    // Two passes: all occurrences of a table list the columns that any of them needs, so that they can share an arrangement.
    let mut first = Compiler::new(arena, options, None);
    let outcome = first.check_sources(&relations, &row_security).and_then(|()| first.plan(query));
    let (plan, mut stamps) = match outcome {
        Err(reason) => (Err(reason), first.stamps),
        Ok(_) => {
            let mut second = Compiler::new(arena, options, Some(std::mem::take(&mut first.used)));
            let plan = second.plan(query);
            (plan, second.stamps)
        }
    };
    if plan.is_err() {
        stamps = Stamps::of_types(query);
    }
    let described = sources::describe(&relations, plan.as_ref().ok(), options);
    let unsteady = plan.is_err() && check::unsteady(query);
    Compiled { plan, sources: described, columns, stamps, unsteady, views: sources::views(query) }
}

/// How often a plan may read relations: each time costs the engine operators, and their start.
const LARGEST_PLAN: usize = 500;

/// The state of one pass.
struct Compiler<'t, 'a> {
    arena: &'t Arena,
    options: &'a Options<'a>,
    fragments: Vec<Fragment>,
    sites: Vec<Site>,
    stamps: Stamps,
    relations: HashMap<u32, Rc<RelationFacts>>,
    /// Columns that the plan reads of each relation, as they are met.
    used: BTreeMap<u32, BTreeSet<i16>>,
    /// The same, complete, in the second pass.
    columns: Option<BTreeMap<u32, BTreeSet<i16>>>,
    /// Of a subquery that may refer to the query around it: its conditions that do, as they are written.
    correlated: Option<Vec<Node<'t>>>,
    /// The CTEs of the query levels around the one at hand, outermost first.
    ctes: Vec<Rc<Vec<query::Cte<'t>>>>,
    /// The recursive ones that have been met.
    recursions: Vec<recursion::Recursion<'t>>,
    /// Common table expressions that refer to nothing around them, lowered.
    tables: Vec<(Query<'t>, block::Block<'t>)>,
    /// Subplans that may occur several times.
    subplans: HashSet<Shared>,
}

impl<'t, 'a> Compiler<'t, 'a> {
    fn new(arena: &'t Arena, options: &'a Options<'a>, columns: Option<BTreeMap<u32, BTreeSet<i16>>>) -> Self {
        Compiler {
            arena,
            options,
            fragments: Vec::new(),
            sites: Vec::new(),
            stamps: Stamps::default(),
            relations: HashMap::new(),
            used: BTreeMap::new(),
            columns,
            correlated: None,
            ctes: Vec::new(),
            recursions: Vec::new(),
            tables: Vec::new(),
            subplans: HashSet::new(),
        }
    }

    fn plan(&mut self, query: Query<'t>) -> Lowered<Plan> {
        let block = self.query(query)?;
        let finished = self.finish(&block)?;
        let columns = finished
            .columns
            .iter()
            .map(|column| plan::Column {
                name: column.name.clone(),
                ty: column.ty.clone(),
                determined: column.determined,
                settled: column.settled,
                nullable: column.nullable,
            })
            .collect();
        let key = unique::for_sink(&finished);
        let root: Rel = finished.projected().settled();
        let occurrences = sources::occurrences(&root);
        if occurrences > LARGEST_PLAN {
            return Err(NotIncremental::new(
                "too large a plan",
                format!("The plan would read relations {occurrences} times, more than {LARGEST_PLAN}."),
            ));
        }
        Ok(Plan {
            root,
            columns,
            key,
            fragments: std::mem::take(&mut self.fragments),
            sites: std::mem::take(&mut self.sites),
        })
    }

    /// The number of a site; of sites that are alike, one. Plans of the same rows are the same plan then.
    fn site(&mut self, text: String, columns: Vec<ColumnType>) -> usize {
        let site = Site { text, columns };
        let known = self.sites.iter().position(|known| *known == site);
        known.unwrap_or_else(|| {
            self.sites.push(site);
            self.sites.len() - 1
        })
    }

    /// A relation that may occur several times in the plan, as one subplan.
    fn share(&mut self, rel: Rel) -> Rel {
        if rel.inputs().is_empty() || matches!(rel, Rel::Shared(_)) {
            return rel;
        }
        let shared = Shared::new(rel);
        let known = self.subplans.get(&shared).cloned();
        Rel::Shared(known.unwrap_or_else(|| {
            self.subplans.insert(shared.clone());
            shared
        }))
    }
}
