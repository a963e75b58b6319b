//! The plan of a review: everything that is settled before anybody can know the sample.
//!
//! In: the terms that people agree on, and the frame. Out: a plan that can be carried out, or what is wrong with it.
//! It is logged as `extra.plan` of `review.planned`; the leaf hash of that event is its plan hash. Invariant: a plan
//! that passes its check leaves nothing about the sample open but the seed. Pure.

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use crate::analysis::eprocess::MAX_MARKS;
use crate::analysis::fraction::Fraction;
use crate::error::{Error, Result};

/// The form of plan that is written and read here.
pub const FORMAT: &str = "sample-review-plan/v1";

/// 1 / alpha at least: a larger allowed error means little, and only up to it is it proven that a correct mark never
/// takes an E below 1 / alpha again, as the least number of further marks supposes.
const LEAST_THRESHOLD: u64 = 4;
/// Strata of a plan: each is tested anew with every mark, and more are no groups that anybody could name.
const MOST_STRATA: usize = 1_000;
/// The largest denominator of a rate or an allowed error: products with counts fit 64 bits.
const MOST_DENOMINATOR: u64 = 1_000_000_000;

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: String,
    /// What the review is to show.
    pub claim: Claim,
    /// The allowed error of all attempts together; an attempt has a part of it.
    pub alpha: Fraction,
    /// Counted from 1 per workflow since its last ENABLE, aborted ones included.
    pub attempt: u32,
    /// When it may be decided.
    pub procedure: Procedure,
    /// Items of the order that may be reviewed; of a claim by value, draws.
    pub most_items: u64,
    /// The strata by name, with what each gives in a round of the order.
    pub strata: Vec<Stratum>,
    /// The frame that it is about.
    pub frame: FrameTerms,
    /// What goes into the seed beside the checkpoint, by kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entropy: Vec<Promise>,
    /// Known errors that reviewers get among the items, to see what they catch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<PlantedTerms>,
    /// Who may mark.
    pub reviewers: Vec<String>,
    /// How many of them mark each item: 1 or 2.
    pub reviewers_per_item: u64,
    /// The business owner of the area, who signs the decision.
    pub owner: String,
}

/// What a review is to show: the rate of errors is below a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The rate.
    pub below: Fraction,
    /// Of what.
    pub of: Measure,
}

/// What a rate of errors is a rate of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// All items of the frame.
    Overall,
    /// The items of every stratum.
    EachStratum,
    /// The value at stake in the frame.
    Value,
}

/// When a review may be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Procedure {
    /// After every mark; going on is free.
    Sequential,
    /// Once, when all items of the plan are marked; the sample is smaller and never extended.
    Fixed,
}

/// A stratum of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stratum {
    /// Its name.
    pub stratum: String,
    /// Its items in the frame.
    pub items: u64,
    /// Its allocation: the items that it gives in each round of the order.
    pub per_round: u64,
    /// Whether all of it is reviewed, in the first round; then its errors are known and it is not tested.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_take_all: bool,
}

/// The frame as a plan names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameTerms {
    /// What picks its outputs.
    pub predicate: String,
    /// The environment that they are of.
    pub environment: String,
    /// The size of the ledger as of which they were picked.
    pub size: u64,
    /// Its items.
    pub items: u64,
    /// Outputs of the candidate that the predicate leaves out.
    pub left_out: u64,
    /// [`Frame::hash`].
    pub frame_hash: String,
}

/// Something that goes into the seed and that nobody knows when the plan is logged, or that is held to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// What it is called in the seed text: lower-case letters, digits, `.`, `_` and `-`.
    pub kind: String,
    /// Of a public beacon: the round, named before it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<String>,
    /// Of a person: hexadecimal SHA-256 of at least 16 bytes, which are revealed after the checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<String>,
}

/// Planted items as a plan names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantedTerms {
    /// How many.
    pub items: u64,
    /// [`planted_hash`] of their ids, so that nobody can choose among them when the marks are known.
    pub ids_hash: String,
}

/// Hexadecimal SHA-256 of the ids of planted items, sorted, a line each.
pub fn planted_hash<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    let mut sorted: Vec<&str> = ids.into_iter().collect();
    sorted.sort_unstable();
    crate::analysis::sampler::seed_hash(&sorted.iter().map(|id| format!("{id}\n")).collect::<String>())
}

