//! The table: what is measured beside what is aimed at, in plain text.
//!
//! It measures nothing and judges only by comparing numbers.

use std::fmt::Write as _;

/// A limit of the design page, or of what is to be reached for now.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// At least so much.
    Least(f64),
    /// At most so much.
    Most(f64),
}

impl Goal {
    fn is_reached(self, value: f64) -> bool {
        match self {
            Self::Least(least) => value >= least,
            Self::Most(most) => value <= most,
        }
    }

    fn number(self) -> f64 {
        let (Self::Least(number) | Self::Most(number)) = self;
        number
    }

    fn shown(self, unit: &Unit) -> String {
        unit.shown(self.number())
    }
}

/// What a number of the table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Of the copy in the same run.
    OfCopy,
    /// A second.
    PerSecond,
    Seconds,
    Mebibytes,
    /// Growth in per cent.
    Percent,
}

impl Unit {
    fn shown(self, value: f64) -> String {
        match self {
            Self::OfCopy => format!("{value:.2} of the copy"),
            Self::PerSecond => format!("{} /s", grouped(value)),
            Self::Seconds if value.is_infinite() => "never".to_owned(),
            Self::Seconds => format!("{value:.2} s"),
            Self::Mebibytes => format!("{} MiB", grouped(value)),
            Self::Percent => format!("{value:+.1} %"),
        }
    }
}

/// One row.
#[derive(Debug)]
struct Row {
    what: String,
    unit: Unit,
    value: f64,
    aim: Option<Goal>,
    reach: Option<Goal>,
    notes: Vec<String>,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a row: the aim of the design page, what is to be reached for now, and lines below it.
    pub(crate) fn row(
        &mut self,
        what: &str,
        (unit, value): (Unit, f64),
        (aim, reach): (Option<Goal>, Option<Goal>),
        notes: &[String],
    ) {
        self.rows.push(Row { what: what.to_owned(), unit, value, aim, reach, notes: notes.to_vec() });
    }

    /// Aligned, for people and for a README.
    pub(crate) fn shown(&self) -> String {
        let mut cells: Vec<[String; 6]> = vec![["", "measured", "aim", "", "for now", ""].map(str::to_owned)];
        for row in &self.rows {
            let goal = |goal: Option<Goal>| match goal {
                None => (String::new(), String::new()),
                Some(goal) => {
                    let verdict = if goal.is_reached(row.value) { "reached" } else { "missed" };
                    (goal.shown(&row.unit), verdict.to_owned())
                }
            };
            let ((aim, is_aim), (reach, is_reach)) = (goal(row.aim), goal(row.reach));
            cells.push([row.what.clone(), row.unit.shown(row.value), aim, is_aim, reach, is_reach]);
        }
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        let mut text = String::new();
        for (number, row) in cells.iter().enumerate() {
            let mut line = format!("{:<1$}", row[0], widths[0]);
            for column in 1..6 {
                // Numbers to the right, verdicts to the left.
                let (cell, width) = (&row[column], widths[column]);
                let verdict = column == 3 || column == 5;
                let padded = if verdict { format!(" {cell:<width$}") } else { format!("  {cell:>width$}") };
                line.push_str(&padded);
            }
            writeln!(text, "{}", line.trim_end()).expect("a string takes any text");
            if let Some(row) = number.checked_sub(1).and_then(|number| self.rows.get(number)) {
                for note in &row.notes {
                    writeln!(text, "    {note}").expect("a string takes any text");
                }
            }
        }
        text
    }
}

/// With commas between thousands.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}
