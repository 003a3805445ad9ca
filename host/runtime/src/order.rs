//! In which order transforms are planned, and who feeds whom.

use std::collections::{BTreeMap, BTreeSet};

/// What each of some transforms reads, by name. What else it reads is no transform.
pub(crate) type Inputs = BTreeMap<String, BTreeSet<String>>;

/// Transforms so that each comes behind those that it reads, otherwise as given; and circles of them, in which each reads the next one.
/// Every transform that is in a circle is in one of these.
pub(crate) fn in_order(names: &[String], inputs: &Inputs) -> (Vec<String>, Vec<Vec<String>>) {
    let mut ordered: Vec<String> = Vec::new();
    let mut circles: Vec<Vec<String>> = Vec::new();
    while ordered.len() < names.len() {
        let next = names.iter().find(|name| {
            let is_known = |input: &String| !inputs.contains_key(input) || ordered.contains(input);
            !ordered.contains(name) && inputs[*name].iter().all(is_known)
        });
        if let Some(next) = next {
            ordered.push(next.clone());
        } else {
            // Each that is left reads another one that is left.
            let left = names.iter().filter(|name| !ordered.contains(name));
            for name in left {
                if !circles.iter().flatten().any(|told| told == name) {
                    circles.extend(circle(name, inputs));
                }
            }
            for name in circles.iter().flatten() {
                if !ordered.contains(name) {
                    ordered.push(name.clone());
                }
            }
        }
    }
    (ordered, circles)
}

/// The shortest way from a transform along what it reads back to itself.
fn circle(name: &str, inputs: &Inputs) -> Option<Vec<String>> {
    let mut ways: Vec<Vec<&str>> = vec![vec![name]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in way
                .last()
                .and_then(|last| inputs.get(*last))
                .into_iter()
                .flatten()
            {
                if next == name {
                    return Some(way.into_iter().map(str::to_owned).collect());
                }
                if inputs.contains_key(next) && seen.insert(next) {
                    longer.push([way.clone(), vec![next]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

/// These names, and all that feed them by whatever ways.
pub(crate) fn reached<'a>(
    from: impl IntoIterator<Item = &'a String>,
    inputs: &Inputs,
) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = from.into_iter().collect();
    while let Some(name) = open.pop() {
        if reached.insert(name.clone()) {
            open.extend(inputs.get(name).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(of: &[(&str, &[&str])]) -> (Vec<String>, Inputs) {
        let names = of.iter().map(|(name, _)| (*name).to_owned()).collect();
        let inputs = of.iter().map(|(name, reads)| {
            let reads = reads.iter().map(|name| (*name).to_owned());
            ((*name).to_owned(), reads.collect())
        });
        (names, inputs.collect())
    }

    #[test]
    fn who_is_read_comes_first() {
        let (names, inputs) = inputs(&[("c", &["b", "flights"]), ("b", &["a"]), ("a", &[])]);
        let (order, circles) = in_order(&names, &inputs);
        assert_eq!(order, ["a", "b", "c"]);
        assert!(circles.is_empty());
    }

    #[test]
    fn a_circle_is_named_without_what_leads_to_it() {
        let (names, inputs) = inputs(&[("d", &["c"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])]);
        let (order, circles) = in_order(&names, &inputs);
        assert_eq!(circles, [["a", "b", "c"]]);
        assert_eq!(order, ["a", "b", "c", "d"]);
    }

    #[test]
    fn every_circle_is_found_and_what_is_in_none_is_in_order() {
        let (names, inputs) = inputs(&[
            ("a", &["b"]),
            ("b", &["a"]),
            ("c", &["c"]),
            ("f", &["e"]),
            ("e", &["flights"]),
        ]);
        let (order, circles) = in_order(&names, &inputs);
        assert_eq!(circles, [vec!["a", "b"], vec!["c"]]);
        assert_eq!(order, ["e", "f", "a", "b", "c"]);
    }

    #[test]
    fn circles_that_meet_are_told_both() {
        let (names, inputs) = inputs(&[("x", &["y", "z"]), ("y", &["x"]), ("z", &["x"])]);
        let (order, circles) = in_order(&names, &inputs);
        assert_eq!(circles, [["x", "y"], ["z", "x"]]);
        assert_eq!(order, ["x", "y", "z"]);
    }

    #[test]
    fn who_feeds_nobody_is_not_reached() {
        let (_, inputs) = inputs(&[("a", &["flights"]), ("b", &["weather"])]);
        let reached = reached([&"a".to_owned()], &inputs);
        assert_eq!(reached.into_iter().collect::<Vec<_>>(), ["a", "flights"]);
    }
}
