//! What is still to happen, in order of time, and how fast the world goes.
//!
//! [`Agenda`] is a calendar queue: buckets of equal length in time, each sorted when it is reached, which costs
//! less than a heap of a million entries. [`Pace`] turns a share of all events into the instant when that share
//! has happened. Invariants: entries come out by time, equal times in order of entry; the pace never goes back.

use crate::clock::{DAY, HOUR, Micros};

/// What a pending entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Review,
    Access,
    Propose,
    Decide,
    Execute,
    RollBack,
    Label,
    Correct,
    Except,
    Change,
    Pause,
    Resume,
}

/// Something that will happen. `a` is a record, a cell or the place of an action, `b` a run; see [`super::life`].
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    pub at: Micros,
    pub a: u32,
    pub b: u32,
    pub kind: Kind,
    pub workflow: u8,
    pub environment: u8,
    /// Kind of version, agent, or stage of a decision.
    pub x: u8,
}

/// Calendar queue.
pub struct Agenda {
    start: Micros,
    width: Micros,
    buckets: Vec<Vec<Pending>>,
    /// The bucket that is being read, sorted, and how far.
    open: usize,
    cursor: usize,
    len: usize,
}

impl Agenda {
    /// An empty agenda for `start..end` that expects to hold `events` over its life.
    pub fn new(start: Micros, end: Micros, events: u64) -> Self {
        let count = (events / 32).clamp(64, 1 << 20);
        let width = (end - start) / count as i64 + 1;
        Self { start, width, buckets: vec![Vec::new(); count as usize], open: 0, cursor: 0, len: 0 }
    }

    /// Adds an entry, which must not lie before the last one taken.
    pub fn push(&mut self, pending: Pending) {
        let bucket = ((pending.at - self.start) / self.width).max(0) as usize;
        let bucket = bucket.clamp(self.open, self.buckets.len() - 1);
        self.len += 1;
        if bucket == self.open {
            let entries = &mut self.buckets[bucket];
            let at = self.cursor + entries[self.cursor..].partition_point(|p| p.at <= pending.at);
            entries.insert(at, pending);
        } else {
            self.buckets[bucket].push(pending);
        }
    }

    /// The time of the next entry.
    pub fn next_at(&mut self) -> Option<Micros> {
        if self.len == 0 {
            return None;
        }
        while self.cursor == self.buckets[self.open].len() {
            self.buckets[self.open] = Vec::new();
            self.open += 1;
            self.cursor = 0;
            self.buckets[self.open].sort_by_key(|p| p.at);
        }
        Some(self.buckets[self.open][self.cursor].at)
    }

    /// Takes the next entry.
    pub fn pop(&mut self) -> Option<Pending> {
        self.next_at()?;
        let pending = self.buckets[self.open][self.cursor];
        self.cursor += 1;
        self.len -= 1;
        Some(pending)
    }
}

/// Share of the work by hour of the week, Monday first: office hours are busy, nights and week-ends are not idle.
fn weight_of(hour_of_week: i64) -> f64 {
    let (day, hour) = (hour_of_week / 24, hour_of_week % 24);
    let of_hour = match hour {
        7..10 => 1.6,
        10..16 => 2.2,
        16..19 => 1.3,
        _ => 0.4,
    };
    if day < 5 { of_hour } else { of_hour * 0.25 }
}

/// The instant by which a share of all events has happened.
pub struct Pace {
    start: Micros,
    /// Weight until the end of each hour.
    until_hour: Vec<f64>,
    hour: usize,
}

impl Pace {
    /// A pace that grows by half from `start` to `end`, with the rhythm of a week.
    pub fn new(start: Micros, end: Micros) -> Self {
        let hours = ((end - start + HOUR - 1) / HOUR).max(1);
        let mut sum = 0.0;
        let until_hour = (0..hours)
            .map(|h| {
                let growth = 0.8 + 0.4 * h as f64 / hours as f64;
                sum += growth * weight_of(hour_of_week(start + h * HOUR));
                sum
            })
            .collect();
        Self { start, until_hour, hour: 0 }
    }

    /// The instant when `done` of `all` has happened.
    pub fn at(&mut self, done: u64, all: u64) -> Micros {
        let total = self.until_hour.last().copied().unwrap_or(1.0);
        let target = total * (done.min(all) as f64 / all.max(1) as f64);
        while self.hour + 1 < self.until_hour.len() && self.until_hour[self.hour] < target {
            self.hour += 1;
        }
        let before = if self.hour == 0 { 0.0 } else { self.until_hour[self.hour - 1] };
        let part = ((target - before) / (self.until_hour[self.hour] - before)).clamp(0.0, 1.0);
        self.start + self.hour as i64 * HOUR + (part * HOUR as f64) as i64
    }
}

/// Hours since Monday 00:00 UTC; 1970-01-01 was a Thursday.
fn hour_of_week(at: Micros) -> i64 {
    (at + 3 * DAY).div_euclid(HOUR).rem_euclid(7 * 24)
}

/// The first instant from `at` on when people work, Monday to Friday 7 to 18 UTC; `spread` (0..1) keeps those
/// who start in the morning from all deciding at seven sharp.
pub fn in_office(at: Micros, spread: f64) -> Micros {
    let hour = hour_of_week(at);
    let (day, of_day) = (hour / 24, hour % 24);
    if day < 5 && (7..18).contains(&of_day) {
        return at;
    }
    let days = match (day, of_day) {
        (0..5, 0..7) => 0,
        (0..4, _) => 1,
        _ => 7 - day,
    };
    let midnight = at.div_euclid(DAY) * DAY + days * DAY;
    midnight + 7 * HOUR + (spread * 3.0 * HOUR as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    fn entry(at: Micros, a: u32) -> Pending {
        Pending { at, a, b: 0, kind: Kind::Review, workflow: 0, environment: 0, x: 0 }
    }

    #[test]
    fn entries_come_out_by_time_and_ties_in_order_of_entry() {
        let mut random = Random::new(3);
        let mut agenda = Agenda::new(0, 10_000, 50_000);
        let mut now = 0;
        (0..500).for_each(|i| agenda.push(entry(random.between(0, 3_000), i)));
        let mut last = (-1, 0);
        let mut entered = 500;
        while let Some(p) = agenda.pop() {
            assert!((p.at, p.a) > last, "{p:?} after {last:?}");
            last = (p.at, p.a);
            now = now.max(p.at);
            if entered < 3_000 {
                agenda.push(entry(random.between(now, 10_000), entered));
                entered += 1;
            }
        }
        assert_eq!(agenda.len, 0);
    }

    #[test]
    fn people_decide_in_office_hours_and_never_earlier() {
        let mut random = Random::new(5);
        for _ in 0..10_000 {
            let at = random.between(1_700_000_000_000_000, 1_800_000_000_000_000);
            let later = in_office(at, random.unit());
            let hour = hour_of_week(later);
            assert!(later >= at && hour / 24 < 5 && (7..18).contains(&(hour % 24)));
        }
    }

    #[test]
    fn the_pace_goes_from_start_to_end_and_never_back() {
        let (start, end) = (1_700_000_000_000_000, 1_702_592_000_000_000);
        let mut pace = Pace::new(start, end);
        let mut last = start;
        for done in 0..=1_000 {
            let at = pace.at(done, 1_000);
            assert!(at >= last);
            last = at;
        }
        assert!(last > end - HOUR && last <= end + HOUR);
    }
}
