//! Tables as kubectl prints them: no borders, capital headings, three spaces between columns; states coloured.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};

/// Things that went wrong.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Advice.
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const CHANGING: Style = AnsiColor::Yellow.on_default();

/// A table with headings; empty if there are no rows.
pub(crate) fn render<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings);
    for row in rows {
        table.add_row(row.map(|cell| one_line(&cell)));
    }
    if table.is_empty() {
        return String::new();
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        let last = index + 1 == N;
        column.set_padding((0, if last { 0 } else { 3 }));
    }
    let mut text = String::new();
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    paint_words(&text)
}

/// A cell is one line, whatever came from outside, and no control character reaches the terminal.
pub(crate) fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.is_empty() { "-".to_owned() } else { line }
}

/// Colours a state that stands for itself.
pub(crate) fn paint(word: &str) -> String {
    match style_of(word) {
        Some(style) => format!("{}{word}{}", style.render(), style.render_reset()),
        None => word.to_owned(),
    }
}

/// Colours the states in a table: words alone between two columns.
fn paint_words(table: &str) -> String {
    table.split_inclusive('\n').map(|line| line.split("   ").map(paint_cell).collect::<Vec<_>>().join("   ")).collect()
}

fn paint_cell(cell: &str) -> String {
    let word = cell.trim();
    if style_of(word).is_none() {
        return cell.to_owned();
    }
    cell.replacen(word, &paint(word), 1)
}

fn style_of(word: &str) -> Option<Style> {
    Some(match word {
        "COMPLETED" | "UP" | "ok" | "created" | "valid" | "completed" => GOOD,
        "RUNNING" | "unchanged" => GOOD,
        "ERROR" | "DOWN" | "error" | "refused" | "incident" | "failed" => BAD,
        "STARTING" | "STOPPING" | "DEGRADED" | "STOPPED" | "CANCELLED" => CHANGING,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_without_borders() {
        let rows = [["a-1".to_owned(), "x".to_owned()], ["a-longer-id".to_owned(), String::new()]];
        let text = render(["ID", "PROCESS"], rows);
        assert_eq!(text, "ID            PROCESS\na-1           x\na-longer-id   -\n");
    }

    #[test]
    fn no_rows_is_no_table() {
        assert_eq!(render(["ID"], []), "");
    }

    #[test]
    fn what_came_from_outside_cannot_drive_the_terminal() {
        assert_eq!(one_line("a\u{1b}[31m\nb"), "a [31m b");
    }

    #[test]
    fn states_are_coloured_and_nothing_else() {
        let text = render(["ID", "STATE"], [["RUNNINGx".to_owned(), "COMPLETED".to_owned()]]);
        let expected = format!("RUNNINGx   {}COMPLETED{}", GOOD.render(), GOOD.render_reset());
        assert!(text.contains(&expected), "{text:?}");
    }
}
