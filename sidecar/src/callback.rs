//! The seals of callback URLs: a key of this sidecar's own, kept in its data folder, so that a call that is made again after a restart names
//! the same URL as before. Whoever does not have the key cannot guess a seal.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ring::hmac;
use routing::{ActivationId, hex};

/// Bytes of the key.
const LENGTH: usize = 32;
/// Bytes of a seal.
const SEAL: usize = 16;

/// See the module's documentation.
#[derive(Clone)]
pub struct CallbackKey(hmac::Key);

impl CallbackKey {
    /// The key of these bytes.
    pub fn new(bytes: &[u8; LENGTH]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The key in a data folder; made at the first start.
    ///
    /// # Errors
    /// The file cannot be read or written, or is not a key.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("callback.key");
        match fs::read(&path) {
            Ok(bytes) => match bytes.as_slice().try_into() {
                Ok(bytes) => Ok(Self::new(bytes)),
                Err(_) => Err(io::Error::other(format!(
                    "{} is not a key of {LENGTH} bytes: remove it, and calls that wait for callbacks time out",
                    path.display()
                ))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes: [u8; LENGTH] = rand::random();
                write(&path, &bytes)?;
                Ok(Self::new(&bytes))
            }
            Err(error) => Err(error),
        }
    }

    /// The seal of a call: the same for the same activation.
    pub fn seal(&self, activation: ActivationId) -> String {
        let tag = hmac::sign(&self.0, &activation.0.to_be_bytes());
        hex(&tag.as_ref()[..SEAL])
    }
}

/// Whole or not at all, and for nobody else to read.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&aside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

impl fmt::Debug for CallbackKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackKey")
    }
}

impl Default for CallbackKey {
    /// For a core without a folder: of no secret.
    fn default() -> Self {
        Self::new(&[0; LENGTH])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_the_same_after_a_restart_and_another_for_each_call_and_sidecar() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let seal = |folder: &Path, activation| CallbackKey::open(folder).unwrap().seal(ActivationId(activation));
        let first = seal(one.path(), 1);
        assert_eq!((first.len(), seal(one.path(), 1)), (2 * SEAL, first.clone()));
        assert_ne!(seal(one.path(), 2), first);
        assert_ne!(seal(other.path(), 1), first);
        fs::write(one.path().join("callback.key"), "short").unwrap();
        assert!(CallbackKey::open(one.path()).unwrap_err().to_string().contains("remove it"));
    }
}
