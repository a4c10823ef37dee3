//! `vrctl doctor`: looks at this host and at the daemons, and says what is wrong, why that matters and what to do.
//!
//! Facts are collected first ([`collect`]); each check ([`checks`]) is a function from facts to findings and looks at nothing else.

mod checks;
mod collect;
mod facts;
mod finding;

use clap::Args;

use self::{
    collect::Wish,
    finding::{Finding, Status},
};
use crate::{cli::Context, failure::Failure, output::Cell};

#[derive(Args, Debug)]
#[command(after_help = "\
Looks at the kernel, rights and limits, CPUs and memory, interfaces of the underlay (driver, queues, MTU against encapsulation, offloads, programs of
others), other tunnels on the host, the store, and both daemons. They need not run. Limits are those of this shell: a daemon's own may differ.

Exit codes: 0 all is well, 1 warnings, 2 problems

Examples:
  vrctl doctor
  vrctl doctor --interface eth1 --all
  vrctl doctor --node node2 -o json")]
pub(crate) struct Doctor {
    /// An interface to look at, before it is an uplink; may be given several times
    #[arg(long, value_name = "IFACE")]
    interface: Vec<String>,
    /// Ask the dataplane of this node, as vrouter-control reaches it
    #[arg(long, value_name = "NODE", default_value = "", hide_default_value = true)]
    node: String,
    /// Where vrouter-control keeps its store
    #[arg(long, value_name = "PATH", default_value = "/var/lib/vrouter/control.redb")]
    store: String,
    /// Show also what is well
    #[arg(long)]
    all: bool,
}

/// Examines, tells, and ends with the worst that was found.
pub(crate) async fn run(doctor: Doctor, context: &Context) -> Result<(), Failure> {
    let wish = Wish {
        interfaces: doctor.interface,
        store: doctor.store,
        node: doctor.node,
    };
    let findings = checks::all(&collect::facts(&wish, context).await);
    if context.output.json() {
        context.output.value(&findings)?;
    } else {
        context.output.text(&report(&findings, doctor.all))?;
    }
    match findings.iter().map(|finding| finding.status).max() {
        Some(Status::Problem) => Err(Failure::Unwell(2)),
        Some(Status::Warning) => Err(Failure::Unwell(1)),
        _ => Ok(()),
    }
}

/// What is to be told, the worst last, so that it is what is seen.
fn report(findings: &[Finding], all: bool) -> String {
    let mut shown: Vec<_> = findings
        .iter()
        .filter(|finding| all || finding.status > Status::Ok)
        .collect();
    shown.sort_by_key(|finding| finding.status);
    let mut text = String::new();
    for finding in shown {
        let subject = match finding.subject.as_str() {
            "" => String::new(),
            subject => format!(" {subject}"),
        };
        let mut line = |label: &str, words: &str| {
            // Through a cell, so that no name can drive the terminal.
            text.push_str(&format!("{label}{}\n", Cell::new(words).as_str()));
        };
        line(
            "",
            &format!(
                "{:7}  {}{subject}: {}",
                finding.status.name(),
                finding.check,
                finding.saw
            ),
        );
        if !finding.why.is_empty() {
            line("         why: ", finding.why);
        }
        if !finding.todo.is_empty() {
            line("         do:  ", &finding.todo);
        }
    }
    let count = |status| findings.iter().filter(|finding| finding.status == status).count();
    text.push_str(&format!(
        "{} problems, {} warnings, {} well, {} not applicable\n",
        count(Status::Problem),
        count(Status::Warning),
        count(Status::Ok),
        count(Status::NotApplicable)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_why_and_what_to_do_and_ends_with_the_worst() {
        let findings = [
            finding::about("a", "x").problem("bad", "it hurts", "stop it"),
            finding::about("b", "").ok("fine"),
            finding::about("c", "").warning("so so", "it may hurt", "look"),
        ];
        let expected = "warning  c: so so\n         why: it may hurt\n         do:  look\n\
                        problem  a x: bad\n         why: it hurts\n         do:  stop it\n\
                        1 problems, 1 warnings, 1 well, 0 not applicable\n";
        assert_eq!(report(&findings, false), expected);
        assert!(report(&findings, true).starts_with("ok       b: fine\n"));
    }

    #[test]
    fn without_any_facts_no_check_fails() {
        let findings = checks::all(&facts::Facts::default());
        assert!(findings.len() >= 19);
        let of_daemons = |finding: &&Finding| matches!(finding.check, "dataplane" | "control");
        assert!(
            findings
                .iter()
                .filter(of_daemons)
                .all(|finding| finding.status == Status::NotApplicable)
        );
        // Whatever is wrong is told with its reason and a remedy.
        for finding in findings.iter().filter(|finding| finding.status > Status::Ok) {
            assert!(!finding.why.is_empty() && !finding.todo.is_empty(), "{finding:?}");
        }
    }
}
