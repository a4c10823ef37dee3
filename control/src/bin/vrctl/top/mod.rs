//! `vrctl top`: what a node does now: ports, flows, drops and workers, again and again.
//!
//! [`frame`] is what happened between two readings, [`model`] what a person has chosen to see of it, [`view`] draws that: none of them knows a terminal or
//! a server. Only this file and [`screen`] do.

mod flows;
mod frame;
mod model;
mod screen;
mod view;

use std::time::{Duration, Instant};

use clap::Args;
use tonic::transport::Channel;
use vrouter_proto::{control as control_api, dataplane as api, dataplane::dataplane_client::DataplaneClient};

use self::{
    frame::{Frame, Reading},
    model::{Model, Wish},
};
use crate::{
    cli::Context,
    connect::{self, Address},
    failure::Failure,
};

/// Flows that are looked at for the busiest, at most.
const FLOWS: u32 = 10_000;

#[derive(Args, Debug)]
#[command(after_help = "\
Keys: 0 all, 1 ports, 2 flows, 3 drops, 4 workers; s sort by the next column, r turn the order round; / filter by name, address or
reason; n next node; space pause; arrows scroll; ? help; q quit. Nodes are those that vrouter-control drives, if it answers.

With -o json: one line for each interval.

Examples:
  vrctl top
  vrctl top --node node2 --interval 5
  vrctl top --once
  vrctl top --count 10 -o json")]
pub(crate) struct Top {
    /// Seconds between two readings
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = crate::telemetry::stats::interval)]
    interval: Duration,
    /// The node to begin with, among those of vrouter-control [default: the one at --dataplane]
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Print one frame as text, and end
    #[arg(long, conflicts_with = "count")]
    once: bool,
    /// With -o json: end after so many lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Only what has this in its name, address or reason
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
}

/// A node that can be looked at.
#[derive(Clone, Debug)]
struct Place {
    /// Empty: not asked yet.
    name: String,
    address: Address,
}

/// The nodes, and the one that is looked at.
struct Nodes {
    places: Vec<Place>,
    at: usize,
    client: Option<DataplaneClient<Channel>>,
}

impl Nodes {
    /// Those that control drives, or the one that the command line names.
    async fn find(context: &Context, wanted: Option<&str>) -> Result<Self, Failure> {
        let own = Place {
            name: String::new(),
            address: context.dataplane_address().clone(),
        };
        let mut places = vec![own];
        let told = async {
            let mut control = context.control().await?;
            let info = control.get_info(control_api::GetInfoRequest {}).await?;
            Ok::<_, Failure>(info.into_inner().dataplanes)
        };
        match told.await {
            Ok(dataplanes) => places.extend(dataplanes.into_iter().filter_map(|dataplane| {
                Some(Place {
                    name: dataplane.node,
                    address: dataplane.address.parse().ok()?,
                })
            })),
            // Without control one node can still be looked at; but not another one by name.
            Err(failure) if wanted.is_some() => return Err(failure),
            Err(_) => {}
        }
        let at = match wanted {
            None => 0,
            Some(wanted) => {
                let found = places.iter().position(|place| place.name == wanted);
                found.ok_or_else(|| Failure::Missing(format!("vrouter-control drives no node named {wanted}")))?
            }
        };
        Ok(Self {
            places,
            at,
            client: None,
        })
    }

    /// On to the next node that is not the one looked at.
    fn next(&mut self) {
        let here = self.places.get(self.at).map(|place| place.address.clone());
        for _ in 0..self.places.len() {
            self.at = (self.at + 1) % self.places.len();
            if self.places.get(self.at).map(|place| &place.address) != here.as_ref() {
                break;
            }
        }
        self.client = None;
    }

    /// Reads all that a frame is made of.
    async fn read(&mut self) -> Result<Reading, Failure> {
        let Some(place) = self.places.get_mut(self.at) else {
            return Err(Failure::Missing("there is no node".to_owned()));
        };
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(connect::dataplane(&place.address).await?),
        };
        let read = async {
            if place.name.is_empty() {
                place.name = client.get_info(api::GetInfoRequest {}).await?.into_inner().node;
            }
            let at = Instant::now();
            let statistics = client.get_statistics(api::GetStatisticsRequest {}).await?.into_inner();
            let request = api::ListFlowsRequest {
                limit: FLOWS,
                ..Default::default()
            };
            let mut chunks = client.list_flows(request).await?.into_inner();
            let mut flows = Vec::new();
            while let Some(chunk) = chunks.message().await? {
                flows.extend(chunk.flows);
            }
            Ok::<_, tonic::Status>(Reading {
                node: place.name.clone(),
                at,
                statistics,
                flows,
            })
        };
        match read.await {
            Ok(reading) => Ok(reading),
            Err(status) => {
                // The next attempt connects anew.
                self.client = None;
                Err(status.into())
            }
        }
    }
}

/// Does what the command asks.
pub(crate) async fn run(top: Top, context: &Context) -> Result<(), Failure> {
    let mut nodes = Nodes::find(context, top.node.as_deref()).await?;
    let mut model = Model::new(top.interval, top.filter.clone());
    if context.output.json() || top.once {
        return print(&top, &mut nodes, &mut model, context).await;
    }
    if !context.output.terminal() {
        let message =
            "top draws on a terminal, which standard output is not; give --once for text or -o json for programs";
        return Err(Failure::Usage(message.to_owned()));
    }
    // A node that cannot be reached at the beginning is an error like any other.
    let mut before = nodes.read().await?;
    let mut screen = screen::Screen::start()?;
    let result = live(&mut screen, &mut nodes, &mut model, &mut before).await;
    screen.end();
    result
}

async fn print(top: &Top, nodes: &mut Nodes, model: &mut Model, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    let mut before = nodes.read().await?;
    let mut shown = 0;
    loop {
        tokio::time::sleep(top.interval).await;
        let now = nodes.read().await?;
        let frame = Frame::new(&before, &now);
        before = now;
        if !output.json() {
            model.show(frame);
            return output.text(&view::text(model));
        }
        if top.once {
            return output.value(&frame);
        }
        output.line(&frame)?;
        shown += 1;
        if top.count.is_some_and(|count| shown >= count) {
            return Ok(());
        }
    }
}

async fn live(
    screen: &mut screen::Screen,
    nodes: &mut Nodes,
    model: &mut Model,
    before: &mut Reading,
) -> Result<(), Failure> {
    model.show(Frame::new(before, before));
    let mut due = tokio::time::Instant::now() + model.interval;
    loop {
        screen.draw(model)?;
        let wish = tokio::select! {
            () = tokio::time::sleep_until(due) => {
                due = tokio::time::Instant::now() + model.interval;
                match nodes.read().await {
                    Ok(now) => {
                        if now.node == before.node {
                            model.show(Frame::new(before, &now));
                        } else {
                            model.show(Frame::new(&now, &now));
                        }
                        *before = now;
                    }
                    // It may come back: what was seen last stays, with the reason.
                    Err(failure) => model.fail(&failure.to_string()),
                }
                continue;
            }
            event = screen.event() => model.handle(&event?),
        };
        match wish {
            Wish::Nothing => {}
            Wish::Quit => return Ok(()),
            Wish::NextNode => {
                nodes.next();
                model.forget();
                due = tokio::time::Instant::now();
            }
        }
    }
}
