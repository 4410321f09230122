//! One worker's script, compiled: its engine, its routes, and how a route is run.

mod constants;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use rhai::module_resolvers::StaticModuleResolver;
use rhai::{
    AST, Caches, Dynamic, Engine, EvalAltResult, GlobalRuntimeState, Module, OptimizationLevel,
    Scope,
};
use thiserror::Error;

use self::constants::Constants;
use super::error::RouteError;
use super::export::Kind;
use super::fiber::{Fiber, Panicked, Stacks};
use super::import::Sources;
use super::module::{Exports, route_error};
use super::route::Route;
use crate::clock;
use crate::config::ScriptConfig;

/// Operations between two looks at the clock.
const DEADLINE_STEP: u64 = 1024;

/// An engine with the limits of `config` and the functions of `exports`, as routes run in.
pub fn engine(config: &ScriptConfig, exports: &Exports) -> Engine {
    let mut engine = Engine::new();
    engine
        .set_optimization_level(OptimizationLevel::Simple)
        .set_max_operations(config.max_operations as u64)
        .set_max_string_size(config.max_string_size)
        .set_max_array_size(config.max_array_size)
        .set_max_map_size(config.max_map_size)
        .set_max_call_levels(config.max_call_levels)
        .set_max_expr_depths(64, 24)
        .set_max_modules(100)
        .disable_symbol("eval")
        .on_print(|text| tracing::info!(target: "script", "{text}"))
        .on_debug(|text, _, at| tracing::debug!(target: "script", "{text} ({at})"))
        .on_progress(|operations| {
            let is_late = || Route::current_deadline().is_some_and(|end| clock::now() > end);
            (operations % DEADLINE_STEP == 0 && is_late()).then_some(Dynamic::UNIT)
        })
        .register_fn("sleep", |_: i64| no_sleep())
        .register_fn("sleep", |_: f64| no_sleep());
    // What a script catches: its text, and the reply that it would have become.
    engine
        .register_type_with_name::<RouteError>("RouteError")
        .register_fn("to_string", |error: &mut RouteError| error.to_string())
        .register_fn("to_debug", |error: &mut RouteError| error.to_string())
        .register_fn("+", |text: &str, error: RouteError| format!("{text}{error}"))
        .register_get("status", |error: &mut RouteError| i64::from(error.status().0))
        .register_get("reason", |error: &mut RouteError| error.status().1.to_owned());
    exports.register(&mut engine);
    engine
}

/// A script that sleeps holds up everybody else.
fn no_sleep() -> Result<(), Box<EvalAltResult>> {
    Err("sleep() is off: a route must not hold up the others".into())
}

/// Why a script cannot be compiled. The checker says it better and says it first.
#[derive(Debug, Error)]
#[error("{file}: {error}")]
pub struct CompileError {
    /// The file.
    file: String,
    /// What Rhai said.
    error: String,
}

/// Why a route ended before its end.
#[derive(Clone, Debug, Error)]
pub enum ScriptError {
    /// A function could not do its work, and the script did not handle it.
    #[error("{at}: {error}")]
    Function {
        /// What the function said.
        error: RouteError,
        /// File, line and column of the call.
        at: String,
    },
    /// The script broke a rule of its language or a limit.
    #[error("{at}: {text}")]
    Script {
        /// What Rhai said.
        text: String,
        /// File, line and column.
        at: String,
    },
    /// A function of ours panicked.
    #[error("a function panicked: {0}")]
    Panicked(String),
}

impl ScriptError {
    /// The reply to a request that the script left unanswered.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Function { error, .. } => error.status(),
            Self::Script { .. } | Self::Panicked(_) => (500, "Server Internal Error"),
        }
    }

    /// Whether the sender of the message has caused it, and not the script.
    pub fn is_senders_fault(&self) -> bool {
        matches!(self, Self::Function { error, .. } if error.is_senders_fault())
    }

    /// A header that the reply must carry.
    pub fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Function { error, .. } => error.header(),
            Self::Script { .. } | Self::Panicked(_) => None,
        }
    }
}

/// A compiled script. A transaction keeps the one that it began with.
pub struct Bundle {
    engine: Engine,
    script: AST,
    /// One statement for each route, which calls it.
    calls: BTreeMap<String, AST>,
    /// States that no route uses now; their caches are warm.
    #[expect(clippy::vec_box, reason = "each message takes one out and puts it back")]
    idle: RefCell<Vec<Box<Runtime>>>,
}

