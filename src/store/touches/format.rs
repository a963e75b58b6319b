//! The bytes of touches.
//!
//! In: touches and a summary. Out: bytes, and the same again. Invariant: bytes that are not as they were written, cut
//! off or of another format give nothing. Three parts, each with its own checksum, so that the first two are read
//! without the third. It does no I/O.
//!
//! ```text
//! head   magic 8 | lengths u32: summary bytes, action keys, rows, name keys, places, readers, reads, 0
//!        | first instant i64 | least seq i64 | checksums u64: of keys, of rest, of all before it and the summary
//!        | summary as JSON; empty without one
//! keys   of actions, 16 bytes each, ascending
//! rest   keys of names | places: u32 system, record type, record id, field
//!        | by row: low 32 and high 16 bits of the instant since the first, u32 seq since the least, u8 marks,
//!          u32 action, u32 place | by reader: u32 row, u32 end | by read: u32 place
//! ```
//! Numbers are little-endian, columns follow each other; checksums are XXH64, seed 0.

use std::ops::Range;

use twox_hash::XxHash64;

use crate::blast::{Key, Summary, Touches};

const MAGIC: &[u8; 8] = b"PRBTCH01";
const LENGTHS: usize = 8;
/// Bytes of the head that its own checksum stands behind.
const CHECKED_BYTES: usize = 8 + LENGTHS * 4 + 4 * 8;
const HEADER_BYTES: usize = CHECKED_BYTES + 8;
const KEY_BYTES: usize = 16;
const PLACE_BYTES: usize = 16;
/// Bytes of a row.
const ROW_BYTES: usize = 4 + 2 + 4 + 1 + 4 + 4;

/// What the head says of the other parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    summary: usize,
    action_keys: usize,
    rows: usize,
    name_keys: usize,
    places: usize,
    readers: usize,
    reads: usize,
    first_at: i64,
    least_seq: i64,
    checks: [u64; 3],
}

/// The bytes of `touches` and `summary`; none where instants or `seq` span too much.
pub(super) fn encode(touches: &Touches, summary: Option<&Summary>) -> Option<Vec<u8>> {
    let first_at = touches.at.first().copied().unwrap_or(0);
    let least_seq = touches.seqs.iter().min().copied().unwrap_or(0);
    let since: Vec<u64> = touches.at.iter().map(|at| at.abs_diff(first_at)).collect();
    let seqs: Option<Vec<u32>> = touches.seqs.iter().map(|seq| u32::try_from(seq.abs_diff(least_seq)).ok()).collect();
    if since.iter().any(|since| since >> 48 != 0) {
        return None;
    }
    let summary = summary.map_or(Some(Vec::new()), |summary| serde_json::to_vec(summary).ok())?;
    let keys = bytes_of_keys(&touches.action_keys);
    let rest = rest_of(touches, (&since, &seqs?));
    let mut out = Vec::with_capacity(HEADER_BYTES + summary.len() + keys.len() + rest.len());
    out.extend_from_slice(MAGIC);
    let (actions, names) = (touches.action_keys.len(), touches.name_keys.len());
    let (places, readers) = (touches.places.len(), touches.readers.len());
    for length in [summary.len(), actions, touches.len(), names, places, readers, touches.reads.len(), 0] {
        out.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    }
    out.extend_from_slice(&first_at.to_le_bytes());
    out.extend_from_slice(&least_seq.to_le_bytes());
    out.extend_from_slice(&XxHash64::oneshot(0, &keys).to_le_bytes());
    out.extend_from_slice(&XxHash64::oneshot(0, &rest).to_le_bytes());
    let check = check_of_head(&out, &summary);
    out.extend_from_slice(&check.to_le_bytes());
    out.extend_from_slice(&summary);
    out.extend_from_slice(&keys);
    out.extend_from_slice(&rest);
    Some(out)
}

fn check_of_head(header: &[u8], summary: &[u8]) -> u64 {
    XxHash64::oneshot(0, &[header, summary].concat())
}

fn bytes_of_keys(keys: &[Key]) -> Vec<u8> {
    let mut out = Vec::with_capacity(keys.len() * KEY_BYTES);
    keys.iter().for_each(|key| out.extend_from_slice(&key.0));
    out
}

