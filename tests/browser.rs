//! The pages as people use them: in a real browser, by mouse and by keyboard, on a desk and on a telephone.
//!
//! One story, from the first event over HTTP to a pack that verifies offline; then a look at every page: narrow, dark,
//! quiet, with a label on every field. Pictures of all pages lie in `target/tmp/pages`.

use std::path::{Path, PathBuf};

use probity::clock::{Clock, rfc3339};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::review::world::POLICY;
use crate::support::browser::{Browser, ENTER, Found};
use crate::support::command::run;
use crate::support::http::{Request, encoded};
use crate::support::server::{Served, token, wait_for};

/// Outputs of the new version in the shadow.
const OUTPUTS: usize = 30;
const HOUR: i64 = 3_600_000_000;

/// A server over a new store, and the people who work with it.
struct Story {
    served: Served,
    folder: TempDir,
    tokens: Vec<(&'static str, String)>,
    pictures: PathBuf,
}

impl Story {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        run(dir, &["init"]).ended(0);
        std::fs::write(dir.join("p.toml"), POLICY).unwrap();
        run(dir, &["policy", "apply", "p.toml", "--by", "pat"]).ended(0);
        let people =
            [("ingest", "ingo"), ("responder", "olga"), ("reviewer", "rita"), ("auditor", "audrey"), ("admin", "adam")];
        let tokens = people.map(|(role, name)| (name, token(dir, role, name, &[]))).into();
        let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
        std::fs::create_dir_all(&pictures).unwrap();
        Self { served: Served::start(dir, &[]), folder, tokens, pictures }
    }

