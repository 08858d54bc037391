//! A command: the event comes on standard input, and says what to do.

mod storage;

use std::{
    io::{Read as _, Write as _},
    process::ExitCode,
};

use serde_json::{Value, json};

fn main() -> ExitCode {
    let mut text = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut text) {
        eprintln!("standard input: {error}");
        return ExitCode::FAILURE;
    }
    let event: Value = serde_json::from_str(&text).unwrap_or_default();
    let parameter = |name: &str| event["queryStringParameters"][name].as_str().unwrap_or_default();
    let number = || parameter("n").parse::<u64>().unwrap_or_default();
    let mut out = std::io::stdout();
    let written = match parameter("do") {
        "cgi" => {
            let method = std::env::var("REQUEST_METHOD").unwrap_or_default();
            let path = std::env::var("PATH_INFO").unwrap_or_default();
            let mode = std::env::var("HTTP_X_MODE").unwrap_or_default();
            write!(
                out,
                "Status: 201 Created\r\nContent-Type: text/plain\r\n\r\n{method} {path} {mode}"
            )
        }
        "environment" => {
            let pairs: serde_json::Map<String, Value> =
                std::env::vars().map(|(name, value)| (name, value.into())).collect();
            let arguments: Vec<String> = std::env::args().collect();
            let body = json!({ "environment": pairs, "arguments": arguments });
            write!(out, "{}", json!({ "statusCode": 200, "body": body.to_string() }))
        }
        "exit" => {
            eprintln!("about to fail");
            return ExitCode::from(u8::try_from(number()).unwrap_or(1));
        }
        "storage" => {
            write!(out, "Content-Type: text/plain\n\n{}", storage::run(parameter("what")))
        }
        "silent" => Ok(()),
        "text" => write!(out, "Hello, world!"),
        "twice" => write!(out, "{0}\n{0}", json!({ "statusCode": 200, "body": "answered" })),
        "flood" => (0..number()).try_for_each(|_| out.write_all(&[b'x'; 1024])),
        "loop" => loop {
            std::hint::black_box(());
        },
        "trap" => panic!("asked to trap"),
        _ => write!(out, "{}", json!({ "statusCode": 200, "body": event["body"] })),
    };
    match written.and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("standard output: {error}");
            ExitCode::FAILURE
        }
    }
}
