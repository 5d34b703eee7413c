//! Questions to PostgreSQL's system catalogs, by way of its caches. All need a transaction; unknown OIDs raise an ERROR or
//! come back as `None`.

use super::inheritance::{self, AsOf};
use super::query::text;
use pgrx::pg_sys;
use pgrx::pg_sys::SysCacheIdentifier as Cache;
use trickle_operators::value::{ColumnType, Kind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

/// What the compiler asks of a function.
#[derive(Clone, Debug)]
pub struct FunctionFacts {
    pub name: String,
    pub volatility: Volatility,
    pub aggregate: bool,
    /// Whether it comes with the server: its definition changes only with the server's version.
    pub builtin: bool,
    /// Whether its code is compiled, and so cannot call what DDL can change (other than by SPI).
    pub compiled: bool,
}

/// What the compiler asks of a relation.
#[derive(Clone, Debug)]
pub struct RelationFacts {
    pub oid: u32,
    /// As it must be written with the current search path.
    pub name: String,
    /// pg_class.relkind
    pub kind: u8,
    /// pg_class.relpersistence
    pub persistence: u8,
    /// Whether others inherit from it.
    pub has_children: bool,
    /// Whether it comes with the server.
    pub system: bool,
    /// By attribute number - 1; dropped attributes are `None`.
    pub attributes: Vec<Option<Attribute>>,
    /// Unique, immediately checked keys as attribute numbers; `None` can occur in none of the columns, or NULLs count as
    /// equal. The primary key comes first.
    pub unique_keys: Vec<Vec<i16>>,
}

#[derive(Clone, Debug)]
pub struct Attribute {
    pub name: String,
    pub ty: ColumnType,
    pub not_null: bool,
    pub generated_virtually: bool,
}

/// A catalog row's identity in time: it changes when the row is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowStamp {
    /// pg_class OID of the catalog
    pub catalog: u32,
    pub oid: u32,
    pub xmin: u32,
}

pub(super) fn oid(oid: u32) -> pg_sys::Oid {
    pg_sys::Oid::from(oid)
}

/// Looks a catalog row up by OID and reads it while the cache holds it.
pub(super) fn with_row<T>(cache: Cache::Type, key: u32, read: impl FnOnce(pg_sys::HeapTuple) -> T) -> Option<T> {
    // SAFETY: the tuple is valid between the look-up and its release.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(cache as i32, pg_sys::Datum::from(oid(key)));
        if tuple.is_null() {
            return None;
        }
        let value = read(tuple);
        pg_sys::ReleaseSysCache(tuple);
        Some(value)
    }
}

/// # Safety
/// `tuple` is a row of the catalog whose struct is `T`.
pub(super) unsafe fn form<'a, T>(tuple: pg_sys::HeapTuple) -> &'a T {
    // SAFETY: GETSTRUCT: the struct begins at the header's offset.
    unsafe { &*(*tuple).t_data.cast::<u8>().add((*(*tuple).t_data).t_hoff as usize).cast::<T>() }
}

pub fn function(function: u32) -> Option<FunctionFacts> {
    with_row(Cache::PROCOID, function, |tuple| {
        // SAFETY: PROCOID's rows are pg_proc's.
        let row = unsafe { form::<pg_sys::FormData_pg_proc>(tuple) };
        FunctionFacts {
            // SAFETY: a name is null-terminated.
            name: unsafe { text(row.proname.data.as_ptr()) },
            volatility: match row.provolatile as u8 {
                b'i' => Volatility::Immutable,
                b's' => Volatility::Stable,
                _ => Volatility::Volatile,
            },
            aggregate: row.prokind as u8 == b'a',
            builtin: builtin(function),
            compiled: row.prolang == oid(INTERNAL_LANGUAGE) || row.prolang == oid(C_LANGUAGE),
        }
    })
}

