//! DEL: the link, and the endpoint with all that hangs off it. What is gone already is as good as deleted.

use vrouter_control::attach::{self, Client, links};

use super::{
    attachment::{self, Names},
    config::Config,
    environment::Environment,
    failure::Failure,
};

pub(crate) async fn del(config: &Config, environment: &Environment) -> Result<(), Failure> {
    let names = Names::of(config, environment);
    let client = attachment::client(config)?.with_patience(config.delete_patience());
    // The link goes whatever control says: nothing is heard of a container that is gone. And it goes first: as long as there is an endpoint, GC
    // finds the link by it, also when this is killed in between.
    links::remove_link(&names.host).await?;
    Ok(delete(&client, config, environment, &names).await?)
}

async fn delete(
    client: &Client,
    config: &Config,
    environment: &Environment,
    names: &Names,
) -> Result<(), attach::Error> {
    if client.delete_endpoint(config.network(), &names.endpoint).await? {
        return Ok(());
    }
    // Perhaps the configuration named another network when it was attached.
    let all = client.endpoints("", "", attachment::selector(environment)).await?;
    let ours = |endpoint: &&vrouter_proto::control::Endpoint| {
        endpoint.name == names.endpoint && endpoint.labels.get(attachment::NETWORK) == Some(&config.name)
    };
    for endpoint in all.iter().filter(ours) {
        client.delete_endpoint(&endpoint.network, &endpoint.name).await?;
    }
    Ok(())
}
