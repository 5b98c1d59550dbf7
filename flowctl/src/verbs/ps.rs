//! `flowctl ps`: instances and deployments, once or as they change.

use std::collections::HashSet;

use clap::Args;
use futures_util::StreamExt as _;
use jiff::Timestamp;

use super::run::metadata;
use crate::args::kind::{Kind, KindArgs};
use crate::args::{Flowd, OutputArgs};
use crate::client::{Client, Selection, Stream};
use crate::exit::{Exit, Failure, code_of};
use crate::output::{self, Format, Show, deployment, instance};

/// List instances or deployments
#[derive(Debug, Args)]
pub(crate) struct Ps {
    #[command(flatten)]
    kind: KindArgs,

    /// Only these; all if none is named
    #[arg(value_name = "ID")]
    ids: Vec<String>,

    /// Only instances with this metadata: a JSON object of texts, or KEY=TEXT
    #[arg(short, long, value_name = "JSON|KEY=TEXT")]
    meta: Vec<String>,

    /// Go on and print what changes
    #[arg(short, long)]
    watch: bool,

    /// Only instances of this deployment
    #[arg(long, value_name = "DEPLOYMENT")]
    of: Option<String>,

    /// Most entries to list
    #[arg(long, value_name = "N")]
    limit: Option<u32>,

    /// Write the Kubernetes objects of the deployments to a file
    #[arg(long = "kubernetes-output", value_name = "FILE", hide = true)]
    kubernetes_output: Option<String>,

    #[command(flatten)]
    output: OutputArgs,
}

impl Ps {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        if self.kubernetes_output.is_some() {
            return Err(Failure::usage("--kubernetes-output: a deployment has no Kubernetes objects here").into());
        }
        let (kind, ids) = one_kind(self.kind.resolve(&self.ids), self.kind.kind())?;
        let selection = Selection {
            ids,
            metadata: metadata(&self.meta)?,
            deployment: self.of.unwrap_or_default(),
            limit: self.limit.unwrap_or(0),
        };
        let mut client = Client::connect(flowd).await?;
        match (kind, self.watch) {
            (Kind::Instance, true) => {
                let stream = client.watch_instances(selection).await?;
                let list = |instance| instance::List { instances: vec![instance], missing: Vec::new() };
                follow(stream, list, self.output).await
            }
            (Kind::Deployment, true) => {
                let stream = client.watch_deployments(selection);
                follow(stream, |deployment| deployment::List { deployments: vec![deployment] }, self.output).await
            }
            (Kind::Instance, false) => {
                let ids = selection.ids.clone();
                let instances = collect(client.instances(selection).await, &ids).await?;
                let missing = missing(&ids, instances.iter().map(|instance| instance.id.as_str()));
                let exit = tell_missing(&missing, kind);
                output::show(&instance::List { instances, missing }, self.output.output)?;
                Ok(exit)
            }
            (Kind::Deployment, false) => {
                let ids = selection.ids.clone();
                let deployments = collect(client.deployments(selection).await, &ids).await?;
                let missing = missing(&ids, deployments.iter().map(|deployment| deployment.id.as_str()));
                let exit = tell_missing(&missing, kind);
                output::show(&deployment::List { deployments }, self.output.output)?;
                Ok(exit)
            }
        }
    }
}

/// All ids are of one kind, or it is a usage error.
fn one_kind(ids: Vec<(Kind, String)>, default: Kind) -> anyhow::Result<(Kind, Vec<String>)> {
    let kind = ids.first().map_or(default, |(kind, _)| *kind);
    if ids.iter().any(|(other, _)| *other != kind) {
        return Err(Failure::usage("deployments and instances cannot be listed together").into());
    }
    Ok((kind, ids.into_iter().map(|(_, id)| id).collect()))
}

/// Prints what comes, until flowd ends it or the reader goes away.
async fn follow<T, L: Show>(mut stream: Stream<T>, list: fn(T) -> L, output: OutputArgs) -> anyhow::Result<Exit> {
    let mut first = true;
    while let Some(item) = stream.next().await {
        output::data(&followed(&list(item?), output.output, first, Timestamp::now())?)?;
        first = false;
    }
    output::note("error: flowd has ended the watch\n  hint: start `flowctl ps -w` again");
    Ok(Exit::Error)
}

