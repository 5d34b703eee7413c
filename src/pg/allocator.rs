//! A counting allocator over the system's: the engine's memory is known exactly, so that a limit can be kept before the
//! system's own limit kills the process and with it every session of the server (DESIGN 11, HAZARDS H56).
//!
//! Only a worker process counts: in ordinary backends the flag is off and the cost is one relaxed load. Rows are allocated
//! by one thread and freed by another, so a shard may well go negative; only the sum means something.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};

const SHARDS: usize = 16;

#[repr(align(64))]
struct Shard(AtomicIsize);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static COUNTS: AtomicBool = AtomicBool::new(false);
static SHARD: [Shard; SHARDS] = [const { Shard(AtomicIsize::new(0)) }; SHARDS];
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Const-initialised and without a destructor: usable inside an allocator at any moment of a thread's life.
    static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Starts to count in this process. Before the engine allocates anything.
pub fn count_this_process() {
    COUNTS.store(true, Ordering::Relaxed);
}

/// Bytes allocated since counting began and not freed.
pub fn bytes_in_use() -> usize {
    SHARD.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum::<isize>().max(0) as usize
}

#[inline]
fn count(bytes: isize) {
    if !COUNTS.load(Ordering::Relaxed) {
        return;
    }
    let mine = MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        mine.get()
    });
    SHARD[mine].0.fetch_add(bytes, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system allocator with unchanged arguments; counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
