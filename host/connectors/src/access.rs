//! Where files are: paths, patterns, folders and object stores.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use url::Url;

use crate::error::{Error, Verb};
use crate::sink::Folders;

/// How sources and sinks reach files. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    base: PathBuf,
    runtime: Handle,
    stores: Vec<(String, Arc<dyn ObjectStore>)>,
    folders: Folders,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// A path that was resolved.
pub(crate) enum Place {
    Local(PathBuf),
    Remote {
        store: Arc<dyn ObjectStore>,
        /// The URL up to the path in the store, for people.
        root: String,
        path: String,
    },
}

impl Access {
    /// Relative paths are relative to `base`. Reading and writing is done in threads of `runtime`, which must outlive the dataflow.
    pub fn new(base: impl Into<PathBuf>, runtime: Handle) -> Self {
        Self {
            base: base.into(),
            runtime,
            stores: Vec::new(),
            folders: Folders::default(),
        }
    }

    /// URLs that begin with `root` (`s3://bucket`, say) are looked for in this store, instead of one that is made from the URL and
    /// the environment.
    #[must_use]
    pub fn with_store(mut self, root: &str, store: Arc<dyn ObjectStore>) -> Self {
        self.stores
            .push((root.trim_end_matches('/').to_owned(), store));
        self
    }

    /// Where input and output is done.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// What sinks have made to write into.
    pub(crate) fn folders(&self) -> &Folders {
        &self.folders
    }

    pub(crate) fn place(&self, path: &str) -> Result<Place, Error> {
        if path.is_empty() {
            return Err(Error::Setting("a path is empty".into()));
        }
        let Some((scheme, _)) = path.split_once("://") else {
            return Ok(Place::Local(self.base.join(path)));
        };
        let known = self.stores.iter().find_map(|(root, store)| {
            let rest = path.strip_prefix(root.as_str())?.strip_prefix('/')?;
            Some(Place::Remote {
                store: store.clone(),
                root: root.clone(),
                path: rest.to_owned(),
            })
        });
        match known {
            Some(place) => Ok(place),
            None => place_of_url(path, scheme),
        }
    }

    /// All files of a path, a pattern (`*`, `?`, `[...]`, `**`) or a folder (a path that ends with `/`: the files right in it, less
    /// those whose names begin with `.` or `_`), sorted by name. A path and a folder may be a URL.
    ///
    /// # Errors
    ///
    /// There are none, or they cannot be looked for.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<InputFile>, Error> {
        match self.place(path)? {
            Place::Local(local) => {
                let (base, path) = (self.base.clone(), path.to_owned());
                let listed = self
                    .runtime
                    .spawn_blocking(move || list_local(&base, &path, &local));
                listed.await.map_err(|gone| Error::Read {
                    path: "the runtime".into(),
                    source: gone.into(),
                })?
            }
            Place::Remote { store, root, path } => {
                let listed = self
                    .runtime
                    .spawn(async move { list_remote(&store, &root, &path).await });
                listed.await.map_err(|gone| Error::Read {
                    path: "the runtime".into(),
                    source: gone.into(),
                })?
            }
        }
    }
}

fn place_of_url(url: &str, scheme: &str) -> Result<Place, Error> {
    let problem = |problem: String| Error::Url {
        url: url.to_owned(),
        problem,
    };
    let parsed = Url::parse(url).map_err(|error| problem(error.to_string()))?;
    if scheme == "file" {
        let path = parsed
            .to_file_path()
            .map_err(|()| problem("it names another machine".into()))?;
        return Ok(Place::Local(path));
    }
    if let Some(feature) = missing_feature(scheme) {
        return Err(Error::NoFeature {
            url: url.to_owned(),
            scheme: scheme.to_owned(),
            feature,
        });
    }
    let options = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let (store, path) = object_store::parse_url_opts(&parsed, options)
        .map_err(|error| problem(error.to_string()))?;
    let path = path.to_string() + if url.ends_with('/') { "/" } else { "" };
    let root = url
        .strip_suffix(path.as_str())
        .unwrap_or(url)
        .trim_end_matches('/');
    Ok(Place::Remote {
        store: store.into(),
        root: root.to_owned(),
        path,
    })
}

/// The feature that a scheme needs and this build does not have.
fn missing_feature(scheme: &str) -> Option<&'static str> {
    let (feature, is_there) = match scheme {
        "s3" | "s3a" => ("aws", cfg!(feature = "aws")),
        "gs" => ("gcp", cfg!(feature = "gcp")),
        "az" | "adl" | "azure" | "abfs" | "abfss" => ("azure", cfg!(feature = "azure")),
        "http" | "https" => ("http", cfg!(feature = "http")),
        _ => return None,
    };
    (!is_there).then_some(feature)
}

