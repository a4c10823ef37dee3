//! Docker's networks: what the plugin answers to each request that dockerd can make, and whatever control is doing meanwhile.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use vrouter_proto::control::{
    AuditRequest, DeleteEndpointRequest, Encapsulation, Endpoint, ListEndpointsRequest, ListNetworksRequest,
    ListSubnetsRequest,
};
use vrouter_tests::{
    cluster::{Cluster, Options},
    docker::Plugin,
    require,
    topology::Topology,
    wait,
};

const GENERIC: &str = "com.docker.network.generic";
const MAC: &str = "com.docker.network.endpoint.macaddress";

fn one_node() -> Options {
    Options {
        nodes: 1,
        ..Options::default()
    }
}

/// What dockerd would call something: 64 hexadecimal digits.
fn id(number: u32) -> String {
    format!("{number:012x}{number:052x}")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A network as dockerd creates one: pools first, then the network.
struct Net {
    id: String,
    /// Identifier and prefix.
    pools: Vec<(String, String)>,
}

impl Net {
    fn create(plugin: &Plugin, number: u32, subnets: &[&str], options: Value, ipam: Value) -> Result<Self> {
        let mut net = Self {
            id: id(number),
            pools: Vec::new(),
        };
        let mut data = [Vec::new(), Vec::new()];
        for subnet in subnets {
            let v6 = *subnet == "v6" || subnet.contains(':');
            let pool = if subnet.contains('/') { subnet } else { "" };
            let request = json!({
                "AddressSpace": "vrouter", "Pool": pool, "SubPool": "", "Options": ipam, "V6": v6,
            });
            let answer = plugin.call("IpamDriver.RequestPool", &request)?;
            let (pool, prefix) = (text(&answer, "PoolID").to_owned(), text(&answer, "Pool").to_owned());
            let gateway = answer["Data"]["com.docker.network.gateway"].as_str();
            let gateway = gateway.context("no gateway")?.to_owned();
            net.pools.push((pool, prefix.clone()));
            data[usize::from(v6)].push(json!({
                "AddressSpace": "vrouter", "Pool": prefix, "Gateway": gateway, "AuxAddresses": {},
            }));
        }
        let request = json!({
            "NetworkID": net.id, "Options": { GENERIC: options, "com.docker.network.enable_ipv6": true },
            "IPv4Data": data[0], "IPv6Data": data[1],
        });
        match plugin.call("NetworkDriver.CreateNetwork", &request) {
            Ok(_) => Ok(net),
            Err(error) => {
                net.release(plugin)?;
                Err(error)
            }
        }
    }

    fn blue(plugin: &Plugin, number: u32) -> Result<Self> {
        Self::create(
            plugin,
            number,
            &["10.1.0.0/24", "fd00:1::/64"],
            json!({ "network": "blue" }),
            json!({}),
        )
    }

    fn release(&self, plugin: &Plugin) -> Result<()> {
        for (pool, _) in &self.pools {
            plugin.call("IpamDriver.ReleasePool", &json!({ "PoolID": pool }))?;
        }
        Ok(())
    }

    fn delete(&self, plugin: &Plugin) -> Result<()> {
        plugin.call("NetworkDriver.DeleteNetwork", &json!({ "NetworkID": self.id }))?;
        self.release(plugin)
    }

    fn address(&self, plugin: &Plugin, pool: usize, mac: &str, address: &str) -> Result<String> {
        let request = json!({ "PoolID": self.pools[pool].0, "Address": address, "Options": { MAC: mac } });
        let answer = plugin.call("IpamDriver.RequestAddress", &request)?;
        Ok(text(&answer, "Address").to_owned())
    }

    fn give_back(&self, plugin: &Plugin, addresses: &[String]) -> Result<()> {
        for (cidr, (pool, _)) in addresses.iter().zip(&self.pools) {
            let address = cidr.split('/').next();
            let request = json!({ "PoolID": pool, "Address": address });
            plugin.call("IpamDriver.ReleaseAddress", &request)?;
        }
        Ok(())
    }

    /// An endpoint with an address of each pool.
    fn endpoint(&self, plugin: &Plugin, number: u32) -> Result<Vec<String>> {
        let mac = format!("02:42:00:00:00:{number:02x}");
        let mut addresses = Vec::new();
        for pool in 0..self.pools.len() {
            addresses.push(self.address(plugin, pool, &mac, "")?);
        }
        let request = json!({
            "NetworkID": self.id, "EndpointID": id(number), "Options": {},
            "Interface": { "Address": addresses[0], "AddressIPv6": addresses.get(1), "MacAddress": mac },
        });
        let answer = plugin.call("NetworkDriver.CreateEndpoint", &request)?;
        ensure!(
            answer["Interface"]["MacAddress"] == "",
            "what was given is not to be said again: {answer}"
        );
        Ok(addresses)
    }

    fn of(&self, number: u32) -> Value {
        json!({ "NetworkID": self.id, "EndpointID": id(number), "SandboxKey": "/x", "Options": {} })
    }
}

fn endpoints(cluster: &Cluster) -> Result<Vec<Endpoint>> {
    let request = ListEndpointsRequest::default();
    Ok(cluster
        .api
        .call(async |mut c| c.list_endpoints(request).await)?
        .endpoints)
}

fn networks(cluster: &Cluster) -> Result<Vec<String>> {
    let answer = cluster
        .api
        .call(async |mut c| c.list_networks(ListNetworksRequest {}).await)?;
    Ok(answer.networks.into_iter().map(|network| network.name).collect())
}

fn subnets(cluster: &Cluster) -> Result<Vec<String>> {
    let answer = cluster
        .api
        .call(async |mut c| c.list_subnets(ListSubnetsRequest::default()).await)?;
    Ok(answer.subnets.into_iter().map(|subnet| subnet.cidr).collect())
}

fn audit(cluster: &Cluster) -> Result<Vec<String>> {
    Ok(cluster.api.call(async |mut c| c.audit(AuditRequest {}).await)?.findings)
}

/// Links of containers on a node, by their names.
fn links(cluster: &Cluster, node: usize) -> Result<String> {
    let netns = &cluster.compute(node)?.node.netns;
    netns.sh("ls /sys/class/net | grep '^vr' || true")
}

/// Nothing is left of Docker: not in control, not in the kernel, not in the plugin's records.
fn nothing_is_left(cluster: &Cluster, plugins: &[&Plugin]) -> Result<()> {
    wait::until("nothing to be left", || {
        let (endpoints, networks, findings) = (endpoints(cluster)?, networks(cluster)?, audit(cluster)?);
        ensure!(endpoints.is_empty(), "endpoints: {endpoints:?}");
        ensure!(networks.is_empty(), "networks: {networks:?}");
        ensure!(findings.is_empty(), "audit: {findings:?}");
        for (node, plugin) in plugins.iter().enumerate() {
            let links = links(cluster, node)?;
            ensure!(links.is_empty(), "links: {links}");
            for kind in ["pools", "networks", "endpoints"] {
                let records = plugin.records(kind)?;
                ensure!(records.is_empty(), "{kind}: {records:?}");
            }
        }
        Ok(())
    })
}

#[test]
fn docker_every_request_is_answered_and_nothing_is_left_behind() -> Result<()> {
    require!(Root, Daemons, Docker);
    Topology::run("docker requests", |t| {
        let cluster = Cluster::start(t, &one_node())?;
        let plugin = Plugin::start(&cluster, 0, &[])?;
        let activate = plugin.call("Plugin.Activate", &Value::Null)?;
        ensure!(
            activate == json!({ "Implements": ["NetworkDriver", "IpamDriver"] }),
            "{activate}"
        );
        let capabilities = plugin.call("NetworkDriver.GetCapabilities", &Value::Null)?;
        ensure!(
            capabilities == json!({ "Scope": "local", "ConnectivityScope": "global", "GwAllocChecker": true }),
            "{capabilities}"
        );
        let capabilities = plugin.call("IpamDriver.GetCapabilities", &json!({}))?;
        ensure!(capabilities["RequiresMACAddress"] == true, "{capabilities}");
        let spaces = plugin.call("IpamDriver.GetDefaultAddressSpaces", &Value::Null)?;
        ensure!(spaces["LocalDefaultAddressSpace"] == "vrouter", "{spaces}");
        let check = plugin.call(
            "NetworkDriver.GwAllocCheck",
            &json!({ "Options": { GENERIC: { "network": "blue" } } }),
        )?;
        ensure!(check == json!({ "SkipIPv4": false, "SkipIPv6": false }), "{check}");
        for request in ["DiscoverNew", "DiscoverDelete"] {
            let node = json!({ "DiscoveryType": 1, "DiscoveryData": { "Address": "192.0.2.1", "Self": true } });
            plugin.call(&format!("NetworkDriver.{request}"), &node)?;
        }
        plugin.call("NetworkDriver.AllocateNetwork", &json!({ "NetworkID": id(1) }))?;
        plugin.call("NetworkDriver.FreeNetwork", &json!({ "NetworkID": id(1) }))?;

        let blue = Net::blue(&plugin, 1)?;
        ensure!(networks(&cluster)? == ["blue"]);
        ensure!(subnets(&cluster)?.len() == 2);
        let gateway = json!({ "PoolID": blue.pools[0].0, "Address": "", "Options": { "RequestAddressType": "com.docker.network.gateway" } });
        let gateway = plugin.call("IpamDriver.RequestAddress", &gateway)?;
        ensure!(text(&gateway, "Address") == "10.1.0.1/24", "{gateway}");
        let addresses = blue.endpoint(&plugin, 7)?;
        let kept = &endpoints(&cluster)?[0];
        ensure!(
            kept.addresses.iter().zip(&addresses).all(|(a, b)| b.starts_with(a)) && kept.addresses.len() == 2,
            "{kept:?}"
        );
        ensure!(kept.mac == "02:42:00:00:00:07" && kept.node == "node1", "{kept:?}");
        ensure!(
            kept.labels["docker.endpoint"] == id(7) && !kept.labels.contains_key("vrouter.reserved-since"),
            "{kept:?}"
        );
        let joined = plugin.call("NetworkDriver.Join", &blue.of(7))?;
        ensure!(
            joined["Gateway"] == "10.1.0.1" && joined["GatewayIPv6"] == "fd00:1::1",
            "{joined}"
        );
        ensure!(joined["InterfaceName"]["DstPrefix"] == "eth", "{joined}");
        let netns = &cluster.compute(0)?.node.netns;
        let peer = text(&joined["InterfaceName"], "SrcName").to_owned();
        for link in [&peer, &kept.interface] {
            let mtu = netns.link_file(link, "mtu")?;
            ensure!(mtu.trim() == "60000", "{link}: {mtu}");
        }
        ensure!(netns.mac(&peer)? == kept.mac);
        ensure!(endpoints(&cluster)?[0].programmed, "it is usable when it has joined");
        let info = plugin.call("NetworkDriver.EndpointOperInfo", &blue.of(7))?;
        ensure!(info["Value"][MAC] == "02:42:00:00:00:07", "{info}");
        plugin.call("NetworkDriver.ProgramExternalConnectivity", &blue.of(7))?;
        plugin.call("NetworkDriver.RevokeExternalConnectivity", &blue.of(7))?;
        plugin.call("NetworkDriver.Leave", &blue.of(7))?;
        for _ in 0..2 {
            plugin.call("NetworkDriver.DeleteEndpoint", &blue.of(7))?;
        }
        blue.give_back(&plugin, &addresses)?;
        ensure!(endpoints(&cluster)?.is_empty());
        for _ in 0..2 {
            blue.delete(&plugin)?;
        }
        nothing_is_left(&cluster, &[&plugin])
    })
}

#[test]
fn docker_odd_requests_are_refused_in_words_and_harm_nothing() -> Result<()> {
    require!(Root, Daemons, Docker);
    Topology::run("docker odd requests", |t| {
        let cluster = Cluster::start(t, &one_node())?;
        let plugin = Plugin::start(&cluster, 0, &[])?;
        let blue = Net::blue(&plugin, 1)?;
        let posted = |path: &str, body: &[u8]| plugin.raw("POST", path, body);
        let requests = [
            "Plugin.Activate",
            "NetworkDriver.GetCapabilities",
            "NetworkDriver.GwAllocCheck",
            "NetworkDriver.AllocateNetwork",
            "NetworkDriver.FreeNetwork",
            "NetworkDriver.CreateNetwork",
            "NetworkDriver.DeleteNetwork",
            "NetworkDriver.CreateEndpoint",
            "NetworkDriver.EndpointOperInfo",
            "NetworkDriver.DeleteEndpoint",
            "NetworkDriver.Join",
            "NetworkDriver.Leave",
            "NetworkDriver.ProgramExternalConnectivity",
            "NetworkDriver.RevokeExternalConnectivity",
            "NetworkDriver.DiscoverNew",
            "NetworkDriver.DiscoverDelete",
            "IpamDriver.GetCapabilities",
            "IpamDriver.GetDefaultAddressSpaces",
            "IpamDriver.RequestPool",
            "IpamDriver.ReleasePool",
            "IpamDriver.RequestAddress",
            "IpamDriver.ReleaseAddress",
        ];
        let deep = "[".repeat(100_000);
        for request in requests {
            let path = format!("/{request}");
            for body in [
                "",
                "null",
                "{}",
                r#"{"Unknown":[{"a":1}],"NetworkID":null,"Options":null,"Interface":null}"#,
            ] {
                let (status, answer) = posted(&path, body.as_bytes())?;
                ensure!(status == 200, "{request} {body}: {status} {answer}");
                let answer: Value = serde_json::from_str(&answer)?;
                ensure!(answer.is_object(), "{request}: {answer}");
                if request == "IpamDriver.RequestPool" {
                    plugin.call("IpamDriver.ReleasePool", &answer)?;
                }
            }
            for body in [
                "{",
                "[]",
                "\"x\"",
                "7",
                "\u{0}",
                r#"{"NetworkID":7,"PoolID":{},"Options":"x"}"#,
                &deep,
            ] {
                let (status, answer) = posted(&path, body.as_bytes())?;
                ensure!(
                    [200, 400].contains(&status),
                    "{request} {:.20}: {status} {answer}",
                    body
                );
                ensure!(
                    serde_json::from_str::<Value>(&answer)?.is_object(),
                    "{request}: {answer}"
                );
            }
            let (status, answer) = plugin.raw("GET", &path, b"")?;
            ensure!(status == 405 && answer.contains("POST"), "{status} {answer}");
        }
        let (status, answer) = posted("/NetworkDriver.Nonsense", b"{}")?;
        ensure!(
            status == 404 && answer.contains("NetworkDriver.Nonsense"),
            "{status} {answer}"
        );
        let (status, answer) = posted("/NetworkDriver.CreateNetwork", &vec![b' '; 5 << 20])?;
        ensure!(status == 413 && answer.contains("bytes"), "{status} {answer}");

        let refused = |request: &str, body: Value, words: &str| -> Result<()> {
            let said = plugin.refused(request, &body)?;
            ensure!(said.contains(words), "{request} {body}: {said:?}, and not {words:?}");
            Ok(())
        };
        let pool = |pool: &str, range: &str, v6: bool| json!({ "Pool": pool, "SubPool": range, "V6": v6 });
        refused(
            "IpamDriver.RequestPool",
            pool("10.1.0.5/24", "", false),
            "10.1.0.0/24 would be right",
        )?;
        refused("IpamDriver.RequestPool", pool("10.1.0.0/24", "", true), "not of IPv6")?;
        refused(
            "IpamDriver.RequestPool",
            pool("10.1.0.0/24", "10.2.0.0/25", false),
            "not within",
        )?;
        refused(
            "IpamDriver.RequestPool",
            json!({ "Options": { "netwrok": "x" } }),
            "--ipam-opt netwrok is not known",
        )?;
        let address = |address: &str, mac: &str| json!({ "PoolID": blue.pools[0].0, "Address": address, "Options": { MAC: mac } });
        refused(
            "IpamDriver.RequestAddress",
            json!({ "PoolID": "../../etc" }),
            "gave no pool",
        )?;
        refused(
            "IpamDriver.RequestAddress",
            address("10.2.0.1", "02:42:00:00:00:01"),
            "not in 10.1.0.0/24",
        )?;
        refused(
            "IpamDriver.RequestAddress",
            address("10.1.0.1", "02:42:00:00:00:01"),
            "gateway",
        )?;
        refused(
            "IpamDriver.RequestAddress",
            address("", "ff:ff:ff:ff:ff:ff"),
            "--mac-address",
        )?;
        refused(
            "IpamDriver.RequestAddress",
            json!({ "PoolID": blue.pools[0].0 }),
            "MAC address",
        )?;
        let endpoint = |network: &str, endpoint: &str, address: &str| json!({ "NetworkID": network, "EndpointID": endpoint, "Interface": { "Address": address, "MacAddress": "02:42:00:00:00:02" } });
        refused(
            "NetworkDriver.CreateEndpoint",
            endpoint(&id(9), &id(2), "10.1.0.9/24"),
            "does not know Docker's network",
        )?;
        refused(
            "NetworkDriver.CreateEndpoint",
            endpoint(&blue.id, "../x", "10.1.0.9/24"),
            "no identifier",
        )?;
        refused(
            "NetworkDriver.CreateEndpoint",
            endpoint(&blue.id, &id(2), "x"),
            "no address",
        )?;
        refused(
            "NetworkDriver.CreateEndpoint",
            endpoint(&blue.id, &id(2), "10.9.0.9/24"),
            "10.9.0.9",
        )?;
        refused("NetworkDriver.Join", blue.of(3), "does not know Docker's endpoint")?;
        refused(
            "NetworkDriver.CreateNetwork",
            json!({ "NetworkID": "a/b" }),
            "no identifier",
        )?;
        let option = |options: Value| json!({ "NetworkID": id(5), "Options": { GENERIC: options } });
        refused(
            "NetworkDriver.CreateNetwork",
            option(json!({ "colour": "blue" })),
            "-o colour is not known",
        )?;
        refused(
            "NetworkDriver.CreateNetwork",
            option(json!({ "network": "blue", "vni": "1" })),
            "exists already, with vni",
        )?;
        blue.delete(&plugin)?;
        nothing_is_left(&cluster, &[&plugin])
    })
}

#[test]
fn docker_networks_are_shared_by_nodes_without_collisions() -> Result<()> {
    require!(Root, Daemons, Docker);
    Topology::run("docker sharing", |t| {
        let cluster = Cluster::start(t, &Options::default())?;
        let plugins = [Plugin::start(&cluster, 0, &[])?, Plugin::start(&cluster, 1, &[])?];
        let blue = [Net::blue(&plugins[0], 1)?, Net::blue(&plugins[1], 2)?];
        let mut seen = BTreeSet::new();
        for number in 0..6 {
            let node = number as usize % 2;
            seen.extend(blue[node].endpoint(&plugins[node], number)?);
        }
        ensure!(seen.len() == 12, "an address was given twice: {seen:?}");
        // A node that asks for other subnets is told which there are; without any, it has those that there are.
        let other = Net::create(
            &plugins[0],
            3,
            &["10.7.0.0/24"],
            json!({ "network": "blue" }),
            json!({}),
        );
        let words = other.err().context("other subnets are refused")?.to_string();
        ensure!(words.contains("--subnet 10.1.0.0/24 would be right"), "{words}");
        let named = json!({ "network": "blue" });
        let same = Net::create(&plugins[0], 4, &["v4", "v6"], json!({}), named)?;
        ensure!(
            same.pools[0].1 == "10.1.0.0/24" && same.pools[1].1 == "fd00:1::/64",
            "{:?}",
            same.pools
        );
        same.delete(&plugins[0])?;
        // Wished for by two, an address is whose was first.
        let taken = |address: &str, mac: &str, node: usize| blue[node].address(&plugins[node], 0, mac, address);
        ensure!(taken("10.1.0.99", "02:42:00:00:01:01", 0)? == "10.1.0.99/24");
        let words = taken("10.1.0.99", "02:42:00:00:01:02", 1)
            .err()
            .context("taken twice")?
            .to_string();
        ensure!(
            words.contains("10.1.0.99") && words.contains("docker-024200000101"),
            "{words}"
        );
        blue[0].give_back(&plugins[0], &["10.1.0.99/24".to_owned()])?;
        // Whoever uses Docker's own address management collides, and is told what to do.
        let of_docker = json!({ "AddressSpace": "LocalDefault", "Pool": "10.3.0.0/24", "Gateway": "10.3.0.1/24" });
        for (number, plugin) in (30..).zip(&plugins) {
            let options = json!({ GENERIC: { "network": "green" } });
            let request = json!({ "NetworkID": id(number), "Options": options, "IPv4Data": [of_docker] });
            plugin.call("NetworkDriver.CreateNetwork", &request)?;
        }
        let own = |number: u32| json!({ "NetworkID": id(number), "EndpointID": id(number + 10), "Interface": { "Address": "10.3.0.2/24", "MacAddress": "" } });
        let made = plugins[0].call("NetworkDriver.CreateEndpoint", &own(30))?;
        ensure!(!text(&made["Interface"], "MacAddress").is_empty(), "{made}");
        let words = plugins[1].refused("NetworkDriver.CreateEndpoint", &own(31))?;
        ensure!(words.contains("--ipam-driver vrouter"), "{words}");
        plugins[0].call("NetworkDriver.DeleteEndpoint", &json!({ "EndpointID": id(40) }))?;
        for (number, plugin) in (30..).zip(&plugins) {
            plugin.call("NetworkDriver.DeleteNetwork", &json!({ "NetworkID": id(number) }))?;
        }
        // The first to leave leaves the network to the other.
        for number in 0..6_u32 {
            let node = number as usize % 2;
            plugins[node].call("NetworkDriver.DeleteEndpoint", &blue[node].of(number))?;
        }
        blue[0].delete(&plugins[0])?;
        ensure!(networks(&cluster)? == ["blue"]);
        blue[1].delete(&plugins[1])?;
        nothing_is_left(&cluster, &[&plugins[0], &plugins[1]])
    })
}

#[test]
fn docker_pools_ranges_and_reserved_addresses_are_as_asked_for() -> Result<()> {
    require!(Root, Daemons, Docker);
    Topology::run("docker pools", |t| {
        let cluster = Cluster::start(t, &one_node())?;
        cluster.routed_network("people", 2, Encapsulation::MplsUdp)?;
        let plugin = Plugin::start(&cluster, 0, &["--pool-v4", "10.2.0.0/22"])?;
        // A pool of its own, beside what others have.
        let own = Net::create(&plugin, 1, &["v4", "v6"], json!({}), json!({}))?;
        ensure!(
            own.pools[0].1 == "10.2.1.0/24" && own.pools[1].1 == "fd76:726f:7574::/64",
            "{:?}",
            own.pools
        );
        let next = Net::create(&plugin, 2, &["v4"], json!({ "network": "next" }), json!({}))?;
        ensure!(next.pools[0].1 == "10.2.2.0/24", "{:?}", next.pools);
        own.delete(&plugin)?;
        next.delete(&plugin)?;
        // A network of somebody else's is joined, and stays.
        let joined = Net::create(&plugin, 3, &["v4", "v6"], json!({}), json!({ "network": "people" }))?;
        let addresses = joined.endpoint(&plugin, 3)?;
        ensure!(
            addresses[0].ends_with("/24") && addresses[1].ends_with("/64"),
            "{addresses:?}"
        );
        plugin.call("NetworkDriver.DeleteEndpoint", &joined.of(3))?;
        joined.delete(&plugin)?;
        ensure!(networks(&cluster)? == ["people"]);
        cluster.vrctl(None, &["subnet", "delete", "people/v4"])?;
        cluster.vrctl(None, &["subnet", "delete", "people/v6"])?;
        cluster.vrctl(None, &["network", "delete", "people"])?;
        // --ip-range and --aux-address.
        let request = json!({ "Pool": "10.4.0.0/24", "SubPool": "10.4.0.64/30", "Options": {} });
        let pool = plugin.call("IpamDriver.RequestPool", &request)?;
        let pool = text(&pool, "PoolID").to_owned();
        let auxiliary = json!({ "PoolID": pool, "Address": "10.4.0.65" });
        ensure!(text(&plugin.call("IpamDriver.RequestAddress", &auxiliary)?, "Address") == "10.4.0.65/24");
        let data = json!({ "AddressSpace": "vrouter", "Pool": "10.4.0.0/24", "Gateway": "10.4.0.1/24", "AuxAddresses": { "printer": "10.4.0.65/24" } });
        let request =
            json!({ "NetworkID": id(4), "Options": { GENERIC: { "network": "ranged" } }, "IPv4Data": [data] });
        plugin.call("NetworkDriver.CreateNetwork", &request)?;
        let ranged = Net {
            id: id(4),
            pools: vec![(pool, "10.4.0.0/24".to_owned())],
        };
        let mut given = Vec::new();
        for number in 0..3_u32 {
            given.push(ranged.address(&plugin, 0, &format!("02:42:00:00:02:{number:02x}"), "")?);
        }
        ensure!(given == ["10.4.0.64/24", "10.4.0.66/24", "10.4.0.67/24"], "{given:?}");
        let words = ranged
            .address(&plugin, 0, "02:42:00:00:02:09", "")
            .err()
            .context("used up")?
            .to_string();
        ensure!(words.contains("no address is left of --ip-range"), "{words}");
        let words = ranged
            .address(&plugin, 0, "02:42:00:00:02:09", "10.4.0.65")
            .err()
            .context("aux")?
            .to_string();
        ensure!(words.contains("10.4.0.65"), "{words}");
        for address in given {
            ranged.give_back(&plugin, &[address])?;
        }
        ranged.delete(&plugin)?;
        nothing_is_left(&cluster, &[&plugin])
    })
}

/// Dead, and hanging: the plugin answers in time, remembers what was to be done, over its own death, and does it.
#[test]
fn docker_is_answered_in_time_while_control_is_away_and_nothing_is_forgotten() -> Result<()> {
    require!(Root, Daemons, Docker);
    Topology::run("docker without control", |t| {
        let mut cluster = Cluster::start(t, &one_node())?;
        let mut patient = Plugin::start(&cluster, 0, &[])?;
        let blue = Net::blue(&patient, 1)?;
        let addresses = [blue.endpoint(&patient, 1)?, blue.endpoint(&patient, 2)?];
        blue.address(&patient, 0, "02:42:00:00:00:99", "")?;
        patient.daemon.stop()?;
        let mut plugin = Plugin::prompt(&cluster, 0, &[])?;

        let control = cluster.control.process().context("control runs")?;
        let signal = |signal: &str| cluster.control_netns.sh(&format!("kill -{signal} {control}")).map(drop);
        signal("STOP")?;
        refusals(&plugin, &blue)?;
        plugin.call("NetworkDriver.Leave", &blue.of(1))?;
        plugin.call("NetworkDriver.DeleteEndpoint", &blue.of(1))?;
        blue.give_back(&plugin, &addresses[0])?;
        signal("CONT")?;
        wait::until("the endpoint to be gone", || {
            let left = endpoints(&cluster)?;
            ensure!(left.iter().all(|e| e.mac != "02:42:00:00:00:01"), "{left:?}");
            Ok(())
        })?;

        cluster.control.kill9()?;
        refusals(&plugin, &blue)?;
        let info = plugin.call("NetworkDriver.EndpointOperInfo", &blue.of(2))?;
        ensure!(info["Value"]["vrouter.network"] == "blue", "{info}");
        plugin.call("NetworkDriver.RevokeExternalConnectivity", &blue.of(2))?;
        plugin.call("NetworkDriver.Leave", &blue.of(2))?;
        plugin.call("NetworkDriver.DeleteEndpoint", &blue.of(2))?;
        ensure!(links(&cluster, 0)?.is_empty(), "the link needs no control to go");
        blue.give_back(&plugin, &addresses[1])?;
        let reserved = json!({ "PoolID": blue.pools[0].0, "Address": "10.1.0.4" });
        plugin.call("IpamDriver.ReleaseAddress", &reserved)?;
        blue.delete(&plugin)?;
        // It dies with what it has to remember.
        plugin.daemon.kill9()?;
        plugin.daemon.restart()?;
        plugin.wait_serving()?;
        ensure!(!plugin.records("endpoints")?.is_empty() && !plugin.records("networks")?.is_empty());
        cluster.control.restart()?;
        nothing_is_left(&cluster, &[&plugin])
    })
}

/// What cannot be done without control is refused, each in [`vrouter_tests::docker::ANSWER`].
fn refusals(plugin: &Plugin, blue: &Net) -> Result<()> {
    let interface = json!({ "Address": "10.1.0.77/24", "MacAddress": "02:42:00:00:00:77" });
    let requests = [
        ("IpamDriver.RequestPool", json!({ "Pool": "10.9.0.0/24" })),
        (
            "IpamDriver.RequestAddress",
            json!({ "PoolID": blue.pools[0].0, "Options": { MAC: "02:42:00:00:00:55" } }),
        ),
        (
            "NetworkDriver.CreateNetwork",
            json!({ "NetworkID": id(77), "Options": {} }),
        ),
        (
            "NetworkDriver.CreateEndpoint",
            json!({ "NetworkID": blue.id, "EndpointID": id(78), "Interface": interface }),
        ),
        ("NetworkDriver.Join", blue.of(2)),
    ];
    for (request, body) in requests {
        let words = plugin.refused(request, &body)?;
        ensure!(words.contains("control"), "{request}: {words}");
    }
    Ok(())
}

/// Whatever was half-done when dockerd or the plugin died is cleared, and named by the audit if nobody clears it.
#[test]
fn docker_leaves_no_orphans_whoever_dies() -> Result<()> {
    require!(Root, Daemons, Docker);
    Topology::run("docker orphans", |t| {
        let cluster = Cluster::start(t, &one_node())?;
        let mut plugin = Plugin::start(&cluster, 0, &["--forget-after", "2"])?;
        let blue = Net::blue(&plugin, 1)?;
        // Dockerd asked for addresses, and never for an endpoint.
        blue.address(&plugin, 0, "02:42:00:00:00:01", "")?;
        blue.address(&plugin, 1, "02:42:00:00:00:01", "")?;
        ensure!(
            endpoints(&cluster)?.len() == 1,
            "both addresses are kept by one endpoint"
        );
        plugin.daemon.kill9()?;
        plugin.daemon.restart()?;
        plugin.wait_serving()?;
        wait::until("the addresses to be given back", || {
            ensure!(endpoints(&cluster)?.is_empty() && plugin.records("endpoints")?.is_empty());
            Ok(())
        })?;
        // The plugin dies for good: whoever looks is told.
        blue.address(&plugin, 0, "02:42:00:00:00:02", "")?;
        plugin.daemon.kill9()?;
        let mut forgotten = endpoints(&cluster)?.pop().context("it is kept")?;
        let since: u64 = forgotten.labels["vrouter.reserved-since"].parse()?;
        ensure!(audit(&cluster)?.is_empty(), "young reservations are nobody's business");
        forgotten
            .labels
            .insert("vrouter.reserved-since".to_owned(), (since - 1000).to_string());
        let label = format!("vrouter.reserved-since={}", since - 1000);
        cluster.vrctl(
            None,
            &[
                "endpoint",
                "update",
                &format!("blue/{}", forgotten.name),
                "--label",
                &label,
            ],
        )?;
        let findings = audit(&cluster)?;
        let named = |finding: &String| finding.contains(&forgotten.name) && finding.contains("keeps 10.1.0.");
        ensure!(findings.len() == 1 && findings.iter().all(named), "{findings:?}");
        plugin.daemon.restart()?;
        plugin.wait_serving()?;
        wait::until("the audit to be content", || {
            let findings = audit(&cluster)?;
            ensure!(findings.is_empty(), "{findings:?}");
            Ok(())
        })?;
        // Somebody deletes what a container needs: it is there again. A link without endpoint goes, and so does an endpoint without link.
        let addresses = blue.endpoint(&plugin, 3)?;
        let kept = endpoints(&cluster)?.pop().context("it is there")?;
        let request = DeleteEndpointRequest {
            network: "blue".to_owned(),
            name: kept.name.clone(),
        };
        cluster.api.call(async |mut c| c.delete_endpoint(request).await)?;
        let netns = &cluster.compute(0)?.node.netns;
        netns.sh(
            "ip link add vrorphan type veth peer name vrorphan2; ip link set vrorphan alias 'vrouter-docker x/y'",
        )?;
        plugin.daemon.kill9()?;
        plugin.daemon.restart()?;
        plugin.wait_serving()?;
        wait::until("all to be right again", || {
            let now = endpoints(&cluster)?;
            let [again] = now.as_slice() else { bail!("{now:?}") };
            ensure!(
                again.addresses == kept.addresses && again.mac == kept.mac && again.interface == kept.interface,
                "{again:?}"
            );
            let links = links(&cluster, 0)?;
            ensure!(
                !links.contains("vrorphan") && links.contains(&kept.interface),
                "{links}"
            );
            Ok(())
        })?;
        ensure!(addresses[0].parse::<IpAddr>().is_err(), "with prefix length");
        // Its records are lost while a container runs: they are made again, for they are known to control.
        plugin.daemon.kill9()?;
        std::fs::remove_dir_all(plugin.state.join("endpoints"))?;
        plugin.daemon.restart()?;
        plugin.wait_serving()?;
        wait::until("the record to be made again", || {
            ensure!(plugin.records("endpoints")?.len() == 1);
            Ok(())
        })?;
        plugin.call("NetworkDriver.DeleteEndpoint", &blue.of(3))?;
        blue.delete(&plugin)?;
        nothing_is_left(&cluster, &[&plugin])
    })
}

/// Many at a time, again and again: nothing is left, and no two have the same.
#[test]
fn docker_many_containers_at_a_time_come_and_go() -> Result<()> {
    require!(Root, Daemons, Docker);
    Topology::run("docker crowd", |t| {
        let cluster = Cluster::start(t, &one_node())?;
        let plugin = Plugin::start(&cluster, 0, &[])?;
        let blue = Net::blue(&plugin, 1)?;
        let plugin = &plugin;
        std::thread::scope(|scope| {
            let crowd: Vec<_> = (0..8_u32)
                .map(|lane| {
                    let blue = &blue;
                    scope.spawn(move || -> Result<()> {
                        for round in 0..10_u32 {
                            let number = lane * 10 + round;
                            let addresses = blue.endpoint(plugin, number)?;
                            plugin.call("NetworkDriver.DeleteEndpoint", &blue.of(number))?;
                            blue.give_back(plugin, &addresses)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            crowd.into_iter().try_for_each(|lane| match lane.join() {
                Ok(done) => done,
                Err(_) => bail!("a thread panicked"),
            })
        })?;
        blue.delete(plugin)?;
        nothing_is_left(&cluster, &[plugin])
    })
}
