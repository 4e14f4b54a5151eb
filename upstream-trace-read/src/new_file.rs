//! Files that the program makes: new, for their owner only, never over what is there.

use std::fs::File;
use std::path::Path;

use anyhow::Result;

/// Makes the file. One that has something in it stays as it is, and that is an error.
///
/// # Errors
/// If it exists and is not an empty file of this user, or cannot be made.
pub(crate) fn create(path: &Path) -> Result<File> {
    system::create(path)
}

/// Opens what is at this path to read its beginning; a link is not followed and a pipe does not block.
///
/// # Errors
/// If nothing is there, or it is a symbolic link, or cannot be opened.
pub(crate) fn open(path: &Path) -> Result<File> {
    system::open(path)
}

#[cfg(unix)]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io::ErrorKind;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
    use std::path::Path;

    use anyhow::{Result, bail};

    pub(super) fn create(path: &Path) -> Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        match options.clone().create_new(true).mode(0o600).open(path) {
            Ok(file) => return Ok(file),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        let file = match options.open(path) {
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                bail!("it is a symbolic link; name the file that it leads to")
            }
            // A pipe that nobody reads.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                bail!("it is not a file; give the name of a new one")
            }
            file => file?,
        };
        let found = file.metadata()?;
        if !found.is_file() {
            bail!("it is not a file; give the name of a new one");
        }
        if found.len() > 0 {
            bail!("it exists already and is not overwritten; remove it or choose another name");
        }
        if found.uid() != nix::unistd::geteuid().as_raw() {
            bail!("it belongs to another user; remove it or choose another name");
        }
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
        Ok(file)
    }

    pub(super) fn open(path: &Path) -> Result<File> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        match File::options().read(true).custom_flags(flags).open(path) {
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                bail!("it is a symbolic link; name the file that it leads to")
            }
            file => Ok(file?),
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::File;
    use std::path::Path;

    use anyhow::Result;

    pub(super) fn create(path: &Path) -> Result<File> {
        Ok(File::options().write(true).create_new(true).open(path)?)
    }

    pub(super) fn open(path: &Path) -> Result<File> {
        Ok(File::open(path)?)
    }
}
