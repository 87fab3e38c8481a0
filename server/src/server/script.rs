//! [`Server::script`].

use super::Server;
use crate::script::Script;

impl Server {
    /// Returns the client for browsers, a service that sends it as one file.
    pub fn script() -> Script {
        Script
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConnectRequest, Identity, Reject};

    #[test]
    fn script_path_must_be_valid() {
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new());
        let build = |path: &str| Server::builder(connect).script_path(path).build();
        assert!(build("/rejoin.js").is_ok());
        for path in ["rejoin.js", "/rejoin.js?v=1", ""] {
            assert_eq!(build(path).unwrap_err().option, "script_path");
        }
    }
}
