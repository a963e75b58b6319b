//! How large a review has to be: from a claim to allocation and most items, before the plan is logged.
//!
//! In: the strata of a frame, the claim, the errors that the review should survive. Out: what each stratum gives a
//! round, and how many items that takes. Invariant: nothing here decides; a plan with another allocation is as valid,
//! only larger or smaller. Pure.

use super::judge::{Catch, Judge, Terms};
use super::plan::{Claim, Measure, Procedure, Stratum, turns};
use crate::analysis::betting::Bets;
use crate::analysis::eprocess::{Finding, MAX_MARKS, sequential_items};
use crate::analysis::fixed;
use crate::analysis::fraction::Fraction;
use crate::analysis::planted::{caught_share, recorded_errors};
use crate::error::{Error, Result};

/// What a review is to achieve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Design {
    /// What it is to show.
    pub claim: Claim,
    /// The allowed error of the test, `Plan::test_alpha`.
    pub alpha: Fraction,
    /// When it may be decided.
    pub procedure: Procedure,
    /// Errors among the items that it should survive; of a claim of each stratum, in each.
    pub errors: u64,
    /// Strata that are reviewed in full.
    pub take_all: Vec<String>,
    /// Items of a round of all sampled strata together, about.
    pub round_items: u64,
    /// Items that will be planted; all are expected to be caught.
    pub planted: u64,
}

/// What a plan takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// The strata with what each gives a round.
    pub strata: Vec<Stratum>,
    /// The items, or draws by value, that it takes with as many errors as the review should survive.
    pub most_items: u64,
}

/// The allocation that achieves `design` in a frame with these strata, their names and sizes in the order of the names.
///
/// A claim about all items gives each stratum its share of the frame, one of each stratum what that needs by itself.
/// With several strata the errors that it should survive are taken for the first ones of the order.
///
/// # Errors
/// `Invalid` when a stratum to review in full is not in the frame, when so many errors are a denial of the claim, or
/// when it would take more items than anybody reviews.
pub fn allocate(strata: &[(String, u64)], design: &Design) -> Result<Allocation> {
    if let Some(unknown) = design.take_all.iter().find(|name| strata.iter().all(|(known, _)| known != *name)) {
        return Err(Error::invalid(format!("stratum `{unknown}` is not in the frame; name one of its strata")));
    }
    let shares = |stratum: &(String, u64)| share(stratum, design);
    let mut strata: Vec<Stratum> = strata.iter().map(shares).collect::<Option<_>>().ok_or_else(|| too_many(design))?;
    if design.claim.of == Measure::Value {
        let most_items = draws(design).ok_or_else(|| too_many(design))?;
        strata.iter_mut().for_each(|stratum| stratum.per_round = 1);
        return Ok(Allocation { strata, most_items });
    }
    let needs: Vec<u64> = strata.iter().map(|stratum| stratum.per_round).collect();
    divide(&mut strata, design.round_items);
    let most_items = match design.claim.of {
        Measure::EachStratum => {
            turns_until(&strata, |given| given.iter().zip(&needs).all(|(given, need)| given >= need))
        }
        _ => walk(&strata, design)?.ok_or_else(|| too_many(design))?,
    };
    if design.procedure == Procedure::Fixed {
        return Ok(in_one_round(strata, most_items, &needs, design.claim.of));
    }
    Ok(Allocation { strata, most_items })
}

/// A stratum with the items that it needs by itself, or all for a claim about all items.
fn share((name, items): &(String, u64), design: &Design) -> Option<Stratum> {
    let is_take_all = design.take_all.contains(name);
    let needed = if design.claim.of == Measure::EachStratum && !is_take_all { alone(*items, design)? } else { *items };
    Some(Stratum { stratum: name.clone(), items: *items, per_round: needed.max(1), is_take_all })
}

/// The items that show the claim for a frame of `items` by itself.
fn alone(items: u64, design: &Design) -> Option<u64> {
    let d0 = recorded(design.claim.below.of(items), design)?;
    match design.procedure {
        Procedure::Sequential => sequential_items(items, d0, design.alpha, design.errors),
        Procedure::Fixed => fixed::items(items, d0, design.alpha, design.errors),
    }
}

