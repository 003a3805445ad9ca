//! The plugin host in this process: loading the standard machine, and asking it for decisions.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use forebay_bundled::BundledPlugin;
use forebay_cluster::preparation::{PluginSet, prepare};
use forebay_cluster::submission::{PluginSource, STANDARD_MACHINE, required_plugins};
use forebay_job::Document;
use forebay_plugin::{Event, Manifest, NodeId, PluginHost};
use forebay_test_conformance::World;
use tempfile::TempDir;

use crate::Effort;
use crate::engine::sleepers;
use crate::row::{Row, Unit, microseconds, milliseconds};

/// Where the time goes, as a profiler shows it.
const COLD: &str = "the compiler of WebAssembly takes nearly all of it, once for each plugin and user, and already without \
    its optimisations. Its faster allocator of registers is not meant for code that nobody trusts";

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let cold: Result<Vec<f64>> = (0..effort.times(30, 3))
        .map(|number| load(folder.path().join(number.to_string())))
        .collect();
    let kept = folder.path().join("warm");
    warm(&kept)?;
    let cached: Result<Vec<f64>> = (0..effort.times(200, 10))
        .map(|_| load(kept.clone()))
        .collect();
    discard(folder);
    let repetitions = effort.times(2_000, 100);
    let row =
        |what: &str, at_most_ms, samples| Row::new(what, Unit::Milliseconds, at_most_ms, samples);
    Ok(vec![
        row("host made and plugin loaded, cold", 60.0, cold?).noted(COLD),
        row("host made and plugin loaded, cached", 5.0, cached?),
        decide(3, 100.0, repetitions)?,
        decide(1_000, 500.0, repetitions)?,
    ])
}

fn standard_machine() -> Result<&'static BundledPlugin> {
    forebay_bundled::find(STANDARD_MACHINE).context("it is bundled")
}

/// A cache writes what it is given on a thread of its own, and may be at it while its folder goes away.
fn discard(folder: TempDir) {
    let folder = folder.keep();
    while folder.exists() {
        // It fails where a file has come in the meantime.
        let _ = std::fs::remove_dir_all(&folder);
    }
}

fn load(cache: PathBuf) -> Result<f64> {
    let plugin = standard_machine()?;
    let begun = Instant::now();
    let host = PluginHost::new(Some(cache))?;
    let manifest = Manifest::parse(plugin.manifest)?;
    let loaded = host.load(plugin.component, &manifest)?;
    let took = milliseconds(begun.elapsed());
    black_box(loaded);
    Ok(took)
}

/// Loads until the plugin is in the cache.
fn warm(cache: &Path) -> Result<()> {
    let has_files = || std::fs::read_dir(cache).is_ok_and(|mut entries| entries.next().is_some());
    while !has_files() {
        load(cache.to_owned())?;
    }
    load(cache.to_owned())?;
    Ok(())
}

/// A decision about a running job of so many nodes; each is made by a fresh instance.
fn decide(nodes: u32, at_most_us: f64, repetitions: u32) -> Result<Row> {
    let job = Document::parse(sleepers(nodes), "job.toml", "/").check();
    let (job, _) = job
        .into_job()
        .map_err(|problems| anyhow::anyhow!("the job has problems: {problems:?}"))?;
    let sources: Result<Vec<PluginSource>> =
        required_plugins(&job).into_iter().map(source).collect();
    let plugins = PluginSet::load(&PluginHost::new(None)?, &job, &sources?, "")?;
    let prepared = prepare(&job, &plugins)?;
    let mut world = World::new(prepared.spec);
    world.start(&plugins.machine)?;
    let events = [Event::NodesReady(vec![NodeId::new("worker", 0)])];
    let ask = |_| -> Result<f64> {
        let begun = Instant::now();
        let decision = plugins.machine.decide(
            &world.job,
            &world.moment(),
            &world.view,
            &world.state,
            &events,
        )?;
        let took = microseconds(begun.elapsed());
        black_box(decision);
        Ok(took)
    };
    // The first ones fill the caches of the processor.
    (0..repetitions / 10).try_for_each(|number| ask(number).map(drop))?;
    let samples: Result<Vec<f64>> = (0..repetitions).map(ask).collect();
    let what = format!("fresh instance and `decide`: {nodes} nodes");
    Ok(Row::new(what, Unit::Microseconds, at_most_us, samples?))
}

fn source(name: String) -> Result<PluginSource> {
    let plugin = forebay_bundled::find(&name).context("it is bundled")?;
    Ok(PluginSource {
        name,
        component: plugin.component.to_vec(),
        manifest: plugin.manifest.to_owned(),
    })
}