/// The strata in the order in which they give items, as places in `strata`: in rounds, each gives as many of its next
/// items as its allocation says, until it has no more.
pub(super) fn turns(strata: &[Stratum]) -> impl Iterator<Item = usize> + '_ {
    let rounds = strata.iter().map(|stratum| stratum.items.div_ceil(stratum.per_round.max(1))).max().unwrap_or(0);
    (0..rounds).flat_map(move |round| {
        strata.iter().enumerate().flat_map(move |(place, stratum)| {
            let given = round.saturating_mul(stratum.per_round);
            let turn = stratum.per_round.min(stratum.items.saturating_sub(given));
            std::iter::repeat_n(place, usize::try_from(turn).unwrap_or(usize::MAX))
        })
    })
}

impl Plan {
    /// The errors that the claim excludes: D0, the least number of them that makes it false; of a claim by value none.
    pub fn d0(&self) -> Option<u64> {
        (self.claim.of != Measure::Value).then(|| self.claim.below.of(self.frame.items))
    }

    /// The allowed error of this attempt, alpha / (i (i+1)), whose sum over all attempts is alpha; with planted items
    /// a third of it, because the other two thirds go to what reviewers miss. `None` when it needs more than 64 bits.
    pub fn test_alpha(&self) -> Option<Fraction> {
        let attempt = u64::from(self.attempt);
        let parts = if self.planted.is_some() { 3 } else { 1 };
        self.alpha.divided_by(attempt.checked_mul(attempt + 1)?.checked_mul(parts)?)
    }

    /// The strata that are sampled, as places in [`Plan::strata`].
    pub fn sampled(&self) -> Vec<usize> {
        (0..self.strata.len()).filter(|place| !self.strata[*place].is_take_all).collect()
    }

    /// What the procedure promises, in a sentence.
    pub fn promise(&self) -> String {
        let attempt = u64::from(self.attempt);
        let alpha = self.alpha.divided_by(attempt * (attempt + 1)).unwrap_or(self.alpha);
        let wrong = match (self.claim.of, self.d0()) {
            (Measure::Overall, Some(d0)) => {
                format!("at least {d0} of the {} outputs in the frame were wrong", self.frame.items)
            }
            (Measure::EachStratum, _) => {
                format!(
                    "in any of the {} strata {} or more of its outputs were wrong",
                    self.strata.len(),
                    self.claim.below
                )
            }
            _ => format!("{} or more of the value at stake in the frame were wrong", self.claim.below),
        };
        format!(
            "if {wrong}, the chance that this procedure ever says ENABLE is at most {alpha}, given that the marks are \
             right"
        )
    }

    /// Checks the plan against the frame that it is about.
    ///
    /// # Errors
    /// `Invalid` with the first thing that is wrong, as in [`Plan::check_terms`], or when the frame is another one.
    pub fn check(&self, frame: &Frame) -> Result<()> {
        self.check_terms()?;
        let strata = self.strata.iter().map(|stratum| (stratum.stratum.as_str(), stratum.items));
        let is_same = strata.eq(frame.strata().iter().map(|(name, items)| (name.as_str(), *items)));
        require(is_same, "its strata are not those of the frame; plan it from the frame again")?;
        require(
            self.frame.frame_hash == frame.hash(),
            "its frame hash is not that of the frame; a frame that has changed is a new attempt",
        )?;
        if self.claim.of == Measure::Value {
            let worthless = (0..frame.items()).filter(|place| frame.weight(*place) == 0).count();
            require(
                worthless == 0,
                &format!("{worthless} items of the frame have no value and would never be drawn; review them apart"),
            )?;
        }
        Ok(())
    }

    /// Checks what can be checked without the frame.
    ///
    /// # Errors
    /// `Invalid` with the first thing that is wrong.
    pub fn check_terms(&self) -> Result<()> {
        require(self.format == FORMAT, &format!("its format is not `{FORMAT}`; write it by this version"))?;
        self.check_claim()?;
        self.check_strata()?;
        self.check_size()?;
        self.check_entropy()?;
        self.check_people()
    }

