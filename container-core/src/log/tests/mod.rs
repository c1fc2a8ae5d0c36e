//! Logs written and read back.

mod config;
mod hostile;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::config::{Format, Limits, Settings, Target};
use super::piece::{Stamp, moment};
use super::reader::Reader;
use super::writer::Writer;
use super::{LogLine, LogOptions, LogStream};

const FORMATS: [Format; 2] = [Format::Json, Format::Local];

fn settings(format: Format, size: Option<u64>, files: u32) -> Settings {
    let limits = Limits {
        size,
        files,
        // That takes a process, which is the monitor's to start.
        compress: false,
    };
    Settings {
        target: match format {
            Format::Json => Target::JsonFile(limits),
            Format::Local => Target::Local(limits),
        },
        ..Settings::default()
    }
}

fn writer(dir: &Path, format: Format, size: Option<u64>, files: u32) -> Writer {
    Writer::open(&settings(format, size, files), dir).unwrap()
}

fn at(seconds: i64) -> Stamp {
    Stamp {
        seconds,
        nanoseconds: 0,
    }
}

/// Writes lines `from..to`, each at the second of its number; every third to standard error.
fn write(writer: &mut Writer, lines: std::ops::Range<i64>) {
    for number in lines {
        let stream = match number % 3 {
            2 => LogStream::Stderr,
            _ => LogStream::Stdout,
        };
        writer.write(stream, format!("line {number}\n").as_bytes(), at(number));
    }
}

fn read_on(reader: &mut Reader) -> Vec<LogLine> {
    let mut lines = Vec::new();
    while reader.read(&mut lines).unwrap() {}
    lines
}

fn read(dir: &Path, format: Format, options: LogOptions) -> Vec<LogLine> {
    read_on(&mut Reader::open(dir, format, options).unwrap())
}

fn numbers(lines: &[LogLine]) -> Vec<i64> {
    let number = |line: &LogLine| {
        let text = std::str::from_utf8(&line.bytes).unwrap();
        let number = text
            .strip_prefix("line ")
            .unwrap()
            .trim_end()
            .parse()
            .unwrap();
        assert_eq!(line.time, moment(number * 1_000_000_000));
        number
    };
    lines.iter().map(number).collect()
}

/// As the monitor's helper does.
fn compress(dir: &Path, name: &str) {
    let path = dir.join(name);
    let mut encoder = flate2::write::GzEncoder::new(
        File::create(dir.join(format!("{name}.gz"))).unwrap(),
        flate2::Compression::fast(),
    );
    encoder.write_all(&fs::read(&path).unwrap()).unwrap();
    encoder.finish().unwrap();
    fs::remove_file(&path).unwrap();
}

/// Three hundred lines in several files, of which two are compressed.
fn several(format: Format) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path(), format, Some(2000), 100);
    write(&mut writer, 0..300);
    writer.finish(at(300));
    for number in [1, 3] {
        compress(dir.path(), &format!("{}.{number}", format.file()));
    }
    // Both are there for a moment.
    let last = dir.path().join(format!("{}.4", format.file()));
    let bytes = fs::read(&last).unwrap();
    compress(dir.path(), &format!("{}.4", format.file()));
    fs::write(&last, bytes).unwrap();
    dir
}

#[test]
fn what_is_written_is_read() {
    for format in FORMATS {
        let dir = several(format);
        let lines = read(dir.path(), format, LogOptions::new());
        assert_eq!(numbers(&lines), (0..300).collect::<Vec<_>>());
        let streams: Vec<_> = lines.iter().map(|line| line.stream).collect();
        assert_eq!(
            streams[..3],
            [LogStream::Stdout, LogStream::Stdout, LogStream::Stderr]
        );
        let errors = read(dir.path(), format, LogOptions::new().stdout(false));
        assert_eq!(numbers(&errors), (2..300).step_by(3).collect::<Vec<_>>());
        assert!(
            read(
                dir.path(),
                format,
                LogOptions::new().stdout(false).stderr(false)
            )
            .is_empty()
        );
    }
}

#[test]
fn no_log_is_an_empty_log() {
    for format in FORMATS {
        let dir = tempfile::tempdir().unwrap();
        for options in [LogOptions::new(), LogOptions::new().tail(3)] {
            assert!(read(dir.path(), format, options.clone()).is_empty());
            assert!(read(&dir.path().join("gone"), format, options).is_empty());
        }
    }
}

#[test]
fn the_last_lines_are_found_from_the_end() {
    for format in FORMATS {
        let dir = several(format);
        for count in [
            0, 1, 2, 10, 30, 31, 60, 100, 150, 200, 250, 299, 300, 301, 1000,
        ] {
            let lines = read(dir.path(), format, LogOptions::new().tail(count));
            let first = 300_i64.saturating_sub_unsigned(count).max(0);
            assert_eq!(
                numbers(&lines),
                (first..300).collect::<Vec<_>>(),
                "{count} {format:?}"
            );
        }
        // Counted of both streams together, as Docker does.
        let lines = read(dir.path(), format, LogOptions::new().tail(4).stdout(false));
        assert_eq!(numbers(&lines), [296, 299]);
    }
}

#[test]
fn the_last_lines_of_a_huge_log_cost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.json");
    let file = File::create(&path).unwrap();
    // Nobody lives to see this read whole.
    file.set_len(1 << 40).unwrap();
    file.write_at(b"\n", (1 << 40) - 1).unwrap();
    write(&mut writer(dir.path(), Format::Json, None, 1), 0..2000);
    let lines = read(dir.path(), Format::Json, LogOptions::new().tail(1000));
    assert_eq!(numbers(&lines), (1000..2000).collect::<Vec<_>>());
    let mut reader = Reader::open(dir.path(), Format::Json, LogOptions::new().tail(0)).unwrap();
    assert!(read_on(&mut reader).is_empty());
}

