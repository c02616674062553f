//! Programs that the fake engine can run: those that a test gives it, and one that every test image has.
//!
//! A program is a task with pipes and the files of its mounts. A container whose command
//! names none starts all the same, as services do, and says nothing; but a helper's command must be there.

use super::{FakeDocker, containers::Mounted, host::conflict, tree::Tree};
use crate::{Attached, Exec, Running, Said, archive::Entry, helper::is_helper};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use holdfast_model::{Error, Result};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Arc, MutexGuard, PoisonError},
};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};

/// Bytes that a pipe holds.
const PIPE: usize = 64 << 10;

/// What engines say in the place of a command's output, where the container is frozen and they do not know it.
const FROZEN: &[u8] = b"OCI runtime exec failed: exec failed: cannot exec in a paused container (use --ignore-paused to override): unknown\r\n";

/// Mounts of a container: path, and the files there with paths below it, the root (an empty path) first.
pub type Mounts = Box<dyn Fn() -> Vec<(String, Vec<Entry>)> + Send + Sync>;

/// Unpacks a tar below a path of a container.
pub type Unpack = Box<dyn Fn(&str, &[u8]) -> Result<()> + Send + Sync>;

/// A program at work.
pub struct Run {
    /// Its arguments, without the program's name.
    pub arguments: Vec<String>,
    /// What is mounted into its container, as it is when asked.
    pub mounts: Mounts,
    /// Writes a tar into its container.
    pub unpack: Unpack,
    /// Its standard input.
    pub input: DuplexStream,
    /// Its standard output.
    pub output: DuplexStream,
}

type Program = Arc<dyn Fn(Run) -> BoxFuture<'static, io::Result<()>> + Send + Sync>;

/// Programs by name, and the far ends of containers that somebody attached to.
#[derive(Default)]
pub(crate) struct Programs {
    known: BTreeMap<String, Program>,
    attached: BTreeMap<String, (DuplexStream, DuplexStream)>,
    /// What commands ended with; `None` while they run.
    codes: BTreeMap<String, Option<i64>>,
    /// What runs in containers, by their names.
    processes: BTreeMap<String, Vec<String>>,
}

impl FakeDocker {
    /// Lets containers whose command is `name` run this. When it is over, the container has ended: with 0, or with 1 for
    /// an error, or with 4 if that is of something that is not there, as movers do.
    pub fn program<F>(&self, name: &str, program: impl Fn(Run) -> F + Send + Sync + 'static)
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        self.programs().known.insert(name.to_owned(), Arc::new(move |run| Box::pin(program(run))));
    }

    /// Takes a program away.
    pub(crate) fn forget_program(&self, name: &str) {
        self.programs().known.remove(name);
    }

    fn programs(&self) -> MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Engines refuse to start what is not there; only helpers are held to it, for services have made-up images.
    pub(crate) fn runnable(&self, id: &str) -> Result<()> {
        let (command, is_helper) = {
            let mut machine = self.machine();
            let Ok(container) = machine.container(id) else { return Ok(()) };
            (command(&container.base), is_helper(&container.line()))
        };
        let Some(name) = command.first().filter(|_| is_helper) else { return Ok(()) };
        if self.programs().known.contains_key(name) {
            return Ok(());
        }
        let why = format!("exec: \"{name}\": stat {name}: no such file or directory (status 400)");
        Err(Error::invalid("host.refused", format!("host fake refused container {id}: {why}")))
    }

    pub(crate) fn attach(&self, id: &str, cut: Option<usize>) -> Result<Attached> {
        let id = self.machine().container_id(id)?;
        let (input, far_input) = duplex(PIPE);
        let (far_output, output) = duplex(PIPE);
        self.programs().attached.insert(id, (far_input, far_output));
        Ok(Attached { input: Box::pin(input), output: said(output, cut.unwrap_or(usize::MAX)).boxed() })
    }

    /// Runs a command in a running container: a known program, or one that a shell is asked for by its first word, or an applet of
    /// busybox.
    /// A script for a shell that has a name (`sh -c SCRIPT NAME ARGUMENT…`) is the program of that name.
    pub(crate) fn exec(&self, id: &str, exec: &Exec<'_>) -> Result<Running> {
        let of = {
            let mut machine = self.machine();
            let id = machine.container_id(id)?;
            if machine.container(&id)?.state != super::containers::State::Running {
                return Err(conflict("container.state", &format!("Container {id} is not running")));
            }
            id
        };
        let (input, far_input) = duplex(PIPE);
        let (mut far_output, output) = duplex(PIPE);
        if self.container_is_frozen(&of) {
            let number = format!("{:064x}", self.machine().next_number());
            self.programs().codes.insert(number.clone(), Some(126));
            tokio::spawn(async move { far_output.write_all(FROZEN).await });
            return Ok(Running { id: number, input: None, output: said(output, usize::MAX).boxed() });
        }
        let is_shell = |shell: &String, flag: &String| shell == "/bin/sh" && flag == "-c";
        let words: Vec<String> = match exec.command {
            [shell, flag, line] if is_shell(shell, flag) => line.split(' ').map(str::to_owned).collect(),
            [shell, flag, _, named @ ..] if is_shell(shell, flag) => named.to_vec(),
            words => words.to_vec(),
        };
        let program = words.first().and_then(|name| self.programs().known.get(name).cloned());
        let number = format!("{:064x}", self.machine().next_number());
        self.programs().codes.insert(number.clone(), None);
        let (engine, host, id) = (self.clone(), self.clone(), number.clone());
        let unpack = self.unpacking(&of);
        let mounts = Box::new(move || host.mounted(&of));
        tokio::spawn(async move {
            let code = match program {
                Some(program) => {
                    let arguments = words.into_iter().skip(1).collect();
                    i64::from(
                        program(Run { arguments, mounts, unpack, input: far_input, output: far_output }).await.is_err(),
                    )
                }
                None => applet(&words, far_input, far_output).await,
            };
            engine.programs().codes.insert(id, Some(code));
        });
        let input: Option<Pin<Box<dyn AsyncWrite + Send>>> = if exec.input { Some(Box::pin(input)) } else { None };
        Ok(Running { id: number, input, output: said(output, usize::MAX).boxed() })
    }