/// The language that a function is written in: a pg_language OID.
pub(super) fn language(function: u32) -> Option<u32> {
    // SAFETY: PROCOID's rows are pg_proc's.
    with_row(Cache::PROCOID, function, |tuple| unsafe { form::<pg_sys::FormData_pg_proc>(tuple) }.prolang.to_u32())
}

/// What the function is in its language: of a compiled one the name of its symbol.
pub(super) fn source(function: u32) -> Option<String> {
    with_row(Cache::PROCOID, function, |tuple| {
        // SAFETY: PROCOID's rows are pg_proc's; prosrc is a text column that is never null.
        unsafe { text_attribute(Cache::PROCOID, tuple, pg_sys::Anum_pg_proc_prosrc as i16) }
    })
}

/// pg_language OIDs, fixed by pg_language.dat.
pub(super) const INTERNAL_LANGUAGE: u32 = 12;
pub(super) const C_LANGUAGE: u32 = 13;

/// Whether an object was made by initdb: OIDs below FirstNormalObjectId.
pub fn builtin(object: u32) -> bool {
    object < pg_sys::FirstNormalObjectId
}

/// The functions an aggregate is made of: transition, final, combine and moving ones are left out unless they are used in
/// plain grouping.
pub fn aggregate_parts(aggregate: u32) -> Vec<u32> {
    with_row(Cache::AGGFNOID, aggregate, |tuple| {
        let part = |attribute| {
            let mut null = false;
            // SAFETY: AGGFNOID's rows are pg_aggregate's; both attributes are regproc and never null.
            let value = unsafe { pg_sys::SysCacheGetAttr(Cache::AGGFNOID as i32, tuple, attribute, &mut null) };
            value.value() as u32
        };
        [AGGREGATE_TRANSITION, AGGREGATE_FINAL].into_iter().map(part).filter(|part| *part != 0).collect()
    })
    .unwrap_or_default()
}

/// Attribute numbers of pg_aggregate.aggtransfn and aggfinalfn: fixed by the catalog's definition, and not in the bindings.
const AGGREGATE_TRANSITION: i16 = 4;
const AGGREGATE_FINAL: i16 = 5;

/// `name(argument types)`, for messages.
pub fn function_signature(function: u32) -> String {
    // SAFETY: returns a string in the current context, also for an unknown OID.
    unsafe { text(pg_sys::format_procedure(oid(function))) }
}

/// A function of this extension; raises an ERROR if there is none.
pub(super) fn own_function(name: &std::ffi::CStr, argument: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: the name list is allocated in the current context; the look-up reads one type.
    unsafe {
        let mut qualified = std::ptr::null_mut();
        for part in [c"pgtrickle", name] {
            qualified = pg_sys::lappend(qualified, pg_sys::makeString(pg_sys::pstrdup(part.as_ptr())).cast());
        }
        pg_sys::LookupFuncName(qualified, 1, [argument].as_ptr(), false)
    }
}

pub fn type_name(ty: u32) -> String {
    // SAFETY: returns a string in the current context, also for an unknown OID.
    unsafe { text(pg_sys::format_type_be(oid(ty))) }
}

/// `relation` as it must be written, quoted and with its schema.
pub fn qualified_name(relation: u32) -> Option<String> {
    // SAFETY: null for an unknown OID; the quoted name is a new string in the current context.
    unsafe {
        let name = pg_sys::get_rel_name(oid(relation));
        if name.is_null() {
            return None;
        }
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(oid(relation)));
        Some(text(pg_sys::quote_qualified_identifier(schema, name)))
    }
}

pub fn attribute_name(relation: u32, attribute: i16) -> Option<String> {
    // SAFETY: null for an unknown column, since that is asked for.
    unsafe {
        let name = pg_sys::get_attname(oid(relation), attribute, true);
        (!name.is_null()).then(|| text(name))
    }
}

