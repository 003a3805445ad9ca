//! The user's own folders, by the XDG rules: grants and compiled plugins.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// `grants.toml` in `$XDG_CONFIG_HOME/forebay`.
pub(crate) fn grants_file() -> Option<PathBuf> {
    own("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("grants.toml"))
}

/// Where compiled plugins are kept; `None` where no such folder can be made: then each run compiles again.
pub(crate) fn compiled_plugins() -> Option<PathBuf> {
    let folder = own("XDG_CACHE_HOME", ".cache")?.join("plugins");
    // Whoever can write there can make the host run machine code.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .ok()?;
    Some(folder)
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
