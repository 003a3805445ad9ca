//! Whether sinks get in the way of each other, or of sources: rows would be lost without a word.

use std::path::{Path, PathBuf};

use crate::diagnostic::code;
use crate::read::{Field, Findings, Section};
use crate::values::without_dots;

/// What only one may write.
#[derive(PartialEq)]
enum Place {
    Path(PathBuf),
    Stdout,
}

pub(super) fn check(root: &Section, findings: &mut Findings) {
    let sources = root.fields_of("sources");
    let sinks = root.fields_of("sinks");
    for (index, sink) in sinks.iter().enumerate() {
        let Some((place, field)) = place_of(sink) else {
            continue;
        };
        let is_here = |other: &&Field| place_of(other).is_some_and(|(other, _)| other == place);
        if let Some(first) = sinks[..index].iter().find(is_here) {
            let message = format!("`{}` writes there already", first.path);
            let hint =
                "give each sink a place of its own; `UNION ALL` in a transform makes one of both";
            field.error(code::CONFLICT, message, hint, findings);
        } else if let Some(source) = sources.iter().find(is_here) {
            let message = format!("`{}` reads what this sink would write", source.path);
            let hint = "write into another file: what a job reads stays as it is";
            field.error(code::CONFLICT, message, hint, findings);
        }
    }
}

/// What a sink writes, or a source reads, and the key that says so.
fn place_of<'a>(relation: &Field<'a>) -> Option<(Place, Field<'a>)> {
    let section = relation.table()?;
    let text = |field: &Field| field.text(&mut Findings::default());
    if let Some(path) = section.field("path") {
        let place = Place::Path(without_dots(Path::new(&text(&path)?)));
        return Some((place, path));
    }
    let to = section.field("to")?;
    (text(&to)? == "stdout").then_some((Place::Stdout, to))
}