/// The facts of a relation that is locked or that may be locked for reading; `None` if it is gone.
pub fn relation(relation: u32) -> Option<RelationFacts> {
    // SAFETY: the relation is open, under a lock that is kept, while its descriptor and indexes are read.
    unsafe {
        let open = pg_sys::try_relation_open(oid(relation), pg_sys::AccessShareLock as i32);
        if open.is_null() {
            return None;
        }
        let class = &*(*open).rd_rel;
        let descriptor = (*open).rd_att;
        let natts = (*descriptor).natts as usize;
        let all = (*descriptor).compact_attrs.as_ptr().add(natts).cast::<pg_sys::FormData_pg_attribute>();
        let has_children = class.relhassubclass && !inheritance::children(relation, AsOf::Now).is_empty();
        // Constraints of a partitioned table hold in all of its partitions; children of an ordinary one have keys of their own,
        // and need not have its NOT NULL ones.
        let constraints_hold = !has_children || class.relkind as u8 == pg_sys::RELKIND_PARTITIONED_TABLE;
        let attributes: Vec<Option<Attribute>> = (0..natts)
            .map(|at| {
                let attribute = &*all.add(at);
                (!attribute.attisdropped).then(|| Attribute {
                    name: text(attribute.attname.data.as_ptr()),
                    ty: super::image::column_type(attribute.atttypid, attribute.atttypmod, attribute.attcollation),
                    // A constraint that is NOT VALID says nothing of the rows that were there before.
                    not_null: constraints_hold
                        && (*(*descriptor).compact_attrs.as_ptr().add(at)).attnullability as u8 == b'v',
                    generated_virtually: attribute.attgenerated as u8 == b'v',
                })
            })
            .collect();
        let mut unique_keys = Vec::new();
        if constraints_hold && matches!(class.relkind as u8, b'r' | b'm' | b'p') {
            let indexes = pg_sys::RelationGetIndexList(open);
            for index in super::node::oids(indexes) {
                if let Some((key, primary)) = unique_key(index, &attributes) {
                    unique_keys.push((!primary, key));
                }
            }
        }
        unique_keys.sort();
        let schema = text(pg_sys::get_namespace_name(class.relnamespace));
        let facts = RelationFacts {
            oid: relation,
            name: text(class.relname.data.as_ptr()),
            kind: class.relkind as u8,
            persistence: class.relpersistence as u8,
            has_children,
            system: builtin(relation) || schema == "information_schema" || schema == "pg_catalog",
            attributes,
            unique_keys: unique_keys.into_iter().map(|(_, key)| key).collect(),
        };
        pg_sys::relation_close(open, pg_sys::NoLock as i32);
        Some(facts)
    }
}

/// What rows of a relation are known to be told apart by, and what stands for the columns that they do not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// By attribute number - 1; of dropped attributes false.
    not_null: Vec<bool>,
    unique_keys: Vec<Vec<i16>>,
    /// The expressions of virtual generated columns, by attribute number.
    generated: Vec<(i16, Option<String>)>,
}

/// The same as [`relation`], of this part.
pub fn key_facts(relation: u32) -> Option<KeyFacts> {
    let facts = self::relation(relation)?;
    let not_null = facts.attributes.iter().map(|one| one.as_ref().is_some_and(|one| one.not_null)).collect();
    let virtually = (1..).zip(&facts.attributes);
    let generated = virtually
        .filter(|(_, attribute)| attribute.as_ref().is_some_and(|attribute| attribute.generated_virtually))
        .map(|(number, _)| (number, super::generated_column::generation_text(relation, number)))
        .collect();
    Some(KeyFacts { not_null, unique_keys: facts.unique_keys, generated })
}

