use forebay_test_conformance::IN_TURN;

use crate::support::{check_conformance, job};

#[test]
fn it_passes_what_every_plugin_has_to_pass() {
    check_conformance(IN_TURN, job(&[("first", 1), ("second", 2)]));
}