    /// The part of [`Plan::check_terms`] that needs no frame.
    pub(super) fn check_claim(&self) -> Result<()> {
        let (below, alpha) = (self.claim.below, self.alpha);
        require(
            below.is_share() && below.denominator() <= MOST_DENOMINATOR,
            "the rate of its claim is not between 0 and 1, or finer than 10^-9; claim e.g. below 1/20",
        )?;
        require(
            alpha.is_share() && alpha.of(LEAST_THRESHOLD) <= 1 && alpha.denominator() <= MOST_DENOMINATOR,
            "its alpha is not above 0 and at most 1/4, or finer than 10^-9; allow e.g. 1/20",
        )?;
        require(self.attempt >= 1, "its attempt is 0; attempts are counted from 1")?;
        require(self.test_alpha().is_some(), "it has too many attempts for exact arithmetic; ENABLE begins anew")?;
        if let Some(planted) = &self.planted {
            require(
                self.claim.of != Measure::Value,
                "items are planted into a claim by value; plant into one by items",
            )?;
            require(
                (1..=MAX_MARKS).contains(&planted.items) && is_hash(&planted.ids_hash),
                "its planted items have no number or no hash of their ids; leave them out or name both",
            )?;
        }
        Ok(())
    }

    fn check_strata(&self) -> Result<()> {
        require(!self.strata.is_empty(), "it has no strata; put all items into one")?;
        check_number(self.strata.len())?;
        let is_sorted = self.strata.windows(2).all(|pair| pair[0].stratum < pair[1].stratum);
        require(is_sorted, "its strata are not sorted by name, each once; sort them by bytes")?;
        for Stratum { stratum, items, per_round, is_take_all } in &self.strata {
            require(
                (1..=*items).contains(per_round),
                &format!("stratum `{stratum}` gives {per_round} of its {items} items a round; give 1 to all of them"),
            )?;
            require(
                !is_take_all || per_round == items,
                &format!("stratum `{stratum}` is reviewed in full, but not in the first round; allocate all its items"),
            )?;
        }
        let items = self.strata.iter().try_fold(0_u64, |sum, stratum| sum.checked_add(stratum.items));
        require(items == Some(self.frame.items), "its strata do not add up to its frame; count the items again")?;
        require(is_hash(&self.frame.frame_hash), "its frame hash is no hexadecimal SHA-256; take that of the frame")?;
        require(
            self.claim.of != Measure::Value || (self.strata.len() == 1 && !self.strata[0].is_take_all),
            "its claim by value has several strata or one reviewed in full; draw by value from one frame at a time",
        )
    }

    fn check_size(&self) -> Result<()> {
        let most = if self.claim.of == Measure::Value { MAX_MARKS } else { self.frame.items };
        require(
            (1..=most).contains(&self.most_items),
            &format!("its most items are {}, expected 1 to {most}", self.most_items),
        )?;
        let whole: u64 = self.strata.iter().filter(|stratum| stratum.is_take_all).map(|stratum| stratum.items).sum();
        require(
            whole <= self.most_items,
            &format!("its most items are {}, fewer than the {whole} that are reviewed in full", self.most_items),
        )?;
        let round: u64 = self.strata.iter().map(|stratum| stratum.per_round).sum();
        let is_one_round = self.claim.of == Measure::Value || round == self.most_items;
        require(
            self.procedure == Procedure::Sequential || is_one_round,
            &format!(
                "its fixed sample of {} items is not one round of {round}; allocate just its items",
                self.most_items
            ),
        )
    }

    fn check_entropy(&self) -> Result<()> {
        let is_sorted = self.entropy.windows(2).all(|pair| pair[0].kind < pair[1].kind);
        require(is_sorted, "its kinds of entropy are not sorted, each once; sort them by bytes")?;
        for Promise { kind, round, commitment } in &self.entropy {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
            require(
                !kind.is_empty() && kind.bytes().all(is_plain),
                "a kind of entropy is not of a-z, 0-9, `.`, `_` and `-`; name it so",
            )?;
            let is_held = match (round, commitment) {
                (Some(round), None) => !round.is_empty(),
                (None, Some(commitment)) => is_hash(commitment),
                _ => false,
            };
            require(
                is_held,
                &format!("entropy `{kind}` names neither the round of a beacon nor a SHA-256 as commitment, or both"),
            )?;
        }
        Ok(())
    }

