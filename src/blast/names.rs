//! Names by number: each text, each record once, and small numbers for everything that is compared often.
//!
//! In: texts of events. Out: numbers, and the texts again. Invariant: equal numbers mean equal texts; a hash only
//! ever says "not there", what is there is compared in full. It must not know what a name stands for.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

/// No text; as a field, the cell of the whole record.
pub const NONE: u32 = u32::MAX;
/// A text that has no number: nothing of interest is called so.
pub const STRANGE: u32 = u32::MAX - 1;

/// `system`, `record_type`, `record_id`, `field`, as far as they are set.
pub type Target<'a> = [Option<&'a str>; 4];

/// Place of `system` in a [`Target`].
pub const SYSTEM: usize = 0;
/// Place of `record_type` in a [`Target`].
pub const RECORD_TYPE: usize = 1;
/// Place of `record_id` in a [`Target`].
pub const RECORD_ID: usize = 2;
/// Place of `field` in a [`Target`].
pub const FIELD: usize = 3;

/// Places for words that were met lately.
const WORDS: usize = 256;

/// Texts by number, all of them in one piece of memory.
#[derive(Default)]
pub struct Texts {
    bytes: String,
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// By a few of its bytes, the number of the word met last; empty before the first.
    words: Vec<u32>,
}

impl Texts {
    /// The number of `text`, if it has one.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.numbers.find(self.hasher.hash_one(text), |number| self.get(*number) == text).copied()
    }

    /// The number of `text`, which it has from now on.
    pub fn intern(&mut self, text: &str) -> u32 {
        if let Some(number) = self.find(text) {
            return number;
        }
        let number = self.ends.len() as u32;
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
        let Self { bytes, ends, numbers, hasher, .. } = self;
        let (bytes, ends, hasher) = (&*bytes, &*ends, &*hasher);
        numbers.insert_unique(hasher.hash_one(text), number, |n| hasher.hash_one(text_at(bytes, ends, *n)));
        number
    }

    /// As [`find`](Self::find), sooner where `text` is one of few words that come again and again.
    pub fn find_word(&self, text: &str) -> Option<u32> {
        let met = word_place(text).and_then(|place| self.words.get(place).copied());
        met.filter(|number| self.get_some(*number) == Some(text)).or_else(|| self.find(text))
    }

    /// As [`intern`](Self::intern), sooner where `text` is one of few words that come again and again.
    pub fn intern_word(&mut self, text: &str) -> u32 {
        let Some(place) = word_place(text) else { return self.intern(text) };
        if self.words.is_empty() {
            self.words.resize(WORDS, NONE);
        }
        if self.get_some(self.words[place]) != Some(text) {
            self.words[place] = self.intern(text);
        }
        self.words[place]
    }

    /// How many texts have a number: the numbers below it.
    pub fn count(&self) -> u32 {
        self.ends.len() as u32
    }

    /// The text with this number.
    pub fn get(&self, number: u32) -> &str {
        text_at(&self.bytes, &self.ends, number)
    }

    /// The text with this number; none for [`NONE`].
    pub fn get_some(&self, number: u32) -> Option<&str> {
        (number != NONE).then(|| self.get(number))
    }
}

/// Where a word stands among those met lately; none for a text that is too short for one.
fn word_place(text: &str) -> Option<usize> {
    let [first, .., last] = text.as_bytes() else { return None };
    Some((usize::from(*first) * 31 + usize::from(*last) * 7 + text.len()) % WORDS)
}

fn text_at<'a>(bytes: &'a str, ends: &[usize], number: u32) -> &'a str {
    let at = number as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &bytes[start..ends[at]]
}

/// Records by number: a record is named by its id; a missing system or type is a name like any other.
#[derive(Default)]
pub struct Records {
    /// Names of systems, types, ids and fields.
    pub texts: Texts,
    parts: Vec<[u32; 3]>,
    numbers: HashMap<[u32; 3], u32>,
}

impl Records {
    /// The record of these numbers of texts, if it has a number.
    pub fn find(&self, parts: [u32; 3]) -> Option<u32> {
        self.numbers.get(&parts).copied()
    }

    /// The record that `target` names, if it has a number.
    pub fn find_named(&self, target: &Target<'_>) -> Option<u32> {
        // The id first: it is the part that nearly always is unknown.
        let id = self.texts.find(target[RECORD_ID]?)?;
        let part = |text: Option<&str>| text.map_or(Some(NONE), |text| self.texts.find_word(text));
        self.find([part(target[SYSTEM])?, part(target[RECORD_TYPE])?, id])
    }

    /// The number of the field of `target`: [`NONE`] for the whole record, [`STRANGE`] where it has none.
    pub fn find_field(&self, target: &Target<'_>) -> u32 {
        target[FIELD].map_or(NONE, |field| self.texts.find_word(field).unwrap_or(STRANGE))
    }

    /// The number of the record of these numbers of texts, which it has from now on.
    pub fn intern(&mut self, parts: [u32; 3]) -> u32 {
        let next = self.parts.len() as u32;
        let number = *self.numbers.entry(parts).or_insert(next);
        if number == next {
            self.parts.push(parts);
        }
        number
    }

    /// System, type and id of a record; empty where they are missing.
    pub fn name(&self, record: u32) -> [&str; 3] {
        self.parts[record as usize].map(|part| self.texts.get_some(part).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_and_a_number_one_text() {
        let mut texts = Texts::default();
        let words: Vec<String> = (0..500).map(|n| format!("word-{n}")).chain([String::new()]).collect();
        let numbers: Vec<u32> = words.iter().map(|word| texts.intern(word)).collect();
        for (word, number) in words.iter().zip(numbers) {
            assert_eq!(
                (texts.intern(word), texts.find(word), texts.get(number)),
                (number, Some(number), word.as_str())
            );
        }
        assert_eq!(texts.find("word-500"), None);
        let again: Vec<u32> = words.iter().chain(&words).map(|word| texts.intern_word(word)).collect();
        assert!(again.iter().zip(words.iter().chain(&words)).all(|(number, word)| texts.get(*number) == word));
        assert!(words.iter().all(|word| texts.find_word(word) == texts.find(word)));
        assert_eq!((texts.count(), texts.find_word("word-500"), texts.find_word("w")), (501, None, None));
        assert_eq!((texts.intern_word("alpha"), texts.intern_word("alpha")), (501, 501));
    }

    #[test]
    fn records_that_differ_in_one_part_are_two() {
        let mut records = Records::default();
        let [crm, erp, lead, id] = ["crm", "erp", "lead", "1"].map(|text| records.texts.intern(text));
        let first = records.intern([crm, lead, id]);
        assert_eq!(records.intern([crm, lead, id]), first);
        assert_ne!(records.intern([NONE, lead, id]), first);
        assert_eq!(records.find([erp, lead, id]), None);
        assert_eq!(records.find_named(&[Some("crm"), Some("lead"), Some("1"), None]), Some(first));
        assert_eq!(records.name(1), ["", "lead", "1"]);
    }
}
