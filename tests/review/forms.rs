//! The forms of a review: fixed, by several people, with planted errors, in strata, by value, with entropy of others.

use probity::clock::{Clock, rfc3339};
use probity::ledger::hash::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::world::{KNOWN, World, item};

fn wide() -> [&'static str; 4] {
    ["-p", "period_start=2026-01-01T00:00:00Z", "-p", "period_end=2100-01-01T00:00:00Z"]
}

#[test]
fn a_fixed_sample_is_decided_once_all_of_it_is_marked() {
    let world = World::new();
    let (id, items) = world.ready(&["--fixed", "--errors", "0"]);
    assert_eq!(items.len(), 27);
    world.mark(&id, "rita", &items[..26], "correct");
    let status = world.status(&id, 1);
    assert_eq!((&status["n"], &status["k"], &status["next"]), (&27.into(), &1.into(), &1.into()));
    assert_eq!(status["strata"][0]["unmarked"], 1);
    world.mark(&id, "rita", &items[26..], "correct");
    let status = world.status(&id, 0);
    assert_eq!((&status["decision"], &status["e"]), (&"ENABLE".into(), &"45.2016".into()));
    assert_eq!(world.decided(&id, "olga", 0)["decision"], "ENABLE");
}

#[test]
fn of_two_reviewers_the_worse_word_counts_until_a_third_clears_it() {
    let world = World::new();
    let people = ["--reviewer", "rita", "--reviewer", "ron", "--reviewer", "sue", "--reviewers-per-item", "2"];
    let (id, items) = world.ready(&people);
    world.mark(&id, "rita", &items[..29], "correct");
    assert_eq!(world.status(&id, 1)["n"], 0, "one opinion of two decides nothing");
    let first: Vec<String> = world.drawn(&id, &["--reviewer", "ron"]).iter().map(item).collect();
    assert_eq!(first, items, "what one has said does not take an item from the other");
    let left: Vec<String> = world.drawn(&id, &["--reviewer", "rita"]).iter().map(item).collect();
    assert_eq!(left, items[29..]);
    world.mark(&id, "ron", &items[..1], "incorrect");
    world.mark(&id, "ron", &items[1..29], "correct");
    let status = world.status(&id, 1);
    assert_eq!((&status["n"], &status["k"]), (&29.into(), &1.into()));
    world.mark(&id, "ron", &items[..1], "correct");
    assert_eq!(world.status(&id, 1)["k"], 1, "nobody clears his own word");
    world.mark(&id, "sue", &items[..1], "correct");
    let status = world.status(&id, 0);
    assert_eq!((&status["k"], &status["strata"][0]["cleared"]), (&0.into(), &1.into()));
    assert!(world.try_mark(&id, "pat", &items[..1], "correct").ended(2).err.contains("pat is no reviewer"));
    let report = world.run(&["review", "report", &id, "--json"]).ended(0).json();
    assert_eq!(
        report["marks"]["cleared"],
        json!([{"item": items[0], "cleared_by": "sue",
        "reviewers": ["rita", "ron", "sue"]}])
    );
    let agreement = &world.rows("marking_agreement", &wide())[0];
    assert_eq!((&agreement["first_reviewer"], &agreement["second_reviewer"]), (&"rita".into(), &"ron".into()));
    let observed = agreement["observed"].as_f64().unwrap();
    assert!(agreement["items"] == 29 && (observed - 28.0 / 29.0).abs() < 1e-9, "{agreement}");
}

#[test]
fn marks_that_one_person_brings_for_others_are_told() {
    let world = World::new();
    let two = ["--reviewer", "rita", "--reviewer", "ron", "--reviewers-per-item", "2"];
    let (id, items) = world.ready(&two);
    let lines = ["rita", "ron"].map(|name| format!("{},correct,{name}\n", items[0])).concat();
    std::fs::write(world.dir().join("both.csv"), format!("item,mark,reviewer\n{lines}")).unwrap();
    world.run(&["review", "mark", &id, "--file", "both.csv", "--by", "ron"]).ended(0);
    assert_eq!(world.status(&id, 1)["n"], 1, "both names count");
    let verified = world.run(&["review", "verify", &id]).ended(0).out;
    assert!(verified.contains("2 marks, 1 stated by others than their reviewers"), "{verified}");
    let report = world.run(&["review", "report", &id, "--json"]).ended(0).json();
    assert_eq!((&report["marks"]["by_others"], &report["judged"]), (&1.into(), &1.into()));
}

