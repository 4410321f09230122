//! How modules give functions to scripts.

use std::any::TypeId;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use regex::Regex;
use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, NativeCallContext, Position};

use super::commons::Commons;
use super::ending::{AtEnd, Ending};
use super::error::RouteError;
use super::export::{Catalogue, Export, Given, Kind, Kinds, ParamType};
use super::route::Route;
use super::router::{Router, Waiting};
use crate::config::{ParamError, Params};
use crate::store::{Store, Table};

/// A module of the server: its name in `[modules.NAME]`, and how it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct ModuleDef {
    /// The name.
    pub name: &'static str,
    /// Reads the parameters and lists the functions.
    pub load: fn(params: &Params, exports: &mut Exports) -> Result<(), ParamError>,
}

/// Gives one function to an engine.
type Registration = Box<dyn Fn(&mut Engine)>;

/// Everything that scripts may call.
#[derive(Default)]
pub struct Exports {
    exports: Vec<Export>,
    registrations: Vec<Registration>,
    tables: Vec<Table>,
    commons: Commons,
    jobs: Vec<(Duration, Job)>,
    at_end: Vec<AtEnd>,
    at_close: Vec<Job>,
}

/// Something that a module does again and again.
pub type Job = Rc<dyn Fn(Rc<dyn Router>) -> Waiting<()>>;

/// The exports of one module, which share its parameters.
pub struct ModuleExports<'e, C> {
    exports: &'e mut Exports,
    config: Rc<C>,
    lack: Option<&'static str>,
}

impl Exports {
    /// None yet; what the modules of all workers share lies in `commons`.
    pub fn new(commons: Commons) -> Self {
        Self { commons, ..Self::default() }
    }

    /// State that the workers share: theirs when another worker has made it, else what `make` gives.
    pub fn common<T: std::any::Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        self.commons.part(make)
    }

    /// The database; none where a script is only checked.
    pub fn store(&self) -> Option<Store> {
        self.commons.store().cloned()
    }

    /// Has the store make this table or look at it, before anything runs.
    pub fn table(&mut self, table: &Table) -> &mut Self {
        if !self.tables.contains(table) {
            self.tables.push(table.clone());
        }
        self
    }

    /// The tables that modules need.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Has `job` done every `interval`, by one worker alone, from the first interval on. A run that takes longer than the
    /// interval delays the next one.
    pub fn every<F: Future<Output = ()> + 'static>(
        &mut self,
        interval: Duration,
        job: impl Fn(Rc<dyn Router>) -> F + 'static,
    ) {
        self.jobs.push((interval, Rc::new(move |router| Box::pin(job(router)))));
    }

    /// Has `job` done once, by one worker alone, when the server stops and nothing runs any longer.
    pub fn at_close<F: Future<Output = ()> + 'static>(
        &mut self,
        job: impl Fn(Rc<dyn Router>) -> F + 'static,
    ) {
        self.at_close.push(Rc::new(move |router| Box::pin(job(router))));
    }

    /// What is done when the server stops.
    pub fn jobs_at_close(&self) -> &[Job] {
        &self.at_close
    }

    /// Has `hook` done for every transaction that has ended, by the worker that had it, at once: it must not take long.
    /// What it waits for is done afterwards.
    pub fn at_end(&mut self, hook: impl Fn(&Ending<'_>) -> Option<Waiting<()>> + 'static) {
        self.at_end.push(Rc::new(hook));
    }

    /// What is done for every transaction that has ended.
    pub fn hooks_at_end(&self) -> &[AtEnd] {
        &self.at_end
    }

    /// What is done again and again, with the interval.
    pub fn jobs(&self) -> &[(Duration, Job)] {
        &self.jobs
    }

    /// Exports that get `config` as their second argument.
    pub fn with<C: 'static>(&mut self, config: C) -> ModuleExports<'_, C> {
        ModuleExports { exports: self, config: Rc::new(config), lack: None }
    }

    /// What the checker knows of the functions.
    pub fn catalogue(&self) -> Catalogue {
        Catalogue::new(self.exports.iter().copied())
    }

    /// Gives the functions to an engine.
    pub fn register(&self, engine: &mut Engine) {
        for register in &self.registrations {
            register(engine);
        }
    }
}

