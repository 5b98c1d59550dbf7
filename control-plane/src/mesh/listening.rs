//! Which topics start a deployment's instances by an operator's wish.

use routing::DeploymentId;

use super::Mesh;
use crate::definitions::{Listening, record};
use crate::store::Write;

/// Such topics of one deployment.
const MAX_TOPICS: usize = 100;

impl Mesh {
    /// The topic starts instances of the deployment; gives what makes it durable.
    pub(crate) fn subscribe(&self, id: &DeploymentId, wanted: Listening) -> Result<Vec<Write>, String> {
        self.change(|state| {
            let Some(deployment) = state.deployments.get_mut(id) else { return Err(format!("{id} is gone")) };
            if deployment.topics.contains(&wanted) {
                return Ok(Vec::new());
            }
            if deployment.topics.len() == MAX_TOPICS {
                return Err(format!("{id} listens to {MAX_TOPICS} topics already"));
            }
            deployment.topics.push(wanted);
            Ok(vec![record::put_state(deployment)])
        })
    }

    /// The topic does not start instances of `id`, or of any deployment, any more. Gives how many it did, and what makes it durable.
    pub(crate) fn unsubscribe(&self, topic: &str, id: Option<&DeploymentId>) -> (usize, Vec<Write>) {
        self.change(|state| {
            let (mut ended, mut writes) = (0, Vec::new());
            for deployment in state.deployments.values_mut() {
                if id.is_some_and(|id| *id != deployment.definition.deployment) {
                    continue;
                }
                let before = deployment.topics.len();
                deployment.topics.retain(|it| it.topic != topic);
                if deployment.topics.len() < before {
                    ended += before - deployment.topics.len();
                    writes.push(record::put_state(deployment));
                }
            }
            (ended, writes)
        })
    }
}
