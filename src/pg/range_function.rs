//! Functions and table functions in FROM.

use super::node::{oids, pointers, Node};
use super::query::{text, RangeEntry};
use pgrx::pg_sys;
use trickle_operators::value::ColumnType;

/// A column of a range table entry.
pub struct EntryColumn {
    pub name: String,
    pub ty: ColumnType,
}

impl<'t> RangeEntry<'t> {
    /// What a function entry calls: the list of its functions, or the table function.
    pub fn calls(self) -> Option<Node<'t>> {
        let entry = self.get();
        match entry.rtekind {
            pg_sys::RTEKind::RTE_FUNCTION => self.node(entry.functions.cast()),
            pg_sys::RTEKind::RTE_TABLEFUNC => self.node(entry.tablefunc.cast()),
            _ => None,
        }
    }

    /// By attribute number - 1; dropped ones are `None`.
    pub fn columns(self) -> Vec<Option<EntryColumn>> {
        let (mut names, mut vars) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the entry is complete; both lists are made anew in the current context, and have one member a column: names,
        // and Vars, or a NULL constant where the column is dropped.
        let (names, vars) = unsafe {
            let returning = pg_sys::VarReturningType::VAR_RETURNING_DEFAULT;
            pg_sys::expandRTE(self.raw(), 1, 0, returning, -1, true, &mut names, &mut vars);
            (pointers::<pg_sys::Node>(names), pointers::<pg_sys::Node>(vars))
        };
        names
            .into_iter()
            .zip(vars)
            .map(|(name, var)| {
                let var = self.node(var)?;
                // SAFETY: a member of the list of names is a String.
                let name = unsafe { text((*name.cast::<pg_sys::String>()).sval) };
                (var.tag() == pg_sys::NodeTag::T_Var).then(|| EntryColumn { name, ty: var.column_type() })
            })
            .collect()
    }

    pub fn with_ordinality(self) -> bool {
        self.get().funcordinality
    }

    /// Whether the only thing that is called returns exactly one row.
    pub fn is_one_row(self) -> bool {
        let entry = self.get();
        // SAFETY: the functions of a function entry are a list of RangeTblFunction, each with its call.
        entry.rtekind == pg_sys::RTEKind::RTE_FUNCTION
            && unsafe { pointers::<pg_sys::RangeTblFunction>(entry.functions) }
                .into_iter()
                .all(|function| unsafe { !pg_sys::expression_returns_set((*function).funcexpr) })
    }

    /// The types that the query names for columns: of a column definition list, or of a table function.
    pub fn defined_types(self) -> Vec<u32> {
        let entry = self.get();
        // SAFETY: the lists are lists of OIDs; the table function of such an entry is not null.
        unsafe {
            match entry.rtekind {
                pg_sys::RTEKind::RTE_FUNCTION => pointers::<pg_sys::RangeTblFunction>(entry.functions)
                    .into_iter()
                    .flat_map(|function| oids((*function).funccoltypes))
                    .collect(),
                pg_sys::RTEKind::RTE_TABLEFUNC => {
                    let table = &*entry.tablefunc;
                    let types = oids(table.coltypes).into_iter().enumerate();
                    types.filter(|(at, _)| *at as i32 != table.ordinalitycol).map(|(_, ty)| ty).collect()
                }
                _ => Vec::new(),
            }
        }
    }
}

impl<'t> Node<'t> {
    /// Whether evaluation gives rows, not a value.
    pub fn returns_set(self) -> bool {
        // SAFETY: only reads the tree.
        unsafe { pg_sys::expression_returns_set(self.raw()) }
    }

    /// The expressions of what [`RangeEntry::calls`] gives, for people: the calls, or none for a table function.
    pub fn call_expressions(self) -> Vec<Node<'t>> {
        if self.tag() != pg_sys::NodeTag::T_List {
            return Vec::new();
        }
        // SAFETY: the list of a function entry's functions.
        unsafe {
            pointers::<pg_sys::RangeTblFunction>(self.raw().cast())
                .into_iter()
                .filter_map(|function| self.child((*function).funcexpr))
                .collect()
        }
    }

    /// What a table function is called in SQL.
    pub fn table_function_name(self) -> &'static str {
        // SAFETY: the tag says what it is.
        let json = self.tag() == pg_sys::NodeTag::T_TableFunc
            && unsafe { (*self.raw().cast::<pg_sys::TableFunc>()).functype } == pg_sys::TableFuncType::TFT_JSON_TABLE;
        if json {
            "JSON_TABLE"
        } else {
            "XMLTABLE"
        }
    }

    /// The paths of JSON_TABLE's rows, those of NESTED ones among them.
    pub fn json_table_paths(self) -> Vec<Node<'t>> {
        let mut found = Vec::new();
        if self.tag() != pg_sys::NodeTag::T_TableFunc {
            return found;
        }
        // SAFETY: the tag says what it is; a plan consists of path scans and sibling joins.
        unsafe {
            let mut open = vec![(*self.raw().cast::<pg_sys::TableFunc>()).plan];
            while let Some(plan) = open.pop() {
                if plan.is_null() {
                    continue;
                }
                if (*plan).type_ == pg_sys::NodeTag::T_JsonTablePathScan {
                    let scan = &*plan.cast::<pg_sys::JsonTablePathScan>();
                    found.extend(self.child((*scan.path).value));
                    open.push(scan.child.cast());
                } else if (*plan).type_ == pg_sys::NodeTag::T_JsonTableSiblingJoin {
                    let join = &*plan.cast::<pg_sys::JsonTableSiblingJoin>();
                    open.extend([join.lplan.cast(), join.rplan.cast()]);
                }
            }
        }
        found
    }
}
