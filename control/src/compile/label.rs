//! Names for people, on objects of the dataplane.

use vrouter_proto::dataplane::{self as pb, object::Object};

/// Longest name that a dataplane takes, in bytes. (Those of rules may be longer: policy and rule always fit.)
const LONGEST: usize = 63;

/// Cuts names that are made of several, and too long for a dataplane.
pub(super) fn shorten(object: &mut pb::Object) {
    match &mut object.object {
        Some(Object::Port(o)) => cut(&mut o.name),
        Some(Object::Vrf(o)) => cut(&mut o.name),
        Some(Object::Bridge(o)) => cut(&mut o.name),
        Some(Object::NextHop(o)) => cut(&mut o.name),
        Some(Object::Vni(o)) => cut(&mut o.name),
        Some(Object::Label(o)) => cut(&mut o.name),
        Some(Object::Policy(o)) => cut(&mut o.name),
        Some(Object::SourceNat(o)) => cut(&mut o.name),
        Some(Object::Service(o)) => {
            cut(&mut o.name);
            o.backends.iter_mut().for_each(|backend| cut(&mut backend.name));
        }
        Some(Object::Mirror(o)) => cut(&mut o.name),
        Some(Object::HealthCheck(o)) => cut(&mut o.name),
        Some(Object::Route(_) | Object::Mac(_) | Object::Neighbor(_) | Object::Identity(_)) | None => {}
    }
}

fn cut(name: &mut String) {
    const MARK: &str = "...";
    if name.len() > LONGEST {
        let end = (0..=LONGEST - MARK.len()).rev().find(|end| name.is_char_boundary(*end));
        name.truncate(end.unwrap_or(0));
        name.push_str(MARK);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_names_are_cut_and_others_left() {
        let cut = |text: &str| {
            let mut text = text.to_owned();
            super::cut(&mut text);
            text
        };
        let (most, more) = ("a".repeat(63), "a".repeat(64));
        assert_eq!(cut(&most), most);
        assert_eq!(cut(&more), format!("{}...", "a".repeat(60)));
        assert_eq!(cut(&"\u{e4}".repeat(40)).len(), 63);
        assert_eq!(cut(&format!("a{}", "\u{e4}".repeat(40))).len(), 62);
    }
}
