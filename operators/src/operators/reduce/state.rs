//! What a group keeps for each aggregate, and how changes of its input are gathered before they are applied.
//!
//! A change of a group is gathered in a [`Delta`] of the same shape as the state, whatever number of rows it comes from,
//! so that a join's million rows into one `count(*)` cost one number (HAZARDS E23).

use crate::expr::EvalError;
use crate::operators::border::Diff;
use crate::operators::scalar::{self, Accumulator};
use crate::plan::{Aggregate, AggregateFunction};
use crate::value::bits::{Bits, Combination};
use crate::value::bytes::Bytes;
use crate::value::intervals::IntervalSum;
use crate::value::moments::Moments;
use crate::value::pairs::Pairs;
use crate::value::{Kind, RowBuilder, RowRef};
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// A value by which it is sorted or held equal, then its image.
type Sorted = (Bytes, Bytes);

/// A multiset of values in the order of their sort keys.
///
/// An own ordered map, not an arrangement: the least and the greatest value are found in both directions without walking
/// over tombstones (HAZARDS E18, second form).
#[derive(Clone, Default, PartialEq)]
pub struct Values {
    counts: BTreeMap<Sorted, Diff>,
    negative: usize,
    bytes: usize,
}

/// What a value takes up in a map: itself, what it holds elsewhere with what the allocator adds, the count, and the map's
/// own share.
fn value_weight(value: &Sorted) -> usize {
    let elsewhere = |bytes: &Bytes| bytes.heap_bytes() + if bytes.heap_bytes() > 0 { 16 } else { 0 };
    elsewhere(&value.0) + elsewhere(&value.1) + size_of::<Sorted>() + size_of::<Diff>() + 24
}

impl Values {
    fn add(&mut self, value: &Sorted, diff: Diff) {
        let count = self.counts.entry(value.clone()).or_insert_with(|| {
            self.bytes += value_weight(value);
            0
        });
        self.negative -= usize::from(*count < 0);
        *count += diff;
        self.negative += usize::from(*count < 0);
        if *count == 0 {
            self.counts.remove(value);
            self.bytes -= value_weight(value);
        }
    }

    /// The least image with a positive count under the sort key, which stands for all that are equal (HAZARDS E21).
    fn representative(&self, key: &[u8]) -> Option<&[u8]> {
        let from: Sorted = (key.into(), Bytes::default());
        let mut equal = self.counts.range(from..).take_while(|((other, _), _)| **other == *key);
        equal.find(|(_, count)| **count > 0).map(|((_, image), _)| &**image)
    }

    fn least(&self) -> Option<&[u8]> {
        self.counts.iter().find(|(_, count)| **count > 0).map(|((_, image), _)| &**image)
    }

    fn greatest(&self) -> Option<&[u8]> {
        let ((key, _), _) = self.counts.iter().rev().find(|(_, count)| **count > 0)?;
        self.representative(key)
    }

    fn len(&self) -> usize {
        self.counts.len()
    }
}

/// The state of one aggregate of one group.
#[derive(Clone, PartialEq)]
pub enum State {
    Count(Diff),
    Bools { trues: Diff, falses: Diff },
    Sum(Accumulator),
    Intervals(Box<IntervalSum>),
    Variance(Box<Moments>),
    Pairs(Box<Pairs>),
    Bits(Bits),
    Ordered(Values),
    Distinct(Values, Box<State>),
}

/// A change of a [`State`].
pub enum Delta {
    Count(Diff),
    Bools { trues: Diff, falses: Diff },
    Sum(Accumulator),
    Intervals(Box<IntervalSum>),
    Variance(Box<Moments>),
    Pairs(Box<Pairs>),
    Bits(Bits),
    Values(HashMap<Sorted, Diff>),
}

/// Whether the aggregate sees each distinct argument once; for the others it makes no difference.
fn distinct(aggregate: &Aggregate) -> bool {
    use AggregateFunction::*;
    aggregate.distinct.is_some()
        && matches!(aggregate.function, Count | Sum(_) | Average(_) | Variance { .. } | BitXor(_))
}

/// The value that a row has for an aggregate, none within for `count(*)`; none at all if the row does not count.
fn argument<'a>(aggregate: &Aggregate, row: RowRef<'a>) -> Option<Option<&'a [u8]>> {
    if aggregate.filter.is_some_and(|filter| row.column(filter) != Some(&[1])) {
        return None;
    }
    match aggregate.argument {
        None => Some(None),
        // No aggregate but count(*) sees NULLs.
        Some(column) => row.column(column).map(Some),
    }
}

