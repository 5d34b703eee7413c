//! `pgtrickle.canonical_image("any")`: the same bytes for all values that are equal under their type's default equality, for
//! types whose equal values may be stored differently. Keys of such types are compared by it (HAZARDS E22).
//!
//! The image follows the type's structure, as its equality does: an array is its shape (bounds included) and its elements,
//! a composite value its fields, a range its flags and bounds, jsonb its tokens with canonical numbers, text under a
//! nondeterministic collation its sort key; what is inside follows by the same rule, down to what the engine compares
//! itself and to types whose equal values have equal images. Every part says how long it is, so that no two values run into
//! each other's bytes. A base type with an equality of its own has a canonical image if that equality is known ([`equality`]),
//! and else none.
//!
//! The image is part of a graph's state and nothing else: it may change with the version of the library or of a collation's
//! provider, for both of which the server restarts and graphs are built anew.

mod equality;
mod payload;

use super::image::{self, Storage};
use super::multirange::{self, range_entry};
use super::node::{Arena, Node};
use super::txn::Failure;
use super::{catalog_lookup, slot};
use equality::{equality, Equality};
use pgrx::pg_sys;
use trickle_operators::value::canonical::canonical;
use trickle_operators::value::{ColumnType, Kind, RowBuilder};

/// How a type's values are told apart.
enum Form {
    /// Equal exactly if the images are.
    Image(Storage),
    /// As the engine does.
    Native(Kind, Storage),
    /// Text, or character(n) without its trailing blanks, by what a nondeterministic collation makes of it.
    SortKey {
        kind: Kind,
        collation: u32,
    },
    /// Text, by itself in lower case.
    LowerCase,
    /// By a part of what is stored.
    Layout {
        ty: u32,
        write: payload::Write,
    },
    Jsonb,
    Array {
        element: ColumnType,
        form: Box<Form>,
    },
    Range {
        range: u32,
        bound: Box<Form>,
    },
    Multirange {
        range: u32,
        bound: Box<Form>,
    },
    /// By attribute number - 1, `None` where dropped; of an anonymous record type, each value's descriptor tells.
    Record(Option<Vec<Option<Form>>>),
}

/// Whether values of the expression, compared under `collation`, have a canonical image.
pub fn applies(node: Node<'_>, collation: u32) -> bool {
    let ty = node.type_oid();
    if ty == pg_sys::RECORDOID.to_u32() {
        // A row constructor shows what it is made of; what else yields an anonymous record does not.
        return node.row_fields().is_some_and(|fields| fields.iter().all(|field| applies(*field, field.collation())));
    }
    form(ty, collation).is_some()
}

/// `pgtrickle.canonical_image(node)`, with the collation under which values are compared.
pub fn call<'t>(arena: &'t Arena, node: Node<'t>, collation: u32) -> Node<'t> {
    let function = catalog_lookup::own_function(c"canonical_image", pg_sys::ANYOID);
    // SAFETY: the argument list and the call are allocated in the arena, which is the current context.
    unsafe {
        arena.some(pg_sys::makeFuncExpr(
            function,
            pg_sys::BYTEAOID,
            pg_sys::lappend(std::ptr::null_mut(), node.raw().cast()),
            pg_sys::InvalidOid,
            pg_sys::Oid::from(collation),
            pg_sys::CoercionForm::COERCE_EXPLICIT_CALL,
        ))
    }
}

