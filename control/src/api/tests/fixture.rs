//! Two inner networks and an external one, with endpoints on two nodes, for the tests of what lies between them.

use super::*;

/// blue and red, dual-stack; ext, external and dual-stack. blue/web (app=web) on node-a, blue/db (app=db) on node-b, red/cache (app=cache)
/// on node-a; the first two with tier=inner.
pub(super) async fn two_networks() -> House {
    let mut house = House::new().await;
    for (network, v4, v6) in [
        ("blue", "10.1.0.0/24", "fd00:1::/64"),
        ("red", "10.2.0.0/24", "fd00:2::/64"),
    ] {
        house.network(network).await;
        house.subnet(network, "v4", v4).await;
        house.subnet(network, "v6", v6).await;
    }
    house.external("ext").await.unwrap();
    house.subnet("ext", "v4", "198.51.100.0/24").await;
    house.subnet("ext", "v6", "2001:db8:100::/64").await;
    house.node("node-a").await;
    house.node("node-b").await;
    for (network, name, node, labels) in [
        ("blue", "web", "node-a", vec![("app", "web"), ("tier", "inner")]),
        ("blue", "db", "node-b", vec![("app", "db"), ("tier", "inner")]),
        ("red", "cache", "node-a", vec![("app", "cache")]),
    ] {
        let endpoint = pb::Endpoint {
            network: network.into(),
            name: name.into(),
            node: node.into(),
            interface: format!("v-{name}"),
            labels: labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            ..Default::default()
        };
        house.endpoint(endpoint).await.unwrap();
    }
    house
}

pub(super) fn router(name: &str, networks: &[&str], external: &str) -> pb::Router {
    pb::Router {
        name: name.into(),
        networks: networks.iter().map(ToString::to_string).collect(),
        external_network: external.into(),
        ..Default::default()
    }
}

pub(super) fn tcp(port: u32) -> pb::ServicePort {
    pb::ServicePort {
        port,
        ..Default::default()
    }
}

pub(super) fn to_endpoint(name: &str) -> pb::ServiceBackend {
    pb::ServiceBackend {
        backend: Some(pb::service_backend::Backend::Endpoint(name.into())),
        ..Default::default()
    }
}

/// A service of blue at port 80 with these endpoints behind it.
pub(super) fn service(name: &str, backends: &[&str]) -> pb::Service {
    pb::Service {
        network: "blue".into(),
        name: name.into(),
        ports: vec![tcp(80)],
        backends: backends.iter().map(|b| to_endpoint(b)).collect(),
        ..Default::default()
    }
}

pub(super) fn floating(name: &str, endpoint: &str) -> pb::FloatingIp {
    pb::FloatingIp {
        name: name.into(),
        network: "ext".into(),
        endpoint: endpoint.into(),
        ..Default::default()
    }
}

macro_rules! calls {
    ($($kind:ident $message:ident $create:ident $Create:ident $get:ident $Get:ident $delete:ident $Delete:ident),* $(,)?) => {
        impl House {
            $(
                pub(super) async fn $kind(&mut self, $kind: pb::$message) -> Result<pb::$message, Status> {
                    #[allow(clippy::needless_update)]
                    let request = pb::$Create { $kind: Some($kind), ..Default::default() };
                    self.client.$create(request).await.map(Response::into_inner)
                }
                #[allow(dead_code)]
                pub(super) async fn $get(&mut self, name: &str) -> Result<pb::$message, Status> {
                    #[allow(clippy::needless_update)]
                    let request = pb::$Get { name: name.into(), ..Default::default() };
                    self.client.$get(request).await.map(Response::into_inner)
                }
                #[allow(dead_code)]
                pub(super) async fn $delete(&mut self, name: &str) -> Result<bool, Status> {
                    #[allow(clippy::needless_update)]
                    let request = pb::$Delete { name: name.into(), ..Default::default() };
                    self.client.$delete(request).await.map(|r| r.into_inner().existed)
                }
            )*
        }
    };
}

calls! {
    group Group create_group CreateGroupRequest get_group GetGroupRequest delete_group DeleteGroupRequest,
    policy Policy create_policy CreatePolicyRequest get_policy GetPolicyRequest delete_policy DeletePolicyRequest,
    router Router create_router CreateRouterRequest get_router GetRouterRequest delete_router DeleteRouterRequest,
    floating_ip FloatingIp create_floating_ip CreateFloatingIpRequest get_floating_ip GetFloatingIpRequest delete_floating_ip DeleteFloatingIpRequest,
    qos_profile QosProfile create_qos_profile CreateQosProfileRequest get_qos_profile GetQosProfileRequest delete_qos_profile DeleteQosProfileRequest,
    mirror Mirror create_mirror CreateMirrorRequest get_mirror GetMirrorRequest delete_mirror DeleteMirrorRequest,
}

impl House {
    pub(super) async fn external(&mut self, name: &str) -> Result<pb::Network, Status> {
        let network = pb::Network {
            name: name.into(),
            external: true,
            ..Default::default()
        };
        let made = self.client.create_network(create_network(network)).await;
        made.map(Response::into_inner)
    }

    pub(super) async fn labelled(&mut self, network: &str, name: &str, key: &str, value: &str) -> pb::Endpoint {
        let endpoint = pb::Endpoint {
            network: network.into(),
            name: name.into(),
            labels: [(key.into(), value.into())].into(),
            ..Default::default()
        };
        self.endpoint(endpoint).await.unwrap()
    }

    pub(super) async fn delete_endpoint(&mut self, network: &str, name: &str) -> Result<bool, Status> {
        let request = pb::DeleteEndpointRequest {
            network: network.into(),
            name: name.into(),
        };
        let deleted = self.client.delete_endpoint(request).await;
        deleted.map(|r| r.into_inner().existed)
    }

    pub(super) async fn service(&mut self, service: pb::Service) -> Result<pb::Service, Status> {
        let request = pb::CreateServiceRequest { service: Some(service) };
        self.client.create_service(request).await.map(Response::into_inner)
    }

    pub(super) async fn get_service(&mut self, name: &str) -> Result<pb::Service, Status> {
        let request = pb::GetServiceRequest {
            network: "blue".into(),
            name: name.into(),
        };
        self.client.get_service(request).await.map(Response::into_inner)
    }

    pub(super) async fn update_service(&mut self, service: pb::Service, paths: &[&str]) -> Result<pb::Service, Status> {
        let request = pb::UpdateServiceRequest {
            service: Some(service),
            update_mask: mask(paths),
        };
        self.client.update_service(request).await.map(Response::into_inner)
    }

    pub(super) async fn update_floating(
        &mut self,
        floating_ip: pb::FloatingIp,
        paths: &[&str],
    ) -> Result<pb::FloatingIp, Status> {
        let request = pb::UpdateFloatingIpRequest {
            floating_ip: Some(floating_ip),
            update_mask: mask(paths),
        };
        self.client.update_floating_ip(request).await.map(Response::into_inner)
    }

    pub(super) async fn findings(&mut self) -> Vec<String> {
        let audit = self.client.audit(pb::AuditRequest {}).await;
        audit.unwrap().into_inner().findings
    }
}
