//! What the server counts, as Prometheus reads it (text format 0.0.4).
//!
//! In: what happened. Out: text. Invariants: a label is the template of a route, never a path with its values, nor
//! anything else that a request says; of a tenant only its own figures are told.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::lock;
use crate::ingest::counts::Counts;

/// Upper bounds of the latency histogram, milliseconds.
const BUCKETS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000];

/// All counters of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<Requests>,
    in_flight: AtomicU64,
    accepted: AtomicU64,
    duplicate: AtomicU64,
    conflict: AtomicU64,
    rejected: AtomicU64,
    append_failures: AtomicU64,
    folds: AtomicU64,
    folded_events: AtomicU64,
    upkeep_failures: AtomicU64,
    page_hits: AtomicU64,
    page_misses: AtomicU64,
    session_hits: AtomicU64,
    session_misses: AtomicU64,
    logins_refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Requests {
    by_status: BTreeMap<(String, String, u16), u64>,
    latency: BTreeMap<String, Latency>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Latency {
    buckets: [u64; BUCKETS_MS.len()],
    sum: Duration,
    count: u64,
}

/// The figures of one tenant.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Events in the ledger.
    pub size: i64,
    /// Events in the folded table.
    pub folded: i64,
    /// Requests that wait to be written.
    pub waiting: usize,
}

impl Metrics {
    /// A request began.
    pub fn request_began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A request ended.
    pub fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request on the route with this template was answered.
    pub fn answered(&self, (method, route): (&str, &str), status: u16, took: Duration) {
        let mut requests = lock(&self.requests);
        *requests.by_status.entry((route.to_owned(), method.to_owned(), status)).or_default() += 1;
        let latency = requests.latency.entry(route.to_owned()).or_default();
        let ms = took.as_millis();
        let bucket = BUCKETS_MS.iter().position(|bound| ms <= u128::from(*bound));
        if let Some(bucket) = bucket {
            latency.buckets[bucket] += 1;
        }
        latency.sum += took;
        latency.count += 1;
    }

    /// Records were received.
    pub fn received(&self, counts: Counts) {
        add(&self.accepted, counts.accepted);
        add(&self.duplicate, counts.duplicate);
        add(&self.conflict, counts.conflict);
        add(&self.rejected, counts.rejected);
    }

    /// A group could not be made durable.
    pub fn append_failed(&self) {
        add(&self.append_failures, 1);
    }

    /// The journal was folded.
    pub fn folded(&self, events: i64) {
        add(&self.folds, 1);
        add(&self.folded_events, u64::try_from(events).unwrap_or_default());
    }

    /// A fold, a compaction or a projection failed.
    pub fn upkeep_failed(&self) {
        add(&self.upkeep_failures, 1);
    }

    /// A page was found finished.
    pub fn page_hit(&self) {
        add(&self.page_hits, 1);
    }

    /// A page was not.
    pub fn page_miss(&self) {
        add(&self.page_misses, 1);
    }

    /// A query session was still good.
    pub fn session_hit(&self) {
        add(&self.session_hits, 1);
    }

    /// A query session was opened.
    pub fn session_miss(&self) {
        add(&self.session_misses, 1);
    }

    /// A login was refused.
    pub fn login_refused(&self) {
        add(&self.logins_refused, 1);
    }

