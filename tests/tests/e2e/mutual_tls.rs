//! Mutual TLS: who is let in, and that nobody comes past it.

use mayfly_tests::{
    Gateway, Project,
    curl::{curl, have, s_client, write},
    fixture,
    tls::{Authority, Pair, ask, connect, self_signed_client},
};
use serde_json::{Value, json};

/// The people, and who vouches for them.
struct World {
    gateway: Gateway,
    servers: Authority,
    clients: Authority,
}

const NAME: &str = "api.example.com";

fn world(kind: &str, more: &str) -> World {
    let (servers, clients) = (Authority::new(), Authority::new());
    let config = format!(
        r#"
kind = "{kind}"
disable_execute_api_endpoint = true
{more}

[[domain]]
name = "{NAME}"
certificate = "api.pem"
private_key = "api-key.pem"
mutual_tls = {{ truststore = "clients.pem" }}

[[domain]]
name = "open.example.com"
certificate = "open.pem"
private_key = "open-key.pem"

[[route]]
route = "GET /event"
function = "probe"

[[route]]
route = "GET /hello"
mock = {{ body = "hello" }}
"#
    );
    let project = Project::with_config(&config).with_handler("probe", &fixture("probe"));
    let put = |name: &str, pair: &Pair| {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}-key.pem"));
        write(project.path(), &[(&certificate, &pair.certificate), (&key, &pair.key)]);
    };
    // One certificate for both, so that a browser would share a connection.
    let both = servers.server(&[NAME, "open.example.com"]);
    put("api", &both);
    put("open", &both);
    put("ada", &clients.client("ada"));
    put("expired", &clients.expired_client("old ada"));
    put("stranger", &Authority::new().client("ada"));
    put("self-signed", &self_signed_client("ada"));
    write(project.path(), &[("ca.pem", &servers.pem), ("clients.pem", &clients.pem)]);
    World { gateway: project.serve(), servers, clients }
}

fn shows(files: &[String; 2]) -> [&str; 6] {
    ["--cacert", "ca.pem", "--cert", &files[0], "--key", &files[1]]
}

fn files(name: &str) -> [String; 2] {
    [format!("{name}.pem"), format!("{name}-key.pem")]
}

fn url(path: &str) -> String {
    format!("https://{NAME}{path}")
}

#[test]
fn a_client_with_a_good_certificate_is_let_in_and_known() {
    if !have("clients' certificates", &["curl"]) {
        return;
    }
    for kind in ["rest", "http"] {
        let log = match kind {
            "rest" => "prod",
            _ => "\"$default\"",
        };
        let more = format!(
            "[stages.{log}]\naccess_log = '$context.requestId [$context.identity.clientCert.subjectDN] $context.identity.clientCert.validity.notBefore'"
        );
        let world = world(kind, &more);
        let ada = files("ada");
        let answer = curl(&world.gateway, &url("/event"), &shows(&ada));
        assert_eq!(answer.status, 200, "{answer:?}");
        let event = answer.json();
        let context = &event["requestContext"];
        let shown: &Value = match kind {
            "rest" => &context["identity"]["clientCert"],
            _ => &context["authentication"]["clientCert"],
        };
        assert_eq!(shown["subjectDN"], "C=XX,CN=ada");
        assert_eq!(shown["issuerDN"], "C=XX,CN=tests' authority");
        assert_eq!(shown["validity"]["notBefore"], "Jan  1 00:00:00 1975 GMT");
        assert_eq!(shown["validity"]["notAfter"], "Jan  1 00:00:00 4096 GMT");
        assert!(shown["serialNumber"].as_str().unwrap().contains(':'), "{shown}");
        let pem = std::fs::read_to_string(world.gateway.project.path().join("ada.pem")).unwrap();
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(shown["clientCertPem"].as_str().unwrap()), lines(&pem));
        assert_eq!(shown.as_object().unwrap().len(), 5);
        world.gateway.wait_for_log("[C=XX,CN=ada] Jan  1 00:00:00 1975 GMT");
        let open = curl(&world.gateway, "https://open.example.com/event", &shows(&ada));
        assert_eq!(open.json()["requestContext"]["identity"].get("clientCert"), None);
        assert_eq!(open.json()["requestContext"].get("authentication"), None);
    }
}

