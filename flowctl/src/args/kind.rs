//! Deployments and instances: `-k KIND`, `-d`, `-i`, and ids that carry their kind as `deployment/ID`.

use std::fmt;
use std::str::FromStr;

use clap::Args;

/// What an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A deployed process definition.
    Deployment,
    /// One run of a deployment.
    Instance,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Deployment => "deployment",
            Kind::Instance => "instance",
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "deployment" | "deployments" => Ok(Kind::Deployment),
            "instance" | "instances" => Ok(Kind::Instance),
            _ => Err("it is DEPLOYMENT or INSTANCE".to_owned()),
        }
    }
}

/// The original's three ways to say what the ids are; an instance if nobody says.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
pub(crate) struct KindArgs {
    /// What the ids name: DEPLOYMENT or INSTANCE
    #[arg(short, long, value_name = "KIND")]
    kind: Option<Kind>,

    /// The ids name deployments
    #[arg(short, long)]
    deployment: bool,

    /// The ids name instances (the default)
    #[arg(short, long)]
    instance: bool,
}

impl KindArgs {
    /// The kind asked for on the command line, if any.
    pub(crate) fn explicit(self) -> Option<Kind> {
        match (self.kind, self.deployment, self.instance) {
            (Some(kind), _, _) => Some(kind),
            (None, true, _) => Some(Kind::Deployment),
            (None, false, true) => Some(Kind::Instance),
            (None, false, false) => None,
        }
    }

    /// The kind asked for, as the original has it: an instance if nobody says.
    pub(crate) fn kind(self) -> Kind {
        self.explicit().unwrap_or(Kind::Instance)
    }

    /// Kind and bare id of each word; `deployment/ID`, as `-o name` prints it, brings its own kind.
    pub(crate) fn resolve(self, words: &[String]) -> Vec<(Kind, String)> {
        words.iter().map(|word| split(word).unwrap_or_else(|| (self.kind(), word.clone()))).collect()
    }
}

/// Takes `deployment/ID` or `instance/ID` apart.
pub(crate) fn split(word: &str) -> Option<(Kind, String)> {
    let (kind, id) = word.split_once('/')?;
    Some((kind.parse().ok()?, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: KindArgs = KindArgs { kind: None, deployment: false, instance: false };

    #[test]
    fn an_instance_is_the_default() {
        assert_eq!(NOTHING.kind(), Kind::Instance);
        assert_eq!(NOTHING.explicit(), None);
    }

    #[test]
    fn the_original_s_words_are_read_in_any_case() {
        assert_eq!("DEPLOYMENT".parse(), Ok(Kind::Deployment));
        assert_eq!("instance".parse(), Ok(Kind::Instance));
        assert!("pod".parse::<Kind>().is_err());
    }

    #[test]
    fn an_id_may_bring_its_kind() {
        let words = ["deployment/a-1".to_owned(), "a-1-2".to_owned()];
        let resolved = NOTHING.resolve(&words);
        assert_eq!(resolved, [(Kind::Deployment, "a-1".to_owned()), (Kind::Instance, "a-1-2".to_owned())]);
    }
}
