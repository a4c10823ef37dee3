//! Settings from flags and files, right and wrong.

use std::fs;

use clap::Parser as _;

use super::*;
use crate::program::object::Mode;

/// The settings that a file and flags make.
fn both(text: &str, flags: &[&str]) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let all = ["vrouterd", "--config", &path].into_iter().chain(flags.iter().copied());
    Config::new(Flags::try_parse_from(all).unwrap(), "host")
}

fn from_flags(flags: &[&str]) -> Result<Config, ConfigError> {
    let all = ["vrouterd"].into_iter().chain(flags.iter().copied());
    Config::new(Flags::try_parse_from(all).unwrap(), "host")
}

const UPLINK: [&str; 4] = ["--uplink", "wire0", "--vtep", "192.0.2.1/24"];

/// What is said of these flags beside an uplink.
fn wrong(flags: &[&str]) -> String {
    let all: Vec<_> = UPLINK.iter().chain(flags).copied().collect();
    from_flags(&all).unwrap_err().to_string()
}

#[test]
fn nothing_said_gives_a_node_without_uplink() {
    let config = from_flags(&[]).unwrap();
    assert_eq!(config.node, "host");
    assert_eq!(config.listen[0].to_string(), "unix:/run/vrouter/vrouterd.sock");
    assert_eq!((config.workers, config.cpus.len(), config.uplinks.len()), (1, 0, 0));
    assert_eq!(
        (config.frames, config.frame_size, config.flows),
        (64 << 10, 2048, 1 << 20)
    );
    assert_eq!(config.polling, Polling::default());
    assert_eq!(config.access_rings, RingSizes::ACCESS);
    assert_eq!((config.log.as_str(), config.log_format), ("info", LogFormat::Text));
    assert!(config.metrics.is_none() && config.ipfix.is_none());
}

#[test]
fn the_command_line_says_it_all() {
    let config = from_flags(&[
        "--node",
        "node-a",
        "--listen",
        "unix:/x",
        "--listen",
        "http://127.0.0.1:1",
        "--uplink",
        "wire0,mode=native",
        "--vtep",
        "192.0.2.1/24",
        "--vtep",
        "2001:db8::1/64",
        "--gateway",
        "192.0.2.254",
        "--gateway",
        "fe80::1",
        "--workers",
        "3",
        "--cpus",
        "0,2-3",
        "--poll",
        "busy",
        "--frames",
        "4096",
        "--frame-size",
        "4096",
        "--large-frames",
        "32",
        "--access-rings",
        "64",
        "--uplink-rings",
        "4096",
        "--flows",
        "2048",
        "--flow-timeout",
        "tcp=7",
        "--flow-timeout",
        "other=1",
        "--log",
        "debug",
        "--log-format",
        "json",
        "--ipfix",
        "udp:192.0.2.9:4739",
        "--ipfix",
        "[2001:db8::9]:2055",
        "--ipfix-active",
        "5",
        "--ipfix-sample",
        "10",
        "--metrics",
        "[::1]:9170",
        "--metrics-max-names",
        "7",
    ]);
    let config = config.unwrap();
    let ipfix = config.ipfix.as_ref().unwrap();
    assert_eq!(
        (ipfix.collectors.len(), ipfix.domain, ipfix.one_of, ipfix.rate),
        (2, 1, 10, 10_000)
    );
    assert_eq!(ipfix.active, Duration::from_secs(5));
    let metrics = config.metrics.unwrap();
    assert_eq!((metrics.address.port(), metrics.names), (9170, 7));
    assert_eq!((config.node.as_str(), config.listen.len()), ("node-a", 2));
    let [uplink] = &config.uplinks[..] else {
        panic!("{:?}", config.uplinks)
    };
    assert_eq!(
        (uplink.interface.as_str(), uplink.mode, uplink.rings.tx),
        ("wire0", Mode::NativeCopy, 4096)
    );
    let vteps = [("192.0.2.1".parse().unwrap(), 24), ("2001:db8::1".parse().unwrap(), 64)];
    assert_eq!(uplink.vteps, vteps);
    assert_eq!(uplink.gateways.len(), 2);
    assert_eq!((config.workers, &config.cpus[..]), (3, &[0, 2, 3][..]));
    assert_eq!(config.polling, Polling::Busy);
    assert_eq!((config.frames, config.frame_size, config.flows), (4096, 4096, 2048));
    assert_eq!((config.large_frames, config.access_rings.fill), (32, 64));
    assert_eq!(
        (
            config.flow_timeouts.established,
            config.flow_timeouts.udp,
            config.flow_timeouts.other
        ),
        (7000, 180_000, 1000)
    );
    assert_eq!((config.log.as_str(), config.log_format), ("debug", LogFormat::Json));
    let daemon = config.daemon(42);
    assert_eq!(
        (daemon.settings.seed, daemon.settings.workers, daemon.settings.flows),
        (42, 3, 2048)
    );
    assert_eq!(daemon.pinning.cpus, [0, 2, 3]);
}