#[test]
fn everybody_else_is_refused_in_the_handshake() {
    if !have("refused clients", &["curl"]) {
        return;
    }
    let World { gateway, .. } = world("rest", "");
    let good = curl(&gateway, &url("/hello"), &shows(&files("ada")));
    assert_eq!(good.body, "hello", "{good:?}");
    for versions in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let none = curl(&gateway, &url("/hello"), &[&["--cacert", "ca.pem"], versions].concat());
        assert!(none.code != 0 && none.status == 0, "{none:?}");
        gateway.wait_for_log("access denied: the client showed no certificate");
        for (name, reason) in [
            ("expired", "certificate expired"),
            ("stranger", "BadSignature"),
            ("self-signed", "UnknownIssuer"),
        ] {
            let files = files(name);
            let arguments = [&shows(&files)[..], versions].concat();
            let answer = curl(&gateway, &url("/hello"), &arguments);
            assert!(answer.code != 0 && answer.status == 0, "{name}: {answer:?}");
            gateway.wait_for_log(&format!("domain=\"{NAME}\""));
            gateway.wait_for_log(reason);
        }
    }
}

#[test]
fn a_tampered_certificate_is_refused() {
    let World { gateway, servers, clients } = world("rest", "");
    let open = |pair: Option<&Pair>| {
        let mut connection = connect(&gateway.address, NAME, &servers.pem, pair)?;
        ask(&mut connection, NAME, "/hello")
    };
    let good = clients.client("ada");
    assert!(open(Some(&good)).unwrap().ends_with("hello"));
    assert!(open(None).is_err());
    // Another name under the same signature.
    let der = pem_bytes(&good.certificate);
    let at = der.windows(3).position(|window| window == b"ada").unwrap();
    let mut other = der.clone();
    other[at..at + 3].copy_from_slice(b"eve");
    let tampered = Pair { certificate: pem_text(&other), key: good.key.clone() };
    assert!(open(Some(&tampered)).is_err());
    gateway.wait_for_log("BadSignature");
    // The right certificate without its key cannot even be shown.
    assert!(open(Some(&good)).is_ok());
}

fn pem_bytes(pem: &str) -> Vec<u8> {
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let value = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = base64.bytes().filter(|c| *c != b'=').map(value).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let number = group.iter().fold(0, |number, digit| number << 6 | digit);
        let number = number << (6 * (4 - group.len()));
        bytes.extend(&number.to_be_bytes()[1..group.len()]);
    }
    bytes
}

fn pem_text(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut base64 = String::new();
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let number = u32::from_be_bytes(padded);
        for index in 0..4 {
            let digit = usize::try_from(number >> (18 - 6 * index) & 63).unwrap();
            let shown = index <= u32::try_from(group.len()).unwrap();
            base64.push(if shown { char::from(ALPHABET[digit]) } else { '=' });
        }
    }
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}

