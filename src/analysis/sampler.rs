//! Random order that anyone can repeat: tickets of items, and units of value.
//!
//! In: a seed as the hexadecimal digits of its SHA-256, ids. Out: the ticket of an id by Rivest's consistent sampling
//! (consistent_sampler, 2018), and the unit of value that a draw hits. The ticket depends on seed and id alone: a
//! larger frame keeps the order of a smaller one, and strata are extended without regard to one another. Invariant:
//! SHA-256 and whole numbers are all there is; no library's random numbers. Pure.

use std::cmp::Ordering;

use sha2::{Digest, Sha256};

/// Digits of a ticket at least: numbers that begin with many zeros are padded to so many.
const LEAST_DIGITS: usize = 64;

/// 10^19, the largest power of ten in 64 bits.
const GROUP: u64 = 10_000_000_000_000_000_000;
/// Digits below it.
const GROUP_DIGITS: usize = 19;
/// Groups that hold 256 bits, which are 78 digits at most.
const GROUPS: usize = 5;

/// The hexadecimal digits of the SHA-256 of `text`, lower-case.
pub fn seed_hash(text: &str) -> String {
    crate::ledger::hash::sha256(text)
}

/// The tickets of one seed.
#[derive(Clone)]
pub struct Tickets {
    /// All that is hashed before an id.
    seeded: Sha256,
}

impl Tickets {
    /// Those of the seed with the hash `seed_hash`.
    pub fn new(seed_hash: &str) -> Self {
        let mut seeded = Sha256::new();
        seeded.update(seed_hash.as_bytes());
        Self { seeded }
    }

    /// The ticket of `id`: `0.` and the decimal digits of SHA-256(seed hash || id), the last one first.
    pub fn ticket(&self, id: &str) -> String {
        let mut rest = self.number(id);
        let mut digits = Vec::with_capacity(GROUPS * GROUP_DIGITS);
        for _ in 0..GROUPS {
            let mut group = divide(&mut rest);
            for _ in 0..GROUP_DIGITS {
                digits.push(b'0' + (group % 10) as u8);
                group /= 10;
            }
        }
        let significant = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        digits.truncate(significant.max(LEAST_DIGITS));
        let mut ticket = String::from("0.");
        ticket.extend(digits.into_iter().map(char::from));
        ticket
    }

    /// The first 19 digits of the ticket of `id`, as a number: tickets that differ in it are ordered by it.
    pub fn head(&self, id: &str) -> u64 {
        let mut group = self.number(id).iter().rev().fold(0, |rest, limb| remainder(rest, *limb).1);
        let mut head = 0;
        for _ in 0..GROUP_DIGITS {
            head = head * 10 + group % 10;
            group /= 10;
        }
        head
    }

    /// The order of two ids that have the same [`Tickets::head`]: by their tickets, then by the ids.
    pub fn order(&self, a: &str, b: &str) -> Ordering {
        self.ticket(a).cmp(&self.ticket(b)).then_with(|| a.cmp(b))
    }

    /// SHA-256(seed hash || id) as a number, the least significant 64 bits first.
    fn number(&self, id: &str) -> [u64; 4] {
        let mut hash = self.seeded.clone();
        hash.update(id.as_bytes());
        let bytes: [u8; 32] = hash.finalize().into();
        limbs(&bytes)
    }
}

/// The ticket of `id` under the seed with the hash `seed_hash`.
pub fn ticket(seed_hash: &str, id: &str) -> String {
    Tickets::new(seed_hash).ticket(id)
}

/// The unit of a total `value` that draw number `draw`, counted from 1, hits: 0..`value`; `None` when that is 0.
///
/// For t = 0, 1, … the first 128 bits of SHA-256(`mus/v1\n<seed hash>\n<draw>\n<t>`), until they lie below the largest
/// multiple of `value` that 128 bits can count, so that every unit is exactly as likely as any other.
pub fn unit(seed_hash: &str, draw: u64, value: u128) -> Option<u128> {
    if value == 0 {
        return None;
    }
    // 2^128 itself does not fit: what is left over when it is divided by the value.
    let left_over = (u128::MAX % value + 1) % value;
    (0_u64..).find_map(|t| {
        let hash: [u8; 32] = Sha256::digest(format!("mus/v1\n{seed_hash}\n{draw}\n{t}").as_bytes()).into();
        let [_, _, low, high] = limbs(&hash);
        let bits = u128::from(high) << 64 | u128::from(low);
        (bits <= u128::MAX - left_over).then_some(bits % value)
    })
}

