//! In which order transforms are planned, and who feeds whom.

use std::collections::{BTreeMap, BTreeSet};

/// What each of some transforms reads, by name. What else it reads is no transform.
pub(crate) type Inputs = BTreeMap<String, BTreeSet<String>>;

/// Transforms so that each comes behind those that it reads, otherwise as given; and circles of them, in which each reads the next one.
pub(crate) fn in_order(names: &[String], inputs: &Inputs) -> (Vec<String>, Vec<Vec<String>>) {
    let mut ordered: Vec<String> = Vec::new();
    let mut circles = Vec::new();
    while ordered.len() < names.len() {
        let next = names.iter().find(|name| {
            let is_known = |input: &String| !inputs.contains_key(input) || ordered.contains(input);
            !ordered.contains(name) && inputs[*name].iter().all(is_known)
        });
        if let Some(next) = next {
            ordered.push(next.clone());
        } else {
            let circle = circle(names, inputs, &ordered);
            ordered.extend(circle.iter().cloned());
            circles.push(circle);
        }
    }
    (ordered, circles)
}

/// Every transform that is left reads another one that is left, so a walk along them comes round.
fn circle(names: &[String], inputs: &Inputs, ordered: &[String]) -> Vec<String> {
    let is_left = |name: &&String| inputs.contains_key(*name) && !ordered.contains(name);
    let mut walk: Vec<String> = names.iter().filter(is_left).take(1).cloned().collect();
    while let Some(next) = walk
        .last()
        .and_then(|last| inputs[last].iter().find(is_left))
    {
        if let Some(start) = walk.iter().position(|name| name == next) {
            return walk.split_off(start);
        }
        walk.push(next.clone());
    }
    walk
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
        assert_eq!(circles, [["c", "a", "b"]]);
        assert_eq!(order, ["c", "a", "b", "d"]);
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
    fn who_feeds_nobody_is_not_reached() {
        let (_, inputs) = inputs(&[("a", &["flights"]), ("b", &["weather"])]);
        let reached = reached([&"a".to_owned()], &inputs);
        assert_eq!(reached.into_iter().collect::<Vec<_>>(), ["a", "flights"]);
    }
}