#[test]
fn nobody_comes_past_it() {
    if !have("ways past mutual TLS", &["curl", "openssl"]) {
        return;
    }
    let World { gateway, servers, clients } = world("rest", "");
    // By a connection that was made to a domain that asks for nothing.
    for flag in ["--http1.1", "--http2"] {
        for host in [NAME.to_owned(), format!("{}.", NAME.to_uppercase()), format!("{NAME}:443")] {
            let header = format!("host: {host}");
            let arguments = ["--cacert", "ca.pem", flag, "-H", &header];
            let answer = curl(&gateway, "https://open.example.com/hello", &arguments);
            assert_eq!(answer.status, 421, "{flag} {host}: {answer:?}");
            // The client's certificate changes nothing: nobody has checked it.
            let ada = files("ada");
            let arguments = [&shows(&ada)[..], &[flag, "-H", &header]].concat();
            let answer = curl(&gateway, "https://open.example.com/hello", &arguments);
            assert_eq!(answer.status, 421, "{flag} {host}: {answer:?}");
        }
    }
    // In plain text, and by the address.
    let plain = gateway.request("GET", "/hello").header("host", NAME).send().unwrap();
    assert_eq!(plain.status(), 421);
    assert_eq!(gateway.get("/hello").status, 403);
    // By a session that was made under another name.
    for version in ["-tls1_2", "-tls1_3"] {
        let session = format!("session{version}");
        let request = "GET /hello HTTP/1.1\r\nhost: open.example.com\r\nconnection: close\r\n\r\n";
        let first = ["-servername", "open.example.com", version, "-ign_eof", "-sess_out", &session];
        let text = s_client(&gateway, &first, request);
        assert!(text.contains("hello"), "{text}");
        let request = request.replace("open.example.com", NAME);
        let second = ["-servername", NAME, version, "-ign_eof", "-sess_in", &session];
        let text = s_client(&gateway, &second, &request);
        assert!(!text.contains("200 OK"), "{text}");
        let text = s_client(
            &gateway,
            &[&second[..], &["-cert", "ada.pem", "-key", "ada-key.pem"]].concat(),
            &request,
        );
        assert!(text.contains("200 OK") && !text.contains("Reused, "), "{text}");
    }
    // By a connection that was made before there was a reason to refuse it.
    let ada = clients.client("ada");
    let mut early = connect(&gateway.address, NAME, &servers.pem, Some(&ada)).unwrap();
    assert!(ask(&mut early, NAME, "/hello").unwrap().starts_with("HTTP/1.1 200 "));
    let mut open = connect(&gateway.address, "open.example.com", &servers.pem, None).unwrap();
    let others = Authority::new();
    write(gateway.project.path(), &[("clients.pem", &others.pem)]);
    gateway.wait_for_log("reloaded: configuration");
    let answer = ask(&mut early, NAME, "/hello").unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    let answer = ask(&mut open, "open.example.com", "/hello").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let eve = others.client("eve");
    let mut late = connect(&gateway.address, NAME, &servers.pem, Some(&eve)).unwrap();
    assert!(ask(&mut late, NAME, "/hello").unwrap().starts_with("HTTP/1.1 200 "));
}

#[test]
fn templates_know_the_client_s_certificate() {
    if !have("templates and certificates", &["curl"]) {
        return;
    }
    let route = r#"
[[route]]
route = "GET /who"
integration = { type = "mock", request_templates = { "application/json" = '{"statusCode": 200}' }, responses = [{ headers = { x-serial = "context.identity.clientCert.serialNumber" }, templates = { "text/plain" = "$context.identity.clientCert.subjectDN of $context.identity.clientCert.issuerDN" } }] }
"#;
    let World { gateway, .. } = world("rest", "");
    let config = gateway.project.path().join("gateway.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    gateway.project.write_config(&format!("{text}{route}"));
    gateway.wait_for_log("reloaded: configuration");
    let answer =
        curl(&gateway, &url("/who"), &[&shows(&files("ada"))[..], &["--include"]].concat());
    assert!(answer.body.ends_with("C=XX,CN=ada of C=XX,CN=tests' authority"), "{answer:?}");
    assert!(answer.body.contains("x-serial: "), "{answer:?}");
}

#[test]
fn a_trust_store_that_trusts_nobody_changes_nothing() {
    let World { gateway, servers, clients } = world("rest", "");
    let ada = clients.client("ada");
    let leaf = &ada.certificate;
    for (text, log) in [
        (leaf.as_str(), "it trusts nobody: certificate 1 (C=XX,CN=ada) is left out"),
        ("", "clients.pem: there is no certificate in it"),
    ] {
        write(gateway.project.path(), &[("clients.pem", text)]);
        gateway.wait_for_log(log);
        let mut open = connect(&gateway.address, NAME, &servers.pem, Some(&ada)).unwrap();
        assert!(ask(&mut open, NAME, "/hello").unwrap().ends_with("hello"));
    }
    let health = gateway.health();
    assert_ne!(health["status"], json!("ok"), "{health}");
    write(gateway.project.path(), &[("clients.pem", &format!("{}{leaf}", clients.pem))]);
    gateway.wait_for_log(
        "certificate 2 (C=XX,CN=ada) is left out: it is not a certificate authority's",
    );
}
