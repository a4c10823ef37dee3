//! Packets of a capture file, pcap or pcapng, to be sent again.

use std::{fs::File, io, io::BufReader, io::Read, io::Seek, path::Path};

use pcap_file::{
    DataLink, PcapError,
    pcap::PcapReader,
    pcapng::{Block, PcapNgReader, blocks::interface_description::InterfaceDescriptionOption},
};
use vrouter_dataplane::wire::{Mac, eth, ethertype};

/// The first bytes of a pcapng file.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Nanoseconds per second.
const SECOND: u64 = 1_000_000_000;

/// Why a capture cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Cannot be opened or read.
    #[error("{file}: {source}")]
    File {
        /// Its name.
        file: String,
        /// The system's word.
        source: io::Error,
    },
    /// Cannot be understood.
    #[error("{file}: packet {packet}: {reason}: is it a pcap or pcapng file, and whole?")]
    Format {
        /// Its name.
        file: String,
        /// Packets that were read before, and one.
        packet: usize,
        /// What is wrong.
        reason: String,
    },
    /// Neither Ethernet nor IP.
    #[error("{file}: a capture of {link:?}: only Ethernet and raw IP can be replayed")]
    Link {
        /// Its name.
        file: String,
        /// Its link type.
        link: DataLink,
    },
    /// IP without Ethernet.
    #[error("{file}: a capture of raw IP: --to-mac must say where to send its packets")]
    NoMac {
        /// Its name.
        file: String,
    },
    /// No packet.
    #[error("{file}: no packet in it")]
    Empty {
        /// Its name.
        file: String,
    },
}

/// What to change of the packets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rewrite {
    /// Ethernet destination; none: as captured.
    pub to_mac: Option<Mac>,
    /// Ethernet source; none: as captured.
    pub from_mac: Option<Mac>,
    /// Source for packets that were captured without Ethernet, if nothing else is said.
    pub own_mac: Mac,
}

/// Packets with their times.
#[derive(Debug, Clone)]
pub struct Replay {
    /// One behind the other.
    bytes: Vec<u8>,
    packets: Vec<Packet>,
    /// How many of them the capture had cut.
    pub cut: usize,
    /// From the first packet of one turn to the first of the next, nanoseconds.
    turn: u64,
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    at: usize,
    len: usize,
    /// Nanoseconds after the first.
    time: u64,
}

/// What is being read.
struct Loading<'a> {
    file: &'a str,
    rewrite: &'a Rewrite,
    replay: Replay,
    first: Option<u64>,
}

impl Replay {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn load(path: &Path, rewrite: &Rewrite) -> Result<Self, ReplayError> {
        let file = path.display().to_string();
        let failed = |source| ReplayError::File {
            file: file.clone(),
            source,
        };
        let mut open = File::open(path).map_err(failed)?;
        let mut magic = [0; 4];
        open.read_exact(&mut magic).map_err(failed)?;
        open.rewind().map_err(failed)?;
        let mut loading = Loading {
            file: &file,
            rewrite,
            replay: Self {
                bytes: Vec::new(),
                packets: Vec::new(),
                cut: 0,
                turn: 0,
            },
            first: None,
        };
        let reader = BufReader::new(open);
        if magic == PCAPNG {
            loading.read_pcapng(reader)?;
        } else {
            loading.read_pcap(reader)?;
        }
        let mut replay = loading.replay;
        let Some(last) = replay.packets.last() else {
            return Err(ReplayError::Empty { file });
        };
        // Behind the last packet of a turn comes what came on average between two.
        let gaps = (replay.packets.len() as u64 - 1).max(1);
        replay.turn = last.time.saturating_add((last.time / gaps).max(1));
        Ok(replay)
    }

    /// Packets of one turn: at least one.
    pub fn count(&self) -> u64 {
        self.packets.len() as u64
    }

    /// The packet with this number, when all are sent again and again.
    pub fn packet(&self, number: u64) -> &[u8] {
        let packet = self.packets.get((number % self.count()) as usize);
        packet
            .and_then(|packet| self.bytes.get(packet.at..packet.at + packet.len))
            .unwrap_or_default()
    }

    /// When it is due, nanoseconds after packet 0.
    pub fn time(&self, number: u64) -> u64 {
        let packet = self.packets.get((number % self.count()) as usize);
        packet.map_or(0, |packet| {
            (number / self.count())
                .saturating_mul(self.turn)
                .saturating_add(packet.time)
        })
    }
}

