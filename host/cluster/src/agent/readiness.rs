//! Whether something listens on a port, read from the kernel's tables: connecting would show up in the node's log, and
//! some frameworks take the first connection for a peer.

use procfs::net::{TcpState, tcp, tcp6};

/// On any address of this machine. Costs a read of the whole table.
pub(super) fn is_listening(port: u16) -> bool {
    let entries = [tcp(), tcp6()].into_iter().flatten().flatten();
    entries
        .into_iter()
        .any(|entry| entry.state == TcpState::Listen && entry.local_address.port() == port)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_seen_and_a_bound_port_is_not_one() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(is_listening(port), "{address}");
            drop(listener);
            assert!(!is_listening(port), "{address}");
        }
    }
}
