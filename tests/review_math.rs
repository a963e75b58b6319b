//! Sample reviews as mathematics: what they promise, from the exact probabilities of all paths of small frames; that a
//! worse mark never helps; that somebody else gets the same sample and the same decision.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::{Command, Stdio};

use probity::analysis::fraction::Fraction;
use probity::review::decide::{Case, Decision, Planted, Status, Step};
use probity::review::design::{Design, allocate};
use probity::review::frame::{Frame, Item};
use probity::review::marks::{Mark, Marked, Standing, Verdict, Word, verdicts};
use probity::review::order::Order;
use probity::review::plan::{Claim, FORMAT, FrameTerms, Measure, Plan, PlantedTerms, Procedure, Stratum, planted_hash};
use probity::review::seed::{Entropy, Seed};
use probity::review::tally::Verdicts;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

fn fraction(text: &str) -> Fraction {
    Fraction::parse(text).unwrap()
}

/// A plan with its frame and a sample of it.
struct Review {
    plan: Plan,
    frame: Frame,
    seed: Seed,
    order: Order,
    /// Whether ENABLE follows from so many errors of each stratum among the first items of the order.
    enables: RefCell<HashMap<(usize, Vec<u64>), bool>>,
}

impl Review {
    /// A review of `items` below 1/10 at an allowed error of 1/10 (1/5 for all attempts), one item of each stratum a
    /// round, but for what `change` changes.
    fn of(items: Vec<Item>, change: impl FnOnce(&mut Plan)) -> Self {
        let frame = Frame::new(items).unwrap();
        let stratum = |(name, items): &(String, u64)| Stratum {
            stratum: name.clone(),
            items: *items,
            per_round: 1,
            is_take_all: false,
        };
        let terms = FrameTerms {
            predicate: "true".into(),
            environment: "shadow".into(),
            size: 7,
            items: frame.items() as u64,
            left_out: 0,
            frame_hash: frame.hash(),
        };
        let mut plan = Plan {
            format: FORMAT.into(),
            claim: Claim { below: fraction("1/10"), of: Measure::Overall },
            alpha: fraction("1/5"),
            attempt: 1,
            procedure: Procedure::Sequential,
            most_items: frame.items() as u64,
            strata: frame.strata().iter().map(stratum).collect(),
            frame: terms,
            entropy: Vec::new(),
            planted: None,
            reviewers: ["ann", "bob", "cy"].map(str::to_owned).to_vec(),
            reviewers_per_item: 1,
            owner: "olga".into(),
        };
        change(&mut plan);
        plan.check(&frame).unwrap();
        let entropy = Entropy { kind: "reviewer".into(), hex: "00".repeat(16) };
        let seed = Seed {
            origin: "example.com/log".into(),
            size: 9,
            root: "a".repeat(64),
            frame_hash: frame.hash(),
            plan_hash: "b".repeat(64),
            attempt: plan.attempt,
            entropy: vec![entropy],
        };
        let order = Order::draw(&plan, &frame, &seed.hash()).unwrap();
        Self { plan, frame, seed, order, enables: RefCell::default() }
    }

    /// Of so many items of each stratum.
    fn new(sizes: &[(&str, u64)], change: impl FnOnce(&mut Plan)) -> Self {
        let of_stratum = |(stratum, size): &(&str, u64)| {
            let stratum = (*stratum).to_owned();
            (0..*size).map(move |i| Item { id: format!("{stratum}{i}"), stratum: stratum.clone(), weight: None })
        };
        Self::of(sizes.iter().flat_map(of_stratum).collect(), change)
    }

    fn id(&self, at: usize) -> String {
        self.frame.id(self.order.places()[at] as usize).to_owned()
    }

    fn stratum(&self, at: usize) -> usize {
        self.frame.stratum(self.order.places()[at] as usize)
    }

    fn case<'a>(&'a self, verdicts: &'a Verdicts, planted: Planted) -> Case<'a> {
        Case { plan: &self.plan, frame: &self.frame, order: &self.order, verdicts, planted }
    }

    fn status(&self, verdicts: &Verdicts) -> Status {
        self.case(verdicts, Planted::default()).status().unwrap()
    }

