//! Windows: which of their functions are computed over what.

use super::{order_key, Fragment, Printer};
use crate::plan::{Reach, Window, WindowCall, WindowFrame, WindowFunction, WindowFunctions};

impl Printer<'_> {
    pub(super) fn window(&mut self, window: &Window, depth: usize) {
        let labels = self.labels(&window.input);
        let native = matches!(window.functions, WindowFunctions::Native { .. });
        self.head(depth, if native { "Window" } else { "Window by PostgreSQL" });
        if !window.keys.is_empty() {
            let keys: Vec<String> = window.keys.iter().map(|key| self.key(key, &labels)).collect();
            self.detail(depth, "Partition Key", &keys.join(", "));
        }
        match &window.functions {
            WindowFunctions::Foreign { fragment, .. } => {
                let text = self.fragments[*fragment].text.clone();
                self.detail(depth, "Functions, each over the whole changed partition", &text);
            }
            WindowFunctions::Native { order, calls } => {
                if !order.is_empty() {
                    let order: Vec<String> = order.iter().map(|key| order_key(key, &labels)).collect();
                    self.detail(depth, "Sort Key", &order.join(", "));
                }
                for (reach, title) in [
                    (Reach::Neighbours, "Functions, over the neighbours of what changed"),
                    (Reach::Following, "Functions, from what changed on until they agree"),
                    (Reach::Partition, "Functions, over the whole partition if their value changed"),
                ] {
                    let of = calls.iter().filter(|call| call.reach() == reach);
                    let texts: Vec<String> = of.map(|call| self.window_call(call, &labels)).collect();
                    if !texts.is_empty() {
                        self.detail(depth, title, &texts.join(", "));
                    }
                }
            }
        }
        self.node(&window.input, depth + 1);
    }

    /// What the columns of the functions' values are called.
    pub(super) fn window_values(&self, functions: &WindowFunctions, labels: &[String]) -> Vec<String> {
        match functions {
            WindowFunctions::Native { order, calls } => {
                let order: Vec<String> = order.iter().map(|key| order_key(key, labels)).collect();
                let by = if order.is_empty() { String::new() } else { format!("ORDER BY {}", order.join(", ")) };
                calls.iter().map(|call| format!("{} OVER ({by})", self.window_call(call, labels))).collect()
            }
            WindowFunctions::Foreign { fragment, .. } => {
                let Fragment { text, results, .. } = &self.fragments[*fragment];
                // The first is the row's number.
                match results.len() - 1 {
                    1 => vec![text.clone()],
                    count => (1..=count).map(|result| format!("({text}).{result}")).collect(),
                }
            }
        }
    }

    fn window_call(&self, call: &WindowCall, labels: &[String]) -> String {
        let over = match (call.reach(), call.frame) {
            (Reach::Following, WindowFrame::Rows) => " ROWS UNBOUNDED PRECEDING".to_string(),
            (_, WindowFrame::Around { from, to }) => format!(" ROWS BETWEEN {} AND {}", bound(from), bound(to)),
            _ => String::new(),
        };
        match &call.function {
            WindowFunction::RowNumber => "row_number()".into(),
            WindowFunction::Rank => "rank()".into(),
            WindowFunction::DenseRank => "dense_rank()".into(),
            WindowFunction::Neighbour { argument, offset, default } => {
                let name = if *offset < 0 { "lead" } else { "lag" };
                let mut arguments = vec![labels[*argument].clone()];
                if offset.unsigned_abs() != 1 || default.is_some() {
                    arguments.push(offset.unsigned_abs().to_string());
                }
                arguments.extend(default.iter().map(|default| self.expression(default, labels)));
                format!("{name}({})", arguments.join(", "))
            }
            WindowFunction::FirstValue(column) => format!("first_value({})", labels[*column]),
            WindowFunction::LastValue(column) => format!("last_value({}){over}", labels[*column]),
            WindowFunction::NthValue(column, n) => format!("nth_value({}, {n}){over}", labels[*column]),
            WindowFunction::Aggregate(aggregate) => format!("{}{over}", self.aggregate(aggregate, labels)),
        }
    }
}

/// The bound of a frame, as SQL has it.
fn bound(at: i64) -> String {
    match at {
        0 => "CURRENT ROW".into(),
        1.. => format!("{at} FOLLOWING"),
        _ => format!("{} PRECEDING", at.unsigned_abs()),
    }
}
