//! SQL text as a tree that can be made smaller.
//!
//! A tree knows what may be left out of it: elements of a list, an expression in favour of one of its arguments or of a
//! literal. It does not know SQL: a smaller tree that the server rejects is no harm, it just does not fail as the whole did.

/// A piece of SQL.
#[derive(Clone, Debug)]
pub enum Tree {
    Text(String),
    /// Parts one after the other. One of `hoist` may stand for the whole, and so may `plain`.
    All {
        parts: Vec<Tree>,
        hoist: Vec<usize>,
        plain: Option<String>,
    },
    /// Items of which any may go, as long as `least` are left; without items nothing of it is written.
    List {
        open: &'static str,
        separator: &'static str,
        close: &'static str,
        items: Vec<Tree>,
        least: usize,
    },
}

impl Tree {
    pub fn text(text: impl Into<String>) -> Tree {
        Tree::Text(text.into())
    }

    /// Parts that belong together.
    pub fn all(parts: Vec<Tree>) -> Tree {
        Tree::All { parts, hoist: Vec::new(), plain: None }
    }

    pub fn list(open: &'static str, separator: &'static str, close: &'static str, items: Vec<Tree>) -> Tree {
        Tree::List { open, separator, close, items, least: 0 }
    }

    /// A list that needs an item.
    pub fn some(open: &'static str, separator: &'static str, close: &'static str, items: Vec<Tree>) -> Tree {
        Tree::List { open, separator, close, items, least: 1 }
    }

    /// A piece that may go.
    pub fn option(piece: Tree) -> Tree {
        Tree::list("", "", "", vec![piece])
    }

    pub fn render(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        match self {
            Tree::Text(part) => text.push_str(part),
            Tree::All { parts, .. } => parts.iter().for_each(|part| part.write(text)),
            Tree::List { items, .. } if items.is_empty() => {}
            Tree::List { open, separator, close, items, .. } => {
                text.push_str(open);
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        text.push_str(separator);
                    }
                    item.write(text);
                }
                text.push_str(close);
            }
        }
    }

    /// All trees that are one step smaller, the big steps first.
    pub fn smaller(&self) -> Vec<Tree> {
        let mut found = Vec::new();
        match self {
            Tree::Text(_) => {}
            Tree::All { parts, hoist, plain } => {
                let written = plain.iter().filter(|plain| self.render() != **plain);
                found.extend(written.map(|plain| Tree::Text(plain.clone())));
                found.extend(hoist.iter().map(|at| parts[*at].clone()));
                for (at, part) in parts.iter().enumerate() {
                    for smaller in part.smaller() {
                        let mut parts = parts.clone();
                        parts[at] = smaller;
                        found.push(Tree::All { parts, hoist: hoist.clone(), plain: plain.clone() });
                    }
                }
            }
            Tree::List { open, separator, close, items, least } => {
                let with = |items| Tree::List { open, separator, close, items, least: *least };
                found.extend(without_some(items, *least).into_iter().map(with));
                for (at, item) in items.iter().enumerate() {
                    for smaller in item.smaller() {
                        let mut items = items.clone();
                        items[at] = smaller;
                        found.push(with(items));
                    }
                }
            }
        }
        found
    }
}

/// A vector without its halves, quarters, … and single elements, with `least` of them left.
pub fn without_some<T: Clone>(items: &[T], least: usize) -> Vec<Vec<T>> {
    let mut found = Vec::new();
    let mut length = items.len();
    while length > 0 {
        for start in (0..items.len()).step_by(length) {
            let end = (start + length).min(items.len());
            if items.len() - (end - start) >= least {
                found.push(items[..start].iter().chain(&items[end..]).cloned().collect());
            }
        }
        length /= 2;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_go_goes() {
        let sum = Tree::All {
            parts: vec![Tree::text("("), Tree::text("a"), Tree::text(" + 1)")],
            hoist: vec![1],
            plain: Some("NULL".into()),
        };
        let tree =
            Tree::all(vec![Tree::some("SELECT ", ", ", "", vec![sum, Tree::text("b")]), Tree::option(Tree::text("!"))]);
        assert_eq!(tree.render(), "SELECT (a + 1), b!");
        let smaller: Vec<String> = tree.smaller().iter().map(Tree::render).collect();
        assert_eq!(smaller, ["SELECT b!", "SELECT (a + 1)!", "SELECT NULL, b!", "SELECT a, b!", "SELECT (a + 1), b"]);
    }

    #[test]
    fn halves_go_first() {
        assert_eq!(without_some(&[1, 2], 0), [vec![], vec![2], vec![1]]);
        assert_eq!(without_some(&[1, 2], 1), [vec![2], vec![1]]);
    }
}
