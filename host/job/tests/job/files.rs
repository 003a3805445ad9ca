//! A look at the disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use forebay_job::{Document, FilesError, ReadError};
use insta::assert_snapshot;
use tempfile::TempDir;

use crate::lines;

fn folder(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, file).expect("a file");
    }
    folder
}

fn document(role: &str, base: &Path) -> Document {
    Document::parse(
        format!("name = \"a\"\n[roles.a]\n{role}\n"),
        "job.toml",
        base,
    )
}

/// Names of the staged files of a role.
fn staged(role: &str, base: &Path) -> Result<Vec<String>, FilesError> {
    let (job, _) = document(role, base)
        .check()
        .into_job()
        .expect("it is valid");
    let files = job.roles[0].staged_files(base)?;
    assert!(files.iter().all(|file| file.absolute.is_file()));
    Ok(files.into_iter().map(|file| file.relative).collect())
}

fn file_problems(role: &str, base: &Path) -> String {
    let document = document(role, base);
    let (job, _) = document.check().into_job().expect("it is valid");
    let located: Vec<_> = job
        .check_files()
        .into_iter()
        .map(|problem| document.locate(problem))
        .collect();
    lines(&located).replace(&base.display().to_string(), "BASE")
}

#[test]
fn a_script_brings_the_python_files_beside_it() {
    let folder = folder(&[
        "src/train.py",
        "src/model.py",
        "src/.hidden.py",
        "src/deep/x.py",
        "data.csv",
    ]);
    let files = staged("script = \"./src/train.py\"", folder.path()).expect("they are there");
    assert_eq!(files, ["src/model.py", "src/train.py"]);
}

#[test]
fn patterns_replace_the_default_and_skip_hidden_folders() {
    let folder = folder(&[
        "train.py",
        "lib/a.py",
        "lib/b/c.py",
        ".venv/d.py",
        "data [1]/x.csv",
    ]);
    let role = "script = \"train.py\"\nfiles = [\"lib/**/*.py\", \"**/*.py\", \"data [[]1[]]/*\"]";
    let files = staged(role, folder.path()).expect("they are there");
    assert_eq!(
        files,
        ["data [1]/x.csv", "lib/a.py", "lib/b/c.py", "train.py"]
    );
}

#[test]
fn a_folder_with_pattern_characters_in_its_name_works() {
    let folder = folder(&["odd [name] *?/train.py", "odd [name] *?/b.py"]);
    let base = folder.path().join("odd [name] *?");
    assert_eq!(
        staged("script = \"train.py\"", &base).expect("they are there"),
        ["b.py", "train.py"]
    );
}

#[test]
fn a_command_beside_the_job_file_travels_and_one_from_the_path_does_not() {
    let folder = folder(&["bin/run"]);
    assert_eq!(
        staged("command = [\"bin/run\"]", folder.path()).expect("it is there"),
        ["bin/run"]
    );
    assert!(
        staged("command = [\"sh\"]", folder.path())
            .expect("nothing")
            .is_empty()
    );
    assert!(
        staged("command = [\"/bin/sh\"]", folder.path())
            .expect("nothing")
            .is_empty()
    );
}

#[test]
fn a_link_out_of_the_folder_is_refused() {
    let outside = folder(&["secret.py"]);
    let folder = folder(&["train.py"]);
    symlink(
        outside.path().join("secret.py"),
        folder.path().join("secret.py"),
    )
    .expect("a link");
    let error = staged("script = \"train.py\"", folder.path()).expect_err("it leads out");
    assert!(matches!(error, FilesError::Escapes { .. }), "{error}");
    symlink("train.py", folder.path().join("inside.py")).expect("a link");
    fs::remove_file(folder.path().join("secret.py")).expect("gone");
    assert_eq!(
        staged("script = \"train.py\"", folder.path()).expect("inside"),
        ["inside.py", "train.py"]
    );
}

#[test]
fn too_many_files_are_refused() {
    let names: Vec<_> = (0..=forebay_job::STAGED_FILES_MAX)
        .map(|number| format!("{number}.py"))
        .collect();
    let folder = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let error = staged("script = \"0.py\"", folder.path()).expect_err("too many");
    assert!(matches!(error, FilesError::TooMany), "{error}");
}

#[test]
fn too_large_files_are_refused() {
    let folder = folder(&["train.py"]);
    let large = fs::File::create(folder.path().join("large.py")).expect("a file");
    large
        .set_len(forebay_job::STAGED_BYTES_MAX)
        .expect("sparse");
    let error = staged("script = \"train.py\"", folder.path()).expect_err("too large");
    assert!(matches!(error, FilesError::TooLarge), "{error}");
}

#[test]
fn missing_files_are_reported_at_their_key() {
    let folder = folder(&["train.py", "folder/x"]);
    assert_snapshot!(file_problems("script = \"trian.py\"", folder.path()), @r"
job.toml:3:10: error[job/missing-file]: `trian.py` does not exist (roles.a.script); hint: did you mean `train.py`?
");
    assert_snapshot!(file_problems("script = \"src/other.py\"", folder.path()), @r"
job.toml:3:10: error[job/missing-file]: `src/other.py` does not exist (roles.a.script); hint: looked in `BASE/src`
");
    assert_snapshot!(file_problems("script = \"folder\"", folder.path()), @r"
job.toml:3:10: error[job/missing-file]: `folder` is not a file (roles.a.script); hint: give the path of a file
");
    assert_snapshot!(file_problems("command = [\"./run.sh\"]", folder.path()), @r"
job.toml:3:11: error[job/missing-file]: `run.sh` does not exist (roles.a.command); hint: looked in `BASE`
");
    assert_snapshot!(file_problems("script = \"train.py\"\nfiles = [\"*.csv\"]", folder.path()), @r#"
job.toml:4:9: warning[job/no-match]: the pattern "*.csv" matches no file (roles.a.files); hint: patterns are relative to the folder of the job file
"#);
}

#[test]
fn a_job_file_is_read_with_its_folder_as_base() {
    let folder = folder(&["job.toml"]);
    let path = folder.path().join("job.toml");
    fs::write(&path, "name = \"a\"\n[roles.a]\ncommand = [\"true\"]\n").expect("written");
    let document = Document::read(&path).expect("it is there");
    assert_eq!(document.base(), folder.path());
    assert!(document.check().into_job().is_ok());
}

#[test]
fn a_job_file_that_cannot_be_read_says_why() {
    let folder = folder(&["binary"]);
    let path = folder.path().join("binary");
    fs::write(&path, [0xff, 0xfe]).expect("written");
    assert!(matches!(
        Document::read(&path),
        Err(ReadError::NotText { .. })
    ));
    assert!(matches!(
        Document::read(&folder.path().join("none")),
        Err(ReadError::Io { .. })
    ));
    assert!(matches!(
        Document::read(folder.path()),
        Err(ReadError::Io { .. })
    ));
}
