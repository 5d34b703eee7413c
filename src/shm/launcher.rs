//! Where the launcher is found by whoever needs a worker and sees none.

use crate::pg::process;
use std::sync::atomic::{AtomicI32, Ordering};

#[repr(C)]
pub struct Launcher {
    /// Process number + 1; 0: none.
    number: AtomicI32,
}

impl Launcher {
    /// Makes the calling process the launcher.
    pub fn starts(&self) {
        self.number.store(process::number() + 1, Ordering::Release);
    }

    /// Wakes the launcher, if there is one; one that starts later looks by itself.
    pub fn wake(&self) {
        let number = self.number.load(Ordering::Acquire);
        if number != 0 {
            process::set_latch(number - 1);
        }
    }
}