/// A file that is read.
#[derive(Clone)]
pub(crate) struct InputFile {
    /// For people.
    pub(crate) name: Arc<str>,
    /// In bytes, when it was found.
    pub(crate) size: u64,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) path: StorePath,
}

impl fmt::Debug for InputFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.size)
    }
}

const PATTERNS: [char; 3] = ['*', '?', '['];

const PATTERN_OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

fn pattern_error(pattern: &str, error: &glob::PatternError) -> Error {
    Error::Pattern {
        pattern: pattern.to_owned(),
        problem: error.msg.to_owned(),
    }
}

fn list_local(base: &Path, given: &str, path: &Path) -> Result<Vec<InputFile>, Error> {
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
    if given.ends_with('/') {
        return list_folder(&store, given, path);
    }
    if !given.contains(PATTERNS) || path.exists() {
        return Ok(vec![local_file(&store, given, path)?]);
    }
    let pattern = path.strip_prefix(base).unwrap_or(path);
    let whole = Path::new(&Pattern::escape(&base.to_string_lossy())).join(pattern);
    let found = glob::glob_with(&whole.to_string_lossy(), PATTERN_OPTIONS)
        .map_err(|error| pattern_error(given, &error))?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|error| {
            let path = error.path().display().to_string();
            Error::io(path, Verb::Read, error.into())
        })?;
        if path.is_file() {
            let name = path.strip_prefix(base).unwrap_or(&path);
            files.push(local_file(&store, &name.to_string_lossy(), &path)?);
        }
    }
    sorted(files).ok_or_else(|| Error::NoMatch(given.to_owned()))
}

fn list_folder(
    store: &Arc<dyn ObjectStore>,
    given: &str,
    folder: &Path,
) -> Result<Vec<InputFile>, Error> {
    let failed = |error| Error::io(given, Verb::Read, error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(['.', '_']) && path.is_file() {
            files.push(local_file(store, &format!("{given}{name}"), &path)?);
        }
    }
    sorted(files).ok_or_else(|| Error::EmptyFolder(given.to_owned()))
}

fn local_file(store: &Arc<dyn ObjectStore>, name: &str, path: &Path) -> Result<InputFile, Error> {
    let failed = |error| Error::io(name, Verb::Read, error);
    let kind = std::fs::metadata(path).map_err(failed)?;
    if kind.is_dir() {
        return Err(Error::IsDirectory(name.to_owned()));
    }
    // Whether it may be read: a run should not find that out.
    std::fs::File::open(path).map_err(failed)?;
    // The store takes no path that goes up again.
    let absolute = std::fs::canonicalize(path).map_err(failed)?;
    Ok(InputFile {
        name: name.into(),
        size: kind.len(),
        store: store.clone(),
        path: StorePath::from_absolute_path(absolute).map_err(|error| Error::Read {
            path: name.to_owned(),
            source: error.into(),
        })?,
    })
}

fn sorted(mut files: Vec<InputFile>) -> Option<Vec<InputFile>> {
    files.sort_by(|one, other| one.name.cmp(&other.name));
    (!files.is_empty()).then_some(files)
}

async fn list_remote(
    store: &Arc<dyn ObjectStore>,
    root: &str,
    path: &str,
) -> Result<Vec<InputFile>, Error> {
    let given = format!("{root}/{path}");
    let failed = |error| Error::store(&given, Verb::Read, error);
    let file = |meta: object_store::ObjectMeta| InputFile {
        name: format!("{root}/{}", meta.location).into(),
        size: meta.size,
        store: store.clone(),
        path: meta.location,
    };
    if let Some(folder) = path.strip_suffix('/').or(path.is_empty().then_some("")) {
        let prefix = StorePath::from(folder);
        let listed = store.list_with_delimiter(Some(&prefix)).await;
        let objects = listed.map_err(failed)?.objects.into_iter();
        let is_data = |name: &StorePath| {
            name.filename()
                .is_some_and(|name| !name.starts_with(['.', '_']))
        };
        let files = objects.filter(|meta| is_data(&meta.location)).map(file);
        return sorted(files.collect()).ok_or_else(|| Error::EmptyFolder(given.clone()));
    }
    let Some(wild) = path.find(PATTERNS) else {
        let meta = store.head(&StorePath::from(path)).await.map_err(failed)?;
        return Ok(vec![file(meta)]);
    };
    let pattern = Pattern::new(path).map_err(|error| pattern_error(&given, &error))?;
    let folder = path[..wild]
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    let objects = store.list(Some(&StorePath::from(folder)));
    let objects: Vec<_> = objects.try_collect().await.map_err(failed)?;
    let matching = objects
        .into_iter()
        .filter(|meta| pattern.matches_with(meta.location.as_ref(), PATTERN_OPTIONS));
    sorted(matching.map(file).collect()).ok_or(Error::NoMatch(given))
}
