//! A stream table's objects: the analysed query, its view, the table, and the dependency that ties them.
//!
//! The query is analysed by the caller, with the caller's search path and privileges, before anything of it runs. The view
//! lives where callers may not create anything, so the creation itself is the extension's, for the caller as owner.

use super::role::{as_extension, cstring};
use super::txn::Failure;
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// The schema of the definition views.
pub const SCHEMA: &CStr = c"pgtrickle_definitions";

unsafe extern "C-unwind" {
    // Not in pgrx's bindings; declared in commands/view.h and catalog/toasting.h.
    fn StoreViewQuery(view: pg_sys::Oid, query: *mut pg_sys::Query, replace: bool);
    fn NewRelationCreateToastTable(relation: pg_sys::Oid, options: pg_sys::Datum);
}

/// A table's name as the user gave it.
pub struct Name(*mut pg_sys::RangeVar);

/// A query that has been analysed and may become a stream table's. Lives in the current memory context.
pub struct Definition(*mut pg_sys::Query);

/// A result column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub ty: u32,
    pub typmod: i32,
    pub collation: u32,
}

impl Name {
    /// Parses `table` or `schema.table`, quoted as in SQL. An ERROR if it is neither.
    pub fn parse(text: &str) -> Name {
        let text = cstring(text);
        // SAFETY: the parser copies the text; what it returns lives in the current memory context.
        unsafe {
            let names = pg_sys::stringToQualifiedNameList(text.as_ptr(), std::ptr::null_mut());
            Name(pg_sys::makeRangeVarFromNameList(names))
        }
    }

    /// The relation of this name that the search path finds.
    pub fn find(&self) -> Option<u32> {
        // SAFETY: a catalog look-up without lock; missing is allowed.
        let flags = pg_sys::RVROption::RVR_MISSING_OK;
        let oid = unsafe {
            pg_sys::RangeVarGetRelidExtended(self.0, pg_sys::NoLock as i32, flags, None, std::ptr::null_mut())
        };
        (oid != pg_sys::InvalidOid).then(|| oid.to_u32())
    }

    /// The relation of this name where a table of this name would be created; if there is none, nobody else creates a stream
    /// table of this name before this transaction ends. An ERROR if the caller may not create there.
    pub fn claim(&self) -> Option<u32> {
        let (schema, existing) = self.place();
        existing.or_else(|| {
            // SAFETY: a null-terminated string that lives as long as the RangeVar.
            let name = unsafe { CStr::from_ptr((*self.0).relname) };
            super::lock::name(schema, &name.to_string_lossy());
            self.place().1
        })
    }

    /// The schema in which a table of this name would be created, and the relation of this name there.
    fn place(&self) -> (u32, Option<u32>) {
        let mut existing = pg_sys::InvalidOid;
        // SAFETY: a catalog look-up that also checks the privilege to create; it sets `existing`, and fixes the name's
        // persistence by the schema's.
        let schema = unsafe {
            let schema = pg_sys::RangeVarGetAndCheckCreationNamespace(self.0, pg_sys::NoLock as i32, &mut existing);
            if (*self.0).relpersistence != pg_sys::RELPERSISTENCE_PERMANENT as std::ffi::c_char {
                Failure::new(b"0A000", "stream tables cannot be temporary").raise();
            }
            schema
        };
        (schema.to_u32(), (existing != pg_sys::InvalidOid).then(|| existing.to_u32()))
    }

    /// The name as given, for messages.
    pub fn display(&self) -> String {
        // SAFETY: the names are null or strings that live as long as the RangeVar.
        unsafe {
            let relation = CStr::from_ptr((*self.0).relname).to_string_lossy().into_owned();
            match (*self.0).schemaname.is_null() {
                true => relation,
                false => format!("{}.{relation}", CStr::from_ptr((*self.0).schemaname).to_string_lossy()),
            }
        }
    }

