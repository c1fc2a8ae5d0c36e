//! Tables as Docker prints them: three blanks between columns, none narrower than ten.

/// Lays rows out under a header; the last column is as long as it is.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&header).chain(rows).collect();
    let width = |column: usize| {
        let longest = lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|c| c.chars().count());
        (longest.max().unwrap_or(0) + 3).max(10)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut out = String::new();
    for line in lines {
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            match at + 1 == header.len() {
                true => out.push_str(cell),
                false => out.push_str(&format!("{cell:width$}")),
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_docker_lays_out() {
        let row = |cells: [&str; 5]| cells.map(String::from).to_vec();
        let rows = [
            row(["cf672b381b9d", "20 minutes ago", "umoci config", "0B", ""]),
            row([
                "<missing>",
                "20 minutes ago",
                "umoci raw add-layer",
                "1.99MB",
                "",
            ]),
        ];
        let text = table(
            &["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"],
            &rows,
        );
        // From `docker history` of 28.2.
        let want = [
            "IMAGE          CREATED          CREATED BY            SIZE      COMMENT",
            "cf672b381b9d   20 minutes ago   umoci config          0B        ",
            "<missing>      20 minutes ago   umoci raw add-layer   1.99MB    ",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), want);
    }
}
