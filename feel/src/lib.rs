//! stub
#![allow(missing_docs)]
#[derive(Clone, Debug)] pub struct Expression; 
pub fn parse(_: &str) -> Result<Expression, ParseError> { Ok(Expression) }
#[derive(Debug)] pub struct ParseError { pub offset: usize, pub message: String }
impl std::fmt::Display for ParseError { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&self.message) } }
pub struct Env; impl Env { pub fn at(_: jiff::Timestamp) -> Self { Env } }
pub enum Value { Null, Bool(bool), Other } impl Value { pub fn to_json(&self) -> serde_json::Value { serde_json::Value::Null } }
pub struct Evaluated { pub value: Value, pub warnings: Vec<String> }
impl Expression { pub fn source(&self) -> &str { "" } pub fn evaluate(&self, _: &serde_json::Value, _: &Env) -> Result<Evaluated, ParseError> { Ok(Evaluated{value: Value::Bool(true), warnings: vec![]}) } }
pub mod python { #[derive(Clone, Debug)] pub struct Condition; pub fn parse(_: &str) -> Result<Condition, super::ParseError> { Ok(Condition) } impl Condition { pub fn evaluate(&self, _: &serde_json::Value) -> Result<bool, super::ParseError> { Ok(true) } } }
