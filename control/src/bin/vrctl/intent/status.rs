//! `vrctl status`: the control process, its dataplanes, and whether they run what is wished.

use serde::Serialize;
use vrouter_proto::control as api;

use crate::{
    cli::Context,
    failure::Failure,
    filter::Key,
    output::{Cell, Column, Record, Style},
};

/// One dataplane as the control process sees it.
#[derive(Serialize)]
pub(super) struct DataplaneView {
    pub(super) node: String,
    pub(super) address: String,
    pub(super) connected: bool,
    pub(super) synced_revision: u64,
    pub(super) error: String,
    pub(super) refused: u64,
}

impl From<api::DataplaneStatus> for DataplaneView {
    fn from(status: api::DataplaneStatus) -> Self {
        Self {
            node: status.node,
            address: status.address,
            connected: status.connected,
            synced_revision: status.synced_revision,
            error: status.error,
            refused: status.refused,
        }
    }
}

impl DataplaneView {
    /// Connected or not, in colour.
    pub(super) fn state(&self) -> Cell {
        if self.connected {
            Cell::new("connected").style(Style::Good)
        } else {
            Cell::new("disconnected").style(Style::Bad)
        }
    }
}

/// A dataplane beside the revision it should have.
#[derive(Serialize)]
struct SyncView {
    #[serde(flatten)]
    dataplane: DataplaneView,
    /// It is connected, refuses nothing and runs all that is wished now.
    in_sync: bool,
    #[serde(skip)]
    behind: u64,
}

impl Record for SyncView {
    const NOUNS: &'static str = "dataplanes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("NODE", |it| Cell::new(&it.dataplane.node)),
        Column::text("ADDRESS", |it| Cell::new(&it.dataplane.address)),
        Column::text("STATE", |it| it.dataplane.state()),
        Column::number("SYNCED", |it| it.dataplane.synced_revision.into()),
        Column::text("SYNC", |it| match (it.behind, it.dataplane.refused) {
            (0, 0) if it.in_sync => Cell::new("in sync").style(Style::Good),
            (0, 0) => Cell::new("unknown").style(Style::Warning),
            (0, refused) => Cell::new(format!("{refused} refused")).style(Style::Bad),
            (behind, _) => Cell::new(format!("{behind} behind")).style(Style::Warning),
        }),
        Column::text("ERROR", |it| Cell::new(&it.dataplane.error)),
    ];
    const KEYS: &'static [Key<Self>] = &[];
}

/// The whole answer, as JSON.
#[derive(Serialize)]
struct StatusView {
    version: String,
    revision: u64,
    dataplanes: Vec<SyncView>,
}

/// Shows the state of the control process.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let info = context
        .control()
        .await?
        .get_info(api::GetInfoRequest {})
        .await?
        .into_inner();
    let mut dataplanes: Vec<SyncView> = info
        .dataplanes
        .into_iter()
        .map(|status| SyncView {
            in_sync: status.connected && status.refused == 0 && status.synced_revision >= info.revision,
            behind: info.revision.saturating_sub(status.synced_revision),
            dataplane: status.into(),
        })
        .collect();
    dataplanes.sort_by(|a, b| a.dataplane.node.cmp(&b.dataplane.node));
    let status = StatusView {
        version: info.version,
        revision: info.revision,
        dataplanes,
    };
    if context.output.json() {
        return context.output.value(&status);
    }
    let head = context.output.lines(&[
        ("VERSION", Cell::new(&status.version)),
        ("REVISION", status.revision.into()),
    ]);
    context.output.text(&head)?;
    context.output.text("\n")?;
    context.output.list(&status.dataplanes, false)
}