#[test]
fn a_file_says_the_same_and_flags_win() {
    let text = r#"
        node = "node-a"
        listen = ["unix:/a"]
        workers = 2
        cpus = "4-5"
        poll = "adaptive"
        spin = 10
        frames = 2048
        frame-size = 4096
        access-rings = 128
        flows = 4096
        ipfix = ["udp:192.0.2.9:4739"]
        ipfix-rate = 5
        metrics = "127.0.0.1:9170"
        log = "warn"
        log-format = "json"

        [flow-timeout]
        udp = 9

        [[uplink]]
        interface = "wire0"
        mode = "native-zc"
        vtep = ["192.0.2.1/24"]
        gateway = ["192.0.2.254"]

        [[uplink]]
        interface = "wire1"
        vtep = ["2001:db8::1/64"]
    "#;
    let config = both(text, &[]).unwrap();
    assert_eq!((config.node.as_str(), &config.cpus[..]), ("node-a", &[4, 5][..]));
    let spin = Duration::from_micros(10);
    assert_eq!(config.polling, Polling::Adaptive { spin });
    assert_eq!(config.flow_timeouts.udp, 9000);
    assert_eq!(
        config.ipfix.as_ref().map(|ipfix| (ipfix.collectors.len(), ipfix.rate)),
        Some((1, 5))
    );
    assert_eq!(config.metrics.map(|metrics| metrics.names), Some(1000));
    let modes: Vec<_> = config.uplinks.iter().map(|u| (u.interface.as_str(), u.mode)).collect();
    assert_eq!(modes, [("wire0", Mode::NativeZeroCopy), ("wire1", Mode::Auto)]);

    let flags = [
        "--node",
        "b",
        "--cpus",
        "1,2",
        "--listen",
        "unix:/b",
        "--flow-timeout",
        "udp=8",
        "--log-format",
        "text",
    ];
    let config = both(text, &flags).unwrap();
    assert_eq!((config.node.as_str(), &config.cpus[..]), ("b", &[1, 2][..]));
    assert_eq!(
        (config.listen[0].to_string().as_str(), config.flow_timeouts.udp),
        ("unix:/b", 8000)
    );
    assert_eq!((config.log.as_str(), config.log_format), ("warn", LogFormat::Text));
    // One uplink on the command line replaces all of the file's.
    let config = both(text, &UPLINK).unwrap();
    assert_eq!(config.uplinks.len(), 1);
}

