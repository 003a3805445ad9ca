//! Files as a sink.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use forebay_dataflow::{Cause, Meeting, Operator, Output, TaskContext};
use futures_util::StreamExt;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use super::encode::{self, Encoder};
use super::folders::Folders;
use super::local::{LocalFile, LocalTarget, folder_of};
use super::remote::RemoteTarget;
use crate::access::{Access, Place};
use crate::connector::SinkConnector;
use crate::error::{Error, Verb};
use crate::format::{Compression, Format};

/// Bytes are handed on when there are so many: enough for a part of any object store.
const PIECE_BYTES: usize = 8 << 20;

/// What is written, and where.
#[derive(Debug, Clone)]
pub struct FileSinkOptions {
    /// A file (a name with an extension, for one task), or a folder that gets `part-00000.EXTENSION` and so on, one for each task.
    /// Local, or a URL; relative paths are relative to the base of [`Access`].
    pub path: String,
    /// What the files are; what the path's extension tells unless said otherwise.
    pub format: Option<Format>,
    /// Whether a file that is there, or the `part-...` files of a local folder, are replaced; they are refused unless said otherwise.
    pub overwrite: bool,
}

impl FileSinkOptions {
    /// As everything is unless said otherwise.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            format: None,
            overwrite: false,
        }
    }
}

/// Where the files of all tasks go.
#[derive(Clone)]
enum Layout {
    File(PathBuf),
    Folder(PathBuf),
    Object(Arc<dyn ObjectStore>, StorePath),
    Prefix(Arc<dyn ObjectStore>, StorePath),
}

/// Files that can be written: nothing is in their way, and their format holds the columns.
///
/// A file is to be seen when all its rows are on the disk, and not before; a task that fails, or is killed, leaves none, and the other tasks
/// of the sink neither.
#[derive(Clone)]
pub struct FileSink {
    name: String,
    layout: Layout,
    format: Format,
    schema: SchemaRef,
    overwrite: bool,
    /// Whether an attempt has completed it: the next attempt of the same dataflow writes the same rows once more.
    is_own: Arc<AtomicBool>,
    runtime: Handle,
    folders: Folders,
}

impl FileSink {
    /// Checks the place and the columns, for so many tasks.
    ///
    /// # Errors
    ///
    /// What is in the way: a file, a folder that is not empty, permissions, a type that the format cannot hold. Folders that are missing
    /// are not: they are made when a task begins, and go again where nothing comes into them.
    pub async fn prepare(
        options: FileSinkOptions,
        access: &Access,
        schema: SchemaRef,
        tasks: usize,
    ) -> Result<Self, Error> {
        let format = match options.format {
            Some(format) => format,
            None => Format::of_name(options.path.trim_end_matches('/'))?.0,
        };
        if Compression::of_name(&options.path) != Compression::None {
            return Err(Error::Setting(format!(
                "`{}`: a sink does not compress text as a whole; leave `.gz` or `.zst` out, or write Parquet",
                options.path
            )));
        }
        encode::check(&format, &schema)?;
        let is_file = tasks == 1 && has_extension(&options.path);
        let layout = match (access.place(&options.path)?, is_file) {
            (Place::Local(path), true) => Layout::File(path),
            (Place::Local(path), false) => Layout::Folder(path),
            (Place::Remote { store, path, .. }, true) => Layout::Object(store, path.into()),
            (Place::Remote { store, path, .. }, false) => Layout::Prefix(store, path.into()),
        };
        let sink = Self {
            name: options.path,
            layout,
            format,
            schema,
            overwrite: options.overwrite,
            is_own: Arc::default(),
            runtime: access.runtime().clone(),
            folders: access.folders().clone(),
        };
        sink.check().await?;
        Ok(sink)
    }

    async fn check(&self) -> Result<(), Error> {
        let sink = self.clone();
        let checked = match &self.layout {
            Layout::File(_) | Layout::Folder(_) => {
                self.runtime
                    .spawn_blocking(move || sink.check_local())
                    .await
            }
            Layout::Object(..) | Layout::Prefix(..) => {
                self.runtime
                    .spawn(async move { sink.check_remote().await })
                    .await
            }
        };
        checked.map_err(|gone| Error::Write {
            path: self.name.clone(),
            source: gone.into(),
        })?
    }

