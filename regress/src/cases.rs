//! Files of queries: a case is a line of its name and marks, then a query up to a semicolon at a line's end.
//!
//! `--- name [full] [approximate=a,b] [ignored=c]`: `full` marks what is not maintained incrementally, `approximate` and
//! `ignored` the columns that the content does not determine: numbers that are nearly the same, and others.

use crate::oracle::Oracle;
use crate::session::Session;

#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub full: bool,
    pub approximate: Vec<String>,
    pub ignored: Vec<String>,
    pub query: String,
}

impl Case {
    pub fn oracle(&self) -> Oracle {
        let columns: Vec<&str> = self.approximate.iter().map(String::as_str).collect();
        Oracle { ignored: self.ignored.clone(), ..Oracle::new(&self.name, &self.query).approximate(&columns) }
    }

    /// Creates the case's stream table, or says what hinders.
    pub fn create(&self, session: &mut Session, schedule: &str) -> Result<(), String> {
        let created = session.attempt(&format!(
            "SELECT pgtrickle.create_stream_table('{}', $case${}$case$, schedule => '{schedule}')",
            self.name, self.query
        ));
        created.map_err(|error| format!("{}: {error:?}", self.name))
    }
}

/// The cases of a file's text.
pub fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("--- ") {
            let mut words = head.split_whitespace();
            let name = words.next().expect("a case has a name").to_string();
            let mut case =
                Case { name, full: false, approximate: Vec::new(), ignored: Vec::new(), query: String::new() };
            for word in words {
                if let Some(columns) = word.strip_prefix("approximate=") {
                    case.approximate = columns.split(',').map(str::to_string).collect();
                }
                if let Some(columns) = word.strip_prefix("ignored=") {
                    case.ignored = columns.split(',').map(str::to_string).collect();
                }
                case.full |= word == "full";
            }
            cases.push(case);
        } else if let Some(case) = cases.last_mut().filter(|_| !line.starts_with("--")) {
            case.query.push_str(line);
            case.query.push('\n');
        }
    }
    for case in &mut cases {
        case.query = case.query.trim().trim_end_matches(';').to_string();
    }
    cases
}

/// The stream tables whose mode is not the one that their case is marked with, and why.
pub fn otherwise(session: &mut Session, cases: &[Case]) -> Vec<String> {
    let mut found = Vec::new();
    for row in session.rows("SELECT name, effective_mode, mode_reason FROM pgtrickle.stream_table_status()") {
        let name = row[0].clone().expect("a name");
        let full = row[1].as_deref() == Some("full");
        let case = cases.iter().find(|case| name.ends_with(&format!(".{}", case.name))).expect("a case of that name");
        if full != case.full {
            found.push(format!("{name} is {}: {:?}", row[1].as_deref().unwrap_or(""), row[2]));
        }
    }
    found
}
