//! From single measurements to tables: medians, spreads, ratios.

use std::fmt::Write as _;

/// Measurements of one thing, round by round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    /// Of no values it is not a number.
    pub fn of(values: &[f64]) -> Self {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        // Of two in the middle, the lower.
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        Self { median: at(last / 2), low: at(0), high: at(last) }
    }

    /// Two cells: the median, and from where to where.
    pub fn cells(&self, decimals: usize) -> [String; 2] {
        let Self { median, low, high } = self;
        [format!("{median:.decimals$}"), format!("{low:.decimals$} to {high:.decimals$}")]
    }
}

/// A ratio is that of a round: what slows a round down slows both sides of it.
pub fn ratios(own: &[f64], base: &[f64]) -> Vec<f64> {
    own.iter().zip(base).map(|(own, base)| own / base).collect()
}

/// The value below which `share` of the sorted values are.
pub fn percentile(sorted: &[u64], share: f64) -> u64 {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// A table in Markdown, the first column to the left and the others to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n| ---", head.join(" | "));
    text.push_str(&" | ---:".repeat(head.len().saturating_sub(1)));
    text.push_str(" |\n");
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_values_that_were_there() {
        let spread = Spread::of(&[3.0, 1.0, 2.0, 4.0]);
        assert_eq!(spread, Spread { median: 2.0, low: 1.0, high: 4.0 });
        assert_eq!(spread.cells(1), ["2.0".to_owned(), "1.0 to 4.0".to_owned()]);
        assert!(Spread::of(&[]).median.is_nan());
    }

    #[test]
    fn a_ratio_is_that_of_its_round() {
        assert_eq!(ratios(&[90.0, 40.0, 180.0], &[100.0, 50.0, 200.0]), [0.9, 0.8, 0.9]);
        assert_eq!(ratios(&[1.0, 2.0], &[2.0]), [0.5]);
    }

    #[test]
    fn percentiles_are_values_that_were_there() {
        let times: Vec<u64> = (1..=200).collect();
        assert_eq!(percentile(&times, 0.99), 198);
        assert_eq!(percentile(&times, 0.5), 100);
        assert_eq!(percentile(&[7], 0.99), 7);
        assert_eq!(percentile(&[], 0.99), 0);
    }

    #[test]
    fn a_table_has_a_line_for_each_row() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["b".to_owned(), "2".to_owned()]];
        let text = table(&["", "value"], &rows);
        assert_eq!(text, "|  | value |\n| --- | ---: |\n| a | 1 |\n| b | 2 |\n");
    }
}
