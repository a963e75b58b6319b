//! Sample reviews through the command line: what has to hold before, what the marks show, who signs it.
//!
//! Here it is that nothing is drawn before it was planned, that a workflow runs again by nothing but ENABLE signed by
//! its owner, and that whatever moves under a review ends it.

mod again;
mod forms;
pub mod world;

use serde_json::{Value, json};

use self::world::{World, named};

#[test]
fn a_workflow_runs_again_when_its_owner_signs_what_the_sample_shows() {
    let world = World::new();
    let planned = world.try_plan(&[]).ended(0).json();
    let id = world::id_of(&planned);
    assert_eq!(
        planned["promise"],
        "if at least 6 of the 60 outputs in the frame were wrong, the chance that this procedure ever says ENABLE is at \
         most 1/40, given that the marks are right"
    );
    let plan = &planned["planned"]["plan"];
    assert_eq!((&plan["owner"], &plan["attempt"], &plan["frame"]["left_out"]), (&"olga".into(), &1.into(), &0.into()));
    let met: Vec<&Value> = planned["planned"]["preconditions"].as_array().unwrap().iter().collect();
    assert!(met.len() == 6 && met.iter().all(|condition| condition["is_met"] == true), "{met:?}");
    assert!(world.try_mark(&id, "rita", &["aaaaaaaa".into()], "correct").ended(2).err.contains("review draw"));

    let items: Vec<String> = world.drawn(&id, &[]).iter().map(world::item).collect();
    let start = world.status(&id, 1);
    assert_eq!((items.len(), &start["next"], &start["decision"]), (52, &29.into(), &"EXTEND".into()));
    world.mark(&id, "rita", &items[..28], "correct");
    let before = world.status(&id, 1);
    assert_eq!((&before["n"], &before["k"], &before["next"]), (&28.into(), &0.into(), &1.into()));
    assert!(world.run(&["review", "decide", &id, "--by", "bob"]).ended(2).err.contains("olga"));
    let extended = world.decided(&id, "olga", 1);
    assert_eq!((&extended["status"]["decision"], &extended["resumed_seq"]), (&"EXTEND".into(), &Value::Null));
    let incident = || world.run(&["incident", "show", &world.incident, "--json"]).ended(0).json();
    assert_eq!(incident()["steps"][6]["state"], "open", "an EXTEND is no sample that shows anything");

    world.mark(&id, "rita", &items[28..29], "correct");
    let shown = world.status(&id, 0);
    assert_eq!((&shown["decision"], &shown["e"], &shown["D0"]), (&"ENABLE".into(), &"44.3106".into(), &6.into()));
    let decided = world.decided(&id, "olga", 0);
    let (seq, resumed) = (decided["seq"].as_i64().unwrap(), decided["resumed_seq"].as_i64().unwrap());
    let sql = "select seq, actor_id, workflow, incident_id, review_id, json_text(extra, '/decided_seq') as decided, \
               json_text(extra, '/n') as n from events where event_type = 'workflow.resumed'";
    let row = &world.rows(sql, &[])[0];
    assert_eq!(
        row,
        &json!({"seq": resumed, "actor_id": "olga", "workflow": "w", "incident_id": world.incident, "review_id": id,
            "decided": seq.to_string(), "n": "29"})
    );
    let incident = incident();
    assert_eq!((&incident["is_paused"], &incident["steps"][6]["seq"]), (&false.into(), &seq.into()));

    for refused in
        [world.run(&["review", "decide", &id, "--by", "olga"]), world.try_mark(&id, "rita", &items, "correct")]
    {
        assert!(refused.ended(2).err.contains("is closed"));
    }
    let outcomes = world.verified(&id, 0);
    assert_eq!(named(&outcomes, "passed").len(), outcomes.len(), "{outcomes:?}");
    assert!(world.try_plan(&[]).ended(2).err.contains("was resumed"));
}

