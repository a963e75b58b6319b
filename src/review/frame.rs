//! The frame of a review: the outputs that are judged, each once.
//!
//! In: items with id, stratum and weight, in any order. Out: the items sorted by id, their places, and the hash that a
//! plan names. Invariant: an id stands in it once, and its lines can be written without escapes, so that equal frames
//! have equal hashes. Pure.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::event::Leaf;
use crate::ledger::hash::{hex, write_hex};
use crate::limits::REVIEW_ITEMS;

/// The weight of an item that has none, in hundredths.
const UNWEIGHTED: u64 = 100;
/// Bytes of lines that are hashed at once.
const HASHED_BYTES: usize = 64 * 1024;

/// An output that is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Lower-case hexadecimal leaf hash of its `action.proposed` event, else of its first event.
    pub id: String,
    /// What it is sampled among.
    pub stratum: String,
    /// The value at stake in hundredths; none in a review that does not weigh.
    pub weight: Option<u64>,
}

/// An output that is judged, by its leaf hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafItem {
    /// The leaf hash of its `action.proposed` event, else of its first event.
    pub leaf: Leaf,
    /// The number of what it is sampled among.
    pub stratum: u32,
    /// As [`Item::weight`].
    pub weight: Option<u64>,
}

/// The items of a review; the place of one is its number in the order of the ids, from 0.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The ids one behind the other: a million texts of their own would take longer to make than to hash.
    ids: String,
    members: Vec<Member>,
    strata: Vec<(String, u64)>,
    value: u128,
    hash: String,
}

#[derive(Debug, Clone)]
struct Member {
    /// Where its id ends, and the next one begins.
    end: usize,
    stratum: u32,
    weight: Option<u64>,
}

impl Frame {
    /// The frame of `items`.
    ///
    /// # Errors
    /// `Invalid` without items, for a repeated id, for an id that is not of visible ASCII characters or a stratum that
    /// is empty or has control characters; `Limit` for more than [`REVIEW_ITEMS`].
    pub fn new(items: impl IntoIterator<Item = Item>) -> Result<Self> {
        let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
        let mut known = Vec::new();
        for Item { id, stratum, weight } in items {
            check_id(&id)?;
            check_stratum(&id, &stratum)?;
            check_number(known.len() + 1)?;
            let next = numbers.len() as u32;
            let stratum = match numbers.get(&stratum) {
                Some(known) => *known,
                None => *numbers.entry(stratum).or_insert(next),
            };
            known.push((head(&id), id.into_boxed_str(), stratum, weight));
        }
        // By the beginnings of the ids, which lie side by side in memory; the ids themselves do not.
        known.sort_unstable_by(|(a, left, ..), (b, right, ..)| a.cmp(b).then_with(|| left.cmp(right)));
        if let Some([(_, id, ..), _]) = known.array_windows::<2>().find(|[a, b]| a.0 == b.0 && a.1 == b.1) {
            return Err(twice(id));
        }
        let names = numbers.into_iter().map(|(name, number)| (number, name)).collect();
        let mut ids = String::with_capacity(known.iter().map(|(_, id, ..)| id.len()).sum());
        let mut members = Vec::with_capacity(known.len());
        for (_, id, stratum, weight) in known {
            ids.push_str(&id);
            members.push(Member { end: ids.len(), stratum, weight });
        }
        Self::named(ids, members, names)
    }

