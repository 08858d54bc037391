//! Which part of an event's path is the API's.

/// The path without the stage's name in front.
///
/// Behind a custom domain the name is not there although the stage has one, so
/// a path that fits the route as it stands is left alone.
pub fn without_stage<'p>(path: &'p str, stage: &str, template: &str) -> &'p str {
    if stage == "$default" || fits(path, template) {
        return path;
    }
    let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(stage));
    match rest {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// Whether the template has the path's form. A greedy template fits anything
/// and so tells nothing: it counts as not fitting.
fn fits(path: &str, template: &str) -> bool {
    if template.is_empty() || template.ends_with("+}") {
        return false;
    }
    let mut segments = path.split('/');
    let same = template.split('/').all(|expected| {
        segments.next().is_some_and(|segment| expected.starts_with('{') || expected == segment)
    });
    same && segments.next().is_none()
}
