//! The page of faults names a test for each; a test that is renamed has to be renamed there.

use super::Tree;

const PAGE: &str = "docs/reliability.md";

/// Tests that the page names, as `` `module::test` ``, and nobody has.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let page = tree.0.iter().find(|source| source.path == PAGE);
    let lines = page.map_or("", |page| &page.text).lines();
    let named = (1..).zip(lines).flat_map(|(number, line)| {
        let quoted = line.split('`').skip(1).step_by(2);
        quoted.filter_map(move |text| Some((number, text, text.rsplit_once("::")?)))
    });
    let missing = named.filter(|(_, _, (module, test))| !exists(tree, module, test));
    missing
        .map(|(number, text, _)| format!("{PAGE}:{number}: there is no test `{text}`"))
        .collect()
}

fn exists(tree: &Tree, module: &str, test: &str) -> bool {
    let file = format!("/{}.rs", module.rsplit("::").next().unwrap_or(module));
    let begin = format!("fn {test}(");
    let mut sources = tree.0.iter();
    sources.any(|source| source.path.ends_with(&file) && source.text.contains(&begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_nobody_has_is_found() {
        let tree = Tree::of(&[
            (
                PAGE,
                "| a | `cables::one_is_cut` |\n| b | `cables::gone` |\n",
            ),
            ("tests/all/cables.rs", "#[test]\nfn one_is_cut() {}\n"),
        ]);
        let wanted = ["docs/reliability.md:2: there is no test `cables::gone`"];
        assert_eq!(check(&tree), wanted);
    }
}
