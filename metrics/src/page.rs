//! The formats: Prometheus' text (0.0.4) and OpenMetrics 1.0, from the same calls.
//!
//! They differ in how a counter's family is named, in what is escaped in help, in units, and in how a page ends. Whoever writes a page need not know.

use std::fmt::{self, Write as _};

/// How a page is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, version 0.0.4.
    #[default]
    Text,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What the answer says it is.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format that a client would rather have, by its Accept header.
    pub fn accepted(accept: &str) -> Self {
        let weight = |wanted: &str| {
            let of = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let media = parts.next()?;
                let version = |part: &str| part.strip_prefix("version=").map(|v| v.trim_matches('"').to_owned());
                let (mut q, mut fits) = (1.0_f32, media.eq_ignore_ascii_case(wanted));
                for part in parts {
                    if let Some(text) = part.strip_prefix("q=") {
                        q = text.parse().unwrap_or(0.0);
                    }
                    // OpenMetrics before 1.0 is another format.
                    fits &= version(part).is_none_or(|v| v.starts_with("1.") || wanted == "text/plain");
                }
                fits.then_some(q)
            });
            of.fold(0.0_f32, f32::max)
        };
        let open = weight("application/openmetrics-text");
        if open > 0.0 && open >= weight("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole one.
    Whole(u64),
    /// Any.
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole(value) => write!(f, "{value}"),
            Self::Real(value) if value.is_nan() => f.write_str("NaN"),
            Self::Real(value) if value.is_infinite() => f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" }),
            Self::Real(value) => write!(f, "{value}"),
        }
    }
}

/// A distribution at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Upper bounds, ascending, and how many values are not above each (cumulative).
    pub buckets: Vec<(f64, u64)>,
    /// All values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Info,
    Histogram,
}

/// A page under way.
#[derive(Debug)]
pub struct Page {
    format: Format,
    text: String,
}

impl Page {
    /// An empty one.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            text: String::with_capacity(16 << 10),
        }
    }

    /// A family of counters: they only grow, until the process starts anew. `name` without "_total", which its samples get.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(Kind::Counter, name, help)
    }

    /// A family of numbers that come and go.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(Kind::Gauge, name, help)
    }

    /// What something is, told by labels. `name` without "_info", which its samples get.
    pub fn info(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(Kind::Info, name, help)
    }

    /// A family of distributions.
    pub fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(Kind::Histogram, name, help)
    }

    fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> Family<'_> {
        let (mut suffix, mut word) = match kind {
            Kind::Counter => ("_total", "counter"),
            Kind::Gauge => ("", "gauge"),
            Kind::Info => ("_info", "info"),
            Kind::Histogram => ("", "histogram"),
        };
        let open = self.format == Format::OpenMetrics;
        if open {
            // There, a family's name is without what its samples get.
            suffix = "";
        } else if kind == Kind::Info {
            word = "gauge";
        }
        let text = &mut self.text;
        // Writing into a string does not fail.
        let _ = write!(text, "# HELP {name}{suffix} ");
        escape(text, help, open);
        let _ = write!(text, "\n# TYPE {name}{suffix} {word}\n");
        let unit = ["seconds", "bytes", "ratio"].into_iter().find(|unit| {
            name.strip_suffix(unit)
                .is_some_and(|rest| rest.ends_with('_') && kind != Kind::Info)
        });
        if let Some(unit) = unit.filter(|_| open) {
            let _ = writeln!(text, "# UNIT {name} {unit}");
        }
        Family { page: self, kind, name }
    }

    /// The page as it is sent.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: Value) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let bound = bound.map(|bound| ("le", bound));
        let mut before = '{';
        for (label, text) in labels.iter().copied().chain(bound) {
            self.text.push(before);
            before = ',';
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(&mut self.text, text, true);
            self.text.push('"');
        }
        if before == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// Backslashes and ends of lines, and quotes where they would end the text.
fn escape(to: &mut String, text: &str, quotes: bool) {
    for character in text.chars() {
        match character {
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '"' if quotes => to.push_str("\\\""),
            other => to.push(other),
        }
    }
}

/// Samples of one family. Each must have other labels.
pub struct Family<'a> {
    page: &'a mut Page,
    kind: Kind,
    name: &'static str,
}

impl fmt::Debug for Family<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Family").field(&self.name).finish()
    }
}

