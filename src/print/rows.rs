//! Lists: `--format`, and the tables without it.

use serde::Serialize;

use super::table;
use super::template::{self, Template, TemplateError};

/// The word that makes a format a table's.
const TABLE: &str = "table";

/// The columns' names in templates and their titles in tables.
pub(crate) type Titles = [(&'static str, &'static str)];

/// Prints rows as a format says: `json`, `table TEMPLATE` with a header, or a template a row. In
/// these, `\t` and `\n` are a tab and a line's end.
///
/// # Errors
/// The template is none, or does not fit the rows.
pub(crate) fn rows<T: Serialize>(
    format: &str,
    titles: &Titles,
    rows: &[T],
) -> Result<String, TemplateError> {
    let (as_table, format) = match format.strip_prefix(TABLE) {
        Some(rest) => (true, rest),
        None if format == "json" => (false, "{{json .}}"),
        None => (false, format),
    };
    let format = format
        .trim_matches(' ')
        .replace("\\t", "\t")
        .replace("\\n", "\n");
    let template = Template::parse(&format)?;
    let mut text = String::new();
    if as_table {
        text.push_str(&template.header(&template::titles(titles)));
        text.push('\n');
    }
    for row in rows {
        text.push_str(&template.fill(&template::value(row)?)?);
        text.push('\n');
    }
    Ok(match as_table {
        true => table::align(&text, table::NARROWEST),
        false => text,
    })
}

/// Whether a format is the command's own table: none, or the bare word.
pub(crate) fn is_default(format: Option<&str>) -> bool {
    matches!(format, None | Some("" | TABLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Row {
        name: &'static str,
        size: u32,
    }

    #[test]
    fn formats() {
        let print = |format: &str| {
            let data = [Row { name: "a", size: 1 }, Row { name: "b", size: 2 }];
            rows(format, &[("Name", "NAMES"), ("Size", "SIZE")], &data).unwrap()
        };
        assert_eq!(print("{{.Name}}"), "a\nb\n");
        assert_eq!(print("  {{.Name}}\\t{{.Size}} "), "a\t1\nb\t2\n");
        assert_eq!(
            print("json"),
            "{\"Name\":\"a\",\"Size\":1}\n{\"Name\":\"b\",\"Size\":2}\n"
        );
        assert_eq!(
            print("table {{.Name}}\\t{{upper .Name}}\\t{{.Size}}"),
            "NAMES     NAMES     SIZE\na         A         1\nb         B         2\n"
        );
        assert_eq!(print("table"), "\n\n\n");
    }
}