impl Loading<'_> {
    fn broken(&self, error: &PcapError) -> ReplayError {
        let file = self.file.to_owned();
        match error {
            PcapError::IoError(source) if source.kind() != io::ErrorKind::UnexpectedEof => ReplayError::File {
                file,
                source: io::Error::new(source.kind(), source.to_string()),
            },
            other => ReplayError::Format {
                file,
                packet: self.replay.packets.len() + 1,
                reason: match other {
                    PcapError::IoError(_) => "the file ends in the midst of it".to_owned(),
                    other => other.to_string(),
                },
            },
        }
    }

    fn read_pcap(&mut self, reader: impl Read) -> Result<(), ReplayError> {
        let mut reader = PcapReader::new(reader).map_err(|error| self.broken(&error))?;
        let link = reader.header().datalink;
        while let Some(packet) = reader.next_packet() {
            let packet = packet.map_err(|error| self.broken(&error))?;
            let time = u64::try_from(packet.timestamp.as_nanos()).unwrap_or(u64::MAX);
            self.add(link, time, &packet.data, packet.orig_len)?;
        }
        Ok(())
    }

    fn read_pcapng(&mut self, reader: impl Read) -> Result<(), ReplayError> {
        let mut reader = PcapNgReader::new(reader).map_err(|error| self.broken(&error))?;
        // The interfaces of the section: link type, units of time per second.
        let mut interfaces: Vec<(DataLink, u64)> = Vec::new();
        while let Some(block) = reader.next_block() {
            let block = block.map_err(|error| self.broken(&error))?;
            let (interface, units, data, original) = match block {
                Block::SectionHeader(_) => {
                    interfaces.clear();
                    continue;
                }
                Block::InterfaceDescription(interface) => {
                    let resolution = interface.options.iter().find_map(|option| match option {
                        InterfaceDescriptionOption::IfTsResol(resolution) => Some(*resolution),
                        _ => None,
                    });
                    interfaces.push((interface.linktype, units_per_second(resolution)));
                    continue;
                }
                Block::EnhancedPacket(packet) => {
                    // The library takes all units for nanoseconds.
                    let units = u64::try_from(packet.timestamp.as_nanos()).unwrap_or(u64::MAX);
                    (
                        packet.interface_id as usize,
                        Some(units),
                        packet.data,
                        packet.original_len,
                    )
                }
                Block::Packet(packet) => (
                    usize::from(packet.interface_id),
                    Some(packet.timestamp),
                    packet.data,
                    packet.original_len,
                ),
                Block::SimplePacket(packet) => (0, None, packet.data, packet.original_len),
                _ => continue,
            };
            let Some((link, per_second)) = interfaces.get(interface) else {
                return Err(self.broken(&PcapError::InvalidInterfaceId(interface as u32)));
            };
            let time = units.map_or(0, |units| {
                let time = u128::from(units) * u128::from(SECOND) / u128::from(*per_second);
                u64::try_from(time).unwrap_or(u64::MAX)
            });
            // What pads a simple block is not told apart otherwise.
            let data = data.get(..original as usize).unwrap_or(&data);
            self.add(*link, time, data, original)?;
        }
        Ok(())
    }

    fn add(&mut self, link: DataLink, time: u64, data: &[u8], original: u32) -> Result<(), ReplayError> {
        let at = self.replay.bytes.len();
        match link {
            DataLink::ETHERNET => {
                self.replay.bytes.extend(data);
                let macs = [(0, self.rewrite.to_mac), (6, self.rewrite.from_mac)];
                for (field, mac) in macs.into_iter().filter_map(|(field, mac)| Some((at + field, mac?))) {
                    if let Some(place) = self.replay.bytes.get_mut(field..field + 6) {
                        place.copy_from_slice(&mac.0);
                    }
                }
            }
            DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => {
                let Some(to_mac) = self.rewrite.to_mac else {
                    return Err(ReplayError::NoMac {
                        file: self.file.to_owned(),
                    });
                };
                let ethertype = match data.first().map(|byte| byte >> 4) {
                    Some(6) => ethertype::IPV6,
                    _ => ethertype::IPV4,
                };
                let from_mac = self.rewrite.from_mac.unwrap_or(self.rewrite.own_mac);
                self.replay.bytes.extend(eth::header(to_mac, from_mac, ethertype));
                self.replay.bytes.extend(data);
            }
            link => {
                return Err(ReplayError::Link {
                    file: self.file.to_owned(),
                    link,
                });
            }
        }
        let len = self.replay.bytes.len() - at;
        if len < eth::HEADER_LEN {
            // No frame at all: no interface would send it.
            self.replay.bytes.truncate(at);
            self.replay.cut += 1;
            return Ok(());
        }
        self.replay.cut += usize::from(data.len() < original as usize);
        let first = *self.first.get_or_insert(time);
        // Captures of several queues are in order almost, but not always.
        let before = self.replay.packets.last().map_or(0, |packet| packet.time);
        let time = time.saturating_sub(first).max(before);
        self.replay.packets.push(Packet { at, len, time });
        Ok(())
    }
}

