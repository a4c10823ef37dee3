//! Ports that belong to vrouter alone.

use std::time::Instant;

use vrouter_dataplane::{
    packet::frame::HEADROOM,
    port::af_xdp::{AttachMode, Mode, RingSizes},
};

use crate::{
    Bed, PATIENCE, SILENCE,
    namespaces::{self, Pair, TEST_ETHERTYPE, number_of, test_frame},
};

#[test]
fn frames_cross_in_native_and_generic_mode() {
    let Some(mut bed) = Bed::new() else { return };
    let raw = bed.pair.raw();
    for (mode, attached) in [(Mode::Native, AttachMode::Native), (Mode::Generic, AttachMode::Generic)] {
        let mut port = bed.open(mode);
        assert_eq!((port.attachment.mode, port.attachment.zero_copy), (attached, false));
        assert_eq!(port.attachment.driver, "veth");
        assert!(port.link_up());
        for length in [60, 1000, 1514] {
            let sent = test_frame(7, length);
            raw.send(&sent);
            let mut got = bed.receive_test_frames(port.queues[0].as_mut(), 1);
            assert_eq!(got.len(), 1, "{mode}, {length} bytes");
            assert_eq!((got[0].start(), got[0].data()), (HEADROOM, &sent[..]));

            // Back out the way it would be encapsulated: with another header in front.
            let outer = test_frame(8, 50);
            got[0].truncate(1000);
            got[0].prepend(50).unwrap()[..50].copy_from_slice(&outer);
            let expected = got[0].data().to_vec();
            port.queues[0].transmit(&mut bed.frames, &mut got);
            port.queues[0].flush(&mut bed.frames);
            assert!(got.is_empty());
            assert_eq!(
                raw.receive_test_frame(PATIENCE),
                Some(expected),
                "{mode}, {length} bytes"
            );
        }
        bed.close(port);
    }
}

#[test]
fn paced_frames_are_never_lost() {
    const COUNT: u32 = 10_000;
    let Some(mut bed) = Bed::new() else { return };
    let raw = bed.pair.raw();
    for mode in [Mode::Native, Mode::Generic] {
        let mut port = bed.open(mode);
        let queue = &mut port.queues[0];
        let mut next = 0;
        while next < COUNT {
            let burst = next..COUNT.min(next + 100);
            burst.clone().for_each(|number| raw.send(&test_frame(number, 200)));
            let got = bed.receive_test_frames(queue.as_mut(), burst.len());
            assert!(got.iter().map(|f| number_of(f.data())).eq(burst.clone()), "{mode}");
            got.into_iter().for_each(|frame| bed.frames.free(frame));
            next = burst.end;
        }
        assert_eq!(queue.receive_lost(), 0);

        let mut batch = Vec::new();
        for start in (0..COUNT).step_by(500) {
            let numbers = start..start + 500;
            batch.extend(numbers.clone().map(|n| bed.frame_with(&test_frame(n, 200))));
            while !batch.is_empty() {
                queue.transmit(&mut bed.frames, &mut batch);
                queue.flush(&mut bed.frames);
            }
            for number in numbers {
                let frame = raw.receive_test_frame(PATIENCE);
                assert_eq!(frame.as_deref().map(number_of), Some(number), "{mode}");
            }
        }
        assert_eq!(queue.transmit_lost(), 0);
        bed.close(port);
    }
}

#[test]
fn a_frame_goes_from_port_to_port_without_a_copy() {
    let Some(mut bed) = Bed::new() else { return };
    let Some(other) = Pair::new() else { return };
    let (raw_in, raw_out) = (bed.pair.raw(), other.raw());
    let mut first = bed.open(Mode::Auto);
    // Of another network namespace, even.
    let mut second = other
        .inside
        .enter(|| bed.afxdp.open_access("in0", Mode::Auto, RingSizes::ACCESS))
        .unwrap();
    raw_in.send(&test_frame(1, 100));
    let mut got = bed.receive_test_frames(first.queues[0].as_mut(), 1);
    let address = got[0].data().as_ptr();
    assert!(bed.pool.memory().0.as_ptr().cast_const() <= address);
    second.queues[0].transmit(&mut bed.frames, &mut got);
    second.queues[0].flush(&mut bed.frames);
    assert_eq!(raw_out.receive_test_frame(PATIENCE), Some(test_frame(1, 100)));
    second.queues.drain(..).for_each(|queue| queue.close(&mut bed.frames));
    bed.close(first);
}