/// A number of 256 bits, the most significant byte first, in 64-bit parts, the least significant first.
fn limbs(bytes: &[u8; 32]) -> [u64; 4] {
    let part = |i: usize| bytes[24 - 8 * i..32 - 8 * i].iter().fold(0, |part, byte| part << 8 | u64::from(*byte));
    [0, 1, 2, 3].map(part)
}

/// Divides the number by 10^19 and gives the rest.
fn divide(number: &mut [u64; 4]) -> u64 {
    let mut rest = 0;
    for limb in number.iter_mut().rev() {
        (*limb, rest) = remainder(rest, *limb);
    }
    rest
}

/// The quotient of `rest` 2^64 + `limb` and 10^19, and the new rest; `rest` is below 10^19.
fn remainder(rest: u64, limb: u64) -> (u64, u64) {
    let part = u128::from(rest) << 64 | u128::from(limb);
    ((part / u128::from(GROUP)) as u64, (part % u128::from(GROUP)) as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::analysis::testing::cases;

    const VECTORS: &str = include_str!("../../tests/fixtures/stats/rivest_sampler.json");

    fn text(value: &Value) -> &str {
        value.as_str().unwrap()
    }

    /// `0.` and the reversed digits of SHA-256(text): the ticket of an empty id.
    fn uniform(text: &str) -> String {
        ticket(text, "")
    }

    /// The ticket that follows `ticket` when items are drawn with replacement; no part of a review.
    fn next(ticket: &str) -> String {
        let nines: String = ticket[2..].chars().take_while(|digit| *digit == '9').collect();
        let at_least = format!("{ticket}0");
        let next = |i: u32| format!("0.{nines}{}", &uniform(&format!("{ticket}:{i}"))[2..]);
        (1..).map(next).find(|next| *next > at_least).unwrap()
    }

    /// `digits` digits after the leading nines.
    fn trim(ticket: &str, digits: usize) -> String {
        let nines = ticket[2..].chars().take_while(|digit| *digit == '9').count();
        ticket.chars().take(2 + nines + digits).collect()
    }

    #[test]
    fn documented_values_are_reproduced() {
        for case in cases(VECTORS, "doc") {
            let got = match text(&case["fn"]) {
                "sha256_hex" => seed_hash(text(&case["input"])),
                "sha256_uniform" => uniform(text(&case["input"])),
                "first_fraction" => ticket(&seed_hash(text(&case["seed"])), text(&case["id"])),
                "next_fraction" => next(text(&case["input"])),
                "trim" => trim(text(&case["input"]), case["digits"].as_u64().unwrap() as usize),
                other => panic!("{other} is not known"),
            };
            assert_eq!(got, text(&case["out"]), "{case}");
        }
    }

    #[test]
    fn corner_cases_and_short_numbers_are_reproduced() {
        let (corners, short) = (cases(VECTORS, "corners"), cases(VECTORS, "short_decimal"));
        assert!(corners.len() >= 11 && short.len() >= 5);
        for case in corners {
            assert_eq!(seed_hash(text(&case["seed"])), text(&case["seed_hash"]), "{case}");
            assert_eq!(ticket(text(&case["seed_hash"]), text(&case["id"])), text(&case["ticket"]), "{case}");
        }
        for case in short {
            assert_eq!(uniform(text(&case["hash_input"])), text(&case["uniform"]), "{case}");
        }
    }

    /// Draws `count` tickets of all generations, or of the first one.
    fn draw(seed: &str, ids: &[String], is_repeated: bool, count: usize) -> Vec<(String, String, u64)> {
        let tickets = Tickets::new(&seed_hash(seed));
        let mut open: Vec<(String, String, u64)> = ids.iter().map(|id| (tickets.ticket(id), id.clone(), 1)).collect();
        let mut drawn = Vec::new();
        while drawn.len() < count && !open.is_empty() {
            open.sort_by(|a, b| b.cmp(a));
            let (ticket, id, generation) = open.pop().unwrap();
            if is_repeated {
                open.push((next(&ticket), id.clone(), generation + 1));
            }
            drawn.push((ticket, id, generation));
        }
        drawn
    }

    fn ids(value: &Value) -> Vec<String> {
        value.as_array().unwrap().iter().map(|id| text(id).to_owned()).collect()
    }

    #[test]
    fn published_samples_are_reproduced() {
        for case in cases(VECTORS, "published") {
            let (seed, is_repeated) = (text(&case["seed"]), case["with_replacement"].as_bool().unwrap());
            if let Some(order) = case["order"].as_array() {
                let drawn = draw(seed, &ids(&case["ids"]), is_repeated, order.len());
                assert_eq!(drawn.into_iter().map(|(_, id, _)| id).collect::<Vec<_>>(), ids(&case["order"]), "{case}");
                continue;
            }
            let want = case["tickets"].as_array().unwrap();
            let drawn = draw(seed, &ids(&case["ids"]), is_repeated, want.len());
            assert_eq!(drawn.len(), want.len());
            for ((ticket, id, generation), want) in drawn.iter().zip(want) {
                assert_eq!(trim(ticket, 9), text(&want[0]), "{case}");
                assert_eq!((id.as_str(), Some(*generation)), (text(&want[1]), want[2].as_u64()), "{case}");
            }
        }
    }

    #[test]
    fn the_sample_of_an_election_audit_is_reproduced() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let arlo = &vectors["arlo"];
        let batches = (1..=4).flat_map(|batch| (1..=25).map(move |i| format!("('pct {batch}', {i})")));
        let want = arlo["tickets"].as_array().unwrap();
        let drawn = draw(text(&arlo["seed"]), &batches.collect::<Vec<_>>(), true, want.len());
        for ((ticket, id, generation), want) in drawn.iter().zip(want) {
            assert_eq!(trim(ticket, 18), text(&want[0]));
            assert_eq!((id.as_str(), Some(*generation)), (text(&want[1]), want[2].as_u64()));
        }
    }

    /// Sorted by head as a review sorts, and by the whole ticket.
    #[test]
    fn the_order_of_two_thousand_ids_is_reproduced() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let tickets = Tickets::new(&seed_hash(text(&vectors["big"]["seed"])));
        let mut sorted: Vec<String> = (0..2_000).map(|i| format!("item-{i:05}")).collect();
        sorted.sort_by(|a, b| tickets.head(a).cmp(&tickets.head(b)).then_with(|| tickets.order(a, b)));
        assert_eq!(sorted[..20], ids(&vectors["big"]["first20"]));
        assert_eq!(seed_hash(&sorted.join("\n")), text(&vectors["big"]["sha256_of_full_order"]));
        assert!(sorted.windows(2).all(|pair| tickets.ticket(&pair[0]) < tickets.ticket(&pair[1])));
    }

    #[test]
    fn a_head_is_the_first_digits_of_its_ticket() {
        let tickets = Tickets::new(&seed_hash("heads"));
        for i in 0..500 {
            let id = i.to_string();
            assert_eq!(format!("{:019}", tickets.head(&id)), tickets.ticket(&id)[2..21]);
        }
    }

    #[test]
    fn units_are_those_of_the_bits_and_every_unit_is_drawn() {
        let hash = seed_hash("value");
        let first: [u8; 32] = Sha256::digest(format!("mus/v1\n{hash}\n1\n0").as_bytes()).into();
        let bits = u128::from_be_bytes(first[..16].try_into().unwrap());
        assert_eq!((unit(&hash, 1, 1_000), unit(&hash, 1, 1), unit(&hash, 1, 0)), (Some(bits % 1_000), Some(0), None));
        let mut seen = [0_u32; 7];
        for draw in 1..=7_000 {
            seen[unit(&hash, draw, 7).unwrap() as usize] += 1;
        }
        assert!(seen.iter().all(|count| (850..1_150).contains(count)), "{seen:?}");
    }

    /// With a value of just over half of 2^128 every second number is thrown away.
    #[test]
    fn numbers_past_the_last_multiple_are_drawn_again() {
        let hash = seed_hash("large");
        let value = (1_u128 << 127) + 1;
        let again = (1..=200).filter(|draw| {
            let first: [u8; 32] = Sha256::digest(format!("mus/v1\n{hash}\n{draw}\n0").as_bytes()).into();
            let bits = u128::from_be_bytes(first[..16].try_into().unwrap());
            let drawn = unit(&hash, *draw, value).unwrap();
            assert!(drawn < value && (bits >= value || drawn == bits));
            bits >= value
        });
        assert!((60..140).contains(&again.count()));
    }
}
