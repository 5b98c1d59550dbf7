//! JUEL, the `${...}` of Java engines, to FEEL, where both mean the same.
//!
//! Refused is whatever calls Java (beans, most methods), `empty`, and what has no counterpart; a few methods of strings and lists are translated. A
//! translation has been parsed as FEEL. Different all the same: a variable that is not there is null here and an error there.

/// Longest text and deepest nesting that is read.
const MOST: usize = 16_384;
const DEEPEST: usize = 48;

const KEYWORDS: [&str; 16] = [
    "if",
    "then",
    "else",
    "for",
    "in",
    "return",
    "some",
    "every",
    "satisfies",
    "between",
    "instance",
    "of",
    "function",
    "date",
    "time",
    "external",
];
const JAVA: [&str; 8] = [
    "execution",
    "task",
    "delegateTask",
    "caseExecution",
    "externalTask",
    "authenticatedUserId",
    "currentUser",
    "connector",
];

/// Whether a text holds JUEL.
pub(super) fn is_juel(text: &str) -> bool {
    text.contains("${") || text.contains("#{")
}

/// A text with `${...}` in it as FEEL, without the leading `=`; or why there is none.
pub(super) fn translate(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.len() > MOST {
        return Err("it is too long".to_owned());
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${").into_iter().chain(rest.find("#{")).min() {
        if start > 0 {
            parts.push(quoted(&rest[..start]));
        }
        let inside = &rest[start + 2..];
        let end = closing(inside).ok_or("a `}` is missing")?;
        let feel = expression(&inside[..end])?;
        rest = &inside[end + 1..];
        if parts.is_empty() && rest.is_empty() {
            return parsed(feel);
        }
        parts.push(format!("(if ({feel}) = null then \"\" else string({feel}))"));
    }
    if !rest.is_empty() {
        parts.push(quoted(rest));
    }
    parsed(parts.join(" + "))
}

fn parsed(feel: String) -> Result<String, String> {
    match feel::parse(&feel) {
        Ok(_) => Ok(feel),
        Err(error) => Err(format!("`{feel}` is not FEEL: {}", error.message)),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where the `}` stands that is in no string.
fn closing(text: &str) -> Option<usize> {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(mark) if c == mark => quote = None,
            Some(_) => {}
            None if c == '}' => return Some(at),
            None if c == '"' || c == '\'' => quote = Some(c),
            None => {}
        }
    }
    None
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Number(String),
    Text(String),
    Sign(&'static str),
}

const SIGNS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", "(", ")", "[", "]", ".", ",",
    "{", "}",
];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut list = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first.is_alphabetic() || first == '_' || first == '$' {
            let end = rest.find(|it: char| !(it.is_alphanumeric() || it == '_' || it == '$')).unwrap_or(rest.len());
            list.push(word(&rest[..end]));
            rest = &rest[end..];
        } else if first.is_ascii_digit() {
            let end = rest.find(|it: char| !(it.is_ascii_digit() || it == '.')).unwrap_or(rest.len());
            list.push(Token::Number(rest[..end].to_owned()));
            rest = &rest[end..];
        } else if first == '"' || first == '\'' {
            let (text, length) = string(rest, first)?;
            list.push(Token::Text(text));
            rest = &rest[length..];
        } else {
            let sign = SIGNS.iter().find(|it| rest.starts_with(**it));
            let sign = sign.ok_or_else(|| format!("`{first}` has no counterpart"))?;
            list.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        }
        rest = rest.trim_start();
    }
    Ok(list)
}

/// Operators that are words are signs.
fn word(name: &str) -> Token {
    let sign = match name {
        "and" => "&&",
        "or" => "||",
        "not" => "!",
        "eq" => "==",
        "ne" => "!=",
        "lt" => "<",
        "gt" => ">",
        "le" => "<=",
        "ge" => ">=",
        "div" => "/",
        "mod" => "%",
        _ => return Token::Name(name.to_owned()),
    };
    Token::Sign(sign)
}

fn string(text: &str, mark: char) -> Result<(String, usize), String> {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            _ if c == mark => return Ok((value, at + 1)),
            _ => value.push(c),
        }
    }
    Err("a string has no end".to_owned())
}

/// Translated text and how tightly it binds.
type Piece = (String, u8);

const TERNARY: u8 = 0;
const OR: u8 = 1;
const AND: u8 = 2;
const COMPARISON: u8 = 3;
const SUM: u8 = 4;
const PRODUCT: u8 = 5;
const WHOLE: u8 = 7;

