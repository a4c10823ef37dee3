//! A TCP connection to a workload, as a stream of bytes.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Duration, Instant, sleep},
};

use super::{
    line::{End, Line, Way},
    stack::{Read, Stack},
};
use crate::tables::slots::VrfSlot;

/// What is shared by a connection and its stream.
struct Inner {
    stack: Mutex<Stack>,
    /// The stack has something to do.
    nudge: Notify,
}

impl Inner {
    fn stack(&self) -> MutexGuard<'_, Stack> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection: moves packets while it is [`carried`](Self::carry).
pub(super) struct Connection {
    line: Arc<Mutex<Line>>,
    way: Way,
    end: End,
    inner: Arc<Inner>,
    began: Instant,
}

impl Connection {
    /// Begins to connect. The error says in words why it cannot be.
    pub(super) fn open(
        line: &Arc<Mutex<Line>>,
        vrf: VrfSlot,
        address: IpAddr,
        port: u16,
        seed: u64,
    ) -> Result<Self, String> {
        let mut held = lock(line);
        let way = held.way(vrf, address)?;
        let end = held.open(&way).ok_or("too many workloads are being asked at once")?;
        let from = SocketAddr::new(way.source, end.local_port);
        match Stack::connect(from, SocketAddr::new(address, port), seed, Duration::ZERO) {
            Ok(stack) => Ok(Self {
                line: line.clone(),
                way,
                end,
                inner: Arc::new(Inner {
                    stack: Mutex::new(stack),
                    nudge: Notify::new(),
                }),
                began: Instant::now(),
            }),
            Err(error) => {
                held.close(end.local_port);
                Err(error.to_string())
            }
        }
    }

    /// What is said over it.
    pub(super) fn stream(&self) -> Stream {
        Stream(self.inner.clone())
    }

    /// Carries packets until `done`.
    pub(super) async fn carry(&mut self, done: impl Fn(&mut Stack) -> bool) {
        loop {
            let (packets, pause, done) = {
                let mut stack = self.inner.stack();
                let (packets, pause) = stack.poll(self.began.elapsed());
                (packets, pause, done(&mut stack))
            };
            self.send(packets);
            if done {
                return;
            }
            tokio::select! {
                Some(packet) = self.end.incoming.recv() => self.inner.stack().receive(packet),
                () = self.inner.nudge.notified() => {}
                () = sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => {}
            }
        }
    }

    /// Ends it in peace, if the peer is quick about it.
    pub(super) async fn end(mut self, patience: Duration) {
        self.inner.stack().close();
        // Reset when it is dropped, if this was too short.
        let _ = tokio::time::timeout(patience, self.carry(Stack::is_over)).await;
    }

    fn send(&self, packets: impl IntoIterator<Item = Vec<u8>>) {
        let mut line = lock(&self.line);
        for packet in packets {
            line.send(&self.way, &packet);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let packets = {
            let mut stack = self.inner.stack();
            if !stack.is_over() {
                stack.abort();
            }
            stack.poll(self.began.elapsed()).0
        };
        self.send(packets);
        lock(&self.line).close(self.end.local_port);
    }
}

/// The line, whoever had it before.
pub(super) fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes of a connection.
#[derive(Clone)]
pub(super) struct Stream(Arc<Inner>);

impl Stream {
    /// Waits until the peer has accepted.
    pub(super) async fn connected(&self) -> Result<(), String> {
        let accepted = poll_fn(|context| {
            let mut stack = self.0.stack();
            match stack.is_connected() {
                Some(accepted) => Poll::Ready(accepted),
                None => {
                    stack.wake_reader(context.waker());
                    Poll::Pending
                }
            }
        });
        if accepted.await {
            Ok(())
        } else {
            Err("connection refused".to_owned())
        }
    }

    /// The peer has accepted.
    pub(super) fn is_connected(&self) -> bool {
        self.0.stack().is_connected() == Some(true)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut stack = self.0.stack();
        match stack.read(buffer.initialize_unfilled()) {
            Read::Some(count) => {
                buffer.advance(count);
                // The peer is told that there is room again.
                self.0.nudge.notify_one();
                Poll::Ready(Ok(()))
            }
            Read::NotYet => {
                stack.wake_reader(context.waker());
                Poll::Pending
            }
            Read::End => Poll::Ready(Ok(())),
            Read::Broken => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut stack = self.0.stack();
        match stack.write(bytes) {
            Some(0) if !bytes.is_empty() => {
                stack.wake_writer(context.waker());
                Poll::Pending
            }
            Some(count) => {
                self.0.nudge.notify_one();
                Poll::Ready(Ok(count))
            }
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.stack().close();
        self.0.nudge.notify_one();
        Poll::Ready(Ok(()))
    }
}
