//! Lists of CPUs as the kernel writes them.

use std::str::FromStr;

use serde::Deserialize;

/// Highest number of a CPU: as many as a plain CPU mask holds.
const MAX_CPU: usize = 1023;

/// CPUs in the order given, none twice: `0,2-3`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CpuList(pub Vec<usize>);

/// A text that is no list of CPUs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no list of CPUs: {why}; write one like 0,2-3")]
pub struct BadCpuList {
    text: String,
    why: String,
}

impl FromStr for CpuList {
    type Err = BadCpuList;

    fn from_str(text: &str) -> Result<Self, BadCpuList> {
        let bad = |why: String| BadCpuList {
            text: text.chars().take(64).collect(),
            why,
        };
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
            let number = part.parse().ok().filter(|cpu| digits && *cpu <= MAX_CPU);
            number.ok_or_else(|| bad(format!("{part:?} is no number from 0 to {MAX_CPU}")))
        };
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(bad(format!("{part} runs backwards")));
            }
            for cpu in first..=last {
                if cpus.contains(&cpu) {
                    return Err(bad(format!("CPU {cpu} is named twice")));
                }
                cpus.push(cpu);
            }
        }
        Ok(Self(cpus))
    }
}

impl TryFrom<String> for CpuList {
    type Error = BadCpuList;

    fn try_from(text: String) -> Result<Self, BadCpuList> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_order() {
        let read = |text: &str| text.parse::<CpuList>().unwrap().0;
        assert_eq!(read("0"), [0]);
        assert_eq!(read("0,2-3"), [0, 2, 3]);
        assert_eq!(read("5-7,1"), [5, 6, 7, 1]);
        assert_eq!(read("3-3"), [3]);
    }

    #[test]
    fn what_is_no_list_is_told() {
        for (text, why) in [
            ("", "no number"),
            ("a", "no number"),
            ("1,", "no number"),
            ("+1", "no number"),
            ("1-", "no number"),
            ("1-2-3", "no number"),
            ("1024", "from 0 to 1023"),
            ("0-99999999999999999999", "from 0 to 1023"),
            ("3-1", "backwards"),
            ("1,0-2", "CPU 1 is named twice"),
        ] {
            let error = text.parse::<CpuList>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("like 0,2-3"), "{text}: {error}");
        }
    }
}
