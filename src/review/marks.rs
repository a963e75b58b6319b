//! Marks and what they come to for each item.
//!
//! In: the marks of a review in the order of the log, and the items whose evidence cannot be produced. Out: one
//! verdict an item. Invariant: a mark is never edited, a later one supersedes it; what somebody called incorrect is
//! correct only by somebody else, who never called it so; a worse mark never makes a verdict better. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::frame::hundredths;
use crate::error::{Error, Result};

/// What `review.marked` states in `extra`; the column `reviewer` says by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The id of the item.
    pub item: String,
    /// What the reviewer says of it.
    pub mark: Word,
    /// Of a claim by value: how much of the item's value is wrong, a decimal number; all of it where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong_amount: Option<String>,
}

/// What a reviewer says of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It is right.
    Correct,
    /// It is wrong.
    Incorrect,
    /// Somebody else has to say; counts as wrong until then.
    Escalate,
}

impl Mark {
    /// Checks what a mark can be checked for by itself.
    ///
    /// # Errors
    /// `Invalid` for an amount that is no decimal number above 0, or that belongs to a mark other than incorrect.
    pub fn check(&self) -> Result<()> {
        let Some(amount) = &self.wrong_amount else { return Ok(()) };
        if self.mark != Word::Incorrect {
            return Err(Error::invalid(
                "a wrong amount is given for an item that is not marked incorrect; leave it out",
            ));
        }
        match hundredths(amount) {
            Some(1..) => Ok(()),
            Some(0) => Err(Error::invalid("the wrong amount is 0, which is not incorrect; give what is wrong")),
            None => Err(Error::invalid("the wrong amount is no decimal number of two places; give e.g. 12.50")),
        }
    }

    /// The wrong amount in hundredths; none when all is wrong.
    fn amount(&self) -> Option<u64> {
        self.wrong_amount.as_deref().and_then(hundredths)
    }
}

/// A mark with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The event.
    pub seq: i64,
    /// By whom.
    pub reviewer: String,
    /// What it states.
    pub mark: Mark,
}

/// What an item's marks come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How it stands.
    pub standing: Standing,
    /// Who marked it, in the order of their first marks.
    pub reviewers: Vec<String>,
    /// Who made an incorrect or an escalated item a correct one; printed with the result.
    pub cleared_by: Option<String>,
    /// Marks of correct that did not count, because they were by someone who had called the item incorrect.
    pub refused: u64,
    /// How much of its value is wrong, in hundredths; none when all of it is.
    pub wrong_amount: Option<u64>,
}

/// How an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Not yet marked by as many reviewers as the plan asks.
    Open,
    /// Right.
    Correct,
    /// Wrong.
    Incorrect,
    /// Counts as wrong until somebody says.
    Escalated,
    /// Counts as wrong: nobody can tell.
    WithoutEvidence,
}

/// The verdict of each item that has a mark or no evidence.
///
/// With one reviewer an item, the last mark counts. With two, the first two who mark an item are its reviewers and
/// each has a mark; it is incorrect if either says so, until a third person, who marks after both, clears it. Where
/// both say so, a third cannot. A third who says incorrect makes it so.
pub fn verdicts(
    marked: &[Marked],
    reviewers_per_item: u64,
    without_evidence: &BTreeSet<String>,
) -> BTreeMap<String, Verdict> {
    let mut in_order: Vec<&Marked> = marked.iter().collect();
    in_order.sort_by_key(|marked| marked.seq);
    let mut sheets: BTreeMap<&str, Sheet<'_>> = BTreeMap::new();
    for Marked { reviewer, mark, .. } in in_order {
        sheets.entry(&mark.item).or_insert_with(|| Sheet::new(reviewers_per_item)).mark(reviewer, mark);
    }
    let mut verdicts: BTreeMap<String, Verdict> =
        sheets.into_iter().map(|(item, sheet)| (item.to_owned(), sheet.verdict())).collect();
    for item in without_evidence {
        let unmarked = || Sheet::new(reviewers_per_item).verdict();
        let verdict = verdicts.entry(item.clone()).or_insert_with(unmarked);
        (verdict.standing, verdict.wrong_amount) = (Standing::WithoutEvidence, None);
    }
    verdicts
}

