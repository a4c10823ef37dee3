//! `vrctl policy`: who may talk to whom.

use clap::{Args, Subcommand};
use serde::Serialize;
use vrouter_proto::control as api;

use super::{
    Mask, deleted, given,
    syntax::rule::{Rule, rule_grammar},
};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Key, Kind, Value},
    listing::ListArgs,
    output::{Cell, Column, Record},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a policy; creating again what exists with the same wish changes nothing
    #[command(after_help = concat!("Examples:\n  vrctl policy create web --applies-to web --isolate-ingress --rule 'https: ingress allow tcp/443'\n  vrctl policy create db --applies-to db --network blue --rule 'ingress allow tcp/5432 from group:web' --rule 'ingress deny log'\n\n", rule_grammar!()))]
    Create(Create),
    /// List policies
    #[command(visible_alias = "ls", after_help = filter::help::<PolicyView>(&[
        "vrctl policy list --match network=blue",
    ]))]
    List(ListArgs),
    /// Show one policy
    Show {
        /// The policy
        name: String,
    },
    /// Change a policy; what is not named stays as it is
    #[command(after_help = concat!("Examples:\n  vrctl policy update web --add-rule 'ping: ingress allow icmp/8'\n  vrctl policy update web --remove-rule ping\n\n", rule_grammar!()))]
    Update(Update),
    /// Delete a policy
    #[command(visible_alias = "rm")]
    Delete {
        /// The policy
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Name of the policy
    name: String,
    /// Group of the endpoints it protects [default: all]
    #[arg(long, value_name = "GROUP", default_value = "", hide_default_value = true)]
    applies_to: String,
    /// Only endpoints of this network
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    network: String,
    /// A rule; may be given several times
    #[arg(long, value_name = "RULE")]
    rule: Vec<Rule>,
    /// Deny what no rule allows towards these endpoints
    #[arg(long)]
    isolate_ingress: bool,
    /// Deny what no rule allows from these endpoints
    #[arg(long)]
    isolate_egress: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// The policy
    name: String,
    /// Group of the endpoints it protects; empty: all
    #[arg(long, value_name = "GROUP")]
    applies_to: Option<String>,
    /// Only endpoints of this network; empty: of all
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// A rule; replaces all there were; may be given several times
    #[arg(long, value_name = "RULE", conflicts_with_all = ["add_rule", "remove_rule"])]
    rule: Vec<Rule>,
    /// Add a rule, or replace the one of its name; may be given several times
    #[arg(long, value_name = "RULE")]
    add_rule: Vec<Rule>,
    /// Remove the rule of this name; may be given several times
    #[arg(long, value_name = "NAME")]
    remove_rule: Vec<String>,
    /// Deny what no rule allows towards these endpoints
    #[arg(long, value_name = "YES|NO", value_parser = clap::builder::BoolishValueParser::new())]
    isolate_ingress: Option<bool>,
    /// Deny what no rule allows from these endpoints
    #[arg(long, value_name = "YES|NO", value_parser = clap::builder::BoolishValueParser::new())]
    isolate_egress: Option<bool>,
    /// Refuse if it was changed since this revision
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    revision: u64,
}

/// A policy as it is shown.
#[derive(Serialize)]
pub(super) struct PolicyView {
    name: String,
    uid: String,
    revision: u64,
    applies_to: String,
    network: String,
    rules: Vec<String>,
    isolate_ingress: bool,
    isolate_egress: bool,
    number: u32,
    endpoints: u64,
}

impl From<api::Policy> for PolicyView {
    fn from(it: api::Policy) -> Self {
        Self {
            name: it.name,
            uid: it.uid,
            revision: it.revision,
            applies_to: it.applies_to,
            network: it.network,
            rules: it.rules.into_iter().map(|rule| Rule(rule).to_string()).collect(),
            isolate_ingress: it.isolate_ingress,
            isolate_egress: it.isolate_egress,
            number: it.number,
            endpoints: it.endpoints,
        }
    }
}

impl PolicyView {
    /// Its name.
    pub(super) fn full_name(&self) -> String {
        self.name.clone()
    }

    /// In a few words, for `watch`.
    pub(super) fn summary(&self) -> String {
        format!("applies to {}, {} rules", self.applies_to(), self.rules.len())
    }
}

