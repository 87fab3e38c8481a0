//! [`Report`]: the result of a work, as a table or as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::common::Common;
use crate::latency::Summary;
use crate::process::Cost;

/// The result of a work.
#[derive(Debug)]
pub(crate) struct Report {
    work: &'static str,
    parameters: Map<String, Value>,
    results: Map<String, Value>,
    rows: Vec<(String, String)>,
    latencies: Vec<(&'static str, Summary)>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(work: &'static str, common: &Common) -> Self {
        let mut report = Self {
            work,
            parameters: Map::new(),
            results: Map::new(),
            rows: Vec::new(),
            latencies: Vec::new(),
            notes: Vec::new(),
        };
        // Omits the URL and the headers, which may contain secrets, because reports are shared.
        report.parameter("clients", common.clients);
        report.parameter("rooms", common.rooms);
        report.parameter("mode", if common.plain { "plain" } else { "session" });
        report.parameter("codec", common.codec.as_str());
        report
    }

    /// Adds a parameter of the run.
    pub(crate) fn parameter(&mut self, key: &str, value: impl Into<Value>) {
        self.parameters.insert(key.to_owned(), value.into());
    }

    /// Adds a duration as a parameter.
    pub(crate) fn seconds(&mut self, key: &str, time: Duration) {
        self.parameter(key, round(time.as_secs_f64()));
    }

    /// Adds a count.
    pub(crate) fn count(&mut self, key: &'static str, label: &str, count: u64) {
        self.results.insert(key.to_owned(), count.into());
        self.rows.push((label.to_owned(), thousands(count)));
    }

    /// Adds a figure in a unit, which the key should name too.
    pub(crate) fn figure(&mut self, key: impl Into<String>, label: &str, figure: f64, unit: &str) {
        self.results.insert(key.into(), json!(round(figure)));
        let number = match figure.abs() {
            1000.0.. => thousands(figure.round() as u64),
            10.0..1000.0 => format!("{figure:.1}"),
            _ => format!("{figure:.2}"),
        };
        self.rows.push((label.to_owned(), format!("{number} {unit}").trim_end().to_owned()));
    }

    /// Adds a summary of times.
    pub(crate) fn latency(&mut self, key: &'static str, label: &'static str, summary: Summary) {
        self.results.insert(key.to_owned(), json!(summary));
        self.latencies.push((label, summary));
    }

    /// Adds a structured value, to the JSON only.
    pub(crate) fn parts(&mut self, key: &'static str, value: impl Serialize) {
        self.results.insert(key.to_owned(), json!(value));
    }

    /// Adds a note for the reader.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds the number of errors, and a note for each of the five most frequent.
    pub(crate) fn errors(&mut self, errors: &Errors) {
        let total: u64 = errors.0.values().sum();
        self.count("errors", "errors", total);
        let mut sorted: Vec<_> = errors.0.iter().collect();
        sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (text, count) in sorted.into_iter().take(5) {
            self.note(format!("{} times: {text}", thousands(*count)));
        }
    }

    /// Adds the server's usage for `units` of work, if --pid names the server, and this tool's own.
    pub(crate) fn cost(&mut self, cost: &Cost, units: u64, unit: &str) {
        if let Some(server) = &cost.server {
            self.figure("server_cpu_seconds", "server: CPU", server.cpu.as_secs_f64(), "s");
            if units > 0 {
                let each = server.cpu.as_secs_f64() * 1e6 / units as f64;
                let key = format!("server_cpu_us_per_{}", unit.replace(' ', "_"));
                self.figure(key, &format!("server: CPU per {unit}"), each, "µs");
            }
            self.figure(
                "server_memory_mib",
                "server: memory (RSS)",
                server.memory_after as f64 / 1048576.0,
                "MiB",
            );
        }
        if let Some(own) = cost.own {
            let share = own.as_secs_f64() / cost.time.as_secs_f64().max(0.001);
            self.figure("own_cpu_cores", "this tool: CPU", share, "cores");
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            if share > 0.8 * cores as f64 {
                self.note("this tool used nearly all of the machine, so it was the limit, not the server");
            }
        }
    }

    /// Prints the report to standard output.
    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            let report = json!({
                "work": self.work,
                "parameters": self.parameters,
                "results": self.results,
                "notes": self.notes,
            });
            println!("{report:#}");
        } else {
            print!("{}", self.table());
        }
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let parameters: Vec<_> =
            self.parameters.iter().map(|(key, value)| format!("{key} {value}")).collect();
        let parameters = parameters.join(", ").replace('"', "");
        writeln!(text, "{}: {parameters}\n", self.work).ok();
        let width = self.rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or_default();
        for (label, value) in &self.rows {
            writeln!(text, "{label:width$}  {value:>16}").ok();
        }
        if !self.latencies.is_empty() {
            let width =
                self.latencies.iter().map(|(label, _)| label.chars().count()).max().unwrap_or_default();
            let columns = ["count", "mean", "p50", "p90", "p99", "p99.9", "max"];
            write!(text, "\n{:width$}", "").ok();
            columns.iter().for_each(|column| _ = write!(text, " {column:>10}"));
            for (label, summary) in &self.latencies {
                write!(text, "\n{label:width$} {:>10}", thousands(summary.count)).ok();
                let Summary { mean_us, p50_us, p90_us, p99_us, p99_9_us, max_us, .. } = *summary;
                for time in [mean_us, p50_us, p90_us, p99_us, p99_9_us, max_us] {
                    write!(text, " {:>10}", human(time)).ok();
                }
            }
            text.push('\n');
        }
        for note in &self.notes {
            writeln!(text, "\nNOTE: {note}").ok();
        }
        text
    }
}

/// Errors, counted by their text.
#[derive(Debug, Default)]
pub(crate) struct Errors(BTreeMap<String, u64>);

impl Errors {
    pub(crate) fn add(&mut self, text: impl Into<String>) {
        *self.0.entry(text.into()).or_default() += 1;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (text, count) in other.0 {
            *self.0.entry(text).or_default() += count;
        }
    }

    pub(crate) fn first(&self) -> Option<&str> {
        self.0.keys().next().map(String::as_str)
    }
}

/// A rate per second.
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

/// Rounds to a thousandth. Further digits are noise.
fn round(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats microseconds for people.
fn human(us: f64) -> String {
    match us {
        ..1e3 => format!("{us:.0} µs"),
        1e3..1e4 => format!("{:.2} ms", us / 1e3),
        1e4..1e6 => format!("{:.1} ms", us / 1e3),
        _ => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([12.0, 3800.0, 45_000.0, 2.5e6].map(human), ["12 µs", "3.80 ms", "45.0 ms", "2.50 s"]);
    }

    #[test]
    fn equal_errors_are_reported_once() {
        let mut errors = Errors::default();
        ["a", "b", "b"].into_iter().for_each(|text| errors.add(text));
        let mut others = Errors::default();
        others.add("b");
        errors.merge(others);
        assert_eq!(errors.0.into_iter().collect::<Vec<_>>(), [("a".into(), 1), ("b".into(), 3)]);
    }
}
