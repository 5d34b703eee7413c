//! A safe, read-only view of PostgreSQL's expression trees, and the few ways in which the compiler makes new ones.
//!
//! All trees live in one [`Arena`], a memory context of their own: a [`Node`] borrows the arena, so no handle outlives the
//! memory. Trees that came from a cache are copied before they are handed out; nothing here changes a node in place.

use super::image;
use pgrx::pg_sys;
use std::marker::PhantomData;
use std::ptr::NonNull;
use trickle_operators::value::{ColumnType, RowBuilder};

/// The memory context that holds the trees of one compilation. While it lives it is the current memory context.
pub struct Arena {
    context: pg_sys::MemoryContext,
    previous: pg_sys::MemoryContext,
}

/// A node of an expression tree (or a Query that sits in one). Never a null pointer.
#[derive(Clone, Copy)]
pub struct Node<'t> {
    pub(super) pointer: NonNull<pg_sys::Node>,
    arena: PhantomData<&'t Arena>,
}

/// What the compiler tells apart in an expression.
pub enum View<'t> {
    Var(Var),
    Const(Constant<'t>),
    Function(Call<'t>),
    Operator(Call<'t>),
    /// `left IS DISTINCT FROM right`, called with the equality operator.
    Distinct(Call<'t>),
    NullIf(Call<'t>),
    /// `left op ANY/ALL (array)`
    ArrayOperator {
        call: Call<'t>,
        any: bool,
    },
    Aggregate(Aggregate<'t>),
    And(Vec<Node<'t>>),
    Or(Vec<Node<'t>>),
    Not(Node<'t>),
    NullTest {
        argument: Node<'t>,
        negated: bool,
        row: bool,
    },
    BooleanTest {
        argument: Node<'t>,
        value: Option<bool>,
        negated: bool,
    },
    Case {
        argument: Option<Node<'t>>,
        branches: Vec<(Node<'t>, Node<'t>)>,
        otherwise: Option<Node<'t>>,
    },
    /// The value of `CASE value WHEN …` inside of its conditions.
    CaseTest,
    Coalesce(Vec<Node<'t>>),
    /// A change of type without a change of value.
    Relabel(Node<'t>),
    SubLink,
    Window,
    /// GROUPING(): the numbers of its arguments among the query's sort and group clauses.
    Grouping {
        references: Vec<u32>,
        levels_up: u32,
    },
    Param,
    CurrentTime(&'static str),
    CurrentUser(&'static str),
    NextValue,
    /// A Query inside an expression; met when a walk enters a SubLink.
    Query,
    /// Anything else: PostgreSQL evaluates it.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var {
    /// Index into the range table, from 1.
    pub entry: usize,
    pub attribute: i16,
    /// How many queries further out the range table is.
    pub levels_up: u32,
}

pub struct Constant<'t> {
    node: Node<'t>,
}

pub struct Call<'t> {
    /// pg_proc
    pub function: u32,
    /// pg_operator, 0 for a function call
    pub operator: u32,
    pub arguments: Vec<Node<'t>>,
    /// The collation that the function sees.
    pub collation: u32,
    pub variadic: bool,
}

#[derive(Clone)]
pub struct Aggregate<'t> {
    pub function: u32,
    pub arguments: Vec<Node<'t>>,
    /// Of the arguments: which are the sort keys of ORDER BY inside the call, in order.
    pub order: Vec<usize>,
    pub has_order: bool,
    pub distinct: bool,
    pub filter: Option<Node<'t>>,
    pub levels_up: u32,
    pub collation: u32,
    /// Ordered-set or hypothetical-set aggregate.
    pub ordered_set: bool,
    pub variadic: bool,
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
        NonNull::new(pointer.cast()).map(|pointer| Node { pointer, arena: PhantomData })
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
            (*case).defresult = otherwise.pointer.as_ptr().cast();
            for (condition, value) in branches {
                let when = make::<pg_sys::CaseWhen>(pg_sys::NodeTag::T_CaseWhen);
                (*when).expr = condition.pointer.as_ptr().cast();
                (*when).result = value.pointer.as_ptr().cast();
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

/// # Safety
/// `T` is the node struct of `tag`; the current context is the arena's.
pub(super) unsafe fn make<T>(tag: pg_sys::NodeTag) -> *mut T {
    // SAFETY: zeroed memory is a valid value of every node struct; the tag is its first field.
    unsafe {
        let node = pg_sys::palloc0(size_of::<T>());
        (*node.cast::<pg_sys::Node>()).type_ = tag;
        node.cast()
    }
}

/// # Safety
/// The current context is the arena's.
pub(super) unsafe fn list(nodes: &[Node<'_>]) -> *mut pg_sys::List {
    nodes.iter().fold(std::ptr::null_mut(), |list, node| {
        // SAFETY: lappend allocates in the current context and keeps the pointer.
        unsafe { pg_sys::lappend(list, node.raw().cast()) }
    })
}

/// # Safety
/// `list` is null or a list of pointers.
pub(super) unsafe fn pointers<T>(list: *mut pg_sys::List) -> Vec<*mut T> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list has `length` initialised elements.
    unsafe { (0..(*list).length as usize).map(|at| (*(*list).elements.add(at)).ptr_value.cast()).collect() }
}

/// # Safety
/// `list` is null or a list of OIDs.
pub(super) unsafe fn oids(list: *mut pg_sys::List) -> Vec<u32> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list has `length` initialised elements.
    unsafe { (0..(*list).length as usize).map(|at| (*(*list).elements.add(at)).oid_value.to_u32()).collect() }
}

/// # Safety
/// `list` is null or a list of integers that are not negative.
pub(super) unsafe fn integers(list: *mut pg_sys::List) -> Vec<u32> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list has `length` initialised elements.
    unsafe { (0..(*list).length as usize).map(|at| (*(*list).elements.add(at)).int_value as u32).collect() }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn mutate(node: *mut pg_sys::Node, context: *mut std::ffi::c_void) -> *mut pg_sys::Node {
    let Some(pointer) = NonNull::new(node) else {
        return node;
    };
    // SAFETY: `context` is what `Arena::rewrite` passed; expression_tree_mutator copies the node and calls us for children.
    unsafe {
        let step = &mut *context.cast::<&mut dyn FnMut(Node<'_>) -> Option<Node<'_>>>();
        match step(Node { pointer, arena: PhantomData }) {
            Some(node) => node.raw(),
            None => pg_sys::expression_tree_mutator_impl(node, Some(mutate), context),
        }
    }
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
    fn json_aggregate(self) -> Option<(Node<'t>, Option<Node<'t>>)> {
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

    pub fn view(self) -> View<'t> {
        use pg_sys::NodeTag::*;
        // SAFETY: each arm casts to the struct of its tag; lists in them are lists of nodes of the same arena.
        unsafe {
            let raw = self.raw();
            match self.tag() {
                T_Var => {
                    let var = &*raw.cast::<pg_sys::Var>();
                    View::Var(Var { entry: var.varno as usize, attribute: var.varattno, levels_up: var.varlevelsup })
                }
                T_Const => View::Const(Constant { node: self }),
                T_FuncExpr => {
                    let call = &*raw.cast::<pg_sys::FuncExpr>();
                    View::Function(Call {
                        function: call.funcid.to_u32(),
                        operator: 0,
                        arguments: self.children(call.args),
                        collation: call.inputcollid.to_u32(),
                        variadic: call.funcvariadic,
                    })
                }
                T_OpExpr => View::Operator(self.operator()),
                T_DistinctExpr => View::Distinct(self.operator()),
                T_NullIfExpr => View::NullIf(self.operator()),
                T_ScalarArrayOpExpr => {
                    let call = &*raw.cast::<pg_sys::ScalarArrayOpExpr>();
                    View::ArrayOperator {
                        call: Call {
                            function: pg_sys::get_opcode(call.opno).to_u32(),
                            operator: call.opno.to_u32(),
                            arguments: self.children(call.args),
                            collation: call.inputcollid.to_u32(),
                            variadic: false,
                        },
                        any: call.useOr,
                    }
                }
                T_Aggref => View::Aggregate(self.aggregate()),
                T_BoolExpr => {
                    let expression = &*raw.cast::<pg_sys::BoolExpr>();
                    let arguments = self.children(expression.args);
                    match expression.boolop {
                        pg_sys::BoolExprType::AND_EXPR => View::And(arguments),
                        pg_sys::BoolExprType::OR_EXPR => View::Or(arguments),
                        _ => View::Not(arguments[0]),
                    }
                }
                T_NullTest => {
                    let test = &*raw.cast::<pg_sys::NullTest>();
                    match self.child(test.arg) {
                        Some(argument) => View::NullTest {
                            argument,
                            negated: test.nulltesttype == pg_sys::NullTestType::IS_NOT_NULL,
                            row: test.argisrow,
                        },
                        None => View::Other,
                    }
                }
                T_BooleanTest => {
                    use pg_sys::BoolTestType as B;
                    let test = &*raw.cast::<pg_sys::BooleanTest>();
                    let (value, negated) = match test.booltesttype {
                        B::IS_TRUE => (Some(true), false),
                        B::IS_NOT_TRUE => (Some(true), true),
                        B::IS_FALSE => (Some(false), false),
                        B::IS_NOT_FALSE => (Some(false), true),
                        B::IS_UNKNOWN => (None, false),
                        _ => (None, true),
                    };
                    match self.child(test.arg) {
                        Some(argument) => View::BooleanTest { argument, value, negated },
                        None => View::Other,
                    }
                }
                T_CaseExpr => {
                    let case = &*raw.cast::<pg_sys::CaseExpr>();
                    let branches = pointers::<pg_sys::CaseWhen>(case.args)
                        .into_iter()
                        .filter_map(|when| Some((self.child((*when).expr)?, self.child((*when).result)?)))
                        .collect();
                    View::Case { argument: self.child(case.arg), branches, otherwise: self.child(case.defresult) }
                }
                T_CaseTestExpr => View::CaseTest,
                T_CoalesceExpr => View::Coalesce(self.children((*raw.cast::<pg_sys::CoalesceExpr>()).args)),
                T_RelabelType => match self.child((*raw.cast::<pg_sys::RelabelType>()).arg) {
                    Some(argument) => View::Relabel(argument),
                    None => View::Other,
                },
                T_SubLink | T_SubPlan | T_AlternativeSubPlan => View::SubLink,
                T_WindowFunc => View::Window,
                T_GroupingFunc => {
                    let call = &*raw.cast::<pg_sys::GroupingFunc>();
                    View::Grouping { references: integers(call.refs), levels_up: call.agglevelsup }
                }
                T_Param => View::Param,
                T_NextValueExpr => View::NextValue,
                T_SQLValueFunction => value_function((*raw.cast::<pg_sys::SQLValueFunction>()).op),
                T_Query => View::Query,
                _ => View::Other,
            }
        }
    }

    /// # Safety
    /// The node is an OpExpr, DistinctExpr or NullIfExpr: one struct.
    unsafe fn operator(self) -> Call<'t> {
        // SAFETY: the caller's promise. opfuncid may be unset in stored trees, so the catalog is asked.
        unsafe {
            let call = &*self.raw().cast::<pg_sys::OpExpr>();
            Call {
                function: pg_sys::get_opcode(call.opno).to_u32(),
                operator: call.opno.to_u32(),
                arguments: self.children(call.args),
                collation: call.inputcollid.to_u32(),
                variadic: false,
            }
        }
    }

    /// # Safety
    /// The node is an Aggref.
    unsafe fn aggregate(self) -> Aggregate<'t> {
        // SAFETY: the caller's promise; args are target entries, order clauses are sort clauses that refer to them.
        unsafe {
            let call = &*self.raw().cast::<pg_sys::Aggref>();
            let targets = pointers::<pg_sys::TargetEntry>(call.args);
            let order = pointers::<pg_sys::SortGroupClause>(call.aggorder)
                .into_iter()
                .filter_map(|clause| {
                    targets.iter().position(|target| (**target).ressortgroupref == (*clause).tleSortGroupRef)
                })
                .collect();
            Aggregate {
                function: call.aggfnoid.to_u32(),
                arguments: targets.iter().filter_map(|target| self.child((**target).expr)).collect(),
                order,
                has_order: !call.aggorder.is_null(),
                distinct: !call.aggdistinct.is_null(),
                filter: self.child(call.aggfilter),
                levels_up: call.agglevelsup,
                collation: call.inputcollid.to_u32(),
                ordered_set: call.aggkind as u8 != b'n',
                variadic: call.aggvariadic,
            }
        }
    }
}

fn value_function<'t>(op: pg_sys::SQLValueFunctionOp::Type) -> View<'t> {
    use pg_sys::SQLValueFunctionOp as S;
    match op {
        S::SVFOP_CURRENT_DATE => View::CurrentTime("CURRENT_DATE"),
        S::SVFOP_CURRENT_TIME | S::SVFOP_CURRENT_TIME_N => View::CurrentTime("CURRENT_TIME"),
        S::SVFOP_CURRENT_TIMESTAMP | S::SVFOP_CURRENT_TIMESTAMP_N => View::CurrentTime("CURRENT_TIMESTAMP"),
        S::SVFOP_LOCALTIME | S::SVFOP_LOCALTIME_N => View::CurrentTime("LOCALTIME"),
        S::SVFOP_LOCALTIMESTAMP | S::SVFOP_LOCALTIMESTAMP_N => View::CurrentTime("LOCALTIMESTAMP"),
        S::SVFOP_CURRENT_ROLE => View::CurrentUser("CURRENT_ROLE"),
        S::SVFOP_SESSION_USER => View::CurrentUser("SESSION_USER"),
        S::SVFOP_CURRENT_CATALOG => View::CurrentUser("CURRENT_CATALOG"),
        S::SVFOP_CURRENT_SCHEMA => View::CurrentUser("CURRENT_SCHEMA"),
        _ => View::CurrentUser("CURRENT_USER"),
    }
}

impl Constant<'_> {
    /// The constant's image; `None` for NULL.
    pub fn image(&self) -> Option<Vec<u8>> {
        // SAFETY: the node is a Const, and its datum is of its own type's storage.
        unsafe {
            let constant = &*self.node.raw().cast::<pg_sys::Const>();
            let storage = image::Storage { length: constant.constlen as i16, by_value: constant.constbyval };
            let mut builder = RowBuilder::default();
            image::append(&mut builder, constant.constvalue, constant.constisnull, storage);
            builder.finish().column(0).map(<[u8]>::to_vec)
        }
    }

    /// The images of an array constant's elements, with the element type; none for NULL or a non-array.
    pub fn array(&self) -> Option<(Vec<Option<Vec<u8>>>, ColumnType)> {
        // SAFETY: the node is a Const; deconstruct_array gets the storage of the array's own element type, and its
        // out-arrays hold `count` elements.
        unsafe {
            let constant = &*self.node.raw().cast::<pg_sys::Const>();
            let element = pg_sys::get_element_type(constant.consttype);
            if constant.constisnull || element == pg_sys::InvalidOid {
                return None;
            }
            let ty = image::column_type(element, -1, constant.constcollid);
            let array = pg_sys::pg_detoast_datum(constant.constvalue.cast_mut_ptr()).cast::<pg_sys::ArrayType>();
            let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
            pg_sys::deconstruct_array(
                array,
                element,
                ty.length.into(),
                ty.by_value,
                ty.align as std::ffi::c_char,
                &mut values,
                &mut nulls,
                &mut count,
            );
            let images = (0..count as usize)
                .map(|at| {
                    let mut builder = RowBuilder::default();
                    image::append(&mut builder, *values.add(at), *nulls.add(at), (&ty).into());
                    builder.finish().column(0).map(<[u8]>::to_vec)
                })
                .collect();
            Some((images, ty))
        }
    }
}