/// What planted items leave of D0 when all of them are caught.
fn recorded(d0: u64, design: &Design) -> Option<u64> {
    match catch(design)? {
        Catch::Share(share) => recorded_errors(d0, share, design.alpha),
        _ => Some(d0),
    }
}

fn catch(design: &Design) -> Option<Catch> {
    match design.planted {
        0 => Some(Catch::All),
        planted => caught_share(planted, planted, design.alpha).map(Catch::Share),
    }
}

/// Draws by value until so many draws that are wrong in full, and then only right ones, show the claim.
fn draws(design: &Design) -> Option<u64> {
    let mut bets = Bets::new(design.claim.below)?;
    for draw in 1..=MAX_MARKS {
        bets.draw(if draw <= design.errors { Fraction::ONE } else { Fraction::ZERO });
        if bets.evidence().reaches(design.alpha) {
            return Some(draw);
        }
    }
    None
}

/// Divides the items of the sampled strata into rounds of about `round_items`, at least one of each stratum.
fn divide(strata: &mut [Stratum], round_items: u64) {
    let sampled = || strata.iter().filter(|stratum| !stratum.is_take_all);
    let most = sampled().map(|stratum| stratum.per_round).max().unwrap_or(1);
    let all: u64 = sampled().map(|stratum| stratum.per_round).sum();
    let rounds = (all / round_items.max(1)).clamp(1, most);
    for stratum in strata.iter_mut().filter(|stratum| !stratum.is_take_all) {
        stratum.per_round = (stratum.per_round / rounds).max(1);
    }
}

/// Items of the order until `is_enough` says so of what each stratum has given.
fn turns_until(strata: &[Stratum], is_enough: impl Fn(&[u64]) -> bool) -> u64 {
    let mut given = vec![0; strata.len()];
    let mut items = 0;
    for place in turns(strata) {
        if is_enough(&given) {
            break;
        }
        given[place] += 1;
        items += 1;
    }
    items
}

/// Items of the order until the claim about all items is shown, with the errors first; none when it never is.
fn walk(strata: &[Stratum], design: &Design) -> Result<Option<u64>> {
    let sampled: Vec<&Stratum> = strata.iter().filter(|stratum| !stratum.is_take_all).collect();
    let whole: u64 = strata.iter().filter(|stratum| stratum.is_take_all).map(|stratum| stratum.items).sum();
    let d0 = recorded(design.claim.below.of(strata.iter().map(|stratum| stratum.items).sum()), design);
    if let (Procedure::Fixed, [only], Some(d0)) = (design.procedure, &sampled[..], d0) {
        // Where the sampled stratum cannot hold so many errors by itself, one item is as good as any number.
        let items = if d0 > only.items { Some(1) } else { fixed::items(only.items, d0, design.alpha, design.errors) };
        return Ok(items.map(|items| whole + items));
    }
    let terms = Terms {
        claim: design.claim,
        procedure: design.procedure,
        alpha: design.alpha,
        strata,
        value: 0,
        catch: catch(design).ok_or_else(|| too_many(design))?,
    };
    let mut judge = Judge::new(terms)?;
    let mut errors = design.errors;
    for (items, place) in (1..=whole.saturating_add(MAX_MARKS)).zip(turns(strata)) {
        let is_error = errors > 0 && !strata[place].is_take_all;
        errors -= u64::from(is_error);
        judge.mark(place, if is_error { Finding::Incorrect } else { Finding::Correct });
        if judge.is_shown() {
            return Ok(Some(items));
        }
    }
    Ok(None)
}

/// The same items given in one round, which is a fixed sample.
fn in_one_round(mut strata: Vec<Stratum>, most_items: u64, needs: &[u64], of: Measure) -> Allocation {
    let whole: u64 = strata.iter().filter(|stratum| stratum.is_take_all).map(|stratum| stratum.items).sum();
    let sampled = usize::try_from(most_items.saturating_sub(whole)).unwrap_or(usize::MAX);
    let mut given = vec![0; strata.len()];
    for place in turns(&strata).filter(|place| !strata[*place].is_take_all).take(sampled) {
        given[place] += 1;
    }
    for ((stratum, given), need) in strata.iter_mut().zip(given).zip(needs) {
        let is_by_need = stratum.is_take_all || of == Measure::EachStratum;
        stratum.per_round = if is_by_need { *need } else { given.max(1) };
    }
    let most_items = strata.iter().map(|stratum| stratum.per_round).sum();
    Allocation { strata, most_items }
}

