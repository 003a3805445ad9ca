//! Stamps: a file beside a thing says what the thing was made from, so that it is made again only when that changes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Names the content of what a thing is made from.
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    /// Adds a text, apart from what comes before and after it.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.update(text.len().to_le_bytes());
        self.0.update(text);
        self
    }

    /// Adds the name and the content of every file under `path` (or of the file `path`), but what Python or a build leaves there.
    pub(crate) fn tree(mut self, path: &Path) -> Result<Self> {
        let mut files = Vec::new();
        collect(path, &mut files).with_context(|| format!("cannot list `{}`", path.display()))?;
        files.sort();
        for file in files {
            let content =
                fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
            self = self.text(&file.to_string_lossy());
            self.0.update(content.len().to_le_bytes());
            self.0.update(content);
        }
        Ok(self)
    }

    pub(crate) fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !(name.starts_with("__pycache__") || name == "target" || name.ends_with(".so")) {
            collect(&path, files)?;
        }
    }
    Ok(())
}

/// Whether the stamp file holds this fingerprint.
pub(crate) fn matches(stamp: &Path, fingerprint: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|found| found == fingerprint)
}

/// Writes the stamp file; the last act of making a thing.
pub(crate) fn write(stamp: &Path, fingerprint: &str) -> Result<()> {
    fs::write(stamp, fingerprint).with_context(|| format!("cannot write `{}`", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_where_one_text_ends() {
        let one = Fingerprint::new().text("ab").text("c").finish();
        let other = Fingerprint::new().text("a").text("bc").finish();
        assert_ne!(one, other);
    }

    #[test]
    fn a_tree_changes_with_a_file_and_not_with_what_a_build_leaves() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        fs::create_dir_all(folder.join("__pycache__"))?;
        fs::write(folder.join("a.py"), "1")?;
        let before = Fingerprint::new().tree(&folder)?.finish();
        fs::write(folder.join("__pycache__/a.pyc"), "left by Python")?;
        let same = Fingerprint::new().tree(&folder)?.finish();
        fs::write(folder.join("a.py"), "2")?;
        let after = Fingerprint::new().tree(&folder)?.finish();
        fs::remove_dir_all(&folder)?;
        assert_eq!(before, same);
        assert_ne!(before, after);
        Ok(())
    }
}