fn form(ty: u32, collation: u32) -> Option<Form> {
    let oid = pg_sys::Oid::from(ty);
    // SAFETY: look-ups by OID, which raise an ERROR or answer InvalidOid; the type cache's entries live for ever.
    unsafe {
        let base = pg_sys::getBaseType(oid);
        let described = image::column_type(base, -1, pg_sys::Oid::from(collation));
        let storage = Storage::from(&described);
        match (described.kind, base) {
            (kind @ (Kind::Text | Kind::Bpchar), _) if !catalog_lookup::deterministic(collation) => {
                return Some(Form::SortKey { kind, collation })
            }
            (Kind::Opaque, pg_sys::JSONBOID) => return Some(Form::Jsonb),
            // No btree class, so none that says so.
            (Kind::Opaque, pg_sys::XIDOID | pg_sys::CIDOID) => return Some(Form::Image(storage)),
            (Kind::Opaque, pg_sys::RECORDOID) => return Some(Form::Record(None)),
            (Kind::Opaque, _) if catalog_lookup::equal_image(&described) => return Some(Form::Image(storage)),
            (Kind::Opaque, _) => {}
            (kind, _) => return Some(Form::Native(kind, storage)),
        }
        let element = pg_sys::get_element_type(base);
        if element != pg_sys::InvalidOid {
            let form = Box::new(form(element.to_u32(), collation)?);
            return Some(Form::Array { element: image::column_type(element, -1, pg_sys::InvalidOid), form });
        }
        if pg_sys::get_range_subtype(base) != pg_sys::InvalidOid {
            let range = base.to_u32();
            return Some(Form::Range { range, bound: Box::new(bound(range)?) });
        }
        let range = pg_sys::get_multirange_range(base);
        if range != pg_sys::InvalidOid {
            let range = range.to_u32();
            return Some(Form::Multirange { range, bound: Box::new(bound(range)?) });
        }
        if pg_sys::get_typtype(base) as u8 == pg_sys::TYPTYPE_COMPOSITE {
            let descriptor = pg_sys::lookup_rowtype_tupdesc(base, -1);
            let fields = fields(descriptor);
            release(descriptor);
            return fields.map(|fields| Form::Record(Some(fields)));
        }
        match equality(base)? {
            Equality::Of(other) => form(other, collation),
            Equality::LowerCase => Some(Form::LowerCase),
            Equality::Layout(write) => Some(Form::Layout { ty, write }),
        }
    }
}

/// The form of a range type's bounds; none if they are compared by another equality than their type's own, or by an order
/// that takes other values for equal than it does (a nondeterministic collation's, which not every class follows).
///
/// # Safety
/// `range` is a range type.
unsafe fn bound(range: u32) -> Option<Form> {
    // SAFETY: the type cache's entries live for ever, and a range's has its element's.
    unsafe {
        let entry = &*range_entry(range);
        let subtype = (*entry.rngelemtype).type_id;
        let collation = entry.rng_collation.to_u32();
        let flags = pg_sys::TYPECACHE_BTREE_OPFAMILY | pg_sys::TYPECACHE_EQ_OPR;
        let default = &*pg_sys::lookup_type_cache(subtype, flags as i32);
        if default.btree_opf != entry.rng_opfamily {
            let input = default.btree_opintype;
            let strategy = pg_sys::BTEqualStrategyNumber as i16;
            let equal = pg_sys::get_opfamily_member(entry.rng_opfamily, input, input, strategy);
            if equal != default.eq_opr || !catalog_lookup::deterministic(collation) {
                return None;
            }
        }
        form(subtype.to_u32(), collation)
    }
}

/// # Safety
/// `descriptor` is a valid descriptor.
unsafe fn fields(descriptor: pg_sys::TupleDesc) -> Option<Vec<Option<Form>>> {
    let mut fields = Vec::new();
    // SAFETY: attributes up to natts exist.
    for attribute in unsafe { (0..(*descriptor).natts as usize).map(|at| &*slot::attribute(descriptor, at)) } {
        fields.push(match attribute.attisdropped {
            true => None,
            false => Some(form(attribute.atttypid.to_u32(), attribute.attcollation.to_u32())?),
        });
    }
    Some(fields)
}

/// # Safety
/// `descriptor` came from lookup_rowtype_tupdesc.
unsafe fn release(descriptor: pg_sys::TupleDesc) {
    // SAFETY: ReleaseTupleDesc: only what is counted is released.
    unsafe {
        if (*descriptor).tdrefcount >= 0 {
            pg_sys::DecrTupleDescRefCount(descriptor);
        }
    }
}

fn no_form(ty: u32) -> ! {
    let name = catalog_lookup::type_name(ty);
    Failure::new(b"42883", format!("type {name} has no canonical image"))
        .detail(format!("Equal values of type {name} may be stored differently, in ways that only its equality knows."))
        .raise()
}

