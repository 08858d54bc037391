use proptest::prelude::*;
use time::{Date, Month, Time, Weekday, macros::datetime};

use super::*;

fn next(text: &str, after: OffsetDateTime) -> Option<OffsetDateTime> {
    let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    expression.next(OffsetDateTime::UNIX_EPOCH, after)
}

#[test]
fn the_service_s_examples() {
    // Sunday, the first of March.
    let after = datetime!(2026-03-01 12:34:56 UTC);
    for (text, expected) in [
        ("cron(0 10 * * ? *)", datetime!(2026-03-02 10:00 UTC)),
        ("cron(15 12 * * ? *)", datetime!(2026-03-02 12:15 UTC)),
        ("cron(0 18 ? * MON-FRI *)", datetime!(2026-03-02 18:00 UTC)),
        ("cron(0 8 1 * ? *)", datetime!(2026-04-01 08:00 UTC)),
        ("cron(0/15 * * * ? *)", datetime!(2026-03-01 12:45 UTC)),
        ("cron(0/10 * ? * MON-FRI *)", datetime!(2026-03-02 00:00 UTC)),
        ("cron(0/5 8-17 ? * MON-FRI *)", datetime!(2026-03-02 08:00 UTC)),
        ("cron(0 9 ? * 2#1 *)", datetime!(2026-03-02 09:00 UTC)),
        ("cron(0 9 ? * MON#2 *)", datetime!(2026-03-09 09:00 UTC)),
        ("cron(0 9 ? * 6L *)", datetime!(2026-03-27 09:00 UTC)),
        ("cron(0 9 ? * L *)", datetime!(2026-03-07 09:00 UTC)),
        ("cron(0 9 ? * 1 *)", datetime!(2026-03-08 09:00 UTC)),
        ("cron(0 9 L * ? *)", datetime!(2026-03-31 09:00 UTC)),
        ("cron(0 9 15W * ? *)", datetime!(2026-03-16 09:00 UTC)),
        ("cron(0 9 1W * ? *)", datetime!(2026-03-02 09:00 UTC)),
        ("cron(0 0 29 2 ? *)", datetime!(2028-02-29 00:00 UTC)),
        ("cron(0 0 1 JAN ? 2030/2)", datetime!(2030-01-01 00:00 UTC)),
        ("cron(30 6,18 ? jan,jul sat 2027)", datetime!(2027-01-02 06:30 UTC)),
    ] {
        assert_eq!(next(text, after), Some(expected), "{text}");
    }
    assert_eq!(next("cron(0 0 1 1 ? 2025)", after), None);
    assert_eq!(next("cron(0 0 31 2 ? *)", after), None);
}

#[test]
fn a_rate_counts_from_its_beginning() {
    let since = datetime!(2026-01-01 00:00:30 UTC);
    let rate = |text: &str, after| Expression::parse(text).expect("a rate").next(since, after);
    let five = |after| rate("rate(5 minutes)", after);
    assert_eq!(five(since), Some(datetime!(2026-01-01 00:05:30 UTC)));
    assert_eq!(five(datetime!(2026-01-01 00:05:29 UTC)), Some(datetime!(2026-01-01 00:05:30 UTC)));
    assert_eq!(five(datetime!(2026-01-01 00:05:30 UTC)), Some(datetime!(2026-01-01 00:10:30 UTC)));
    assert_eq!(five(datetime!(2027-01-01 00:00:00 UTC)), Some(datetime!(2027-01-01 00:00:30 UTC)));
    // A clock that was set back waits for the beginning's first.
    assert_eq!(five(datetime!(2025-01-01 00:00:00 UTC)), Some(datetime!(2026-01-01 00:05:30 UTC)));
    assert_eq!(rate("rate(1 day)", since), Some(datetime!(2026-01-02 00:00:30 UTC)));
    assert_eq!(rate("rate(10 seconds)", since), Some(datetime!(2026-01-01 00:00:40 UTC)));
}

#[test]
fn what_the_service_refuses_is_refused() {
    for text in [
        "",
        "hourly",
        "rate()",
        "rate(5)",
        "rate(0 minutes)",
        "rate(1 minutes)",
        "rate(2 minute)",
        "rate(-5 minutes)",
        "rate(5  minutes)",
        "rate(5 weeks)",
        "rate(99999999999999999999 days)",
        "rate(99999999 days)",
        "cron()",
        "cron(* * * * *)",
        "cron(* * * * * *)",
        "cron(* * ? * ? *)",
        "cron(* * 1 * 1 *)",
        "cron(60 * * * ? *)",
        "cron(* 24 * * ? *)",
        "cron(* * 0 * ? *)",
        "cron(* * 32 * ? *)",
        "cron(* * * 13 ? *)",
        "cron(* * ? * 0 *)",
        "cron(* * ? * 8 *)",
        "cron(* * ? * MON#6 *)",
        "cron(* * ? * MON#0 *)",
        "cron(* * * * ? 1969)",
        "cron(* * * * ? 2200)",
        "cron(? * * * ? *)",
        "cron(0/0 * * * ? *)",
        "cron(*/a * * * ? *)",
        "cron(5-1 * * * ? *)",
        "cron(, * * * ? *)",
        "cron(1W * * * ? *)",
        "cron(* L * * ? *)",
        "cron(* * L-3 * ? *)",
        "cron(@daily)",
        "cron(+1 * * * ? *)",
    ] {
        assert!(Expression::parse(text).is_err(), "{text}");
    }
}

/// What a field's text means, made by the test itself.
#[derive(Debug, Clone)]
struct Values {
    text: String,
    values: Vec<u32>,
}

