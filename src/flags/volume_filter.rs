//! The filters of `volume ls` and `volume prune`. Several of one name: any of them, but all of the
//! labels.

use container_core::Volume;

use super::condition::Condition;
use super::filter::label_matches;
use super::pattern::Pattern;
use super::size;

/// Why a filter is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum VolumeFilterError {
    #[error("Invalid filter '{0}'")]
    Name(String),
    #[error("Invalid filter '{name}=[{value}]'")]
    Value { name: &'static str, value: String },
}

/// The filters of one command.
#[derive(Debug, Default)]
pub(crate) struct VolumeFilters {
    dangling: Option<bool>,
    driver: Vec<String>,
    label: Vec<String>,
    /// Labels that it must not have.
    without: Vec<String>,
    name: Vec<Pattern>,
    /// Volumes with a name, too.
    pub(crate) all: bool,
}

fn switch(name: &'static str, value: &str) -> Result<bool, VolumeFilterError> {
    let value = value.to_owned();
    size::switch(&value).map_err(|_| VolumeFilterError::Value { name, value })
}

impl VolumeFilters {
    /// The filters of `volume ls`.
    ///
    /// # Errors
    /// One is unknown or has a value that it cannot have.
    pub(crate) fn of_list(conditions: Vec<Condition>) -> Result<Self, VolumeFilterError> {
        let mut filters = Self::default();
        for Condition { name, value } in conditions {
            match name.as_str() {
                "dangling" => filters.dangling = Some(switch("dangling", &value)?),
                "driver" => filters.driver.push(value),
                "label" => filters.label.push(value),
                "name" => filters.name.push(Pattern::new(value)),
                _ => return Err(VolumeFilterError::Name(name)),
            }
        }
        Ok(filters)
    }

    /// The filters of `volume prune`.
    ///
    /// # Errors
    /// One is unknown or has a value that it cannot have.
    pub(crate) fn of_prune(conditions: Vec<Condition>) -> Result<Self, VolumeFilterError> {
        let mut filters = Self::default();
        for Condition { name, value } in conditions {
            match name.as_str() {
                "all" => filters.all = switch("all", &value)?,
                "label" => filters.label.push(value),
                "label!" => filters.without.push(value),
                _ => return Err(VolumeFilterError::Name(name)),
            }
        }
        Ok(filters)
    }

    /// Whether it matters who has a volume.
    pub(crate) fn wants_users(&self) -> bool {
        self.dangling.is_some()
    }

    /// Whether a volume is meant; `used` says whether a container has it.
    pub(crate) fn matches(&self, volume: &Volume, used: bool) -> bool {
        let any = |wanted: &[String], is: &dyn Fn(&String) -> bool| {
            wanted.is_empty() || wanted.iter().any(is)
        };
        let labelled = |label: &String| label_matches(label, &volume.labels);
        self.dangling.is_none_or(|dangling| dangling != used)
            && any(&self.driver, &|driver| volume.driver == *driver)
            && self.label.iter().all(labelled)
            && !self.without.iter().any(labelled)
            && (self.name.is_empty() || self.name.iter().any(|name| name.matches(&volume.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::condition::parse;

    fn conditions(texts: &[&str]) -> Vec<Condition> {
        texts.iter().map(|text| parse(text).unwrap()).collect()
    }

    fn volume() -> Volume {
        serde_json::from_value(serde_json::json!({
            "name": "data-1", "driver": "local", "created": "", "options": {}, "anonymous": false,
            "labels": {"a": "b", "c": ""},
        }))
        .unwrap()
    }

    #[test]
    fn which_are_listed() {
        for (texts, want) in [
            (&[][..], true),
            (&["name=data"], true),
            (&["name=^data-1$"], true),
            (&["name=^ata"], false),
            (&["name=x", "name=ta"], true),
            (&["driver=local"], true),
            (&["driver=nfs"], false),
            (&["label=a"], true),
            (&["label=a=b", "label=c"], true),
            (&["label=a=c"], false),
            (&["label=a", "label=d"], false),
            (&["dangling=true"], false),
            (&["dangling=0"], true),
        ] {
            let filters = VolumeFilters::of_list(conditions(texts)).unwrap();
            assert_eq!(filters.matches(&volume(), true), want, "{texts:?}");
        }
        let dangling = VolumeFilters::of_list(conditions(&["dangling=true"])).unwrap();
        assert!(dangling.wants_users() && dangling.matches(&volume(), false));
    }

    #[test]
    fn which_are_pruned() {
        for (texts, want) in [
            (&["label=a"][..], true),
            (&["label!=a"], false),
            (&["label!=d"], true),
            (&["all=true", "label=c="], true),
        ] {
            let filters = VolumeFilters::of_prune(conditions(texts)).unwrap();
            assert_eq!(filters.matches(&volume(), false), want, "{texts:?}");
            assert_eq!(filters.all, texts[0] == "all=true");
        }
    }

    #[test]
    fn what_is_none() {
        let list = |text: &str| {
            let error = VolumeFilters::of_list(conditions(&[text])).unwrap_err();
            error.to_string()
        };
        assert_eq!(list("foo=x"), "Invalid filter 'foo'");
        assert_eq!(list("dangling=maybe"), "Invalid filter 'dangling=[maybe]'");
        let prune = VolumeFilters::of_prune(conditions(&["name=x"]));
        assert_eq!(prune.unwrap_err().to_string(), "Invalid filter 'name'");
    }
}