#[test]
fn an_escalated_item_is_wrong_until_somebody_says_otherwise() {
    let world = World::new();
    let (id, items) = world.ready(&[]);
    world.mark(&id, "rita", &items[..1], "escalate");
    world.mark(&id, "rita", &items[1..29], "correct");
    let status = world.status(&id, 1);
    assert_eq!((&status["k"], &status["escalated"]), (&1.into(), &json!([items[0]])));
    let args = ["review", "mark", &id, "--item", &items[0][..12], "--as", "correct", "--by", "rita"];
    world.run(&[&args[..], &["--opened", "2026-01-02T09:00:00Z", "--comment", "asked sales"]].concat()).ended(0);
    assert_eq!(world.status(&id, 0)["escalated"], json!([]));
    let sql = "select comment, review_opened_at is not null as is_opened, reviewer from events \
               where event_type = 'review.marked' and comment is not null";
    let said = json!({"comment": "asked sales", "is_opened": true, "reviewer": "rita"});
    assert_eq!(world.rows(sql, &[]), [said]);
}

#[test]
fn planted_errors_say_what_reviewers_miss_and_look_like_all_others() {
    let world = World::new();
    let planted = ["--planted-where", "rule_version = 'r6'", "--below", "20%"];
    let id = world.planned(&planted);
    let items = world.drawn(&id, &[]);
    let is_bad = |item: &&Value| item["new_value"].as_str().unwrap().starts_with("bad");
    assert_eq!(items.iter().filter(is_bad).count(), KNOWN);
    let names = |item: &Value| item.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for telling in ["action_id", "rule_version", "seq", "outcome"] {
        assert!(items.iter().all(|item| !names(item).contains(&telling.to_string())), "{telling}");
    }
    assert!(items[..items.len() / 2].iter().any(|item| is_bad(&item)), "the planted ones come last");
    let (bad, good): (Vec<&Value>, Vec<&Value>) = items.iter().partition(is_bad);
    let ids = |items: &[&Value]| items.iter().map(|known| item(known)).collect::<Vec<String>>();
    world.mark(&id, "rita", &ids(&good), "correct");
    let before = world.status(&id, 1);
    assert_eq!((&before["e"], &before["planted"]["share"]), (&"0".into(), &Value::Null));
    assert!(!before.to_string().contains(&ids(&bad)[0]), "the status tells which are planted");
    world.mark(&id, "rita", &ids(&bad), "incorrect");
    let status = world.status(&id, 0);
    assert_eq!(status["k"], 0, "planted items are none of the frame");
    assert_eq!(
        (&status["planted"]["caught"], &status["planted"]["share"], &status["planted"]["recorded_errors"]),
        (&KNOWN.into(), &"787119/1000000".into(), &json!([6]))
    );
    world.decided(&id, "olga", 0);
    let pattern = &world.rows("marking_patterns", &wide())[0];
    assert_eq!((&pattern["planted"], &pattern["planted_missed"]), (&KNOWN.into(), &0.into()));
    assert!(world.verified(&id, 0).values().all(|outcome| outcome == "passed"));
}

#[test]
fn who_looks_at_nothing_is_told_by_several_signs() {
    let world = World::new();
    let people = ["--reviewer", "rita", "--reviewer", "ron", "--reviewers-per-item", "2"];
    let planted = ["--planted-where", "rule_version = 'r6'", "--below", "20%"];
    let id = world.planned(&[&people[..], &planted].concat());
    let items = world.drawn(&id, &[]);
    let is_bad = |item: &&Value| item["new_value"].as_str().unwrap().starts_with("bad");
    let (bad, good): (Vec<&Value>, Vec<&Value>) = items.iter().partition(is_bad);
    let ids = |items: &[&Value]| items.iter().map(|known| item(known)).collect::<Vec<String>>();
    world.mark(&id, "rita", &ids(&good), "correct");
    world.mark(&id, "rita", &ids(&bad), "incorrect");
    // Ron calls all of it correct in the minute in which he opened it.
    let opened = rfc3339(Clock::system().now());
    let sheet: String = items
        .iter()
        .map(|known| json!({"item": item(known), "mark": "correct", "review_opened_at": opened}).to_string() + "\n")
        .collect();
    std::fs::write(world.dir().join("ron.ndjson"), sheet).unwrap();
    world.run(&["review", "mark", &id, "--file", "ron.ndjson", "--by", "ron"]).ended(0);
    assert_eq!(world.decided(&id, "olga", 0)["decision"], "ENABLE", "what one of two finds is found");
    let told = world.rows("marking_patterns", &[&wide()[..], &["-p", "fast_seconds=3600"]].concat());
    let signals = |row: &Value| row["signals"].as_str().unwrap().to_owned();
    let [rita, ron] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&rita["planted_missed"], &ron["planted_missed"]), (&0.into(), &KNOWN.into()));
    for sign in [
        "calls everything correct",
        "finds fewer errors than the others",
        "half or more of the correct ones within 3600 s",
        "half or more of the planted errors missed",
    ] {
        assert!(signals(ron).contains(sign) && !signals(rita).contains(sign), "{sign}: {told:?}");
    }
    assert!(signals(rita).contains("items mostly not opened, unlike the others"), "{rita}");
}

