//! Those who capture packets. Each capture has a task of its own, which empties the workers' rings and ends with its client, or when a limit
//! is reached. A client that reads slowly loses copies and is told how many.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use vrouter_proto::dataplane as pb;

use super::{convert, handle::Handle, outlet::Answers, service::Stopping, view::View};
use crate::{
    program::problem::Refusal,
    tables::{
        Tables,
        slots::{PortSlot, VrfSlot},
    },
    tap::{Capture, CaptureSpec},
    telemetry::{self, CapturedPacket},
    worker::Running,
};

/// How often rings are emptied. Between two times they hold some megabytes.
const INTERVAL: Duration = Duration::from_millis(5);

/// How often the client is told how many packets there were.
const TOLD: Duration = Duration::from_secs(1);

/// Names are looked up in tables that are at most this old.
const FRESH: Duration = Duration::from_millis(200);

/// Copies taken out of each worker's ring at a time.
const AT_A_TIME: usize = 4096;

/// Bytes of packets from which on a message gets no more.
const MESSAGE: usize = 512 << 10;

/// Messages written ahead of a client.
const AHEAD: usize = 8;

/// What somebody asked for.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) spec: CaptureSpec,
    /// Ports by identifier.
    pub(super) ports: Vec<u32>,
    /// Ports by name.
    pub(super) port_names: Vec<String>,
    /// VRFs by identifier.
    pub(super) vrfs: Vec<u32>,
    /// VRFs by name.
    pub(super) vrf_names: Vec<String>,
    /// Packets after which it ends; 0: never.
    pub(super) packets: u64,
    /// Bytes of copies after which it ends; 0: never.
    pub(super) bytes: u64,
    /// Time after which it ends.
    pub(super) time: Option<Duration>,
}

/// What a capture is about, by what the client said.
#[derive(Debug)]
struct About {
    ports: Vec<u32>,
    vrfs: Vec<u32>,
}

impl About {
    fn is_everything(&self) -> bool {
        self.ports.is_empty() && self.vrfs.is_empty()
    }

    /// Ports come and go: says which slots are meant now.
    fn select(&self, tables: &Tables, capture: &Capture) {
        if self.is_everything() {
            return;
        }
        let ports = tables
            .ports
            .iter()
            .filter_map(|(slot, port)| PortSlot::new(slot).filter(|_| self.ports.contains(&port.id)));
        let vrfs = tables
            .vrfs
            .iter()
            .filter_map(|(slot, vrf)| VrfSlot::new(slot).filter(|_| self.vrfs.contains(&vrf.id)));
        capture.selection().set(ports, vrfs);
    }

    /// By identifiers and names, all of which must be there.
    fn new(tables: &Tables, wish: &Wish) -> Result<Self, Refusal> {
        let ports: Vec<_> = tables.ports.iter().map(|(_, port)| (port.id, &*port.name)).collect();
        let vrfs: Vec<_> = tables.vrfs.iter().map(|(_, vrf)| (vrf.id, &*vrf.name)).collect();
        Ok(Self {
            ports: meant(&ports, ("ports", &wish.ports), ("port_names", &wish.port_names), "port")?,
            vrfs: meant(&vrfs, ("vrfs", &wish.vrfs), ("vrf_names", &wish.vrf_names), "VRF")?,
        })
    }
}

