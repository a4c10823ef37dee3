//! Against a naive model: a set of bytes seen per datagram, and vectors of what waits.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, Ipv6Addr},
};

use proptest::prelude::*;

use super::*;
use crate::wire::proto;

const ROOMY: Capacity = Capacity {
    datagrams: 64,
    datagrams_per_owner: 64,
    held: 4096,
    held_per_owner: 4096,
};

fn identity(number: u32, owner: u32) -> Identity {
    let key = FlowKey::v4(
        3,
        Ipv4Addr::new(10, 0, 0, 1),
        Ipv4Addr::new(10, 0, 0, 2),
        proto::UDP,
        0,
        0,
    );
    Identity::new(&key, number, owner)
}

fn piece(offset: u16, len: u16, more: bool) -> Piece {
    Piece {
        offset,
        len,
        more,
        protocol: proto::UDP,
    }
}

const HEAD: Head = Head {
    protocol: proto::UDP,
    source_port: 1234,
    destination_port: 53,
    is_echo: false,
};

fn drain<T>(fragments: &mut Fragments<T>) -> (Vec<T>, Vec<(T, Lost)>) {
    let ready = std::iter::from_fn(|| fragments.next_ready()).map(|(item, head)| {
        assert_eq!(head, HEAD);
        item
    });
    let ready = ready.collect();
    (ready, std::iter::from_fn(|| fragments.next_lost()).collect())
}

#[test]
fn later_fragments_get_the_ports_of_their_head() {
    let mut fragments = Fragments::new(ROOMY, 7);
    let id = identity(1, 5);
    assert_eq!(
        fragments.admit(&id, piece(0, 800, true), Some(HEAD), 0, 'a'),
        Outcome::Pass('a', HEAD)
    );
    assert_eq!(
        fragments.admit(&id, piece(800, 800, true), None, 0, 'b'),
        Outcome::Pass('b', HEAD)
    );
    assert_eq!(fragments.known(), 1);
    assert_eq!(
        fragments.admit(&id, piece(1600, 3, false), None, 0, 'c'),
        Outcome::Pass('c', HEAD)
    );
    assert!(fragments.is_idle(), "a datagram that is whole is forgotten");
    assert_eq!(fragments.tracked(), 1);
}

#[test]
fn early_fragments_wait_in_order_and_go_with_their_head() {
    let mut fragments = Fragments::new(ROOMY, 7);
    let id = identity(1, 5);
    assert_eq!(fragments.admit(&id, piece(1600, 3, false), None, 0, 'c'), Outcome::Held);
    assert_eq!(fragments.admit(&id, piece(800, 800, true), None, 0, 'b'), Outcome::Held);
    // Another owner's datagram of the same identification is another one.
    assert_eq!(
        fragments.admit(&identity(1, 6), piece(0, 800, true), Some(HEAD), 0, 'x'),
        Outcome::Pass('x', HEAD)
    );
    assert_eq!((fragments.held(), fragments.has_ready()), (2, false));
    assert_eq!(
        fragments.admit(&id, piece(0, 800, true), Some(HEAD), 0, 'a'),
        Outcome::Pass('a', HEAD)
    );
    assert_eq!(drain(&mut fragments), (vec!['c', 'b'], vec![]));
    assert_eq!((fragments.held(), fragments.known()), (0, 1));
}

#[test]
fn the_head_of_an_ipv6_datagram_tells_its_protocol() {
    let key = |protocol| FlowKey::v6(3, Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED, protocol, 9, 9);
    // Destination options behind the fragment header: only the head shows what follows them.
    let id = Identity::new(&key(proto::DEST_OPTS), 0xdead_beef, 1);
    assert_eq!(id, Identity::new(&key(proto::UDP), 0xdead_beef, 1));
    assert_ne!(id, Identity::new(&key(proto::UDP), 0xdead_bee0, 1));
}