/// By what the values of an aggregate that keeps them are sorted or held equal.
fn sort_key(aggregate: &Aggregate, image: &[u8]) -> Result<Bytes, EvalError> {
    match (aggregate.function, aggregate.distinct) {
        (AggregateFunction::Min(kind) | AggregateFunction::Max(kind), _) => scalar::order(kind, image),
        (AggregateFunction::LeastImage | AggregateFunction::AnyValue, _) | (_, None) => Ok(Bytes::default()),
        (_, Some(kind)) => scalar::canonical(kind, image),
    }
}

impl State {
    pub fn new(aggregate: &Aggregate) -> Self {
        let plain = match aggregate.function {
            AggregateFunction::CountRows | AggregateFunction::Count => State::Count(0),
            AggregateFunction::BoolAnd | AggregateFunction::BoolOr => State::Bools { trues: 0, falses: 0 },
            AggregateFunction::Sum(Kind::Interval) | AggregateFunction::Average(Kind::Interval) => {
                State::Intervals(Box::default())
            }
            AggregateFunction::Sum(kind) | AggregateFunction::Average(kind) => State::Sum(Accumulator::new(kind)),
            AggregateFunction::Variance { kind, .. } => State::Variance(Box::new(Moments::new(kind))),
            AggregateFunction::Regression { .. } => State::Pairs(Box::default()),
            AggregateFunction::BitAnd(kind) | AggregateFunction::BitOr(kind) | AggregateFunction::BitXor(kind) => {
                State::Bits(Bits::new(kind))
            }
            AggregateFunction::Min(_)
            | AggregateFunction::Max(_)
            | AggregateFunction::AnyValue
            | AggregateFunction::LeastImage => State::Ordered(Values::default()),
        };
        if distinct(aggregate) {
            State::Distinct(Values::default(), Box::new(plain))
        } else {
            plain
        }
    }

    pub fn apply(&mut self, delta: &Delta) -> Result<(), EvalError> {
        match (self, delta) {
            (State::Count(count), Delta::Count(diff)) => *count += diff,
            (State::Bools { trues, falses }, Delta::Bools { trues: more, falses: others }) => {
                *trues += more;
                *falses += others;
            }
            (State::Sum(sum), Delta::Sum(change)) => sum.merge(change),
            (State::Intervals(sum), Delta::Intervals(change)) => sum.merge(change),
            (State::Variance(moments), Delta::Variance(change)) => moments.merge(change),
            (State::Pairs(pairs), Delta::Pairs(change)) => pairs.merge(change),
            (State::Bits(bits), Delta::Bits(change)) => bits.merge(change),
            (State::Ordered(values), Delta::Values(changes)) => {
                changes.iter().for_each(|(value, diff)| values.add(value, *diff));
            }
            (State::Distinct(values, inner), Delta::Values(changes)) => {
                let mut keys: Vec<&[u8]> = changes.keys().map(|(key, _)| &**key).collect();
                keys.sort_unstable();
                keys.dedup();
                let image = |values: &Values, key| values.representative(key).map(<[u8]>::to_vec);
                let before: Vec<_> = keys.iter().map(|key| image(values, key)).collect();
                changes.iter().for_each(|(value, diff)| values.add(value, *diff));
                for (key, before) in keys.into_iter().zip(before) {
                    let after = image(values, key);
                    if before != after {
                        before.map_or(Ok(()), |image| inner.add_one(&image, -1))?;
                        after.map_or(Ok(()), |image| inner.add_one(&image, 1))?;
                    }
                }
            }
            // Both were made for the same aggregate.
            _ => {}
        }
        Ok(())
    }