/// The columns of a unique index that makes them a key at every moment; whether it is the primary key's.
///
/// # Safety
/// `index` is an index of the relation whose attributes are given.
unsafe fn unique_key(index: u32, attributes: &[Option<Attribute>]) -> Option<(Vec<i16>, bool)> {
    // SAFETY: the index is open while it is read; its key columns come first in indkey, which has indnatts elements.
    unsafe {
        let open = pg_sys::try_index_open(oid(index), pg_sys::AccessShareLock as i32);
        if open.is_null() {
            return None;
        }
        let row = &*(*open).rd_index;
        let keys = row.indnkeyatts as usize;
        let columns = std::slice::from_raw_parts(row.indkey.values.as_ptr(), keys).to_vec();
        let collations = std::slice::from_raw_parts((*open).rd_indcollation, keys);
        let attribute = |column: &i16| attributes.get((*column - 1) as usize).and_then(Option::as_ref);
        let usable = row.indisunique
            && row.indisvalid
            && row.indimmediate
            && pg_sys::RelationGetIndexPredicate(open).is_null()
            && columns.iter().zip(collations).all(|(column, collation)| {
                *column > 0
                    && attribute(column).is_some_and(|a| {
                        (a.not_null || row.indnullsnotdistinct) && a.ty.collation == collation.to_u32()
                    })
            });
        let primary = row.indisprimary;
        pg_sys::index_close(open, pg_sys::NoLock as i32);
        usable.then_some((columns, primary))
    }
}

/// Whether row-level security applies to `role` (0: the current user) on the relation.
pub fn row_security(relation: u32, role: u32) -> bool {
    // SAFETY: only reads caches, and raises nothing when told so.
    unsafe {
        pg_sys::check_enable_rls(oid(relation), oid(role), true) as u32 == pg_sys::CheckEnableRlsResult::RLS_ENABLED
    }
}

/// Whether equal strings are always the same string under this collation. None at all counts.
pub fn deterministic(collation: u32) -> bool {
    // SAFETY: raises an ERROR for an unknown OID.
    collation == 0 || unsafe { pg_sys::get_collation_isdeterministic(oid(collation)) }
}

pub fn collation_name(collation: u32) -> String {
    // SAFETY: null for an unknown OID.
    unsafe { text(pg_sys::get_collation_name(oid(collation))) }
}

/// Whether the collation's order is that of the bytes: C, POSIX, the builtin provider's, or the database's default if that
/// is one of those.
pub fn byte_order(collation: u32) -> bool {
    match collation {
        0 => true,
        C_COLLATION | POSIX_COLLATION => true,
        DEFAULT_COLLATION => {
            // SAFETY: MyDatabaseId is set in every connected backend.
            let database = unsafe { pg_sys::MyDatabaseId }.to_u32();
            with_row(Cache::DATABASEOID, database, |tuple| {
                // SAFETY: DATABASEOID's rows are pg_database's; datcollate is a text column that is never null.
                unsafe {
                    let provider = form::<pg_sys::FormData_pg_database>(tuple).datlocprovider as u8;
                    bytewise(
                        provider,
                        &text_attribute(Cache::DATABASEOID, tuple, pg_sys::Anum_pg_database_datcollate as i16),
                    )
                }
            })
            .unwrap_or(false)
        }
        _ => with_row(Cache::COLLOID, collation, |tuple| {
            // SAFETY: COLLOID's rows are pg_collation's; collcollate is a text column.
            unsafe {
                let provider = form::<pg_sys::FormData_pg_collation>(tuple).collprovider as u8;
                bytewise(provider, &text_attribute(Cache::COLLOID, tuple, pg_sys::Anum_pg_collation_collcollate as i16))
            }
        })
        .unwrap_or(false),
    }
}

const DEFAULT_COLLATION: u32 = 100;
const C_COLLATION: u32 = 950;
const POSIX_COLLATION: u32 = 951;

fn bytewise(provider: u8, locale: &str) -> bool {
    provider == b'b' || provider == b'c' && matches!(locale, "C" | "POSIX")
}

/// A text column of a cached row, empty if NULL.
///
/// # Safety
/// `tuple` is a row of that cache, and the attribute is of type text.
unsafe fn text_attribute(cache: Cache::Type, tuple: pg_sys::HeapTuple, attribute: i16) -> String {
    let mut null = false;
    // SAFETY: the caller's promise; the value is a varlena within the tuple.
    unsafe {
        let value = pg_sys::SysCacheGetAttr(cache as i32, tuple, attribute, &mut null);
        if null {
            return String::new();
        }
        let plain = pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr());
        String::from_utf8_lossy(pgrx::varlena_to_byte_slice(plain)).into_owned()
    }
}

