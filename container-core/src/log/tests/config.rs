//! What is said about logging, and what is wrong with it.

use std::collections::BTreeMap;

use super::super::LogError;
use super::super::tag::Subject;
use super::*;
use crate::request::LogConfig;

fn check(driver: &str, options: &[(&str, &str)]) -> Result<Settings, LogError> {
    let config = LogConfig {
        driver: driver.to_owned(),
        options: options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    };
    let labels = BTreeMap::from([("a".into(), "1".into()), ("com.b".into(), "2".into())]);
    let env = ["PATH=/bin".to_owned(), "E=x=y".to_owned()];
    let subject = Subject {
        id: "0123456789abcdef",
        name: "joe",
        image: "busybox",
        image_id: "sha256:cafe0000",
        args: &["echo".to_owned(), "hi".to_owned(), "there".to_owned()],
        labels: &labels,
        env: &env,
        hostname: "here",
    };
    Settings::new(&config, &subject)
}

#[test]
fn defaults_are_dockers() {
    let limits = |size, files, compress| Limits {
        size,
        files,
        compress,
    };
    for (driver, options, target) in [
        (
            "json-file",
            &[][..],
            Target::JsonFile(limits(None, 1, false)),
        ),
        (
            "json-file",
            &[("max-file", "3")],
            Target::JsonFile(limits(None, 3, false)),
        ),
        (
            "json-file",
            &[("max-size", "10k"), ("max-file", "2"), ("compress", "t")],
            Target::JsonFile(limits(Some(10_000), 2, true)),
        ),
        ("local", &[], Target::Local(limits(Some(20 << 20), 5, true))),
        (
            "local",
            &[("max-file", "1")],
            Target::Local(limits(Some(20 << 20), 1, false)),
        ),
        ("none", &[], Target::None),
    ] {
        assert_eq!(
            check(driver, options).unwrap().target,
            target,
            "{driver} {options:?}"
        );
    }
    let Target::Syslog { tag, cache, .. } = check("syslog", &[]).unwrap().target else {
        panic!("not syslog");
    };
    assert_eq!(
        (&*tag, cache),
        ("0123456789ab", Some(limits(Some(20 << 20), 5, true)))
    );
    let without = check("syslog", &[("cache-disabled", "true")])
        .unwrap()
        .target;
    assert!(matches!(without, Target::Syslog { cache: None, .. }));
}

#[test]
fn the_option_at_fault_is_named() {
    for (driver, options, option) in [
        ("json-file", &[("max-size", "x")][..], "max-size"),
        ("json-file", &[("max-size", "0")], "max-size"),
        ("json-file", &[("max-size", "-1")], "max-size"),
        ("json-file", &[("max-file", "0")], "max-file"),
        ("json-file", &[("max-file", "x")], "max-file"),
        ("json-file", &[("compress", "zz")], "compress"),
        ("json-file", &[("compress", "true")], "compress"),
        (
            "json-file",
            &[("compress", "true"), ("max-size", "1k")],
            "compress",
        ),
        ("json-file", &[("foo", "1")], "foo"),
        ("json-file", &[("mode", "x")], "mode"),
        ("json-file", &[("max-buffer-size", "1m")], "max-buffer-size"),
        (
            "json-file",
            &[("mode", "non-blocking"), ("max-buffer-size", "z")],
            "max-buffer-size",
        ),
        ("json-file", &[("labels-regex", "(")], "labels-regex"),
        ("json-file", &[("env-regex", "(")], "env-regex"),
        ("json-file", &[("tag", "{{.Foo}}")], "tag"),
        ("json-file", &[("tag", "{{")], "tag"),
        ("local", &[("tag", "x")], "tag"),
        (
            "local",
            &[("compress", "true"), ("max-file", "1")],
            "compress",
        ),
        ("none", &[("max-size", "1k")], "max-size"),
        ("syslog", &[("syslog-address", "foo")], "syslog-address"),
        ("syslog", &[("cache-max-size", "foo")], "cache-max-size"),
        ("syslog", &[("max-size", "1k")], "max-size"),
        ("journald", &[("cache-compress", "foo")], "cache-compress"),
        (
            "journald",
            &[("syslog-address", "unix:///x")],
            "syslog-address",
        ),
    ] {
        let error = check(driver, options).unwrap_err();
        let found = match &error {
            LogError::Option { option, .. } => option,
            LogError::UnknownOption { option, .. } => option.as_str(),
            _ => "",
        };
        assert_eq!(found, option, "{driver} {options:?}: {error}");
        assert!(error.to_string().contains(option));
    }
}

#[test]
fn other_drivers_are_refused() {
    for driver in ["fluentd", "gelf", "awslogs", "nope"] {
        let error = check(driver, &[]).unwrap_err().to_string();
        assert!(
            error.contains(driver) && error.contains("json-file"),
            "{error}"
        );
    }
}

#[test]
fn attributes_are_chosen_by_name_and_by_pattern() {
    let chosen = |options: &[(&str, &str)]| {
        let attributes = check("json-file", options).unwrap().attributes;
        let pairs: Vec<_> = attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
        pairs.join(",")
    };
    assert_eq!(chosen(&[("labels", "a,none"), ("env", "E")]), "E=x=y,a=1");
    assert_eq!(
        chosen(&[("labels-regex", "^com\\."), ("env-regex", "^P")]),
        "PATH=/bin,com.b=2"
    );
    assert_eq!(chosen(&[("tag", "x")]), "tag=x");
    assert_eq!(chosen(&[("labels", ""), ("tag", "")]), "");
}

#[test]
fn tags_are_templates() {
    for (template, tag) in [
        ("{{.ID}}/{{.Name}}", "0123456789ab/joe"),
        ("{{ .FullID }}", "0123456789abcdef"),
        ("x {{- .ContainerName -}} y", "x/joey"),
        (
            "{{.ImageName}}|{{.ImageID}}|{{.ImageFullID}}",
            "busybox|sha256:cafe0|sha256:cafe0000",
        ),
        (
            "{{.Command}}|{{.ContainerArgs}}|{{.ContainerEntrypoint}}",
            "echo hi there|[hi there]|echo",
        ),
        ("{{.Hostname}}{{.DaemonName}}", "heredocker"),
        ("{{/* x */}}plain{{\"lit\"}}", "plainlit"),
    ] {
        let attributes = check("json-file", &[("tag", template)]).unwrap().attributes;
        assert_eq!(attributes["tag"], tag);
    }
}