    fn check_people(&self) -> Result<()> {
        let mut names: Vec<&String> = self.reviewers.iter().collect();
        names.sort_unstable();
        let are_names = names.windows(2).all(|pair| pair[0] < pair[1]) && names.iter().all(|name| !name.is_empty());
        require(are_names, "a reviewer is named twice or has no name")?;
        require(matches!(self.reviewers_per_item, 1 | 2), "its items are not marked by 1 or 2 reviewers each")?;
        require(
            self.reviewers.len() as u64 >= self.reviewers_per_item,
            &format!("it names {} reviewers, but an item needs {}", self.reviewers.len(), self.reviewers_per_item),
        )?;
        require(!self.owner.is_empty(), "it names no owner; the business owner of the area signs the decision")
    }
}

/// Refuses more strata than are tested together.
///
/// # Errors
/// `Limit`, with both numbers.
pub(super) fn check_number(strata: usize) -> Result<()> {
    if strata <= MOST_STRATA {
        return Ok(());
    }
    Err(Error::limit(format!(
        "the frame has {strata} strata, a plan at most {MOST_STRATA}; make them by a column with fewer values, or narrow \
         the predicate"
    )))
}

fn require(holds: bool, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid(format!("the plan cannot be carried out: {otherwise}"))) }
}

/// Whether `text` is a SHA-256 in lower-case hexadecimal digits.
pub(super) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
pub(super) mod testing {
    //! A small frame and a plan of it.

    use super::super::frame::Item;
    use super::*;

    /// `sizes` items of each stratum, their ids numbered through.
    pub fn frame(sizes: &[(&str, usize)]) -> Frame {
        let item = |(stratum, i): (&str, usize)| Item {
            id: format!("{stratum}-{i:04}"),
            stratum: stratum.to_owned(),
            weight: None,
        };
        Frame::new(sizes.iter().flat_map(|(stratum, size)| (0..*size).map(|i| (*stratum, i))).map(item)).unwrap()
    }

