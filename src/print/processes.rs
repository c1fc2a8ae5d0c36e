//! The rows of `top`.

/// The narrowest column of its table.
pub(crate) const NARROWEST: usize = 20;

/// What ps printed, of some processes: cells with tabs between. The last column takes all words that
/// are left. None when there is no column of process ids to choose by.
pub(crate) fn of(listed: &str, pids: &[String]) -> Option<String> {
    let mut lines = listed.lines();
    let titles: Vec<&str> = lines.next()?.split_ascii_whitespace().collect();
    let pid = titles.iter().position(|title| *title == "PID")?;
    let mut text = titles.join("\t") + "\n";
    for line in lines {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        // Lines of threads have a dash.
        let wanted = words
            .get(pid)
            .is_some_and(|word| pids.iter().any(|pid| pid == word));
        if wanted {
            let (cells, last) = words.split_at((titles.len() - 1).min(words.len()));
            for cell in cells {
                text.push_str(cell);
                text.push('\t');
            }
            text.push_str(&last.join(" "));
            text.push('\n');
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes() {
        let listed = "UID PID PPID CMD\nroot 1 0 init\nroot  27 1  sleep   100\nx 271 1 y\n";
        let pids = ["27".to_owned()];
        assert_eq!(
            of(listed, &pids).as_deref(),
            Some("UID\tPID\tPPID\tCMD\nroot\t27\t1\tsleep 100\n")
        );
        assert_eq!(of("COMMAND\nsleep\n", &pids), None);
        assert_eq!(of("", &pids), None);
        assert_eq!(of("PID\n27\n", &pids).as_deref(), Some("PID\n27\n"));
    }
}