#[test]
fn an_overlap_loses_the_datagram_and_what_waits_of_it() {
    let mut fragments = Fragments::new(ROOMY, 7);
    let id = identity(1, 5);
    assert_eq!(fragments.admit(&id, piece(800, 800, true), None, 0, 'b'), Outcome::Held);
    assert_eq!(
        fragments.admit(&id, piece(792, 16, true), None, 0, 'x'),
        Outcome::Refused('x', Lost::Overlap)
    );
    assert_eq!(drain(&mut fragments), (vec![], vec![('b', Lost::Overlap)]));
    // Nothing of it passes any more, not even what would have been right.
    assert_eq!(
        fragments.admit(&id, piece(0, 792, true), Some(HEAD), 0, 'a'),
        Outcome::Refused('a', Lost::Overlap)
    );
    // Until it is forgotten.
    fragments.expire(TIMEOUT);
    assert_eq!(
        fragments.admit(&id, piece(0, 792, true), Some(HEAD), TIMEOUT, 'a'),
        Outcome::Pass('a', HEAD)
    );
}

#[test]
fn tcp_fragments_within_the_header_are_refused() {
    let mut fragments = Fragments::new(ROOMY, 7);
    for (number, offset, refused) in [(1, 8, true), (2, 16, true), (3, 24, false)] {
        let tiny = Piece {
            protocol: proto::TCP,
            ..piece(offset, 64, true)
        };
        let expected = if refused {
            Outcome::Refused('t', Lost::Overlap)
        } else {
            Outcome::Held
        };
        assert_eq!(
            fragments.admit(&identity(number, 1), tiny, None, 0, 't'),
            expected,
            "{offset}"
        );
    }
}

#[test]
fn an_end_before_what_was_seen_and_two_ends_are_contradictions() {
    for pieces in [
        [piece(800, 80, true), piece(160, 9, false)],
        [piece(800, 9, false), piece(1600, 9, false)],
        [piece(800, 9, false), piece(1600, 8, true)],
        // More to follow behind the end that was told.
        [piece(800, 16, false), piece(808, 8, true)],
        [piece(800, 16, false), piece(0, 816, true)],
    ] {
        let mut fragments = Fragments::new(ROOMY, 7);
        let id = identity(1, 5);
        assert_eq!(fragments.admit(&id, pieces[0], None, 0, 0), Outcome::Held);
        assert_eq!(
            fragments.admit(&id, pieces[1], None, 0, 1),
            Outcome::Refused(1, Lost::Overlap),
            "{pieces:?}"
        );
    }
}

#[test]
fn what_waits_too_long_is_lost() {
    let mut fragments = Fragments::new(ROOMY, 7);
    assert_eq!(
        fragments.admit(&identity(1, 5), piece(8, 8, true), None, 10, 'a'),
        Outcome::Held
    );
    assert_eq!(
        fragments.admit(&identity(2, 5), piece(8, 8, true), None, 20, 'b'),
        Outcome::Held
    );
    fragments.expire(TIMEOUT + 9);
    assert_eq!(drain(&mut fragments), (vec![], vec![]));
    fragments.expire(TIMEOUT + 10);
    assert_eq!(drain(&mut fragments), (vec![], vec![('a', Lost::Timeout)]));
    assert_eq!(fragments.known(), 1);
    fragments.expire(u64::MAX);
    assert_eq!(drain(&mut fragments), (vec![], vec![('b', Lost::Timeout)]));
    assert!(fragments.is_idle());
}

