use proptest::prelude::*;

use super::*;

fn router(kind: ApiKind, keys: &[&'static str]) -> Router<&'static str> {
    let parsed = keys.iter().map(|&key| (key.parse().expect("a route key"), key));
    Router::new(kind, parsed)
}

fn find(router: &Router<&'static str>, method: &str, path: &str) -> Option<&'static str> {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    router.find(&method, path).map(|found| *found.route)
}

fn parameters(router: &Router<&'static str>, path: &str) -> Vec<(String, String)> {
    router.find(&Method::GET, path).expect("a route").parameters
}

/// The example of AWS's page on routes.
#[test]
fn http_apis_take_the_best_match() {
    let router = router(
        ApiKind::Http,
        &[
            "GET /pets/dog/1",
            "GET /pets/dog/{id}",
            "GET /pets/{proxy+}",
            "ANY /{proxy+}",
            "$default",
        ],
    );
    for (method, path, expected) in [
        ("GET", "/pets/dog/1", "GET /pets/dog/1"),
        ("GET", "/pets/dog/2", "GET /pets/dog/{id}"),
        ("GET", "/pets/cat/1", "GET /pets/{proxy+}"),
        ("POST", "/test/5", "ANY /{proxy+}"),
        ("POST", "/pets/dog/1", "ANY /{proxy+}"),
        ("GET", "/", "$default"),
    ] {
        assert_eq!(find(&router, method, path), Some(expected), "{method} {path}");
    }
}

#[test]
fn a_full_match_comes_before_a_greedy_one_in_http_apis() {
    let keys = ["GET /a/{rest+}", "GET /{x}/b"];
    assert_eq!(find(&router(ApiKind::Http, &keys), "GET", "/a/b"), Some("GET /{x}/b"));
    assert_eq!(find(&router(ApiKind::Rest, &keys), "GET", "/a/b"), Some("GET /a/{rest+}"));
}

#[test]
fn rest_apis_choose_the_resource_before_the_method() {
    let keys = ["POST /pets", "GET /{any}", "ANY /pets/{proxy+}"];
    assert_eq!(find(&router(ApiKind::Rest, &keys), "GET", "/pets"), None);
    assert_eq!(find(&router(ApiKind::Http, &keys), "GET", "/pets"), Some("GET /{any}"));
}

#[test]
fn a_greedy_parameter_takes_at_least_one_segment() {
    let router = router(ApiKind::Http, &["GET /a/{rest+}"]);
    assert_eq!(find(&router, "GET", "/a"), None);
    assert_eq!(find(&router, "GET", "/a/"), None);
    assert_eq!(parameters(&router, "/a/b/c%2Fd/"), [("rest".to_owned(), "b/c/d".to_owned())]);
}

#[test]
fn parameters_are_decoded_and_an_encoded_slash_ends_no_segment() {
    let router = router(ApiKind::Http, &["GET /a%20b/{x}/{y}"]);
    let x = |value: &str| ("x".to_owned(), value.to_owned());
    let y = |value: &str| ("y".to_owned(), value.to_owned());
    assert_eq!(parameters(&router, "/a%20b/1%2F2/c+d"), [x("1/2"), y("c+d")]);
    assert_eq!(parameters(&router, "/a%20b/%FF/%zz"), [x("\u{fffd}"), y("%zz")]);
}

#[test]
fn each_method_keeps_its_own_names_of_parameters() {
    let router = router(ApiKind::Http, &["GET /pets/{id}", "POST /pets/{name}"]);
    let name = |method| router.find(&method, "/pets/7").expect("a route").parameters[0].0.clone();
    assert_eq!((name(Method::GET), name(Method::POST)), ("id".to_owned(), "name".to_owned()));
}

#[test]
fn a_method_of_its_own_comes_before_any() {
    let router = router(ApiKind::Rest, &["ANY /a", "GET /a"]);
    assert_eq!(find(&router, "GET", "/a"), Some("GET /a"));
    assert_eq!(find(&router, "PATCH", "/a"), Some("ANY /a"));
}

#[test]
fn paths_of_any_length_are_answered() {
    let router = router(ApiKind::Http, &["GET /{proxy+}", "$default"]);
    assert_eq!(find(&router, "GET", &"/a".repeat(SEGMENTS_MAX)), Some("GET /{proxy+}"));
    assert_eq!(find(&router, "GET", &"/a".repeat(SEGMENTS_MAX + 1)), None);
    assert_eq!(find(&router, "GET", &"/".repeat(100_000)), None);
}

#[test]
fn the_methods_of_a_path_are_those_that_could_answer() {
    let router = router(ApiKind::Http, &["GET /pets", "POST /{any}", "ANY /x/{proxy+}"]);
    assert_eq!(router.methods("/pets"), [Some(Method::GET), Some(Method::POST)]);
    assert_eq!(router.methods("/x/y"), [None]);
    assert_eq!(router.methods("/x/y/z"), [None]);
    assert_eq!(router.methods("/a/b"), []);
}

/// A route's path, as segments that requests are likely to meet.
fn pattern() -> impl Strategy<Value = PathPattern> {
    let segment = prop_oneof![
        3 => "[ab]".prop_map(Segment::Literal),
        1 => Just(Segment::Parameter(String::new())),
    ];
    (prop::collection::vec(segment, 0..4), prop::bool::weighted(0.3)).prop_map(
        |(mut segments, greedy)| {
            if greedy {
                segments.push(Segment::Greedy(String::new()));
            }
            // Names within a path differ.
            for (index, segment) in segments.iter_mut().enumerate() {
                if let Segment::Parameter(name) | Segment::Greedy(name) = segment {
                    *name = format!("p{index}");
                }
            }
            PathPattern::from_segments(segments)
        },
    )
}

fn key() -> impl Strategy<Value = RouteKey> {
    let method = prop_oneof![
        Just(RouteMethod::Any),
        Just(RouteMethod::Only(Method::GET)),
        Just(RouteMethod::Only(Method::POST)),
    ];
    (method, pattern()).prop_map(|(method, path)| RouteKey::Path(method, path))
}

/// How specific each segment is, the more the less; none where it does not match.
fn rank(pattern: &PathPattern, path: &[&str]) -> Option<Vec<u8>> {
    let mut ranks = Vec::new();
    let mut rest = path.iter();
    for segment in pattern.segments() {
        let given = rest.next()?;
        match segment {
            Segment::Literal(text) if text == given => ranks.push(0),
            Segment::Literal(_) => return None,
            Segment::Parameter(_) => ranks.push(1),
            Segment::Greedy(_) => {
                ranks.push(2);
                return Some(ranks);
            }
        }
    }
    rest.next().is_none().then_some(ranks)
}

/// The rules, applied to a list.
fn expected(kind: ApiKind, keys: &[RouteKey], method: &Method, path: &[&str]) -> Option<usize> {
    let mut best: Option<(Vec<u8>, bool, usize)> = None;
    let mut resource: Option<Vec<u8>> = None;
    for (index, key) in keys.iter().enumerate() {
        let RouteKey::Path(own, pattern) = key else { continue };
        let Some(mut ranks) = rank(pattern, path) else { continue };
        if kind == ApiKind::Http && ranks.last() == Some(&2) {
            ranks.insert(0, 1);
        } else if kind == ApiKind::Http {
            ranks.insert(0, 0);
        }
        resource = Some(resource.map_or(ranks.clone(), |other| other.min(ranks.clone())));
        let any = *own == RouteMethod::Any;
        if any || *own == RouteMethod::Only(method.clone()) {
            let candidate = (ranks, any, index);
            best = Some(best.map_or(candidate.clone(), |other| other.min(candidate)));
        }
    }
    let (ranks, _, index) = best?;
    (kind == ApiKind::Http || resource == Some(ranks)).then_some(index)
}

proptest! {
    #[test]
    fn the_tree_finds_what_the_rules_say(
        keys in prop::collection::vec(key(), 0..12),
        path in prop::collection::vec("[abc]", 0..5),
        get in any::<bool>(),
        http in any::<bool>(),
    ) {
        let kind = if http { ApiKind::Http } else { ApiKind::Rest };
        let method = if get { Method::GET } else { Method::POST };
        let router = Router::new(kind, keys.iter().cloned().zip(0..));
        let segments: Vec<&str> = path.iter().map(String::as_str).collect();
        let found = router.find(&method, &format!("/{}", path.join("/")));
        prop_assert_eq!(
            found.as_ref().map(|found| *found.route),
            expected(kind, &keys, &method, &segments)
        );
        if let Some(found) = found {
            let RouteKey::Path(_, pattern) = &keys[*found.route] else { unreachable!() };
            prop_assert_eq!(pattern.parameters().count(), found.parameters.len());
        }
    }

    #[test]
    fn any_text_is_a_route_key_or_an_error_with_a_hint(text in "(GET|ANY) /[a%20F/{}+ é]{0,12}|\\PC*") {
        match text.parse::<RouteKey>() {
            Ok(key) => {
                let again: RouteKey = key.to_string().parse().expect("what is printed is read");
                prop_assert_eq!(again, key);
            }
            Err(error) => prop_assert!(!error.message.is_empty()),
        }
    }

    #[test]
    fn printed_keys_are_read_again(key in key()) {
        prop_assert_eq!(key.to_string().parse::<RouteKey>().expect("a route key"), key);
    }

    #[test]
    fn any_path_is_answered(path in "\\PC*") {
        let router = Router::new(ApiKind::Http, [("GET /a/{b}/{c+}".parse().expect("a key"), ())]);
        let _ = router.find(&Method::GET, &path);
        let _ = router.methods(&path);
    }
}

#[test]
fn each_spelling_of_a_path_is_the_same_one() {
    for (path, expected) in [
        ("/", "/"),
        ("", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b"),
        ("/%61/b%20c", "/a/b c"),
        ("/a%2Fb/c", "/a%2Fb/c"),
        ("/a%2fb", "/a%2Fb"),
    ] {
        assert_eq!(canonical(path), expected, "{path}");
    }
}
