//! Row-by-row work: filters, computed columns, projections. Neighbouring steps run in one operator.

use super::border::{Diff, ErrorRow};
use super::context::{Context, OperatorContext};
use super::{scalar, Collection, Errors, Rows};
use crate::expr::Expr;
use crate::plan::Times;
use crate::value::{Row, RowBuilder};
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::core::Concatenate;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};

/// One step of row-by-row work.
#[derive(Clone, Debug)]
pub enum Step {
    /// Appends the expressions' values.
    Map { expressions: Vec<Expr>, site: usize },
    /// Keeps rows for which the predicate is true.
    Filter { predicate: Expr, site: usize },
    /// The listed columns.
    Project { columns: Vec<usize> },
}

impl Step {
    pub(super) fn fallible(&self) -> bool {
        match self {
            Step::Map { expressions, .. } => expressions.iter().any(scalar::fallible),
            Step::Filter { predicate, .. } => scalar::fallible(predicate),
            Step::Project { .. } => false,
        }
    }

    /// The row after this step, or none if it does not pass.
    fn apply(&self, row: Row, builder: &mut RowBuilder) -> Result<Option<Row>, ErrorRow> {
        match self {
            Step::Map { expressions, site } => {
                builder.clear();
                builder.extend(row.as_ref());
                for expression in expressions {
                    if let Err(error) = scalar::append(expression, row.as_ref(), builder) {
                        return Err(ErrorRow { site: *site, error, row });
                    }
                }
                Ok(Some(builder.finish()))
            }
            Step::Filter { predicate, site } => match scalar::is_true(predicate, row.as_ref()) {
                Ok(passes) => Ok(passes.then_some(row)),
                Err(error) => Err(ErrorRow { site: *site, error, row }),
            },
            Step::Project { columns } => {
                builder.clear();
                for &column in columns {
                    builder.push(row.column(column));
                }
                Ok(Some(builder.finish()))
            }
        }
    }
}

/// The row after all steps, or none if it does not pass.
pub(super) fn apply(steps: &[Step], row: Row, builder: &mut RowBuilder) -> Result<Option<Row>, ErrorRow> {
    let mut row = row;
    for step in steps {
        match step.apply(row, builder)? {
            Some(next) => row = next,
            None => return Ok(None),
        }
    }
    Ok(Some(row))
}

/// Applies `steps` to every row.
pub fn linear<'s>(input: Collection<'s>, steps: Vec<Step>, name: &str, context: &Context) -> Collection<'s> {
    if steps.is_empty() {
        return input;
    }
    let Collection { rows, mut errors } = input;
    if steps.iter().any(Step::fallible) {
        let (rows, raised) = fallible(rows, steps, name, context);
        errors.push(raised);
        Collection { rows, errors }
    } else {
        Collection { rows: infallible(rows, steps, name, context), errors }
    }
}

fn infallible<'s>(input: Rows<'s>, steps: Vec<Step>, name: &str, context: &Context) -> Rows<'s> {
    let mut builder = RowBuilder::default();
    row_by_row(input, name, context, move |operator, row, diff| match apply(&steps, row, &mut builder) {
        Ok(row) => row.map(|row| (row, diff)),
        // Infallible steps fail on nothing but malformed images.
        Err(failed) => {
            operator.malformed(&failed.error);
            None
        }
    })
}

/// An operator without state: what becomes of each row by itself.
fn row_by_row<'s>(
    input: Rows<'s>,
    name: &str,
    context: &Context,
    mut step: impl FnMut(&OperatorContext, Row, Diff) -> Option<(Row, Diff)> + 'static,
) -> Rows<'s> {
    let scope = input.scope();
    let context = context.clone();
    input.unary::<CapacityContainerBuilder<Vec<(Row, Diff)>>, _, _, _>(Pipeline, name, move |_, info| {
        let operator = context.operator(name, scope.activator_for(info.address));
        move |input, output| {
            let _running = operator.enter();
            let halted = operator.halted();
            input.for_each(|capability, data| {
                if halted {
                    return data.clear();
                }
                operator.count_in(data.len());
                let mut session = output.session(&capability);
                let mut passed = 0;
                for (row, diff) in data.drain(..) {
                    if let Some(update) = step(&operator, row, diff) {
                        passed += 1;
                        session.give(update);
                    }
                }
                operator.count_out(passed);
            });
        }
    })
}

