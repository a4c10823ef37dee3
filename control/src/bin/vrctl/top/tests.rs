//! What is drawn, at the sizes that terminals have.

use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use vrouter_proto::dataplane as api;

use super::super::{
    frame::{Frame, Reading},
    model::Wish,
};
use super::*;

fn reading(at: Instant, times: u64) -> Reading {
    let port = |id: u32, name: &str, rx: u64, tx: u64, drops: &[(&str, u64)]| api::PortStatistics {
        port: id,
        name: name.to_owned(),
        rx_packets: rx * times,
        rx_bytes: rx * times * 100,
        tx_packets: tx * times,
        tx_bytes: tx * times * 1000,
        drops: drops
            .iter()
            .map(|(reason, packets)| api::DropCount {
                reason: (*reason).to_owned(),
                packets: packets * times,
            })
            .collect(),
        flows: 2,
    };
    let flow = |source: &str, destination: &str, protocol, packets: u64, reason: &str| api::Flow {
        vrf: 7,
        source: source.to_owned(),
        destination: destination.to_owned(),
        protocol,
        source_port: 40_000,
        destination_port: 443,
        packets: packets * times,
        bytes: packets * times * 200,
        age_seconds: 100,
        state: "established".to_owned(),
        decision: Some(api::Decision {
            drop_reason: reason.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    Reading {
        node: "node1".to_owned(),
        at,
        statistics: api::GetStatisticsResponse {
            revision: 42,
            ports: vec![
                port(1, "blue/web-1", 1000, 10, &[("no_route", 5)]),
                port(2, "blue/db-1", 200_000, 5, &[("no_route", 1), ("spoofed_ip", 0)]),
                port(3, "wire0", 3, 123_456, &[]),
            ],
            workers: vec![api::WorkerStatistics {
                worker: 0,
                cpu: 3,
                loops: 1000 * times,
                busy_loops: 250 * times,
                sleeps: 10 * times,
                batch_size: Some(api::Histogram {
                    p50: 12,
                    ..Default::default()
                }),
                ..Default::default()
            }],
            frames: Some(api::FrameStatistics {
                total: 65_536,
                free: 60_000,
                frame_size: 2048,
            }),
            flows: Some(api::FlowStatistics {
                capacity: 1 << 20,
                used: 6,
                created: 4 * times,
                ..Default::default()
            }),
            ..Default::default()
        },
        flows: vec![
            flow("10.1.0.2", "10.1.0.3", 6, 900, ""),
            flow("fd00:1::2", "fd00:1::3", 17, 100_000, ""),
            flow("10.1.0.9", "10.1.0.3", 6, 5, "policy_denied_ingress"),
            flow("10.1.0.8", "10.1.0.3", 6, 0, ""),
        ],
    }
}

fn model() -> Model {
    let start = Instant::now();
    let (before, now) = (reading(start, 1), reading(start + Duration::from_secs(2), 3));
    let mut model = Model::new(Duration::from_secs(2), String::new());
    model.show(Frame::new(&before, &now));
    model
}

fn press(model: &mut Model, keys: &str) -> Wish {
    let mut wish = Wish::Nothing;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            other => KeyCode::Char(other),
        };
        wish = model.handle(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    wish
}

fn drawn(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|canvas| draw(canvas, model)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn everything_at_eighty_by_twenty_four() {
    insta::assert_snapshot!(drawn(&model(), 80, 24));
}

#[test]
fn flows_with_a_filter_and_help_over_drops() {
    let mut model = model();
    press(&mut model, "2s/10.1\n");
    insta::assert_snapshot!("flows", drawn(&model, 100, 12));
    press(&mut model, "3? ");
    model.fail("the connection was lost: gone\nhint: nothing");
    insta::assert_snapshot!("help", drawn(&model, 80, 16));
}

#[test]
fn any_size_can_be_drawn() {
    let mut model = model();
    for keys in ["0", "1", "2", "3", "4", "?"] {
        press(&mut model, keys);
        for (width, height) in [(1, 1), (5, 2), (20, 4), (79, 3), (300, 100)] {
            drawn(&model, width, height);
        }
    }
}

#[test]
fn rates_are_differences_and_orders_are_chosen() {
    let mut model = model();
    let names = |model: &Model| model.ports().iter().map(|port| port.name.clone()).collect::<Vec<_>>();
    // Two readings' worth in two seconds.
    assert_eq!(model.frame.ports[0].rx_packets_per_second, 1000.0);
    assert_eq!(model.frame.drops[0].packets_per_second, 6.0);
    assert_eq!((model.frame.workers[0].busy, model.frame.flows.len()), (0.25, 3));
    assert_eq!(names(&model), ["blue/db-1", "blue/web-1", "wire0"]);
    press(&mut model, "s");
    assert_eq!(names(&model), ["wire0", "blue/web-1", "blue/db-1"]);
    press(&mut model, "r");
    assert_eq!(names(&model), ["blue/db-1", "blue/web-1", "wire0"]);
    press(&mut model, "/web\n");
    assert_eq!(names(&model), ["blue/web-1"]);
    assert_eq!(press(&mut model, "n"), Wish::NextNode);
    assert_eq!(press(&mut model, "q"), Wish::Quit);
    let interrupt = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    press(&mut model, "/");
    assert_eq!(model.handle(&interrupt), Wish::Quit);
}

#[test]
fn what_stands_still_is_not_changed_by_what_comes() {
    let mut model = model();
    press(&mut model, " ");
    let before = model.frame.clone();
    model.show(Frame::default());
    assert_eq!(model.frame, before);
    press(&mut model, " ");
    model.show(Frame::default());
    assert_eq!(model.frame, Frame::default());
}

#[test]
fn text_is_the_same_without_a_terminal() {
    let text = text(&model());
    assert!(
        text.starts_with("node1 revision 42") && text.contains("blue/db-1"),
        "{text}"
    );
    assert!(
        text.lines().all(|line| line == line.trim_end()) && !text.contains("q quit"),
        "{text}"
    );
}
