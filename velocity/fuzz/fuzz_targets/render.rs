//! Whatever the bytes are, they are parsed or refused, rendered or stopped,
//! within the limits, in both profiles.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly_velocity::{Context, Limits, Profile, Template, Value};

const LIMITS: Limits = Limits {
    template_bytes_max: 4096,
    nesting_max: 40,
    steps_max: 20_000,
    output_bytes_max: 16_384,
};

fn context() -> Context {
    let mut context = Context::new();
    context.set("s", "some, text");
    context.set("n", Value::integer(7));
    context.set("l", Value::from(serde_json::json!([1, "a", 2.5, null, { "k": [true] }])));
    context.set("m", Value::from(serde_json::json!({ "a": 1, "b": { "c": "d" } })));
    context
}

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for profile in [Profile::Service, Profile::Plain] {
        let Ok(template) = Template::parse_with(&text, profile, LIMITS) else { continue };
        if let Ok(rendered) = template.render(&context()) {
            assert!(rendered.text.len() <= LIMITS.output_bytes_max, "{} bytes", rendered.text.len());
        }
    }
});
