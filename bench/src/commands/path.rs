//! Opens the ports of a command line.

use vrouter_bench::{
    linux::{Homed, Interface, ReceivePort, TransmitPort, within},
    traffic::Traffic,
};

use super::Failure;
use crate::cli::{PathArgs, ReceivePortArgs, TrafficArgs};

/// The ports and the traffic of a measurement.
pub(super) struct Path {
    pub(super) senders: Vec<Homed<TransmitPort>>,
    pub(super) receiver: Homed<ReceivePort>,
    pub(super) traffic: Traffic,
}

impl Path {
    pub(super) fn open(args: &PathArgs) -> Result<Self, Failure> {
        let (tx_netns, rx_netns) = (args.tx_netns.as_deref(), args.rx_netns.as_deref());
        if args.tx == args.rx && tx_netns == rx_netns {
            return Self::open_both_ways(args);
        }
        // The receiver first: what is wrong with it is told before anything is sent.
        let receiver = open_receiver(&args.rx, rx_netns, &args.port)?;
        let interface = within(tx_netns, || Interface::find(&args.tx))?;
        let traffic = args.traffic.traffic(&interface)?;
        Ok(Self {
            senders: open_senders(&interface, tx_netns, &args.traffic, traffic.longest())?,
            receiver,
            traffic,
        })
    }

    /// One interface, one queue, one socket.
    fn open_both_ways(args: &PathArgs) -> Result<Self, Failure> {
        if args.traffic.senders > 1 {
            return Err(Failure::SharedSenders(args.traffic.senders));
        }
        let netns = args.tx_netns.as_deref();
        let interface = within(netns, || Interface::find(&args.tx))?;
        let traffic = args.traffic.traffic(&interface)?;
        let (queue, mode) = (args.traffic.queue, args.port.mode.into());
        let both = within(netns, || {
            ReceivePort::open_both_ways(&interface, queue, mode, args.port.busy, traffic.longest())
        })?;
        let (sender, receiver) = both.split().map_err(Failure::Descriptors)?;
        ready(&args.rx, &receiver);
        Ok(Self {
            senders: vec![sender],
            receiver,
            traffic,
        })
    }
}

/// Also tells whoever started us that packets may be sent now.
fn ready(interface: &str, port: &ReceivePort) {
    eprintln!(
        "pktgen: receiving on {interface}, {} mode, queues: {}",
        port.mode(),
        port.queues()
    );
}

pub(super) fn open_receiver(
    interface: &str,
    netns: Option<&str>,
    args: &ReceivePortArgs,
) -> Result<Homed<ReceivePort>, Failure> {
    let port = within(netns, || {
        let interface = Interface::find(interface)?;
        ReceivePort::open(&interface, args.receive_queue, args.mode.into(), args.busy)
    })?;
    ready(interface, &port);
    Ok(port)
}

/// A port per sender, on queues that follow each other.
pub(super) fn open_senders(
    interface: &Interface,
    netns: Option<&str>,
    args: &TrafficArgs,
    frame_len: usize,
) -> Result<Vec<Homed<TransmitPort>>, Failure> {
    let queues = args.queue..args.queue.saturating_add(args.senders);
    let open = |queue| {
        within(netns, || {
            TransmitPort::open(interface, queue, frame_len, args.zero_copy)
        })
    };
    Ok(queues.map(open).collect::<Result<_, _>>()?)
}
