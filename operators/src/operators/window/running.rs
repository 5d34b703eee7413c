//! What a function knows of the rows before one, so that it can go on from there.

use crate::expr::EvalError;
use crate::operators::reduce::state::State;
use crate::operators::scalar;
use crate::plan::{Aggregate, AggregateFunction, WindowFunction};
use crate::value::bytes::Bytes;
use crate::value::{RowBuilder, RowRef};

type Value = Option<Box<[u8]>>;

/// The state of one function; where it is the same, so is everything that follows.
#[derive(Clone, PartialEq)]
pub enum Running {
    RowNumber(u64),
    /// How many rows there have been, and the rank of those that are equal to the last in the order.
    Rank {
        rows: u64,
        rank: u64,
        order: Value,
    },
    DenseRank {
        rank: u64,
        order: Value,
    },
    /// None before the first row.
    First(Option<Value>),
    Last(Value),
    /// How many rows there have been, but no more than are wanted.
    Nth {
        rows: u64,
        value: Value,
    },
    /// The sort key and the image of the least or the greatest value.
    Best(Option<(Bytes, Bytes)>),
    Aggregate(Box<State>),
}

impl Running {
    pub fn new(function: &WindowFunction) -> Self {
        match function {
            WindowFunction::RowNumber => Running::RowNumber(0),
            WindowFunction::Rank => Running::Rank { rows: 0, rank: 0, order: None },
            WindowFunction::DenseRank => Running::DenseRank { rank: 0, order: None },
            WindowFunction::FirstValue(_) => Running::First(None),
            WindowFunction::LastValue(_) | WindowFunction::Neighbour { .. } => Running::Last(None),
            WindowFunction::NthValue(..) => Running::Nth { rows: 0, value: None },
            WindowFunction::Aggregate(aggregate) => match aggregate.function {
                AggregateFunction::Min(_) | AggregateFunction::Max(_) => Running::Best(None),
                _ => Running::Aggregate(Box::new(State::new(aggregate))),
            },
        }
    }

    /// Goes on by `copies` of a row, of which `order` is what it is sorted by.
    pub fn advance(
        &mut self,
        function: &WindowFunction,
        order: &[u8],
        row: RowRef<'_>,
        copies: u64,
    ) -> Result<(), EvalError> {
        let value = |column: usize| row.column(column).map(Box::from);
        match (self, function) {
            (Running::RowNumber(rows), _) => *rows += copies,
            (Running::Rank { rows, rank, order: last }, _) => {
                if last.as_deref() != Some(order) {
                    *rank = *rows + 1;
                    *last = Some(order.into());
                }
                *rows += copies;
            }
            (Running::DenseRank { rank, order: last }, _) if last.as_deref() != Some(order) => {
                *rank += 1;
                *last = Some(order.into());
            }
            (Running::First(first), WindowFunction::FirstValue(column)) => {
                first.get_or_insert_with(|| value(*column));
            }
            (Running::Last(last), WindowFunction::LastValue(column)) => *last = value(*column),
            (Running::Nth { rows, value: nth }, WindowFunction::NthValue(column, wanted)) => {
                if *rows < *wanted && *rows + copies >= *wanted {
                    *nth = value(*column);
                }
                *rows = rows.saturating_add(copies).min(*wanted);
            }
            (Running::Best(best), WindowFunction::Aggregate(aggregate)) => better(best, aggregate, row)?,
            (Running::Aggregate(state), WindowFunction::Aggregate(aggregate)) => {
                state.add(aggregate, row, copies as i64)?;
            }
            // Both were made for the same function.
            _ => {}
        }
        Ok(())
    }

    /// Appends the function's value for the last row.
    pub fn value(&self, function: &WindowFunction, out: &mut RowBuilder) -> Result<(), EvalError> {
        match (self, function) {
            (Running::RowNumber(number), _)
            | (Running::Rank { rank: number, .. }, _)
            | (Running::DenseRank { rank: number, .. }, _) => out.push(Some(&number.to_ne_bytes())),
            (Running::First(first), _) => out.push(first.as_ref().and_then(Option::as_deref)),
            (Running::Last(value), _) | (Running::Nth { value, .. }, _) => out.push(value.as_deref()),
            (Running::Best(best), _) => out.push(best.as_ref().map(|(_, image)| &**image)),
            (Running::Aggregate(state), WindowFunction::Aggregate(aggregate)) => {
                return state.result(aggregate.function, out);
            }
            (Running::Aggregate(_), _) => out.push(None),
        }
        Ok(())
    }

    /// Bytes that it takes up beside itself, about.
    pub fn bytes(&self) -> usize {
        let value = |value: &Value| value.as_ref().map_or(0, |value| value.len());
        match self {
            Running::RowNumber(_) => 0,
            Running::Rank { order, .. } | Running::DenseRank { order, .. } => value(order),
            Running::First(first) => first.as_ref().map_or(0, value),
            Running::Last(last) | Running::Nth { value: last, .. } => value(last),
            Running::Best(best) => best.as_ref().map_or(0, |(key, image)| key.len() + image.len()),
            Running::Aggregate(state) => size_of::<State>() + state.bytes(),
        }
    }
}

/// Of equal values the least image stands for all, whatever their order.
fn better(best: &mut Option<(Bytes, Bytes)>, aggregate: &Aggregate, row: RowRef<'_>) -> Result<(), EvalError> {
    if aggregate.filter.is_some_and(|filter| row.column(filter) != Some(&[1])) {
        return Ok(());
    }
    let Some(image) = aggregate.argument.and_then(|column| row.column(column)) else { return Ok(()) };
    let (kind, greatest) = match aggregate.function {
        AggregateFunction::Min(kind) => (kind, false),
        AggregateFunction::Max(kind) => (kind, true),
        _ => return Ok(()),
    };
    let key = scalar::order(kind, image)?;
    let is_better = best.as_ref().is_none_or(|(known, of)| {
        let by_key = if greatest { known.cmp(&key) } else { key.cmp(known) };
        by_key.then_with(|| image.cmp(of)).is_lt()
    });
    if is_better {
        *best = Some((key, image.into()));
    }
    Ok(())
}