#[test]
fn ports_come_and_go_and_no_frame_is_missing() {
    let Some(mut bed) = Bed::new() else { return };
    let raw = bed.pair.raw();
    for round in 0..50 {
        let mut port = bed.open(if round % 2 == 0 { Mode::Native } else { Mode::Generic });
        // Frames in every place a frame can be: received and not fetched, being sent, in the fill ring.
        (0..20).for_each(|number| raw.send(&test_frame(number, 100)));
        let mut batch = (0..20).map(|n| bed.frame_with(&test_frame(n, 100))).collect();
        port.queues[0].transmit(&mut bed.frames, &mut batch);
        bed.free(batch);
        if round % 5 == 0 {
            // Dropped without closing: nothing is lost then either.
            drop(port);
            assert_eq!(bed.pool.free(), bed.pool.total() as usize);
        } else {
            bed.close(port);
        }
    }
}

#[test]
fn what_the_driver_loses_is_counted() {
    let Some(mut bed) = Bed::new() else { return };
    let raw = bed.pair.raw();
    let sizes = RingSizes {
        fill: 16,
        rx: 16,
        ..RingSizes::ACCESS
    };
    for mode in [Mode::Native, Mode::Generic] {
        let mut port = bed
            .pair
            .inside
            .enter(|| bed.afxdp.open_access("in0", mode, sizes))
            .unwrap();
        // Anything else on the wire would be counted too.
        let (mut other, mut batch) = (0, Vec::new());
        (0..100).for_each(|number| raw.send(&test_frame(number, 100)));
        let mut got = 0;
        let start = Instant::now();
        while got as u64 + port.queues[0].receive_lost() < 100 && start.elapsed() < PATIENCE {
            port.queues[0].receive(&mut bed.frames, &mut batch, 64);
            for frame in batch.drain(..) {
                if frame.data()[12..14] == TEST_ETHERTYPE {
                    got += 1;
                } else {
                    other += 1;
                }
                bed.frames.free(frame);
            }
        }
        let lost = port.queues[0].receive_lost();
        assert!(lost > 0 && got >= 16, "{mode}: received {got}, lost {lost}");
        assert!(
            got as u64 + lost <= 100 + 16,
            "{mode}: received {got}, lost {lost}, others {other}"
        );
        bed.close(port);
    }
}

#[test]
fn every_receive_queue_has_its_socket() {
    let Some(pair) = Pair::with_options("numrxqueues 4 numtxqueues 4") else {
        return;
    };
    let Some(mut bed) = Bed::on(pair, 4096, 2048) else {
        return;
    };
    let raw = bed.pair.raw();
    let mut port = bed.open(Mode::Native);
    assert_eq!((port.attachment.queues, port.queues.len()), (4, 4));
    assert!(
        port.attachment.why.starts_with("native, copy, 4 queues"),
        "{}",
        port.attachment.why
    );
    (0..64).for_each(|number| raw.send(&test_frame(number, 100)));
    let (start, mut got) = (Instant::now(), 0);
    while got < 64 && start.elapsed() < PATIENCE {
        for queue in &mut port.queues {
            let mut batch = Vec::new();
            queue.receive(&mut bed.frames, &mut batch, 64);
            got += batch.iter().filter(|f| f.data()[12..14] == TEST_ETHERTYPE).count();
            batch.into_iter().for_each(|frame| bed.frames.free(frame));
        }
    }
    assert_eq!(got, 64);
    bed.close(port);
}

