//! A measurement: times of several runs, one line of JSON.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Times of `runs` runs of `work`, and what the last one gave.
pub async fn times<T, F: Future<Output = T>>(runs: usize, mut work: impl FnMut() -> F) -> (Vec<Duration>, Option<T>) {
    let (mut times, mut last) = (Vec::with_capacity(runs), None);
    for _ in 0..runs {
        let start = Instant::now();
        last = Some(work().await);
        times.push(start.elapsed());
    }
    (times, last)
}

/// Prints one line for `name`; `more` is added to the times.
pub fn line(name: &str, times: &[Duration], more: Value) {
    let mut sorted: Vec<f64> = times.iter().map(|t| t.as_secs_f64() * 1e3).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = |p: f64| sorted[((sorted.len() as f64 * p).ceil() as usize).clamp(1, sorted.len()) - 1];
    let mut line = json!({
        "name": name, "runs": sorted.len(), "best_ms": round(sorted[0]), "median_ms": round(rank(0.5)),
        "p99_ms": round(rank(0.99)), "first_ms": round(times[0].as_secs_f64() * 1e3),
    });
    if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
        line.extend(more.clone());
    }
    println!("{line}");
}

fn round(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

/// Most memory that this process has held, in MiB.
pub fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// The program's allocator, which counts what is alive while somebody asks it to: what a work needs, whatever the
/// allocator keeps besides.
pub struct Counting(pub mimalloc::MiMalloc);

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static ALIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static MOST_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Counts from now on.
pub fn count_memory() {
    IS_COUNTING.store(true, Ordering::Relaxed);
}

/// Most bytes that were alive at once since counting began, in MiB.
pub fn alive_mib() -> u64 {
    MOST_BYTES.load(Ordering::Relaxed) as u64 / (1024 * 1024)
}

fn grown(bytes: usize) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        let alive = ALIVE_BYTES.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // What was allocated before counting began may be freed now: less than nothing is alive then.
        if alive < usize::MAX / 2 {
            MOST_BYTES.fetch_max(alive, Ordering::Relaxed);
        }
    }
}

fn shrunk(bytes: usize) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        ALIVE_BYTES.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call is that of the allocator within; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        shrunk(layout.size());
        unsafe { self.0.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        shrunk(layout.size());
        grown(bytes);
        unsafe { self.0.realloc(place, layout, bytes) }
    }
}
