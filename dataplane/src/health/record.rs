//! What is concluded from answers.

use std::sync::Arc;

use crate::program::HealthStatus;

/// What became of all questions to one workload.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    status: HealthStatus,
    /// Answers in a row that speak against what is believed.
    against: u32,
}

impl Record {
    /// Notes an answer, or why there was none. `rise`, `fall`: after how many in a row the opposite is believed.
    pub(super) fn note(&mut self, answer: Result<(), String>, rise: u32, fall: u32) {
        let status = &mut self.status;
        match &answer {
            Ok(()) => status.successes += 1,
            Err(_) => status.failures += 1,
        }
        if answer.is_ok() == status.healthy {
            self.against = 0;
        } else {
            self.against += 1;
            if self.against >= if status.healthy { fall } else { rise } {
                status.healthy = !status.healthy;
                self.against = 0;
            }
        }
        let detail = match answer {
            // A failure or two of a workload that is believed to be well are nobody's news.
            _ if status.healthy => String::new(),
            Ok(()) => format!("well {} times of {rise} in a row", self.against),
            Err(why) => why,
        };
        if *detail != *status.detail {
            status.detail = Arc::from(detail);
        }
    }

    /// What is believed now.
    pub(super) fn status(&self) -> &HealthStatus {
        &self.status
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bad() -> Result<(), String> {
        Err("connection refused".to_owned())
    }

    #[test]
    fn a_workload_is_unwell_until_it_answered_often_enough_and_well_until_it_failed_often_enough() {
        let mut record = Record::default();
        let says = |record: &Record| (record.status().healthy, record.status().detail.to_string());
        assert_eq!(says(&record), (false, "not asked yet".to_owned()));
        record.note(bad(), 2, 3);
        assert_eq!(says(&record), (false, "connection refused".to_owned()));
        record.note(Ok(()), 2, 3);
        assert_eq!(says(&record), (false, "well 1 times of 2 in a row".to_owned()));
        record.note(bad(), 2, 3);
        record.note(Ok(()), 2, 3);
        assert!(!record.status().healthy, "not in a row");
        record.note(Ok(()), 2, 3);
        assert_eq!(says(&record), (true, String::new()));
        for _ in 0..2 {
            record.note(bad(), 2, 3);
            assert_eq!(says(&record), (true, String::new()));
        }
        record.note(Ok(()), 2, 3);
        record.note(bad(), 2, 3);
        record.note(bad(), 2, 3);
        assert!(record.status().healthy, "not in a row");
        record.note(bad(), 2, 3);
        assert_eq!(says(&record), (false, "connection refused".to_owned()));
        assert_eq!((record.status().successes, record.status().failures), (4, 7));
    }

    proptest! {
        /// Against the plain reading of the words: the belief is that of the last unbroken run that was long enough.
        #[test]
        fn belief_follows_the_last_run_that_was_long_enough(
            answers in prop::collection::vec(any::<bool>(), 0..60),
            rise in 1_u32..5,
            fall in 1_u32..5,
        ) {
            let mut record = Record::default();
            let (mut healthy, mut run) = (false, (false, 0));
            for good in answers {
                run = if run.0 == good { (good, run.1 + 1) } else { (good, 1) };
                if run.1 >= if good { rise } else { fall } {
                    healthy = good;
                }
                record.note(if good { Ok(()) } else { bad() }, rise, fall);
                prop_assert_eq!(record.status().healthy, healthy);
                prop_assert_eq!(record.status().detail.is_empty(), healthy);
            }
        }
    }
}
