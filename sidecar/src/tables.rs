//! Tables on disk beside the journal, so that a sidecar that starts without flowd knows what it knew.
//!
//! ```text
//! tables/<definition>.manifest   bytes whose SHA-256 is <definition>
//! tables/<digest>.table          bytes whose SHA-256 is <digest>, as the manifest says
//! bindings                       the last flow.v1.Bindings
//! ```
//! Promises: what was taken is complete and checked against its hashes; a file appears under its name
//! only when its bytes are on disk (written aside, synced, renamed, folder synced); a damaged file is
//! left out with a warning. Only tables of services served here are compiled and kept in memory; those of
//! successors are kept on disk, to be handed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hop::Splits;
use prost::Message as _;
use proto::{convert, v1};
use routing::table::{Host, Manifest, Place, TableError};
use routing::{Compiled, Digest, ElementId, RoutingTable, ServiceName};
use serde::{Deserialize, Serialize};

/// A definition and those of its tables that are served here, ready for the core.
pub type Loaded = (Digest, Served);

/// Tables that are served here, compiled, by element.
pub type Served = Vec<(ElementId, Arc<Compiled>)>;

/// Why tables were not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no table, or not the ones that the manifest names.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The definition's digest is unreadable.
    #[error(transparent)]
    Malformed(#[from] convert::Malformed),
    /// A table that the manifest does not name.
    #[error("table of {0}: the manifest names no such task")]
    Unnamed(ElementId),
    /// The disk did not take it.
    #[error("cannot keep {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file given with `--tables`.
    #[error("cannot use {} as tables: {why}; check --tables", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// What `--tables FILE` holds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Static {
    /// Definitions with the tables that matter here.
    pub definitions: Vec<StaticDefinition>,
    /// Addresses (`HOST:PORT`) of the replicas of other services.
    #[serde(default)]
    pub endpoints: BTreeMap<ServiceName, Vec<String>>,
}

/// One definition of [`Static`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StaticDefinition {
    /// Names every table by its digest.
    pub manifest: Manifest,
    /// The tables by element.
    pub tables: BTreeMap<ElementId, RoutingTable>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Tables {
    folder: PathBuf,
    bindings: PathBuf,
    serves: BTreeSet<ServiceName>,
    splits: Splits,
    manifests: BTreeMap<Digest, Manifest>,
}

impl Static {
    /// Reads the file of `--tables`.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |why: String| Error::File { path: path.to_owned(), why };
        let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))
    }
}

impl StaticDefinition {
    /// As flowd would push it.
    pub fn bundle(&self) -> v1::TableBundle {
        let manifest = self.manifest.to_bytes();
        let table = |(element, table): (&ElementId, &RoutingTable)| v1::Table {
            element: element.as_str().to_owned(),
            bytes: table.to_bytes().into(),
        };
        v1::TableBundle {
            definition: convert::digest_bytes(Digest::of(&manifest)),
            manifest: manifest.into(),
            tables: self.tables.iter().map(table).collect(),
        }
    }
}

impl Tables {
    /// Opens the store in `data_dir` and loads what it holds.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be made or read.
    pub fn open(data_dir: &Path, serves: BTreeSet<ServiceName>) -> Result<(Self, Vec<Loaded>), Error> {
        let folder = data_dir.join("tables");
        let failed = |source| Error::Io { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            names.push(entry.map_err(failed)?.path());
        }
        let bindings = data_dir.join("bindings");
        let mut tables =
            Self { folder: folder.clone(), bindings, serves, splits: Splits::default(), manifests: BTreeMap::new() };
        tables.split(Splits::from_wire(&tables.bindings().unwrap_or_default().splits));
        let mut loaded = Vec::new();
        for path in names.iter().filter(|path| path.extension().is_some_and(|e| e == "manifest")) {
            match tables.load(path) {
                Ok(definition) => loaded.push(definition),
                Err(error) => tracing::warn!(path = %path.display(), %error, "left out a damaged table file"),
            }
        }
        Ok((tables, loaded))
    }

    /// Tables that come are looked at for what is done here for other services, too.
    pub fn split(&mut self, splits: Splits) {
        self.splits = splits;
    }

    fn load(&mut self, path: &Path) -> Result<Loaded, Error> {
        let bytes = fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let definition = Digest::of(&bytes);
        let manifest = Manifest::from_bytes(&bytes, definition)?;
        if path != self.manifest_path(definition) {
            return Err(TableError::Unreadable("its bytes are not those of its name".into()).into());
        }
        let mut served = Vec::new();
        for (element, digest) in &manifest.tasks {
            let Ok(bytes) = fs::read(self.table_path(*digest)) else { continue };
            match self.served(element, &bytes, *digest) {
                Ok(Some(table)) => served.push((element.clone(), table)),
                Ok(None) => {}
                Err(error) => tracing::warn!(%element, %error, "left out a damaged table file"),
            }
        }
        self.manifests.insert(definition, manifest);
        Ok((definition, served))
    }