    /// Verdicts of the first items of the order, of which the first ones of each stratum are errors.
    fn first(&self, n: usize, errors: &[u64]) -> Verdicts {
        let mut left = errors.to_vec();
        let verdict = |at: usize| {
            let left = &mut left[self.stratum(at)];
            let standing = if *left > 0 { Standing::Incorrect } else { Standing::Correct };
            *left = left.saturating_sub(1);
            (self.id(at), verdict(standing))
        };
        (0..n).map(verdict).collect()
    }

    fn is_enabled(&self, n: usize, errors: &[u64]) -> bool {
        *self
            .enables
            .borrow_mut()
            .entry((n, errors.to_vec()))
            .or_insert_with(|| self.status(&self.first(n, errors)).decision == Decision::Enable)
    }

    /// The exact probability that ENABLE is ever said when so many items of each stratum are errors, whenever one
    /// looks: of a fixed plan once, at its end.
    fn chance(&self, errors: &[u64]) -> f64 {
        let mut left: Vec<u64> = self.frame.strata().iter().map(|(_, items)| *items).collect();
        let mut open = BTreeMap::from([(vec![0; errors.len()], 1.0)]);
        let mut enabled = 0.0;
        for at in 0..self.order.places().len() {
            let stratum = self.stratum(at);
            let mut next: BTreeMap<Vec<u64>, f64> = BTreeMap::new();
            for (found, weight) in open {
                let is_error = (errors[stratum] - found[stratum]) as f64 / left[stratum] as f64;
                for (more, chance) in [(0, 1.0 - is_error), (1, is_error)] {
                    let mut found = found.clone();
                    found[stratum] += more;
                    if chance > 0.0 {
                        *next.entry(found).or_default() += weight * chance;
                    }
                }
            }
            left[stratum] -= 1;
            let is_looked_at = self.plan.procedure == Procedure::Sequential || at + 1 == self.order.places().len();
            if is_looked_at {
                next.retain(|found, weight| {
                    let is_enabled = self.is_enabled(at + 1, found);
                    enabled += if is_enabled { *weight } else { 0.0 };
                    !is_enabled
                });
            }
            open = next;
        }
        enabled
    }

    /// The greatest [`Review::chance`] over all ways in which just so many errors can lie.
    fn greatest_chance(&self, errors: u64) -> f64 {
        let sizes: Vec<u64> = self.frame.strata().iter().map(|(_, items)| *items).collect();
        ways(&sizes, errors).iter().map(|way| self.chance(way)).fold(0.0, f64::max)
    }

    fn alpha(&self) -> f64 {
        self.plan.test_alpha().unwrap().to_f64()
    }
}

fn verdict(standing: Standing) -> Verdict {
    Verdict { standing, reviewers: vec!["ann".into()], cleared_by: None, refused: 0, wrong_amount: None }
}

/// All ways to put so many errors into strata of these sizes.
fn ways(sizes: &[u64], errors: u64) -> Vec<Vec<u64>> {
    let Some((first, rest)) = sizes.split_first() else {
        return if errors == 0 { vec![Vec::new()] } else { Vec::new() };
    };
    let with = |here: u64| ways(rest, errors - here).into_iter().map(move |way| [vec![here], way].concat());
    (0..=errors.min(*first)).flat_map(with).collect()
}

/// Exact probabilities, so that the only error is that of adding floats.
const ROUNDING: f64 = 1e-9;

#[test]
fn a_false_claim_about_one_stratum_is_enabled_with_at_most_alpha() {
    let mut greatest = 0.0_f64;
    for (size, below) in [(12, "1/4"), (20, "1/10"), (30, "1/10"), (40, "1/8"), (50, "1/10")] {
        let review = Review::new(&[("a", size)], |plan| plan.claim.below = fraction(below));
        let d0 = review.plan.d0().unwrap();
        for errors in d0..=size.min(d0 + 3) {
            let chance = review.chance(&[errors]);
            assert!(chance <= review.alpha() + ROUNDING, "{size} {below} {errors}: {chance}");
            greatest = greatest.max(chance / review.alpha());
        }
    }
    assert!(greatest > 0.6, "the bound is {greatest} of what it may be: the test would find little");
}

