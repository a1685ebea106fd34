//! A glob taken apart: the only reader of its syntax.
//!
//! What a pattern matches, what it can match at all, and what is wrong with it are all answered from these tokens, so
//! that the answers cannot differ.

/// How deep braces may be nested: more than anybody writes, and no danger to the stack.
const DEEPEST: usize = 64;

/// What is wrong with the syntax of a glob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// `[a`
    #[error("unclosed character class; missing `]`")]
    UnclosedClass,
    /// `[z-a]`
    #[error("invalid range; `{0}` > `{1}`")]
    InvalidRange(char, char),
    /// `a}`
    #[error("unopened alternate group; missing `{{` (maybe escape `}}` with `[}}]`?)")]
    UnopenedAlternates,
    /// `{a`
    #[error("unclosed alternate group; missing `}}` (maybe escape `{{` with `[{{]`?)")]
    UnclosedAlternates,
    /// `a\`
    #[error("dangling `\\`")]
    DanglingEscape,
    /// `{{{{…`
    #[error("braces are nested more than {DEEPEST} deep")]
    TooDeep,
}

/// One part of a glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// The character itself, `/` included.
    Literal(char),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `**/`: any number of folders, each with its `/`.
    Folders,
    /// `**` at the end: whatever lies there, at any depth.
    Deep,
    /// `[…]`
    Class {
        /// `[!…]`
        negated: bool,
        /// Both ends belong to a range.
        ranges: Vec<(char, char)>,
    },
    /// `{…,…}`
    Either(Vec<Vec<Token>>),
}

/// Takes a glob apart.
pub(super) fn parse(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut parser = Parser { rest: text.chars().peekable(), before: None, depth: 0 };
    let tokens = parser.branch()?;
    // Only a `}` ends the outermost branch early.
    if parser.rest.next().is_none() { Ok(tokens) } else { Err(SyntaxError::UnopenedAlternates) }
}

struct Parser<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    /// The character before the next one.
    before: Option<char>,
    /// In how many braces it is.
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        self.before = Some(next);
        Some(next)
    }

    /// Up to the end, or to the `,` or `}` that ends an alternative.
    fn branch(&mut self) -> Result<Vec<Token>, SyntaxError> {
        let mut tokens = Vec::new();
        while let Some(&next) = self.rest.peek() {
            match next {
                '}' => break,
                ',' if self.depth > 0 => break,
                '*' => self.star(&mut tokens),
                '[' => tokens.push(self.class()?),
                '{' => tokens.push(self.either()?),
                '\\' => {
                    self.next();
                    tokens.push(Token::Literal(self.next().ok_or(SyntaxError::DanglingEscape)?));
                }
                '?' => {
                    self.next();
                    tokens.push(Token::Any);
                }
                other => {
                    self.next();
                    tokens.push(Token::Literal(other));
                }
            }
        }
        Ok(tokens)
    }

    fn either(&mut self) -> Result<Token, SyntaxError> {
        self.next();
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(SyntaxError::TooDeep);
        }
        let mut branches = vec![self.branch()?];
        // What ends the last one is its `}`.
        while self.next().ok_or(SyntaxError::UnclosedAlternates)? == ',' {
            branches.push(self.branch()?);
        }
        self.depth -= 1;
        Ok(Token::Either(branches))
    }

    fn star(&mut self, tokens: &mut Vec<Token>) {
        let before = self.before;
        self.next();
        if self.rest.next_if_eq(&'*').is_none() {
            return tokens.push(Token::Star);
        }
        self.before = Some('*');
        let begins = tokens.is_empty() || before == Some('/');
        match self.rest.peek() {
            Some('/') if begins => {
                self.next();
                if tokens.last() != Some(&Token::Folders) {
                    tokens.push(Token::Folders);
                }
            }
            None if begins => tokens.push(Token::Deep),
            Some(',' | '}') if begins && !tokens.is_empty() && self.depth > 0 => tokens.push(Token::Deep),
            _ => tokens.extend([Token::Star, Token::Star]),
        }
    }

    fn class(&mut self) -> Result<Token, SyntaxError> {
        self.next();
        let negated = self.rest.next_if(|next| matches!(next, '!' | '^')).is_some();
        let mut ranges: Vec<(char, char)> = Vec::new();
        // A `-` makes a range with what stands before it, unless that is the end of another range.
        let (mut is_first, mut may_begin, mut in_range) = (true, false, false);
        loop {
            let next = self.next().ok_or(SyntaxError::UnclosedClass)?;
            match (next, ranges.last_mut()) {
                (']', _) if !is_first => break,
                ('-', _) if may_begin && !in_range => in_range = true,
                (_, Some(range)) if in_range => {
                    if range.0 > next {
                        return Err(SyntaxError::InvalidRange(range.0, next));
                    }
                    range.1 = next;
                    (may_begin, in_range) = (false, false);
                }
                _ => {
                    ranges.push((next, next));
                    may_begin = true;
                }
            }
            is_first = false;
        }
        if in_range {
            ranges.push(('-', '-'));
        }
        Ok(Token::Class { negated, ranges })
    }
}

/// All that a glob may stand for, without braces; `None` where that would be too many to look at.
pub(super) fn branches(tokens: &[Token]) -> Option<Vec<Vec<Token>>> {
    /// So many are looked at.
    const MOST: usize = 4096;
    let mut all = vec![Vec::new()];
    for token in tokens {
        match token {
            Token::Either(alternatives) => {
                let mut each = Vec::new();
                for alternative in alternatives {
                    each.extend(branches(alternative)?);
                }
                if all.len().saturating_mul(each.len()) > MOST {
                    return None;
                }
                let joined = all.iter().flat_map(|before: &Vec<Token>| {
                    each.iter().map(move |behind| [before.as_slice(), behind.as_slice()].concat())
                });
                all = joined.collect();
            }
            token => all.iter_mut().for_each(|branch| branch.push(token.clone())),
        }
    }
    Some(all)
}

/// The components of a path that a branch asks for; the last one is empty where it ends in `/`.
pub(super) fn components(branch: &[Token]) -> Vec<&[Token]> {
    let mut components = Vec::new();
    let mut rest = branch;
    while let Some(end) = rest.iter().position(|token| matches!(token, Token::Literal('/') | Token::Folders)) {
        if rest[end] != Token::Folders || end > 0 {
            components.push(&rest[..end]);
        }
        rest = &rest[end + 1..];
    }
    components.push(rest);
    components
}
