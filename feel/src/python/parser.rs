//! The grammar of the subset, by recursive descent. How many nodes a condition has is limited, and so is every depth.

use super::lexer::{self, Kind, Token};
use super::{Comparison, Function, Node, Operator};
use crate::error::ParseError;

/// The longest source taken, in bytes.
const MAX_LENGTH: usize = 64 * 1024;
/// How many nodes a condition may have.
const MAX_NODES: u32 = 1000;
/// How deep brackets may nest.
const MAX_NESTING: u32 = 32;
/// Words of Python that start what is not taken.
const REFUSED: [&str; 9] = ["if", "else", "lambda", "for", "await", "yield", "import", "async", "del"];
/// Words of Python that are no names.
const WORDS: [&str; 5] = ["and", "or", "not", "in", "is"];

/// A condition, which knows `req_json` alone.
pub(super) fn condition(source: &str) -> Result<Node, ParseError> {
    parse(source, false)
}

/// An expression, which knows names and functions.
pub(super) fn expression(source: &str) -> Result<Node, ParseError> {
    parse(source, true)
}

fn parse(source: &str, names: bool) -> Result<Node, ParseError> {
    if source.len() > MAX_LENGTH {
        return Err(ParseError::new(MAX_LENGTH, format!("a condition is at most {MAX_LENGTH} bytes long")));
    }
    let mut parser = Parser { tokens: lexer::tokens(source)?, at: 0, nodes: 0, nesting: 0, names };
    let node = parser.disjunction()?;
    match parser.kind() {
        Kind::End => Ok(node),
        _ => Err(parser.refused()),
    }
}

struct Parser<'s> {
    /// Never empty: the last is the end, and is never passed.
    tokens: Vec<Token<'s>>,
    at: usize,
    nodes: u32,
    nesting: u32,
    /// Names and functions are taken.
    names: bool,
}

type Parsed = Result<Node, ParseError>;

