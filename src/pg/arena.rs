//! The memory of one compilation's trees, and the few ways in which the compiler makes new ones.

use super::list::{list, make};
use super::node::{Node, View};
use pgrx::pg_sys;
use std::ptr::NonNull;
use trickle_operators::value::ColumnType;

/// The memory context that holds the trees of one compilation. While it lives it is the current memory context.
pub struct Arena {
    context: pg_sys::MemoryContext,
    previous: pg_sys::MemoryContext,
}

impl Arena {
    pub fn new() -> Self {
        // SAFETY: CurrentMemoryContext is always valid in a backend.
        unsafe {
            let context = pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"pg_trickle compile".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            Arena { context, previous: pg_sys::MemoryContextSwitchTo(context) }
        }
    }

    /// # Safety
    /// `pointer` is null or a valid tree in this arena that nobody changes any more.
    pub(super) unsafe fn node<T>(&self, pointer: *mut T) -> Option<Node<'_>> {
        // SAFETY: the caller's promise; the arena is borrowed for as long as the node.
        NonNull::new(pointer.cast()).map(|pointer| unsafe { Node::at(pointer) })
    }

    /// # Safety
    /// As [`Arena::node`], and not null.
    pub(super) unsafe fn some<T>(&self, pointer: *mut T) -> Node<'_> {
        // SAFETY: the caller's promise.
        unsafe { self.node(pointer) }.expect("a parse tree has no null pointer here")
    }

    pub fn var(&self, entry: usize, attribute: i16, ty: &ColumnType) -> Node<'_> {
        // SAFETY: makeVar allocates in the current context, which is the arena's.
        unsafe {
            self.some(pg_sys::makeVar(
                entry as i32,
                attribute,
                pg_sys::Oid::from(ty.oid),
                ty.typmod,
                pg_sys::Oid::from(ty.collation),
                0,
            ))
        }
    }

    /// A column like `var`, of the same type, elsewhere.
    pub fn var_like<'t>(&'t self, var: Node<'t>, entry: usize, attribute: i16) -> Node<'t> {
        self.var(entry, attribute, &var.column_type())
    }

    /// NULL of a column's type.
    pub fn null_like<'t>(&'t self, node: Node<'t>) -> Node<'t> {
        // SAFETY: reads the node's type, and allocates in the arena.
        unsafe {
            let ty = pg_sys::exprType(node.raw());
            self.some(pg_sys::makeNullConst(ty, pg_sys::exprTypmod(node.raw()), pg_sys::exprCollation(node.raw())))
        }
    }

    pub fn and<'t>(&'t self, conjuncts: &[Node<'t>]) -> Node<'t> {
        if let [only] = conjuncts {
            return *only;
        }
        // SAFETY: the list and the node are allocated in the arena; the members are boolean expressions in it.
        unsafe { self.some(pg_sys::makeBoolExpr(pg_sys::BoolExprType::AND_EXPR, list(conjuncts), -1)) }
    }

    /// `CASE WHEN condition THEN value … ELSE otherwise END`, of one type.
    pub fn case<'t>(&'t self, branches: &[(Node<'t>, Node<'t>)], otherwise: Node<'t>) -> Node<'t> {
        // SAFETY: palloc0 gives zeroed memory of the structs' sizes in the arena; all pointers put in are nodes of it.
        unsafe {
            let case = make::<pg_sys::CaseExpr>(pg_sys::NodeTag::T_CaseExpr);
            (*case).casetype = pg_sys::exprType(otherwise.raw());
            (*case).casecollid = pg_sys::exprCollation(otherwise.raw());
            (*case).location = -1;
            (*case).defresult = otherwise.raw().cast();
            for (condition, value) in branches {
                let when = make::<pg_sys::CaseWhen>(pg_sys::NodeTag::T_CaseWhen);
                (*when).expr = condition.raw().cast();
                (*when).result = value.raw().cast();
                (*when).location = -1;
                (*case).args = pg_sys::lappend((*case).args, when.cast());
            }
            self.some(case)
        }
    }

    /// `CASE WHEN condition THEN value END`
    pub fn case_when<'t>(&'t self, condition: Node<'t>, value: Node<'t>) -> Node<'t> {
        // An ELSE NULL that parse analysis would have added.
        self.case(&[(condition, value)], self.null_like(value))
    }

    /// Coerces an arm's column to the column type of a set operation, as the planner does.
    pub fn coerce<'t>(&'t self, node: Node<'t>, ty: u32) -> Node<'t> {
        if node.type_oid() == ty {
            return node;
        }
        // SAFETY: no parse state is needed without parameters; the input is copied first, and coercion makes new nodes.
        unsafe {
            let copy = pg_sys::copyObjectImpl(node.raw() as *const _) as *mut pg_sys::Node;
            self.some(pg_sys::coerce_to_common_type(
                std::ptr::null_mut(),
                copy,
                pg_sys::Oid::from(ty),
                c"UNION/INTERSECT/EXCEPT".as_ptr(),
            ))
        }
    }

    /// A copy of `node` in which `replace` has been asked about every node from the root down, and where it gave one, that
    /// stands in its place (and is not entered). The first error ends the rewriting.
    pub fn rewrite<'t, E>(
        &'t self,
        node: Node<'t>,
        replace: &mut dyn FnMut(Node<'t>) -> Result<Option<Node<'t>>, E>,
    ) -> Result<Node<'t>, E> {
        let mut error = None;
        let mut step = |node: Node<'t>| match replace(node) {
            Ok(node) => node,
            Err(e) => {
                error.get_or_insert(e);
                Some(node)
            }
        };
        let mut context: &mut dyn FnMut(Node<'t>) -> Option<Node<'t>> = &mut step;
        // SAFETY: `mutate` gets back the pointer to `context` that is passed here, which outlives the call.
        let result = unsafe { self.some(mutate(node.raw(), (&raw mut context).cast())) };
        match error {
            Some(error) => Err(error),
            None => Ok(result),
        }
    }
}

