//! An orchestrator of one's own, whole: it wishes for a network, subnets, endpoints, groups and a policy, watches until all is programmed,
//! goes on when vrouter-control restarts, and takes everything away at the end.
//!
//! What it does is told on standard output, one JSON object a line, for whoever configures the containers. It ends, and cleans up, on SIGTERM, SIGINT,
//! or when its standard input ends.

mod control;
mod wishes;

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use vrouter_proto::control::{
    AuditRequest, ListEndpointsRequest, ObjectKind, WatchRequest,
    watch_event::{Object, Type},
};

use self::{control::Control, wishes::Workload};

/// An orchestrator for workloads that exist already: a link on each node, with the workload behind it.
#[derive(Debug, Parser)]
struct Options {
    /// Where vrouter-control listens: unix:/path or http://host:port
    #[arg(long, default_value = "unix:/run/vrouter/control.sock", env = "VROUTER_CONTROL")]
    control: String,
    /// Name of the network
    #[arg(long, default_value = "shop")]
    network: String,
    /// A workload (repeatable): its name, its role, the node it is on, and its link's end there
    #[arg(long = "workload", value_name = "NAME=ROLE@NODE/INTERFACE", required = true)]
    workloads: Vec<Workload>,
}

/// How often it is asked whether nodes have what is wished.
const LOOK: Duration = Duration::from_millis(500);

fn tell(event: &Value) {
    println!("{event}");
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let control = Control::new(&options.control)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = end_of_input() => {}
        }
    };
    let work = async {
        wishes::make(&control, &options.network, &options.workloads).await?;
        watch(&control, &options).await
    };
    // Whatever was made is taken away, also after half of the work.
    let worked = tokio::select! {
        worked = work => worked,
        () = told => Ok(()),
    };
    wishes::take_away(&control, &options.network, &options.workloads).await?;
    let audit = control.call(AuditRequest {}, |mut client, request| async move {
        client.audit(request).await
    });
    let audit = audit.await.context("audit")?;
    tell(&json!({"event": "clean", "findings": audit.findings}));
    worked
}

/// Standard input is read by a thread of its own: a terminal's cannot be read without waiting.
async fn end_of_input() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = sender.send(());
    });
    let _ = receiver.await;
}

/// Follows our endpoints for ever. A stream that breaks off is begun again; it then first tells of all that is there, so nothing is missed.
async fn watch(control: &Control, options: &Options) -> Result<()> {
    let mut pause = Duration::from_millis(100);
    let mut away = false;
    loop {
        if let Err(error) = follow(control, options, &mut away, &mut pause).await
            && !away
        {
            tell(&json!({"event": "control", "state": "away", "why": error.to_string()}));
            away = true;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// One stream, from its beginning to its end.
async fn follow(control: &Control, options: &Options, away: &mut bool, pause: &mut Duration) -> Result<()> {
    let request = WatchRequest {
        kinds: vec![ObjectKind::Endpoint.into()],
    };
    // Without a deadline: it is meant to last.
    let mut events = control.client().watch(request).await?.into_inner();
    let mut told = false;
    loop {
        // Events tell of wishes. What becomes of them on the nodes is asked for, until all is as wished.
        let next = if told {
            Ok(events.message().await)
        } else {
            tokio::time::timeout(LOOK, events.message()).await
        };
        if let Ok(event) = next {
            let event = event?.context("the stream has ended")?;
            *pause = Duration::from_millis(100);
            if std::mem::take(away) {
                tell(&json!({"event": "control", "state": "back"}));
            }
            match (event.r#type(), event.object) {
                // We were too slow, and must look from the start.
                (Type::Lost, _) => return Ok(()),
                (Type::Synced, _) => {}
                (_, Some(Object::Endpoint(endpoint))) if endpoint.network == options.network => {}
                // Of others, or of kinds that later versions have.
                _ => continue,
            }
        }
        let request = ListEndpointsRequest {
            network: options.network.clone(),
            ..Default::default()
        };
        let list = control.call(request, |mut client, request| async move {
            client.list_endpoints(request).await
        });
        let endpoints = list.await?.endpoints;
        for endpoint in endpoints.iter().filter(|endpoint| !endpoint.error.is_empty()) {
            tell(&json!({"event": "refused", "name": endpoint.name, "why": endpoint.error}));
        }
        let ready = options.workloads.iter().all(|workload| {
            let mut endpoints = endpoints.iter();
            endpoints.any(|endpoint| endpoint.name == workload.name && endpoint.programmed)
        });
        if ready != told {
            tell(&json!({"event": if ready { "ready" } else { "unready" }}));
            told = ready;
        }
    }
}