    /// A sequential plan of the whole frame below 1/10 at 1/20, one item of each stratum a round.
    pub fn plan(frame: &Frame) -> Plan {
        let stratum = |(name, items): &(String, u64)| Stratum {
            stratum: name.clone(),
            items: *items,
            per_round: 1,
            is_take_all: false,
        };
        Plan {
            format: FORMAT.to_owned(),
            claim: Claim { below: Fraction::new(1, 10).unwrap(), of: Measure::Overall },
            alpha: Fraction::new(1, 20).unwrap(),
            attempt: 1,
            procedure: Procedure::Sequential,
            most_items: frame.items() as u64,
            strata: frame.strata().iter().map(stratum).collect(),
            frame: FrameTerms {
                predicate: "true".to_owned(),
                environment: "shadow".to_owned(),
                size: 1,
                items: frame.items() as u64,
                left_out: 0,
                frame_hash: frame.hash(),
            },
            entropy: Vec::new(),
            planted: None,
            reviewers: vec!["ann".to_owned(), "bob".to_owned(), "cy".to_owned()],
            reviewers_per_item: 1,
            owner: "olga".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{frame, plan};
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let mut plan = plan(&frame(&[("a", 3), ("b", 4)]));
        plan.entropy = vec![Promise { kind: "drand".into(), round: Some("41".into()), commitment: None }];
        plan.strata[0] = Stratum { per_round: 3, is_take_all: true, ..plan.strata[0].clone() };
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        assert!(text.contains(r#""claim":{"below":"1/10","of":"overall"}"#), "{text}");
        let unknown = text.replacen('{', r#"{"quick":true,"#, 1);
        assert!(serde_json::from_str::<Plan>(&unknown).is_err());
    }

    /// A change of a plan, and what its check says.
    type Fault = (fn(&mut Plan), &'static str);

    const FAULTS: &[Fault] = &[
        (|p| p.format = "v0".into(), "format"),
        (|p| p.claim.below = Fraction::ONE, "rate of its claim"),
        (|p| p.claim.below = Fraction::ZERO, "rate of its claim"),
        (|p| p.alpha = Fraction::parse("0.3").unwrap(), "alpha"),
        (|p| p.alpha = Fraction::ZERO, "alpha"),
        (|p| p.attempt = 0, "attempt is 0"),
        (|p| (p.attempt, p.alpha) = (u32::MAX, Fraction::parse("0.000000001").unwrap()), "too many attempts"),
        (|p| p.planted = Some(PlantedTerms { items: 0, ids_hash: p.frame.frame_hash.clone() }), "planted"),
        (|p| p.planted = Some(PlantedTerms { items: 3, ids_hash: "x".into() }), "planted"),
        (|p| p.strata.clear(), "no strata"),
        (|p| p.strata = vec![p.strata[0].clone(); MOST_STRATA + 1], "1001 strata"),
        (|p| p.strata.reverse(), "not sorted"),
        (|p| p.strata[0].per_round = 0, "items a round"),
        (|p| p.strata[0].per_round = 4, "items a round"),
        (|p| p.strata[0].is_take_all = true, "in the first round"),
        (|p| p.frame.items = 8, "add up"),
        (|p| p.frame.frame_hash.make_ascii_uppercase(), "frame hash"),
        (|p| p.frame.frame_hash = "0".repeat(64), "frame hash"),
        (|p| p.claim.of = Measure::Value, "one frame at a time"),
        (|p| p.most_items = 0, "most items"),
        (|p| p.most_items = 8, "most items"),
        (|p| (p.strata[1].per_round, p.strata[1].is_take_all, p.most_items) = (4, true, 3), "reviewed in full"),
        (|p| p.procedure = Procedure::Fixed, "not one round"),
        (|p| p.reviewers.push("ann".into()), "named twice"),
        (|p| p.reviewers_per_item = 3, "1 or 2"),
        (|p| (p.reviewers_per_item, p.reviewers) = (2, vec!["ann".into()]), "needs 2"),
        (|p| p.owner.clear(), "no owner"),
        (|p| p.strata[0].stratum = "0".into(), "strata are not those"),
    ];

    #[test]
    fn whatever_is_wrong_with_a_plan_is_said() {
        let frame = frame(&[("a", 3), ("b", 4)]);
        plan(&frame).check(&frame).unwrap();
        for (i, (fault, word)) in FAULTS.iter().enumerate() {
            let mut faulty = plan(&frame);
            fault(&mut faulty);
            let error = faulty.check(&frame).expect_err(word);
            assert!(error.message().contains(word), "fault {i}: {error}");
        }
    }

    #[test]
    fn entropy_is_a_round_or_a_commitment() {
        let frame = frame(&[("a", 3)]);
        let hash = Some("0".repeat(64));
        let with = |kind: &str, round: Option<&str>, commitment: Option<String>| {
            let promise = Promise { kind: kind.into(), round: round.map(str::to_owned), commitment };
            Plan { entropy: vec![promise], ..plan(&frame) }.check_terms()
        };
        assert!(with("drand-7", Some("7"), None).is_ok() && with("reviewer", None, hash.clone()).is_ok());
        assert!(with("reviewer", None, None).is_err() && with("x", Some("7"), hash.clone()).is_err());
        assert!(with("reviewer", None, Some("0".repeat(63))).is_err() && with("drand", Some(""), None).is_err());
        assert!(with("two words", Some("7"), None).is_err() && with("a:b", None, hash).is_err());
    }

    #[test]
    fn attempts_share_the_allowed_error() {
        let mut plan = plan(&frame(&[("a", 30)]));
        let alpha = |plan: &Plan| plan.test_alpha().unwrap().to_string();
        assert_eq!(alpha(&plan), "1/40");
        plan.attempt = 2;
        assert_eq!(alpha(&plan), "1/120");
        plan.planted = Some(PlantedTerms { items: 9, ids_hash: "0".repeat(64) });
        assert_eq!(alpha(&plan), "1/360");
        let spent: f64 = (1..10_000).map(|i| 0.05 / (i * (i + 1)) as f64).sum();
        assert!(spent < 0.05);
    }

    #[test]
    fn the_promise_names_its_numbers() {
        let plan = plan(&frame(&[("a", 30)]));
        assert!(plan.promise().starts_with("if at least 3 of the 30 outputs"), "{}", plan.promise());
        assert!(plan.promise().contains("at most 1/40"), "{}", plan.promise());
    }
}
