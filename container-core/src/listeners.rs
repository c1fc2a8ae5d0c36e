//! What a container listens on: `/proc/<pid>/net/tcp`, `tcp6` and `unix` (proc_pid_net(5)), which
//! show the network namespace of the process. Looking there disturbs no server, as
//! connecting would.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Listening sockets come first; a table that goes on beyond this has no more of them to tell.
const MOST: u64 = 4 << 20;

/// The addresses at which somebody in the process's network namespace listens on a port.
pub(crate) fn addresses(pid: u32, port: u16) -> io::Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let file = match File::open(format!("/proc/{pid}/net/{table}")) {
            Ok(file) => file,
            // A kernel without IPv6.
            Err(e) if table == "tcp6" && e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for line in BufReader::new(file.take(MOST)).lines().skip(1) {
            match parse(&line?) {
                Some((address, true)) if address.port() == port => found.push(address.ip()),
                Some((_, true)) => {}
                // The listening ones come first.
                Some((_, false)) | None => break,
            }
        }
    }
    Ok(found)
}

/// Whether somebody listens on a Unix socket that was bound to this path; `None` when none was.
pub(crate) fn unix(pid: u32, path: &str) -> io::Result<Option<bool>> {
    let file = File::open(format!("/proc/{pid}/net/unix"))?;
    let mut bound = None;
    for line in BufReader::new(file.take(MOST)).split(b'\n').skip(1) {
        match parse_unix(&String::from_utf8_lossy(&line?)) {
            Some((at, true)) if at == path => return Ok(Some(true)),
            Some((at, false)) if at == path => bound = Some(false),
            _ => {}
        }
    }
    Ok(bound)
}

/// A line's path, and whether it listens: `…: 00000002 00000000 00010000 0001 01 12345 /run/x`.
fn parse_unix(line: &str) -> Option<(&str, bool)> {
    const ACCEPTS: u32 = 0x1_0000;
    let flags = line.split_ascii_whitespace().nth(3)?;
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let (_, path) = line.split_once(" /")?;
    let path = &line[line.len() - path.len() - 1..];
    Some((path, flags & ACCEPTS != 0))
}

/// Where to connect to, in this order, to reach those who listen at these addresses.
pub(crate) fn to_connect(listening: &[IpAddr]) -> Vec<IpAddr> {
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    let mut addresses = Vec::new();
    for ip in listening {
        let reached_by: &[IpAddr] = match ip {
            IpAddr::V4(ip) if ip.is_unspecified() => &[v4],
            // Both versions, unless the program has asked for one.
            IpAddr::V6(ip) if ip.is_unspecified() => &[v4, v6],
            ip => std::slice::from_ref(ip),
        };
        for ip in reached_by {
            if !addresses.contains(ip) {
                addresses.push(*ip);
            }
        }
    }
    addresses.sort_by_key(|ip| !ip.is_loopback());
    addresses
}

/// A line's local address, and whether it listens: `0: 0100007F:1F90 00000000:0000 0A …`.
fn parse(line: &str) -> Option<(SocketAddr, bool)> {
    let mut words = line.split_ascii_whitespace();
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    let (ip, port) = local.split_once(':')?;
    // Words of the address in the machine's order of bytes, each printed as a number.
    let word = |at: usize| {
        Some(
            u32::from_str_radix(ip.get(at..at + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (i, piece) in bytes.chunks_exact_mut(4).enumerate() {
                piece.copy_from_slice(&word(8 * i)?);
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((SocketAddr::new(ip, port), state == "0A"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_the_kernel() {
        let line = |text: &str| parse(text).map(|(address, is)| (address.to_string(), is));
        assert_eq!(
            line("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000"),
            Some(("127.0.0.1:8080".into(), true))
        );
        assert_eq!(
            line("  1: 0200A8C0:0016 0100A8C0:D431 01 00000000:00000000 02:000A7214 00000000"),
            Some(("192.168.0.2:22".into(), false))
        );
        assert_eq!(
            line("   0: 00000000000000000000000001000000:18EB 0:0 0A 0:0"),
            Some(("[::1]:6379".into(), true))
        );
        assert_eq!(
            line("   0: 0000000000000000FFFF00000100007F:18EB 0:0 0A 0:0"),
            Some(("127.0.0.1:6379".into(), true))
        );
        for bad in ["", "0:", "0: x:y z 0A", "0: 0100007F 0 0A", "0: 01:1 0 0A"] {
            assert_eq!(line(bad), None, "{bad}");
        }
    }

    #[test]
    fn how_to_reach_them() {
        let ips = |texts: &[&str]| {
            texts
                .iter()
                .map(|t| t.parse().unwrap())
                .collect::<Vec<IpAddr>>()
        };
        for (listening, connect) in [
            (&[][..], &[][..]),
            (&["0.0.0.0"], &["127.0.0.1"]),
            (&["::"], &["127.0.0.1", "::1"]),
            (&["10.0.0.5", "::1"], &["::1", "10.0.0.5"]),
            (&["0.0.0.0", "::"], &["127.0.0.1", "::1"]),
        ] {
            assert_eq!(to_connect(&ips(listening)), ips(connect), "{listening:?}");
        }
    }

    #[test]
    fn the_kernels_own() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let own = std::process::id();
        assert_eq!(
            addresses(own, port).unwrap(),
            [IpAddr::V4(Ipv4Addr::LOCALHOST)]
        );
        drop(server);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a socket");
        let path = path.to_str().unwrap();
        let bound = std::os::unix::net::UnixDatagram::bind(path).unwrap();
        assert_eq!(unix(own, path).unwrap(), Some(false));
        drop(bound);
        std::fs::remove_file(path).unwrap();
        let _listening = std::os::unix::net::UnixListener::bind(path).unwrap();
        assert_eq!(unix(own, path).unwrap(), Some(true));
        assert_eq!(unix(own, "/none").unwrap(), None);
        assert_eq!(addresses(own, port).unwrap(), Vec::<IpAddr>::new());
    }
}
