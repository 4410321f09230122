//! What the migration has to say, and where.

/// A place in one of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the file; 0 is the one that was named.
    pub file: usize,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// What becomes of a thing that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The administrator has to decide or to do something.
    Attention,
    /// Left out without loss.
    Dropped,
    /// Carried over, but worth a look.
    Note,
}

/// The kind of a finding; its text is what machines look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// The text cannot be read here; one statement is lost.
    Parse,
    /// An included file is missing or includes itself.
    Include,
    /// A function that exists in the old programs and not here.
    Function,
    /// A function of a later version of this program.
    NotYet,
    /// A function that no release has: a slip of the pen.
    Unknown,
    /// A variable without counterpart.
    Variable,
    /// A statement, operator or form of call without counterpart.
    Form,
    /// A route that nothing here would run.
    Route,
    /// A module parameter without counterpart.
    Parameter,
    /// A module without counterpart.
    Module,
    /// A global setting without counterpart.
    Setting,
    /// A choice that only the administrator can make.
    Decision,
    /// A password that was moved.
    Secret,
    /// `break` outside of a loop.
    Break,
    /// `search` over the whole message, headers and body.
    RawSearch,
    /// A header is edited and asked for afterwards.
    EditOrder,
    /// A second reply to one request.
    DoubleReply,
    /// A number that versions of SER read in two ways.
    Octal,
    /// The habits of the old module are kept.
    Profile,
    /// A difference in what regular expressions mean.
    Regex,
    /// A branch of `#!ifdef` that is not taken.
    Branch,
    /// Something without meaning here.
    Dropped,
}

impl Code {
    /// The code's name and what becomes of what it marks.
    const fn row(self) -> (&'static str, Group) {
        use Group::{Attention, Dropped, Note};
        match self {
            Self::Parse => ("parse", Attention),
            Self::Include => ("include", Attention),
            Self::Function => ("function", Attention),
            Self::NotYet => ("not-yet", Attention),
            Self::Unknown => ("unknown-function", Attention),
            Self::Variable => ("variable", Attention),
            Self::Form => ("form", Attention),
            Self::Route => ("route", Attention),
            Self::Parameter => ("parameter", Attention),
            Self::Module => ("module", Attention),
            Self::Setting => ("setting", Attention),
            Self::Decision => ("decision", Attention),
            Self::Secret => ("secret", Note),
            Self::Break => ("break", Note),
            Self::RawSearch => ("raw-search", Note),
            Self::EditOrder => ("edit-order", Note),
            Self::DoubleReply => ("double-reply", Note),
            Self::Octal => ("octal", Note),
            Self::Profile => ("profile", Note),
            Self::Regex => ("regex", Note),
            Self::Branch => ("branch", Note),
            Self::Dropped => ("dropped", Dropped),
        }
    }

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// What becomes of what it marks.
    pub const fn group(self) -> Group {
        self.row().1
    }
}

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// Of what kind.
    pub code: Code,
    /// One sentence without a full stop.
    pub message: String,
    /// The original text, where it is more than the line tells.
    pub original: String,
    /// What to do; empty when nothing.
    pub help: String,
}

impl Finding {
    pub(super) fn new(code: Code, place: Place, message: impl Into<String>) -> Self {
        let (original, help) = (String::new(), String::new());
        Self { place, code, message: message.into(), original, help }
    }

    pub(super) fn with_help(mut self, help: &str) -> Self {
        help.clone_into(&mut self.help);
        self
    }

    pub(super) fn with_original(mut self, original: &str) -> Self {
        original.clone_into(&mut self.original);
        self
    }
}
