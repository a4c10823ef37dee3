//! The task that drives one dataplane.

use std::{collections::BTreeSet, net::IpAddr, sync::atomic::Ordering, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use vrouter_proto::dataplane::{self as pb, object::Object};

use super::{
    diff::difference,
    mirror::Mirror,
    refused::RefusedSteps,
    session::{Broken, News, Session},
    status::{AuditRequest, Board},
};
use crate::{
    compile::{Compiler, ObjectKey, Probe},
    intent,
    model::Name,
    store::Store,
    transport::Address,
};

/// How patient a driver is.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long connecting may take.
    pub connect: Duration,
    /// Pause after the first failed connection; doubles with each.
    pub reconnect_least: Duration,
    /// Longest pause between connections.
    pub reconnect_most: Duration,
    /// Pause before refused objects are tried again; doubles with each try.
    pub retry_least: Duration,
    /// Longest pause between tries.
    pub retry_most: Duration,
    /// How long after somebody else changed the dataplane it is compared as a whole; one comparison serves all changes until then.
    pub recheck: Duration,
    /// For how long backends count as before when the dataplane that asks them is away, or was just started.
    pub health_grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            reconnect_least: Duration::from_millis(50),
            reconnect_most: Duration::from_secs(3),
            retry_least: Duration::from_millis(250),
            retry_most: Duration::from_secs(15),
            recheck: Duration::from_secs(2),
            health_grace: Duration::from_secs(30),
        }
    }
}

/// Drives the dataplane of one node.
#[derive(Debug)]
pub struct Driver {
    node: Name,
    address: Address,
    store: Store,
    board: Board,
    timing: Timing,
    audits: mpsc::Receiver<AuditRequest>,
    /// Of the last connection, to tell a restart of vrouterd from a broken connection.
    instance: String,
}

/// What wakes a driver that has nothing to do.
enum Wake {
    Changed,
    Retry,
    Recheck,
    News(News),
    Doubt,
    Audit(AuditRequest),
    /// The store is closed: the process is going down.
    Closed,
}

impl Driver {
    /// Registers the dataplane on the board. Nothing happens until [`Driver::run`].
    #[must_use]
    pub fn new(node: Name, address: Address, store: Store, board: Board, timing: Timing) -> Self {
        let audits = board.register(&node, &address);
        Self {
            node,
            address,
            store,
            board,
            timing,
            audits,
            instance: String::new(),
        }
    }

    /// Drives until the store is closed or the task is aborted. Dropping it half-way is safe: the next connection repairs.
    pub async fn run(mut self) {
        let (node, timing) = (self.node.clone(), self.timing);
        let known = node.clone();
        if let Err(error) = self
            .store
            .transact(move |t| intent::observe_node(t, &known, None))
            .await
        {
            tracing::warn!(%node, %error, "cannot note the node");
        }
        let mut compiler = Compiler::new(node.clone());
        let mut pause = timing.reconnect_least;
        let mut told = String::new();
        loop {
            let began = Instant::now();
            let Err(broken) = self.drive(&mut compiler).await else {
                return;
            };
            self.board.counts().broken.fetch_add(1, Ordering::Relaxed);
            self.board.health().lost(&node, Instant::now(), timing.health_grace);
            let error = broken.to_string();
            // Once per reason is enough for the log; the board always has it.
            if told != error {
                tracing::warn!(%node, address = %self.address, %error, "dataplane is not connected");
                told.clone_from(&error);
            }
            self.board.update(&node, |status| {
                status.connected = false;
                status.error = error;
            });
            if began.elapsed() > timing.reconnect_most {
                pause = timing.reconnect_least;
                told.clear();
            }
            // A comparison cannot be answered now.
            while self.audits.try_recv().is_ok() {}
            tokio::time::sleep(pause).await;
            // Nobody else may be connected to do it.
            self.board.health().expire(Instant::now());
            pause = (pause * 2).min(timing.reconnect_most);
        }
    }

