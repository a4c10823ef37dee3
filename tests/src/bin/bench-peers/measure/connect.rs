//! Connections that are made, carry one byte each way and are closed by the server: how many in a second.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{Case, Effort, Reading, cpu::Watch, histogram::Times};
use crate::{
    metric::{CONNECTIONS, FAILED, LIFE_P50, LIFE_P99},
    placement::{Placement, pin},
    scene::{CONNECT_PORT, Scene},
};

/// Clients at a time of the case with many.
const MANY: usize = 16;
/// A connection that waits longer for a byte has failed.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn run(scene: &Scene, effort: &Effort) -> Vec<Case> {
    let mut cases = vec![(1, Placement::Apart)];
    if !effort.quick {
        let placements = effort.placements(scene).iter();
        cases.extend(placements.map(|&placement| (MANY, placement)));
    }
    cases
        .into_iter()
        .map(|(clients, placement)| Case {
            name: effort.case(&format!("connect_{clients}"), placement),
            outcome: connections(scene, effort, clients, placement),
        })
        .collect()
}

fn connections(scene: &Scene, effort: &Effort, clients: usize, placement: Placement) -> Result<Reading> {
    let at = SocketAddr::new(scene.server.address(effort.family)?, CONNECT_PORT);
    let listener = scene
        .server
        .netns
        .enter(|| TcpListener::bind(at))?
        .context("listening")?;
    let over = AtomicBool::new(false);
    let (client, server) = (effort.cpus.client(), effort.cpus.server(placement));
    let (listener, over) = (&listener, &over);
    thread::scope(|scope| {
        let servers: Vec<_> = (0..clients)
            .map(|_| scope.spawn(move || serve(listener, over, server)))
            .collect();
        let outcome = scene.client.netns.enter(|| ask(at, clients, client, effort));
        over.store(true, Ordering::Relaxed);
        // Each server waits for a connection: the last one that it gets is from its own namespace.
        let ended = scene.server.netns.enter(|| {
            (0..clients).for_each(|_| {
                let _ = TcpStream::connect(at);
            });
        });
        for server in servers {
            server.join().map_err(|_| anyhow!("a server panicked"))??;
        }
        ended?;
        outcome?
    })
}

fn serve(listener: &TcpListener, over: &AtomicBool, cpu: usize) -> Result<()> {
    pin(cpu)?;
    while !over.load(Ordering::Relaxed) {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut byte = [0];
        // A client that fails counts that itself.
        if stream.read_exact(&mut byte).is_ok() {
            let _ = stream.write_all(&byte);
        }
    }
    Ok(())
}

/// What one client did.
struct Client {
    times: Times,
    failed: u64,
}

fn ask(at: SocketAddr, clients: usize, cpu: usize, effort: &Effort) -> Result<Reading> {
    // The first connections find neighbours and paths.
    for _ in 0..10 {
        exchange(at).with_context(|| format!("no connection to {at}"))?;
    }
    let watch = Watch::start()?;
    let began = Instant::now();
    let done: Vec<Result<Client>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|_| scope.spawn(move || client(at, cpu, began + effort.time())))
            .collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|client| client.map_err(|_| anyhow!("a client panicked"))?)
            .collect()
    });
    let seconds = began.elapsed().as_secs_f64();
    let load = watch.stop()?;
    let (mut times, mut failed) = (Times::new()?, 0);
    for client in done {
        let client = client?;
        times.add(&client.times)?;
        failed += client.failed;
    }
    ensure!(times.count() > 0, "no connection came to an end");
    Ok(Reading {
        values: vec![
            (CONNECTIONS, times.count() as f64 / seconds),
            (LIFE_P50, times.us(0.5)),
            (LIFE_P99, times.us(0.99)),
            (FAILED, failed as f64),
        ],
        load,
    })
}

fn client(at: SocketAddr, cpu: usize, end: Instant) -> Result<Client> {
    pin(cpu)?;
    let (mut times, mut failed) = (Times::new()?, 0);
    while Instant::now() < end {
        let began = Instant::now();
        match exchange(at) {
            Ok(()) => times.record(began.elapsed()),
            Err(_) => failed += 1,
        }
    }
    Ok(Client { times, failed })
}

/// One connection, from its first packet until the server has closed it.
fn exchange(at: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut byte = [1];
    stream.write_all(&byte)?;
    stream.read_exact(&mut byte)?;
    ensure!(stream.read(&mut byte)? == 0, "more than was asked for");
    Ok(())
}
