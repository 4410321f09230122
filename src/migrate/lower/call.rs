//! Calls of functions and routes.

use super::super::finding::Code;
use super::super::functions::{self, Becomes, Gives};
use super::super::tree::{Block, Call, Expr, Expression, Node, Statement};
use super::value::Value;
use super::{Lowering, Type, called_route, function_name};

/// The calls of functions in a block, routes not counted.
pub(super) fn count(block: &Block) -> usize {
    let mut calls = 0;
    for statement in &block.statements {
        count_statement(&statement.it, &mut calls);
    }
    calls
}

pub(super) fn count_statement(statement: &Statement, calls: &mut usize) {
    match statement {
        Statement::Call(call) => count_call(call, calls),
        Statement::Assign { value, .. } => count_expression(value, calls),
        Statement::If { condition, then, otherwise } => {
            count_expression(condition, calls);
            *calls += count(then) + otherwise.as_deref().map_or(0, count);
        }
        Statement::While { condition, body } => {
            count_expression(condition, calls);
            *calls += count(body);
        }
        Statement::Switch { on, cases } => {
            count_expression(on, calls);
            *calls += cases.iter().map(|case| count(&case.body)).sum::<usize>();
        }
        Statement::Block(block) => *calls += count(block),
        Statement::Jump { .. } | Statement::Broken => {}
    }
}

fn count_call(call: &Call, calls: &mut usize) {
    *calls += usize::from(call.name != "route");
    call.arguments.iter().for_each(|argument| count_expression(argument, calls));
}

fn count_expression(expression: &Expr, calls: &mut usize) {
    match &expression.it {
        Expression::Call(call) => count_call(call, calls),
        Expression::Not(inner) | Expression::Minus(inner) | Expression::Defined(inner) => {
            count_expression(inner, calls);
        }
        Expression::Cast(_, inner) => count_expression(inner, calls),
        Expression::Binary { left, right, .. } => {
            count_expression(left, calls);
            count_expression(right, calls);
        }
        _ => {}
    }
}

/// What a call becomes.
pub(super) enum Lowered {
    /// An expression and what it gives.
    Expression(String, Gives),
    /// Nothing, without loss.
    Nothing(&'static str),
    /// There is no counterpart; it has been reported.
    Unsupported,
}

impl Lowering<'_> {
    pub(super) fn call_statement(&mut self, node: &Node<Statement>, call: &Call) {
        let (at, end) = (node.at, node.end);
        if matches!(call.name.as_str(), "t_check_trans" | "t_lookup_request" | "t_precheck_trans") {
            self.counts.calls += 1;
            self.counts.translated += 1;
            let finding = self.find(Code::Dropped, at, format!("`{}()` is left out", call.name));
            finding.help = "retransmissions never reach the script".to_owned();
            return;
        }
        match self.call(at, end, call) {
            Lowered::Expression(text, _) => self.line(&format!("{text};")),
            Lowered::Nothing(reason) => {
                let finding =
                    self.find(Code::Dropped, at, format!("`{}()` is left out", call.name));
                reason.clone_into(&mut finding.help);
            }
            Lowered::Unsupported => {
                let line = format!("{};", self.unsupported(at, end));
                self.line(&line);
            }
        }
        self.here.last_code = None;
    }

    /// A call whose value is asked for.
    pub(super) fn call_value(&mut self, at: usize, end: usize, call: &Call) -> Value {
        match self.call(at, end, call) {
            Lowered::Expression(text, Gives::Bool) => Value::new(text, Type::Bool),
            Lowered::Expression(text, Gives::Number) => Value::new(text, Type::Int),
            Lowered::Expression(text, Gives::Nothing) => {
                Value::new(format!("{{ {text}; true }}"), Type::Bool)
            }
            Lowered::Nothing(reason) => {
                let finding =
                    self.find(Code::Dropped, at, format!("`{}()` is left out", call.name));
                reason.clone_into(&mut finding.help);
                Value::new("true", Type::Bool)
            }
            Lowered::Unsupported => Value::new(self.unsupported(at, end), Type::Bool),
        }
    }

