//! A generated case: tables with rows, views, stream tables, and rounds of transactions on the tables.

use super::expression::{Expressions, Leaf};
use super::functions::Certainty;
use super::query::{Column, Queries, Source};
use super::tree::{without_some, Tree};
use super::types::{self, Type};
use crate::random::Random;

#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    /// Whether the first column is a primary key.
    pub keyed: bool,
    pub columns: Vec<(String, Type)>,
    /// One more column, which is computed from the others: what its definition says, and its type.
    pub generated: Option<(Type, String)>,
    pub rows: Vec<Vec<String>>,
}

/// The name of a column that is computed from others.
const GENERATED_COLUMN: &str = "computed";

/// Expressions of generated columns, over a column of a type.
const GENERATED: &[(Type, &str, Type)] = &[
    (Type::Int4, "{} * 2", Type::Int4),
    (Type::Text, "upper({})", Type::Text),
    (Type::Numeric, "coalesce({}, 0) + 1", Type::Numeric),
    (Type::Int8, "{} % 3", Type::Int8),
    (Type::Date, "{} + 1", Type::Date),
    (Type::Float8, "-{}", Type::Float8),
];

#[derive(Clone, Debug)]
pub struct View {
    pub name: String,
    pub query: Tree,
}

#[derive(Clone, Debug)]
pub struct Stream {
    pub name: String,
    pub query: Tree,
    pub refresh_mode: &'static str,
    pub columns: Vec<Column>,
}

#[derive(Clone, Debug)]
pub enum Statement {
    Insert { table: String, rows: Vec<Vec<String>> },
    Other(Tree),
}

#[derive(Clone, Debug)]
pub struct Transaction {
    /// COMMIT or ROLLBACK; each statement is one of its own without it.
    pub end: Option<&'static str>,
    pub statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
pub struct Case {
    /// Whether some rows make expressions fail.
    pub wild: bool,
    pub tables: Vec<Table>,
    pub views: Vec<View>,
    pub streams: Vec<Stream>,
    pub rounds: Vec<Vec<Transaction>>,
}

impl Case {
    pub fn random(random: &mut Random) -> Case {
        let wild = random.chance(20);
        let tables: Vec<Table> = (0..2 + random.below(3)).map(|at| Table::random(random, at + 1)).collect();
        let mut sources: Vec<Source> = tables.iter().map(Table::source).collect();
        let mut views = Vec::new();
        for at in 0..random.below(3) {
            let query = Queries::new(random, sources.clone(), wild).query(1);
            let name = format!("v{}", at + 1);
            sources.push(Source { name: name.clone(), columns: query.columns, keyed: false });
            views.push(View { name, query: query.tree });
        }
        let mut streams: Vec<Stream> = Vec::new();
        for at in 0..2 + random.below(5) {
            // What was made last is read by half of the next.
            let mut known = sources.clone();
            if let Some(last) = streams.last().filter(|_| random.chance(40)) {
                let over = sources.iter().filter(|source| source.name == last.name);
                known.extend(over.cloned().flat_map(|source| vec![source; sources.len()]).collect::<Vec<_>>());
            }
            let depth = if random.chance(8) { 3 } else { 2 };
            let query = Queries::new(random, known, wild).query(depth);
            let name = format!("s{}", at + 1);
            let refresh_mode = if random.chance(12) { "full" } else { "auto" };
            // Its content is rows as any, whatever they were computed from.
            let columns =
                query.columns.iter().map(|column| Column { certainty: Certainty::Exact, ..column.clone() }).collect();
            sources.push(Source { name: name.clone(), columns, keyed: false });
            streams.push(Stream { name, query: query.tree, refresh_mode, columns: query.columns });
        }
        let rounds = (0..2 + random.below(3))
            .map(|_| (0..2 + random.below(5)).map(|_| Transaction::random(random, &tables, wild)).collect())
            .collect();
        let mut rounds: Vec<Vec<Transaction>> = rounds;
        if wild {
            // What makes queries fail goes, table by table.
            let emptied = |table: &Table| Statement::Other(Tree::text(format!("TRUNCATE {}", table.name)));
            let alone = |statement| vec![Transaction { end: None, statements: vec![statement] }];
            rounds.extend(tables.iter().map(emptied).map(alone));
        }
        Case { wild, tables, views, streams, rounds }
    }

