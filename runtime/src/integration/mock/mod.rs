//! The mock shorthand: an answer whose strings hold placeholders, chosen by
//! rules, one after the other, or always the same.

mod collection;
mod query;
mod state;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use rand::RngExt as _;

use super::{IntegrationAnswer, IntegrationError};
use crate::config::{
    CollectionMock, Delay, Fault, FaultKind, MockAnswer, MockBody, MockSource,
    template::{Lookup, Sampler, TextTemplate},
};
use collection::{Collection, Reply};
pub use state::{Mock, Mocks, Reset};

/// What answers a request. Positions count from 0.
enum Chosen<'m> {
    Rule(usize, &'m MockAnswer),
    Only(&'m MockAnswer),
    Step(usize, usize, &'m MockAnswer),
    Collection(&'m CollectionMock, &'m Collection),
}

/// Waits as long as the mock says, and renders its answer.
pub async fn answer(
    mock: &Mock,
    request: &(dyn Lookup + Sync),
) -> Result<IntegrationAnswer, IntegrationError> {
    let chosen = choose(mock, request, Mock::step)?;
    let seed = || mock.seed();
    let mut sampler = Sampler::new(&seed);
    match chosen {
        Chosen::Rule(_, answer) | Chosen::Only(answer) | Chosen::Step(_, _, answer) => {
            let fault = strikes(answer.fault, &mut sampler);
            wait(answer.delay, &mut sampler).await;
            Ok(with_fault(fault, render(answer, request, &mut sampler)?))
        }
        Chosen::Collection(mock, collection) => {
            let fault = strikes(mock.fault, &mut sampler);
            wait(mock.delay, &mut sampler).await;
            let headers = headers(&mock.headers, request, &mut sampler)?;
            Ok(with_fault(fault, from_collection(collection.answer(mock, request), headers)))
        }
    }
}

/// The same choice in words, for whoever looks at a request; nothing is counted.
pub fn describe(mock: &Mock, request: &(dyn Lookup + Sync)) -> String {
    let Ok(chosen) = choose(mock, request, Mock::steps) else { return "mock".to_owned() };
    let rules = &mock.config.rules;
    let mut passed = rules.len();
    let mut text = match chosen {
        Chosen::Rule(index, _) => {
            passed = index;
            format!("mock, rule {} of {}", index + 1, rules.len())
        }
        Chosen::Only(_) if rules.is_empty() => "mock".to_owned(),
        Chosen::Only(_) => format!("mock, none of {} rules", rules.len()),
        Chosen::Step(index, count, _) => {
            format!("mock, answer {} of {count} in sequence", index + 1)
        }
        Chosen::Collection(own, _) => match &own.item {
            Some(_) => format!("mock, an item of the collection {}", own.name),
            None => format!("mock, the collection {}", own.name),
        },
    };
    for (index, rule) in rules[..passed].iter().enumerate() {
        let failures: Vec<String> =
            rule.when.iter().filter_map(|condition| condition.failure(request)).collect();
        text.push_str(&format!("\nrule {}: {}", index + 1, failures.join(", ")));
    }
    text
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
        return Ok(Chosen::Rule(index, &rules[index].answer));
    }
    match &mock.config.otherwise {
        MockSource::Answer(answer) => Ok(Chosen::Only(answer)),
        MockSource::Sequence { answers, end } => {
            let index = end.index(step(mock), answers.len());
            let answer = answers
                .get(index)
                .ok_or_else(|| IntegrationError::Mock("its sequence is empty".to_owned()))?;
            Ok(Chosen::Step(index, answers.len(), answer))
        }
        MockSource::Collection(own) => match &mock.collection {
            Some(collection) => Ok(Chosen::Collection(own, collection)),
            None => Err(IntegrationError::Mock(format!("there is no collection {:?}", own.name))),
        },
    }
}

/// The fault, if it is this request's turn.
fn strikes(fault: Option<Fault>, sampler: &mut Sampler<'_>) -> Option<FaultKind> {
    let Fault { kind, percent } = fault?;
    (percent >= 100 || sampler.rng().random_range(0..100) < percent).then_some(kind)
}

fn with_fault(kind: Option<FaultKind>, mut answer: IntegrationAnswer) -> IntegrationAnswer {
    if let IntegrationAnswer::Http { fault, .. } = &mut answer {
        *fault = kind;
    }
    answer
}

async fn wait(delay: Delay, sampler: &mut Sampler<'_>) {
    let time = match delay {
        Delay { min, max } if min == max => min,
        Delay { min, max } => sampler.rng().random_range(min..=max),
    };
    if time > Duration::ZERO {
        tokio::time::sleep(time).await;
    }
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
            (Bytes::from(text), Some(MockBody::TEXT))
        }
        MockBody::Json(json) => {
            let json = json.render(request, sampler).map_err(|error| failed(&error))?;
            (Bytes::from(json.to_string()), Some(MockBody::JSON))
        }
        MockBody::Fixed(bytes, content_type) => (bytes.clone(), Some(*content_type)),
    };
    let mut headers = headers(&answer.headers, request, sampler)?;
    if let Some(content_type) = content_type {
        headers
            .entry(header::CONTENT_TYPE)
            .or_insert_with(|| HeaderValue::from_static(content_type));
    }
    Ok(IntegrationAnswer::Http { status: answer.status, headers, body: body.into(), fault: None })
}

/// A collection's reply; headers of the configuration win over its own.
fn from_collection(reply: Reply, mut headers: HeaderMap) -> IntegrationAnswer {
    let own = reply.body.is_some().then(|| ("content-type", "application/json".to_owned()));
    for (name, value) in reply.headers.into_iter().chain(own) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.entry(name).or_insert(value);
        }
    }
    let body = reply.body.map_or_else(Bytes::new, Bytes::from);
    IntegrationAnswer::Http { status: reply.status, headers, body: body.into(), fault: None }
}

/// Headers that an answer gets besides: its type, and its request's ids.
const ADDED_HEADERS: usize = 4;

fn headers(
    templates: &[(HeaderName, TextTemplate)],
    request: &(dyn Lookup + Sync),
    sampler: &mut Sampler<'_>,
) -> Result<HeaderMap, IntegrationError> {
    let mut headers = HeaderMap::with_capacity(templates.len() + ADDED_HEADERS);
    for (name, template) in templates {
        let value = template
            .render(request, sampler)
            .map_err(|error| IntegrationError::Mock(error.to_string()))?;
        // What a client sent may not break a line of the response's head.
        let value = HeaderValue::from_str(&value).map_err(|_| {
            IntegrationError::Mock(format!("{value:?} cannot be the value of the header {name}"))
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}
