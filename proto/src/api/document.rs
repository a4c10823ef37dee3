//! `docs/api.md`: the comments of the protocol files, with links.

use std::fmt::Write as _;

use super::{Api, Enumeration, Field, Message, Service, model::Cardinality};

const HEAD: &str = "\
<!-- Written by `cargo run -p vrouter-proto -- document` from the comments in proto/vrouter/*/v1/*.proto: change those. -->

# The APIs of vrouter

Two gRPC interfaces. `vrouter.control.v1` is what people and orchestrators speak: networks, endpoints, policies. `vrouter.dataplane.v1` is what
vrouter-control speaks to each vrouterd; it is open to others who want to program packet movers by themselves.

| API | service | served by | address, unless told otherwise |
|---|---|---|---|
| [vrouter.control.v1](#vroutercontrolv1) | `vrouter.control.v1.Control` | `vrouter-control` | `unix:/run/vrouter/control.sock` |
| [vrouter.dataplane.v1](#vrouterdataplanev1) | `vrouter.dataplane.v1.Dataplane` | `vrouterd` | `unix:/run/vrouter/vrouterd.sock` |

Both servers also speak `grpc.health.v1` and server reflection (`grpc.reflection.v1`), so that `grpcurl` and clients without generated code work:

    grpcurl -plaintext -unix /run/vrouter/control.sock list vrouter.control.v1.Control
    grpcurl -plaintext -unix -d '{\"network\": {\"name\": \"blue\"}}' /run/vrouter/control.sock vrouter.control.v1.Control/CreateNetwork

What may change within `v1`, and how clients stay compatible: [api-versioning.md](api-versioning.md). Complete clients: [examples/](../examples/README.md).
";

/// The whole document.
#[must_use]
pub fn document(apis: &[Api]) -> String {
    let mut text = HEAD.to_owned();
    // What most readers look for comes first.
    let mut apis: Vec<_> = apis.iter().collect();
    apis.sort_by(|a, b| a.package.cmp(&b.package));
    for api in apis {
        let _ = write!(text, "\n## {}\n\n{}\n", api.package, api.comment);
        for service in &api.services {
            write_service(&mut text, api, service);
        }
        for message in &api.messages {
            write_message(&mut text, api, message);
        }
        for enumeration in &api.enumerations {
            write_enumeration(&mut text, api, enumeration);
        }
    }
    text
}

fn heading(text: &mut String, api: &Api, name: &str, what: &str) {
    let _ = write!(
        text,
        "\n<a id=\"{}\"></a>\n### {what} {}\n",
        anchor(name),
        short(api, name)
    );
}

fn write_service(text: &mut String, api: &Api, service: &Service) {
    heading(text, api, &service.name, "service");
    let _ = write!(
        text,
        "\n{}\n\n| RPC | request | answer | |\n|---|---|---|---|\n",
        service.comment
    );
    for method in &service.methods {
        let side =
            |(name, many): &(String, bool)| format!("{}{}", if *many { "stream of " } else { "" }, link(api, name));
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            method.name,
            side(&method.input),
            side(&method.output),
            cell(&method.comment)
        );
    }
}

fn write_message(text: &mut String, api: &Api, message: &Message) {
    heading(text, api, &message.name, "message");
    if message.comment.is_empty() {
        let methods = api.services.iter().flat_map(|service| &service.methods);
        for method in methods {
            if method.input.0 == message.name {
                let _ = write!(text, "\nWhat `{}` takes.\n", method.name);
            } else if method.output.0 == message.name {
                let _ = write!(text, "\nWhat `{}` returns.\n", method.name);
            }
        }
    } else {
        let _ = write!(text, "\n{}\n", message.comment);
    }
    if message.fields.is_empty() {
        text.push_str("\nNo fields.\n");
        return;
    }
    text.push_str("\n| no. | field | type | meaning |\n|---|---|---|---|\n");
    for field in &message.fields {
        let mut meaning = cell(&field.comment);
        if let Some(oneof) = &field.oneof {
            meaning = format!("One of `{oneof}`. {meaning}");
        }
        if field.deprecated {
            meaning = format!("**Deprecated.** {meaning}");
        }
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {meaning} |",
            field.number,
            field.name,
            kind(api, field)
        );
    }
}

fn write_enumeration(text: &mut String, api: &Api, enumeration: &Enumeration) {
    heading(text, api, &enumeration.name, "enum");
    if !enumeration.comment.is_empty() {
        let _ = write!(text, "\n{}\n", enumeration.comment);
    }
    text.push_str("\n| no. | value | meaning |\n|---|---|---|\n");
    for value in &enumeration.values {
        let _ = writeln!(
            text,
            "| {} | `{}` | {} |",
            value.number,
            value.name,
            cell(&value.comment)
        );
    }
}

fn kind(api: &Api, field: &Field) -> String {
    let one = if field.kind.contains('<') {
        format!("`{}`", field.kind.replace(',', ", "))
    } else if field.kind.contains('.') {
        link(api, &field.kind)
    } else {
        format!("`{}`", field.kind)
    };
    match field.cardinality {
        Cardinality::Singular | Cardinality::Map => one,
        many => format!("{} {one}", many.name()),
    }
}

/// Without the package.
fn short<'a>(api: &Api, name: &'a str) -> &'a str {
    let rest = name.strip_prefix(&api.package).and_then(|rest| rest.strip_prefix('.'));
    rest.unwrap_or(name)
}

fn anchor(name: &str) -> String {
    name.to_lowercase().replace('.', "-")
}

fn link(api: &Api, name: &str) -> String {
    if name.starts_with(&api.package) {
        format!("[{}](#{})", short(api, name), anchor(name))
    } else {
        format!("`{name}`")
    }
}

/// A comment as it may stand in a table.
fn cell(comment: &str) -> String {
    let words: Vec<_> = comment.split_whitespace().collect();
    words.join(" ").replace('|', "\\|").replace('<', "&lt;")
}