/// How many units of time a second has, from pcapng's if_tsresol: a power of ten, or of two where the highest bit is set.
fn units_per_second(resolution: Option<u8>) -> u64 {
    let units = match resolution {
        None => Some(1_000_000),
        Some(two) if two & 0x80 != 0 => 1u64.checked_shl(u32::from(two & 0x7f)),
        Some(ten) => 10u64.checked_pow(u32::from(ten)),
    };
    units.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_file::{
        Endianness, TsResolution,
        pcap::{PcapHeader, PcapPacket, PcapWriter},
        pcapng::{
            PcapNgWriter,
            blocks::{
                enhanced_packet::EnhancedPacketBlock, interface_description::InterfaceDescriptionBlock,
                simple_packet::SimplePacketBlock,
            },
        },
    };
    use proptest::prelude::*;
    use std::{path::PathBuf, time::Duration};

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn frame(number: u8) -> Vec<u8> {
        (0..60 + number % 40).map(|n| n.wrapping_add(number)).collect()
    }

    fn rewrite() -> Rewrite {
        Rewrite {
            own_mac: OWN,
            ..Rewrite::default()
        }
    }

    fn pcap(dir: &tempfile::TempDir, link: DataLink, packets: &[(u64, Vec<u8>)]) -> PathBuf {
        let path = dir.path().join("t.pcap");
        let header = PcapHeader {
            datalink: link,
            ts_resolution: TsResolution::NanoSecond,
            endianness: Endianness::Big,
            ..PcapHeader::default()
        };
        let mut writer = PcapWriter::with_header(File::create(&path).unwrap(), header).unwrap();
        for (time, data) in packets {
            let packet = PcapPacket::new(Duration::from_nanos(*time), data.len() as u32, data);
            writer.write_packet(&packet).unwrap();
        }
        path
    }

    #[test]
    fn pcap_comes_back_with_times_and_turns() {
        let dir = tempfile::tempdir().unwrap();
        let start = 1_700_000_000_000_000_000;
        let packets: Vec<_> = [0u64, 1000, 3000]
            .iter()
            .map(|t| (start + t, frame(*t as u8)))
            .collect();
        let path = pcap(&dir, DataLink::ETHERNET, &packets);
        let replay = Replay::load(&path, &rewrite()).unwrap();
        assert_eq!((replay.count(), replay.cut), (3, 0));
        for (number, (_, data)) in packets.iter().enumerate() {
            assert_eq!(replay.packet(number as u64), data);
            assert_eq!(replay.packet(number as u64 + 9), data);
        }
        let times: Vec<_> = (0..7).map(|number| replay.time(number)).collect();
        assert_eq!(
            times,
            [0, 1000, 3000, 4500, 5500, 7500, 9000],
            "the mean gap between turns"
        );
    }

    #[test]
    fn addresses_can_be_changed_and_raw_ip_gets_them() {
        let dir = tempfile::tempdir().unwrap();
        let to = Rewrite {
            to_mac: Some(Mac([4; 6])),
            ..rewrite()
        };
        let path = pcap(&dir, DataLink::ETHERNET, &[(0, frame(0))]);
        let replay = Replay::load(&path, &to).unwrap();
        assert_eq!(replay.packet(0)[..6], [4; 6]);
        assert_eq!(replay.packet(0)[6..], frame(0)[6..]);

        let (v4, v6) = (vec![0x45; 20], vec![0x60; 40]);
        let path = pcap(&dir, DataLink::RAW, &[(0, v4.clone()), (0, v6.clone())]);
        let replay = Replay::load(&path, &to).unwrap();
        assert_eq!(replay.packet(0)[..14], eth::header(Mac([4; 6]), OWN, ethertype::IPV4));
        assert_eq!(replay.packet(1)[12..14], [0x86, 0xdd]);
        assert_eq!((&replay.packet(0)[14..], &replay.packet(1)[14..]), (&v4[..], &v6[..]));
        let error = Replay::load(&path, &rewrite()).unwrap_err().to_string();
        assert!(error.contains("--to-mac"), "{error}");
    }

    #[test]
    fn pcapng_has_its_own_units_of_time() {
        let dir = tempfile::tempdir().unwrap();
        for (resolution, units) in [(None, 2_000_000), (Some(9), 2_000_000_000), (Some(0x80 | 10), 2048)] {
            let path = dir.path().join("t.pcapng");
            let mut writer = PcapNgWriter::new(File::create(&path).unwrap()).unwrap();
            let mut interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0xffff);
            interface
                .options
                .extend(resolution.map(InterfaceDescriptionOption::IfTsResol));
            writer.write_pcapng_block(interface).unwrap();
            for (number, units) in [(0, 0), (1, units)] {
                let data = frame(number);
                writer
                    .write_pcapng_block(EnhancedPacketBlock {
                        interface_id: 0,
                        timestamp: Duration::from_nanos(units),
                        original_len: 100,
                        data: data.into(),
                        options: Vec::new(),
                    })
                    .unwrap();
            }
            let data = frame(1);
            writer
                .write_pcapng_block(SimplePacketBlock {
                    original_len: 61,
                    data: data.into(),
                })
                .unwrap();
            let replay = Replay::load(&path, &rewrite()).unwrap();
            assert_eq!((replay.count(), replay.cut), (3, 2));
            assert_eq!((replay.packet(0), replay.packet(2)), (&frame(0)[..], &frame(1)[..]));
            assert_eq!(
                (replay.time(1), replay.time(2)),
                (2_000_000_000, 2_000_000_000),
                "a simple block has no time: at once"
            );
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let error = |path: &Path| Replay::load(path, &rewrite()).unwrap_err().to_string();
        let none = error(Path::new("/nowhere/t.pcap"));
        assert!(none.starts_with("/nowhere/t.pcap: No such file"), "{none}");
        let path = pcap(&dir, DataLink::ETHERNET, &[]);
        assert!(error(&path).ends_with("no packet in it"));
        let path = pcap(&dir, DataLink::IEEE802_11, &[(0, frame(0))]);
        assert!(error(&path).contains("only Ethernet and raw IP"), "{}", error(&path));
        let path = pcap(&dir, DataLink::ETHERNET, &[(0, frame(0)), (1, frame(1))]);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 10]).unwrap();
        assert!(error(&path).contains("packet 2"), "{}", error(&path));
        std::fs::write(&path, b"hello, this is no capture").unwrap();
        assert!(error(&path).contains("is it a pcap or pcapng file"), "{}", error(&path));
    }

    proptest! {
        /// Whatever is in a file: packets, or an error, but no panic.
        #[test]
        fn no_file_breaks_it(
            ng: bool,
            cut in 0usize..400,
            changes in prop::collection::vec((0usize..300, any::<u8>()), 0..12),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = pcap(&dir, DataLink::ETHERNET, &[(0, frame(0)), (5, frame(1)), (7, frame(2))]);
            if ng {
                let mut writer = PcapNgWriter::new(File::create(&path).unwrap()).unwrap();
                let mut interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0xffff);
                interface.options.push(InterfaceDescriptionOption::IfTsResol(6));
                writer.write_pcapng_block(interface).unwrap();
                for number in 0..3 {
                    writer.write_pcapng_block(EnhancedPacketBlock {
                        interface_id: 0,
                        timestamp: Duration::from_nanos(number),
                        original_len: 60,
                        data: frame(number as u8).into(),
                        options: Vec::new(),
                    }).unwrap();
                }
            }
            let mut bytes = std::fs::read(&path).unwrap();
            for (at, byte) in changes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            bytes.truncate(cut.max(5));
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(replay) = Replay::load(&path, &rewrite()) {
                prop_assert!((0..replay.count() * 2).all(|number| replay.packet(number).len() >= eth::HEADER_LEN));
                prop_assert!((0..replay.count() * 2).map(|number| replay.time(number)).is_sorted());
            }
        }
    }
}
