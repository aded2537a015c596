//! Terminals: one's own, byte by byte, and a pseudo-terminal for others.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::pty::{self, OpenptFlags};
use rustix::stdio;
use rustix::termios::{self, OptionalActions, Termios};

/// Standard input, a terminal, without echo, lines and signals for as long as this lives.
#[derive(Debug)]
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// From now on every key comes as it is hit.
    ///
    /// # Errors
    /// Standard input is no terminal.
    pub fn standard_input() -> io::Result<Self> {
        let before = termios::tcgetattr(stdio::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // What is printed meanwhile is in lines.
        raw.output_modes = before.output_modes;
        termios::tcsetattr(stdio::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Where it cannot be set back, nobody is there to see it.
        let _ = termios::tcsetattr(stdio::stdin(), OptionalActions::Now, &self.before);
    }
}

/// A pseudo-terminal: what is written to one end is read from the other, unchanged.
#[derive(Debug)]
pub struct PseudoTerminal {
    near: OwnedFd,
    path: PathBuf,
    /// Kept open, so that the near end does not fail while nobody has the far one open.
    _far: OwnedFd,
}

impl PseudoTerminal {
    /// A new one.
    ///
    /// # Errors
    /// The system has none left.
    pub fn open() -> io::Result<Self> {
        let near = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        pty::grantpt(&near)?;
        pty::unlockpt(&near)?;
        let path = pty::ptsname(&near, Vec::new())?;
        let path = PathBuf::from(path.to_string_lossy().into_owned());
        let far = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut raw = termios::tcgetattr(&far)?;
        raw.make_raw();
        termios::tcsetattr(&far, OptionalActions::Now, &raw)?;
        Ok(Self {
            near,
            path,
            _far: far.into(),
        })
    }

    /// The path of the far end, for others to open.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for PseudoTerminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.near.as_fd()
    }
}
