//! How the programs end badly.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a program ends without having done what it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// What was asked cannot be done, and nothing was: exit code 2.
    Mistake(String),
    /// A connection, a peer or a device failed: exit code 1.
    Failed(String),
}

impl Failure {
    /// A mistake of whoever asked.
    pub fn mistake(error: impl Display) -> Self {
        Self::Mistake(error.to_string())
    }

    /// Something that failed.
    pub fn failed(error: impl Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// What is said of it.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Self::Mistake(text) | Self::Failed(text) => text,
        }
    }

    /// Tells it on standard error, in one line, in the name of `program`.
    #[must_use]
    pub fn report(&self, program: &str) -> ExitCode {
        let (text, code) = match self {
            Self::Mistake(text) => (text, 2),
            Self::Failed(text) => (text, 1),
        };
        let _ = writeln!(io::stderr(), "{program}: {text}");
        ExitCode::from(code)
    }
}

/// Says something on standard output. That nobody listens is no failure.
///
/// # Errors
/// It cannot be written.
pub fn say(text: impl Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}
