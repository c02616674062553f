//! `holdfast-mover`: a folder to a tar on standard output, a tar on standard input to a folder, or a conversation with the
//! appliance on both.
//!
//! Data goes to standard output, talk to standard error. Exit codes: 0 done, 1 failed, 2 usage, 3 done with problems.

use holdfast_mover::{
    Archive, Groups, Options, Rights, Root, Trouble, Walk, Writer, fixed, serve, shown,
    thin::{Thickener, Thinner},
    write_archive, write_file,
};
use rustix::{
    fs::syncfs,
    process::{Resource, getrlimit, setrlimit},
};
use std::{
    env,
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const USAGE: &str = "usage: holdfast-mover [thin] serve|tar|file|untar|overlay|clear|fixed|list DIR [NAME]
  serve DIR         answers the appliance's asks about the folder, on standard input and output
  tar DIR [NAME]    writes the folder as a PAX tar to standard output; names begin with NAME
  file PATH         writes one file as a tar under its own name
  untar DIR [NAME]  writes the tar on standard input into the folder, and has it on the disk when it ends
  overlay DIR [NAME]  the same; what is there and no folder gives way to what the tar has under its name
  clear DIR         takes out all that is in the folder
  fixed PATH        tells what nobody can replace, because the file system holds it fast
  list DIR          prints the groups of the folder: witness, entries, bytes, first path
With `thin` long runs of zeros of a tar go over the line as numbers.";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let (is_thin, arguments) = match arguments.split_first() {
        Some((first, rest)) if first == "thin" => (true, rest),
        _ => (false, arguments.as_slice()),
    };
    let (verb, folder, name) = match arguments {
        [verb, folder] => (verb, folder, &[][..]),
        [verb, folder, name] => (verb, folder, name.as_bytes()),
        _ => return usage(),
    };
    open_many_files();
    let folder = Path::new(folder);
    let result = match verb.to_str() {
        Some("serve") => serve(folder, io::stdin().lock(), io::stdout()).map(|()| 0).map_err(Into::into),
        Some("tar") => tar(folder, name, &mut *output(is_thin)),
        Some("file") => file(folder, &mut *output(is_thin)),
        Some("untar") => untar(folder, name, false, input(is_thin)),
        Some("overlay") => untar(folder, name, true, input(is_thin)),
        Some("clear") => Writer::clear(folder).map(|()| 0).map_err(Into::into),
        Some("fixed") => held(folder),
        Some("list") => list(folder),
        _ => return usage(),
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(3),
        Err(error) => {
            eprintln!("holdfast-mover: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Deep trees need one open folder for each step.
fn open_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it is refused, very deep paths are told as troubles.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Troubles found.
type Outcome = Result<u64, Box<dyn std::error::Error>>;

fn tell(trouble: &Trouble) {
    eprintln!("holdfast-mover: {trouble}");
}

fn output(is_thin: bool) -> Box<dyn Write> {
    let line = io::stdout().lock();
    if is_thin { Box::new(Thinner::new(line)) } else { Box::new(line) }
}

fn input(is_thin: bool) -> Box<dyn Read> {
    let line = io::stdin().lock();
    if is_thin { Box::new(Thickener::new(line)) } else { Box::new(line) }
}

fn file(path: &Path, out: &mut dyn Write) -> Outcome {
    write_file(path, out)?;
    out.flush()?;
    Ok(0)
}

fn tar(folder: &Path, name: &[u8], out: &mut dyn Write) -> Outcome {
    let root = Arc::new(Root::open(folder)?);
    let report = write_archive(&root, Options::default(), name, out)?;
    report.troubles.iter().for_each(tell);
    Ok(report.troubles.len() as u64)
}

fn untar(folder: &Path, name: &[u8], replaces: bool, tar: Box<dyn Read>) -> Outcome {
    let troubles = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&troubles);
    let tell = move |trouble: Trouble| {
        count.fetch_add(1, Ordering::Relaxed);
        tell(&trouble);
    };
    let rights = Rights { strip: name.into(), replaces, ..Rights::default() };
    let writer = Writer::open(folder, rights, Arc::new(tell))?;
    writer.write(&mut Archive::new(tar))?;
    syncfs(std::fs::File::open(folder)?)?;
    Ok(troubles.load(Ordering::Relaxed))
}

fn held(place: &Path) -> Outcome {
    let mut told = 0;
    let count = fixed(place, &mut |trouble| {
        told += 1;
        tell(trouble);
    })?;
    if count > told {
        eprintln!("holdfast-mover: and {} more", count - told);
    }
    Ok(count)
}

fn list(folder: &Path) -> Outcome {
    let root = Arc::new(Root::open(folder)?);
    let mut groups = Groups::new(Walk::new(root, Options::default()), [0; 32]);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut troubles = 0;
    while let Some(group) = groups.next() {
        for byte in &group.witness[..8] {
            write!(out, "{byte:02x}")?;
        }
        let first = group.entries.first().map_or_else(String::new, |entry| shown(&entry.path));
        writeln!(out, " {} {} {first}", group.entries.len(), group.bytes())?;
        let new = groups.take_troubles();
        new.iter().for_each(tell);
        troubles += new.len() as u64;
    }
    let last = groups.take_troubles();
    last.iter().for_each(tell);
    out.flush()?;
    Ok(troubles + last.len() as u64)
}
