//! Which equality a base type has that does not say of itself that equal values have equal images: told by the function of
//! its `=`, in whatever schema the type and its operators are.

use super::payload::{self, Write};
use crate::pg::catalog_lookup::{language, source, C_LANGUAGE, INTERNAL_LANGUAGE};
use crate::pg::image::{self, Storage};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

pub(super) enum Equality {
    /// That of another type, of the same storage.
    Of(u32),
    /// That of the value in lower case, under the database's collation (citext).
    LowerCase,
    Layout(Write),
}

/// The equality by which values of the type are grouped, if it is known.
pub(super) fn equality(ty: pg_sys::Oid) -> Option<Equality> {
    // SAFETY: look-ups in catalog caches, which answer InvalidOid or null for what is not there; the type cache's entries
    // live for ever, and names are null-terminated strings in the current context.
    unsafe {
        let operator = (*pg_sys::lookup_type_cache(ty, pg_sys::TYPECACHE_EQ_OPR as i32)).eq_opr;
        if operator == pg_sys::InvalidOid {
            return None;
        }
        let function = pg_sys::get_opcode(operator);
        let source = source(function.to_u32())?;
        match language(function.to_u32())? {
            INTERNAL_LANGUAGE => match payload::of_server(&source) {
                Some(write) => Some(Equality::Layout(write)),
                None => alias(ty, &source).map(Equality::Of),
            },
            C_LANGUAGE => {
                let extension = pg_sys::getExtensionOfObject(pg_sys::ProcedureRelationId, function);
                let name = pg_sys::get_extension_name(extension);
                if name.is_null() {
                    return None;
                }
                let name = CStr::from_ptr(name).to_string_lossy();
                if name == "citext" && source == "citext_eq" {
                    return Some(Equality::LowerCase);
                }
                payload::of_extension(&name, &source).map(Equality::Layout)
            }
            _ => None,
        }
    }
}

/// The type of the server's own whose equality a type has borrowed, as those of `isn` do that of bigint.
fn alias(ty: pg_sys::Oid, source: &str) -> Option<u32> {
    let name = CString::new(source).ok()?;
    // SAFETY: as in `equality`; a signature's types are `arguments` many.
    unsafe {
        let function = pg_sys::fmgr_internal_function(name.as_ptr());
        if function == pg_sys::InvalidOid {
            return None;
        }
        let (mut types, mut arguments) = (std::ptr::null_mut(), 0);
        pg_sys::get_func_signature(function, &mut types, &mut arguments);
        let [left, right] = std::slice::from_raw_parts(types, arguments as usize) else { return None };
        let own = pg_sys::get_opcode((*pg_sys::lookup_type_cache(*left, pg_sys::TYPECACHE_EQ_OPR as i32)).eq_opr);
        let storage = |ty| Storage::from(&image::column_type(ty, -1, pg_sys::InvalidOid));
        (left == right && *left != ty && own == function && storage(*left) == storage(ty)).then(|| left.to_u32())
    }
}
