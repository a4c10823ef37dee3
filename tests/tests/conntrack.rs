//! A second opinion on TCP connection tracking: recorded sequences of segments go through a namespace that forwards them and tracks
//! them with the kernel's conntrack (by nftables), and through ours; after each segment both say whether it passes and how far the
//! connection has come. Where they differ, the case says so, and why.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use vrouter_dataplane::{
    tables::conntrack::{self, Phase, Segment},
    wire::proto,
};
use vrouter_tests::{netns::Netns, require, scapy::Scapy, topology::Topology, wait};

const SETTLING: Duration = Duration::from_secs(10);

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

use Side::{Client, Server};

/// A segment: who sends it, flags, sequence number, acknowledgement, bytes of payload.
type Sent = (Side, u8, u32, u32, usize);

/// After which segment (counted from 0) the two differ: what the kernel says, what we say, and why.
type Difference = (usize, &'static str, &'static str, &'static str);

struct Case {
    name: &'static str,
    sent: &'static [Sent],
    differences: &'static [Difference],
}

/// The segments of a handshake and one exchange of 100 bytes each: the client is at 1101, the server at 5101.
macro_rules! busy {
    ($($more:expr),* $(,)?) => {
        &[
            (Client, SYN, 1000, 0, 0),
            (Server, SYN | ACK, 5000, 1001, 0),
            (Client, ACK, 1001, 5001, 0),
            (Client, ACK | PSH, 1001, 5001, 100),
            (Server, ACK | PSH, 5001, 1101, 100),
            (Client, ACK, 1101, 5101, 0),
            $($more),*
        ]
    };
}

const CASES: &[Case] = &[
    Case {
        name: "the client closes first",
        sent: busy![
            (Client, FIN | ACK, 1101, 5101, 0),
            (Server, ACK, 5101, 1102, 0),
            (Server, ACK | PSH, 5101, 1102, 50),
            (Client, ACK, 1102, 5151, 0),
            (Server, FIN | ACK, 5151, 1102, 0),
            (Client, ACK, 1102, 5152, 0),
        ],
        differences: &[],
    },
    Case {
        name: "the server closes first",
        sent: busy![
            (Server, FIN | ACK, 5101, 1101, 0),
            (Client, ACK, 1101, 5102, 0),
            (Client, FIN | ACK, 1101, 5102, 0),
            (Server, ACK, 5102, 1102, 0),
        ],
        differences: &[],
    },
    Case {
        name: "both close at once",
        sent: busy![
            (Client, FIN | ACK, 1101, 5101, 0),
            (Server, FIN | ACK, 5101, 1101, 0),
            (Client, ACK, 1102, 5102, 0),
            (Server, ACK, 5102, 1102, 0),
        ],
        differences: &[(
            8,
            "passes, time wait",
            "passes, closing",
            "the kernel takes one acknowledgement for both; we wait for the server's of the client's FIN, too",
        )],
    },
    Case {
        name: "segments of a handshake are sent again",
        sent: &[
            (Client, SYN, 1000, 0, 0),
            (Client, SYN, 1000, 0, 0),
            (Server, SYN | ACK, 5000, 1001, 0),
            (Server, SYN | ACK, 5000, 1001, 0),
            (Client, SYN, 1000, 0, 0),
            (Client, ACK | PSH, 1001, 5001, 100),
            (Client, ACK, 1001, 5001, 0),
            (Server, ACK, 5001, 1101, 0),
            (Client, ACK | PSH, 1001, 5001, 100),
        ],
        differences: &[],
    },
    Case {
        name: "both begin at once",
        sent: &[
            (Client, SYN, 1000, 0, 0),
            (Server, SYN, 5000, 0, 0),
            (Client, SYN | ACK, 1000, 5001, 0),
            (Server, SYN | ACK, 5000, 1001, 0),
            (Client, ACK | PSH, 1001, 5001, 10),
            (Server, ACK | PSH, 5001, 1011, 10),
        ],
        differences: &[(
            3,
            "passes, syn received",
            "passes, established",
            "RFC 9293, figure 8: both have what they need; the kernel waits for one segment more",
        )],
    },
    Case {
        name: "the server refuses",
        sent: &[
            (Client, SYN, 1000, 0, 0),
            (Server, RST | ACK, 0, 1001, 0),
            (Client, SYN, 2000, 0, 0),
            (Server, SYN | ACK, 9000, 2001, 0),
            (Client, ACK, 2001, 9001, 0),
        ],
        differences: &[(
            1,
            "passes, untracked",
            "passes, closed",
            "the kernel forgets the connection at once; we keep it for some seconds, so that floods of attempts stay cheap",
        )],
    },
    Case {
        name: "a stranger refuses, without knowing the SYN",
        sent: &[(Client, SYN, 1000, 0, 0), (Server, RST | ACK, 0, 77_777, 0)],
        differences: &[],
    },
    Case {
        name: "the client resets",
        sent: busy![(Client, RST, 1101, 0, 0), (Server, ACK | PSH, 5101, 1101, 10)],
        differences: &[],
    },
    Case {
        name: "the server resets",
        sent: busy![(Server, RST | ACK, 5101, 1101, 0)],
        differences: &[],
    },
    Case {
        name: "a reset in the window, not at its edge",
        sent: busy![
            (Server, RST, 5201, 0, 0),
            (Client, ACK, 1101, 5101, 0),
            (Client, RST, 1201, 0, 0)
        ],
        differences: &[],
    },
    Case {
        name: "a reset far from the window",
        sent: busy![(Server, RST, 3_000_000_000, 0, 0), (Client, RST, 900_000, 0, 0)],
        differences: &[],
    },
    Case {
        name: "a SYN for a living connection",
        sent: busy![
            (Client, SYN, 3_000_000_000, 0, 0),
            (Server, ACK, 5101, 1101, 0),
            (Client, ACK | PSH, 1101, 5101, 10),
        ],
        differences: &[],
    },
    Case {
        name: "the client forgot the connection",
        sent: busy![
            (Client, SYN, 70_000, 0, 0),
            (Server, ACK, 5101, 1101, 0),
            (Client, RST, 1101, 0, 0),
            (Client, SYN, 70_000, 0, 0),
            (Server, SYN | ACK, 90_000, 70_001, 0),
            (Client, ACK, 70_001, 90_001, 0),
        ],
        differences: &[],
    },
    Case {
        name: "both forgot the connection",
        sent: busy![
            (Client, SYN, 3_000_000_000, 0, 0),
            (Server, SYN | ACK, 4_000_000_000, 3_000_000_001, 0),
            (Client, ACK, 3_000_000_001, 4_000_000_001, 0),
            (Server, ACK | PSH, 4_000_000_001, 3_000_000_001, 10),
        ],
        differences: &[],
    },
    Case {
        name: "data beyond the window, and long before it",
        sent: busy![
            (Client, ACK | PSH, 201_101, 5101, 100),
            (Client, ACK | PSH, 4_294_000_000, 5101, 100),
            (Server, ACK | PSH, 205_101, 1101, 100),
        ],
        differences: &[(
            7,
            "passes, established",
            "refused, established",
            "to the kernel what is too old is merely late, since what is invalid misses its translation and meets the host's own TCP; here it is just dropped, as the receiver would",
        )],
    },
    Case {
        name: "acknowledgements of what was never sent, and of long ago",
        sent: busy![
            (Client, ACK, 1101, 9101, 0),
            (Client, ACK, 1101, 4_294_000_000, 0),
            (Server, ACK, 5101, 1102, 0)
        ],
        differences: &[(
            7,
            "passes, established",
            "refused, established",
            "RFC 5961, section 5.2, has the receiver discard it; the kernel lets it pass as merely late",
        )],
    },
    Case {
        name: "old segments and a probe of a closed window",
        sent: busy![
            (Client, ACK | PSH, 1001, 5001, 100),
            (Server, ACK, 5101, 1101, 0),
            (Client, ACK, 1100, 5101, 0),
            (Server, ACK, 5100, 1101, 1),
        ],
        differences: &[],
    },
    Case {
        name: "the ports are used again after both closed",
        sent: busy![
            (Client, FIN | ACK, 1101, 5101, 0),
            (Server, FIN | ACK, 5101, 1102, 0),
            (Client, ACK, 1102, 5102, 0),
            (Client, SYN, 800_000, 0, 0),
            (Server, SYN | ACK, 60_000, 800_001, 0),
            (Client, ACK, 800_001, 60_001, 0),
        ],
        differences: &[],
    },
    Case {
        name: "the connection is met in its middle",
        sent: &[
            (Client, ACK | PSH, 700_000, 300_000, 100),
            (Server, ACK | PSH, 300_000, 700_100, 200),
            (Client, ACK, 700_100, 300_200, 0),
            (Client, FIN | ACK, 700_100, 300_200, 0),
            (Server, FIN | ACK, 300_200, 700_101, 0),
            (Client, ACK, 700_101, 300_201, 0),
        ],
        differences: &[],
    },
    Case {
        name: "what scanners send",
        sent: &[
            (Client, 0, 1000, 0, 0),
            (Client, FIN, 1000, 0, 0),
            (Client, FIN | PSH | URG, 1000, 0, 0),
            (Client, SYN | FIN, 1000, 0, 0),
            (Client, SYN | RST, 1000, 0, 0),
            (Client, RST, 1000, 0, 0),
        ],
        differences: &[],
    },
    Case {
        name: "a SYN-ACK that does not know the SYN",
        sent: &[
            (Client, SYN, 1000, 0, 0),
            (Server, SYN | ACK, 5000, 900, 0),
            (Server, SYN | ACK, 8000, 1001, 0),
            (Client, ACK, 1001, 8001, 0),
        ],
        differences: &[
            (
                1,
                "passes, syn received",
                "passes, syn sent",
                "the kernel believes a SYN-ACK that acknowledges something else (a stranger's, or an old one), and waits for the end of that handshake",
            ),
            (
                3,
                "refused, syn received",
                "passes, established",
                "having believed the wrong SYN-ACK, the kernel finds the right handshake's end invalid",
            ),
        ],
    },
    Case {
        name: "a client that does not wait for the SYN-ACK",
        sent: &[(Client, SYN, 1000, 0, 0), (Client, ACK, 1001, 5001, 0)],
        differences: &[],
    },
    Case {
        name: "a handshake finished by a guess",
        sent: &[
            (Client, SYN, 1000, 0, 0),
            (Server, SYN | ACK, 5000, 1001, 0),
            (Client, ACK, 1001, 9_999_999, 0),
            (Client, ACK, 1001, 5001, 0),
        ],
        differences: &[],
    },
    Case {
        name: "sequence numbers go round",
        sent: &[
            (Client, SYN, 4_294_967_290, 0, 0),
            (Server, SYN | ACK, 4_294_967_200, 4_294_967_291, 0),
            (Client, ACK, 4_294_967_291, 4_294_967_201, 0),
            (Client, ACK | PSH, 4_294_967_291, 4_294_967_201, 1000),
            (Server, ACK | PSH, 4_294_967_201, 995, 1000),
            (Client, ACK, 995, 905, 0),
            (Server, RST, 905, 0, 0),
        ],
        differences: &[],
    },
];

/// A namespace that forwards between two that say whatever they are told, and never anything by themselves.
struct Router {
    left: Scapy,
    right: Scapy,
    router: Netns,
    macs: [String; 2],
    /// Kept as long as they are used.
    _outer: [Netns; 2],
}

const RULES: &str = r"
table inet opinion {
    counter invalid { }
    counter valid { }
    chain forward {
        type filter hook forward priority filter; policy accept;
        meta l4proto != tcp accept
        ct state invalid counter name invalid accept
        counter name valid
    }
}
";

impl Router {
    fn new(t: &Topology) -> Result<Self> {
        let (left, router, right) = (t.netns("left")?, t.netns("router")?, t.netns("right")?);
        for (outer, link, net) in [(&left, "to-left", 1), (&right, "to-right", 2)] {
            router.veth(link, outer, "eth0", 1500)?;
            router.address(link, &format!("10.9.{net}.1/24"))?;
            router.address(link, &format!("fd09:{net}::1/64"))?;
            let mac = outer.mac("eth0")?;
            for host in [format!("10.9.{net}.2"), format!("fd09:{net}::2")] {
                router.ip(&format!("neigh add {host} lladdr {mac} dev {link} nud permanent"))?;
            }
        }
        router.sysctl("ipv4.ip_forward", "1")?;
        router.sysctl("ipv6.conf.all.forwarding", "1")?;
        vrouter_tests::run::with_input(router.command("nft").args(["-f", "-"]), RULES)?;
        Ok(Self {
            left: Scapy::start(&left)?,
            right: Scapy::start(&right)?,
            macs: [router.mac("to-left")?, router.mac("to-right")?],
            router,
            _outer: [left, right],
        })
    }

    /// Packets that conntrack has judged: invalid ones, and others.
    fn judged(&self) -> Result<(u64, u64)> {
        let text = self.router.sh("nft list counters")?;
        let count = |name: &str| -> Result<u64> {
            let rest = text
                .split(&format!("counter {name} "))
                .nth(1)
                .context("no such counter")?;
            let word = rest.split_whitespace().skip_while(|word| *word != "packets").nth(1);
            Ok(word.context("no count")?.parse()?)
        };
        Ok((count("invalid")?, count("valid")?))
    }

    /// Sends a segment from one side; says what the kernel thinks of it and of its connection, in our words.
    fn send(&mut self, v6: bool, port: u16, (side, flags, seq, ack, payload): Sent) -> Result<String> {
        let (invalid, valid) = self.judged()?;
        let (own, peer, ports) = match side {
            Client => (1, 2, (port, 80)),
            Server => (2, 1, (80, port)),
        };
        let ip = if v6 {
            format!("IPv6(src='fd09:{own}::2', dst='fd09:{peer}::2')")
        } else {
            format!("IP(src='10.9.{own}.2', dst='10.9.{peer}.2')")
        };
        let (options, window) = if flags & SYN != 0 {
            ("[('MSS', 1460), ('WScale', 7)]", 64_240)
        } else {
            ("[]", 502)
        };
        let code = format!(
            "send_on('eth0', Ether(dst='{}')/{ip}/TCP(sport={}, dport={}, seq={seq}, ack={ack}, flags={flags}, window={window}, options={options})/(b'x' * {payload}))",
            self.macs[own - 1],
            ports.0,
            ports.1
        );
        match side {
            Client => self.left.run(&code)?,
            Server => self.right.run(&code)?,
        };
        let mut now = (invalid, valid);
        wait::within(SETTLING, "the segment is judged", || {
            now = self.judged()?;
            ensure!(now != (invalid, valid), "not yet");
            Ok(())
        })?;
        ensure!(
            now.0 + now.1 == invalid + valid + 1,
            "more packets than the one sent: {now:?}"
        );
        let passes = now.1 > valid;
        Ok(describe(passes, self.state(v6, port)?))
    }

    /// The kernel's state of the connection from this port of the client.
    fn state(&self, v6: bool, port: u16) -> Result<&'static str> {
        let family = if v6 { "ipv6" } else { "ipv4" };
        let text = self.router.sh("cat /proc/net/nf_conntrack")?;
        let line = text
            .lines()
            .find(|line| line.starts_with(family) && line.contains(&format!("sport={port} ")));
        let Some(line) = line else { return Ok("untracked") };
        let word = line.split_whitespace().nth(5).context("a line without state")?;
        Ok(match word {
            "SYN_SENT" | "SYN_SENT2" => "syn sent",
            "SYN_RECV" => "syn received",
            "ESTABLISHED" if line.contains("[UNREPLIED]") => "unreplied",
            "ESTABLISHED" => "established",
            "FIN_WAIT" | "CLOSE_WAIT" | "LAST_ACK" => "closing",
            "TIME_WAIT" => "time wait",
            "CLOSE" => "closed",
            other => bail!("unknown state {other}"),
        })
    }
}

