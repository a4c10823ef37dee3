//! Packets that people give: hexadecimal digits, or one of a capture file.

use std::{fs::File, io::Read as _, path::Path};

use pcap_file::{DataLink, pcap::PcapReader, pcapng::PcapNgReader};

use crate::failure::Failure;

/// Largest packet that is taken, bytes.
const MAX: usize = 65_535;

/// A frame written as hexadecimal digits; blanks, colons and line ends between them do not count.
pub(super) fn from_hex(text: &str) -> Result<Vec<u8>, Failure> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b':')
        .collect();
    let refused = |what: String| {
        Failure::Usage(format!(
            "--hex: {what}; a whole frame is wanted, from its Ethernet header on"
        ))
    };
    if digits.len() % 2 == 1 {
        return Err(refused(format!("{} digits are no whole bytes", digits.len())));
    }
    let byte = |pair: &[u8]| {
        std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    let frame: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    match frame {
        Some(frame) if !frame.is_empty() && frame.len() <= MAX => Ok(frame),
        Some(frame) => Err(refused(format!("{} bytes are no frame", frame.len()))),
        None => Err(refused("there is something that is no hexadecimal digit".to_owned())),
    }
}

/// Frame `number` (from 1) of a pcap or pcapng file of Ethernet frames.
pub(super) fn from_file(path: &Path, number: usize) -> Result<Vec<u8>, Failure> {
    let refused = |what: String| Failure::Usage(format!("--pcap {}: {what}", path.display()));
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|error| refused(error.to_string()))?;
    let frames = read(&bytes).map_err(&refused)?;
    let count = frames.len();
    frames
        .into_iter()
        .nth(number.saturating_sub(1))
        .ok_or_else(|| refused(format!("there is no frame {number}; it has {count}")))
}

/// All Ethernet frames of a capture.
fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let not_ethernet = |link: DataLink| format!("its packets are {link:?}, Ethernet is wanted");
    if let Ok(mut reader) = PcapReader::new(bytes) {
        let link = reader.header().datalink;
        if link != DataLink::ETHERNET {
            return Err(not_ethernet(link));
        }
        let mut frames = Vec::new();
        while let Some(packet) = reader.next_packet() {
            frames.push(packet.map_err(|error| error.to_string())?.data.into_owned());
        }
        return Ok(frames);
    }
    let mut reader = PcapNgReader::new(bytes).map_err(|_| "it is neither pcap nor pcapng".to_owned())?;
    let mut frames = Vec::new();
    while let Some(block) = reader.next_block() {
        let block = block.map_err(|error| error.to_string())?.into_owned();
        if let Some(packet) = block.into_enhanced_packet() {
            let interface = reader.interfaces().get(packet.interface_id as usize);
            match interface.map(|interface| interface.linktype) {
                Some(DataLink::ETHERNET) => frames.push(packet.data.into_owned()),
                Some(link) => return Err(not_ethernet(link)),
                None => return Err("a packet names an interface that the file does not describe".to_owned()),
            }
        }
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use pcap_file::pcap::{PcapPacket, PcapWriter};

    use super::*;

    #[test]
    fn digits_become_bytes() {
        assert_eq!(from_hex("02:00 ff\nA0").unwrap(), [2, 0, 255, 160]);
        for bad in ["", "0", "0g", "+1", "é0"] {
            assert!(
                from_hex(bad).unwrap_err().to_string().contains("Ethernet header"),
                "{bad}"
            );
        }
    }

    #[test]
    fn frames_come_out_of_captures() {
        let mut bytes = Vec::new();
        let mut writer = PcapWriter::new(&mut bytes).unwrap();
        for frame in [[1_u8, 2, 3], [4, 5, 6]] {
            let packet = PcapPacket::new(std::time::Duration::from_secs(1), 3, &frame);
            writer.write_packet(&packet).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pcap");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(from_file(&path, 2).unwrap(), [4, 5, 6]);
        assert!(from_file(&path, 3).unwrap_err().to_string().contains("it has 2"));
        std::fs::write(&path, b"what is this").unwrap();
        assert!(from_file(&path, 1).unwrap_err().to_string().contains("neither"));
        assert!(from_file(&directory.path().join("none"), 1).is_err());
    }
}