/// The identifiers of what is meant among what there is.
fn meant(
    there: &[(u32, &str)],
    (field, ids): (&'static str, &[u32]),
    (name_field, names): (&'static str, &[String]),
    what: &str,
) -> Result<Vec<u32>, Refusal> {
    if let Some(id) = ids.iter().find(|id| !there.iter().any(|(there, _)| there == *id)) {
        return Err(Refusal::not_found(field, format!("there is no {what} {id} here")));
    }
    let mut meant = ids.to_vec();
    for name in names {
        let exact = there.iter().find(|(_, there)| there == name);
        let mut ends = there
            .iter()
            .filter(|(_, there)| there.rsplit_once('/').is_some_and(|(_, end)| end == name));
        let found = match (exact, ends.next(), ends.next()) {
            (Some((id, _)), ..) | (None, Some((id, _)), None) => *id,
            (None, Some((_, one)), Some((_, other))) => {
                let message = format!("{name:?} may be {one} or {other}: say which");
                return Err(Refusal::not_found(name_field, message));
            }
            (None, None, _) => {
                return Err(Refusal::not_found(
                    name_field,
                    format!("there is no {what} {name:?} here"),
                ));
            }
        };
        meant.push(found);
    }
    Ok(meant)
}

/// Begins a capture.
///
/// # Errors
/// What it is to be about is not there, or there are too many captures.
pub(super) fn begin(
    view: View,
    handle: Handle,
    wish: Wish,
    stopping: Stopping,
) -> Result<Answers<pb::CaptureEvent>, Status> {
    let tables = view.snapshot.tables();
    let about = About::new(tables, &wish)
        .map_err(|refusal| Status::not_found(format!("{}: {}", refusal.field, refusal.message)))?;
    let running = view
        .sources
        .captures
        .begin(wish.spec, |capture| about.select(tables, capture))
        .map_err(|full| Status::resource_exhausted(full.to_string()))?;
    let (client, receiver) = mpsc::channel(AHEAD);
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let teller = Teller {
        offset: i128::try_from(wall.as_nanos()).unwrap_or_default() - i128::from(view.now),
        view,
        about,
        client,
        told_ports: HashSet::new(),
        packets_left: Some(wish.packets).filter(|packets| *packets > 0),
        bytes_left: Some(wish.bytes).filter(|bytes| *bytes > 0),
        told: 0,
    };
    tokio::spawn(tell(teller, handle, running, wish.time, stopping));
    Ok(ReceiverStream::new(receiver))
}

/// The client is gone, or has all that it asked for.
struct Done;

/// Tells one client.
struct Teller {
    view: View,
    about: About,
    /// From the workers' clock to the wall's, nanoseconds.
    offset: i128,
    client: mpsc::Sender<Result<pb::CaptureEvent, Status>>,
    /// Ports that the client knows.
    told_ports: HashSet<u32>,
    packets_left: Option<u64>,
    bytes_left: Option<u64>,
    /// Packets told.
    told: u64,
}

async fn tell(mut teller: Teller, handle: Handle, running: Running, time: Option<Duration>, mut stopping: Stopping) {
    let end = time.map(|time| Instant::now() + time);
    let (mut seen, mut told) = (Instant::now(), Instant::now());
    let mut failed = None;
    // At once, so that the client knows that it has begun.
    let mut done = teller.statistics(running.capture()).await.is_err();
    while !done {
        done = tokio::select! {
            () = teller.client.closed() => break,
            _ = stopping.wait_for(|stopping| *stopping) => {
                failed = Some(Status::from(super::handle::Stopped));
                true
            }
            () = tokio::time::sleep(INTERVAL) => end.is_some_and(|end| Instant::now() >= end),
        };
        if seen.elapsed() > FRESH {
            match handle.view().await {
                Ok(view) => teller.view = view,
                Err(stopped) => {
                    failed = Some(stopped.into());
                    break;
                }
            }
            teller.about.select(teller.view.snapshot.tables(), running.capture());
            seen = Instant::now();
        }
        if teller.packets(running.capture()).await.is_err() {
            break;
        }
        if told.elapsed() > TOLD {
            done |= teller.statistics(running.capture()).await.is_err();
            told = Instant::now();
        }
    }
    // A client that is gone hears nothing of this.
    let _ = teller.statistics(running.capture()).await;
    if let Some(status) = failed {
        let _ = teller.client.send(Err(status)).await;
    }
    let captures = teller.view.sources.captures.clone();
    drop(running);
    drop(teller);
    // What workers still have of it is freed once they have read their mail.
    for _ in 0..100 {
        if !captures.tidy() {
            break;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

impl Teller {
    /// Takes out what is in the rings, and tells it in the order of time.
    async fn packets(&mut self, capture: &Capture) -> Result<(), Done> {
        let mut taken = Vec::new();
        for worker in 0..capture.workers() {
            for _ in 0..AT_A_TIME {
                let mut bytes = Vec::new();
                let Some(record) = capture.take(worker, &mut bytes) else {
                    break;
                };
                taken.push((record, bytes));
            }
        }
        taken.sort_by_key(|(record, _)| record.at);
        let mut packets = Vec::new();
        let mut size = 0;
        for (record, bytes) in taken {
            if self.packets_left == Some(0) {
                break;
            }
            let tables = self.view.snapshot.tables();
            let packet = telemetry::captured(tables, record, bytes);
            let port = tables
                .port(record.port)
                .filter(|port| !self.told_ports.contains(&port.id))
                .map(convert::capture_port);
            if let Some(port) = port {
                self.told_ports.insert(port.id);
                self.send(pb::capture_event::Event::Port(port)).await?;
            }
            size += packet.data.len();
            let len = packet.data.len() as u64;
            packets.push(self.message(packet));
            self.packets_left = self.packets_left.map(|left| left - 1);
            let is_last = self.bytes_left.is_some_and(|left| left <= len);
            self.bytes_left = self.bytes_left.map(|left| left.saturating_sub(len));
            if is_last {
                self.packets_left = Some(0);
            }
            if size >= MESSAGE {
                size = 0;
                self.hand_over(std::mem::take(&mut packets)).await?;
            }
        }
        self.hand_over(packets).await?;
        if self.packets_left == Some(0) {
            Err(Done)
        } else {
            Ok(())
        }
    }

    async fn hand_over(&mut self, packets: Vec<pb::CapturedPacket>) -> Result<(), Done> {
        if packets.is_empty() {
            return Ok(());
        }
        self.told += packets.len() as u64;
        self.send(pb::capture_event::Event::Packets(pb::CapturedPackets { packets }))
            .await
    }

    async fn statistics(&self, capture: &Capture) -> Result<(), Done> {
        let counts = capture.counts();
        self.send(pb::capture_event::Event::Statistics(pb::CaptureStatistics {
            matched: counts.matched,
            sent: self.told,
            lost: counts.lost,
            limited: counts.limited,
        }))
        .await
    }

    async fn send(&self, event: pb::capture_event::Event) -> Result<(), Done> {
        let event = pb::CaptureEvent { event: Some(event) };
        self.client.send(Ok(event)).await.map_err(|_| Done)
    }

    fn message(&self, packet: CapturedPacket) -> pb::CapturedPacket {
        let time = u64::try_from(i128::from(packet.record.at) + self.offset).unwrap_or_default();
        convert::captured_packet(packet, time)
    }
}

#[cfg(test)]
mod tests {

    #[test]
    fn what_is_meant_is_named_whole_or_by_its_end_if_only_one_has_it() {
        let there = [(1, "blue/web"), (2, "red/web"), (3, "blue/db"), (4, "eth1")];
        let meant = |ids: &[u32], names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            super::meant(&there, ("ports", ids), ("port_names", &names), "port")
        };
        assert_eq!(meant(&[3], &["blue/web", "eth1"]).unwrap(), [3, 1, 4]);
        assert_eq!(meant(&[], &["db"]).unwrap(), [3]);
        assert!(
            meant(&[], &["web"])
                .unwrap_err()
                .message
                .contains("blue/web or red/web")
        );
        assert!(
            meant(&[], &["nobody"])
                .unwrap_err()
                .message
                .contains("no port \"nobody\"")
        );
        assert_eq!(meant(&[9], &[]).unwrap_err().field, "ports");
    }
}
