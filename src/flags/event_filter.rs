//! The filters of `events`. Several of one name: any of them, but all of the labels.

use container_core::Event;

use super::condition::Condition;
use super::filter::label_matches;

/// Why a filter is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid filter '{0}' (use config, container, daemon, event, image, label, network, node, \
     plugin, scope, secret, service, type or volume)"
)]
pub(crate) struct NoEventFilter(String);

/// Docker's names. What there are no events of matches none.
const NAMES: [&str; 14] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

/// The filters of one command.
#[derive(Debug, Default)]
pub(crate) struct EventFilters(Vec<Condition>);

impl EventFilters {
    /// Puts conditions together.
    ///
    /// # Errors
    /// One is unknown.
    pub(crate) fn new(conditions: Vec<Condition>) -> Result<Self, NoEventFilter> {
        let unknown = |condition: &&Condition| !NAMES.contains(&condition.name.as_str());
        match conditions.iter().find(unknown) {
            Some(condition) => Err(NoEventFilter(condition.name.clone())),
            None => Ok(Self(conditions)),
        }
    }

    /// Whether an event is shown.
    pub(crate) fn matches(&self, event: &Event) -> bool {
        let labels = &event.attributes;
        NAMES.iter().all(|name| {
            let mut wanted = self.0.iter().filter(|condition| condition.name == *name);
            match *name {
                "label" => wanted.all(|condition| label_matches(&condition.value, labels)),
                _ if wanted.clone().next().is_none() => true,
                name => wanted.any(|condition| is(name, &condition.value, event)),
            }
        })
    }
}

/// Whether an event is about what one filter names.
fn is(filter: &str, value: &str, event: &Event) -> bool {
    let attribute = |name: &str| event.attributes.get(name).map(String::as_str);
    let kind = kind(event);
    // The beginning of an id or a name will do, as in Docker.
    let about = |wanted: &str| {
        kind == wanted
            && (event.id.starts_with(value)
                || attribute("name").is_some_and(|name| name.starts_with(value)))
    };
    match filter {
        "event" => event.action == value || event.action.split(':').next() == Some(value),
        "type" => kind == value,
        "scope" => value == "local",
        "image" => {
            let image = match kind {
                "image" => attribute("name").or(Some(&event.id)),
                _ => attribute("image"),
            };
            image.is_some_and(|image| image == value || untagged(image) == untagged(value))
        }
        "container" => about("container"),
        "volume" => about("volume"),
        _ => false,
    }
}

/// The kind of thing that an event is about, in Docker's words.
pub(crate) fn kind(event: &Event) -> &'static str {
    match event.kind {
        container_core::EventKind::Container => "container",
        container_core::EventKind::Image => "image",
        container_core::EventKind::Volume => "volume",
        // Those to come.
        _ => "other",
    }
}

/// An image's name without tag and digest.
fn untagged(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::super::condition;
    use super::*;

    fn event(json: &str) -> Event {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn which_are_shown() {
        let start = event(
            r#"{"kind":"container","action":"start","id":"c0cac5f46dc0","time":"2026-11-23T00:00:00Z",
                "attributes":{"image":"reg:5000/busybox:latest","name":"web","a":"1"}}"#,
        );
        let shown = |filters: &[&str]| {
            let conditions = filters.iter().map(|text| condition::parse(text).unwrap());
            EventFilters::new(conditions.collect())
                .unwrap()
                .matches(&start)
        };
        for (filters, want) in [
            (&[][..], true),
            (&["container=web"], true),
            (&["container=c0ca"], true),
            (&["container=eb"], false),
            (&["event=start", "event=stop"], true),
            (&["event=stop"], false),
            (&["type=container", "event=start"], true),
            (&["type=image"], false),
            (&["image=reg:5000/busybox"], true),
            (&["image=busybox"], false),
            (&["label=a=1", "label=name"], true),
            (&["label=a=2"], false),
            (&["network=none"], false),
            (&["scope=local"], true),
            (&["volume=c0ca"], false),
        ] {
            assert_eq!(shown(filters), want, "{filters:?}");
        }
        let exec = event(
            r#"{"kind":"container","action":"exec_start: sh -c x","id":"1","time":"2026-11-23T00:00:00Z","attributes":{}}"#,
        );
        let filters = vec![condition::parse("event=exec_start").unwrap()];
        assert!(EventFilters::new(filters).unwrap().matches(&exec));
        let unknown = vec![condition::parse("foo=bar").unwrap()];
        assert!(EventFilters::new(unknown).is_err());
    }
}