    fn check_local(&self) -> Result<(), Error> {
        match &self.layout {
            Layout::File(path) => {
                let folder = self.nearest_folder(folder_of(path))?;
                if path.is_dir() {
                    let name = &self.name;
                    return Err(Error::Setting(format!(
                        "`{name}` is a folder; name a file in it"
                    )));
                }
                if !self.overwrite && path.symlink_metadata().is_ok() {
                    return Err(Error::Exists(self.name.clone()));
                }
                self.try_writing(folder)
            }
            Layout::Folder(folder) if folder.is_dir() => {
                self.check_empty(folder)?;
                self.try_writing(folder)
            }
            Layout::Folder(folder) if folder.symlink_metadata().is_ok() => {
                Err(Error::NotAFolder(self.name.clone()))
            }
            Layout::Folder(folder) => {
                let above = self.nearest_folder(folder_of(folder))?;
                self.try_writing(above)
            }
            Layout::Object(..) | Layout::Prefix(..) => Ok(()),
        }
    }

    /// This folder or, where it is missing, the one above it in which it will be made.
    fn nearest_folder<'a>(&self, folder: &'a Path) -> Result<&'a Path, Error> {
        let mut nearest = folder;
        while nearest.symlink_metadata().is_err() && folder_of(nearest) != nearest {
            nearest = folder_of(nearest);
        }
        if nearest.is_dir() {
            return Ok(nearest);
        }
        Err(Error::ParentNotAFolder {
            parent: nearest.display().to_string(),
            path: self.name.clone(),
        })
    }

    fn check_empty(&self, folder: &Path) -> Result<(), Error> {
        let entries =
            std::fs::read_dir(folder).map_err(|error| Error::io(&self.name, Verb::Write, error))?;
        let may_stay = |name: std::ffi::OsString| {
            let name = name.to_string_lossy();
            // Hidden ones may be what a killed process left.
            name.starts_with('.') || self.overwrite && part_number(&name).is_some()
        };
        if entries.flatten().all(|entry| may_stay(entry.file_name())) {
            Ok(())
        } else {
            Err(Error::NotEmpty(self.name.clone()))
        }
    }

    /// Begins a file in a folder and gives it up.
    fn try_writing(&self, folder: &Path) -> Result<(), Error> {
        LocalFile::create(&folder.join("part"), self.overwrite)
            .map(drop)
            .map_err(|error| Error::io(&self.name, Verb::Write, error))
    }

    async fn check_remote(&self) -> Result<(), Error> {
        let failed = |error| Error::store(&self.name, Verb::Write, error);
        match &self.layout {
            Layout::Object(store, path) if !self.overwrite => match store.head(path).await {
                Ok(_) => Err(Error::Exists(self.name.clone())),
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(failed(error)),
            },
            Layout::Prefix(store, path) => match store.list(Some(path)).next().await {
                None => Ok(()),
                Some(Ok(_)) => Err(Error::NotEmpty(self.name.clone())),
                Some(Err(error)) => Err(failed(error)),
            },
            Layout::Object(..) | Layout::File(_) | Layout::Folder(_) => Ok(()),
        }
    }

    fn target(&self, task: usize) -> Result<Target, Error> {
        let part = format!("part-{task:05}.{}", self.format.extension());
        let part_name = format!("{}/{part}", self.name.trim_end_matches('/'));
        match &self.layout {
            Layout::File(path) => self.local(self.name.clone(), path),
            Layout::Folder(folder) => self.local(part_name, &folder.join(part)),
            Layout::Object(store, path) => Ok(self.remote(self.name.clone(), store, path.clone())),
            Layout::Prefix(store, path) => {
                Ok(self.remote(part_name, store, path.clone().join(part)))
            }
        }
    }

    fn replaces(&self) -> bool {
        self.overwrite || self.is_own.load(Relaxed)
    }

    /// One task sees to what an earlier run has left.
    fn cleaning(&self, context: &TaskContext) -> Option<Cleaning> {
        match &self.layout {
            Layout::Folder(folder) if self.replaces() && context.task == 0 => Some(Cleaning {
                folder: folder.clone(),
                tasks: context.parallelism,
                extension: self.format.extension(),
                runtime: self.runtime.clone(),
            }),
            _ => None,
        }
    }

    fn local(&self, name: String, path: &Path) -> Result<Target, Error> {
        let failed = |error| Error::io(&name, Verb::Write, error);
        let hold = self.folders.hold(folder_of(path)).map_err(failed)?;
        let file = LocalFile::create(path, self.replaces()).map_err(failed)?;
        let target = LocalTarget::new(name, file.inside(hold), self.runtime.clone());
        Ok(Target::Local(target))
    }

    fn remote(&self, name: String, store: &Arc<dyn ObjectStore>, path: StorePath) -> Target {
        Target::Remote(RemoteTarget::new(name, store.clone(), path, &self.runtime))
    }
}

