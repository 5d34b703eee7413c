//! The relational plan of one stream table: every decision is made in these types, rendering follows them line by line.
//!
//! A relation that occurs several times in a plan is one subplan: it is rendered once.
//!
//! Rows are positional. A node's doc says which columns it produces. `Fragment`s are what PostgreSQL evaluates for us.

pub mod recursion;
pub mod shared;
pub mod text;
mod window;

pub use recursion::{Earliest, Fixpoint};
pub use shared::Shared;
pub use window::{Reach, Window, WindowCall, WindowFrame, WindowFunction, WindowFunctions};

use crate::expr::clock::{ClockComparison, ClockExpression};
use crate::expr::Expr;
use crate::value::{ColumnType, Kind, Row};
use serde::{Deserialize, Serialize};

/// A base table (or a full-mode stream table fed by difference): its pg_class OID.
pub type SourceId = u32;
/// A stream table's pg_class OID, which is also the id of its graph.
pub type GraphId = u32;

/// A relation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rel {
    /// The changes of a base table; columns are the listed attribute numbers, in that order.
    Source { source: SourceId, columns: Vec<i16> },
    /// The output of another graph of the same engine (an incremental stream table); columns as [`Rel::Source`].
    StreamTable { table: GraphId, columns: Vec<i16> },
    /// Constant rows, each once.
    Values { rows: Vec<Row> },
    /// `input`'s columns, then one column for each expression. `site` tells errors apart.
    Map { input: Box<Rel>, expressions: Vec<Expr>, site: usize },
    /// `input`'s columns, then the fragment's result columns; `arguments` are columns of `input`. PostgreSQL evaluates.
    PgMap { input: Box<Rel>, fragment: usize, arguments: Vec<usize>, site: usize },
    /// `input`'s columns, then the fragment's result columns: as many rows as the fragment returns for the row's arguments,
    /// which are columns of `input`. Where it returns none: one with NULLs if `padded`. PostgreSQL evaluates.
    PgFlatMap { input: Box<Rel>, fragment: usize, arguments: Vec<usize>, padded: bool, site: usize },
    /// Rows for which every predicate is true.
    Filter { input: Box<Rel>, predicates: Vec<Expr>, site: usize },
    /// The listed columns of `input`, repeats allowed.
    Project { input: Box<Rel>, columns: Vec<usize> },
    /// Bag union; all inputs have the same columns.
    Union { inputs: Vec<Rel> },
    /// `input` with every count's sign changed: what it is subtracted from holds all of it. Errors stay errors.
    Negate { input: Box<Rel> },
    /// Every row as often as its two counts say, columns of type int8 that are never NULL and never below zero.
    Repeat { input: Box<Rel>, times: Times, left: usize, right: usize },
    /// An inner join of two or more inputs as a delta join; see [`Join`].
    Join(Join),
    /// GROUP BY, DISTINCT and aggregates without GROUP BY; see [`Reduce`].
    Reduce(Reduce),
    /// WITH RECURSIVE; see [`Fixpoint`].
    Fixpoint(Fixpoint),
    /// What the fixpoint with this id has come to so far; inside its body only.
    Recursive { id: usize, width: usize },
    /// A condition that the clock decides; see [`Temporal`].
    Temporal(Temporal),
    /// ORDER BY with LIMIT, and DISTINCT ON; see [`TopK`].
    TopK(TopK),
    /// Window functions; see [`Window`].
    Window(Window),
    /// A relation that others read, too.
    Shared(Shared),
}

/// How often a row is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Times {
    /// left - right, if that is more than zero: EXCEPT ALL.
    Excess,
    /// The lesser of the two: INTERSECT ALL.
    Lesser,
}

/// Which values a key column holds equal (HAZARDS E22).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Equality {
    /// The type's SQL equality, reached by a canonical form of the image.
    Sql,
    /// Same image.
    Image,
}

/// One column of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyColumn {
    /// Infallible and native.
    pub expression: Expr,
    pub kind: Kind,
    pub equality: Equality,
    /// Whether NULL meets NULL (GROUP BY, IS NOT DISTINCT FROM) or a NULL takes the row out (join conditions).
    pub nulls_equal: bool,
}

/// An inner join. Columns: those of input 0, then of input 1, …; this is the *global numbering* that every expression of
/// a path uses, however the path orders its inputs.
///
/// Path `i` starts from a change of input `i` and looks up the others in the order of its `lookups`; it sees inputs
/// `j < i` through the change's time and inputs `j > i` strictly before it. Summed over `i` that is exactly the change of
/// the join (the telescoping identity), for several inputs changing at once and for self-joins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Join {
    pub inputs: Vec<JoinInput>,
    /// One path an input, in the order of `inputs`.
    pub paths: Vec<Vec<Lookup>>,
    /// On the complete row, at the end of every path; may raise (HAZARDS E24).
    pub residual: Vec<Expr>,
    pub site: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JoinInput {
    /// A plain [`Rel::Source`] is arranged once for all graphs (shared); any other relation is arranged in this graph.
    pub relation: Rel,
    /// How many columns `relation` has.
    pub width: usize,
    /// Infallible native predicates over this input's own columns (local numbering from 0): applied to its changes before
    /// the path and to its rows after a lookup, so that the arrangement can be shared unfiltered.
    pub filter: Vec<Expr>,
}