    /// The frame of `items`, which are in the order of their leaf hashes; `name` gives the stratum of a number.
    ///
    /// # Errors
    /// As [`Frame::new`], and Internal for items in another order.
    pub fn of_leaves<'a>(items: &[LeafItem], name: impl Fn(u32) -> &'a str) -> Result<Self> {
        check_number(items.len())?;
        if let Some([a, b]) = items.array_windows::<2>().find(|[a, b]| a.leaf >= b.leaf) {
            let unsorted = Error::internal("the outputs of a review are not in the order of their leaf hashes");
            return Err(if a.leaf == b.leaf { twice(&hex(&a.leaf)) } else { unsorted });
        }
        let used: BTreeSet<u32> = items.iter().map(|item| item.stratum).collect();
        let names: BTreeMap<u32, String> = used.into_iter().map(|number| (number, name(number).to_owned())).collect();
        for (number, name) in &names {
            let Some(first) = items.iter().find(|item| item.stratum == *number) else { continue };
            check_stratum(&hex(&first.leaf), name)?;
        }
        let mut ids = String::with_capacity(items.iter().map(|item| 2 * item.leaf.len()).sum());
        let mut members = Vec::with_capacity(items.len());
        for item in items {
            write_hex(&item.leaf, &mut ids);
            members.push(Member { end: ids.len(), stratum: item.stratum, weight: item.weight });
        }
        Self::named(ids, members, names)
    }

    /// The frame of `members`, by id, whose strata get their places in the order of their names.
    fn named(ids: String, mut members: Vec<Member>, names: BTreeMap<u32, String>) -> Result<Self> {
        if members.is_empty() {
            return Err(Error::invalid("the frame has no items; widen the predicate or wait for outputs"));
        }
        let sorted: BTreeSet<&String> = names.values().collect();
        let mut strata: Vec<(String, u64)> = sorted.into_iter().map(|name| (name.clone(), 0)).collect();
        let place = |name: &String| strata.partition_point(|(known, _)| known < name) as u32;
        let places: BTreeMap<u32, u32> = names.iter().map(|(number, name)| (*number, place(name))).collect();
        for member in &mut members {
            member.stratum = places[&member.stratum];
            strata[member.stratum as usize].1 += 1;
        }
        let value = members.iter().map(|member| u128::from(member.weight.unwrap_or(UNWEIGHTED))).sum();
        let mut frame = Self { ids, members, strata, value, hash: String::new() };
        let (mut hash, mut lines) = (Sha256::new(), String::with_capacity(HASHED_BYTES));
        for place in 0..frame.items() {
            frame.write_line(place, &mut lines);
            if lines.len() > HASHED_BYTES {
                hash.update(lines.as_bytes());
                lines.clear();
            }
        }
        hash.update(lines.as_bytes());
        frame.hash = hex(&hash.finalize());
        Ok(frame)
    }

    /// Items in it; never 0.
    pub fn items(&self) -> usize {
        self.members.len()
    }

    /// The id of the item at `place`.
    pub fn id(&self, place: usize) -> &str {
        let from = place.checked_sub(1).map_or(0, |before| self.members[before].end);
        &self.ids[from..self.members[place].end]
    }

    /// The stratum of the item at `place`, as its place in [`Frame::strata`].
    pub fn stratum(&self, place: usize) -> usize {
        self.members[place].stratum as usize
    }

    /// The weight of the item at `place` in hundredths; that of an unweighted one is 1.
    pub fn weight(&self, place: usize) -> u64 {
        self.members[place].weight.unwrap_or(UNWEIGHTED)
    }

    /// The place of the item `id`.
    pub fn place(&self, id: &str) -> Option<usize> {
        let (mut from, mut to) = (0, self.items());
        while from < to {
            let middle = from + (to - from) / 2;
            match self.id(middle).cmp(id) {
                Ordering::Less => from = middle + 1,
                Ordering::Greater => to = middle,
                Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// Names and sizes of the strata, by name.
    pub fn strata(&self) -> &[(String, u64)] {
        &self.strata
    }

    /// The sum of all weights in hundredths.
    pub fn value(&self) -> u128 {
        self.value
    }

    /// The lines `id`, `stratum`, `weight` with tabs between them, by id: what is hashed, and what an outsider needs.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.items()).map(move |place| {
            let mut line = String::new();
            self.write_line(place, &mut line);
            line
        })
    }

    /// Hexadecimal SHA-256 of the lines.
    pub fn hash(&self) -> String {
        self.hash.clone()
    }

    /// Appends the line of the item at `place`.
    fn write_line(&self, place: usize, lines: &mut String) {
        let member = &self.members[place];
        lines.push_str(self.id(place));
        lines.push('\t');
        lines.push_str(&self.strata[member.stratum as usize].0);
        lines.push('\t');
        match member.weight {
            None => lines.push('1'),
            Some(hundredths) => lines.push_str(&decimal(hundredths)),
        }
        lines.push('\n');
    }
}

/// The first 16 bytes of an id as a number that orders as they do.
fn head(id: &str) -> u128 {
    id.bytes().chain(std::iter::repeat(0)).take(16).fold(0, |head, byte| (head << 8) | u128::from(byte))
}

fn twice(id: &str) -> Error {
    Error::invalid(format!("item `{id}` is in the frame twice; list every output once"))
}

fn check_number(items: usize) -> Result<()> {
    if items <= REVIEW_ITEMS {
        return Ok(());
    }
    Err(Error::limit(format!("a frame has at most {REVIEW_ITEMS} items; narrow the predicate or the period")))
}

fn check_id(id: &str) -> Result<()> {
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::invalid("an id of the frame is not of visible ASCII characters; give hexadecimal leaf hashes"))
}

