//! Where `import` may look: in the folder of the route script and below, nowhere else.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

/// The files of one script, read at one time.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The script's path, as messages name it.
    pub name: String,
    /// The script.
    pub text: String,
    /// Path and text of each imported file, by the path that the `import` says.
    pub imports: BTreeMap<String, (String, String)>,
}

impl Sources {
    /// Does the word stand in any of the files?
    pub fn mention(&self, word: &str) -> bool {
        let imported = self.imports.values().map(|(_, text)| text);
        std::iter::once(&self.text).chain(imported).any(|text| text.contains(word))
    }
}

/// Why an `import` finds no file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The path is absolute or climbs with `..`.
    #[error("`{0}` leaves the script folder")]
    Outside(String),
    /// The path leads out of the folder through a symbolic link.
    #[error("`{0}` leads out of the script folder through a link")]
    Link(String),
    /// There is no such file, or it cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Unreadable {
        /// The path as the script wrote it.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The file that `import "path"` means for a script folder; `.rhai` is added where it is missing.
pub fn locate(folder: &Path, path: &str) -> Result<PathBuf, ImportError> {
    let relative = Path::new(path);
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if path.is_empty() || !relative.components().all(inside) {
        return Err(ImportError::Outside(path.to_owned()));
    }
    let mut file = folder.join(relative);
    if file.extension().is_none_or(|extension| extension != "rhai") {
        file.as_mut_os_string().push(".rhai");
    }
    let unreadable = |source| ImportError::Unreadable { path: path.to_owned(), source };
    let real = file.canonicalize().map_err(unreadable)?;
    let root = folder.canonicalize().map_err(unreadable)?;
    match real.starts_with(root) {
        true => Ok(file),
        false => Err(ImportError::Link(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_files_of_the_folder_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("scripts");
        fs::create_dir_all(root.join("lib")).unwrap();
        fs::write(root.join("lib/nat.rhai"), "").unwrap();
        fs::write(folder.path().join("out.rhai"), "").unwrap();
        std::os::unix::fs::symlink("../out.rhai", root.join("link.rhai")).unwrap();
        for path in ["lib/nat", "./lib/nat.rhai"] {
            assert!(locate(&root, path).is_ok(), "{path}");
        }
        for path in ["", "../out", "lib/../../out", "/etc/passwd"] {
            assert!(matches!(locate(&root, path), Err(ImportError::Outside(_))), "{path}");
        }
        assert!(matches!(locate(&root, "link"), Err(ImportError::Link(_))));
        assert!(matches!(locate(&root, "nat"), Err(ImportError::Unreadable { .. })));
    }
}
