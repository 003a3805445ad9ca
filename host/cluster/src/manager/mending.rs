//! Loads the plugins of a run: as they were submitted, or with others in the place of some.

use std::fmt;

use forebay_job::Job;
use forebay_plugin::{Manifest, PluginHost};

use crate::causes::chain;
use crate::preparation::{PluginSet, PluginSetError, PrepareError, Prepared, prepare};
use crate::run_directory::RunDirectory;
use crate::submission::{Submission, SubmissionError, SubmittedPlugin};

/// Plugins ready to be called, with the job as they prepare it.
pub(crate) struct Mended {
    pub(crate) plugins: PluginSet,
    pub(crate) prepared: Prepared,
    /// Those that are in the place of submitted ones.
    pub(crate) replaced: Vec<SubmittedPlugin>,
}

impl fmt::Debug for Mended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.replaced.iter().map(|plugin| &plugin.name);
        formatter.debug_list().entries(names).finish()
    }
}

/// Why the plugins of a run cannot go on with it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A plugin of the run cannot be read.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    /// The plugins cannot be used.
    #[error(transparent)]
    Plugins(#[from] PluginSetError),
    /// The job cannot be prepared any more.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
}

/// Where plugins of a run come from.
pub(crate) struct Mending {
    pub(crate) run: RunDirectory,
    pub(crate) job: Job,
    pub(crate) submission: Submission,
    pub(crate) host: PluginHost,
}

impl Mending {
    /// The plugins of the run, but for those that were replaced.
    pub(crate) fn load(&self, replaced: Vec<SubmittedPlugin>) -> Result<Mended, LoadError> {
        let submission = self.submission.with(&replaced);
        let sources = submission.plugin_sources(&self.run)?;
        let plugins = PluginSet::load(&self.host, &self.job, &sources, &submission.grants)?;
        let prepared = prepare(&self.job, &plugins)?;
        Ok(Mended {
            plugins,
            prepared,
            replaced,
        })
    }

    /// As [`Mending::load`], with this component instead of those that have its id; without one, nothing else is replaced.
    pub(crate) fn mend(
        &self,
        mut replaced: Vec<SubmittedPlugin>,
        component_sha256: &str,
        manifest: &str,
    ) -> Result<Mended, String> {
        if !component_sha256.is_empty() {
            let id = Manifest::parse(manifest).map_err(|error| chain(&error))?.id;
            let names = self.names_of(id.as_str())?;
            replaced.retain(|plugin| !names.contains(&plugin.name));
            replaced.extend(names.into_iter().map(|name| SubmittedPlugin {
                name,
                sha256: component_sha256.to_owned(),
                manifest: manifest.to_owned(),
            }));
        }
        self.load(replaced).map_err(|error| chain(&error))
    }

    /// What the job calls the plugin of this id: a state machine and the runner beside it have a name each.
    fn names_of(&self, id: &str) -> Result<Vec<String>, String> {
        let id_of = |plugin: &SubmittedPlugin| Manifest::parse(&plugin.manifest).map(|own| own.id);
        let plugins = &self.submission.plugins;
        let has_id = |plugin: &&SubmittedPlugin| id_of(plugin).is_ok_and(|own| own.as_str() == id);
        let names: Vec<String> = plugins
            .iter()
            .filter(has_id)
            .map(|plugin| plugin.name.clone())
            .collect();
        if names.is_empty() {
            let known: Vec<String> = plugins
                .iter()
                .filter_map(|plugin| Some(format!("`{}`", id_of(plugin).ok()?.as_str())))
                .collect();
            return Err(format!(
                "the job has no plugin with the id `{id}`; its plugins are {}",
                known.join(", ")
            ));
        }
        Ok(names)
    }
}
