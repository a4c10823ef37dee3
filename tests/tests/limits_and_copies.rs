//! Limits, marks and copies of real containers' packets, asked for with vrctl.

use anyhow::{Result, ensure};
use vrouter_proto::control::Encapsulation;
use vrouter_tests::{
    cluster::{Cluster, Options},
    node::Family,
    require,
    topology::Topology,
    traffic::{self, Stream},
    wait,
};

#[test]
fn limits_drop_what_is_too_much_and_marks_are_seen_on_the_wire() -> Result<()> {
    require!(Root, Daemons, Tshark);
    Topology::run("limits", |t| {
        let cluster = Cluster::start(t, &Options::default())?;
        cluster.routed_network("blue", 1, Encapsulation::Vxlan)?;
        let (fast, sink) = (cluster.attach(0, "blue", "fast")?, cluster.attach(1, "blue", "sink")?);
        cluster.settle()?;
        for family in Family::BOTH {
            wait::until("the way to be known", || {
                traffic::ping(&fast.netns, sink.ip(family)?, 1)
            })?;
        }
        // A hundred packets a second, ten at once.
        cluster.vrctl(
            None,
            &[
                "qos",
                "create",
                "slow",
                "--egress",
                "pps=100,burst-packets=10",
                "--dscp",
                "46",
            ],
        )?;
        cluster.vrctl(None, &["endpoint", "update", "blue/fast", "--qos", "slow"])?;
        cluster.settle()?;
        let capture = cluster.capture(0, "")?;
        for family in Family::BOTH {
            let stream = Stream::start(&fast.netns, &sink.netns, sink.ip(family)?, 2000, 100)?;
            std::thread::sleep(std::time::Duration::from_millis(500));
            let report = stream.stop()?;
            ensure!(report.lost() > 0, "2000 packets a second fit into 100: {report:?}");
        }
        ensure!(
            cluster.compute(0)?.dataplane()?.drops("policer_exceeded")? > 0,
            "counted by their reason"
        );
        let pcap = capture.stop()?;
        for filter in [
            "vxlan && ip.dsfield.dscp == 46 && udp",
            "vxlan && ipv6.tclass.dscp == 46 && udp",
        ] {
            ensure!(pcap.count(filter)? > 0, "{filter}");
        }
        Ok(())
    })
}

#[test]
fn copies_arrive_at_collectors_by_erspan_and_vxlan() -> Result<()> {
    require!(Root, Daemons, Tshark);
    Topology::run("copies", |t| {
        let options = Options {
            others: 1,
            ..Options::default()
        };
        let cluster = Cluster::start(t, &options)?;
        cluster.routed_network("blue", 1, Encapsulation::Vxlan)?;
        let (one, two) = (cluster.attach(0, "blue", "one")?, cluster.attach(0, "blue", "two")?);
        cluster.settle()?;
        for family in Family::BOTH {
            let collector = cluster.others[0].underlay(family);
            for (name, to, layer) in [
                ("e", format!("erspan:{collector},session=5"), "erspan"),
                ("v", format!("vxlan:{collector},vni=777"), "vxlan.vni == 777"),
            ] {
                cluster.vrctl(None, &["mirror", "create", name, "--endpoint", "blue/one", "--to", &to])?;
                cluster.settle()?;
                let capture = cluster.capture(0, "")?;
                // Both containers are on one node: nothing of them would be on the wire but for the copies.
                for inner in Family::BOTH {
                    traffic::ping(&one.netns, two.ip(inner)?, 3)?;
                }
                let pcap = capture.stop()?;
                for ping in [
                    "icmp.type == 8",
                    "icmp.type == 0",
                    "icmpv6.type == 128",
                    "icmpv6.type == 129",
                ] {
                    let seen = pcap.count(&format!("{layer} && {ping}"))?;
                    ensure!(seen >= 1, "{seen} copies of {ping} in {layer}");
                }
                cluster.vrctl(None, &["mirror", "delete", name])?;
                cluster.settle()?;
            }
        }
        Ok(())
    })
}