/// One step of a path: find the rows of `input` whose `key` equals `probe`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lookup {
    pub input: usize,
    /// Over columns (global numbering) of the inputs visited before; same length as `key`, compared under `key`'s notions.
    /// Empty: a cross product.
    pub probe: Vec<Expr>,
    /// Over the columns of `input` (local numbering from 0).
    pub key: Vec<KeyColumn>,
    /// Infallible native predicates over what is bound after this step (global numbering).
    pub filter: Vec<Expr>,
}

/// `input`'s rows for which `condition` is true at the moment that the graph's clock shows. Columns: those of `input`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Temporal {
    pub input: Box<Rel>,
    /// How many columns `input` has.
    pub width: usize,
    pub tests: Vec<ClockTest>,
    /// Infallible and native; over `input`'s columns, then one boolean column for each test.
    pub condition: Expr,
    /// What the condition's own columns are, as a person would write it.
    pub names: Vec<(usize, String)>,
}

/// A comparison with the clock; its truth changes at most twice as time passes, or once at each of a value's instants. NULL
/// where the value is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClockTest {
    /// A column of the input: a date, a timestamp or a timestamptz; or of [`ClockComparison::Within`], a bytea of such values.
    pub value: usize,
    pub kind: Kind,
    /// `value comparison clock`
    pub comparison: ClockComparison,
    /// Of the value's kind, and monotone.
    pub clock: ClockExpression,
    /// What the value is compared with, as a person would write it.
    pub text: String,
}

/// Columns: the keys in canonical form, then the aggregates, then the collected fragment's results.
/// No key and no aggregates at all never occurs; DISTINCT is a reduce with keys only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reduce {
    pub input: Box<Rel>,
    pub keys: Vec<KeyColumn>,
    pub aggregates: Vec<Aggregate>,
    /// Aggregates that PostgreSQL evaluates over the whole changed group, all by one fragment.
    pub collected: Option<Collected>,
    /// Aggregation without GROUP BY: exactly one row, also over no input.
    pub global: bool,
    pub site: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Aggregate {
    pub function: AggregateFunction,
    /// The argument's column in the input; none for `count(*)`.
    pub argument: Option<usize>,
    /// Aggregate each SQL-distinct argument once: the argument's kind, whose canonical form says what is equal.
    pub distinct: Option<Kind>,
    /// A boolean column of the input: only rows where it is true.
    pub filter: Option<usize>,
}

/// Native aggregates. Results have PostgreSQL's types: sum(int2/int4) is int8, sum(int8), sum(numeric) and avg of those
/// are numeric, floats stay floats (avg(float4) is float8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AggregateFunction {
    CountRows,
    Count,
    Sum(Kind),
    Average(Kind),
    BoolAnd,
    BoolOr,
    /// By the kind's order; text only under the C order (byte order).
    Min(Kind),
    Max(Kind),
    /// `var_pop` or, of a sample, `var_samp`; with `root`, `stddev_pop` or `stddev_samp`. Numeric, of floats double precision.
    Variance {
        kind: Kind,
        sample: bool,
        root: bool,
    },
    /// Of pairs of double precision values: the argument is y, column `x` of the input is the other. Pairs with a NULL do not
    /// count.
    Regression {
        statistic: Regression,
        x: usize,
    },
    BitAnd(Kind),
    BitOr(Kind),
    BitXor(Kind),
    /// Any that is not NULL: the least image by bytes.
    AnyValue,
    /// The least image by bytes: the representative of a group whose members are equal but not identical (HAZARDS E21).
    LeastImage,
}

/// Statistics of pairs: SQL's names are in [`Regression::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Regression {
    Count,
    SquaresX,
    SquaresY,
    Products,
    AverageX,
    AverageY,
    Covariance,
    CovarianceOfSample,
    Correlation,
    Determination,
    Slope,
    Intercept,
}

