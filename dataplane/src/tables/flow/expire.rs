//! The ends of flows: idle ones by the timer wheel, removed ones when their owner is told, young ones to make room.
//!
//! A port's *young* flows (those that nothing was agreed on with yet, or any more: half-open, unanswered, refused, closed) stand in a
//! list of the owner, oldest first. They, and nobody else's, make room for new flows of that port when its share or the region is used up: a
//! flood of one port's own making costs that port its oldest half-open flows.

use super::FlowRef;
use super::ended::{EndReason, Ending};
use super::owner::FlowOwner;
use super::table::FlowTable;
use super::view::FlowView;
use super::wheel::TICK_MS;

/// How many of the oldest young flows are looked at to find one that is still young.
const CANDIDATES: usize = 16;

/// How many removed flows are reclaimed before a young one must go.
const RECLAIM: usize = 8;

/// Flows in a row: the index's memory is asked for of all of them before the first is looked at, and that of the next so many flows themselves.
const ROW: usize = 16;

/// What a flow may expect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outlook {
    /// How long it may be idle, milliseconds.
    pub timeout_ms: u64,
    /// Whether it may be removed to make room for another flow of its port.
    pub young: bool,
}

impl FlowTable {
    /// Ends what is to end in the owner's region: removed flows, and those of which both directions have been idle for as long as `outlook`
    /// says or longer. Looks at up to `budget` flows. Gives the number ended; `ended` is told of each.
    ///
    /// A flow is never ended before its time, and within a tenth of a second after it if the owner comes by so often with
    /// budget enough. Flows that are not due cost nothing, but a look every seven minutes. A flow whose outlook shortens is known
    /// to be due earlier only if [`FlowTable::review`] says so; otherwise with the next look.
    pub fn expire(
        &self,
        owner: &mut FlowOwner,
        now_ms: u64,
        budget: usize,
        outlook: impl Fn(&FlowView<'_>) -> Outlook,
        ended: impl FnMut(&Ending<'_>),
    ) -> usize {
        self.expire_ahead(owner, now_ms, budget, |_| {}, outlook, ended)
    }

    /// As [`expire`](Self::expire). `expect` is shown flows some time before `outlook` is asked about them, so that it can ask for memory that will be
    /// needed should they end.
    pub fn expire_ahead(
        &self,
        owner: &mut FlowOwner,
        now_ms: u64,
        budget: usize,
        expect: impl Fn(&FlowView<'_>),
        outlook: impl Fn(&FlowView<'_>) -> Outlook,
        mut ended: impl FnMut(&Ending<'_>),
    ) -> usize {
        self.note_time(now_ms);
        let mut count = self.attend(owner, now_ms, budget, &outlook, &mut ended);
        let mut left = budget;
        while left > 0 {
            let mut coming = [0; 2 * ROW];
            let found = owner.coming(now_ms, &mut coming);
            if found == 0 {
                break;
            }
            // Most were asked for with the row before, be it that of another call.
            coming[..found].iter().for_each(|pair| self.prefetch_pair(*pair));
            let found = found.min(ROW).min(left);
            let coming = &coming[..found];
            let mut hashes = [[0; 2]; ROW];
            for (pair, hashes) in coming.iter().zip(&mut hashes) {
                *hashes = self.prefetch_ways(*pair);
                expect(&FlowView::new(self.pair(*pair), now_ms));
            }
            for (foreseen, hashes) in coming.iter().zip(&hashes) {
                let Some(pair) = owner.due(now_ms) else {
                    break;
                };
                let hashes = (pair == *foreseen).then_some(*hashes);
                count += usize::from(self.look_at(owner, pair, hashes, now_ms, &outlook, &mut ended));
            }
            left -= found;
        }
        self.bury_unborn(owner);
        owner.pay(self);
        count
    }

    /// Makes room for a flow of `port` that [`FlowTable::insert`] had no room for: reclaims what was removed, or ends the oldest young
    /// flow of the same port in the owner's region. Gives whether anything was freed; try again then. (It may not be enough: the
    /// VRF's share may be used up by others.) The work is bounded.
    pub fn make_room(
        &self,
        owner: &mut FlowOwner,
        port: u16,
        now_ms: u64,
        outlook: impl Fn(&FlowView<'_>) -> Outlook,
        mut ended: impl FnMut(&Ending<'_>),
    ) -> bool {
        let reclaimed = self.attend(owner, now_ms, RECLAIM, &outlook, &mut ended);
        owner.pay(self);
        if reclaimed > 0 && self.port_flows(port) < self.port_limit(port) {
            return true;
        }
        for _ in 0..CANDIDATES {
            let Some(pair) = owner.oldest_young(port) else {
                return false;
            };
            let record = self.pair(pair);
            let doomed = record.doomed();
            let reason = if doomed { EndReason::Removed } else { EndReason::Evicted };
            if !doomed && !outlook(&FlowView::new(record, now_ms)).young {
                owner.set_young(pair, port, false);
            } else if self.end(owner, pair, None, now_ms, reason, &mut ended) {
                owner.pay(self);
                return true;
            } else {
                // Another worker is deciding it at this moment; it ends a tick later.
                owner.set_young(pair, port, false);
            }
        }
        false
    }

    /// Has the flow's owner look at it soon: because its timeout became shorter (the connection closed). Any worker may.
    pub fn review(&self, flow: FlowRef) {
        if self.record(flow.direction).generation() == flow.generation {
            self.attention.want(flow.pair());
        }
    }

    /// Frees every removed or idle flow of the owner's region in one go, when it is due or not: for shutdown and tests, not between
    /// packets.
    pub fn sweep_all(&self, owner: &mut FlowOwner, now_ms: u64, timeout: impl Fn(&FlowView<'_>) -> u64) -> usize {
        let outlook = |view: &FlowView<'_>| Outlook {
            timeout_ms: timeout(view),
            young: false,
        };
        let mut freed = 0;
        for pair in owner.ever_used() {
            if owner.is_armed(pair) {
                freed += usize::from(self.look_at(owner, pair, None, now_ms, &outlook, &mut |_| {}));
            }
        }
        self.bury_unborn(owner);
        owner.pay(self);
        freed
    }

    /// Looks at the flows that others want looked at.
    fn attend(
        &self,
        owner: &mut FlowOwner,
        now_ms: u64,
        budget: usize,
        outlook: &impl Fn(&FlowView<'_>) -> Outlook,
        ended: &mut impl FnMut(&Ending<'_>),
    ) -> usize {
        let mut count = 0;
        for _ in 0..budget {
            let Some(pair) = self.attention.next(owner.worker, &mut owner.wanted) else {
                break;
            };
            // If not, it has ended since.
            if owner.is_armed(pair) {
                count += usize::from(self.look_at(owner, pair, None, now_ms, outlook, ended));
            }
        }
        count
    }

    /// Ends the flow if it was removed or is idle; else has it looked at when it may be. Gives whether it ended. `hashes`: those of its keys, if
    /// they are known.
    #[inline]
    fn look_at(
        &self,
        owner: &mut FlowOwner,
        pair: u32,
        hashes: Option<[u64; 2]>,
        now_ms: u64,
        outlook: &impl Fn(&FlowView<'_>) -> Outlook,
        ended: &mut impl FnMut(&Ending<'_>),
    ) -> bool {
        let record = self.pair(pair);
        if record.doomed() {
            return self.end(owner, pair, hashes, now_ms, EndReason::Removed, ended);
        }
        let view = FlowView::new(record, now_ms);
        let Outlook { timeout_ms, young } = outlook(&view);
        let due = view.last_seen_ms().saturating_add(timeout_ms);
        if due <= now_ms {
            return self.end(owner, pair, hashes, now_ms, EndReason::Idle, ended);
        }
        owner.set_young(pair, view.port(), young);
        owner.arm(pair, due, now_ms);
        false
    }

    /// Ends a flow that lives. False if another worker is in the midst of deciding it: it is gone for packets, and is freed a tick later.
    fn end(
        &self,
        owner: &mut FlowOwner,
        pair: u32,
        hashes: Option<[u64; 2]>,
        now_ms: u64,
        reason: EndReason,
        ended: &mut impl FnMut(&Ending<'_>),
    ) -> bool {
        let flow = Ending::of(self.pair(pair), reason, now_ms);
        if self.retire(owner, pair, hashes) {
            ended(&flow);
            return true;
        }
        owner.arm(pair, now_ms.saturating_add(TICK_MS), now_ms);
        false
    }

    /// Frees pairs whose insertion failed while another worker was deciding half of them already.
    fn bury_unborn(&self, owner: &mut FlowOwner) {
        while let Some(pair) = owner.unborn() {
            if !self.retire(owner, pair, None) {
                break;
            }
        }
    }
}
