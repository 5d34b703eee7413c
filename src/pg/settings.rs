//! The parts of settings that pgrx leaves to raw calls: a check hook, and the reserved prefix.

use crate::schedule::Schedule;
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::pg_sys;
use std::ffi::{c_char, c_void, CStr, CString};

/// Defines a string setting that must be an interval.
pub fn define_schedule(
    name: &'static CStr,
    short: &'static CStr,
    long: &'static CStr,
    setting: &'static GucSetting<Option<CString>>,
) {
    // SAFETY: the hook has the signature of a string setting's check hook, and allocates nothing that it leaves behind.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            name,
            short,
            long,
            setting,
            GucContext::Sighup,
            GucFlags::default(),
            Some(check_schedule),
            None,
            None,
        );
    }
}

/// Makes settings of ours that do not exist an error where they are set.
pub fn reserve_prefix(prefix: &'static CStr) {
    // SAFETY: copies the prefix.
    unsafe { pg_sys::MarkGUCPrefixReserved(prefix.as_ptr()) }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn check_schedule(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: PostgreSQL passes a pointer to the proposed value, which may be null.
    let text = unsafe {
        if (*value).is_null() {
            return false;
        }
        CStr::from_ptr(*value).to_string_lossy()
    };
    let reason = match Schedule::parse(&text) {
        Ok(Schedule::Every(_)) => return true,
        Ok(_) => "The default schedule must be an interval.".to_string(),
        Err(reason) => reason,
    };
    if let Ok(reason) = CString::new(reason) {
        // SAFETY: GUC_check_errdetail() sets this variable to a palloc'd string.
        unsafe { pg_sys::GUC_check_errdetail_string = pg_sys::pstrdup(reason.as_ptr()) }
    }
    false
}
