//! The parameters of one module, which only the module can read.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use crate::diagnostic::Diagnostic;

/// One `[modules.NAME]` table.
///
/// Cheap to clone, so that every worker can give a module its parameters.
#[derive(Clone, Debug)]
pub struct Params {
    document: Arc<Document>,
    /// The module; `None` when the document is nothing but its parameters.
    module: Option<Box<str>>,
}

/// What is wrong with a module's parameters, all findings at once.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", super::join(.0))]
pub struct ParamError(pub Vec<Diagnostic>);

impl Params {
    pub(super) fn new(document: &Arc<Document>, module: &str) -> Self {
        Self { document: document.clone(), module: Some(module.into()) }
    }

    /// Parameters written as TOML, as they stand under `[modules.NAME]`.
    pub fn from_toml(text: &str) -> Self {
        let document = Arc::new(Document::new("parameters", text, Path::new("")));
        Self { document, module: None }
    }

    /// The parameters of a module that the configuration does not mention: every default.
    pub fn none() -> Self {
        Self::from_toml("")
    }

    /// The parameters as the module's own type.
    ///
    /// With `deny_unknown_fields` a misspelt name is an error that suggests the right one.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ParamError> {
        let root = self.document.table().map_err(ParamError)?;
        self.document.read(self.table(root)).map_err(ParamError)
    }

    /// Does the configuration have the table?
    pub fn is_given(&self) -> bool {
        self.module.is_some()
    }

    /// A finding about the table as a whole, with what to do about it.
    pub fn finding(&self, message: &str, help: &str) -> ParamError {
        let root = self.document.table().map_err(ParamError);
        let span = root.map(|root| self.table(root).span());
        ParamError(match span {
            Ok(span) => vec![self.document.finding(message, span).with_help(help)],
            Err(ParamError(findings)) => findings,
        })
    }

    fn table<'t>(&self, root: Spanned<DeTable<'t>>) -> Spanned<DeTable<'t>> {
        let Some(module) = &self.module else { return root };
        let modules = root.into_inner().remove("modules").map(Spanned::into_inner);
        let Some(DeValue::Table(mut modules)) = modules else { return absent() };
        let Some(found) = modules.remove(&**module) else { return absent() };
        let span = found.span();
        match found.into_inner() {
            DeValue::Table(table) => Spanned::new(span, table),
            _ => absent(),
        }
    }
}

/// An empty table; [`Params`] are only made for tables that exist.
fn absent<'t>() -> Spanned<DeTable<'t>> {
    Spanned::new(0..0, DeTable::new())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Maxfwd {
        max_limit: u8,
        start: u16,
    }

    impl Default for Maxfwd {
        fn default() -> Self {
            Self { max_limit: 70, start: 1 }
        }
    }

    #[test]
    fn parameters_become_the_modules_type() {
        let config = Params::from_toml("max_limit = 3").parse::<Maxfwd>();
        assert_eq!(config, Ok(Maxfwd { max_limit: 3, start: 1 }));
        assert_eq!(Params::none().parse::<Maxfwd>(), Ok(Maxfwd::default()));
    }

    #[test]
    fn every_wrong_parameter_is_named_at_once() {
        let params = Params::from_toml("max_limt = 3\nstart = 'now'\nmax_limit = 300\n");
        let error = params.parse::<Maxfwd>().unwrap_err().to_string();
        for said in [
            "parameters:1:1: error: unknown key `max_limt`",
            "did you mean `max_limit`?",
            "parameters:2:9: error: expected a whole number from 0 to 65535, found a string",
            "parameters:3:13: error: 300 is out of range; expected a whole number from 0 to 255",
        ] {
            assert!(error.contains(said), "{said}\n\nis not in\n\n{error}");
        }
    }
}
