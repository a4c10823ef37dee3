//! What can stand in the config file, with defaults, for documents and packages.

use vrouter_manual::{Key, Reference};

/// All keys of the file.
pub const REFERENCE: Reference = Reference {
    file: "/etc/vrouter/vrouterd.toml",
    keys: &[
        Key::example("node", "\"node1\"").more("Control programs it by this name."),
        Key::default("listen", "[\"unix:/run/vrouter/vrouterd.sock\"]")
            .more("TCP has no authentication: only on a management network."),
        Key::example("vtep", "[\"192.0.2.1/24\", \"2001:db8::1/64\"]").more("In the file: with one uplink only; else in its [[uplink]]."),
        Key::example("gateway", "[\"192.0.2.254\"]").more("In the file: with one uplink only; else in its [[uplink]]."),
        Key::default("workers", "1"),
        Key::example("cpus", "\"2-3\"").more("Choose CPUs of the NUMA node that the uplink's NIC is on (/sys/class/net/IFACE/device/numa_node)."),
        Key::default("poll", "\"adaptive\"").more("adaptive: looks for a while, then sleeps until woken; busy: never sleeps."),
        Key::default("spin", "1000"),
        Key::default("frames", "65536"),
        Key::default("frame-size", "2048"),
        Key::default("large-frames", "512"),
        Key::example("access-rings", "1024"),
        Key::default("uplink-rings", "2048"),
        Key::default("flows", "1048576"),
        Key::example("vrf-flows", "100000"),
        Key::example("ipfix", "[\"udp:192.0.2.9:4739\"]"),
        Key::default("ipfix-domain", "1"),
        Key::default("ipfix-active", "60"),
        Key::default("ipfix-sample", "1"),
        Key::default("ipfix-rate", "10000"),
        Key::example("metrics", "\"127.0.0.1:9170\""),
        Key::default("metrics-max-names", "1000"),
        Key::default("log", "\"info\""),
        Key::default("log-format", "\"text\"").more("text or json."),
        Key::example(
            "uplink",
            "interface = \"eth1\"\nmode = \"auto\"\nvtep = [\"192.0.2.1/24\", \"2001:db8::1/64\"]\ngateway = [\"192.0.2.254\"]",
        )
        .table("[[uplink]]")
        .more("In the file each has a table of its own; without any, containers of this node reach each other only."),
        Key::default(
            "flow-timeout",
            "tcp = 7440\ntcp-syn-sent = 30\ntcp-syn-received = 60\ntcp-closing = 240\ntcp-time-wait = 120\ntcp-closed = 10\n\
             udp = 180\nicmp = 60\nother = 600\nunreplied = 30\ndenied = 10\nuntracked = 120",
        )
        .table("[flow-timeout]"),
    ],
};

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use clap::{CommandFactory as _, Parser as _};
    use vrouter_manual::fields;

    use super::{
        super::{Config, Flags, file::File},
        REFERENCE,
    };

    fn read(text: &str) -> Config {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let flags = Flags::try_parse_from(["vrouterd", "--config", file.path().to_str().unwrap()]).unwrap();
        Config::new(flags, "host").unwrap()
    }

    #[test]
    fn every_key_and_every_flag_is_told_of() {
        assert_eq!(REFERENCE.gap(&Flags::command(), fields::<File>()), None);
    }

    #[test]
    fn the_defaults_told_are_those_in_force() {
        assert_eq!(read(&REFERENCE.in_force(false)), read(""));
    }

    #[test]
    fn the_examples_told_can_be_used() {
        // What the file says in two places may be said in one only.
        let text = REFERENCE.in_force(true);
        let alone = text.lines().filter(|line| !line.starts_with("workers"));
        let mut in_table = false;
        let kept = alone.filter(|line| {
            in_table |= line.starts_with('[');
            in_table || !(line.starts_with("vtep") || line.starts_with("gateway"))
        });
        let config = read(&kept.collect::<Vec<_>>().join("\n"));
        assert_eq!(config.node, "node1");
        assert_eq!(config.uplinks.len(), 1);
        assert_eq!(config.cpus, [2, 3]);
    }

    #[test]
    fn documents_are_what_the_code_says() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert_eq!(REFERENCE.stale(&Flags::command(), &top), None);
    }
}