#[test]
fn a_false_claim_about_several_strata_is_enabled_with_at_most_alpha_however_the_errors_lie() {
    let mut greatest = 0.0_f64;
    for (sizes, per_round, below) in [
        ([6, 30], [2, 2], "1/10"),
        ([4, 26], [1, 3], "1/10"),
        ([10, 10], [1, 1], "1/5"),
        ([12, 24], [3, 1], "1/8"),
        ([20, 8], [1, 4], "1/7"),
    ] {
        let review = Review::new(&[("a", sizes[0]), ("b", sizes[1])], |plan| {
            plan.claim.below = fraction(below);
            (plan.strata[0].per_round, plan.strata[1].per_round) = (per_round[0], per_round[1]);
        });
        let d0 = review.plan.d0().unwrap();
        for errors in [d0, d0 + 2] {
            let chance = review.greatest_chance(errors);
            assert!(chance <= review.alpha() + ROUNDING, "{sizes:?} {per_round:?} {below} {errors}: {chance}");
            greatest = greatest.max(chance / review.alpha());
        }
    }
    assert!(greatest > 0.5, "the bound is {greatest} of what it may be: the test would find little");
}

/// If a stratum left the test when its last item happens to be marked, the claim of 2 errors in 48 would be enabled
/// with a probability of 0.069 at an allowed error of 0.05. It is 25/720 with the strata that the plan names.
#[test]
fn a_stratum_does_not_leave_the_test_because_its_last_item_was_marked() {
    let review = Review::new(&[("a", 24), ("b", 24)], |plan| {
        (plan.claim.below, plan.alpha) = (fraction("1/24"), fraction("1/10"));
    });
    assert!((review.chance(&[1, 1]) - 25.0 / 720.0).abs() < ROUNDING);
    assert!(review.greatest_chance(2) <= 0.05 + ROUNDING);
}

#[test]
fn a_stratum_reviewed_in_full_keeps_the_promise() {
    for (whole, size) in [("a", 8), ("b", 5)] {
        let other = if whole == "a" { "b" } else { "a" };
        let review = Review::new(&[(whole, size), (other, 24)], |plan| {
            plan.claim.below = fraction("1/8");
            for stratum in &mut plan.strata {
                stratum.per_round = if stratum.stratum == whole { size } else { 2 };
                stratum.is_take_all = stratum.stratum == whole;
            }
        });
        let d0 = review.plan.d0().unwrap();
        let chance = review.greatest_chance(d0);
        assert!(chance <= review.alpha() + ROUNDING, "{whole}: {chance}");
        assert!(review.chance(&[0, 0]) > 0.999, "without errors the claim is shown in the end");
    }
}

#[test]
fn a_false_claim_of_each_stratum_is_enabled_with_at_most_alpha() {
    let review = Review::new(&[("a", 14), ("b", 18)], |plan| {
        plan.claim = Claim { below: fraction("1/6"), of: Measure::EachStratum };
    });
    for errors in [[3, 0], [0, 3], [3, 1], [3, 3], [4, 0]] {
        let chance = review.chance(&errors);
        assert!(chance <= review.alpha() + ROUNDING, "{errors:?}: {chance}");
    }
    assert!(review.chance(&[0, 3]) > 0.5 * review.alpha() && review.chance(&[2, 2]) > 0.999);
}