impl Form {
    /// # Safety
    /// `datum` is a valid datum of the type that the form is of.
    unsafe fn write(&self, datum: pg_sys::Datum, out: &mut Vec<u8>) {
        // SAFETY: the caller's promise, for this value and for what it contains: containers hold valid datums of their
        // parts' types. What is detoasted is allocated in the current context.
        unsafe {
            match self {
                Form::Image(storage) => out.extend_from_slice(&image_of(datum, *storage)),
                Form::Native(kind, storage) => write_native(*kind, &image_of(datum, *storage), out),
                Form::SortKey { kind, collation } => write_sort_key(*kind, *collation, datum, out),
                Form::LowerCase => write_lower_case(datum, out),
                Form::Layout { ty, write } => {
                    let described = image::column_type(pg_sys::Oid::from(*ty), -1, pg_sys::InvalidOid);
                    let payload = image_of(datum, Storage::from(&described));
                    write(&payload, out).unwrap_or_else(|| malformed(*ty));
                }
                Form::Jsonb => write_jsonb(datum, out),
                Form::Array { element, form } => form.write_array(element, datum, out),
                Form::Range { range, bound } => {
                    let value = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast();
                    bound.write_range(range_entry(*range), value, out);
                }
                Form::Multirange { range, bound } => {
                    let entry = range_entry(*range);
                    let ranges = multirange::ranges(entry, datum);
                    out.extend_from_slice(&(ranges.len() as u32).to_le_bytes());
                    ranges.into_iter().for_each(|range| bound.write_range(entry, range, out));
                }
                Form::Record(fields) => write_record(fields.as_deref(), datum, out),
            }
        }
    }

    /// A part of a value: whether it is NULL, and how long it is, come first.
    ///
    /// # Safety
    /// As [`Form::write`], unless `null`.
    unsafe fn write_part(&self, datum: pg_sys::Datum, null: bool, out: &mut Vec<u8>) {
        out.push(u8::from(!null));
        if !null {
            let at = out.len();
            out.extend_from_slice(&[0; 8]);
            // SAFETY: the caller's promise.
            unsafe { self.write(datum, out) };
            let length = (out.len() - at - 8) as u64;
            out[at..at + 8].copy_from_slice(&length.to_le_bytes());
        }
    }

    /// An array of elements of this form.
    ///
    /// # Safety
    /// As [`Form::write`].
    unsafe fn write_array(&self, element: &ColumnType, datum: pg_sys::Datum, out: &mut Vec<u8>) {
        // SAFETY: an array's dimensions and lower bounds follow its header, `ndim` of each; deconstruct_array gets the
        // storage of the element type and makes arrays of `count` entries.
        unsafe {
            pg_sys::check_stack_depth();
            let array = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::ArrayType>();
            let shape = array.add(1).cast::<i32>();
            out.extend_from_slice(&(*array).ndim.to_le_bytes());
            for at in 0..2 * (*array).ndim as usize {
                out.extend_from_slice(&(*shape.add(at)).to_le_bytes());
            }
            let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
            pg_sys::deconstruct_array(
                array,
                pg_sys::Oid::from(element.oid),
                element.length.into(),
                element.by_value,
                element.align as std::ffi::c_char,
                &mut values,
                &mut nulls,
                &mut count,
            );
            for at in 0..count as usize {
                self.write_part(*values.add(at), *nulls.add(at), out);
            }
        }
    }

    /// A range with bounds of this form.
    ///
    /// # Safety
    /// `range` is a detoasted range of the type that `entry` is of.
    unsafe fn write_range(
        &self,
        entry: *mut pg_sys::TypeCacheEntry,
        range: *const pg_sys::RangeType,
        out: &mut Vec<u8>,
    ) {
        // SAFETY: the bounds that are not infinite are valid datums of the range's element type.
        unsafe {
            let bounds = multirange::bounds(entry, range);
            out.push(u8::from(bounds.is_none()));
            for bound in bounds.into_iter().flatten() {
                out.push(u8::from(bound.inclusive));
                self.write_part(bound.val, bound.infinite, out);
            }
        }
    }
}

/// # Safety
/// `datum` is a valid datum of a type with this storage.
unsafe fn image_of(datum: pg_sys::Datum, storage: Storage) -> Vec<u8> {
    let mut builder = RowBuilder::default();
    // SAFETY: the caller's promise.
    unsafe { image::append(&mut builder, datum, false, storage) };
    builder.finish().column(0).map(<[u8]>::to_vec).unwrap_or_default()
}

