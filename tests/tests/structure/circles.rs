//! Circles in a graph of files.

use std::collections::{BTreeMap, BTreeSet};

/// The imports of each file.
pub(crate) type Edges = BTreeMap<String, BTreeSet<String>>;

/// The groups of files that import each other in a circle, sorted by name.
pub(crate) fn circles(edges: &Edges) -> Vec<Vec<String>> {
    let reached: BTreeMap<_, _> = edges.keys().map(|file| (file, reach(edges, file))).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for (file, reaches) in &reached {
        let back = |other: &&String| reached.get(other).is_some_and(|reaches| reaches.contains(*file));
        if reaches.contains(*file) && seen.insert((*file).clone()) {
            let circle: Vec<_> = reaches.iter().filter(back).cloned().collect();
            seen.extend(circle.iter().cloned());
            circles.push(circle);
        }
    }
    circles
}

/// All files that are reachable by imports, including this one if it is in a circle.
fn reach(edges: &Edges, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        for to in edges.get(file).into_iter().flatten() {
            if reached.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(edges: &[(&str, &str)]) -> Vec<Vec<String>> {
        let mut all = Edges::new();
        for (from, to) in edges {
            all.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        circles(&all)
    }

    #[test]
    fn diamond_is_not_a_circle() {
        assert!(found(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]).is_empty());
    }

    #[test]
    fn circles_are_separate_and_without_tails() {
        let edges =
            [("x", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e"), ("e", "d"), ("e", "f")];
        assert_eq!(found(&edges), [vec!["a", "b", "c"], vec!["d", "e"]]);
    }

    #[test]
    fn circles_sharing_a_file_are_merged() {
        assert_eq!(found(&[("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")]), [["a", "b", "c"]]);
    }
}
