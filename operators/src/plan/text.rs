//! A plan as people read it, in the look of PostgreSQL's EXPLAIN.
//!
//! Projections only renumber columns and are not shown. What catalogs know (names, how values print) comes from [`Names`].

mod window;

use super::{
    Aggregate, AggregateFunction, ClockTest, Fixpoint, Fragment, Join, KeyColumn, OrderKey, Plan, Reduce, Rel,
    Temporal, Times, TopK,
};
use crate::expr::clock::ClockComparison;
use crate::expr::Expr;
use crate::value::Kind;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// What a function is called.
pub enum FunctionName {
    /// It is an operator's.
    Operator(String),
    Function(String),
}

/// What only the catalogs know.
pub trait Names {
    /// Schema-qualified.
    fn relation(&self, relation: u32) -> String;
    /// Without schema and quotes.
    fn bare(&self, relation: u32) -> String;
    /// Quoted where needed.
    fn column(&self, relation: u32, attribute: i16) -> String;
    fn quote(&self, identifier: &str) -> String;
    fn function(&self, function: u32) -> FunctionName;
    /// A constant as SQL writes it.
    fn literal(&self, image: &[u8], kind: Kind) -> String;
}

/// Larger plans show what occurs several times in them once.
const LARGEST_TREE: usize = 150;

/// The plan's lines.
pub fn lines(plan: &Plan, names: &dyn Names) -> Vec<String> {
    let root = if plan.root.tree_size() > LARGEST_TREE { plan.root.clone() } else { plan.root.unshared() };
    let mut printer = Printer {
        fragments: &plan.fragments,
        names,
        aliases: aliases(&root, names),
        recursions: HashMap::new(),
        loops: Vec::new(),
        subplans: HashMap::new(),
        shared_labels: RefCell::default(),
        lines: Vec::new(),
    };
    printer.lines.push("Dataflow".into());
    let columns: Vec<&str> = plan.columns.iter().map(|column| column.name.as_str()).collect();
    printer.detail(0, "Output", &columns.join(", "));
    let loose = plan.columns.iter().filter(|column| !column.determined).map(|column| column.name.as_str());
    let loose: Vec<&str> = loose.collect();
    if !loose.is_empty() {
        printer.detail(0, "Not Determined by Content", &loose.join(", "));
    }
    if let Some(key) = &plan.key {
        let key: Vec<&str> = key.iter().map(|column| columns[*column]).collect();
        printer.detail(0, "Key", &key.join(", "));
    }
    printer.node(&root, 1);
    printer.lines
}

struct Printer<'a> {
    fragments: &'a [Fragment],
    names: &'a dyn Names,
    /// What each occurrence of a relation is called, by its place in the plan.
    aliases: HashMap<*const Rel, Alias>,
    /// Recursive queries met so far: name and columns.
    recursions: HashMap<usize, (String, Vec<String>)>,
    /// Those whose body is being printed, innermost last.
    loops: Vec<usize>,
    /// The numbers of shared subplans that have been printed.
    subplans: HashMap<*const Rel, usize>,
    shared_labels: RefCell<HashMap<*const Rel, Vec<String>>>,
    lines: Vec<String>,
}

/// A relation's name in a plan: its own, or, where that is taken, one with a number, as EXPLAIN has it.
struct Alias {
    name: String,
    /// Whether it is not the relation's own.
    other: bool,
}

/// Names for all occurrences of relations; no two are the same.
fn aliases(root: &Rel, names: &dyn Names) -> HashMap<*const Rel, Alias> {
    let mut found = HashMap::new();
    let mut taken: HashSet<String> = HashSet::new();
    // The number that an occurrence of a name gets next: a plan may have very many of one.
    let mut next: HashMap<String, u64> = HashMap::new();
    root.visit_once(&mut |rel| {
        let (Rel::Source { source: relation, .. } | Rel::StreamTable { table: relation, .. }) = rel else {
            return true;
        };
        let bare = names.bare(*relation);
        let mut name = bare.clone();
        while taken.contains(&name) {
            let number = next.entry(bare.clone()).or_insert(0);
            *number += 1;
            name = format!("{bare}_{number}");
        }
        taken.insert(name.clone());
        found.insert(std::ptr::from_ref(rel), Alias { other: name != bare, name });
        false
    });
    found
}

