//! Reads the policy file and the key files it names, each within limits; replaces it whole.

pub mod edit;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::gate::policy::{Policy, PolicyErrors};

/// Why there is no policy. Nothing is decided without one. All of these are the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It says something that it must not.
    #[error("`{path}`: {mistakes}", path = path.display())]
    Mistakes {
        /// Which file.
        path: PathBuf,
        /// All of them.
        mistakes: PolicyErrors,
    },
    /// It cannot be written.
    #[error("cannot write the policy `{path}`", path = path.display())]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("cannot read the policy `{path}`", path = path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// No file of a policy is larger; a device or a log named by mistake must not fill the memory.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Files of one folder that a policy names.
const FOLDER_FILES_MAX: usize = 1024;

/// Reads a policy; key files are relative to its folder.
///
/// # Errors
/// See [`PolicyFileError`].
pub fn read(path: &Path) -> Result<Policy, PolicyFileError> {
    let unreadable = |source| PolicyFileError::Unreadable { path: path.to_owned(), source };
    let bytes = read_bounded(path).map_err(unreadable)?;
    let text = String::from_utf8(bytes)
        .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    parse(path, &text)
}

/// Puts another text in the place of a policy, if that is a policy; a reader sees the old file or the new one.
///
/// # Errors
/// See [`PolicyFileError`]; the old file is then untouched.
pub fn replace(path: &Path, text: &str) -> Result<Policy, PolicyFileError> {
    let policy = parse(path, text)?;
    let unwritable = |source| PolicyFileError::Unwritable { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(std::fs::metadata(path)?.permissions())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    written().map_err(unwritable)?;
    Ok(policy)
}

fn parse(path: &Path, text: &str) -> Result<Policy, PolicyFileError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let read_file = |name: &Path| read_bounded(&folder.join(name));
    Policy::parse(text, &read_file)
        .map_err(|mistakes| PolicyFileError::Mistakes { path: path.to_owned(), mistakes })
}

/// Reads a file that a policy could name, within the same limit.
///
/// # Errors
/// When it cannot be read, or is too large.
pub fn read_named(path: &Path) -> io::Result<Vec<u8>> {
    read_bounded(path)
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return names(path);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// The files of a folder, as [`crate::gate::policy::ReadFile`] asks for them. Hidden files are an editor's.
fn names(folder: &Path) -> io::Result<Vec<u8>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().into_string();
        let name =
            name.map_err(|name| io::Error::new(io::ErrorKind::InvalidFilename, format!("{name:?}")))?;
        if !name.starts_with('.') {
            names.push(name);
        }
        if names.len() > FOLDER_FILES_MAX {
            let problem = format!("more than {FOLDER_FILES_MAX} files");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
        }
    }
    names.sort();
    Ok(names.join("\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::gate::policy::{STARTER_KEY_PATH, starter};

    const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEt22NKZmE7wycOnaIkElFT84xjCc0
LJmizOanB4Id6kYFQUttPaVqWtVYHpqEstQ1yrXM51xEgdA57CteVNWuaA==
-----END PUBLIC KEY-----
";

    #[test]
    fn a_trust_store_may_be_a_folder_and_each_of_its_files_is_part_of_the_digest() {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../keys/tests/vectors/notation/trust");
        let folder = tempfile::tempdir().unwrap();
        let (path, store) = (folder.path().join("policy.toml"), folder.path().join("vendor"));
        fs::create_dir(&store).unwrap();
        let text = "[[identity]]\nname = 'v'\nnotation = { store = 'vendor', subject = 'O=Acme' }\n\
                    [[rule]]\nimages = ['**']\nsignatures = { require = [['v']] }\n";
        fs::write(&path, text).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("`vendor` holds 0 files"));
        fs::copy(vectors.join("acme-ca.crt"), store.join("acme.crt")).unwrap();
        fs::write(store.join(".swp"), "an editor's").unwrap();
        let one = read(&path).unwrap();
        fs::copy(vectors.join("other-ca.crt"), store.join("other.crt")).unwrap();
        assert_ne!(read(&path).unwrap().digest(), one.digest());
        fs::create_dir(store.join("nested")).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("vendor/nested"));
    }

    #[test]
    fn key_files_are_relative_to_the_policy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        assert!(matches!(read(&path), Err(PolicyFileError::Unreadable { .. })));
        fs::write(&path, starter()).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains(STARTER_KEY_PATH), "{error}");
        fs::create_dir(folder.path().join("keys")).unwrap();
        fs::write(folder.path().join(STARTER_KEY_PATH), KEY).unwrap();
        assert_eq!(read(&path).unwrap().rules().len(), 1);
    }

    #[test]
    fn what_never_ends_is_not_read() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert!(
            matches!(error, PolicyFileError::Unreadable { source, .. } if source.kind() == io::ErrorKind::FileTooLarge)
        );
    }
}