fn describe(passes: bool, state: &str) -> String {
    format!("{}, {state}", if passes { "passes" } else { "refused" })
}

/// Our own tracking, as the dataplane uses it.
#[derive(Default)]
struct Ours {
    words: [u64; 2],
}

impl Ours {
    fn send(&mut self, (side, flags, seq, ack, payload): Sent) -> String {
        let (own, peer) = match side {
            Client => (0, 1),
            Server => (1, 0),
        };
        let segment = Segment {
            seq,
            ack,
            len: payload as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0),
            window: if flags & SYN != 0 { 64_240 } else { 502 },
            flags,
            window_scale: (flags & SYN != 0).then_some(7),
        };
        let passes = if self.words == [0; 2] {
            conntrack::first(&segment).is_ok_and(|word| {
                self.words[own] = word;
                true
            })
        } else {
            let (word, tracking) = conntrack::track(self.words[own], self.words[peer], &segment);
            self.words[own] = word;
            tracking.passes()
        };
        let phase: Phase = conntrack::phase(proto::TCP, self.words[0], self.words[1], false);
        describe(passes, phase.name())
    }
}

#[test]
fn the_kernel_agrees_on_tcp_connections_but_where_it_is_said() -> Result<()> {
    require!(Root, Scapy, Nft);
    Topology::run("opinion", |t| {
        let mut router = Router::new(t)?;
        let mut complaints = String::new();
        let mut port = 20_000;
        for v6 in [false, true] {
            for case in CASES {
                port += 1;
                let mut ours = Ours::default();
                for (step, sent) in case.sent.iter().enumerate() {
                    let (kernel, own) = (router.send(v6, port, *sent)?, ours.send(*sent));
                    let told = case.differences.iter().find(|difference| difference.0 == step);
                    let family = if v6 { "IPv6" } else { "IPv4" };
                    let as_told = match told {
                        Some((_, theirs, our, _)) => kernel == *theirs && own == *our,
                        None => kernel == own,
                    };
                    if !as_told {
                        writeln!(
                            complaints,
                            "{family}, {}: after {step} {sent:?} the kernel says {kernel:?}, we say {own:?}",
                            case.name
                        )?;
                    }
                }
            }
        }
        ensure!(complaints.is_empty(), "\n{complaints}");
        Ok(())
    })
}

#[test]
fn every_difference_has_its_reason_and_its_segment() {
    for case in CASES {
        for (step, kernel, ours, reason) in case.differences {
            assert!(*step < case.sent.len(), "{}", case.name);
            assert!(kernel != ours && reason.len() > 20, "{}", case.name);
        }
    }
}
