//! Patterns of the shell and of `fnmatch` in the words of `cleanup.toml`; `None` where they have no counterpart.

/// What stands between a pattern and a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Below {
    /// It speaks of this, below the root.
    Pattern(String),
    /// It cannot speak of anything below the root.
    Elsewhere,
    /// It may.
    Unclear,
}

/// Whether braces stand for alternatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Braces {
    Literal,
    Alternatives,
}

/// Translates one pattern, such as `*.svg` or `[!a]?.{x}`.
pub(super) fn translate(text: &str, braces: Braces) -> Option<String> {
    let mut pattern = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' if pattern.ends_with('*') && !pattern.ends_with("\\*") => {}
            '{' | '}' if braces == Braces::Literal => pattern.extend(['[', character, ']']),
            '\\' => pattern.extend(['\\', characters.next()?]),
            '[' => {
                let mut class = String::from('[');
                class.extend(characters.next_if(|next| matches!(next, '!' | '^')).map(|_| '!'));
                class.extend(characters.next_if_eq(&']'));
                loop {
                    match characters.next()? {
                        ']' => break class.push(']'),
                        '[' | '\\' | '{' | '}' | '/' => return None,
                        other => class.push(other),
                    }
                }
                pattern.push_str(&class);
            }
            other => pattern.push(other),
        }
    }
    let is_usable = !pattern.contains("${") && cleanup_core::pattern::check(&pattern).is_ok();
    is_usable.then_some(pattern)
}

/// Writes a path that means itself as a pattern.
pub(super) fn literal(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        match character {
            '*' | '?' | '[' | '{' | '}' => pattern.extend(['[', character, ']']),
            '\\' => pattern.push_str("\\\\"),
            other => pattern.push(other),
        }
    }
    pattern
}

/// What an absolute pattern, in the words of the shell, means below a root.
pub(super) fn below(pattern: &str, root: &str, braces: Braces) -> Below {
    let parts: Vec<&str> = pattern.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let roots: Vec<&str> = root.split('/').filter(|part| !part.is_empty()).collect();
    if parts.contains(&"..") {
        return Below::Unclear;
    }
    let is_wild = |part: &str| {
        part.contains(['*', '?', '[', '\\']) || (braces == Braces::Alternatives && part.contains(['{', '}']))
    };
    for (part, own) in parts.iter().zip(&roots) {
        if is_wild(part) && parts.len() > roots.len() {
            return Below::Unclear;
        }
        if part != own {
            return Below::Elsewhere;
        }
    }
    match parts.get(roots.len()..) {
        Some(rest) if !rest.is_empty() => {
            // A pattern without `/` names it at every depth, which keeps more.
            translate(&rest.join("/"), braces).map_or(Below::Unclear, Below::Pattern)
        }
        _ => Below::Elsewhere,
    }
}
