//! Custom domains: TLS, base paths, and whose connection may ask for what.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use mayfly_tests::{
    Answer, Gateway, PATIENCE, Project,
    curl::{Curled, curl, have, s_client, write},
    fixture,
    tls::{Authority, TlsUpstream, ask, connect},
};
use serde_json::json;

const ROUTES: &str = r#"
[[route]]
route = "GET /event"
function = "probe"

[[route]]
route = "GET /hello"
mock = { body = "hello" }

[[route]]
route = "GET /slow"
mock = { body = "slow", delay_ms = 1000 }

[[route]]
route = "GET /cut"
mock = { body = "all of this is announced", fault = "truncated" }

[[route]]
route = "GET /reset"
mock = { fault = "reset" }
"#;

/// `[[domain]]` with the certificate of its name, and more keys.
fn domain(name: &str, more: &str) -> String {
    format!(
        "[[domain]]\nname = {name:?}\ncertificate = \"{name}.pem\"\nprivate_key = \"{name}-key.pem\"\n{more}\n"
    )
}

/// A project with these domains, whose certificates `authority` signs; it is
/// trusted in `ca.pem`.
fn project(authority: &Authority, names: &[&str], config: &str) -> Project {
    let project = Project::with_config(&format!("{config}\n{ROUTES}"))
        .with_handler("probe", &fixture("probe"));
    write(project.path(), &[("ca.pem", &authority.pem)]);
    for name in names {
        put_certificate(&project, name, &authority.server(&[*name]));
    }
    project
}

fn put_certificate(project: &Project, name: &str, pair: &mayfly_tests::tls::Pair) {
    write(
        project.path(),
        &[(&format!("{name}-key.pem"), &pair.key), (&format!("{name}.pem"), &pair.certificate)],
    );
}

fn trusting(gateway: &Gateway, url: &str, arguments: &[&str]) -> Curled {
    curl(gateway, url, &[&["--cacert", "ca.pem"], arguments].concat())
}

#[test]
fn each_domain_has_its_certificate_its_base_paths_and_its_stages() {
    if !have("domains", &["curl"]) {
        return;
    }
    let authority = Authority::new();
    let config = [
        "kind = \"rest\"\n[stages.prod]\n[stages.test]\nvariables = { color = \"red\" }\n",
        &domain(
            "api.example.com",
            "base_paths = { \"\" = \"prod\", v1 = \"prod\", \"v1/next\" = \"test\" }",
        ),
        &domain("*.example.com", "base_paths = { only = \"test\" }"),
        &domain("localhost", ""),
    ];
    let names = ["api.example.com", "*.example.com", "localhost"];
    let gateway = project(&authority, &names, &config.concat()).serve();
    for (url, stage, domain, prefix) in [
        ("https://api.example.com/event", "prod", "api.example.com", "api"),
        ("https://api.example.com/v1/event", "prod", "api.example.com", "api"),
        ("https://api.example.com/v1/next/event", "test", "api.example.com", "api"),
        ("https://Other.Example.com/only/event", "test", "other.example.com", "other"),
        ("https://localhost/event", "prod", "localhost", "localhost"),
    ] {
        let answer = trusting(&gateway, url, &[]);
        assert_eq!(answer.status, 200, "{url}: {answer:?}");
        let event = answer.json();
        let path = url.splitn(4, '/').nth(3).unwrap();
        assert_eq!(event["path"], format!("/{path}"), "{url}");
        let context = &event["requestContext"];
        assert_eq!(context["path"], format!("/{path}"), "{url}");
        assert_eq!(context["resourcePath"], "/event");
        assert_eq!(context["stage"], stage, "{url}");
        assert_eq!(context["domainName"], domain);
        assert_eq!(context["domainPrefix"], prefix);
        assert_eq!(context["identity"].get("clientCert"), None);
        let headers = &event["headers"];
        assert_eq!(headers["X-Forwarded-Proto"], "https");
        assert!(gateway.address.ends_with(headers["X-Forwarded-Port"].as_str().unwrap()));
    }
    // A path that no base path is the beginning of.
    for url in ["https://a.example.com/event", "https://a.example.com/onlyevent"] {
        let answer = trusting(&gateway, url, &["--include"]);
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.body.contains("{\"message\":\"Forbidden\"}"), "{answer:?}");
        assert!(answer.body.contains("x-amzn-errortype: ForbiddenException"), "{answer:?}");
    }
    let answer = trusting(&gateway, "https://api.example.com/v2/event", &[]);
    assert_eq!(answer.json(), json!({ "message": "Missing Authentication Token" }));
}

