//! From the words of an expression to a tree.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    MAX_LENGTH,
    layer::{ARP, IPV4, IPV6, RARP, Shift},
    program::LAYERS,
    question::{Carriers, End, Test, Transports, v4, v6},
    token::{Kind, Token, tokens},
};
use crate::wire::{Mac, proto};

/// Most tests of an expression.
const MAX_TESTS: usize = 512;

/// Deepest nesting of parentheses and `not`.
const MAX_DEPTH: usize = 64;

/// Protocols by name.
const PROTOCOLS: [(&str, u8); 10] = [
    ("tcp", proto::TCP),
    ("udp", proto::UDP),
    ("icmp", proto::ICMP),
    ("icmp6", proto::ICMPV6),
    ("sctp", proto::SCTP),
    ("igmp", 2),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ospf", 89),
];

/// Ports by name: those that people write most.
const PORTS: [(&str, u16); 12] = [
    ("ftp", 21),
    ("ssh", 22),
    ("smtp", 25),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("http", 80),
    ("ntp", 123),
    ("bgp", 179),
    ("https", 443),
    ("vxlan", 4789),
    ("mpls-udp", 6635),
];

/// What may begin a test, for those who wrote something else.
const EXPECTED: &str = "a test: host, net, port, portrange, src, dst, ip, ip6, arp, tcp, udp, sctp, icmp, icmp6, proto, ether, vlan, vni, label, \
                        less, greater, an address, not or (";

/// Why an expression is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct FilterError {
    /// The character at fault, from 1 on.
    pub column: usize,
    /// What was wrong and what would be right.
    pub message: String,
}

impl FilterError {
    pub(super) fn new(column: usize, message: impl Into<String>) -> Self {
        Self {
            column,
            message: message.into(),
        }
    }
}

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// A test, and the layer it is about.
    Test(Test, u8),
    Not(Box<Tree>),
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
}

/// The protocol in front of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Front {
    Ether,
    Ip,
    Ip6,
    Arp,
    Rarp,
    /// By its number, with whether IPv4 and IPv6 have it.
    Protocol(u8, bool, bool),
}

/// What a test is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Host,
    Net,
    Port,
    PortRange,
    Proto,
}

/// Words in front of a value. A value without any has those of the one before.
#[derive(Clone, Copy, Debug)]
struct Qualifiers<'a> {
    front: Option<(Front, &'a str)>,
    end: Option<End>,
    about: Option<About>,
}

