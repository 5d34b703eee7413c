//! Acting as a stream table's owner, the way core's REFRESH MATERIALIZED VIEW does: user id, security-restricted operation,
//! safe search path, and a nest level for settings that is left on every way out.

use crate::pg::txn::Failure;
use pgrx::pg_sys;
use std::ffi::CString;

/// Settings pinned at creation: name and value.
pub type Settings = [(String, String)];

/// Runs `body` as `owner` in a security-restricted operation with the pinned `settings`.
///
/// On an ERROR nothing is put back here: the abort of the surrounding (sub)transaction restores user id, security context
/// and settings (HAZARDS H53), which is why the body's result is not caught.
pub fn as_owner<T>(owner: u32, settings: &Settings, body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let (mut user, mut context) = (pg_sys::InvalidOid, 0);
    // SAFETY: plain reads and writes of backend state inside a transaction; the nest level opened here is closed below or by
    // the abort.
    let nest = unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        pg_sys::SetUserIdAndSecContext(
            pg_sys::Oid::from(owner),
            context | pg_sys::SECURITY_RESTRICTED_OPERATION as i32 | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32,
        );
        let nest = pg_sys::NewGUCNestLevel();
        pg_sys::RestrictSearchPath();
        nest
    };
    for (name, value) in settings {
        set_local(name, value)?;
    }
    let value = body()?;
    // SAFETY: see above.
    unsafe {
        pg_sys::AtEOXact_GUC(false, nest);
        pg_sys::SetUserIdAndSecContext(user, context);
    }
    Ok(value)
}

fn set_local(name: &str, value: &str) -> Result<(), Failure> {
    let text = |s: &str| CString::new(s).map_err(|_| Failure::new(b"22023", "setting contains a null byte"));
    let (name, value) = (text(name)?, text(value)?);
    // SAFETY: both strings outlive the call, which copies them.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
    }
    Ok(())
}
