//! The job token: whoever has it may command the job. It lives in a file that only the owner can read, travels as
//! metadata of each call, and never appears in logs or arguments.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

const BYTES: usize = 32;
/// A token file holds 64 hexadecimal digits and a line end; more is not a token.
const FILE_BYTES_MAX: u64 = 256;

/// Secret of one run. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a token could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or written.
    #[error("cannot use the token file `{path}`")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error("the token file `{0}` can be read by others: `chmod 600` it")]
    Exposed(PathBuf),
    /// It holds something else.
    #[error("the file `{0}` does not hold a job token")]
    Malformed(PathBuf),
}

impl Token {
    /// A new one from the system's random source.
    pub fn generate() -> Self {
        let halves = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
        Self(
            halves
                .iter()
                .map(|half| hex::encode(half.as_bytes()))
                .collect(),
        )
    }

    /// Writes it to a file that must not exist yet, readable by its owner alone.
    pub fn create_file(&self, path: &Path) -> Result<(), TokenError> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| writeln!(file, "{}", self.0))
            .map_err(|source| TokenError::File {
                path: path.into(),
                source,
            })
    }

    /// Reads it from a file; one that others can read is refused.
    pub fn read_file(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::File {
            path: path.into(),
            source,
        };
        let file = OpenOptions::new().read(true).open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(TokenError::Exposed(path.into()));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(failed)?;
        Self::parse(text.trim()).ok_or_else(|| TokenError::Malformed(path.into()))
    }

    fn parse(text: &str) -> Option<Self> {
        let right = text.len() == 2 * BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        right.then(|| Self(text.to_owned()))
    }

    /// Adds it to a call.
    pub fn sign<T>(&self, request: &mut Request<T>) {
        let bearer: Option<MetadataValue<Ascii>> = format!("Bearer {}", self.0).parse().ok();
        if let Some(mut bearer) = bearer {
            bearer.set_sensitive(true);
            request.metadata_mut().insert("authorization", bearer);
        }
    }

    /// Whether a call carries it; the status names the way to mend it.
    pub fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let given = request
            .metadata()
            .get("authorization")
            .map(MetadataValue::as_bytes);
        match given {
            Some(given) if same(given, format!("Bearer {}", self.0).as_bytes()) => Ok(()),
            Some(_) => Err(Status::unauthenticated(
                "the job token is another run's: use the file `token` of this run",
            )),
            None => Err(Status::unauthenticated("the call carries no job token")),
        }
    }
}

/// Compares in a time that depends on the lengths alone.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
}

/// In front of a service: calls without the token are refused before anything of them is read.
impl Interceptor for Token {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        self.check(&request)?;
        Ok(request)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_file_and_others_cannot_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = Token::generate();
        token.create_file(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(Token::read_file(&path).unwrap() == token);
        assert!(matches!(
            token.create_file(&path),
            Err(TokenError::File { .. })
        ));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        Token::generate().create_file(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            Token::read_file(&path),
            Err(TokenError::Exposed(_))
        ));
    }

    #[test]
    fn calls_are_checked() {
        let token = Token::generate();
        let mut request = Request::new(());
        assert!(token.check(&request).is_err());
        Token::generate().sign(&mut request);
        assert!(token.check(&request).is_err());
        token.sign(&mut request);
        assert!(token.check(&request).is_ok());
        assert!(!format!("{token:?} {request:?}").contains(&token.0));
    }
}
