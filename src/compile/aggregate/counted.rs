//! Rows counted for each of two sides: what INTERSECT ALL and EXCEPT ALL repeat.

use super::native::Native;
use super::{Grouping, Groups, Inputs, Key, Used};
use crate::compile::block::{Block, Column};
use crate::compile::{Compiler, Lowered, NotIncremental};
use crate::pg::image;

/// pg_type OID of int8.
const INT8: u32 = 20;

impl<'t> Compiler<'t, '_> {
    /// The distinct rows of a block by its outputs but the last two, which are boolean, and as the last two columns for how
    /// many rows each of these is true. What is shown of a row is of those for which the first of the two is.
    pub(in crate::compile) fn counted_sides(&mut self, block: Block<'t>, what: &str) -> Lowered<Groups<'t>> {
        let settled = block.rows_settled();
        let mut inputs = Inputs::default();
        let (columns, sides) = block.outputs.split_at(block.outputs.len() - 2);
        let (carried, columns) = columns.split_at(block.carried);
        let leading = carried.iter().map(|output| inputs.add(output.expression)).collect();
        let keys: Vec<Key<'t>> =
            columns.iter().map(|output| self.grouping_key(&mut inputs, output.expression)).collect();
        let mut aggregates = Vec::new();
        let sides: Vec<usize> = sides.iter().map(|output| inputs.add(output.expression)).collect();
        for (output, side) in block.outputs[block.outputs.len() - 2..].iter().zip(&sides) {
            aggregates.push(Used {
                written: output.expression,
                resolved: vec![output.expression],
                native: Some(Native::rows_where(*side)),
                column: Column {
                    name: "count".to_string(),
                    ty: image::column_type(INT8.into(), -1, 0.into()),
                    nullable: false,
                    determined: settled,
                    settled,
                },
            });
        }
        let sets = vec![(0..keys.len()).collect()];
        let grouping =
            Grouping { leading, keys, aggregates, sets, representatives_where: Some(sides[0]), ..Grouping::default() };
        self.one_group(&inputs.over(block), &grouping).map_err(|reason| NotIncremental {
            reason: reason.reason.replace("grouping key", &format!("{what} column")),
            detail: reason.detail.replace("grouping key", &format!("{what} column")),
        })
    }
}
