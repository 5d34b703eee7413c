//! One client of a server: statements, rows as text, expected errors, notices.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// A row of values in their text form; None is NULL.
pub type TextRow = Vec<Option<String>>;

/// An error of the server, as far as tests look at it.
#[derive(Clone, Debug)]
pub struct ServerError {
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// A client session. What fails unexpectedly ends the test with the statement.
pub struct Session {
    client: Client,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Session {
    pub fn connect(folder: &Path, user: &str, database: &str) -> Result<Session, postgres::Error> {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let heard = notices.clone();
        let client = Config::new()
            .host_path(folder)
            .port(5432)
            .user(user)
            .dbname(database)
            .application_name(std::thread::current().name().unwrap_or("trickle-regress"))
            .connect_timeout(Duration::from_secs(10))
            .notice_callback(move |notice| {
                heard.lock().expect("no panic in between").push(format!("{}: {}", notice.severity(), notice.message()));
            })
            .connect(NoTls)?;
        Ok(Session { client, notices })
    }

    /// Runs statements, several by semicolons.
    pub fn run(&mut self, sql: &str) {
        if let Err(error) = self.client.batch_execute(sql) {
            panic!("{}\n  in: {sql}", describe(&error));
        }
    }

    /// Runs statements of which any may fail.
    pub fn attempt(&mut self, sql: &str) -> Result<(), ServerError> {
        self.client.batch_execute(sql).map_err(|error| server_error(error, sql))
    }

    /// The rows of the last result, as text.
    pub fn rows(&mut self, sql: &str) -> Vec<TextRow> {
        match self.try_rows(sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{}: {} {:?}\n  in: {sql}", error.sqlstate, error.message, error.detail),
        }
    }

    pub fn try_rows(&mut self, sql: &str) -> Result<Vec<TextRow>, ServerError> {
        let messages = self.client.simple_query(sql).map_err(|error| server_error(error, sql))?;
        let mut rows = Vec::new();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(_) => rows.clear(),
                SimpleQueryMessage::Row(row) => {
                    rows.push((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
                }
                _ => {}
            }
        }
        Ok(rows)
    }

    /// The names of the columns that a query has.
    pub fn columns(&mut self, query: &str) -> Vec<String> {
        match self.client.prepare(query) {
            Ok(statement) => statement.columns().iter().map(|column| column.name().to_owned()).collect(),
            Err(error) => panic!("{}\n  in: {query}", describe(&error)),
        }
    }

    /// The one value of the one row; NULL is the empty text.
    pub fn value(&mut self, sql: &str) -> String {
        let mut rows = self.rows(sql);
        assert!(rows.len() == 1 && rows[0].len() == 1, "one value expected, got {rows:?}\n  in: {sql}");
        rows.remove(0).remove(0).unwrap_or_default()
    }

    /// The error that statements must end in.
    pub fn error(&mut self, sql: &str) -> ServerError {
        match self.attempt(sql) {
            Ok(()) => panic!("an error was expected\n  in: {sql}"),
            Err(error) => error,
        }
    }

    /// The notices since the last call.
    pub fn notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices.lock().expect("no panic in between"))
    }

    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Waits until a query gives `t`.
    pub fn wait(&mut self, what: &str, condition: &str) {
        wait_until(what, || self.value(condition) == "t");
    }
}

/// Waits for a condition, at most two minutes: a wait that ends by its limit is a failure that says what it waited for.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut pause = Duration::from_millis(1);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn describe(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let mut text = format!("{}: {} {}", db.severity(), db.code().code(), db.message());
            for part in [db.detail(), db.hint(), db.where_()].into_iter().flatten() {
                text.push_str("\n  ");
                text.push_str(part);
            }
            text
        }
        None => format!("{error:?}"),
    }
}

/// A lost connection counts as an error of class 08: crash tests expect it.
fn server_error(error: postgres::Error, sql: &str) -> ServerError {
    match error.as_db_error() {
        Some(db) => ServerError {
            sqlstate: db.code().code().to_owned(),
            message: db.message().to_owned(),
            detail: db.detail().map(str::to_owned),
            hint: db.hint().map(str::to_owned),
        },
        None if error.is_closed() || error.to_string().contains("error communicating") => {
            ServerError { sqlstate: "08006".into(), message: error.to_string(), detail: None, hint: None }
        }
        None => panic!("{error:?}\n  in: {sql}"),
    }
}
