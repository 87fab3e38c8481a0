//! The independent client of `interop/`, written only from PROTOCOL.md, against the test server.

use std::path::Path;
use std::process::Command;

/// Fewer scenarios would mean that the suite has lost some.
const AT_LEAST: usize = 100;

#[test]
fn independent_implementation_interoperates() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/run.py");
    let output = Command::new("python3")
        .arg(&script)
        .args(["--server", env!("CARGO_BIN_EXE_rejoin-testserver")])
        .output()
        .unwrap_or_else(|error| panic!("this test needs python3, 3.11 or later, in the PATH: {error}"));
    let told = String::from_utf8_lossy(&output.stdout);
    let told = format!("{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{told}", output.status);
    let passed = told.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(passed >= AT_LEAST, "{passed} scenarios passed, of at least {AT_LEAST}\n{told}");
}
