//! The lines of `events`.

use std::collections::BTreeMap;

use container_core::Event;
use jiff::Timestamp;
use serde::Serialize;

use super::template::Omit;
use crate::flags::event_filter::kind;

/// An event as Docker's API has it.
#[derive(Debug, Serialize)]
#[serde(rename = "*events.Message")]
pub(crate) struct Message {
    status: Omit<String>,
    id: Omit<String>,
    from: Omit<String>,
    #[serde(rename = "Type")]
    kind: &'static str,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    scope: &'static str,
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename = "events.Actor")]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: BTreeMap<String, String>,
}

impl Message {
    pub(crate) fn of(event: Event) -> Self {
        let kind = kind(&event);
        // Only these have them, from before there were actors.
        let old = matches!(kind, "container" | "image");
        let image = event.attributes.get("image").cloned();
        Self {
            status: Omit(if old {
                event.action.clone()
            } else {
                String::new()
            }),
            id: Omit(if old { event.id.clone() } else { String::new() }),
            from: Omit(image.filter(|_| kind == "container").unwrap_or_default()),
            kind,
            action: event.action,
            actor: Actor {
                id: event.id,
                attributes: event.attributes,
            },
            scope: "local",
            time: event.time.as_second(),
            time_nano: i64::try_from(event.time.as_nanosecond()).unwrap_or(i64::MAX),
        }
    }
}

/// A moment with all of its nanoseconds.
pub(crate) fn moment(time: Timestamp) -> String {
    format!("{time:.9}")
}

/// `TIME container start ID (image=busybox, name=web)`.
pub(crate) fn line(event: &Event) -> String {
    let attributes: Vec<String> = event
        .attributes
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let attributes = match attributes.is_empty() {
        true => String::new(),
        false => format!(" ({})", attributes.join(", ")),
    };
    format!(
        "{} {} {} {}{attributes}\n",
        moment(event.time),
        kind(event),
        event.action,
        event.id
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::template::value;

    #[test]
    fn as_docker_shows_them() {
        let event: Event = serde_json::from_str(
            r#"{"kind":"container","action":"die","id":"c0ca","time":"2026-11-24T00:32:42.8019Z",
                "attributes":{"image":"busybox","name":"web","exitCode":"137"}}"#,
        )
        .unwrap();
        assert_eq!(
            line(&event),
            "2026-11-24T00:32:42.801900000Z container die c0ca (exitCode=137, image=busybox, name=web)\n"
        );
        assert_eq!(
            value(&Message::of(event)).unwrap().json().unwrap(),
            r#"{"status":"die","id":"c0ca","from":"busybox","Type":"container","Action":"die","Actor":{"ID":"c0ca","Attributes":{"exitCode":"137","image":"busybox","name":"web"}},"scope":"local","time":1795480362,"timeNano":1795480362801900000}"#
        );
    }
}
