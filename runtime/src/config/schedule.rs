//! `[[schedule]]`: EventBridge's expressions, `rate(…)` and `cron(…)`.
//!
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html>

use std::{fmt, sync::Arc};

use chrono::{DateTime, TimeZone as _, Utc};
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use time::{Duration, OffsetDateTime};

use super::{FunctionReference, Place};

/// One `[[schedule]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleConfig {
    /// Its name, the rule's in events.
    pub name: String,
    /// When.
    pub expression: Expression,
    /// What is invoked.
    pub function: FunctionReference,
    /// The event; none for EventBridge's own.
    pub input: Option<String>,
    /// Whether it is in force.
    pub enabled: bool,
    /// Where it is written.
    pub place: Place,
}

/// When something is due.
#[derive(Clone)]
pub struct Expression {
    text: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// Every so often from a beginning.
    Rate(Duration),
    /// At the times of a calendar, in UTC.
    Cron(Arc<Cron>),
}

/// The units of a rate, in seconds. Seconds are our own.
const UNITS: [(&str, u32); 4] =
    [("second", 1), ("minute", 60), ("hour", 60 * 60), ("day", 24 * 60 * 60)];

/// The longest rate, in days: more than anyone waits for.
const RATE_DAYS_MAX: i64 = 3650;

/// The longest expression, in bytes.
const BYTES_MAX: usize = 256;

/// A field of cron.
struct Field {
    name: &'static str,
    letters: &'static [&'static str],
    min: u32,
    max: u32,
}

const DAYS_OF_MONTH: u32 = 31;
const DAYS_OF_WEEK: u32 = 7;

const MONTHS: &[&str] =
    &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 6] = [
    Field { name: "minutes", letters: &[], min: 0, max: 59 },
    Field { name: "hours", letters: &[], min: 0, max: 23 },
    Field { name: "day of month", letters: &[], min: 1, max: DAYS_OF_MONTH },
    Field { name: "month", letters: MONTHS, min: 1, max: 12 },
    Field { name: "day of week", letters: DAYS, min: 1, max: DAYS_OF_WEEK },
    Field { name: "year", letters: &[], min: 1970, max: 2199 },
];

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        let kind = match (inner("rate"), inner("cron")) {
            _ if text.len() > BYTES_MAX => {
                return Err(format!("it is longer than {BYTES_MAX} bytes"));
            }
            (Some(rate), _) => Kind::Rate(parse_rate(rate)?),
            (_, Some(cron)) => Kind::Cron(Arc::new(parse_cron(cron)?)),
            _ => return Err("write rate(5 minutes) or cron(0 3 * * ? *)".to_owned()),
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    /// The first time after `after`, where rates count from `since`; none
    /// where there is no more.
    pub fn next(&self, since: OffsetDateTime, after: OffsetDateTime) -> Option<OffsetDateTime> {
        match &self.kind {
            Kind::Rate(period) => {
                let passed = (after - since).max(Duration::ZERO).whole_milliseconds();
                let period_ms = period.whole_milliseconds();
                let periods = i64::try_from(passed / period_ms + 1).ok()?;
                let from_since = i64::try_from(period_ms).ok()?.checked_mul(periods)?;
                since.checked_add(Duration::milliseconds(from_since))
            }
            Kind::Cron(cron) => {
                let after: DateTime<Utc> = Utc.timestamp_opt(after.unix_timestamp(), 0).single()?;
                let next = cron.find_next_occurrence(&after, false).ok()?;
                OffsetDateTime::from_unix_timestamp(next.timestamp()).ok()
            }
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

fn parse_rate(text: &str) -> Result<Duration, String> {
    let form = || "write a number and a unit: rate(5 minutes), rate(1 hour)".to_owned();
    let (number, unit) = text.split_once(' ').ok_or_else(form)?;
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let number: i64 = if digits { number.parse().map_err(|_| form())? } else { return Err(form()) };
    if number == 0 {
        return Err("the number has to be greater than 0".to_owned());
    }
    let singular = unit.strip_suffix('s').unwrap_or(unit);
    let Some((name, seconds)) = UNITS.iter().find(|(name, _)| *name == singular) else {
        return Err("the unit is minute, minutes, hour, hours, day or days".to_owned());
    };
    // The service refuses `1 minutes` and `2 minute` too.
    if (number == 1) != (unit == *name) {
        let right = if number == 1 { (*name).to_owned() } else { format!("{name}s") };
        return Err(format!("write rate({number} {right})"));
    }
    let seconds = number.checked_mul((*seconds).into());
    let period =
        seconds.map(Duration::seconds).filter(|period| period.whole_days() <= RATE_DAYS_MAX);
    period.ok_or_else(|| format!("it is longer than {RATE_DAYS_MAX} days"))
}

fn parse_cron(text: &str) -> Result<Cron, String> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "cron has six fields, minutes, hours, day of month, month, day of week and year; here are {}",
            fields.len()
        ));
    }
    if (fields[2] == "?") == (fields[4] == "?") {
        for (field, text) in FIELDS.iter().zip(&fields) {
            field.read(text)?;
        }
        return Err("exactly one of day of month and day of week has to be \"?\"".to_owned());
    }
    let read = FIELDS.iter().zip(&fields).map(|(field, text)| field.read(text));
    let pattern = read.collect::<Result<Vec<String>, String>>()?.join(" ");
    CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Required)
        .alternative_weekdays(true)
        .build()
        .parse(&format!("0 {pattern}"))
        .map_err(|error| error.to_string())
}

