//! The running server: its workers, signals, and the watch on the script folder.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::Socket;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};

use super::files;
use super::layers::layers;
use super::{ServeError, sound_script};
use crate::clock;
use crate::config::{Config, DnsConfig, Listen, ListenTransport, Params};
use crate::engine::{
    Attached, Balance, Jabber, Locations, Mail, SPOOL, Script, Shared, Worker, after_waiting,
    before_waiting,
};
use crate::gateway::ledger::Held;
use crate::modules::{self, jabber, registrar, xmpp};
use crate::net::dns::{DnsError, Resolver};
use crate::net::listen::Group;
use crate::net::tcp::{Connections, Layers, StreamLimits, TcpPort};
use crate::net::tls::Tls;
use crate::net::udp::UdpPort;
use crate::script::commons::Commons;
use crate::script::engine::Bundle;
use crate::script::import::Sources;
use crate::script::reload::Watch;
use crate::sip::Limits;
use crate::sip::transport::Transport;
use crate::store::Store;

/// Mail that may wait for a worker.
const MAILBOX: usize = 16 * 1024;

/// Messages that may wait for one TCP peer to read.
const STREAM_QUEUE: usize = 1000;

/// How often expired contacts are forgotten.
const SWEEP: Duration = Duration::from_secs(60);

/// How long the last changes of contacts may take to be stored.
const STORING: Duration = Duration::from_secs(10);

/// How long streams and connections may take to close.
const CLOSING: Duration = Duration::from_secs(3);

pub(super) fn serve(config: Arc<Config>) -> Result<(), ServeError> {
    let sources = Arc::new(sound_script(&config)?);
    let layers = layers(&config.sip)?;
    let tls = layers.tls.clone();
    let system = |what| move |source| ServeError::System { what, source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system("a runtime"))?;
    let _inside = runtime.enter();
    let mut listeners = listeners(&config)?;
    let tables = modules::tables(&config.modules, |function| sources.mention(function))?;
    let store = Store::open(&config.store, &tables)?;
    let (senders, mailboxes): (Vec<_>, Vec<_>) =
        (0..config.workers.get()).map(|_| mpsc::channel(MAILBOX)).unzip();
    let spool = spool(&config)?;
    let commons = Commons::with_store(store);
    let shared = Arc::new(shared(&config, &listeners, senders, layers, (commons, spool))?);
    let keeper = runtime.block_on(restored(&shared));
    for (id, mailbox) in (0..).zip(mailboxes) {
        let sockets = listeners.iter_mut().filter_map(Group::take).collect();
        start_worker(id, &shared, &sources, sockets, mailbox)?;
    }
    for (transport, local) in &shared.listeners {
        tracing::info!("listening {}:{local}", transport.token().to_ascii_lowercase());
    }
    let watches = Watches::new(&config.script.file, tls);
    runtime.block_on(control(&shared, watches, keeper)).map_err(system("signals"))?;
    tracing::info!("stopped");
    Ok(())
}

/// Takes the contacts that the store has kept, and begins to keep it as they are.
async fn restored(shared: &Arc<Shared>) -> Option<JoinHandle<()>> {
    let store = shared.commons.store().filter(|_| shared.locations.has_store())?.clone();
    let began = clock::now();
    let restored = shared.locations.restore(&store).await;
    match &restored {
        Ok(count) => {
            let ms = (clock::now() - began).as_millis() as u64;
            tracing::info!(count, ms, "contacts restored");
        }
        Err(error) => tracing::warn!(%error, "contacts are restored once the store is there"),
    }
    let shared = shared.clone();
    Some(tokio::spawn(async move {
        shared.locations.keep_stored(&store, restored.is_ok()).await;
    }))
}

/// Where accepted messages are kept, when there is a network that they could go to.
fn spool(config: &Config) -> Result<Option<Store>, ServeError> {
    let params = config.modules.get("xmpp").cloned().unwrap_or_else(Params::none);
    let accounts = config.modules.get("jabber").cloned().unwrap_or_else(Params::none);
    let is_attached = params.parse::<xmpp::Config>()?.backend.is_some()
        || accounts.parse::<jabber::Config>()?.is_on();
    let place = config.spool.store(&config.store).filter(|_| is_attached);
    let tables = std::slice::from_ref(&SPOOL);
    Ok(place.map(|place| Store::open_durable(&place, tables)).transpose()?)
}