    /// All cases that are one step smaller, the big steps first.
    pub fn smaller(&self) -> Vec<Case> {
        let mut found = Vec::new();
        let mut push = |change: &dyn Fn(&mut Case)| {
            let mut case = self.clone();
            change(&mut case);
            found.push(case);
        };
        for rounds in without_some(&self.rounds, 0) {
            push(&|case| case.rounds.clone_from(&rounds));
        }
        for streams in without_some(&self.streams, 1) {
            push(&|case| case.streams.clone_from(&streams));
        }
        for views in without_some(&self.views, 0) {
            push(&|case| case.views.clone_from(&views));
        }
        for tables in without_some(&self.tables, 1) {
            push(&|case| case.tables.clone_from(&tables));
        }
        for (at, round) in self.rounds.iter().enumerate() {
            for round in without_some(round, 1) {
                push(&|case| case.rounds[at].clone_from(&round));
            }
            for (nth, transaction) in round.iter().enumerate() {
                for smaller in transaction.smaller() {
                    push(&|case| case.rounds[at][nth].clone_from(&smaller));
                }
            }
        }
        for (at, table) in self.tables.iter().enumerate() {
            for rows in without_some(&table.rows, 0) {
                push(&|case| case.tables[at].rows.clone_from(&rows));
            }
        }
        for (at, stream) in self.streams.iter().enumerate() {
            for query in stream.query.smaller() {
                push(&|case| case.streams[at].query.clone_from(&query));
            }
        }
        for (at, view) in self.views.iter().enumerate() {
            for query in view.query.smaller() {
                push(&|case| case.views[at].query.clone_from(&query));
            }
        }
        for (at, table) in self.tables.iter().enumerate() {
            if table.generated.is_some() {
                push(&|case| case.tables[at].generated = None);
            }
            for column in 0..table.columns.len() {
                push(&|case| case.drop_column(at, column));
            }
            for (row, values) in table.rows.iter().enumerate() {
                for column in (0..values.len()).filter(|column| values[*column] != "NULL") {
                    push(&|case| case.tables[at].rows[row][column] = "NULL".into());
                }
            }
        }
        found
    }

    fn drop_column(&mut self, at: usize, column: usize) {
        let table = &mut self.tables[at];
        table.keyed &= column != 0;
        table.columns.remove(column);
        table.rows.iter_mut().for_each(|row| drop(row.remove(column)));
        for statement in self.rounds.iter_mut().flatten().flat_map(|transaction| &mut transaction.statements) {
            if let Statement::Insert { table, rows } = statement {
                if *table == self.tables[at].name {
                    rows.iter_mut().for_each(|row| drop(row.remove(column)));
                }
            }
        }
    }

    /// The case as a script of psql.
    pub fn script(&self) -> String {
        let mut lines = vec![types::DEFINITIONS.to_string()];
        for table in &self.tables {
            lines.push(table.definition());
            lines.extend(table.filled());
        }
        lines.extend(self.views.iter().map(View::definition));
        lines.extend(self.streams.iter().map(Stream::definition));
        for round in &self.rounds {
            lines.push("-- a round".into());
            for transaction in round {
                lines.extend(transaction.script());
            }
            lines.extend(self.streams.iter().map(Stream::refresh));
        }
        lines.join(";\n")
    }
}

impl Table {
    fn random(random: &mut Random, number: usize) -> Table {
        let keyed = random.chance(50);
        let mut columns: Vec<(String, Type)> = Vec::new();
        if keyed {
            columns.push(("id".into(), Type::Int4));
        }
        for _ in 0..2 + random.below(6) {
            let ty = types::any(random);
            let same = columns.iter().filter(|(_, known)| *known == ty).count();
            let name = if same == 0 { format!("f_{}", ty.short()) } else { format!("f_{}_{same}", ty.short()) };
            columns.push((name, ty));
        }
        let from = &GENERATED[random.below(GENERATED.len())];
        let of = columns.iter().skip(usize::from(keyed)).find(|(_, ty)| *ty == from.0);
        let kind = if random.chance(50) { "STORED" } else { "VIRTUAL" };
        let generated = of.filter(|_| random.chance(60)).map(|(column, _)| {
            let expression = from.1.replace("{}", column);
            (from.2, format!("GENERATED ALWAYS AS ({expression}) {kind}"))
        });
        let mut table = Table { name: format!("b{number}"), keyed, columns, generated, rows: Vec::new() };
        table.rows = (0..random.below(24)).map(|_| table.row(random, false)).collect();
        table
    }