impl Family<'_> {
    /// One sample.
    pub fn put(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) -> &mut Self {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.page.sample(self.name, suffix, labels, None, value.into());
        self
    }

    /// One distribution.
    pub fn distribution(&mut self, labels: &[(&str, &str)], values: &Distribution) -> &mut Self {
        let mut bound = String::new();
        for (most, count) in &values.buckets {
            bound.clear();
            let _ = write!(bound, "{most}");
            if !bound.contains('.') {
                // OpenMetrics wants the bound to look like the real number it is.
                bound.push_str(".0");
            }
            self.page
                .sample(self.name, "_bucket", labels, Some(&bound), (*count).into());
        }
        self.page
            .sample(self.name, "_bucket", labels, Some("+Inf"), values.count.into());
        self.page.sample(self.name, "_sum", labels, None, values.sum.into());
        self.page.sample(self.name, "_count", labels, None, values.count.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(format: Format) -> String {
        let mut page = Page::new(format);
        page.counter("vrouter_rx_bytes", "Bytes \"in\" a\\b\nand more.")
            .put(&[("port", "a\"b\\c\nd"), ("id", "1")], 7_u64);
        page.gauge("vrouter_up", "Whether.").put(&[], true);
        page.info("vrouter_build", "What.").put(&[("version", "1")], 1_u64);
        page.histogram("vrouter_batch_seconds", "How long.").distribution(
            &[("worker", "0")],
            &Distribution {
                buckets: vec![(0.000_001, 1), (1.0, 2)],
                count: 3,
                sum: 4.5,
            },
        );
        page.finish()
    }

    #[test]
    fn text_is_as_prometheus_reads_it() {
        let expected = r#"# HELP vrouter_rx_bytes_total Bytes "in" a\\b\nand more.
# TYPE vrouter_rx_bytes_total counter
vrouter_rx_bytes_total{port="a\"b\\c\nd",id="1"} 7
# HELP vrouter_up Whether.
# TYPE vrouter_up gauge
vrouter_up 1
# HELP vrouter_build_info What.
# TYPE vrouter_build_info gauge
vrouter_build_info{version="1"} 1
# HELP vrouter_batch_seconds How long.
# TYPE vrouter_batch_seconds histogram
vrouter_batch_seconds_bucket{worker="0",le="0.000001"} 1
vrouter_batch_seconds_bucket{worker="0",le="1.0"} 2
vrouter_batch_seconds_bucket{worker="0",le="+Inf"} 3
vrouter_batch_seconds_sum{worker="0"} 4.5
vrouter_batch_seconds_count{worker="0"} 3
"#;
        assert_eq!(sample(Format::Text), expected);
    }

    #[test]
    fn open_metrics_names_families_and_units_its_own_way_and_ends() {
        let page = sample(Format::OpenMetrics);
        for line in [
            r#"# HELP vrouter_rx_bytes Bytes \"in\" a\\b\nand more."#,
            "# TYPE vrouter_rx_bytes counter",
            "# UNIT vrouter_rx_bytes bytes",
            "# TYPE vrouter_build info",
            "vrouter_build_info{version=\"1\"} 1",
            "# UNIT vrouter_batch_seconds seconds",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
        assert_eq!(page.matches("# EOF").count(), 1);
    }

    #[test]
    fn the_format_is_negotiated() {
        for (accept, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("application/openmetrics-text; version=0.0.1", Format::Text),
            ("application/openmetrics-text;q=0.2,text/plain;q=0.5", Format::Text),
            ("application/openmetrics-text; q=0", Format::Text),
            // What Prometheus 2.42 and 3 say.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2",
                Format::OpenMetrics,
            ),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_label_says_it_stays_one_line_and_is_read_back(text in ".*") {
            let mut page = Page::new(Format::Text);
            page.gauge("x", "").put(&[("l", &text)], 1_u64);
            let page = page.finish();
            let line = page.lines().nth(2).unwrap();
            prop_assert_eq!(page.split('\n').count(), 4);
            let inside = line.strip_prefix("x{l=\"").unwrap().strip_suffix("\"} 1").unwrap();
            let (mut read, mut characters) = (String::new(), inside.chars());
            while let Some(character) = characters.next() {
                read.push(match character {
                    '\\' => match characters.next().unwrap() { 'n' => '\n', other => other },
                    '"' => return Err(TestCaseError::fail("a bare quote")),
                    other => other,
                });
            }
            prop_assert_eq!(read, text);
        }
    }
}
