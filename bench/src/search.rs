//! The search for the highest rate at which no more is lost than is allowed (RFC 2544 section 26.1), over any device: what
//! measures is given. No clock, no network, no randomness in here.
//!
//! A search has goals, each with the share of packets that may be lost: none for the non-drop rate (NDR), 0.5 % for the partial
//! drop rate (PDR). It halves (on a logarithmic scale) what lies between the highest rate that passed and the lowest that failed,
//! until both are close enough. Goals share what was measured.

use serde::Serialize;

/// Something to find.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// Its name.
    pub name: String,
    /// Share of packets that may be lost, 0 to 1.
    pub loss: f64,
}

/// How to search. Rates are in packets per second.
#[derive(Debug, Clone)]
pub struct SearchPlan {
    /// What to find.
    pub goals: Vec<Goal>,
    /// Lowest rate to try, above zero.
    pub least: f64,
    /// Highest rate to try.
    pub most: f64,
    /// A goal is found when the lowest rate that failed is above the highest that passed by no more than this share of it.
    pub resolution: f64,
    /// Trials at each rate; the rate passes when more than half of them do.
    pub trials: u32,
    /// Most trials altogether.
    pub most_trials: u32,
}

/// What a trial came to.
pub trait Outcome {
    /// Packets per second that were really offered, which may be less than was asked for.
    fn offered(&self) -> f64;

    /// Share of the offered packets that were lost, 0 to 1.
    fn loss(&self) -> f64;
}

/// Why a search cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// No goal.
    #[error("there is nothing to search for")]
    NoGoal,
    /// Not a share.
    #[error("a loss of {0} is impossible: it is a share of all packets, from 0 to below 1")]
    Loss(f64),
    /// Rates.
    #[error("the lowest rate must be above zero and below the highest: {least} and {most} packets/s")]
    Rates {
        /// Lowest.
        least: f64,
        /// Highest.
        most: f64,
    },
    /// Not a share.
    #[error("a resolution of {0} is impossible: it is a share of the rate, from 0.0001 to below 1")]
    Resolution(f64),
    /// No trial.
    #[error("there must be at least one trial at a rate, and as many altogether")]
    Trials,
}

/// What bounds the found rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The device: a little above it loses too much.
    Device,
    /// The sender could not send faster: the device may do better.
    Sender,
    /// The highest rate that was to be tried: the device may do better.
    HighestRate,
    /// The lowest rate that was to be tried already loses too much; nothing was found.
    LowestRate,
    /// The search ran out of trials: the rate passed, and how far it is from the best is as [`Found::failed_at`] tells.
    Trials,
}

/// What was found for a goal.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The goal.
    pub goal: Goal,
    /// Packets per second that were offered and passed; none: no rate did.
    pub rate: Option<f64>,
    /// Lowest rate above it that failed.
    pub failed_at: Option<f64>,
    /// What bounds it.
    pub bound: Bound,
    /// The trial that passed at that rate, by its number in [`Search::trials`].
    pub trial: Option<usize>,
}

/// A search that has ended.
#[derive(Debug, Clone)]
pub struct Search<T> {
    /// By goal, in the order of the plan.
    pub found: Vec<Found>,
    /// All trials, with the rates that were asked for.
    pub trials: Vec<(f64, T)>,
}

/// A rate that was measured.
#[derive(Debug, Clone, Copy)]
struct Point {
    /// Asked for.
    asked: f64,
    /// The trial in the middle of those at this rate, ordered by loss; it speaks for the rate.
    trial: usize,
    offered: f64,
    loss: f64,
}

/// A sender that offers less than this share of what it was asked for is what limits.
const KEPT_UP: f64 = 0.98;

impl SearchPlan {
    fn check(&self) -> Result<(), PlanError> {
        let share = |least: f64, value: f64| (least..1.0).contains(&value);
        if self.goals.is_empty() {
            return Err(PlanError::NoGoal);
        }
        if let Some(goal) = self.goals.iter().find(|goal| !share(0.0, goal.loss)) {
            return Err(PlanError::Loss(goal.loss));
        }
        if !(self.least > 0.0 && self.least < self.most && self.most.is_finite()) {
            return Err(PlanError::Rates {
                least: self.least,
                most: self.most,
            });
        }
        if !share(0.0001, self.resolution) {
            return Err(PlanError::Resolution(self.resolution));
        }
        if self.trials == 0 || self.most_trials < self.trials {
            return Err(PlanError::Trials);
        }
        Ok(())
    }
}

/// Why a search failed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError<E> {
    /// It could not begin.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A trial failed.
    #[error("{0}")]
    Trial(E),
}

