//! Names of Linux interfaces.

/// Longest name of an interface, bytes (`IFNAMSIZ` without its end).
pub const INTERFACE_NAME_MAX: usize = 15;

/// A text that no Linux interface can be named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadInterfaceName {
    /// Nothing.
    #[error("missing; give the name of a Linux interface, like eth0")]
    Missing,
    /// More than the kernel takes.
    #[error("{0} bytes are too long for the name of an interface; it has at most {INTERFACE_NAME_MAX}")]
    TooLong(usize),
    /// A character, or a name, that the kernel refuses.
    #[error("{0:?} is no name of an interface: spaces, '/', ':' and control characters are not, nor are . and ..")]
    Illegal(String),
}

/// Whether a Linux interface can be named so, by the kernel's rules.
///
/// # Errors
/// [`BadInterfaceName`].
pub fn check_interface_name(text: &str) -> Result<(), BadInterfaceName> {
    let illegal = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':');
    if text.is_empty() {
        Err(BadInterfaceName::Missing)
    } else if text.len() > INTERFACE_NAME_MAX {
        Err(BadInterfaceName::TooLong(text.len()))
    } else if matches!(text, "." | "..") || text.chars().any(illegal) {
        Err(BadInterfaceName::Illegal(text.to_owned()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_rules() {
        for good in ["eth0", "wire0", "enp0s31f6.100", "a", "fifteen-bytes-x"] {
            assert_eq!(check_interface_name(good), Ok(()), "{good}");
        }
        assert_eq!(check_interface_name(""), Err(BadInterfaceName::Missing));
        assert_eq!(
            check_interface_name("sixteen-bytes-xx"),
            Err(BadInterfaceName::TooLong(16))
        );
        for bad in [".", "..", "a/b", "a b", "a:b", "a\tb", "a\0"] {
            assert_eq!(
                check_interface_name(bad),
                Err(BadInterfaceName::Illegal(bad.into())),
                "{bad:?}"
            );
        }
    }
}