impl Record for PolicyView {
    const NOUNS: &'static str = "policies";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("NAME", |it| it.full_name().into()),
        Column::text("APPLIES TO", |it| it.applies_to().into()),
        Column::text("NETWORK", |it| Cell::new(&it.network)),
        Column::text("ISOLATES", |it| it.isolates().into()),
        Column::number("RULES", |it| u64::try_from(it.rules.len()).unwrap_or(u64::MAX).into()),
        Column::number("ENDPOINTS", |it| it.endpoints.into()),
        Column::detail("RULE LIST", |it| it.rules.join("; ").into()),
        Column::detail("NUMBER", |it| it.number.into()),
        Column::detail("REVISION", |it| it.revision.into()),
        Column::detail("UID", |it| Cell::new(&it.uid)),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("name", Kind::Text, "name", |it, out| {
            out.push(Value::Text(&it.name));
        }),
        Key::new("network", Kind::Text, "network it is limited to", |it, out| {
            out.push(Value::Text(&it.network));
        }),
        Key::new("applies_to", Kind::Text, "group it applies to", |it, out| {
            out.push(Value::Text(&it.applies_to));
        }),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Create(create) => {
            let policy = api::Policy {
                name: create.name,
                applies_to: create.applies_to,
                network: create.network,
                rules: named(create.rule),
                isolate_ingress: create.isolate_ingress,
                isolate_egress: create.isolate_egress,
                ..Default::default()
            };
            let request = api::CreatePolicyRequest { policy: Some(policy) };
            let made = context.control().await?.create_policy(request).await?;
            context.output.one(&PolicyView::from(made.into_inner()))
        }
        Command::List(list) => {
            let filter = list.filter::<PolicyView>()?;
            let answer = context
                .control()
                .await?
                .list_policies(api::ListPoliciesRequest {})
                .await?;
            let views = answer.into_inner().policies.into_iter().map(PolicyView::from);
            list.write(&context.output, &filter, views, PolicyView::full_name)
        }
        Command::Show { name } => {
            let request = api::GetPolicyRequest { name };
            let found = context.control().await?.get_policy(request).await?;
            context.output.one(&PolicyView::from(found.into_inner()))
        }
        Command::Update(update) => {
            let mut mask = Mask::default();
            let mut policy = api::Policy {
                name: update.name,
                revision: update.revision,
                ..Default::default()
            };
            mask.set("applies_to", &mut policy.applies_to, update.applies_to);
            mask.set("network", &mut policy.network, update.network);
            mask.set("isolate_ingress", &mut policy.isolate_ingress, update.isolate_ingress);
            mask.set("isolate_egress", &mut policy.isolate_egress, update.isolate_egress);
            mask.set("rules", &mut policy.rules, given(named(update.rule), Vec::is_empty));
            if !update.add_rule.is_empty() || !update.remove_rule.is_empty() {
                let request = api::GetPolicyRequest {
                    name: policy.name.clone(),
                };
                let now = context.control().await?.get_policy(request).await?.into_inner();
                let rules = changed(now.rules, update.add_rule, &update.remove_rule)?;
                mask.set("rules", &mut policy.rules, Some(rules));
                // What was read is what is changed.
                policy.revision = if update.revision == 0 {
                    now.revision
                } else {
                    update.revision
                };
            }
            let request = api::UpdatePolicyRequest {
                policy: Some(policy),
                update_mask: mask.finish()?,
            };
            let made = context.control().await?.update_policy(request).await?;
            context.output.one(&PolicyView::from(made.into_inner()))
        }
        Command::Delete { name } => {
            let full_name = name.to_string();
            let request = api::DeletePolicyRequest { name };
            let answer = context.control().await?.delete_policy(request).await?;
            deleted(context, "policy", &full_name, answer.into_inner().existed)
        }
    }
}

impl PolicyView {
    fn applies_to(&self) -> &str {
        if self.applies_to.is_empty() {
            "all"
        } else {
            &self.applies_to
        }
    }

    fn isolates(&self) -> &'static str {
        match (self.isolate_ingress, self.isolate_egress) {
            (true, true) => "both",
            (true, false) => "ingress",
            (false, true) => "egress",
            (false, false) => "",
        }
    }
}

/// Rules with names: those without get their place as one.
fn named(rules: Vec<Rule>) -> Vec<api::PolicyRule> {
    let mut rules: Vec<api::PolicyRule> = rules.into_iter().map(|rule| rule.0).collect();
    for at in 0..rules.len() {
        if rules[at].name.is_empty() {
            let free = (at + 1..)
                .map(|n| format!("rule-{n}"))
                .find(|name| rules.iter().all(|r| r.name != *name));
            rules[at].name = free.unwrap_or_default();
        }
    }
    rules
}

/// The rules there are, with some added or replaced and others removed.
fn changed(rules: Vec<api::PolicyRule>, add: Vec<Rule>, remove: &[String]) -> Result<Vec<api::PolicyRule>, Failure> {
    let missing = remove.iter().find(|name| rules.iter().all(|rule| rule.name != **name));
    if let Some(name) = missing {
        return Err(Failure::Missing(format!("the policy has no rule {name}")));
    }
    let mut kept: Vec<Rule> = rules
        .into_iter()
        .filter(|rule| !remove.contains(&rule.name) && add.iter().all(|new| new.0.name != rule.name))
        .map(Rule)
        .collect();
    kept.extend(add);
    Ok(named(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_added_replaced_and_removed_by_name() {
        let rule = |text: &str| text.parse::<Rule>().unwrap();
        let now = named(vec![
            rule("a: ingress allow tcp/1"),
            rule("ingress deny"),
            rule("b: egress deny"),
        ]);
        assert_eq!(now[1].name, "rule-2");
        let after = changed(
            now.clone(),
            vec![rule("a: ingress allow tcp/2"), rule("egress allow")],
            &["b".into()],
        )
        .unwrap();
        let text: Vec<String> = after.into_iter().map(|r| Rule(r).to_string()).collect();
        assert_eq!(
            text,
            ["rule-2: ingress deny", "a: ingress allow tcp/2", "rule-3: egress allow"]
        );
        assert!(changed(now, Vec::new(), &["c".into()]).is_err());
    }
}
