use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Path;

/// The document that every JSONPath page uses.
fn store() -> Value {
    json!({
        "store": {
            "book": [
                { "category": "reference", "author": "Nigel Rees", "title": "Sayings", "price": 8.95 },
                { "category": "fiction", "author": "Evelyn Waugh", "title": "Sword", "price": 12.99 },
                { "category": "fiction", "author": "Herman Melville", "title": "Moby Dick", "isbn": "0-553", "price": 8.99 },
                { "category": "fiction", "author": "J. R. R. Tolkien", "title": "Rings", "isbn": "0-395", "price": 22.99 }
            ],
            "bicycle": { "color": "red", "price": 19.95 }
        },
        "expensive": 10,
        "tags": ["a", "b"],
        "a.b": { "c d": 1 },
        "empty": [],
        "null": null
    })
}

fn find(path: &str) -> Result<Option<Value>, String> {
    Ok(path.parse::<Path>()?.find(&store())?.map(Cow::into_owned))
}

#[test]
fn definite_paths_lead_to_one_value() {
    for (path, expected) in [
        ("$.expensive", json!(10)),
        ("expensive", json!(10)),
        ("$['expensive']", json!(10)),
        ("$[\"a.b\"]['c d']", json!(1)),
        ("$.store.book[0].title", json!("Sayings")),
        ("$.store.book[-1].title", json!("Rings")),
        ("$.store.bicycle['color','price']", json!({ "color": "red", "price": 19.95 })),
        ("$.store.book.length()", json!(4)),
        ("$.store.book.size()", json!(4)),
        ("$.tags.first()", json!("a")),
        ("$.store.bicycle.keys()", json!(["color", "price"])),
        ("$.null", Value::Null),
        ("$.tags", json!(["a", "b"])),
    ] {
        assert_eq!(find(path), Ok(Some(expected)), "{path}");
    }
    assert_eq!(find("$"), Ok(Some(store())));
    for path in ["$.nope", "$.expensive.nope", "$.tags[9]", "$.tags.a", "$.expensive.length()"] {
        assert_eq!(find(path), Ok(None), "{path}");
    }
}

#[test]
fn other_paths_lead_to_lists() {
    for (path, expected) in [
        (
            "$.store.book[*].author",
            json!(["Nigel Rees", "Evelyn Waugh", "Herman Melville", "J. R. R. Tolkien"]),
        ),
        ("$..isbn", json!(["0-553", "0-395"])),
        ("$.store..price", json!([19.95, 8.95, 12.99, 8.99, 22.99])),
        ("$..book[2].title", json!(["Moby Dick"])),
        ("$.store.book[0,1].title", json!(["Sayings", "Sword"])),
        ("$.store.book[:2].title", json!(["Sayings", "Sword"])),
        ("$.store.book[-2:].title", json!(["Moby Dick", "Rings"])),
        ("$.store.book[1:3].title", json!(["Sword", "Moby Dick"])),
        ("$.tags[*]", json!(["a", "b"])),
        ("$.store.bicycle.*", json!(["red", 19.95])),
        ("$..nope", json!([])),
        ("$.nope[*]", json!([])),
        ("$.empty[*]", json!([])),
    ] {
        let sorted = |value: Value| match value {
            // The order of a deep scan is the document's, from the top down.
            Value::Array(items) => {
                let mut texts: Vec<String> = items.iter().map(Value::to_string).collect();
                texts.sort();
                texts
            }
            other => vec![other.to_string()],
        };
        let found = find(path).expect(path).expect(path);
        assert_eq!(sorted(found), sorted(expected), "{path}");
    }
    assert_eq!(find("$..price.sum()").map(|sum| sum.and_then(|sum| sum.as_f64())), Ok(Some(73.87)));
}

#[test]
fn filters_choose_items() {
    let titles = |path: &str| -> Vec<String> {
        let found = find(path).expect(path).expect(path);
        let items = found.as_array().expect("a list").clone();
        items.iter().map(|item| item["title"].as_str().expect("a title").to_owned()).collect()
    };
    for (path, expected) in [
        ("$.store.book[?(@.price < 10)]", vec!["Sayings", "Moby Dick"]),
        ("$.store.book[?(@.price<$.expensive)]", vec!["Sayings", "Moby Dick"]),
        ("$..book[?(@.price <= $['expensive'])]", vec!["Sayings", "Moby Dick"]),
        ("$.store.book[?(@.isbn)]", vec!["Moby Dick", "Rings"]),
        ("$.store.book[?(!@.isbn)]", vec!["Sayings", "Sword"]),
        ("$.store.book[?(@.category == 'fiction' && @.price < 15)]", vec!["Sword", "Moby Dick"]),
        ("$.store.book[?(@.price > 20 || @.category == \"reference\")]", vec!["Sayings", "Rings"]),
        ("$.store.book[?(@.author =~ /.*REES/i)]", vec!["Sayings"]),
        ("$.store.book[?(@.title in ['Sword', 'Rings'])]", vec!["Sword", "Rings"]),
        ("$.store.book[?(@.title nin [\"Sword\"])]", vec!["Sayings", "Moby Dick", "Rings"]),
        ("$.store.book[?(@.isbn != '0-553')]", vec!["Sayings", "Sword", "Rings"]),
        ("$.store.book[?((@.price > 8) && !(@.price > 9))]", vec!["Sayings", "Moby Dick"]),
        ("$.store.book[?(@.title contains 'S')]", vec!["Sayings", "Sword"]),
        ("$.store.book[?(@.title.length() == 5)]", vec!["Sword", "Rings"]),
        ("$.store.book[?(@.title size 5)]", vec!["Sword", "Rings"]),
        ("$.store.book[?('8.95' == @.price)]", vec!["Sayings"]),
    ] {
        assert_eq!(titles(path), expected, "{path}");
    }
}

#[test]
fn bad_paths_are_errors_that_name_the_place() {
    for path in [
        "$.",
        "$.a..",
        "$[",
        "$['a]",
        "$[?(@.a ==)]",
        "$[?(@.a == 1]",
        "$[x]",
        "$.a.nope()",
        "$ a",
        "$[?(@ =~ /(/)]",
        "$.a b",
    ] {
        let error = path.parse::<Path>().expect_err(path);
        assert!(error.contains("JSONPath"), "{path}: {error}");
    }
    let deep = format!("$[?({}@.a{})]", "(".repeat(1000), ")".repeat(1000));
    assert!(deep.parse::<Path>().expect_err("deep").contains("too deeply"));
}

#[test]
fn paths_that_multiply_end() {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!({ "a": deep, "b": [1, 2, 3] });
    }
    let path: Path = "$..*..*..*".parse().expect("a path");
    assert!(path.find(&deep).expect_err("too many").contains("100000 values"));
}

proptest! {
    #[test]
    fn any_text_is_a_path_or_an_error(
        text in "([$@.*?()]|\\[|\\]|\\.\\.|'a'|\"b\"|store|book|0|-1|:|,|==|<|&&|\\|\\||!|in |=~ |/x/|length\\(\\)| |\\PC){0,12}",
    ) {
        if let Ok(path) = text.parse::<Path>() {
            let _ = path.find(&store());
        }
    }
}
