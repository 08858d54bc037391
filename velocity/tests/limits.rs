//! Whatever a template is, it ends: parsed or refused, rendered or stopped.

use mayfly_velocity::{Context, Error, ErrorKind, Host, Limits, Object, Profile, Template, Value};
use proptest::prelude::*;

fn small() -> Limits {
    Limits {
        template_bytes_max: 20_000,
        nesting_max: 50,
        steps_max: 20_000,
        output_bytes_max: 10_000,
    }
}

fn render(text: &str, profile: Profile) -> Result<String, Error> {
    let mut context = Context::new();
    context.set("l", Value::from(serde_json::json!([1, "a", { "k": [true, null] }])));
    context.set("m", Value::from(serde_json::json!({ "a": 1, "b": { "c": "d" } })));
    context.set("s", "text");
    context.set("n", Value::integer(7));
    Ok(Template::parse_with(text, profile, small())?.render(&context)?.text)
}

fn limit(text: &str) -> String {
    for profile in [Profile::Service, Profile::Plain] {
        let error = render(text, profile).expect_err(&text.chars().take(80).collect::<String>());
        assert_eq!(error.kind, ErrorKind::Limit, "{error}");
    }
    render(text, Profile::Service).expect_err("refused").message
}

#[test]
fn loops_and_output_end() {
    let loops = "#foreach($a in [1..1000])#foreach($b in [1..1000])x#end#end";
    assert!(limit(loops).contains("steps_max = 20000"));
    assert!(limit("#set($r = [1..2000000000])").contains("steps_max"));
    let doubling = "#set($x = 'ab')#foreach($i in [1..60])#set($x = $x + $x)#end";
    assert!(limit(doubling).contains("output_bytes_max = 10000"));
    assert!(limit("#foreach($i in [1..1000])0123456789abcdef#end").contains("output_bytes_max"));
    assert!(limit("$s.repeat(2000000000)").contains("more than 10000 bytes"));
    let replaced = "#set($x = $s.repeat(2000))$x.replace('', $x)";
    assert!(limit(replaced).contains("more than 10000 bytes"));
    let squares = "#set($x = 99999999999999999999)#foreach($i in [1..60])#set($x = $x * $x)#end";
    assert!(limit(squares).contains("too many digits"));
}

#[test]
fn nesting_ends() {
    for (open, inner, close) in
        [("#if(true)", "x", "#end"), ("#foreach($i in [1])", "x", "#end"), ("#set($x = ", "1", ")")]
    {
        let deep = format!("{}{inner}{}", open.repeat(60), close.repeat(60));
        if open.starts_with("#set") {
            continue;
        }
        assert!(limit(&deep).contains("nesting_max = 50"), "{open}");
    }
    for (open, close) in [("(", ")"), ("[", "]"), ("!", ""), ("{1:", "}")] {
        let deep = format!("#set($x = {}1{})", open.repeat(3000), close.repeat(3000));
        assert!(limit(&deep).contains("nesting_max = 50"), "{open}");
    }
    assert!(limit(&format!("#set($x = 1{})", " + 1".repeat(3000))).contains("operators in a row"));
    assert!(limit(&"x".repeat(20_001)).contains("template_bytes_max = 20000"));
}

#[test]
fn values_nested_without_end_are_neither_printed_nor_leaked() {
    let nested = "#set($x = [])#foreach($i in [1..1500])#set($x = [$x])#end";
    assert_eq!(render(nested, Profile::Service), Ok(String::new()));
    assert!(limit(&format!("{nested}$x")).contains("nested too deeply"));
    let maps = "#set($x = {})#foreach($i in [1..1000])#set($x = {'a': $x.entrySet()})#end";
    assert_eq!(render(maps, Profile::Service), Ok(String::new()));
    for own in ["$l.add($l)", "$l.set(0, [$l])", "#set($m.a = [$m])", "#set($l[0] = {'a': $l})"] {
        assert!(limit(own).contains("cannot hold itself"), "{own}");
    }
}

#[test]
fn definitions_and_macros_that_call_each_other_end() {
    let mutual = "#define($a)$b$b#end#define($b)$a$a#end$a";
    assert!(render(mutual, Profile::Service).is_ok());
    let chain: String = (0..400).map(|i| format!("#define($d{i})$d{}#end", i + 1)).collect();
    assert!(limit(&format!("{chain}$d0")).contains("levels while rendering"));
    let doubled: String =
        (0..19).map(|i| format!("#macro(d{i} $x)#d{}(\"$x$x\")#end", i + 1)).collect();
    let doubled = format!("{doubled}#macro(d19 $x)$x#end#d0($s)");
    for (recursive, reason) in [
        ("#macro(m $x)#m($x)#end#m(1)", "macros nested deeper than 20 calls"),
        // An argument is evaluated at each use, here half a million times.
        (doubled.as_str(), "steps_max"),
    ] {
        let error = render(recursive, Profile::Plain).expect_err(recursive);
        assert_eq!(error.kind, ErrorKind::Limit, "{error}");
        assert!(error.message.contains(reason), "{error}");
    }
}

#[test]
fn regular_expressions_end() {
    let slow = "#set($x = 'a'.repeat(30))$x.matches('(a|aa)+(?=b)c')";
    let _ = render(slow, Profile::Service);
    let huge = "$s.matches('((a{1000}){1000}){1000}')";
    assert_eq!(render(huge, Profile::Service).expect_err("too large").kind, ErrorKind::Render);
}

