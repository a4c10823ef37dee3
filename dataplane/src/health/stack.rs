//! One TCP connection and all of TCP/IP below it, without I/O: packets go in and come out as bytes, and time is told. smoltcp does
//! the work.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    task::Waker,
    time::Duration,
};

use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{self, Device, DeviceCapabilities, Medium},
    socket::tcp::{ConnectError, RecvError, Socket, SocketBuffer, State},
    time::Instant,
    wire::{HardwareAddress, IpCidr},
};

/// Largest packet that is sent or asked for, bytes: fits any link that carries IPv6.
const MTU: usize = 1280;

/// Bytes received and not yet read.
const RECEIVE: usize = 8192;

/// Bytes written and not yet acknowledged.
const TRANSMIT: usize = 4096;

/// Packets on their way in and out.
#[derive(Debug, Default)]
struct Queues {
    incoming: VecDeque<Box<[u8]>>,
    outgoing: VecDeque<Vec<u8>>,
}

struct Incoming(Box<[u8]>);

impl phy::RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut packet = vec![0; len];
        let result = write(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Queues {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Incoming(packet), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes were.
    Some(usize),
    /// Nothing yet.
    NotYet,
    /// The peer has said all.
    End,
    /// The connection is broken.
    Broken,
}

/// One TCP connection.
pub(super) struct Stack {
    interface: Interface,
    queues: Queues,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl Stack {
    /// Begins to connect. `seed`: of its sequence numbers. Times are since any fixed moment.
    pub(super) fn connect(from: SocketAddr, to: SocketAddr, seed: u64, now: Duration) -> Result<Self, ConnectError> {
        let mut queues = Queues::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut queues, instant(now));
        let bits = if from.is_ipv4() { 32 } else { 128 };
        interface.update_ip_addrs(|addresses| {
            // There is room for more than one.
            let _ = addresses.push(IpCidr::new(from.ip().into(), bits));
        });
        match from.ip() {
            // Anything is beyond this: there is no link, and whom to send to is known.
            IpAddr::V4(own) => drop(interface.routes_mut().add_default_ipv4_route(own)),
            IpAddr::V6(own) => drop(interface.routes_mut().add_default_ipv6_route(own)),
        }
        let mut socket = Socket::new(
            SocketBuffer::new(vec![0; RECEIVE]),
            SocketBuffer::new(vec![0; TRANSMIT]),
        );
        socket.set_ack_delay(None);
        socket.set_nagle_enabled(false);
        socket.connect(interface.context(), to, from)?;
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let socket = sockets.add(socket);
        Ok(Self {
            interface,
            queues,
            sockets,
            socket,
        })
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    /// A packet came in.
    pub(super) fn receive(&mut self, packet: Box<[u8]>) {
        self.queues.incoming.push_back(packet);
    }

    /// Does what is to be done by now. Gives the packets to be sent, and after how long there is more to do if nothing happens.
    pub(super) fn poll(&mut self, now: Duration) -> (VecDeque<Vec<u8>>, Option<Duration>) {
        let now = instant(now);
        self.interface.poll(now, &mut self.queues, &mut self.sockets);
        let delay = self.interface.poll_delay(now, &self.sockets);
        (std::mem::take(&mut self.queues.outgoing), delay.map(Into::into))
    }

    /// Whether the peer has accepted; `None`: not known yet.
    pub(super) fn is_connected(&mut self) -> Option<bool> {
        match self.socket().state() {
            State::SynSent | State::SynReceived => None,
            State::Closed | State::Listen => Some(false),
            _ => Some(true),
        }
    }

    /// Nothing more is to be said by either side.
    pub(super) fn is_over(&mut self) -> bool {
        matches!(self.socket().state(), State::Closed | State::TimeWait)
    }

    /// Reads what has come.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Read {
        match self.socket().recv_slice(buffer) {
            Ok(0) => Read::NotYet,
            Ok(count) => Read::Some(count),
            Err(RecvError::Finished) => Read::End,
            Err(RecvError::InvalidState) => Read::Broken,
        }
    }

    /// Writes as much as there is room for; `None`: nothing can be said any more.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        self.socket().send_slice(bytes).ok()
    }

    /// Says that nothing more will be written.
    pub(super) fn close(&mut self) {
        self.socket().close();
    }

    /// Resets the connection.
    pub(super) fn abort(&mut self) {
        self.socket().abort();
    }

    /// Wakes when there may be something to read, or when the connection changes.
    pub(super) fn wake_reader(&mut self, waker: &Waker) {
        self.socket().register_recv_waker(waker);
    }

    /// Wakes when there may be room to write, or when the connection changes.
    pub(super) fn wake_writer(&mut self, waker: &Waker) {
        self.socket().register_send_waker(waker);
    }
}

fn instant(since: Duration) -> Instant {
    Instant::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
