//! The descriptors with their comments, in the order of the files.

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// One API: one `.proto` file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Api {
    /// `vrouter.control.v1`.
    pub package: String,
    /// What stands at the head of the file.
    pub comment: String,
    /// Its services.
    pub services: Vec<Service>,
    /// Its messages, nested ones after those that they are in; the entries of maps are left out.
    pub messages: Vec<Message>,
    /// Its enumerations, nested ones, too.
    pub enumerations: Vec<Enumeration>,
}

/// A gRPC service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Full name, `vrouter.control.v1.Control`.
    pub name: String,
    /// What it is for.
    pub comment: String,
    /// Its methods.
    pub methods: Vec<Method>,
}

/// One RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Name within the service.
    pub name: String,
    /// What it does.
    pub comment: String,
    /// Full name of the message that the client sends, and whether it sends many.
    pub input: (String, bool),
    /// Full name of the message that the server sends, and whether it sends many.
    pub output: (String, bool),
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Full name.
    pub name: String,
    /// What it is.
    pub comment: String,
    /// Its fields.
    pub fields: Vec<Field>,
    /// Numbers (first..=last) and names that may not be used again.
    pub reserved: (Vec<(i32, i32)>, Vec<String>),
}

/// How often a field may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// Always: what is not sent is 0 or empty.
    Singular,
    /// Once or not at all, and which of both can be seen.
    Optional,
    /// Any number of times, in order.
    Repeated,
    /// A map.
    Map,
}

impl Cardinality {
    /// As it is written in baselines and documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Singular => "singular",
            Self::Optional => "optional",
            Self::Repeated => "repeated",
            Self::Map => "map",
        }
    }
}

/// A field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its number on the wire.
    pub number: i32,
    /// `uint32`, or the full name of a message or enumeration; `map<string,string>`.
    pub kind: String,
    /// How often it may be there.
    pub cardinality: Cardinality,
    /// The choice that it is one of.
    pub oneof: Option<String>,
    /// What it means.
    pub comment: String,
    /// Clients should not use it any more.
    pub deprecated: bool,
}

/// An enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enumeration {
    /// Full name.
    pub name: String,
    /// What it is.
    pub comment: String,
    /// Its values.
    pub values: Vec<Value>,
}

/// A value of an enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its name.
    pub name: String,
    /// Its number on the wire.
    pub number: i32,
    /// What it means.
    pub comment: String,
}

/// Reads an encoded `FileDescriptorSet`. Files of others (`google.protobuf`) are left out.
///
/// # Errors
/// When the bytes are no such set.
pub fn apis(descriptors: &[u8]) -> Result<Vec<Api>, prost::DecodeError> {
    let set = FileDescriptorSet::decode(descriptors)?;
    let ours = set.file.iter().filter(|file| !file.package().starts_with("google."));
    Ok(ours.map(api).collect())
}

/// The comments of one file, by path.
struct Comments<'a>(&'a FileDescriptorProto);

impl Comments<'_> {
    fn at(&self, path: &[i32]) -> String {
        let locations = self.0.source_code_info.iter().flat_map(|info| &info.location);
        let mut texts = locations.filter(|location| location.path == path).map(|location| {
            let own = [location.leading_comments(), location.trailing_comments()];
            own.concat()
        });
        clean(&texts.next().unwrap_or_default())
    }

    /// What stands before `syntax`, set off from it or not.
    fn of_file(&self) -> String {
        let locations = self.0.source_code_info.iter().flat_map(|info| &info.location);
        let head = locations.filter(|location| location.path == [12]);
        let texts = head.flat_map(|location| {
            location
                .leading_detached_comments
                .iter()
                .cloned()
                .chain(location.leading_comments.clone())
        });
        clean(&texts.collect::<Vec<_>>().join("\n"))
    }
}