#[test]
fn an_http_api_s_path_begins_with_the_stage_that_a_base_path_leads_to() {
    if !have("paths of HTTP APIs", &["curl"]) {
        return;
    }
    let base_paths = "base_paths = { v1 = \"$default\", \"v2/a\" = \"live\" }";
    let config =
        format!("[stages.\"$default\"]\n[stages.live]\n{}", domain("localhost", base_paths));
    let gateway = project(&Authority::new(), &[], &config);
    let authority = Authority::new();
    write(gateway.path(), &[("ca.pem", &authority.pem)]);
    put_certificate(&gateway, "localhost", &authority.server(&["localhost"]));
    let gateway = gateway.serve();
    for (url, path, stage) in [
        ("https://localhost/v1/event", "/event", "$default"),
        ("https://localhost/v2/a/event", "/live/event", "live"),
    ] {
        for (flag, version, protocol) in
            [("--http2", "2", "HTTP/2.0"), ("--http1.1", "1.1", "HTTP/1.1")]
        {
            let answer = trusting(&gateway, url, &[flag]);
            assert_eq!((answer.status, answer.version.as_str()), (200, version), "{answer:?}");
            let event = answer.json();
            assert_eq!(event["rawPath"], path);
            let context = &event["requestContext"];
            assert_eq!(context["http"]["path"], path);
            assert_eq!(context["http"]["protocol"], protocol);
            assert_eq!(context["stage"], stage);
            assert_eq!(context["domainName"], "localhost");
            assert_eq!(context.get("authentication"), None);
            assert!(event["headers"]["host"].as_str().unwrap().starts_with("localhost:"));
        }
    }
    assert_eq!(trusting(&gateway, "https://localhost/event", &[]).status, 403);
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    if !have("versions of TLS", &["curl"]) {
        return;
    }
    let log = "[stages.prod]\naccess_log = '$context.requestId [$context.tlsVersion $context.cipherSuite] $context.customDomain.basePathMatched $context.domainName'\n";
    let config = [
        "kind = \"rest\"\n",
        log,
        &domain("old.example.com", "base_paths = { \"a/b\" = \"prod\" }"),
        &domain("new.example.com", "security_policy = \"TLS_1_3\""),
    ];
    let names = ["old.example.com", "new.example.com"];
    let gateway = project(&Authority::new(), &[], &config.concat());
    let authority = Authority::new();
    write(gateway.path(), &[("ca.pem", &authority.pem)]);
    for name in names {
        put_certificate(&gateway, name, &authority.server(&[name]));
    }
    let gateway = gateway.serve();
    let (old, new) = ("https://old.example.com/a/b/hello", "https://new.example.com/hello");
    // What the client itself would refuse is allowed, so that it is our word.
    let ancient = ["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"];
    for url in [old, new] {
        let answer = trusting(&gateway, url, &ancient);
        assert_eq!((answer.code, answer.status), (35, 0), "{answer:?}");
        assert!(answer.notes.contains(" alert "), "{answer:?}");
    }
    let answer = trusting(&gateway, new, &["--tls-max", "1.2"]);
    assert_eq!((answer.code, answer.status), (35, 0), "{answer:?}");
    assert_eq!(trusting(&gateway, new, &[]).body, "hello");
    gateway.wait_for_log("[TLSv1.3 TLS_AES_256_GCM_SHA384] - new.example.com");
    assert_eq!(trusting(&gateway, old, &["--tls-max", "1.2"]).body, "hello");
    gateway.wait_for_log("[TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384] a/b old.example.com");
    assert_eq!(gateway.get("/hello").text(), "hello");
    gateway.wait_for_log("[- -] - 127.0.0.1");
}

