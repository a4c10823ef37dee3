//! Of the store.

use std::{fs, path::Path, sync::atomic::Ordering};

use vrouter_metrics::Page;

use crate::store::Store;

pub(super) fn put(page: &mut Page, store: &Store, path: &Path) {
    let counts = store.counts();
    page.gauge(
        "vrouter_control_revision",
        "The store's revision: grows with every change.",
    )
    .put(&[], store.state().revision());
    let mut size = page.gauge("vrouter_control_store_size_bytes", "Size of the store's file.");
    if let Ok(file) = fs::metadata(path) {
        size.put(&[], file.len());
    }
    page.counter("vrouter_control_store_transactions", "Transactions that are durable.")
        .put(&[], counts.transactions.load(Ordering::Relaxed));
    page.counter(
        "vrouter_control_store_failures",
        "Commits that failed: the disk is full or broken.",
    )
    .put(&[], counts.failures.load(Ordering::Relaxed));
    page.histogram(
        "vrouter_control_store_commit_duration_seconds",
        "Time to make a group of transactions durable.",
    )
    .distribution(&[], &counts.commits.read());
}
