//! Names that follow from a container and an interface alone: whoever knows these two finds the link and the endpoint again.

/// Longest part of a container's id, and of an interface's name, that a person gets to see in an endpoint's name.
const SHOWN: usize = 12;

/// The name of the host's end of a container's link: 15 characters.
#[must_use]
pub fn host_interface(container: &str, interface: &str) -> String {
    format!("vr{}", digest(container, interface))
}

/// The name of a container's endpoint: the beginning of its id and the interface, for people, and what tells it from all others.
#[must_use]
pub fn endpoint(container: &str, interface: &str) -> String {
    let (id, link) = (shown(container), shown(interface));
    format!("{id}-{link}-{}", digest(container, interface))
}

/// The beginning of a text, in letters that names have.
fn shown(text: &str) -> String {
    let letter = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() => c,
        _ => 'x',
    };
    text.chars().take(SHOWN).map(letter).collect()
}

/// 64 bits of both texts, in 13 letters and digits. FNV-1a with a final mix: the same on every machine and in every version, which is all that is asked
/// of it; two containers that meet in it are told apart by control, which gives an interface to one endpoint only.
fn digest(container: &str, interface: &str) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    // Neither may have a zero byte.
    for byte in container.bytes().chain([0]).chain(interface.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^= hash >> 32;
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    (0..13)
        .map(|place| char::from(DIGITS[(hash >> (5 * place)) as usize % 32]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InterfaceName, Name};

    #[test]
    fn names_are_valid_whatever_the_container_is_called() {
        for (container, interface) in [
            ("4d5e2f", "eth0"),
            ("A.B_c-D", "net1"),
            (&"f".repeat(200), "abcdefghijklmno"),
            ("x", "e@\u{e9}"),
        ] {
            assert!(InterfaceName::new(&host_interface(container, interface)).is_ok());
            assert_eq!(host_interface(container, interface).len(), 15);
            assert!(
                Name::new(&endpoint(container, interface)).is_ok(),
                "{container} {interface}"
            );
        }
    }

    #[test]
    fn names_never_change_and_tell_all_containers_apart() {
        assert_eq!(endpoint("4d5e2f", "eth0"), "4d5e2f-eth0-1cdp1gcntha68");
        let all: std::collections::HashSet<String> = (0..100_000_u32)
            .map(|number| host_interface(&format!("{number:064x}"), if number % 2 == 0 { "eth0" } else { "eth1" }))
            .collect();
        assert_eq!(all.len(), 100_000);
        assert_ne!(host_interface("ab", "c"), host_interface("a", "bc"));
    }
}
