use proptest::prelude::*;

use super::*;
use crate::{
    packet::{FrameCache, FramePool},
    tables::qos::Rate,
};

fn frame(frames: &mut FrameCache, number: u16, len: usize) -> Frame {
    let mut frame = frames.take().unwrap();
    let mut bytes = vec![0; len];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    frame.copy_from(&bytes).unwrap();
    frame
}

fn number(frame: &Frame) -> u16 {
    u16::from_be_bytes([frame.data()[0], frame.data()[1]])
}

fn port(number: u16) -> PortSlot {
    PortSlot::from_raw(number)
}

#[test]
fn a_port_that_holds_its_share_leaves_the_rest_to_others() {
    let pool = FramePool::new(64, 2048).unwrap();
    let mut frames = pool.cache();
    let mut shaper = Shaper::new(16, 0);
    for number in 0..2 {
        shaper.add_port(port(number));
    }
    for number in 0..4 {
        shaper
            .hold(port(0), frame(&mut frames, number, 100), u64::MAX, 50)
            .unwrap();
    }
    let refused = shaper
        .hold(port(0), frame(&mut frames, 9, 100), u64::MAX, 50)
        .unwrap_err();
    frames.free(refused);
    shaper.hold(port(1), frame(&mut frames, 0, 100), u64::MAX, 40).unwrap();
    assert_eq!((shaper.held(), shaper.due()), (5, Some(40)));
    assert_eq!(shaper.next_due(0, 39), None);
    assert_eq!(shaper.next_due(0, 49), Some((1, port(1))));
    let unknown = shaper
        .hold(port(7), frame(&mut frames, 0, 100), u64::MAX, 0)
        .unwrap_err();
    frames.free(unknown);
    while let Some(frame) = shaper.take_any() {
        frames.free(frame);
    }
    assert_eq!((shaper.held(), shaper.due(), pool.free()), (0, None, 64));
}

#[test]
fn large_frames_are_shared_among_ports_by_themselves() {
    let pool = FramePool::with_large(64, 2048, 8).unwrap();
    let mut frames = pool.cache();
    let mut shaper = Shaper::new(400, 4);
    for number in 0..6 {
        shaper.add_port(port(number));
    }
    let mut hold = |frames: &mut FrameCache, number: u16| {
        let frame = frames.take_large().unwrap();
        match shaper.hold(port(number), frame, u64::MAX, 50) {
            Ok(()) => true,
            Err(frame) => {
                frames.free(frame);
                false
            }
        }
    };
    assert!(hold(&mut frames, 0));
    assert!(!hold(&mut frames, 0), "a port has its quarter");
    assert!((1..4).all(|number| hold(&mut frames, number)));
    assert!(!hold(&mut frames, 4), "all room is taken");
    shaper.hold(port(0), frame(&mut frames, 0, 100), u64::MAX, 50).unwrap();
    frames.free(shaper.take(port(0)).unwrap());
    let again = frames.take_large().unwrap();
    shaper.hold(port(4), again, u64::MAX, 50).unwrap();
    while let Some(frame) = shaper.take_any() {
        frames.free(frame);
    }
    assert_eq!((shaper.held(), pool.free()), (0, 64));
}

proptest! {
    /// What is taken in comes out, each once, in order, and never above the limit; nothing below the queue's bound is refused.
    #[test]
    fn keeps_order_and_loses_nothing_below_its_queue(
        rate in 1_000_000_u64..10_000_000_000,
        queue_bytes in 10_000_u64..40_000,
        steps in prop::collection::vec((0_u64..300_000, 60_usize..1500), 1..200),
    ) {
        let pool = FramePool::new(256, 2048).unwrap();
        let mut frames = pool.cache();
        let burst = 10_000;
        let meter = Meter::new(Rate { bits_per_second: rate, burst_bytes: burst, queue_bytes, shape: true, ..Rate::default() });
        let mut shaper = Shaper::new(800, 0);
        shaper.add_port(port(3));
        let (mut now, mut queued, mut sent, mut taken, mut out) = (0, 0_u64, 0_u64, Vec::new(), Vec::new());
        for (arriving, (gap, len)) in steps.into_iter().enumerate() {
            now += gap;
            while let Some(frame) = shaper.release(port(3), Some(&meter), now) {
                queued -= frame.len() as u64;
                sent += frame.len() as u64;
                out.push(number(&frame));
                frames.free(frame);
            }
            let allowed = (u128::from(rate) * u128::from(now) / 8_000_000_000) as u64 + burst;
            prop_assert!(sent <= allowed + 1, "{sent} bytes at {now}, {allowed} allowed");
            prop_assert!(shaper.due().is_none_or(|due| due > now), "what is due was released");
            match shaper.hold(port(3), frame(&mut frames, arriving as u16, len), meter.queue_bytes(), now) {
                Ok(()) => {
                    queued += len as u64;
                    taken.push(arriving as u16);
                }
                Err(frame) => {
                    prop_assert!(queued + len as u64 > queue_bytes || shaper.held() >= 200, "refused too early");
                    frames.free(frame);
                }
            }
            prop_assert_eq!(pool.free() + shaper.held(), 256);
        }
        while let Some(due) = shaper.due() {
            now = now.max(due);
            while let Some(frame) = shaper.release(port(3), Some(&meter), now) {
                out.push(number(&frame));
                frames.free(frame);
            }
        }
        prop_assert_eq!(out, taken);
        prop_assert_eq!(pool.free(), 256);
    }
}
