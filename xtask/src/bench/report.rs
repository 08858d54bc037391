//! From single measurements to a table: medians, spreads, ratios.

use std::fmt::Write as _;

/// What one way of answering reached, round by round, in requests a second.
pub struct Row {
    pub name: &'static str,
    /// The row that it is measured against.
    pub against: &'static str,
    pub rates: Vec<f64>,
}

/// The middle one; of two in the middle, the lower.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which `share` of the sorted values are.
pub fn percentile(sorted: &[u64], share: f64) -> u64 {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// A table in Markdown. A ratio is the median of the rounds' own ratios: what
/// slows a round down slows both sides of it.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| | requests a second | lowest to highest | against | ratio | lowest to highest |\n\
         | --- | ---: | ---: | --- | ---: | ---: |\n",
    );
    for row in rows {
        let (low, high) = extremes(&row.rates);
        let rates = format!("{:.0} | {low:.0} to {high:.0}", median(&row.rates));
        let base = rows.iter().find(|other| other.name == row.against);
        let ratios = match base.filter(|base| base.name != row.name) {
            None => "| | ".to_owned(),
            Some(base) => {
                let ratios: Vec<f64> =
                    row.rates.iter().zip(&base.rates).map(|(own, base)| own / base).collect();
                let (low, high) = extremes(&ratios);
                format!("{} | {:.2} | {low:.2} to {high:.2}", base.name, median(&ratios))
            }
        };
        let _ = writeln!(text, "| {} | {rates} | {ratios} |", row.name);
    }
    text
}

fn extremes(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_that_of_its_round() {
        let rows = [
            Row { name: "bare", against: "bare", rates: vec![100.0, 50.0, 200.0] },
            Row { name: "mock", against: "bare", rates: vec![90.0, 40.0, 180.0] },
            Row { name: "alone", against: "missing", rates: vec![1.0] },
        ];
        let text = table(&rows);
        assert!(text.contains("| bare | 100 | 50 to 200 | | |  |"), "{text}");
        assert!(text.contains("| mock | 90 | 40 to 180 | bare | 0.90 | 0.80 to 0.90 |"), "{text}");
        assert!(text.contains("| alone | 1 | 1 to 1 | | |  |"), "{text}");
    }

    #[test]
    fn percentiles_are_values_that_were_there() {
        let times: Vec<u64> = (1..=200).collect();
        assert_eq!(percentile(&times, 0.99), 198);
        assert_eq!(percentile(&times, 0.5), 100);
        assert_eq!(percentile(&[7], 0.99), 7);
        assert_eq!(percentile(&[], 0.99), 0);
    }
}
