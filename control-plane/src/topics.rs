//! Topics as the world outside sees them: published to, read in order, listed.
//!
//! [`Broker`] is the seam: [`own::Own`] is flowd's own log in the ledger; a broker beside flowd takes its place by the same three calls.
//! What a broker must promise: `publish` returns once the message is durable, and takes an id once; `read` gives records in the order of
//! their offsets, each at least once to who asks from an offset on. How a message finds instances is the ledger's, never a broker's.

pub(crate) mod own;

use std::sync::Arc;

use routing::instance::Published;
use routing::table::{MAX_TOPIC, is_topic};
use tokio::sync::broadcast;

use crate::ledger::{Receipt, Record, TopicView};
use crate::operations::Error;

/// Where topics are. See the module's documentation.
pub(crate) trait Broker {
    /// Publishes a message to the topic of its name.
    fn publish(&self, message: Published) -> impl Future<Output = Result<Receipt, Error>> + Send;

    /// Records behind an offset, at most so many, and the offset of the next one that will come.
    fn read(
        &self,
        topic: &str,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<(Vec<Record>, u64), Error>> + Send;

    /// Every topic.
    fn list(&self) -> impl Future<Output = Result<Vec<TopicView>, Error>> + Send;

    /// The names of topics as records are appended from now on; who lags behind reads anew.
    fn appended(&self) -> broadcast::Receiver<Arc<str>>;
}

/// That a topic can have this name.
pub(crate) fn named(name: &str) -> Result<(), Error> {
    if is_topic(name) {
        return Ok(());
    }
    let rule = format!("letters, digits, '-', '_' and '.', at most {MAX_TOPIC} of them");
    Err(Error::Invalid(format!("{name:?} is no name of a topic: {rule}")))
}