    /// Creates the table, as the current user and for it.
    pub fn create_table(&self, attributes: &[Attribute]) -> u32 {
        // SAFETY: the statement is built from nodes in the current context; DefineRelation copies what it keeps. The toast
        // table needs the new relation to be visible, as in CREATE TABLE AS.
        unsafe {
            let mut statement = create_statement(pg_sys::copyObjectImpl(self.0.cast()).cast(), attributes);
            let table = pg_sys::DefineRelation(
                &mut statement,
                pg_sys::RELKIND_RELATION as std::ffi::c_char,
                pg_sys::InvalidOid,
                std::ptr::null_mut(),
                std::ptr::null(),
            );
            pg_sys::CommandCounterIncrement();
            NewRelationCreateToastTable(table.objectId, pg_sys::Datum::null());
            pg_sys::CommandCounterIncrement();
            table.objectId.to_u32()
        }
    }
}

impl Definition {
    /// Analyses a query as the current user with the current search path. An ERROR unless it is one SELECT that a stream
    /// table can follow at all.
    pub fn analyse(text: &str) -> Definition {
        let source = cstring(text);
        // SAFETY: parser and analysis copy what they keep; lists are read within their length.
        let query = unsafe {
            let statements = pg_sys::pg_parse_query(source.as_ptr());
            if statements.is_null() || (*statements).length != 1 {
                refuse(b"42601", "query of a stream table must be exactly one statement");
            }
            let statement = (*(*statements).elements).ptr_value.cast::<pg_sys::RawStmt>();
            if (*(*statement).stmt).type_ != pg_sys::NodeTag::T_SelectStmt {
                refuse(b"0A000", "query of a stream table must be a SELECT");
            }
            pg_sys::parse_analyze_fixedparams(statement, source.as_ptr(), std::ptr::null(), 0, std::ptr::null_mut())
        };
        // SAFETY: the analysed query is a valid node of the current context.
        unsafe {
            let unsupported = b"0A000";
            if (*query).commandType != pg_sys::CmdType::CMD_SELECT {
                refuse(unsupported, "query of a stream table cannot contain SELECT INTO");
            }
            if (*query).hasModifyingCTE {
                refuse(unsupported, "query of a stream table cannot change data in WITH");
            }
            if !(*query).rowMarks.is_null() {
                refuse(unsupported, "query of a stream table cannot lock rows");
            }
            if pg_sys::isQueryUsingTempRelation(query) {
                refuse(unsupported, "stream tables cannot follow temporary tables or views");
            }
        }
        let definition = Definition(query);
        definition.check_collations();
        definition
    }

    /// The result columns.
    pub fn attributes(&self) -> Vec<Attribute> {
        let mut attributes = Vec::new();
        // SAFETY: the target list of an analysed query holds TargetEntry nodes with expressions; names of result columns are
        // never null.
        unsafe {
            let targets = (*self.0).targetList;
            let count = if targets.is_null() { 0 } else { (*targets).length as usize };
            for index in 0..count {
                let target = (*(*targets).elements.add(index)).ptr_value.cast::<pg_sys::TargetEntry>();
                if (*target).resjunk {
                    continue;
                }
                let expression = (*target).expr.cast::<pg_sys::Node>();
                attributes.push(Attribute {
                    name: CStr::from_ptr((*target).resname).to_string_lossy().into_owned(),
                    ty: pg_sys::exprType(expression).to_u32(),
                    typmod: pg_sys::exprTypmod(expression),
                    collation: pg_sys::exprCollation(expression).to_u32(),
                });
            }
        }
        attributes
    }

    fn check_collations(&self) {
        let attributes = self.attributes();
        if attributes.is_empty() {
            refuse(b"42P16", "stream tables must have at least one column");
        }
        for attribute in attributes {
            // SAFETY: a catalog look-up.
            let collatable = unsafe { pg_sys::type_is_collatable(pg_sys::Oid::from(attribute.ty)) };
            if collatable && attribute.collation == 0 {
                let text = format!("could not determine which collation to use for column \"{}\"", attribute.name);
                Failure::new(b"42P22", text).hint("Use the COLLATE clause to set the collation explicitly.").raise();
            }
        }
    }