impl<C: 'static> ModuleExports<'_, C> {
    /// What the configuration lacks, so that the functions that are exported next fail; the check says so.
    pub fn lacking(&mut self, lack: Option<&'static str>) -> &mut Self {
        self.lack = lack;
        self
    }

    /// Exports a function under a name, with the names of its parameters and the routes that may call it.
    pub fn export<A, const N: usize, F: Function<C, A, N>>(
        &mut self,
        name: &'static str,
        params: [&'static str; N],
        kinds: Kinds,
        function: F,
    ) -> &mut Self {
        let params: &'static [&'static str] = Vec::leak(params.to_vec());
        let (types, gives) = (F::TYPES, F::GIVES);
        let export = Export { name, params, types, kinds, gives, lack: self.lack };
        self.exports.exports.push(export);
        let config = self.config.clone();
        self.exports.registrations.push(Box::new(move |engine| {
            let config = config.clone();
            let call = move |_: NativeCallContext<'_>, args: &mut [&mut Dynamic]| {
                let result = Route::with_current(name, |route| {
                    check_kind(&export, route.kind)?;
                    function.call(route, &config, args)
                });
                result
                    .map_err(into_rhai)?
                    .map_err(|End| EvalAltResult::Exit(Dynamic::UNIT, Position::NONE).into())
            };
            engine.register_raw_fn(name, F::type_ids(), call);
        }));
        self
    }
}

fn check_kind(export: &Export, found: Kind) -> Result<(), RouteError> {
    match export.kinds.contains(found) {
        true => Ok(()),
        false => {
            Err(RouteError::WrongRoute { function: export.name, found, allowed: export.kinds })
        }
    }
}

/// Carries an error through the script, which may catch it.
fn into_rhai(error: RouteError) -> Box<EvalAltResult> {
    EvalAltResult::ErrorRuntime(Dynamic::from(error), Position::NONE).into()
}

/// The error of ours that ended a script.
pub(super) fn route_error(error: &EvalAltResult) -> Option<RouteError> {
    match error.unwrap_inner() {
        EvalAltResult::ErrorRuntime(value, _) => value.clone().try_cast(),
        _ => None,
    }
}

/// A plain function that scripts may call: `fn(&mut Route, &Config, …) -> Result<R, RouteError>`.
pub trait Function<C, A, const N: usize>: Copy + 'static {
    /// The types of its parameters.
    const TYPES: &'static [ParamType];

    /// The type of what it gives back.
    const GIVES: Given;

    /// The same for Rhai.
    fn type_ids() -> [TypeId; N];

    /// Calls it.
    fn call(
        self,
        route: &mut Route,
        config: &C,
        args: &mut [&mut Dynamic],
    ) -> Result<Result<Dynamic, End>, RouteError>;
}

/// A parameter's type.
pub trait Argument: Sized {
    /// What the checker knows of it.
    const TYPE: ParamType;
    /// What Rhai passes for it.
    type Rhai: 'static;

    /// Reads the argument, which stays what it is; an error when it is out of range.
    fn read(value: &Dynamic) -> Result<Self, RouteError>;
}

/// What a function may give back.
pub trait Outcome {
    /// What the checker knows of it.
    const TYPE: Given;

    /// The value for the script, or the end of the script.
    fn into_result(self) -> Result<Dynamic, End>;
}

/// The script ends here, without an error: what `exit()` gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End;

impl Outcome for End {
    const TYPE: Given = Given::End;

    fn into_result(self) -> Result<Dynamic, End> {
        Err(self)
    }
}

macro_rules! function {
    ($count:literal $($name:ident $index:tt),*) => {
        impl<C, R: Outcome, F, $($name: Argument),*> Function<C, ($($name,)*), $count> for F
        where
            F: Fn(&mut Route, &C, $($name),*) -> Result<R, RouteError> + Copy + 'static,
        {
            const TYPES: &'static [ParamType] = &[$($name::TYPE),*];

            const GIVES: Given = R::TYPE;

            fn type_ids() -> [TypeId; $count] {
                [$(TypeId::of::<$name::Rhai>()),*]
            }

            fn call(
                self,
                route: &mut Route,
                config: &C,
                _args: &mut [&mut Dynamic],
            ) -> Result<Result<Dynamic, End>, RouteError> {
                self(route, config, $($name::read(_args[$index])?),*).map(Outcome::into_result)
            }
        }
    };
}

