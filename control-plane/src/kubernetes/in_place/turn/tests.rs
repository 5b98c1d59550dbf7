//! Turns, told as what the cluster and the sidecars would show.

use serde_json::json;

use super::*;

const QUIET: Word = Word { quiet: true, answers: false };
const ANSWERS: Word = Word { quiet: true, answers: true };

fn pod(uid: &str, image: &str) -> Seen {
    Seen {
        uid: uid.to_owned(),
        name: format!("pay-{uid}"),
        image: image.to_owned(),
        container: format!("containerd://{uid}1"),
        made_of: format!("sha256:of-{image}"),
        runs: true,
        is_current: true,
        waits: None,
    }
}

fn waits(pod: &Seen, reason: &str) -> Seen {
    let waits = Some((reason.to_owned(), "says the kubelet".to_owned()));
    Seen { runs: false, waits, ..pod.clone() }
}

fn swap() -> InPlace {
    InPlace { image: "pay:2".to_owned(), until: 1_000, stage: Stage::Swapping, work: None }
}

/// What comes next at a time at which nothing is late.
fn turn(swap: &InPlace, pods: &[Seen], word: Option<Word>) -> Turn {
    next(swap, "pay:1", pods, |_| word, 10)
}

fn put(turn: Turn) -> InPlace {
    match turn {
        Turn::Put(Some(swap)) => swap,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pods_get_the_image_one_after_the_other_once_they_are_quiet() {
    let (a, b) = (pod("a", "pay:1"), pod("b", "pay:1"));
    let at_a = put(turn(&swap(), &[b.clone(), a.clone()], None));
    assert_eq!(at_a.work.as_ref().unwrap().name, "pay-a");
    assert_eq!(turn(&at_a, &[a.clone(), b.clone()], None), Turn::Wait, "its sidecar is away");
    assert_eq!(turn(&at_a, &[a.clone(), b.clone()], Some(Word::default())), Turn::Wait, "calls still run");
    let patched = Turn::Patch("pay-a".to_owned(), "pay:2".to_owned());
    assert_eq!(turn(&at_a, &[a.clone(), b.clone()], Some(QUIET)), patched);
    let given = Seen { image: "pay:2".to_owned(), is_current: false, ..a };
    assert_eq!(turn(&at_a, &[given.clone(), b.clone()], Some(ANSWERS)), Turn::Wait, "the kubelet has not looked");
    let seen = Seen { is_current: true, ..given };
    assert_eq!(turn(&at_a, &[seen.clone(), b.clone()], Some(ANSWERS)), Turn::Wait, "the old container still runs");
    let other = Seen { container: "containerd://a2".to_owned(), ..seen };
    assert_eq!(turn(&at_a, &[other.clone(), b.clone()], Some(QUIET)), Turn::Wait, "it has not answered yet");
    let released = put(turn(&at_a, &[other.clone(), b.clone()], Some(ANSWERS)));
    assert_eq!((released.work.as_ref(), &released.stage), (None, &Stage::Swapping));
    let at_b = put(turn(&released, &[other.clone(), b], None));
    assert_eq!(at_b.work.as_ref().unwrap().name, "pay-b");
    let all = put(turn(&released, &[other], None));
    assert_eq!(all.stage, Stage::Swapped);
    assert_eq!(turn(&all, &[pod("c", "pay:1")], None), Turn::Wait, "a pod that is made anew stays as it is");
}

#[test]
fn a_pod_that_does_not_do_with_the_image_gets_back_what_it_had() {
    let at_a = put(turn(&swap(), &[pod("a", "pay:1")], None));
    let given = pod("a", "pay:2");
    let pulls = waits(&given, "ErrImagePull");
    assert_eq!(turn(&at_a, std::slice::from_ref(&pulls), Some(QUIET)), Turn::Wait, "the kubelet tries again");
    let fails = waits(&given, "ImagePullBackOff");
    let unseen = Seen { is_current: false, ..fails.clone() };
    assert_eq!(turn(&at_a, &[unseen], Some(QUIET)), Turn::Wait, "that was said of something else");
    let back = put(turn(&at_a, std::slice::from_ref(&fails), Some(QUIET)));
    let Stage::Failed(why) = &back.stage else { panic!("{back:?}") };
    assert!(why.contains("pay-a does not run pay:2: ImagePullBackOff: says the kubelet"), "{why}");
    assert!(back.is_under_way(), "until it runs again");
    let patched = Turn::Patch("pay-a".to_owned(), "pay:1".to_owned());
    assert_eq!(turn(&back, &[fails], Some(QUIET)), patched);
    let again = Seen { container: "containerd://a2".to_owned(), ..pod("a", "pay:1") };
    let over = put(turn(&back, &[again], Some(ANSWERS)));
    assert!(!over.is_under_way() && over.stage == back.stage);
    let drifted = put(turn(&swap(), &[pod("a", "pay:by-hand")], None));
    let back = put(turn(&drifted, &[waits(&given, "InvalidImageName")], Some(QUIET)));
    let by_hand = Turn::Patch("pay-a".to_owned(), "pay:by-hand".to_owned());
    assert_eq!(turn(&back, &[waits(&given, "InvalidImageName")], Some(QUIET)), by_hand, "whatever that was");
    let back = put(turn(&at_a, &[waits(&given, "ImagePullBackOff")], Some(QUIET)));
    // where the kubelet had not even ended the old one
    let over = put(turn(&back, &[pod("a", "pay:1")], Some(ANSWERS)));
    assert!(!over.is_under_way());
}

#[test]
fn a_container_that_ends_again_and_again_or_never_answers_is_taken_back_too() {
    let at_a = put(turn(&swap(), &[pod("a", "pay:1")], None));
    let ends = waits(&pod("a", "pay:2"), "CrashLoopBackOff");
    assert_eq!(turn(&at_a, std::slice::from_ref(&ends), Some(QUIET)), Turn::Wait, "the old one did");
    let ends = Seen { container: "containerd://a2".to_owned(), ..ends };
    assert!(put(turn(&at_a, &[ends], Some(QUIET))).work.unwrap().back);
    let mute = Seen { container: "containerd://a2".to_owned(), ..pod("a", "pay:2") };
    let late = |swap: &InPlace, pod: &Seen, word| next(swap, "pay:1", std::slice::from_ref(pod), |_| word, 1_000);
    let back = put(late(&at_a, &mute, Some(QUIET)));
    let Stage::Failed(why) = &back.stage else { panic!("{back:?}") };
    assert!(why.contains("does not answer its probe"), "{why}");
    let running = put(late(&at_a, &pod("a", "pay:1"), Some(Word::default())));
    assert!(matches!(&running.stage, Stage::Failed(why) if why.contains("calls")) && running.work.is_none());
    assert!(matches!(&put(late(&at_a, &pod("a", "pay:1"), None)).stage, Stage::Failed(why) if why.contains("sidecar")));
    assert!(matches!(&put(late(&swap(), &pod("a", "pay:1"), None)).stage, Stage::Failed(_)));
}

#[test]
fn a_pod_that_goes_is_nobodys_turn_any_more() {
    let at_a = put(turn(&swap(), &[pod("a", "pay:1")], None));
    let anew = pod("b", "pay:1");
    let released = put(turn(&at_a, std::slice::from_ref(&anew), None));
    assert_eq!(released.work, None);
    assert_eq!(put(turn(&released, &[anew], None)).work.unwrap().name, "pay-b", "while the swap goes on");
}

#[test]
fn taken_back_in_the_middle_the_pod_is_patched_from_where_it_is() {
    let at_a = put(turn(&swap(), &[pod("a", "pay:1")], None));
    let undone = InPlace { stage: Stage::Undoing, ..at_a };
    let new = Seen { container: "containerd://a2".to_owned(), ..pod("a", "pay:2") };
    let again = put(turn(&undone, std::slice::from_ref(&new), Some(QUIET)));
    assert_eq!(again.work.as_ref().unwrap().container, "containerd://a2");
    assert_eq!(turn(&again, &[new], Some(QUIET)), Turn::Patch("pay-a".to_owned(), "pay:1".to_owned()));
    let old = Seen { container: "containerd://a3".to_owned(), ..pod("a", "pay:1") };
    let released = put(turn(&again, std::slice::from_ref(&old), Some(ANSWERS)));
    assert_eq!(turn(&released, &[old], None), Turn::Put(None), "and nothing is left of it");
}

#[test]
fn drift_says_who_runs_what_and_what_to_do() {
    let swapped = InPlace { stage: Stage::Swapped, ..swap() };
    let (new, old) = (pod("a", "pay:2"), pod("b", "pay:1"));
    let of = |swap: Option<&InPlace>, pods: &[Seen]| drift(swap, "pay:1", pods);
    assert_eq!(of(None, std::slice::from_ref(&old)), None);
    let told = of(Some(&swapped), std::slice::from_ref(&new)).unwrap();
    assert!(told.starts_with("1 of 1 pods run pay:2, their Deployment has pay:1:"), "{told}");
    assert!(told.contains("--commit"), "{told}");
    let told = of(Some(&swapped), &[new.clone(), old.clone()]).unwrap();
    assert!(told.contains("1 of 2 pods run pay:2") && told.contains("and so has pay-b, made since"), "{told}");
    let told = of(Some(&swapped), std::slice::from_ref(&old)).unwrap();
    assert!(told.contains("no pod runs pay:2 any more") && told.contains("pay-b"), "{told}");
    assert!(of(Some(&swap()), &[new.clone(), old.clone()]).unwrap().ends_with("the swap goes on"));
    assert!(of(None, &[new]).unwrap().contains("changed by hand"));
    let failed = InPlace { stage: Stage::Failed("no such image".to_owned()), ..swap() };
    assert_eq!(of(Some(&failed), &[old]), None, "all is as before");
}

#[test]
fn a_pod_is_read_as_the_api_server_tells_it() {
    let metadata = json!({"uid": "a", "name": "pay-a", "generation": 2});
    let mut body = json!({
        "spec": {"containers": [{"name": "pay", "image": "pay:2"}, {"name": "other", "image": "x"}]},
        "status": {"phase": "Running", "observedGeneration": 2, "containerStatuses": [{
            "name": "pay", "containerID": "containerd://a1", "imageID": "sha256:of-pay:2",
            "state": {"running": {"startedAt": "now"}},
        }]},
    });
    assert_eq!(Seen::of(&metadata, &body, "pay"), Some(pod("a", "pay:2")));
    body["status"]["observedGeneration"] = json!(1);
    assert!(!Seen::of(&metadata, &body, "pay").unwrap().is_current);
    body["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "ErrImagePull", "message": "no"}});
    let seen = Seen::of(&metadata, &body, "pay").unwrap();
    assert_eq!((seen.runs, seen.waits), (false, Some(("ErrImagePull".to_owned(), "no".to_owned()))));
    let going = json!({"uid": "a", "name": "pay-a", "deletionTimestamp": "now"});
    assert_eq!(Seen::of(&going, &body, "pay"), None);
    assert_eq!(Seen::of(&metadata, &body, "other-name"), None);
}
