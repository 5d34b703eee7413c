//! A safe, read-only view of PostgreSQL's expression trees.
//!
//! All trees live in one [`Arena`], a memory context of their own: a [`Node`] borrows the arena, so no handle outlives the
//! memory. Trees that came from a cache are copied before they are handed out; nothing here changes a node in place.

use super::image;
use pgrx::pg_sys;
use std::marker::PhantomData;
use std::ptr::NonNull;
use trickle_operators::value::ColumnType;

pub use super::arena::Arena;
pub(super) use super::list::{integers, list, make, oids, pointers};
pub use super::view::{Aggregate, Call, Var, View};

/// A node of an expression tree (or a Query that sits in one). Never a null pointer.
#[derive(Clone, Copy)]
pub struct Node<'t> {
    pub(super) pointer: NonNull<pg_sys::Node>,
    arena: PhantomData<&'t Arena>,
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn walk(node: *mut pg_sys::Node, context: *mut std::ffi::c_void) -> bool {
    let Some(pointer) = NonNull::new(node) else {
        return false;
    };
    // SAFETY: `context` is what `Node::visit` passed; the walkers call us for children.
    unsafe {
        let visit = &mut *context.cast::<&mut dyn FnMut(Node<'_>) -> bool>();
        if visit(Node { pointer, arena: PhantomData }) {
            return true;
        }
        match (*node).type_ {
            pg_sys::NodeTag::T_Query => {
                pg_sys::query_tree_walker_impl(node.cast(), Some(walk), context, pg_sys::QTW_EXAMINE_RTES_BEFORE as i32)
            }
            pg_sys::NodeTag::T_RangeTblEntry => false,
            _ => pg_sys::expression_tree_walker_impl(node, Some(walk), context),
        }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn note_function(function: pg_sys::Oid, context: *mut std::ffi::c_void) -> bool {
    // SAFETY: `context` is the vector that `Node::functions` passed.
    unsafe { (*context.cast::<Vec<u32>>()).push(function.to_u32()) };
    false
}

unsafe extern "C-unwind" {
    // Of jsonpath.h, which the bindings do not cover: called inside of a guard.
    fn jspIsMutable(path: *mut pg_sys::varlena, names: *mut pg_sys::List, values: *mut pg_sys::List) -> bool;
}

impl PartialEq for Node<'_> {
    /// PostgreSQL's equal(): same expression, whatever its place in the query text.
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: both are valid trees; equal() only reads.
        unsafe { pg_sys::equal(self.raw() as *const _, other.raw() as *const _) }
    }
}

impl<'t> Node<'t> {
    /// # Safety
    /// `pointer` is a valid tree that nobody changes any more, in an arena that outlives the node.
    pub(super) unsafe fn at(pointer: NonNull<pg_sys::Node>) -> Node<'t> {
        Node { pointer, arena: PhantomData }
    }

    /// # Safety
    /// `pointer` is a valid tree in the arena of this one that nobody changes any more.
    pub(super) unsafe fn beside(self, pointer: *mut pg_sys::Node) -> Node<'t> {
        Node { pointer: NonNull::new(pointer).expect("an expression is not null"), arena: PhantomData }
    }

    pub(super) fn raw(self) -> *mut pg_sys::Node {
        self.pointer.as_ptr()
    }

    pub(super) fn tag(self) -> pg_sys::NodeTag {
        // SAFETY: a node is valid for as long as its arena.
        unsafe { (*self.raw()).type_ }
    }

    /// # Safety
    /// As [`Arena::node`].
    pub(super) unsafe fn child<T>(self, pointer: *mut T) -> Option<Node<'t>> {
        NonNull::new(pointer.cast()).map(|pointer| Node { pointer, arena: PhantomData })
    }

    pub(super) unsafe fn children(self, list: *mut pg_sys::List) -> Vec<Node<'t>> {
        // SAFETY: a list in a node is a list of nodes, none of them null in analysed trees.
        unsafe { pointers::<pg_sys::Node>(list).into_iter().filter_map(|pointer| self.child(pointer)).collect() }
    }

    pub fn type_oid(self) -> u32 {
        // SAFETY: exprType only reads the tree.
        unsafe { pg_sys::exprType(self.raw()).to_u32() }
    }

    pub fn collation(self) -> u32 {
        // SAFETY: exprCollation only reads the tree.
        unsafe { pg_sys::exprCollation(self.raw()).to_u32() }
    }

    /// Type, modifier and collation, with what the catalogs say of the type.
    pub fn column_type(self) -> ColumnType {
        // SAFETY: these only read the tree.
        let (oid, typmod, collation) = unsafe {
            (pg_sys::exprType(self.raw()), pg_sys::exprTypmod(self.raw()), pg_sys::exprCollation(self.raw()))
        };
        image::column_type(oid, typmod, collation)
    }

    /// Of JSON_ARRAYAGG and JSON_OBJECTAGG: the aggregate or window function in it, and the coercion of its result, in which
    /// [`View::CaseTest`] stands for that. There is nothing more to them: NULL and UNIQUE clauses have chosen the function.
    pub(super) fn json_aggregate(self) -> Option<(Node<'t>, Option<Node<'t>>)> {
        use pg_sys::JsonConstructorType::{JSCTOR_JSON_ARRAYAGG, JSCTOR_JSON_OBJECTAGG};
        if self.tag() != pg_sys::NodeTag::T_JsonConstructorExpr {
            return None;
        }
        // SAFETY: the tag says what it is; its parts are null or nodes of the same arena.
        unsafe {
            let constructor = &*self.raw().cast::<pg_sys::JsonConstructorExpr>();
            let aggregates = matches!(constructor.type_, JSCTOR_JSON_ARRAYAGG | JSCTOR_JSON_OBJECTAGG);
            let function = self.child(constructor.func).filter(|_| aggregates)?;
            Some((function, self.child(constructor.coercion)))
        }
    }

    /// The fields of a row constructor.
    pub fn row_fields(self) -> Option<Vec<Node<'t>>> {
        // SAFETY: the tag says what it is; its arguments are expressions of the same arena.
        (self.tag() == pg_sys::NodeTag::T_RowExpr)
            .then(|| unsafe { self.children((*self.raw().cast::<pg_sys::RowExpr>()).args) })
    }

    /// What a function, an operator, an aggregate or a cast by way of text is applied to.
    pub fn arguments(self) -> Vec<Node<'t>> {
        if self.tag() == pg_sys::NodeTag::T_CoerceViaIO {
            // SAFETY: the tag says what it is.
            return unsafe { self.child((*self.raw().cast::<pg_sys::CoerceViaIO>()).arg) }.into_iter().collect();
        }
        match self.view() {
            View::Function(call) | View::Operator(call) => call.arguments,
            View::Aggregate(call) => call.arguments,
            _ => Vec::new(),
        }
    }

    /// Whether the node is JSON_VALUE, JSON_QUERY or JSON_EXISTS with a path of which PostgreSQL cannot tell that its result
    /// is the same for ever.
    pub fn has_mutable_json_path(self) -> bool {
        if self.tag() != pg_sys::NodeTag::T_JsonExpr {
            return false;
        }
        // SAFETY: the tag says what it is.
        unsafe {
            let query = &*self.raw().cast::<pg_sys::JsonExpr>();
            let (names, values) = (query.passing_names, query.passing_values);
            self.child(query.path_spec).is_none_or(|path| path.is_mutable_path(names, values))
        }
    }

    /// The same of a path of JSON_TABLE, of its table function.
    pub fn has_mutable_path(self, path: Node<'_>) -> bool {
        // SAFETY: the tag says what it is; the document of JSON_TABLE is a JsonExpr, with what is passed to all paths.
        unsafe {
            let document = match self.tag() {
                pg_sys::NodeTag::T_TableFunc => (*self.raw().cast::<pg_sys::TableFunc>()).docexpr,
                _ => return true,
            };
            if document.is_null() || (*document).type_ != pg_sys::NodeTag::T_JsonExpr {
                return true;
            }
            let document = &*document.cast::<pg_sys::JsonExpr>();
            path.is_mutable_path(document.passing_names, document.passing_values)
        }
    }

    /// # Safety
    /// The lists are what is passed to a JSON query.
    unsafe fn is_mutable_path(self, names: *mut pg_sys::List, values: *mut pg_sys::List) -> bool {
        if self.tag() != pg_sys::NodeTag::T_Const {
            return true;
        }
        // SAFETY: the tag says what it is; a constant path is a jsonpath, which is detoasted before it is read. Nothing is
        // dropped if the call raises.
        unsafe {
            let path = &*self.raw().cast::<pg_sys::Const>();
            if path.constisnull {
                return false;
            }
            let path = pg_sys::pg_detoast_datum(path.constvalue.cast_mut_ptr());
            pg_sys::ffi::pg_guard_ffi_boundary(|| jspIsMutable(path, names, values))
        }
    }

    /// The type that the node makes of a text by the type's input function: a cast, or what a JSON query returns.
    pub fn reads_text_as(self) -> Option<u32> {
        matches!(self.tag(), pg_sys::NodeTag::T_CoerceViaIO | pg_sys::NodeTag::T_JsonExpr).then(|| self.type_oid())
    }

    /// Whether the node has a type: lists, target entries and the like, which a walk meets too, have none.
    pub fn is_expression(self) -> bool {
        use pg_sys::NodeTag::*;
        matches!(
            self.tag(),
            T_Var
                | T_Const
                | T_Aggref
                | T_SubscriptingRef
                | T_FuncExpr
                | T_OpExpr
                | T_DistinctExpr
                | T_NullIfExpr
                | T_ScalarArrayOpExpr
                | T_FieldSelect
                | T_RelabelType
                | T_CoerceViaIO
                | T_ArrayCoerceExpr
                | T_ConvertRowtypeExpr
                | T_CaseExpr
                | T_ArrayExpr
                | T_RowExpr
                | T_CoalesceExpr
                | T_MinMaxExpr
                | T_CoerceToDomain
        )
    }

    /// The elements of `ARRAY[…]`, if these are no arrays.
    pub fn elements(self) -> Option<Vec<Node<'t>>> {
        if self.tag() != pg_sys::NodeTag::T_ArrayExpr {
            return None;
        }
        // SAFETY: the tag says what it is, and its elements are expressions.
        unsafe {
            let array = &*self.raw().cast::<pg_sys::ArrayExpr>();
            let elements = pointers::<pg_sys::Node>(array.elements);
            (!array.multidims).then(|| elements.into_iter().filter_map(|element| self.child(element)).collect())
        }
    }

    /// Visits the node and everything below it, Queries of SubLinks included, until `visit` says true; whether it did.
    pub fn visit(self, visit: &mut dyn FnMut(Node<'t>) -> bool) -> bool {
        let mut context: &mut dyn FnMut(Node<'t>) -> bool = visit;
        // SAFETY: `walk` gets back the pointer passed here, which outlives the call; the tree is only read.
        unsafe { walk(self.raw(), (&raw mut context).cast()) }
    }

    /// All functions that this node itself calls, not its children: pg_proc OIDs.
    pub fn functions(self) -> Vec<u32> {
        let mut functions: Vec<u32> = Vec::new();
        // SAFETY: only reads the node (it may fill in an operator's function, which changes no meaning); the context is
        // the vector above.
        unsafe { pg_sys::check_functions_in_node(self.raw(), Some(note_function), (&raw mut functions).cast()) };
        functions
    }

    /// The relation of a range table entry that a walk has met.
    pub fn range_entry_relation(self) -> Option<u32> {
        if self.tag() != pg_sys::NodeTag::T_RangeTblEntry {
            return None;
        }
        // SAFETY: the tag says what it is.
        let entry = unsafe { &*self.raw().cast::<pg_sys::RangeTblEntry>() };
        (entry.rtekind == pg_sys::RTEKind::RTE_RELATION).then(|| entry.relid.to_u32())
    }

    /// The view of a range table entry that a walk has met, if it stands for one.
    pub fn range_entry_view(self) -> Option<u32> {
        if self.tag() != pg_sys::NodeTag::T_RangeTblEntry {
            return None;
        }
        // SAFETY: the tag says what it is. An expanded view keeps its OID.
        let entry = unsafe { &*self.raw().cast::<pg_sys::RangeTblEntry>() };
        (entry.rtekind == pg_sys::RTEKind::RTE_SUBQUERY).then(|| entry.relid.to_u32()).filter(|view| *view != 0)
    }
}