    /// All figures as text, with those of one tenant.
    pub fn text(&self, (tenant, figures): (&str, Figures)) -> String {
        let mut out = String::with_capacity(8 * 1024);
        self.write_requests(&mut out);
        let events = [
            ("accepted", &self.accepted),
            ("duplicate", &self.duplicate),
            ("conflict", &self.conflict),
            ("rejected", &self.rejected),
        ];
        head(&mut out, "probity_events_total", "counter", "Records received over HTTP by what became of them.");
        for (end, count) in events {
            let _ = writeln!(out, "probity_events_total{{outcome=\"{end}\"}} {}", read(count));
        }
        let counters = [
            ("append_failures_total", "Groups of requests that could not be made durable.", &self.append_failures),
            ("folds_total", "Times that the journal was folded.", &self.folds),
            ("folded_events_total", "Events folded into the table.", &self.folded_events),
            ("upkeep_failures_total", "Folds, compactions or projections that failed.", &self.upkeep_failures),
            ("page_cache_hits_total", "Pages that were found finished.", &self.page_hits),
            ("page_cache_misses_total", "Pages that were not.", &self.page_misses),
            ("session_cache_hits_total", "Query sessions that were still good.", &self.session_hits),
            ("session_cache_misses_total", "Query sessions that were opened.", &self.session_misses),
            ("logins_refused_total", "Logins that were refused.", &self.logins_refused),
        ];
        for (name, help, count) in counters {
            let name = format!("probity_{name}");
            head(&mut out, &name, "counter", help);
            let _ = writeln!(out, "{name} {}", read(count));
        }
        let tenant = format!("{{tenant=\"{tenant}\"}}");
        let gauges = [
            ("requests_in_flight", "Requests that are being answered.", read(&self.in_flight), ""),
            ("ledger_size", "Events in the ledger.", whole(figures.size), tenant.as_str()),
            ("ledger_folded", "Events in the folded table.", whole(figures.folded), tenant.as_str()),
            ("append_queue_depth", "Requests that wait to be written.", figures.waiting as u64, tenant.as_str()),
        ];
        for (name, help, value, labels) in gauges {
            let name = format!("probity_{name}");
            head(&mut out, &name, "gauge", help);
            let _ = writeln!(out, "{name}{labels} {value}");
        }
        if let Some(bytes) = resident_bytes() {
            head(&mut out, "process_resident_memory_bytes", "gauge", "Resident memory of the process.");
            let _ = writeln!(out, "process_resident_memory_bytes {bytes}");
        }
        out
    }

    fn write_requests(&self, out: &mut String) {
        let requests = lock(&self.requests);
        head(out, "probity_requests_total", "counter", "Requests by route, method and status.");
        for ((route, method, status), count) in &requests.by_status {
            let labels = format!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
            let _ = writeln!(out, "probity_requests_total{{{labels}}} {count}");
        }
        let name = "probity_request_duration_seconds";
        head(out, name, "histogram", "Time until a request was answered, its body's streaming apart.");
        for (route, latency) in &requests.latency {
            let mut below = 0;
            for (bound, count) in BUCKETS_MS.iter().zip(latency.buckets) {
                below += count;
                let bound = *bound as f64 / 1_000.0;
                let _ = writeln!(out, "{name}_bucket{{route=\"{route}\",le=\"{bound}\"}} {below}");
            }
            let _ = writeln!(out, "{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {}", latency.count);
            let _ = writeln!(out, "{name}_sum{{route=\"{route}\"}} {}", latency.sum.as_secs_f64());
            let _ = writeln!(out, "{name}_count{{route=\"{route}\"}} {}", latency.count);
        }
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn whole(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Resident memory of this process, where the system tells.
#[cfg(target_os = "linux")]
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(not(target_os = "linux"))]
fn resident_bytes() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_every_series_has_its_head_once() {
        let metrics = Metrics::default();
        for ms in [0, 7, 7, 40_000] {
            metrics.answered(("GET", "/v1/records/{system}"), 200, Duration::from_millis(ms));
        }
        metrics.received(Counts { received: 3, accepted: 2, duplicate: 1, ..Counts::default() });
        let text = metrics.text(("default", Figures { size: 9, folded: 4, waiting: 1 }));
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        has("probity_requests_total{route=\"/v1/records/{system}\",method=\"GET\",status=\"200\"} 4");
        has("probity_request_duration_seconds_bucket{route=\"/v1/records/{system}\",le=\"0.005\"} 1");
        has("probity_request_duration_seconds_bucket{route=\"/v1/records/{system}\",le=\"0.01\"} 3");
        has("probity_request_duration_seconds_bucket{route=\"/v1/records/{system}\",le=\"+Inf\"} 4");
        has("probity_events_total{outcome=\"accepted\"} 2");
        has("probity_ledger_size{tenant=\"default\"} 9");
        let mut heads: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let all = heads.len();
        heads.sort_unstable();
        heads.dedup();
        assert_eq!(heads.len(), all);
    }
}
