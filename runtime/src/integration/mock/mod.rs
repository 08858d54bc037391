//! The mock shorthand: an answer whose strings hold placeholders, chosen by
//! rules, one after the other, or always the same.

mod state;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use rand::RngExt as _;

use super::{IntegrationAnswer, IntegrationError};
use crate::config::{
    Delay, MockAnswer, MockBody, MockSource,
    template::{Lookup, Sampler},
};
pub use state::{Mock, Mocks};

/// What answers a request, and how it was found.
struct Chosen<'m> {
    answer: &'m MockAnswer,
    how: How,
}

/// Positions count from 0.
enum How {
    Rule(usize),
    Only,
    Step(usize, usize),
}

/// Waits as long as the mock says, and renders its answer.
pub async fn answer(
    mock: &Mock,
    request: &(dyn Lookup + Sync),
) -> Result<IntegrationAnswer, IntegrationError> {
    let Chosen { answer, .. } = choose(mock, request, Mock::step)?;
    let seed = || mock.seed();
    let mut sampler = Sampler::new(&seed);
    let delay = delay(answer.delay, &mut sampler);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    render(answer, request, &mut sampler)
}

/// The same choice in words, for whoever looks at a request; nothing is counted.
pub fn describe(mock: &Mock, request: &(dyn Lookup + Sync)) -> String {
    let Ok(chosen) = choose(mock, request, Mock::steps) else { return "mock".to_owned() };
    match chosen.how {
        How::Rule(index) => format!("mock, rule {} of {}", index + 1, mock.config.rules.len()),
        How::Only if mock.config.rules.is_empty() => "mock".to_owned(),
        How::Only => format!("mock, none of {} rules", mock.config.rules.len()),
        How::Step(index, count) => format!("mock, answer {} of {count} in sequence", index + 1),
    }
}

/// What answers; `step` gives how many answers of a sequence have been given.
fn choose<'m>(
    mock: &'m Mock,
    request: &(dyn Lookup + Sync),
    step: impl FnOnce(&Mock) -> u64,
) -> Result<Chosen<'m>, IntegrationError> {
    let rules = &mock.config.rules;
    let holds = |index: &usize| rules[*index].when.iter().all(|one| one.holds(request));
    if let Some(index) = (0..rules.len()).find(holds) {
        return Ok(Chosen { answer: &rules[index].answer, how: How::Rule(index) });
    }
    match &mock.config.otherwise {
        MockSource::Answer(answer) => Ok(Chosen { answer, how: How::Only }),
        MockSource::Sequence { answers, end } => {
            let index = end.index(step(mock), answers.len());
            let answer = answers
                .get(index)
                .ok_or_else(|| IntegrationError::Mock("its sequence is empty".to_owned()))?;
            Ok(Chosen { answer, how: How::Step(index, answers.len()) })
        }
    }
}

fn delay(delay: Delay, sampler: &mut Sampler<'_>) -> Duration {
    if delay.min == delay.max {
        return delay.min;
    }
    sampler.rng().random_range(delay.min..=delay.max)
}

fn render(
    answer: &MockAnswer,
    request: &(dyn Lookup + Sync),
    sampler: &mut Sampler<'_>,
) -> Result<IntegrationAnswer, IntegrationError> {
    let failed = |error: &dyn std::fmt::Display| IntegrationError::Mock(error.to_string());
    let (body, content_type) = match &answer.body {
        MockBody::Empty => (Bytes::new(), None),
        MockBody::Text(text) => {
            let text = text.render(request, sampler).map_err(|error| failed(&error))?;
            (Bytes::from(text), Some("text/plain; charset=utf-8"))
        }
        MockBody::Json(json) => {
            let json = json.render(request, sampler).map_err(|error| failed(&error))?;
            (Bytes::from(json.to_string()), Some("application/json"))
        }
    };
    let mut headers = HeaderMap::with_capacity(answer.headers.len() + 1);
    for (name, template) in &answer.headers {
        let value = template.render(request, sampler).map_err(|error| failed(&error))?;
        // What a client sent may not break a line of the response's head.
        let value = HeaderValue::from_str(&value).map_err(|_| {
            IntegrationError::Mock(format!("{value:?} cannot be the value of the header {name}"))
        })?;
        headers.append(name, value);
    }
    if let Some(content_type) = content_type {
        headers
            .entry(header::CONTENT_TYPE)
            .or_insert_with(|| HeaderValue::from_static(content_type));
    }
    Ok(IntegrationAnswer::Http { status: answer.status, headers, body: body.into() })
}
