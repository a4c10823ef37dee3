//! Servers on unix sockets in a directory of their own, and the binary run against them.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use tempfile::TempDir;
use tokio::{net::UnixListener, runtime::Runtime};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use vrouter_proto::{control::control_server::ControlServer, dataplane::dataplane_server::DataplaneServer};

use crate::{fake_control::FakeControl, fake_dataplane::FakeDataplane};

/// Both servers; they end with this value.
pub(crate) struct House {
    directory: TempDir,
    pub(crate) control: FakeControl,
    pub(crate) dataplane: FakeDataplane,
    runtime: Option<Runtime>,
}

impl House {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let control = FakeControl::default();
        let dataplane = FakeDataplane::default();
        let guard = runtime.enter();
        let listen = |name: &str| UnixListenerStream::new(UnixListener::bind(directory.path().join(name)).unwrap());
        let (at_control, at_dataplane) = (listen("control.sock"), listen("vrouterd.sock"));
        drop(guard);
        let server = Server::builder().add_service(ControlServer::new(control.clone()));
        runtime.spawn(server.serve_with_incoming(at_control));
        let server = Server::builder().add_service(DataplaneServer::new(dataplane.clone()));
        runtime.spawn(server.serve_with_incoming(at_dataplane));
        Self {
            directory,
            control,
            dataplane,
            runtime: Some(runtime),
        }
    }

    /// Both servers die: connections break, sockets stay.
    pub(crate) fn die(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command, with both addresses in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vrctl"));
        command
            .args(arguments)
            .env_remove("NO_COLOR")
            .env(
                "VROUTER_CONTROL",
                format!("unix:{}", self.path("control.sock").display()),
            )
            .env(
                "VROUTER_DATAPLANE",
                format!("unix:{}", self.path("vrouterd.sock").display()),
            );
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs and expects success; what was printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {complaint}");
        assert_eq!(complaint, "", "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs with `-o json` and expects one JSON value.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let mut all = arguments.to_vec();
        all.extend(["-o", "json"]);
        serde_json::from_str(&self.ok(&all)).unwrap()
    }

    /// Runs and expects the exit code `code`; the complaint.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {complaint}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{arguments:?}");
        complaint
    }
}
