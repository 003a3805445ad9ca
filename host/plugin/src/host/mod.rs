//! WebAssembly: compiling components, calling them under limits, and what they say on the way.

mod clock;
mod convert;
mod load;
mod names;
mod operator;
mod store;
mod v0_1_0;
mod worker;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::{Cache, CacheConfig, Config, Engine, OptLevel};

use self::worker::Worker;
use crate::limits::Limits;
use crate::manifest::Manifest;
pub use load::{LoadError, Loaded};
pub use operator::{BatchOperator, OperatorComponent, OperatorHost};

/// Where WebAssembly plugins come from: one compiler, and one thread of known stack on which every call runs.
///
/// Cheap to clone. Everything loaded by it keeps it alive.
#[derive(Clone)]
pub struct PluginHost {
    engine: Engine,
    worker: Arc<Worker>,
    limits: Arc<Limits>,
}

/// WebAssembly cannot be run here.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The compiler does not start.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// The cache of compiled plugins cannot be used.
    #[error("the cache of compiled plugins `{folder}` cannot be used: {cause}")]
    Cache {
        /// Where it should be.
        folder: PathBuf,
        /// Why not.
        cause: String,
    },
    /// A thread cannot be started.
    #[error("the plugin thread does not start")]
    Thread(#[source] io::Error),
}

impl PluginHost {
    /// A host with the default [`Limits`]. With a `cache`, an absolute path, compiled plugins are kept there and taken
    /// from there unchecked: it has to be a folder that only the user can write.
    pub fn new(cache: Option<PathBuf>) -> Result<Self, HostError> {
        Self::with_limits(cache, Limits::default())
    }

    /// A host whose plugins are called under these limits.
    pub fn with_limits(cache: Option<PathBuf>, limits: Limits) -> Result<Self, HostError> {
        // Plugins compute little: compiling fast is worth more than what the optimiser gains.
        let engine = engine(cache, &limits, OptLevel::None)?;
        let worker =
            Worker::start(engine.clone(), limits.stack_bytes).map_err(HostError::Thread)?;
        Ok(Self {
            engine,
            worker: Arc::new(worker),
            limits: Arc::new(limits),
        })
    }

    /// Compiles a component, tries it once, and checks that it is what its manifest says.
    ///
    /// Costs tens of milliseconds for a small plugin that is not in the cache, and well under one for one that is.
    pub fn load(&self, component: &[u8], manifest: &Manifest) -> Result<Loaded, LoadError> {
        load::load(self, component, manifest)
    }
}

fn engine(
    cache: Option<PathBuf>,
    limits: &Limits,
    optimiser: OptLevel,
) -> Result<Engine, HostError> {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        .cranelift_opt_level(optimiser)
        // Nobody reads a backtrace: a panic says where it was.
        .generate_address_map(false)
        .native_unwind_info(false)
        .wasm_backtrace_max_frames(None)
        // An instance has little to copy, and that of a plugin lives for one call.
        .memory_init_cow(false);
    // The same answer on every machine, or a replay would differ.
    config
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    if let Some(folder) = cache {
        let mut at = CacheConfig::new();
        at.with_directory(&folder);
        let cache = Cache::new(at).map_err(|error| HostError::Cache {
            folder,
            cause: chain(&error),
        })?;
        config.cache(Some(cache));
    }
    Engine::new(&config).map_err(|error| HostError::Engine(chain(&error)))
}

/// An error of wasmtime with its causes, in one line.
fn chain(error: &wasmtime::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}