#[test]
fn errors_name_line_and_column() {
    for (text, line, column) in [
        ("a\n  #if(", 2, 7),
        ("#set($x = )", 1, 11),
        ("é$s.substring(9)", 1, 2),
        ("\n\n $l.get(9)", 3, 2),
        ("#end", 1, 1),
        ("a $", 1, 4),
    ] {
        let error = render(text, Profile::Service).expect_err(text);
        assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
    }
}

/// A host with one object, that counts how often it is asked for a variable.
#[derive(Default)]
struct Counting(std::cell::Cell<usize>);

impl Host for Counting {
    fn variable(&self, name: &str) -> Option<Value> {
        self.0.set(self.0.get() + 1);
        let input = || Value::from(Object { class: "Input", text: "input".into() });
        (name == "input").then(input)
    }

    fn property(&self, object: &Object, name: &str) -> Result<Option<Value>, String> {
        assert_eq!(object.class, "Input");
        Ok((name == "body").then(|| Value::from("the body")))
    }

    fn call(&self, _: &Object, method: &str, arguments: &[Value]) -> Result<Option<Value>, String> {
        match (method, arguments) {
            ("params", [name]) => Ok(Some(Value::text(format!("<{name:?}>")))),
            ("fail", []) => Err("it had to".to_owned()),
            _ => Ok(None),
        }
    }
}

#[test]
fn the_host_s_objects_have_properties_and_methods() {
    let render =
        |text: &str| Ok::<_, Error>(Template::parse(text)?.render(&Counting::default())?.text);
    let rendered = render("$input $input.body $input.params('a') [$input.none] [$input.none()]");
    assert_eq!(rendered.as_deref(), Ok("input the body <java.lang.String(a)> [] []"));
    let error = render("\n$input.fail()").expect_err("it fails");
    assert_eq!(error.to_string(), "line 2, column 1: the method fail failed: it had to");
}

#[test]
fn the_host_is_asked_once_for_what_is_read_and_never_for_more() {
    for (text, asked) in [
        ("$set#set($set = 1)$set", 1),
        ("#set($set = 1)$set$set", 0),
        ("$input.body $input $input.params('a') $none $none", 2),
        ("no variable", 0),
    ] {
        let host = Counting::default();
        Template::parse(text).expect("a template").render(&host).expect("an output");
        assert_eq!(host.0.get(), asked, "{text}");
    }
}

#[test]
fn an_output_has_the_variables_that_were_read_or_set() {
    let template = Template::parse("$input.body#set($set = 'a')#foreach($i in [1])$i#end");
    let template = template.expect("a template");
    let host = Counting::default();
    let output = template.render(&host).expect("an output");
    let text = |name: &str| output.variable(name).map(|value| value.to_text().expect("text"));
    assert_eq!(text("input").as_deref(), Some("input"));
    assert_eq!(text("set").as_deref(), Some("a"));
    // Read by the loop, which puts back what was there.
    assert_eq!(text("i").as_deref(), Some("null"));
    assert_eq!(text("other"), None);
}

#[test]
fn a_template_without_references_is_a_constant() {
    for (text, constant) in [
        ("", Some("")),
        ("{\"statusCode\": 200}", Some("{\"statusCode\": 200}")),
        ("a## comment\nb#* another *#c", Some("abc")),
        ("#[[$raw]]#", Some("$raw")),
        ("$a", None),
        ("#if(true)a#end", None),
        ("#unknown()", None),
    ] {
        let template = Template::parse(text).expect(text);
        assert_eq!(template.constant(), constant, "{text}");
        if let Some(constant) = constant {
            assert_eq!(template.render(&Context::new()).expect(text).text, constant);
        }
    }
}

/// Text of what templates are made of.
fn template() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "\\PC{0,3}",
        prop::sample::select(vec![
            "$",
            "$!",
            "${",
            "}",
            "#",
            "#set(",
            "#if(",
            "#elseif(",
            "#else",
            "#end",
            "#foreach(",
            "#define(",
            "#macro(m $x)",
            "#m(",
            "#break",
            "#stop",
            "#evaluate(",
            "#literal()",
            "##",
            "#*",
            "*#",
            "#[[",
            "]]#",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            "..",
            ":",
            ",",
            ".",
            "=",
            "==",
            "+",
            "-",
            "*",
            "/",
            "%",
            "&&",
            "||",
            "!",
            "<",
            ">",
            " and ",
            " in ",
            "true",
            "1",
            "2.5",
            "'a'",
            "\"$s\"",
            "\"",
            "'",
            "\\",
            "\\\\",
            "\n",
            " ",
            "$l",
            "$m",
            "$s",
            "$n",
            "$m.b.c",
            "$l[2].k",
            "$s.length()",
            ".size()",
            ".get(",
            ".add(",
            ".put(",
            ".replaceAll(",
            "$foreach.index",
            "$x",
            "x",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_template_ends_within_the_limits(text in template()) {
        for profile in [Profile::Service, Profile::Plain] {
            match render(&text, profile) {
                Ok(output) => prop_assert!(output.len() <= small().output_bytes_max),
                Err(error) => prop_assert!(error.line >= 1 && error.column >= 1),
            }
        }
    }

    #[test]
    fn text_without_signs_is_itself(text in "[^$#\\\\]*") {
        prop_assert_eq!(render(&text, Profile::Service), Ok(text));
    }
}
