//! Settings of the allocator that `main` chose; the benchmarks use the same, or they would measure another program.

use libmimalloc_sys::{mi_option_large_os_pages, mi_option_set, mi_option_set_enabled, mi_option_t};

/// Lets the allocator keep what was freed: a batch is freed when the next one is allocated, and a fifth of an ingest went
/// into the kernel clearing the same pages again. A command ends before that matters.
pub fn keep_memory() {
    const NEVER: std::ffi::c_long = -1;
    // SAFETY: the function stores a number, may be called at any time, and does nothing for an option it lacks.
    unsafe { mi_option_set(PURGE_DELAY, NEVER) };
}

/// Lets the allocator use large pages, for work that fills them: clearing them takes a short command longer than its work.
pub fn use_large_pages() {
    // SAFETY: as above.
    unsafe { mi_option_set_enabled(mi_option_large_os_pages, true) };
}

/// Lets the allocator give back what was freed: for work that takes long and needs much at one time and little at others.
pub fn give_memory_back() {
    const SOON: std::ffi::c_long = 10;
    // SAFETY: as above.
    unsafe {
        mi_option_set_enabled(mi_option_large_os_pages, false);
        mi_option_set(PURGE_DELAY, SOON);
    }
}

/// `mi_option_purge_delay` of mimalloc.h, which the bindings leave out.
const PURGE_DELAY: mi_option_t = 15;
