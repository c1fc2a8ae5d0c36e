//! Columns as Docker lays them out (Go's text/tabwriter): three blanks between, none narrower than
//! some width. A cell ends with a tab; what follows the last tab of a line is in no column.

/// Blanks between columns.
const PADDING: usize = 3;
/// The narrowest column of most tables.
pub(crate) const NARROWEST: usize = 10;

/// Lays lines out. A column lasts as long as the lines below each other have it.
pub(crate) fn align(text: &str, narrowest: usize) -> String {
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let width_of = |cell: &str| cell.chars().count();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|_| Vec::new()).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let ended = |line: &Vec<&str>| line.len() > column + 1;
        let mut at = 0;
        while at < lines.len() {
            let block = lines.iter().skip(at).take_while(|line| ended(line));
            let cells: Vec<usize> = block
                .filter_map(|line| line.get(column).map(|cell| width_of(cell)))
                .collect();
            let widest = cells.iter().max().map_or(0, |width| width + PADDING);
            for widths in widths.iter_mut().skip(at).take(cells.len()) {
                widths.push(widest.max(narrowest));
            }
            at += cells.len().max(1);
        }
    }
    let mut out = String::with_capacity(text.len() * 2);
    for (line, widths) in lines.iter().zip(&widths) {
        for (at, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if let Some(width) = widths.get(at) {
                out.extend(std::iter::repeat_n(' ', width - width_of(cell)));
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
        let text = align(
            "IMAGE\tCREATED\tCREATED BY\tSIZE\tCOMMENT\n\
             cf672b381b9d\t20 minutes ago\tumoci config\t0B\t\n\
             <missing>\t20 minutes ago\tumoci raw add-layer\t1.99MB\t\n",
            NARROWEST,
        );
        // From `docker history` of 28.2.
        let want = [
            "IMAGE          CREATED          CREATED BY            SIZE      COMMENT",
            "cf672b381b9d   20 minutes ago   umoci config          0B        ",
            "<missing>      20 minutes ago   umoci raw add-layer   1.99MB    ",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), want);
    }

    #[test]
    fn columns_end_where_a_line_has_none() {
        assert_eq!(
            align("a\tb\nlong words here\nc\td\n", NARROWEST),
            "a         b\nlong words here\nc         d\n"
        );
        assert_eq!(align("", NARROWEST), "");
        // Wider than what Rust's own padding takes.
        let wide = "x".repeat(70_000);
        assert_eq!(
            align(&format!("{wide}\ty"), NARROWEST),
            format!("{wide}   y\n")
        );
    }
}
