//! Builds the mover as a static program, to be put into an image that the appliance makes in memory.
//!
//! Its own target folder, profile and flags: nothing of the outer build (sanitizers, lints, coverage) may get into a program
//! that runs on the host. `HOLDFAST_MOVER_TARGETS` names further targets whose standard library is installed.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What the outer build tells its compiler and the inner one must not hear.
const NOT_INHERITED: [&str; 8] = [
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CARGO_PROFILE_DEV_DEBUG",
    "CARGO_INCREMENTAL",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=HOLDFAST_MOVER_TARGETS");
    for part in ["../mover/src", "../mover/Cargo.toml", "../../Cargo.toml", "../../Cargo.lock", "build.rs"] {
        println!("cargo:rerun-if-changed={part}");
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let own = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "aarch64" => "aarch64-unknown-linux-gnu",
        _ => "x86_64-unknown-linux-gnu",
    };
    let further = env::var("HOLDFAST_MOVER_TARGETS").unwrap_or_default();
    let mut table = String::from("&[");
    for target in [own].into_iter().chain(further.split(',').filter(|target| !target.is_empty() && *target != own)) {
        let program = build(target, &out)?;
        let architecture = if target.starts_with("aarch64") { "arm64" } else { "amd64" };
        table += &format!("({architecture:?}, include_bytes!({program:?}) as &[u8]), ");
    }
    fs::write(out.join("movers.rs"), table + "]")?;
    Ok(())
}

fn build(target: &str, out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let folder = out.join("mover");
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .args(["build", "--quiet", "--locked", "--profile", "mover", "--package", "holdfast-mover"])
        .args(["--bin", "holdfast-mover", "--target", target, "--target-dir"])
        .arg(&folder)
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    if !cargo.status()?.success() {
        return Err(format!("the mover could not be built for {target}").into());
    }
    Ok(folder.join(target).join("mover/holdfast-mover"))
}
