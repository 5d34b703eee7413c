//! Queries as analysed and rewritten trees: how to get one, and a safe, read-only view of its parts.

use super::node::{integers, make, oids, pointers, Arena, Node};
use super::txn::Failure;
use pgrx::pg_sys;
use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// An analysed query whose views have been expanded.
#[derive(Clone, Copy)]
pub struct Query<'t> {
    pointer: NonNull<pg_sys::Query>,
    arena: PhantomData<&'t Arena>,
}

/// An entry of a range table.
#[derive(Clone, Copy)]
pub struct RangeEntry<'t> {
    pointer: NonNull<pg_sys::RangeTblEntry>,
    arena: PhantomData<&'t Arena>,
}

pub enum RangeKind<'t> {
    Relation {
        relation: u32,
        sampled: bool,
        /// `FROM ONLY`: without what inherits from it.
        only: bool,
    },
    Subquery(Query<'t>),
    Join {
        aliases: Vec<Node<'t>>,
    },
    Function,
    TableFunction,
    Values(Vec<Vec<Node<'t>>>),
    Cte {
        name: String,
        levels_up: u32,
        recursive: bool,
    },
    NamedTuplestore,
    /// FROM-less: one row without columns.
    Result,
    Group(Vec<Node<'t>>),
}

/// The FROM clause.
pub enum FromItem<'t> {
    /// Index into the range table, from 1.
    Entry(usize),
    Join {
        kind: JoinKind,
        /// Its own, by which its columns are referred to.
        entry: Option<usize>,
        left: Box<FromItem<'t>>,
        right: Box<FromItem<'t>>,
        condition: Option<Node<'t>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Other,
}

#[derive(Clone)]
pub struct Target<'t> {
    pub name: String,
    pub expression: Node<'t>,
    /// Only there for ORDER BY or GROUP BY.
    pub junk: bool,
}

/// A tree of set operations.
pub enum SetTree {
    /// Index into the range table, from 1.
    Arm(usize),
    Operation {
        kind: SetKind,
        all: bool,
        left: Box<SetTree>,
        right: Box<SetTree>,
        types: Vec<SetColumn>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    Union,
    Intersect,
    Except,
}

/// The type of a column of a set operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetColumn {
    pub oid: u32,
    pub typmod: i32,
    pub collation: u32,
}

/// A common table expression.
pub struct Cte<'t> {
    pub name: String,
    /// With those that SEARCH and CYCLE add.
    pub columns: Vec<String>,
    pub query: Query<'t>,
    /// Whether it refers to itself, not only whether it might.
    pub recursive: bool,
}

/// Which columns of which relation a query needs permission for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    pub relation: u32,
    /// As whom it is checked: the owner of the view it is used in, 0 for the current user.
    pub role: u32,
    /// Attribute numbers; 0 is the whole row. Empty: any column will do.
    pub columns: Vec<i16>,
}

/// What analysing a query text can come to, short of an ERROR of PostgreSQL's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAQuery {
    Empty,
    SeveralStatements,
    NotSelect,
}

/// The definition of a view, analysed and rewritten; the relations in it are locked for reading. Raises an ERROR if there
/// is no such view.
pub fn of_view(arena: &Arena, view: u32) -> Result<Query<'_>, NotAQuery> {
    // SAFETY: the view is open while its rule is copied, as core does for REFRESH MATERIALIZED VIEW; the copy is in the
    // current context, the arena's.
    unsafe {
        let relation = pg_sys::try_relation_open(pg_sys::Oid::from(view), pg_sys::AccessShareLock as i32);
        if relation.is_null() {
            Failure::new(b"42P01", "the definition of the stream table does not exist").raise();
        }
        let query = pg_sys::copyObjectImpl(pg_sys::get_view_query(relation).cast()) as *mut pg_sys::Query;
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        pg_sys::AcquireRewriteLocks(query, true, false);
        rewritten(arena, query)
    }
}

