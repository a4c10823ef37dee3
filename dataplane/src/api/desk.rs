//! Where requests are answered: on the programming thread, by the programmer.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::{
    event::Event,
    handle::{Applied, Handle, Request, What},
    view::{About, View},
};
use crate::{
    program::{Change, Programmer},
    telemetry::{Baselines, Sources},
};

/// Answers requests. Lives on the programming thread, beside the programmer.
#[derive(Debug)]
pub struct Desk {
    events: broadcast::Sender<Event>,
    about: Arc<About>,
    sources: Sources,
    baselines: Baselines,
}

impl Desk {
    /// For the requests of `handle`.
    pub fn new(handle: &Handle, about: About, sources: Sources, programmer: &Programmer) -> Self {
        let mut desk = Self {
            events: handle.events.clone(),
            about: Arc::new(about),
            sources,
            baselines: Baselines::default(),
        };
        desk.follow(programmer);
        desk
    }

    /// Does what is asked. `now`: nanoseconds of the workers' clock.
    pub fn answer(&mut self, request: Request, programmer: &mut Programmer, now: u64) {
        // An answer that nobody waits for any more is no loss: what was done is done.
        match request.what {
            What::Apply { batch, reply } => {
                let applied = batch.and_then(|operations| programmer.apply(&operations, now));
                self.tell(programmer);
                let _ = reply.send(Applied {
                    revision: programmer.revision(),
                    problems: applied.err().unwrap_or_default(),
                });
            }
            What::View { reply } => {
                let _ = reply.send(self.view(programmer, now));
            }
            What::Watch { reply } => {
                // What happened before the view is not told after it.
                self.tell(programmer);
                let _ = reply.send((self.view(programmer, now), self.events.subscribe()));
            }
        }
    }

    /// Tells watchers what the programmer changed. To be called whenever it may have.
    pub fn tell(&mut self, programmer: &mut Programmer) {
        let changes = programmer.changes();
        if changes.is_empty() {
            return;
        }
        if changes.iter().any(|change| matches!(change, Change::Revision(_))) {
            self.follow(programmer);
        }
        let snapshot = programmer.snapshot();
        for event in changes.iter().filter_map(|change| Event::of(change, &snapshot)) {
            // Nobody watching is fine.
            let _ = self.events.send(event);
        }
    }

    fn follow(&mut self, programmer: &Programmer) {
        let snapshot = programmer.snapshot();
        self.baselines.follow(snapshot.tables(), &self.sources.shared.counters);
    }

    fn view(&self, programmer: &Programmer, now: u64) -> View {
        View {
            snapshot: programmer.snapshot(),
            about: self.about.clone(),
            sources: self.sources.clone(),
            baselines: self.baselines.clone(),
            now,
        }
    }
}