fn rest_of(touches: &Touches, (since, seqs): (&[u64], &[u32])) -> Vec<u8> {
    let mut out = bytes_of_keys(&touches.name_keys);
    out.reserve(touches.places.len() * PLACE_BYTES + touches.len() * ROW_BYTES + touches.reads.len() * 12);
    touches.places.iter().for_each(|place| append(&mut out, place));
    since.iter().for_each(|since| out.extend_from_slice(&(*since as u32).to_le_bytes()));
    since.iter().for_each(|since| out.extend_from_slice(&((since >> 32) as u16).to_le_bytes()));
    append(&mut out, seqs);
    out.extend_from_slice(&touches.marks);
    for numbers in [&touches.actions, &touches.targets, &touches.readers, &touches.ends, &touches.reads] {
        append(&mut out, numbers);
    }
    out
}

fn append(out: &mut Vec<u8>, numbers: &[u32]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

impl Head {
    /// The head that `bytes` begin with; none where they begin with no such head. Its checksum covers the summary as
    /// well, and is looked at with that.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER_BYTES)?.strip_prefix(MAGIC)?;
        let (lengths, longs) = header.split_at(LENGTHS * 4);
        let lengths = numbers(lengths);
        let mut longs =
            longs.chunks_exact(8).map(|c| i64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]));
        let [summary, action_keys, rows, name_keys, places, readers, reads, 0] = *lengths.as_slice() else {
            return None;
        };
        let length = |n: u32| n as usize;
        Some(Self {
            summary: length(summary),
            action_keys: length(action_keys),
            rows: length(rows),
            name_keys: length(name_keys),
            places: length(places),
            readers: length(readers),
            reads: length(reads),
            first_at: longs.next()?,
            least_seq: longs.next()?,
            checks: [longs.next()? as u64, longs.next()? as u64, longs.next()? as u64],
        })
    }

    /// Where the summary stands.
    pub(super) fn summary(&self) -> Range<usize> {
        HEADER_BYTES..HEADER_BYTES + self.summary
    }

    /// Where the keys of the actions stand.
    pub(super) fn action_keys(&self) -> Range<usize> {
        self.summary().end..self.summary().end + self.action_keys * KEY_BYTES
    }

    /// The summary in an object that begins with `bytes`; none where it has none, or is damaged.
    pub(super) fn read_summary(&self, bytes: &[u8]) -> Option<Summary> {
        serde_json::from_slice(self.checked_summary(bytes)?).ok()
    }

    fn checked_summary<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let (header, summary) = (bytes.get(..CHECKED_BYTES)?, bytes.get(self.summary())?);
        (check_of_head(header, summary) == self.checks[2]).then_some(summary)
    }

    /// Whether one of `actions`, which ascend, is among the keys in `bytes`; none where these are damaged.
    pub(super) fn holds_any(&self, bytes: &[u8], actions: &[Key]) -> Option<bool> {
        if bytes.len() != self.action_keys * KEY_BYTES || XxHash64::oneshot(0, bytes) != self.checks[0] {
            return None;
        }
        let keys = bytes.as_chunks::<KEY_BYTES>().0;
        if actions.len() < keys.len() {
            return Some(actions.iter().any(|action| keys.binary_search(&action.0).is_ok()));
        }
        Some(keys.iter().any(|key| actions.binary_search(&Key(*key)).is_ok()))
    }
}

/// The touches in `bytes`; none where they hold none, or are damaged.
pub(super) fn decode(bytes: &[u8]) -> Option<Touches> {
    let head = Head::parse(bytes)?;
    head.checked_summary(bytes)?;
    let (keys, rest) = (bytes.get(head.action_keys())?, bytes.get(head.action_keys().end..)?);
    let is_whole = XxHash64::oneshot(0, keys) == head.checks[0] && XxHash64::oneshot(0, rest) == head.checks[1];
    if !is_whole {
        return None;
    }
    let mut left = rest;
    let mut take = |count: usize, width: usize| -> Option<&[u8]> {
        let (own, others) = left.split_at_checked(count.checked_mul(width)?)?;
        left = others;
        Some(own)
    };
    let name_keys = keys_in(take(head.name_keys, KEY_BYTES)?);
    let places = places_in(take(head.places, PLACE_BYTES)?);
    let (low, high) = (each(take(head.rows, 4)?), take(head.rows, 2)?);
    let high = high.as_chunks::<2>().0.iter().map(|two| i64::from(u16::from_le_bytes(*two)) << 32);
    let at = low.zip(high).map(|(low, high)| head.first_at.wrapping_add(high | i64::from(low))).collect();
    let seqs = each(take(head.rows, 4)?);
    let touches = Touches {
        at,
        seqs: seqs.map(|seq| head.least_seq.wrapping_add(i64::from(seq))).collect(),
        marks: take(head.rows, 1)?.to_vec(),
        actions: numbers(take(head.rows, 4)?),
        targets: numbers(take(head.rows, 4)?),
        readers: numbers(take(head.readers, 4)?),
        ends: numbers(take(head.readers, 4)?),
        reads: numbers(take(head.reads, 4)?),
        action_keys: keys_in(keys),
        name_keys,
        places,
    };
    (left.is_empty() && touches.is_sound()).then_some(touches)
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    each(bytes).collect()
}

