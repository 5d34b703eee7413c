//! Temporary.
use trickle_operators::plan::Plan;
use trickle_operators::value::ColumnType;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamMode {
    Incremental,
    Full,
}
pub struct Options<'a> {
    pub stream_table: &'a dyn Fn(u32) -> Option<StreamMode>,
    pub native_expressions: bool,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotIncremental {
    pub reason: String,
    pub detail: String,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    pub sqlstate: [u8; 5],
    pub message: String,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    pub name: String,
    pub ty: ColumnType,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub relation: u32,
    pub columns: Vec<i16>,
    pub stream: Option<StreamMode>,
    pub capturable: bool,
    pub temporary: bool,
}
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    pub interpreted: bool,
}
impl Stamps {
    pub fn changed(&self) -> bool {
        false
    }
}
pub struct Denied {
    pub relation: u32,
    pub name: String,
}
pub fn denied(_view: u32) -> Option<Denied> {
    None
}
pub struct Compiled {
    pub plan: Result<Plan, NotIncremental>,
    pub sources: Vec<Source>,
    pub columns: Vec<OutputColumn>,
    pub stamps: Stamps,
    pub row_security: Vec<u32>,
}
pub fn compile_view(_view: u32, _o: &Options<'_>) -> Result<Compiled, CompileError> {
    Err(CompileError { sqlstate: *b"XX000", message: String::new() })
}
