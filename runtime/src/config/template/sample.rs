//! Sample data: `{random.name}`, `{random.int.1.100}` and their kin, drawn
//! from a generator that a seed makes reproducible.

use fake::{
    Fake as _,
    faker::{
        address::en::{CityName, CountryName, StreetName},
        company::en::CompanyName,
        internet::en::SafeEmail,
        lorem::en::{Paragraph, Sentence, Word},
        name::en::{FirstName, LastName, Name},
        phone_number::en::PhoneNumber,
    },
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use time::{Date, Duration, Month, OffsetDateTime, Time};

use super::PlaceholderError;
use crate::config::keys::closest;

/// A kind of sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sample {
    /// Without bounds of its own.
    Plain(Plain),
    /// `int.MIN.MAX`, both included.
    Int(i64, i64),
    /// `decimal.MIN.MAX`, both included, with two places.
    Decimal(i64, i64),
    /// `one_of.A.B…`
    OneOf(Vec<String>),
}

/// A kind of sample that a word names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    Bool,
    City,
    Company,
    Country,
    Date,
    Email,
    FirstName,
    LastName,
    Name,
    Paragraph,
    Phone,
    Sentence,
    Street,
    Time,
    Uuid,
    Word,
}

const PLAIN: [(&str, Plain); 16] = [
    ("bool", Plain::Bool),
    ("city", Plain::City),
    ("company", Plain::Company),
    ("country", Plain::Country),
    ("date", Plain::Date),
    ("email", Plain::Email),
    ("first_name", Plain::FirstName),
    ("last_name", Plain::LastName),
    ("name", Plain::Name),
    ("paragraph", Plain::Paragraph),
    ("phone", Plain::Phone),
    ("sentence", Plain::Sentence),
    ("street", Plain::Street),
    ("time", Plain::Time),
    ("uuid", Plain::Uuid),
    ("word", Plain::Word),
];

/// The largest bound of a decimal: with two places it is still exact.
const DECIMAL_MAX: i64 = 1_000_000_000_000;

/// The first day that is drawn, and how many there are: a span that does not
/// depend on when it is asked for.
const FIRST_DAY: Date = match Date::from_calendar_date(2000, Month::January, 1) {
    Ok(date) => date,
    Err(_) => Date::MIN,
};
const DAYS: i64 = 30 * 365;

impl Sample {
    /// Reads what comes after `random.`.
    pub(super) fn parse(text: &str) -> Result<Self, PlaceholderError> {
        let (kind, bounds) = text.split_once('.').unwrap_or((text, ""));
        if let Some((_, plain)) = PLAIN.iter().find(|(word, _)| *word == text) {
            return Ok(Self::Plain(*plain));
        }
        match kind {
            "int" => {
                let (min, max) = range(text, bounds, i64::MIN..=i64::MAX)?;
                Ok(Self::Int(min, max))
            }
            "decimal" => {
                let (min, max) = range(text, bounds, -DECIMAL_MAX..=DECIMAL_MAX)?;
                Ok(Self::Decimal(min, max))
            }
            "one_of" if !bounds.is_empty() => {
                Ok(Self::OneOf(bounds.split('.').map(str::to_owned).collect()))
            }
            _ => Err(unknown(text, kind)),
        }
    }

    /// Draws one. Integers, decimals and booleans are no strings.
    pub(super) fn draw(&self, rng: &mut StdRng) -> Value {
        match self {
            Self::Plain(plain) => plain.draw(rng),
            Self::Int(min, max) => rng.random_range(*min..=*max).into(),
            Self::Decimal(min, max) => {
                let hundredths = rng.random_range(min * 100..=max * 100);
                (hundredths as f64 / 100.0).into()
            }
            Self::OneOf(choices) => choices[rng.random_range(0..choices.len())].as_str().into(),
        }
    }
}

impl Plain {
    fn draw(self, rng: &mut StdRng) -> Value {
        let text: String = match self {
            Self::Bool => return rng.random_bool(0.5).into(),
            Self::City => CityName().fake_with_rng(rng),
            Self::Company => CompanyName().fake_with_rng(rng),
            Self::Country => CountryName().fake_with_rng(rng),
            Self::Date => date(day(rng)),
            // Of domains that are nobody's.
            Self::Email => SafeEmail().fake_with_rng(rng),
            Self::FirstName => FirstName().fake_with_rng(rng),
            Self::LastName => LastName().fake_with_rng(rng),
            Self::Name => Name().fake_with_rng(rng),
            Self::Paragraph => Paragraph(3..6).fake_with_rng(rng),
            Self::Phone => PhoneNumber().fake_with_rng(rng),
            Self::Sentence => Sentence(4..10).fake_with_rng(rng),
            Self::Street => StreetName().fake_with_rng(rng),
            Self::Time => {
                let second = Duration::seconds(rng.random_range(0..24 * 3600));
                timestamp(day(rng).with_time(Time::MIDNIGHT).assume_utc() + second)
            }
            Self::Uuid => uuid::Builder::from_random_bytes(rng.random()).into_uuid().to_string(),
            Self::Word => Word().fake_with_rng(rng),
        };
        text.into()
    }
}

