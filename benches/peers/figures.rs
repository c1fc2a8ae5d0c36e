//! What was measured: milliseconds, but for the memory of section d, which is in MiB.

use std::collections::BTreeMap;

/// The values of each case of each section.
#[derive(Default)]
pub(crate) struct Figures(BTreeMap<(String, String), Vec<f64>>);

impl Figures {
    pub(crate) fn add(&mut self, section: &str, case: &str, value: f64) {
        let values = self.0.entry((section.to_owned(), case.to_owned()));
        values.or_default().push(value);
    }

    fn sorted(&self, section: &str, case: &str) -> Vec<f64> {
        let values = self.0.get(&(section.to_owned(), case.to_owned()));
        let mut values = values.cloned().unwrap_or_default();
        values.sort_by(f64::total_cmp);
        values
    }

    pub(crate) fn median(&self, section: &str, case: &str) -> Option<f64> {
        let values = self.sorted(section, case);
        let low = values.get(values.len().checked_sub(1)? / 2)?;
        Some((low + values.get(values.len() / 2)?) / 2.0)
    }

    /// The value that `percent` of all do not exceed.
    pub(crate) fn percentile(&self, section: &str, case: &str, percent: usize) -> Option<f64> {
        let values = self.sorted(section, case);
        let place = (values.len() * percent).div_ceil(100);
        values.get(place.saturating_sub(1)).copied()
    }

    /// The least of the medians.
    pub(crate) fn best(&self, section: &str, cases: &[&str]) -> Option<f64> {
        let medians = cases.iter().filter_map(|case| self.median(section, case));
        medians.min_by(f64::total_cmp)
    }
}
