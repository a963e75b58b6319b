//! Names by key: what a name is called where its text would be too long to keep and to compare.
//!
//! In: a name. Out: the first 16 bytes of its SHA-256. Invariant: equal keys mean equal names; whoever wanted two names
//! of one key would have to try 2^64 of them. A key tells no name to who does not know it. It must not be made of a
//! value, which an erasure may have to remove.

use hashbrown::HashMap;
use sha2::{Digest, Sha256};

/// The key of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub(crate) [u8; Key::BYTES]);

impl Key {
    /// Bytes of a key.
    pub(crate) const BYTES: usize = 16;

    /// The key of `name`.
    pub fn of(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        Self(std::array::from_fn(|byte| digest[byte]))
    }
}

/// Keys by number, in the order in which they were met.
#[derive(Default)]
pub(super) struct Numbers {
    keys: Vec<Key>,
    numbers: HashMap<Key, u32>,
}

/// A file has to hold so many times as many keys as are sought before each of these is looked up in it.
const FEWER: usize = 16;

impl Numbers {
    /// The number of `key`, which it has from now on, and whether it had none before.
    pub(super) fn intern(&mut self, key: Key) -> (u32, bool) {
        let next = self.keys.len() as u32;
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.keys.push(key);
        }
        (number, number == next)
    }

    /// The key with this number.
    pub(super) fn key(&self, number: u32) -> Key {
        self.keys[number as usize]
    }

    /// For each of `keys`, which ascend, its number, or `missing`.
    pub(super) fn of_all(&self, keys: &[Key], missing: u32) -> Vec<u32> {
        if self.keys.len() * FEWER >= keys.len() {
            return keys.iter().map(|key| self.numbers.get(key).copied().unwrap_or(missing)).collect();
        }
        let mut numbers = vec![missing; keys.len()];
        for (number, key) in (0..).zip(&self.keys) {
            if let Ok(place) = keys.binary_search(key) {
                numbers[place] = number;
            }
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_beginning_of_a_sha256() {
        let hex: String = Key::of("abc").0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223");
    }

    #[test]
    fn few_and_many_known_keys_are_found_alike() {
        let mut keys: Vec<Key> = (0..100).map(|n| Key::of(&n.to_string())).collect();
        keys.sort_unstable();
        for known in [0, 1, 3, 60, 100] {
            let mut numbers = Numbers::default();
            for key in keys.iter().take(known) {
                assert_eq!(numbers.intern(*key), (numbers.keys.len() as u32 - 1, true));
            }
            let found = numbers.of_all(&keys, 7_000);
            let expected: Vec<u32> = (0..100).map(|n| if n < known as u32 { n } else { 7_000 }).collect();
            assert_eq!(found, expected, "{known}");
            assert!((0..known as u32).all(|n| numbers.intern(numbers.key(n)) == (n, false)));
        }
    }
}