impl Arena {
    /// The expression with JSON_ARRAYAGG and JSON_OBJECTAGG written as the aggregates that they are: the constructor around
    /// one means nothing, and cannot be printed, once its aggregate has been replaced.
    pub fn plain_json_aggregates<'t>(&'t self, node: Node<'t>) -> Node<'t> {
        let never = |result: Result<Node<'t>, std::convert::Infallible>| match result {
            Ok(node) => node,
        };
        never(self.rewrite(node, &mut |node| {
            let Some((function, coercion)) = node.json_aggregate() else { return Ok(None) };
            let function = self.plain_json_aggregates(function);
            let Some(coercion) = coercion else { return Ok(Some(function)) };
            let value = |node: Node<'t>| matches!(node.view(), View::CaseTest).then_some(function);
            Ok(Some(never(self.rewrite(coercion, &mut |node| Ok(value(node))))))
        }))
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the context was made by `new`; handles into it borrow the arena and are gone. On an ERROR's way out the
        // context may be current or not: switching to the one before is right in both cases.
        unsafe {
            pg_sys::MemoryContextSwitchTo(self.previous);
            pg_sys::MemoryContextDelete(self.context);
        }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn mutate(node: *mut pg_sys::Node, context: *mut std::ffi::c_void) -> *mut pg_sys::Node {
    let Some(pointer) = NonNull::new(node) else {
        return node;
    };
    // SAFETY: `context` is what `Arena::rewrite` passed; expression_tree_mutator copies the node and calls us for children.
    unsafe {
        // They say how JSON is written, and hold no expression: the walkers, which a step may call, do not know them.
        if matches!((*node).type_, pg_sys::NodeTag::T_JsonReturning | pg_sys::NodeTag::T_JsonFormat) {
            return pg_sys::expression_tree_mutator_impl(node, Some(mutate), context);
        }
        let step = &mut *context.cast::<&mut dyn FnMut(Node<'_>) -> Option<Node<'_>>>();
        match step(Node::at(pointer)) {
            Some(node) => node.raw(),
            None => pg_sys::expression_tree_mutator_impl(node, Some(mutate), context),
        }
    }
}
