//! Where a capture is written: standard output, a file, or one file after the other.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{
    event::{Packet, Port, Statistics},
    pcapng::{self, Counts, Direction, Writer},
};
use crate::failure::Failure;

/// Where to, and when the next file begins.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// `None`: standard output.
    pub(super) path: Option<PathBuf>,
    /// Bytes after which the next file begins; 0: never.
    pub(super) size: u64,
    /// Files that are kept; 0: all.
    pub(super) files: u32,
}

/// What is told of all files.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) comment: String,
    pub(super) filter: String,
    pub(super) snap: u32,
}

/// A port in a file, and what was written of it.
#[derive(Debug)]
struct Interface {
    port: Port,
    number: u32,
    written: u64,
}

/// A capture being written.
pub(super) struct Files {
    target: Target,
    about: About,
    writer: Writer<Box<dyn Write>>,
    interfaces: Vec<Interface>,
    /// Number of the file, from 0.
    number: u32,
    /// Copies lost so far, and those that were told of.
    lost: u64,
    lost_told: u64,
}

impl Files {
    pub(super) fn create(target: Target, about: About) -> Result<Self, Failure> {
        let writer = open(&target, &about, 0)?;
        Ok(Self {
            target,
            about,
            writer,
            interfaces: Vec::new(),
            number: 0,
            lost: 0,
            lost_told: 0,
        })
    }

    /// A port that packets will be of.
    pub(super) fn port(&mut self, port: Port) -> Result<(), Failure> {
        let number = self.describe(&port)?;
        self.interfaces.push(Interface {
            port,
            number,
            written: 0,
        });
        Ok(())
    }

    fn describe(&mut self, port: &Port) -> Result<u32, Failure> {
        Ok(self
            .writer
            .interface(&port.name, &port.description, self.about.snap, &self.about.filter)?)
    }

    pub(super) fn packet(&mut self, packet: &Packet) -> Result<(), Failure> {
        if self.target.size > 0 && self.writer.written() >= self.target.size {
            self.next_file(packet.time)?;
        }
        if !self.interfaces.iter().any(|interface| interface.port.id == packet.port) {
            // Its port went before anything was told of it.
            self.port(Port::unknown(packet.port))?;
        }
        let Some(interface) = self
            .interfaces
            .iter_mut()
            .find(|interface| interface.port.id == packet.port)
        else {
            return Ok(());
        };
        interface.written += 1;
        self.writer.packet(&pcapng::Packet {
            interface: interface.number,
            time: packet.time,
            length: packet.length,
            data: &packet.data,
            direction: match packet.is_out() {
                Some(false) => Direction::Inbound,
                Some(true) => Direction::Outbound,
                None => Direction::Unknown,
            },
            lost: self.lost - self.lost_told,
            comment: &packet.comment(),
        })?;
        self.lost_told = self.lost;
        Ok(())
    }

    /// How many there were and were lost so far.
    pub(super) fn statistics(&mut self, statistics: &Statistics) {
        self.lost = self.lost.max(statistics.lost);
    }

    /// Hands on what there is.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.writer.flush()?)
    }

    /// Ends the file: with counts of all its ports. What was lost is counted for all of them together, and stands at the first.
    pub(super) fn end(&mut self, now: u64) -> Result<(), Failure> {
        let mut lost = self.lost;
        for interface in &self.interfaces {
            let counts = Counts {
                accepted: interface.written + lost,
                lost: std::mem::take(&mut lost),
                written: interface.written,
            };
            self.writer.statistics(interface.number, now, &counts)?;
        }
        self.flush()
    }

    fn next_file(&mut self, now: u64) -> Result<(), Failure> {
        self.end(now)?;
        self.number += 1;
        if self.target.files > 0 {
            self.number %= self.target.files;
        }
        self.writer = open(&self.target, &self.about, self.number)?;
        for mut interface in std::mem::take(&mut self.interfaces) {
            interface.number = self.describe(&interface.port)?;
            interface.written = 0;
            self.interfaces.push(interface);
        }
        Ok(())
    }
}

fn open(target: &Target, about: &About, number: u32) -> Result<Writer<Box<dyn Write>>, Failure> {
    let out: Box<dyn Write> = match &target.path {
        None => Box::new(BufWriter::new(io::stdout().lock())),
        Some(path) => {
            let path = name(target, path, number);
            let file = File::create(&path)
                .map_err(|error| Failure::Usage(format!("-w {}: cannot be written: {error}", path.display())))?;
            Box::new(BufWriter::new(file))
        }
    };
    let program = concat!("vrctl ", env!("CARGO_PKG_VERSION"));
    Ok(Writer::new(out, program, &about.comment)?)
}

/// As tcpdump names them: FILE, FILE1, FILE2 ...; where only some are kept FILE0, FILE1 ..., with as many digits as the last has.
fn name(target: &Target, path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    if target.size > 0 && target.files > 0 {
        let digits = (target.files - 1).to_string().len();
        name.push(format!("{number:0digits$}"));
    } else if number > 0 {
        name.push(number.to_string());
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_tcpdump_names_them() {
        let target = |size, files| Target {
            path: None,
            size,
            files,
        };
        let names =
            |target: &Target| [0, 1, 7].map(|number| name(target, Path::new("a.pcapng"), number).display().to_string());
        assert_eq!(names(&target(0, 0)), ["a.pcapng", "a.pcapng1", "a.pcapng7"]);
        assert_eq!(names(&target(1000, 12)), ["a.pcapng00", "a.pcapng01", "a.pcapng07"]);
    }

    #[test]
    fn a_full_file_is_followed_by_the_next_and_only_so_many_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c");
        let target = Target {
            path: Some(path.clone()),
            size: 1000,
            files: 2,
        };
        let about = About {
            comment: String::new(),
            filter: String::new(),
            snap: 0,
        };
        let mut files = Files::create(target, about).unwrap();
        files.port(Port::unknown(4)).unwrap();
        for time in 0..10 {
            let packet = Packet {
                time,
                port: 4,
                length: 400,
                data: vec![0; 400],
                ..Packet::default()
            };
            files.packet(&packet).unwrap();
        }
        files.end(10).unwrap();
        let mut times = Vec::new();
        for name in ["c0", "c1"] {
            let bytes = std::fs::read(directory.path().join(name)).unwrap();
            let mut reader = pcap_file::pcapng::PcapNgReader::new(&bytes[..]).unwrap();
            while let Some(block) = reader.next_block() {
                if let pcap_file::pcapng::Block::EnhancedPacket(packet) = block.unwrap() {
                    times.push(packet.timestamp.as_nanos());
                }
            }
        }
        times.sort_unstable();
        assert!(times.len() >= 3 && times.len() <= 6, "{times:?}");
        assert_eq!(times.last(), Some(&9));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