#[test]
fn a_wrong_file_is_told_with_line_or_key() {
    for (text, words) in [
        ("frmaes = 1", &["unknown field `frmaes`", "line 1"][..]),
        ("frames = \"many\"", &["frames", "line 1"]),
        ("frames = -1", &["frames"]),
        ("frames = 12", &["frames: 12 is out of range", "from 1024"]),
        ("listen = [\"/run/x\"]", &["listen", "unix:/run/vrouter/vrouterd.sock"]),
        ("log-format = \"xml\"", &["log-format", "text"]),
        ("poll = \"lazy\"", &["poll", "adaptive"]),
        ("cpus = \"3-1\"", &["cpus", "backwards"]),
        ("vtep = [\"192.0.2.1\"]", &["vtep", "192.0.2.1/24"]),
        ("gateway = [\"x\"]", &["gateway", "IP address"]),
        ("[[uplink]]", &["missing field `interface`"]),
        (
            "[[uplink]]\ninterface = \"a/b\"",
            &["interface", "no name of an interface"],
        ),
        (
            "[[uplink]]\ninterface = \"a\"\nmode = \"skb\"",
            &["mode", "native-zc, generic or packet"],
        ),
        ("[[uplink]]\ninterface = \"a\"\nvlan = 7", &["unknown field `vlan`"]),
        (
            "[[uplink]]\ninterface = \"a\"",
            &["uplink: a: an uplink needs a tunnel address"],
        ),
        ("[flow-timeout]\ntcp = 0", &["flow-timeout.tcp: 0 is out of range"]),
        (
            "[flow-timeout]\nigmp = 1",
            &["flow-timeout.igmp: there is no such kind of flow", "icmp"],
        ),
        ("node = ", &["line 1"]),
    ] {
        let error = both(text, &[]).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{text:?}: {word:?} is not in: {error}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let error = from_flags(&["--config", "/nowhere/x.toml"]).unwrap_err();
    assert!(error.to_string().contains("/nowhere/x.toml cannot be read"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(2 << 20).unwrap();
    let error = from_flags(&["--config", file.path().to_str().unwrap()])
        .unwrap_err()
        .to_string();
    assert!(error.contains("too long for a config file"), "{error}");
    fs::write(file.path(), [0xff, 0xfe]).unwrap();
    assert!(matches!(
        from_flags(&["--config", file.path().to_str().unwrap()]),
        Err(ConfigError::Read { .. })
    ));
}

#[test]
fn numbers_out_of_range_are_told_with_the_range() {
    for (flags, words) in [
        (
            &["--workers", "0"][..],
            "--workers: 0 is out of range: it must be from 1 to 64",
        ),
        (&["--workers", "65"], "from 1 to 64"),
        (&["--workers", "3", "--cpus", "0-1"], "--cpus: 2 CPUs for 3 workers"),
        (&["--cpus", "0-64"], "at most 64"),
        (
            &["--frames", "1023"],
            "--frames: 1023 is out of range: it must be from 1024",
        ),
        (&["--frames", "33554433"], "to 33554432"),
        (&["--frames", "4194304", "--frame-size", "32768"], "to 2097152"),
        (&["--large-frames", "1048577"], "to 1048576"),
        (&["--frame-size", "1000"], "give 2048, 4096"),
        (&["--frame-size", "65536"], "give 2048, 4096"),
        (
            &["--access-rings", "100"],
            "--access-rings: 100 is no ring size; give a power of two",
        ),
        (&["--uplink-rings", "65536"], "--uplink-rings: 65536"),
        (&["--flows", "1"], "--flows: 1 is out of range"),
        (&["--flows", "134217729"], "to 134217728"),
        (
            &["--flow-timeout", "udp=999999999"],
            "--flow-timeout udp: 999999999 is out of range",
        ),
        (&["--spin", "9999999"], "--spin: 9999999 is out of range"),
        (&["--poll", "busy", "--spin", "1"], "--spin: busy workers never stop"),
        (&["--node", ""], "--node: a node's name"),
        (&["--node", "a\nb"], "--node: a node's name"),
        (
            &["--listen", "unix:/x", "--listen", "unix:/x"],
            "--listen: unix:/x is given twice",
        ),
        (&["--log", "info,=="], "--log: "),
    ] {
        let error = wrong(flags);
        assert!(error.contains(words), "{flags:?}: {error}");
    }
}

#[test]
fn uplinks_and_addresses_must_fit_together() {
    for (flags, words) in [
        (&["--vtep", "192.0.2.1/24"][..], "--vtep: an address without uplink"),
        (&["--gateway", "192.0.2.1"], "--gateway: a router without uplink"),
        (&["--uplink", "a"], "a: an uplink needs a tunnel address"),
        (
            &["--uplink", "a", "--uplink", "b", "--vtep", "192.0.2.1/24"],
            "there are 2 uplinks",
        ),
        (&["--uplink", "a", "--uplink", "a"], "a is given twice"),
    ] {
        let error = from_flags(flags).unwrap_err().to_string();
        assert!(error.contains(words), "{flags:?}: {error}");
    }
    for (flags, words) in [
        (&["--vtep", "198.51.100.1/24"][..], "2 IPv4 tunnel addresses"),
        (
            &["--gateway", "198.51.100.1"],
            "gateway 198.51.100.1 is in the subnet of no tunnel address",
        ),
        (&["--gateway", "192.0.2.1"], "this node's own address"),
        (&["--gateway", "224.0.0.1"], "multicast"),
        (&["--gateway", "192.0.2.9", "--gateway", "192.0.2.9"], "given twice"),
        (&["--gateway", "fe80::1"], "in the subnet of no tunnel address"),
        (&["--vtep", "fe80::1/64"], "link-local"),
    ] {
        let error = wrong(flags);
        assert!(error.contains(words), "{flags:?}: {error}");
    }
}

#[test]
fn flags_that_are_no_values_are_told_by_name() {
    for (flag, value, words) in [
        ("--listen", "here", "unix:/run/vrouter/vrouterd.sock"),
        ("--uplink", "wire0,native", "wire0,mode=native"),
        ("--uplink", "wire0,mode=skb", "native-zc, generic or packet"),
        ("--uplink", "wire0,mode=auto,mode=auto", "given twice"),
        ("--uplink", ",mode=auto", "missing"),
        ("--vtep", "192.0.2.1", "192.0.2.1/24"),
        ("--vtep", "192.0.2.0/24", "network's own address"),
        ("--gateway", "x", "IP address"),
        ("--workers", "-1", "unexpected argument"),
        ("--workers", "x", "--workers"),
        ("--cpus", "0-x", "like 0,2-3"),
        ("--poll", "lazy", "adaptive, busy"),
        ("--flow-timeout", "igmp=3", "tcp-syn-sent"),
        ("--flow-timeout", "tcp", "KIND=SECONDS"),
        ("--vrf-flows", "many", "invalid digit"),
        ("--log-format", "xml", "text, json"),
    ] {
        let error = Flags::try_parse_from(["vrouterd", flag, value]).unwrap_err();
        assert!(error.to_string().contains(words), "{flag} {value}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn the_command_line_is_sound() {
    use clap::CommandFactory as _;
    Flags::command().debug_assert();
}