/// Reads an expression: its tree, and what leads from layer to layer.
pub(super) fn parse(text: &str) -> Result<(Tree, Vec<Shift>), FilterError> {
    if text.len() > MAX_LENGTH {
        return Err(FilterError::new(
            MAX_LENGTH,
            format!("an expression has at most {MAX_LENGTH} bytes"),
        ));
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        end: text.chars().count() + 1,
        before: None,
        shifts: Vec::new(),
        tests: 0,
    };
    let tree = parser.expression(0)?;
    match parser.peek() {
        None => Ok((tree, parser.shifts)),
        Some(Kind::Close) => Err(parser.error("there is no ( to this )")),
        Some(_) => Err(parser.error("and, or, or the end is expected here")),
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    /// The column behind the last.
    end: usize,
    before: Option<Qualifiers<'a>>,
    shifts: Vec<Shift>,
    tests: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Kind<'a>> {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> Option<Kind<'a>> {
        self.tokens.get(self.next + ahead).map(|token| token.kind)
    }

    fn word(&self) -> Option<&'a str> {
        match self.peek() {
            Some(Kind::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn column(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |token| token.column)
    }

    fn error(&self, message: impl Into<String>) -> FilterError {
        FilterError::new(self.column(), message)
    }

    /// Terms with `and` and `or` between them, which bind alike.
    fn expression(&mut self, depth: usize) -> Result<Tree, FilterError> {
        let mut tree = self.term(depth)?;
        loop {
            let join = match self.peek() {
                Some(Kind::And) => Tree::And,
                Some(Kind::Or) => Tree::Or,
                _ => return Ok(tree),
            };
            self.next += 1;
            tree = join(Box::new(tree), Box::new(self.term(depth)?));
        }
    }

    fn term(&mut self, depth: usize) -> Result<Tree, FilterError> {
        if depth > MAX_DEPTH {
            return Err(self.error(format!("parentheses and not are nested deeper than {MAX_DEPTH}")));
        }
        match self.peek() {
            Some(Kind::Not) => {
                self.next += 1;
                Ok(Tree::Not(Box::new(self.term(depth + 1)?)))
            }
            Some(Kind::Open) => {
                let opened = self.column();
                self.next += 1;
                let tree = self.expression(depth + 1)?;
                if self.peek() != Some(Kind::Close) {
                    return Err(self.error(format!("the ( of column {opened} wants a ) here")));
                }
                self.next += 1;
                Ok(tree)
            }
            Some(Kind::Word(word)) => self.test(word),
            _ => Err(self.error(format!("expected {EXPECTED}"))),
        }
    }

    fn test(&mut self, word: &'a str) -> Result<Tree, FilterError> {
        self.tests += 1;
        if self.tests > MAX_TESTS {
            return Err(self.error(format!("an expression has at most {MAX_TESTS} tests")));
        }
        let shift = match word {
            "vlan" => Some((Shift::Vlan, 0x0fff)),
            "vni" => Some((Shift::Vni, 0x00ff_ffff)),
            "label" => Some((Shift::Label, 0x000f_ffff)),
            _ => None,
        };
        if let Some((shift, most)) = shift {
            return self.shift(word, shift, most);
        }
        let layer = self.shifts.len() as u8;
        let column = self.column();
        if matches!(word, "less" | "greater") {
            self.next += 1;
            self.before = None;
            let length = self.number(word, u32::MAX, "a number of bytes")?;
            return Ok(Tree::Test(
                if word == "less" {
                    Test::Length(0, length)
                } else {
                    Test::Length(length, u32::MAX)
                },
                layer,
            ));
        }
        let front = front(word).map(|front| (front, word));
        if front.is_some() {
            self.next += 1;
        }
        let end = self.end_of()?;
        let about = match self.word() {
            Some("host") => Some(About::Host),
            Some("net") => Some(About::Net),
            Some("port") => Some(About::Port),
            Some("portrange") => Some(About::PortRange),
            Some("proto") => Some(About::Proto),
            _ => None,
        };
        if about.is_some() {
            self.next += 1;
        }
        if let Some((front, name)) = front
            && end.is_none()
            && about.is_none()
        {
            self.before = None;
            if let Some(next) = self.word() {
                let message = format!(
                    "{next:?} cannot stand right behind {name}: and, or, host, net, port, portrange, src, dst or proto can"
                );
                return Err(self.error(message));
            }
            return match plain(front) {
                Some(test) => Ok(Tree::Test(test, layer)),
                None => Err(self.error("ether wants host, src, dst or proto behind it")),
            };
        }
        let said = Qualifiers { front, end, about };
        let is_bare = front.is_none() && end.is_none() && about.is_none();
        let qualifiers = match self.before {
            Some(before) if is_bare => before,
            _ => said,
        };
        let Some(value) = self.word() else {
            let what = match about {
                Some(About::Host) => "an address",
                Some(About::Net) => "a prefix as 10.1.0.0/24 or fd00:1::/64",
                Some(About::Port) => "a port",
                Some(About::PortRange) => "a range of ports as 1000-2000",
                Some(About::Proto) => "a protocol by name or number",
                None => "host, net, port, portrange or an address",
            };
            return Err(self.error(format!("{what} is expected here")));
        };
        if is_bare && self.before.is_none() && !looks_like_address(value) {
            return Err(FilterError::new(
                column,
                format!("{value:?} is not known; expected {EXPECTED}"),
            ));
        }
        let tree = self.value(qualifiers, value, layer)?;
        self.before = Some(qualifiers);
        Ok(tree)
    }

    fn shift(&mut self, word: &str, shift: Shift, most: u32) -> Result<Tree, FilterError> {
        if self.shifts.len() + 1 >= LAYERS {
            return Err(self.error(format!("vlan, vni and label may come {} times", LAYERS - 1)));
        }
        self.next += 1;
        self.before = None;
        let number = match self.word() {
            Some(_) => Some(self.number(word, most, "a number")?),
            None => None,
        };
        let layer = self.shifts.len() as u8;
        self.shifts.push(shift);
        Ok(Tree::Test(Test::Shift(shift, number), layer))
    }

    fn number(&mut self, of: &str, most: u32, what: &str) -> Result<u32, FilterError> {
        let read = self.word().and_then(number).filter(|number| *number <= u64::from(most));
        let Some(read) = read else {
            return Err(self.error(format!("{of} wants {what} up to {most} here")));
        };
        self.next += 1;
        Ok(read as u32)
    }

    /// `src`, `dst`, and both with `or` or `and` between them.
    fn end_of(&mut self) -> Result<Option<End>, FilterError> {
        let (own, other) = match self.word() {
            Some("src") => (End::Source, "dst"),
            Some("dst") => (End::Destination, "src"),
            _ => return Ok(None),
        };
        self.next += 1;
        let both = match self.peek() {
            Some(Kind::Or) => End::Either,
            Some(Kind::And) => End::Both,
            _ => return Ok(Some(own)),
        };
        if self.peek_at(1) != Some(Kind::Word(other)) {
            return Err(self.error("src and dst want an address, host, net, port or portrange behind them"));
        }
        self.next += 2;
        Ok(Some(both))
    }

    fn value(&mut self, qualifiers: Qualifiers<'a>, value: &'a str, layer: u8) -> Result<Tree, FilterError> {
        let end = qualifiers.end.unwrap_or(End::Either);
        let tree = match qualifiers.about {
            Some(About::Port | About::PortRange) => Tree::Test(self.port(qualifiers, end, value)?, layer),
            Some(About::Proto) => self.proto(qualifiers, value, layer)?,
            Some(About::Net) => Tree::Test(self.net(qualifiers, end, value)?, layer),
            Some(About::Host) => Tree::Test(self.host(qualifiers, end, value)?, layer),
            None if value.contains('/') => Tree::Test(self.net(qualifiers, end, value)?, layer),
            None => Tree::Test(self.host(qualifiers, end, value)?, layer),
        };
        self.next += 1;
        Ok(tree)
    }

    fn port(&self, qualifiers: Qualifiers<'_>, end: End, value: &str) -> Result<Test, FilterError> {
        let none = Transports {
            tcp: false,
            udp: false,
            sctp: false,
        };
        let transports = match qualifiers.front {
            None => Transports::ALL,
            Some((Front::Protocol(proto::TCP, ..), _)) => Transports { tcp: true, ..none },
            Some((Front::Protocol(proto::UDP, ..), _)) => Transports { udp: true, ..none },
            Some((Front::Protocol(proto::SCTP, ..), _)) => Transports { sctp: true, ..none },
            Some((_, name)) => return Err(self.error(format!("{name} has no ports: tcp, udp and sctp have"))),
        };
        let one = |text: &str| {
            let named = PORTS.iter().find(|(name, _)| *name == text).map(|(_, port)| *port);
            named.or_else(|| number(text).and_then(|port| u16::try_from(port).ok()))
        };
        let range = match (qualifiers.about, value.split_once('-')) {
            (Some(About::PortRange), Some((low, high))) => one(low).zip(one(high)),
            _ => one(value).map(|port| (port, port)),
        };
        let Some((low, high)) = range else {
            let right = if qualifiers.about == Some(About::PortRange) {
                "a range of ports as 1000-2000"
            } else {
                "a port from 0 to 65535, or a name as http"
            };
            return Err(self.error(format!("{value:?} is no port: {right} would be right")));
        };
        Ok(Test::Port {
            end,
            transports,
            // As tcpdump: whichever way round.
            low: low.min(high),
            high: low.max(high),
        })
    }

    fn proto(&self, qualifiers: Qualifiers<'_>, value: &str, layer: u8) -> Result<Tree, FilterError> {
        if qualifiers.end.is_some() {
            return Err(self.error("proto has neither src nor dst"));
        }
        if let Some((Front::Ether, _)) = qualifiers.front {
            let kind = match value {
                "ip" => Some(IPV4),
                "ip6" => Some(IPV6),
                "arp" => Some(ARP),
                "rarp" => Some(RARP),
                _ => number(value)
                    .and_then(|kind| u16::try_from(kind).ok())
                    .filter(|kind| *kind >= 0x600),
            };
            return match kind {
                Some(kind) => Ok(Tree::Test(Test::Type(kind), layer)),
                None => Err(self.error("ether proto wants ip, ip6, arp, rarp or a number from 0x600 to 0xffff here")),
            };
        }
        let (ip, ip6) = match qualifiers.front {
            None => (true, true),
            Some((Front::Ip, _)) => (true, false),
            Some((Front::Ip6, _)) => (false, true),
            Some((_, name)) => {
                return Err(self.error(format!("{name} has no protocols within: ip, ip6 and ether have")));
            }
        };
        let named = PROTOCOLS
            .iter()
            .find(|(name, _)| *name == value)
            .map(|(_, number)| *number);
        match named.or_else(|| number(value).and_then(|number| u8::try_from(number).ok())) {
            Some(number) => Ok(Tree::Test(Test::Protocol { ip, ip6, number }, layer)),
            None => Err(self.error(format!(
                "{value:?} is no IP protocol: a name as tcp, or a number up to 255, would be right"
            ))),
        }
    }

    fn host(&self, qualifiers: Qualifiers<'_>, end: End, value: &str) -> Result<Test, FilterError> {
        if let Some((Front::Ether, _)) = qualifiers.front {
            return match value.parse::<Mac>() {
                Ok(address) => Ok(Test::Mac { end, address }),
                Err(_) => Err(self.error(format!("{value:?} is no MAC address: 02:00:00:00:00:01 would be one"))),
            };
        }
        if let Ok(address) = value.parse::<Ipv4Addr>() {
            return Ok(v4(end, self.carriers(qualifiers)?, address, 32));
        }
        if let Ok(address) = value.parse::<Ipv6Addr>() {
            self.carries_v6(qualifiers)?;
            return Ok(v6(end, address, 128));
        }
        Err(self.error(if value.contains('/') {
            "this is a prefix: say net".to_owned()
        } else {
            format!("{value:?} is no address: 10.1.0.2 or fd00:1::2 would be one (names are not looked up)")
        }))
    }

    fn net(&self, qualifiers: Qualifiers<'_>, end: End, value: &str) -> Result<Test, FilterError> {
        let wrong = |what: &str| self.error(format!("{value:?} {what}: 10.1.0.0/24 or fd00:1::/64 would be right"));
        if let Some((Front::Ether, _)) = qualifiers.front {
            return Err(self.error("ether has hosts, no nets"));
        }
        let (address, len) = match value.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (value, None),
        };
        let len = match len.map(str::parse::<u8>) {
            Some(Err(_)) => return Err(wrong("has no length of a prefix")),
            Some(Ok(len)) => Some(len),
            None => None,
        };
        if let Ok(address) = address.parse::<Ipv6Addr>() {
            self.carries_v6(qualifiers)?;
            let len = len.unwrap_or(128);
            if len > 128
                || u128::MAX
                    .checked_shr(len.into())
                    .is_some_and(|host| address.to_bits() & host != 0)
            {
                return Err(wrong("is no prefix"));
            }
            return Ok(v6(end, address, len));
        }
        let Some((address, said)) = partial_v4(address) else {
            return Err(wrong("is no prefix"));
        };
        let len = len.unwrap_or(said);
        if len > 32 || u32::MAX.checked_shr(len.into()).is_some_and(|host| address & host != 0) {
            return Err(wrong("is no prefix: there are bits set behind its length"));
        }
        Ok(v4(end, self.carriers(qualifiers)?, Ipv4Addr::from_bits(address), len))
    }

    /// What may carry the IPv4 address of a test.
    fn carriers(&self, qualifiers: Qualifiers<'_>) -> Result<Carriers, FilterError> {
        let (ip, arp, rarp) = match qualifiers.front {
            None => (true, true, true),
            Some((Front::Ip, _)) => (true, false, false),
            Some((Front::Arp, _)) => (false, true, false),
            Some((Front::Rarp, _)) => (false, false, true),
            Some((Front::Ip6, _)) => return Err(self.error("ip6 has no IPv4 addresses")),
            Some((_, name)) => return Err(self.error(format!("{name} has no addresses: say {name} and host ..."))),
        };
        Ok(Carriers { ip, arp, rarp })
    }

    fn carries_v6(&self, qualifiers: Qualifiers<'_>) -> Result<(), FilterError> {
        match qualifiers.front {
            None | Some((Front::Ip6, _)) => Ok(()),
            Some((Front::Protocol(..), name)) => {
                Err(self.error(format!("{name} has no addresses: say {name} and host ...")))
            }
            Some((_, name)) => Err(self.error(format!("{name} has no IPv6 addresses"))),
        }
    }
}

fn front(word: &str) -> Option<Front> {
    Some(match word {
        "ether" => Front::Ether,
        "ip" => Front::Ip,
        "ip6" => Front::Ip6,
        "arp" => Front::Arp,
        "rarp" => Front::Rarp,
        "tcp" => Front::Protocol(proto::TCP, true, true),
        "udp" => Front::Protocol(proto::UDP, true, true),
        "sctp" => Front::Protocol(proto::SCTP, true, true),
        "icmp" => Front::Protocol(proto::ICMP, true, false),
        "icmp6" => Front::Protocol(proto::ICMPV6, false, true),
        "igmp" => Front::Protocol(2, true, false),
        "esp" => Front::Protocol(50, true, true),
        "ah" => Front::Protocol(51, true, true),
        _ => return None,
    })
}

/// A protocol's name by itself.
fn plain(front: Front) -> Option<Test> {
    Some(match front {
        Front::Ether => return None,
        Front::Ip => Test::Type(IPV4),
        Front::Ip6 => Test::Type(IPV6),
        Front::Arp => Test::Type(ARP),
        Front::Rarp => Test::Type(RARP),
        Front::Protocol(number, ip, ip6) => Test::Protocol { ip, ip6, number },
    })
}

fn looks_like_address(word: &str) -> bool {
    let address = word.split('/').next().unwrap_or(word);
    address.parse::<Ipv6Addr>().is_ok()
        || address.parse::<Ipv4Addr>().is_ok()
        || word.contains('/') && partial_v4(address).is_some()
}

/// "10", "10.1", "10.1.0", "10.1.0.0": the address, and the length that is meant if none is said.
fn partial_v4(text: &str) -> Option<(u32, u8)> {
    let mut address = 0;
    let mut count = 0;
    for part in text.split('.') {
        let part: u8 = Some(part)
            .filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?
            .parse()
            .ok()?;
        count += 1;
        if count > 4 {
            return None;
        }
        address |= u32::from(part) << (32 - 8 * count);
    }
    Some((address, 8 * count as u8))
}

/// A number, decimal or with 0x in front.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?,
    }
}