/// `part-00007.csv` -> 7
fn part_number(name: &str) -> Option<usize> {
    let (number, _) = name.strip_prefix("part-")?.split_once('.')?;
    number.parse().ok()
}

/// Parts of an earlier run that had more tasks, or another format.
fn remove_other_parts(folder: &Path, tasks: usize, extension: &str) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = |number| number < tasks && name.ends_with(&format!(".{extension}"));
        if part_number(&name).is_some_and(|number| !is_ours(number)) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn has_extension(path: &str) -> bool {
    !path.ends_with('/') && Path::new(path).extension().is_some()
}

impl SinkConnector for FileSink {
    fn open(&self, context: TaskContext) -> Result<Box<dyn Operator>, Cause> {
        Ok(Box::new(FileTask {
            name: self.name.clone(),
            format: self.format.name(),
            encoder: Encoder::new(&self.format, &self.schema)?,
            target: self.target(context.task)?,
            cleaning: self.cleaning(&context),
            is_own: self.is_own.clone(),
            meeting: context.meeting,
        }))
    }
}

enum Target {
    Local(LocalTarget),
    Remote(RemoteTarget),
}

impl Target {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Local(target) => target.write(bytes).await,
            Self::Remote(target) => target.write(bytes).await,
        }
    }

    /// What can fail for its rows has failed by then, as far as that is known before it is complete.
    async fn sync(&mut self) -> Result<(), Error> {
        match self {
            Self::Local(target) => target.sync().await,
            Self::Remote(_) => Ok(()),
        }
    }

    async fn finish(&mut self) -> Result<(), Error> {
        match self {
            Self::Local(target) => target.finish().await,
            Self::Remote(target) => target.finish().await,
        }
    }
}

struct FileTask {
    name: String,
    format: &'static str,
    encoder: Encoder,
    target: Target,
    cleaning: Option<Cleaning>,
    is_own: Arc<AtomicBool>,
    meeting: Meeting,
}

/// What is removed when the new rows are there.
struct Cleaning {
    folder: PathBuf,
    tasks: usize,
    extension: &'static str,
    runtime: Handle,
}

impl Cleaning {
    async fn clean(self, name: &str) -> Result<(), Error> {
        let work = move || remove_other_parts(&self.folder, self.tasks, self.extension);
        let cleaned = self.runtime.spawn_blocking(work).await;
        let failed = |source: Cause| Error::Write {
            path: name.to_owned(),
            source,
        };
        cleaned
            .map_err(|gone| failed(gone.into()))?
            .map_err(|error| failed(error.into()))
    }
}

impl FileTask {
    fn failed(&self, source: Cause) -> Error {
        Error::Encode {
            path: self.name.clone(),
            format: self.format,
            source,
        }
    }
}

#[async_trait]
impl Operator for FileTask {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        _: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let written = self.encoder.write(&batch);
        written.map_err(|cause| self.failed(cause))?;
        if self.encoder.bytes().len() >= PIECE_BYTES {
            let piece = std::mem::take(self.encoder.bytes());
            self.target.write(piece).await?;
        }
        Ok(())
    }

    async fn end(&mut self, _: &mut Output<'_>) -> Result<(), Cause> {
        let finished = self.encoder.finish();
        finished.map_err(|cause| self.failed(cause))?;
        let piece = std::mem::take(self.encoder.bytes());
        self.target.write(piece).await?;
        self.target.sync().await?;
        // No part is to be seen before all rows of all parts are there.
        self.meeting.all().await;
        self.is_own.store(true, Relaxed);
        self.target.finish().await?;
        match self.cleaning.take() {
            Some(cleaning) => Ok(cleaning.clean(&self.name).await?),
            None => Ok(()),
        }
    }
}
