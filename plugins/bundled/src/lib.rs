//! The plugins that the host carries: components and manifests, built by this crate's build script and embedded.
//!
//! It is *not* the plugin host: it loads and checks nothing. Only the command line and tests use it.
//!
//! Start from [`find`].

/// A plugin as it was built.
#[derive(Clone, Copy, Debug)]
pub struct BundledPlugin {
    /// Name by which jobs ask for it, and its id.
    pub name: &'static str,
    /// The component.
    pub component: &'static [u8],
    /// The text of its `plugin.toml`.
    pub manifest: &'static str,
}

/// Name of a node runner that is part of another plugin, and that plugin.
const ALIASES: [(&str, &str); 1] = [("command", "standard-machine")];

static ALL: &[BundledPlugin] = include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// All of them, each once.
pub fn all() -> &'static [BundledPlugin] {
    ALL
}

/// The plugin of this name. `command`, the node runner of any program, is part of `standard-machine`.
pub fn find(name: &str) -> Option<&'static BundledPlugin> {
    let name = ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name, |(_, plugin)| plugin);
    ALL.iter().find(|plugin| plugin.name == name)
}
