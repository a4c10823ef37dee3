//! What all `list` commands share: a filter, a limit, and the writing of what is left.

use clap::Args;

use crate::{
    failure::Failure,
    filter::Filter,
    output::{Output, Record},
};

/// Flags of every list.
#[derive(Args, Debug, Default)]
pub(crate) struct ListArgs {
    /// Only what matches, like 'ip=10.1.0.2 port=443'; may be given several times, all must hold
    #[arg(short = 'm', long = "match", value_name = "FILTER")]
    filter: Vec<String>,
    /// At most this many
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl ListArgs {
    /// The filter, checked against the keys of `R`.
    pub(crate) fn filter<R: Record>(&self) -> Result<Filter<R>, Failure> {
        Filter::parse(&self.filter)
    }

    /// How many to show at most, `default` where nothing is said.
    pub(crate) fn limit_or(&self, default: u32) -> u32 {
        self.limit.unwrap_or(default)
    }

    /// Writes those of `records` that match, in the order of `key`.
    pub(crate) fn write<R: Record, K: Ord>(
        &self,
        output: &Output,
        filter: &Filter<R>,
        records: impl Iterator<Item = R>,
        key: impl FnMut(&R) -> K,
    ) -> Result<(), Failure> {
        let mut records: Vec<R> = records.filter(|record| filter.matches(record)).collect();
        records.sort_by_cached_key(key);
        if let Some(limit) = self.limit {
            records.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        output.list(&records, !filter.is_empty())
    }
}