/// The marks of one item.
struct Sheet<'a> {
    /// One for each reviewer that the plan asks for, and a last one that whoever comes after shares.
    slots: Vec<Slot<'a>>,
    reviewers: Vec<&'a str>,
    refused: u64,
}

/// A mark that stands, and who may no longer make it a correct one.
#[derive(Default)]
struct Slot<'a> {
    standing: Option<Word>,
    by: Option<&'a str>,
    refusers: BTreeSet<&'a str>,
    amount: Option<u64>,
    cleared_by: Option<&'a str>,
}

impl<'a> Sheet<'a> {
    fn new(reviewers_per_item: u64) -> Self {
        let slots = if reviewers_per_item >= 2 { 3 } else { 1 };
        Self { slots: (0..slots).map(|_| Slot::default()).collect(), reviewers: Vec::new(), refused: 0 }
    }

    fn mark(&mut self, reviewer: &'a str, mark: &Mark) {
        let known = self.reviewers.iter().position(|known| *known == reviewer);
        let number = known.unwrap_or(self.reviewers.len());
        if known.is_none() {
            self.reviewers.push(reviewer);
        }
        let last = self.slots.len() - 1;
        let place = number.min(last);
        self.refused += u64::from(!self.slots[place].mark(reviewer, mark));
        // What a third person cleared was not this.
        let third = &mut self.slots[last];
        if place < last && mark.mark != Word::Correct && third.standing == Some(Word::Correct) {
            third.standing = None;
        }
    }

    fn verdict(&self) -> Verdict {
        let (standing, cleared_by) = match self.slots.as_slice() {
            [first, second, third] => both(first, second, third),
            [only, ..] => (only.standing.map_or(Standing::Open, of_word), only.cleared_by),
            [] => (Standing::Open, None),
        };
        let is_wrong = |slot: &&Slot<'a>| slot.standing == Some(Word::Incorrect);
        let amount = self.slots.iter().filter(is_wrong).map(|slot| slot.amount).reduce(larger).flatten();
        Verdict {
            standing,
            reviewers: self.reviewers.iter().map(|reviewer| (*reviewer).to_owned()).collect(),
            cleared_by: cleared_by.filter(|_| standing == Standing::Correct).map(str::to_owned),
            refused: self.refused,
            wrong_amount: amount.filter(|_| standing == Standing::Incorrect),
        }
    }
}

impl<'a> Slot<'a> {
    /// Takes a mark; false when it does not count.
    fn mark(&mut self, reviewer: &'a str, mark: &Mark) -> bool {
        let stood = self.standing;
        match mark.mark {
            Word::Incorrect => {
                let is_repeated = !self.refusers.insert(reviewer) && stood == Some(Word::Incorrect);
                // Nobody makes less of what they called wrong.
                self.amount = if is_repeated { larger(self.amount, mark.amount()) } else { mark.amount() };
            }
            Word::Escalate if stood == Some(Word::Incorrect) => return true,
            Word::Escalate => {}
            Word::Correct if self.refusers.contains(reviewer) => return false,
            Word::Correct => {}
        }
        self.cleared_by = match (stood, mark.mark) {
            (Some(Word::Incorrect | Word::Escalate), Word::Correct) => Some(reviewer),
            (_, Word::Correct) => self.cleared_by,
            _ => None,
        };
        (self.standing, self.by) = (Some(mark.mark), Some(reviewer));
        true
    }
}

/// The larger of two wrong amounts, none of which is all of the value.
fn larger(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.zip(b).map(|(a, b)| a.max(b))
}

/// What two reviewers and a third come to, and who cleared it.
fn both<'a>(first: &Slot<'a>, second: &Slot<'a>, third: &Slot<'a>) -> (Standing, Option<&'a str>) {
    let (Some(a), Some(b)) = (first.standing, second.standing) else { return (Standing::Open, None) };
    let worse = |a: Word, b: Word| if a == Word::Incorrect || b == Word::Correct { a } else { b };
    match (third.standing, worse(a, b)) {
        (None, Word::Correct) => (Standing::Correct, first.cleared_by.or(second.cleared_by)),
        (Some(Word::Correct), Word::Correct) => (Standing::Correct, third.cleared_by),
        (Some(Word::Correct), _) if (a, b) != (Word::Incorrect, Word::Incorrect) => (Standing::Correct, third.by),
        (None | Some(Word::Correct), word) => (of_word(word), None),
        (Some(other), word) => (of_word(worse(other, word)), None),
    }
}

