//! Scripts and files of the job: fetched once by content hash, then copied into the working folders of nodes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, watch};
use tonic::Code;

use crate::connect::Discovery;
use crate::wire::cluster::{FetchRequest, StagedFile};

/// How often a file is asked for when connections break.
const TRIES_MAX: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(500);
/// Digits of a SHA-256.
const HASH_LENGTH: usize = 64;

/// Why a file could not be put where a node needs it.
#[derive(Debug, thiserror::Error)]
pub(super) enum StagingError {
    #[error("the path `{0}` does not stay below the node's working folder")]
    Outside(String),
    #[error("`{0}` is not a SHA-256")]
    NotAHash(String),
    #[error("the application manager does not have `{0}`")]
    NotFound(String),
    #[error("`{path}` could not be fetched: {reason}")]
    Fetch { path: String, reason: String },
    #[error("what came for `{0}` is another content")]
    OtherContent(String),
    #[error("cannot write `{path}`")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// `path` below `folder`; an absolute one, or one with `..`, is refused.
pub(super) fn below(folder: &Path, path: &str) -> Result<PathBuf, StagingError> {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    let names_a_file =
        Path::new(path).file_name().is_some() && !path.ends_with('/') && !path.contains('\0');
    if names_a_file && Path::new(path).components().all(plain) {
        Ok(folder.join(path))
    } else {
        Err(StagingError::Outside(path.to_owned()))
    }
}

/// Writes a file below a working folder, in place of whatever is there (a link is replaced, not followed).
pub(super) fn write_below(folder: &Path, path: &str, content: &[u8]) -> Result<(), StagingError> {
    let place = make_room(folder, path)?;
    fs::write(&place, content).map_err(write_error(&place))
}

fn make_room(folder: &Path, path: &str) -> Result<PathBuf, StagingError> {
    let place = below(folder, path)?;
    let parent = place.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(write_error(parent))?;
    match fs::remove_file(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(write_error(&place)(error)),
        _ => Ok(place),
    }
}

pub(super) fn write_error(path: &Path) -> impl FnOnce(io::Error) -> StagingError {
    let path = path.to_owned();
    move |source| StagingError::Write { path, source }
}

/// The agent's files by content hash. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    client: watch::Receiver<Option<Discovery>>,
    /// One fetch a hash at a time.
    fetching: Arc<Mutex<BTreeMap<String, Arc<Mutex<()>>>>>,
}

impl Staging {
    pub(super) fn new(folder: PathBuf, client: watch::Receiver<Option<Discovery>>) -> Self {
        Self {
            folder,
            client,
            fetching: Arc::default(),
        }
    }

    /// Copies a file of the job into a working folder.
    pub(super) async fn place(&self, file: &StagedFile, folder: &Path) -> Result<(), StagingError> {
        let source = self.fetch(file).await?;
        let (folder, file) = (folder.to_owned(), file.clone());
        let copied = tokio::task::spawn_blocking(move || copy(&source, &folder, &file)).await;
        copied.unwrap_or_else(|error| {
            Err(StagingError::Fetch {
                path: String::new(),
                reason: error.to_string(),
            })
        })
    }

