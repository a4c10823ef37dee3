//! Messages: a header, and sets of templates and records, not longer than a path carries.

use super::{
    record::{ExporterRecord, FlowRecord, NameRecord},
    template::{self, Template},
};

/// Longest message, bytes: with headers of UDP and IPv6 it fits the smallest IPv6 path, so that it is never fragmented.
pub const MAX_MESSAGE: usize = 1232;

/// Version of IPFIX.
const VERSION: u16 = 10;
const HEADER: usize = 16;
const SET_HEADER: usize = 4;
/// Identifier of a set of templates.
const TEMPLATE_SET: u16 = 2;
/// Identifier of a set of templates with a scope.
const OPTIONS_SET: u16 = 3;

/// Makes the messages of one stream of records to one collector.
#[derive(Debug)]
pub struct Exporter {
    domain: u32,
    /// Data records before the message under way: the header's sequence number.
    sequence: u32,
    /// Data records of the message under way.
    records: u32,
    message: Vec<u8>,
    /// Where the set under way begins, and its identifier.
    set: Option<(usize, u16)>,
    done: Vec<Vec<u8>>,
}

impl Exporter {
    /// For records of this observation domain.
    pub fn new(domain: u32) -> Self {
        Self {
            domain,
            sequence: 0,
            records: 0,
            message: Vec::with_capacity(MAX_MESSAGE),
            set: None,
            done: Vec::new(),
        }
    }

    /// All templates. To be sent first, and again from time to time: UDP loses messages, and collectors begin anew.
    pub fn templates(&mut self) {
        for template in template::ALL {
            let mut bytes = Vec::new();
            bytes.extend(template.id.to_be_bytes());
            let count = template.elements().count() as u16;
            bytes.extend(count.to_be_bytes());
            if template.scope > 0 {
                bytes.extend(template.scope.to_be_bytes());
            }
            for element in template.elements() {
                bytes.extend(element.id.to_be_bytes());
                bytes.extend(element.length.to_be_bytes());
            }
            let set = if template.scope > 0 { OPTIONS_SET } else { TEMPLATE_SET };
            self.put(set, &bytes, false);
        }
    }

    /// One record of a flow.
    pub fn flow(&mut self, record: &FlowRecord) {
        let template = record.template();
        let mut bytes = Vec::with_capacity(template.length());
        record.write(&mut bytes);
        self.put(template.id, &bytes, true);
    }

    /// What the exporter says of itself.
    pub fn exporter(&mut self, record: &ExporterRecord) {
        let mut bytes = Vec::with_capacity(template::EXPORTER.length());
        record.write(self.domain, &mut bytes);
        self.put(template::EXPORTER.id, &bytes, true);
    }

    /// The name of something.
    pub fn name(&mut self, record: &NameRecord) {
        let template: &Template = record.template();
        let mut bytes = Vec::new();
        record.write(&mut bytes);
        self.put(template.id, &bytes, true);
    }

    /// Adds a record (or template) to its set, in a new message where it does not fit.
    fn put(&mut self, set: u16, bytes: &[u8], data: bool) {
        let open = self.set.is_some_and(|(_, open)| open == set);
        let needed = bytes.len() + if open { 0 } else { SET_HEADER };
        if self.message.len() + needed > MAX_MESSAGE {
            self.close();
        }
        if self.message.is_empty() {
            // Filled in when it is closed.
            self.message.extend([0; HEADER]);
        }
        if self.set.is_none_or(|(_, open)| open != set) {
            self.close_set();
            self.set = Some((self.message.len(), set));
            self.message.extend(set.to_be_bytes());
            self.message.extend([0; 2]);
        }
        self.message.extend(bytes);
        self.records += u32::from(data);
    }

    fn close_set(&mut self) {
        if let Some((begin, _)) = self.set.take() {
            let length = (self.message.len() - begin) as u16;
            self.message[begin + 2..begin + 4].copy_from_slice(&length.to_be_bytes());
        }
    }

    fn close(&mut self) {
        self.close_set();
        if self.message.is_empty() {
            return;
        }
        let length = self.message.len() as u16;
        self.message[..2].copy_from_slice(&VERSION.to_be_bytes());
        self.message[2..4].copy_from_slice(&length.to_be_bytes());
        self.message[8..12].copy_from_slice(&self.sequence.to_be_bytes());
        self.message[12..16].copy_from_slice(&self.domain.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(self.records);
        self.records = 0;
        self.done
            .push(std::mem::replace(&mut self.message, Vec::with_capacity(MAX_MESSAGE)));
    }

    /// All messages with what was added, to be sent in their order. `now`: seconds since 1970.
    pub fn take(&mut self, now: u32) -> Vec<Vec<u8>> {
        self.close();
        let mut messages = std::mem::take(&mut self.done);
        for message in &mut messages {
            message[4..8].copy_from_slice(&now.to_be_bytes());
        }
        messages
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
