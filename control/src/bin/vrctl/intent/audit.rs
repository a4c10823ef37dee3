//! `vrctl audit`: what the control process finds wrong with its own books.

use serde::Serialize;
use vrouter_proto::control as api;

use crate::{
    cli::Context,
    failure::Failure,
    output::{Cell, Style},
};

/// The whole answer, as JSON.
#[derive(Serialize)]
struct AuditView {
    findings: Vec<String>,
    addresses_allocated: u64,
    endpoints: u64,
}

/// Asks for an audit and shows what it found.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let answer = context.control().await?.audit(api::AuditRequest {}).await?.into_inner();
    let audit = AuditView {
        findings: answer.findings,
        addresses_allocated: answer.addresses_allocated,
        endpoints: answer.endpoints,
    };
    if context.output.json() {
        return context.output.value(&audit);
    }
    let mut lines = vec![
        ("ENDPOINTS", Cell::from(audit.endpoints)),
        ("ADDRESSES", Cell::from(audit.addresses_allocated)),
    ];
    if audit.findings.is_empty() {
        lines.push(("FINDINGS", Cell::new("none").style(Style::Good)));
    }
    for finding in &audit.findings {
        lines.push(("FINDING", Cell::new(finding).style(Style::Bad)));
    }
    context.output.text(&context.output.lines(&lines))
}
