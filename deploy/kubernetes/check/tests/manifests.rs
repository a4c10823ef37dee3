//! The manifests as Kubernetes would read them: every field known, names that refer to something, and no more rights than are written down here.

use std::{collections::BTreeSet, fs, path::PathBuf};

use k8s_openapi::api::{
    apps::v1::{DaemonSet, StatefulSet},
    core::v1::{ConfigMap, Container, Namespace, PodSpec, Service, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

const NAMESPACE: &str = "vrouter-system";

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(directory().join(file)).unwrap();
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    documents
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect()
}

fn kustomization() -> Value {
    read("kustomization.yaml").remove(0)
}

fn objects() -> Vec<Value> {
    let kustomization = kustomization();
    let resources = kustomization["resources"].as_array().unwrap();
    resources.iter().flat_map(|file| read(file.as_str().unwrap())).collect()
}

fn of_kind<T: DeserializeOwned>(kind: &str) -> Vec<T> {
    let objects = objects().into_iter().filter(|object| object["kind"] == kind);
    objects.map(|object| serde_json::from_value(object).unwrap()).collect()
}

/// What is in `written` and did not come back.
fn lost(path: &str, written: &Value, back: &Value, found: &mut Vec<String>) {
    match (written, back) {
        (Value::Object(written), Value::Object(back)) => {
            for (key, value) in written {
                lost(
                    &format!("{path}.{key}"),
                    value,
                    back.get(key).unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Array(written), Value::Array(back)) if written.len() == back.len() => {
            for (index, (written, back)) in written.iter().zip(back).enumerate() {
                lost(&format!("{path}[{index}]"), written, back, found);
            }
        }
        // An empty list is as good as none.
        (Value::Array(written), Value::Null) if written.is_empty() => {}
        _ if written == back => {}
        _ => found.push(format!("{path}: {written} is read as {back}")),
    }
}

fn strict<T: DeserializeOwned + Serialize>(object: &Value) -> Vec<String> {
    let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
    let typed: T = match serde_json::from_value(object.clone()) {
        Ok(typed) => typed,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let mut found = Vec::new();
    lost(&name, object, &serde_json::to_value(typed).unwrap(), &mut found);
    found
}

fn check(object: &Value) -> Vec<String> {
    match object["kind"].as_str().unwrap_or_default() {
        "Namespace" => strict::<Namespace>(object),
        "ServiceAccount" => strict::<ServiceAccount>(object),
        "Role" => strict::<Role>(object),
        "RoleBinding" => strict::<RoleBinding>(object),
        "ConfigMap" => strict::<ConfigMap>(object),
        "Service" => strict::<Service>(object),
        "StatefulSet" => strict::<StatefulSet>(object),
        "DaemonSet" => strict::<DaemonSet>(object),
        kind => vec![format!("a {kind} is not expected here")],
    }
}

#[test]
fn every_field_is_known_to_kubernetes() {
    let objects = objects();
    assert!(objects.len() >= 10, "{}", objects.len());
    let found: Vec<_> = objects.iter().flat_map(check).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_field_that_kubernetes_does_not_know_is_found() {
    let mut object = objects()
        .into_iter()
        .find(|object| object["kind"] == "DaemonSet")
        .unwrap();
    object["spec"]["template"]["spec"]["hostNetwrok"] = true.into();
    object["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["grcp"] = serde_json::json!({"port": 1});
    let found = check(&object);
    assert_eq!(found.len(), 2, "{found:#?}");
    object["spec"]["template"]["spec"]["containers"] = "vrouterd".into();
    assert_eq!(check(&object).len(), 1);
}

#[test]
fn everything_listed_is_there_once_and_in_the_namespace() {
    let kustomization = kustomization();
    assert_eq!(kustomization["namespace"], NAMESPACE);
    let listed: BTreeSet<_> = kustomization["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file.as_str().unwrap().to_owned())
        .collect();
    let present: BTreeSet<_> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| file.ends_with(".yaml") && file != "kustomization.yaml")
        .collect();
    assert_eq!(listed, present);
    let mut names = BTreeSet::new();
    for object in objects() {
        let name = format!("{}/{}", object["kind"], object["metadata"]["name"]);
        assert!(names.insert(name.clone()), "{name} is there twice");
        if object["kind"] != "Namespace" {
            assert_eq!(object["metadata"]["namespace"], NAMESPACE, "{name}");
        }
    }
}

/// Every pod with its name.
fn pods() -> Vec<(String, PodSpec)> {
    let of = |name: Option<String>, spec: Option<PodSpec>| (name.unwrap(), spec.unwrap());
    let sets = of_kind::<DaemonSet>("DaemonSet").into_iter().map(|set| {
        let template = set.spec.unwrap().template;
        of(set.metadata.name, template.spec)
    });
    let stateful = of_kind::<StatefulSet>("StatefulSet").into_iter().map(|set| {
        let template = set.spec.unwrap().template;
        of(set.metadata.name, template.spec)
    });
    sets.chain(stateful).collect()
}

fn containers(pod: &PodSpec) -> Vec<Container> {
    let first = pod.init_containers.clone().unwrap_or_default();
    first.into_iter().chain(pod.containers.clone()).collect()
}

#[test]
fn what_is_referred_to_exists() {
    let maps: Vec<ConfigMap> = of_kind("ConfigMap");
    let map = |name: &str| maps.iter().find(|map| map.metadata.name.as_deref() == Some(name));
    let accounts: Vec<ServiceAccount> = of_kind("ServiceAccount");
    let templates = of_kind::<StatefulSet>("StatefulSet")
        .into_iter()
        .flat_map(|set| set.spec.unwrap().volume_claim_templates.unwrap_or_default())
        .map(|claim| claim.metadata.name.unwrap());
    let templates: Vec<_> = templates.collect();
    for (pod, spec) in pods() {
        let account = spec.service_account_name.as_deref();
        assert!(
            accounts.iter().any(|found| found.metadata.name.as_deref() == account),
            "{pod}: {account:?}"
        );
        let volumes = spec.volumes.clone().unwrap_or_default();
        for volume in &volumes {
            if let Some(source) = &volume.config_map {
                assert!(map(&source.name).is_some(), "{pod}: no ConfigMap {}", source.name);
            }
        }
        for container in containers(&spec) {
            for mount in container.volume_mounts.iter().flatten() {
                let known = volumes.iter().any(|volume| volume.name == mount.name) || templates.contains(&mount.name);
                assert!(known, "{pod}/{}: no volume {}", container.name, mount.name);
            }
            let variables = container.env.clone().unwrap_or_default();
            for source in variables.iter().filter_map(|variable| variable.value_from.as_ref()) {
                if let Some(key) = &source.config_map_key_ref {
                    let data = map(&key.name).and_then(|map| map.data.as_ref());
                    assert!(
                        data.is_some_and(|data| data.contains_key(&key.key)),
                        "{pod}: no {}/{}",
                        key.name,
                        key.key
                    );
                }
            }
            // What Kubernetes would leave standing as it is.
            let words = container
                .command
                .iter()
                .flatten()
                .chain(container.args.iter().flatten());
            for word in words.filter(|word| word.contains("$(")) {
                let rest = word.split("$(").skip(1).map(|rest| rest.split(')').next().unwrap());
                for name in rest {
                    assert!(variables.iter().any(|variable| variable.name == name), "{pod}: {word}");
                }
            }
            let ports: Vec<_> = container
                .ports
                .iter()
                .flatten()
                .map(|port| port.container_port)
                .collect();
            let probes = [
                &container.startup_probe,
                &container.readiness_probe,
                &container.liveness_probe,
            ];
            for probe in probes.into_iter().flatten() {
                let grpc = probe.grpc.as_ref().expect("probes ask by gRPC");
                assert!(ports.contains(&grpc.port), "{pod}: nothing listens at {}", grpc.port);
            }
        }
    }
    let services: Vec<Service> = of_kind("Service");
    for set in of_kind::<StatefulSet>("StatefulSet") {
        let spec = set.spec.unwrap();
        assert!(
            services
                .iter()
                .any(|service| service.metadata.name == spec.service_name)
        );
        let labels = spec.template.metadata.unwrap().labels.unwrap();
        for service in &services {
            let selector = service.spec.clone().unwrap().selector.unwrap();
            assert!(
                selector.iter().all(|(key, value)| labels.get(key) == Some(value)),
                "{selector:?}"
            );
        }
    }
    for binding in of_kind::<RoleBinding>("RoleBinding") {
        let roles: Vec<Role> = of_kind("Role");
        assert!(
            roles
                .iter()
                .any(|role| role.metadata.name.as_ref() == Some(&binding.role_ref.name))
        );
        for subject in binding.subjects.unwrap_or_default() {
            assert!(
                accounts
                    .iter()
                    .any(|account| account.metadata.name.as_ref() == Some(&subject.name))
            );
        }
    }
}

#[test]
fn nobody_may_do_more_than_is_written_here() {
    for role in of_kind::<Role>("Role") {
        assert!(role.rules.unwrap_or_default().is_empty());
    }
    for (pod, spec) in pods() {
        assert_eq!(spec.automount_service_account_token, Some(false), "{pod}");
        assert!(
            spec.priority_class_name.is_some() && spec.tolerations.is_some(),
            "{pod}"
        );
        for container in containers(&spec) {
            let name = format!("{pod}/{}", container.name);
            let rights = container.security_context.expect(&name);
            assert_eq!(rights.privileged, None, "{name}");
            assert_eq!(rights.allow_privilege_escalation, Some(false), "{name}");
            assert_eq!(rights.read_only_root_filesystem, Some(true), "{name}");
            let capabilities = rights.capabilities.expect(&name);
            assert_eq!(capabilities.drop, Some(vec!["ALL".to_owned()]), "{name}");
            let added = capabilities.add.unwrap_or_default();
            if container.name == "vrouterd" {
                assert_eq!(added, unit_capabilities(), "{name}");
            } else {
                assert!(added.is_empty(), "{name}: {added:?}");
            }
            let resources = container.resources.expect(&name);
            assert!(resources.requests.is_some() && resources.limits.is_some(), "{name}");
        }
    }
}

/// The same as the systemd unit's, which are tested.
fn unit_capabilities() -> Vec<String> {
    let unit = fs::read_to_string(directory().join("../systemd/vrouterd.service")).unwrap();
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="))
        .unwrap();
    line.split(' ')
        .map(|one| one.trim_start_matches("CAP_").to_owned())
        .collect()
}

#[test]
fn the_conflist_is_json_and_the_settings_are_toml_for_control() {
    for map in of_kind::<ConfigMap>("ConfigMap") {
        for (name, text) in map.data.unwrap() {
            if name.ends_with(".conflist") {
                let conflist: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(conflist["plugins"][0]["type"], "vrouter-cni");
                assert_eq!(conflist["plugins"][0]["node"], "@NODE@");
                assert_eq!(conflist["plugins"][0]["control"], "@CONTROL@");
            }
        }
    }
}

#[test]
fn the_installer_writes_whole_files_and_removes_what_it_wrote() {
    let scene = std::env::temp_dir().join(format!("vrouter-install-cni-{}", std::process::id()));
    let place = |name: &str| scene.join(name);
    fs::create_dir_all(&scene).unwrap();
    fs::write(place("plugin"), "#!/bin/sh\n").unwrap();
    let maps: Vec<ConfigMap> = of_kind("ConfigMap");
    let template = maps
        .iter()
        .find_map(|map| map.data.as_ref()?.get("10-vrouter.conflist"))
        .unwrap();
    fs::write(place("template"), template).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(directory().join("../image/install-cni.sh"));
        command
            .args(arguments)
            .env("CNI_PLUGIN", place("plugin"))
            .env("CNI_TEMPLATE", place("template"))
            .env("CNI_BIN", place("bin"))
            .env("CNI_NET", place("net"))
            .env("NODE_NAME", "node1")
            .env("CONTROL_ADDRESS", "http://10.0.0.1:7001");
        assert!(command.status().unwrap().success());
    };
    let names = |directory: &str| -> Vec<String> {
        let entries = fs::read_dir(place(directory)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    // Twice: an upgrade writes over what is there.
    for _ in 0..2 {
        run(&[]);
        assert_eq!(
            (names("bin"), names("net")),
            (vec!["vrouter-cni".to_owned()], vec!["10-vrouter.conflist".to_owned()])
        );
    }
    let conflist: Value = serde_json::from_str(&fs::read_to_string(place("net/10-vrouter.conflist")).unwrap()).unwrap();
    assert_eq!(conflist["plugins"][0]["node"], "node1");
    assert_eq!(conflist["plugins"][0]["control"], "http://10.0.0.1:7001");
    run(&["--remove"]);
    assert!(names("net").is_empty());
    assert_eq!(names("bin"), ["vrouter-cni"]);
    fs::remove_dir_all(&scene).unwrap();
}