#[test]
fn a_stratum_that_is_reviewed_in_full_leaves_with_its_errors() {
    for (wrong, needed) in [(0, 32), (1, 35)] {
        let world = World::new();
        let id = world.planned(&["--stratum", "segment", "--take-all", "vip"]);
        let items = world.drawn(&id, &[]);
        let is_vip = |item: &Value| {
            let number: usize = item["record_id"].as_str().unwrap()["r-s".len()..].parse().unwrap();
            number < 5
        };
        let ids: Vec<String> = items.iter().map(item).collect();
        let vips: Vec<usize> = (0..ids.len()).filter(|turn| is_vip(&items[*turn])).collect();
        assert_eq!(vips, (27..32).collect::<Vec<_>>(), "all of it comes in the first round");
        world.mark(&id, "rita", &ids[..27], "correct");
        if wrong > 0 {
            world.mark(&id, "rita", &ids[27..27 + wrong], "incorrect");
        }
        world.mark(&id, "rita", &ids[27 + wrong..needed - 1], "correct");
        assert_eq!(world.status(&id, 1)["next"], 1);
        world.mark(&id, "rita", &ids[needed - 1..needed], "correct");
        let status = world.status(&id, 0);
        let vip = &status["strata"][1];
        assert_eq!((&vip["stratum"], &vip["is_take_all"], &vip["k"]), (&"vip".into(), &true.into(), &wrong.into()));
    }
}

#[test]
fn a_claim_of_each_stratum_takes_evidence_from_each() {
    let world = World::new();
    let claim = ["--stratum", "segment", "--of", "each-stratum", "--below", "25%", "--errors", "0"];
    let id = world.planned(&claim);
    let ids: Vec<String> = world.drawn(&id, &[]).iter().map(item).collect();
    world.mark(&id, "rita", &ids, "correct");
    let status = world.status(&id, 0);
    let strata = status["strata"].as_array().unwrap();
    assert!(strata.len() == 2 && strata.iter().all(|stratum| stratum["e"].is_string()), "{strata:?}");
    // A quarter of five is two or more: four right ones exclude it for certain.
    assert_eq!((&strata[1]["stratum"], &strata[1]["D0"], &strata[1]["e"]), (&"vip".into(), &2.into(), &"inf".into()));
}

#[test]
fn by_value_an_item_counts_with_what_of_it_is_wrong() {
    let world = World::new();
    let (id, items) = world.ready(&["--of", "value", "--below", "20%"]);
    // 60 outputs of 1.50 to 60.50.
    let partly = ["review", "mark", &id, "--item", &items[0], "--as", "incorrect", "--wrong-amount", "0.50"];
    world.run(&[&partly[..], &["--by", "rita"]].concat()).ended(0);
    world.mark(&id, "rita", &items[1..], "correct");
    let status = world.status(&id, 0);
    assert_eq!((&status["value"]["total"], &status["value"]["wrong"]), (&"1860.00".into(), &"0.50".into()));
    assert_eq!((&status["D0"], &status["N"]), (&Value::Null, &60.into()));
    world.mark(&id, "rita", &items[1..2], "incorrect");
    let worse = world.run(&["review", "status", &id, "--json"]).json();
    let e = |status: &Value| status["e"].as_str().unwrap().parse::<f64>().unwrap();
    assert!(e(&worse) < e(&status), "{worse}");
}

#[test]
fn what_a_plan_promised_for_the_seed_is_revealed_after_the_checkpoint() {
    let world = World::new();
    let secret: Vec<u8> = (0..16).collect();
    let digits = hex(&secret);
    let id = world.planned(&["--commitment", &format!("ann={}", hex(&Sha256::digest(&secret)))]);
    let draw = |more: &[&str]| world.run(&[&["review", "draw", &id, "--by", "ann", "--json"][..], more].concat());
    assert!(draw(&[]).ended(2).err.contains("`ann` was promised"));
    let other = format!("ann={}", digits.replace('1', "2"));
    assert!(draw(&["--reveal", &other]).ended(2).err.contains("does not open its commitment"));
    assert_eq!(draw(&["--reveal", &format!("ann={digits}")]).ended(0).json()["seed"]["class"], "B");
    let beacon = world.planned(&["--beacon", "drand=4711"]);
    let args = ["review", "draw", &beacon, "--reveal", &format!("drand={digits}"), "--by", "ann", "--json"];
    assert_eq!(world.run(&args).ended(0).json()["seed"]["class"], "A");
    for id in [id, beacon] {
        assert_eq!(world.verified(&id, 0)["seed"], "passed");
    }
}
