//! What a sample review costs: a frame with its plan and the order drawn from it, and a decision after a mark.

use std::time::Instant;

use probity::analysis::fraction::Fraction;
use probity::analysis::sampler::seed_hash;
use probity::review::decide::{Case, Planted};
use probity::review::design::{Design, allocate};
use probity::review::frame::{Frame, Item};
use probity::review::marks::{Standing, Verdict};
use probity::review::order::Order;
use probity::review::plan::{Claim, FORMAT, FrameTerms, Measure, Plan, Procedure};
use probity::review::tally::Verdicts;
use serde_json::json;

use crate::Ask;
use crate::measure::{line, peak_mib};

/// Marks before the one that is decided on.
const MARKS: usize = 1_000;
/// Of them one in so many is incorrect.
const ERRORS_ONE_IN: usize = 100;

/// With one stratum and with several.
pub fn review(ask: &Ask) {
    for strata in [1_u64, 8] {
        let items: Vec<Item> = (0..ask.events).map(|i| item(i, strata)).collect();
        let (mut draws, mut decisions, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        let mut said = None;
        for _ in 0..ask.runs {
            let items = items.clone();
            let start = Instant::now();
            let frame = Frame::new(items).expect("a frame");
            let plan = plan(&frame);
            plan.check(&frame).expect("a plan");
            let order = Order::draw(&plan, &frame, &seed_hash("bench")).expect("an order");
            draws.push(start.elapsed());
            let verdicts: Verdicts =
                order.places().iter().take(MARKS).enumerate().map(|(at, place)| verdict(&frame, at, *place)).collect();
            let case =
                Case { plan: &plan, frame: &frame, order: &order, verdicts: &verdicts, planted: Planted::default() };
            let start = Instant::now();
            said = Some(case.status().expect("a status"));
            decisions.push(start.elapsed());
            let start = Instant::now();
            std::hint::black_box(case.path().expect("a path"));
            paths.push(start.elapsed());
        }
        let Some(said) = said else { continue };
        let about = json!({"items": ask.events, "strata": strata, "peak_mib": peak_mib()});
        let decided = json!({
            "items": ask.events, "strata": strata, "n": said.n, "k": said.k, "e": said.e, "next": said.next,
            "decision": said.decision,
        });
        for (name, times, more) in [
            ("frame_plan_and_order", &draws, &about),
            ("decision_after_a_mark", &decisions, &decided),
            ("path_of_e", &paths, &decided),
        ] {
            if ask.wants(name) {
                line(name, times, more.clone());
            }
        }
    }
}

fn item(i: u64, strata: u64) -> Item {
    Item { id: seed_hash(&i.to_string()), stratum: format!("stratum {}", i % strata), weight: None }
}

/// Below 2 %, surviving as many errors as the marks have.
fn plan(frame: &Frame) -> Plan {
    let claim = Claim { below: Fraction::new(1, 50).expect("a rate"), of: Measure::Overall };
    let design = Design {
        claim,
        alpha: Fraction::new(1, 40).expect("an error"),
        procedure: Procedure::Sequential,
        errors: (MARKS / ERRORS_ONE_IN) as u64 + 10,
        take_all: Vec::new(),
        round_items: 20,
        planted: 0,
    };
    let allocation = allocate(frame.strata(), &design).expect("a size");
    Plan {
        format: FORMAT.to_owned(),
        claim,
        alpha: Fraction::new(1, 20).expect("an error"),
        attempt: 1,
        procedure: Procedure::Sequential,
        most_items: allocation.most_items,
        strata: allocation.strata,
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
        reviewers: vec!["ann".to_owned()],
        reviewers_per_item: 1,
        owner: "olga".to_owned(),
    }
}

fn verdict(frame: &Frame, at: usize, place: u32) -> (String, Verdict) {
    let is_error = at % ERRORS_ONE_IN == ERRORS_ONE_IN - 1;
    let standing = if is_error { Standing::Incorrect } else { Standing::Correct };
    let verdict =
        Verdict { standing, reviewers: vec!["ann".to_owned()], cleared_by: None, refused: 0, wrong_amount: None };
    (frame.id(place as usize).to_owned(), verdict)
}
