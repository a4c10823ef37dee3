//! Drops, statistics and information.

use serde_json::json;

use crate::harness::House;

#[test]
fn drops_are_explained() {
    let house = House::new();
    let expected = "\
WHERE  NAME       REASON    PACKETS  EXPLANATION
port   web-1 (3)  no_route        5  no route to the destination
vrf    blue (7)   no_route        4  no route to the destination
";
    assert_eq!(house.ok(&["drops"]), expected);
    let all = house.json(&["drops", "--all"]);
    assert_eq!(all.as_array().unwrap().len(), 3);
    assert_eq!(all[2]["reason"], "bad_checksum");
    assert_eq!(house.json(&["drops", "-m", "scope=vrf"])[0]["id"], 7);
}

#[test]
fn statistics_are_totals() {
    let house = House::new();
    let shown = house.ok(&["stats"]);
    let blocks: Vec<&str> = shown.split("\n\n").collect();
    assert_eq!(blocks.len(), 6, "{shown}");
    assert!(
        blocks[0].ends_with("web-1 (3)        1000     64000           0         0      5      2"),
        "{shown}"
    );
    assert!(
        blocks[2].contains("any") && blocks[2].contains("850 ns") && blocks[2].contains("12.5 us"),
        "{shown}"
    );
    let stats = house.json(&["stats"]);
    assert_eq!(
        stats["frames"],
        json!({"total": 8192, "free": 8000, "held": 192, "frame_size": 4096})
    );
    assert_eq!(
        stats["packets"],
        json!({"originated": 11, "fragmented": 2, "segmented": 5, "coalesced": 6, "errors_withheld": 1, "mirrored": 7,
            "mirror_lost": 3, "shaped": 4})
    );
    assert!(
        blocks[5].starts_with("ORIGINATED") && blocks[5].ends_with("4\n"),
        "{shown}"
    );
    assert_eq!(
        stats["ports"][0]["drops"],
        json!([{"reason": "no_route", "packets": 5}])
    );
}

#[test]
fn watched_statistics_are_rates() {
    let house = House::new();
    let output = house.ok(&["stats", "--watch", "0.1", "--count", "2", "-o", "json"]);
    let lines: Vec<serde_json::Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(house.dataplane.state().readings, 3);
    for line in &lines {
        // 1000 packets in each interval, however long it was.
        let packets = line["ports"][0]["rx_packets_per_second"].as_f64().unwrap();
        let seconds = line["interval_seconds"].as_f64().unwrap();
        assert!((packets * seconds - 1000.0).abs() < 1e-6, "{line}");
        assert_eq!(line["ports"][0]["drops_per_second"], 0.0);
    }
    let text = house.ok(&["stats", "--watch", "0.1", "--count", "1"]);
    assert!(
        text.starts_with("PORT       RX PACKETS/S"),
        "not drawn in place without a terminal: {text}"
    );
}

#[test]
fn info_is_complete() {
    let house = House::new();
    let text = house.ok(&["info"]);
    assert!(text.contains("NODE           node1\n"), "{text}");
    assert!(text.contains("VTEP           192.0.2.1,2001:db8::1\n"), "{text}");
    assert_eq!(house.json(&["info"])["limits"]["next_hops"], 65536);
}

#[test]
fn top_prints_one_frame_or_lines_of_json() {
    let house = House::new();
    let shown = house.ok(&["top", "--once", "--interval", "0.1"]);
    assert!(
        shown.contains("web-1") && shown.contains("no_route") && shown.contains("Workers"),
        "{shown}"
    );
    assert!(!shown.contains('\x1b'), "text without colours: {shown:?}");
    let output = house.ok(&["top", "--interval", "0.1", "--count", "2", "-o", "json"]);
    let lines: Vec<serde_json::Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let packets = line["ports"][0]["rx_packets_per_second"].as_f64().unwrap();
        let seconds = line["interval_seconds"].as_f64().unwrap();
        assert!((packets * seconds - 1000.0).abs() < 1e-6, "{line}");
        assert_eq!(
            (&line["ports"][0]["name"], &line["drops"][0]["packets"]),
            (&json!("web-1"), &json!(5))
        );
    }
    let complaint = house.fails(2, &["top"]);
    assert!(complaint.contains("--once"), "{complaint}");
    let complaint = house.fails(1, &["top", "--once", "--node", "nowhere"]);
    assert!(complaint.contains("nowhere"), "{complaint}");
}

/// Under a terminal of 80 by 24, by `script` of Debian's bsdutils.
#[test]
fn top_takes_the_terminal_and_gives_it_back() {
    use std::{io::Write as _, process::Stdio};
    let house = House::new();
    let vrctl = house.command(&["top", "--interval", "0.1"]);
    let line = format!(
        "stty cols 80 rows 24; {} top --interval 0.1",
        vrctl.get_program().display()
    );
    let mut script = std::process::Command::new("script");
    script.args(["-q", "-e", "-c", &line, "/dev/null"]).env("TERM", "xterm");
    for (name, value) in vrctl.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut keys = child.stdin.take().unwrap();
    for key in ["1", "s", "?", "?", "q"] {
        std::thread::sleep(std::time::Duration::from_millis(300));
        // It may have ended, which the status below tells.
        let _ = keys.write_all(key.as_bytes());
        let _ = keys.flush();
    }
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
    let (taken, given) = (shown.find("\x1b[?1049h"), shown.rfind("\x1b[?1049l"));
    assert!(taken.is_some() && given > taken, "{shown:?}");
    for words in ["web-1", "Keys", "quit"] {
        assert!(shown.contains(words), "{words} in {shown:?}");
    }
}
