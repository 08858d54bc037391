//! CORS as a browser sees it: a page of another origin speaks to the gateway.

use mayfly_tests::{
    Gateway, Project,
    browser::Site,
    curl::{have, write},
    fixture,
    tls::Authority,
};
use serde_json::{Value, json};

/// What a page does: `ask` reports what a script can see of an answer.
const ASK: &str = r"
    const ask = async (path, options) => {
        try {
            const answer = await fetch(gateway + path, options);
            return {
                status: answer.status,
                body: await answer.text(),
                total: answer.headers.get('x-total'),
                hidden: answer.headers.get('x-hidden'),
            };
        } catch (error) {
            return { refused: String(error) };
        }
    };
    const post = (path, headers, text) => ask(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ text }),
    });
";

fn script(gateway: &Gateway, body: &str) -> String {
    format!("const gateway = 'http://{}'; {ASK} {body}", gateway.address)
}

/// A browser tells a script that it may not see an answer, not why.
fn refused(report: &Value) -> bool {
    report["refused"].as_str().is_some_and(|error| error.starts_with("TypeError"))
}

fn mail(kind: &str, origin: &str) -> Gateway {
    let config = format!(
        r#"
kind = "{kind}"

[cors]
allow_origins = ["{origin}"]
allow_headers = ["content-type", "authtoken"]
expose_headers = ["x-total"]
allow_credentials = true

[limits]
body_bytes_max = 1000

[[route]]
route = "POST /mail"
mock = {{ headers = {{ x-total = "3", x-hidden = "1" }}, json = {{ token = "{{header.authtoken}}", text = "{{body.text}}" }} }}

[[route]]
route = "GET /login"
mock = {{ body = "welcome", headers = {{ set-cookie = "session=s3cret; Path=/" }} }}

[[route]]
route = "GET /me"
mock = {{ body = "cookie: {{header.cookie}}" }}

[[route]]
route = "GET /broken"
function = "probe"

[[route]]
route = "POST /own"
mock = {{ body = "own" }}

[[route]]
route = "OPTIONS /own"
mock = {{ status = 204, headers = {{ access-control-allow-origin = "{origin}", access-control-allow-headers = "x-own,content-type", access-control-allow-methods = "POST" }} }}
"#
    );
    Project::with_config(&config).with_handler("probe", &fixture("probe")).serve()
}

const MAIL: &str = r"
    return {
        sent: await post('/mail', { authtoken: 't0ken' }, 'hello'),
        foreign: await post('/mail', { 'x-other': '1' }, 'hello'),
        login: await ask('/login', { credentials: 'include' }),
        me: await ask('/me', { credentials: 'include' }),
        anonymous: await ask('/me', { credentials: 'omit' }),
        unknown: await ask('/nothing', {}),
        broken: await ask('/broken?do=trap', {}),
        large: await post('/mail', {}, 'x'.repeat(2000)),
        own: await post('/own', { 'x-own': '1' }, ''),
        own_foreign: await post('/own', { authtoken: 't0ken' }, ''),
    };
";

