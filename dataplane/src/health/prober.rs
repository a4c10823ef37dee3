//! The one who asks.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::{
        Notify, OwnedSemaphorePermit, Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    task::AbortHandle,
    time::{Duration, Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};

use super::{
    connection::{Connection, lock},
    line::Line,
    question,
    record::Record,
    rhythm::Rhythm,
};
use crate::program::{Asked, HealthStatus, object::HealthCheckSpec};

/// Workloads that are asked at the same time. The others wait; what they wait is not held against them.
const AT_ONCE: usize = 1024;

/// How often is looked for answers while some are expected. A worker must not spend a system call on waking us.
const LOOK: Duration = Duration::from_millis(2);

/// How long a peer may take to close a connection before it is reset.
const PARTING: Duration = Duration::from_millis(500);

/// What was found out by a question.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The check it was for.
    pub spec: Arc<HealthCheckSpec>,
    /// What is believed now.
    pub status: HealthStatus,
}

/// Takes orders for a prober: what is to be asked from now on (by identifier), or no more.
#[derive(Clone, Debug)]
pub struct Orders(UnboundedSender<(u32, Option<Asked>)>);

impl Orders {
    /// Gives an order. Without a prober nobody follows it.
    pub fn give(&self, id: u32, asked: Option<Asked>) {
        let _ = self.0.send((id, asked));
    }
}

/// Where findings go. Those that cannot be taken now are given back, and offered again.
type Report = Box<dyn FnMut(Vec<Finding>) -> Result<(), Vec<Finding>> + Send>;

/// Asks workloads whether they are well. Ends when all its [`Orders`] are gone.
pub struct Prober {
    line: Line,
    orders: UnboundedReceiver<(u32, Option<Asked>)>,
    report: Report,
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// What all questions share.
struct House {
    line: Arc<Mutex<Line>>,
    at_once: Arc<Semaphore>,
    /// The last finding of each check, until it is reported.
    findings: Mutex<HashMap<u32, Finding>>,
    /// There is something to do for the loop.
    awake: Notify,
}

/// A check that is under way.
struct Running {
    asked: Asked,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Prober {
    /// Asks over `line`, and tells `report`, which gives back what it cannot take now.
    pub fn new(
        line: Line,
        report: impl FnMut(Vec<Finding>) -> Result<(), Vec<Finding>> + Send + 'static,
    ) -> (Self, Orders) {
        let (sender, orders) = unbounded_channel();
        let report = Box::new(report);
        (Self { line, orders, report }, Orders(sender))
    }

    /// Runs on this thread until all orders are gone.
    ///
    /// # Errors
    /// When the system gives no timers.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(self.serve());
        Ok(())
    }

    async fn serve(mut self) {
        let house = Arc::new(House {
            line: Arc::new(Mutex::new(self.line)),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            findings: Mutex::default(),
            awake: Notify::new(),
        });
        let mut running: HashMap<u32, Running> = HashMap::new();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let busy = house.is_busy();
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some((id, asked)) => follow(&house, &mut running, id, asked),
                    None => return,
                },
                _ = look.tick(), if busy => {
                    lock(&house.line).collect();
                    house.report(&mut self.report);
                }
                () = house.awake.notified() => {}
            }
        }
    }
}

/// Does as ordered.
fn follow(house: &Arc<House>, running: &mut HashMap<u32, Running>, id: u32, asked: Option<Asked>) {
    // What was only said again goes on as it is.
    if let (Some(asked), Some(now)) = (&asked, running.get(&id))
        && now.asked == *asked
    {
        return;
    }
    running.remove(&id);
    house.forget(id);
    if let Some(asked) = asked {
        let task = tokio::spawn(look_after(house.clone(), asked.clone()));
        let task = task.abort_handle();
        running.insert(id, Running { asked, task });
    }
}

/// Asks one workload, again and again.
async fn look_after(house: Arc<House>, asked: Asked) {
    let spec = &asked.spec;
    let seed = lock(&house.line).seed() ^ u64::from(spec.id) << 32;
    let mut rhythm = Rhythm::new(Duration::from_millis(spec.interval().into()), seed);
    let mut record = Record::default();
    sleep(rhythm.next_pause()).await;
    loop {
        let began = Instant::now();
        let answer = ask(
            &house,
            &asked,
            seed.wrapping_add(record.status().successes + record.status().failures),
        )
        .await;
        record.note(answer, spec.rises_after(), spec.falls_after());
        house.tell(Finding {
            spec: spec.clone(),
            status: record.status().clone(),
        });
        sleep_until(began + rhythm.next_pause()).await;
    }
}

/// Asks once.
async fn ask(house: &Arc<House>, asked: &Asked, seed: u64) -> Result<(), String> {
    let spec = &asked.spec;
    let permit = house.at_once.clone().acquire_owned().await;
    let permit = permit.map_err(|_| "nobody is asked any more")?;
    let mut connection = Connection::open(&house.line, asked.vrf, spec.address, spec.port, seed)?;
    house.awake.notify_one();
    let patience = Duration::from_millis(spec.timeout().into());
    let stream = connection.stream();
    let conversation = async {
        let connected = stream.connected();
        connected.await?;
        question::ask(stream.clone(), spec).await
    };
    let answer = tokio::select! {
        answer = timeout(patience, conversation) => answer,
        () = connection.carry(|_| false) => return Err("the connection ended".to_owned()),
    };
    let accepted = stream.is_connected();
    tokio::spawn(part(connection, permit));
    answer.unwrap_or_else(|_| {
        let what = if accepted { "answer" } else { "connection" };
        Err(format!("no {what} within {} ms", patience.as_millis()))
    })
}

/// Ends a connection, out of the way.
async fn part(connection: Connection, permit: OwnedSemaphorePermit) {
    connection.end(PARTING).await;
    drop(permit);
}

impl House {
    fn findings(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Finding>> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_busy(&self) -> bool {
        lock(&self.line).is_used() || !self.findings().is_empty()
    }

    fn tell(&self, finding: Finding) {
        self.findings().insert(finding.spec.id, finding);
        self.awake.notify_one();
    }

    fn forget(&self, id: u32) {
        self.findings().remove(&id);
    }

    fn report(&self, report: &mut Report) {
        let findings: Vec<_> = self.findings().drain().map(|(_, finding)| finding).collect();
        if findings.is_empty() {
            return;
        }
        if let Err(refused) = report(findings) {
            let mut findings = self.findings();
            for finding in refused {
                findings.entry(finding.spec.id).or_insert(finding);
            }
        }
    }
}