fn write_native(kind: Kind, image: &[u8], out: &mut Vec<u8>) {
    match canonical(kind, image) {
        Ok(canonical) => out.extend_from_slice(&canonical),
        Err(error) => Failure::new(&error.sqlstate, error.message).raise(),
    }
}

/// # Safety
/// `datum` is text or bpchar.
unsafe fn write_sort_key(kind: Kind, collation: u32, datum: pg_sys::Datum, out: &mut Vec<u8>) {
    // SAFETY: pg_strnxfrm() says how many bytes it needs, and writes at most as many as it is given, its zero included. Two
    // strings are equal under a collation exactly if their sort keys are: hash joins rest on that.
    unsafe {
        let text = image_of(datum, Storage { length: -1, by_value: false });
        let text = canonical(kind, &text).unwrap_or_else(|error| Failure::new(&error.sqlstate, error.message).raise());
        let locale = guarded(|| pg_newlocale_from_collation(pg_sys::Oid::from(collation)));
        let source = text.as_ptr().cast();
        let needed = guarded(|| pg_strnxfrm(std::ptr::null_mut(), 0, source, text.len() as isize, locale));
        let at = out.len();
        out.resize(at + needed + 1, 0);
        let into = out.as_mut_ptr().add(at).cast();
        let written = guarded(|| pg_strnxfrm(into, needed + 1, source, text.len() as isize, locale));
        out.truncate(at + written.min(needed));
    }
}

/// # Safety
/// `datum` is jsonb.
unsafe fn write_jsonb(datum: pg_sys::Datum, out: &mut Vec<u8>) {
    use pg_sys::jbvType;
    use pg_sys::JsonbIteratorToken::{
        WJB_BEGIN_ARRAY, WJB_BEGIN_OBJECT, WJB_DONE, WJB_ELEM, WJB_END_ARRAY, WJB_END_OBJECT, WJB_KEY, WJB_VALUE,
    };
    // SAFETY: the iterator walks a detoasted container; which member of the union is valid follows from token and type; what
    // a value points to is within the container.
    unsafe {
        let plain = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::Jsonb>();
        let mut iterator = pg_sys::JsonbIteratorInit(&raw mut (*plain).root);
        let mut value: pg_sys::JsonbValue = std::mem::zeroed();
        let bytes = |out: &mut Vec<u8>, tag: u8, bytes: &[u8]| {
            out.push(tag);
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        };
        loop {
            match pg_sys::JsonbIteratorNext(&mut iterator, &mut value, false) {
                WJB_DONE => break,
                // The number of members comes first; where they end follows from it.
                WJB_END_ARRAY | WJB_END_OBJECT => {}
                WJB_BEGIN_ARRAY => {
                    out.push(if value.val.array.rawScalar { b'r' } else { b'a' });
                    out.extend_from_slice(&value.val.array.nElems.to_le_bytes());
                }
                WJB_BEGIN_OBJECT => {
                    out.push(b'o');
                    out.extend_from_slice(&value.val.object.nPairs.to_le_bytes());
                }
                WJB_KEY | WJB_VALUE | WJB_ELEM => match value.type_ {
                    jbvType::jbvNull => out.push(b'n'),
                    jbvType::jbvBool => out.push(if value.val.boolean { b't' } else { b'f' }),
                    jbvType::jbvString => {
                        let string = value.val.string;
                        bytes(out, b's', std::slice::from_raw_parts(string.val.cast(), string.len as usize));
                    }
                    jbvType::jbvNumeric => {
                        let number = pgrx::varlena_to_byte_slice(value.val.numeric.cast());
                        let mut image = Vec::new();
                        write_native(Kind::Numeric, number, &mut image);
                        bytes(out, b'd', &image);
                    }
                    other => malformed_jsonb(other),
                },
                other => malformed_jsonb(other),
            }
        }
    }
}

