//! GC: what this configuration attached on this node, and the engine does not know any more, is deleted.

use std::collections::{HashMap, HashSet};

use vrouter_control::attach::links;

use super::{
    attachment::{self, Names},
    config::Config,
    failure::Failure,
};

pub(crate) async fn gc(config: &Config) -> Result<(), Failure> {
    // Without the list, everything would go.
    let Some(valid) = config.valid() else {
        return Err(Failure::config(
            "cni.dev/valid-attachments is missing; GC needs to know what is to stay",
        ));
    };
    let keep: Vec<Names> = valid
        .iter()
        .map(|attachment| Names::new(config, &attachment.container, &attachment.interface))
        .collect();
    let endpoints: HashSet<&str> = keep.iter().map(|names| names.endpoint.as_str()).collect();
    let hosts: HashSet<&str> = keep.iter().map(|names| names.host.as_str()).collect();

    // Links first: they are this node's, and can go without control.
    for link in links::links_with_alias(&attachment::alias_prefix(&config.name)).await? {
        if !hosts.contains(link.name.as_str()) {
            links::remove_link(&link.name).await?;
        }
    }
    let client = attachment::client(config)?;
    let labels = HashMap::from([(attachment::NETWORK.to_owned(), config.name.clone())]);
    for endpoint in client.endpoints("", config.node(), labels).await? {
        let (Some(container), Some(interface)) = (
            endpoint.labels.get(attachment::CONTAINER),
            endpoint.labels.get(attachment::INTERFACE),
        ) else {
            continue;
        };
        let names = Names::new(config, container, interface);
        // A name that is not ours is somebody else's endpoint with our label.
        if names.endpoint == endpoint.name && !endpoints.contains(endpoint.name.as_str()) {
            // An ADD that was killed right after it had made the link had not noted yet whose it is.
            links::remove_link(&names.host).await?;
            client.delete_endpoint(&endpoint.network, &endpoint.name).await?;
        }
    }
    Ok(())
}
