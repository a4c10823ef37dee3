//! Lists of pairs: doubly linked through an array beside the pairs, private to the owner of a region, so that a pair is put in and taken
//! out in a few writes and without atomics. A pair is in at most one of the lists of one [`Lists`].

/// Marks a list's number in the place of a neighbour: the pair is the first, or the last, of that list.
const LIST: u32 = 1 << 31;

/// Before and behind a pair: a neighbour's number plus one, or a list. Zeros, as memory comes, mean "in no list".
type Node = [u32; 2];

/// A fixed number of lists over the pairs of one region.
pub(super) struct Lists {
    nodes: Vec<Node>,
    /// First and last of each list, plus one; zero: empty.
    ends: Vec<[u32; 2]>,
}

impl std::fmt::Debug for Lists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lists")
            .field("lists", &self.ends.len())
            .finish_non_exhaustive()
    }
}

impl Lists {
    /// Empty lists for pairs `0..pairs`, of which the memory comes as they are used.
    pub(super) fn new(pairs: usize, lists: usize) -> Self {
        Self {
            nodes: vec![[0; 2]; pairs],
            ends: vec![[0; 2]; lists],
        }
    }

    /// The first pair of a list.
    #[inline]
    pub(super) fn front(&self, list: usize) -> Option<u32> {
        self.ends.get(list)?[0].checked_sub(1)
    }

    /// The pair behind this one in its list.
    #[inline]
    pub(super) fn behind(&self, pair: u32) -> Option<u32> {
        let behind = self.nodes.get(pair as usize)?[1];
        (behind & LIST == 0).then(|| behind.checked_sub(1))?
    }

    /// Whether the pair is in a list.
    #[inline]
    pub(super) fn contains(&self, pair: u32) -> bool {
        self.nodes.get(pair as usize).is_some_and(|node| node[0] != 0)
    }

    /// Puts the pair at the end of a list, out of the one it is in.
    #[inline]
    pub(super) fn push_back(&mut self, list: usize, pair: u32) {
        if self.contains(pair) {
            self.unlink(pair);
        }
        let (Some(ends), Some(_)) = (self.ends.get_mut(list), self.nodes.get(pair as usize)) else {
            return;
        };
        let mark = LIST | list as u32;
        let last = ends[1];
        *ends = [if last == 0 { pair + 1 } else { ends[0] }, pair + 1];
        self.nodes[pair as usize] = [if last == 0 { mark } else { last }, mark];
        if last != 0 {
            self.nodes[last as usize - 1][1] = pair + 1;
        }
    }

    /// Takes the pair out of the list that it is in, if any.
    pub(super) fn unlink(&mut self, pair: u32) {
        let Some(&[before, behind]) = self.nodes.get(pair as usize) else {
            return;
        };
        if before == 0 {
            return;
        }
        self.nodes[pair as usize] = [0; 2];
        // The neighbour on each side, or the list's end, now sees what is on the other side.
        let as_end = |neighbour: u32| if neighbour & LIST == 0 { neighbour } else { 0 };
        if before & LIST == 0 {
            self.nodes[before as usize - 1][1] = behind;
        } else {
            self.ends[(before & !LIST) as usize][0] = as_end(behind);
        }
        if behind & LIST == 0 {
            self.nodes[behind as usize - 1][0] = before;
        } else {
            self.ends[(behind & !LIST) as usize][1] = as_end(before);
        }
    }
}

#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn agree_with_plain_queues(steps in proptest::collection::vec((0..3usize, 0..12u32), 0..200)) {
            let mut lists = Lists::new(12, 2);
            let mut model = [VecDeque::new(), VecDeque::new()];
            for (what, pair) in steps {
                model.iter_mut().for_each(|queue| queue.retain(|other| *other != pair));
                if what < 2 {
                    lists.push_back(what, pair);
                    model[what].push_back(pair);
                } else {
                    lists.unlink(pair);
                }
                for (list, queue) in model.iter().enumerate() {
                    prop_assert_eq!(lists.front(list), queue.front().copied());
                }
                for pair in 0..12 {
                    prop_assert_eq!(lists.contains(pair), model.iter().any(|queue| queue.contains(&pair)));
                }
            }
            for (list, queue) in model.iter_mut().enumerate() {
                while let Some(front) = lists.front(list) {
                    prop_assert_eq!(Some(front), queue.pop_front());
                    lists.unlink(front);
                }
                prop_assert!(queue.is_empty());
            }
        }
    }
}