/// A query text, analysed as the current user with the current search path, and rewritten. Raises PostgreSQL's own errors.
pub fn of_text<'t>(arena: &'t Arena, text: &str) -> Result<Query<'t>, NotAQuery> {
    let Ok(text) = CString::new(text) else {
        return Err(NotAQuery::NotSelect);
    };
    // SAFETY: the text outlives analysis; the trees are allocated in the arena.
    unsafe {
        let statements = pointers::<pg_sys::RawStmt>(pg_sys::pg_parse_query(text.as_ptr()));
        let statement = match statements[..] {
            [] => return Err(NotAQuery::Empty),
            [one] => one,
            _ => return Err(NotAQuery::SeveralStatements),
        };
        let query =
            pg_sys::parse_analyze_fixedparams(statement, text.as_ptr(), std::ptr::null(), 0, std::ptr::null_mut());
        if (*query).commandType != pg_sys::CmdType::CMD_SELECT || !(*query).utilityStmt.is_null() {
            return Err(NotAQuery::NotSelect);
        }
        rewritten(arena, query)
    }
}

/// # Safety
/// `query` is an analysed SELECT in the arena, its relations locked.
unsafe fn rewritten(_arena: &Arena, query: *mut pg_sys::Query) -> Result<Query<'_>, NotAQuery> {
    // SAFETY: the caller's promise. Rewriting a SELECT gives exactly one SELECT, unless a rule does something strange.
    unsafe {
        match pointers::<pg_sys::Query>(pg_sys::QueryRewrite(query))[..] {
            [one] if (*one).commandType == pg_sys::CmdType::CMD_SELECT => {
                let one = super::whole_row::expanded(one);
                Ok(Query { pointer: NonNull::new_unchecked(one), arena: PhantomData })
            }
            _ => Err(NotAQuery::NotSelect),
        }
    }
}

unsafe extern "C-unwind" {
    // Of parse_agg.h, which the bindings do not cover: called inside of a guard.
    fn expand_grouping_sets(sets: *mut pg_sys::List, distinct: bool, limit: i32) -> *mut pg_sys::List;
}

/// # Safety
/// `name` is null or a C string.
pub(super) unsafe fn text(name: *const std::ffi::c_char) -> String {
    if name.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(name).to_string_lossy().into_owned() }
}

/// # Safety
/// A list of strings.
unsafe fn names(list: *mut pg_sys::List) -> Vec<String> {
    // SAFETY: the caller's promise.
    unsafe { pointers::<pg_sys::String>(list).into_iter().map(|name| text((*name).sval)).collect() }
}

impl<'t> Query<'t> {
    /// Whether it is the same node, not only an equal one.
    pub fn is(self, other: Query<'_>) -> bool {
        self.pointer == other.pointer
    }

