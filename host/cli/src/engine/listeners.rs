//! Where the application manager listens. The engine binds, so that a new manager process finds the same addresses.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use forebay_cluster::run_directory::{RunDirectory, with_short_path};

use crate::failure::Failure;

/// The sockets of one run.
pub(super) struct Listeners {
    /// `RUN/am.sock`
    pub(super) unix: UnixListener,
    /// `--listen`
    pub(super) tcp: Option<TcpListener>,
}

impl Listeners {
    /// Binds them. `listen` was checked with [`refuse_plain_text`].
    pub(super) fn bind(run: &RunDirectory, listen: Option<SocketAddr>) -> Result<Self, Failure> {
        let path = run.socket();
        let unix = with_short_path(&path)
            .and_then(|short| UnixListener::bind(short.path()))
            .map_err(|error| {
                Failure::input(format!("cannot listen on `{}`", path.display()))
                    .caused_by(Some(&error))
                    .with_hint(
                        "sockets need a local file system: choose another folder with `--runs DIR`",
                    )
            })?;
        let tcp = listen.map(bind_tcp).transpose()?;
        Ok(Self { unix, tcp })
    }

    /// The address that agents are told, with the port that was really taken.
    pub(super) fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref()?.local_addr().ok()
    }
}

fn bind_tcp(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        Failure::input(format!("cannot listen on `{address}`"))
            .caused_by(Some(&error))
            .with_hint(
                "give an address of this machine and a free port with `--listen ADDRESS:PORT`",
            )
    })
}

/// Nobody listens here any more: later visitors shall not wait at a dead door.
pub(super) fn remove_socket(run: &RunDirectory) {
    // It may be gone already, which is what is wanted.
    let _ = fs::remove_file(run.socket());
}

/// Whether the user has allowed tokens to travel unencrypted (`--insecure`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlainText {
    /// On loopback alone.
    OnLoopback,
    /// Anywhere.
    Anywhere,
}

impl From<bool> for PlainText {
    fn from(insecure: bool) -> Self {
        if insecure {
            Self::Anywhere
        } else {
            Self::OnLoopback
        }
    }
}

/// Refuses to talk beyond this machine unless it was allowed.
pub(crate) fn refuse_plain_text(address: SocketAddr, allowed: PlainText) -> Result<(), Failure> {
    if allowed == PlainText::Anywhere || address.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::input(format!(
        "`{address}` is not on loopback, and the job token would travel there in plain text"
    ))
    .with_hint("use a loopback address, a tunnel, or, on a network that you trust, `--insecure`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_on_the_machine_unless_it_is_allowed() {
        let refused = |address: &str, insecure: bool| {
            refuse_plain_text(address.parse().unwrap(), insecure.into()).is_err()
        };
        assert!(
            refused("10.0.0.1:7000", false)
                && refused("0.0.0.0:7000", false)
                && refused("[::]:7000", false)
        );
        assert!(!refused("127.0.0.1:7000", false) && !refused("[::1]:7000", false));
        assert!(!refused("10.0.0.1:7000", true));
    }
}