    fn row(&self, random: &mut Random, wild: bool) -> Vec<String> {
        let key = self.keyed.then(|| random.below(25).to_string());
        let others = &self.columns[usize::from(self.keyed)..];
        key.into_iter().chain(others.iter().map(|(_, ty)| ty.stored(random, wild)).collect::<Vec<_>>()).collect()
    }

    fn source(&self) -> Source {
        let column = |(name, ty): &(String, Type)| Column { name: name.clone(), ty: *ty, certainty: Certainty::Exact };
        let generated = self.generated.iter().map(|(ty, _)| (GENERATED_COLUMN.to_string(), *ty));
        let columns = self.columns.iter().cloned().chain(generated).map(|named| column(&named)).collect();
        Source { name: self.name.clone(), columns, keyed: self.keyed }
    }

    pub fn definition(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, (name, ty))| {
                format!("{name} {}{}", ty.sql(), if at == 0 && self.keyed { " PRIMARY KEY" } else { "" })
            })
            .chain(self.generated.iter().map(|(ty, text)| format!("{GENERATED_COLUMN} {} {text}", ty.sql())))
            .collect();
        format!("CREATE TABLE {} ({})", self.name, columns.join(", "))
    }

    pub fn filled(&self) -> Option<String> {
        (!self.rows.is_empty() && !self.columns.is_empty()).then(|| insert(&self.name, &self.rows))
    }
}

fn insert(table: &str, rows: &[Vec<String>]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| format!("({})", row.join(", "))).collect();
    format!("INSERT INTO {table} VALUES {} ON CONFLICT DO NOTHING", rows.join(", "))
}

impl View {
    pub fn definition(&self) -> String {
        format!("CREATE VIEW {} AS {}", self.name, self.query.render())
    }
}

impl Stream {
    pub fn definition(&self) -> String {
        format!(
            "SELECT pgtrickle.create_stream_table('{}', $q${}$q$, schedule => '1 hour', refresh_mode => '{}')",
            self.name,
            self.query.render(),
            self.refresh_mode
        )
    }

    pub fn refresh(&self) -> String {
        format!("SELECT pgtrickle.refresh_stream_table('{}')", self.name)
    }
}

impl Statement {
    fn random(random: &mut Random, tables: &[Table], wild: bool) -> Statement {
        let table = &tables[random.below(tables.len())];
        let name = table.name.clone();
        let scope: Vec<Leaf> = table
            .columns
            .iter()
            .map(|(column, ty)| Leaf { tree: Tree::text(format!("t.{column}")), ty: *ty, certainty: Certainty::Exact })
            .collect();
        let drawn = random.below(100);
        if drawn < 40 {
            let rows = (0..1 + random.below(4)).map(|_| table.row(random, wild)).collect();
            return Statement::Insert { table: name, rows };
        }
        let condition = Expressions { random, wild: false }.condition(&scope, 1);
        let filter = Tree::list(" WHERE ", "", "", vec![condition]);
        let other = tables[random.below(tables.len())].name.clone();
        let text = |text: String| Tree::text(text);
        Statement::Other(match drawn {
            40..66 => {
                let at = usize::from(table.keyed) + random.below(table.columns.len() - usize::from(table.keyed));
                let (column, ty) = table.columns[at].clone();
                let value = match random.chance(60) {
                    true => Tree::text(ty.stored(random, wild)),
                    false => Expressions { random, wild: false }.exact(&scope, ty, 1),
                };
                Tree::all(vec![text(format!("UPDATE {name} AS t SET {column} = ")), value, filter])
            }
            // Keys: moved away, exchanged.
            66..70 if table.keyed => {
                let to = ["t.id + 25", "24 - t.id", "t.id - 3"][random.below(3)];
                Tree::all(vec![text(format!("UPDATE {name} AS t SET id = {to}")), filter])
            }
            66..84 => Tree::all(vec![text(format!("DELETE FROM {name} AS t")), filter]),
            84..87 => {
                let joined = format!("DELETE FROM {name} AS t USING (SELECT count(*) AS n FROM {other}) AS o");
                Tree::all(vec![text(joined), filter, Tree::option(text(" AND o.n % 2 = 0".into()))])
            }
            87..90 if table.keyed => {
                let row = table.row(random, wild).join(", ");
                let columns: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
                let assigned: Vec<String> =
                    columns[1..].iter().map(|column| format!("{column} = excluded.{column}")).collect();
                text(format!(
                    "INSERT INTO {name} ({}) VALUES ({row}) ON CONFLICT (id) DO UPDATE SET {}",
                    columns.join(", "),
                    assigned.join(", ")
                ))
            }
            90..92 if table.keyed => {
                let row = table.row(random, wild).join(", ");
                let (column, ty) = table.columns[1].clone();
                text(format!(
                    "MERGE INTO {name} AS t USING (SELECT generate_series(1, 12) AS id) AS s ON s.id = t.id \
                     WHEN MATCHED AND s.id % 3 = 0 THEN DELETE \
                     WHEN MATCHED THEN UPDATE SET {column} = {} WHEN NOT MATCHED AND s.id = 5 THEN INSERT VALUES ({row})",
                    ty.stored(random, wild)
                ))
            }
            87..93 => text(format!("TRUNCATE {name}")),
            93 => text(format!("TRUNCATE {name}, {other}")),
            94..97 if !table.keyed => {
                let columns: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
                let columns = columns.join(", ");
                text(format!("INSERT INTO {name} ({columns}) SELECT {columns} FROM {name} LIMIT 5"))
            }
            _ => {
                let assigned: Vec<String> =
                    table.columns.iter().map(|(column, _)| format!("{column} = t.{column}")).collect();
                Tree::all(vec![text(format!("UPDATE {name} AS t SET {}", assigned.join(", "))), filter])
            }
        })
    }

