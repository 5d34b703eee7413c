//! Targets with subqueries that depend on a window function: `CASE WHEN rank() OVER w = 1 THEN (SELECT …) END`,
//! `rank() OVER w IN (SELECT …)`.
//!
//! The window functions, and the columns that the rest of such a target reads, are outputs of the block that windows are
//! computed over. The target itself is lowered over what comes of that.

use super::block::{Block, Output};
use super::context::Outside;
use super::scope::{Binding, Scope};
use super::subquery::{depends_on_window, has_subquery};
use super::{Compiler, Lowered, NotIncremental};
use crate::pg::node::{Node, View};
use crate::pg::query::Target;
use std::collections::HashMap;

/// The target list of a block, and what of it is still to be lowered.
pub(super) struct Targets<'t> {
    pub outputs: Vec<Output<'t>>,
    pub dependent: Option<Dependent<'t>>,
}

/// Targets that are lowered when the windows of their query level are computed.
pub(super) struct Dependent<'t> {
    /// By number among the block's outputs: in terms of the query, and of `entry` for window functions.
    targets: Vec<(usize, Node<'t>)>,
    /// How many outputs the block has without those that they read.
    shown: usize,
    /// What they read: outputs after the others.
    read: Vec<Node<'t>>,
    /// Columns of the query's range table among these.
    columns: HashMap<(usize, i16), usize>,
    /// The entry whose columns are `read`.
    entry: usize,
    outside: Option<Outside<'t>>,
}