/// Statuses and bodies of the three errors, which differ by the kind of API.
fn page_with_credentials(name: &str, kind: &str, errors: [(u16, &str); 3]) {
    let site = Site::new();
    let gateway = mail(kind, &site.origin);
    let Some(report) = site.run(name, &script(&gateway, MAIL)) else { return };
    assert_eq!(
        report["sent"],
        json!({ "status": 200, "body": r#"{"token":"t0ken","text":"hello"}"#, "total": "3", "hidden": null })
    );
    assert!(refused(&report["foreign"]), "{report:#}");
    assert_eq!(report["login"]["body"], "welcome", "{report:#}");
    assert_eq!(report["me"]["body"], "cookie: session=s3cret", "{report:#}");
    assert_eq!(report["anonymous"]["body"], "cookie: ", "{report:#}");
    for (case, (status, message)) in ["unknown", "broken", "large"].into_iter().zip(errors) {
        assert_eq!(report[case]["status"], status, "{case}: {report:#}");
        let body = report[case]["body"].as_str().unwrap_or_default();
        assert!(body.contains(message), "{case}: {report:#}");
    }
    assert_eq!(report["own"]["body"], "own", "{report:#}");
    assert!(refused(&report["own_foreign"]), "{report:#}");
}

#[test]
fn a_page_of_another_origin_uses_a_rest_api() {
    let errors = [
        (403, "Missing Authentication Token"),
        (502, "Internal server error"),
        (413, "Request Too Long"),
    ];
    page_with_credentials("browser::a_page_of_another_origin_uses_a_rest_api", "rest", errors);
}

#[test]
fn a_page_of_another_origin_uses_an_http_api() {
    let errors =
        [(404, "Not Found"), (500, "Internal Server Error"), (413, "Request Entity Too Large")];
    page_with_credentials("browser::a_page_of_another_origin_uses_an_http_api", "http", errors);
}

/// Without `cors`, gateway responses decide whether errors can be read.
#[test]
fn a_page_reads_errors_that_gateway_responses_open() {
    let name = "browser::a_page_reads_errors_that_gateway_responses_open";
    let site = Site::new();
    let gateway = Project::with_config(
        r#"
kind = "rest"

[gateway_responses.DEFAULT_4XX]
headers = { access-control-allow-origin = "'*'" }

[[route]]
route = "GET /closed"
mock = { body = "closed" }

[[route]]
route = "GET /broken"
function = "probe"
"#,
    )
    .with_handler("probe", &fixture("probe"))
    .serve();
    let body = "return { unknown: await ask('/nothing', {}), closed: await ask('/closed', {}), \
                broken: await ask('/broken?do=trap', {}) };";
    let Some(report) = site.run(name, &script(&gateway, body)) else { return };
    assert_eq!(report["unknown"]["status"], 403, "{report:#}");
    assert!(refused(&report["closed"]), "{report:#}");
    assert!(refused(&report["broken"]), "{report:#}");
}

/// The base64 of a key's digest, by which Chromium is told to trust it.
fn key_digest(gateway: &Gateway, certificate: &str) -> String {
    let pipe = format!(
        "openssl x509 -in {certificate} -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl enc -base64"
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &pipe])
        .current_dir(gateway.project.path())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_page_speaks_to_several_domains_of_one_certificate() {
    let name = "a_page_speaks_to_several_domains_of_one_certificate";
    if !have(name, &["openssl"]) {
        return;
    }
    let site = Site::new();
    let names = ["a.mayfly.test", "b.mayfly.test"];
    let own = Authority::new().server(&names);
    let domain = |name: &str, stage: &str| {
        format!(
            "[[domain]]\nname = \"{name}\"\ncertificate = \"own.pem\"\nprivate_key = \"own-key.pem\"\nbase_paths = {{ v1 = \"{stage}\" }}\n"
        )
    };
    let config = format!(
        "cors = true\n[stages.one]\n[stages.two]\n{}{}[[route]]\nroute = \"GET /event\"\nfunction = \"probe\"\n",
        domain(names[0], "one"),
        domain(names[1], "two")
    );
    let project = Project::with_config(&config).with_handler("probe", &fixture("probe"));
    write(project.path(), &[("own.pem", &own.certificate), ("own-key.pem", &own.key)]);
    let gateway = project.serve();
    let port = gateway.address.rsplit(':').next().unwrap();
    let script = format!(
        "const ask = async host => {{
            const event = await (await fetch(`https://${{host}}:{port}/v1/event`)).json();
            const {{ stage, domainName, http }} = event.requestContext;
            return [stage, domainName, http.protocol, event.headers['x-forwarded-proto']].join(' ');
        }};
        return [await ask('{}'), await ask('{}'), await ask('{}')];",
        names[0], names[1], names[0]
    );
    let trust =
        format!("--ignore-certificate-errors-spki-list={}", key_digest(&gateway, "own.pem"));
    let Some(report) = site.run_with(name, &script, &names, &[trust]) else { return };
    assert_eq!(
        report,
        json!([
            "one a.mayfly.test HTTP/2.0 https",
            "two b.mayfly.test HTTP/2.0 https",
            "one a.mayfly.test HTTP/2.0 https",
        ])
    );
    // The browser took the one connection for both, until it was told.
    gateway.wait_for_log("was made to another domain than Host names");
}
