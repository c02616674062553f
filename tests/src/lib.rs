//! The whole house under test, and the tools to do it: a real appliance, a demo project, a bare way to ask an engine, an S3 server in process, a proxy
//! before a real one with faults on order, disks whose power goes, folders through mover and repository, the way to
//! a bucket and back, measured.

pub mod bare_limit;
pub mod cloud_bench;
pub mod counting_proxy;
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
pub mod s3proxy;
pub mod s3site;
pub mod zoo;