impl<'t> Compiler<'t, '_> {
    /// Targets, in terms of a scope, as outputs of its block, after those of its bindings.
    pub(super) fn targets(&mut self, scope: &mut Scope<'t>, targets: Vec<Target<'t>>) -> Lowered<Targets<'t>> {
        let (later, now): (Vec<_>, Vec<_>) = targets.into_iter().enumerate().partition(|(_, target)| {
            has_subquery(target.expression) && depends_on_window(self.arena, target.expression)
        });
        let mut lifted: Vec<(usize, String, Option<Node<'t>>)> = Vec::new();
        for (at, target) in now {
            let expression = self.lift(scope, target.expression)?;
            self.check_expression(expression, "the target list")?;
            lifted.push((at, target.name, Some(expression)));
        }
        let entry = if later.is_empty() { 0 } else { scope.entry(Binding::Unbound) };
        let mut dependent = Dependent {
            targets: Vec::new(),
            shown: 0,
            read: Vec::new(),
            columns: HashMap::new(),
            entry,
            outside: None,
        };
        let mut expressions = Vec::new();
        for (at, target) in &later {
            expressions.push((*at, self.note_windows(scope, &mut dependent, target.expression)?));
            lifted.push((*at, target.name.clone(), None));
        }
        // When no more is joined with the block.
        lifted.sort_by_key(|(at, ..)| *at);
        let mut outputs = scope.carried(self)?;
        let carried = outputs.len();
        for (_, name, expression) in lifted {
            let expression = match expression {
                Some(expression) => scope.resolve(self, expression)?,
                None => self.arena.truth(),
            };
            outputs.push(Output { name, expression });
        }
        if later.is_empty() {
            return Ok(Targets { outputs, dependent: None });
        }
        dependent.shown = outputs.len();
        dependent.outside = scope.outside.clone();
        let windows = std::mem::take(&mut dependent.read);
        for call in windows {
            dependent.read.push(scope.resolve(self, call)?);
        }
        for (at, expression) in expressions {
            self.note_columns(scope, &mut dependent, expression)?;
            dependent.targets.push((carried + at, expression));
        }
        let read = dependent.read.iter().map(|expression| Output { name: String::new(), expression: *expression });
        outputs.extend(read);
        Ok(Targets { outputs, dependent: Some(dependent) })
    }

    /// The expression with columns in the place of its window functions.
    fn note_windows(
        &mut self,
        scope: &mut Scope<'t>,
        dependent: &mut Dependent<'t>,
        expression: Node<'t>,
    ) -> Lowered<Node<'t>> {
        let mut found = Vec::new();
        for call in super::window::calls_of_level(self.arena, expression) {
            let lifted = self.lift(scope, call)?;
            self.check_expression(lifted, "the target list")?;
            dependent.read.push(lifted);
            found.push((call, self.arena.var_like(call, dependent.entry, dependent.read.len() as i16)));
        }
        self.arena.rewrite(expression, &mut |node| {
            let known = found.iter().find(|(call, _)| *call == node);
            Ok(known.map(|(_, column)| *column))
        })
    }

    /// Notes the columns that an expression and its subqueries refer to.
    fn note_columns(&self, scope: &Scope<'t>, dependent: &mut Dependent<'t>, expression: Node<'t>) -> Lowered<()> {
        let mut own: Vec<(usize, i16, Node<'t>)> = Vec::new();
        self.arena.rewrite::<NotIncremental>(expression, &mut |node| {
            match node.view() {
                View::Var(var) if var.levels_up == 0 => own.push((var.entry, var.attribute, node)),
                View::SubLink => {
                    let references = node.sublink().map(|link| self.references(link.query)).unwrap_or_default();
                    let near = references.columns.iter().filter(|of| of.levels_up == 1);
                    own.extend(near.map(|of| (of.entry, of.attribute, of.node)));
                }
                _ => {}
            }
            Ok(None)
        })?;
        for (entry, attribute, node) in own.into_iter().filter(|(entry, ..)| *entry != dependent.entry) {
            if dependent.columns.contains_key(&(entry, attribute)) {
                continue;
            }
            let expression = scope.column(self, node, entry, attribute)?;
            dependent.read.push(expression);
            dependent.columns.insert((entry, attribute), dependent.read.len());
        }
        Ok(())
    }

    /// Lowers the targets that were left out, over a block with the windows computed.
    pub(super) fn after_windows(&mut self, mut block: Block<'t>, dependent: Dependent<'t>) -> Lowered<Block<'t>> {
        let Dependent { targets, shown, columns, entry, outside, .. } = dependent;
        let carried = block.carried;
        let mut outputs = std::mem::take(&mut block.outputs);
        let read: Vec<Node<'t>> = outputs.split_off(shown).into_iter().map(|output| output.expression).collect();
        let types: Vec<_> = read.iter().map(|expression| expression.column_type()).collect();
        let last =
            columns.keys().map(|(entry, _)| *entry).chain([entry]).chain(outside.iter().map(|known| known.entry));
        let mut scope = Scope { block, ..Scope::new(vec![Binding::Unbound; last.max().unwrap_or(0)], outside) };
        scope.entries[entry - 1] = Binding::Outputs(read);
        for ((of, attribute), at) in columns {
            let column = self.arena.var(entry, at as i16, &types[at - 1]);
            match &mut scope.entries[of - 1] {
                Binding::Beside(known) => known.push((attribute, column)),
                other => *other = Binding::Beside(vec![(attribute, column)]),
            }
        }
        let expressions: Vec<Node<'t>> = outputs.iter().map(|output| output.expression).collect();
        if let Some(outside) = &scope.outside {
            scope.entries[outside.entry - 1] = Binding::Outputs(expressions[..carried].to_vec());
        }
        let kinds: Vec<_> = expressions.iter().map(|expression| expression.column_type()).collect();
        let others = scope.entry(Binding::Outputs(expressions));
        let mut lifted = HashMap::new();
        for (at, expression) in targets {
            let expression = self.lift(&mut scope, expression)?;
            self.check_expression(expression, "the target list")?;
            lifted.insert(at, expression);
        }
        for (at, output) in outputs.iter_mut().enumerate() {
            let column = || self.arena.var(others, at as i16 + 1, &kinds[at]);
            let expression = lifted.get(&at).copied().unwrap_or_else(column);
            output.expression = scope.resolve(self, expression)?;
        }
        Ok(Block { outputs, carried, ..scope.block })
    }
}
