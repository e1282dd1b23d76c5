//! A listing of a function for people: machine code beside what it was compiled from.

use std::fmt::Write as _;

use cwasm_format::escape;

use super::Head;
use super::decode::{Origin, Row, label};
use super::operators::Operator;

/// The width of instructions before what is said of them.
const WIDTH: usize = 44;

/// The listing. Operators come before the first instruction that says it is of them; if none says
/// where it comes from, they come first.
pub(super) fn text(
    head: &Head,
    operators: &[Operator],
    rows: impl Iterator<Item = Row>,
    has_origins: bool,
) -> String {
    let mut text = format!("#{} {}\n", head.number, escape::name(&head.name));
    let end = u64::from(head.offset) + u64::from(head.size);
    let _ = writeln!(
        text,
        "{}, text {:#x} to {end:#x}: {} bytes",
        what(head),
        head.offset,
        head.size,
    );
    let mut operators = operators;
    if !operators.is_empty() && !has_origins {
        text.push('\n');
        write_operators(operators, &mut text);
        operators = &[];
    }
    text.push('\n');
    let mut last: Option<Origin> = None;
    for row in rows {
        if row.origin.is_some() && row.origin != last {
            if let Some(origin) = &row.origin {
                operators = up_to(operators, origin, &mut text);
                if let Some(source) = &origin.source {
                    let _ = writeln!(text, "{:>8}; {}", "", escape::name(source));
                }
            }
            last = row.origin.clone();
        }
        write_row(&row, &mut text);
    }
    // Those after the last instruction with an origin, such as `end`.
    write_operators(operators, &mut text);
    text
}

fn what(head: &Head) -> String {
    match head.kind {
        "core" => format!(
            "function {} of core instance {}",
            head.index, head.core_instance
        ),
        kind => kind.to_owned(),
    }
}

/// Writes the operators up to that of an origin; returns those that are left. Optimised code is in
/// another order than its operators: those that were written are not written again.
fn up_to<'o>(operators: &'o [Operator], origin: &Origin, text: &mut String) -> &'o [Operator] {
    let count = operators.partition_point(|operator| operator.offset <= origin.offset);
    let (now, later) = operators.split_at(count);
    write_operators(now, text);
    later
}

fn write_operators(operators: &[Operator], text: &mut String) {
    for operator in operators {
        let _ = writeln!(text, "{:>8}| {}", "", escape::name(&operator.text));
    }
}

fn write_row(row: &Row, text: &mut String) {
    if row.is_label {
        let _ = writeln!(text, "{}:", label(row.offset));
    }
    let mut notes = Vec::new();
    notes.extend(row.data.clone());
    notes.extend(row.trap.map(|trap| format!("trap: {trap}")));
    let code = escape::name(&row.text).to_string();
    let line = match notes.is_empty() {
        true => code,
        false => format!("{code:WIDTH$} ; {}", notes.join(", ")),
    };
    let _ = writeln!(text, "{:>6x}  {line}", row.offset);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(offset: u32, origin: Option<(u64, &str)>) -> Row {
        Row {
            offset,
            bytes: String::new(),
            text: format!("instruction {offset}"),
            is_label: offset == 2,
            trap: (offset == 3).then_some("unreachable"),
            data: None,
            origin: origin.map(|(offset, source)| Origin {
                offset,
                source: (!source.is_empty()).then(|| source.to_owned()),
            }),
        }
    }

    fn listed(rows: Vec<Row>, has_origins: bool) -> String {
        let operators = [
            (10, "local.get 0"),
            (12, "i32.load"),
            (15, "unreachable"),
            (16, "end"),
        ];
        let operators = operators.map(|(offset, text)| Operator {
            offset,
            text: text.to_owned(),
        });
        let head = Head {
            number: 7,
            name: "f\u{1b}".to_owned(),
            kind: "core",
            core_instance: 1,
            index: 2,
            offset: 0,
            size: 5,
        };
        text(&head, &operators, rows.into_iter(), has_origins)
    }

    #[test]
    fn operators_are_where_their_instructions_are() {
        let rows = vec![
            row(0, None),
            row(1, Some((12, "a.rs:3"))),
            row(2, Some((12, "a.rs:3"))),
            row(3, Some((15, ""))),
            // Moved here.
            row(4, Some((10, "a.rs:2"))),
        ];
        let expected = "#7 f\\u{1b}
function 2 of core instance 1, text 0x0 to 0x5: 5 bytes

     0  instruction 0
        | local.get 0
        | i32.load
        ; a.rs:3
     1  instruction 1
.2:
     2  instruction 2
        | unreachable
     3  instruction 3                                ; trap: unreachable
        ; a.rs:2
     4  instruction 4
        | end
";
        assert_eq!(listed(rows, true), expected);
    }

    #[test]
    fn operators_come_first_where_nothing_is_known() {
        let found = listed(vec![row(0, None)], false);
        let (operators, code) = (found.find("| end\n"), found.find("instruction 0"));
        assert!(operators.is_some() && operators < code, "{found}");
    }
}
