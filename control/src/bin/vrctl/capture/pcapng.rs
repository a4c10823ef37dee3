//! Captures as pcapng files (draft-ietf-opsawg-pcapng): a section, an interface for each port, packets with direction and comments, and counts at
//! the end. Written front to back, so that it goes into a pipe as well.

use std::io::{self, Write};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

const COMMENT: u16 = 1;
/// Ethernet.
const LINK_TYPE: u16 = 1;

/// Which way a packet goes, as seen from the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// In by the port.
    Inbound,
    /// Out by the port.
    Outbound,
    /// Nowhere.
    Unknown,
}

/// A packet to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// Number of the interface, as [`Writer::interface`] gave it.
    pub(super) interface: u32,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    /// Bytes that it had.
    pub(super) length: u32,
    /// Those that are there.
    pub(super) data: &'a [u8],
    pub(super) direction: Direction,
    /// Copies lost since the one before.
    pub(super) lost: u64,
    /// Empty: none.
    pub(super) comment: &'a str,
}

/// Counts of one interface.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Packets that were wanted.
    pub(super) accepted: u64,
    /// Copies lost.
    pub(super) lost: u64,
    /// Packets written.
    pub(super) written: u64,
}

/// Writes one section.
#[derive(Debug)]
pub(super) struct Writer<W> {
    out: W,
    interfaces: u32,
    /// Bytes written.
    written: u64,
}

/// The options of a block.
#[derive(Default)]
struct Options(Vec<u8>);

impl Options {
    fn bytes(mut self, code: u16, value: &[u8]) -> Self {
        // What is longer than an option may be is cut.
        let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
        if !value.is_empty() {
            self.0.extend(code.to_le_bytes());
            self.0.extend((value.len() as u16).to_le_bytes());
            self.0.extend(value);
            pad(&mut self.0);
        }
        self
    }

    fn text(self, code: u16, text: &str) -> Self {
        self.bytes(code, text.as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        if !self.0.is_empty() {
            self.0.extend([0; 4]);
        }
        self.0
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// The two halves of a time, the upper first.
fn time(nanoseconds: u64) -> [u8; 8] {
    let mut bytes = [0; 8];
    let (high, low) = bytes.split_at_mut(4);
    high.copy_from_slice(&((nanoseconds >> 32) as u32).to_le_bytes());
    low.copy_from_slice(&(nanoseconds as u32).to_le_bytes());
    bytes
}

impl<W: Write> Writer<W> {
    /// Begins the section.
    pub(super) fn new(out: W, program: &str, comment: &str) -> io::Result<Self> {
        let mut writer = Self {
            out,
            interfaces: 0,
            written: 0,
        };
        let mut body = Vec::new();
        body.extend(0x1a2b_3c4d_u32.to_le_bytes());
        body.extend(1_u16.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        // Length of the section: unknown.
        body.extend(u64::MAX.to_le_bytes());
        body.extend(
            Options::default()
                .text(COMMENT, comment)
                .text(3, "Linux")
                .text(4, program)
                .end(),
        );
        writer.block(SECTION, &body)?;
        Ok(writer)
    }

    /// Tells of a port. Gives its number in the section.
    pub(super) fn interface(&mut self, name: &str, description: &str, snap: u32, filter: &str) -> io::Result<u32> {
        let mut body = Vec::new();
        body.extend(LINK_TYPE.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        body.extend(snap.to_le_bytes());
        let mut options = Options::default().text(2, name).text(3, description).bytes(9, &[9]);
        if !filter.is_empty() {
            options = options.bytes(11, &[&[0], filter.as_bytes()].concat());
        }
        body.extend(options.end());
        self.block(INTERFACE, &body)?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Writes a packet.
    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let mut body = Vec::with_capacity(packet.data.len() + 64);
        body.extend(packet.interface.to_le_bytes());
        body.extend(time(packet.time));
        body.extend((packet.data.len() as u32).to_le_bytes());
        body.extend(packet.length.max(packet.data.len() as u32).to_le_bytes());
        body.extend(packet.data);
        pad(&mut body);
        let direction: u32 = match packet.direction {
            Direction::Unknown => 0,
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        let mut options = Options::default();
        if direction != 0 {
            options = options.bytes(2, &direction.to_le_bytes());
        }
        if packet.lost > 0 {
            options = options.bytes(4, &packet.lost.to_le_bytes());
        }
        body.extend(options.text(COMMENT, packet.comment).end());
        self.block(PACKET, &body)
    }

    /// Writes the counts of an interface, as they are at a time.
    pub(super) fn statistics(&mut self, interface: u32, now: u64, counts: &Counts) -> io::Result<()> {
        let mut body = Vec::new();
        body.extend(interface.to_le_bytes());
        body.extend(time(now));
        let options = Options::default()
            .bytes(3, &time(now))
            .bytes(6, &counts.accepted.to_le_bytes())
            .bytes(7, &counts.lost.to_le_bytes())
            .bytes(8, &counts.written.to_le_bytes());
        body.extend(options.end());
        self.block(STATISTICS, &body)
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Hands on what has been written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let length = (body.len() + 12) as u32;
        let mut block = Vec::with_capacity(body.len() + 12);
        block.extend(kind.to_le_bytes());
        block.extend(length.to_le_bytes());
        block.extend(body);
        block.extend(length.to_le_bytes());
        self.written += u64::from(length);
        self.out.write_all(&block)
    }
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::{Block, PcapNgReader, blocks::enhanced_packet::EnhancedPacketOption};

    use super::*;

    #[test]
    fn what_is_written_is_read_by_others() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, "vrctl 1", "node node1").unwrap();
        let web = writer
            .interface("blue/web-1", "endpoint blue/web-1", 96, "tcp")
            .unwrap();
        let wire = writer.interface("eth1", "", 0, "").unwrap();
        assert_eq!((web, wire), (0, 1));
        let packet = Packet {
            interface: wire,
            time: 1_700_000_000_123_456_789,
            length: 1500,
            data: &[7; 97],
            direction: Direction::Outbound,
            lost: 3,
            comment: "dropped: no_route vrf blue",
        };
        writer.packet(&packet).unwrap();
        writer
            .statistics(
                wire,
                packet.time,
                &Counts {
                    accepted: 1,
                    lost: 3,
                    written: 1,
                },
            )
            .unwrap();
        let written = writer.written();
        assert_eq!(written, bytes.len() as u64);

        let mut reader = PcapNgReader::new(&bytes[..]).unwrap();
        let mut seen = Vec::new();
        while let Some(block) = reader.next_block() {
            match block.unwrap() {
                Block::InterfaceDescription(block) => seen.push(format!("{} {}", block.snaplen, block.options.len())),
                Block::EnhancedPacket(block) => {
                    assert_eq!(
                        (block.interface_id, block.original_len, &block.data[..]),
                        (1, 1500, &[7; 97][..])
                    );
                    assert_eq!(block.timestamp.as_nanos(), u128::from(packet.time));
                    assert!(block.options.contains(&EnhancedPacketOption::Flags(2)));
                    assert!(block.options.contains(&EnhancedPacketOption::DropCount(3)));
                    assert!(
                        block
                            .options
                            .contains(&EnhancedPacketOption::Comment(packet.comment.into()))
                    );
                    seen.push("packet".into());
                }
                Block::InterfaceStatistics(block) => seen.push(format!("statistics {}", block.interface_id)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, ["96 4", "0 2", "packet", "statistics 1"]);
    }
}
