//! `recover`: asks the running appliance, or does it in this process where none runs.

use super::Desk;
use crate::{
    args::RecoverArgs,
    files::{self, environment},
    logs,
    outcome::{self, Failure, Outcome},
    serve,
    watch::{Reach, until_one_ended},
    words,
};
use holdfast_model::{job::JobView, view::RecoverRequest};
use holdfast_runtime::Stop;

/// `recover --bucket URL` with `--kit`, `--passphrase-file` or `--escrow-key`.
pub async fn recover(desk: &Desk, args: RecoverArgs) -> Outcome {
    let passphrase = args.key.passphrase_file.as_deref().map(files::first_line).transpose()?;
    let request = RecoverRequest {
        bucket: files::bucket_request(&environment, &args.bucket)?,
        kit: files::read_named(args.key.kit.as_ref())?,
        passphrase: passphrase.map(|passphrase| passphrase.reveal().to_owned()),
        escrow_key: files::read_named(args.key.escrow_key.as_ref())?,
    };
    let job = if desk.client.is_there().await {
        let job: JobView = desk.client.post("/recover", &request).await?;
        until_one_ended(&Reach::Socket(&desk.client), desk.output, job).await?
    } else {
        inside(desk, &args.docker, request).await?
    };
    desk.output.show(&job, |job| words::ended_jobs(std::slice::from_ref(job)));
    outcome::of_jobs(std::slice::from_ref(&job))
}

/// Starts an appliance on the empty folder for as long as recovery takes.
async fn inside(desk: &Desk, docker: &str, request: RecoverRequest) -> Result<JobView, Failure> {
    // How it went is the command's answer; the log would say it twice.
    logs::begin("error");
    let stop = Stop::new();
    let appliance = serve::start(&desk.data, docker, None, &stop).await?;
    let ended = match appliance.recover(request).await {
        Ok(job) => until_one_ended(&Reach::Inside(&appliance), desk.output, job).await,
        Err(error) => Err(error.into()),
    };
    stop.cancel();
    appliance.finished().await;
    ended
}