/// A list of one among those that came before: JSON is a line of its own, a table has its headings once.
fn followed(list: &impl Show, format: Option<Format>, first: bool, now: Timestamp) -> anyhow::Result<String> {
    let rendered = output::render(list, format, now)?;
    Ok(match format {
        Some(Format::Json) => format!("{}\n", list.json()[0]),
        None | Some(Format::Wide) if !first => {
            rendered.split_once('\n').map(|(_, row)| row.to_owned()).unwrap_or_default()
        }
        None | Some(Format::Wide | Format::Original | Format::Yaml | Format::Name | Format::Sarif) => rendered,
    })
}

/// All there is. That some of the ids asked for do not exist is no error here: the others are shown.
async fn collect<T>(stream: anyhow::Result<Stream<T>>, ids: &[String]) -> anyhow::Result<Vec<T>> {
    let absent = |error: &anyhow::Error| !ids.is_empty() && code_of(error) == Exit::NotFound;
    let mut stream = match stream {
        Err(error) if absent(&error) => return Ok(Vec::new()),
        other => other?,
    };
    let mut items = Vec::new();
    while let Some(item) = stream.next().await {
        match item {
            Err(error) if absent(&error) => break,
            other => items.push(other?),
        }
    }
    Ok(items)
}

fn missing<'a>(ids: &[String], found: impl Iterator<Item = &'a str>) -> Vec<String> {
    let found: HashSet<&str> = found.collect();
    ids.iter().filter(|id| !found.contains(id.as_str())).cloned().collect()
}

fn tell_missing(missing: &[String], kind: Kind) -> Exit {
    for id in missing {
        output::note(format_args!("error: there is no {kind} {id}"));
    }
    if missing.is_empty() { Exit::Ok } else { Exit::NotFound }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::instance::tests::completed;
    use crate::output::tests::NOW;

    #[test]
    fn ids_bring_their_kind_but_only_one() {
        let both = vec![(Kind::Deployment, "a".to_owned()), (Kind::Instance, "b".to_owned())];
        assert!(one_kind(both, Kind::Instance).is_err());
        let one = vec![(Kind::Deployment, "a".to_owned())];
        assert_eq!(one_kind(one, Kind::Instance).unwrap(), (Kind::Deployment, vec!["a".to_owned()]));
        assert_eq!(one_kind(Vec::new(), Kind::Instance).unwrap(), (Kind::Instance, Vec::new()));
    }

    fn stream(items: Vec<anyhow::Result<u32>>) -> anyhow::Result<Stream<u32>> {
        Ok(futures_util::stream::iter(items).boxed())
    }

    #[tokio::test]
    async fn what_exists_is_shown_beside_what_does_not() {
        let gone = || anyhow::Error::new(Failure::new(Exit::NotFound, "there is no b"));
        let ids = ["a".to_owned(), "b".to_owned()];
        assert_eq!(collect(stream(vec![Ok(1), Err(gone())]), &ids).await.unwrap(), [1]);
        assert_eq!(collect::<u32>(Err(gone()), &ids).await.unwrap(), [0; 0]);
        let broken = collect(stream(vec![Ok(1), Err(anyhow::anyhow!("broken"))]), &ids).await;
        assert!(broken.is_err(), "half a list is not an answer");
        assert_eq!(missing(&ids, ["a"].into_iter()), ["b"]);
    }

    #[test]
    fn a_watch_has_its_headings_once_and_json_line_by_line() {
        let list = instance::List { instances: vec![completed()], missing: Vec::new() };
        let shown = |format, first| followed(&list, format, first, NOW).unwrap();
        assert_eq!(shown(None, true).lines().count(), 2);
        let row = shown(None, false);
        assert!(row.starts_with(&list.instances[0].id) && row.lines().count() == 1, "{row}");
        let line = shown(Some(Format::Json), false);
        assert!(line.starts_with('{') && line.lines().count() == 1, "{line}");
    }

    #[test]
    fn what_is_missing_is_not_found() {
        assert_eq!(tell_missing(&["a".into()], Kind::Instance), Exit::NotFound);
        assert_eq!(tell_missing(&[], Kind::Instance), Exit::Ok);
    }
}