/// What Rhai needs to run one route at a time.
struct Runtime {
    global: GlobalRuntimeState,
    caches: Caches,
    scope: Scope<'static>,
    /// The script's own constants and variables at the bottom of the scope.
    base: usize,
}

/// A route that has ended: itself, unless it was lost in a panic, and how it ended.
pub type Ended = (Option<Box<Route>>, Result<(), ScriptError>);

/// A route that waits; poll it to its end.
pub type Waiting = Fiber<Ended>;

impl Bundle {
    /// Compiles a script with what it imports.
    pub fn compile(
        sources: &Sources,
        config: &ScriptConfig,
        exports: &Exports,
    ) -> Result<Self, CompileError> {
        let mut engine = engine(config, exports);
        let mut constants = Constants::default();
        load_imports(&mut engine, sources, &mut constants)?;
        let script = compile(&engine, &sources.name, &sources.text, &mut constants)?;
        constants.register(&mut engine);
        let mut calls = BTreeMap::new();
        for function in script.iter_functions() {
            if function.params.is_empty() && Kind::of_function(function.name).is_some() {
                let call = engine.compile(format!("{}();", function.name));
                let call = call.map_err(|error| CompileError {
                    file: sources.name.clone(),
                    error: error.to_string(),
                })?;
                calls.insert(function.name.to_owned(), call);
            }
        }
        let bundle = Self { engine, script, calls, idle: RefCell::default() };
        let runtime = bundle.runtime();
        let error = |error: Box<EvalAltResult>| compile_error(&sources.name, error.as_ref());
        bundle.idle.borrow_mut().push(runtime.map_err(error)?);
        Ok(bundle)
    }

    /// Does the script have this route?
    pub fn has_route(&self, name: &str) -> bool {
        self.calls.contains_key(name)
    }

    /// Runs a route until it ends or must wait.
    pub fn run(
        self: &Rc<Self>,
        name: impl Into<Cow<'static, str>>,
        mut route: Box<Route>,
        stacks: &Stacks,
    ) -> io::Result<Result<Ended, Waiting>> {
        let (bundle, name) = (self.clone(), name.into());
        route.bundle = Some(self.clone());
        let mut fiber = Fiber::new(stacks, move || bundle.run_here(&name, route))?;
        Ok(match fiber.start() {
            Poll::Ready(ended) => Ok(ended.unwrap_or_else(after_panic)),
            Poll::Pending => Err(fiber),
        })
    }

    /// Runs a route to its end on the stack that we are on.
    fn run_here(&self, name: &str, route: Box<Route>) -> Ended {
        let Some(call) = self.calls.get(name) else { return (Some(route), Ok(())) };
        let idle = self.idle.borrow_mut().pop();
        let runtime = idle.map_or_else(|| self.runtime(), Ok);
        let (route, result) = route.enter(|| -> Result<(), Box<EvalAltResult>> {
            let mut runtime = runtime?;
            match self.evaluate(&mut runtime, call) {
                Err(error) if !is_exit(&error) => return Err(error),
                _ => runtime.rewind(),
            }
            // A state in which a script failed is not used again.
            self.idle.borrow_mut().push(runtime);
            Ok(())
        });
        (route, result.map_err(|error| self.explain(&error)))
    }

    /// A state with the script's functions, constants and imports.
    fn runtime(&self) -> Result<Box<Runtime>, Box<EvalAltResult>> {
        let mut global = self.engine.new_global_runtime_state();
        global.lib.push(self.script.shared_lib().clone());
        global.source = self.script.source().map(Into::into);
        let caches = Caches::new();
        let mut runtime = Box::new(Runtime { global, caches, scope: Scope::new(), base: 0 });
        drop(self.evaluate(&mut runtime, &self.script)?);
        runtime.base = runtime.scope.len();
        runtime.rewind();
        Ok(runtime)
    }

    #[expect(deprecated, reason = "the only call that keeps function caches between requests")]
    fn evaluate(&self, runtime: &mut Runtime, ast: &AST) -> Result<Dynamic, Box<EvalAltResult>> {
        let Runtime { global, caches, scope, .. } = runtime;
        self.engine.eval_statements_raw(global, caches, scope, ast.statements())
    }

