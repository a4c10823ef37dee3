//! A steady stream of numbered datagrams in one direction: every one that is lost, doubled or overtaken is counted.

use std::{
    net::{IpAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};

use crate::netns::Netns;

/// The receiver listens here.
const PORT: u16 = 9999;
/// After the last datagram was sent, how long none may come until the receiver stops.
const SILENCE: Duration = Duration::from_millis(500);

/// What became of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Datagrams sent.
    pub sent: u64,
    /// Different datagrams received.
    pub received: u64,
    /// Datagrams received more than once.
    pub duplicates: u64,
    /// Datagrams that came after one with a higher number.
    pub reordered: u64,
}

impl Report {
    /// Datagrams that never came.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

/// A running stream.
#[derive(Debug)]
pub struct Stream {
    end_sender: Arc<AtomicBool>,
    end_receiver: Arc<AtomicBool>,
    sender: Option<JoinHandle<Result<u64>>>,
    receiver: Option<JoinHandle<Report>>,
}

impl Stream {
    /// Starts to send `rate` datagrams a second of `length` bytes (at least 8) between two namespaces.
    ///
    /// # Errors
    /// When a socket cannot be had.
    pub fn start(from: &Netns, to: &Netns, address: IpAddr, rate: u32, length: usize) -> Result<Self> {
        let any: IpAddr = if address.is_ipv4() {
            [0; 4].into()
        } else {
            [0; 16].into()
        };
        let inbound = to.enter(|| UdpSocket::bind((address, PORT)))?.context("receiver")?;
        let outbound = from.enter(|| UdpSocket::bind((any, 0)))?.context("sender")?;
        outbound.connect((address, PORT))?;
        inbound.set_read_timeout(Some(Duration::from_millis(20)))?;
        let end_sender = Arc::new(AtomicBool::new(false));
        let end_receiver = Arc::new(AtomicBool::new(false));
        let (stop_sender, stop_receiver) = (Arc::clone(&end_sender), Arc::clone(&end_receiver));
        Ok(Self {
            end_sender,
            end_receiver,
            receiver: Some(thread::spawn(move || receive(&inbound, &stop_receiver))),
            sender: Some(thread::spawn(move || {
                send(&outbound, &stop_sender, rate, length.max(8))
            })),
        })
    }

    /// Ends the stream and says what became of it.
    ///
    /// # Errors
    /// When the sender could not send.
    pub fn stop(mut self) -> Result<Report> {
        self.end_sender.store(true, Ordering::Relaxed);
        let sent = self.sender.take().map(JoinHandle::join).context("stopped before")?;
        self.end_receiver.store(true, Ordering::Relaxed);
        let report = self.receiver.take().map(JoinHandle::join).context("stopped before")?;
        Ok(Report {
            sent: sent.map_err(|_| anyhow!("the sender panicked"))??,
            ..report.map_err(|_| anyhow!("the receiver panicked"))?
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end_sender.store(true, Ordering::Relaxed);
        self.end_receiver.store(true, Ordering::Relaxed);
    }
}

fn send(socket: &UdpSocket, end: &AtomicBool, rate: u32, length: usize) -> Result<u64> {
    let start = Instant::now();
    let mut buffer = vec![0; length];
    let mut number: u64 = 0;
    while !end.load(Ordering::Relaxed) {
        // What is due by now; a sender that was late catches up a little at a time, lest a burst overruns a queue.
        let due = start.elapsed().as_secs_f64() * f64::from(rate);
        for _ in 0..8 {
            if number as f64 >= due {
                break;
            }
            buffer
                .iter_mut()
                .zip(number.to_be_bytes())
                .for_each(|(to, byte)| *to = byte);
            match socket.send(&buffer) {
                Ok(_) => number += 1,
                // An ICMP error about an earlier datagram: that one is counted as lost, this one was not sent.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error).context("sending"),
            }
        }
        thread::sleep(Duration::from_micros(500));
    }
    Ok(number)
}

fn receive(socket: &UdpSocket, end: &AtomicBool) -> Report {
    let mut report = Report::default();
    let mut seen: Vec<u64> = Vec::new();
    let mut highest = None;
    let mut last = Instant::now();
    let mut buffer = vec![0; 65536];
    loop {
        let Ok(length) = socket.recv(&mut buffer) else {
            if end.load(Ordering::Relaxed) && last.elapsed() > SILENCE {
                return report;
            }
            continue;
        };
        let Some(number) = buffer.get(..length).and_then(|content| content.first_chunk()) else {
            continue;
        };
        let number = u64::from_be_bytes(*number);
        last = Instant::now();
        if mark(&mut seen, number) {
            report.received += 1;
        } else {
            report.duplicates += 1;
        }
        if highest.is_some_and(|highest| number < highest) {
            report.reordered += 1;
        }
        highest = highest.max(Some(number));
    }
}

/// Sets bit `number`; whether it was clear before.
fn mark(seen: &mut Vec<u64>, number: u64) -> bool {
    let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
    if word >= seen.len() {
        seen.resize(word + 1, 0);
    }
    let Some(word) = seen.get_mut(word) else { return false };
    let new = *word & bit == 0;
    *word |= bit;
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_new_once() {
        let mut seen = Vec::new();
        for number in [0, 63, 64, 1000, 5] {
            assert!(mark(&mut seen, number));
            assert!(!mark(&mut seen, number));
        }
    }
}
