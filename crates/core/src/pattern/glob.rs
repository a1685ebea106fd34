//! A glob taken apart: for what `globset` cannot be asked.
//!
//! Two questions are answered here: what a pattern can match at all, and whether it matches a name that begins with a
//! dot without any of its wildcards standing for that dot, as in a shell. The text is read as `globset` reads it, and
//! whether a pattern matches a name at all is still for `globset` to say.

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

/// Takes a glob apart; `None` where the syntax is wrong.
pub(super) fn parse(text: &str) -> Option<Vec<Token>> {
    let mut parser = Parser { rest: text.chars().peekable(), before: None, depth: 0 };
    let tokens = parser.branch()?;
    parser.rest.next().is_none().then_some(tokens)
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
    fn branch(&mut self) -> Option<Vec<Token>> {
        let mut tokens = Vec::new();
        while let Some(&next) = self.rest.peek() {
            match next {
                ',' | '}' if self.depth > 0 => break,
                '}' => return None,
                '*' => self.star(&mut tokens),
                '[' => tokens.push(self.class()?),
                '{' => tokens.push(self.either()?),
                '\\' => {
                    self.next();
                    tokens.push(Token::Literal(self.next()?));
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
        Some(tokens)
    }

    fn either(&mut self) -> Option<Token> {
        self.next();
        self.depth += 1;
        let mut branches = vec![self.branch()?];
        // What ends the last one is its `}`.
        while self.next()? == ',' {
            branches.push(self.branch()?);
        }
        self.depth -= 1;
        Some(Token::Either(branches))
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

    fn class(&mut self) -> Option<Token> {
        self.next();
        let negated = self.rest.next_if(|next| matches!(next, '!' | '^')).is_some();
        let mut ranges: Vec<(char, char)> = Vec::new();
        let (mut is_first, mut in_range) = (true, false);
        loop {
            match self.next()? {
                ']' if !is_first => break,
                '-' if !is_first && !in_range => in_range = true,
                other if in_range => {
                    ranges.last_mut()?.1 = other;
                    in_range = false;
                }
                other => ranges.push((other, other)),
            }
            is_first = false;
        }
        if in_range {
            ranges.push(('-', '-'));
        }
        Some(Token::Class { negated, ranges })
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

/// A glob that is run by hand. No wildcard of it stands for a dot at the beginning of a component.
#[derive(Clone, Debug)]
pub(super) struct Program {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Byte(u8),
    /// One byte, but no `/`.
    Other,
    /// One of these bytes.
    Class(Box<[bool; 256]>),
    /// One byte, even `/`.
    Deep,
    /// Goes on here and there.
    Fork(usize),
    Jump(usize),
    End,
}

impl Program {
    pub(super) fn new(tokens: &[Token]) -> Self {
        let mut program = Self { steps: Vec::new() };
        program.add(tokens);
        program.steps.push(Step::End);
        program
    }

    /// Whether it matches all of a path.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        self.run(path).iter().any(|at| matches!(self.steps[*at], Step::End))
    }

    /// Whether it can match anything in a folder.
    pub(super) fn leads_into(&self, folder: &[u8]) -> bool {
        let states = self.run(&[folder, b"/"].concat());
        states.iter().any(|at| !matches!(self.steps[*at], Step::End))
    }

    fn add(&mut self, tokens: &[Token]) {
        for token in tokens {
            match token {
                Token::Literal(character) => {
                    self.steps.extend(character.encode_utf8(&mut [0; 4]).bytes().map(Step::Byte));
                }
                Token::Any => self.steps.push(Step::Other),
                Token::Star => self.repeat(Step::Other),
                Token::Deep => self.repeat(Step::Deep),
                Token::Folders => {
                    let fork = self.hole();
                    self.repeat(Step::Deep);
                    self.steps.push(Step::Byte(b'/'));
                    self.steps[fork] = Step::Fork(self.steps.len());
                }
                Token::Class { negated, ranges } => self.steps.push(class(*negated, ranges)),
                Token::Either(branches) => {
                    let mut ends = Vec::new();
                    for branch in branches {
                        let fork = self.hole();
                        self.add(branch);
                        ends.push(self.hole());
                        self.steps[fork] = Step::Fork(self.steps.len());
                    }
                    // Behind the last branch there is none to go on with.
                    let nothing = self.hole();
                    self.steps[nothing] = Step::Class(Box::new([false; 256]));
                    for end in ends {
                        self.steps[end] = Step::Jump(self.steps.len());
                    }
                }
            }
        }
    }

    fn repeat(&mut self, step: Step) {
        let fork = self.hole();
        self.steps.extend([step, Step::Jump(fork)]);
        self.steps[fork] = Step::Fork(self.steps.len());
    }

    /// Room for a step that is known later.
    fn hole(&mut self) -> usize {
        self.steps.push(Step::End);
        self.steps.len() - 1
    }

    /// The places at which it may be after a path, all of them at once: so that no pattern takes long.
    fn run(&self, path: &[u8]) -> Vec<usize> {
        let mut states = self.closure(vec![0]);
        let mut begins = true;
        for byte in path {
            let is_dot = begins && *byte == b'.';
            let takes = |at: &usize| match &self.steps[*at] {
                Step::Byte(own) => own == byte,
                Step::Other => !is_dot && *byte != b'/',
                Step::Class(own) => !is_dot && own[usize::from(*byte)],
                Step::Deep => !is_dot,
                Step::Fork(_) | Step::Jump(_) | Step::End => false,
            };
            states = self.closure(states.iter().filter(|at| takes(at)).map(|at| at + 1).collect());
            begins = *byte == b'/';
        }
        states
    }

    /// With all places that are reached from there without a byte.
    fn closure(&self, mut open: Vec<usize>) -> Vec<usize> {
        let mut is_known = vec![false; self.steps.len()];
        let mut states = Vec::new();
        while let Some(at) = open.pop() {
            if std::mem::replace(&mut is_known[at], true) {
                continue;
            }
            match self.steps[at] {
                Step::Fork(there) => open.extend([at + 1, there]),
                Step::Jump(there) => open.push(there),
                _ => states.push(at),
            }
        }
        states
    }
}

fn class(negated: bool, ranges: &[(char, char)]) -> Step {
    let mut bytes = Box::new([negated; 256]);
    for (first, last) in ranges {
        let (first, last) = (u32::from(*first), u32::from(*last));
        for byte in 0..=u8::MAX {
            // Bytes that are no ASCII are parts of characters: `globset` compares them one by one.
            if (first..=last).contains(&u32::from(byte)) || (byte >= 0x80 && last >= 0x80) {
                bytes[usize::from(byte)] = !negated;
            }
        }
    }
    bytes[usize::from(b'/')] = false;
    Step::Class(bytes)
}
