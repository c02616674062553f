//! `holdfast-mover`: a folder to a tar on standard output, a tar on standard input to a folder, or a conversation with the
//! appliance on both.
//!
//! Data goes to standard output, talk to standard error. Exit codes: 0 done, 1 failed, 2 usage, 3 done with problems, 4 no place for it.

use holdfast_mover::{
    Archive, Groups, Options, Rights, Root, Trouble, Walk, Writer, fixed, serve, shown,
    thin::{Thickener, Thinner},
    write_archive, write_file,
};
use rustix::{
    fs::syncfs,
    process::{Resource, getrlimit, setrlimit},
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, net::UnixStream},
    },
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const USAGE: &str =
    "usage: holdfast-mover [via SOCKET] [thin] serve|tar|file|untar|overlay|lay|clear|fixed|list DIR [NAME]
  serve DIR         answers the appliance's asks about the folder, on standard input and output
  tar DIR [NAME]    writes the folder as a PAX tar to standard output; names begin with NAME
  file PATH         writes one file as a tar under its own name
  untar DIR [NAME]  writes the tar on standard input into the folder, and has it on the disk when it ends
  overlay DIR [NAME]  the same; what is there and no folder gives way to what the tar has under its name
  lay DIR FILE      the same for bare names; ends with 4 and writes nothing where the folder does not have that file
  clear DIR         takes out all that is in the folder
  fixed PATH        tells what nobody can replace, because the file system holds it fast
  list DIR          prints the groups of the folder: witness, entries, bytes, first path
With `via` a socket takes the place of standard input and output, and a second connection to it that of standard error.
With `thin` long runs of zeros of a tar go over the line as numbers.";

/// Bytes that are said or heard at once.
const LINE: usize = 256 << 10;
/// What it ends with that found no place for what it was to lay.
const NO_PLACE: u8 = 4;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let arguments = match arguments.as_slice() {
        [via, socket, rest @ ..] if via == "via" => {
            if let Err(error) = speak_through(Path::new(socket)) {
                eprintln!("holdfast-mover: {}: {error}", Path::new(socket).display());
                return ExitCode::FAILURE;
            }
            rest
        }
        all => all,
    };
    let (is_thin, arguments) = match arguments.split_first() {
        Some((first, rest)) if first == "thin" => (true, rest),
        _ => (false, arguments),
    };
    let (verb, folder, name) = match arguments {
        [verb, folder] => (verb, folder, &[][..]),
        [verb, folder, name] => (verb, folder, name.as_bytes()),
        _ => return usage(),
    };
    open_many_files();
    let folder = Path::new(folder);
    let result = match verb.to_str() {
        Some("serve") => talk(folder),
        Some("tar") => output(is_thin).and_then(|mut out| tar(folder, name, &mut *out)),
        Some("file") => output(is_thin).and_then(|mut out| file(folder, &mut *out)),
        Some("untar") => input(is_thin).and_then(|tar| untar(folder, name, false, tar)),
        Some("overlay") => input(is_thin).and_then(|tar| untar(folder, name, true, tar)),
        Some("lay") if !has_file(folder, name) => {
            eprintln!("holdfast-mover: {}: there is no file {}", folder.display(), shown(name));
            return ExitCode::from(NO_PLACE);
        }
        Some("lay") => input(is_thin).and_then(|tar| untar(folder, &[], true, tar)),
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

/// Puts connections to a socket in the place of what the process was given: one for what it hears and says, one for its complaints.
fn speak_through(socket: &Path) -> io::Result<()> {
    let line = UnixStream::connect(socket)?;
    let complaints = UnixStream::connect(socket)?;
    dup2_stdin(&line)?;
    dup2_stdout(&line)?;
    dup2_stderr(&complaints)?;
    Ok(())
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

fn talk(folder: &Path) -> Outcome {
    serve(folder, io::stdin().lock(), line_out()?)?;
    Ok(0)
}

/// Standard output as it is: the library's own looks for ends of lines in what it is given.
fn line_out() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

fn output(is_thin: bool) -> Result<Box<dyn Write>, Box<dyn std::error::Error>> {
    let line = io::BufWriter::with_capacity(LINE, line_out()?);
    Ok(if is_thin { Box::new(Thinner::new(line)) } else { Box::new(line) })
}

fn input(is_thin: bool) -> Result<Box<dyn Read>, Box<dyn std::error::Error>> {
    let line = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let line = io::BufReader::with_capacity(LINE, line);
    Ok(if is_thin { Box::new(Thickener::new(line)) } else { Box::new(line) })
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

/// Whether a folder has such a file, which is no link.
fn has_file(folder: &Path, name: &[u8]) -> bool {
    let place = folder.join(OsStr::from_bytes(name));
    std::fs::symlink_metadata(place).is_ok_and(|found| found.is_file())
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
