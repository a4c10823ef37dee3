//! Which objects have labels of their own.

use std::sync::Arc;

use super::OTHER;

/// Identifier and name of something, as labels.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) id: String,
    pub(super) name: String,
}

impl Named {
    /// Something without a name is shown by its identifier.
    pub(super) fn new(id: u32, name: &Arc<str>) -> Self {
        let id = id.to_string();
        let name = if name.is_empty() { id.clone() } else { name.to_string() };
        Self { id, name }
    }

    /// All that has no labels of its own.
    pub(super) fn other() -> Self {
        Self {
            id: OTHER.to_owned(),
            name: OTHER.to_owned(),
        }
    }
}

/// Gives the first `most` of `all` labels of their own, in the order of their identifiers, and joins the others into one.
pub(super) fn bounded<T>(
    mut all: Vec<T>,
    most: usize,
    id: impl Fn(&T) -> (u32, &Arc<str>),
    mut join: impl FnMut(&mut T, T),
) -> Vec<(Named, T)> {
    all.sort_by_key(|one| id(one).0);
    let beyond = all.split_off(most.min(all.len()));
    let mut named: Vec<_> = all
        .into_iter()
        .map(|one| {
            let (number, name) = id(&one);
            (Named::new(number, name), one)
        })
        .collect();
    let other = beyond.into_iter().reduce(|mut sum, one| {
        join(&mut sum, one);
        sum
    });
    named.extend(other.map(|sum| (Named::other(), sum)));
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_bound_is_one() {
        let name = |n: u32| Arc::<str>::from(if n == 2 { String::new() } else { format!("n{n}") });
        let shown = |most| -> Vec<(String, String, u32)> {
            let all = vec![(5, name(5), 50), (2, name(2), 20), (9, name(9), 90), (7, name(7), 70)];
            let all = bounded(all, most, |one| (one.0, &one.1), |sum, one| sum.2 += one.2);
            all.into_iter().map(|(n, one)| (n.id, n.name, one.2)).collect()
        };
        let row = |id: &str, name: &str, count| (id.to_owned(), name.to_owned(), count);
        assert_eq!(
            shown(2),
            [row("2", "2", 20), row("5", "n5", 50), row("_other", "_other", 160)]
        );
        assert_eq!(shown(4).len(), 4);
        assert_eq!(shown(0), [row("_other", "_other", 230)]);
    }
}