    /// One connection, from the first comparison on. `Ok`: the store is closed.
    async fn drive(&mut self, compiler: &mut Compiler) -> Result<(), Broken> {
        let (mut session, info) = Session::open(&self.address, self.timing.connect).await?;
        self.meet(&info).await?;
        self.board.counts().connections.fetch_add(1, Ordering::Relaxed);
        let mut states = self.store.follow();
        let mut refused = RefusedSteps::new(self.timing.retry_least, self.timing.retry_most);
        let (mut health, mut doubts) = (self.board.health().follow(), self.board.health().due());
        let mut mirror = session.dump().await?;
        compiler.update(&states.borrow().clone(), &self.board.health().health());
        self.believe(compiler, &mirror);
        self.hear(compiler, &mirror);
        let mut recheck: Option<Instant> = None;
        // Everything is compared first.
        let mut everything = true;
        let mut retry = false;
        loop {
            let state = states.borrow_and_update().clone();
            let conditions = health.borrow_and_update().clone();
            let mut keys = compiler.update(&state, &conditions);
            let asked: BTreeSet<Probe> = compiler.checks().values().copied().collect();
            self.board.health().keep(&self.node, &asked);
            if everything {
                keys.extend(compiler.plan().keys().cloned());
                keys.extend(mirror.keys().cloned());
            }
            if !everything && !retry {
                keys.retain(|key| !refused.knows(key, compiler.plan()));
            }
            if retry {
                keys.extend(refused.keys());
            }
            self.settle(&mut session, compiler, &mut mirror, &mut refused, keys)
                .await?;
            self.tell(compiler, &refused, state.revision());
            (everything, retry) = (false, false);

            let (due, doubt) = (refused.due(), *doubts.borrow_and_update());
            let wake = tokio::select! {
                changed = states.changed() => if changed.is_ok() { Wake::Changed } else { Wake::Closed },
                () = at(due) => Wake::Retry,
                () = at(recheck) => Wake::Recheck,
                changed = health.changed() => if changed.is_ok() { Wake::Changed } else { Wake::Closed },
                changed = doubts.changed() => if changed.is_ok() { Wake::Doubt } else { Wake::Closed },
                () = at(doubt) => Wake::Doubt,
                news = session.news() => Wake::News(news?),
                Some(request) = self.audits.recv() => Wake::Audit(request),
            };
            match wake {
                Wake::Changed => {}
                Wake::Retry => retry = true,
                Wake::Doubt => self.board.health().expire(Instant::now()),
                Wake::News(News::Health(changed)) => {
                    self.report(compiler, changed.health_check, changed.state.as_ref());
                }
                Wake::News(News::Changed) => {
                    recheck.get_or_insert_with(|| Instant::now() + self.timing.recheck);
                }
                Wake::Recheck => {
                    recheck = None;
                    mirror = session.dump().await?;
                    self.hear(compiler, &mirror);
                    everything = true;
                }
                Wake::Audit(request) => {
                    mirror = session.dump().await?;
                    // The asker may have lost patience.
                    let _ = request.send(self.compare(compiler, &mirror, &refused));
                    everything = true;
                }
                Wake::Closed => return Ok(()),
            }
        }
    }

    /// Notes who is there.
    async fn meet(&mut self, info: &pb::GetInfoResponse) -> Result<(), Broken> {
        if !info.node.is_empty() && info.node != self.node.as_str() {
            return Err(Broken::OtherNode {
                expected: self.node.to_string(),
                found: info.node.clone(),
            });
        }
        let restarted = !self.instance.is_empty() && self.instance != info.instance;
        self.instance.clone_from(&info.instance);
        tracing::info!(node = %self.node, version = info.version, revision = info.revision, restarted, "dataplane is connected");
        // Some say the prefix length too.
        let address = |text: &String| text.split('/').next().unwrap_or_default().parse::<IpAddr>().ok();
        let vteps: Vec<IpAddr> = info.vtep_addresses.iter().filter_map(address).collect();
        let (node, observed) = (self.node.clone(), (vteps, info.underlay_mtu));
        self.store
            .transact(move |t| intent::observe_node(t, &node, Some(observed)))
            .await?;
        Ok(())
    }

