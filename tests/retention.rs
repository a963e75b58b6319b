//! Holds and retention: what is held stays, what is old goes as a whole month, and the ledger still verifies.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use probity::clock::DAY;
use probity::custody::hold::Selection;
use probity::custody::{erase, hold, retention};
use probity::error::ErrorKind;
use probity::event::Column;
use probity::ingest::writer::Writer;
use probity::ledger::note::Kind;
use probity::store::Store;
use probity::store::object::Location;

use crate::support::command::{run, run_with};
use crate::support::custody::{
    SUBJECT, about, all_text, filled, opened, opened_as, order, retired, signer, traces, verified,
};
use crate::support::faults::Faulty;
use crate::support::{T0, ingest};

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_stops_what_it_is_about_and_nothing_else() {
    let select = |part: &str| {
        let mut selection = Selection::default();
        match part {
            "subject" => selection.subject = Some(SUBJECT.into()),
            "workflow" => selection.workflow = Some("w".into()),
            "range" => {
                selection.from = Some("2026-01-15T00:00:00Z".into());
                selection.to = Some("2026-02-15T00:00:00Z".into());
            }
            "other range" => selection.from = Some("2026-06-01T00:00:00Z".into()),
            "other workflow" => {
                selection.workflow = Some("v".into());
                selection.subject = Some(SUBJECT.into());
            }
            _ => selection.incident = Some("INC-1".into()),
        }
        selection
    };
    for (part, stops) in [
        ("subject", true),
        ("workflow", true),
        ("range", true),
        ("other range", false),
        ("other workflow", false),
        ("incident", false),
    ] {
        let store = opened(&Location::memory()).await;
        filled(&store).await;
        let (placed, _) = hold::place(&store, select(part), &order()).await.unwrap();
        let in_force = hold::in_force(&store).await.unwrap();
        assert_eq!(in_force.iter().map(|hold| &hold.id).collect::<Vec<_>>(), [&placed.id]);
        assert_eq!(in_force[0].selection, placed.selection);
        let outcome = erase::erase(&store, SUBJECT, &order()).await;
        assert_eq!(outcome.is_err(), stops, "{part}");
        if let Err(denied) = outcome {
            assert_eq!(denied.kind(), ErrorKind::Denied);
            assert!(denied.to_string().contains(&placed.id), "{denied}");
            hold::release(&store, &placed.id, &order()).await.unwrap();
            assert!(hold::in_force(&store).await.unwrap().is_empty());
            erase::erase(&store, SUBJECT, &order()).await.unwrap();
        }
        assert_eq!(hold::release(&store, "hold-0", &order()).await.unwrap_err().kind(), ErrorKind::NotFound);
        verified(&store).await;
    }
    let store = opened(&Location::memory()).await;
    assert!(hold::place(&store, Selection::default(), &order()).await.is_err());
    let backwards = Selection {
        from: Some("2026-02-01T00:00:00Z".into()),
        to: Some("2026-01-01T00:00:00Z".into()),
        ..Selection::default()
    };
    assert!(hold::place(&store, backwards, &order()).await.is_err());
    let nobody = Selection { subject: Some(String::new()), ..Selection::default() };
    assert!(hold::place(&store, nobody, &order()).await.is_err());
    let part_of_incident =
        Selection { incident: Some("INC-1".into()), workflow: Some("w".into()), ..Selection::default() };
    let refusal = hold::place(&store, part_of_incident, &order()).await.unwrap_err();
    assert!(refusal.to_string().contains("as a whole"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_on_a_person_keeps_what_was_refused_about_it() {
    let store = opened(&Location::memory()).await;
    ingest(&store, r#"{"event_id":"q","who":"person-5"}"#).await;
    let selection = Selection { subject: Some("person-5".into()), ..Selection::default() };
    let (placed, _) = hold::place(&store, selection, &order()).await.unwrap();
    assert_eq!(hold::cover(&store, &placed).await.unwrap().events, 0, "no event is about the person");
    assert_eq!(erase::erase(&store, "person-5", &order()).await.unwrap_err().kind(), ErrorKind::Denied);
    hold::release(&store, &placed.id, &order()).await.unwrap();
    assert_eq!(erase::erase(&store, "person-5", &order()).await.unwrap().quarantine, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_while_it_cannot_be_found_what_an_incident_reached() {
    let store = aged(&Location::memory()).await;
    let mut writer = Writer::new(&store);
    let mut event = writer.statement("incident.opened");
    event.set_text(Column::IncidentId, "inc-1");
    // As of a version that had that column.
    event.set_text(Column::Extra, r#"{"title":"t","selector":{"where":"no_such_column = 1"}}"#);
    writer.state(&event).await.unwrap();
    let selection = Selection { incident: Some("inc-1".into()), ..Selection::default() };
    let (placed, _) = hold::place(&store, selection, &order()).await.unwrap();
    assert_eq!(hold::cover(&store, &placed).await.unwrap_err().kind(), ErrorKind::Denied);
    let refusal = erase::erase(&store, "person-1", &order()).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Denied, "{refusal}");
    assert!(refusal.to_string().contains(&format!("probity release {}", placed.id)), "{refusal}");
    assert_eq!(retired(&store, 400).await.unwrap(), [("2026-01".to_owned(), false), ("2026-02".to_owned(), false)]);
    hold::release(&store, &placed.id, &order()).await.unwrap();
    assert_eq!(retired(&store, 400).await.unwrap(), [("2026-01".to_owned(), true), ("2026-02".to_owned(), true)]);
    verified(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_stops_one_unfinished_erasure_and_no_other_and_keeps_its_range() {
    let objects = Arc::new(Faulty::new(1, 0));
    let location = Location { objects: objects.clone(), ..Location::memory() };
    let store = opened(&location).await;
    filled(&store).await;
    let late = Selection {
        subject: Some(SUBJECT.into()),
        from: Some("2030-01-01".into()),
        to: Some("2031-01-01".into()),
        ..Selection::default()
    };
    let (late, _) = hold::place(&store, late, &order()).await.unwrap();
    assert_eq!(hold::cover(&store, &late).await.unwrap().events, 0);
    store.fold().await.unwrap();
    // The note of the erasure, and nothing more.
    objects.die_after(Some(2));
    erase::erase(&store, SUBJECT, &order()).await.unwrap_err();
    objects.die_after(None);
    let store = opened_as(&location, 8).await;
    assert_eq!(store.marked_erasures().await.unwrap().len(), 1);
    let selection = Selection { subject: Some(SUBJECT.into()), ..Selection::default() };
    let (placed, _) = hold::place(&store, selection, &order()).await.unwrap();
    assert!(hold::cover(&store, &placed).await.unwrap().events > 0);
    let resumed = erase::resume(&store).await.unwrap();
    assert!(matches!(&resumed[..], [(subject, Err(e))] if subject == SUBJECT && e.kind() == ErrorKind::Denied));
    erase::erase(&store, "person-1", &order()).await.unwrap();
    hold::release(&store, &placed.id, &order()).await.unwrap();
    assert!(erase::resume(&store).await.unwrap()[0].1.is_ok());
    let shared: Arc<dyn ObjectStore> = objects.clone();
    assert_eq!(traces(&shared).await, BTreeSet::new());
    let in_force = hold::in_force(&store).await.unwrap();
    assert_eq!(in_force.iter().map(|hold| &hold.selection).collect::<Vec<_>>(), [&late.selection]);
}

#[tokio::test(flavor = "multi_thread")]
async fn vacuum_leaves_the_files_of_months_under_hold() {
    let location = Location::memory();
    let store = opened(&location).await;
    filled(&store).await;
    let january = Selection { to: Some("2026-02-01T00:00:00Z".into()), ..Selection::default() };
    hold::place(&store, january, &order()).await.unwrap();
    store.clock().set(T0 + 10 * DAY);
    let holds = hold::in_force(&store).await.unwrap();
    let is_held = |month: &str| holds.iter().any(|hold| hold.touches(month));
    assert!(is_held("2026-01") && !is_held("2026-02"));
    let files = async |month: &str| {
        let all = all_text(&location.objects).await;
        let folder = format!("/occurred_month={month}/");
        all.iter().filter(|(path, _)| path.as_ref().contains(&folder)).count()
    };
    let before = files("2026-01").await;
    assert!(before > 1, "a compaction replaced files of January");
    store.vacuum(is_held).await.unwrap();
    assert_eq!(files("2026-01").await, before);
    store.vacuum(|_| false).await.unwrap();
    assert!(files("2026-01").await < before);
    store.clock().set(T0 + 100 * DAY);
    assert_eq!(store.vacuum(|_| true).await.unwrap().quarantine, 0, "what was refused in a month under hold stays");
    assert!(store.vacuum(|_| false).await.unwrap().quarantine > 0);
}

/// A store two years later, with events of three months.
async fn aged(location: &Location) -> Store {
    let store = opened(location).await;
    filled(&store).await;
    store.fold().await.unwrap();
    store.clock().set(T0 + 700 * DAY);
    ingest(&store, about("n1", "person-2", "of today", 690)).await;
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_deletes_whole_old_months_and_the_ledger_still_verifies() {
    let location = Location::memory();
    let store = aged(&location).await;
    let size = store.snapshot().await.unwrap().size;
    let root = store.root_at(size).await.unwrap();
    assert_eq!(retention::retire(&store, 182, &order()).await.unwrap_err().kind(), ErrorKind::Invalid);
    for days in [i64::MAX, i64::MIN, 150_000_000] {
        assert_eq!(retention::retire(&store, days, &order()).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(retired(&store, 720).await.unwrap(), [("2026-01".to_owned(), false)], "recorded later than it happened");
    let months = retired(&store, 400).await.unwrap();
    assert_eq!(months, [("2026-01".to_owned(), true), ("2026-02".to_owned(), true)]);
    let all = all_text(&location.objects).await;
    let left: Vec<&Path> =
        all.iter().filter(|(_, text)| text.contains("somebody else")).map(|(path, _)| path).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(all.iter().any(|(_, text)| text.contains("of today")));
    assert_eq!(store.root_at(size).await.unwrap(), root);
    verified(&store).await;
    assert_eq!(retired(&store, 400).await.unwrap(), [], "what the engine stated is left");
    // The tree can still be made again from what is left, and goes on growing.
    store.remake_tiles().await.unwrap();
    ingest(&store, about("n2", "person-2", "of today", 691)).await;
    store.fold().await.unwrap();
    verified(&store).await;
    // A set of rows that was changed explains nothing.
    let set =
        all.iter().find(|(path, _)| path.as_ref().contains("/log/retired/")).map(|(path, _)| path.clone()).unwrap();
    let bytes = location.objects.get(&set).await.unwrap().bytes().await.unwrap();
    let mut changed = bytes.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    location.objects.put(&set, changed.into()).await.unwrap();
    let found = store.verify(&[signer().verifier(Kind::Ed25519)], |_| {}).await.unwrap();
    assert!(!found.is_ok());
    location.objects.delete(&set).await.unwrap();
    let found = store.verify(&[signer().verifier(Kind::Ed25519)], |_| {}).await.unwrap();
    assert!(found.findings.iter().any(|finding| finding.kind == "missing"), "{:?}", found.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_under_hold_is_kept() {
    let store = aged(&Location::memory()).await;
    let selection =
        Selection { subject: Some(SUBJECT.into()), to: Some("2026-01-10T00:00:00Z".into()), ..Selection::default() };
    let (placed, _) = hold::place(&store, selection, &order()).await.unwrap();
    assert_eq!(retired(&store, 400).await.unwrap(), [("2026-01".to_owned(), false), ("2026-02".to_owned(), true)]);
    verified(&store).await;
    hold::release(&store, &placed.id, &order()).await.unwrap();
    assert_eq!(retired(&store, 400).await.unwrap(), [("2026-01".to_owned(), true)]);
    verified(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retirement_killed_at_any_change_loses_nothing_that_is_kept() {
    for changes in 0.. {
        let objects = Arc::new(Faulty::new(changes, 0));
        let location = Location { objects: objects.clone(), ..Location::memory() };
        let store = aged(&location).await;
        objects.die_after(Some(changes));
        let outcome = retired(&store, 400).await;
        objects.die_after(None);
        let again = opened_as(&location, 8).await;
        again.clock().set(T0 + 700 * DAY);
        again.fold().await.unwrap();
        verified(&again).await;
        retired(&again, 400).await.unwrap();
        verified(&again).await;
        let shared: Arc<dyn ObjectStore> = objects.clone();
        let all = all_text(&shared).await;
        assert!(all.iter().any(|(_, text)| text.contains("of today")));
        let is_outlived =
            |(path, text): &&(Path, String)| path.as_ref().contains("/projection/") && text.contains("somebody else");
        assert_eq!(all.iter().find(is_outlived).map(|(path, _)| path), None, "killed after {changes} changes");
        if outcome.is_ok() {
            assert!(changes > 5);
            break;
        }
    }
}

#[test]
fn a_hold_on_an_incident_keeps_all_that_the_incident_reached() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let line = |id: &str, minute: u32, more: &str| {
        format!(
            r#"{{"event_id":"{id}","source":"test","occurred_at":"2026-01-01T00:{minute:02}:00Z","workflow":"w","system":"crm","record_type":"lead",{more}}}"#
        )
    };
    let write = |action: &str, record: &str, subject: &str| {
        format!(
            r#""event_type":"action.executed","action_id":"{action}","record_id":"{record}","field":"owner","old_value":"x","new_value":"{action}","outcome":"succeeded","subject_id":"{subject}""#
        )
    };
    let reads_l1 = r#","inputs":[{"system":"crm","record_type":"lead","record_id":"L-1","field":"owner"}]"#;
    let corrected = r#""event_type":"record.corrected","record_id":"L-1","field":"owner","actor_kind":"human","old_value":"a-1","new_value":"x","subject_id":"p-4""#;
    let accessed = r#""event_type":"data.accessed","record_id":"L-5","field":"owner","subject_id":"p-5""#.to_owned();
    let lines = [
        line("1", 1, &write("a-1", "L-1", "p-1")),
        line("2", 2, &(write("a-2", "L-2", "p-2") + reads_l1)),
        line("3", 3, &write("a-3", "L-3", "p-3")),
        line("5", 3, &(accessed + reads_l1)),
        line("4", 4, corrected),
    ];
    run_with(dir, &["ingest", "-"], lines.join("\n").as_bytes()).ended(0);
    let open = ["incident", "open", "--title", "t", "--where", "action_id = 'a-1'", "--by", "ann", "--json"];
    let incident = run(dir, &open).ended(0).json()["incident_id"].as_str().unwrap().to_owned();
    let placed = run(dir, &["hold", "--incident", &incident, "--reason", "dispute", "--json"]).ended(0).json();
    // The write, what followed from it, who looked at it, the correction, and two statements that name the incident.
    assert_eq!((&placed["events"], &placed["reached"]["actions"]), (&6.into(), &2.into()), "{placed}");
    assert_eq!(placed["reached"]["records"], 3, "{placed}");
    assert!(run(dir, &["hold"]).ended(0).out.contains(&format!("incident {incident} and what it reached")));
    run(dir, &["incident", "update", &incident, "--where", "action_id = 'nothing'", "--by", "ann"]).ended(0);
    run(dir, &["incident", "close", &incident, "--reason", "done", "--by", "ann"]).ended(0);
    for (subject, is_held) in [("p-1", true), ("p-2", true), ("p-4", true), ("p-5", true), ("p-3", false)] {
        let done = run(dir, &["erase", "--subject", subject, "--reason", "case"]).ended(if is_held { 2 } else { 0 });
        assert_eq!(done.err.contains(placed["id"].as_str().unwrap()), is_held, "{subject}: {}", done.err);
    }
    run(dir, &["release", placed["id"].as_str().unwrap(), "--reason", "settled"]).ended(0);
    run(dir, &["erase", "--subject", "p-2", "--reason", "case"]).ended(0);
}

#[test]
fn a_hold_says_when_its_incident_is_unknown_or_has_reached_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    run_with(dir, &["ingest", "-"], about("1", "p-1", "x", 0).as_bytes()).ended(0);
    let wrong = run(dir, &["hold", "--incident", "INC-9", "--reason", "dispute", "--json"]).ended(0);
    assert!(wrong.err.contains("the register knows no incident `INC-9`"), "{}", wrong.err);
    assert_eq!((&wrong.json()["events"], &wrong.json()["reached"]), (&0.into(), &serde_json::Value::Null));
    let open = ["incident", "open", "--title", "t", "--where", "action_id = 'nothing'", "--by", "ann", "--json"];
    let incident = run(dir, &open).ended(0).json()["incident_id"].as_str().unwrap().to_owned();
    let early = run(dir, &["hold", "--incident", &incident, "--reason", "dispute", "--json"]).ended(0);
    assert!(early.err.contains("incident update"), "{}", early.err);
    assert_eq!(early.json()["reached"]["actions"], 0);
    assert!(run(dir, &["maintain", "vacuum"]).ended(0).err.contains("2 holds may be about stay"));
}
