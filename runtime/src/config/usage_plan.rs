//! API keys, usage plans and their quotas.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use time::{Date, Duration, Month};

use super::Secret;

/// `throttle`: a bucket of `burst` requests that is filled at `rate`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThrottleConfig {
    /// Requests per second, on average.
    pub rate: f64,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// Where a request's API key is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ApiKeySource {
    /// In its header `x-api-key`.
    #[default]
    Header,
    /// In what its authorizer answers.
    Authorizer,
}

/// One `[[api_key]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKeyConfig {
    /// Its name.
    pub name: String,
    /// What a client sends.
    pub value: Secret,
    /// Whether it is taken.
    pub enabled: bool,
}

/// One `[[usage_plan]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct UsagePlanConfig {
    /// Its name.
    pub name: String,
    /// The names of the API keys that it holds for.
    pub keys: BTreeSet<String>,
    /// The stages that it holds for; none for all of them.
    pub stages: Option<BTreeSet<String>>,
    /// How often each key may call.
    pub throttle: Option<ThrottleConfig>,
    /// How much each key may call.
    pub quota: Option<QuotaConfig>,
    /// How often each key may call single routes, by their keys.
    pub methods: BTreeMap<String, ThrottleConfig>,
}

impl UsagePlanConfig {
    /// Whether it holds for a stage.
    pub fn is_of(&self, stage: &str) -> bool {
        self.stages.as_ref().is_none_or(|stages| stages.contains(stage))
    }
}

/// A usage plan's `quota`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaConfig {
    /// Requests of a period.
    pub limit: u64,
    /// Which.
    pub period: Period,
}

/// What a quota counts for, and when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// Seven days, from so many days after Sunday on.
    Week(u8),
    /// From so many days after the first of a month on.
    Month(u8),
}

/// One of a quota's periods, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// The first day.
    pub first: Date,
    /// The first day of the next one.
    pub until: Date,
}

impl Period {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week(_) => "week",
            Self::Month(_) => "month",
        }
    }

    /// The period that a day belongs to.
    pub fn window(self, day: Date) -> Window {
        match self {
            Self::Day => Window { first: day, until: day.saturating_add(Duration::DAY) },
            Self::Week(offset) => {
                let since = 7 + day.weekday().number_days_from_sunday() - offset % 7;
                let first = day.saturating_sub(Duration::days(i64::from(since % 7)));
                Window { first, until: first.saturating_add(Duration::WEEK) }
            }
            Self::Month(offset) => {
                let begin = offset % 28 + 1;
                let on = |(year, month): (i32, Month)| {
                    // Every month has this day; years end where dates do.
                    Date::from_calendar_date(year, month, begin).unwrap_or(day)
                };
                let this = (day.year(), day.month());
                let (first, next) = match day.day() < begin {
                    true => (before(this), this),
                    false => (this, after(this)),
                };
                Window { first: on(first), until: on(next) }
            }
        }
    }
}

fn before((year, month): (i32, Month)) -> (i32, Month) {
    (if month == Month::January { year - 1 } else { year }, month.previous())
}

fn after((year, month): (i32, Month)) -> (i32, Month) {
    (if month == Month::December { year + 1 } else { year }, month.next())
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn periods_begin_at_their_offset() {
        let window = |period: Period, day| {
            let Window { first, until } = period.window(day);
            assert!(first <= day && day < until, "{period:?} of {day}");
            (first, until)
        };
        let new_year = date!(2026 - 01 - 01);
        assert_eq!(window(Period::Day, new_year), (new_year, date!(2026 - 01 - 02)));
        assert_eq!(window(Period::Day, date!(2028 - 02 - 29)).1, date!(2028 - 03 - 01));
        // A Thursday.
        let (sunday, next) = (date!(2025 - 12 - 28), date!(2026 - 01 - 04));
        assert_eq!(window(Period::Week(0), new_year), (sunday, next));
        assert_eq!(window(Period::Week(0), sunday), (sunday, next));
        assert_eq!(window(Period::Week(0), next).0, next);
        assert_eq!(window(Period::Week(4), new_year), (new_year, date!(2026 - 01 - 08)));
        assert_eq!(
            window(Period::Week(5), new_year),
            (date!(2025 - 12 - 26), date!(2026 - 01 - 02))
        );
        assert_eq!(window(Period::Month(0), new_year), (new_year, date!(2026 - 02 - 01)));
        assert_eq!(
            window(Period::Month(27), new_year),
            (date!(2025 - 12 - 28), date!(2026 - 01 - 28))
        );
        assert_eq!(
            window(Period::Month(9), date!(2025 - 12 - 10)),
            (date!(2025 - 12 - 10), date!(2026 - 01 - 10))
        );
    }

    proptest::proptest! {
        #[test]
        fn periods_follow_upon_each_other(days in -700_000_i64..2_900_000, offset in 0_u8..28) {
            let day = date!(1970 - 01 - 01).saturating_add(Duration::days(days));
            for period in [Period::Day, Period::Week(offset % 7), Period::Month(offset)] {
                let window = period.window(day);
                proptest::prop_assert!(window.first <= day && day < window.until);
                let last = window.until.previous_day().expect("a day before");
                proptest::prop_assert_eq!(period.window(last), window);
                proptest::prop_assert_eq!(period.window(window.until).first, window.until);
            }
        }
    }
}
