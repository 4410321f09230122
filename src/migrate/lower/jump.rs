//! `exit`, `drop`, `break` and `return`, which mean something else in each dialect.

use super::super::dialect::Dialect;
use super::super::finding::Code;
use super::super::tree::{Expr, Expression, Node, Statement};
use super::Lowering;

impl Lowering<'_> {
    pub(super) fn jump(&mut self, node: &Node<Statement>, word: &str, value: Option<&Expr>) {
        let text = self.jump_text(node, word, value);
        let text = self.marked(node.at, text);
        self.line(&text);
    }

    fn jump_text(&mut self, node: &Node<Statement>, word: &str, value: Option<&Expr>) -> String {
        let dialect = self.world.dialect;
        match word {
            "break" if dialect.break_is_drop() => self.leave(true),
            "break" if self.here.loops > 0 => "break;".to_owned(),
            "break" => {
                if matches!(dialect, Dialect::OpenSer | Dialect::OpenSips) {
                    let finding = self.find(
                        Code::Break,
                        node.at,
                        "`break` outside of a loop, which the old program refuses",
                    );
                    finding.help = "it leaves the route, as it once did".to_owned();
                }
                self.leave(true)
            }
            "drop" if dialect.break_is_drop() => self.leave(true),
            "drop" if dialect == Dialect::Ser2 => "exit();".to_owned(),
            "drop" if matches!(self.here.kind, "branch" | "onreply") => "drop();".to_owned(),
            "drop" | "exit" => "exit();".to_owned(),
            _ => self.return_text(value),
        }
    }

    fn return_text(&mut self, value: Option<&Expr>) -> String {
        match value.map(|value| &value.it) {
            Some(Expression::Number(0)) => "exit();".to_owned(),
            Some(Expression::Number(number)) => self.leave(*number > 0),
            Some(_) if self.here.gives_answer => {
                let value = value.map(|value| self.condition(value)).unwrap_or_default();
                format!("return {value};")
            }
            _ => self.leave(true),
        }
    }

    fn leave(&self, answer: bool) -> String {
        match self.here.gives_answer {
            true => format!("return {answer};"),
            false => "return;".to_owned(),
        }
    }
}
