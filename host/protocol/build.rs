//! Generates the messages of node/v1.

use std::error::Error;

const PROTO_ROOT: &str = "../../proto";
const PROTO_FILES: [&str; 1] = ["forebay/node/v1/node.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO_ROOT}/forebay/node");
    let descriptors = protox::compile(PROTO_FILES, [PROTO_ROOT])?;
    prost_build::Config::new()
        .btree_map(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
