//! Groups.

use super::{fixture::*, *};

fn group(name: &str, labels: &[(&str, &str)]) -> pb::Group {
    pb::Group {
        name: name.into(),
        match_labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_group_lives_from_create_to_delete() {
    let mut house = two_networks().await;
    let made = house.group(group("web", &[("app", "web")])).await.unwrap();
    assert_eq!((made.number, made.members), (1, 1));
    assert_eq!(
        house.group(group("web", &[("app", "web")])).await.unwrap(),
        made,
        "idempotent"
    );
    assert_eq!(
        house.group(made.clone()).await.unwrap(),
        made,
        "what was read is the same wish"
    );
    refused(
        house.group(group("web", &[("app", "db")])).await,
        Code::AlreadyExists,
        "group.name",
        "another match_labels",
    );
    let all = pb::Group {
        groups: vec!["web".into()],
        endpoints: vec!["red/cache".into()],
        ..group("all", &[])
    };
    let all = house.group(all).await.unwrap();
    assert_eq!((all.number, all.members), (2, 2));

    // Endpoints come and go: members follow.
    house.labelled("red", "web-2", "app", "web").await;
    let found = house.get_group("all").await.unwrap();
    assert_eq!((found.members, found.revision), (3, all.revision));
    let blue_only = pb::Group {
        networks: vec!["blue".into()],
        ..group("web", &[])
    };
    let update = pb::UpdateGroupRequest {
        group: Some(blue_only),
        update_mask: mask(&["networks"]),
        allow_unknown_labels: false,
    };
    let updated = house.client.update_group(update).await.unwrap().into_inner();
    assert_eq!(
        (updated.members, updated.match_labels.len()),
        (1, 1),
        "only what the mask names"
    );

    refused(
        house.delete_group("web").await,
        Code::FailedPrecondition,
        "name",
        "group web is used by group all",
    );
    let mut house = house.restart().await;
    assert_eq!(
        house.get_group("all").await.unwrap().members,
        2,
        "it survives a restart"
    );
    assert!(house.delete_group("all").await.unwrap());
    assert!(house.delete_group("web").await.unwrap());
    assert!(!house.delete_group("web").await.unwrap());
    assert_eq!(house.group(group("web", &[("app", "web")])).await.unwrap().number, 3);
    house.clean().await;
}

#[tokio::test]
async fn circles_are_named() {
    let mut house = two_networks().await;
    let inside = |name: &str, groups: &[&str]| pb::Group {
        groups: groups.iter().map(ToString::to_string).collect(),
        ..group(name, &[])
    };
    house.group(inside("a", &[])).await.unwrap();
    house.group(inside("b", &["a"])).await.unwrap();
    house.group(inside("c", &["b"])).await.unwrap();
    let update = pb::UpdateGroupRequest {
        group: Some(inside("a", &["c"])),
        update_mask: None,
        allow_unknown_labels: false,
    };
    refused(
        house.client.update_group(update).await,
        Code::InvalidArgument,
        "group.groups",
        "a contains c contains b contains a",
    );
    let itself = pb::UpdateGroupRequest {
        group: Some(inside("a", &["a"])),
        update_mask: None,
        allow_unknown_labels: false,
    };
    refused(
        house.client.update_group(itself).await,
        Code::InvalidArgument,
        "group.groups",
        "a contains a",
    );
    // One that does not exist yet cannot be named, not even by itself.
    refused(
        house.group(inside("d", &["d"])).await,
        Code::NotFound,
        "group.groups[0]",
        "no group d",
    );
}

#[tokio::test]
async fn labels_that_nobody_has_are_refused_unless_allowed() {
    let mut house = two_networks().await;
    let cases = [
        (
            group("g", &[("ap", "web")]),
            "group.match_labels",
            "no endpoint has a label \"ap\": there are app, tier; did you mean app?",
        ),
        (
            group("g", &[("app", "wbe")]),
            "group.match_labels",
            "no endpoint has \"wbe\" for its label \"app\": there are cache, db, web; did you mean web?",
        ),
        (
            pb::Group {
                match_expressions: vec![pb::LabelRequirement {
                    key: "app".into(),
                    operator: pb::label_requirement::Operator::NotIn.into(),
                    values: vec!["chache".into()],
                }],
                ..group("g", &[])
            },
            "group.match_expressions[0]",
            "did you mean cache?",
        ),
        (
            pb::Group {
                match_expressions: vec![pb::LabelRequirement {
                    key: "colour".into(),
                    operator: pb::label_requirement::Operator::Exists.into(),
                    values: vec![],
                }],
                ..group("g", &[])
            },
            "group.match_expressions[0]",
            "no endpoint has a label \"colour\"",
        ),
    ];
    for (wish, field, says) in cases {
        refused(house.group(wish.clone()).await, Code::InvalidArgument, field, says);
        let allowed = pb::CreateGroupRequest {
            group: Some(wish),
            allow_unknown_labels: true,
        };
        house.client.create_group(allowed).await.unwrap();
        assert!(house.delete_group("g").await.unwrap());
    }
    // What is there already may be sent again when nobody has the label any more.
    let made = house.group(group("g", &[("app", "cache")])).await.unwrap();
    house.delete_endpoint("red", "cache").await.unwrap();
    assert_eq!(
        house.group(group("g", &[("app", "cache")])).await.unwrap().uid,
        made.uid
    );
    let update = pb::UpdateGroupRequest {
        group: Some(group("g", &[("app", "cache"), ("tier", "none")])),
        update_mask: None,
        allow_unknown_labels: false,
    };
    refused(
        house.client.update_group(update).await,
        Code::InvalidArgument,
        "group.match_labels",
        "no endpoint has \"none\" for its label \"tier\"",
    );
}

#[tokio::test]
async fn bad_groups_are_refused() {
    let mut house = two_networks().await;
    let expression = |operator: i32, values: &[&str]| pb::Group {
        match_expressions: vec![pb::LabelRequirement {
            key: "app".into(),
            operator,
            values: values.iter().map(ToString::to_string).collect(),
        }],
        ..group("g", &[])
    };
    let cases = [
        (group("", &[]), Code::InvalidArgument, "group.name", "empty"),
        (
            expression(0, &[]),
            Code::InvalidArgument,
            "group.match_expressions[0].operator",
            "missing",
        ),
        (
            expression(1, &[]),
            Code::InvalidArgument,
            "group.match_expressions[0].values",
            "empty",
        ),
        (
            expression(3, &["web"]),
            Code::InvalidArgument,
            "group.match_expressions[0].values",
            "take none",
        ),
        (
            pb::Group {
                networks: vec!["blue".into()],
                ..group("g", &[])
            },
            Code::InvalidArgument,
            "group.networks",
            "no label is asked for",
        ),
        (
            pb::Group {
                networks: vec!["bleu".into()],
                ..group("g", &[("app", "web")])
            },
            Code::NotFound,
            "group.networks[0]",
            "did you mean blue?",
        ),
        (
            pb::Group {
                endpoints: vec!["blue/wep".into()],
                ..group("g", &[])
            },
            Code::NotFound,
            "group.endpoints[0]",
            "did you mean blue/web?",
        ),
        (
            pb::Group {
                endpoints: vec!["blue/cache".into()],
                ..group("g", &[])
            },
            Code::NotFound,
            "group.endpoints[0]",
            "did you mean red/cache?",
        ),
        (
            pb::Group {
                endpoints: vec!["bleu/web".into()],
                ..group("g", &[])
            },
            Code::NotFound,
            "group.endpoints[0]",
            "did you mean blue?",
        ),
        (
            pb::Group {
                endpoints: vec!["web".into()],
                ..group("g", &[])
            },
            Code::InvalidArgument,
            "group.endpoints[0]",
            "NETWORK/NAME",
        ),
        (
            pb::Group {
                endpoints: vec!["blue/web".into(), "blue/web".into()],
                ..group("g", &[])
            },
            Code::InvalidArgument,
            "group.endpoints[1]",
            "twice",
        ),
    ];
    for (wish, code, field, says) in cases {
        refused(house.group(wish).await, code, field, says);
    }
    refused(house.get_group("g").await, Code::NotFound, "name", "no group g");
    refused(
        house.client.create_group(pb::CreateGroupRequest::default()).await,
        Code::InvalidArgument,
        "group",
        "missing",
    );
    let update = pb::UpdateGroupRequest {
        group: Some(group("g", &[])),
        update_mask: mask(&["members"]),
        allow_unknown_labels: false,
    };
    refused(
        house.client.update_group(update).await,
        Code::InvalidArgument,
        "update_mask",
        "\"members\"",
    );
    house.clean().await;
}