#[test]
fn quotas_harm_their_owner_only() {
    let capacity = Capacity {
        datagrams: 16,
        datagrams_per_owner: 4,
        held: 16,
        held_per_owner: 6,
    };
    let mut fragments = Fragments::new(capacity, 7);
    assert_eq!(
        fragments.admit(&identity(0, 1), piece(8, 8, true), None, 0, (1, 0)),
        Outcome::Held
    );
    // A flood of fragments without heads: six are held, in at most four datagrams, the newest.
    let mut lost = 0;
    for number in 0..1000 {
        for offset in [8, 16, 24] {
            let outcome = fragments.admit(&identity(number, 2), piece(offset, 8, true), None, 0, (2, number));
            lost += usize::from(outcome == Outcome::Refused((2, number), Lost::Quota));
            let (ready, gone) = drain(&mut fragments);
            assert!(ready.is_empty());
            assert!(gone.iter().all(|((owner, _), why)| (*owner, *why) == (2, Lost::Quota)));
            lost += gone.len();
        }
    }
    assert_eq!((fragments.known(), fragments.held()), (5, 1 + 3000 - lost));
    assert!(fragments.held() <= 7);
    // The other owner's datagram has not noticed.
    assert_eq!(
        fragments.admit(&identity(0, 1), piece(0, 8, true), Some(HEAD), 0, (1, 1)),
        Outcome::Pass((1, 1), HEAD)
    );
    assert_eq!(drain(&mut fragments).0, [(1, 0)]);
    fragments.forget_owner(2);
    assert_eq!((fragments.known(), drain(&mut fragments).1.len()), (1, 3000 - lost));
    assert_eq!(fragments.held(), 0);
}

/// A datagram of the model.
#[derive(Default)]
struct Naive {
    seen: HashSet<u32>,
    total: Option<u32>,
    head: bool,
    poisoned: bool,
    held: Vec<usize>,
    since: u64,
}

/// What a step does in the model: the outcome, what became ready, what was lost.
type Step = (Outcome<usize>, Vec<usize>, Vec<(usize, Lost)>);

#[derive(Default)]
struct Model(HashMap<u32, Naive>);

impl Model {
    fn admit(&mut self, number: u32, piece: Piece, now: u64, item: usize) -> Step {
        let datagram = self.0.entry(number).or_insert_with(|| Naive {
            since: now,
            ..Naive::default()
        });
        let (start, end) = (u32::from(piece.offset), u32::from(piece.offset) + u32::from(piece.len));
        let mut bytes = start..end;
        let contradicts = bytes.any(|byte| datagram.seen.contains(&byte))
            || datagram.total.is_some_and(|total| !piece.more || end >= total)
            || (!piece.more && datagram.seen.iter().any(|byte| *byte >= end));
        if datagram.poisoned || contradicts {
            datagram.poisoned = true;
            let lost = datagram.held.drain(..).map(|held| (held, Lost::Overlap)).collect();
            return (Outcome::Refused(item, Lost::Overlap), vec![], lost);
        }
        datagram.seen.extend(start..end);
        if !piece.more {
            datagram.total = Some(end);
        }
        if piece.offset > 0 && !datagram.head {
            datagram.held.push(item);
            return (Outcome::Held, vec![], vec![]);
        }
        datagram.head = true;
        let ready = std::mem::take(&mut datagram.held);
        if datagram
            .total
            .is_some_and(|total| datagram.seen.len() == total as usize)
        {
            self.0.remove(&number);
        }
        (Outcome::Pass(item, HEAD), ready, vec![])
    }

    fn expire(&mut self, now: u64) -> Vec<(usize, Lost)> {
        let mut lost = Vec::new();
        self.0.retain(|_, datagram| {
            let stays = now - datagram.since < TIMEOUT;
            if !stays {
                lost.extend(datagram.held.drain(..).map(|held| (held, Lost::Timeout)));
            }
            stays
        });
        lost.sort_unstable_by_key(|(item, _)| *item);
        lost
    }
}

