//! Differential's arrangements and reduce over our rows, accounted for.

use super::{Changes, Count, LoopErrors, LoopTime};
use crate::expr::EvalError;
use crate::operators::border::{ErrorRow, StopReason};
use crate::operators::context::Context;
use crate::operators::reduce::{Output, Specification};
use crate::operators::row_container::RowContainer;
use crate::operators::weight;
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
use std::cell::RefCell;
use std::collections::BTreeMap;
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

/// Rows that have been given to an arrangement and are in none of its batches yet, by time: how many, and bytes.
type Unsealed<T> = Rc<RefCell<BTreeMap<T, (usize, usize)>>>;

/// Arranges rows by key; a row for which `key` returns false has none and is dropped.
pub fn arrange_by<'s, T: Timestamp + Lattice>(
    input: Changes<'s, T>,
    name: &str,
    context: &Context,
    mut key: impl FnMut(RowRef<'_>, &mut RowBuilder) -> Result<bool, EvalError> + 'static,
) -> Arranged<'s, T> {
    let scope = input.inner.scope();
    let unsealed = Unsealed::<T>::default();
    let given = Rc::clone(&unsealed);
    let keying = context.clone();
    let keyed = input
        .inner
        .unary::<CapacityContainerBuilder<Vec<((Row, Row), T, Count)>>, _, _, _>(Pipeline, name, move |_, info| {
            let operator = keying.operator(&format!("key {name}"), scope.activator_for(info.address));
            let mut builder = RowBuilder::default();
            move |input, output| {
                let _running = operator.enter();
                let halted = operator.halted();
                input.for_each(|capability, data| {
                    if halted {
                        return data.clear();
                    }
                    let mut given = given.borrow_mut();
                    let mut session = output.session(&capability);
                    for (row, time, count) in data.drain(..) {
                        match key(row.as_ref(), &mut builder) {
                            Ok(true) => {
                                let key = builder.finish();
                                let (rows, bytes) = given.entry(time.clone()).or_default();
                                *rows += 1;
                                *bytes += weight(&key) + weight(&row);
                                session.give(((key, row), time, count));
                            }
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
        .as_collection();
    let arranged = keyed.arrange_named::<Batcher<T>, RowSpine<T>>(name, Batcher::<T>::new);
    meter(&arranged, unsealed, &format!("arrange {name}"), context);
    arranged
}

/// Has the context know what an arrangement holds. Merges drop what cancels, so what is there is measured, not added up; what has
/// come of times that are not complete waits to become a batch, out of sight, and is counted as it came.
fn meter<T: Timestamp + Lattice>(arranged: &Arranged<'_, T>, unsealed: Unsealed<T>, name: &str, context: &Context) {
    let scope = arranged.stream.scope();
    let spine = Rc::downgrade(&arranged.trace.trace_box_unstable());
    let mut builder = OperatorBuilder::new("Meter".to_owned(), scope);
    let info = builder.operator_info();
    let operator = context.operator(name, scope.activator_for(info.address));
    let mut input = builder.new_input(arranged.stream.clone(), Pipeline);
    builder.build(move |_| {
        let mut sealed = (0, 0);
        move |frontiers| {
            let _running = operator.enter();
            let mut changed = false;
            input.for_each(|_, spans| {
                changed = true;
                spans.clear();
            });
            if changed {
                sealed = (0, 0);
                if let Some(spine) = spine.upgrade() {
                    spine.borrow().trace().map_spans(|span| {
                        if let Some(batch) = &span.inner {
                            sealed = (sealed.0 + batch.updates, sealed.1 + bytes(batch));
                        }
                    });
                }
            }
            let mut unsealed = unsealed.borrow_mut();
            unsealed.retain(|time, _| frontiers[0].less_equal(time));
            let held = unsealed.values().fold(sealed, |sum, more| (sum.0 + more.0, sum.1 + more.1));
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

/// Groups rows by key. The whole of a changed group is looked at again, for each round in which it changes.
pub fn reduce<'s>(
    rows: Changes<'s, LoopTime>,
    key: impl FnMut(RowRef<'_>, &mut RowBuilder) -> Result<bool, EvalError> + 'static,
    specification: Specification,
    context: &Context,
) -> (Changes<'s, LoopTime>, LoopErrors<'s>) {
    let site = specification.site;
    let control = std::sync::Arc::clone(&context.control);
    let mut row = RowBuilder::default();
    let groups = arrange_by(rows, "group", context, key)
        .reduce_abelian::<_, Builder<LoopTime>, RowSpine<LoopTime>, _, _>(
            "Reduce",
            move |key, rows, output| {
                // Within these bounds they can be added up; beyond, the recursion is in error (see `bound`), and only what is
                // here must be the same each time.
                let rows = rows.iter().map(|(row, count)| (*row, count.0.clamp(-MOST, MOST)));
                match specification.whole(key, rows, &mut row) {
                    Ok(Some(group)) => output.push((encoded(group), Wrapping(1))),
                    Ok(None) => {}
                    Err(error) => {
                        let operator = "recursive reduce".to_owned();
                        control.give_up(match error.is_count() {
                            true => StopReason::TooMany { operator },
                            false => StopReason::Malformed { operator, error },
                        });
                    }
                }
            },
            |batch, key, updates| {
                batch.clear();
                batch.extend(updates.drain(..).map(|(value, time, count)| ((key.to_owned(), value), time, count)));
            },
        );
    meter(&groups, Unsealed::default(), "reduce", context);
    let groups = groups.as_collection(|key, value| (key.to_owned(), decoded(value)));
    let rows = groups.clone().flat_map(|(_, group)| group.ok());
    let errors = groups.flat_map(move |(key, group)| group.err().map(|error| ErrorRow { site, error, row: key }));
    (rows, errors)
}

/// Of the rows of each key one, as often as once: of the lowest round, which a column says, the least by bytes.
pub fn earliest<'s>(
    rows: Changes<'s, LoopTime>,
    key: impl FnMut(RowRef<'_>, &mut RowBuilder) -> Result<bool, EvalError> + 'static,
    round: usize,
    context: &Context,
) -> Changes<'s, LoopTime> {
    let of = move |row: &RowRef<'_>| row.column(round).and_then(|image| image.try_into().ok()).map(i64::from_ne_bytes);
    let groups = arrange_by(rows, "earliest", context, key)
        .reduce_abelian::<_, Builder<LoopTime>, RowSpine<LoopTime>, _, _>(
            "Earliest",
            move |_, rows, output| {
                let present = rows.iter().filter(|(_, count)| count.0 > 0).map(|(row, _)| *row);
                // In the order of their bytes, of which min_by_key keeps the first.
                output.extend(present.min_by_key(of).map(|row| (row.to_owned(), Wrapping(1))));
            },
            |batch, key, updates| {
                batch.clear();
                batch.extend(updates.drain(..).map(|(value, time, count)| ((key.to_owned(), value), time, count)));
            },
        );
    meter(&groups, Unsealed::default(), "earliest", context);
    groups.as_collection(|_, row| row.to_owned())
}

/// How often a row may count in a group.
const MOST: i64 = 1 << 36;

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
