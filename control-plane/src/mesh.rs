//! Which deployments there are, which sidecars serve them, and what each sidecar is to hold.
//!
//! One state behind one lock that is never held across an await; a version that counts every change and that sessions,
//! watchers and the steward follow. What a sidecar should hold is computed, compared with what it was sent, and the
//! difference is sent: changes coalesce by themselves, and a session that starts anew gets everything.
//! Decides nothing about instances: that is the ledger.

mod accounts;
#[cfg(feature = "kubernetes")]
mod claim;
mod desired;
mod evaluate;
mod history;
mod image;
mod in_place;
mod index;
mod ingress;
mod listening;
mod news;
mod pods;
mod session;
mod split;
mod swap;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hop::{Endpoint, Splits};
use routing::{DeploymentId, Digest, Incarnation, ServiceName, Timestamp};
use tokio::sync::watch;

pub(crate) use accounts::{Accounts, Admission, Refusal};
pub(crate) use history::{History, Past, STORED as SWAPS};
pub(crate) use image::STORED as IMAGES;
#[cfg(feature = "kubernetes")]
pub(crate) use in_place::Standing;
pub(crate) use in_place::{InPlace, InPlaces, STORED as IN_PLACES, Stage, Work};
pub(crate) use ingress::Routed;
pub(crate) use session::Hello;
pub(crate) use split::{STORED as SPLITS, Share};
pub(crate) use swap::{InForce, STORED as URLS, Target};

use self::evaluate::Unseen;
use self::index::Index;
use self::news::News;
use crate::definitions::resolve::{self, Unresolved};
use crate::definitions::state::TaskView;
use crate::definitions::{Definition, Deployment, State, record};
use crate::ingress::{Leads, Route};
use crate::kubernetes::objects::{Images, Rollout};
use crate::sidecars::{Mailbox, Sidecar};
use crate::store::Write;

/// Handles are cheap and share one state.
#[derive(Clone, Debug)]
pub(crate) struct Mesh {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<MeshState>,
    changed: watch::Sender<u64>,
    /// The version of the state: what sidecars are to be told has changed. Most changes are acknowledgements and probes, of which nobody is told: with
    /// many sidecars each would wake all of them.
    news: watch::Sender<u64>,
}

/// What the store held about it.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) sidecars: Vec<(Incarnation, Sidecar)>,
    pub(crate) overrides: BTreeMap<ServiceName, String>,
    pub(crate) images: Images,
    pub(crate) in_places: InPlaces,
    pub(crate) splits: Splits,
    pub(crate) history: History,
    pub(crate) retired: BTreeSet<Digest>,
    /// Counts the lives of this store; versions of bindings grow with it.
    pub(crate) boot: u64,
}

#[derive(Debug, Default)]
struct MeshState {
    deployments: BTreeMap<DeploymentId, Deployment>,
    by_digest: HashMap<Digest, DeploymentId>,
    sidecars: BTreeMap<Incarnation, Sidecar>,
    /// URLs by swap.
    overrides: BTreeMap<ServiceName, String>,
    /// Images by swap.
    images: Images,
    /// Images that pods have been given in place, by swap.
    in_places: InPlaces,
    /// Pods that stand still, by UID, and since which version.
    quiesced: BTreeMap<String, u64>,
    /// Services whose pods run another image than their Deployments have.
    drifts: BTreeMap<ServiceName, String>,
    /// Services that do the work of others, by swap.
    splits: Splits,
    /// What services were swapped to.
    history: History,
    /// How far the pods of services are.
    rollouts: BTreeMap<ServiceName, Rollout>,
    retired: BTreeSet<Digest>,
    /// Ways in by host.
    routes: HashMap<String, Vec<(DeploymentId, Route)>>,
    /// How requests come to them from outside of the cluster.
    leads: Leads,
    left: BTreeSet<Incarnation>,
    settled: BTreeSet<Incarnation>,
    news: News,
    unseen: Unseen,
    /// By service, as of a version.
    index: RefCell<(u64, Arc<Index>)>,
    sessions: u64,
    /// Where tasks call back.
    callbacks: String,
    /// Why services are not there yet, as the orchestrator sees it.
    hindered: BTreeMap<ServiceName, String>,
    /// Who may serve what.
    admission: Admission,
}

