//! Any text as the filter of a capture, over any packet.
//!
//! The first byte chooses how the text is made and how much of the rest it is: plain text, or words of the language by number, so that long
//! expressions that mean something are reached. What is refused is refused at a column that is there. What is read says the same of a packet
//! however it is asked, and its opposite is its opposite.

use vrouter_dataplane::tap::filter::Filter;

/// Words of the language.
const WORDS: [&str; 64] = [
    "host",
    "net",
    "port",
    "portrange",
    "proto",
    "src",
    "dst",
    "ip",
    "ip6",
    "arp",
    "rarp",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "igmp",
    "esp",
    "ether",
    "vlan",
    "vni",
    "label",
    "less",
    "greater",
    "and",
    "or",
    "not",
    "(",
    ")",
    "!",
    "&&",
    "||",
    "10.0.0.1",
    "10.0.0.0/24",
    "fd00:1::1",
    "fd00:1::/64",
    "02:00:00:00:00:01",
    "53",
    "80-443",
    "0x800",
    "443",
    "5000",
    "100",
    "10",
    "http",
    "10.1",
    "::",
    "0/0",
    "0",
    "1",
    "4789",
    "6635",
    "src or dst",
    "src and dst",
    "tcp port",
    "udp port",
    "dst net",
    "src host",
    "ip proto",
    "ip6 proto",
    "ether host",
    "ether proto",
    "net 10",
    "::/0",
];

/// Checks one text and one packet. Gives whether the text is a filter, and whether it wants the packet.
///
/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) -> Option<bool> {
    let (&choice, rest) = bytes.split_first()?;
    let (text, packet) = rest.split_at((usize::from(choice & 0x7f)).min(rest.len()));
    let text = if choice & 0x80 == 0 {
        String::from_utf8_lossy(text).into_owned()
    } else {
        let words: Vec<_> = text.iter().map(|word| WORDS[usize::from(word & 63)]).collect();
        words.join(" ")
    };
    let filter = match Filter::new(&text) {
        Ok(filter) => filter,
        Err(error) => {
            assert!(
                (1..=text.chars().count() + 1).contains(&error.column),
                "{text:?}: {error}"
            );
            assert!(!error.message.is_empty());
            return None;
        }
    };
    let wanted = filter.matches(packet);
    assert_eq!(filter.matches(packet), wanted, "{text:?} of the same packet");
    // Longer, it may be more than an expression may be.
    if let Ok(opposite) = Filter::new(&format!("not ({text})")) {
        assert_eq!(opposite.matches(packet), !wanted, "{text:?} turned round");
    }
    if let Ok(twice) = Filter::new(&format!("({text}) and not not ({text})")) {
        // A tag or tunnel in the first half is looked behind in the second.
        let looks_behind = ["vlan", "vni", "label"].iter().any(|word| text.contains(word));
        assert!(looks_behind || twice.matches(packet) == wanted, "{text:?} twice");
    }
    Some(wanted)
}

/// As [`run`].
///
/// # Panics
/// When a property does not hold.
pub fn check(bytes: &[u8]) {
    run(bytes);
}