/// A datagram cut into pieces, and some that do not belong.
fn datagram() -> impl Strategy<Value = Vec<Piece>> {
    let cuts = prop::collection::vec(1_u16..6, 1..8);
    let strays = prop::collection::vec((0_u16..20, 1_u16..40, any::<bool>()), 0..2);
    (cuts, 0_u16..8, strays, any::<bool>()).prop_map(|(cuts, tail, strays, spoiled)| {
        let mut offset = 0;
        let last = cuts.len() - 1;
        let mut pieces: Vec<_> = cuts
            .into_iter()
            .enumerate()
            .map(|(index, units)| {
                let more = index < last;
                let len = units * 8 - if more { 0 } else { tail };
                let piece = piece(offset, len, more);
                offset += len;
                piece
            })
            .collect();
        if spoiled {
            pieces.extend(
                strays
                    .into_iter()
                    .map(|(unit, len, more)| piece(unit * 8, if more { len.div_ceil(8) * 8 } else { len }, more)),
            );
        }
        pieces
    })
}

proptest! {
    /// Several datagrams at once, their fragments in any order, some of them contradicting, time passing meanwhile.
    #[test]
    fn agrees_with_the_naive_model(
        datagrams in prop::collection::vec(datagram(), 1..6),
        order in prop::collection::vec((any::<prop::sample::Index>(), 0_u64..TIMEOUT / 8), 60),
    ) {
        let mut waiting: Vec<(u32, Piece)> = datagrams
            .into_iter()
            .enumerate()
            .flat_map(|(number, pieces)| pieces.into_iter().map(move |piece| (number as u32, piece)))
            .collect();
        let (mut fragments, mut model) = (Fragments::new(ROOMY, 7), Model::default());
        let (mut now, mut out) = (0, HashSet::new());
        let mut order = order.into_iter();
        for item in 0.. {
            if waiting.is_empty() {
                break;
            }
            let (index, gap) = order.next().map_or((0, 0), |(index, gap)| (index.index(waiting.len()), gap));
            let (number, piece) = waiting.swap_remove(index);
            now += gap;
            fragments.expire(now);
            let mut lost = drain(&mut fragments).1;
            lost.sort_unstable_by_key(|(item, _)| *item);
            prop_assert_eq!(&lost, &model.expire(now));
            out.extend(lost.into_iter().map(|(item, _)| item));

            let expected = model.admit(number, piece, now, item);
            let outcome = fragments.admit(&identity(number, 1), piece, (piece.offset == 0).then_some(HEAD), now, item);
            if outcome != Outcome::Held {
                prop_assert!(out.insert(item));
            }
            let (ready, lost) = drain(&mut fragments);
            prop_assert_eq!((&outcome, &ready, &lost), (&expected.0, &expected.1, &expected.2), "{:?}", piece);
            for item in ready.into_iter().chain(lost.into_iter().map(|(item, _)| item)) {
                prop_assert!(out.insert(item), "{} came out twice", item);
            }
            // Each fragment is in one place.
            prop_assert_eq!(out.len() + fragments.held(), item + 1);
            prop_assert_eq!(fragments.known(), model.0.len());
        }
    }

    /// Whatever the order, a datagram without contradictions passes whole.
    #[test]
    fn any_order_passes_whole(pieces in datagram(), seed: u64) {
        let mut pieces: Vec<_> = {
            let mut kept = Vec::new();
            let mut end = 0;
            for piece in pieces {
                if piece.offset == end {
                    end += piece.len;
                    kept.push(piece);
                }
                if !piece.more {
                    break;
                }
            }
            kept
        };
        let count = pieces.len();
        let mut random = seed;
        for i in (1..count).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            pieces.swap(i, (random >> 33) as usize % (i + 1));
        }
        let mut fragments = Fragments::new(ROOMY, 7);
        let mut passed = 0;
        for piece in pieces {
            let outcome = fragments.admit(&identity(1, 1), piece, (piece.offset == 0).then_some(HEAD), 0, 0);
            passed += usize::from(matches!(outcome, Outcome::Pass(..)));
            let (ready, lost) = drain(&mut fragments);
            prop_assert!(lost.is_empty());
            passed += ready.len();
        }
        prop_assert_eq!(passed, count);
        prop_assert!(fragments.is_idle());
    }
}
