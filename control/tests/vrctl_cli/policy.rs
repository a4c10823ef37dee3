//! Groups, policies, routers, floating addresses, services, limits and mirrors: what the words of the command line become.

use crate::harness::House;

/// What the server was asked for, spelled out.
fn wish(house: &House) -> String {
    house.control.state().wishes.pop().unwrap()
}

#[test]
fn a_policy_is_spoken_in_rules() {
    let house = House::new();
    let shown = house.ok(&[
        "policy",
        "create",
        "db",
        "--applies-to",
        "db",
        "--isolate-ingress",
        "--rule",
        "web: ingress allow tcp/5432 from group:web,10.9.0.0/16 priority 10 log",
        "--rule",
        "ingress deny icmp/8",
    ]);
    assert!(shown.contains(
        "web: ingress allow tcp/5432 from group:web,10.9.0.0/16 priority 10 log; rule-2: ingress deny icmp/8"
    ));
    let wish = wish(&house);
    for part in [
        "applies_to: \"db\"",
        "isolate_ingress: true",
        "Group(\"web\")",
        "Cidr(\"10.9.0.0/16\")",
        "icmp_type: Some(8)",
    ] {
        assert!(wish.contains(part), "{part} in {wish}");
    }
    house.ok(&["policy", "update", "db", "--add-rule", "new: egress allow udp/53"]);
    assert_eq!(house.control.state().masks.pop().unwrap(), ["rules"]);
    let failure = house.fails(2, &["policy", "create", "db", "--rule", "ingress permit"]);
    assert!(failure.contains("a rule is"), "{failure}");
    let failure = house.fails(1, &["policy", "update", "db", "--remove-rule", "none"]);
    assert!(failure.contains("no rule none"), "{failure}");
}

#[test]
fn a_group_selects_by_labels_names_and_other_groups() {
    let house = House::new();
    house.ok(&[
        "group",
        "create",
        "front",
        "--label",
        "app=web",
        "--require",
        "tier in a,b",
        "--require",
        "!old",
        "--group",
        "more",
        "--endpoint",
        "blue/x",
    ]);
    let wish = wish(&house);
    for part in [
        "\"app\": \"web\"",
        "operator: In",
        "operator: DoesNotExist",
        "groups: [\"more\"]",
        "endpoints: [\"blue/x\"]",
    ] {
        assert!(wish.contains(part), "{part} in {wish}");
    }
    assert_eq!(house.ok(&["group", "delete", "front"]), "group front deleted\n");
}

#[test]
fn routers_floating_addresses_limits_and_mirrors_are_made() {
    let house = House::new();
    house.ok(&[
        "router",
        "create",
        "r1",
        "--network",
        "blue",
        "--network",
        "green",
        "--external",
        "public",
        "--snat",
    ]);
    assert!(
        wish(&house).contains("networks: [\"blue\", \"green\"], external_network: \"public\", translate_sources: true")
    );
    house.ok(&[
        "floatingip",
        "create",
        "f",
        "--network",
        "public",
        "--forward",
        "tcp/8080=blue/web-1:80",
    ]);
    assert!(wish(&house).contains("port: 8080, endpoint: \"blue/web-1\", target_port: 80"));
    house.ok(&[
        "qos",
        "create",
        "gold",
        "--egress",
        "100mbit,burst=64k",
        "--ingress",
        "1gbit,shape",
        "--dscp",
        "46",
    ]);
    let qos = wish(&house);
    assert!(
        qos.contains("bits_per_second: 100000000")
            && qos.contains("burst_bytes: 65536")
            && qos.contains("dscp: Some(46)")
    );
    house.ok(&[
        "mirror",
        "create",
        "m",
        "--endpoint",
        "blue/web-1",
        "--to",
        "erspan:192.0.2.9,session=3",
        "--traffic",
        "tcp/443",
    ]);
    assert!(wish(&house).contains("Erspan(ErspanCollector { address: \"192.0.2.9\", session: 3 })"));
}

#[test]
fn services_show_how_many_backends_are_well() {
    let house = House::new();
    let expected = "\
NAME      ADDRESSES  PORTS        GROUP  HEALTHY  HEALTH CHECK
blue/web  10.1.0.9   tcp/80=8080  web    1/2      -
";
    assert_eq!(house.ok(&["service", "list"]), expected);
    house.ok(&[
        "service",
        "create",
        "blue/db",
        "--port",
        "tcp/5432",
        "--backend",
        "blue/a,weight=3",
        "--backend",
        "10.1.0.7,draining",
        "--health",
        "tcp:5432,fall=2",
    ]);
    let wish = wish(&house);
    for part in [
        "Endpoint(\"blue/a\")",
        "weight: 3",
        "Address(\"10.1.0.7\")",
        "draining: true",
        "kind: \"tcp\", port: 5432",
        "fall: 2",
    ] {
        assert!(wish.contains(part), "{part} in {wish}");
    }
}