fn expression(text: &str) -> Result<String, String> {
    let mut reading = Reading { tokens: tokens(text)?, at: 0, depth: 0 };
    let (feel, _) = reading.ternary()?;
    match reading.tokens.get(reading.at) {
        None => Ok(feel),
        Some(_) => Err("it is more than one expression".to_owned()),
    }
}

/// `piece` as an operand of something that binds with `level`.
fn operand(piece: Piece, level: u8) -> String {
    if piece.1 > level { piece.0 } else { format!("({})", piece.0) }
}

struct Reading {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Reading {
    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(it)) if *it == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) { Ok(()) } else { Err(format!("a `{sign}` is missing")) }
    }

    fn one_of(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        signs.iter().copied().find(|it| self.takes(it))
    }

    fn ternary(&mut self) -> Result<Piece, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deep".to_owned());
        }
        let condition = self.or()?;
        let piece = if self.takes("?") {
            let yes = self.ternary()?.0;
            self.expect(":")?;
            let no = self.ternary()?.0;
            (format!("if {} then {yes} else {no}", condition.0), TERNARY)
        } else {
            condition
        };
        self.depth -= 1;
        Ok(piece)
    }

    fn or(&mut self) -> Result<Piece, String> {
        let mut left = self.and()?;
        while self.takes("||") {
            let right = self.and()?;
            left = (format!("{} or {}", operand(left, TERNARY), operand(right, OR)), OR);
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Piece, String> {
        let mut left = self.comparison()?;
        while self.takes("&&") {
            let right = self.comparison()?;
            left = (format!("{} and {}", operand(left, OR), operand(right, AND)), AND);
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Piece, String> {
        let left = self.sum()?;
        let Some(sign) = self.one_of(&["==", "!=", "<=", ">=", "<", ">"]) else { return Ok(left) };
        let right = self.sum()?;
        let sign = if sign == "==" { "=" } else { sign };
        let piece = (format!("{} {sign} {}", operand(left, COMPARISON), operand(right, COMPARISON)), COMPARISON);
        match self.one_of(&["==", "!=", "<=", ">=", "<", ">"]) {
            None => Ok(piece),
            Some(_) => Err("comparisons of comparisons have no counterpart".to_owned()),
        }
    }

    fn sum(&mut self) -> Result<Piece, String> {
        let mut left = self.product()?;
        while let Some(sign) = self.one_of(&["+", "-"]) {
            let right = self.product()?;
            if [&left, &right].iter().any(|it| it.0.starts_with('"')) {
                return Err("`+` adds numbers there and joins texts here".to_owned());
            }
            left = (format!("{} {sign} {}", operand(left, COMPARISON), operand(right, SUM)), SUM);
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Piece, String> {
        let mut left = self.unary()?;
        while let Some(sign) = self.one_of(&["*", "/", "%"]) {
            let right = self.unary()?;
            if sign == "%" {
                return Err("`%` keeps the dividend's sign there and the divisor's here".to_owned());
            }
            left = (format!("{} {sign} {}", operand(left, SUM), operand(right, PRODUCT)), PRODUCT);
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Piece, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deep".to_owned());
        }
        let piece = if self.takes("!") {
            // null counts as false there
            let inner = self.unary()?;
            (format!("{} != true", operand(inner, COMPARISON)), COMPARISON)
        } else if self.takes("-") {
            let inner = self.unary()?;
            (format!("-{}", operand(inner, PRODUCT)), PRODUCT)
        } else {
            self.path()?
        };
        self.depth -= 1;
        Ok(piece)
    }

    fn path(&mut self) -> Result<Piece, String> {
        let mut left = self.primary()?;
        loop {
            if self.takes(".") {
                let name = self.name()?;
                left = if self.takes("(") {
                    method(left, &name, self.arguments()?)?
                } else {
                    (member(left, &name)?, WHOLE)
                };
            } else if self.takes("[") {
                left = (self.index(left)?, WHOLE);
            } else {
                return Ok(left);
            }
        }
    }

    /// Lists count from 0 there and from 1 here.
    fn index(&mut self, of: Piece) -> Result<String, String> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        self.expect("]").map_err(|_| "an index that is computed may be a name or a number".to_owned())?;
        match token {
            Some(Token::Number(number)) => match number.parse::<u32>() {
                Ok(number) => Ok(format!("{}[{}]", operand(of, PRODUCT), u64::from(number) + 1)),
                Err(_) => Err(format!("`{number}` is no index")),
            },
            Some(Token::Text(name)) if is_name(&name) => member(of, &name),
            _ => Err("an index that is computed may be a name or a number".to_owned()),
        }
    }

    fn primary(&mut self) -> Result<Piece, String> {
        if self.takes("(") {
            let (inner, level) = self.ternary()?;
            self.expect(")")?;
            return Ok((inner, level));
        }
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        match token {
            Some(Token::Number(number)) => Ok((number, WHOLE)),
            Some(Token::Text(text)) => Ok((quoted(&text), WHOLE)),
            Some(Token::Name(name)) => self.variable(&name),
            Some(Token::Sign(sign)) => Err(format!("`{sign}` has no counterpart here")),
            None => Err("it ends too early".to_owned()),
        }
    }

    fn variable(&mut self, name: &str) -> Result<Piece, String> {
        if name == "execution" && self.takes(".") {
            return self.of_execution();
        }
        if self.takes("(") {
            return Err(format!("the function `{name}` has no counterpart"));
        }
        let feel = match name {
            "nrOfInstances" => "numberOfInstances",
            "nrOfActiveInstances" => "numberOfActiveInstances",
            "nrOfCompletedInstances" => "numberOfCompletedInstances",
            "loopCounter" => return Ok(("loopCounter - 1".to_owned(), SUM)),
            "empty" => return Err("`empty` has no counterpart that holds for texts and lists alike".to_owned()),
            _ if JAVA.contains(&name) => return Err(format!("`{name}` is of Java")),
            _ if KEYWORDS.contains(&name) => return Err(format!("`{name}` is a word of FEEL")),
            _ => name,
        };
        Ok((feel.to_owned(), WHOLE))
    }

    /// `execution.getVariable('x')` and `execution.hasVariable('x')`.
    fn of_execution(&mut self) -> Result<Piece, String> {
        let method = self.name()?;
        if !self.takes("(") {
            return Err(format!("`execution.{method}` is of Java"));
        }
        let arguments = match self.tokens.get(self.at) {
            Some(Token::Text(name)) if is_name(name) && !KEYWORDS.contains(&name.as_str()) => name.clone(),
            _ => return Err(format!("`execution.{method}` is of Java")),
        };
        self.at += 1;
        self.expect(")")?;
        match method.as_str() {
            "getVariable" => Ok((arguments, WHOLE)),
            "hasVariable" => Ok((format!("{arguments} != null"), COMPARISON)),
            _ => Err(format!("`execution.{method}` is of Java")),
        }
    }

    fn name(&mut self) -> Result<String, String> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        match token {
            Some(Token::Name(name)) => Ok(name),
            _ => Err("a name is missing behind `.`".to_owned()),
        }
    }

    fn arguments(&mut self) -> Result<Vec<String>, String> {
        let mut list = Vec::new();
        if self.takes(")") {
            return Ok(list);
        }
        loop {
            list.push(self.ternary()?.0);
            if self.takes(")") {
                return Ok(list);
            }
            self.expect(",")?;
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|it: char| it.is_alphabetic() || it == '_')
        && text.chars().all(|it| it.is_alphanumeric() || it == '_')
}

fn member(of: Piece, name: &str) -> Result<String, String> {
    if KEYWORDS.contains(&name) {
        return Err(format!("`{name}` is a word of FEEL"));
    }
    Ok(format!("{}.{name}", operand(of, PRODUCT)))
}

/// Methods of strings and lists that FEEL has as functions.
fn method(of: Piece, name: &str, arguments: Vec<String>) -> Result<Piece, String> {
    let feel = match (name, arguments.as_slice()) {
        ("size", []) => format!("count({})", of.0),
        ("length", []) => format!("string length({})", of.0),
        ("toUpperCase", []) => format!("upper case({})", of.0),
        ("toLowerCase", []) => format!("lower case({})", of.0),
        ("startsWith", [start]) => format!("starts with({}, {start})", of.0),
        ("endsWith", [end]) => format!("ends with({}, {end})", of.0),
        ("equals", [other]) => return Ok((format!("{} = ({other})", operand(of, COMPARISON)), COMPARISON)),
        _ => return Err(format!("the method `{name}` has no counterpart")),
    };
    Ok((feel, WHOLE))
}

#[cfg(test)]
mod tests;
