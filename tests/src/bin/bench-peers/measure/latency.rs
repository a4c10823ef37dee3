//! TCP requests and responses of one byte, one at a time: how long from the request to its response.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{
    Case, Effort, Reading,
    cpu::{Load, Watch},
    histogram::Times,
};
use crate::{
    metric::{P50, P99, P999},
    placement::{Placement, pin},
    scene::{LATENCY_PORT, Scene},
};

/// Trips before the first that counts: neighbours are found and flows made.
const WARM: usize = 200;
/// A trip that takes longer has come to nothing.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(scene: &Scene, effort: &Effort) -> Vec<Case> {
    let placements = effort.placements(scene).iter();
    placements
        .map(|&placement| Case {
            name: effort.case("latency", placement),
            outcome: trips(scene, effort, placement),
        })
        .collect()
}

fn trips(scene: &Scene, effort: &Effort, placement: Placement) -> Result<Reading> {
    let at = SocketAddr::new(scene.server.address(effort.family)?, LATENCY_PORT);
    let listener = scene
        .server
        .netns
        .enter(|| TcpListener::bind(at))?
        .context("listening")?;
    let stream = scene.client.netns.enter(|| TcpStream::connect_timeout(&at, PATIENCE))?;
    let stream = stream.with_context(|| format!("no connection to {at}"))?;
    let (accepted, _) = listener.accept()?;
    for end in [&stream, &accepted] {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(PATIENCE))?;
    }
    let (client, server) = (effort.cpus.client(), effort.cpus.server(placement));
    // Where sockets are is settled: threads may use them from any namespace.
    let (times, load) = thread::scope(|scope| {
        let answering = scope.spawn(move || answer(accepted, server));
        let asking = scope.spawn(move || ask(stream, client, effort.time()));
        let asked = asking.join().map_err(|_| anyhow!("the client panicked"))?;
        let answered = answering.join().map_err(|_| anyhow!("the server panicked"))?;
        asked.and_then(|asked| answered.map(|()| asked))
    })?;
    ensure!(times.count() > 0, "no trip came to an end");
    Ok(Reading {
        values: vec![(P50, times.us(0.5)), (P99, times.us(0.99)), (P999, times.us(0.999))],
        load,
    })
}

fn answer(mut stream: TcpStream, cpu: usize) -> Result<()> {
    pin(cpu)?;
    let mut byte = [0];
    // 0: the client has all that it wants.
    while stream.read(&mut byte).context("the server got no request")? == 1 {
        stream.write_all(&byte)?;
    }
    Ok(())
}

fn ask(mut stream: TcpStream, cpu: usize, time: Duration) -> Result<(Times, Load)> {
    pin(cpu)?;
    let mut times = Times::new()?;
    let mut byte = [0];
    for _ in 0..WARM {
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte).context("no response")?;
    }
    // Looking at the machine takes a while, on this very CPU: nothing is under way meanwhile.
    let watch = Watch::start()?;
    let began = Instant::now();
    while began.elapsed() < time {
        let sent = Instant::now();
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte).context("no response")?;
        times.record(sent.elapsed());
    }
    Ok((times, watch.stop()?))
}
