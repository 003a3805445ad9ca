//! The user's own folders, by the XDG rules: grants and compiled plugins.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// `grants.toml` in `$XDG_CONFIG_HOME/forebay`.
pub(crate) fn grants_file() -> Option<PathBuf> {
    own("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("grants.toml"))
}

/// Where compiled plugins are kept; `None` where no such folder can be made, or where others may write: then each run
/// compiles again.
pub(crate) fn compiled_plugins() -> Option<PathBuf> {
    let folder = own("XDG_CACHE_HOME", ".cache")?.join("plugins");
    // Whoever can write there can make the host run machine code.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .ok()?;
    let trusted = |folder: &Path| is_private(folder, geteuid().as_raw());
    (trusted(&folder) && folder.parent().is_some_and(trusted)).then_some(folder)
}

/// Nobody but this user may write there: machine code of somebody else's would run as this user.
fn is_private(folder: &Path, user: u32) -> bool {
    let metadata = folder.symlink_metadata();
    metadata.is_ok_and(|found| found.is_dir() && found.uid() == user && found.mode() & 0o022 == 0)
}

fn own(variable: &str, below_home: &str) -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name);
    own_folder(named(variable), named("HOME"), below_home)
}

/// The rules want an absolute path; anything else is ignored.
fn own_folder(xdg: Option<OsString>, home: Option<OsString>, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let parent = xdg
        .and_then(absolute)
        .or_else(|| home.and_then(absolute).map(|home| home.join(below_home)));
    parent.map(|parent| parent.join(Path::new("forebay")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_may_write_to_keeps_no_machine_code() {
        let folder = tempfile::tempdir().unwrap();
        let user = geteuid().as_raw();
        assert!(is_private(folder.path(), user));
        assert!(!is_private(folder.path(), user + 1));
        let shared = std::os::unix::fs::PermissionsExt::from_mode(0o770);
        std::fs::set_permissions(folder.path(), shared).unwrap();
        assert!(!is_private(folder.path(), user));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert!(!is_private(&link, user));
    }

    #[test]
    fn the_users_folders_follow_the_xdg_rules() {
        let folder = |xdg: Option<&str>, home: Option<&str>| {
            own_folder(xdg.map(Into::into), home.map(Into::into), ".config")
        };
        assert_eq!(
            folder(Some("/x"), Some("/home/me")),
            Some("/x/forebay".into())
        );
        assert_eq!(
            folder(Some("relative"), Some("/home/me")),
            Some("/home/me/.config/forebay".into())
        );
        assert_eq!(folder(None, None), None);
    }
}
