//! Near misses: which known name a wrong one was probably meant to be.

/// The candidate nearest to `name` by edits (a letter inserted, removed, replaced, or two
/// neighbours swapped), if it is near enough to be worth naming: at most a third of the letters
/// differ, the case of letters and `_` not counting.
pub fn near_miss<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| -> Vec<char> {
        text.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).take(200).collect()
    };
    let wanted = fold(name);
    let allowed = (wanted.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .filter_map(|candidate| {
            let distance = edits(&wanted, &fold(candidate), allowed)?;
            // Of one letter, everything is near: only another case of it counts.
            (wanted.len() > 1 || distance == 0).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Number of edits between two words, `None` if more than `allowed`.
fn edits(a: &[char], b: &[char], allowed: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > allowed {
        return None;
    }
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut now = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            now[j] = replaced.min(last[j] + 1).min(now[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                now[j] = now[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, now);
    }
    (last[b.len()] <= allowed).then_some(last[b.len()])
}

#[cfg(test)]
mod tests {
    use super::near_miss;

    #[test]
    fn finds_what_was_meant() {
        let known = ["expand", "project", "stem", "num_heads"];
        assert_eq!(near_miss("exapnd", known), Some("expand"));
        assert_eq!(near_miss("projet", known), Some("project"));
        assert_eq!(near_miss("numHeads", known), Some("num_heads"));
        assert_eq!(near_miss("sten", known), Some("stem"));
        assert_eq!(near_miss("classifier", known), None);
        assert_eq!(near_miss("k", ["c", "K"]), Some("K"));
        assert_eq!(near_miss("k", ["c", "s"]), None);
    }
}
