//! One probe per service served here: by the tables' health check, else by connecting.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use routing::ServiceName;
use routing::table;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::probe::{Health, Probe, ProbeHandle, ProbeKind, ProbeSpec};
use crate::task::TaskClient;

/// Without a health check in the model.
const PERIOD: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(2);
const THRESHOLD: u32 = 3;
/// Where there is nothing to ask.
const NOTHING: Duration = Duration::from_secs(3_600);

/// See the module's documentation. Dropping it ends every probe.
#[derive(Debug)]
pub(crate) struct Probes {
    client: TaskClient,
    running: BTreeMap<ServiceName, Running>,
    report: mpsc::Sender<(ServiceName, Health)>,
    verdicts: mpsc::Receiver<(ServiceName, Health)>,
}

#[derive(Debug)]
struct Running {
    spec: ProbeSpec,
    handle: ProbeHandle,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Probes {
    pub(crate) fn new(client: TaskClient) -> Self {
        let (report, verdicts) = mpsc::channel(64);
        Self { client, running: BTreeMap::new(), report, verdicts }
    }

    /// Probes the task of `service` at `base` from now on; the same again changes nothing.
    pub(crate) fn set(&mut self, service: &ServiceName, base: &str, health: Option<&table::Health>) {
        let spec = spec(base, health);
        if self.running.get(service).is_some_and(|running| running.spec == spec) {
            return;
        }
        let (probe, handle) = Probe::new(spec.clone(), self.client.clone());
        let (mut seen, name, report) = (handle.health(), service.clone(), self.report.clone());
        let task = tokio::spawn(async move {
            let forward = async {
                while seen.changed().await.is_ok() {
                    let verdict = seen.borrow_and_update().clone();
                    if report.send((name.clone(), verdict)).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = probe.run(std::future::pending()) => {}
                () = forward => {}
            }
        });
        self.running.insert(service.clone(), Running { spec, handle, task: task.abort_handle() });
    }

    /// Asks every task at once.
    pub(crate) fn probe_now(&self) {
        for (service, running) in &self.running {
            let (service, handle, report) = (service.clone(), running.handle.clone(), self.report.clone());
            tokio::spawn(async move {
                let verdict = handle.probe_now().await;
                // Without an engine nobody asked.
                let _ = report.send((service, verdict)).await;
            });
        }
    }

    /// The verdicts as they are.
    pub(crate) fn current(&self) -> Vec<(ServiceName, Health)> {
        let health = |(service, running): (&ServiceName, &Running)| {
            let verdict = running.handle.health().borrow().clone();
            (service.clone(), verdict)
        };
        self.running.iter().map(health).collect()
    }

    /// The next verdict. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> (ServiceName, Health) {
        self.verdicts.recv().await.expect("this struct holds a sender itself")
    }
}

fn spec(base: &str, health: Option<&table::Health>) -> ProbeSpec {
    let base = base.to_owned();
    if base.is_empty() {
        // connectors: there is no task beside this sidecar
        return ProbeSpec {
            base,
            kind: ProbeKind::Nothing,
            period: NOTHING,
            timeout: TIMEOUT,
            initial_delay: Duration::ZERO,
            failure_threshold: THRESHOLD,
        };
    }
    let Some(health) = health else {
        return ProbeSpec {
            base,
            kind: ProbeKind::TcpConnect,
            period: PERIOD,
            timeout: TIMEOUT,
            initial_delay: Duration::ZERO,
            failure_threshold: THRESHOLD,
        };
    };
    let method = Method::from_bytes(health.method.as_bytes()).unwrap_or(Method::GET);
    let query = health.query.clone().unwrap_or_default();
    ProbeSpec {
        base,
        kind: ProbeKind::Http { method, path: health.path.clone(), query },
        period: Duration::from_millis(health.period.max(100)),
        timeout: Duration::from_millis(health.timeout.max(1)),
        initial_delay: Duration::from_millis(health.initial_delay),
        failure_threshold: health.failure_threshold,
    }
}