#[test]
fn a_fixed_plan_keeps_the_promise_and_needs_fewer_items() {
    for (of, sizes) in [(Measure::Overall, [40, 0]), (Measure::Overall, [14, 22]), (Measure::EachStratum, [16, 20])] {
        let strata: Vec<(&str, u64)> = ["a", "b"].into_iter().zip(sizes).filter(|(_, size)| *size > 0).collect();
        let designed = |procedure: Procedure, plan: &mut Plan| {
            (plan.claim, plan.procedure) = (Claim { below: fraction("1/5"), of }, procedure);
            let names: Vec<(String, u64)> = strata.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
            let design = Design {
                claim: plan.claim,
                alpha: plan.test_alpha().unwrap(),
                procedure,
                errors: 1,
                take_all: Vec::new(),
                round_items: 2,
                planted: 0,
            };
            let allocation = allocate(&names, &design).unwrap();
            (plan.strata, plan.most_items) = (allocation.strata, allocation.most_items);
        };
        let fixed = Review::new(&strata, |plan| designed(Procedure::Fixed, plan));
        let sequential = Review::new(&strata, |plan| designed(Procedure::Sequential, plan));
        assert!(fixed.plan.most_items <= sequential.plan.most_items, "{of:?} {sizes:?}");
        let d0 = fixed.plan.d0().unwrap();
        let worst: Vec<Vec<u64>> = match of {
            Measure::EachStratum => vec![vec![4, 0], vec![0, 4], vec![4, 4]],
            _ => ways(&strata.iter().map(|(_, size)| *size).collect::<Vec<_>>(), d0),
        };
        for errors in worst {
            let chance = fixed.chance(&errors);
            assert!(chance <= fixed.alpha() + ROUNDING, "{of:?} {errors:?}: {chance}");
        }
        assert!(fixed.chance(&vec![0; strata.len()]) > 0.999);
    }
}

/// Attempts spend alpha/2, alpha/6, alpha/12, …: however often a false claim is tried anew, it is enabled with at most
/// alpha. Each attempt has its own frame, so that the attempts are independent.
#[test]
fn trying_again_is_paid_for() {
    let attempts = (1..=8).map(|attempt| {
        let review = Review::new(&[("a", 30)], |plan| plan.attempt = attempt);
        review.chance(&[review.plan.d0().unwrap()])
    });
    let never: f64 = attempts.map(|chance| 1.0 - chance).product();
    assert!(1.0 - never <= 0.2 + ROUNDING, "{never}");
    assert!(1.0 - never > 0.08, "later attempts would hardly matter: {never}");
}

/// ENABLE at any time, by the path of E.
fn is_ever_enabled(review: &Review, verdicts: &Verdicts, planted: Planted) -> bool {
    let path: Vec<Step> = review.case(verdicts, planted).path().unwrap();
    let threshold = 1.0 / review.alpha();
    // Digits are rounded down and the threshold is whole, so that they compare as E does.
    path.iter().any(|step| step.e.parse::<f64>().unwrap() >= threshold.round())
}

/// One simulated review: so many of 300 items are errors, which are recorded with a chance of 7 in 10, and so are 60
/// planted ones.
fn simulated(review: &Review, errors: usize, rng: &mut StdRng) -> bool {
    let mut places: Vec<usize> = (0..review.frame.items()).collect();
    places.shuffle(rng);
    let recorded: BTreeSet<&str> =
        places[..errors].iter().filter(|_| rng.random_bool(0.7)).map(|place| review.frame.id(*place)).collect();
    let standing = |id: &str| if recorded.contains(id) { Standing::Incorrect } else { Standing::Correct };
    let verdicts: Verdicts = (0..review.order.places().len())
        .map(|at| review.id(at))
        .map(|id| (id.clone(), verdict(standing(&id))))
        .collect();
    let caught = (0..60).filter(|_| rng.random_bool(0.7)).count() as u64;
    is_ever_enabled(review, &verdicts, Planted { marked: 60, caught })
}

#[test]
fn planted_items_keep_the_promise_of_reviewers_who_miss_errors() {
    let planted = PlantedTerms { items: 60, ids_hash: planted_hash(["x"]) };
    let with = Review::new(&[("a", 300)], |plan| (plan.planted, plan.most_items) = (Some(planted), 150));
    let without = Review::new(&[("a", 300)], |plan| plan.most_items = 150);
    let runs = 300;
    let share = |review: &Review, errors: usize, seed: u64| {
        let mut rng = StdRng::seed_from_u64(seed);
        (0..runs).filter(|_| simulated(review, errors, &mut rng)).count() as f64 / f64::from(runs)
    };
    let d0 = with.plan.d0().unwrap() as usize;
    let (false_enable, naive) = (share(&with, d0, 1), share(&without, d0, 2));
    assert!(false_enable <= 0.1, "{false_enable}");
    assert!(naive > 0.15, "marks taken for right would do as well: {naive}");
    assert!(share(&with, 1, 3) > 0.5, "a good frame is enabled");
}