    pub(super) fn call(&mut self, at: usize, end: usize, call: &Call) -> Lowered {
        if call.name == "route" {
            return self.call_route(at, end, call);
        }
        self.counts.calls += 1;
        if self.is_banned(at) {
            let reason = self.world.reasons.get(&at).cloned().unwrap_or_default();
            return self.refuse(Code::Form, at, end, reason, "translate it by hand");
        }
        let lowered = match call.name.as_str() {
            "log" | "xlog" | "xlogl" | "xdbg" | "xinfo" | "xnotice" | "xwarn" | "xerr"
            | "xcrit" | "xalert" | "xbug" | "xlogm" => {
                self.log(call).map(|text| (text, Gives::Nothing))
            }
            "forward" if is_own_uri(call) => Some(("forward()".to_owned(), Gives::Bool)),
            "forward_udp" | "forward_tcp" | "forward_tls" => self.forward_by(call),
            "append_branch" if self.is_append_implied(call) => {
                self.counts.translated += 1;
                return Lowered::Nothing("`t_relay()` takes the new Request-URI by itself");
            }
            "do_accounting" | "acc_request" => None,
            "t_relay" | "t_forward_nonack" if call.arguments.len() == 1 => self.relay_with(call),
            _ => return self.call_by_table(at, end, call),
        };
        match lowered {
            Some((text, gives)) => {
                self.counts.translated += 1;
                Lowered::Expression(self.marked(at, text), gives)
            }
            None => self.unknown(at, end, call),
        }
    }

    fn call_by_table(&mut self, at: usize, end: usize, call: &Call) -> Lowered {
        match functions::row(&call.name, call.arguments.len()) {
            Some(Becomes::Nothing(reason)) => {
                self.counts.translated += 1;
                Lowered::Nothing(reason)
            }
            Some(Becomes::Call(template, gives)) => {
                let target = functions::called(template);
                let is_method = template.starts_with(['{', '!']);
                if !is_method && !self.world.functions.has(target) {
                    return self.not_yet(at, end, call, target);
                }
                let text = self.filled(template, call);
                match text.and_then(|text| self.with_older_values(call, text)) {
                    Some(text) => {
                        self.counts.translated += 1;
                        self.watch(at, call);
                        let text = match self.is_call_asked_first(at) {
                            true => self.asked_first(at, &stem(call), &text),
                            false => text,
                        };
                        Lowered::Expression(self.marked(at, text), gives)
                    }
                    None => {
                        let message =
                            format!("an argument of `{}()` has no counterpart", call.name);
                        self.refuse(Code::Form, at, end, message, "translate it by hand")
                    }
                }
            }
            None => self.unknown(at, end, call),
        }
    }

    fn not_yet(&mut self, at: usize, end: usize, call: &Call, target: &str) -> Lowered {
        self.counts.not_yet += 1;
        let message = format!("not yet: `{}()`, which will be `{target}()`", call.name);
        self.refuse(Code::NotYet, at, end, message, "translate again with a version that has it")
    }

    fn unknown(&mut self, at: usize, end: usize, call: &Call) -> Lowered {
        let name = call.name.as_str();
        if functions::LATER_OLD.contains(&name) {
            self.counts.not_yet += 1;
            let message = format!("not yet: `{name}()`");
            return self.refuse(
                Code::NotYet,
                at,
                end,
                message,
                "translate again with a version that has it",
            );
        }
        if functions::is_known(name) {
            let message =
                format!("`{name}()` with {} arguments has no counterpart", call.arguments.len());
            return self.refuse(Code::Form, at, end, message, "translate it by hand");
        }
        if let Some(module) = self.world.known.get(name) {
            let message = format!("`{name}()` of module {module} does not exist here");
            return self.refuse(Code::Function, at, end, message, advice(name));
        }
        let names = self.world.known.keys().copied().chain(functions::ROWS.iter().map(|row| row.0));
        let near =
            crate::diagnostic::closest(name, names).map(|near| format!("did you mean `{near}`?"));
        let message = format!("`{name}()` is in no release of the old programs");
        self.refuse(Code::Unknown, at, end, message, near.as_deref().unwrap_or("is it a slip?"))
    }