/// Searches. `trial` offers so many packets per second for as long as a trial takes.
///
/// Ends whatever the device does: each rate that is tried for a goal at least halves, or ends, what is left between passing and
/// failing for it, or the trials run out.
///
/// # Errors
/// [`SearchError`]; that of `trial` is given on at once.
pub fn search<T: Outcome, E>(
    plan: &SearchPlan,
    mut trial: impl FnMut(f64) -> Result<T, E>,
) -> Result<Search<T>, SearchError<E>> {
    plan.check()?;
    let mut trials: Vec<(f64, T)> = Vec::new();
    let mut points: Vec<Point> = Vec::new();
    let mut found = Vec::new();
    for goal in &plan.goals {
        let state = loop {
            let step = next(plan, goal, &points);
            let Step::Try(rate) = step else { break step };
            if trials.len() as u64 + u64::from(plan.trials) > u64::from(plan.most_trials) {
                break Step::End(Bound::Trials);
            }
            let first = trials.len();
            for _ in 0..plan.trials {
                trials.push((rate, trial(rate).map_err(SearchError::Trial)?));
            }
            points.extend(middle(&trials, first, rate));
        };
        let bound = match state {
            Step::End(bound) => bound,
            Step::Try(_) => Bound::Trials,
        };
        let (passed, failed) = around(goal, &points);
        found.push(Found {
            goal: goal.clone(),
            rate: passed.map(|point| point.offered),
            failed_at: failed.map(|point| point.offered),
            bound,
            trial: passed.map(|point| point.trial),
        });
    }
    Ok(Search { found, trials })
}

/// What speaks for the trials from `first` on.
fn middle<T: Outcome>(trials: &[(f64, T)], first: usize, asked: f64) -> Option<Point> {
    let mut by_loss: Vec<usize> = (first..trials.len()).collect();
    let of = |trial: &usize| trials.get(*trial).map(|(_, outcome)| outcome);
    by_loss.sort_by(|a, b| {
        let loss = |trial| of(trial).map_or(1.0, Outcome::loss);
        loss(a).total_cmp(&loss(b))
    });
    // Of an even number the worse of both in the middle: more than half must pass.
    let trial = *by_loss.get(by_loss.len() / 2)?;
    let outcome = of(&trial)?;
    // A trial in which nothing was offered shows nothing.
    let loss = if outcome.offered() > 0.0 { outcome.loss() } else { 1.0 };
    Some(Point {
        asked,
        trial,
        offered: outcome.offered(),
        loss,
    })
}

/// The highest rate that passed and is below all that failed, and the lowest that failed. A rate that passes above one that
/// fails does not count: devices are no better at more, only luckier.
fn around(goal: &Goal, points: &[Point]) -> (Option<Point>, Option<Point>) {
    let passes = |point: &&Point| point.loss <= goal.loss;
    let by_asked = |a: &&Point, b: &&Point| a.asked.total_cmp(&b.asked);
    let failed = points.iter().filter(|point| !passes(point)).min_by(by_asked);
    let limit = failed.map_or(f64::INFINITY, |point| point.asked);
    let below = points.iter().filter(passes).filter(|point| point.asked < limit);
    (below.max_by(by_asked).copied(), failed.copied())
}

/// What to do next for a goal.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Try(f64),
    End(Bound),
}

fn next(plan: &SearchPlan, goal: &Goal, points: &[Point]) -> Step {
    let (passed, failed) = around(goal, points);
    match (passed, failed) {
        // The highest first: it tells at once what the sender can do, and what goes through when too much is offered.
        (None, None) => Step::Try(plan.most),
        (Some(passed), None) if passed.offered < passed.asked * KEPT_UP => Step::End(Bound::Sender),
        (Some(passed), None) if passed.asked < plan.most => Step::Try(plan.most),
        (Some(_), None) => Step::End(Bound::HighestRate),
        (None, Some(failed)) if failed.asked <= plan.least => Step::End(Bound::LowestRate),
        (None, Some(failed)) => {
            // What came through of what was offered is near what the device can do, if it does not break down.
            let through = failed.offered * (1.0 - failed.loss) * (1.0 - plan.resolution / 2.0);
            let first_failure = points.iter().filter(|point| point.loss > goal.loss).count() == 1;
            let low = plan.least;
            if first_failure && through > low && through < failed.asked {
                Step::Try(through)
            } else if failed.asked <= low * (1.0 + plan.resolution) {
                Step::Try(low)
            } else {
                Step::Try(middle_rate(low, failed.asked))
            }
        }
        (Some(passed), Some(failed)) => {
            // A sender that could not do what was asked cannot do more than it did.
            let top = failed.asked.min(failed.offered / KEPT_UP).max(passed.asked);
            if top <= passed.asked * (1.0 + plan.resolution) {
                let kept_up = passed.offered >= passed.asked * KEPT_UP;
                Step::End(if kept_up { Bound::Device } else { Bound::Sender })
            } else {
                Step::Try(middle_rate(passed.asked, top))
            }
        }
    }
}