#[test]
fn planted_items_that_are_not_marked_hold_everything_back() {
    let planted = PlantedTerms { items: 60, ids_hash: planted_hash(["x"]) };
    let review = Review::new(&[("a", 300)], |plan| plan.planted = Some(planted));
    let verdicts = review.first(150, &[0]);
    let status = |marked: u64, caught: u64| review.case(&verdicts, Planted { marked, caught }).status().unwrap();
    let (open, done) = (status(59, 59), status(60, 60));
    assert_eq!((open.decision, open.next, open.e.as_str()), (Decision::Extend, Some(0), "0"));
    assert!(open.reasons.iter().any(|reason| reason.starts_with("1 planted items are not marked")), "{open:?}");
    assert_eq!(done.decision, Decision::Enable);
    let found = done.planted.unwrap();
    assert!(found.share.unwrap() > fraction("0.9") && found.recorded_errors.unwrap()[0] > 20);
    assert_eq!(status(60, 0).decision, Decision::Paused, "who catches nothing shows nothing");
}

/// A review of a random kind, with random verdicts of some of its items.
fn random_case(rng: &mut StdRng) -> (Review, Vec<Option<Standing>>) {
    let of = [Measure::Overall, Measure::EachStratum, Measure::Value][rng.random_range(0..3)];
    let procedure = [Procedure::Sequential, Procedure::Fixed][rng.random_range(0..2)];
    let strata = if of == Measure::Value { 1 } else { rng.random_range(1..4) };
    let sizes: Vec<u64> = (0..strata).map(|_| rng.random_range(5..30)).collect();
    let item = |(stratum, i): (usize, u64), rng: &mut StdRng| Item {
        id: format!("{stratum}-{i}"),
        stratum: format!("s{stratum}"),
        weight: (of == Measure::Value).then(|| rng.random_range(1..5_000)),
    };
    let all = sizes.iter().enumerate().flat_map(|(stratum, size)| (0..*size).map(move |i| (stratum, i)));
    let items: Vec<Item> = all.map(|place| item(place, rng)).collect();
    let review = Review::of(items, |plan| {
        plan.claim = Claim { below: fraction(["1/10", "1/5", "1/3"][rng.random_range(0..3)]), of };
        plan.procedure = procedure;
        for stratum in &mut plan.strata {
            stratum.is_take_all = of != Measure::Value && rng.random_bool(0.15);
            stratum.per_round =
                if stratum.is_take_all { stratum.items } else { rng.random_range(1..=stratum.items.min(4)) };
        }
        let round: u64 = plan.strata.iter().map(|stratum| stratum.per_round).sum();
        plan.most_items = match (procedure, of) {
            (_, Measure::Value) => rng.random_range(5..60),
            (Procedure::Fixed, _) => round,
            _ => plan.frame.items,
        };
    });
    let marked = rng.random_range(0..=review.order.places().len());
    let bad = rng.random_range(0.0..0.3);
    let standing = |at: usize| match rng.random_range(0.0..1.0) {
        _ if at >= marked => None,
        x if x < bad / 2.0 => Some(Standing::Incorrect),
        x if x < bad => Some([Standing::Escalated, Standing::WithoutEvidence][at % 2]),
        x if x > 0.99 => None,
        _ => Some(Standing::Correct),
    };
    let standings = (0..review.order.places().len()).map(standing).collect();
    (review, standings)
}

fn of_standings(review: &Review, standings: &[Option<Standing>]) -> Verdicts {
    let verdict = |(at, standing): (usize, &Option<Standing>)| Some((review.id(at), verdict((*standing)?)));
    standings.iter().enumerate().filter_map(verdict).collect()
}