#[test]
fn the_report_and_the_lists_say_what_was_signed() {
    let world = World::new();
    let (id, items) = world.ready(&[]);
    world.mark(&id, "rita", &items[..3], "incorrect");
    world.mark(&id, "rita", &items[3..20], "correct");
    world.decided(&id, "olga", 1);
    world.run(&["review", "report", &id, "--out", "out"]).ended(0);
    let name = |extension: &str| world.dir().join("out").join(format!("review-{id}.{extension}"));
    let written: Value = serde_json::from_str(&std::fs::read_to_string(name("json")).unwrap()).unwrap();
    let status = world.status(&id, 1);
    for part in ["n", "k", "e", "decision", "next"] {
        assert_eq!(written["status"][part], status[part], "{part}");
    }
    let path = written["path"].as_array().unwrap();
    assert_eq!((path.len(), &path[19]["k"], &path[19]["e"]), (20, &3.into(), &status["e"]));
    assert_eq!(
        (written["items"].as_array().unwrap().len(), &written["items"][0]["standing"]),
        (20, &"incorrect".into())
    );
    let html = std::fs::read_to_string(name("html")).unwrap();
    for expected in [
        "The promise: if at least 6 of the 60 outputs",
        "an item that is wrong",
        "a checkpoint alone",
        written["plan_hash"].as_str().unwrap(),
        written["seed"]["seed_hash"].as_str().unwrap(),
        "crm/lead/r-s",
        "review_draw.py",
        "the marks are right",
    ] {
        assert!(html.contains(expected), "the page lacks {expected}");
    }
    let list = world.run(&["review", "list", "--json"]).ended(0).json();
    assert_eq!((&list["reviews"][0]["review_id"], list["reviews"].as_array().unwrap().len()), (&id.clone().into(), 1));
    let wide = ["-p", "period_start=2026-01-01T00:00:00Z", "-p", "period_end=2100-01-01T00:00:00Z"];
    let result = &world.rows("review_results", &wide)[0];
    assert_eq!((&result["review_id"], &result["marks"], &result["wrong"]), (&id.into(), &20.into(), &3.into()));
    assert_eq!((&result["signed_by"], &result["decision"]), (&"olga".into(), &status["decision"]));
    let pattern = &world.rows("marking_patterns", &wide)[0];
    assert_eq!(
        (&pattern["reviewer"], &pattern["judged"], &pattern["correct"]),
        (&"rita".into(), &20.into(), &17.into())
    );
}

