use std::cell::Cell;

use super::*;
use crate::request::{Mount, MountPoint, MountSource};
use crate::spec::Inherited;

/// The mounts of a container: targets, each with the source and `ro` or `rw`.
fn points(
    mounts: &[Mount],
    image: &[&str],
    inherited: &[Inherited],
) -> Result<Vec<(String, String)>> {
    let config = Case::config(|c| {
        c.set_volumes(some(image));
    });
    let request = asked(|r| r.mounts = mounts.to_vec());
    let number = Cell::new(0);
    let name = || {
        number.set(number.get() + 1);
        Ok(format!("new{}", number.get()))
    };
    let points = mount_points(&request, config.config.as_ref(), inherited, name)?;
    Ok(points.iter().map(told).collect())
}

fn told(point: &MountPoint) -> (String, String) {
    let source = match &point.mount.source {
        MountSource::Bind(bind) => bind.path.display().to_string(),
        MountSource::Volume(volume) => volume.name.clone().unwrap(),
        MountSource::Image(image) => image.image.clone(),
        MountSource::Tmpfs { .. } => "tmpfs".into(),
    };
    let access = if point.mount.read_only { "ro" } else { "rw" };
    let own = if point.anonymous { " own" } else { "" };
    (
        point.mount.target.clone(),
        format!("{source} {access}{own}"),
    )
}

fn named(mount: Mount) -> MountPoint {
    MountPoint {
        mount,
        anonymous: false,
        image: None,
    }
}

/// As `-v /target` says it.
fn yielding(target: &str) -> Mount {
    Mount {
        spec: Some(target.into()),
        ..Mount::anonymous_volume(target)
    }
}

fn want(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    rows.iter().map(own).collect()
}

#[test]
fn volumes_of_the_image_yield() {
    let mounts = [
        Mount::bind("/s", "/b/"),
        yielding("/a"),
        yielding("/b"),
        Mount::anonymous_volume("/c"),
        Mount::tmpfs("/t", None::<&str>),
    ];
    let image = ["/a", "/b", "/c/../c", "/d/", "/t", "e"];
    assert_eq!(
        points(&mounts, &image, &[]).unwrap(),
        want(&[
            ("/b", "/s rw"),
            ("/c", "new1 rw own"),
            ("/t", "tmpfs rw"),
            ("/a", "new2 rw own"),
            ("/d", "new3 rw own"),
            ("/e", "new4 rw own"),
        ])
    );
}

#[test]
fn the_callers_win_over_other_containers() {
    let other = |mounts: Vec<MountPoint>, read_only| Inherited {
        points: mounts,
        read_only,
    };
    let own = MountPoint {
        anonymous: true,
        ..named(Mount::volume("anon", "/own"))
    };
    let first = other(
        vec![
            named(Mount::volume("one", "/a")),
            named(Mount::volume("two", "/b").read_only()),
            named(Mount::bind("/s", "/c")),
            own,
        ],
        false,
    );
    let second = other(vec![named(Mount::volume("three", "/a"))], true);
    let mounts = [Mount::volume("mine", "/c")];
    assert_eq!(
        points(&mounts, &["/b", "/own"], &[first, second]).unwrap(),
        want(&[
            ("/b", "two ro"),
            ("/own", "anon rw own"),
            ("/a", "three ro"),
            ("/c", "mine rw"),
        ])
    );
}

#[test]
fn nothing_is_copied_into_what_another_container_has() {
    let inherited = Inherited {
        points: vec![named(Mount::volume("one", "/a"))],
        read_only: false,
    };
    let request = asked(|_| {});
    let points = mount_points(&request, None, &[inherited], || Ok(String::new())).unwrap();
    let MountSource::Volume(volume) = &points[0].mount.source else {
        panic!("{points:?}")
    };
    assert!(volume.no_copy);
}

#[test]
fn two_at_one_place() {
    for mounts in [
        [Mount::bind("/s", "/a"), Mount::tmpfs("/a/.", None::<&str>)],
        [Mount::volume("v", "/a"), Mount::volume("v", "/a")],
        [Mount::anonymous_volume("/a"), Mount::bind("/s", "/a")],
    ] {
        let Err(Error::Setting { reason, .. }) = points(&mounts, &[], &[]) else {
            panic!("{mounts:?}")
        };
        assert!(reason.starts_with("Duplicate mount point: /"), "{reason}");
    }
    let weak = [Mount::bind("/s", "/a"), yielding("/a"), yielding("/a")];
    assert_eq!(points(&weak, &[], &[]).unwrap().len(), 1);
    for bad in ["/", "/proc", "/proc/sys"] {
        assert!(points(&[], &[bad], &[]).is_err(), "{bad}");
    }
}
