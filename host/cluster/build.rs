//! Generates the messages and services of cluster/v1 and job/v1.

use std::error::Error;

const PROTO_ROOT: &str = "../../proto";
const PROTO_FILES: [&str; 2] = [
    "forebay/cluster/v1/cluster.proto",
    "forebay/job/v1/job.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO_ROOT}");
    let descriptors = protox::compile(PROTO_FILES, [PROTO_ROOT])?;
    tonic_prost_build::configure()
        .extern_path(".forebay.node.v1", "::forebay_protocol::node::v1")
        .compile_fds(descriptors)?;
    Ok(())
}
