//! The plugin's socket: HTTP in, one request of dockerd to whoever meets it, JSON out, always in time.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::Response,
};
use serde::{
    Serialize,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Value, json};
use tokio::time;

use crate::{
    addresses, endpoints,
    failure::Failure,
    house::House,
    networks, pools,
    protocol::{Activation, Done, ipam, network},
    publish,
};

/// The longest body that is read, bytes. Dockerd's largest requests list the ports of one container: some hundred bytes each.
const LONGEST_BODY: usize = 4 << 20;
/// What dockerd calls the language.
const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// Everything that is answered on the socket.
pub(crate) fn router(house: Arc<House>) -> Router {
    Router::new().fallback(answer).with_state(house)
}

async fn answer(State(house): State<Arc<House>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let within = house.answer_within;
    let met = time::timeout(within, meet(&house, &path, request)).await;
    let met = met.unwrap_or(Err(Failure::Late(within.as_millis())));
    match met {
        Ok(value) => {
            tracing::debug!(path, "answered");
            respond(StatusCode::OK, &value)
        }
        Err(failure) => {
            tracing::warn!(path, %failure, "refused");
            let status = match &failure {
                Failure::Malformed(_) => StatusCode::BAD_REQUEST,
                Failure::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
                Failure::NoSuchRequest(_) => StatusCode::NOT_FOUND,
                Failure::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
                // The request was understood: dockerd reads why from the body.
                _ => StatusCode::OK,
            };
            // Network drivers say `Err`, IPAM drivers say `Error`.
            let words = failure.to_string();
            respond(status, &json!({ "Err": words, "Error": words }))
        }
    }
}

fn respond(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static(CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

async fn meet(house: &Arc<House>, path: &str, request: Request) -> Result<Value, Failure> {
    if request.method() != Method::POST {
        return Err(Failure::Method(request.method().to_string()));
    }
    let body = to_bytes(request.into_body(), LONGEST_BODY).await;
    let body = body.map_err(|_| Failure::TooLong(LONGEST_BODY))?;
    match path {
        "/Plugin.Activate" => said(Activation {
            implements: ["NetworkDriver", "IpamDriver"],
        }),
        "/NetworkDriver.GetCapabilities" => said(network::Capabilities {
            scope: "local",
            connectivity_scope: "global",
            gw_alloc_checker: true,
        }),
        "/NetworkDriver.GwAllocCheck" => with(&body, async |q| networks::gateway_check(&q)).await,
        "/NetworkDriver.AllocateNetwork" => with(&body, async |q| Ok(networks::allocate(&q))).await,
        "/NetworkDriver.FreeNetwork" => with(&body, async |_: network::NetworkOnly| Ok(Done {})).await,
        "/NetworkDriver.CreateNetwork" => with(&body, async |q| networks::create(house, q).await).await,
        "/NetworkDriver.DeleteNetwork" => with(&body, async |q| networks::delete(house, &q).await).await,
        "/NetworkDriver.CreateEndpoint" => with(&body, async |q| endpoints::create(house, q).await).await,
        "/NetworkDriver.EndpointOperInfo" => with(&body, async |q| endpoints::info(house, &q)).await,
        "/NetworkDriver.DeleteEndpoint" => with(&body, async |q| endpoints::delete(house, &q).await).await,
        "/NetworkDriver.Join" => with(&body, async |q| endpoints::join(house, &q).await).await,
        "/NetworkDriver.Leave" => with(&body, async |q| endpoints::leave(house, &q)).await,
        "/NetworkDriver.ProgramExternalConnectivity" => with(&body, async |q| publish::program(house, q).await).await,
        "/NetworkDriver.RevokeExternalConnectivity" => with(&body, async |q| publish::revoke(house, &q).await).await,
        // Who else is in a cluster is told by control alone.
        "/NetworkDriver.DiscoverNew" | "/NetworkDriver.DiscoverDelete" => {
            with(&body, async |_: network::Discovery| Ok(Done {})).await
        }
        "/IpamDriver.GetCapabilities" => said(ipam::Capabilities {
            requires_mac_address: true,
            requires_request_replay: false,
        }),
        "/IpamDriver.GetDefaultAddressSpaces" => said(ipam::AddressSpaces {
            local_default_address_space: pools::ADDRESS_SPACE,
            global_default_address_space: pools::ADDRESS_SPACE,
        }),
        "/IpamDriver.RequestPool" => with(&body, async |q| pools::request(house, q).await).await,
        "/IpamDriver.ReleasePool" => with(&body, async |q| pools::release(house, &q)).await,
        "/IpamDriver.RequestAddress" => with(&body, async |q| addresses::request(house, q).await).await,
        "/IpamDriver.ReleaseAddress" => with(&body, async |q| addresses::release(house, &q).await).await,
        _ => Err(Failure::NoSuchRequest(path.to_owned())),
    }
}

/// Reads a request's body and meets it. No body is one without any field.
async fn with<Q, A>(body: &Bytes, meet: impl AsyncFnOnce(Q) -> Result<A, Failure>) -> Result<Value, Failure>
where
    Q: DeserializeOwned + Default,
    A: Serialize,
{
    let question = if body.iter().all(u8::is_ascii_whitespace) {
        Q::default()
    } else {
        match serde_json::from_slice(body).map_err(Failure::Malformed)? {
            Value::Null => Q::default(),
            object @ Value::Object(_) => serde_json::from_value(object).map_err(Failure::Malformed)?,
            // A list would be read as fields in order.
            _ => {
                return Err(Failure::Malformed(serde_json::Error::custom(
                    "an object would be right",
                )));
            }
        }
    };
    said(meet(question).await?)
}

fn said(answer: impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(Failure::Malformed)
}