#[test]
fn a_worker_is_woken_by_the_descriptor() {
    let Some(mut bed) = Bed::new() else { return };
    let raw = bed.pair.raw();
    let mut port = bed.open(Mode::Auto);
    let fd = port.queues[0].wake_fd().unwrap();
    raw.send(&test_frame(1, 100));
    assert!(namespaces::readable(fd, PATIENCE));
    let got = bed.receive_test_frames(port.queues[0].as_mut(), 1);
    assert_eq!(got.len(), 1);
    bed.free(got);
    bed.close(port);
}

#[test]
fn a_missing_interface_is_named() {
    let Some(bed) = Bed::new() else { return };
    let error = bed
        .pair
        .inside
        .enter(|| bed.afxdp.open_access("nosuch0", Mode::Auto, RingSizes::ACCESS))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no interface 'nosuch0' in this network namespace"
    );
    let error = bed
        .pair
        .inside
        .enter(|| bed.afxdp.open_access("lo", Mode::Auto, RingSizes::ACCESS))
        .unwrap_err();
    assert!(error.to_string().contains("does not carry Ethernet frames"), "{error}");
}

#[test]
fn an_interface_is_opened_once() {
    let Some(mut bed) = Bed::new() else { return };
    let Some(other) = Bed::new() else { return };
    let port = bed.open(Mode::Auto);
    // By this process or by another, which has a pool of its own.
    for afxdp in [&bed.afxdp, &other.afxdp] {
        for mode in Mode::ALL {
            let error = bed
                .pair
                .inside
                .enter(|| afxdp.open_access("in0", mode, RingSizes::ACCESS))
                .unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("'in0' is open already") && text.contains("'vrouter_access'"),
                "{text}"
            );
        }
    }
    bed.close(port);
    let port = bed.open(Mode::Auto);
    bed.close(port);
}

#[test]
fn a_foreign_program_is_named() {
    let Some(bed) = Bed::new() else { return };
    for generic in [false, true] {
        let _link = bed
            .pair
            .inside
            .enter(|| namespaces::attach_foreign_program("in0", generic));
        let text = bed.refusal(Mode::Auto);
        let mode = if generic { "generic" } else { "native" };
        assert!(text.contains("'firewall'") && text.contains(mode), "{text}");
    }
}

#[test]
fn an_mtu_that_does_not_fit_is_explained() {
    let Some(mut bed) = Bed::new() else { return };
    bed.pair.inside.ip("link set dev in0 mtu 1775");
    let text = bed.refusal(Mode::Auto);
    assert!(text.contains("an MTU of 1775") && text.contains("mtu 1774"), "{text}");
    bed.pair.inside.ip("link set dev in0 mtu 1774");
    let port = bed.open(Mode::Auto);
    bed.close(port);
}

#[test]
fn the_drivers_refusal_is_passed_on() {
    let Some(pair) = Pair::new() else { return };
    let Some(mut bed) = Bed::on(pair, 1024, 4096) else {
        return;
    };
    // A veth wants a receive queue for each queue that its peer sends by.
    bed.pair.outside.exec("ethtool -L out0 tx 2").unwrap();
    let text = bed.refusal(Mode::Native);
    assert!(text.contains("driver veth") && text.contains("queues"), "{text}");
    let text = bed.refusal(Mode::NativeZeroCopy);
    assert!(text.contains("native-zc"), "{text}");
    // Left to itself, it finds another way and says why.
    let mut port = bed.open(Mode::Auto);
    assert_eq!(port.attachment.mode, AttachMode::Generic);
    assert!(port.attachment.why.contains("queues"), "{}", port.attachment.why);
    let raw = bed.pair.raw();
    let sent = test_frame(3, 1514);
    raw.send(&sent);
    let got = bed.receive_test_frames(port.queues[0].as_mut(), 1);
    assert_eq!(got[0].data(), sent);
    bed.free(got);
    bed.close(port);
}

