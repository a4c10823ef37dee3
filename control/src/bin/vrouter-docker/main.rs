//! `vrouter-docker`: Docker's networks on vrouter.
//!
//! A remote network driver and a remote IPAM driver of libnetwork in one daemon, which dockerd finds by its socket in /run/docker/plugins. It turns
//! dockerd's requests into networks and endpoints of `vrouter-control` and veth pairs of the kernel. Control alone knows who has which address, so that
//! any number of nodes share a network; this plugin only remembers which of control's endpoints are dockerd's, in files that are written before anything
//! is done.
//!
//! - [`http`]: requests in, answers out, in time
//! - [`protocol`]: what dockerd and the plugin say
//! - [`networks`], [`endpoints`], [`publish`]: the network driver
//! - [`pools`], [`addresses`]: the IPAM driver
//! - [`describe`]: names and labels of containers
//! - [`control`]: what is asked of control
//! - [`journal`], [`records`]: what is remembered
//! - [`reconcile`]: what is done when nobody asks

mod addresses;
mod config;
mod control;
mod describe;
mod endpoints;
mod failure;
mod house;
mod http;
mod journal;
mod networks;
mod pools;
mod protocol;
mod publish;
mod reconcile;
mod records;

use std::{error::Error, fs, io, process::ExitCode};

use clap::CommandFactory as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use vrouter_control::{
    attach::Client,
    supervised,
    transport::{Address, Listener},
};

use self::{
    config::{Config, LogFormat},
    house::House,
};

fn main() -> ExitCode {
    if let Some(done) = vrouter_manual::papers(Config::command(), "8", None) {
        return done;
    }
    match start(Config::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vrouter-docker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(config: Config) -> Result<(), Box<dyn Error>> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&config.log)?)
        .with_writer(io::stderr);
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let node = config.node()?;
    // What is left of the time goes for saying that control is away.
    let control = Client::new(config.control.clone(), config.answer_within * 2 / 3)?;
    let address = Address::Unix(config.listen.clone());
    let house = House::new(config, node, control)?;
    // One plugin at a time works on the records.
    let lock = fs::File::create(house.config.state.join("lock"))?;
    lock.try_lock().map_err(|error| {
        format!(
            "{}: {error}; is vrouter-docker running already?",
            house.config.state.display()
        )
    })?;
    reconcile::take_over(&house)?;
    let Listener::Unix(listener, _file) = Listener::bind(&address).await? else {
        return Err(format!("{address} is no unix socket").into());
    };
    tracing::info!(%address, node = house.node, control = %house.control.address(), "serving dockerd");
    let supervised = tokio::spawn(async move { supervised::serving(&format!("serving dockerd at {address}")).await });
    let reconciler = tokio::spawn(reconcile::run(house.clone()));
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    // Dockerd keeps connections open for long: they need not be waited for.
    tokio::select! {
        served = axum::serve(listener, http::router(house.clone())) => served?,
        () = shutdown => {}
    }
    supervised.abort();
    supervised::stopping();
    reconciler.abort();
    tracing::info!("ended; containers stay connected");
    Ok(())
}