/// Whether equal values of the type always have the same image: its btree class says so (`equalimage`).
pub fn equal_image(ty: &ColumnType) -> bool {
    if ty.kind == Kind::Text && !deterministic(ty.collation) {
        return false;
    }
    if ty.kind != Kind::Opaque {
        return matches!(
            ty.kind,
            Kind::Bool
                | Kind::Int2
                | Kind::Int4
                | Kind::Int8
                | Kind::Oid
                | Kind::Text
                | Kind::Bytea
                | Kind::Date
                | Kind::Time
                | Kind::TimeTz
                | Kind::Timestamp
                | Kind::TimestampTz
                | Kind::Uuid
        );
    }
    // SAFETY: the type cache's entry lives for ever; a support function 4 has the signature (oid) -> bool and is told the
    // class's input type, as _bt_allequalimage() does.
    unsafe {
        let entry = &*pg_sys::lookup_type_cache(oid(ty.oid), pg_sys::TYPECACHE_BTREE_OPFAMILY as i32);
        if entry.btree_opf == pg_sys::InvalidOid {
            return false;
        }
        let input = entry.btree_opintype;
        let support = pg_sys::get_opfamily_proc(entry.btree_opf, input, input, EQUAL_IMAGE_SUPPORT);
        support != pg_sys::InvalidOid
            && pg_sys::OidFunctionCall1Coll(support, oid(ty.collation), pg_sys::Datum::from(input)).value() != 0
    }
}

/// The type oid.
pub fn oid_type() -> ColumnType {
    super::image::column_type(pg_sys::OIDOID, -1, pg_sys::InvalidOid)
}

/// The type of an array's elements; none if it is no array.
pub fn element_type(ty: &ColumnType) -> Option<ColumnType> {
    // SAFETY: a lookup in the catalog cache.
    let element = unsafe { pg_sys::get_element_type(oid(ty.oid)) };
    (element != pg_sys::InvalidOid).then(|| super::image::column_type(element, -1, oid(ty.collation)))
}

/// BTEQUALIMAGE_PROC
const EQUAL_IMAGE_SUPPORT: i16 = 4;

/// Whether the type has a default btree operator class, so that a unique index can hold it.
pub fn has_btree(ty: u32) -> bool {
    // SAFETY: the type cache's entry lives for ever.
    unsafe {
        (*pg_sys::lookup_type_cache(oid(ty), pg_sys::TYPECACHE_BTREE_OPFAMILY as i32)).btree_opf != pg_sys::InvalidOid
    }
}

/// Whether the operator is the equality of a btree operator family.
pub fn is_equality(operator: u32) -> bool {
    // SAFETY: null for no family.
    unsafe { !pg_sys::get_mergejoin_opfamilies(oid(operator)).is_null() }
}

/// The stamp of a function, operator, type or collation; `None` if it is gone.
pub fn row_stamp(catalog: StampedCatalog, object: u32) -> Option<RowStamp> {
    let (cache, class) = match catalog {
        StampedCatalog::Function => (Cache::PROCOID, pg_sys::ProcedureRelationId),
        StampedCatalog::Operator => (Cache::OPEROID, pg_sys::OperatorRelationId),
        StampedCatalog::Type => (Cache::TYPEOID, pg_sys::TypeRelationId),
        StampedCatalog::Collation => (Cache::COLLOID, pg_sys::CollationRelationId),
    };
    with_row(cache, object, |tuple| {
        // SAFETY: a catalog row's header holds transaction ids, not a composite datum's length.
        let xmin = unsafe { (*(*tuple).t_data).t_choice.t_heap.t_xmin };
        RowStamp { catalog: class.to_u32(), oid: object, xmin: xmin.into_inner() }
    })
}