impl Regression {
    const NAMES: [(&'static str, Regression); 12] = [
        ("regr_count", Regression::Count),
        ("regr_sxx", Regression::SquaresX),
        ("regr_syy", Regression::SquaresY),
        ("regr_sxy", Regression::Products),
        ("regr_avgx", Regression::AverageX),
        ("regr_avgy", Regression::AverageY),
        ("covar_pop", Regression::Covariance),
        ("covar_samp", Regression::CovarianceOfSample),
        ("corr", Regression::Correlation),
        ("regr_r2", Regression::Determination),
        ("regr_slope", Regression::Slope),
        ("regr_intercept", Regression::Intercept),
    ];

    pub fn of_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, statistic)| *statistic)
    }

    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, statistic)| *statistic == self).map_or("", |(name, _)| name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Collected {
    pub fragment: usize,
    /// Columns of the input that the fragment's arguments are.
    pub arguments: Vec<usize>,
}

/// The first rows of each partition in an order; among rows that are equal in it, those with the least image. Columns:
/// those of `input`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TopK {
    pub input: Box<Rel>,
    /// What the partitions are told apart by. Empty: all rows are one.
    pub keys: Vec<KeyColumn>,
    pub order: Vec<OrderKey>,
    /// How many rows of a partition are left out first.
    pub offset: u64,
    /// How many follow at most; none: all.
    pub limit: Option<u64>,
    /// Rows that are equal to the last of them in the order follow too.
    pub with_ties: bool,
}

/// One column of an order: by the kind's own order, text under the C order (byte order), or by an enum's labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderKey {
    /// Of the input.
    pub column: usize,
    pub kind: Kind,
    pub descending: bool,
    pub nulls_first: bool,
    /// Of an enum: what its images are, ascending, each with its place in the order. Empty: the kind's own order.
    pub labels: Vec<(u32, u32)>,
}

/// Something only PostgreSQL can evaluate: a query over an ephemeral relation `batch`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fragment {
    /// The analysed Query, as PostgreSQL's nodeToString() writes it. Its only relation is the named tuplestore `batch`
    /// with columns (item int8, arguments…); its target list is (item int8, results…).
    /// Scalar fragments return one row an item; aggregates group by item; those of [`Rel::PgFlatMap`] return any number of
    /// rows an item. Of a window fragment a partition is an item, the first argument numbers its rows, and the first result
    /// is that number.
    pub query: String,
    pub arguments: Vec<ColumnType>,
    pub results: Vec<ColumnType>,
    /// As a person would write it, for EXPLAIN and messages.
    pub text: String,
}

/// A place that can raise: what error rows show.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Site {
    /// For people: `expression a / b`, `sum(x)`.
    pub text: String,
    /// Types of the offending row's columns.
    pub columns: Vec<ColumnType>,
}

/// The whole plan of a stream table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plan {
    pub root: Rel,
    pub columns: Vec<Column>,
    /// Output columns that are unique together (NULLs equal), if known; chosen for the sink.
    pub key: Option<Vec<usize>>,
    pub fragments: Vec<Fragment>,
    pub sites: Vec<Site>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub ty: ColumnType,
    /// Whether the content of the sources determines the column bit for bit (HAZARDS E20).
    pub determined: bool,
    /// Whether it determines the column's value, if not how that is written. If it determines that of no column, it may not
    /// determine which rows there are.
    pub settled: bool,
    /// Whether NULL can occur.
    pub nullable: bool,
}

impl Rel {
    /// How many columns the relation has; `fragments` are the plan's.
    pub fn width(&self, fragments: &[Fragment]) -> usize {
        match self {
            Rel::Source { columns, .. } | Rel::StreamTable { columns, .. } => columns.len(),
            Rel::Values { rows } => rows.first().map_or(0, |row| row.columns().count()),
            Rel::Map { input, expressions, .. } => input.width(fragments) + expressions.len(),
            Rel::PgMap { input, fragment, .. } | Rel::PgFlatMap { input, fragment, .. } => {
                input.width(fragments) + fragments[*fragment].results.len()
            }
            Rel::Filter { input, .. } | Rel::Negate { input } | Rel::Repeat { input, .. } => input.width(fragments),
            Rel::Project { columns, .. } => columns.len(),
            Rel::Union { inputs } => inputs[0].width(fragments),
            Rel::Join(join) => join.inputs.iter().map(|input| input.width).sum(),
            Rel::Fixpoint(fixpoint) => fixpoint.body.width(fragments),
            Rel::Recursive { width, .. } => *width,
            Rel::Temporal(temporal) => temporal.width,
            Rel::Reduce(reduce) => {
                let collected = reduce.collected.as_ref().map_or(0, |c| fragments[c.fragment].results.len());
                reduce.keys.len() + reduce.aggregates.len() + collected
            }
            Rel::TopK(top_k) => top_k.input.width(fragments),
            Rel::Window(window) => {
                let results = match &window.functions {
                    WindowFunctions::Native { calls, .. } => calls.len(),
                    WindowFunctions::Foreign { fragment, .. } => fragments[*fragment].results.len() - 1,
                };
                window.input.width(fragments) + results
            }
            Rel::Shared(shared) => shared.rel().width(fragments),
        }
    }
}
