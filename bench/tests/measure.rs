//! Mixes, captures, searches and latencies between network namespaces.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

mod lab;

use std::{
    fs::{self, File},
    time::Duration,
};

use pcap_file::{
    DataLink,
    pcap::{PcapPacket, PcapWriter},
    pcapng::{
        PcapNgWriter,
        blocks::{enhanced_packet::EnhancedPacketBlock, interface_description::InterfaceDescriptionBlock},
    },
};
use serde_json::Value;

use lab::{Namespaces, Running, Veth, all_is_well, ip, pktgen};

const V4: &str = "--src 10.0.0.0/28 --dst 10.1.0.1-10.1.0.9";
const V6: &str = "--src 2001:db8::/124 --dst 2001:db8:1::1-2001:db8:1::9";

/// The report of a pktgen that ends with this status.
fn report(arguments: &str, status: i32) -> Value {
    let output = pktgen(arguments).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{arguments}: {words}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn path(veth: &Veth) -> String {
    let Veth { left, right, mac, .. } = veth;
    format!("--tx v0 --tx-netns {left} --rx v1 --rx-netns {right} --to-mac {mac}")
}

#[test]
fn mixes_of_sizes_and_flows_keep_a_rate_in_bits() {
    let Some(veth) = Veth::new("numrxqueues 2 numtxqueues 2") else {
        return;
    };
    let path = path(&veth);
    for (addresses, least) in [(V4, 60), (V6, 80)] {
        let run = report(
            &format!(
                "run {path} {addresses} --sport 1000-1999 --flow-order random --imix simple --rate 20Mbit-l1 --count 1200"
            ),
            0,
        );
        all_is_well(&run["received"], 1200);
        assert_eq!(run["sent"]["bytes"], 100 * (7 * least + 4 * 590 + 1514));
        assert_eq!(run["sent"]["asked"], "20.000 Mbit/s of the link");
        let latency = &run["received"]["latency"];
        let figure = |name: &str| latency[name].as_f64().unwrap();
        assert_eq!(latency["packets"], 1200);
        let order = ["min_us", "p50_us", "p90_us", "p99_us", "p999_us", "max_us"].map(figure);
        assert!(
            order.is_sorted() && figure("mean_us") > 0.0 && figure("jitter_us") > 0.0,
            "{run:#}"
        );
    }
    let both = report(&format!("run {path} {V6} --senders 2 --rate 4k --count 1001"), 0);
    all_is_well(&both["received"], 1001);
    assert_eq!(
        (
            &both["received"]["streams"],
            both["sent"]["streams"].as_array().unwrap().len()
        ),
        (&2.into(), 2)
    );
}

#[test]
fn trials_can_be_repeated() {
    let Some(veth) = Veth::new("") else { return };
    let run = report(&format!("run {} {V4} --rate 2k --count 200 --repeat 3", path(&veth)), 0);
    let trials = run["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 3);
    trials.iter().for_each(|trial| all_is_well(&trial["received"], 200));
    assert_eq!(run["loss"]["max"], 0.0);
    assert!(run["latency_p99_us"]["median"].as_f64().unwrap() > 0.0, "{run:#}");
}

#[test]
fn a_host_answers_echo_requests_of_both_families() {
    let Some(veth) = Veth::new("") else { return };
    let Veth { left, right, mac, .. } = &veth;
    let a = "02:00:00:00:01:00";
    for (address, neighbour) in [("10.0.0.2/24", "10.0.0.1"), ("2001:db8::2/64", "2001:db8::1")] {
        ip(&format!("-n {right} address add {address} dev v1 nodad")).unwrap();
        ip(&format!("-n {right} neighbour add {neighbour} lladdr {a} dev v1")).unwrap();
        let (host, _) = address.split_once('/').unwrap();
        let run = report(
            &format!(
                "run --tx v0 --tx-netns {left} --rx v0 --rx-netns {left} --to-mac {mac} --src {neighbour} --dst {host} \
                 --proto icmp-echo --sport 1-4 --dport 1-25 --rate 200 --count 100"
            ),
            0,
        );
        all_is_well(&run["received"], 100);
    }
}

fn frame(number: u8) -> Vec<u8> {
    let mut frame = vec![number; 60 + usize::from(number)];
    // An experimental ethertype, so that no stack looks at it.
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

#[test]
fn captures_go_through_in_their_own_time_or_at_a_rate() {
    let Some(veth) = Veth::new("") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (pcap, pcapng) = (dir.path().join("t.pcap"), dir.path().join("t.pcapng"));
    let mut old = PcapWriter::new(File::create(&pcap).unwrap()).unwrap();
    let mut new = PcapNgWriter::new(File::create(&pcapng).unwrap()).unwrap();
    new.write_pcapng_block(InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0xffff))
        .unwrap();
    // Fifty packets, 4 ms apart: 196 ms, and as long a gap before the next turn.
    for number in 0..50u8 {
        let (data, time) = (frame(number), Duration::from_millis(4 * u64::from(number)));
        let packet = PcapPacket::new(time, data.len() as u32, &data);
        old.write_packet(&packet).unwrap();
        new.write_pcapng_block(EnhancedPacketBlock {
            interface_id: 0,
            // In units of a microsecond, which the library takes for nanoseconds.
            timestamp: Duration::from_nanos(time.as_micros() as u64),
            original_len: data.len() as u32,
            data: data.into(),
            options: Vec::new(),
        })
        .unwrap();
    }
    let bytes: usize = (0..50).map(|number| frame(number).len()).sum();
    for file in [&pcap, &pcapng] {
        let path = path(&veth);
        let run = report(&format!("run {path} --pcap {} --loops 2", file.display()), 0);
        let (sent, received) = (&run["sent"], &run["received"]);
        assert_eq!((&sent["packets"], &sent["bytes"]), (&100.into(), &(2 * bytes).into()));
        assert_eq!((&received["packets"], &received["lost"]), (&100.into(), &0.into()));
        assert_eq!(
            (&received["bytes"], &received["latency"]),
            (&(2 * bytes).into(), &Value::Null)
        );
        assert_eq!(sent["asked"], "as recorded");
        assert!(sent["seconds"].as_f64().unwrap() >= 0.39, "in its own time: {run:#}");
        let fast = report(&format!("run {path} --pcap {} --rate 20k", file.display()), 0);
        assert_eq!(fast["received"]["packets"], 50);
        assert!(fast["sent"]["asked_packets_per_second"] == 20_000.0, "{fast:#}");
    }
    // A receiver of its own counts all frames too.
    let receiver = veth.receive("--seconds 60 --expect 50 --all");
    let sent = veth.send(&format!("--pcap {} --rate 10k", pcap.display()));
    assert_eq!(sent["packets"], 50);
    assert_eq!(receiver.report().0["packets"], 50);
}

#[test]
fn a_search_ends_with_rates_latencies_and_files() {
    let Some(line) = Namespaces::new(3) else { return };
    line.join([(0, "a0", "02:00:00:00:00:0a"), (1, "m0", "02:00:00:00:00:01")], "");
    line.join([(1, "m1", "02:00:00:00:00:02"), (2, "b0", "02:00:00:00:00:0b")], "");
    let [a, m, b] = [&line.0[0], &line.0[1], &line.0[2]];
    // The device under test passes 2,000 packets of 64 bytes a second: a token bucket in the kernel, behind a bridge.
    for command in [
        format!("-n {m} link add br0 type bridge"),
        format!("-n {m} link set br0 up"),
        format!("-n {m} link set m0 master br0"),
        format!("-n {m} link set m1 master br0"),
    ] {
        ip(&command).unwrap();
    }
    let qdisc = std::process::Command::new("tc")
        .args([
            "-n", m, "qdisc", "add", "dev", "m1", "root", "tbf", "rate", "1024kbit", "burst", "2kb", "limit", "2kb",
        ])
        .output()
        .unwrap();
    assert!(qdisc.status.success(), "{}", String::from_utf8_lossy(&qdisc.stderr));
    let dir = tempfile::tempdir().unwrap();
    let (percentiles, log) = (dir.path().join("l.hgrm"), dir.path().join("l.hlog"));
    let search = report(
        &format!(
            "search --tx a0 --tx-netns {a} --rx b0 --rx-netns {b} --to-mac 02:00:00:00:00:0b --src 10.0.0.1 --dst 10.0.0.2 \
             --max-rate 20k --min-rate 100 --loss 0,5 --resolution 5 --trial-seconds 0.5 --trials 1 --pause 0 --warm-up 0.2 \
             --percentiles {} --hdr-log {}",
            percentiles.display(),
            log.display()
        ),
        0,
    );
    let goals = search["goals"].as_array().unwrap();
    assert_eq!(
        (goals.len(), &goals[0]["name"], &goals[1]["name"]),
        (2, &"NDR".into(), &"5%".into())
    );
    let trials = search["trials"].as_array().unwrap();
    assert!(trials.len() >= 4, "the highest rate alone does not tell: {search:#}");
    assert!(
        trials[0]["loss"].as_f64().unwrap() > 0.5,
        "20,000 do not go through: {search:#}"
    );
    for goal in goals {
        let rate = goal["packets_per_second"].as_f64().unwrap();
        // What a bucket and a queue hold lets somewhat more through in a short trial.
        assert!((100.0..4_000.0).contains(&rate), "{search:#}");
        // On a busy machine the sender may be what is too slow.
        assert!(goal["bound"] == "device" || goal["bound"] == "sender", "{search:#}");
        let trial = &goal["trial"];
        let (lost, sent) = (
            trial["received"]["lost"].as_f64().unwrap(),
            trial["sent"]["packets"].as_f64().unwrap(),
        );
        assert!(lost / sent <= goal["allowed_loss"].as_f64().unwrap(), "{search:#}");
        assert!(trial["received"]["latency"]["p50_us"].as_f64().unwrap() > 0.0);
    }
    for name in ["l-NDR.hgrm", "l-5%.hgrm", "l-NDR.hlog", "l-5%.hlog"] {
        assert!(fs::metadata(dir.path().join(name)).unwrap().len() > 100, "{name}");
    }
}

#[test]
fn a_search_can_send_and_receive_on_one_interface() {
    let Some(line) = Namespaces::new(2) else { return };
    line.join([(0, "a0", "02:00:00:00:00:0a"), (1, "m0", "02:00:00:00:00:01")], "");
    let (a, m) = (&line.0[0], &line.0[1]);
    let _reflector = Running::start(
        &format!("reflect --from m0 --from-netns {m} --swap-macs --seconds 600"),
        "reflecting m0 -> m0",
    );
    let search = report(
        &format!(
            "search --tx a0 --tx-netns {a} --rx a0 --rx-netns {a} --to-mac 02:00:00:00:00:01 --src 2001:db8::1 --dst 2001:db8::2 \
             --max-rate 1k --min-rate 100 --trial-seconds 0.2 --trials 3 --pause 0 --warm-up 0"
        ),
        0,
    );
    let rate = search["goals"][0]["packets_per_second"].as_f64().unwrap();
    assert!((100.0..1_100.0).contains(&rate), "{search:#}");
    assert!(search["trials"].as_array().unwrap().len() >= 3);
}

#[test]
fn mistakes_are_told_in_words() {
    let complaint = |arguments: &str, status| {
        let output = pktgen(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{text}");
        text
    };
    let Some(veth) = Veth::new("") else { return };
    let path = path(&veth);
    let run = format!("run {path} --count 1");
    assert!(complaint(&format!("{run} --pcap /nowhere/t.pcap"), 1).contains("/nowhere/t.pcap: No such file"));
    assert!(complaint(&format!("{run} {V4} --loops 2"), 1).contains("--pcap is missing"));
    assert!(complaint(&format!("{run} {V4} --imix 64:1,3000:1"), 1).contains("its MTU is 1500"));
    assert!(complaint(&format!("{run} {V4} --sport 1-2 --dport 1-2 --flows 1000"), 1).contains("give 1 to 576"));
    assert!(complaint(&format!("{run} {V4} --hdr-log /nowhere/l.hlog"), 1).contains("/nowhere/l.hlog: No such file"));
    assert!(complaint(&format!("search {path} {V4} --loss 100"), 1).contains("a loss of 1 is impossible"));
    assert!(complaint(&format!("search {path} {V4} --resolution 0"), 1).contains("a resolution of 0 is impossible"));
    let left = &veth.left;
    let both = format!(
        "run --tx v0 --tx-netns {left} --rx v0 --rx-netns {left} {V4} --to-mac {} --count 1",
        veth.mac
    );
    assert!(complaint(&format!("{both} --senders 2"), 1).contains("leave --senders away"));
}
