//! A reviewer of items among which known errors were planted: no answer tells how marks move the numbers before the end.

use serde_json::{Value, json};

use super::world::World;

#[test]
fn a_reviewer_is_told_no_tally_while_known_errors_are_among_the_items() {
    let world = World::planted();
    let address = |rest: &str| format!("/v1/reviews/{}{rest}", world.review);
    let (rita, olga) = (world.token("reviewer"), world.token("responder"));
    for rest in ["", "?as_of=1", "/report", "/verify"] {
        let refused = world.served.get(rita, &address(rest)).is(403).text();
        assert!(refused.contains("planted"), "{rest}: {refused}");
    }
    // Who is none of the reviewers has no items, and marks none.
    let adam = world.token("admin");
    world.served.get(adam, &address("/items")).is(403);
    let items = world.served.get(rita, &address("/items?limit=1000")).is(200).json();
    assert_eq!((&items["next"], &items["decision"]), (&Value::Null, &Value::Null));
    assert!(world.served.get(olga, &address("")).is(200).json()["decision"].is_string());
    let mark = |item: &Value| {
        let is_bad = item["new_value"].as_str().unwrap().starts_with("bad");
        json!({"item": item["item"], "mark": if is_bad { "incorrect" } else { "correct" }})
    };
    let marks: Vec<Value> = items["items"].as_array().unwrap().iter().map(mark).collect();
    assert!(!marks.is_empty(), "{items}");
    world.served.post(adam, &address("/marks"), &json!({"marks": marks})).is(403);
    world.served.get(rita, &address("/items?limit=1001")).is(400);
    world.served.post(rita, &address("/marks"), &json!({"marks": marks})).is(200);
    world.served.get(rita, &address("")).is(403);
    world.served.post(olga, &address("/decide"), &json!({})).is(200);
    let after = world.served.get(rita, &address("")).is(200).json();
    assert_eq!(after["state"], "closed", "{after}");
}

#[test]
fn before_the_draw_nobody_has_items() {
    let world = World::planned();
    let items = format!("/v1/reviews/{}/items", world.review);
    let refused = world.served.get(world.token("reviewer"), &items).is(409).text();
    assert!(refused.contains("/draw"), "{refused}");
}
