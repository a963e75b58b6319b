//! Settings of the allocator that `main` chose; the benchmarks use the same, or they would measure another program.

use libmimalloc_sys::{mi_option_large_os_pages, mi_option_set, mi_option_set_enabled, mi_option_t};

/// For a command that ends soon. Lets the allocator keep what was freed: a batch is freed when the next one is
/// allocated, and a fifth of an ingest went into the kernel clearing the same pages again. Pages are small: the
/// allocator asks for large ones by itself, and of these a short command touches a little each. The kernel cleared half
/// a gigabyte for the blast radius of one action, where a quarter of one does.
pub fn keep_memory() {
    const NEVER: std::ffi::c_long = -1;
    // SAFETY: the function stores a number, may be called at any time, and does nothing for an option it lacks.
    unsafe { mi_option_set(PURGE_DELAY, NEVER) };
    set_page_size(Pages::Small);
}

/// Lets the allocator use large pages, for work that fills them: clearing them takes a short command longer than its work.
pub fn use_large_pages() {
    // SAFETY: as above.
    unsafe { mi_option_set_enabled(mi_option_large_os_pages, true) };
    set_page_size(Pages::AsAsked);
}

/// Lets the allocator give back what was freed: for work that takes long and needs much at one time and little at others.
pub fn give_memory_back() {
    const SOON: std::ffi::c_long = 10;
    // SAFETY: as above.
    unsafe {
        mi_option_set_enabled(mi_option_large_os_pages, false);
        mi_option_set(PURGE_DELAY, SOON);
    }
    set_page_size(Pages::AsAsked);
}

/// For a report: question after question needs much, so that clearing large pages pays; what was not needed again for a
/// second is given back.
pub fn reuse_memory() {
    const A_SECOND: std::ffi::c_long = 1_000;
    // SAFETY: as above.
    unsafe { mi_option_set(PURGE_DELAY, A_SECOND) };
    use_large_pages();
}

/// `mi_option_purge_delay` of mimalloc.h, which the bindings leave out.
const PURGE_DELAY: mi_option_t = 15;

/// Which pages the kernel gives out.
#[derive(Clone, Copy)]
enum Pages {
    Small,
    /// Large ones where the allocator asks for them, which it has done for its first arena when `main` begins.
    AsAsked,
}

/// Says which pages are given out from now on, to every thread and to programs that are started.
#[cfg(target_os = "linux")]
fn set_page_size(pages: Pages) {
    let (is_without, unused) = (libc::c_ulong::from(matches!(pages, Pages::Small)), libc::c_ulong::from(0_u8));
    // SAFETY: this option takes four numbers and reads no memory; a kernel that lacks it answers with an error.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, is_without, unused, unused, unused) };
}

/// Other kernels decide by themselves.
#[cfg(not(target_os = "linux"))]
fn set_page_size(_: Pages) {}