    /// Creates the definition view `name` for `owner`.
    pub fn create_view(&self, name: &str, owner: u32) -> u32 {
        let name = cstring(name);
        let attributes = self.attributes();
        as_extension(|| {
            // SAFETY: as create_table; the view's rule is stored from a copy, because storing scribbles on the tree.
            unsafe {
                let range = pg_sys::makeRangeVar(pg_sys::pstrdup(SCHEMA.as_ptr()), pg_sys::pstrdup(name.as_ptr()), -1);
                let mut statement = create_statement(range, &attributes);
                let view = pg_sys::DefineRelation(
                    &mut statement,
                    pg_sys::RELKIND_VIEW as std::ffi::c_char,
                    pg_sys::Oid::from(owner),
                    std::ptr::null_mut(),
                    std::ptr::null(),
                );
                pg_sys::CommandCounterIncrement();
                StoreViewQuery(view.objectId, pg_sys::copyObjectImpl(self.0.cast()).cast(), false);
                pg_sys::CommandCounterIncrement();
                view.objectId.to_u32()
            }
        })
    }
}

/// Makes the view a part of the table: whoever drops one drops the other, and a source that the view reads names the table
/// as its dependent (HAZARDS H34).
pub fn tie(view: u32, table: u32) {
    let address = |oid: u32| pg_sys::ObjectAddress {
        classId: pg_sys::RelationRelationId,
        objectId: pg_sys::Oid::from(oid),
        objectSubId: 0,
    };
    // SAFETY: both relations exist; the addresses live through the call.
    unsafe {
        pg_sys::recordDependencyOn(&address(view), &address(table), pg_sys::DependencyType::DEPENDENCY_INTERNAL);
        pg_sys::CommandCounterIncrement();
    }
}

/// Unties and drops a view that another one replaces.
pub fn drop_view(view: u32) {
    as_extension(|| {
        // SAFETY: deletes the dependency record first, or the deletion would ask for the table's.
        unsafe {
            let view = pg_sys::Oid::from(view);
            pg_sys::deleteDependencyRecordsForClass(
                pg_sys::RelationRelationId,
                view,
                pg_sys::RelationRelationId,
                pg_sys::DependencyType::DEPENDENCY_INTERNAL as std::ffi::c_char,
            );
            pg_sys::CommandCounterIncrement();
            let address = pg_sys::ObjectAddress { classId: pg_sys::RelationRelationId, objectId: view, objectSubId: 0 };
            pg_sys::performDeletion(
                &address,
                pg_sys::DropBehavior::DROP_RESTRICT,
                pg_sys::PERFORM_DELETION_INTERNAL as i32,
            );
            pg_sys::CommandCounterIncrement();
        }
    })
}

/// `schema.table`, quoted where needed, of a relation that exists.
pub fn qualified_name(relation: u32) -> Option<String> {
    let oid = pg_sys::Oid::from(relation);
    // SAFETY: catalog look-ups that return null for a relation that is gone; the strings are copied.
    unsafe {
        let name = pg_sys::get_rel_name(oid);
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(oid));
        if name.is_null() || schema.is_null() {
            return None;
        }
        Some(CStr::from_ptr(pg_sys::quote_qualified_identifier(schema, name)).to_string_lossy().into_owned())
    }
}

/// The unqualified name of a relation, for messages.
pub fn relation_name(relation: u32) -> String {
    // SAFETY: as above.
    unsafe {
        let name = pg_sys::get_rel_name(pg_sys::Oid::from(relation));
        match name.is_null() {
            true => relation.to_string(),
            false => CStr::from_ptr(name).to_string_lossy().into_owned(),
        }
    }
}

/// A column name, quoted where needed.
pub fn quote_identifier(name: &str) -> String {
    let name = cstring(name);
    // SAFETY: returns its argument or a palloc'd string; copied.
    unsafe { CStr::from_ptr(pg_sys::quote_identifier(name.as_ptr())).to_string_lossy().into_owned() }
}

/// The columns of a table that is there, without those that were dropped.
pub fn attributes_of(table: u32) -> Vec<Attribute> {
    // SAFETY: opened here, and closed with its lock kept; the descriptor is read within its length.
    unsafe {
        let relation = pg_sys::relation_open(pg_sys::Oid::from(table), pg_sys::AccessShareLock as i32);
        let descriptor = (*relation).rd_att;
        let attributes = (0..(*descriptor).natts as usize)
            .map(|at| &*super::slot::attribute(descriptor, at))
            .filter(|attribute| !attribute.attisdropped)
            .map(|attribute| Attribute {
                name: CStr::from_ptr(attribute.attname.data.as_ptr()).to_string_lossy().into_owned(),
                ty: attribute.atttypid.to_u32(),
                typmod: attribute.atttypmod,
                collation: attribute.attcollation.to_u32(),
            })
            .collect();
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        attributes
    }
}

