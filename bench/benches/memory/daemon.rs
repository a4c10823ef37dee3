//! A million routes into a running `vrouterd`, over its gRPC interface, as a control process would program them: batches of 10,000, some of them under way at a
//! time. The daemon is the one that cargo built beside this bench; it has no interface, a configuration that is thrown away, and is
//! ended whatever happens.
#![allow(unsafe_code)]

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use vrouter_bench::figures::resident;
use vrouter_proto::dataplane::{
    ApplyRequest, DumpRequest, Kind, NextHop, Object, Operation, Route, Vrf,
    dataplane_client::DataplaneClient,
    next_hop::{Action, Drop as DropAction},
    object::Object as Inner,
    operation::Operation as Put,
};

use super::{lab::random_prefixes, packets::Family};

const ROUTES: usize = 1_000_000;

/// Operations of a batch, as the control process has them.
const BATCH: usize = 10_000;

/// Batches that wait to be sent.
const UNDER_WAY: usize = 4;

/// Next hops that routes lead to by turns.
const HOPS: usize = 64;

/// How long a daemon may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Seconds that it took, and the bytes that the daemon grew by for each route.
pub(crate) fn load(family: Family) -> (f64, f64) {
    let batches = requests(family);
    let daemon = Daemon::start();
    let runtime = Runtime::new().expect("a runtime");
    let before = daemon.resident();
    let seconds = runtime.block_on(async {
        let mut client = DataplaneClient::new(daemon.connect().await).max_decoding_message_size(256 << 20);
        let (sender, receiver) = mpsc::channel(UNDER_WAY);
        let begin = Instant::now();
        let count = batches.len();
        let feeder = tokio::spawn(async move {
            for batch in batches {
                sender.send(batch).await.expect("the daemon reads");
            }
        });
        let mut answers = client
            .apply(ReceiverStream::new(receiver))
            .await
            .expect("a stream")
            .into_inner();
        for _ in 0..count {
            let answer = answers.message().await.expect("an answer").expect("one for each batch");
            assert_eq!(answer.problems, [], "batch {}", answer.batch);
        }
        let seconds = begin.elapsed().as_secs_f64();
        feeder.await.expect("all was sent");
        assert_eq!(routes(&mut client).await, ROUTES, "all routes are there");
        seconds
    });
    let grown = daemon.resident().saturating_sub(before) as f64 / ROUTES as f64;
    (seconds, grown)
}

/// Routes that the daemon says it has.
async fn routes(client: &mut DataplaneClient<Channel>) -> usize {
    let request = DumpRequest {
        kinds: vec![Kind::Route.into()],
        vrf: 0,
    };
    let mut chunks = client.dump(request).await.expect("a dump").into_inner();
    let mut count = 0;
    while let Some(chunk) = chunks.message().await.expect("a chunk") {
        count += chunk.objects.len();
    }
    count
}

/// All that is to be sent, ready made.
fn requests(family: Family) -> Vec<ApplyRequest> {
    let vrf = Vrf {
        id: 1,
        name: "blue".to_owned(),
        underlay: false,
    };
    let hop = |n: usize| {
        Inner::NextHop(NextHop {
            id: 1 + n as u64,
            action: Some(Action::Drop(DropAction {})),
            ..NextHop::default()
        })
    };
    let route = |(n, prefix): (usize, String)| {
        Inner::Route(Route {
            vrf: 1,
            prefix,
            next_hop: 1 + (n % HOPS) as u64,
            ..Route::default()
        })
    };
    let prefixes = random_prefixes(family, ROUTES)
        .into_iter()
        .map(|(prefix, _)| prefix.to_string());
    let first = std::iter::once(Inner::Vrf(vrf)).chain((0..HOPS).map(hop));
    let mut operations = first.chain(prefixes.enumerate().map(route)).map(|object| Operation {
        operation: Some(Put::Put(Object { object: Some(object) })),
    });
    let mut list = Vec::new();
    loop {
        let operations: Vec<_> = operations.by_ref().take(BATCH).collect();
        if operations.is_empty() {
            return list;
        }
        list.push(ApplyRequest {
            batch: 1 + list.len() as u64,
            operations,
        });
    }
}

/// A running daemon. Dropped, it is ended.
struct Daemon {
    process: Child,
    directory: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Self {
        let program = program();
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("vrouterd.toml");
        let socket = socket(directory.path());
        let text = format!(
            "node = \"bench\"\nlisten = [\"unix:{}\"]\nframes = 4096\nlog = \"warn\"\n",
            socket.display()
        );
        fs::write(&config, text).expect("a file");
        let mut command = Command::new(&program);
        command.arg("--config").arg(&config);
        // SAFETY: between fork and exec only this system call is made, which is safe there.
        unsafe {
            command.pre_exec(|| {
                // Should this bench be killed, its daemon is, too.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        let process = command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut daemon = Self { process, directory };
        let begin = Instant::now();
        while !socket.exists() {
            if let Some(status) = daemon.process.try_wait().expect("a child") {
                panic!("vrouterd ended with {status}: it needs the rights that AF_XDP needs (root)");
            }
            assert!(begin.elapsed() < PATIENCE, "vrouterd does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    async fn connect(&self) -> Channel {
        let path = socket(self.directory.path());
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://vrouterd.local");
        endpoint.connect_with_connector(connector).await.expect("a connection")
    }

    fn resident(&self) -> u64 {
        resident::of(&self.process.id().to_string()).expect("the kernel tells")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SAFETY: the process is our child and was not waited for, so its number is still its own.
        unsafe { libc::kill(self.process.id() as libc::pid_t, libc::SIGTERM) };
        let begin = Instant::now();
        while let Ok(None) = self.process.try_wait() {
            if begin.elapsed() > PATIENCE {
                let _ = self.process.kill();
                let _ = self.process.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("vrouterd.sock")
}

/// The daemon, of the profile that this bench is of.
fn program() -> PathBuf {
    let deps = std::env::current_exe().expect("this program has a path");
    let program = deps.ancestors().nth(2).expect("a directory").join("vrouterd");
    assert!(
        program.exists(),
        "{} is not there: cargo build --release -p vrouter-dataplane --bin vrouterd (make bench does)",
        program.display()
    );
    program
}
