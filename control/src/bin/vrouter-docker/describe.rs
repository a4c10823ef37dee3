//! Names and labels of containers. Dockerd does not tell network drivers whose endpoints they make; its API does, a moment later.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::UnixStream, time};
use vrouter_proto::control as pb;

use crate::{
    control,
    house::House,
    protocol::nullable,
    records::{Endpoint, Phase},
};

/// Longest answer that is read, bytes: a list of some thousand containers.
const LONGEST_ANSWER: usize = 64 << 20;
/// How long dockerd may take for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// When dockerd is asked after a container has joined: it knows the endpoint's container when it has started it. Milliseconds.
const PAUSES: [u64; 6] = [100, 300, 1000, 3000, 10_000, 30_000];
/// Most labels that are taken over from a container, and most bytes of a key or value: control takes little more.
const MOST_LABELS: usize = 56;
const LONGEST_LABEL: usize = 256;
/// Labels that say which container it is.
const CONTAINER: &str = "docker.container";
const CONTAINER_ID: &str = "docker.container-id";

/// Dockerd's API.
#[derive(Debug)]
pub(crate) struct Docker {
    socket: PathBuf,
}

/// A container, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    id: String,
    #[serde(deserialize_with = "nullable")]
    names: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    labels: HashMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    network_settings: Settings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    #[serde(deserialize_with = "nullable")]
    networks: HashMap<String, Option<Attachment>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attachment {
    #[serde(rename = "EndpointID", deserialize_with = "nullable")]
    endpoint: String,
}

/// Why dockerd does not tell.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error("{0}")]
    Socket(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("{0}")]
    Request(#[from] hyper::http::Error),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("it says {0}")]
    Status(StatusCode),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late(#[from] time::error::Elapsed),
}

impl Docker {
    /// The API behind a socket.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The containers of a network.
    async fn containers(&self, network: &str) -> Result<Vec<Container>, Silence> {
        // The identifier is of letters and digits: nothing has to be escaped but the braces.
        let path = format!("/containers/json?filters=%7B%22network%22%3A%5B%22{network}%22%5D%7D");
        time::timeout(PATIENCE, async {
            let stream = UnixStream::connect(&self.socket).await?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let request = Request::get(path)
                .header("host", "docker")
                .body(Empty::<Bytes>::new())?;
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
            connection.abort();
            if status != StatusCode::OK {
                return Err(Silence::Status(status));
            }
            Ok(serde_json::from_slice(&body.map_err(Silence::Body)?.to_bytes())?)
        })
        .await?
    }
}

/// Records the name and labels of an endpoint's container, as soon as dockerd tells them.
pub(crate) fn later(house: &Arc<House>, endpoint: Endpoint) {
    if house.docker.is_none() {
        return;
    }
    // If the plugin dies before it knows, the next one asks.
    if let Err(failure) = house
        .endpoints
        .update(&endpoint.key(), |endpoint| endpoint.undescribed = true)
    {
        tracing::warn!(%failure, endpoint = endpoint.key(), "a restart of the plugin will not ask for the container's name");
    }
    let house = house.clone();
    tokio::spawn(async move {
        let mut why = String::new();
        for pause in PAUSES {
            time::sleep(Duration::from_millis(pause)).await;
            match describe(&house, &endpoint).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(reason) => why = reason,
            }
        }
        tracing::warn!(
            endpoint = endpoint.key(),
            why,
            "whose endpoint this is was not to be found out"
        );
    });
}

/// Tries once; whether nothing is left to do.
async fn describe(house: &House, endpoint: &Endpoint) -> Result<bool, String> {
    let attached = |endpoint: Endpoint| endpoint.phase == Phase::Attached;
    let (Some(docker), Some(of), true) = (
        &house.docker,
        &endpoint.docker,
        house.endpoints.get(&endpoint.key()).is_some_and(attached),
    ) else {
        return Ok(true);
    };
    let containers = docker
        .containers(&of.network)
        .await
        .map_err(|error| format!("dockerd: {error}"))?;
    let is = |container: &&Container| {
        let mut networks = container.network_settings.networks.values().flatten();
        networks.any(|attachment| attachment.endpoint == of.endpoint)
    };
    let Some(container) = containers.iter().find(is) else {
        return Err("dockerd knows no container that has it".to_owned());
    };
    let mut wish = pb::Endpoint {
        network: endpoint.network.clone(),
        name: endpoint.name.clone(),
        labels: labels(container),
        ..Default::default()
    };
    // What the plugin says itself counts more.
    wish.labels.extend(control::labels(Some(of)));
    control::update(house, wish, &["labels"])
        .await
        .map_err(|failure| failure.to_string())?;
    let described = house
        .endpoints
        .update(&endpoint.key(), |endpoint| endpoint.undescribed = false);
    described.map(|_| true).map_err(|failure| failure.to_string())
}

fn labels(container: &Container) -> HashMap<String, String> {
    let good = |text: &str| text.len() <= LONGEST_LABEL && !text.chars().any(char::is_control);
    let mut given: Vec<_> = container
        .labels
        .iter()
        .filter(|(key, value)| !key.is_empty() && good(key) && good(value))
        .collect();
    // Which are left out, if any have to be, is the same each time.
    given.sort_unstable();
    let mut labels: HashMap<_, _> = given
        .into_iter()
        .take(MOST_LABELS)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let name = container.names.first().map(|name| name.trim_start_matches('/'));
    labels.insert(CONTAINER.to_owned(), name.unwrap_or_default().to_owned());
    labels.insert(CONTAINER_ID.to_owned(), container.id.clone());
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_read_and_their_labels_cut_to_what_control_takes() {
        let text = r#"[{"Id":"4d5e","Names":["/web"],"State":"running","Labels":{"app":"web","docker.container":"posing","":"x","bad":"a\u0007"},
            "NetworkSettings":{"Networks":{"blue":{"EndpointID":"abc","Links":null},"none":null}}},
            {"Id":"5","Names":null,"Labels":null,"NetworkSettings":null}]"#;
        let containers: Vec<Container> = serde_json::from_str(text).unwrap();
        let blue = containers[0].network_settings.networks["blue"].as_ref().unwrap();
        assert_eq!(blue.endpoint, "abc");
        let expected = [("app", "web"), (CONTAINER, "web"), (CONTAINER_ID, "4d5e")];
        let expected: HashMap<_, _> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(labels(&containers[0]), expected);
        let many = Container {
            labels: (0..1000).map(|n| (format!("k{n}"), "v".to_owned())).collect(),
            ..Default::default()
        };
        assert_eq!(labels(&many).len(), MOST_LABELS + 2);
    }
}