impl Printer<'_> {
    fn head(&mut self, depth: usize, text: &str) {
        self.lines.push(format!("{}->  {text}", " ".repeat(6 * depth - 4)));
    }

    fn detail(&mut self, depth: usize, name: &str, text: &str) {
        self.lines.push(format!("{}{name}: {text}", " ".repeat(6 * depth + 2)));
    }

    fn node(&mut self, rel: &Rel, depth: usize) {
        match rel {
            Rel::Source { source, columns } => {
                self.head(depth, &format!("Changes of {}", self.occurrence(rel, *source)));
                self.relation_columns(depth, rel, *source, columns);
            }
            Rel::StreamTable { table, columns } => {
                self.head(depth, &format!("Output of Stream Table {}", self.occurrence(rel, *table)));
                self.relation_columns(depth, rel, *table, columns);
            }
            Rel::Values { rows } => self.head(depth, &format!("Values  (rows={})", rows.len())),
            Rel::Map { input, expressions, site: _ } => {
                self.head(depth, "Map");
                let labels = self.labels(input);
                self.detail(depth, "Expressions", &self.expressions(expressions, &labels).join(", "));
                self.node(input, depth + 1);
            }
            Rel::PgMap { input, fragment, arguments: _, site: _ } => {
                self.head(depth, "Map by PostgreSQL");
                self.detail(depth, "Expressions", &self.fragments[*fragment].text.clone());
                self.node(input, depth + 1);
            }
            Rel::PgFlatMap { input, fragment, arguments: _, padded, site: _ } => {
                self.head(depth, if *padded { "Left Expand by PostgreSQL" } else { "Expand by PostgreSQL" });
                self.detail(depth, "Rows", &self.fragments[*fragment].text.clone());
                self.node(input, depth + 1);
            }
            Rel::Filter { input, predicates, site: _ } => {
                self.head(depth, "Filter");
                let labels = self.labels(input);
                self.detail(depth, "Filter", &self.all(predicates, &labels));
                self.node(input, depth + 1);
            }
            Rel::Project { input, columns: _ } => self.node(input, depth),
            Rel::Negate { input } => {
                self.head(depth, "Subtract");
                self.node(input, depth + 1);
            }
            Rel::Repeat { input, times, left: _, right: _ } => {
                self.head(depth, "Repeat");
                let times = match times {
                    Times::Excess => "as often as the first has it more often than the second",
                    Times::Lesser => "as often as the one has it that has it less often",
                };
                self.detail(depth, "Times", times);
                self.node(input, depth + 1);
            }
            Rel::Union { inputs } => {
                self.head(depth, "Append");
                inputs.iter().for_each(|input| self.node(input, depth + 1));
            }
            Rel::Join(join) => self.join(join, depth),
            Rel::Reduce(reduce) => self.reduce(reduce, depth),
            Rel::Fixpoint(fixpoint) => self.fixpoint(fixpoint, depth),
            Rel::Recursive { .. } => self.head(depth, &format!("Rows of {}", self.title(rel))),
            Rel::Temporal(temporal) => self.temporal(temporal, depth),
            Rel::TopK(top_k) => self.top_k(top_k, depth),
            Rel::Window(window) => self.window(window, depth),
            Rel::Shared(shared) => {
                let number = self.subplans.len() + 1;
                if let Some(number) = self.subplans.get(&shared.address()) {
                    return self.head(depth, &format!("Subplan {number}, as above"));
                }
                self.head(depth, &format!("Subplan {number}"));
                self.subplans.insert(shared.address(), number);
                self.node(shared.rel(), depth + 1);
            }
        }
    }

    fn relation_columns(&mut self, depth: usize, rel: &Rel, relation: u32, columns: &[i16]) {
        let columns: Vec<String> = columns.iter().map(|column| self.column(rel, relation, *column)).collect();
        if !columns.is_empty() {
            self.detail(depth, "Columns", &columns.join(", "));
        }
    }

    /// The relation, with the name that it has in this plan if that is another.
    fn occurrence(&self, rel: &Rel, relation: u32) -> String {
        let name = self.names.relation(relation);
        match self.aliases.get(&std::ptr::from_ref(rel)).filter(|alias| alias.other) {
            Some(alias) => format!("{name} {}", self.names.quote(&alias.name)),
            None => name,
        }
    }

    /// `table.column`
    fn column(&self, rel: &Rel, relation: u32, attribute: i16) -> String {
        let alias = self.aliases.get(&std::ptr::from_ref(rel));
        let table = alias.map_or_else(|| self.names.bare(relation), |alias| alias.name.clone());
        format!("{}.{}", self.names.quote(&table), self.names.column(relation, attribute))
    }

    fn join(&mut self, join: &Join, depth: usize) {
        let Join { inputs, paths, residual, site: _ } = join;
        // A loop goes along the path of its own rows alone.
        let looped = self.loops.last().and_then(|id| inputs.iter().position(|input| input.relation.is_recursive(*id)));
        self.head(depth, if looped.is_some() { "Join" } else { "Delta Join" });
        let local: Vec<Vec<String>> = inputs.iter().map(|input| self.labels(&input.relation)).collect();
        let global: Vec<String> = local.iter().flatten().cloned().collect();
        for (start, path) in paths.iter().enumerate().filter(|(start, _)| looped.is_none_or(|only| only == *start)) {
            let mut steps = vec![self.title(&inputs[start].relation)];
            for lookup in path {
                let of = &local[lookup.input];
                let keys: Vec<String> = lookup
                    .probe
                    .iter()
                    .zip(&lookup.key)
                    .map(|(probe, key)| {
                        let equal = if key.nulls_equal { "IS NOT DISTINCT FROM" } else { "=" };
                        let key = self.expression(&key.expression, of);
                        format!("{key} {equal} {}", self.expression(probe, &global))
                    })
                    .collect();
                let title = self.title(&inputs[lookup.input].relation);
                steps.push(match keys.is_empty() {
                    true => format!("{title} (all rows)"),
                    false => format!("{title} ({})", keys.join(" AND ")),
                });
                if !lookup.filter.is_empty() {
                    steps.push(format!("filter ({})", self.all(&lookup.filter, &global)));
                }
            }
            self.detail(depth, "Path", &steps.join(" -> "));
        }
        if !residual.is_empty() {
            self.detail(depth, "Join Filter", &self.all(residual, &global));
        }
        for (input, labels) in inputs.iter().zip(&local) {
            self.node(&input.relation, depth + 1);
            if !input.filter.is_empty() {
                self.detail(depth + 1, "Filter", &self.all(&input.filter, labels));
            }
        }
    }

    fn reduce(&mut self, reduce: &Reduce, depth: usize) {
        let Reduce { input, keys, aggregates, collected, global: _, site: _ } = reduce;
        let distinct = aggregates.is_empty() && collected.is_none();
        self.head(depth, if distinct { "Distinct" } else { "Aggregate" });
        let labels = self.labels(input);
        if !keys.is_empty() {
            let keys: Vec<String> = keys.iter().map(|key| self.key(key, &labels)).collect();
            self.detail(depth, if distinct { "Key" } else { "Group Key" }, &keys.join(", "));
        }
        if !aggregates.is_empty() {
            let aggregates: Vec<String> = aggregates.iter().map(|one| self.aggregate(one, &labels)).collect();
            self.detail(depth, "Aggregates", &aggregates.join(", "));
        }
        if let Some(collected) = collected {
            let text = self.fragments[collected.fragment].text.clone();
            self.detail(depth, "Aggregates by PostgreSQL, each over the whole changed group", &text);
        }
        self.node(input, depth + 1);
    }

    /// One that is used several times is built once, and shown where it is met first.
    fn fixpoint(&mut self, fixpoint: &Fixpoint, depth: usize) {
        let known = (fixpoint.name.clone(), fixpoint.columns.clone());
        if self.recursions.insert(fixpoint.id, known).is_some() {
            return self.head(depth, &format!("Rows of {}", self.names.quote(&fixpoint.name)));
        }
        self.head(depth, &format!("Recursion {}", self.names.quote(&fixpoint.name)));
        self.detail(depth, "Rounds", &format!("at most {}", fixpoint.rounds));
        if let Some(earliest) = &fixpoint.earliest {
            let labels = self.labels(&fixpoint.body);
            let keys: Vec<String> = earliest.keys.iter().map(|key| self.key(key, &labels)).collect();
            self.detail(depth, "Of equal rows the earliest, by", &keys.join(", "));
        }
        self.loops.push(fixpoint.id);
        self.node(&fixpoint.body, depth + 1);
        self.loops.pop();
    }

    fn columns_of(&self, name: &str, columns: &[String]) -> Vec<String> {
        columns.iter().map(|column| format!("{}.{}", self.names.quote(name), self.names.quote(column))).collect()
    }

    fn temporal(&mut self, temporal: &Temporal, depth: usize) {
        let Temporal { input, width: _, tests, condition, names } = temporal;
        self.head(depth, "Temporal Filter");
        let mut labels = self.labels(input);
        names.iter().for_each(|(column, name)| labels[*column].clone_from(name));
        let (mut compared, mut turns) = (Vec::new(), Vec::new());
        for ClockTest { value, kind: _, comparison, clock: _, text: clock } in tests {
            let value = &labels[*value];
            compared.push(format!("({value} {} {clock})", comparison.operator()));
            if *comparison == ClockComparison::Within {
                turns.push(format!("when {clock} reaches a bound of {value}"));
                continue;
            }
            let (reached, passed) = comparison.turns();
            turns.extend(reached.then(|| format!("when {clock} reaches {value}")));
            turns.extend(passed.then(|| format!("when {clock} passes {value}")));
        }
        labels.extend(compared);
        let condition = self.expression(condition, &labels);
        self.detail(depth, "Filter", &condition);
        // The same instant may end one comparison and begin another.
        let mut seen = HashSet::new();
        turns.retain(|turn| seen.insert(turn.clone()));
        self.detail(depth, "Rows Turn", &turns.join(", "));
        self.node(input, depth + 1);
    }

    fn top_k(&mut self, top_k: &TopK, depth: usize) {
        let TopK { input, keys, order, offset, limit, with_ties } = top_k;
        self.head(depth, "Limit");
        let labels = self.labels(input);
        if !keys.is_empty() {
            let keys: Vec<String> = keys.iter().map(|key| self.key(key, &labels)).collect();
            self.detail(depth, "Partition Key", &keys.join(", "));
        }
        if !order.is_empty() {
            let order: Vec<String> = order.iter().map(|key| order_key(key, &labels)).collect();
            self.detail(depth, "Sort Key", &order.join(", "));
        }
        if *offset > 0 {
            self.detail(depth, "Offset", &offset.to_string());
        }
        if let Some(limit) = limit {
            self.detail(depth, "Rows", &format!("{limit}{}", if *with_ties { " with ties" } else { "" }));
        }
        self.node(input, depth + 1);
    }

    /// The node in one word, for paths.
    fn title(&self, rel: &Rel) -> String {
        match rel {
            Rel::Source { source: relation, .. } | Rel::StreamTable { table: relation, .. } => {
                self.occurrence(rel, *relation)
            }
            Rel::Values { .. } => "values".into(),
            Rel::Map { input, .. }
            | Rel::PgMap { input, .. }
            | Rel::PgFlatMap { input, .. }
            | Rel::Filter { input, .. }
            | Rel::Project { input, .. }
            | Rel::Repeat { input, .. }
            | Rel::Negate { input } => self.title(input),
            Rel::Temporal(temporal) => self.title(&temporal.input),
            Rel::Union { .. } => "append".into(),
            Rel::Join(_) => "join".into(),
            Rel::Reduce(_) => "aggregate".into(),
            Rel::Fixpoint(fixpoint) => self.names.quote(&fixpoint.name),
            Rel::Recursive { id, .. } => match self.recursions.get(id) {
                Some((name, _)) => self.names.quote(name),
                None => "recursion".into(),
            },
            Rel::TopK(_) => "limit".into(),
            Rel::Window(_) => "window".into(),
            Rel::Shared(shared) => match self.subplans.get(&shared.address()) {
                Some(number) => format!("subplan {number}"),
                None => self.title(shared.rel()),
            },
        }
    }

    /// What each column of a relation is.
    fn labels(&self, rel: &Rel) -> Vec<String> {
        match rel {
            Rel::Source { source: relation, columns } | Rel::StreamTable { table: relation, columns } => {
                columns.iter().map(|column| self.column(rel, *relation, *column)).collect()
            }
            Rel::Values { .. } => (1..=rel.width(self.fragments)).map(|column| format!("column{column}")).collect(),
            Rel::Map { input, expressions, site: _ } => {
                let mut labels = self.labels(input);
                let added = self.expressions(expressions, &labels);
                labels.extend(added);
                labels
            }
            Rel::PgMap { input, fragment, .. } | Rel::PgFlatMap { input, fragment, .. } => {
                let mut labels = self.labels(input);
                labels.extend(self.results(*fragment));
                labels
            }
            Rel::Filter { input, .. } | Rel::Negate { input } | Rel::Repeat { input, .. } => self.labels(input),
            Rel::Temporal(temporal) => self.labels(&temporal.input),
            Rel::Project { input, columns } => {
                let labels = self.labels(input);
                columns.iter().map(|column| labels[*column].clone()).collect()
            }
            Rel::Union { inputs } => self.union_labels(inputs),
            Rel::Fixpoint(fixpoint) => self.columns_of(&fixpoint.name, &fixpoint.columns),
            Rel::Recursive { id, width } => match self.recursions.get(id) {
                Some((name, columns)) => self.columns_of(name, columns),
                None => (1..=*width).map(|column| format!("column{column}")).collect(),
            },
            Rel::Join(join) => join.inputs.iter().flat_map(|input| self.labels(&input.relation)).collect(),
            Rel::Reduce(reduce) => {
                let below = self.labels(&reduce.input);
                let keys = reduce.keys.iter().map(|key| self.key(key, &below));
                let aggregates = reduce.aggregates.iter().map(|one| self.aggregate(one, &below));
                let mut labels: Vec<String> = keys.chain(aggregates).collect();
                labels.extend(reduce.collected.iter().flat_map(|collected| self.results(collected.fragment)));
                labels
            }
            Rel::TopK(top_k) => self.labels(&top_k.input),
            Rel::Window(window) => {
                let mut labels = self.labels(&window.input);
                let values = self.window_values(&window.functions, &labels);
                labels.extend(values);
                labels
            }
            Rel::Shared(shared) => {
                let known = self.shared_labels.borrow().get(&shared.address()).cloned();
                known.unwrap_or_else(|| {
                    let labels = self.labels(shared.rel());
                    self.shared_labels.borrow_mut().insert(shared.address(), labels.clone());
                    labels
                })
            }
        }
    }

    /// Columns are called what the first input calls them that does not just fill them with a constant.
    fn union_labels(&self, inputs: &[Rel]) -> Vec<String> {
        let labels: Vec<Vec<String>> = inputs.iter().map(|input| self.labels(input)).collect();
        let column = |column: usize| {
            let computed = inputs.iter().position(|input| !self.is_constant(input, column));
            computed.map_or_else(
                || {
                    let mut constants: Vec<&str> = labels.iter().map(|labels| labels[column].as_str()).collect();
                    constants.dedup();
                    match constants[..] {
                        [one] => one.to_string(),
                        _ => format!("[{}]", constants.join(", ")),
                    }
                },
                |input| labels[input][column].clone(),
            )
        };
        (0..labels[0].len()).map(column).collect()
    }

    fn is_constant(&self, rel: &Rel, column: usize) -> bool {
        match rel {
            Rel::Map { input, expressions, .. } => {
                let added = column.checked_sub(input.width(self.fragments));
                added.map_or_else(
                    || self.is_constant(input, column),
                    |added| matches!(expressions[added], Expr::Literal(..)),
                )
            }
            Rel::Project { input, columns } => self.is_constant(input, columns[column]),
            Rel::Shared(shared) => self.is_constant(shared.rel(), column),
            _ => false,
        }
    }

    /// A fragment's text stands for its only result; several are told apart by number.
    fn results(&self, fragment: usize) -> Vec<String> {
        let Fragment { text, results, .. } = &self.fragments[fragment];
        match results.len() {
            1 => vec![text.clone()],
            count => (1..=count).map(|result| format!("({text}).{result}")).collect(),
        }
    }

    fn key(&self, key: &KeyColumn, labels: &[String]) -> String {
        self.expression(&key.expression, labels)
    }

    fn aggregate(&self, aggregate: &Aggregate, labels: &[String]) -> String {
        let Aggregate { function, argument, distinct, filter } = aggregate;
        let name = match function {
            AggregateFunction::CountRows | AggregateFunction::Count => "count",
            AggregateFunction::Sum(_) => "sum",
            AggregateFunction::Average(_) => "avg",
            AggregateFunction::BoolAnd => "bool_and",
            AggregateFunction::BoolOr => "bool_or",
            AggregateFunction::Min(_) => "min",
            AggregateFunction::Max(_) => "max",
            AggregateFunction::Variance { sample: false, root: false, .. } => "var_pop",
            AggregateFunction::Variance { sample: true, root: false, .. } => "var_samp",
            AggregateFunction::Variance { sample: false, root: true, .. } => "stddev_pop",
            AggregateFunction::Variance { sample: true, root: true, .. } => "stddev_samp",
            AggregateFunction::Regression { statistic, .. } => statistic.name(),
            AggregateFunction::BitAnd(_) => "bit_and",
            AggregateFunction::BitOr(_) => "bit_or",
            AggregateFunction::BitXor(_) => "bit_xor",
            AggregateFunction::AnyValue => "any_value",
            AggregateFunction::LeastImage => "representative",
        };
        let mut argument = argument.map_or("*".to_string(), |column| labels[column].clone());
        if let AggregateFunction::Regression { x, .. } = function {
            argument.push_str(&format!(", {}", labels[*x]));
        }
        let distinct = if distinct.is_some() { "DISTINCT " } else { "" };
        let filter = filter.map_or(String::new(), |column| format!(" FILTER (WHERE {})", labels[column]));
        format!("{name}({distinct}{argument}){filter}")
    }

    fn expressions(&self, expressions: &[Expr], labels: &[String]) -> Vec<String> {
        expressions.iter().map(|expression| self.expression(expression, labels)).collect()
    }

    fn all(&self, predicates: &[Expr], labels: &[String]) -> String {
        self.expressions(predicates, labels).join(" AND ")
    }

    fn expression(&self, expression: &Expr, labels: &[String]) -> String {
        let text = |expression: &Expr| self.expression(expression, labels);
        let chain = |parts: &[Expr], word: &str| {
            format!("({})", parts.iter().map(text).collect::<Vec<_>>().join(&format!(" {word} ")))
        };
        match expression {
            Expr::Column(column, _) => labels.get(*column).cloned().unwrap_or_else(|| format!("#{column}")),
            Expr::Literal(None, _) => "NULL".into(),
            Expr::Literal(Some(image), kind) => self.names.literal(image, *kind),
            Expr::Call { function, arguments, .. } => {
                let arguments: Vec<String> = arguments.iter().map(text).collect();
                match (self.names.function(*function), &arguments[..]) {
                    (FunctionName::Operator(name), [left, right]) => format!("({left} {name} {right})"),
                    (FunctionName::Operator(name), [argument]) => format!("({name} {argument})"),
                    (FunctionName::Operator(name) | FunctionName::Function(name), _) => {
                        format!("{name}({})", arguments.join(", "))
                    }
                }
            }
            Expr::And(parts) => chain(parts, "AND"),
            Expr::Or(parts) => chain(parts, "OR"),
            Expr::Not(argument) => format!("(NOT {})", text(argument)),
            Expr::IsNull(argument) => format!("({} IS NULL)", text(argument)),
            Expr::BoolTest { argument, value, negated } => {
                let value = match value {
                    Some(true) => "TRUE",
                    Some(false) => "FALSE",
                    None => "UNKNOWN",
                };
                format!("({} IS {}{value})", text(argument), if *negated { "NOT " } else { "" })
            }
            Expr::Case { branches, otherwise, kind: _ } => {
                let branches: Vec<String> = branches
                    .iter()
                    .map(|(condition, value)| format!("WHEN {} THEN {}", text(condition), text(value)))
                    .collect();
                format!("CASE {} ELSE {} END", branches.join(" "), text(otherwise))
            }
            Expr::Coalesce(parts, _) => {
                format!("COALESCE({})", parts.iter().map(text).collect::<Vec<_>>().join(", "))
            }
            Expr::NullIf { equal, value } => format!("CASE WHEN {} THEN NULL ELSE {} END", text(equal), text(value)),
            Expr::Distinct { left, right, .. } => format!("({} IS DISTINCT FROM {})", text(left), text(right)),
            Expr::InList { needle, list, list_kind, negated, .. } => {
                let list: Vec<String> = list
                    .iter()
                    .map(|image| image.as_ref().map_or("NULL".into(), |image| self.names.literal(image, *list_kind)))
                    .collect();
                let not = if *negated { "NOT " } else { "" };
                format!("({} {not}IN ({}))", text(needle), list.join(", "))
            }
            Expr::Single { value, .. } => format!("single({})", text(value)),
        }
    }
}

/// As ORDER BY has it, with what is not said by default.
fn order_key(key: &OrderKey, labels: &[String]) -> String {
    let OrderKey { column, kind: _, descending, nulls_first, labels: _ } = key;
    let label = labels.get(*column).cloned().unwrap_or_else(|| format!("#{column}"));
    let direction = if *descending { " DESC" } else { "" };
    let nulls = match (descending, nulls_first) {
        (false, true) => " NULLS FIRST",
        (true, false) => " NULLS LAST",
        _ => "",
    };
    format!("{label}{direction}{nulls}")
}
