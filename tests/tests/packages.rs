//! The Debian packages, made of the programs that all other tests use, on a fresh Debian.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};
use vrouter_tests::{daemon, require, run, topology::Topology};

fn script(name: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name));
    // Where the packages go is said by the repository alone.
    command.env_remove("CARGO_TARGET_DIR").env("LC_ALL", "C");
    command
}

/// Findings of lintian that are decided otherwise here.
const DECIDED: [&str; 5] = [
    // A first package of a program that is not part of Debian closes no bug.
    "initial-upload-closes-no-bugs",
    // What Rust links in is there once, and cannot be shared.
    "embedded-library",
    "statically-linked-binary",
    // Programs of the end-to-end profile are packaged in tests.
    "unstripped-binary-or-object",
    "hardening-no-relro",
];

#[test]
fn packages_install_run_upgrade_and_go_without_a_trace() -> Result<()> {
    require!(Root, Daemons, Packaging);
    let world = Topology::new()?;
    let output = run::output(
        script("build-packages.sh")
            .args(["--fast", "--binaries"])
            .arg(daemon::binaries()?),
    )?;
    ensure!(
        output.status.success(),
        "build-packages.sh: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let packages: Vec<String> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    ensure!(packages.len() == 4, "{packages:?}");

    let mut lintian = Command::new("lintian");
    lintian.args([
        "--fail-on",
        "error",
        "--allow-root",
        "--tag-display-limit",
        "0",
        "--suppress-tags",
        &DECIDED.join(","),
    ]);
    let output = run::output(lintian.args(&packages))?;
    ensure!(
        output.status.success(),
        "lintian: {}",
        String::from_utf8_lossy(&output.stdout)
    );

    let directory = Path::new(&packages[0]).parent().unwrap_or(Path::new("."));
    let prefix = world.prefix().trim_end_matches('-');
    let output = run::output(script("test-packages.sh").arg(directory).arg(prefix))?;
    ensure!(
        output.status.success(),
        "test-packages.sh: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
