//! The whole house under test, and the tools to do it: a real appliance, a demo project, an S3 server in process, disks whose power goes.

pub mod demo;
pub mod disk;
pub mod house;
pub mod s3mem;
