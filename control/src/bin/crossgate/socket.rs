//! Which gateway is meant: the socket that is named, or the only one there is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// The socket: of the option, of `$CROSSGATE_SOCKET`, or the only one of the usual directory.
pub(crate) fn find(option: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(socket) = option {
        return Ok(socket.to_owned());
    }
    if let Some(socket) = std::env::var_os("CROSSGATE_SOCKET").filter(|socket| !socket.is_empty()) {
        return Ok(socket.into());
    }
    let is_socket = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "sock");
    let entries = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let mut sockets: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_socket).collect();
    sockets.sort();
    match sockets.as_slice() {
        [] => Ok(Path::new(DIRECTORY).join("gateway.sock")), // nobody answers there, which the caller says
        [only] => Ok(only.clone()),
        several => {
            let names: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            Err(Failure::Usage {
                problem: format!("several gateways have sockets here: {}", names.join(", ")),
                remedy: "name one with --socket PATH or in $CROSSGATE_SOCKET".into(),
            })
        }
    }
}

/// Where gateways put their sockets unless their configuration says otherwise.
const DIRECTORY: &str = "/run/crossgate";
