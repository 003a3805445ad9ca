//! The job of `job.toml`, made by the builder: prints it as a job file for `forebay run -`.

use std::io::{self, Write};

use forebay_job::{AmBuilder, JobBuilder, RoleBuilder};

fn main() -> io::Result<()> {
    io::stdout().write_all(job().to_toml().as_bytes())
}

/// An application manager and the roles `a`, `b` and `c`.
fn job() -> JobBuilder {
    JobBuilder::new("roles-abc")
        .add_am_role(AmBuilder::new())
        .add_role(RoleBuilder::new("a").nodes(2).command([
            "sh",
            "-c",
            "echo \"a:$FOREBAY_INDEX says hello\"",
        ]))
        .add_role(
            RoleBuilder::new("b")
                .command(["sh", "-c", "echo \"b has $GREETING\""])
                .environment("GREETING", "good morning"),
        )
        .add_role(
            RoleBuilder::new("c")
                .command(["sh", "-c", "echo \"c got $# arguments: $*\"", "c"])
                .arguments(["one", "two"]),
        )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use forebay_job::{Document, Job};

    fn here() -> PathBuf {
        std::env::var_os("CARGO_MANIFEST_DIR")
            .expect("cargo runs the tests")
            .into()
    }

    fn parsed(text: &str) -> Job {
        let document = Document::parse(text, "job.toml", here());
        let (job, warnings) = document.check().into_job().expect("it is valid");
        assert_eq!(warnings, []);
        job
    }

    #[test]
    fn file_and_builder_are_one_job() {
        let built = super::job().base(here()).build().expect("it is valid");
        assert_eq!(built, parsed(include_str!("../job.toml")));
        assert_eq!(built, parsed(&super::job().to_toml()));
    }
}