impl<'s> Parser<'s> {
    fn kind(&self) -> &Kind<'s> {
        self.tokens.get(self.at).map_or(&Kind::End, |token| &token.kind)
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        let offset = self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |token| token.offset);
        ParseError::new(offset, message)
    }

    /// What to say of a token that has no place here.
    fn refused(&self) -> ParseError {
        self.error(match self.kind() {
            Kind::End => "the condition ends too early".to_owned(),
            Kind::Name(word) if REFUSED.contains(word) => format!("`{word}` is not taken in a python condition"),
            Kind::Name(word) if self.names => format!("`{word}` has no place here"),
            Kind::Name(word) => format!("the name {word} is not taken here: a python condition knows req_json alone"),
            Kind::Op("**") => "powers are not taken in a python condition".to_owned(),
            Kind::Op("(") if self.names => {
                "only int, float, str, bool, len, abs, round, min and max are called".to_owned()
            }
            Kind::Op("(") => "calls are not taken in a python condition, except .get(key, default)".to_owned(),
            Kind::Op(op) => format!("`{op}` has no place here"),
            Kind::Other(c) => format!("`{c}` is not taken in a python condition"),
            Kind::Int(_) | Kind::Float(_) | Kind::Str(_) => {
                "a value has no place here: an operator is missing".to_owned()
            }
        })
    }

    fn take(&mut self, op: &str) -> bool {
        let found = matches!(self.kind(), Kind::Op(found) if *found == op);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.kind(), Kind::Name(found) if *found == word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, op: &str) -> Result<(), ParseError> {
        if self.take(op) { Ok(()) } else { Err(self.refused()) }
    }

    fn count(&mut self, node: Node) -> Parsed {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            Err(self.error(format!("a condition has at most {MAX_NODES} parts")))
        } else {
            Ok(node)
        }
    }

    fn nested(&mut self, parse: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.nesting >= MAX_NESTING {
            return Err(self.error(format!("the condition nests deeper than {MAX_NESTING} levels")));
        }
        self.nesting += 1;
        let node = parse(self);
        self.nesting -= 1;
        node
    }

    fn disjunction(&mut self) -> Parsed {
        let mut operands = vec![self.conjunction()?];
        while self.take_word("or") {
            operands.push(self.conjunction()?);
        }
        self.fold(operands, Node::Or)
    }

    fn conjunction(&mut self) -> Parsed {
        let mut operands = vec![self.negation()?];
        while self.take_word("and") {
            operands.push(self.negation()?);
        }
        self.fold(operands, Node::And)
    }

    fn fold(&mut self, mut operands: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Parsed {
        match operands.pop() {
            Some(only) if operands.is_empty() => Ok(only),
            Some(last) => {
                operands.push(last);
                self.count(join(operands))
            }
            None => Err(self.refused()),
        }
    }

    fn negation(&mut self) -> Parsed {
        if self.take_word("not") {
            let inner = self.nested(Self::negation)?;
            return self.count(Node::Not(inner.into()));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parsed {
        let first = self.sum()?;
        let mut rest = Vec::new();
        while let Some(comparison) = self.comparison_operator()? {
            let operand = self.sum()?;
            if matches!(comparison, Comparison::Is | Comparison::IsNot) && !matches!(operand, Node::None) {
                return Err(self.error("`is` is taken with None alone: compare with =="));
            }
            rest.push((comparison, operand));
        }
        if rest.is_empty() { Ok(first) } else { self.count(Node::Compare(first.into(), rest)) }
    }

    fn comparison_operator(&mut self) -> Result<Option<Comparison>, ParseError> {
        let found = match self.kind() {
            Kind::Op("==") => Comparison::Equal,
            Kind::Op("!=") => Comparison::NotEqual,
            Kind::Op("<") => Comparison::Less,
            Kind::Op("<=") => Comparison::LessOrEqual,
            Kind::Op(">") => Comparison::Greater,
            Kind::Op(">=") => Comparison::GreaterOrEqual,
            Kind::Name("in") => Comparison::In,
            Kind::Name("is") => {
                self.at += 1;
                return Ok(Some(if self.take_word("not") { Comparison::IsNot } else { Comparison::Is }));
            }
            Kind::Name("not") => {
                self.at += 1;
                return if self.take_word("in") { Ok(Some(Comparison::NotIn)) } else { Err(self.refused()) };
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(found))
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let operator = match self.kind() {
                Kind::Op("+") => Operator::Add,
                Kind::Op("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.product()?;
            left = self.count(Node::Arithmetic(operator, Box::new([left, right])))?;
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.sign()?;
        loop {
            let operator = match self.kind() {
                Kind::Op("*") => Operator::Multiply,
                Kind::Op("/") => Operator::Divide,
                Kind::Op("//") => Operator::FloorDivide,
                Kind::Op("%") => Operator::Modulo,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.sign()?;
            left = self.count(Node::Arithmetic(operator, Box::new([left, right])))?;
        }
    }

    fn sign(&mut self) -> Parsed {
        if self.take("-") {
            let inner = self.nested(Self::sign)?;
            return self.count(Node::Negate(inner.into()));
        }
        if self.take("+") {
            return self.nested(Self::sign);
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Parsed {
        let mut left = self.atom()?;
        loop {
            left = if self.take("[") {
                let key = self.nested(Self::disjunction)?;
                self.expect("]")?;
                self.count(Node::Subscript(Box::new([left, key])))?
            } else if self.take(".") {
                if !self.take_word("get") {
                    return Err(self.error("of attributes and methods only .get(key, default) is taken"));
                }
                self.expect("(")?;
                let key = self.nested(Self::disjunction)?;
                let default = if self.take(",") { self.nested(Self::disjunction)? } else { Node::None };
                self.expect(")")?;
                self.count(Node::Get(Box::new([left, key, default])))?
            } else {
                return Ok(left);
            };
        }
    }

    fn atom(&mut self) -> Parsed {
        let node = match self.kind().clone() {
            Kind::Int(value) => Node::Int(value),
            Kind::Float(value) => Node::Float(value),
            Kind::Str(value) => Node::Str(value),
            Kind::Name("None") => Node::None,
            Kind::Name("True") => Node::Bool(true),
            Kind::Name("False") => Node::Bool(false),
            Kind::Name("req_json") => Node::Payload,
            Kind::Name(name) if self.names && !REFUSED.contains(&name) && !WORDS.contains(&name) => {
                self.at += 1;
                return match Function::named(name) {
                    Some(function) if self.take("(") => self.call(function),
                    _ => self.count(Node::Name(name.to_owned())),
                };
            }
            Kind::Op("(") => {
                self.at += 1;
                let inner = self.nested(Self::disjunction)?;
                self.expect(")")?;
                return Ok(inner);
            }
            Kind::Op("[") => {
                self.at += 1;
                return self.list();
            }
            _ => return Err(self.refused()),
        };
        self.at += 1;
        self.count(node)
    }

    fn list(&mut self) -> Parsed {
        let items = self.items("]")?;
        self.count(Node::List(items))
    }

    fn call(&mut self, function: Function) -> Parsed {
        let arguments = self.items(")")?;
        if !function.takes(arguments.len()) {
            return Err(self.error(format!("{} does not take {} arguments", function.name(), arguments.len())));
        }
        self.count(Node::Call(function, arguments))
    }

    /// What stands between commas, up to the closing bracket.
    fn items(&mut self, close: &str) -> Result<Vec<Node>, ParseError> {
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(self.nested(Self::disjunction)?);
            if !self.take(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(items)
    }
}