    pub(super) fn get(&self) -> &'t pg_sys::Query {
        // SAFETY: valid for as long as the arena, and never changed after rewriting.
        unsafe { self.pointer.as_ref() }
    }

    pub fn node(self) -> Node<'t> {
        // SAFETY: a Query is a node of the same arena.
        unsafe { self.anchor().child(self.pointer.as_ptr()) }.expect("not null")
    }

    /// Some node of the arena, from which others can be derived.
    fn anchor(&self) -> Node<'t> {
        // SAFETY: a Query begins with its tag; the arena's reference is only a lifetime.
        unsafe { std::mem::transmute::<NonNull<pg_sys::Query>, Node<'t>>(self.pointer) }
    }

    pub(super) fn optional(&self, node: *mut pg_sys::Node) -> Option<Node<'t>> {
        // SAFETY: pointers in the query are null or nodes of the same arena.
        unsafe { self.anchor().child(node) }
    }

    pub fn range_table(self) -> Vec<RangeEntry<'t>> {
        // SAFETY: the range table is a list of entries, none null.
        unsafe { pointers::<pg_sys::RangeTblEntry>(self.get().rtable) }
            .into_iter()
            .filter_map(|entry| Some(RangeEntry { pointer: NonNull::new(entry)?, arena: PhantomData }))
            .collect()
    }

    pub fn targets(self) -> Vec<Target<'t>> {
        // SAFETY: the target list is a list of target entries with an expression each.
        unsafe {
            pointers::<pg_sys::TargetEntry>(self.get().targetList)
                .into_iter()
                .filter_map(|target| {
                    Some(Target {
                        name: text((*target).resname),
                        expression: self.optional((*target).expr.cast())?,
                        junk: (*target).resjunk,
                    })
                })
                .collect()
        }
    }

    /// The FROM clause's items, and WHERE.
    pub fn items_of_from(self) -> (Vec<FromItem<'t>>, Option<Node<'t>>) {
        let join_tree = self.get().jointree;
        if join_tree.is_null() {
            return (Vec::new(), None);
        }
        // SAFETY: the join tree's top is a FromExpr.
        let top = unsafe { &*join_tree };
        // SAFETY: its items are range table references and joins.
        let items = unsafe { pointers::<pg_sys::Node>(top.fromlist) };
        (items.into_iter().map(|item| self.item_of_from(item)).collect(), self.optional(top.quals))
    }

    fn item_of_from(self, item: *mut pg_sys::Node) -> FromItem<'t> {
        // SAFETY: before planning a join tree consists of RangeTblRef and JoinExpr below its top.
        unsafe {
            if (*item).type_ == pg_sys::NodeTag::T_RangeTblRef {
                return FromItem::Entry((*item.cast::<pg_sys::RangeTblRef>()).rtindex as usize);
            }
            let join = &*item.cast::<pg_sys::JoinExpr>();
            let kind = match join.jointype {
                pg_sys::JoinType::JOIN_INNER => JoinKind::Inner,
                pg_sys::JoinType::JOIN_LEFT => JoinKind::Left,
                pg_sys::JoinType::JOIN_RIGHT => JoinKind::Right,
                pg_sys::JoinType::JOIN_FULL => JoinKind::Full,
                _ => JoinKind::Other,
            };
            FromItem::Join {
                kind,
                entry: usize::try_from(join.rtindex).ok().filter(|entry| *entry > 0),
                left: Box::new(self.item_of_from(join.larg)),
                right: Box::new(self.item_of_from(join.rarg)),
                condition: self.optional(join.quals),
            }
        }
    }

    pub fn set_operations(self) -> Option<SetTree> {
        let top = self.get().setOperations;
        (!top.is_null()).then(|| self.set_tree(top))
    }

    fn set_tree(self, node: *mut pg_sys::Node) -> SetTree {
        // SAFETY: a set operation tree consists of SetOperationStmt and RangeTblRef.
        unsafe {
            if (*node).type_ == pg_sys::NodeTag::T_RangeTblRef {
                return SetTree::Arm((*node.cast::<pg_sys::RangeTblRef>()).rtindex as usize);
            }
            let operation = &*node.cast::<pg_sys::SetOperationStmt>();
            let types = oids(operation.colTypes);
            let collations = oids(operation.colCollations);
            let typmods = operation.colTypmods;
            let types = types
                .into_iter()
                .enumerate()
                .map(|(at, oid)| SetColumn {
                    oid,
                    typmod: (*(*typmods).elements.add(at)).int_value,
                    collation: collations[at],
                })
                .collect();
            SetTree::Operation {
                kind: match operation.op {
                    pg_sys::SetOperation::SETOP_INTERSECT => SetKind::Intersect,
                    pg_sys::SetOperation::SETOP_EXCEPT => SetKind::Except,
                    _ => SetKind::Union,
                },
                all: operation.all,
                left: Box::new(self.set_tree(operation.larg)),
                right: Box::new(self.set_tree(operation.rarg)),
                types,
            }
        }
    }

    pub fn ctes(self) -> Vec<Cte<'t>> {
        // SAFETY: a list of CommonTableExpr whose queries have been analysed.
        unsafe {
            pointers::<pg_sys::CommonTableExpr>(self.get().cteList)
                .into_iter()
                .filter_map(|cte| {
                    Some(Cte {
                        name: text((*cte).ctename),
                        columns: names((*cte).ctecolnames),
                        recursive: (*cte).cterecursive,
                        query: Query { pointer: NonNull::new((*cte).ctequery.cast())?, arena: PhantomData },
                    })
                })
                .collect()
        }
    }

    /// The query of a CTE or of a SubLink, met in a walk.
    pub fn from_node(node: Node<'t>) -> Option<Query<'t>> {
        (node.tag() == pg_sys::NodeTag::T_Query).then(|| Query { pointer: node.pointer.cast(), arena: PhantomData })
    }

    pub fn having(self) -> Option<Node<'t>> {
        self.optional(self.get().havingQual)
    }

    /// Whether there is a GROUP BY clause; one of empty grouping sets has no expressions.
    pub fn has_group_by(self) -> bool {
        !self.get().groupClause.is_null() || !self.get().groupingSets.is_null()
    }

    /// The numbers by which grouping sets and GROUPING() refer to the expressions of GROUP BY, in their order.
    pub fn group_references(self) -> Vec<u32> {
        // SAFETY: the list consists of sort clauses.
        unsafe { pointers::<pg_sys::SortGroupClause>(self.get().groupClause) }
            .into_iter()
            // SAFETY: none is null.
            .map(|clause| unsafe { (*clause).tleSortGroupRef })
            .collect()
    }

    /// The grouping sets that ROLLUP, CUBE and their products stand for, each as numbers of [`Self::group_references`]; none
    /// if there is nothing but plain expressions. GROUP BY DISTINCT has removed those that occur twice.
    pub fn grouping_sets(self) -> Option<Vec<Vec<u32>>> {
        let sets = self.get().groupingSets;
        if sets.is_null() {
            return None;
        }
        // SAFETY: the list is what parse analysis made, which has expanded it before, and is not changed by it. Nothing is
        // dropped if the call raises. The result is a list of lists of integers.
        unsafe {
            let distinct = self.get().groupDistinct;
            let expanded = pg_sys::ffi::pg_guard_ffi_boundary(|| expand_grouping_sets(sets, distinct, -1));
            Some(pointers::<pg_sys::List>(expanded).into_iter().map(|set| integers(set)).collect())
        }
    }

    pub fn has_aggregates(self) -> bool {
        self.get().hasAggs
    }

    pub fn has_windows(self) -> bool {
        self.get().hasWindowFuncs
    }

    pub fn has_target_sets(self) -> bool {
        self.get().hasTargetSRFs
    }

    pub fn has_distinct(self) -> bool {
        !self.get().distinctClause.is_null()
    }

    pub fn has_distinct_on(self) -> bool {
        self.get().hasDistinctOn
    }

    pub fn has_modifying_cte(self) -> bool {
        self.get().hasModifyingCTE
    }

    pub fn has_limit(self) -> bool {
        !self.get().limitCount.is_null() || !self.get().limitOffset.is_null()
    }

    pub fn has_row_marks(self) -> bool {
        !self.get().rowMarks.is_null()
    }

    /// Permissions that this one query needs; subqueries and views have their own.
    pub fn permissions(self) -> Vec<Permission> {
        // SAFETY: a list of RTEPermissionInfo; bms_next_member walks a set that is not changed meanwhile. Columns are kept
        // with an offset, since a bitmap set has no negative members.
        unsafe {
            pointers::<pg_sys::RTEPermissionInfo>(self.get().rteperminfos)
                .into_iter()
                .map(|info| {
                    let mut columns = Vec::new();
                    let mut at = -1;
                    loop {
                        at = pg_sys::bms_next_member((*info).selectedCols, at);
                        if at < 0 {
                            break;
                        }
                        columns.push((at + pg_sys::FirstLowInvalidHeapAttributeNumber) as i16);
                    }
                    Permission { relation: (*info).relid.to_u32(), role: (*info).checkAsUser.to_u32(), columns }
                })
                .collect()
        }
    }

    /// Whether the executor would let the query read what it reads. Raises nothing.
    pub fn permitted(self) -> bool {
        // SAFETY: range table and permission infos of one query belong together.
        unsafe { pg_sys::ExecCheckPermissions(self.get().rtable, self.get().rteperminfos, false) }
    }

    /// The first relation that the executor would not let the query read. Raises nothing.
    pub fn denied(self) -> Option<u32> {
        // SAFETY: lists of one permission info; without a range table, entry by entry, nothing else is looked at.
        unsafe {
            pointers::<pg_sys::RTEPermissionInfo>(self.get().rteperminfos).into_iter().find_map(|info| {
                let only = pg_sys::lappend(std::ptr::null_mut(), info.cast());
                (!pg_sys::ExecCheckPermissions(std::ptr::null_mut(), only, false)).then(|| (*info).relid.to_u32())
            })
        }
    }

    /// Raises the ERROR of a statement that may not be run.
    pub fn require_permitted(self) {
        // SAFETY: as above.
        unsafe { pg_sys::ExecCheckPermissions(self.get().rtable, self.get().rteperminfos, true) };
    }

    /// Expressions of the target list and HAVING are in terms of this.
    pub fn group_entry(self) -> Option<(usize, Vec<Node<'t>>)> {
        self.range_table().into_iter().enumerate().find_map(|(at, entry)| match entry.kind() {
            RangeKind::Group(expressions) => Some((at + 1, expressions)),
            _ => None,
        })
    }
}

