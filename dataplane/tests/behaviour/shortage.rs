//! When something runs out: every frame that cannot go on is counted, and none is lost.

use vrouter_dataplane::{
    engine::Settings,
    packet::DropReason,
    program::object::{Attachment, Object},
    wire::Mac,
};

use crate::{
    lab::{
        bytes::ethernet,
        node::{Node, UPLINK},
        objects::{bridge_spec, port_spec, station},
        settings,
    },
    site::{FAMILIES, VXLAN4, behind, from_one, furnish, host, out_of, p},
};

/// Frames that a memory port holds on their way out.
const DEPTH: u64 = 1024;

#[test]
fn what_a_full_port_does_not_take_is_dropped_and_counted() {
    for workers in [1, 2] {
        for v6 in FAMILIES {
            let mut node = furnish(Node::with(&Settings { workers, ..settings() }, 8192, 2048));
            let sent = 1500;
            for number in 0..sent {
                assert!(node.dp.send(
                    &p(1),
                    &out_of(1, &from_one(v6, host(v6, 2)).udp((number as u16, 2), b"x"))
                ));
                if number % 50 == 0 {
                    node.dp.step();
                }
            }
            node.dp.settle();
            assert_eq!(node.count(DropReason::TransmitQueueFull), sent - DEPTH);
            node.pump();
            node.check();
            assert_eq!(node.take().len() as u64, DEPTH);
            // There is room again.
            node.one(&p(1), &out_of(1, &from_one(v6, host(v6, 2)).udp((1, 2), b"x")), &p(2));
        }
    }
}

#[test]
fn a_flood_without_free_frames_reaches_whom_it_can_and_counts_the_rest() {
    let mut node = Node::new();
    node.put([Object::Bridge(bridge_spec(1))]);
    node.put([1, 2, 3].map(|id| Object::Port(port_spec(id, Attachment::Bridge(1)))));
    let frame = ethernet(Mac::BROADCAST, station(1), 0x88b5, &[3; 50]);
    // Most of the pool waits to be received, and nobody takes what comes out.
    let mut sent = 0;
    while sent < 700 && node.dp.send("p1", &frame) {
        sent += 1;
    }
    node.dp.settle();
    node.pump();
    node.check();
    let (out, missing) = (node.take(), node.count(DropReason::NoFrame));
    assert!(missing > 0, "{sent} frames for two ports each do not fit into the pool");
    assert_eq!(out.len() as u64 + missing, 2 * sent);
    // All frames are back: a flood reaches everybody again.
    assert_eq!(node.send("p1", &frame).len(), 2);
}

#[test]
fn errors_without_free_frames_are_withheld_and_the_drop_is_counted() {
    let mut node = furnish(Node::new());
    let packet = out_of(
        1,
        &from_one(false, crate::lab::objects::ip("10.200.0.1")).udp((1, 2), b"x"),
    );
    let mut sent = 0;
    while node.dp.send(&p(1), &packet) {
        sent += 1;
    }
    assert!(sent > 30, "the whole pool waits to be received");
    node.pump();
    node.check();
    assert_eq!(node.count(DropReason::NoRoute), sent);
    let withheld: u64 = node.dp.shared.counters.iter().map(|c| c.errors_withheld.get()).sum();
    assert_eq!(node.take().len() as u64 + withheld, sent);
}

#[test]
fn a_batch_of_fragments_larger_than_a_port_takes_at_once_is_counted() {
    let mut node = furnish(Node::with(&settings(), 8192, 2048));
    for number in 0..64 {
        let packet = from_one(false, behind(false, VXLAN4)).udp((number, 2), &[6; 1472]);
        assert!(node.dp.send(&p(1), &out_of(1, &packet)));
    }
    node.pump();
    node.check();
    let sent = node.take();
    assert!(sent.iter().all(|(interface, _)| interface == UPLINK));
    assert_eq!(sent.len() as u64 + node.count(DropReason::TransmitQueueFull), 128);
}