#[test]
fn packets_of_many_chunks_come_and_go_whole_and_in_order() {
    for mode in [Mode::Native, Mode::Generic] {
        let Some(pair) = Pair::new() else { return };
        let pool = vrouter_dataplane::packet::FramePool::with_large(4096, 2048, 4).unwrap();
        let Some(mut bed) = Bed::over(pair, pool) else { return };
        bed.pair.inside.ip("link set dev in0 mtu 60000");
        bed.pair.outside.ip("link set dev out0 mtu 60000");
        let mut port = bed.open(mode);
        let raw = bed.pair.raw();
        // More rounds than there are frames, so that one that is not given back would be missed.
        for round in 0..40 {
            let sent = [
                test_frame(round, 60),
                test_frame(round + 1, 60_014),
                test_frame(round + 2, 1793),
                test_frame(round + 3, 100),
            ];
            sent.iter().for_each(|frame| raw.send(frame));
            let mut got = bed.receive_test_frames(port.queues[0].as_mut(), sent.len());
            for (got, sent) in got.iter().zip(&sent) {
                assert_eq!((got.data() == sent, got.is_large()), (true, sent.len() > 1792));
            }
            port.queues[0].transmit(&mut bed.frames, &mut got);
            assert!(got.is_empty());
            port.queues[0].flush(&mut bed.frames);
            for sent in &sent {
                assert!(raw.receive_test_frame(PATIENCE).as_ref() == Some(sent), "round {round}");
            }
        }
        assert_eq!((port.queues[0].receive_lost(), port.queues[0].transmit_lost()), (0, 0));
        bed.close(port);
    }
}

#[test]
fn zero_copy_is_refused_in_words_where_there_is_none() {
    let Some(mut bed) = Bed::new() else { return };
    let text = bed.refusal(Mode::NativeZeroCopy);
    assert!(text.contains("native-zc: driver veth has no zero-copy"), "{text}");
    let port = bed.open(Mode::Auto);
    assert_eq!(
        port.attachment.why,
        "native, copy, 1 queue: driver veth has no zero-copy"
    );
    bed.close(port);
}

#[test]
fn an_interface_that_goes_away_hurts_nobody() {
    let Some(mut bed) = Bed::new() else { return };
    let mut port = bed.open(Mode::Auto);
    for gone in [false, true] {
        if gone {
            bed.pair.inside.ip("link delete dev in0");
        } else {
            bed.pair.inside.ip("link set dev in0 down");
        }
        assert!(!port.link_up());
        let mut batch = (0..400)
            .map(|n| bed.frame_with(&test_frame(n, 100)))
            .collect::<Vec<_>>();
        for _ in 0..100 {
            port.queues[0].transmit(&mut bed.frames, &mut batch);
            let mut got = Vec::new();
            port.queues[0].receive(&mut bed.frames, &mut got, 64);
            bed.free(got);
        }
        bed.free(batch);
        (0..100).for_each(|_| port.queues[0].flush(&mut bed.frames));
        // A worker may sleep although nothing can be sent.
        assert!(!port.queues[0].sending());
    }
    assert_eq!(port.mtu(), None);
    bed.close(port);
}

#[test]
fn a_port_detaches_when_it_is_dropped() {
    let Some(mut bed) = Bed::new() else { return };
    let attached = |bed: &Bed| bed.pair.inside.ip("link show dev in0").contains("prog/xdp");
    let port = bed.open(Mode::Native);
    assert!(attached(&bed));
    bed.close(port);
    assert!(!attached(&bed));
}

#[test]
fn without_a_socket_nothing_passes() {
    let Some(mut bed) = Bed::new() else { return };
    let raw = bed.pair.raw();
    let host = bed.pair.tap(u16::from_be_bytes(TEST_ETHERTYPE));
    let mut port = bed.open(Mode::Native);
    for queue in port.queues.drain(..) {
        queue.close(&mut bed.frames);
    }
    raw.send(&test_frame(1, 100));
    assert_eq!(host.receive_test_frame(SILENCE), None);
    // As a check that the host would have seen it.
    drop(port);
    raw.send(&test_frame(2, 100));
    assert_eq!(host.receive_test_frame(PATIENCE), Some(test_frame(2, 100)));
}