/// A column's type with modifier, schema-qualified.
pub fn type_name(attribute: &Attribute) -> String {
    let flags = pg_sys::FORMAT_TYPE_TYPEMOD_GIVEN | pg_sys::FORMAT_TYPE_FORCE_QUALIFY;
    // SAFETY: returns a palloc'd string for a type that exists; an ERROR otherwise.
    unsafe {
        let text = pg_sys::format_type_extended(pg_sys::Oid::from(attribute.ty), attribute.typmod, flags as _);
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}

/// A column's type and collation, as a column definition has them.
pub fn type_text(attribute: &Attribute) -> String {
    let ty = type_name(attribute);
    // SAFETY: a catalog look-up that returns null for a collation that is gone; the strings are copied.
    unsafe {
        let oid = pg_sys::Oid::from(attribute.collation);
        let name = pg_sys::get_collation_name(oid);
        if attribute.collation == 0 || name.is_null() {
            return ty;
        }
        let schema = collation_schema(oid);
        if schema.is_null() {
            return ty;
        }
        let collation = CStr::from_ptr(pg_sys::quote_qualified_identifier(schema, name)).to_string_lossy();
        format!("{ty} COLLATE {collation}")
    }
}

/// # Safety
/// Inside a transaction; null for a collation that is gone.
unsafe fn collation_schema(collation: pg_sys::Oid) -> *mut std::ffi::c_char {
    let cache = pg_sys::SysCacheIdentifier::COLLOID as i32;
    // SAFETY: the tuple is pinned until released; the name is copied by get_namespace_name.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(collation));
        if tuple.is_null() {
            return std::ptr::null_mut();
        }
        let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_collation>();
        let schema = pg_sys::get_namespace_name((*form).collnamespace);
        pg_sys::ReleaseSysCache(tuple);
        schema
    }
}

/// Whether values of a type can be kept in order by a btree index.
pub fn has_btree_order(ty: u32) -> bool {
    // SAFETY: a catalog look-up; the result is an OID.
    unsafe { pg_sys::GetDefaultOpClass(pg_sys::Oid::from(ty), pg_sys::BTREE_AM_OID) != pg_sys::InvalidOid }
}

/// The identity in time of a view's rule: another one when the view has been replaced; empty if there is no such view.
pub fn rule_stamp(view: u32) -> String {
    let rows = super::role::as_extension(|| {
        super::spi::query(
            "SELECT oid || ':' || xmin::text FROM pg_catalog.pg_rewrite
              WHERE ev_class OPERATOR(pg_catalog.=) $1::pg_catalog.oid",
            &[Some(&view.to_string())],
        )
    });
    rows.into_iter().flatten().next().flatten().unwrap_or_default()
}

fn refuse(code: &[u8; 5], text: &str) -> ! {
    Failure::new(code, text).raise()
}

/// # Safety
/// `range` is a valid RangeVar.
unsafe fn create_statement(range: *mut pg_sys::RangeVar, attributes: &[Attribute]) -> pg_sys::CreateStmt {
    // SAFETY: nodes are allocated in the current context, which outlives the statement; makeColumnDef copies the name.
    unsafe {
        let mut columns: *mut pg_sys::List = std::ptr::null_mut();
        for attribute in attributes {
            let name: CString = cstring(&attribute.name);
            let column = pg_sys::makeColumnDef(
                name.as_ptr(),
                pg_sys::Oid::from(attribute.ty),
                attribute.typmod,
                pg_sys::Oid::from(attribute.collation),
            );
            columns = pg_sys::lappend(columns, column.cast());
        }
        pg_sys::CreateStmt {
            type_: pg_sys::NodeTag::T_CreateStmt,
            relation: range,
            tableElts: columns,
            oncommit: pg_sys::OnCommitAction::ONCOMMIT_NOOP,
            ..Default::default()
        }
    }
}