#[test]
fn a_worse_mark_never_helps() {
    let (mut enabled, mut compared) = (0, 0);
    for seed in 0..400 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (review, mut standings) = random_case(&mut rng);
        let before = review.status(&of_standings(&review, &standings));
        let correct: Vec<usize> = (0..standings.len()).filter(|at| standings[*at] == Some(Standing::Correct)).collect();
        if correct.is_empty() {
            continue;
        }
        let at = correct[rng.random_range(0..correct.len())];
        // To mark fewer items is no worse mark, but to stop earlier, which a sequential plan allows at any time.
        let worse = [Some(Standing::Incorrect), Some(Standing::Escalated), None];
        let kinds = if review.plan.procedure == Procedure::Fixed { 3 } else { 2 };
        standings[at] = worse[rng.random_range(0..kinds)];
        let after = review.status(&of_standings(&review, &standings));
        let case = format!("seed {seed}: {at} became {:?}; {before:?}, then {after:?}", standings[at]);
        enabled += u32::from(before.decision == Decision::Enable);
        compared += 1;
        assert!(after.decision != Decision::Enable || before.decision == Decision::Enable, "{case}");
        if let (Decision::Extend, Decision::Extend) = (before.decision, after.decision) {
            let [least, now] = [before.next.unwrap(), after.next.unwrap()];
            assert!(now >= least, "{case}");
        }
    }
    assert!(enabled > 20 && compared > 300, "{enabled} of {compared}");
}

/// The marks asked for are enough, and one fewer is not.
#[test]
fn the_next_marks_asked_for_are_the_least() {
    let mut asked = 0;
    for seed in 1_000..1_200 {
        let (review, mut standings) = random_case(&mut StdRng::seed_from_u64(seed));
        let status = review.status(&of_standings(&review, &standings));
        let Some(next) = status.next.filter(|next| *next > 0) else { continue };
        asked += 1;
        let mut seen = BTreeSet::new();
        let open: Vec<usize> = (0..standings.len())
            .filter(|at| review.frame.place(&review.id(*at)).is_some_and(|place| seen.insert(place)))
            .filter(|at| !of_standings(&review, &standings).contains_key(&review.id(*at)))
            .collect();
        for at in &open[..next as usize - 1] {
            standings[*at] = Some(Standing::Correct);
        }
        let almost = review.status(&of_standings(&review, &standings));
        assert_ne!(almost.decision, Decision::Enable, "seed {seed}: {status:?}");
        standings[open[next as usize - 1]] = Some(Standing::Correct);
        let enough = review.status(&of_standings(&review, &standings));
        assert_eq!(enough.decision, Decision::Enable, "seed {seed}: {status:?}, then {enough:?}");
    }
    assert!(asked > 60, "{asked}");
}

#[test]
fn known_samples_end_as_they_must() {
    let review = Review::new(&[("a", 200)], |plan| {
        (plan.claim.below, plan.alpha, plan.most_items) = (fraction("1/20"), fraction("1/10"), 130);
    });
    let on = |n: usize, errors: u64| review.status(&review.first(n, &[errors]));
    let told = |status: Status| (status.decision, status.next);
    assert_eq!(told(on(0, 0)), (Decision::Extend, Some(56)));
    assert_eq!(told(on(55, 0)), (Decision::Extend, Some(1)));
    assert_eq!(told(on(56, 0)), (Decision::Enable, Some(0)));
    assert_eq!(told(on(60, 2)), (Decision::Extend, Some(70)));
    assert_eq!(told(on(60, 3)), (Decision::Paused, None));
    assert_eq!(told(on(60, 10)), (Decision::Rejected, None));
    assert_eq!((on(56, 0).e.as_str(), on(55, 0).e.as_str()), ("20.3235", "18.9898"));
    let verdicts = review.first(62, &[0]);
    let process = review.case(&verdicts, Planted::default()).process_e();
    assert_eq!(process.as_deref(), Some("20.6853"), "62 right ones of an endless process, as in mus_betting.json");
    let tiny = Review::new(&[("a", 9)], |_| {});
    assert_eq!(told(tiny.status(&tiny.first(8, &[0]))), (Decision::Census, Some(1)));
}

#[test]
fn the_path_ends_where_the_status_stands() {
    for seed in 2_000..2_080 {
        let (review, standings) = random_case(&mut StdRng::seed_from_u64(seed));
        let verdicts = of_standings(&review, &standings);
        let (status, path) = (review.status(&verdicts), review.case(&verdicts, Planted::default()).path().unwrap());
        if let Some(last) = path.last() {
            assert_eq!((last.n, last.k, &last.e), (status.n, status.k, &status.e), "seed {seed}");
        }
        let steps = if review.plan.procedure == Procedure::Fixed { status.n.min(1) } else { status.n };
        assert_eq!(path.len() as u64, steps, "seed {seed}");
    }
}