    fn token(&self, name: &str) -> &str {
        &self.tokens.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn url(&self, target: &str) -> String {
        format!("{}://{}{target}", self.served.scheme, self.served.address)
    }

    /// Events of the agent `hours` ago, over HTTP.
    fn sends(&self, events: Vec<Value>) {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let answer = self.served.ingest(self.token("ingo"), &lines.join("\n")).is(200).json();
        assert_eq!(answer["accepted"], lines.len(), "{answer}");
    }

    /// Logs in as a person does who has no mouse.
    fn logs_in(&self, browser: &mut Browser, name: &str) {
        browser.go(&self.url("/login"));
        let token = self.token(name);
        browser.tab_to("input[name=token]");
        browser.press(&format!("{token}{ENTER}"));
        browser.wait_for_text(name);
    }

    fn sees(&self, browser: &mut Browser, target: &str, words: &str) -> String {
        browser.go(&self.url(target));
        browser.wait_for_text(words)
    }
}

fn event(id: &str, event_type: &str, hours_ago: f64, more: Value) -> Value {
    let at = Clock::system().now() - (hours_ago * HOUR as f64) as i64;
    let mut event = json!({
        "event_id": id, "source": "test", "event_type": event_type, "workflow": "w", "occurred_at": rfc3339(at),
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn change(action: &str, version: &str, value: &str) -> Value {
    json!({
        "action_id": action, "rule_version": version, "actor_kind": "agent", "actor_id": "agent-1", "system": "crm",
        "record_type": "lead", "record_id": format!("r-{action}"), "field": "owner", "operation": "update", "old_value": "x",
        "new_value": value, "reason_code": "stale", "confidence": 0.9,
    })
}

/// An agent that set three owners wrong, one of which a person has found.
fn wrong_owners() -> Vec<Value> {
    let mut events = Vec::new();
    for i in 0..3 {
        let (action, record) =
            (format!("b{i}"), json!({"system": "crm", "record_type": "lead", "record_id": format!("r-b{i}")}));
        let mut reviewed = record.clone();
        reviewed["batch_id"] = json!("batch-1");
        events.push(event(&format!("{action}-reviewed"), "record.reviewed", 8.0, reviewed));
        events.push(event(&format!("{action}-proposed"), "action.proposed", 7.0, change(&action, "r7", "wrong")));
        let decision = json!({"action_id": action, "decision": "approved", "reviewer": "rick", "actor_kind": "human", "actor_id": "rick"});
        events.push(event(&format!("{action}-decided"), "action.decided", 6.0, decision));
        let mut write = change(&action, "r7", "wrong");
        write["outcome"] = json!("succeeded");
        events.push(event(&format!("{action}-executed"), "action.executed", 5.0, write));
    }
    let found = json!({"actor_kind": "human", "actor_id": "carl", "system": "crm", "record_type": "lead", "record_id": "r-b0",
        "field": "owner", "old_value": "wrong", "new_value": "x", "correction": "routing", "batch_id": "batch-1"});
    events.push(event("b0-corrected", "record.corrected", 4.0, found));
    events
}

/// The pause, the fix, and what the fix does in the shadow.
fn pause_and_fix() -> Vec<Value> {
    let pause = json!({"actor_kind": "human", "actor_id": "olga"});
    let fix = json!({"actor_kind": "human", "actor_id": "fred", "field": "rule_version", "old_value": "r7", "new_value": "r8"});
    let mut events = vec![event("pause", "workflow.paused", 0.0, pause), event("fix", "config.changed", 0.0, fix)];
    for i in 0..OUTPUTS {
        let mut output = change(&format!("s{i}"), "r8", &format!("good {i}"));
        output["environment"] = json!("shadow");
        events.push(event(&format!("s{i}-proposed"), "action.proposed", 0.0, output));
    }
    events
}

#[test]
fn from_the_first_event_to_the_verified_pack_and_a_look_at_every_page() {
    let Some(found) = Found::or_skip("the story in a browser") else { return };
    let story = Story::begin();
    let mut olga = Browser::open(&found);
    olga.screen(1_200, 900);
    story.sends(wrong_owners());
    story.logs_in(&mut olga, "olga");
    story.sees(&mut olga, "/", "routing exceptions");
    let incident = opens_an_incident(&story, &mut olga);
    pauses_and_accepts(&story, &mut olga, &incident);
    let review = plans_and_draws(&story, &mut olga, &incident);
    let mut rita = Browser::open(&found);
    rita.screen(360, 740);
    story.logs_in(&mut rita, "rita");
    reviews_by_keyboard(&story, &mut rita, &review);
    enables(&story, &mut olga, &review);
    exports_and_verifies(&story);
    // A form that came back with what was wrong in it was an answer of status 400, as it should.
    let complaints = [olga.complaints(), rita.complaints()].concat();
    assert!(complaints.iter().all(|complaint| complaint.contains("status of 400")), "{complaints:?}");
    let mut adam = Browser::open(&found);
    story.logs_in(&mut adam, "adam");
    looks_at_every_page(&story, &mut adam, (&incident, &review));
    follows_a_number_to_its_query(&story, &mut adam);
    println!("pictures of all pages: {}", story.pictures.display());
}

/// By the form, after a look at what the condition reaches; gives its id.
fn opens_an_incident(story: &Story, browser: &mut Browser) -> String {
    story.sees(browser, "/incidents", "No incident is open");
    browser.click("a[href='/incidents/new']");
    browser.fill("#f-title", "Leads went to the wrong owner");
    browser.fill("#f-where", "rule_version = 'r8'");
    browser.fill("#f-workflow", "w");
    browser.submit("button[value='look']");
    browser.wait_for_text("picks no action");
    browser.fill("#f-where", "rule_version = 'r7'");
    browser.submit("button[value='look']");
    browser.wait_for_text("Actions that it picks");
    assert_eq!(
        browser.attribute("#f-title", "value"),
        "Leads went to the wrong owner",
        "the form forgot what was written"
    );
    browser.submit("form[action='/incidents'] .submit button");
    browser.wait_for_text("The incident is open");
    let url = browser.url();
    let id = url.split("/incidents/").nth(1).unwrap().split('?').next().unwrap().to_owned();
    browser.picture(&story.pictures.join("incident-open.png"));
    let cells = story.sees(browser, &format!("/incidents/{id}/cells"), "r-b1");
    for record in ["r-b0", "r-b1", "r-b2"] {
        assert!(cells.contains(record), "{record} is not among the cells: {cells}");
    }
    assert_remedies(browser);
    id
}

/// What is put right needs nothing; what is still wrong, and was known before, is to be restored.
fn assert_remedies(browser: &mut Browser) {
    let told = |browser: &mut Browser, state: &str| {
        let cells = format!("#state-{state} tbody tr td:nth-child(7)");
        browser.script(&format!("return [...document.querySelectorAll('{cells}')].map(cell => cell.innerText)"))
    };
    assert_eq!(told(browser, "restored"), json!(["none"]));
    assert_eq!(told(browser, "still_wrong"), json!(["restore", "restore"]));
}

fn pauses_and_accepts(story: &Story, browser: &mut Browser, incident: &str) {
    story.sees(browser, &format!("/incidents/{incident}"), "not paused");
    story.sends(pause_and_fix());
    wait_for("the pause on the page of the incident", || {
        browser.go(&story.url(&format!("/incidents/{incident}")));
        let text = browser.text().to_lowercase();
        (text.contains("paused") && !text.contains("not paused")).then_some(())
    });
    // A condition that cannot be read comes back as it was written.
    let rule = format!("form[action='/incidents/{incident}/guardrail']");
    browser.fill(&format!("{rule} textarea[name=rule]"), "no_such_column = 1");
    browser.submit(&format!("{rule} .submit button"));
    browser.wait_for_text("No field named");
    assert_eq!(browser.script("return document.querySelector('#f-rule').value"), "no_such_column = 1");
    story.sees(browser, &format!("/incidents/{incident}"), "State a step, or a note");
    let note = format!("form[action='/incidents/{incident}/note']");
    browser.choose(&format!("{note} select[name=step]"), "roll_back");
    browser.fill(&format!("{note} textarea[name=note]"), "accepted: the three owners are set by hand");
    browser.submit(&format!("{note} .submit button"));
    browser.wait_for_text("It is stated");
}

/// By the form; gives the id of the review.
fn plans_and_draws(story: &Story, browser: &mut Browser, incident: &str) -> String {
    story.sees(browser, &format!("/reviews/new?incident={}&workflow=w", encoded(incident)), "What it is to show");
    assert_eq!(browser.attribute("#f-incident", "value"), incident);
    browser.fill("#f-candidate", "rule_version = 'r8'");
    browser.fill("#f-below", "40%");
    browser.fill("#f-reviewers", "rick");
    browser.submit("form[action='/reviews'] .submit button");
    browser.wait_for_text("rick approved bad actions");
    browser.fill("#f-reviewers", "rita");
    browser.submit("form[action='/reviews'] .submit button");
    browser.wait_for_text("The plan is in the ledger");
    let url = browser.url();
    let id = url.split("/reviews/").nth(1).unwrap().split('?').next().unwrap().to_owned();
    browser.submit(&format!("form[action='/reviews/{id}/draw'] button"));
    browser.wait_for_text("The sample is drawn");
    id
}

/// Every mark by keys: the first by Tab and Enter, as without a script, the others by one letter.
fn reviews_by_keyboard(story: &Story, browser: &mut Browser, review: &str) {
    story.sees(browser, "/reviews", &review[..8]);
    let desk = format!("/reviews/{review}/desk");
    story.sees(browser, &desk, "Is this change right?");
    browser.picture(&story.pictures.join("desk-360.png"));
    let mut marked = 0;
    loop {
        let item = browser.attribute("input[name=item]", "value");
        // What is pressed before anybody can have read the item marks nothing.
        browser.wait_for("html[data-keys=awake]");
        match marked {
            0 => {
                browser.tab_to("button[value='correct']");
                browser.press(ENTER);
            }
            1 => {
                browser.press("h");
                browser.wait_for("#evidence");
                browser.press("m");
                browser.press("looked at twice");
                browser.press("\u{e00c}");
                browser.wait_for("html[data-keys=awake]");
                browser.press("c");
            }
            // Pressed twice, it does not mark the next item unseen.
            2 => browser.press("cc"),
            _ => browser.press("c"),
        }
        browser.wait_for_text(&format!("{} is marked correct", &item[..12]));
        marked += 1;
        if browser.text().contains("the claim is shown") {
            break;
        }
        assert!(marked < OUTPUTS, "every output is marked and nothing is shown:\n{}", browser.text());
        assert_ne!(browser.attribute("input[name=item]", "value"), item, "the same item again");
        assert_narrow(browser, &desk);
    }
    let comments = story.served.rows(
        story.token("adam"),
        "select count(*), count(comment), count(review_opened_at) from events where event_type = 'review.marked'",
    );
    assert_eq!(comments[0], json!([marked, 1, marked]));
}

fn enables(story: &Story, browser: &mut Browser, review: &str) {
    wait_for("the button that signs", || {
        browser.go(&story.url(&format!("/reviews/{review}")));
        browser.text().contains("Sign ENABLE").then_some(())
    });
    browser.picture(&story.pictures.join("review-shown.png"));
    browser.submit(&format!("form[action='/reviews/{review}/decide'] button"));
    // The words of the page stood there before the button was pressed: what counts is the event.
    let resumed = "select actor_id, workflow from events where event_type = 'workflow.resumed'";
    wait_for("the event that resumes the workflow", || {
        let rows = json!(story.served.rows(story.token("adam"), resumed));
        (rows == json!([["olga", "w"]])).then_some(())
    });
    browser.wait_for_text("the workflow runs again");
}

fn exports_and_verifies(story: &Story) {
    let dir = story.folder.path();
    let size = story.served.rows(story.token("audrey"), "select max(seq) + 1 from evidence")[0][0].clone();
    let order = json!({"from_seq": 0, "to_seq": size});
    let request = Request::json("/v1/packs", &order).by(story.token("audrey"));
    std::fs::write(dir.join("story.tar.gz"), story.served.ask(&request).is(200).body).unwrap();
    let vkey = run(dir, &["key", "show", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned();
    // The auditor has the pack and the key, and nothing else.
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(dir.join("story.tar.gz"), elsewhere.path().join("story.tar.gz")).unwrap();
    run(elsewhere.path(), &["verify", "pack", "story.tar.gz", "--vkey", &vkey]).ended(0);
}

/// Each page in light and dark, on a desk and on a telephone.
fn looks_at_every_page(story: &Story, browser: &mut Browser, (incident, review): (&str, &str)) {
    let month = rfc3339(Clock::system().now())[..7].to_owned();
    let question = encoded("select event_type, count(*) as n from events group by event_type order by n desc");
    let pages = [
        ("overview", "/".to_owned()),
        ("months", "/monthly".to_owned()),
        ("monthly", format!("/monthly/{month}")),
        ("incidents", "/incidents".to_owned()),
        ("incident-new", "/incidents/new".to_owned()),
        ("incident", format!("/incidents/{incident}")),
        ("incident-cells", format!("/incidents/{incident}/cells")),
        ("incident-change", format!("/incidents/{incident}/change")),
        ("reviews", "/reviews".to_owned()),
        ("review-new", "/reviews/new".to_owned()),
        ("review", format!("/reviews/{review}")),
        ("record", "/records/crm/lead/r-b0".to_owned()),
        ("action", "/actions/b0".to_owned()),
        ("find", "/find?q=r-b0".to_owned()),
        ("queries", "/query".to_owned()),
        ("query", "/query/batch_records?batch_id=batch-1".to_owned()),
        ("sql", format!("/sql?q={question}")),
        ("health", "/health".to_owned()),
    ];
    for (name, target) in pages {
        browser.screen(1_200, 900);
        browser.colours("light");
        browser.go(&story.url(&target));
        // Long work shows its progress, and the page looks again by itself.
        wait_for(&target, || (browser.count("meta[http-equiv=refresh]") == 0).then_some(()));
        let picture = |scheme: &str, width: u32| story.pictures.join(format!("{name}-{scheme}-{width}.png"));
        browser.picture(&picture("light", 1_200));
        assert_sound(browser, &target);
        browser.colours("dark");
        browser.picture(&picture("dark", 1_200));
        assert_dark(browser, &target);
        browser.screen(360, 740);
        assert_narrow(browser, &target);
        browser.picture(&picture("dark", 360));
        browser.colours("light");
        browser.picture(&picture("light", 360));
        let complaints = browser.complaints();
        assert!(complaints.is_empty(), "{target}: {complaints:?}");
    }
}

/// The queries of a report are folded; who comes from a number finds the one behind it open, and no other.
fn follows_a_number_to_its_query(story: &Story, browser: &mut Browser) {
    let month = rfc3339(Clock::system().now())[..7].to_owned();
    browser.screen(1_200, 900);
    browser.go(&story.url(&format!("/monthly/{month}")));
    browser.wait_for(".queries .flow");
    let is_shown = "return getComputedStyle(document.querySelector('.queries .flow')).display !== 'none'";
    assert_eq!(browser.script(is_shown), false, "the queries are not folded");
    browser.click(".tiles .source a[href^='#query-']");
    browser.wait_for(".query:target");
    assert_eq!(browser.script(is_shown), true, "the query behind a number is folded");
    let texts = "return [...document.querySelectorAll('.query pre')].filter(text => text.offsetHeight > 0).length";
    assert_eq!(browser.script(texts), 1, "texts of queries that are open");
}

/// One heading, a language, a label on every field, a way to skip what stands on every page.
fn assert_sound(browser: &mut Browser, target: &str) {
    let unnamed = "return [...document.querySelectorAll('input:not([type=hidden]), select, textarea')].filter(field => \
                   !field.labels.length && !field.getAttribute('aria-label')).map(field => field.outerHTML)";
    assert_eq!(browser.script(unnamed), json!([]), "{target}: fields without a label");
    let silent = "return [...document.querySelectorAll('a, button')].filter(control => !control.disabled && \
                  !control.textContent.trim() && !control.getAttribute('aria-label')).map(control => control.outerHTML)";
    assert_eq!(browser.script(silent), json!([]), "{target}: links or buttons without a word");
    let headings = "return document.querySelectorAll('h1').length";
    assert_eq!(browser.script(headings), 1, "{target}: headings of the page");
    assert_eq!(browser.script("return document.documentElement.lang"), "en", "{target}");
    let twice = "const ids = [...document.querySelectorAll('[id]')].map(element => element.id); \
                 return ids.filter((id, place) => ids.indexOf(id) !== place)";
    assert_eq!(browser.script(twice), json!([]), "{target}: ids that stand twice");
    let first = "return document.querySelector('a[href], button, input').matches('a.skip[href=\"#main\"]')";
    assert_eq!(browser.script(first), true, "{target}: the first stop of the keyboard leads past what every page has");
}

fn assert_narrow(browser: &mut Browser, target: &str) {
    let wide = browser.script("return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)");
    let widest = "const wide = [...document.body.querySelectorAll('*')].filter(element => \
                  element.getBoundingClientRect().right > 361); return wide.slice(0, 3).map(element => element.outerHTML)";
    assert!(wide.as_u64().unwrap() <= 360, "{target} is {wide} pixels wide: {}", browser.script(widest));
}

fn assert_dark(browser: &mut Browser, target: &str) {
    let colours = "const seen = element => getComputedStyle(element).backgroundColor; const rgb = colour => \
                   colour.match(/[\\d.]+/g).slice(0, 3).map(Number).reduce((sum, part) => sum + part); \
                   const back = [document.body, document.documentElement].map(seen).find(colour => \
                   !/, 0\\)$/.test(colour)); \
                   return [back ? rgb(back) : 765, rgb(getComputedStyle(document.body).color)]";
    let colours = browser.script(colours);
    let [back, text] = [0, 1].map(|place| colours[place].as_f64().unwrap());
    assert!(back < 250.0 && text > 400.0, "{target} is not dark: background {back}, text {text}");
}
