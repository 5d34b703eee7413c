//! Random expressions of a type over the columns in scope.

use super::functions::{Certainty, Template, AGGREGATES, FUNCTIONS};
use super::tree::Tree;
use super::types::{self, Type};
use crate::random::Random;

/// What an expression may refer to: a column, or a grouping key or an aggregate.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub tree: Tree,
    pub ty: Type,
    pub certainty: Certainty,
}

pub struct Expressions<'r> {
    pub random: &'r mut Random,
    /// Whether expressions may fail on some rows.
    pub wild: bool,
}

impl Expressions<'_> {
    /// An expression that the content determines.
    pub fn exact(&mut self, scope: &[Leaf], ty: Type, depth: usize) -> Tree {
        let leaf = self.leaf(scope, ty, Certainty::Exact);
        let shallow = depth == 0 || self.random.chance(25);
        match leaf {
            Some(leaf) if shallow || self.random.chance(40) => leaf,
            _ if shallow => Tree::text(ty.literal(self.random, self.wild)),
            _ => self.call(scope, ty, depth),
        }
    }

    /// An operand of which only equality and order matter.
    pub fn operand(&mut self, scope: &[Leaf], ty: Type, depth: usize) -> Tree {
        match self.leaf(scope, ty, Certainty::Equal) {
            Some(leaf) if self.random.chance(65) => leaf,
            _ => self.exact(scope, ty, depth),
        }
    }

    /// A condition.
    pub fn condition(&mut self, scope: &[Leaf], depth: usize) -> Tree {
        if self.random.chance(40) {
            return self.call(scope, Type::Bool, depth.max(1));
        }
        let ty = self.type_in(scope);
        self.comparison(scope, ty, depth)
    }

    /// The type of some column in scope, or any.
    pub fn type_in(&mut self, scope: &[Leaf]) -> Type {
        if scope.is_empty() || self.random.chance(8) {
            types::any(self.random)
        } else {
            scope[self.random.below(scope.len())].ty
        }
    }

    /// An aggregate over rows of `scope`.
    pub fn aggregate(&mut self, scope: &[Leaf], depth: usize) -> Leaf {
        let template = &AGGREGATES[self.random.below(AGGREGATES.len())];
        // A FILTER is the call's, before any cast.
        let (call, cast) = match template.text.split_once(")::text") {
            Some((call, "")) => (format!("{call})"), "::text"),
            _ => (template.text.to_string(), ""),
        };
        let call = self.fill(&call, scope, depth, None);
        let filter = if self.random.chance(25) {
            let condition = self.condition(scope, depth.min(1));
            vec![Tree::option(Tree::all(vec![Tree::text(" FILTER (WHERE "), condition, Tree::text(")")]))]
        } else {
            Vec::new()
        };
        let parts = [vec![call], filter, vec![Tree::text(cast)]].concat();
        Leaf { tree: Tree::all(parts), ty: Type::named(template.result), certainty: template.certainty }
    }

    /// A template with its arguments filled in.
    pub fn template(&mut self, template: &str, scope: &[Leaf], depth: usize) -> Tree {
        self.fill(template, scope, depth, None)
    }

    pub fn comparison(&mut self, scope: &[Leaf], ty: Type, depth: usize) -> Tree {
        let depth = depth.saturating_sub(1);
        let (left, right) = match self.leaf(scope, ty, Certainty::Equal) {
            Some(left) if self.random.chance(75) => {
                // Nothing is learnt from a column that is compared with itself.
                let written = left.render();
                let others: Vec<Leaf> = scope.iter().filter(|leaf| leaf.tree.render() != written).cloned().collect();
                let other = ty.comparable(self.random);
                let right = match self.random.chance(40) {
                    true => Tree::text(other.constant(self.random, self.wild)),
                    false => self.operand(&others, other, depth),
                };
                (left, right)
            }
            _ => {
                let other = ty.comparable(self.random);
                (self.operand(scope, ty, depth), self.operand(scope, other, depth))
            }
        };
        let operators = ["=", "<>", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"];
        let operator = operators[self.random.below(operators.len())];
        Tree::All {
            parts: vec![Tree::text("("), left, Tree::text(format!(" {operator} ")), right, Tree::text(")")],
            hoist: Vec::new(),
            plain: Some("true".into()),
        }
    }

    fn leaf(&mut self, scope: &[Leaf], ty: Type, at_most: Certainty) -> Option<Tree> {
        let fitting: Vec<&Leaf> = scope.iter().filter(|leaf| leaf.ty == ty && leaf.certainty <= at_most).collect();
        (!fitting.is_empty()).then(|| fitting[self.random.below(fitting.len())].tree.clone())
    }

    fn call(&mut self, scope: &[Leaf], ty: Type, depth: usize) -> Tree {
        let depth = depth - 1;
        match self.random.below(10) {
            0 => self.case(scope, ty, depth),
            1 => {
                let name = ["coalesce", "nullif", "greatest", "least"][self.random.below(4)];
                // Of equal values, GREATEST and LEAST take the first, which is determined.
                let plain = matches!(ty, Type::Jsonb | Type::Pair | Type::Bool);
                let name = if plain { "coalesce" } else { name };
                let arguments = (0..2).map(|_| self.exact(scope, ty, depth)).collect::<Vec<_>>();
                self.node(
                    vec![
                        Tree::text(format!("{name}(")),
                        arguments[0].clone(),
                        Tree::text(", "),
                        arguments[1].clone(),
                        Tree::text(")"),
                    ],
                    vec![1, 3],
                    ty,
                )
            }
            2 | 3 if ty == Type::Bool => {
                let compared = self.type_in(scope);
                self.comparison(scope, compared, depth + 1)
            }
            _ => {
                let fitting: Vec<&Template> = FUNCTIONS
                    .iter()
                    .filter(|template| template.result == ty.short() && (self.wild || !template.fallible))
                    .collect();
                // Those that some column can be an argument of, where there are any.
                let reads = |template: &&Template| {
                    let named = |leaf: &Leaf| template.text.contains(&format!("{}}}", leaf.ty.short()));
                    template.text.contains("any}") || scope.iter().any(named)
                };
                let reading: Vec<&Template> = fitting.iter().copied().filter(reads).collect();
                let fitting = if reading.is_empty() || self.random.chance(10) { fitting } else { reading };
                if fitting.is_empty() {
                    return self.case(scope, ty, depth);
                }
                let text = fitting[self.random.below(fitting.len())].text;
                self.fill(text, scope, depth, Some(ty))
            }
        }
    }

    fn case(&mut self, scope: &[Leaf], ty: Type, depth: usize) -> Tree {
        let condition = self.condition(scope, depth);
        let (then, otherwise) = (self.exact(scope, ty, depth), self.exact(scope, ty, depth));
        let texts = ["(CASE WHEN ", " THEN ", " ELSE ", " END)"].map(Tree::text);
        let [open, middle, or, close] = texts;
        self.node(vec![open, condition, middle, then, or, otherwise, close], vec![3, 5], ty)
    }

    fn node(&mut self, parts: Vec<Tree>, hoist: Vec<usize>, ty: Type) -> Tree {
        Tree::All { parts, hoist, plain: Some(format!("NULL::{}", ty.sql())) }
    }

    /// A template with its arguments filled in; those of the result's type may stand for the whole.
    fn fill(&mut self, template: &str, scope: &[Leaf], depth: usize, result: Option<Type>) -> Tree {
        let (mut parts, mut hoist, mut first) = (Vec::new(), Vec::new(), None);
        let mut rest = template;
        while let Some((before, after)) = argument_at(rest) {
            let (name, after) = after.split_once('}').expect("a brace is closed");
            parts.push(Tree::text(before));
            rest = after;
            let argument = match (name.strip_prefix('='), name) {
                (_, "1") => Clone::clone(&first).expect("a first argument"),
                (Some(name), _) => {
                    let ty = self.named(name, scope);
                    self.operand(scope, ty, depth)
                }
                (None, name) => {
                    let ty = self.named(name, scope);
                    if Some(ty) == result {
                        hoist.push(parts.len());
                    }
                    self.exact(scope, ty, depth)
                }
            };
            first.get_or_insert_with(|| argument.clone());
            parts.push(argument);
        }
        parts.push(Tree::text(rest));
        Tree::All { parts, hoist, plain: result.map(|ty| format!("NULL::{}", ty.sql())) }
    }

    fn named(&mut self, name: &str, scope: &[Leaf]) -> Type {
        match name {
            "any" => self.type_in(scope),
            name => Type::named(name),
        }
    }
}

/// The text before the next argument and what is after its opening brace. Braces of array and JSON literals are quoted.
fn argument_at(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '{' if !quoted => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_name_known_types() {
        let mut random = Random::new(1);
        let mut expressions = Expressions { random: &mut random, wild: true };
        for template in FUNCTIONS {
            Type::named(template.result);
            expressions.fill(template.text, &[], 2, None);
        }
        for template in AGGREGATES {
            Type::named(template.result);
            expressions.fill(template.text, &[], 2, None);
        }
    }

    #[test]
    fn quoted_braces_are_no_arguments() {
        assert_eq!(argument_at("('{a}' || {text})"), Some(("('{a}' || ", "text})")));
        assert_eq!(argument_at("'{a}'"), None);
    }
}
