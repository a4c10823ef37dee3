//! Network namespaces: entered by a thread of its own, so that nobody else's thread ever changes place.

use std::{
    fs::File,
    future::Future,
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rtnetlink::Handle;
use tokio::{runtime, sync::oneshot, time};

use super::Error;

/// How long the kernel may take. It does everything about links under one lock, which a busy machine may hold for seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// A network namespace, held open.
#[derive(Debug)]
pub struct Netns {
    path: PathBuf,
    file: File,
}

impl Netns {
    /// Opens `/run/netns/NAME`, `/proc/PID/ns/net` or the like.
    ///
    /// # Errors
    /// [`Error::Namespace`] when it is not there, or is not the file of a network namespace.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fail = |source| Error::Namespace {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(fail)?;
        let magic = nix::sys::statfs::fstatfs(&file)
            .map_err(|e| fail(e.into()))?
            .filesystem_type();
        if magic != nix::sys::statfs::NSFS_MAGIC {
            // What the mount of a namespace leaves behind when it goes is a plain file.
            return Err(fail(io::Error::new(io::ErrorKind::NotFound, "no namespace is there")));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn try_clone(&self) -> Result<Self, Error> {
        let file = self.file.try_clone().map_err(|e| Error::kernel("a descriptor", e))?;
        Ok(Self {
            path: self.path.clone(),
            file,
        })
    }
}

/// Runs `work` with a netlink connection, in a namespace, or in this process's own, on a thread of its own.
pub(super) async fn netlink<T, F>(
    netns: Option<&Netns>,
    work: impl FnOnce(Handle) -> F + Send + 'static,
) -> Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>>,
{
    let netns = netns.map(Netns::try_clone).transpose()?;
    let (done, answer) = oneshot::channel();
    thread::Builder::new()
        .name("netlink".to_owned())
        .spawn(move || {
            // Nobody listens any more when it took too long.
            let _ = done.send(within(netns, work));
        })
        .map_err(|e| Error::kernel("a thread", e))?;
    match time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Error::kernel("netlink", io::Error::other("its thread ended"))),
        Err(_) => Err(Error::kernel("netlink", io::ErrorKind::TimedOut.into())),
    }
}

fn within<T, F>(netns: Option<Netns>, work: impl FnOnce(Handle) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    if let Some(Netns { path, file }) = netns {
        let entered = nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET);
        entered.map_err(|e| Error::Namespace { path, source: e.into() })?;
    }
    let fail = |e| Error::kernel("netlink", e);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(fail)?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(fail)?;
        tokio::spawn(connection);
        work(handle).await
    })
}
