use forebay_test_conformance::MENDED;

use crate::support::{check_conformance, job};

#[test]
fn it_passes_what_every_plugin_has_to_pass() {
    check_conformance(MENDED, job(&[("first", 1), ("second", 2)]));
}
