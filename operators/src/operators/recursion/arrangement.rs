//! Differential's arrangements and reduce over our rows, accounted for.

use super::{Changes, Count, LoopErrors, LoopTime};
use crate::expr::EvalError;
use crate::operators::border::{ErrorRow, StopReason};
use crate::operators::context::Context;
use crate::operators::reduce::{Output, Specification};
use crate::operators::row_container::RowContainer;
use crate::value::{Row, RowBuilder, RowRef};
use differential_dataflow::collection::AsCollection;
use differential_dataflow::lattice::Lattice;
use differential_dataflow::operators::arrange::{Arranged as Stock, TraceAgent};
use differential_dataflow::trace::implementations::merge_batcher::vec::VecMerger;
use differential_dataflow::trace::implementations::merge_batcher::MergeBatcher;
use differential_dataflow::trace::implementations::ord_neu::val_batch::OrdValStorage;
use differential_dataflow::trace::implementations::ord_neu::{OrdValBatch, OrdValBuilder};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::implementations::{ContainerChunker, OffsetList};
use differential_dataflow::trace::TraceReader;
use std::num::Wrapping;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Timestamp;

type Layout<T> = (RowContainer, RowContainer, Vec<T>, Vec<Count>, OffsetList);
type Batch<T> = OrdValBatch<Layout<T>>;
type Updates<T> = Vec<((Row, Row), T, Count)>;
type Builder<T> = OrdValBuilder<Layout<T>, Updates<T>>;
type Batcher<T> = MergeBatcher<ContainerChunker<Updates<T>>, VecMerger<(Row, Row), T, Count>, Builder<T>>;
type RowSpine<T> = Spine<Rc<Batch<T>>>;

/// Rows by key.
pub type Arranged<'s, T> = Stock<'s, TraceAgent<RowSpine<T>>>;

/// Gives each row its key; a row for which `key` returns false has none and is dropped.
pub fn key_by<'s, T: Timestamp + Lattice>(
    input: Changes<'s, T>,
    name: &str,
    context: &Context,
    mut key: impl FnMut(RowRef<'_>, &mut RowBuilder) -> Result<bool, EvalError> + 'static,
) -> Changes<'s, T, (Row, Row)> {
    let scope = input.inner.scope();
    let context = context.clone();
    input
        .inner
        .unary::<CapacityContainerBuilder<Vec<((Row, Row), T, Count)>>, _, _, _>(Pipeline, name, move |_, info| {
            let operator = context.operator(&format!("key {name}"), scope.activator_for(info.address));
            let mut builder = RowBuilder::default();
            move |input, output| {
                let _running = operator.enter();
                let halted = operator.halted();
                input.for_each(|capability, data| {
                    if halted {
                        return data.clear();
                    }
                    let mut session = output.session(&capability);
                    for (row, time, count) in data.drain(..) {
                        match key(row.as_ref(), &mut builder) {
                            Ok(true) => session.give(((builder.finish(), row), time, count)),
                            Ok(false) => builder.clear(),
                            Err(error) => {
                                builder.clear();
                                operator.malformed(&error);
                            }
                        }
                    }
                });
            }
        })
        .as_collection()
}

/// Arranges rows by key.
pub fn arrange<'s, T: Timestamp + Lattice>(
    keyed: Changes<'s, T, (Row, Row)>,
    name: &str,
    context: &Context,
) -> Arranged<'s, T> {
    let arranged = keyed.arrange_named::<Batcher<T>, RowSpine<T>>(name, Batcher::<T>::new);
    meter(&arranged, &format!("arrange {name}"), context);
    arranged
}

/// Has the context know what an arrangement holds. Merges drop what cancels, so what is there is measured, not added up.
fn meter<T: Timestamp + Lattice>(arranged: &Arranged<'_, T>, name: &str, context: &Context) {
    let scope = arranged.stream.scope();
    let spine = Rc::downgrade(&arranged.trace.trace_box_unstable());
    let mut builder = OperatorBuilder::new("Meter".to_owned(), scope);
    let info = builder.operator_info();
    let operator = context.operator(name, scope.activator_for(info.address));
    let mut input = builder.new_input(arranged.stream.clone(), Pipeline);
    builder.build(move |_| {
        move |_| {
            let _running = operator.enter();
            let mut changed = false;
            input.for_each(|_, spans| {
                changed = true;
                spans.clear();
            });
            if !changed {
                return;
            }
            let mut held = (0, 0);
            if let Some(spine) = spine.upgrade() {
                spine.borrow().trace().map_spans(|span| {
                    if let Some(batch) = &span.inner {
                        held = (held.0 + batch.updates, held.1 + bytes(batch));
                    }
                });
            }
            operator.holds(held.0, held.1);
            operator.context().control.check_memory();
        }
    });
}

/// What a batch keeps on the heap.
fn bytes<T: Timestamp + Lattice>(batch: &Batch<T>) -> usize {
    let OrdValStorage { keys, vals, upds } = &batch.storage;
    let offsets = |list: &OffsetList| list.smol.capacity() * 4 + list.chonk.capacity() * 8;
    let updates = upds.times.capacity() * size_of::<T>() + upds.diffs.capacity() * size_of::<Count>();
    keys.heap_bytes() + vals.vals.heap_bytes() + offsets(&vals.offs) + offsets(&upds.offs) + updates
}

/// Groups keyed rows. The whole of a changed group is looked at again, for each round in which it changes.
pub fn reduce<'s>(
    keyed: Changes<'s, LoopTime, (Row, Row)>,
    specification: Specification,
    context: &Context,
) -> (Changes<'s, LoopTime>, LoopErrors<'s>) {
    let site = specification.site;
    let control = std::sync::Arc::clone(&context.control);
    let mut row = RowBuilder::default();
    let groups = arrange(keyed, "group", context).reduce_abelian::<_, Builder<LoopTime>, RowSpine<LoopTime>, _, _>(
        "Reduce",
        move |key, rows, output| {
            let rows = rows.iter().map(|(row, count)| (*row, count.0));
            match specification.whole(key, rows, &mut row) {
                Ok(Some(group)) => output.push((encoded(group), Wrapping(1))),
                Ok(None) => {}
                Err(error) => control.give_up(StopReason::Malformed { operator: "recursive reduce".to_owned(), error }),
            }
        },
        |batch, key, updates| {
            batch.clear();
            batch.extend(updates.drain(..).map(|(value, time, count)| ((key.to_owned(), value), time, count)));
        },
    );
    meter(&groups, "reduce", context);
    let groups = groups.as_collection(|key, value| (key.to_owned(), decoded(value)));
    let rows = groups.clone().flat_map(|(_, group)| group.ok());
    let errors = groups.flat_map(move |(key, group)| group.err().map(|error| ErrorRow { site, error, row: key }));
    (rows, errors)
}

/// A group's output as one row: in front NULL, or the error and nothing else.
fn encoded(group: Output) -> Row {
    let mut row = RowBuilder::default();
    match group {
        Ok(columns) => {
            row.push(None);
            row.extend(columns.as_ref());
        }
        Err(error) => row.push(Some(&[&error.sqlstate[..], error.message.as_bytes()].concat())),
    }
    row.finish()
}

fn decoded(row: RowRef<'_>) -> Output {
    let mut columns = row.columns();
    match columns.next().flatten().and_then(|image| image.split_first_chunk::<5>()) {
        None => Ok(Row::from_columns(columns)),
        Some((sqlstate, message)) => Err(EvalError::new(sqlstate, String::from_utf8_lossy(message))),
    }
}
