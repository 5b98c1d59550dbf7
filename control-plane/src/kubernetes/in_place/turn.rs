//! What comes next in a swap in place, and what is to be told of it. Pure: the swap, the pods and the time go in.
//!
//! ```text
//! next pod --its sidecar is quiet--> patched --another container runs, and answers its probe--> next pod
//!                                           \--the image cannot be run, or the time is over--> patched back --the same--> failed
//! ```
//! A pod that goes meanwhile is nobody's turn any more: its sidecar hands over what it holds, and the pod that comes has the Deployment's image.

use routing::Timestamp;
use serde_json::Value;

use crate::mesh::{InPlace, Stage, Work};

/// Why the kubelet does not run a container, where trying again does not help by itself.
const FATAL: [&str; 6] = [
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "CreateContainerConfigError",
    "CreateContainerError",
];
/// It has run and ended, again and again.
const ENDS: &str = "CrashLoopBackOff";

/// A pod that is not on its way out, and its task's container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) uid: String,
    pub(super) name: String,
    /// What its container is to be made of.
    pub(super) image: String,
    /// Id of its container.
    pub(super) container: String,
    /// What that is made of, by digest.
    pub(super) made_of: String,
    pub(super) runs: bool,
    /// The kubelet has looked at the pod since it was changed.
    pub(super) is_current: bool,
    /// Why the kubelet waits, and what it says.
    pub(super) waits: Option<(String, String)>,
}

/// What its sidecar says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// It starts no call and runs none.
    pub(super) quiet: bool,
    /// The task answers its probe, since it runs as it is to.
    pub(super) answers: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing: somebody else is to do something.
    Wait,
    /// The swap is so from now on; `None`: it is over, and nothing is left of it.
    Put(Option<InPlace>),
    /// The pod of this name gets this image.
    Patch(String, String),
    /// All pods have the image: the Deployment gets it.
    Adopt,
}

impl Seen {
    /// The pod with a task's container of the name `task`; `None` if it goes or runs nothing any more.
    pub(super) fn of(metadata: &Value, pod: &Value, task: &str) -> Option<Self> {
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let named = |list: &Value| -> Option<Value> { list.as_array()?.iter().find(|it| it["name"] == task).cloned() };
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        if !metadata["deletionTimestamp"].is_null() || matches!(phase, "Succeeded" | "Failed") {
            return None;
        }
        let spec = named(&pod["spec"]["containers"])?;
        let status = named(&pod["status"]["containerStatuses"]).unwrap_or_default();
        let waiting = &status["state"]["waiting"];
        let seen = |generation: &Value| pod["status"]["observedGeneration"].as_i64().zip(generation.as_i64());
        Some(Self {
            uid: text(&metadata["uid"]),
            name: text(&metadata["name"]),
            image: text(&spec["image"]),
            container: text(&status["containerID"]),
            made_of: text(&status["imageID"]),
            runs: !status["state"]["running"].is_null(),
            // not every kubelet says so
            is_current: seen(&metadata["generation"]).is_none_or(|(observed, generation)| observed >= generation),
            waits: waiting["reason"].as_str().map(|reason| (reason.to_owned(), text(&waiting["message"]))),
        })
    }

    /// Whether the container runs that it was patched for.
    pub(super) fn has_restarted(&self, work: &Work) -> bool {
        let other = self.container != work.container;
        // where the kubelet was not fast enough to end the earlier one
        let kept = work.back && self.made_of == work.made_of;
        self.runs && self.is_current && (other || kept)
    }

    /// Why its container will not run.
    fn fails(&self, work: &Work) -> Option<String> {
        let (reason, message) = self.waits.as_ref().filter(|_| self.is_current)?;
        let ends = reason == ENDS && self.container != work.container;
        (ends || FATAL.contains(&reason.as_str())).then(|| format!("{reason}: {message}"))
    }

    /// What it does instead of running.
    fn state(&self) -> String {
        match &self.waits {
            Some((reason, message)) if message.is_empty() => reason.clone(),
            Some((reason, message)) => format!("{reason}: {message}"),
            None if self.runs => "its container runs and does not answer its probe".to_owned(),
            None => "its container does not run".to_owned(),
        }
    }
}

