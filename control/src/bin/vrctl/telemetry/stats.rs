//! `vrctl stats`: counters since start, or rates again and again.

use std::time::{Duration, Instant};

use clap::Args;
use tonic::transport::Channel;
use vrouter_proto::dataplane::{self as api, dataplane_client::DataplaneClient};

use super::{rates::Rates, totals::Totals};
use crate::{cli::Context, failure::Failure};

/// Moves the cursor to the top left and clears from there.
const CLEAR: &str = "\x1b[H\x1b[J";

#[derive(Args, Debug)]
#[command(after_help = "\
Without --watch: totals since vrouterd started. With it: what happened per second, until interrupted; on a terminal in place,
otherwise one block (with -o json one line) for each interval.

Examples:
  vrctl stats
  vrctl stats --watch
  vrctl stats --watch 5 -o json")]
pub(crate) struct Stats {
    /// Show rates every so many seconds
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "1",
        value_parser = interval
    )]
    watch: Option<Duration>,
    /// With --watch: stop after so many intervals
    #[arg(long, value_name = "N", requires = "watch")]
    count: Option<u64>,
}

pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("seconds are wanted, from 0.1 to 86400".to_owned()),
    }
}

/// Does what the command asks.
pub(crate) async fn run(stats: Stats, context: &Context) -> Result<(), Failure> {
    let mut dataplane = context.dataplane().await?;
    match stats.watch {
        None => totals(&Totals::from(read(&mut dataplane).await?), context),
        Some(interval) => watch(&mut dataplane, interval, stats.count, context).await,
    }
}

async fn read(dataplane: &mut DataplaneClient<Channel>) -> Result<api::GetStatisticsResponse, Failure> {
    Ok(dataplane
        .get_statistics(api::GetStatisticsRequest {})
        .await?
        .into_inner())
}

fn totals(totals: &Totals, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    if output.json() {
        return output.value(totals);
    }
    let blocks = [
        output.table(&totals.ports),
        output.table(&totals.vrfs),
        output.table(&totals.workers),
        output.table(std::slice::from_ref(&totals.frames)),
        output.table(std::slice::from_ref(&totals.flows)),
        output.table(std::slice::from_ref(&totals.packets)),
    ];
    output.text(&blocks.join("\n"))
}

async fn watch(
    dataplane: &mut DataplaneClient<Channel>,
    interval: Duration,
    count: Option<u64>,
    context: &Context,
) -> Result<(), Failure> {
    let output = &context.output;
    let mut before = read(dataplane).await?;
    let mut since = Instant::now();
    let mut shown = 0;
    while count.is_none_or(|count| shown < count) {
        tokio::time::sleep(interval).await;
        let now = read(dataplane).await?;
        let elapsed = since.elapsed();
        since = Instant::now();
        let rates = Rates::new(&before, &now, elapsed);
        before = now;
        if output.json() {
            output.line(&rates)?;
        } else {
            let blocks = [
                output.table(&rates.ports),
                output.table(&rates.vrfs),
                output.table(&rates.workers),
                output.table(std::slice::from_ref(&rates.flows)),
            ];
            let text = blocks.join("\n");
            let frame = match (output.terminal(), shown) {
                (true, _) => format!("{CLEAR}{text}"),
                (false, 0) => text,
                (false, _) => format!("\n{text}"),
            };
            output.text(&frame)?;
        }
        shown += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_seconds_within_reason() {
        assert_eq!(interval("2"), Ok(Duration::from_secs(2)));
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "NaN", "inf", "x", "1e9"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
