use proptest::prelude::*;

use super::*;

fn bits(bits_per_second: u64, burst_bytes: u64) -> Rate {
    Rate {
        bits_per_second,
        burst_bytes,
        ..Rate::default()
    }
}

#[test]
fn a_full_bucket_lets_the_burst_pass_and_then_the_rate() {
    // 8 Mbit/s is a byte per microsecond.
    let meter = Meter::new(bits(8_000_000, 10_000));
    assert_eq!(meter.pass(10_000, 0), Ok(()));
    assert_eq!(meter.pass(1, 0), Err(NotYet { until: 1000 }));
    assert_eq!(meter.pass(1, 999), Err(NotYet { until: 1000 }));
    assert_eq!(meter.pass(1, 1000), Ok(()));
    assert_eq!(meter.pass(100, 2000), Err(NotYet { until: 101_000 }));
    assert_eq!(meter.pass(100, 101_000), Ok(()));
    // A long rest fills it, and not beyond.
    let later = 3600 * NANOSECONDS;
    assert_eq!(meter.pass(10_000, later), Ok(()));
    assert!(meter.pass(1, later).is_err());
}

#[test]
fn what_one_bucket_refuses_costs_the_other_nothing() {
    let meter = Meter::new(Rate {
        packets_per_second: 1,
        burst_packets: 1,
        ..bits(8_000_000, 10_000)
    });
    assert_eq!(meter.pass(1000, 0), Ok(()));
    for _ in 0..100 {
        assert_eq!(meter.pass(9000, 0), Err(NotYet { until: NANOSECONDS }));
    }
    // After a second there is a packet again, and all bytes are there, too.
    assert_eq!(meter.pass(10_000, NANOSECONDS), Ok(()));
}

#[test]
fn defaults_are_what_is_documented() {
    // 1 Gbit/s for 10 ms are 1.25 MB; for 50 ms 6.25 MB.
    let fast = Meter::new(bits(1_000_000_000, 0));
    assert_eq!(fast.pass(1_250_000, 0), Ok(()));
    assert!(fast.pass(1, 0).is_err());
    assert_eq!(fast.queue_bytes(), 6_250_000);
    let slow = Meter::new(bits(8000, 0));
    assert_eq!(slow.pass(64 << 10, 0), Ok(()));
    assert!(slow.pass(1, 0).is_err());
    assert_eq!(slow.queue_bytes(), 64 << 10);
    let few = Meter::new(Rate {
        packets_per_second: 10,
        ..Rate::default()
    });
    assert_eq!((0..1000).filter(|_| few.pass(9000, 0).is_ok()).count(), 64);
    // A burst below one frame would let no frame of that size pass, ever.
    let tight = Meter::new(bits(8000, 1));
    assert_eq!(tight.pass(9216 + 14, 0), Ok(()));
}

#[test]
fn a_packet_larger_than_the_burst_waits_for_a_full_bucket_and_is_paid_for() {
    // A byte a microsecond.
    let meter = Meter::new(bits(8_000_000, 10_000));
    assert_eq!(meter.pass(60_000, 0), Ok(()));
    let until = 60_000_000;
    assert_eq!(meter.pass(60_000, 1), Err(NotYet { until }));
    assert_eq!(
        meter.pass(1, until - 10_000_001),
        Err(NotYet {
            until: until - 10_000_000 + 1000
        })
    );
    assert_eq!(meter.pass(60_000, until), Ok(()));
}

#[test]
fn the_same_limit_keeps_its_bucket_and_another_starts_anew() {
    let spec = |dscp| QosSpec {
        from_workload: Some(bits(8_000_000, 10_000)),
        to_workload: Some(Rate::default()),
        dscp,
    };
    let before = Qos::new(&spec(None), None);
    assert!(before.to_workload.is_none(), "a limit of nothing is none");
    let meter = before.from_workload.as_ref().unwrap();
    assert_eq!(meter.pass(10_000, 0), Ok(()));
    let after = Qos::new(&spec(Some(46)), Some(&before));
    assert!(Arc::ptr_eq(meter, after.from_workload.as_ref().unwrap()));
    let other = QosSpec {
        from_workload: Some(bits(9_000_000, 10_000)),
        ..spec(None)
    };
    let other = Qos::new(&other, Some(&after));
    assert_eq!(other.from_workload.unwrap().pass(10_000, 0), Ok(()));
}

#[test]
fn extreme_rates_neither_overflow_nor_pass_too_much() {
    let slowest = Meter::new(bits(1, 1));
    assert_eq!(slowest.pass(9000, 0), Ok(()));
    assert!(slowest.pass(9000, NANOSECONDS).is_err());
    let fastest = Meter::new(Rate {
        packets_per_second: u64::MAX,
        burst_packets: u64::MAX,
        ..bits(u64::MAX, u64::MAX)
    });
    for now in [0, 1, u64::MAX / 32] {
        assert_eq!(fastest.pass(9000, now), Ok(()));
    }
}

proptest! {
    /// In any interval no more passes than rate times its length, plus the burst; and a sender that always waits as told
    /// is not kept below its rate.
    #[test]
    fn never_more_than_rate_and_burst(
        rate in 1_000_u64..200_000_000_000,
        burst in 10_000_u64..10_000_000,
        packet_rate in prop::option::of((1_u64..10_000_000, 1_u64..1000)),
        arrivals in prop::collection::vec((0_u64..2_000_000, 60_usize..9234), 1..400),
    ) {
        let (packets_per_second, burst_packets) = packet_rate.unwrap_or((0, 0));
        let meter = Meter::new(Rate { packets_per_second, burst_packets, ..bits(rate, burst) });
        let (mut now, mut passed): (u64, Vec<(u64, u128)>) = (0, Vec::new());
        for (gap, len) in arrivals {
            now += gap;
            if meter.pass(len, now).is_ok() {
                passed.push((now, len as u128));
            }
        }
        for (i, (start, _)) in passed.iter().enumerate() {
            let (mut bytes, mut packets) = (0, 0);
            for (end, len) in &passed[i..] {
                let time = u128::from(end - start);
                bytes += len;
                packets += 1;
                let allowed = u128::from(rate) * time / 8 / u128::from(NANOSECONDS) + u128::from(burst);
                prop_assert!(bytes <= allowed + 1, "{bytes} bytes in {time} ns, {allowed} allowed");
                if packets_per_second > 0 {
                    let allowed = u128::from(packets_per_second) * time / u128::from(NANOSECONDS) + u128::from(burst_packets);
                    prop_assert!(packets <= allowed + 1, "{packets} packets in {time} ns, {allowed} allowed");
                }
            }
        }
    }

    #[test]
    fn whoever_waits_as_told_gets_the_rate(rate in 10_000_u64..100_000_000_000, len in 60_usize..9234) {
        let meter = Meter::new(bits(rate, 10_000));
        let (mut now, mut sent) = (0, 0_u128);
        for _ in 0..2000 {
            match meter.pass(len, now) {
                Ok(()) => sent += len as u128,
                Err(NotYet { until }) => {
                    prop_assert!(until > now);
                    now = until;
                }
            }
        }
        let due = u128::from(rate) * u128::from(now) / 8 / u128::from(NANOSECONDS);
        prop_assert!(sent * 100 >= due * 98, "{sent} of {due} bytes in {now} ns");
    }
}
