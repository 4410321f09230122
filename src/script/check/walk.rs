//! What a function's body calls and reads, as plain facts with positions.

use std::collections::BTreeSet;

use rhai::{ASTFlags, Expr, FnCallExpr, FnPtr, Position, Stmt, StmtBlock};

/// What one body does.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) calls: Vec<Call>,
    /// Functions that are mentioned without a call: closures, `Fn("name")`, bare names.
    pub(super) references: Vec<String>,
    /// Variables that no enclosing scope defines.
    pub(super) unbound: Vec<Variable>,
    /// Names of map entries and assigned properties, which a method call may mean.
    pub(super) properties: BTreeSet<String>,
    /// `import` statements: path where it is a literal, alias, place.
    pub(super) imports: Vec<Import>,
}

/// One function or method call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) is_method: bool,
    pub(super) args: Vec<Argument>,
    pub(super) at: Position,
    /// Where the namespace stands, or the name without one.
    pub(super) namespace_at: Position,
}

/// One argument of a call.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) value: Value,
    pub(super) at: Position,
}

/// What is known of an argument before the script runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Str(String),
    /// Text with parts that are not known yet.
    Interpolated,
    Int(i64),
    Bool,
    Char,
    /// A literal of another type, by its name.
    Other(&'static str),
    Unknown,
}

/// A variable that is read or written.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) at: Position,
}

/// One `import`.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) path: Option<String>,
    pub(super) alias: String,
    pub(super) at: Position,
    /// Where the path stands.
    pub(super) path_at: Position,
}

/// Walks statements with the variables that are in scope.
pub(super) struct Walk {
    scope: Vec<String>,
    facts: Facts,
}

impl Walk {
    pub(super) fn new(variables: impl IntoIterator<Item = String>) -> Self {
        Self { scope: variables.into_iter().collect(), facts: Facts::default() }
    }

    pub(super) fn finish(self) -> Facts {
        self.facts
    }

    /// Walks a block whose variables end with it.
    fn block(&mut self, block: &StmtBlock) {
        let outer = self.scope.len();
        block.iter().for_each(|statement| self.statement(statement));
        self.scope.truncate(outer);
    }

