//! An array by slot that is cheap to copy and cheap to change: the shape of most tables.
//!
//! Copies share their chunks. Changing an element of a copy duplicates only the chunk it is in (and the spine of pointers), and
//! not even that when nobody else holds it. So one batch of changes costs what it touches, and throwing a half-done batch away
//! costs nothing.

use std::sync::Arc;

/// Elements of one chunk.
const CHUNK: usize = 32;

type Chunk<T> = [Option<T>; CHUNK];

/// A persistent array of optional elements.
#[derive(Debug)]
pub struct CowArray<T> {
    spine: Arc<[Option<Arc<Chunk<T>>>]>,
}

impl<T> Clone for CowArray<T> {
    fn clone(&self) -> Self {
        Self {
            spine: self.spine.clone(),
        }
    }
}

impl<T> Default for CowArray<T> {
    fn default() -> Self {
        Self { spine: Arc::new([]) }
    }
}

impl<T: Clone> CowArray<T> {
    /// The element at `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.spine.get(index / CHUNK)?.as_ref()?[index % CHUNK].as_ref()
    }

    /// The element at `index`, to be changed in this copy only.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.get(index)?;
        let chunk = Arc::make_mut(&mut self.spine).get_mut(index / CHUNK)?.as_mut()?;
        Arc::make_mut(chunk)[index % CHUNK].as_mut()
    }

    /// Puts `value` at `index`, growing as needed. Gives what was there.
    pub fn set(&mut self, index: usize, value: T) -> Option<T> {
        if index / CHUNK >= self.spine.len() {
            // Doubling keeps the cost of growing one by one linear in sum.
            let len = (index / CHUNK + 1).next_power_of_two();
            self.spine = self
                .spine
                .iter()
                .cloned()
                .chain(std::iter::repeat(None))
                .take(len)
                .collect();
        }
        let chunk = Arc::make_mut(&mut self.spine)[index / CHUNK]
            .get_or_insert_with(|| Arc::new(std::array::from_fn(|_| None)));
        Arc::make_mut(chunk)[index % CHUNK].replace(value)
    }

    /// Takes out the element at `index`.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        self.get(index)?;
        let chunk = Arc::make_mut(&mut self.spine).get_mut(index / CHUNK)?.as_mut()?;
        Arc::make_mut(chunk)[index % CHUNK].take()
    }

    /// All elements with their indices, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.spine
            .iter()
            .enumerate()
            .filter_map(|(high, chunk)| Some((high, chunk.as_ref()?)))
            .flat_map(|(high, chunk)| {
                chunk
                    .iter()
                    .enumerate()
                    .filter_map(move |(low, value)| Some((high * CHUNK + low, value.as_ref()?)))
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_map_and_copies_stay(
            first in prop::collection::vec((0..200_usize, prop::option::of(any::<u8>())), 0..100),
            second in prop::collection::vec((0..200_usize, prop::option::of(any::<u8>())), 0..100),
        ) {
            let (mut array, mut map) = (CowArray::default(), BTreeMap::new());
            let change = |array: &mut CowArray<u8>, map: &mut BTreeMap<usize, u8>, index, value| match value {
                Some(value) => prop_assert_eq_(array.set(index, value), map.insert(index, value)),
                None => prop_assert_eq_(array.remove(index), map.remove(&index)),
            };
            for (index, value) in first { change(&mut array, &mut map, index, value)?; }
            let (kept, kept_map) = (array.clone(), map.clone());
            for (index, value) in second { change(&mut array, &mut map, index, value)?; }
            prop_assert!(array.iter().map(|(i, v)| (i, *v)).eq(map.iter().map(|(i, v)| (*i, *v))));
            prop_assert!(kept.iter().map(|(i, v)| (i, *v)).eq(kept_map.iter().map(|(i, v)| (*i, *v))));
        }
    }

    fn prop_assert_eq_<T: PartialEq + std::fmt::Debug>(a: T, b: T) -> Result<(), TestCaseError> {
        prop_assert_eq!(a, b);
        Ok(())
    }
}