#[test]
fn a_status_is_read_as_it_was_written() {
    let (review, standings) = random_case(&mut StdRng::seed_from_u64(5));
    let status = review.status(&of_standings(&review, &standings));
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    let names: Value = serde_json::from_str(&text).unwrap();
    for name in ["N", "D0", "n", "k", "e", "decision", "next", "strata"] {
        assert!(names.get(name).is_some(), "{name} in {text}");
    }
    let invalid = status.invalid(vec!["the order is another one".into()]);
    assert_eq!((invalid.decision, invalid.next), (Decision::Invalid, None));
}

/// Marks by three people, some of whom contradict one another.
fn random_marks(review: &Review, rng: &mut StdRng) -> Vec<Marked> {
    let mut marks = Vec::new();
    let until = rng.random_range(0..=review.order.places().len());
    for at in 0..until {
        for _ in 0..rng.random_range(1..=review.plan.reviewers_per_item + 2) {
            let mark = match rng.random_range(0..20) {
                0 => Word::Incorrect,
                1 => Word::Escalate,
                _ => Word::Correct,
            };
            let is_part = mark == Word::Incorrect && review.plan.claim.of == Measure::Value && rng.random_bool(0.5);
            let wrong_amount = is_part.then(|| format!("{}.{:02}", rng.random_range(0..30), rng.random_range(1..100)));
            marks.push(Marked {
                seq: marks.len() as i64,
                reviewer: review.plan.reviewers[rng.random_range(0..3)].clone(),
                mark: Mark { item: review.id(at), mark, wrong_amount },
            });
        }
    }
    marks
}

/// A case as an outsider gets it.
fn export(review: &Review, marks: &[Marked], without_evidence: &BTreeSet<String>) -> Value {
    let mark = |marked: &Marked| {
        let mut mark = serde_json::to_value(&marked.mark).unwrap();
        (mark["seq"], mark["reviewer"]) = (json!(marked.seq), json!(marked.reviewer));
        mark
    };
    json!({
        "frame": review.frame.lines().collect::<Vec<_>>(), "plan": review.plan, "seed": review.seed,
        "marks": marks.iter().map(mark).collect::<Vec<_>>(), "without_evidence": without_evidence,
    })
}

/// What `tests/oracle/review_draw.py` makes of an export.
fn repeated(python: &str, export: &Value) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), export.to_string()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/review_draw.py");
    let out = Command::new(python).args(["-B", script]).arg(file.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn an_independent_script_draws_and_decides_the_same() {
    let python = std::env::var("PROBITY_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_python = Command::new(&python).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !has_python.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: there is no {python}; set PROBITY_PYTHON to repeat reviews by tests/oracle/review_draw.py");
        return;
    }
    let mut decisions = BTreeSet::new();
    for seed in 3_000..3_060 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut review, _) = random_case(&mut rng);
        review.plan.reviewers_per_item = rng.random_range(1..=2);
        let marks = random_marks(&review, &mut rng);
        let missing: BTreeSet<String> =
            (0..review.order.places().len()).filter(|_| rng.random_bool(0.01)).map(|at| review.id(at)).collect();
        let verdicts = verdicts(&marks, review.plan.reviewers_per_item, &missing);
        let status = review.status(&verdicts);
        let theirs = repeated(&python, &export(&review, &marks, &missing));
        let order: Vec<String> = (0..review.order.places().len()).map(|at| review.id(at)).collect();
        let ours = json!({
            "frame_hash": review.frame.hash(), "seed_hash": review.seed.hash(),
            "order_hash": review.order.hash(&review.frame), "order": order, "N": status.items, "D0": status.d0,
            "n": status.n, "k": status.k, "e": status.e, "decision": status.decision, "next": status.next,
        });
        assert_eq!(theirs, ours, "seed {seed}: {:?}", review.plan);
        decisions.insert(status.decision.name());
    }
    assert!(decisions.len() >= 4, "{decisions:?}");
}