    fn explain(&self, error: &EvalAltResult) -> ScriptError {
        let mut at = self.script.source().unwrap_or("script").to_owned();
        let mut inner = error;
        while let EvalAltResult::ErrorInFunctionCall(_, source, cause, _) = inner {
            if !source.is_empty() {
                at.clone_from(source);
            }
            inner = cause;
        }
        let position = inner.position();
        match (position.line(), position.position()) {
            // The call of the route itself, not the script's text.
            (Some(1), Some(1)) => {}
            (Some(line), Some(column)) => at = format!("{at}:{line}:{column}"),
            _ => {}
        }
        match route_error(error) {
            Some(error) => ScriptError::Function { error, at },
            None if matches!(inner, EvalAltResult::ErrorTerminated(..)) => {
                ScriptError::Function { error: RouteError::Deadline, at }
            }
            None => {
                let mut inner = inner.to_string();
                if let Some(end) = inner.rfind(" (line ") {
                    inner.truncate(end);
                }
                ScriptError::Script { text: inner, at }
            }
        }
    }
}

impl Runtime {
    fn rewind(&mut self) {
        self.scope.rewind(self.base);
        self.global.num_operations = 0;
        self.global.level = 0;
        self.global.scope_level = 0;
    }
}

/// A panic takes the route with it; the caller answers from what it kept.
pub fn after_panic(Panicked(text): Panicked) -> Ended {
    (None, Err(ScriptError::Panicked(text)))
}

/// Compiles the imported files as modules, in the order in which they need each other.
fn load_imports(
    engine: &mut Engine,
    sources: &Sources,
    constants: &mut Constants,
) -> Result<(), CompileError> {
    let mut ready = StaticModuleResolver::new();
    let mut waiting: Vec<_> = sources.imports.iter().collect();
    engine.set_module_resolver(ready.clone());
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut failure = None;
        waiting.retain(|(path, (name, text))| match module(engine, name, text, constants) {
            Ok(module) => {
                ready.insert(path.as_str(), module);
                false
            }
            Err(error) => {
                failure.get_or_insert(error);
                true
            }
        });
        if let Some(error) = failure.filter(|_| waiting.len() == before) {
            return Err(error);
        }
        engine.set_module_resolver(ready.clone());
    }
    Ok(())
}

fn module(
    engine: &Engine,
    name: &str,
    text: &str,
    constants: &mut Constants,
) -> Result<Module, CompileError> {
    let script = compile(engine, name, text, constants)?;
    Module::eval_ast_as_new(Scope::new(), &script, engine)
        .map_err(|error| compile_error(name, error.as_ref()))
}

/// Compiles one file; its top-level constants are visible inside its functions.
fn compile(
    engine: &Engine,
    name: &str,
    text: &str,
    constants: &mut Constants,
) -> Result<AST, CompileError> {
    let error = |error: &dyn std::fmt::Display| CompileError {
        file: name.to_owned(),
        error: error.to_string(),
    };
    let mut top_level = engine.compile(text).map_err(|e| error(&e))?;
    top_level.clear_functions();
    let mut scope = Scope::new();
    engine.run_ast_with_scope(&mut scope, &top_level).map_err(|e| error(&e))?;
    constants.insert(name, &scope);
    // Rhai would put an entry in the place of `MAP.entry` even where the script assigns to it.
    let stays = |constant, value: &Dynamic| constant && !value.is_map() && !value.is_array();
    let others = scope.iter().filter(|(_, constant, value)| !stays(*constant, value));
    let others: Vec<_> = others.map(|(name, ..)| name.to_owned()).collect();
    for name in others {
        drop(scope.remove::<Dynamic>(&name));
    }
    let mut script = engine.compile_with_scope(&scope, text).map_err(|e| error(&e))?;
    script.set_source(name);
    Ok(script)
}

fn compile_error(file: &str, error: &EvalAltResult) -> CompileError {
    CompileError { file: file.to_owned(), error: error.to_string() }
}

fn is_exit(error: &EvalAltResult) -> bool {
    matches!(error.unwrap_inner(), EvalAltResult::Exit(..))
}

#[cfg(test)]
mod tests;