    /// Lets a container say that these processes run in it, whenever it runs.
    pub fn processes(&self, container: &str, lines: &[&str]) {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        self.programs().processes.insert(container.to_owned(), lines);
    }

    pub(crate) fn top(&self, id: &str) -> Result<Vec<String>> {
        let (name, is_running, command) = {
            let mut machine = self.machine();
            let id = machine.container_id(id)?;
            let container = machine.container(&id)?;
            let is_running = container.state == super::containers::State::Running;
            let name = container.base["Name"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
            (name, is_running, command(&container.base))
        };
        if !is_running {
            return Err(conflict("container.state", &format!("Container {id} is not running")));
        }
        Ok(self.programs().processes.get(&name).cloned().unwrap_or_else(|| vec![command.join(" ")]))
    }

    pub(crate) fn code(&self, exec: &str) -> Result<Option<i64>> {
        let unknown =
            || Error::not_found("command.not_found", format!("host fake refused command {exec}: no such exec"));
        self.programs().codes.get(exec).copied().ok_or_else(unknown)
    }

    /// Begins the program of a container that was attached to.
    pub(crate) fn run(&self, id: &str) {
        let Ok(id) = self.machine().container_id(id) else { return };
        let Some((input, output)) = self.programs().attached.remove(&id) else { return };
        let command = self.machine().container(&id).map(|container| command(&container.base)).unwrap_or_default();
        let known = command.first().and_then(|name| self.programs().known.get(name).cloned());
        let is_echo = command.get(1).is_some_and(|applet| applet == "cat");
        let program = known.or_else(|| is_echo.then(|| Arc::new(|run| echo(run).boxed()) as Program));
        let Some(program) = program else { return };
        let (engine, host, of) = (self.clone(), self.clone(), id.clone());
        let unpack = self.unpacking(&of);
        let mounts = Box::new(move || host.mounted(&of));
        let work = program(Run { arguments: command.into_iter().skip(1).collect(), mounts, unpack, input, output });
        tokio::spawn(async move {
            let code = match work.await {
                Ok(()) => 0,
                Err(error) if error.kind() == io::ErrorKind::NotFound => 4,
                Err(_) => 1,
            };
            if let Ok(container) = engine.machine().container(&id) {
                container.state = super::containers::State::Exited;
                container.exit_code = code;
            }
        });
    }

    fn unpacking(&self, id: &str) -> Unpack {
        let (host, id) = (self.clone(), id.to_owned());
        Box::new(move |path, bytes| host.machine().unpack(&id, path, super::tree::read(bytes)?))
    }

    fn mounted(&self, id: &str) -> Vec<(String, Vec<Entry>)> {
        let mut machine = self.machine();
        let Ok(container) = machine.container(id) else { return Vec::new() };
        let mounts = container.mounts.clone();
        let all = |tree: &Tree| tree.entries().cloned().collect();
        let entries = |mounted: &Mounted| match mounted {
            Mounted::Volume(name) => machine.volumes.get(name).map(|volume| all(&volume.files)).unwrap_or_default(),
            Mounted::HostPath(path) => machine.host_paths.get(path).map(all).unwrap_or_default(),
            Mounted::Memory => all(&Tree::default()),
        };
        mounts.iter().map(|mount| (format!("/{}", mount.destination), entries(&mount.what))).collect()
    }
}

fn command(base: &Value) -> Vec<String> {
    let words = base["Config"]["Cmd"].as_array().into_iter().flatten();
    words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

/// Gives back what it reads: `busybox cat`.
async fn echo(mut run: Run) -> io::Result<()> {
    tokio::io::copy(&mut run.input, &mut run.output).await.map(drop)
}

/// `busybox echo`, `busybox cat`, `busybox false`; anything else is not found.
async fn applet(words: &[String], mut input: DuplexStream, mut output: DuplexStream) -> i64 {
    match words.get(1).map(String::as_str) {
        Some("cat") => i64::from(tokio::io::copy(&mut input, &mut output).await.is_err()),
        Some("echo") => {
            let line = format!("{}\n", words[2..].join(" "));
            i64::from(output.write_all(line.as_bytes()).await.is_err())
        }
        Some("false") => 1,
        _ => 127,
    }
}

/// What comes out of a pipe, up to a number of bytes.
fn said(output: DuplexStream, left: usize) -> impl futures::Stream<Item = Result<Said>> + Send {
    stream::unfold((output, left), |(mut output, left)| async move {
        let mut buffer = vec![0; 8192.min(left)];
        match output.read(&mut buffer).await {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                buffer.truncate(count);
                Some((Ok(Said::Out(Bytes::from(buffer))), (output, left - count)))
            }
        }
    })
}