/// Lists of numbers, ranges and steps between two bounds.
fn values(min: u32, max: u32) -> impl Strategy<Value = Values> {
    let one = (min..=max, min..=max, 1..=max, 0..5_u32);
    proptest::collection::vec(one, 1..4).prop_map(move |items| {
        let mut all = Vec::new();
        let mut texts = Vec::new();
        for (a, b, step, form) in items {
            let (from, to) = (a.min(b), a.max(b));
            let (text, range, step) = match form {
                0 => ("*".to_owned(), min..=max, 1),
                1 => (format!("{from}-{to}"), from..=to, 1),
                2 => (format!("{from}/{step}"), from..=max, step),
                3 => (format!("{from}-{to}/{step}"), from..=to, step),
                _ => (a.to_string(), a..=a, 1),
            };
            all.extend(range.step_by(step as usize));
            texts.push(text);
        }
        Values { text: texts.join(","), values: all }
    })
}

/// Days of a month or of a week, with the odd forms.
#[derive(Debug, Clone)]
enum Days {
    OfMonth(Values),
    Last,
    Nearest(u8),
    OfWeek(Values),
    LastOfWeekday(u8),
    Nth(u8, u8),
}

fn days() -> impl Strategy<Value = Days> {
    prop_oneof![
        values(1, 31).prop_map(Days::OfMonth),
        Just(Days::Last),
        (1..=31_u8).prop_map(Days::Nearest),
        values(1, 7).prop_map(Days::OfWeek),
        (1..=7_u8).prop_map(Days::LastOfWeekday),
        (1..=7_u8, 1..=5_u8).prop_map(|(day, nth)| Days::Nth(day, nth)),
    ]
}

fn weekday(date: Date) -> u8 {
    date.weekday().number_days_from_sunday() + 1
}

impl Days {
    fn text(&self) -> (String, String) {
        let any = || "?".to_owned();
        match self {
            Self::OfMonth(values) => (values.text.clone(), any()),
            Self::Last => ("L".to_owned(), any()),
            Self::Nearest(day) => (format!("{day}W"), any()),
            Self::OfWeek(values) => (any(), values.text.clone()),
            Self::LastOfWeekday(day) => (any(), format!("{day}L")),
            Self::Nth(day, nth) => (any(), format!("{day}#{nth}")),
        }
    }

    fn has(&self, date: Date) -> bool {
        let last = date.month().length(date.year());
        match self {
            Self::OfMonth(values) => values.values.contains(&date.day().into()),
            Self::Last => date.day() == last,
            Self::Nearest(day) => nearest(date, *day) == Some(date.day()),
            Self::OfWeek(values) => values.values.contains(&weekday(date).into()),
            Self::LastOfWeekday(day) => weekday(date) == *day && date.day() + 7 > last,
            Self::Nth(day, nth) => weekday(date) == *day && (date.day() - 1) / 7 + 1 == *nth,
        }
    }
}

/// The weekday that is nearest to a day, in the same month.
fn nearest(date: Date, day: u8) -> Option<u8> {
    let last = date.month().length(date.year());
    let day_of = |day| Date::from_calendar_date(date.year(), date.month(), day).ok();
    Some(match day_of(day)?.weekday() {
        Weekday::Saturday if day > 1 => day - 1,
        Weekday::Saturday => 3,
        Weekday::Sunday if day < last => day + 1,
        Weekday::Sunday => day - 2,
        _ => day,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_next_time_is_the_first_that_a_calendar_has(
        minutes in values(0, 59),
        hours in values(0, 23),
        days in days(),
        months in values(1, 12),
        start in 0..400_i64,
        time in 0..86_400_i64,
    ) {
        let (of_month, of_week) = days.text();
        let text = format!("cron({} {} {of_month} {} {of_week} *)", minutes.text, hours.text, months.text);
        let after = datetime!(2027-06-01 00:00 UTC) + Duration::seconds(start * 86_400 + time);
        let mut expected = None;
        let mut date = after.date();
        // Nothing that can be comes later than this: a fifth Monday of February,
        // across a century without a 29th.
        for _ in 0..366 * 41 {
            let month = u32::from(u8::from(date.month()));
            if months.values.contains(&month) && days.has(date) {
                let times = hours.values.iter().flat_map(|hour| {
                    minutes.values.iter().map(move |minute| (*hour as u8, *minute as u8))
                });
                let times = times.filter_map(|(hour, minute)| Time::from_hms(hour, minute, 0).ok());
                let found = times.map(|time| date.with_time(time).assume_utc());
                expected = found.filter(|found| *found > after).min();
                if expected.is_some() {
                    break;
                }
            }
            date = date.next_day().expect("a day");
        }
        prop_assert_eq!(next(&text, after), expected, "{}", text);
    }

    #[test]
    fn any_text_is_an_expression_or_an_error(
        text in "(rate|cron|[(]|[)]|[0-9]{1,20}|[*?LW#/,-]| |minutes|MON|JAN|\\PC){0,20}",
    ) {
        if let Ok(expression) = Expression::parse(&text) {
            let after = datetime!(2026-01-01 00:00 UTC);
            let next = expression.next(after, after);
            prop_assert!(next.is_none_or(|next| next > after));
        }
    }
}

#[test]
fn months_have_their_names() {
    let names =
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    for (month, name) in (1..=12).zip(names) {
        let found = next(&format!("cron(0 0 1 {name} ? 2030)"), datetime!(2026-01-01 00:00 UTC));
        assert_eq!(found.map(|found| found.month()), Month::try_from(month).ok());
    }
}
