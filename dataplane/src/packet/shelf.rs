//! Room for what has to wait (fragments without their head, packets ahead of their rate), in lists, all allocated at the start.
//!
//! A [`Shelf`] has a fixed number of places; any number of [`List`]s share them. A list knows nothing of its shelf: give each call the
//! shelf that the list is of.

/// No place.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Place<T> {
    item: Option<T>,
    /// Next of its list, or next free place.
    next: u32,
}

/// Places for items of any number of lists.
#[derive(Debug)]
pub struct Shelf<T> {
    places: Box<[Place<T>]>,
    free: u32,
    used: usize,
}

/// Items on a shelf, first in first out.
#[derive(Debug)]
#[must_use = "what is on a list that is dropped stays on the shelf for ever"]
pub struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self {
            first: NONE,
            last: NONE,
            len: 0,
        }
    }
}

impl List {
    /// How many items.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// None.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> Shelf<T> {
    /// A shelf with this many places (at most 2^32 - 2).
    pub fn new(places: usize) -> Self {
        let places = places.min(NONE as usize - 1);
        let chain = (1..=places as u32).map(|next| Place {
            item: None,
            next: if next == places as u32 { NONE } else { next },
        });
        Self {
            places: chain.collect(),
            free: if places == 0 { NONE } else { 0 },
            used: 0,
        }
    }

    /// Items on all lists.
    #[inline]
    pub fn used(&self) -> usize {
        self.used
    }

    /// Places there are.
    pub fn capacity(&self) -> usize {
        self.places.len()
    }

    /// Puts an item at the end of a list.
    ///
    /// # Errors
    /// Gives it back when no place is free.
    #[inline]
    pub fn push(&mut self, list: &mut List, item: T) -> Result<(), T> {
        let index = self.free;
        let Some(place) = self.places.get_mut(index as usize) else {
            return Err(item);
        };
        self.free = place.next;
        *place = Place {
            item: Some(item),
            next: NONE,
        };
        match self.places.get_mut(list.last as usize) {
            Some(last) => last.next = index,
            None => list.first = index,
        }
        list.last = index;
        list.len += 1;
        self.used += 1;
        Ok(())
    }

    /// Takes the first item of a list.
    #[inline]
    pub fn pop(&mut self, list: &mut List) -> Option<T> {
        let index = list.first;
        let place = self.places.get_mut(index as usize)?;
        let item = place.item.take();
        list.first = std::mem::replace(&mut place.next, self.free);
        self.free = index;
        if list.first == NONE {
            list.last = NONE;
        }
        list.len -= 1;
        self.used -= 1;
        item
    }

    /// The first item of a list.
    #[inline]
    pub fn first(&self, list: &List) -> Option<&T> {
        self.places.get(list.first as usize)?.item.as_ref()
    }

    /// Moves all items of `from` to the end of `to`, changing each.
    pub fn append(&mut self, to: &mut List, from: List, mut change: impl FnMut(&mut T)) {
        let mut index = from.first;
        while let Some(place) = self.places.get_mut(index as usize) {
            if let Some(item) = &mut place.item {
                change(item);
            }
            index = place.next;
        }
        if from.is_empty() {
            return;
        }
        match self.places.get_mut(to.last as usize) {
            Some(last) => last.next = from.first,
            None => to.first = from.first,
        }
        to.last = from.last;
        to.len += from.len;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_shelf_without_places_takes_nothing() {
        let mut shelf = Shelf::new(0);
        let mut list = List::default();
        assert_eq!(shelf.push(&mut list, 1), Err(1));
        assert_eq!(shelf.pop(&mut list), None);
        assert_eq!(shelf.first(&list), None);
    }

    proptest! {
        /// Three lists on one shelf do what three queues do that may hold so many items together.
        #[test]
        fn lists_are_queues(operations in prop::collection::vec((0_u8..4, 0_usize..3, 0_usize..3), 0..300)) {
            let mut shelf = Shelf::new(8);
            let mut lists: [List; 3] = Default::default();
            let mut queues: [VecDeque<usize>; 3] = Default::default();
            for (number, (operation, a, b)) in operations.into_iter().enumerate() {
                match operation {
                    0 | 1 => {
                        let room = queues.iter().map(VecDeque::len).sum::<usize>() < 8;
                        prop_assert_eq!(shelf.push(&mut lists[a], number).is_ok(), room);
                        if room {
                            queues[a].push_back(number);
                        }
                    }
                    2 => {
                        prop_assert_eq!(shelf.first(&lists[a]), queues[a].front());
                        prop_assert_eq!(shelf.pop(&mut lists[a]), queues[a].pop_front());
                    }
                    _ => {
                        let from = std::mem::take(&mut lists[a]);
                        let moved = std::mem::take(&mut queues[a]);
                        shelf.append(&mut lists[b], from, |item| *item += 1000);
                        queues[b].extend(moved.into_iter().map(|item| item + 1000));
                    }
                }
                for (list, queue) in lists.iter().zip(&queues) {
                    prop_assert_eq!(list.len(), queue.len());
                }
                prop_assert_eq!(shelf.used(), queues.iter().map(VecDeque::len).sum::<usize>());
            }
        }
    }
}
