//! Where files lie: whether two paths lead to the same one.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::text::plain;

/// An option that writes a file, and the path that it was given.
pub type Output<'a> = (&'static str, &'a Path);

/// What a path leads to: a file that is there, or a name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    File { device: u64, inode: u64 },
    Name { device: u64, inode: u64, name: PathBuf },
}

/// Why outputs cannot be written beside each other and the input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClashError {
    /// What is played would be overwritten.
    #[error("{option} {} is the file that is to be played; write to another one", plain(.path))]
    Input {
        /// The option.
        option: &'static str,
        /// Its path.
        path: String,
    },
    /// One would overwrite the other.
    #[error("{} and {} write to the same file, {}; give each its own", .options[0], .options[1], plain(.path))]
    Outputs {
        /// The options.
        options: [&'static str; 2],
        /// The second one's path.
        path: String,
    },
}

/// Makes sure that all outputs are different files, and none of them the input. Devices, such as `/dev/null`, may be given
/// more than once.
///
/// # Errors
/// Which options clash.
pub fn check(input: &Path, outputs: &[Output<'_>]) -> Result<(), ClashError> {
    let input = Place::of(input);
    let mut taken: Vec<(&'static str, Place)> = Vec::new();
    for (option, path) in outputs {
        let Some(place) = Place::of(path) else { continue };
        let path = || path.display().to_string();
        if input.as_ref() == Some(&place) {
            return Err(ClashError::Input { option, path: path() });
        }
        if let Some((other, _)) = taken.iter().find(|(_, other)| *other == place) {
            return Err(ClashError::Outputs { options: [other, option], path: path() });
        }
        taken.push((option, place));
    }
    Ok(())
}

/// Whether `path` leads to where standard output goes, and that is no device.
pub fn is_standard_output(path: &Path) -> bool {
    let place = Place::of(path);
    place.is_some() && place == Place::of(Path::new("/dev/stdout"))
}

impl Place {
    /// Where `path` leads, unless that is a device or a folder that is not there.
    fn of(path: &Path) -> Option<Self> {
        match path.metadata() {
            Ok(metadata) => Self::of_file(&metadata),
            Err(_) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let (folder, name) = (folder.metadata().ok()?, path.file_name()?.into());
                Some(Self::Name { device: folder.dev(), inode: folder.ino(), name })
            }
        }
    }

    fn of_file(metadata: &Metadata) -> Option<Self> {
        let kind = metadata.file_type();
        let is_device = kind.is_char_device() || kind.is_block_device();
        (!is_device).then(|| Self::File { device: metadata.dev(), inode: metadata.ino() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_same_file_is_known_by_any_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("input"), "media").expect("writable");
        fs::hard_link(at("input"), at("hard")).expect("linked");
        symlink("input", at("soft")).expect("linked");
        symlink(".", at("here")).expect("linked");
        for name in ["input", "hard", "soft", "./input", "here/input"] {
            let path = at(name);
            let clash = check(&at("input"), &[("--wav", &path)]).expect_err(name);
            assert!(matches!(clash, ClashError::Input { option: "--wav", .. }), "{clash}");
        }
        let (new, again) = (at("new"), at("here/new"));
        let clash = check(&at("input"), &[("--wav", &new), ("--y4m", &again)]).expect_err("the same");
        assert!(clash.to_string().starts_with("--wav and --y4m write to the same file, "), "{clash}");
    }

    #[test]
    fn different_files_and_devices_do_not_clash() {
        let folder = tempfile::tempdir().expect("a folder");
        let (a, b, null) = (folder.path().join("a"), folder.path().join("b"), Path::new("/dev/null"));
        assert_eq!(check(&a, &[("--wav", null), ("--y4m", null), ("--trace", &b)]), Ok(()));
        let missing = Path::new("/nowhere/at/all");
        assert_eq!(check(&a, &[("--wav", missing), ("--y4m", missing)]), Ok(()), "which cannot be written anyway");
    }
}
