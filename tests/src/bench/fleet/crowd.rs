//! Many sidecars in one task each: they say hello, take what comes, acknowledge it, and come again when flowd has gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use proto::convert::incarnation_bytes;
use proto::v1;
use proto::v1::control_client::ControlClient;
use routing::Incarnation;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use super::{DEADLINE, model};

/// Before another attempt to reach flowd.
const AGAIN: Duration = Duration::from_millis(20);
/// Where a simulated sidecar would be reached: nobody offers it anything.
const HOP_PORT: u16 = 7001;

/// See the module's documentation.
pub(super) struct Crowd {
    sidecars: usize,
    services: usize,
    control: u16,
    attached: AtomicUsize,
    /// When tables came.
    came: Mutex<Vec<Instant>>,
    news: Notify,
}

impl Crowd {
    pub(super) fn new(sidecars: usize, services: usize, control: u16) -> Self {
        let (attached, came, news) = Default::default();
        Self { sidecars, services, control, attached, came, news }
    }

    /// How many do service `number`.
    pub(super) fn replicas(&self, number: usize) -> usize {
        (0..self.sidecars).filter(|it| it % self.services == number).count()
    }

    /// All of them, until dropped.
    pub(super) fn gather(self: &Arc<Self>) -> JoinSet<()> {
        (0..self.sidecars).map(|number| self.clone().live(number)).collect()
    }

    /// How many have attached and heard flowd's hello.
    pub(super) fn attached(&self) -> usize {
        self.attached.load(Ordering::Relaxed)
    }

    /// How many tables have come.
    pub(super) fn tables(&self) -> usize {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Counts tables from now on.
    pub(super) fn forget(&self) {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// When the first and the last table came.
    pub(super) fn between(&self) -> Option<(Instant, Instant)> {
        let came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        Some((*came.iter().min()?, *came.iter().max()?))
    }

    /// Waits until it is so.
    pub(super) async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let waiting = async {
            loop {
                let news = self.news.notified();
                if so(self) {
                    return;
                }
                news.await;
            }
        };
        if timeout(DEADLINE, waiting).await.is_err() {
            bail!("{what}: waited {DEADLINE:?}; {} attached, {} tables", self.attached(), self.tables());
        }
        Ok(())
    }

    async fn live(self: Arc<Self>, number: usize) {
        loop {
            // flowd is away or was killed: come again
            let _ = self.attach(number).await;
            sleep(AGAIN).await;
        }
    }

    async fn attach(&self, number: usize) -> anyhow::Result<()> {
        let channel = Endpoint::from_shared(format!("http://127.0.0.1:{}", self.control))?.connect().await?;
        let (say, said) = mpsc::channel(16);
        let service = model::service(number % self.services);
        let health = v1::TaskHealth {
            service: service.clone(),
            health: v1::task_health::Health::Up.into(),
            ..v1::TaskHealth::default()
        };
        let hello = v1::SidecarHello {
            incarnation: incarnation_bytes(Incarnation(number as u128 + 1)),
            boot: 1,
            hop_address: format!("10.{}.{}.1:{HOP_PORT}", number >> 8, number & 255),
            serves: vec![v1::Service { name: service, url: "http://127.0.0.1:1".to_owned() }],
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..v1::SidecarHello::default()
        };
        say.send(v1::SidecarMessage { hello: Some(hello), health: vec![health], ..v1::SidecarMessage::default() })
            .await?;
        let mut client = ControlClient::new(channel).max_decoding_message_size(proto::MAX_MESSAGE);
        let mut messages = client.attach(ReceiverStream::new(said)).await?.into_inner();
        while let Some(message) = messages.message().await? {
            let answer = self.hear(message);
            if answer != v1::SidecarMessage::default() {
                say.send(answer).await?;
            }
        }
        Ok(())
    }

    fn hear(&self, message: v1::FlowdMessage) -> v1::SidecarMessage {
        let now = Instant::now();
        let mut answer = v1::SidecarMessage::default();
        if message.hello.is_some() {
            self.attached.fetch_add(1, Ordering::Relaxed);
        }
        let pushes = message.tables.into_iter();
        answer.table_acks.extend(pushes.map(|push| v1::TableAck {
            definition: push.bundle.map(|it| it.definition).unwrap_or_default(),
            nonce: push.nonce,
            error: String::new(),
        }));
        let came = answer.table_acks.len();
        self.came.lock().unwrap_or_else(PoisonError::into_inner).extend(std::iter::repeat_n(now, came));
        answer.bindings_ack = message.bindings.map_or(0, |it| it.version);
        self.news.notify_waiters();
        answer
    }
}
