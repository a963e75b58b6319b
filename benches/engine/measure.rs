//! A measurement: times of several runs, one line of JSON.

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