    fn smaller(&self) -> Vec<Statement> {
        match self {
            Statement::Insert { table, rows } => {
                let with = |rows| Statement::Insert { table: table.clone(), rows };
                let mut found: Vec<Statement> = without_some(rows, 1).into_iter().map(with).collect();
                for (at, row) in rows.iter().enumerate() {
                    for column in (0..row.len()).filter(|column| row[*column] != "NULL") {
                        let mut rows = rows.clone();
                        rows[at][column] = "NULL".into();
                        found.push(with(rows));
                    }
                }
                found
            }
            Statement::Other(tree) => tree.smaller().into_iter().map(Statement::Other).collect(),
        }
    }

    pub fn sql(&self) -> String {
        match self {
            Statement::Insert { table, rows } => insert(table, rows),
            Statement::Other(tree) => tree.render(),
        }
    }
}

impl Transaction {
    fn random(random: &mut Random, tables: &[Table], wild: bool) -> Transaction {
        let mut statements: Vec<Statement> =
            (0..1 + random.below(4)).map(|_| Statement::random(random, tables, wild)).collect();
        let end = match random.below(10) {
            0..4 => None,
            4 => Some("ROLLBACK"),
            _ => Some("COMMIT"),
        };
        if end.is_some() && random.chance(40) {
            let at = random.below(statements.len());
            let back = if random.chance(70) { "ROLLBACK TO p" } else { "RELEASE p" };
            statements.insert(at, Statement::Other(Tree::text("SAVEPOINT p")));
            let to = at + 1 + random.below(statements.len() - at);
            statements.insert(to, Statement::Other(Tree::text(back)));
        }
        Transaction { end, statements }
    }

    fn smaller(&self) -> Vec<Transaction> {
        let with = |statements| Transaction { end: self.end, statements };
        let mut found: Vec<Transaction> = without_some(&self.statements, 1).into_iter().map(with).collect();
        if self.end.is_some() {
            found.push(Transaction { end: None, statements: self.statements.clone() });
        }
        for (at, statement) in self.statements.iter().enumerate() {
            for smaller in statement.smaller() {
                let mut statements = self.statements.clone();
                statements[at] = smaller;
                found.push(with(statements));
            }
        }
        found
    }

    /// Its statements from beginning to end.
    pub fn script(&self) -> Vec<String> {
        let begin = self.end.map(|_| "BEGIN".to_string());
        let end = self.end.map(str::to_string);
        begin.into_iter().chain(self.statements.iter().map(Statement::sql)).chain(end).collect()
    }
}
