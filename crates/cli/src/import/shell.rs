//! A command line of `sh`, as far as it can be understood without running it.

/// One word, or what stands between words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// `;`, `&&`, `||`, `|`, `&`.
    Operator(String),
    /// `>`: standard output goes to a file, so nobody is given it in a pipe.
    Output,
}

/// Splits a line; an error says what only a shell could understand.
pub(super) fn tokens(line: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' => {
                let text = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(other) => text.push(other),
                        None => return Err("a quote is not closed".to_owned()),
                    }
                }
            }
            '"' => {
                let text = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('"') => break,
                        Some('$' | '`') => return Err("it contains a shell variable or command".to_owned()),
                        Some('\\') => match characters.next() {
                            Some(escaped @ ('"' | '\\' | '$' | '`')) => text.push(escaped),
                            Some(other) => text.extend(['\\', other]),
                            None => return Err("a quote is not closed".to_owned()),
                        },
                        Some(other) => text.push(other),
                        None => return Err("a quote is not closed".to_owned()),
                    }
                }
            }
            '\\' => match characters.next() {
                Some(other) => word.get_or_insert_default().push(other),
                None => return Err("it goes on in the next line".to_owned()),
            },
            '$' | '`' => return Err("it contains a shell variable or command".to_owned()),
            '(' | ')' | '<' => return Err(format!("it holds `{character}` of the shell")),
            '>' => {
                // A number before it belongs to it; which file it is changes nothing.
                let number = word.take_if(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                tokens.extend(word.take().map(Token::Word));
                tokens.extend(number.is_none_or(|number| number == "1").then_some(Token::Output));
                while characters.next_if(|next| matches!(next, '>' | '&' | ' ')).is_some() {}
                while characters.next_if(|next| !next.is_whitespace() && !matches!(next, ';' | '&' | '|')).is_some() {}
            }
            ';' | '&' | '|' => {
                tokens.extend(word.take().map(Token::Word));
                let mut operator = String::from(character);
                operator.extend(characters.next_if(|next| *next == character && character != ';'));
                if operator == "|" && characters.peek() == Some(&'&') {
                    return Err("it holds `|&` of the shell".to_owned());
                }
                tokens.push(Token::Operator(operator));
            }
            '#' if word.is_none() => break,
            _ if character.is_whitespace() => tokens.extend(word.take().map(Token::Word)),
            other => word.get_or_insert_default().push(other),
        }
    }
    tokens.extend(word.map(Token::Word));
    Ok(tokens)
}
