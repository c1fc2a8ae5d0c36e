//! Log files that somebody else has been at.

use super::*;

fn json(lines: &[&[u8]]) -> Vec<LogLine> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("log.json"), lines.concat()).unwrap();
    read(dir.path(), Format::Json, LogOptions::new())
}

fn record(number: i64) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    write(
        &mut writer(dir.path(), Format::Json, None, 1),
        number..number + 1,
    );
    fs::read(dir.path().join("log.json")).unwrap()
}

#[test]
fn garbage_between_records_is_passed_over() {
    let (one, two) = (record(1), record(2));
    let huge = vec![b'x'; 3 << 20];
    for garbage in [
        &b"\n"[..],
        b"garbage\n",
        b"\0\xff\n",
        b"{}\n",
        b"{\"log\":\"\n",
        &huge,
    ] {
        let end = if garbage.len() > 100 { &b"\n"[..] } else { b"" };
        let lines = json(&[&one, garbage, end, &two, garbage]);
        assert_eq!(numbers(&lines), [1, 2]);
    }
}

#[test]
fn a_line_without_end_is_not_kept_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.json");
    fs::write(&path, record(1)).unwrap();
    let file = File::options().append(true).open(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    let mut reader =
        Reader::open(dir.path(), Format::Json, LogOptions::new().follow(true)).unwrap();
    assert_eq!(numbers(&read_on(&mut reader)), [1]);
    assert!(reader.held() < 4 << 20);
}

#[test]
fn a_compressed_file_that_is_cut_off_gives_what_it_has() {
    for format in FORMATS {
        let dir = several(format);
        let path = dir.path().join(format!("{}.1.gz", format.file()));
        let bytes = fs::read(&path).unwrap();
        for length in [0, 5, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            for options in [LogOptions::new(), LogOptions::new().tail(290)] {
                let lines = numbers(&read(dir.path(), format, options));
                assert!(
                    lines.is_sorted() && lines.ends_with(&[297, 298, 299]),
                    "{lines:?}"
                );
                assert!(lines.contains(&100));
            }
        }
        fs::write(&path, b"\x1f\x8bgarbage").unwrap();
        assert!(numbers(&read(dir.path(), format, LogOptions::new())).contains(&100));
    }
}

#[test]
fn garbage_in_a_binary_log_ends_its_file_only() {
    let dir = several(Format::Local);
    let path = dir.path().join("log.local.2");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    for options in [LogOptions::new(), LogOptions::new().tail(295)] {
        let lines = numbers(&read(dir.path(), Format::Local, options));
        assert!(
            lines.len() > 200 && lines.ends_with(&[298, 299]),
            "{lines:?}"
        );
    }
}

#[test]
fn records_that_a_full_disk_has_torn_are_read_once_they_are_whole() {
    for format in FORMATS {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), format, None, 1);
        write(&mut writer, 0..3);
        let path = dir.path().join(format.file());
        let file = File::options().append(true).open(&path).unwrap();
        let good = file.metadata().unwrap().len();
        (&file).write_all(&fs::read(&path).unwrap()[..20]).unwrap();
        let mut reader = Reader::open(dir.path(), format, LogOptions::new().follow(true)).unwrap();
        assert_eq!(numbers(&read_on(&mut reader)), [0, 1, 2]);
        // Its writer takes it back.
        file.set_len(good).unwrap();
        assert!(read_on(&mut reader).is_empty());
        write(&mut writer, 3..5);
        assert_eq!(numbers(&read_on(&mut reader)), [3, 4]);
    }
}

#[test]
fn names_that_are_no_logs_are_left_alone() {
    let dir = several(Format::Json);
    for name in [
        "log.json.",
        "log.json.x",
        "log.json.1.gz.new",
        "log.jsonx.1",
        "log.json.-1",
    ] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let lines = read(dir.path(), Format::Json, LogOptions::new());
    assert_eq!(lines.len(), 300);
}