#[test]
fn a_domain_with_a_certificate_is_never_answered_in_plain_text() {
    let authority = Authority::new();
    let config = [
        domain("api.example.com", ""),
        "[[domain]]\nname = \"plain.example.com\"\nbase_paths = { v1 = \"$default\" }\n".to_owned(),
    ];
    let gateway = project(&authority, &["api.example.com"], &config.concat()).serve();
    let get =
        |path: &str, host: &str| Answer::of(gateway.request("GET", path).header("host", host));
    for host in ["api.example.com", "API.Example.com:443", "api.example.com.", "api.example.com.:1"]
    {
        let answer = get("/hello", host);
        assert_eq!(
            (answer.status, answer.json()),
            (421, json!({ "message": "Misdirected Request" }))
        );
        assert_eq!(answer.header("connection"), Some("close"), "{host}");
    }
    gateway.wait_for_log("is reached in TLS only");
    // Whatever the line of the request says.
    let mut stream = TcpStream::connect(&gateway.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET http://api.example.com/hello HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 421 "), "{text}");
    // In HTTP/2 the same with its own name for it.
    let client =
        reqwest::blocking::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}/hello", gateway.address);
    let answer = client.get(&url).header("host", "api.example.com").send().unwrap();
    assert!([400, 421].contains(&answer.status().as_u16()), "{answer:?}");
    // The default endpoint, and a domain without a certificate.
    assert_eq!(gateway.get("/hello").text(), "hello");
    assert_eq!(get("/hello", "other.example.com").text(), "hello");
    assert_eq!(get("/v1/hello", "plain.example.com").text(), "hello");
    assert_eq!(get("/hello", "plain.example.com").status, 403);
    let event = get("/v1/event?do=event", "PLAIN.example.com").json();
    assert_eq!(event["requestContext"]["domainName"], "plain.example.com");
    assert_eq!(event["headers"]["x-forwarded-proto"], "http");
}

#[test]
fn the_default_endpoint_can_be_disabled() {
    if !have("the default endpoint", &["curl"]) {
        return;
    }
    for kind in ["rest", "http"] {
        let config = format!(
            "kind = \"{kind}\"\ndisable_execute_api_endpoint = true\ncors = true\n{}",
            domain("localhost", "")
        );
        let gateway = project(&Authority::new(), &[], &config);
        let authority = Authority::new();
        write(gateway.path(), &[("ca.pem", &authority.pem)]);
        put_certificate(&gateway, "localhost", &authority.server(&["localhost"]));
        let gateway = gateway.serve();
        let answer = gateway.get("/hello");
        assert_eq!((answer.status, answer.json()), (403, json!({ "message": "Forbidden" })));
        let preflight = gateway
            .request("OPTIONS", "/hello")
            .header("origin", "https://a.example")
            .header("access-control-request-method", "GET");
        assert_eq!(Answer::of(preflight).status, 403);
        assert_eq!(trusting(&gateway, "https://localhost/hello", &[]).body, "hello");
    }
}