fn fallible<'s>(input: Rows<'s>, steps: Vec<Step>, name: &str, context: &Context) -> (Rows<'s>, Errors<'s>) {
    let scope = input.scope();
    let context = context.clone();
    let mut operator = OperatorBuilder::new(name.to_owned(), scope);
    let info = operator.operator_info();
    let handle = context.operator(name, scope.activator_for(Rc::clone(&info.address)));
    let mut input = operator.new_input(input, Pipeline);
    operator.set_notify_for(0, timely::progress::operate::FrontierInterest::Never);
    let (output, rows) = operator.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Row, Diff)>>>::from(output);
    let (raised, errors) = operator.new_output();
    let mut raised = OutputBuilder::<_, CapacityContainerBuilder<Vec<(ErrorRow, Diff)>>>::from(raised);
    operator.build(move |_| {
        let mut builder = RowBuilder::default();
        move |_| {
            let _running = handle.enter();
            let halted = handle.halted();
            let (mut output, mut raised) = (output.activate(), raised.activate());
            input.for_each(|capability, data| {
                if halted {
                    return data.clear();
                }
                handle.count_in(data.len());
                let mut passed = 0;
                let mut session = output.session(&capability);
                let mut failures = raised.session(&capability);
                for (row, diff) in data.drain(..) {
                    match apply(&steps, row, &mut builder) {
                        Ok(Some(row)) => {
                            passed += 1;
                            session.give((row, diff));
                        }
                        Ok(None) => {}
                        Err(error) => failures.give((error, diff)),
                    }
                }
                handle.count_out(passed);
            });
        }
    });
    (rows, errors)
}

/// Every row with its count's sign changed. What its input fails on is no less a failure for that.
pub fn negate<'s>(input: Collection<'s>, context: &Context) -> Collection<'s> {
    let Collection { rows, errors } = input;
    Collection { rows: row_by_row(rows, "subtract", context, |_, row, diff| Some((row, -diff))), errors }
}

/// Every row as often as its counts say. Stateless: a row whose counts change is another row, and a reduce takes the old one
/// back. Between reported times counts may be below zero, and so may be what is repeated; it adds up all the same.
pub fn repeat<'s>(input: Collection<'s>, times: Times, left: usize, right: usize, context: &Context) -> Collection<'s> {
    let Collection { rows, errors } = input;
    let rows = row_by_row(rows, "repeat", context, move |_, row, diff| {
        let (left, right) = (count(&row, left), count(&row, right));
        let repeated = match times {
            Times::Excess => (left - right).max(0),
            Times::Lesser => left.min(right).max(0),
        };
        (repeated != 0).then(|| (row, diff * repeated))
    });
    Collection { rows, errors }
}

/// A count that a reduce made: an int8, never NULL.
fn count(row: &Row, column: usize) -> Diff {
    row.column(column).and_then(|image| image.try_into().ok()).map_or(0, Diff::from_ne_bytes)
}

/// Bag union.
pub fn union<'s>(mut inputs: Vec<Collection<'s>>) -> Option<Collection<'s>> {
    if inputs.len() <= 1 {
        return inputs.pop();
    }
    let scope = inputs[0].rows.scope();
    let mut errors = Vec::new();
    let mut rows = Vec::new();
    for input in inputs {
        rows.push(input.rows);
        errors.extend(input.errors);
    }
    Some(Collection { rows: scope.concatenate(rows), errors })
}
