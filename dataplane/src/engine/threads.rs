//! The threads of the daemon: one pinned thread per worker, one for the programmer, one that asks workloads whether they are well, one
//! per uplink that listens for neighbours.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use tracing::{debug, info, warn};

use super::{Assembly, clock::Monotonic, supervised::Rounds};
use crate::{
    api::{Desk, Request},
    health::{Finding, Orders, Prober},
    port::af_xdp::UplinkControl,
    program::Programmer,
    tables::slots::PortSlot,
    worker::{Clock, Polling, Worker, run},
};

/// Messages to the programmer that may wait.
const MESSAGES: usize = 1024;

/// Longest time between two looks at what workers left behind.
const ATTENTION: Duration = Duration::from_millis(10);

/// How often a listener looks whether it should stop.
const LISTEN: Duration = Duration::from_millis(200);

/// What the programmer's thread is told.
#[derive(Debug)]
pub enum Message {
    /// A request of the API.
    Request(Request),
    /// A frame of the underlay's ARP or neighbour discovery.
    Underlay(PortSlot, Box<[u8]>),
    /// What workloads answered when asked whether they are well.
    Health(Vec<Finding>),
    /// Stop workers, then end.
    Stop,
}

/// How workers run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinning {
    /// CPU of each worker; workers beyond the list are not pinned.
    pub cpus: Vec<usize>,
    /// What they do when idle.
    pub polling: Polling,
}

/// A running dataplane.
#[derive(Debug)]
pub struct Running {
    /// To the programmer's thread.
    pub messages: Sender<Message>,
    /// How often the programmer has looked around.
    pub rounds: Rounds,
    programmer: JoinHandle<()>,
    prober: JoinHandle<()>,
    workers: Vec<JoinHandle<Worker>>,
    listeners: Vec<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
}

/// Where messages to the programmer are put, and where it takes them out.
pub fn inbox() -> (Sender<Message>, Receiver<Message>) {
    bounded(MESSAGES)
}

/// Starts all threads.
///
/// # Errors
/// When the system gives no thread.
pub fn start(
    assembly: Assembly,
    controls: Vec<(PortSlot, UplinkControl)>,
    pinning: &Pinning,
    clock: Monotonic,
    (messages, inbox): (Sender<Message>, Receiver<Message>),
    desk: Desk,
) -> std::io::Result<Running> {
    let Assembly {
        programmer,
        workers,
        line,
        ..
    } = assembly;
    let workers = workers
        .into_iter()
        .map(|worker| {
            let (polling, cpu) = (pinning.polling, pinning.cpus.get(worker.index()).copied());
            thread::Builder::new()
                .name(format!("worker-{}", worker.index()))
                .spawn(move || {
                    pin(cpu);
                    run(worker, &clock.ticking(), polling)
                })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let stopping = Arc::new(AtomicBool::new(false));
    let listeners = controls
        .into_iter()
        .map(|(port, control)| {
            let (messages, stopping) = (messages.clone(), stopping.clone());
            let listen = move || listen(port, control, &messages, &stopping);
            thread::Builder::new()
                .name(format!("uplink-{}", port.raw()))
                .spawn(listen)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (prober, orders) = {
        let messages = messages.clone();
        Prober::new(line, move |findings| tell(&messages, findings))
    };
    let prober = thread::Builder::new().name("health".into()).spawn(move || {
        if let Err(error) = prober.run() {
            warn!(%error, "health checks cannot be run: workloads with one stay unwell");
        }
    })?;
    let rounds = Rounds::default();
    let programmer = {
        let rounds = rounds.clone();
        thread::Builder::new()
            .name("programmer".into())
            .spawn(move || attend(programmer, &inbox, clock, desk, &orders, &rounds))?
    };
    Ok(Running {
        messages,
        rounds,
        programmer,
        prober,
        workers,
        listeners,
        stopping,
    })
}

impl Running {
    /// Stops workers, gives interfaces back, and waits for all threads.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Fails only if the thread has ended.
        let _ = self.messages.send(Message::Stop);
        for listener in self.listeners {
            let _ = listener.join();
        }
        for worker in self.workers {
            match worker.join() {
                Ok(worker) => worker.close(),
                Err(_) => warn!("a worker ended by a panic"),
            }
        }
        if self.programmer.join().is_err() {
            warn!("the programmer ended by a panic");
        }
        // It ends with the programmer, who gives its orders.
        if self.prober.join().is_err() {
            warn!("the prober of health ended by a panic");
        }
    }
}

/// Leaves findings with the programmer; gives them back while it is too busy.
fn tell(messages: &Sender<Message>, findings: Vec<Finding>) -> Result<(), Vec<Finding>> {
    match messages.try_send(Message::Health(findings)) {
        Err(TrySendError::Full(Message::Health(findings))) => Err(findings),
        // At the end nobody wants them.
        _ => Ok(()),
    }
}

fn pin(cpu: Option<usize>) {
    let Some(cpu) = cpu else { return };
    if core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
        info!(cpu, "worker pinned");
    } else {
        warn!(
            cpu,
            "the worker could not be pinned: is this CPU allowed for the process?"
        );
    }
}

/// The programmer's thread: does what it is told, and looks after the rest in between.
fn attend(
    mut programmer: Programmer,
    inbox: &Receiver<Message>,
    clock: Monotonic,
    mut desk: Desk,
    orders: &Orders,
    rounds: &Rounds,
) {
    loop {
        rounds.fetch_add(1, Ordering::Relaxed);
        let due = programmer.next_deadline().map_or(ATTENTION, |deadline| {
            Duration::from_nanos(deadline.saturating_sub(clock.now())).min(ATTENTION)
        });
        match inbox.recv_timeout(due) {
            Ok(Message::Request(request)) => desk.answer(request, &mut programmer, clock.now()),
            Ok(Message::Underlay(port, frame)) => programmer.on_underlay_frame(port, &frame, clock.now()),
            Ok(Message::Health(findings)) => {
                for Finding { spec, status } in findings {
                    // What was found out about another workload meanwhile says nothing of this one.
                    if programmer.is_asked(&spec) {
                        programmer.note_health(spec.id, status);
                    }
                }
            }
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        programmer.attend(clock.now());
        desk.tell(&mut programmer);
        for (id, asked) in programmer.health_changes() {
            orders.give(id, asked);
        }
    }
    programmer.fleet().stop();
}

/// Hears the neighbours on one uplink.
fn listen(port: PortSlot, mut control: UplinkControl, messages: &Sender<Message>, stopping: &AtomicBool) {
    let mut poll = match mio::Poll::new() {
        Ok(poll) => poll,
        Err(error) => return warn!(%error, "an uplink cannot be listened to: neighbors will not be found"),
    };
    let fd = control.epoll_fd();
    let token = mio::Token(0);
    if let Err(error) = poll
        .registry()
        .register(&mut mio::unix::SourceFd(&fd), token, mio::Interest::READABLE)
    {
        return warn!(%error, "an uplink cannot be listened to: neighbors will not be found");
    }
    let mut events = mio::Events::with_capacity(1);
    while !stopping.load(Ordering::Relaxed) {
        // Also without an event: what came before the registration made none.
        control.poll(|frame| {
            // A full inbox loses the frame: neighbours are asked again.
            if messages.try_send(Message::Underlay(port, frame.into())).is_err() {
                debug!("the programmer is too busy to hear a neighbor");
            }
        });
        let _ = poll.poll(&mut events, Some(LISTEN));
    }
}
