//! From a spec to the model that it means. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::resource::{ConfigMapKey, Spec};
use super::seen::Referred;
use super::status::{Lack, Step};
use crate::operations::{Apply, Resource};

/// What an apply is made of; `referred`: the ConfigMap that the spec names. `reader`: the ClusterRole that lets flowd read one, and flowd's account.
pub(super) fn model(spec: &Spec, namespace: &str, referred: Referred<'_>, reader: (&str, &str)) -> Result<Apply, Lack> {
    let mut resources = spec.resources.clone();
    let xml = match (&spec.bpmn, &spec.bpmn_from) {
        (Some(bpmn), None) => bpmn.clone(),
        (None, Some(from)) => {
            let ConfigMapKey { name, key } = &from.config_map_key_ref;
            let data = there(referred, (namespace, name), reader)?;
            let beside = data.iter().filter(|(file, _)| file.ends_with(".dmn") || file.ends_with(".form"));
            for (file, content) in beside {
                resources.entry(file.clone()).or_insert_with(|| content.clone());
            }
            let missing = || {
                let keys: Vec<&str> = data.keys().map(String::as_str).collect();
                let there = if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
                lack("ConfigMapKeyMissing", format!("ConfigMap {namespace}/{name} has no key {key}; it has {there}"))
            };
            data.get(key).ok_or_else(missing)?.clone()
        }
        _ => return Err(lack("Invalid", "give exactly one of spec.bpmn and spec.bpmnFrom".to_owned())),
    };
    let resources = resources.into_iter().map(|(name, content)| Resource { name, content: content.into() }).collect();
    Ok(Apply { xml: Bytes::from(xml), resources, ..Apply::default() })
}

fn there<'a>(
    referred: Referred<'a>,
    (namespace, name): (&str, &str),
    (role, account): (&str, &str),
) -> Result<&'a BTreeMap<String, String>, Lack> {
    match referred {
        Referred::There(_, data) => Ok(data),
        Referred::Awaited => Err(Lack {
            known: false,
            ..lack("ConfigMapAwaited", format!("ConfigMap {namespace}/{name} has not been read yet"))
        }),
        Referred::Absent => Err(lack(
            "ConfigMapMissing",
            format!("there is no ConfigMap {namespace}/{name}: create it, or name another one"),
        )),
        Referred::Denied(why) => Err(lack(
            "ConfigMapForbidden",
            format!(
                "flowd may not read ConfigMap {namespace}/{name} ({why}): `kubectl -n {namespace} create rolebinding {role} --clusterrole={role} \
                 --serviceaccount={account}` lets it"
            ),
        )),
    }
}

fn lack(reason: &'static str, message: String) -> Lack {
    Lack { step: Step::Compiled, reason, message, known: true }
}
