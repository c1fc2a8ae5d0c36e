//! Ids and names.

use std::io;

use crate::error::{Error, Result};

const ADJECTIVES: [&str; 64] = [
    "able", "agile", "amber", "ample", "apt", "arctic", "azure", "balmy", "bold", "brave",
    "breezy", "bright", "brisk", "calm", "candid", "cheerful", "civil", "clever", "coral", "cosy",
    "crisp", "curious", "daring", "deft", "eager", "early", "earnest", "fair", "fleet", "fond",
    "frank", "fresh", "gentle", "glad", "golden", "grand", "hardy", "humble", "jolly", "keen",
    "kind", "light", "lively", "loyal", "lucid", "mellow", "merry", "mild", "modest", "neat",
    "nimble", "noble", "placid", "polite", "proud", "quick", "quiet", "ready", "serene", "sharp",
    "spry", "steady", "sunny", "tidy",
];

const NOUNS: [&str; 64] = [
    "acorn", "alder", "anchor", "aspen", "badger", "barge", "beacon", "birch", "brook", "canoe",
    "cedar", "clover", "comet", "condor", "cove", "crane", "crate", "cypress", "delta", "dory",
    "egret", "elm", "ember", "falcon", "fern", "ferry", "finch", "fjord", "fox", "gannet",
    "glacier", "harbor", "hawk", "hazel", "heron", "ibis", "inlet", "juniper", "kestrel", "lagoon",
    "larch", "lark", "linden", "lynx", "maple", "marlin", "meadow", "otter", "owl", "pebble",
    "pier", "plover", "quay", "reef", "robin", "rowan", "sail", "sloop", "sparrow", "stork",
    "tern", "thistle", "willow", "wren",
];

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let flags = rustix::rand::GetRandomFlags::empty();
        match rustix::rand::getrandom(&mut bytes[filled..], flags) {
            Ok(n) => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::system("get random numbers")(io::Error::from(e))),
        }
    }
    Ok(bytes)
}

/// A new id: 64 hexadecimal digits.
pub(crate) fn new_id() -> Result<String> {
    Ok(random::<32>()?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// The name asked for, checked, or a new one.
pub(crate) fn choose(asked: Option<String>) -> Result<String> {
    let Some(name) = asked else {
        // Enough digits that two of a store's names are not alike.
        let [a, n, d @ ..] = random::<6>()?;
        let pick = |list: &[&'static str; 64], byte: u8| list[usize::from(byte) % list.len()];
        let number = u32::from_le_bytes(d);
        return Ok(format!(
            "{}_{}_{number:08x}",
            pick(&ADJECTIVES, a),
            pick(&NOUNS, n)
        ));
    };
    // Docker's RestrictedNamePattern; a leading slash is its way to write a name absolutely.
    let bare = name.strip_prefix('/').unwrap_or(&name);
    let first = bare.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = bare
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if first && rest && bare.len() >= 2 && bare.len() <= 255 {
        return Ok(bare.to_owned());
    }
    let reason =
        format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
    Err(Error::Setting {
        setting: "name",
        value: name,
        reason,
    })
}