    /// Applies what differs at `keys`.
    async fn settle(
        &self,
        session: &mut Session,
        compiler: &Compiler,
        mirror: &mut Mirror,
        refused: &mut RefusedSteps,
        keys: BTreeSet<ObjectKey>,
    ) -> Result<(), Broken> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut problems = Vec::new();
        for stage in difference(compiler.plan(), mirror, keys.iter().cloned()) {
            let steps = stage.len();
            let since = Instant::now();
            let found = session.apply(mirror, stage).await?;
            self.board.counts().applies.record(since.elapsed());
            tracing::debug!(node = %self.node, steps, refused = found.len(), "applied");
            problems.extend(found);
        }
        for (step, problem) in problems
            .iter()
            .filter(|(step, problem)| !problem.dependent && !refused.keys().contains(&step.key))
        {
            tracing::warn!(node = %self.node, object = %step.key, error = problem.message, "refused by the dataplane");
        }
        refused.note(&keys, problems, Instant::now());
        Ok(())
    }

    /// Takes what the dataplane is programmed with for a sign of health: see [`super::health`].
    fn believe(&self, compiler: &Compiler, mirror: &Mirror) {
        for (id, backends) in compiler.backends() {
            let Some(Object::Service(service)) = mirror.get(&ObjectKey::Service(*id)).and_then(|o| o.object.as_ref())
            else {
                continue;
            };
            let used: BTreeSet<IpAddr> = service.backends.iter().filter_map(|b| b.address.parse().ok()).collect();
            let probes = backends
                .iter()
                .filter(|(a, _)| used.contains(a))
                .map(|(_, probe)| *probe);
            self.board
                .health()
                .believe(probes, Instant::now(), self.timing.health_grace);
        }
    }

    /// Notes the health that a dump told of.
    fn hear(&self, compiler: &Compiler, mirror: &Mirror) {
        for (id, state) in mirror.health() {
            self.report(compiler, *id, Some(state));
        }
    }

    fn report(&self, compiler: &Compiler, check: u32, state: Option<&pb::HealthState>) {
        if let Some((probe, state)) = compiler.checks().get(&check).zip(state) {
            let (now, grace) = (Instant::now(), self.timing.health_grace);
            self.board.health().report(&self.node, *probe, state, now, grace);
        }
    }

    fn tell(&self, compiler: &Compiler, refused: &RefusedSteps, revision: u64) {
        self.board.update(&self.node, |status| {
            status.connected = true;
            status.synced_revision = revision;
            status.error = refused.summary();
            status.refused = refused.len();
            status.refused_endpoints = refused.by_endpoint(compiler.plan());
        });
    }

    /// The differences between plan and dataplane, but for those that are refused, in words.
    fn compare(&self, compiler: &Compiler, mirror: &Mirror, refused: &RefusedSteps) -> Vec<String> {
        let (plan, node) = (compiler.plan(), &self.node);
        let keys: BTreeSet<&ObjectKey> = plan.keys().chain(mirror.keys()).collect();
        keys.into_iter()
            .filter_map(|key| match (plan.get(key), mirror.get(key)) {
                _ if refused.knows(key, plan) => Some(format!("node {node}: {key} is refused by the dataplane")),
                (Some(wished), Some(there)) if *wished.object == **there => None,
                (Some(_), Some(_)) => Some(format!("node {node}: {key} is programmed otherwise than wished")),
                (Some(_), None) => Some(format!("node {node}: {key} is wished but not programmed")),
                (None, _) => Some(format!("node {node}: {key} is programmed but not wished")),
            })
            .collect()
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
