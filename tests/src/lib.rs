//! The whole house under test, and the tools to do it: a real appliance, a demo project, a bare way to ask an engine, an S3 server in process, disks whose power goes, folders
//! through mover and repository.

pub mod bare_limit;
pub mod demo;
pub mod disk;
pub mod engine_api;
pub mod folder_repository;
pub mod folder_tree;
pub mod forward;
pub mod hostile;
pub mod house;
pub mod proxy;
pub mod s3mem;
pub mod zoo;