    async fn fetch(&self, file: &StagedFile) -> Result<PathBuf, StagingError> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if file.sha256.len() != HASH_LENGTH || !file.sha256.bytes().all(digit) {
            return Err(StagingError::NotAHash(file.sha256.clone()));
        }
        let place = self.folder.join(&file.sha256);
        let turn = self
            .fetching
            .lock()
            .await
            .entry(file.sha256.clone())
            .or_default()
            .clone();
        let _turn = turn.lock().await;
        if !place.is_file() {
            self.download(file, &place).await?;
        }
        Ok(place)
    }

    async fn download(&self, file: &StagedFile, place: &Path) -> Result<(), StagingError> {
        let mut reason = String::new();
        for _try in 0..TRIES_MAX {
            match self.try_download(file, place).await? {
                None => return Ok(()),
                Some(broken) => reason = broken,
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
        Err(StagingError::Fetch {
            path: file.path.clone(),
            reason,
        })
    }

    /// `Some`: the connection broke, with why; another try may succeed.
    async fn try_download(
        &self,
        file: &StagedFile,
        place: &Path,
    ) -> Result<Option<String>, StagingError> {
        let mut client = self.client.clone();
        let Ok(Some(mut client)) = client
            .wait_for(Option::is_some)
            .await
            .map(|client| client.clone())
        else {
            return Ok(Some("there is no connection".to_owned()));
        };
        let mut chunks = match client
            .fetch(FetchRequest {
                sha256: file.sha256.clone(),
            })
            .await
        {
            Ok(response) => response.into_inner(),
            Err(status) if status.code() == Code::NotFound => {
                return Err(StagingError::NotFound(file.path.clone()));
            }
            Err(status) => return Ok(Some(status.message().to_owned())),
        };
        let mut part = Part::create(place.with_extension("part")).await?;
        loop {
            match chunks.message().await {
                Ok(Some(chunk)) if part.fits(chunk.content.len(), file.bytes) => {
                    part.write(&chunk.content).await?;
                }
                Ok(Some(_)) => return Err(StagingError::OtherContent(file.path.clone())),
                Ok(None) => return part.finish(file, place).await.map(|()| None),
                Err(status) => return Ok(Some(status.message().to_owned())),
            }
        }
    }
}

/// A file that is being fetched.
struct Part {
    path: PathBuf,
    file: File,
    bytes: u64,
    hash: Sha256,
}

impl Part {
    async fn create(path: PathBuf) -> Result<Self, StagingError> {
        let file = File::create(&path).await.map_err(write_error(&path))?;
        Ok(Self {
            path,
            file,
            bytes: 0,
            hash: Sha256::new(),
        })
    }

    fn fits(&self, more: usize, announced: u64) -> bool {
        u64::try_from(more).is_ok_and(|more| self.bytes.saturating_add(more) <= announced)
    }

    async fn write(&mut self, content: &[u8]) -> Result<(), StagingError> {
        self.hash.update(content);
        self.bytes += u64::try_from(content.len()).unwrap_or(u64::MAX);
        self.file
            .write_all(content)
            .await
            .map_err(write_error(&self.path))
    }

    async fn finish(mut self, file: &StagedFile, place: &Path) -> Result<(), StagingError> {
        self.file.flush().await.map_err(write_error(&self.path))?;
        if hex::encode(self.hash.finalize()) != file.sha256 {
            return Err(StagingError::OtherContent(file.path.clone()));
        }
        tokio::fs::rename(&self.path, place)
            .await
            .map_err(write_error(place))
    }
}

fn copy(source: &Path, folder: &Path, file: &StagedFile) -> Result<(), StagingError> {
    let place = make_room(folder, &file.path)?;
    fs::copy(source, &place).map_err(write_error(&place))?;
    let mode = if file.executable { 0o755 } else { 0o644 };
    fs::set_permissions(&place, fs::Permissions::from_mode(mode)).map_err(write_error(&place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_folder() {
        let folder = Path::new("/nodes/worker-0");
        assert_eq!(
            below(folder, "lib/a.py").unwrap(),
            Path::new("/nodes/worker-0/lib/a.py")
        );
        for path in [
            "",
            ".",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a/..",
            "a/",
            "a\0b",
        ] {
            assert!(below(folder, path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_link_that_a_node_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::write(&outside, "kept").unwrap();
        let nodes = folder.path().join("nodes");
        fs::create_dir(&nodes).unwrap();
        std::os::unix::fs::symlink(&outside, nodes.join("a.py")).unwrap();
        write_below(&nodes, "a.py", b"new").unwrap();
        assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");
        assert_eq!(fs::read_to_string(nodes.join("a.py")).unwrap(), "new");
    }
}