#[test]
fn a_connection_speaks_for_the_domain_it_was_made_to() {
    if !have("connections and domains", &["curl", "openssl"]) {
        return;
    }
    let authority = Authority::new();
    let names = ["a.example.com", "b.example.com", "127.0.0.1"];
    let config: String = names.map(|name| domain(name, "")).concat();
    let gateway = project(&authority, &names, &config).serve();
    for flag in ["--http1.1", "--http2"] {
        for host in ["b.example.com", "B.EXAMPLE.COM.", "other.example.com", "127.0.0.1"] {
            let header = format!("host: {host}");
            let answer = trusting(&gateway, "https://a.example.com/hello", &[flag, "-H", &header]);
            assert_eq!(answer.status, 421, "{flag} {host}: {answer:?}");
        }
        for host in ["A.example.com", "a.example.com.", "a.example.com:1"] {
            let header = format!("host: {host}");
            let answer = trusting(&gateway, "https://a.example.com/hello", &[flag, "-H", &header]);
            assert_eq!(answer.body, "hello", "{flag} {host}: {answer:?}");
        }
    }
    gateway.wait_for_log("was made to another domain than Host names");
    // A name that no domain has: the handshake ends with an alert.
    let answer = trusting(&gateway, "https://c.example.com/hello", &[]);
    assert_eq!((answer.code, answer.status), (35, 0), "{answer:?}");
    // Whoever calls an address names nothing, and reaches the domain of that address.
    let answer = trusting(&gateway, "https://127.0.0.1/hello", &[]);
    assert_eq!(answer.body, "hello", "{answer:?}");
    let request = "GET /hello HTTP/1.1\r\nhost: a.example.com\r\n\r\n";
    let text = s_client(&gateway, &["-noservername", "-quiet"], request);
    assert!(text.contains("HTTP/1.1 421 "), "{text}");
}

#[test]
fn without_a_name_and_a_domain_of_the_address_there_is_no_connection() {
    if !have("no name", &["openssl"]) {
        return;
    }
    let authority = Authority::new();
    let names = ["a.example.com"];
    let gateway = project(&authority, &names, &domain(names[0], "")).serve();
    let text = s_client(&gateway, &["-noservername"], "");
    assert!(text.contains("alert access denied"), "{text}");
    assert!(!text.contains("BEGIN CERTIFICATE"), "{text}");
    assert_eq!(gateway.get("/hello").text(), "hello");
}