/// The numbers in `bytes`, without a copy: fresh memory takes longer than to read them.
fn each(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four))
}

fn places_in(bytes: &[u8]) -> Vec<[u32; 4]> {
    let place = |bytes: &[u8; PLACE_BYTES]| {
        let parts = bytes.as_chunks::<4>().0;
        std::array::from_fn(|part| u32::from_le_bytes(parts[part]))
    };
    bytes.as_chunks::<PLACE_BYTES>().0.iter().map(place).collect()
}

fn keys_in(bytes: &[u8]) -> Vec<Key> {
    bytes.as_chunks::<KEY_BYTES>().0.iter().map(|key| Key(*key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::batch::{BatchBuilder, assign};
    use crate::event::json;

    /// Touches of a few events with everything in them.
    fn touches() -> Touches {
        let mut drafts = BatchBuilder::default();
        let texts: Vec<String> = (0..40)
            .map(|n| {
                serde_json::json!({
                    "event_id": format!("e{n}"), "source": "crm", "environment": "production",
                    "event_type": (["action.proposed", "action.executed", "record.reviewed"][n % 3]),
                    "occurred_at": format!("2026-0{}-01T00:{:02}:00Z", 1 + n / 20, n % 20),
                    "action_id": format!("a{}", n / 3),
                    "system": "crm", "record_type": "lead", "record_id": format!("r{}", n % 7),
                    "outcome": "succeeded", "field": (["owner", "stage"][n % 2]), "source_seq": n,
                    "inputs": [{"system": "crm", "record_type": "lead", "record_id": format!("r{}", n % 5)}],
                })
                .to_string()
            })
            .collect();
        texts.iter().for_each(|text| drafts.append(&json::decode(text.as_bytes()).unwrap()));
        let clock = crate::clock::Clock::simulated(1_790_000_000_000_000, 1);
        let events = assign(&drafts.finish(), 1_000, 1_790_000_000_000_000, &clock).unwrap();
        let mut making = super::super::Making::default();
        (0..4).for_each(|n| making.add(&events.slice(n * 10, 10)).unwrap());
        making.finish().0
    }

    #[test]
    fn touches_are_read_back_as_they_were_written() {
        for touches in [touches(), Touches::default()] {
            assert!(touches.is_sound());
            let bytes = encode(&touches, Some(&Summary::default())).unwrap();
            assert_eq!(decode(&bytes).unwrap(), touches);
            assert_eq!(Head::parse(&bytes).unwrap().read_summary(&bytes), Some(Summary::default()));
            let bytes = encode(&touches, None).unwrap();
            assert_eq!(decode(&bytes).unwrap(), touches);
            assert_eq!(Head::parse(&bytes).unwrap().read_summary(&bytes), None);
        }
    }

    #[test]
    fn a_byte_that_changed_or_is_missing_is_noticed() {
        let whole = encode(&touches(), Some(&Summary::default())).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            assert_eq!(decode(&bytes), None, "byte {at}");
            assert_eq!(decode(&whole[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn what_spans_too_much_has_no_bytes() {
        let spans = |at: i64, seq: i64| {
            let rows = Touches { at: vec![-5, at], seqs: vec![3, seq], marks: vec![0; 2], ..Touches::default() };
            Touches { actions: vec![u32::MAX; 2], targets: vec![u32::MAX; 2], ..rows }
        };
        let widest = spans((1 << 48) - 6, (1 << 32) + 2);
        assert_eq!(decode(&encode(&widest, None).unwrap()).unwrap(), widest);
        assert_eq!(encode(&spans((1 << 48) - 5, 4), None), None);
        assert_eq!(encode(&spans(0, (1 << 32) + 3), None), None);
    }
}
