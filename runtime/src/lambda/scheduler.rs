//! Schedules: when the time comes, their events are queued.
//!
//! What was due while nobody was there is not made up for, as in EventBridge.
//! A rate counts from when its schedule was first seen, over restarts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rusqlite::{OptionalExtension as _, params};
use time::OffsetDateTime;
use tokio::sync::watch;

use super::{Event, Lambda, moment, record};
use crate::{
    config::{Expression, ScheduleConfig},
    gateway::Gateway,
};

/// How often it is looked for schedules that have changed, and for a clock
/// that was set.
const LOOK: Duration = Duration::from_secs(1);

/// When schedules are due, by name.
#[derive(Default)]
struct Plan(BTreeMap<String, Planned>);

struct Planned {
    expression: Expression,
    since: OffsetDateTime,
    next: Option<OffsetDateTime>,
}

impl Plan {
    /// The schedules that it does not know as they are now.
    fn unknown<'s>(&self, schedules: &'s [ScheduleConfig]) -> Vec<&'s ScheduleConfig> {
        let known = |schedule: &&ScheduleConfig| {
            let planned = self.0.get(&schedule.name);
            planned.is_some_and(|planned| planned.expression == schedule.expression)
        };
        schedules.iter().filter(|schedule| schedule.enabled && !known(schedule)).collect()
    }

    /// Plans a schedule whose rate counts from `since`.
    fn add(&mut self, schedule: &ScheduleConfig, since: OffsetDateTime, now: OffsetDateTime) {
        let expression = schedule.expression.clone();
        let next = expression.next(since, now);
        self.0.insert(schedule.name.clone(), Planned { expression, since, next });
    }

    /// Forgets the schedules that there are no more.
    fn retain(&mut self, schedules: &[ScheduleConfig]) {
        let names: BTreeSet<&String> = schedules
            .iter()
            .filter(|schedule| schedule.enabled)
            .map(|schedule| &schedule.name)
            .collect();
        self.0.retain(|name, _| names.contains(name));
    }

    /// The schedules that are due, each with its time; each is due once, and
    /// then after `now`.
    fn due(&mut self, now: OffsetDateTime) -> Vec<(String, OffsetDateTime)> {
        let mut due = Vec::new();
        for (name, planned) in &mut self.0 {
            if let Some(next) = planned.next.filter(|next| *next <= now) {
                due.push((name.clone(), next));
                planned.next = planned.expression.next(planned.since, now);
            }
        }
        due
    }

    fn next(&self) -> Option<OffsetDateTime> {
        self.0.values().filter_map(|planned| planned.next).min()
    }
}

impl Lambda {
    /// Queues the events of the snapshot's schedules until `stop` turns true.
    pub async fn run_schedules(
        self: Arc<Self>,
        gateway: Arc<ArcSwap<Gateway>>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut plan = Plan::default();
        loop {
            let snapshot = gateway.load_full();
            let schedules = &snapshot.config.schedules;
            plan.retain(schedules);
            for schedule in plan.unknown(schedules) {
                let since = self.since(schedule).await;
                plan.add(schedule, since, moment::now());
            }
            for (name, due) in plan.due(moment::now()) {
                let schedule = schedules.iter().find(|schedule| schedule.name == name);
                if let Some(schedule) = schedule {
                    self.fire(schedule, due).await;
                }
            }
            let until = plan.next().map(|next| next - moment::now());
            let wait = until.and_then(|until| Duration::try_from(until).ok()).unwrap_or(LOOK);
            tokio::select! {
                () = tokio::time::sleep(wait.min(LOOK)) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn fire(&self, schedule: &ScheduleConfig, due: OffsetDateTime) {
        let payload = schedule.input.clone();
        let payload = payload.unwrap_or_else(|| record::scheduled(&schedule.name, due));
        let request_id = uuid::Uuid::new_v4().to_string();
        let event = Event::new(schedule.function.clone(), request_id.clone(), payload);
        let (name, function) = (&schedule.name, &schedule.function);
        match self.enqueue(event).await {
            Ok(_) => tracing::info!(schedule = name, %function, request_id, "scheduled"),
            Err(error) => tracing::error!(schedule = name, %function, "not queued: {error}"),
        }
    }

    /// When a schedule was first seen with its expression.
    async fn since(&self, schedule: &ScheduleConfig) -> OffsetDateTime {
        let (name, expression) = (schedule.name.clone(), schedule.expression.to_string());
        let now = moment::now();
        let kept = self.store.run(move |connection| {
            let sql = "SELECT created_ms FROM schedule WHERE name = ?1 AND expression = ?2";
            let found = connection.query_row(sql, [&name, &expression], |row| row.get(0));
            if let Some(created) = found.optional()? {
                return Ok(created);
            }
            let sql = "INSERT OR REPLACE INTO schedule VALUES (?1, ?2, ?3)";
            connection.execute(sql, params![name, expression, moment::ms(now)])?;
            Ok(moment::ms(now))
        });
        match kept.await {
            Ok(created) => moment::of_ms(created),
            Err(error) => {
                tracing::error!(%error, schedule = schedule.name, "it counts from now on");
                now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::config::{FunctionReference, Place};

    fn schedule(name: &str, expression: &str) -> ScheduleConfig {
        ScheduleConfig {
            name: name.to_owned(),
            expression: Expression::parse(expression).expect("an expression"),
            function: FunctionReference::parse("report").expect("a name"),
            input: None,
            enabled: true,
            place: Place { file: "gateway.toml".into(), line: 1, column: 1 },
        }
    }

    #[test]
    fn a_schedule_is_due_once_and_what_was_missed_is_not_made_up() {
        let schedules =
            [schedule("often", "rate(5 minutes)"), schedule("nightly", "cron(0 3 * * ? *)")];
        let mut plan = Plan::default();
        let start = datetime!(2026-01-01 02:58:30 UTC);
        for schedule in plan.unknown(&schedules) {
            plan.add(schedule, start, start);
        }
        assert_eq!(plan.unknown(&schedules), Vec::<&ScheduleConfig>::new());
        assert_eq!(plan.next(), Some(datetime!(2026-01-01 03:00 UTC)));
        assert_eq!(plan.due(datetime!(2026-01-01 02:59:59 UTC)), []);
        let three = datetime!(2026-01-01 03:00 UTC);
        assert_eq!(plan.due(three), [("nightly".to_owned(), three)]);
        assert_eq!(plan.due(three), []);
        // Two days later: each is due once, for the first time that was missed.
        let later = datetime!(2026-01-03 12:00 UTC);
        let due: Vec<String> = plan.due(later).into_iter().map(|(name, _)| name).collect();
        assert_eq!(due, ["nightly", "often"]);
        assert_eq!(plan.due(later), []);
        assert_eq!(plan.next(), Some(datetime!(2026-01-03 12:03:30 UTC)));
    }

    #[test]
    fn a_reload_changes_only_what_is_new() {
        let mut schedules = vec![schedule("a", "rate(5 minutes)"), schedule("b", "rate(1 hour)")];
        let mut plan = Plan::default();
        let start = datetime!(2026-01-01 00:00 UTC);
        for schedule in plan.unknown(&schedules) {
            plan.add(schedule, start, start);
        }
        schedules[1] = schedule("b", "rate(2 hours)");
        plan.retain(&schedules);
        let names: Vec<&str> =
            plan.unknown(&schedules).iter().map(|schedule| schedule.name.as_str()).collect();
        assert_eq!(names, ["b"]);
        schedules[0].enabled = false;
        plan.retain(&schedules);
        assert_eq!(plan.next(), Some(datetime!(2026-01-01 01:00 UTC)));
    }
}
