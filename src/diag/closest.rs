//! Which known word was probably meant.

/// The candidate that is nearest to `word` by edits, if one is near enough to be worth naming: about
/// one edit in three letters. The first of equals.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    // Any single letter is one edit away from any other.
    let limit = if word.len() < 2 { 0 } else { (word.len() / 3).max(1) };
    candidates
        .into_iter()
        .map(|candidate| (edits(&word, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Letters put in, left out, changed, or swapped with their neighbour (optimal string alignment).
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let changed = last[j] + usize::from(x != y);
            let mut best = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 5] = ["topic", "format", "reporters", "max_sightings", "brake"];

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        assert_eq!(closest(word, WORDS), expected);
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        check("topic", Some("topic"));
        check("topics", Some("topic"));
        check("tpoic", Some("topic"));
        check("Format", Some("format"));
        check("reporter", Some("reporters"));
        check("max-sightings", Some("max_sightings"));
        check("colour", None);
        check("t", None);
        check("", None);
    }
}