fn of_word(word: Word) -> Standing {
    match word {
        Word::Correct => Standing::Correct,
        Word::Incorrect => Standing::Incorrect,
        Word::Escalate => Standing::Escalated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(marks: &[(&str, Word)]) -> Vec<Marked> {
        let one = |(seq, (reviewer, word)): (i64, &(&str, Word))| Marked {
            seq,
            reviewer: (*reviewer).to_owned(),
            mark: Mark { item: "i".into(), mark: *word, wrong_amount: None },
        };
        (0..).zip(marks).map(one).collect()
    }

    fn verdict(reviewers_per_item: u64, marks: &[(&str, Word)]) -> Verdict {
        verdicts(&marked(marks), reviewers_per_item, &BTreeSet::new()).remove("i").unwrap()
    }

    use Word::{Correct, Escalate, Incorrect};

    #[test]
    fn a_later_mark_supersedes() {
        assert_eq!(verdict(1, &[("ann", Correct)]).standing, Standing::Correct);
        assert_eq!(verdict(1, &[("ann", Correct), ("bob", Incorrect)]).standing, Standing::Incorrect);
        assert_eq!(verdict(1, &[("ann", Correct), ("ann", Escalate)]).standing, Standing::Escalated);
        assert_eq!(verdict(1, &[("ann", Escalate), ("ann", Correct)]).standing, Standing::Correct);
    }

    #[test]
    fn incorrect_becomes_correct_only_by_a_second_reviewer_who_is_named() {
        let own = verdict(1, &[("ann", Incorrect), ("ann", Correct)]);
        assert_eq!((own.standing, own.cleared_by, own.refused), (Standing::Incorrect, None, 1));
        let detour = verdict(1, &[("ann", Incorrect), ("ann", Escalate), ("ann", Correct)]);
        assert_eq!((detour.standing, detour.refused), (Standing::Incorrect, 1));
        let other = verdict(1, &[("ann", Incorrect), ("bob", Correct)]);
        assert_eq!((other.standing, other.cleared_by.as_deref(), other.refused), (Standing::Correct, Some("bob"), 0));
        let again = verdict(1, &[("ann", Incorrect), ("bob", Correct), ("bob", Incorrect), ("ann", Correct)]);
        assert_eq!((again.standing, again.refused), (Standing::Incorrect, 1));
    }

    #[test]
    fn marks_count_in_the_order_of_the_log() {
        let mut turned = marked(&[("ann", Incorrect), ("bob", Correct)]);
        turned.reverse();
        assert_eq!(verdicts(&turned, 1, &BTreeSet::new())["i"].standing, Standing::Correct);
    }

    #[test]
    fn two_reviewers_are_needed_and_a_third_clears_one_of_them() {
        let two = |marks: &[(&str, Word)]| verdict(2, marks).standing;
        assert_eq!(two(&[("ann", Correct)]), Standing::Open);
        assert_eq!(two(&[("ann", Correct), ("ann", Correct)]), Standing::Open);
        assert_eq!(two(&[("ann", Correct), ("bob", Correct)]), Standing::Correct);
        let differ = [("ann", Correct), ("bob", Incorrect)];
        assert_eq!(two(&differ), Standing::Incorrect);
        assert_eq!(two(&[differ[0], differ[1], ("bob", Correct)]), Standing::Incorrect);
        assert_eq!(two(&[differ[0], differ[1], ("ann", Correct)]), Standing::Incorrect);
        let cleared = verdict(2, &[differ[0], differ[1], ("cy", Correct)]);
        assert_eq!((cleared.standing, cleared.cleared_by.as_deref()), (Standing::Correct, Some("cy")));
        assert_eq!(two(&[("ann", Incorrect), ("bob", Incorrect), ("cy", Correct)]), Standing::Incorrect);
        assert_eq!(two(&[("ann", Correct), ("bob", Correct), ("cy", Incorrect)]), Standing::Incorrect);
        assert_eq!(two(&[("ann", Escalate), ("bob", Correct)]), Standing::Escalated);
        assert_eq!(two(&[("ann", Escalate), ("bob", Correct), ("cy", Correct)]), Standing::Correct);
    }

    #[test]
    fn what_was_cleared_is_wrong_again_when_one_of_the_two_says_so() {
        let marks = [("ann", Correct), ("bob", Escalate), ("cy", Correct), ("ann", Incorrect)];
        assert_eq!(verdict(2, &marks).standing, Standing::Incorrect);
        let again = [marks[0], marks[1], marks[2], marks[3], ("cy", Correct)];
        assert_eq!(verdict(2, &again).standing, Standing::Correct);
    }

    #[test]
    fn nobody_makes_less_of_what_they_called_wrong() {
        let of = |marks: &[(&str, Option<&str>)]| {
            let one = |(seq, (reviewer, amount)): (i64, &(&str, Option<&str>))| Marked {
                seq,
                reviewer: (*reviewer).to_owned(),
                mark: Mark { item: "i".into(), mark: Incorrect, wrong_amount: amount.map(str::to_owned) },
            };
            let marked: Vec<Marked> = (0..).zip(marks).map(one).collect();
            verdicts(&marked, 1, &BTreeSet::new())["i"].wrong_amount
        };
        assert_eq!(of(&[("ann", Some("5")), ("ann", Some("1.50"))]), Some(500));
        assert_eq!(of(&[("ann", Some("5")), ("bob", Some("1.50"))]), Some(150));
        assert_eq!(of(&[("ann", None), ("ann", Some("1.50"))]), None);
    }

    #[test]
    fn without_evidence_an_item_is_wrong_whatever_its_marks() {
        let missing: BTreeSet<String> = ["i", "j"].map(str::to_owned).into();
        let found = verdicts(&marked(&[("ann", Correct)]), 1, &missing);
        assert!(found.values().all(|verdict| verdict.standing == Standing::WithoutEvidence));
        assert_eq!((found["i"].reviewers.len(), found["j"].reviewers.len()), (1, 0));
    }

    fn badness(standing: Standing) -> u8 {
        match standing {
            Standing::Correct => 0,
            Standing::Open => 1,
            Standing::Escalated => 2,
            Standing::Incorrect | Standing::WithoutEvidence => 3,
        }
    }

    /// All sequences of four marks by three reviewers, each with one mark made worse.
    #[test]
    fn a_worse_mark_never_makes_a_verdict_better() {
        let reviewers = ["ann", "bob", "cy"];
        let words = [Correct, Escalate, Incorrect];
        for code in 0..9_usize.pow(4) {
            let digits = [0, 1, 2, 3].map(|place| code / 9_usize.pow(place) % 9);
            let marks = digits.map(|digit| (reviewers[digit / 3], words[digit % 3]));
            for reviewers_per_item in [1, 2] {
                let before = badness(verdict(reviewers_per_item, &marks).standing);
                for (place, digit) in digits.into_iter().enumerate() {
                    for word in &words[digit % 3 + 1..] {
                        let mut worse = marks;
                        worse[place].1 = *word;
                        let after = badness(verdict(reviewers_per_item, &worse).standing);
                        assert!(after >= before, "{reviewers_per_item}: {marks:?}, then {worse:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn amounts_belong_to_incorrect_items() {
        let mark =
            |word, amount: Option<&str>| Mark { item: "i".into(), mark: word, wrong_amount: amount.map(str::to_owned) };
        assert!(mark(Incorrect, Some("3.10")).check().is_ok() && mark(Correct, None).check().is_ok());
        assert!(mark(Correct, Some("3.10")).check().is_err() && mark(Incorrect, Some("x")).check().is_err());
        assert!(mark(Incorrect, Some("0.00")).check().is_err());
        let text = serde_json::to_string(&mark(Escalate, None)).unwrap();
        assert_eq!(text, r#"{"item":"i","mark":"escalate"}"#);
        assert_eq!(serde_json::from_str::<Mark>(&text).unwrap(), mark(Escalate, None));
    }
}