/// Without the blank after `//`, and without blank lines at both ends.
fn clean(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn number(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

fn api(file: &FileDescriptorProto) -> Api {
    let comments = Comments(file);
    let mut api = Api {
        package: file.package().to_owned(),
        comment: comments.of_file(),
        ..Api::default()
    };
    for (index, service) in file.service.iter().enumerate() {
        let path = [6, number(index)];
        let methods = service.method.iter().enumerate().map(|(index, method)| Method {
            name: method.name().to_owned(),
            comment: comments.at(&[path[0], path[1], 2, number(index)]),
            input: (absolute(method.input_type()), method.client_streaming()),
            output: (absolute(method.output_type()), method.server_streaming()),
        });
        api.services.push(Service {
            name: format!("{}.{}", file.package(), service.name()),
            comment: comments.at(&path),
            methods: methods.collect(),
        });
    }
    for (index, message) in file.message_type.iter().enumerate() {
        add_message(&mut api, &comments, file.package(), message, &[4, number(index)]);
    }
    for (index, enumeration) in file.enum_type.iter().enumerate() {
        add_enumeration(&mut api, &comments, file.package(), enumeration, &[5, number(index)]);
    }
    api
}

fn add_message(api: &mut Api, comments: &Comments, parent: &str, message: &DescriptorProto, path: &[i32]) {
    let name = format!("{parent}.{}", message.name());
    let inside = |kind, index| [path, &[kind, number(index)]].concat();
    let fields = message.field.iter().enumerate().map(|(index, field)| {
        let map = entry_of(message, &name, field);
        Field {
            name: field.name().to_owned(),
            number: field.number(),
            kind: map.map_or_else(|| kind(field), map_kind),
            cardinality: match (map, field.label()) {
                (Some(_), _) => Cardinality::Map,
                (_, Label::Repeated) => Cardinality::Repeated,
                _ if field.proto3_optional() => Cardinality::Optional,
                _ => Cardinality::Singular,
            },
            oneof: field
                .oneof_index
                .filter(|_| !field.proto3_optional())
                .and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?))
                .map(|oneof| oneof.name().to_owned()),
            comment: comments.at(&inside(2, index)),
            deprecated: field.options.as_ref().is_some_and(|options| options.deprecated()),
        }
    });
    let numbers = message.reserved_range.iter();
    api.messages.push(Message {
        comment: comments.at(path),
        fields: fields.collect(),
        reserved: (
            numbers.map(|range| (range.start(), range.end() - 1)).collect(),
            message.reserved_name.clone(),
        ),
        name: name.clone(),
    });
    for (index, nested) in message.nested_type.iter().enumerate() {
        if !nested.options.as_ref().is_some_and(|options| options.map_entry()) {
            add_message(api, comments, &name, nested, &inside(3, index));
        }
    }
    for (index, nested) in message.enum_type.iter().enumerate() {
        add_enumeration(api, comments, &name, nested, &inside(4, index));
    }
}

fn add_enumeration(api: &mut Api, comments: &Comments, parent: &str, of: &EnumDescriptorProto, path: &[i32]) {
    let values = of.value.iter().enumerate().map(|(index, value)| Value {
        name: value.name().to_owned(),
        number: value.number(),
        comment: comments.at(&[path, &[2, number(index)]].concat()),
    });
    api.enumerations.push(Enumeration {
        name: format!("{parent}.{}", of.name()),
        comment: comments.at(path),
        values: values.collect(),
    });
}

/// The message that holds key and value, if the field is a map.
fn entry_of<'a>(message: &'a DescriptorProto, name: &str, field: &FieldDescriptorProto) -> Option<&'a DescriptorProto> {
    let mut nested = message.nested_type.iter();
    let of = absolute(field.type_name());
    nested.find(|nested| {
        nested.options.as_ref().is_some_and(|options| options.map_entry()) && of == format!("{name}.{}", nested.name())
    })
}

fn map_kind(entry: &DescriptorProto) -> String {
    let kinds: Vec<_> = entry.field.iter().map(kind).collect();
    format!("map<{}>", kinds.join(","))
}

fn kind(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum | Type::Group => absolute(field.type_name()),
        other => other.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

fn absolute(name: &str) -> String {
    name.trim_start_matches('.').to_owned()
}
