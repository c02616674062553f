//! Writes the seeds of every target into `DIR/TARGET/`, and prints the targets' names: where coverage-guided runs begin.

use std::{fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(io::Error::other("usage: fuzz-seeds DIR"));
    };
    for target in holdfast_fuzz::TARGETS {
        let into = folder.join(target.name);
        fs::create_dir_all(&into)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(into.join(format!("seed-{number}")), seed)?;
        }
        println!("{}", target.name);
    }
    Ok(())
}
