//! A configuration as a tree, the same for every dialect.

/// Something with the bytes of the text that it covers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node<T> {
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) it: T,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Route(Route),
    /// Path of a module.
    Module(String),
    Parameter {
        modules: Expr,
        name: Expr,
        value: Option<Expr>,
    },
    /// `name = value` outside of routes, the value as it is written.
    Setting {
        name: String,
        value: String,
    },
    /// `flags A:1, B;`
    Flags(String),
    Loadpath,
    /// What stands where it may not; a statement among routes, a bracket too many.
    Stray,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Route {
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) body: Block,
}

#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Block {
    pub(super) statements: Vec<Node<Statement>>,
    /// Where it ends.
    pub(super) end: usize,
    pub(super) is_closed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Statement {
    Call(Call),
    /// A word alone: `force_rport;`
    Assign {
        to: String,
        operator: String,
        value: Expr,
    },
    If {
        condition: Expr,
        then: Box<Block>,
        otherwise: Option<Box<Block>>,
    },
    While {
        condition: Expr,
        body: Box<Block>,
    },
    Switch {
        on: Expr,
        cases: Vec<Case>,
    },
    Block(Block),
    /// `exit`, `drop`, `break`, `return` and its value.
    Jump {
        word: String,
        value: Option<Expr>,
    },
    /// What cannot be read or has no counterpart, as it is written.
    Broken,
}

#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Case {
    /// None is `default`.
    pub(super) labels: Vec<Option<Expr>>,
    pub(super) body: Block,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Vec<Expr>,
}

pub(super) type Expr = Box<Node<Expression>>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// A text as it is written, without its quotes.
    Text {
        raw: String,
        quote: char,
    },
    Number(i64),
    /// A keyword, a constant or a name without quotes.
    Word(String),
    /// An address or a host without quotes.
    Address(String),
    /// `$…`
    Variable(String),
    /// `@…`
    Select(String),
    Call(Call),
    Not(Expr),
    Minus(Expr),
    /// `defined x`
    Defined(Expr),
    Cast(bool, Expr),
    Binary {
        operator: String,
        left: Expr,
        right: Expr,
    },
    /// An argument that is no expression, as it is written.
    Raw(String),
}
