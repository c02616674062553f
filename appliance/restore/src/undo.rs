//! What a restore has done so far, and how it is taken back.
//!
//! Rolling back goes on over errors and names each thing that it could not take back.

use crate::{deed::OldDeed, images, note::Note};
use holdfast_docker::Engine;
use holdfast_model::Result;

/// One thing done.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    /// An image came.
    Image(String),
    /// A tag was set: the tag, and the id that it pointed to before.
    Tag(String, Option<String>),
    /// A network was made.
    Network(String),
    /// A volume was made.
    Volume(String),
    /// A container was made: id and name.
    Container(String, String),
    /// A container was stopped.
    Stopped(OldDeed),
    /// A container was renamed.
    Aside(OldDeed),
}

/// All that was done, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    done: Vec<Done>,
    /// Content that was there is being replaced: old containers must not run on halves.
    pub(crate) is_replacing: bool,
    /// Content that was there is gone or changed.
    pub(crate) has_replaced: bool,
    /// The same for the next process, if this one is killed.
    pub(crate) note: Option<Note>,
}

impl Undo {
    /// Remembers one thing.
    pub(crate) fn push(&mut self, done: Done) {
        self.done.push(done);
    }

    /// Remembers a new container, durably.
    pub(crate) async fn made(&mut self, id: &str, name: &str) -> Result<()> {
        self.push(Done::Container(id.to_owned(), name.to_owned()));
        match &mut self.note {
            Some(note) => note.made(id).await,
            None => Ok(()),
        }
    }

    /// From here on content that was there goes, or new containers run: the next process puts nothing back.
    pub(crate) async fn point_of_no_return(&mut self) -> Result<()> {
        match &mut self.note {
            Some(note) => note.replaced().await,
            None => Ok(()),
        }
    }

    /// Whether anything was done.
    pub(crate) fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Takes all back, newest first. Returns what could not be taken back, in words.
    pub(crate) async fn roll_back(&mut self, engine: &dyn Engine) -> Vec<String> {
        let mut left = Vec::new();
        while let Some(done) = self.done.pop() {
            if let Err(words) = self.take_back(engine, &done).await {
                left.push(words);
            }
        }
        left
    }

    async fn take_back(&self, engine: &dyn Engine, done: &Done) -> std::result::Result<(), String> {
        let (result, what) = match done {
            Done::Image(id) => (engine.image_remove(id).await, format!("image {id} was not removed")),
            Done::Tag(tag, None) => (engine.image_remove(tag).await, format!("tag {tag} was not removed")),
            Done::Tag(tag, Some(id)) => {
                (images::set_tag(engine, id, tag).await, format!("tag {tag} does not point to {id} again"))
            }
            Done::Network(id) => (engine.network_remove(id).await, format!("network {id} was not removed")),
            Done::Volume(name) => (engine.volume_remove(name).await, format!("volume {name} was not removed")),
            Done::Container(id, name) => {
                (engine.container_remove(id, false).await, format!("container {name} was not removed"))
            }
            Done::Aside(old) => {
                let words = format!("container {} is still called {}", old.name, old.aside);
                (engine.container_rename(&old.id, &old.name).await, words)
            }
            Done::Stopped(old) if self.is_replacing => {
                return Err(format!("container {} stays stopped, because its data is incomplete", old.name));
            }
            Done::Stopped(old) => {
                (engine.container_start(&old.id).await, format!("container {} was not started again", old.name))
            }
        };
        result.map_err(|error| format!("{what} ({})", error.chain()))
    }
}