    /// Checks a bundle, keeps it, and gives what is served here.
    ///
    /// # Errors
    /// See [`Error`]; then nothing of it is used.
    pub fn take(&mut self, bundle: &v1::TableBundle) -> Result<Loaded, Error> {
        let definition = convert::digest(&bundle.definition)?;
        let manifest = Manifest::from_bytes(&bundle.manifest, definition)?;
        let (mut served, mut files) = (Vec::new(), Vec::new());
        for v1::Table { element, bytes } in &bundle.tables {
            let element = ElementId::from(element.as_str());
            let digest = *manifest.tasks.get(&element).ok_or_else(|| Error::Unnamed(element.clone()))?;
            let table = self.served(&element, bytes, digest)?;
            served.extend(table.map(|table| (element, table)));
            files.push((self.table_path(digest), bytes));
        }
        // The manifest last: a definition on disk has the tables that came with it.
        files.push((self.manifest_path(definition), &bundle.manifest));
        for (path, bytes) in &files {
            keep(path, bytes)?;
        }
        sync_folder(&self.folder)?;
        self.manifests.insert(definition, manifest);
        Ok((definition, served))
    }

    /// The table, compiled, if its host is served here.
    fn served(&self, element: &ElementId, bytes: &[u8], digest: Digest) -> Result<Option<Arc<Compiled>>, Error> {
        let compiled = Compiled::from_bytes(bytes, digest)?;
        let table = compiled.table();
        if table.host != Host::Task(element.clone()) {
            return Err(TableError::Unreadable(format!("it is not that of {element}")).into());
        }
        let place = table.find(element.as_str()).map(|node| &table.node(node).place);
        let here =
            matches!(place, Some(Place::Service(service)) if self.splits.done_by(service, &self.serves).is_some());
        Ok(here.then(|| Arc::new(compiled)))
    }

    /// What a replica that lacks the table of `element` is handed, if it is here.
    pub fn bundle(&self, definition: Digest, element: &ElementId) -> Option<v1::TableBundle> {
        let manifest = self.manifests.get(&definition)?;
        let bytes = fs::read(self.table_path(*manifest.tasks.get(element)?)).ok()?;
        let table = v1::Table { element: element.as_str().to_owned(), bytes: bytes.into() };
        Some(v1::TableBundle {
            definition: convert::digest_bytes(definition),
            manifest: manifest.to_bytes().into(),
            tables: vec![table],
        })
    }

    /// The definitions that are here, for the hello.
    pub fn definitions(&self) -> impl Iterator<Item = Vec<u8>> {
        self.manifests.keys().map(|definition| convert::digest_bytes(*definition))
    }

    /// How many definitions are here.
    pub fn len(&self) -> usize {
        self.manifests.len()
    }

    /// True when no definition is here.
    pub fn is_empty(&self) -> bool {
        self.manifests.is_empty()
    }

    /// Drops definitions that no instance runs on; tables that another definition names stay.
    pub fn retire(&mut self, definitions: &[Digest]) {
        for definition in definitions {
            let Some(manifest) = self.manifests.remove(definition) else { continue };
            let path = self.manifest_path(*definition);
            let named: BTreeSet<Digest> = self.manifests.values().flat_map(|m| m.tasks.values().copied()).collect();
            let tables = manifest.tasks.values().filter(|digest| !named.contains(*digest));
            for path in [path].into_iter().chain(tables.map(|digest| self.table_path(*digest))) {
                // What is not there is gone already; what stays is only space.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Keeps the bindings for the next start.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn keep_bindings(&self, bindings: &v1::Bindings) -> Result<(), Error> {
        keep(&self.bindings, &bindings.encode_to_vec())?;
        self.bindings.parent().map_or(Ok(()), sync_folder)
    }

    /// The bindings that were kept last.
    pub fn bindings(&self) -> Option<v1::Bindings> {
        v1::Bindings::decode(fs::read(&self.bindings).ok()?.as_slice()).ok()
    }

    fn manifest_path(&self, definition: Digest) -> PathBuf {
        self.folder.join(format!("{definition}.manifest"))
    }

    fn table_path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}.table"))
    }
}

fn keep(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let aside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&aside, path)
    };
    write().map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// Makes renames and removals in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| Error::Io { path: folder.to_owned(), source })
}
