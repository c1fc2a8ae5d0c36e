//! The filters of the `prune` verbs: `until`, `label` and `label!`.

use std::collections::BTreeMap;

use jiff::{Timestamp, ZonedDateTime};

use super::condition::Condition;
use super::filter::label_matches;
use super::moment::{self, NoMoment};

/// Why a filter is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PruneFilterError {
    #[error("Invalid filter '{0}'")]
    Name(String),
    #[error("more than one until filter specified")]
    SeveralMoments,
    #[error(transparent)]
    Moment(#[from] NoMoment),
}

/// Which of what nobody uses is removed: all that every filter lets through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PruneFilters {
    until: Option<Timestamp>,
    labels: Vec<String>,
    not_labels: Vec<String>,
}

impl PruneFilters {
    /// Puts conditions together.
    ///
    /// # Errors
    /// One is unknown or no moment.
    pub(crate) fn new(
        conditions: &[Condition],
        now: &ZonedDateTime,
    ) -> Result<Self, PruneFilterError> {
        let mut filters = Self::default();
        for Condition { name, value } in conditions {
            match name.as_str() {
                "until" if filters.until.is_some() => return Err(PruneFilterError::SeveralMoments),
                "until" => filters.until = Some(moment::parse(value, now)?),
                "label" => filters.labels.push(value.clone()),
                "label!" => filters.not_labels.push(value.clone()),
                name => return Err(PruneFilterError::Name(name.to_owned())),
            }
        }
        Ok(filters)
    }

    /// Whether something is to go that was made then and has these labels.
    pub(crate) fn matches<'a>(
        &self,
        created: Option<Timestamp>,
        labels: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> bool {
        let labels: BTreeMap<&String, &String> = labels.into_iter().collect();
        let has = |label: &String| label_matches(label, labels.iter().map(|(n, v)| (*n, *v)));
        self.until
            .is_none_or(|until| created.is_none_or(|created| created < until))
            && self.labels.iter().all(has)
            && !self.not_labels.iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::condition;

    #[test]
    fn what_goes() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let now = now.to_zoned_datetime(jiff::tz::TimeZone::UTC);
        let filters = |texts: &[&str]| {
            let conditions: Vec<_> = texts.iter().map(|t| condition::parse(t).unwrap()).collect();
            PruneFilters::new(&conditions, &now)
        };
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let made = "2026-11-23T11:00:00Z".parse().unwrap();
        for (texts, want) in [
            (&[][..], true),
            (&["until=30m"], true),
            (&["until=2h"], false),
            (&["label=a"], true),
            (&["label=a=1", "label=b"], false),
            (&["label!=a=2"], true),
            (&["label!=a"], false),
        ] {
            let matched = filters(texts).unwrap().matches(Some(made), &labels);
            assert_eq!(matched, want, "{texts:?}");
        }
        assert!(filters(&["until=1h", "until=2h"]).is_err());
        assert!(filters(&["until=x"]).is_err());
        assert_eq!(
            filters(&["foo=x"]),
            Err(PruneFilterError::Name("foo".into()))
        );
    }
}