impl<'t> RangeEntry<'t> {
    pub(super) fn raw(self) -> *mut pg_sys::RangeTblEntry {
        self.pointer.as_ptr()
    }

    pub(super) fn node(self, node: *mut pg_sys::Node) -> Option<Node<'t>> {
        // SAFETY: pointers in the entry are null or nodes of the same arena; the anchor is only the source of their lifetime.
        unsafe { std::mem::transmute::<NonNull<pg_sys::RangeTblEntry>, Node<'t>>(self.pointer).child(node) }
    }

    pub(super) fn get(&self) -> &'t pg_sys::RangeTblEntry {
        // SAFETY: valid for as long as the arena, and never changed after rewriting.
        unsafe { self.pointer.as_ref() }
    }

    fn nodes(&self, list: *mut pg_sys::List) -> Vec<Node<'t>> {
        // SAFETY: a list of nodes of the same arena; the anchor is only the source of their lifetime.
        unsafe {
            let anchor = std::mem::transmute::<NonNull<pg_sys::RangeTblEntry>, Node<'t>>(self.pointer);
            pointers::<pg_sys::Node>(list).into_iter().filter_map(|node| anchor.child(node)).collect()
        }
    }

    pub fn kind(self) -> RangeKind<'t> {
        use pg_sys::RTEKind as K;
        let entry = self.get();
        match entry.rtekind {
            K::RTE_RELATION => {
                let sampled = !entry.tablesample.is_null();
                RangeKind::Relation { relation: entry.relid.to_u32(), sampled, only: !entry.inh }
            }
            K::RTE_SUBQUERY => match NonNull::new(entry.subquery) {
                Some(pointer) => RangeKind::Subquery(Query { pointer, arena: PhantomData }),
                None => RangeKind::Result,
            },
            K::RTE_JOIN => RangeKind::Join { aliases: self.nodes(entry.joinaliasvars) },
            K::RTE_FUNCTION => RangeKind::Function,
            K::RTE_TABLEFUNC => RangeKind::TableFunction,
            // SAFETY: a list of lists of expressions.
            K::RTE_VALUES => RangeKind::Values(
                unsafe { pointers::<pg_sys::List>(entry.values_lists) }
                    .into_iter()
                    .map(|row| self.nodes(row))
                    .collect(),
            ),
            K::RTE_CTE => RangeKind::Cte {
                // SAFETY: a CTE reference has a name.
                name: unsafe { text(entry.ctename) },
                levels_up: entry.ctelevelsup,
                recursive: entry.self_reference,
            },
            K::RTE_GROUP => RangeKind::Group(self.nodes(entry.groupexprs)),
            K::RTE_NAMEDTUPLESTORE => RangeKind::NamedTuplestore,
            _ => RangeKind::Result,
        }
    }

    /// The name that the query calls it by.
    pub fn name(self) -> String {
        // SAFETY: eref is set for every analysed entry.
        unsafe { text((*self.get().eref).aliasname) }
    }

    /// What row-level security asks of the rows of a relation; empty if it does not apply.
    pub fn security_quals(self) -> Vec<Node<'t>> {
        self.nodes(self.get().securityQuals)
    }
}

/// A SELECT over one entry, to be filled in: see [`super::fragment_query`].
///
/// # Safety
/// The current context is the arena's; the entry is complete.
pub(super) unsafe fn select_from(entry: *mut pg_sys::RangeTblEntry) -> *mut pg_sys::Query {
    // SAFETY: zeroed structs of the right tags, linked as parse analysis does.
    unsafe {
        let query = make::<pg_sys::Query>(pg_sys::NodeTag::T_Query);
        (*query).commandType = pg_sys::CmdType::CMD_SELECT;
        (*query).querySource = pg_sys::QuerySource::QSRC_ORIGINAL;
        (*query).canSetTag = true;
        (*query).rtable = pg_sys::lappend(std::ptr::null_mut(), entry.cast());
        let reference = make::<pg_sys::RangeTblRef>(pg_sys::NodeTag::T_RangeTblRef);
        (*reference).rtindex = 1;
        let from = pg_sys::lappend(std::ptr::null_mut(), reference.cast());
        (*query).jointree = pg_sys::makeFromExpr(from, std::ptr::null_mut());
        (*query).stmt_location = -1;
        query
    }
}
