//! Names for policies that the program writes itself.

use std::collections::BTreeSet;

/// Longer names would leave no room for a number; a name has at most 64 characters.
const LONGEST_SLUG: usize = 56;

/// `/srv/app/tmp` is `srv-app-tmp`; the second one is `srv-app-tmp-2`.
pub(crate) fn free_name(text: &str, fallback: &str, taken: &BTreeSet<String>) -> String {
    let mut slug = String::new();
    for character in text.chars().map(|character| character.to_ascii_lowercase()) {
        if character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_' {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let tail = slug.len().saturating_sub(LONGEST_SLUG);
    let slug = slug[tail..].trim_matches('-');
    let slug = if slug.is_empty() { fallback } else { slug };
    let numbered = (2_u32..).map(|number| format!("{slug}-{number}"));
    let mut names = std::iter::once(slug.to_owned()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}