function!(0);
function!(1 A 0);
function!(2 A 0, B 1);
function!(3 A 0, B 1, D 2);
function!(4 A 0, B 1, D 2, E 3);
function!(5 A 0, B 1, D 2, E 3, G 4);

impl Argument for ImmutableString {
    const TYPE: ParamType = ParamType::Str;
    type Rhai = Self;

    fn read(value: &Dynamic) -> Result<Self, RouteError> {
        Ok(value.clone().cast())
    }
}

impl Argument for i64 {
    const TYPE: ParamType = ParamType::Int;
    type Rhai = Self;

    fn read(value: &Dynamic) -> Result<Self, RouteError> {
        Ok(value.clone().cast())
    }
}

impl Argument for Dynamic {
    const TYPE: ParamType = ParamType::Any;
    type Rhai = Self;

    fn read(value: &Dynamic) -> Result<Self, RouteError> {
        Ok(value.flatten_clone())
    }
}

/// A status of a SIP reply, 100 to 699.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Argument for Status {
    const TYPE: ParamType = ParamType::Status;
    type Rhai = i64;

    fn read(value: &Dynamic) -> Result<Self, RouteError> {
        let found = value.clone().cast::<i64>();
        let status = u16::try_from(found).ok().filter(|code| (100..=699).contains(code));
        status.map(Self).ok_or_else(|| RouteError::BadArgument {
            argument: "status",
            reason: format!("{found} is no status; they go from 100 to 699"),
        })
    }
}

/// A regular expression, compiled once per worker.
#[derive(Clone, Debug)]
pub struct Pattern(pub Rc<Regex>);

/// Patterns that scripts compute are kept up to this many; then the store starts anew.
const MAX_PATTERNS: usize = 1000;

thread_local! {
    static PATTERNS: RefCell<AHashMap<ImmutableString, Rc<Regex>>> = RefCell::default();
}

impl Argument for Pattern {
    const TYPE: ParamType = ParamType::Regex;
    type Rhai = ImmutableString;

    fn read(value: &Dynamic) -> Result<Self, RouteError> {
        let text: ImmutableString = value.clone().cast();
        PATTERNS.with_borrow_mut(|patterns| {
            if let Some(known) = patterns.get(&text) {
                return Ok(Self(known.clone()));
            }
            let regex = Regex::new(&text).map(Rc::new).map_err(|error| {
                RouteError::BadArgument { argument: "pattern", reason: error.to_string() }
            })?;
            if patterns.len() >= MAX_PATTERNS {
                patterns.clear();
            }
            patterns.insert(text, regex.clone());
            Ok(Self(regex))
        })
    }
}

macro_rules! route_names {
    ($($(#[doc = $doc:literal])* $name:ident $kind:ident;)*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $name(pub Option<ImmutableString>);

            impl Argument for $name {
                const TYPE: ParamType = ParamType::Route(Kind::$kind);
                type Rhai = ImmutableString;

                fn read(value: &Dynamic) -> Result<Self, RouteError> {
                    let name: ImmutableString = value.clone().cast();
                    Ok(Self(Some(name).filter(|name| !name.is_empty())))
                }
            }
        )*
    };
}

route_names! {
    /// The name of a `branch_route_X`; an empty one takes it back.
    BranchRoute Branch;
    /// The name of an `onreply_route_X`; an empty one takes it back.
    ReplyRoute OnReply;
    /// The name of a `failure_route_X`; an empty one takes it back.
    FailureRoute Failure;
}

macro_rules! outcomes {
    ($($type:ty => $given:ident),*) => {
        $(impl Outcome for $type {
            const TYPE: Given = Given::$given;

            fn into_result(self) -> Result<Dynamic, End> {
                Ok(self.into())
            }
        })*
    };
}

outcomes!(bool => Bool, i64 => Int, ImmutableString => Str, String => Str, Dynamic => Any);

impl Outcome for () {
    const TYPE: Given = Given::Nothing;

    fn into_result(self) -> Result<Dynamic, End> {
        Ok(Dynamic::UNIT)
    }
}