fn listeners(config: &Config) -> Result<Vec<Group>, ServeError> {
    let bind = |listen: &Listen| {
        let transport = match listen.transport {
            ListenTransport::Udp => Transport::Udp,
            ListenTransport::Tcp => Transport::Tcp,
            ListenTransport::Tls => Transport::Tls,
            ListenTransport::Ws => Transport::Ws,
            ListenTransport::Wss => Transport::Wss,
        };
        Group::bind(transport, listen.address, config.workers.get())
            .map_err(|source| ServeError::Listen { listen: *listen, source })
    };
    config.sip.listen.iter().map(bind).collect()
}

fn shared(
    config: &Arc<Config>,
    listeners: &[Group],
    mailboxes: Vec<mpsc::Sender<Mail>>,
    layers: Layers,
    (commons, spool): (Commons, Option<Store>),
) -> Result<Shared, ServeError> {
    let files = files::raise_limit();
    let limits = &config.sip.limits;
    let framing = Limits {
        header_block: limits.max_tcp_header,
        body: limits.max_tcp_message,
        ..Limits::default()
    };
    let streams = StreamLimits {
        framing,
        idle: limits.tcp_idle_timeout,
        header: limits.tcp_header_timeout,
        max_connections: limits.max_connections,
        queue: STREAM_QUEUE,
    };
    let params = |module: &str| config.modules.get(module).cloned().unwrap_or_else(Params::none);
    let gateway = xmpp::Gateway::from(params("xmpp").parse::<xmpp::Config>()?);
    let contacts = params("registrar").parse::<registrar::Config>()?;
    let accounts = params("jabber").parse::<jabber::Config>()?;
    let jabber = match commons.store().filter(|_| accounts.is_on()) {
        Some(store) => {
            let jabber = Jabber::new(accounts, store.clone(), &config.base_dir)?;
            Some(jabber.within(files))
        }
        None => None,
    };
    let is_attached = gateway.config.backend.is_some();
    Ok(Shared {
        keys: Default::default(),
        balance: Balance::default(),
        mint: Default::default(),
        owners: Default::default(),
        mailboxes,
        connections: Connections::new(streams, layers),
        resolver: resolver(&config.dns)
            .inspect_err(|error| tracing::warn!(%error, "names cannot be resolved"))
            .ok(),
        locations: Locations::new(
            &contacts,
            format!("{:x}", rand::random::<u64>()),
            commons.store().is_some(),
        ),
        spool,
        held: Arc::new(Held::new(config.spool.max_messages, config.spool.max_bytes)),
        xmpp: is_attached.then_some(Attached { gateway, worker: 0 }),
        jabber,
        listeners: listeners.iter().map(|group| (group.transport(), group.local())).collect(),
        is_draining: Default::default(),
        refusals: Default::default(),
        commons,
        tags: ahash::RandomState::new(),
        run: rand::random(),
        serial: Default::default(),
        config: config.clone(),
    })
}

fn resolver(config: &DnsConfig) -> Result<Resolver, DnsError> {
    match config.servers.as_slice() {
        [] => Resolver::from_system(config.timeout),
        servers => Resolver::with_servers(servers, config.timeout),
    }
}

/// Starts a thread and waits until it serves.
fn start_worker(
    id: u16,
    shared: &Arc<Shared>,
    sources: &Arc<Sources>,
    sockets: Vec<Socket>,
    mailbox: mpsc::Receiver<Mail>,
) -> Result<(), ServeError> {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (shared, sources) = (shared.clone(), sources.clone());
    let thread = std::thread::Builder::new().name(format!("worker-{id}"));
    let started = thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(before_waiting)
            .on_thread_unpark(after_waiting)
            .build();
        let Ok(runtime) = runtime.inspect_err(|error| tracing::error!(%error, "no runtime")) else {
            return;
        };
        let local = LocalSet::new();
        runtime.block_on(local.run_until(async move {
            match worker(id, shared, &sources, sockets) {
                Ok((worker, tcp)) => {
                    // The server waits for this and for nothing else.
                    let _ = ready.send(Ok(()));
                    worker.run(tcp, mailbox).await;
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        }));
    });
    started.map_err(|source| ServeError::System { what: "a thread", source })?;
    is_ready.recv().unwrap_or(Err(ServeError::Worker(id)))
}

type Started = (std::rc::Rc<Worker>, Vec<TcpPort>);

