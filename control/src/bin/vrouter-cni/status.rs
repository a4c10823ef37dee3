//! STATUS: whether a container could be attached now.

use vrouter_control::attach;

use super::{attachment, config::Config, failure::Failure};

pub(crate) async fn status(config: &Config) -> Result<(), Failure> {
    let client = attachment::client(config)?;
    match client.node_ready(config.node()).await {
        Ok(()) => Ok(()),
        Err(error @ (attach::Error::Away { .. } | attach::Error::NotProgrammed { .. })) => {
            Err(Failure::unavailable(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}
