//! What somebody may have meant: the known name that is nearest to one that is not known.

/// Edits (a letter more, less, another, or two exchanged) from one text to another.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    // Three rows of the table: the last but one, for exchanged letters, the last, and the one being made.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

/// The known text that is nearest to `wrong`, if any is near: no more than a third of it differs.
#[must_use]
pub fn find<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = wrong.chars().count();
    let most = (length / 3).max(1);
    known
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= most)
        .map(|candidate| (distance(wrong, candidate), candidate))
        .filter(|(far, _)| *far <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean X?` for the nearest known text, or nothing.
#[must_use]
pub fn hint<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    find(wrong, known).map_or_else(String::new, |near| format!("; did you mean {near}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        for (one, other, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("web", "web", 0),
            ("web", "wbe", 1),
            ("web", "wb", 1),
            ("web", "weeb", 1),
            ("web", "wed", 1),
            ("frontend", "fronted", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), edits, "{one} {other}");
            assert_eq!(distance(other, one), edits, "{other} {one}");
        }
    }

    #[test]
    fn only_what_is_near_is_offered() {
        let known = ["frontend", "backend", "db"];
        assert_eq!(find("frotnend", known), Some("frontend"));
        assert_eq!(find("dp", known), Some("db"));
        assert_eq!(find("cache", known), None);
        assert_eq!(hint("backend-1", known), "; did you mean backend?");
        assert_eq!(hint("x", []), "");
    }
}