#[test]
fn damaged_handshakes_end_alone() {
    let authority = Authority::new();
    let config = format!(
        "{}[pools]\nheader_read_timeout_ms = 500\nconnections_max = 4\n",
        domain("localhost", "")
    );
    let gateway = project(&authority, &["localhost"], &config).serve();
    let long = [&[22, 3, 1, 0x40, 0][..], &[1; 0x4000]].concat();
    let begins: [&[u8]; 6] = [
        b"\x16",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x16\xff\xff\xff\xff\xff\xff",
        b"\x16GET / HTTP/1.1\r\n\r\n",
        &long,
    ];
    for begin in begins {
        let mut stream = TcpStream::connect(&gateway.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(begin).unwrap();
        let began = Instant::now();
        // An alert, or nothing; a reset is as good as an end.
        let _ = stream.read_to_end(&mut Vec::new());
        assert!(began.elapsed() < PATIENCE / 2, "{begin:?}");
    }
    // They count as connections while they last.
    let held: Vec<TcpStream> =
        (0..4).map(|_| TcpStream::connect(&gateway.address).unwrap()).collect();
    for mut stream in &held {
        stream.write_all(b"\x16\x03\x01").unwrap();
    }
    let mut connection = connect(&gateway.address, "localhost", &authority.pem, None).unwrap();
    assert!(ask(&mut connection, "localhost", "/hello").unwrap().ends_with("hello"));
    drop(held);
}

#[test]
fn a_certificate_is_reloaded_while_connections_stay_open() {
    let (old, new) = (Authority::new(), Authority::new());
    let gateway = project(&old, &["localhost"], &domain("localhost", "")).serve();
    let open = |authority: &Authority| connect(&gateway.address, "localhost", &authority.pem, None);
    let mut early = open(&old).unwrap();
    assert!(ask(&mut early, "localhost", "/hello").unwrap().ends_with("hello"));
    put_certificate(&gateway.project, "localhost", &new.server(&["localhost"]));
    gateway.wait("the new certificate", || open(&new).is_ok());
    assert!(open(&old).is_err());
    assert!(ask(&mut early, "localhost", "/hello").unwrap().ends_with("hello"));
    // What is broken, or does not belong together, changes nothing.
    let other = new.server(&["localhost"]);
    write(gateway.project.path(), &[("localhost-key.pem", &other.key)]);
    gateway.wait_for_log("localhost-key.pem: it is not the key of localhost.pem");
    assert!(open(&new).is_ok());
    let secret = other.key.lines().nth(1).unwrap();
    let broken = other.key.replace(secret, "????");
    write(gateway.project.path(), &[("localhost-key.pem", &broken)]);
    gateway.wait_for_log("localhost-key.pem: there is no private key in it");
    write(gateway.project.path(), &[("localhost.pem", "nonsense")]);
    gateway.wait_for_log("localhost.pem: there is no certificate in it");
    assert!(open(&new).is_ok());
    put_certificate(&gateway.project, "localhost", &old.server(&["other.example.com"]));
    gateway.wait_for_log("certificate is not for localhost");
    assert!(open(&new).is_ok());
    // One that has expired is what the user asked for.
    put_certificate(&gateway.project, "localhost", &old.expired_server(&["localhost"]));
    gateway.wait_for_log("localhost.pem expired on Jan  1 00:00:00 2002 GMT");
    gateway.wait("another certificate", || open(&new).is_err());
    assert!(ask(&mut early, "localhost", "/hello").unwrap().ends_with("hello"));
    assert!(!gateway.log().contains(secret), "a key in the log");
}

#[test]
fn idle_connections_in_tls_go_on_and_end_in_an_orderly_way() {
    let authority = Authority::new();
    let config = format!("{}[pools]\nheader_read_timeout_ms = 6000\n", domain("localhost", ""));
    let gateway = project(&authority, &["localhost"], &config).serve();
    let mut connection = connect(&gateway.address, "localhost", &authority.pem, None).unwrap();
    for _ in 0..2 {
        assert!(ask(&mut connection, "localhost", "/hello").unwrap().ends_with("hello"));
        // It has been parked by then.
        std::thread::sleep(Duration::from_millis(2500));
    }
    // An end without the protocol's own word for it would be an error.
    assert_eq!(connection.read(&mut [0; 16]).unwrap(), 0);
}

#[test]
fn a_stopping_gateway_finishes_what_it_has_begun_in_tls() {
    let authority = Authority::new();
    let config = format!("[stages.\"$default\"]\nlogging = \"INFO\"\n{}", domain("localhost", ""));
    let mut gateway = project(&authority, &["localhost"], &config).serve();
    let mut slow = connect(&gateway.address, "localhost", &authority.pem, None).unwrap();
    let mut idle = connect(&gateway.address, "localhost", &authority.pem, None).unwrap();
    assert!(ask(&mut idle, "localhost", "/hello").unwrap().ends_with("hello"));
    let asked = std::thread::spawn(move || ask(&mut slow, "localhost", "/slow"));
    gateway.wait_for_log("GET /slow");
    gateway.signal("TERM");
    gateway.wait_for_log("stopping");
    let answer = asked.join().unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("slow"), "{answer}");
    // The other end of TLS is told, not only that of the socket.
    assert_eq!(idle.read(&mut [0; 16]).unwrap(), 0);
    assert_eq!(gateway.wait_for_end().code(), Some(0));
}

#[test]
fn faults_of_mocks_reach_clients_in_tls() {
    if !have("faults in TLS", &["curl"]) {
        return;
    }
    let authority = Authority::new();
    let gateway = project(&authority, &["localhost"], &domain("localhost", "")).serve();
    let cut = trusting(&gateway, "https://localhost/cut", &["--http1.1"]);
    assert_eq!((cut.code, cut.status, cut.body.as_str()), (18, 200, "all of this "), "{cut:?}");
    let reset = trusting(&gateway, "https://localhost/reset", &["--http1.1"]);
    assert!(reset.code != 0 && reset.status == 0, "{reset:?}");
    assert!(reset.notes.contains("reset by peer"), "{reset:?}");
}