    /// Walks one statement; what it defines stays in scope.
    pub(super) fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::If(x, _) | Stmt::While(x, _) => {
                self.expression(&x.expr);
                self.block(&x.body);
                self.block(&x.branch);
            }
            Stmt::Do(x, ..) => {
                self.block(&x.body);
                self.expression(&x.expr);
            }
            Stmt::Switch(x, _) => {
                self.expression(&x.0);
                for case in &x.1.expressions {
                    self.expression(&case.lhs);
                    self.expression(&case.rhs);
                }
            }
            Stmt::For(x, _) => {
                self.expression(&x.2.expr);
                let outer = self.scope.len();
                self.define(&x.0.name);
                if let Some(counter) = &x.1 {
                    self.define(&counter.name);
                }
                self.block(&x.2.body);
                self.scope.truncate(outer);
            }
            Stmt::Var(x, ..) => {
                self.expression(&x.1);
                self.define(&x.0.name);
            }
            Stmt::Assignment(x) => {
                self.assigned_properties(&x.1.lhs);
                self.expression(&x.1.lhs);
                self.expression(&x.1.rhs);
            }
            Stmt::FnCall(x, at) => self.call(x, false, *at),
            Stmt::Block(block) => self.block(block),
            Stmt::TryCatch(x, _) => self.try_catch(x),
            Stmt::Expr(x) => self.expression(x),
            Stmt::BreakLoop(x, ..) | Stmt::Return(x, ..) => {
                x.iter().for_each(|value| self.expression(value));
            }
            Stmt::Import(x, at) => self.import(&x.0, &x.1.name, *at),
            // `Noop` and `export` of a name; nothing is called or computed.
            _ => {}
        }
    }

    fn try_catch(&mut self, x: &rhai::FlowControl) {
        self.block(&x.body);
        let outer = self.scope.len();
        if let Expr::Variable(caught, ..) = &x.expr {
            self.define(&caught.1);
        }
        self.block(&x.branch);
        self.scope.truncate(outer);
    }

    fn import(&mut self, path: &Expr, alias: &str, at: Position) {
        let literal = match path {
            Expr::StringConstant(path, _) => Some(path.to_string()),
            _ => None,
        };
        self.expression(path);
        let (alias, path_at) = (alias.to_owned(), path.start_position());
        self.facts.imports.push(Import { path: literal, alias, at, path_at });
    }

    fn define(&mut self, name: &str) {
        self.scope.push(name.to_owned());
    }

    fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::InterpolatedString(parts, _) | Expr::Array(parts, _) => {
                parts.iter().for_each(|part| self.expression(part));
            }
            Expr::Map(x, _) => {
                for (name, value) in &x.0 {
                    self.facts.properties.insert(name.name.to_string());
                    self.expression(value);
                }
            }
            Expr::Variable(x, _, at) => {
                let namespace = Some(x.2.to_string()).filter(|path| !path.is_empty());
                self.variable(namespace, &x.1, *at);
            }
            Expr::Stmt(block) => self.block(block),
            Expr::FnCall(x, at) => self.call(x, false, *at),
            Expr::MethodCall(x, at) => self.call(x, true, *at),
            Expr::Dot(x, ..) | Expr::Index(x, ..) => {
                self.expression(&x.lhs);
                self.expression(&x.rhs);
            }
            Expr::And(x, _) | Expr::Or(x, _) | Expr::Coalesce(x, _) => {
                x.iter().for_each(|operand| self.expression(operand));
            }
            Expr::DynamicConstant(value, _) => {
                if let Some(pointer) = value.read_lock::<FnPtr>() {
                    self.facts.references.push(pointer.fn_name().to_owned());
                }
            }
            Expr::Custom(x, _) => x.inputs.iter().for_each(|input| self.expression(input)),
            // Literals, properties and `this`.
            _ => {}
        }
    }

    fn variable(&mut self, namespace: Option<String>, name: &str, at: Position) {
        if namespace.is_none() && self.scope.iter().any(|known| known == name) {
            return;
        }
        self.facts.unbound.push(Variable { namespace, name: name.to_owned(), at });
    }

    fn call(&mut self, call: &FnCallExpr, is_method: bool, at: Position) {
        call.args.iter().for_each(|argument| self.expression(argument));
        if call.is_operator_call() {
            return;
        }
        if let ("Fn", [Expr::StringConstant(name, _)]) = (call.name.as_str(), &*call.args) {
            self.facts.references.push(name.to_string());
        }
        let args = call
            .args
            .iter()
            .map(|argument| Argument { value: Value::of(argument), at: argument.start_position() });
        self.facts.calls.push(Call {
            namespace: Some(call.namespace.to_string()).filter(|path| !path.is_empty()),
            name: call.name.to_string(),
            is_method,
            args: args.collect(),
            at,
            namespace_at: call.namespace.path.first().map_or(at, |root| root.pos),
        });
    }

    fn assigned_properties(&mut self, target: &Expr) {
        match target {
            Expr::Dot(x, ..) | Expr::Index(x, ..) => {
                self.assigned_properties(&x.lhs);
                self.assigned_properties(&x.rhs);
            }
            Expr::Property(x, _) => {
                self.facts.properties.insert(x.2.to_string());
            }
            Expr::StringConstant(name, _) => {
                self.facts.properties.insert(name.to_string());
            }
            _ => {}
        }
    }
}

impl Value {
    fn of(expression: &Expr) -> Self {
        match expression {
            Expr::StringConstant(text, _) => Self::Str(text.to_string()),
            Expr::InterpolatedString(..) => Self::Interpolated,
            Expr::IntegerConstant(number, _) => Self::Int(*number),
            Expr::BoolConstant(..) => Self::Bool,
            Expr::CharConstant(..) => Self::Char,
            Expr::FloatConstant(..) => Self::Other("a number with a fraction"),
            Expr::Array(..) => Self::Other("an array"),
            Expr::Map(..) => Self::Other("an object map"),
            Expr::Unit(_) => Self::Other("nothing"),
            _ => Self::Unknown,
        }
    }
}

/// Is the definition `const`, and is it exported?
pub(super) fn definition(flags: ASTFlags) -> (bool, bool) {
    (flags.intersects(ASTFlags::CONSTANT), flags.intersects(ASTFlags::EXPORTED))
}