#[test]
fn times_bound_what_is_read() {
    for format in FORMATS {
        let dir = several(format);
        let seconds = |n| jiff::Timestamp::from_second(n).unwrap();
        let since = LogOptions::new().since(seconds(100));
        assert_eq!(
            numbers(&read(dir.path(), format, since.clone())),
            (100..300).collect::<Vec<_>>()
        );
        let both = since.until(seconds(120));
        assert_eq!(
            numbers(&read(dir.path(), format, both)),
            (100..=120).collect::<Vec<_>>()
        );
        let last = LogOptions::new().tail(10).since(seconds(295));
        assert_eq!(
            numbers(&read(dir.path(), format, last)),
            (295..300).collect::<Vec<_>>()
        );
        let mut ended =
            Reader::open(dir.path(), format, LogOptions::new().until(seconds(5))).unwrap();
        assert_eq!(read_on(&mut ended).len(), 6);
        assert!(ended.has_ended());
    }
}

#[test]
fn old_files_are_not_even_opened() {
    let dir = several(Format::Json);
    let path = dir.path().join("log.json.2");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(50))
        .unwrap();
    let since = LogOptions::new().since(jiff::Timestamp::from_second(51).unwrap());
    let lines = numbers(&read(dir.path(), Format::Json, since));
    assert!(
        lines.len() < 249 && lines.ends_with(&[298, 299]),
        "{lines:?}"
    );
}

#[test]
fn a_follower_misses_nothing_when_files_change_under_it() {
    for (files, compressed) in [(1, false), (2, false), (5, false), (5, true), (100, true)] {
        for format in FORMATS {
            let dir = tempfile::tempdir().unwrap();
            let mut writer = writer(dir.path(), format, Some(500), files);
            let options = LogOptions::new().follow(true);
            let mut reader = Reader::open(dir.path(), format, options).unwrap();
            let mut seen = Vec::new();
            let (mut next, mut step) = (0, 1);
            while next < 500 {
                // Never more than one file at once, so that even the smallest log keeps it.
                let to = next + step;
                write(&mut writer, next..to);
                (next, step) = (to, step % 4 + 1);
                seen.extend(read_on(&mut reader));
                if compressed && let Ok(all) = super::files::numbers(dir.path(), format) {
                    for number in all {
                        let name = format!("{}.{number}", format.file());
                        if dir.path().join(&name).exists() {
                            compress(dir.path(), &name);
                        }
                    }
                }
            }
            assert_eq!(
                numbers(&seen),
                (0..next).collect::<Vec<_>>(),
                "{files} {format:?}"
            );
        }
    }
}

#[test]
fn a_follower_reads_files_that_were_removed_before_their_turn() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path(), Format::Json, Some(500), 4);
    write(&mut writer, 0..2);
    let mut reader =
        Reader::open(dir.path(), Format::Json, LogOptions::new().follow(true)).unwrap();
    let mut lines = Vec::new();
    assert!(reader.read(&mut lines).unwrap());
    write(&mut writer, 2..20);
    // It looks, and then is slow.
    assert!(reader.read(&mut lines).unwrap());
    fs::remove_dir_all(dir.path()).unwrap();
    lines.extend(read_on(&mut reader));
    assert_eq!(numbers(&lines)[..8], [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_follower_begins_at_the_end_when_told() {
    for format in FORMATS {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), format, None, 1);
        write(&mut writer, 0..10);
        let options = LogOptions::new().follow(true).tail(0);
        let mut reader = Reader::open(dir.path(), format, options).unwrap();
        assert!(read_on(&mut reader).is_empty());
        write(&mut writer, 10..12);
        assert_eq!(numbers(&read_on(&mut reader)), [10, 11]);
    }
}

#[test]
fn a_last_line_without_a_newline_is_kept() {
    for format in FORMATS {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), format, None, 1);
        let mut reader = Reader::open(dir.path(), format, LogOptions::new().follow(true)).unwrap();
        writer.write(LogStream::Stdout, b"line 1\nli", at(1));
        assert_eq!(numbers(&read_on(&mut reader)), [1]);
        writer.finish(at(2));
        let last = read_on(&mut reader);
        assert_eq!(last.len(), 1);
        assert_eq!(last[0].bytes, b"li");
        // A further run of the container begins a line of its own.
        writer.write(LogStream::Stdout, b"line 3\n", at(3));
        assert_eq!(numbers(&read_on(&mut reader)), [3]);
    }
}

#[test]
fn long_lines_come_back_whole() {
    for format in FORMATS {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), format, Some(50_000), 1000);
        let mut text: Vec<u8> = "äöü€😀\"\\\t".bytes().cycle().take(300_000).collect();
        text.extend_from_slice(b"\nend");
        for chunk in text.chunks(7777) {
            writer.write(LogStream::Stdout, chunk, Stamp::now());
        }
        writer.finish(Stamp::now());
        let lines = read(dir.path(), format, LogOptions::new());
        let times: std::collections::BTreeSet<_> = lines.iter().map(|line| line.time).collect();
        assert_eq!(times.len(), 2, "the pieces of a line have its time");
        let bytes: Vec<u8> = lines.into_iter().flat_map(|line| line.bytes).collect();
        assert!(bytes == text, "{format:?}");
    }
}
