//! The frame of a review: the outputs that are judged, each once.
//!
//! In: items with id, stratum and weight, in any order. Out: the items sorted by id, their places, and the hash that a
//! plan names. Invariant: an id stands in it once, and its lines can be written without escapes, so that equal frames
//! have equal hashes. Pure.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::ledger::hash::hex;
use crate::limits::REVIEW_ITEMS;

/// The weight of an item that has none, in hundredths.
const UNWEIGHTED: u64 = 100;

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

/// The items of a review; the place of one is its number in the order of the ids, from 0.
#[derive(Debug, Clone)]
pub struct Frame {
    members: Vec<Member>,
    strata: Vec<(String, u64)>,
    value: u128,
    hash: String,
}

#[derive(Debug, Clone)]
struct Member {
    id: Box<str>,
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
        let mut members = Vec::new();
        for Item { id, stratum, weight } in items {
            check(&id, &stratum)?;
            if members.len() == REVIEW_ITEMS {
                return Err(Error::limit(format!(
                    "a frame has at most {REVIEW_ITEMS} items; narrow the predicate or the period"
                )));
            }
            let next = numbers.len() as u32;
            let stratum = match numbers.get(&stratum) {
                Some(known) => *known,
                None => *numbers.entry(stratum).or_insert(next),
            };
            members.push((head(&id), Member { id: id.into_boxed_str(), stratum, weight }));
        }
        // By the beginnings of the ids, which lie side by side in memory; the ids themselves do not.
        members.sort_unstable_by(|(a, left), (b, right)| a.cmp(b).then_with(|| left.id.cmp(&right.id)));
        if let Some([(_, twice), _]) =
            members.array_windows::<2>().find(|[(a, left), (b, right)]| a == b && left.id == right.id)
        {
            return Err(Error::invalid(format!("item `{}` is in the frame twice; list every output once", twice.id)));
        }
        if members.is_empty() {
            return Err(Error::invalid("the frame has no items; widen the predicate or wait for outputs"));
        }
        Ok(Self::numbered(members.into_iter().map(|(_, member)| member).collect(), numbers))
    }

    /// The strata in the order of their names instead of that of their first items.
    fn numbered(mut members: Vec<Member>, numbers: BTreeMap<String, u32>) -> Self {
        let mut places = vec![0_u32; numbers.len()];
        for (place, number) in (0..).zip(numbers.values()) {
            places[*number as usize] = place;
        }
        let mut strata: Vec<(String, u64)> = numbers.into_keys().map(|name| (name, 0)).collect();
        for member in &mut members {
            member.stratum = places[member.stratum as usize];
            strata[member.stratum as usize].1 += 1;
        }
        let value = members.iter().map(|member| u128::from(member.weight.unwrap_or(UNWEIGHTED))).sum();
        let mut frame = Self { members, strata, value, hash: String::new() };
        let (mut hash, mut line) = (Sha256::new(), String::new());
        for member in &frame.members {
            line.clear();
            frame.write_line(member, &mut line);
            hash.update(line.as_bytes());
        }
        frame.hash = hex(&hash.finalize());
        frame
    }

    /// Items in it; never 0.
    pub fn items(&self) -> usize {
        self.members.len()
    }

    /// The id of the item at `place`.
    pub fn id(&self, place: usize) -> &str {
        &self.members[place].id
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
        self.members.binary_search_by(|member| (*member.id).cmp(id)).ok()
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
        self.members.iter().map(move |member| {
            let mut line = String::new();
            self.write_line(member, &mut line);
            line
        })
    }

    /// Hexadecimal SHA-256 of the lines.
    pub fn hash(&self) -> String {
        self.hash.clone()
    }

    fn write_line(&self, member: &Member, line: &mut String) {
        line.push_str(&member.id);
        line.push('\t');
        line.push_str(&self.strata[member.stratum as usize].0);
        line.push('\t');
        match member.weight {
            None => line.push('1'),
            Some(hundredths) => line.push_str(&decimal(hundredths)),
        }
        line.push('\n');
    }
}

/// The first 16 bytes of an id as a number that orders as they do.
fn head(id: &str) -> u128 {
    id.bytes().chain(std::iter::repeat(0)).take(16).fold(0, |head, byte| (head << 8) | u128::from(byte))
}

fn check(id: &str, stratum: &str) -> Result<()> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::invalid(
            "an id of the frame is not of visible ASCII characters; give hexadecimal leaf hashes",
        ));
    }
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