impl Field {
    /// Numbers, names, ranges and steps as a list of numbers, and the other
    /// forms as they are: libraries differ in which steps they take.
    fn read(&self, text: &str) -> Result<String, String> {
        let wrong = |item: &str| format!("{item:?} is not something for the {}", self.name);
        let mut items = Vec::new();
        for item in text.split(',') {
            let upper = item.to_ascii_uppercase();
            if let Some(values) = self.values(&upper) {
                items.extend(values.map(|value| value.to_string()));
            } else if self.is_special(&upper) || (upper == "?" && text == "?" && self.is_day()) {
                // The last day of a week is Saturday.
                let is_saturday = upper == "L" && self.max == DAYS_OF_WEEK;
                items.push(if is_saturday { "7".to_owned() } else { upper });
            } else {
                return Err(wrong(item));
            }
        }
        Ok(items.join(","))
    }

    fn is_day(&self) -> bool {
        matches!(self.max, DAYS_OF_WEEK | DAYS_OF_MONTH)
    }

    /// `L`, `15W`, `LW`, `FRIL`, `MON#2`.
    fn is_special(&self, item: &str) -> bool {
        let is_value = |text: &str| self.value(text).is_some();
        match self.max {
            DAYS_OF_MONTH => {
                matches!(item, "L" | "LW") || item.strip_suffix('W').is_some_and(is_value)
            }
            DAYS_OF_WEEK => {
                let nth = |(day, nth)| is_value(day) && matches!(nth, "1" | "2" | "3" | "4" | "5");
                item == "L"
                    || item.strip_suffix('L').is_some_and(is_value)
                    || item.split_once('#').is_some_and(nth)
            }
            _ => false,
        }
    }

    /// `*`, a number or a name, a range, each perhaps with a step.
    fn values(&self, item: &str) -> Option<impl Iterator<Item = u32> + use<>> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let step_by = match step {
            Some(step) => number(step).filter(|step| (1..=self.max).contains(step))?,
            None => 1,
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            None if range == "*" => (self.min, self.max),
            // A number with a step is where it begins.
            None => {
                (self.value(range)?, if step.is_some() { self.max } else { self.value(range)? })
            }
        };
        (from <= to).then(|| (from..=to).step_by(step_by as usize))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self.letters.iter().position(|letters| *letters == text);
        if let Some(place) = named {
            return Some(self.min + u32::try_from(place).ok()?);
        }
        number(text).filter(|value| (self.min..=self.max).contains(value))
    }
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
