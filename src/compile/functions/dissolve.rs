//! Functions in a subquery of FROM that refer to items before it: as if they were called beside these.

use super::{renumber, Expansion, Split};
use crate::compile::block::{columns_of, missing_column, plain_column, Block, Leaf, LeafKind, Output};
use crate::compile::context::Tied;
use crate::compile::scope::{Binding, Scope};
use crate::compile::{Compiler, Lowered, NotIncremental};
use crate::pg::node::{Node, View};

impl<'t> Compiler<'t, '_> {
    /// Takes over a block that expands the bindings of the scope, and reads them in no other way: the leaves that they were
    /// bound to are expanded themselves, and nothing is joined back. None, and nothing is done, of any other block.
    pub(in crate::compile) fn dissolve_expansion(
        &self,
        scope: &mut Scope<'t>,
        tied: &Tied<'t>,
        block: &Block<'t>,
    ) -> Lowered<Option<Binding<'t>>> {
        let first = block.outputs.first().and_then(|output| plain_column(output.expression));
        let Some((expanded, _)) = first.filter(|_| !scope.fixed) else { return Ok(None) };
        let LeafKind::Expansion(expansion) = &block.leaves[expanded].kind else { return Ok(None) };
        let of_bindings = matches!(&expansion.input.leaves[..], [Leaf { kind: LeafKind::Bindings(_), .. }]);
        if !of_bindings || !tied.columns.iter().all(|column| matches!(column.view(), View::Var(_))) {
            return Ok(None);
        }
        let read = tied.columns.iter().flat_map(|column| columns_of(*column)).map(|column| column.0).collect();
        let Split { block: mut input, .. } = self.split(scope, &read)?;
        let bound = tied.columns.iter().map(|column| renumber(self, *column, &read)).collect::<Lowered<Vec<_>>>()?;
        let below = |expression: Node<'t>| {
            self.arena.rewrite(expression, &mut |node| match node.view() {
                View::Var(var) => bound.get(var.attribute as usize - 1).copied().map(Some).ok_or_else(missing_column),
                _ => Ok(None),
            })
        };
        let offset = input.outputs.len() as i16;
        for output in &expansion.input.outputs {
            input.outputs.push(Output { name: output.name.clone(), expression: below(output.expression)? });
        }
        for predicate in &expansion.input.predicates {
            input.predicates.push(below(*predicate)?);
        }
        let shifted = |expression: Node<'t>| {
            self.arena.rewrite::<NotIncremental>(expression, &mut |node| match node.view() {
                View::Var(var) if var.entry == 1 => Ok(Some(self.arena.var_like(node, 1, var.attribute + offset))),
                _ => Ok(None),
            })
        };
        let from = match expansion.from {
            Some((entry, calls)) => Some((entry, shifted(calls)?)),
            None => None,
        };
        let condition = expansion.condition.iter().map(|part| shifted(*part)).collect::<Lowered<_>>()?;
        let mut results = Vec::new();
        for result in &expansion.results {
            results.push(Output { name: result.name.clone(), expression: shifted(result.expression)? });
        }
        let rendered = Default::default();
        let moved = Expansion { input, from, padded: expansion.padded, condition, results, rendered };
        let leaf = self.expansion_leaf(moved, block.leaves[expanded].name.clone(), Vec::new())?;
        scope.add(leaf);
        let own = scope.block.leaves.len();
        let place = |expression: Node<'t>| {
            self.arena.rewrite::<NotIncremental>(expression, &mut |node| match node.view() {
                View::Var(var) if var.entry == expanded + 1 => {
                    Ok(Some(self.arena.var_like(node, own, var.attribute + offset)))
                }
                View::Var(var) => {
                    let entry = own + var.entry - usize::from(var.entry > expanded + 1);
                    Ok(Some(self.arena.var_like(node, entry, var.attribute)))
                }
                _ => Ok(None),
            })
        };
        let others = block.leaves.iter().enumerate().filter(|(at, _)| *at != expanded);
        scope.block.leaves.extend(others.map(|(_, leaf)| leaf.clone()));
        for predicate in &block.predicates {
            scope.block.predicates.push(place(*predicate)?);
        }
        let outputs = block.outputs[block.carried..].iter();
        Ok(Some(Binding::Outputs(outputs.map(|output| place(output.expression)).collect::<Lowered<_>>()?)))
    }
}
