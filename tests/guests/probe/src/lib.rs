//! Does what the event asks it to do, good or bad: the query parameter `do` says what.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "generated bindings")]
#![allow(missing_docs, reason = "generated bindings")]

wit_bindgen::generate!({ path: "../../../wit", world: "function" });

use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use mayfly::lambda::{invocation, logging, services};
use serde_json::{Value, json};

struct Probe;

/// Whatever is kept between two invocations would be counted here.
static COUNT: AtomicU32 = AtomicU32::new(0);

impl Guest for Probe {
    fn handle(text: String, context: Context) -> Result<String, FunctionError> {
        let event: Value = serde_json::from_str(&text).map_err(|error| function_error(&error))?;
        if std::env::var_os("PRINT_EVENT").is_some() {
            println!("event: {text}");
        }
        let parameter =
            |name: &str| event["queryStringParameters"][name].as_str().unwrap_or_default();
        let number = || parameter("n").parse::<u64>().unwrap_or_default();
        let body = || event["body"].as_str().unwrap_or_default().to_owned();
        match parameter("do") {
            // The body is the function's answer, whatever it is.
            "answer" => return Ok(body()),
            "context" => {
                return Ok(answer(&json!({
                    "requestId": context.request_id,
                    "functionName": context.function_name,
                    "functionVersion": context.function_version,
                    "arn": context.invoked_function_arn,
                    "memoryLimitMb": context.memory_limit_mb,
                    "deadlineMs": context.deadline_ms,
                })));
            }
            "client-context" => return Ok(answer(&json!(invocation::client_context()))),
            "count" => return Ok(answer(&json!(COUNT.fetch_add(1, Ordering::Relaxed) + 1))),
            "environment" => {
                let pairs: serde_json::Map<String, Value> =
                    std::env::vars().map(|(name, value)| (name, value.into())).collect();
                return Ok(answer(&pairs.into()));
            }
            "files" => {
                let error = std::fs::read_dir("/").err().map(|error| error.to_string());
                return Ok(answer(&json!({ "error": error })));
            }
            "sleep" => std::thread::sleep(Duration::from_millis(number())),
            "loop" => loop {
                black_box(());
            },
            "recurse" => {
                black_box(recurse(number()));
            }
            "allocate" => {
                let bytes = usize::try_from(number()).unwrap_or(usize::MAX);
                black_box(vec![1u8; bytes]);
            }
            "trap" => panic!("asked to trap"),
            "deep" => {
                black_box(descend(number()));
            }
            "error" => return Err(function_error(&"asked to fail")),
            "print" => {
                println!("printed to standard output");
                eprintln!("printed to standard error");
                logging::log(logging::Level::Warn, "logged as a warning");
            }
            "flood" => {
                for line in 0..number() {
                    println!("line {line} of a flood that is longer than a log may be");
                }
            }
            "big" => {
                let bytes = usize::try_from(number()).unwrap_or_default();
                return Ok(json!({ "statusCode": 200, "body": "x".repeat(bytes) }).to_string());
            }
            "call" => {
                let call: Value =
                    serde_json::from_str(&body()).map_err(|error| function_error(&error))?;
                let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
                let result =
                    services::call(&text("service"), &text("action"), &call["input"].to_string());
                return Ok(answer(&match result {
                    Ok(output) => {
                        json!({ "ok": serde_json::from_str::<Value>(&output).unwrap_or_default() })
                    }
                    Err(error) => json!({
                        "code": error.code,
                        "message": error.message,
                        "detail": serde_json::from_str::<Value>(&error.detail).unwrap_or_default(),
                    }),
                }));
            }
            _ => return Ok(answer(&event)),
        }
        Ok(answer(&json!("done")))
    }
}

fn answer(body: &Value) -> String {
    json!({
        "statusCode": 200,
        "headers": { "content-type": "application/json" },
        "body": body.to_string(),
    })
    .to_string()
}

fn function_error(error: &impl ToString) -> FunctionError {
    FunctionError {
        error_type: "Probe.Error".to_owned(),
        error_message: error.to_string(),
        stack_trace: vec!["probe".to_owned()],
    }
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    if black_box(depth) == 0 {
        land(depth);
    }
    black_box(descend(depth - 1)) + 1
}

#[inline(never)]
fn land(depth: u64) {
    assert!(depth > 0, "at the bottom");
}

#[allow(unconditional_recursion, reason = "the stack is to overflow")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(depth + 1)) + 1
}

export!(Probe);
