//! Row-by-row work inside a loop.

use super::{Changes, Count, LoopErrors, LoopTime};
use crate::operators::border::ErrorRow;
use crate::operators::context::Context;
use crate::operators::linear::{apply, Step};
use crate::value::{Row, RowBuilder};
use differential_dataflow::collection::AsCollection;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::OutputBuilder;

/// Applies `steps` to every row; errors only where there can be any.
pub fn linear<'s>(
    input: Changes<'s, LoopTime>,
    steps: Vec<Step>,
    name: &str,
    context: &Context,
) -> (Changes<'s, LoopTime>, Option<LoopErrors<'s>>) {
    if steps.is_empty() {
        return (input, None);
    }
    let fallible = steps.iter().any(Step::fallible);
    let scope = input.inner.scope();
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let info = builder.operator_info();
    let operator = context.operator(name, scope.activator_for(info.address));
    let mut input = builder.new_input(input.inner, Pipeline);
    builder.set_notify_for(0, timely::progress::operate::FrontierInterest::Never);
    let (output, rows) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Row, LoopTime, Count)>>>::from(output);
    let (raised, errors) = builder.new_output();
    let mut raised = OutputBuilder::<_, CapacityContainerBuilder<Vec<(ErrorRow, LoopTime, Count)>>>::from(raised);
    builder.build(move |_| {
        let mut row_builder = RowBuilder::default();
        move |_| {
            let _running = operator.enter();
            let halted = operator.halted();
            let (mut output, mut raised) = (output.activate(), raised.activate());
            input.for_each(|capability, data| {
                if halted {
                    return data.clear();
                }
                operator.count_in(data.len());
                let mut passed = 0;
                let mut session = output.session(&capability);
                let mut failures = raised.session(&capability);
                for (row, time, count) in data.drain(..) {
                    match apply(&steps, row, &mut row_builder) {
                        Ok(Some(row)) => {
                            passed += 1;
                            session.give((row, time, count));
                        }
                        Ok(None) => {}
                        Err(error) if fallible => failures.give((error, time, count)),
                        // Infallible steps fail on nothing but malformed images.
                        Err(failed) => operator.malformed(&failed.error),
                    }
                }
                operator.count_out(passed);
            });
        }
    });
    (rows.as_collection(), fallible.then(|| errors.as_collection()))
}

/// Every row with its count's sign changed.
pub fn negate<'s>(input: Changes<'s, LoopTime>) -> Changes<'s, LoopTime> {
    input.negate()
}
