//! TCP and UDP servers that send back what they get, and clients that check what comes back.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::netns::Netns;

/// The port that every echo server listens on, TCP and UDP.
const PORT: u16 = 7;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often servers look whether they shall end.
const TICK: Duration = Duration::from_millis(50);

/// An echo server for TCP and UDP, IPv4 and IPv6, in one namespace. Ends on drop.
#[derive(Debug)]
pub struct Echo {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Echo {
    /// The port it serves, TCP and UDP.
    pub const PORT: u16 = PORT;

    /// Starts to serve in a namespace.
    ///
    /// # Errors
    /// When the ports cannot be had.
    pub fn start(netns: &Netns) -> Result<Self> {
        let any: SocketAddr = (Ipv6Addr::UNSPECIFIED, PORT).into();
        // Bound to the unspecified IPv6 address, a socket serves IPv4 as well.
        let (tcp, udp) =
            netns.enter(|| Ok::<_, std::io::Error>((TcpListener::bind(any)?, UdpSocket::bind(any)?)))??;
        tcp.set_nonblocking(true)?;
        udp.set_read_timeout(Some(TICK))?;
        let end = Arc::new(AtomicBool::new(false));
        let (end_tcp, end_udp) = (Arc::clone(&end), Arc::clone(&end));
        let threads = vec![
            thread::spawn(move || accept(&tcp, &end_tcp)),
            thread::spawn(move || reply(&udp, &end_udp)),
        ];
        Ok(Self { end, threads })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, end: &Arc<AtomicBool>) {
    while !end.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let end = Arc::clone(end);
                thread::spawn(move || serve(stream, &end));
            }
            Err(_) => thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn serve(mut stream: TcpStream, end: &AtomicBool) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(TICK));
    let mut buffer = vec![0; 65536];
    while !end.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                let Some(content) = buffer.get(..length) else { return };
                if stream.write_all(content).is_err() {
                    return;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

fn reply(socket: &UdpSocket, end: &AtomicBool) {
    let mut buffer = vec![0; 65536];
    while !end.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), from);
        }
    }
}

/// A TCP connection to an echo server that is used again and again.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    exchanges: u64,
    words: String,
}

impl Connection {
    /// Connects from a namespace to an echo server.
    ///
    /// # Errors
    /// When the server does not answer in time.
    pub fn open(from: &Netns, to: IpAddr) -> Result<Self> {
        Self::open_to(from, (to, PORT).into(), PATIENCE)
    }

    /// Connects to another port than the server's own: a service's, a forwarded one. Waits no longer than `patience`.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub fn open_to(from: &Netns, to: SocketAddr, patience: Duration) -> Result<Self> {
        let words = format!("TCP from {} to {to}", from.name());
        let stream = from
            .enter(|| TcpStream::connect_timeout(&to, patience))?
            .with_context(|| format!("{words}: connect"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            exchanges: 0,
            words,
        })
    }

    /// As [`Connection::exchange`] with a hundred bytes, waiting no longer than `patience`.
    ///
    /// # Errors
    /// When nothing comes back in time.
    pub fn exchange_within(&mut self, patience: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        let outcome = self.exchange(100);
        self.stream.set_read_timeout(Some(PATIENCE))?;
        outcome
    }

    /// Sends `length` bytes, different each time, and checks that just these come back.
    ///
    /// # Errors
    /// When they do not.
    pub fn exchange(&mut self, length: usize) -> Result<()> {
        let content = pattern(length, self.exchanges);
        self.exchanges += 1;
        let mut writer = self.stream.try_clone()?;
        let mut back = vec![0; length];
        // Both at once: more than the buffers hold would otherwise block both sides.
        thread::scope(|scope| {
            let writer = scope.spawn(|| writer.write_all(&content));
            let read = self.stream.read_exact(&mut back);
            let written = writer.join().unwrap_or_else(|_| Err(ErrorKind::Other.into()));
            written.and(read)
        })
        .with_context(|| format!("{}: exchange {}", self.words, self.exchanges))?;
        ensure!(
            back == content,
            "{}: exchange {}: not the bytes sent",
            self.words,
            self.exchanges
        );
        Ok(())
    }
}

/// Opens a connection, has `length` bytes echoed, and closes it in order.
///
/// # Errors
/// When a byte is missing or wrong, or it takes too long.
pub fn tcp(from: &Netns, to: IpAddr, length: usize) -> Result<()> {
    let mut connection = Connection::open(from, to)?;
    connection.exchange(length)?;
    connection.stream.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    connection.stream.read_to_end(&mut rest)?;
    ensure!(rest.is_empty(), "{}: {} bytes too many", connection.words, rest.len());
    Ok(())
}

/// Has one datagram of `length` bytes echoed.
///
/// # Errors
/// When it does not come back, or another does.
pub fn udp(from: &Netns, to: IpAddr, length: usize) -> Result<()> {
    let words = format!("UDP of {length} bytes from {} to {to}", from.name());
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = from.enter(|| UdpSocket::bind((any, 0)))??;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.connect((to, PORT))?;
    let content = pattern(length, 0);
    socket.send(&content).with_context(|| words.clone())?;
    let mut back = vec![0; 65536];
    let received = socket.recv(&mut back).with_context(|| words.clone())?;
    ensure!(back.get(..received) == Some(&content), "{words}: not the bytes sent");
    Ok(())
}

/// Bytes that differ from place to place and from seed to seed, so that nothing swapped or repeated goes unseen.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect()
}