/// What comes next; `template` is the Deployment's image, `word` what the sidecar of a pod says, if it is there.
pub(super) fn next(
    swap: &InPlace,
    template: &str,
    pods: &[Seen],
    word: impl Fn(&Seen) -> Option<Word>,
    now: Timestamp,
) -> Turn {
    let late = now >= swap.until;
    let wanted = match &swap.stage {
        Stage::Swapping | Stage::Committing => &swap.image,
        Stage::Undoing | Stage::Swapped | Stage::Failed(_) => template,
    };
    let Some(work) = &swap.work else {
        return match &swap.stage {
            Stage::Swapping | Stage::Committing | Stage::Undoing => begin(swap, wanted, pods, late),
            Stage::Swapped | Stage::Failed(_) => Turn::Wait,
        };
    };
    let Some(pod) = pods.iter().find(|it| it.uid == work.pod) else { return released(swap) };
    let word = word(pod);
    let wanted = if work.back { &work.image } else { wanted };
    if pod.image != wanted {
        return patch(swap, work, pod, wanted, word, late);
    }
    if pod.has_restarted(work) && word.is_some_and(|it| it.answers) {
        return released(swap);
    }
    let why = match (pod.fails(work), late) {
        (Some(why), _) => why,
        (None, true) => format!("not in time: {}", pod.state()),
        (None, false) => return Turn::Wait,
    };
    if !matches!(swap.stage, Stage::Swapping | Stage::Committing) || work.back {
        // it has nothing better to go back to: it stands still until its container runs, or the pod is gone
        return Turn::Wait;
    }
    let why = format!("pod {} does not run {}: {why}; it gets back what it had", pod.name, swap.image);
    Turn::Put(Some(InPlace {
        stage: Stage::Failed(why),
        work: Some(Work { back: true, ..work.clone() }),
        ..swap.clone()
    }))
}

/// The next pod's turn, or the end.
fn begin(swap: &InPlace, wanted: &str, pods: &[Seen], late: bool) -> Turn {
    let Some(pod) = pods.iter().filter(|it| it.image != wanted).min_by_key(|it| &it.name) else {
        return match &swap.stage {
            Stage::Committing => Turn::Adopt,
            Stage::Swapping => Turn::Put(Some(InPlace { stage: Stage::Swapped, ..swap.clone() })),
            Stage::Undoing | Stage::Swapped | Stage::Failed(_) => Turn::Put(None),
        };
    };
    if late {
        let why = format!("the time was over before the turn of pod {}", pod.name);
        return Turn::Put(Some(InPlace { stage: Stage::Failed(why), ..swap.clone() }));
    }
    let work = Work {
        pod: pod.uid.clone(),
        name: pod.name.clone(),
        image: pod.image.clone(),
        container: pod.container.clone(),
        made_of: pod.made_of.clone(),
        back: false,
    };
    Turn::Put(Some(InPlace { work: Some(work), ..swap.clone() }))
}

/// Once nobody calls it, or it cannot be called.
fn patch(swap: &InPlace, work: &Work, pod: &Seen, wanted: &str, word: Option<Word>, late: bool) -> Turn {
    if pod.container != work.container {
        // it has restarted by itself meanwhile, or with the image that is taken back now
        let work = Work { container: pod.container.clone(), made_of: kept(work, pod), ..work.clone() };
        return Turn::Put(Some(InPlace { work: Some(work), ..swap.clone() }));
    }
    if !pod.runs || word.is_some_and(|it| it.quiet) {
        return Turn::Patch(pod.name.clone(), wanted.to_owned());
    }
    if !late || work.back {
        return Turn::Wait;
    }
    let lacks = match word {
        Some(_) => "calls of it are still running",
        None => "its sidecar is not connected",
    };
    let stage = Stage::Failed(format!("pod {} was not given its turn: {lacks}", pod.name));
    Turn::Put(Some(InPlace { stage, work: None, ..swap.clone() }))
}

/// On the way back it counts what the container was made of at first.
fn kept(work: &Work, pod: &Seen) -> String {
    if work.back { work.made_of.clone() } else { pod.made_of.clone() }
}

fn released(swap: &InPlace) -> Turn {
    Turn::Put(Some(InPlace { work: None, ..swap.clone() }))
}

/// How the pods differ from what the Deployment has, for people; `None` if they do not.
pub(super) fn drift(swap: Option<&InPlace>, template: &str, pods: &[Seen]) -> Option<String> {
    let mut other: Vec<&Seen> = pods.iter().filter(|it| it.image != template).collect();
    other.sort_by(|a, b| a.name.cmp(&b.name));
    let all = pods.len();
    let mut told = match (other.first(), swap) {
        (Some(first), _) => {
            format!("{} of {all} pods run {}, their Deployment has {template}", other.len(), first.image)
        }
        (None, Some(swap)) if swap.stage == Stage::Swapped => {
            format!("no pod runs {} any more, their Deployment has {template}", swap.image)
        }
        (None, _) => return None,
    };
    if other.is_empty() || other.len() < all {
        let anew: Vec<&str> = pods.iter().filter(|it| it.image == template).map(|it| it.name.as_str()).collect();
        if swap.is_none_or(|it| !it.is_under_way()) && !anew.is_empty() {
            told = format!("{told}, and so has {}, made since", anew.join(", "));
        }
    }
    let next = match swap {
        None => "changed by hand; a pod that is made anew has the Deployment's image".to_owned(),
        Some(InPlace { stage: Stage::Failed(why), .. }) => format!("the swap has failed ({why})"),
        Some(it) if it.is_under_way() => "the swap goes on".to_owned(),
        Some(_) => "keep it with `flowctl swap --commit`, take it back with `--undo`".to_owned(),
    };
    Some(format!("{told}: {next}"))
}

#[cfg(test)]
mod tests;
