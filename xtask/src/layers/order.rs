//! The order of the layers inside the stack: layer N names layer M only where M <= N.

use std::collections::BTreeMap;

use crate::lexer::Token;
use crate::mentions::mentions;
use crate::source::{SourceFile, Violation};
use crate::test_code::Shipped;

/// Files at the stack's root that join the layers and so may name all of them. Layers may not name the first two:
/// that would point from a part back to the whole.
const JOINTS: [&str; 4] = ["spine", "stack", "lib", "api"];
const WHOLE: [&str; 2] = ["spine", "stack"];
/// The log of events reports what layers do in their own words; the layers hand it values and never read it.
const OBSERVER: &str = "event";

/// Names that the stack's `lib.rs` lends from a layer: `crate::Name` is then as good as the layer's own path.
pub struct Reexports<'a>(BTreeMap<&'a str, u8>);

impl<'a> Reexports<'a> {
    /// Reads them from `crates/stack/src/lib.rs`. A layer may itself lend from one below: the lowest is where a name lives.
    pub fn of(files: &[SourceFile], shipped: &[Shipped<'a>]) -> Self {
        let of_file = |path: &str| {
            let at = files.iter().position(|file| {
                file.crate_name() == Some("stack") && file.path_in_src() == Some(path)
            });
            at.map_or_else(BTreeMap::new, |at| lent(&shipped[at].tokens))
        };
        let mut by_root = of_file("lib.rs");
        let roots = files.iter().filter_map(|file| {
            let inside = file
                .path_in_src()
                .filter(|_| file.crate_name() == Some("stack"))?;
            Some((layer_of(inside.strip_suffix("/mod.rs")?)?, of_file(inside)))
        });
        let by_layer: BTreeMap<u8, BTreeMap<&str, u8>> = roots.collect();
        for (name, layer) in &mut by_root {
            while let Some(lower) = by_layer
                .get(layer)
                .and_then(|lent| lent.get(name))
                .filter(|lower| *lower < layer)
            {
                *layer = *lower;
            }
        }
        Self(by_root)
    }
}

fn lent<'a>(tokens: &[Token<'a>]) -> BTreeMap<&'a str, u8> {
    let mut names = BTreeMap::new();
    for mention in mentions(tokens).iter().filter(|mention| mention.is_use) {
        let path: Vec<&'a str> = mention
            .segments
            .iter()
            .copied()
            .filter(|part| *part != "crate" && *part != "self")
            .collect();
        if let ([first, .., last], Some(layer)) = (
            path.as_slice(),
            path.first().and_then(|part| layer_of(part)),
        ) && first != last
        {
            names.insert(*last, layer);
        }
    }
    names
}

/// 4 for `l4_transport`.
fn layer_of(name: &str) -> Option<u8> {
    let (digit, word) = name.strip_prefix('l')?.split_once('_')?;
    let layer = digit.parse().ok()?;
    (!word.is_empty() && (1..=7).contains(&layer)).then_some(layer)
}

