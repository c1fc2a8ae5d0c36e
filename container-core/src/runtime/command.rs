//! Executing the command, and explaining why it could not be.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nix::errno::Errno;

use super::{Fault, sys};
use crate::error::CommandProblem;

/// execve(2), searching `PATH` of the given environment as execvp(3) does.
pub(super) fn execute(args: &[String], env: &[String]) -> Fault {
    let (Some(program), Ok(c_args), Ok(c_env)) = (args.first(), strings(args), strings(env)) else {
        return not_found("", "empty command");
    };
    if program.is_empty() {
        return not_found(program, "executable file not found in $PATH");
    }
    if program.contains('/') {
        return explain(program, program, &sys::exec(&c_args[0], &c_args, &c_env));
    }
    let path = env
        .iter()
        .find_map(|e| e.strip_prefix("PATH="))
        .unwrap_or("/bin:/usr/bin");
    let mut refused = None;
    for dir in path.split(':') {
        let dir = if dir.is_empty() { "." } else { dir };
        let file = format!("{dir}/{program}");
        let Ok(c_file) = CString::new(file.clone()) else {
            continue;
        };
        // Looking costs less than trying, and most directories do not have it.
        if let Err(Errno::ENOENT | Errno::ENOTDIR) = nix::sys::stat::stat(&*c_file) {
            continue;
        }
        let error = sys::exec(&c_file, &c_args, &c_env);
        match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
            Errno::EACCES => refused = refused.or(Some((file, error))),
            _ => return explain(program, &file, &error),
        }
    }
    match refused {
        Some((file, error)) => explain(program, &file, &error),
        None => not_found(program, "executable file not found in $PATH"),
    }
}

fn strings(list: &[String]) -> Result<Vec<CString>, std::ffi::NulError> {
    list.iter().map(|s| CString::new(s.as_bytes())).collect()
}

fn not_found(program: &str, why: &str) -> Fault {
    Fault::Command {
        problem: CommandProblem::NotFound,
        message: format!("exec: {program:?}: {why}"),
    }
}

/// Why the kernel refused a file. It says ENOENT for a missing interpreter and ENOEXEC for
/// another machine's program; neither tells which.
fn explain(program: &str, file: &str, error: &io::Error) -> Fault {
    let refused = |why: String| Fault::Command {
        problem: CommandProblem::NotExecutable,
        message: format!("exec: {program:?}: {why}"),
    };
    let number = Errno::from_raw(error.raw_os_error().unwrap_or(0));
    let metadata = std::fs::metadata(file);
    match number {
        Errno::ENOENT => match metadata {
            Ok(_) => match interpreter(file) {
                Some(interpreter) => not_found(
                    program,
                    &format!(
                        "its interpreter {interpreter} is not in the image: no such file or directory"
                    ),
                ),
                None => not_found(program, "no such file or directory"),
            },
            Err(_) => not_found(program, "no such file or directory"),
        },
        Errno::EACCES => match metadata {
            Ok(m) if m.is_dir() => refused("is a directory: permission denied".into()),
            Ok(m) if m.permissions().mode() & 0o111 == 0 => {
                refused("permission denied: it is not executable (chmod +x)".into())
            }
            Ok(m) => refused(format!(
                "permission denied (owner {}:{}, mode {:o}; or its file system is mounted noexec)",
                m.uid(),
                m.gid(),
                m.permissions().mode() & 0o7777
            )),
            Err(_) => refused("permission denied".into()),
        },
        Errno::ENOEXEC => match machine(file) {
            Some(machine) => refused(format!(
                "exec format error: built for {machine}, this machine is {}",
                std::env::consts::ARCH
            )),
            None => refused("exec format error: neither a program nor a script (#!)".into()),
        },
        Errno::ENOTDIR => not_found(program, "not a directory"),
        Errno::ELOOP => refused("too many levels of symbolic links".into()),
        Errno::E2BIG => refused("the arguments and the environment are too long".into()),
        _ => refused(error.to_string()),
    }
}

/// The interpreter that a script's first line or an ELF program header names.
fn interpreter(path: &str) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut head = [0; 256];
    let n = read_up_to(&mut file, &mut head)?;
    let head = &head[..n];
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|b| *b == b'\n').next()?;
        let word = line
            .split(|b| b.is_ascii_whitespace())
            .find(|w| !w.is_empty())?;
        return Some(String::from_utf8_lossy(word).into_owned());
    }
    elf_interpreter(&mut file, head)
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> Option<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match file.read(&mut buffer[n..]).ok()? {
            0 => break,
            more => n += more,
        }
    }
    Some(n)
}

/// PT_INTERP of a 64-bit little-endian file (elf(5)); others are explained without it.
fn elf_interpreter(file: &mut File, head: &[u8]) -> Option<String> {
    if head.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let u16_at =
        |b: &[u8], at: usize| Some(u16::from_le_bytes(b.get(at..at + 2)?.try_into().ok()?));
    let u64_at =
        |b: &[u8], at: usize| Some(u64::from_le_bytes(b.get(at..at + 8)?.try_into().ok()?));
    let (offset, size, count) = (u64_at(head, 32)?, u16_at(head, 54)?, u16_at(head, 56)?);
    for index in 0..u64::from(count.min(64)) {
        let mut header = [0; 56];
        file.seek(SeekFrom::Start(
            offset.checked_add(index * u64::from(size))?,
        ))
        .ok()?;
        file.read_exact(&mut header).ok()?;
        const PT_INTERP: [u8; 4] = 3u32.to_le_bytes();
        if header[..4] == PT_INTERP {
            let mut name = vec![0; usize::try_from(u64_at(&header, 32)?.min(4096)).ok()?];
            file.seek(SeekFrom::Start(u64_at(&header, 8)?)).ok()?;
            file.read_exact(&mut name).ok()?;
            let name = CStr::from_bytes_until_nul(&name).ok()?;
            return Some(name.to_string_lossy().into_owned());
        }
    }
    None
}

/// The machine an ELF file is for (e_machine, elf(5)).
fn machine(path: &str) -> Option<String> {
    let mut head = [0; 20];
    File::open(path).ok()?.read_exact(&mut head).ok()?;
    if head[..4] != *b"\x7fELF" {
        return None;
    }
    let number = u16::from_le_bytes([head[18], head[19]]);
    Some(match number {
        3 => "i386".into(),
        8 => "mips".into(),
        20 | 21 => "powerpc".into(),
        22 => "s390x".into(),
        40 => "arm".into(),
        62 => "x86_64".into(),
        183 => "aarch64".into(),
        243 => "riscv".into(),
        258 => "loongarch".into(),
        n => format!("ELF machine {n}"),
    })
}