    /// Takes in `diff` times one input row of an aggregate without DISTINCT.
    pub fn add(&mut self, aggregate: &Aggregate, row: RowRef<'_>, diff: Diff) -> Result<(), EvalError> {
        let Some(image) = argument(aggregate, row) else { return Ok(()) };
        match (self, image) {
            (State::Count(count), _) => *count += diff,
            (State::Bools { trues, falses }, Some(image)) => *(if image == [1] { trues } else { falses }) += diff,
            (State::Pairs(pairs), Some(y)) => {
                if let AggregateFunction::Regression { x, .. } = aggregate.function {
                    if let Some(x) = row.column(x) {
                        pairs.add(y, x, diff)?;
                    }
                }
            }
            (State::Ordered(values), Some(image)) => values.add(&(sort_key(aggregate, image)?, image.into()), diff),
            (state, Some(image)) => state.add_one(image, diff)?,
            (_, None) => {}
        }
        Ok(())
    }

    fn add_one(&mut self, image: &[u8], diff: Diff) -> Result<(), EvalError> {
        match self {
            State::Count(count) => *count += diff,
            State::Sum(sum) => sum.add(image, diff)?,
            State::Variance(moments) => moments.add(image, diff)?,
            State::Bits(bits) => bits.add(image, diff)?,
            State::Intervals(sum) => sum.add(image, diff)?,
            State::Bools { .. } | State::Pairs(_) | State::Ordered(_) | State::Distinct(..) => {}
        }
        Ok(())
    }

    pub fn is_zero(&self) -> bool {
        match self {
            State::Count(count) => *count == 0,
            State::Bools { trues, falses } => *trues == 0 && *falses == 0,
            State::Sum(sum) => sum.is_zero(),
            State::Intervals(sum) => sum.is_zero(),
            State::Variance(moments) => moments.is_zero(),
            State::Pairs(pairs) => pairs.is_zero(),
            State::Bits(bits) => bits.is_zero(),
            State::Ordered(values) => values.len() == 0,
            State::Distinct(values, inner) => values.len() == 0 && inner.is_zero(),
        }
    }

    /// Whether the state is one that a real input can have.
    pub fn is_sound(&self) -> bool {
        match self {
            State::Count(count) => *count >= 0,
            State::Bools { trues, falses } => *trues >= 0 && *falses >= 0,
            State::Sum(sum) => sum.is_sound(),
            State::Intervals(sum) => sum.is_sound(),
            State::Variance(moments) => moments.is_sound(),
            State::Pairs(pairs) => pairs.is_sound(),
            State::Bits(bits) => bits.is_sound(),
            State::Ordered(values) | State::Distinct(values, _) => values.negative == 0,
        }
    }

    /// Distinct values kept.
    pub fn entries(&self) -> usize {
        match self {
            State::Ordered(values) | State::Distinct(values, _) => values.len(),
            _ => 0,
        }
    }

    /// Bytes that it takes up beside itself.
    pub fn bytes(&self) -> usize {
        match self {
            State::Ordered(values) => values.bytes,
            State::Distinct(values, inner) => values.bytes + size_of::<State>() + inner.bytes(),
            State::Intervals(_) => size_of::<IntervalSum>(),
            State::Variance(_) => size_of::<Moments>(),
            State::Pairs(_) => size_of::<Pairs>(),
            State::Bits(bits) => bits.bytes(),
            State::Count(_) | State::Bools { .. } | State::Sum(_) => 0,
        }
    }

    /// Appends the aggregate's value.
    pub fn result(&self, function: AggregateFunction, out: &mut RowBuilder) -> Result<(), EvalError> {
        match (self, function) {
            (State::Distinct(_, inner), _) => return inner.result(function, out),
            (State::Count(count), _) => out.push(Some(&count.to_ne_bytes())),
            (State::Bools { trues, falses }, AggregateFunction::BoolAnd) => {
                out.push((*trues > 0 || *falses > 0).then_some(&[u8::from(*falses <= 0)]));
            }
            (State::Bools { trues, falses }, _) => {
                out.push((*trues > 0 || *falses > 0).then_some(&[u8::from(*trues > 0)]));
            }
            (State::Sum(sum), AggregateFunction::Average(_)) => out.push(sum.average()?.as_deref()),
            (State::Sum(sum), _) => out.push(sum.sum()?.as_deref()),
            (State::Intervals(sum), function) => {
                out.push(sum.result(matches!(function, AggregateFunction::Average(_)))?.as_deref());
            }
            (State::Variance(moments), AggregateFunction::Variance { sample, root, .. }) => {
                out.push(moments.variance(sample, root)?.as_deref());
            }
            (State::Pairs(pairs), AggregateFunction::Regression { statistic, .. }) => {
                out.push(pairs.result(statistic)?.as_deref());
            }
            (State::Bits(bits), function) => {
                let combination = match function {
                    AggregateFunction::BitAnd(_) => Combination::And,
                    AggregateFunction::BitOr(_) => Combination::Or,
                    _ => Combination::Xor,
                };
                out.push(bits.result(combination).as_deref());
            }
            // Both were made for the same aggregate.
            (State::Variance(_) | State::Pairs(_), _) => out.push(None),
            (State::Ordered(values), AggregateFunction::Max(_)) => out.push(values.greatest()),
            (State::Ordered(values), _) => out.push(values.least()),
        }
        Ok(())
    }
}