/// Checks one file of the stack; other files have nothing to fear here.
pub fn check(file: &SourceFile, tokens: &[Token<'_>], reexports: &Reexports<'_>) -> Vec<Violation> {
    let Some(inside) = file
        .path_in_src()
        .filter(|_| file.crate_name() == Some("stack"))
    else {
        return Vec::new();
    };
    let module: Vec<&str> = module_of(inside);
    let own = module.first().copied().unwrap_or("lib");
    if JOINTS.contains(&own) || own == OBSERVER {
        return Vec::new();
    }
    let own_layer = layer_of(own).unwrap_or(0);
    let found = mentions(tokens);
    let mut violations = Vec::new();
    for mention in &found {
        let path = mention.resolve(&module);
        let from_root = path.first().copied().unwrap_or_default();
        let absolute = mention.segments.first() == Some(&"crate")
            || mention.segments.first() == Some(&"super");
        let lent = reexports.0.get(from_root).copied().filter(|_| absolute);
        let target = layer_of(from_root).or(lent).unwrap_or(0);
        if target > own_layer {
            violations.push(file.violation(mention.line, refusal(own, own_layer, &path, target)));
        } else if mention.is_use && absolute && matches!(path.as_slice(), [] | ["*"]) {
            let message = format!(
                "{own} takes in the whole crate: name what is used, so that its layer can be seen"
            );
            violations.push(file.violation(mention.line, message));
        } else if own_layer > 0 && absolute && WHOLE.contains(&from_root) {
            let message = format!(
                "{own} names crate::{from_root}: a layer knows nothing of the whole it is part of"
            );
            violations.push(file.violation(mention.line, message));
        }
    }
    violations
}

fn refusal(own: &str, own_layer: u8, path: &[&str], target: u8) -> String {
    let path = path.join("::");
    if own_layer == 0 {
        format!(
            "{own} names crate::{path} of layer {target}: what every layer may use must itself use none"
        )
    } else {
        format!("layer {own_layer} names crate::{path} of layer {target}: imports point down only")
    }
}

/// `l2_link/arp.rs` is the module `l2_link::arp`.
fn module_of(inside: &str) -> Vec<&str> {
    let stem = inside.strip_suffix(".rs").unwrap_or(inside);
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    stem.split('/').filter(|part| *part != "lib").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::lex;
    use crate::test_code::strip;

    const LIB: &str = "pub mod l5_session; pub use l5_session::{Ready, Socket, SocketId}; pub use crate::l2_link::Neighbour; mod cx; pub use cx::Cx;";

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let files = [
            ("crates/stack/src/lib.rs", LIB),
            (
                "crates/stack/src/l5_session/mod.rs",
                "pub use crate::l4_transport::readiness::Ready;",
            ),
            (path, text),
        ];
        let files = files.map(|(path, text)| SourceFile {
            path: path.into(),
            text: text.into(),
        });
        let tokens = files.each_ref().map(|file| lex(&file.text));
        let shipped = tokens.each_ref().map(|tokens| strip(tokens));
        let reexports = Reexports::of(&files, &shipped);
        check(&files[2], &shipped[2].tokens, &reexports)
            .into_iter()
            .map(|v| v.line)
            .collect()
    }

    #[test]
    fn a_layer_that_names_a_higher_one_is_refused() {
        let rows = [
            ("l2_link/arp.rs", "use crate::l3_network::Route;"),
            (
                "l2_link/arp.rs",
                "use crate::{cx::Cx, l3_network::{Route, Table}};",
            ),
            ("l2_link/arp.rs", "use super::super::l5_session;"),
            ("l2_link/mod.rs", "use super::l5_session::Socket;"),
            (
                "l2_link/arp.rs",
                "fn f() { crate::l4_transport::tcp::open() }",
            ),
            ("l2_link/arp.rs", "use crate as root; fn f() { root::x() }"),
            ("l2_link/arp.rs", "use crate::*;"),
            (
                "l2_link/arp.rs",
                "use super::*; fn f() -> l4_transport::X {}",
            ),
            ("l2_link/arp.rs", "use crate::SocketId;"),
            ("l3_network/mod.rs", "use crate::Ready;"),
            ("l4_transport/tcp/arrives/text.rs", "use crate::Socket;"),
            ("l1_physical/mod.rs", "use crate::Neighbour;"),
            ("l3_network/mod.rs", "use crate::spine::Spine;"),
            ("l5_session/mod.rs", "use crate::stack::Stack;"),
            ("cx.rs", "use crate::l1_physical::Port;"),
            (
                "l4_transport/tcp/mod.rs",
                "mod a { use super::super::super::l5_session; }",
            ),
        ];
        for (path, text) in rows {
            let found = lines(&format!("crates/stack/src/{path}"), text);
            assert!(!found.is_empty(), "{path}: {text}");
        }
    }

    #[test]
    fn a_layer_that_looks_down_or_at_itself_is_let_pass() {
        let rows = [
            (
                "l3_network/ipv4.rs",
                "use crate::l2_link::Neighbour; use crate::l3_network::Route;",
            ),
            (
                "l3_network/ipv4.rs",
                "use crate::Neighbour; use crate::Cx; use crate::cx::Cx;",
            ),
            (
                "l3_network/ipv4.rs",
                "// use crate::l4_transport\nconst A: &str = \"crate::l4_transport\";",
            ),
            (
                "l3_network/ipv4.rs",
                "#[cfg(test)] mod tests { use crate::l5_session::Socket; }",
            ),
            (
                "l3_network/ipv4.rs",
                "fn f(x: S) { x.l4_transport.receive(); let l4_ = 1; Socket::new() }",
            ),
            ("l4_transport/mod.rs", "use crate::Ready;"),
            ("event.rs", "use crate::l4_transport::tcp::State;"),
            ("spine.rs", "use crate::l5_session; use crate::l1_physical;"),
            ("stack.rs", "use crate::l5_session::Socket;"),
            ("api.rs", "use crate::l5_session::Socket;"),
            ("lib.rs", "pub mod l5_session;"),
            ("cx.rs", "use core::time::Duration;"),
            ("l5_session/stack.rs", "use crate::l4_transport::tcp;"),
        ];
        for (path, text) in rows {
            let found = lines(&format!("crates/stack/src/{path}"), text);
            assert!(found.is_empty(), "{path}: {text}: {found:?}");
        }
        assert!(lines("crates/lab/src/l1_cable.rs", "use crate::l2_switch;").is_empty());
    }

    #[test]
    fn the_line_of_the_name_is_told() {
        let text = "use crate::{\n    cx,\n    l4_transport::Port,\n};\n\nfn f() { crate::l5_session::g() }\n";
        assert_eq!(lines("crates/stack/src/l3_network/mod.rs", text), [3, 6]);
    }
}