fn range(
    text: &str,
    bounds: &str,
    allowed: std::ops::RangeInclusive<i64>,
) -> Result<(i64, i64), PlaceholderError> {
    let parse = |text: &str| text.parse().ok().filter(|bound| allowed.contains(bound));
    let parsed = bounds.split_once('.').and_then(|(min, max)| Some((parse(min)?, parse(max)?)));
    let kind = text.split('.').next().unwrap_or_default();
    let wrong = |message: String| PlaceholderError {
        message,
        hint: format!("write for example {{random.{kind}.1.100}}"),
    };
    match parsed {
        Some((min, max)) if min <= max => Ok((min, max)),
        Some((min, max)) => Err(wrong(format!(
            "the placeholder {{random.{text}}} begins at {min} and ends at {max}"
        ))),
        None => {
            let (min, max) = allowed.into_inner();
            let bounds = if kind == "int" { String::new() } else { format!(" of {min} to {max}") };
            Err(wrong(format!("the placeholder {{random.{text}}} needs two integers{bounds}")))
        }
    }
}

fn unknown(text: &str, kind: &str) -> PlaceholderError {
    let mut words: Vec<&str> = PLAIN.iter().map(|(word, _)| *word).collect();
    words.extend(["int.MIN.MAX", "decimal.MIN.MAX", "one_of.A.B"]);
    PlaceholderError {
        message: format!("there is no sample data {{random.{text}}}"),
        hint: match closest(kind, &words) {
            Some(near) => format!("did you mean {{random.{near}}}?"),
            None => format!("there is {}", words.join(", ")),
        },
    }
}

fn day(rng: &mut StdRng) -> Date {
    FIRST_DAY + Duration::days(rng.random_range(0..DAYS))
}

fn date(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// As JavaScript's `toISOString` writes it.
pub(super) fn timestamp(time: OffsetDateTime) -> String {
    let (hour, minute, second) = time.to_hms();
    let date = date(time.date());
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{:03}Z", time.millisecond())
}

/// The generator of one request, made when it is first needed.
pub struct Sampler<'s> {
    seed: &'s (dyn Fn() -> u64 + Sync),
    // Apart, as most requests need none.
    rng: Option<Box<StdRng>>,
}

impl<'s> Sampler<'s> {
    /// One that asks for its seed at most once.
    pub fn new(seed: &'s (dyn Fn() -> u64 + Sync)) -> Self {
        Self { seed, rng: None }
    }

    /// The generator.
    pub fn rng(&mut self) -> &mut StdRng {
        self.rng.get_or_insert_with(|| Box::new(StdRng::seed_from_u64((self.seed)())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Sample {
        Sample::parse(text).expect("a sample")
    }

    #[test]
    fn samples_are_within_their_bounds() {
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..1000 {
            let int = parse("int.-2.3").draw(&mut rng).as_i64().expect("an integer");
            assert!((-2..=3).contains(&int), "{int}");
            let decimal = parse("decimal.1.2").draw(&mut rng).as_f64().expect("a number");
            assert!((1.0..=2.0).contains(&decimal), "{decimal}");
            let one = parse("one_of.a.b").draw(&mut rng);
            assert!(one == "a" || one == "b", "{one}");
            let date = parse("date").draw(&mut rng).as_str().expect("text").to_owned();
            assert!(("2000-01-01"..="2029-12-31").contains(&date.as_str()), "{date}");
            let mail = parse("email").draw(&mut rng).as_str().expect("text").to_owned();
            assert!(mail.contains("@example."), "{mail}");
        }
        assert_eq!(parse("int.5.5").draw(&mut rng), 5);
        let widest = format!("int.{}.{}", i64::MIN, i64::MAX);
        assert!(parse(&widest).draw(&mut rng).is_i64());
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let draw = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            let drawn = PLAIN.iter().map(|(word, _)| parse(word).draw(&mut rng).to_string());
            drawn.collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).iter().all(|text| text != "\"\""));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        for text in [
            "",
            "nam",
            "int",
            "int.1",
            "int.2.1",
            "int.a.b",
            "int.1.2.3",
            "int.1.99999999999999999999",
            "decimal.0.9999999999999",
            "one_of",
            "one_of.",
            "name.x",
        ] {
            let error = Sample::parse(text).expect_err(text);
            assert!(!error.hint.is_empty(), "{text:?}");
        }
        let error = Sample::parse("emial").expect_err("a slip");
        assert_eq!(error.hint, "did you mean {random.email}?");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_sample_or_an_error(text in "(int|decimal|one_of|name|[.]|-|[0-9]{1,20}|\\PC){0,6}") {
            if let Ok(sample) = Sample::parse(&text) {
                let drawn = sample.draw(&mut StdRng::seed_from_u64(1));
                proptest::prop_assert!(!drawn.is_null());
            }
        }
    }
}