#[test]
fn nothing_is_planned_before_everything_holds_that_has_to() {
    let world = World::new();
    // Nothing was changed since it was opened, and nobody has accepted what it left.
    let fresh = world.opened(&[]);
    let args = ["review", "plan", "--incident", &fresh, "--candidate", "rule_version = 'r8'", "--below", "10%"];
    let refused = world.run(&[&args[..], &["--reviewer", "rita"]].concat()).ended(2).err;
    for part in ["no setting was changed", "3 cells are still wrong"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    for (more, part) in [
        (&["--reviewer", "fred"][..], "fred made the fix"),
        (&["--reviewer", "rita", "--reviewer", "rick"], "rick approved bad actions"),
        (&["--author", "rita"], "rita is named as an author"),
        (&["--candidate", "rule_version = 'r7'", "--environment", "production"], "bad actions of the incident"),
        (&["--candidate", "rule_version = 'r9'"], "no items"),
        (&["--candidate", "1 = (select 1)"], "no sub-query"),
        (&["--below", "110%"], "rate"),
        (&["--below", "0"], "between 0 and 1"),
        (&["--planted-where", "rule_version = 'r8'", "--planted-environment", "shadow"], "60 of the outputs to plant"),
        (&["--planted-where", "false"], "the outputs to plant: the frame has no items"),
        (&["--stratum", "segment", "--take-all", "gold"], "gold"),
        (&["--reviewers-per-item", "2"], "reviewers"),
    ] {
        let refused = world.try_plan(more).ended(2).err;
        assert!(refused.contains(part), "{more:?}: {refused}");
    }
    let planned = world.rows("select count(*) as n from events where event_type like 'review.%'", &[]);
    assert_eq!(planned, [json!({"n": 0})], "what was refused left a trace");
}

#[test]
fn a_frame_that_has_changed_is_a_new_attempt_with_less_allowed_error() {
    let world = World::new();
    let id = world.planned(&["--where", "new_value like 'good%'"]);
    world.run(&["erase", "--subject", "p1", "--reason", "case 1", "--by", "dpo"]).ended(0);
    let refused = world.run(&["review", "draw", &id, "--by", "ann"]).ended(2).err;
    assert!(refused.contains("new attempt"), "{refused}");
    let status = world.status(&id, 1);
    assert_eq!((&status["decision"], &status["next"]), (&"INVALID".into(), &Value::Null));
    assert!(status["reasons"].to_string().contains("gives 45 with hash"), "{status}");
    assert_eq!(world.verified(&id, 1)["frame"], "failed");
    let again = world.try_plan(&["--where", "new_value like 'good%'"]).ended(0).json();
    let plan = &again["planned"]["plan"];
    assert_eq!(
        (&plan["attempt"], &plan["frame"]["items"], &plan["frame"]["left_out"]),
        (&2.into(), &45.into(), &15.into())
    );
    let second = world.status(&world::id_of(&again), 1);
    assert_eq!((&second["alpha"], &second["attempt"]), (&"1/120".into(), &2.into()));
}

#[test]
fn what_is_erased_counts_as_wrong_from_then_on_and_no_decision_before_changes() {
    let world = World::new();
    let (id, _) = world.ready(&[]);
    let items = world.drawn(&id, &[]);
    let ids: Vec<String> = items.iter().map(world::item).collect();
    world.mark(&id, "rita", &ids[..29], "correct");
    world.decided(&id, "olga", 0);
    world.run(&["erase", "--subject", "p1", "--reason", "case 1", "--by", "dpo"]).ended(0);
    let is_erased = |item: &&Value| {
        let number: usize = item["action_id"].as_str().unwrap()[1..].parse().unwrap();
        number % 4 == 1
    };
    // What is lost needs no mark to count, in its turn.
    let counted = 29 + items[29..].iter().take_while(is_erased).count();
    let lost = items[..counted].iter().filter(is_erased).count();
    let status = world.status(&id, if lost == 0 { 0 } else { 1 });
    assert_eq!((&status["k"], &status["strata"][0]["without_evidence"]), (&lost.into(), &lost.into()));
    assert!(named(&world.verified(&id, 0), "failed").is_empty());
}

#[test]
fn a_review_by_cadence_is_done_when_it_is_signed_and_lets_nothing_run() {
    let world = World::new();
    let due = |world: &World| world.rows("reviews_due", &["-p", "period_end=2100-01-01T00:00:00Z"])[0].clone();
    assert_eq!((&due(&world)["state"], &due(&world)["owner"]), (&"never".into(), &"olga".into()));
    let args = ["review", "plan", "--without-incident", "--candidate", "rule_version = 'r8'", "--below", "10%"];
    let planned = world.run(&[&args[..], &["--reviewer", "fred", "--by", "ann", "--json"]].concat()).ended(0).json();
    let id = world::id_of(&planned);
    assert_eq!(planned["planned"]["purpose"], "cadence");
    let items: Vec<String> = world.drawn(&id, &[]).iter().map(world::item).collect();
    world.mark(&id, "fred", &items, "correct");
    let decided = world.decided(&id, "olga", 0);
    assert_eq!((&decided["decision"], &decided["resumed_seq"]), (&"ENABLE".into(), &Value::Null));
    assert_eq!(due(&world)["state"], "done");
    let resumed = world.rows("select count(*) as n from events where event_type = 'workflow.resumed'", &[]);
    assert_eq!(resumed, [json!({"n": 0})]);
    // An easy look at a sample does not make the attempts of a paused workflow begin anew.
    world.planned(&[]);
    assert_eq!(world.try_plan(&[]).ended(0).json()["planned"]["plan"]["attempt"], 2);
}