impl Delta {
    pub fn new(aggregate: &Aggregate) -> Self {
        if distinct(aggregate) {
            return Delta::Values(HashMap::new());
        }
        match aggregate.function {
            AggregateFunction::CountRows | AggregateFunction::Count => Delta::Count(0),
            AggregateFunction::BoolAnd | AggregateFunction::BoolOr => Delta::Bools { trues: 0, falses: 0 },
            AggregateFunction::Sum(Kind::Interval) | AggregateFunction::Average(Kind::Interval) => {
                Delta::Intervals(Box::default())
            }
            AggregateFunction::Sum(kind) | AggregateFunction::Average(kind) => Delta::Sum(Accumulator::new(kind)),
            AggregateFunction::Variance { kind, .. } => Delta::Variance(Box::new(Moments::new(kind))),
            AggregateFunction::Regression { .. } => Delta::Pairs(Box::default()),
            AggregateFunction::BitAnd(kind) | AggregateFunction::BitOr(kind) | AggregateFunction::BitXor(kind) => {
                Delta::Bits(Bits::new(kind))
            }
            AggregateFunction::Min(_)
            | AggregateFunction::Max(_)
            | AggregateFunction::AnyValue
            | AggregateFunction::LeastImage => Delta::Values(HashMap::new()),
        }
    }

    /// Takes in `diff` times an input row; by how many bytes that has grown.
    pub fn add(&mut self, aggregate: &Aggregate, row: RowRef<'_>, diff: Diff) -> Result<usize, EvalError> {
        let Some(image) = argument(aggregate, row) else { return Ok(0) };
        let mut grown = 0;
        match (self, image) {
            (Delta::Count(count), _) => *count += diff,
            (Delta::Bools { trues, falses }, Some(image)) => {
                *(if image == [1] { trues } else { falses }) += diff;
            }
            (Delta::Sum(sum), Some(image)) => sum.add(image, diff)?,
            (Delta::Intervals(sum), Some(image)) => sum.add(image, diff)?,
            (Delta::Variance(moments), Some(image)) => moments.add(image, diff)?,
            (Delta::Bits(bits), Some(image)) => bits.add(image, diff)?,
            (Delta::Pairs(pairs), Some(y)) => {
                if let AggregateFunction::Regression { x, .. } = aggregate.function {
                    if let Some(x) = row.column(x) {
                        pairs.add(y, x, diff)?;
                    }
                }
            }
            (Delta::Values(values), Some(image)) => {
                *values.entry((sort_key(aggregate, image)?, image.into())).or_insert_with_key(|value| {
                    grown = value_weight(value);
                    0
                }) += diff;
            }
            (_, None) => {}
        }
        Ok(grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window over time: the least value goes and a greater one comes, 100,000 times. What is looked at to find the ends is
    /// what is there, and nothing that was.
    #[test]
    fn e18_a_moving_window_leaves_nothing_to_walk_over() {
        let live = 100u64;
        let mut values = Values::default();
        let value = |number: u64| -> Sorted { (number.to_be_bytes()[..].into(), number.to_ne_bytes()[..].into()) };
        (0..live).for_each(|number| values.add(&value(number), 1));
        for number in 0..100_000u64 {
            values.add(&value(number), -1);
            values.add(&value(number + live), 1);
            assert_eq!(values.least(), Some(&(number + 1).to_ne_bytes()[..]));
            assert_eq!(values.greatest(), Some(&(number + live).to_ne_bytes()[..]));
            assert_eq!(values.len() as u64, live);
        }
        assert!(values.counts.values().all(|count| *count > 0), "the first and the last entry are the answers");
        assert_eq!(values.bytes, values.counts.keys().map(value_weight).sum::<usize>());
    }
}
