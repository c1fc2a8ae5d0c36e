//! JSON by its members: which differ, told by their paths.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The members that are not the same in both: path, what it is in each. `{}` and `[]` are values, too.
pub(super) fn differences(
    theirs: &Value,
    ours: &Value,
) -> Vec<(String, Option<String>, Option<String>)> {
    let (theirs, ours) = (members(&in_order(theirs)), members(&in_order(ours)));
    let paths: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    paths
        .into_iter()
        .map(|path| {
            (
                path.clone(),
                theirs.get(path).cloned(),
                ours.get(path).cloned(),
            )
        })
        .filter(|(_, theirs, ours)| theirs != ours)
        .collect()
}

/// Whether a path is one of a pattern, in which `*` is any one part and a pattern tells what is below it, too.
pub(super) fn fits(pattern: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    pattern.split('/').all(|wanted| {
        parts
            .next()
            .is_some_and(|part| wanted == "*" || wanted == part)
    })
}

/// The same with mounts by their places: Docker keeps them in a map, which Go walks in any order.
fn in_order(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let member = |(name, value): (&String, &Value)| (name.clone(), in_order(value));
            Value::Object(object.iter().map(member).collect())
        }
        Value::Array(array) => {
            let mut array: Vec<Value> = array.iter().map(in_order).collect();
            let place = |value: &Value| value["Destination"].as_str().map(str::to_owned);
            if array.iter().all(|value| place(value).is_some()) {
                array.sort_by_key(place);
            }
            // The texts of -v.
            if array
                .iter()
                .all(|value| value.as_str().is_some_and(|text| text.contains(":/")))
            {
                array.sort_by_key(Value::to_string);
            }
            Value::Array(array)
        }
        value => value.clone(),
    }
}

fn members(value: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    walk(value, String::new(), &mut found);
    found
}

fn walk(value: &Value, path: String, found: &mut BTreeMap<String, String>) {
    let below = |name: &str| match path.is_empty() {
        true => name.to_owned(),
        false => format!("{path}/{name}"),
    };
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (name, value) in object {
                walk(value, below(name), found);
            }
        }
        Value::Array(array) if !array.is_empty() => {
            for (number, value) in array.iter().enumerate() {
                walk(value, below(&number.to_string()), found);
            }
        }
        _ => {
            found.insert(path, value.to_string());
        }
    }
}

#[test]
fn mounts_in_any_order() {
    let one = serde_json::json!([{"Destination": "/a", "RW": true}, {"Destination": "/b"}]);
    let other = serde_json::json!([{"Destination": "/b"}, {"Destination": "/a", "RW": true}]);
    assert_eq!(differences(&one, &other), []);
}

#[test]
fn members_by_path() {
    let theirs = serde_json::json!([{"A": {"B": [1, 2], "C": {}}, "D": null}]);
    let ours = serde_json::json!([{"A": {"B": [1, 3], "C": []}}]);
    let some = |text: &str| Some(text.to_owned());
    let wanted = vec![
        ("0/A/B/1".to_owned(), some("2"), some("3")),
        ("0/A/C".to_owned(), some("{}"), some("[]")),
        ("0/D".to_owned(), some("null"), None),
    ];
    assert_eq!(differences(&theirs, &ours), wanted);
    assert!(fits("*/A", "0/A/B/1") && fits("*/A/B/1", "0/A/B/1"));
    assert!(!fits("*/A/B/1/2", "0/A/B/1") && !fits("*/B", "0/A/B"));
}