    fn refuse(
        &mut self,
        code: Code,
        at: usize,
        end: usize,
        message: String,
        help: &str,
    ) -> Lowered {
        let original = self.original(at, end);
        let finding = self.find(code, at, message);
        finding.original = original;
        help.clone_into(&mut finding.help);
        Lowered::Unsupported
    }

    fn call_route(&mut self, at: usize, end: usize, call: &Call) -> Lowered {
        let Some(name) = called_route(call) else {
            let message = "a route whose name is computed".to_owned();
            return self.refuse(Code::Form, at, end, message, "call the function that is meant");
        };
        if call.arguments.len() > 1 {
            let message = format!("route `{name}` is called with arguments");
            return self.refuse(Code::Form, at, end, message, "give the function parameters");
        }
        let kind = if Self::is_main_name(&name) { "request_route" } else { "route" };
        if !self.routes.has(kind, &name) {
            let message = format!("there is no route `{name}`");
            return self.refuse(Code::Route, at, end, message, "write it, or remove the call");
        }
        let function = match kind {
            "route" => function_name(kind, &name),
            _ => kind.to_owned(),
        };
        let gives = if self.routes.asked.contains(&name) { Gives::Bool } else { Gives::Nothing };
        Lowered::Expression(self.marked(at, format!("{function}()")), gives)
    }

    /// `t_relay("udp:host:port")` and `t_relay("0x01")`.
    fn relay_with(&mut self, call: &Call) -> Option<(String, Gives)> {
        let value = self.plain_text(call.arguments.first()?)?;
        if value.starts_with("0x") || value.chars().all(|c| c.is_ascii_digit()) {
            return Some(("t_relay()".to_owned(), Gives::Bool));
        }
        let (proto, rest) = value.split_once(':')?;
        let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "0"));
        let function = match proto {
            "udp" => "t_relay_to_udp",
            "tcp" => "t_relay_to_tcp",
            _ => return None,
        };
        let port: u16 = port.parse().ok()?;
        Some((format!("{function}({}, {port})", super::super::text::literal(host)), Gives::Bool))
    }

    fn forward_by(&mut self, call: &Call) -> Option<(String, Gives)> {
        let proto = call.name.trim_start_matches("forward_");
        let host = self.plain_text(call.arguments.first()?)?;
        let port = call.arguments.get(1).and_then(|port| self.plain_text(port));
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        if host.starts_with("uri:") {
            return None;
        }
        let uri = super::super::text::literal(&format!("sip:{host}{port};transport={proto}"));
        Some((format!("{{ setdsturi({uri}); forward() }}"), Gives::Bool))
    }

    /// In failure routes of SER, `append_branch()` makes what `t_relay()` makes here by itself.
    fn is_append_implied(&self, call: &Call) -> bool {
        call.arguments.is_empty()
            && self.here.kind == "failure"
            && self.world.dialect.appends_in_failure()
    }
}

/// What the answer to a question is called that is asked at the head of a route.
fn stem(call: &Call) -> String {
    match (call.name.as_str(), call.arguments.first().map(|argument| &argument.it)) {
        ("is_present_hf", Some(Expression::Text { raw, .. })) => format!("had_{raw}"),
        _ => "found".to_owned(),
    }
}

fn is_own_uri(call: &Call) -> bool {
    let is = |index: usize, word: &str| {
        call.arguments
            .get(index)
            .is_some_and(|it| matches!(&it.it, Expression::Word(w) if w == word))
    };
    is(0, "uri:host") && (call.arguments.len() == 1 || is(1, "uri:port"))
}

/// What to do where a known function has no counterpart.
fn advice(name: &str) -> &'static str {
    match name {
        "do_accounting" => {
            "write `acc_log_request` or `acc_db_request` where the call succeeds or fails"
        }
        "sms_send_msg_to_net" => {
            "SMS by a modem is not supported: answer with 502, or relay to a gateway"
        }
        _ if name.starts_with("exec_") => "commands of the shell are not run from routes",
        _ if name.contains("rtp") => "media does not pass here; relay to a server that carries it",
        _ if name.starts_with("sql_") || name.starts_with("avp_db") => {
            "tables are read by the functions of modules, not by statements in routes"
        }
        _ => "translate it by hand",
    }
}