fn too_many(design: &Design) -> Error {
    Error::invalid(format!(
        "no sample shows a rate below {} with {} errors among its items; plan for fewer errors, claim a higher rate or \
         review all of it",
        design.claim.below, design.errors
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strata(sizes: &[u64]) -> Vec<(String, u64)> {
        (b'a'..).zip(sizes).map(|(name, size)| (char::from(name).to_string(), *size)).collect()
    }

    fn design(of: Measure, procedure: Procedure, errors: u64) -> Design {
        Design {
            claim: Claim { below: Fraction::new(1, 20).unwrap(), of },
            alpha: Fraction::new(1, 20).unwrap(),
            procedure,
            errors,
            take_all: Vec::new(),
            round_items: 10,
            planted: 0,
        }
    }

    fn items(sizes: &[u64], design: &Design) -> u64 {
        allocate(&strata(sizes), design).unwrap().most_items
    }

    #[test]
    fn sizes_of_one_stratum_are_the_known_ones() {
        for (errors, sequential, fixed) in [(0, 56, 51), (1, 101, 78), (2, 130, 101), (3, 151, 121)] {
            for of in [Measure::Overall, Measure::EachStratum] {
                assert_eq!(items(&[200], &design(of, Procedure::Sequential, errors)), sequential);
                assert_eq!(items(&[200], &design(of, Procedure::Fixed, errors)), fixed);
            }
        }
    }

    #[test]
    fn a_fixed_sample_is_one_round() {
        let cases: [(&[u64], Measure); 3] = [
            (&[200], Measure::Overall),
            (&[300, 500, 200], Measure::Overall),
            (&[300, 500, 200], Measure::EachStratum),
        ];
        for (sizes, of) in cases {
            let Allocation { strata, most_items } = allocate(&strata(sizes), &design(of, Procedure::Fixed, 1)).unwrap();
            assert_eq!(strata.iter().map(|stratum| stratum.per_round).sum::<u64>(), most_items);
            assert!(strata.iter().all(|stratum| stratum.per_round <= stratum.items));
        }
    }

    #[test]
    fn strata_give_their_share_of_the_frame() {
        let found = allocate(&strata(&[100, 400, 3]), &design(Measure::Overall, Procedure::Sequential, 0)).unwrap();
        assert_eq!(found.strata.iter().map(|stratum| stratum.per_round).collect::<Vec<_>>(), [2, 8, 1]);
        let tiny = Design { take_all: vec!["c".into()], ..design(Measure::Overall, Procedure::Sequential, 0) };
        let found = allocate(&strata(&[100, 400, 3]), &tiny).unwrap();
        assert_eq!((found.strata[2].per_round, found.strata[2].is_take_all), (3, true));
    }

    #[test]
    fn each_stratum_gets_what_it_needs() {
        let design = design(Measure::EachStratum, Procedure::Fixed, 0);
        let found = allocate(&strata(&[200, 2_000]), &design).unwrap();
        assert_eq!(found.strata.iter().map(|stratum| stratum.per_round).collect::<Vec<_>>(), [51, 58]);
    }

    #[test]
    fn draws_by_value_are_those_of_the_bets() {
        assert_eq!(items(&[900], &design(Measure::Value, Procedure::Sequential, 0)), 62);
    }

    #[test]
    fn planted_items_cost_a_larger_sample() {
        let plain = design(Measure::Overall, Procedure::Sequential, 0);
        let planted = Design { planted: 60, alpha: Fraction::new(1, 60).unwrap(), ..plain.clone() };
        assert!(items(&[2_000], &planted) > items(&[2_000], &plain));
    }

    #[test]
    fn what_cannot_be_shown_is_said() {
        let denied = allocate(&strata(&[200]), &design(Measure::Overall, Procedure::Sequential, 10)).unwrap_err();
        assert!(denied.message().contains("with 10 errors"), "{denied}");
        let unknown = Design { take_all: vec!["z".into()], ..design(Measure::Overall, Procedure::Fixed, 0) };
        assert!(allocate(&strata(&[200]), &unknown).unwrap_err().message().contains("`z`"));
    }
}