/// # Safety
/// `datum` is text.
unsafe fn write_lower_case(datum: pg_sys::Datum, out: &mut Vec<u8>) {
    // SAFETY: str_tolower() reads as many bytes as it is told, and gives a null-terminated string.
    unsafe {
        let text = image_of(datum, Storage { length: -1, by_value: false });
        let (source, length) = (text.as_ptr().cast(), text.len());
        let lower = guarded(|| str_tolower(source, length, pg_sys::Oid::from(DEFAULT_COLLATION)));
        out.extend_from_slice(std::ffi::CStr::from_ptr(lower).to_bytes());
        pg_sys::pfree(lower.cast());
    }
}

fn malformed(ty: u32) -> ! {
    Failure::new(b"XX001", format!("malformed value of type {}", catalog_lookup::type_name(ty))).raise()
}

fn malformed_jsonb(what: u32) -> ! {
    Failure::new(b"XX001", format!("unexpected part {what} of a jsonb value")).raise()
}

/// # Safety
/// `datum` is a composite value; `fields` are its type's.
unsafe fn write_record(known: Option<&[Option<Form>]>, datum: pg_sys::Datum, out: &mut Vec<u8>) {
    // SAFETY: a composite datum says what it is in its header; its descriptor has `natts` attributes, and deforming fills in
    // as many; those that are not dropped and not null are valid datums of their types.
    unsafe {
        pg_sys::check_stack_depth();
        let header = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::HeapTupleHeaderData>();
        let typed = (*header).t_choice.t_datum;
        let descriptor = pg_sys::lookup_rowtype_tupdesc(typed.datum_typeid, typed.datum_typmod);
        let natts = (*descriptor).natts as usize;
        let (mut values, mut nulls) = (vec![pg_sys::Datum::null(); natts], vec![true; natts]);
        let mut tuple: pg_sys::HeapTupleData = std::mem::zeroed();
        tuple.t_len = pgrx::varsize_4b(header.cast()) as u32;
        tuple.t_data = header;
        pg_sys::heap_deform_tuple(&mut tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        let own;
        let forms = match known {
            Some(forms) if forms.len() == natts => forms,
            _ => {
                own = fields(descriptor).unwrap_or_else(|| no_form(typed.datum_typeid.to_u32()));
                &own
            }
        };
        for (at, form) in forms.iter().enumerate() {
            if let Some(form) = form {
                form.write_part(values[at], nulls[at], out);
            }
        }
        release(descriptor);
    }
}

#[no_mangle]
pub extern "C" fn pg_finfo_canonical_image() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// # Safety
/// Called by PostgreSQL's function manager only.
#[no_mangle]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn canonical_image(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the function is strict and has one argument, whose type is known from the call's expression; the result is
    // copied into the current context.
    unsafe {
        let ty = pg_sys::get_fn_expr_argtype((*call).flinfo, 0);
        if ty == pg_sys::InvalidOid {
            Failure::new(b"42P18", "could not determine the type of the argument").raise();
        }
        let form = form(ty.to_u32(), (*call).fncollation.to_u32()).unwrap_or_else(|| no_form(ty.to_u32()));
        let argument = &*(*call).args.as_ptr();
        let mut bytes = Vec::new();
        form.write(argument.value, &mut bytes);
        let ty = image::column_type(pg_sys::BYTEAOID, -1, pg_sys::InvalidOid);
        image::to_datum(Some(&bytes), &ty).0
    }
}

/// Calls into PostgreSQL; an ERROR comes back as a panic.
///
/// # Safety
/// `call` calls unguarded functions only, and drops nothing.
unsafe fn guarded<T>(call: impl FnOnce() -> T) -> T {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(call) }
}

/// pg_locale_t
type Locale = *mut std::ffi::c_void;

/// pg_collation OID of the database's collation.
const DEFAULT_COLLATION: u32 = 100;

// Of pg_locale.h and formatting.h, which the bindings do not cover: called inside of a guard.
unsafe extern "C-unwind" {
    fn pg_newlocale_from_collation(collation: pg_sys::Oid) -> Locale;
    fn pg_strnxfrm(
        destination: *mut std::ffi::c_char,
        size: usize,
        source: *const std::ffi::c_char,
        length: isize,
        locale: Locale,
    ) -> usize;
    fn str_tolower(text: *const std::ffi::c_char, length: usize, collation: pg_sys::Oid) -> *mut std::ffi::c_char;
}
