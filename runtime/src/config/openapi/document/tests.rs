use std::path::Path;

use super::*;
use crate::config::openapi::tests::plain;

fn read(file: &str, text: &str) -> Result<Node, String> {
    let source = Source::new(Path::new(file), text, Path::new("/"));
    let node = parse(&source, Path::new(file), text);
    let problems: Vec<String> = source.into_problems(&[]).iter().map(ToString::to_string).collect();
    match node {
        Some(node) if problems.is_empty() => Ok(node),
        _ => Err(problems.join("\n")),
    }
}

#[test]
fn json_is_read_as_everyone_reads_it() {
    let text =
        "{\t\"a\": [1, -2.5e3, true, null, \"\\ud83d\\ude00 \\u00e9\\n\\/\"],\r\n\t\"b\": {}}";
    let node = read("a.json", text).expect("a document");
    let expected: serde_json::Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(plain(&node), expected);
    let b = node.entries().expect("a table").get("b").expect("b");
    assert_eq!((b.at, b.node.at), (text.find("\"b\"").expect("b"), text.len() - 3));
}

#[test]
fn what_is_wrong_with_json_has_its_place() {
    for (text, problem) in [
        ("{\"a\": 1,}", "a.json:1:9: expected a key in double quotes, found '}'"),
        ("{\"a\": 01}", "a.json:1:7: \"01\" is not a number\n  hint: write it in quotes"),
        ("[1 2]", "a.json:1:4: expected ',' or ']', found '2'"),
        ("{", "a.json:1:2: expected a key in double quotes, found the end of the file"),
        (
            "[\"\\ud800\"]",
            "a.json:1:3: half a surrogate pair, which is no character\n  hint: write \\\\ for a backslash",
        ),
        ("[nul]", "a.json:1:2: expected a value, found 'n'"),
        (
            "{\"a\": 1,\n\"a\": 2}",
            "a.json:2:1: the key \"a\" is already on line 1\n  hint: remove one of the two",
        ),
    ] {
        assert_eq!(read("a.json", text).expect_err(text), problem);
    }
    let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
    assert!(read("a.json", &deep).expect_err("too deep").contains("deeper than 100 levels"));
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    assert!(read("a.json", &deep).is_ok());
}

#[test]
fn yaml_is_read_with_anchors_merges_and_tags() {
    let text = "\
base: &base { kind: \"ü\", 200: ok }
own:
  <<: *base
  kind: own
list: [*base, 0x10, 1.5, ~, yes, 'true', !!str 7]
uri: !Sub 'a/${F.Arn}'
arn: !GetAtt F.Arn
role: !Ref Role
text: |
  one
  two
";
    let node = read("a.yaml", text).expect("a document");
    let base = serde_json::json!({ "kind": "ü", "200": "ok" });
    assert_eq!(
        plain(&node),
        serde_json::json!({
            "base": base,
            "own": { "kind": "own", "200": "ok" },
            "list": [base, 16, 1.5, null, "yes", "true", "7"],
            "uri": { "Fn::Sub": "a/${F.Arn}" },
            "arn": { "Fn::GetAtt": "F.Arn" },
            "role": { "Ref": "Role" },
            "text": "one\ntwo\n",
        })
    );
    let own = node.entries().expect("a table").get("own").expect("own");
    assert_eq!(own.at, text.find("own:").expect("own"));
}

#[test]
fn places_are_bytes_whatever_the_line_ends() {
    let text = "\u{feff}ä: 1\r\nb:\r\n  ö: [x,\r\n    y]\r\n";
    let node = read("a.yaml", text).expect("a document");
    let member = node.entries().expect("a table").get("b").expect("b");
    assert_eq!(member.at, text.find("b:").expect("b"));
    let items = member.node.get("ö").expect("ö").items();
    assert_eq!(items[1].at, text.find("y]").expect("y"));
}

#[test]
fn a_bomb_of_aliases_is_a_problem() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let problem = read("a.yaml", &text).expect_err("a bomb");
    assert!(problem.contains("more than 1000000 values"), "{problem}");
    let mut text = format!("a0: &a0 {}\n", "x".repeat(100_000));
    text.push_str(&format!("all: [{}]\n", vec!["*a0"; 1000].join(", ")));
    let problem = read("a.yaml", &text).expect_err("a bomb");
    assert!(problem.contains("longer than"), "{problem}");
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..120 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    let problem = read("a.yaml", &text).expect_err("too deep");
    assert!(problem.contains("deeper than 100 levels"), "{problem}");
}

#[test]
fn what_is_wrong_with_yaml_has_its_place() {
    for (text, begin) in [
        ("a: 1\na: 2\n", "a.yaml:2:1: the key \"a\" is already on line 1"),
        ("a: [1\nb: 2\n", "a.yaml:2:"),
        ("a: &x [*x]\n", "a.yaml:1:8: the alias names nothing above it"),
        ("a: *x\n", "a.yaml:1:"),
        ("? [a]\n: b\n", "a.yaml:1:"),
        ("a: 1\n---\nb: 1\n", "a.yaml:2:1: a second document begins here"),
        ("a: 'x\n", "a.yaml:"),
    ] {
        let problem = read("a.yaml", text).expect_err(text);
        assert!(problem.starts_with(begin), "{text:?}: {problem}");
    }
    assert_eq!(read("a.yaml", "").expect("nothing").data, Data::Null);
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_document_or_a_problem(
        text in "([{}\\[\\],:\"'&*!|>#?-]|<<|\n|  |\t|\\\\u|\\\\|d83d|e|[0-9]|true|a|&a|\\*a|\\PC){0,40}",
    ) {
        for file in ["a.json", "a.yaml", "a"] {
            if let Err(problems) = read(file, &text) {
                proptest::prop_assert!(!problems.is_empty());
            }
        }
    }

    #[test]
    fn all_json_is_read(value in "\\PC{0,20}", key in "\\PC{0,20}", number in proptest::num::f64::NORMAL) {
        let json = serde_json::json!({ key: [value, number, null] });
        for text in [json.to_string(), serde_json::to_string_pretty(&json).expect("JSON")] {
            let node = read("a.json", &text).expect("a document");
            proptest::prop_assert_eq!(plain(&node), json.clone());
        }
    }
}