fn check_stratum(id: &str, stratum: &str) -> Result<()> {
    if stratum.is_empty() || stratum.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "the stratum of item `{id}` is empty or has control characters; name what it is sampled among"
        )));
    }
    Ok(())
}

/// Hundredths as a decimal number with two places.
pub fn decimal(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The hundredths of a decimal number of two places at most, without a sign; `None` for anything else.
pub fn hundredths(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "00"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 2 {
        return None;
    }
    let decimals: u64 = format!("{decimals:0<2}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, stratum: &str, weight: Option<u64>) -> Item {
        Item { id: id.into(), stratum: stratum.into(), weight }
    }

    fn three() -> Vec<Item> {
        vec![item("b2", "z", None), item("a1", "a b", Some(1_250)), item("c3", "z", Some(5))]
    }

    #[test]
    fn the_hash_is_that_of_the_sorted_lines() {
        let frame = Frame::new(three()).unwrap();
        let text: String = frame.lines().collect();
        assert_eq!(text, "a1\ta b\t12.50\nb2\tz\t1\nc3\tz\t0.05\n");
        assert_eq!(frame.hash(), hex(&Sha256::digest(text.as_bytes())));
        let mut turned = three();
        turned.reverse();
        assert_eq!(Frame::new(turned).unwrap().hash(), frame.hash());
    }

    #[test]
    fn places_strata_and_weights_are_those_of_the_items() {
        let frame = Frame::new(three()).unwrap();
        assert_eq!((frame.items(), frame.value()), (3, 1_355));
        assert_eq!(frame.strata(), [("a b".to_owned(), 1), ("z".to_owned(), 2)]);
        assert_eq!((frame.place("b2"), frame.place("b3")), (Some(1), None));
        assert_eq!((frame.id(1), frame.stratum(1), frame.weight(1)), ("b2", 1, 100));
    }

    #[test]
    fn by_leaf_hashes_the_frame_is_the_same() {
        // Two numbers may have one name: it is one stratum.
        let names = ["z", "a b", "z"];
        let item_of = |i: u32| LeafItem { leaf: [i as u8; 32], stratum: i % 3, weight: Some(u64::from(i)) };
        let items: Vec<LeafItem> = (0..9).map(item_of).collect();
        let frame = Frame::of_leaves(&items, |number| names[number as usize]).unwrap();
        let told = items.iter().map(|i| item(&hex(&i.leaf), names[i.stratum as usize], i.weight));
        let other = Frame::new(told).unwrap();
        assert_eq!((frame.hash(), frame.strata(), frame.value()), (other.hash(), other.strata(), other.value()));
        for place in 0..9 {
            assert_eq!(frame.place(frame.id(place)), Some(place));
            assert_eq!((frame.id(place), frame.stratum(place)), (other.id(place), other.stratum(place)));
        }
        let refused = |items: &[LeafItem], name: &'static str| {
            Frame::of_leaves(items, |_| name).unwrap_err().message().to_owned()
        };
        assert!(refused(&[], "s").contains("no items"));
        assert!(refused(&[items[1], items[1]], "s").contains("twice"));
        assert!(refused(&[items[1], items[0]], "s").contains("order"));
        assert!(refused(&items, "x\ty").contains(&hex(&items[0].leaf)));
    }

    #[test]
    fn an_item_counts_once() {
        let error = Frame::new([item("a", "s", None), item("b", "s", None), item("a", "t", None)]).unwrap_err();
        assert!(error.message().contains("`a` is in the frame twice"), "{error}");
    }

    #[test]
    fn what_cannot_be_written_in_a_line_is_refused() {
        for (id, stratum) in [("", "s"), ("a b", "s"), ("a\n", "s"), ("é", "s"), ("a", ""), ("a", "x\ty"), ("a", "x\n")]
        {
            assert!(Frame::new([item(id, stratum, None)]).is_err(), "{id:?} {stratum:?}");
        }
        assert!(Frame::new([]).is_err());
    }

    #[test]
    fn hundredths_are_read_as_they_are_written() {
        for number in [0, 5, 99, 100, 1_250, u64::MAX] {
            assert_eq!(hundredths(&decimal(number)), Some(number));
        }
        assert_eq!((hundredths("3"), hundredths("3.5")), (Some(300), Some(350)));
        for text in ["", ".5", "3.", "-1", "+1", "1.234", "1e3", "99999999999999999999"] {
            assert_eq!(hundredths(text), None, "{text}");
        }
    }
}
