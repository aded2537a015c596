//! What can be wrong with descriptor bytes.

use thiserror::Error;

use crate::DescriptorType;

/// Why bytes cannot be read as a certain descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// Fewer bytes than the descriptor's fixed part.
    #[error("{expected_type} descriptor: {found} bytes, expected at least {expected}")]
    #[non_exhaustive]
    TooShort {
        /// What was to be read.
        expected_type: DescriptorType,
        /// Bytes that the fixed part takes.
        expected: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// Another descriptor's type code.
    #[error("expected a {expected} descriptor, found {found}")]
    #[non_exhaustive]
    WrongType {
        /// The type that was to be read.
        expected: DescriptorType,
        /// The type that stands there.
        found: DescriptorType,
    },
}

/// Checks length and type of the descriptor at the start of `bytes`.
pub(crate) fn check(
    bytes: &[u8],
    expected_type: DescriptorType,
    expected: usize,
) -> Result<(), DescriptorError> {
    match bytes {
        [length, kind, ..] => {
            if DescriptorType(*kind) != expected_type {
                return Err(DescriptorError::WrongType {
                    expected: expected_type,
                    found: DescriptorType(*kind),
                });
            }
            let found = bytes.len().min(usize::from(*length));
            if found < expected {
                return Err(DescriptorError::TooShort {
                    expected_type,
                    expected,
                    found,
                });
            }
            Ok(())
        }
        _ => Err(DescriptorError::TooShort {
            expected_type,
            expected,
            found: bytes.len(),
        }),
    }
}
