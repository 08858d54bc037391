//! A command of `wasi:cli` 0.3: the event comes on standard input, and says what to do.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "generated bindings")]
#![allow(missing_docs, reason = "generated bindings")]

use serde_json::{Value, json};
use wasip3::{
    cli::{environment, stdin, stdout},
    clocks::monotonic_clock,
    wit_bindgen, wit_stream,
};

wasip3::cli::command::export!(Guest);

struct Guest;

impl wasip3::exports::cli::run::Guest for Guest {
    async fn run() -> Result<(), ()> {
        let (input, end) = stdin::read_via_stream();
        let event = input.collect().await;
        end.await.map_err(|error| eprintln!("standard input: {error:?}"))?;
        let event: Value = serde_json::from_slice(&event).unwrap_or_default();
        let parameters = &event["queryStringParameters"];
        match parameters["do"].as_str().unwrap_or_default() {
            "exit" => return Err(()),
            "trap" => panic!("asked to trap"),
            "loop" => loop {
                std::hint::black_box(());
            },
            "wait" => monotonic_clock::wait_for(3_600_000_000_000).await,
            _ => monotonic_clock::wait_for(1_000_000).await,
        }
        eprintln!("about to answer");
        let body = json!({
            "body": event["body"],
            "arguments": environment::get_arguments(),
            "method": environment::get_environment().into_iter().find(|(name, _)| name == "REQUEST_METHOD"),
        });
        let answer = json!({ "statusCode": 200, "body": body.to_string() }).to_string();
        let (mut writer, output) = wit_stream::new();
        wit_bindgen::spawn_local(async move { drop(writer.write_all(answer.into_bytes()).await) });
        stdout::write_via_stream(output)
            .await
            .map_err(|error| eprintln!("standard output: {error:?}"))
    }
}