/// The labels of an enum type and what identifies each in time: a label that is renamed is another text for values that
/// are there already. Empty if the type is no enum.
pub fn enum_labels(ty: u32) -> Vec<(u32, u32)> {
    let mut labels: Vec<(u32, u32)> = labels_of(ty).into_iter().map(|label| (label.oid, label.since)).collect();
    labels.sort_unstable();
    labels
}

/// The labels of an enum type, ascending, each with its place in the type's order. Empty if the type is no enum.
pub fn enum_order(ty: u32) -> Vec<(u32, u32)> {
    let mut labels = labels_of(ty);
    labels.sort_by(|one, other| one.order.total_cmp(&other.order));
    let mut places: Vec<(u32, u32)> = labels.iter().zip(0..).map(|(label, place)| (label.oid, place)).collect();
    places.sort_unstable();
    places
}

struct Label {
    oid: u32,
    order: f32,
    /// The transaction that wrote it.
    since: u32,
}

fn labels_of(ty: u32) -> Vec<Label> {
    // SAFETY: the list's members are rows of pg_enum, valid until the list is released; their headers hold transaction ids.
    unsafe {
        let key = pg_sys::Datum::from(oid(ty));
        let none = pg_sys::Datum::null();
        let list = pg_sys::SearchSysCacheList(Cache::ENUMTYPOIDNAME as i32, 1, key, none, none);
        let members = (*list).members.as_slice((*list).n_members as usize);
        let labels = members.iter().map(|member| {
            let tuple = &(**member).tuple;
            let label = &*pg_sys::GETSTRUCT(std::ptr::from_ref(tuple).cast_mut()).cast::<pg_sys::FormData_pg_enum>();
            let since = (*tuple.t_data).t_choice.t_heap.t_xmin.into_inner();
            Label { oid: label.oid.to_u32(), order: label.enumsortorder, since }
        });
        let labels = labels.collect();
        pg_sys::ReleaseCatCacheList(list);
        labels
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StampedCatalog {
    Function,
    Operator,
    Type,
    Collation,
}

/// Whether the database's encoding is UTF-8: native text functions assume it.
pub fn utf8() -> bool {
    // SAFETY: reads the backend's state.
    unsafe { pg_sys::GetDatabaseEncoding() == pg_sys::pg_enc::PG_UTF8 as i32 }
}

/// Whether an operator is the equality by which the type is sorted and grouped.
pub fn default_equality(ty: u32, operator: u32) -> bool {
    // SAFETY: the type cache's entry lives for ever.
    unsafe { (*pg_sys::lookup_type_cache(oid(ty), pg_sys::TYPECACHE_EQ_OPR as i32)).eq_opr == oid(operator) }
}

/// Whether an operator compares two values by their order or equality, or is the negation of such a one.
pub fn is_comparison(operator: u32) -> bool {
    // SAFETY: a lookup in the catalog cache; the list is null or allocated in the current context.
    unsafe { !pg_sys::get_op_index_interpretation(oid(operator)).is_null() }
}

/// Whether two types have one equality.
pub fn same_equality(one: u32, other: u32) -> bool {
    // SAFETY: the type cache's entries live for ever.
    let equality = |ty| unsafe { (*pg_sys::lookup_type_cache(oid(ty), pg_sys::TYPECACHE_EQ_OPR as i32)).eq_opr };
    one == other || equality(one) != pg_sys::InvalidOid && equality(one) == equality(other)
}

/// Whether a function of NULL is NULL.
pub fn strict(function: u32) -> bool {
    // SAFETY: a lookup in the catalog cache; the caller has the function from a query.
    unsafe { pg_sys::func_strict(oid(function)) }
}

/// The function of an operator's negator; `None` if it has none.
pub fn negator_function(operator: u32) -> Option<u32> {
    // SAFETY: both answer InvalidOid for "none".
    unsafe {
        let negator = pg_sys::get_negator(oid(operator));
        Some(pg_sys::get_opcode(negator).to_u32()).filter(|function| *function != 0)
    }
}