/// The middle of two rates on a logarithmic scale.
fn middle_rate(low: f64, high: f64) -> f64 {
    (low * high).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flows::mix;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy)]
    struct Trial {
        offered: f64,
        loss: f64,
    }

    impl Outcome for Trial {
        fn offered(&self) -> f64 {
            self.offered
        }
        fn loss(&self) -> f64 {
            self.loss
        }
    }

    fn plan() -> SearchPlan {
        let goal = |name: &str, loss| Goal {
            name: name.to_owned(),
            loss,
        };
        SearchPlan {
            goals: vec![goal("NDR", 0.0), goal("PDR", 0.005)],
            least: 1_000.0,
            most: 10_000_000.0,
            resolution: 0.01,
            trials: 1,
            most_trials: 200,
        }
    }

    /// A device that moves up to `capacity` packets per second, behind a sender that sends up to `sender`.
    fn device(capacity: f64, sender: f64) -> impl FnMut(f64) -> Result<Trial, &'static str> {
        move |asked| {
            let offered = asked.min(sender);
            let loss = (1.0 - capacity / offered).max(0.0);
            Ok(Trial { offered, loss })
        }
    }

    fn found(search: &Search<Trial>) -> Vec<(Option<u64>, Bound)> {
        search
            .found
            .iter()
            .map(|f| (f.rate.map(|rate| rate as u64), f.bound))
            .collect()
    }

    #[test]
    fn a_device_without_limit_is_bounded_by_the_highest_rate_or_the_sender() {
        let result = search(&plan(), device(1e9, 1e9)).unwrap();
        assert_eq!(found(&result), [(Some(10_000_000), Bound::HighestRate); 2]);
        assert_eq!(result.trials.len(), 1, "both goals share the one trial");
        let result = search(&plan(), device(1e9, 700_000.0)).unwrap();
        assert_eq!(found(&result), [(Some(700_000), Bound::Sender); 2]);
    }

    #[test]
    fn a_device_that_always_loses_has_no_rate() {
        let broken = |asked| {
            Ok::<_, ()>(Trial {
                offered: asked,
                loss: 0.2,
            })
        };
        let result = search(&plan(), broken).unwrap();
        assert_eq!(found(&result), [(None, Bound::LowestRate); 2]);
        assert!(
            result.trials.iter().any(|(rate, _)| *rate == plan().least),
            "the lowest was tried"
        );
        let silent = |_| {
            Ok::<_, ()>(Trial {
                offered: 0.0,
                loss: 0.0,
            })
        };
        assert_eq!(
            found(&search(&plan(), silent).unwrap())[0].0,
            None,
            "nothing offered is nothing passed"
        );
    }

    #[test]
    fn a_device_that_breaks_down_is_searched_all_the_same() {
        // Above 123 thousand hardly anything comes through: what came through says nothing of what could.
        let cliff = |asked: f64| {
            let loss = if asked > 123_000.0 { 0.99 } else { 0.0 };
            Ok::<_, ()>(Trial { offered: asked, loss })
        };
        let result = search(&plan(), cliff).unwrap();
        for found in &result.found {
            let rate = found.rate.unwrap();
            assert!(rate <= 123_000.0 && rate * 1.01 >= 123_000.0 * 0.9999, "{rate}");
            assert_eq!(found.bound, Bound::Device);
            assert!(found.failed_at.unwrap() > 123_000.0);
        }
    }

    #[test]
    fn several_trials_outvote_an_accident() {
        let plan = SearchPlan { trials: 3, ..plan() };
        let mut count = 0;
        let mut good = device(500_000.0, 1e9);
        // Each third trial loses something, whatever the rate.
        let result = search(&plan, |asked| {
            count += 1;
            let mut trial = good(asked)?;
            trial.loss = if count % 3 == 0 { 1.0 } else { trial.loss };
            Ok::<_, &str>(trial)
        })
        .unwrap();
        let rate = result.found[0].rate.unwrap();
        assert!((495_000.0 * 0.999..=500_000.0).contains(&rate), "{rate}");
        let number = result.found[0].trial.unwrap();
        assert_eq!(
            result.trials[number].1.loss, 0.0,
            "the trial that speaks for the rate passed"
        );
    }

    #[test]
    fn trials_may_run_out() {
        let plan = SearchPlan {
            most_trials: 3,
            ..plan()
        };
        let cliff = |asked: f64| {
            let loss = if asked > 5_000.0 { 1.0 } else { 0.0 };
            Ok::<_, ()>(Trial { offered: asked, loss })
        };
        let result = search(&plan, cliff).unwrap();
        assert_eq!(found(&result), [(None, Bound::Trials); 2]);
        assert_eq!(result.trials.len(), 3);
    }

    #[test]
    fn a_sender_that_falls_behind_below_a_failure_is_what_bounds() {
        // At most it bursts, and the device loses; below, it sends half of what it is asked for.
        let odd = |asked: f64| {
            let (offered, loss) = if asked > 9e6 { (asked, 0.5) } else { (asked / 2.0, 0.0) };
            Ok::<_, ()>(Trial { offered, loss })
        };
        let result = search(&plan(), odd).unwrap();
        assert_eq!(result.found[0].bound, Bound::Sender);
    }

    #[test]
    fn errors_come_out() {
        let result = search(&plan(), |_| Err::<Trial, _>("the cable"));
        assert_eq!(result.unwrap_err().to_string(), "the cable");
        let refuse = |plan: SearchPlan| search(&plan, device(1.0, 1.0)).unwrap_err().to_string();
        assert!(
            refuse(SearchPlan {
                goals: vec![],
                ..plan()
            })
            .contains("nothing to search")
        );
        assert!(refuse(SearchPlan { least: 0.0, ..plan() }).contains("above zero"));
        assert!(refuse(SearchPlan { most: 500.0, ..plan() }).contains("below the highest"));
        assert!(
            refuse(SearchPlan {
                resolution: 0.0,
                ..plan()
            })
            .contains("resolution of 0")
        );
        assert!(refuse(SearchPlan { trials: 0, ..plan() }).contains("at least one trial"));
        let mut odd = plan();
        odd.goals[0].loss = 1.0;
        assert!(refuse(odd).contains("loss of 1"));
    }

    proptest! {
        /// Against a device whose loss is known, each goal is met within the resolution: the rate passes, and one that is a
        /// little higher does not.
        #[test]
        fn converges_to_a_known_curve(
            capacity in 2_000.0f64..9_000_000.0,
            resolution in 0.001f64..0.1,
            losses in prop::collection::vec(0.0f64..0.3, 1..4),
        ) {
            let goals = losses.iter().map(|loss| Goal { name: loss.to_string(), loss: *loss }).collect();
            let plan = SearchPlan { goals, resolution, ..plan() };
            let result = search(&plan, device(capacity, 1e12)).unwrap();
            for found in &result.found {
                let best = (capacity / (1.0 - found.goal.loss)).min(plan.most);
                let rate = found.rate.unwrap();
                prop_assert!(rate <= best * (1.0 + 1e-9), "{rate} above {best}");
                prop_assert!(rate * (1.0 + resolution) >= best * (1.0 - 1e-9), "{rate} far below {best}");
            }
            // What may lose more is found no lower, but for what the resolution leaves open.
            for a in &result.found {
                for b in &result.found {
                    if a.goal.loss <= b.goal.loss {
                        prop_assert!(a.rate.unwrap() <= b.rate.unwrap() * (1.0 + resolution));
                    }
                }
            }
            // Halving from the highest to the lowest rate, once per goal, and few more.
            let halvings = ((plan.most / plan.least).ln() / resolution.ln_1p()).log2().ceil() + 4.0;
            prop_assert!(result.trials.len() as f64 <= halvings * plan.goals.len() as f64);
        }

        /// Whatever a device answers, the search ends, asks only for rates within the limits, and gives a rate only if a trial
        /// at it passed and no lower one failed.
        #[test]
        fn ends_on_noise(seed: u64, trials in 1u32..4, sender in 1_000.0f64..2e7) {
            let plan = SearchPlan { trials, ..plan() };
            let mut state = seed;
            let result = search(&plan, |asked: f64| {
                state = mix(state);
                let loss = if state & 1 == 0 { 0.0 } else { (state >> 40) as f64 / (1u64 << 24) as f64 };
                Ok::<_, ()>(Trial { offered: asked.min(sender), loss })
            }).unwrap();
            prop_assert!(result.trials.len() <= plan.most_trials as usize);
            for (asked, _) in &result.trials {
                prop_assert!((plan.least..=plan.most).contains(asked), "{asked}");
            }
            for found in &result.found {
                let Some(trial) = found.trial else {
                    prop_assert_eq!(found.rate, None);
                    continue;
                };
                let (_, outcome) = &result.trials[trial];
                prop_assert_eq!(found.rate, Some(outcome.offered));
                prop_assert!(outcome.loss <= found.goal.loss);
            }
        }
    }
}