fn worker(
    id: u16,
    shared: Arc<Shared>,
    sources: &Sources,
    sockets: Vec<Socket>,
) -> Result<Started, ServeError> {
    let commons = shared.commons.for_this_worker();
    let exports = modules::load(&shared.config.modules, &commons)?;
    let bundle = Bundle::compile(sources, &shared.config.script, &exports).map_err(|error| {
        ServeError::System { what: "the script", source: io::Error::other(error) }
    })?;
    let (mut udp, mut tcp) = (Vec::new(), Vec::new());
    let places = shared.listeners.iter().zip(&shared.config.sip.listen);
    for (socket, ((transport, _), listen)) in sockets.into_iter().zip(places) {
        let error = |source| ServeError::Listen { listen: *listen, source };
        match transport {
            Transport::Udp => udp.push(UdpPort::new(socket).map_err(error)?),
            _ => tcp.push(TcpPort::listen(socket, *transport).map_err(error)?),
        }
    }
    Ok((Worker::new(id, shared, udp, Script::new(exports, bundle)), tcp))
}

/// What is read again when it changes.
struct Watches {
    scripts: Option<Watch>,
    tls: Option<Arc<Tls>>,
    certificates: Option<Watch>,
}

impl Watches {
    fn new(script: &Path, tls: Option<Arc<Tls>>) -> Self {
        let unnoticed =
            |error: &notify::Error| tracing::warn!(%error, "edits go unnoticed; use SIGHUP");
        let scripts = Watch::new(script).inspect_err(unnoticed).ok();
        let certificates = tls.as_ref().filter(|tls| tls.files().next().is_some());
        let certificates =
            certificates.and_then(|tls| Watch::beside(tls.files()).inspect_err(unnoticed).ok());
        Self { scripts, tls, certificates }
    }

    /// Makes changed certificates live, or says why not.
    fn reload_certificates(&self) {
        let Some(tls) = &self.tls else { return };
        match tls.reload(clock::unix_time()) {
            Ok(true) => tracing::info!("certificates live"),
            Ok(false) => {}
            Err(error) => tracing::error!("certificates refused, the old ones go on: {error}"),
        }
    }
}

async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Reloads on an edit or SIGHUP, until SIGTERM or SIGINT; then finishes what runs.
async fn control(
    shared: &Shared,
    mut watches: Watches,
    keeper: Option<JoinHandle<()>>,
) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut sweep = tokio::time::interval(SWEEP);
    tracing::info!(workers = shared.mailboxes.len(), "ready");
    loop {
        tokio::select! {
            () = changed(&mut watches.scripts) => reload(shared).await,
            () = changed(&mut watches.certificates) => watches.reload_certificates(),
            _ = hangup.recv() => {
                watches.reload_certificates();
                reload(shared).await;
            }
            _ = sweep.tick() => shared.locations.sweep().await,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("stopping: what runs is finished, nothing new is begun");
    shared.is_draining.store(true, Ordering::Relaxed);
    tell_all(shared, Mail::Drain).await;
    // A stream that does not close in time is cut by our end.
    let _ = tokio::time::timeout(CLOSING, tell_all(shared, Mail::Close)).await;
    shared.connections.close_all(CLOSING).await;
    shared.locations.close();
    if let Some(keeper) = keeper
        && tokio::time::timeout(STORING, keeper).await.is_err()
    {
        tracing::error!("the store is too slow: changed contacts are not stored");
    }
    if let Some(store) = shared.commons.store()
        && let Err(error) = store.execute(Vec::new()).await
    {
        tracing::warn!(%error, "the last changes may not be stored");
    }
    for (reason, count) in shared.refusals.totals() {
        tracing::info!(reason, count, "refused in all");
    }
    Ok(())
}

/// Makes an edited script live, or says why not.
async fn reload(shared: &Shared) {
    match sound_script(&shared.config) {
        Ok(sources) => {
            let sources = Arc::new(sources);
            tell_all(shared, |done| Mail::Script(sources.clone(), done)).await;
            tracing::info!(file = %sources.name, "script live");
        }
        Err(error) => tracing::error!("script refused, the old one goes on: {error}"),
    }
}

/// Sends mail to every worker and waits until all have done what it says.
async fn tell_all(shared: &Shared, mail: impl Fn(mpsc::Sender<()>) -> Mail) {
    let (done, mut all_done) = mpsc::channel(1);
    for mailbox in &shared.mailboxes {
        // A worker that is gone has nothing left to do.
        let _ = mailbox.send(mail(done.clone())).await;
    }
    drop(done);
    while all_done.recv().await.is_some() {}
}