#[test]
fn endpoints_get_the_certificate_that_their_integration_has() {
    let clients = Authority::new();
    let upstream = TlsUpstream::for_clients_of(&clients);
    let route = |path: &str, tls: &str| {
        let port = upstream.address.port();
        format!(
            "[[route]]\nroute = \"GET {path}\"\nintegration = {{ type = \"http_proxy\", uri = \"https://localhost:{port}/\", tls = {{ ca_file = \"upstream.pem\"{tls} }} }}\n"
        )
    };
    let own =
        |name: &str| format!(", certificate = \"{name}.pem\", private_key = \"{name}-key.pem\"");
    let config =
        [route("/ada", &own("ada")), route("/bob", &own("bob")), route("/nobody", "")].concat();
    let project = Project::with_config(&config);
    write(project.path(), &[("upstream.pem", &upstream.ca)]);
    let ada = clients.client("client-ada");
    put_certificate(&project, "ada", &ada);
    put_certificate(&project, "bob", &clients.client("client-bob"));
    let gateway = project.serve();
    // Connections are kept, and never those of another.
    for _ in 0..3 {
        assert_eq!(gateway.get("/ada").text(), "HTTP/1.1 client-ada");
        assert_eq!(gateway.get("/bob").text(), "HTTP/1.1 client-bob");
        assert_eq!(gateway.get("/nobody").status, 502);
    }
    put_certificate(&gateway.project, "ada", &clients.client("client-eve"));
    gateway.wait("another certificate", || gateway.get("/ada").text() == "HTTP/1.1 client-eve");
    let secret = ada.key.lines().nth(1).unwrap();
    assert!(!gateway.log().contains(secret), "a key in the log");
}

#[test]
fn a_policy_can_ask_for_tls() {
    let policy = r#"policy = '''{"Statement": [{ "Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "*" }, { "Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "*", "Condition": { "Bool": { "aws:SecureTransport": "false" } } }]}'''"#;
    let authority = Authority::new();
    let config = format!("kind = \"rest\"\n{policy}\n{}", domain("localhost", ""));
    let gateway = project(&authority, &["localhost"], &config).serve();
    assert_eq!(gateway.get("/hello").status, 403);
    let mut connection = connect(&gateway.address, "localhost", &authority.pem, None).unwrap();
    assert!(ask(&mut connection, "localhost", "/hello").unwrap().starts_with("HTTP/1.1 200 "));
}

#[test]
fn commands_know_domains() {
    let config = format!(
        "kind = \"rest\"\nstage = \"one\"\n[stages.one]\nvariables = {{ name = \"probe\" }}\n[stages.two]\nvariables = {{ name = \"other\" }}\n{}[[route]]\nroute = \"GET /by-stage\"\nfunction = \"${{stageVariables.name}}\"\n",
        domain("api.example.com", "base_paths = { v1 = \"two\" }")
    );
    let project = project(&Authority::new(), &["api.example.com"], &config);
    // The stage is served, if only by its domain.
    let check = project.run(&["check"]);
    let text = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(text.contains("names the function \"other\""), "{text}");
    let project = project.with_handler("other", &fixture("version-two"));
    let test = |path: &str, host: &str| {
        let host = format!("host: {host}");
        let output = project.run(&["test", "GET", path, "-H", &host]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = test("/v1/by-stage", "api.example.com");
    assert!(text.contains("stage two") && text.contains("status: 200"), "{text}");
    assert!(test("/by-stage", "api.example.com").contains("status: 403"));
    assert!(test("/by-stage", "other.example.com").contains("stage one"));
}