impl Mesh {
    pub(crate) fn new(stored: Stored, now: Timestamp) -> Self {
        let mut state = MeshState {
            overrides: stored.overrides,
            images: stored.images,
            in_places: stored.in_places,
            splits: stored.splits,
            history: stored.history,
            retired: stored.retired,
            sidecars: stored.sidecars.into_iter().collect(),
            news: News::from((stored.boot << 32) + 1),
            ..MeshState::default()
        };
        state.quiesce();
        for mut deployment in stored.deployments {
            // its sidecars have the grace that a restart of flowd takes
            if deployment.state.accepts() || deployment.state == State::Starting {
                deployment.since = now;
            }
            state.insert(deployment);
        }
        let news = watch::Sender::new(state.news.version());
        Self { inner: Arc::new(Inner { state: Mutex::new(state), changed: watch::Sender::new(0), news }) }
    }

    fn lock(&self) -> MutexGuard<'_, MeshState> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// How often something has changed.
    pub(crate) fn changed(&self) -> u64 {
        *self.inner.changed.borrow()
    }

    /// Sees every change that sidecars are to be told of.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.inner.news.subscribe()
    }

    fn change<T>(&self, what: impl FnOnce(&mut MeshState) -> T) -> T {
        self.change_of(|state| {
            state.unseen.all();
            what(state)
        })
    }

    /// A change that says itself which deployments are to be looked at.
    fn change_of<T>(&self, what: impl FnOnce(&mut MeshState) -> T) -> T {
        let (done, version) = {
            let mut state = self.lock();
            (what(&mut state), state.news.version())
        };
        self.inner.changed.send_modify(|changes| *changes += 1);
        // another thread may have told of a later one
        self.inner.news.send_if_modified(|told| {
            *told < version && {
                *told = version;
                true
            }
        });
        done
    }

    /// Where tasks call back; sidecars are told.
    pub(crate) fn call_back_to(&self, url: String) {
        self.change(|state| {
            state.news.for_all();
            state.callbacks = url;
        });
    }

    /// What an orchestrator is to run for.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn orchestrated(&self) -> Vec<Deployment> {
        let state = self.lock();
        let served = |it: &&Deployment| it.definition.workloads.is_some() && it.state.is_served();
        state.deployments.values().filter(served).cloned().collect()
    }

    /// The services whose containers deployments bring.
    pub(crate) fn brought(&self) -> BTreeSet<ServiceName> {
        let state = self.lock();
        let workloads = state.deployments.values().flat_map(|it| it.definition.workloads.iter().flatten());
        workloads.filter(|it| it.origin != bpmn::Origin::Preexisting).map(|it| it.service.clone()).collect()
    }

    /// What keeps services from being there, as the orchestrator sees it.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn hindered(&self, by: BTreeMap<ServiceName, String>) {
        if self.lock().hindered != by {
            self.change(|state| state.hindered = by);
        }
    }

    /// The deployment that `text` means.
    pub(crate) fn resolve(&self, text: &str) -> Result<Deployment, Unresolved> {
        let state = self.lock();
        if let Some(exact) = state.deployments.get(text) {
            return Ok(exact.clone());
        }
        resolve::resolve(state.deployments.values(), text).cloned()
    }

    /// The deployment of this id.
    pub(crate) fn deployment(&self, id: &str) -> Option<Deployment> {
        self.lock().deployments.get(id).cloned()
    }

    /// The deployment with this definition.
    pub(crate) fn of_digest(&self, digest: Digest) -> Option<Deployment> {
        let state = self.lock();
        state.by_digest.get(&digest).and_then(|id| state.deployments.get(id)).cloned()
    }

    /// All of them, newest first, each with its tasks.
    pub(crate) fn deployments(&self) -> Vec<(Deployment, Vec<TaskView>)> {
        let state = self.lock();
        let mut all: Vec<_> = state.deployments.values().map(|it| (it.clone(), state.tasks(it))).collect();
        all.sort_by_key(|(it, _)| std::cmp::Reverse(it.applied));
        all
    }

    /// Those that are STOPPING.
    pub(crate) fn stopping(&self) -> Vec<Arc<Definition>> {
        let state = self.lock();
        let stopping = state.deployments.values().filter(|it| it.state == State::Stopping);
        stopping.map(|it| it.definition.clone()).collect()
    }

    /// One with its tasks.
    pub(crate) fn described(&self, id: &str) -> Option<(Deployment, Vec<TaskView>)> {
        let state = self.lock();
        state.deployments.get(id).map(|it| (it.clone(), state.tasks(it)))
    }

    /// Adds a deployment or replaces it. Gives what makes it durable; commit it first.
    pub(crate) fn insert(&self, deployment: Deployment) {
        self.change_of(|state| state.insert(deployment));
    }

    /// Changes a deployment's state; gives the write that makes it durable.
    pub(crate) fn set_state(&self, id: &DeploymentId, to: State, message: &str, now: Timestamp) -> Option<Write> {
        self.change(|state| {
            let deployment = state.deployments.get_mut(id)?;
            state.news.of_state(deployment, to);
            (deployment.state, deployment.message, deployment.since) = (to, message.to_owned(), now);
            Some(record::put_state(deployment))
        })
    }

    /// Changes what apply bound; gives the write.
    pub(crate) fn rebind(&self, id: &DeploymentId, bindings: BTreeMap<String, String>) -> Option<Write> {
        self.change(|state| {
            let deployment = state.deployments.get_mut(id)?;
            state.news.of(deployment.definition.services());
            deployment.bindings = bindings;
            Some(record::put_state(deployment))
        })
    }

    /// Forgets a deployment; its tables may be dropped everywhere.
    pub(crate) fn remove(&self, id: &DeploymentId) {
        self.change(|state| {
            if let Some(gone) = state.deployments.remove(id) {
                state.news.of(gone.definition.services());
                state.by_digest.remove(&gone.definition.digest);
                state.index_routes();
                state.retired.insert(gone.definition.digest);
                state.sidecars.values_mut().for_each(|it| {
                    it.tables.remove(&gone.definition.digest);
                });
            }
        });
    }

    /// The names that sidecars serve, connected ones and those that are away for a while.
    pub(crate) fn served(&self) -> BTreeSet<String> {
        let state = self.lock();
        state.sidecars.values().flat_map(|it| it.serves.keys()).map(|name| name.as_str().to_owned()).collect()
    }

    /// Where replicas are, for whoever offers tokens.
    pub(crate) fn endpoints(&self) -> HashMap<ServiceName, Vec<Endpoint>> {
        self.lock().endpoints()
    }

    /// The mailbox of a sidecar.
    pub(crate) fn mailbox(&self, incarnation: Incarnation) -> Option<Arc<Mailbox>> {
        self.lock().sidecars.get(&incarnation).map(|it| it.mailbox.clone())
    }

    /// The mailboxes of all that are connected.
    pub(crate) fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        let state = self.lock();
        state.sidecars.values().filter(|it| it.is_connected()).map(|it| it.mailbox.clone()).collect()
    }

    /// The version of the newest bindings, how many sidecars are connected, and how many of those lack something that they were sent.
    pub(crate) fn levels(&self) -> (u64, usize, usize) {
        let state = self.lock();
        let connected = state.sidecars.values().filter(|it| it.is_connected()).count();
        (state.news.version(), connected, state.sidecars.values().filter(|it| it.is_stale()).count())
    }

    /// Looks at every sidecar.
    pub(crate) fn sidecars<T>(&self, look: impl Fn(Incarnation, &Sidecar) -> T) -> Vec<T> {
        self.lock().sidecars.iter().map(|(incarnation, it)| look(*incarnation, it)).collect()
    }

    /// Whether the ledger has taken over what this sidecar held.
    pub(crate) fn has_left(&self, incarnation: Incarnation) -> bool {
        self.lock().left.contains(&incarnation)
    }

    /// A sidecar has left for good: nobody offers to it any more, and whoever has offered asks the ledger.
    pub(crate) fn left(&self, incarnation: Incarnation) {
        self.change(|state| {
            state.left.insert(incarnation);
            state.sidecars.remove(&incarnation);
            state.news.for_all();
        });
    }

    /// Replicas that have left, and those of them in whose name nobody will offer again; the ledger's word.
    pub(crate) fn departed(&self, left: BTreeSet<Incarnation>, settled: BTreeSet<Incarnation>) {
        self.change(|state| {
            state.sidecars.retain(|incarnation, _| !left.contains(incarnation));
            (state.left, state.settled) = (left, settled);
            state.news.for_all();
        });
    }
}

impl MeshState {
    fn insert(&mut self, deployment: Deployment) {
        let id = deployment.definition.deployment.clone();
        self.retired.remove(&deployment.definition.digest);
        self.by_digest.insert(deployment.definition.digest, id.clone());
        self.unseen.of([&id]);
        self.news.of(deployment.definition.services());
        if let Some(before) = self.deployments.insert(id, deployment) {
            self.news.of(before.definition.services());
        }
        self.index_routes();
    }

    fn endpoints(&self) -> HashMap<ServiceName, Vec<Endpoint>> {
        let mut endpoints: HashMap<ServiceName, Vec<Endpoint>> = HashMap::new();
        for (incarnation, sidecar) in &self.sidecars {
            for service in sidecar.serves.keys() {
                let endpoint = Endpoint {
                    incarnation: *incarnation,
                    address: sidecar.address.clone(),
                    draining: self.is_spared(service, sidecar),
                };
                endpoints.entry(service.clone()).or_default().push(endpoint);
            }
        }
        endpoints
    }
}
