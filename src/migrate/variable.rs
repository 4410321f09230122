//! Pseudo-variables, selects and transformations.

use super::text::literal;

/// What kind of value an expression of the new script has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Text,
    /// Whatever was stored.
    Any,
}

/// A variable taken apart: `$(hdr(To)[0]{uri.user})`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) argument: Option<String>,
    pub(super) index: Option<String>,
    pub(super) transformations: Vec<String>,
}

/// How a variable without argument is read, of what type it is, and how it is set.
struct Row {
    name: &'static str,
    read: &'static str,
    kind: Type,
    /// With `{}` for the value; empty when it cannot be set.
    write: &'static str,
}

const fn row(name: &'static str, read: &'static str, kind: Type, write: &'static str) -> Row {
    Row { name, read, kind, write }
}

use Type::{Any, Int, Text};

const ROWS: &[Row] = &[
    row("rm", "method()", Text, ""),
    row("ru", "ruri()", Text, "seturi({})"),
    row("rU", "ruri_user()", Text, "setuser({})"),
    row("rd", "ruri_host()", Text, "sethost({})"),
    row("rp", "ruri_port()", Int, "setport({})"),
    row("rs", "status()", Int, ""),
    row("T_reply_code", "status()", Int, ""),
    row("rr", "reason()", Text, ""),
    row("rb", "body()", Text, ""),
    row("ou", "pv(\"$ou\")", Text, ""),
    row("oU", "pv(\"$oU\")", Text, ""),
    row("od", "pv(\"$od\")", Text, ""),
    row("du", "pv(\"$du\")", Text, "setdsturi({})"),
    row("fu", "from_uri()", Text, ""),
    row("fU", "from_user()", Text, ""),
    row("fd", "from_host()", Text, ""),
    row("ft", "from_tag()", Text, ""),
    row("fn", "pv(\"$fn\")", Text, ""),
    row("tu", "to_uri()", Text, ""),
    row("tU", "to_user()", Text, ""),
    row("td", "to_host()", Text, ""),
    row("tt", "to_tag()", Text, ""),
    row("tn", "pv(\"$tn\")", Text, ""),
    row("si", "src_ip()", Text, ""),
    row("sp", "src_port()", Int, ""),
    row("proto", "proto()", Text, ""),
    row("pr", "proto()", Text, ""),
    row("Ri", "pv(\"$Ri\")", Text, ""),
    row("Rp", "number(pv(\"$Rp\"))", Int, ""),
    row("ci", "call_id()", Text, ""),
    row("cs", "number(pv(\"$cs\"))", Int, ""),
    row("ct", "hdr(\"Contact\")", Text, ""),
    row("cT", "hdr(\"Content-Type\")", Text, ""),
    row("cl", "number(pv(\"$cl\"))", Int, ""),
    row("ua", "hdr(\"User-Agent\")", Text, ""),
    row("au", "auth_user()", Text, ""),
    row("ar", "pv(\"$ar\")", Text, ""),
    row("aU", "auth_user()", Text, ""),
    row("mb", "pv(\"$mb\")", Text, ""),
    row("ml", "number(pv(\"$ml\"))", Int, ""),
];

/// Selects of SER and what they are.
const SELECTS: &[(&str, &str)] = &[
    ("@to.tag", "tt"),
    ("@from.tag", "ft"),
    ("@ruri", "ru"),
    ("@ruri.user", "rU"),
    ("@ruri.host", "rd"),
    ("@ruri.port", "rp"),
    ("@from.uri", "fu"),
    ("@from.uri.user", "fU"),
    ("@from.uri.host", "fd"),
    ("@to.uri", "tu"),
    ("@to.uri.user", "tU"),
    ("@to.uri.host", "td"),
    ("@cseq.method", "rm"),
    ("@cseq.num", "cs"),
    ("@method", "rm"),
    ("@msg.body", "rb"),
    ("@src.ip", "si"),
    ("@src.port", "sp"),
    ("@call_id", "ci"),
];

/// Variables that texts for the log may hold: what the server replaces by itself.
const IN_LOG: &[&str] = &[
    "proto", "rm", "ru", "rU", "rd", "rp", "rs", "rr", "rb", "ou", "oU", "od", "du", "fu", "fU",
    "fd", "ft", "fn", "tu", "tU", "td", "tt", "tn", "si", "sp", "Ri", "Rp", "ci", "cs", "ct", "cT",
    "cl", "ua", "mb", "au", "ar", "ml",
];

/// Names of variables that are written without brackets, to find where one ends inside a text.
const OTHERS: &[&str] = &[
    "T_reply_code",
    "T_branch_idx",
    "retcode",
    "rc",
    "null",
    "fs",
    "fP",
    "TS",
    "Ts",
    "Tf",
    "TF",
    "pr",
    "pp",
    "aU",
    "ad",
    "adu",
    "ai",
    "pu",
    "di",
    "dd",
    "dp",
    "ds",
    "dP",
    "br",
    "bR",
    "mt",
    "mi",
    "rv",
    "re",
    "sv",
    "cy",
    "hu",
    "rdir",
    "route_uri",
    "DLG_status",
    "DLG_dir",
    "time",
    "Tb",
];

/// How a plain variable is read.
pub(super) fn read(name: &str) -> Option<(String, Type)> {
    let row = ROWS.iter().find(|row| row.name == name)?;
    Some((row.read.to_owned(), row.kind))
}

/// The call that sets a plain variable, with `{}` for the value, and the value's type.
pub(super) fn write(name: &str) -> Option<(&'static str, Type)> {
    ROWS.iter()
        .find(|row| row.name == name && !row.write.is_empty())
        .map(|row| (row.write, row.kind))
}

/// The variable that a select stands for.
pub(super) fn select(written: &str) -> Option<Variable> {
    let row = SELECTS.iter().find(|(select, _)| *select == written);
    if let Some((_, name)) = row {
        return Some(Variable { name: (*name).to_owned(), ..Variable::default() });
    }
    let header = written.strip_prefix("@hf_value")?;
    let header = header.trim_matches(['.', '[', ']', '"']);
    let is_name = header.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    (is_name && !header.is_empty()).then(|| Variable {
        name: "hdr".to_owned(),
        argument: Some(header.replace('_', "-")),
        ..Variable::default()
    })
}

/// Whether the server replaces `$name` in texts by itself.
pub(super) fn is_in_log(name: &str) -> bool {
    IN_LOG.contains(&name)
}

/// Reads the variable that stands at the beginning of `text`, which begins with `$`; gives its length as well.
///
/// With `in_text`, a name ends where the longest known one ends.
pub(super) fn parse(text: &str, in_text: bool) -> Option<(Variable, usize)> {
    let rest = text.strip_prefix('$')?;
    if let Some(inner) = rest.strip_prefix('(') {
        let end = closing(inner, ')')?;
        let variable = braced(&inner[..end])?;
        return Some((variable, end + 3));
    }
    if rest.starts_with('?') {
        return Some((Variable { name: "retcode".to_owned(), ..Variable::default() }, 2));
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut length = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
    if length == 0 {
        return None;
    }
    let has_argument = rest[length..].starts_with('(');
    if in_text && !has_argument {
        let known = IN_LOG.iter().chain(OTHERS).filter(|name| rest.starts_with(**name));
        length = known.map(|name| name.len()).max()?;
    }
    // SER 2: `$f.did`.
    if !has_argument && rest[length..].starts_with('.') && !in_text {
        let more =
            rest[length + 1..].find(|c: char| !is_part(c)).unwrap_or(rest.len() - length - 1);
        if more > 0 {
            length += 1 + more;
        }
    }
    let mut variable = Variable { name: rest[..length].to_owned(), ..Variable::default() };
    let mut used = length + 1;
    if has_argument {
        let inner = &rest[length + 1..];
        let end = closing(inner, ')')?;
        variable.argument = Some(inner[..end].trim().to_owned());
        used += end + 2;
    }
    // SER 2: `$x[1]`.
    let indexed = text.get(used..).and_then(|rest| rest.strip_prefix('['));
    if let Some(inner) = indexed.filter(|_| has_argument || !in_text) {
        let end = inner.find(']')?;
        variable.index = Some(inner[..end].to_owned());
        used += end + 2;
    }
    if let Some(argument) = variable.argument.as_mut()
        && let Some(more) = text.get(used..).and_then(|rest| rest.strip_prefix("=>"))
    {
        let end = more.find(|c: char| !is_part(c)).unwrap_or(more.len());
        argument.push_str(&format!("=>{}", &more[..end]));
        used += 2 + end;
    }
    Some((variable, used))
}

/// The inside of `$( … )`.
fn braced(inner: &str) -> Option<Variable> {
    let (base, rest) = match inner.find('{') {
        Some(at) => inner.split_at(at),
        None => (inner, ""),
    };
    let (mut variable, used) = parse(&format!("${}", base.trim()), false)?;
    let after = base.trim().get(used.saturating_sub(1)..).unwrap_or_default();
    if let Some(index) = after.strip_prefix('[') {
        variable.index = Some(index.trim_end_matches(']').to_owned());
    }
    let mut rest = rest;
    while let Some(inner) = rest.strip_prefix('{') {
        let end = closing(inner, '}')?;
        variable.transformations.push(inner[..end].to_owned());
        rest = &inner[end + 1..];
    }
    Some(variable)
}

/// Where the bracket that is open before `text` closes.
fn closing(text: &str, close: char) -> Option<usize> {
    let open = if close == ')' { '(' } else { '{' };
    let mut depth = 1;
    for (at, letter) in text.char_indices() {
        if letter == open {
            depth += 1;
        } else if letter == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// Applies one transformation to an expression; none when there is no counterpart.
pub(super) fn transformed(value: &str, kind: Type, transformation: &str) -> Option<(String, Type)> {
    let (name, parameters) = transformation.split_once(',').unwrap_or((transformation, ""));
    let parameters: Vec<&str> = parameters.split(',').map(str::trim).collect();
    let text = match kind {
        Text => value.to_owned(),
        Int | Type::Bool => format!("{value}.to_string()"),
        Any => format!("(\"\" + {value})"),
    };
    let plain = |parameter: &str| !parameter.contains('$');
    let made = match (name.trim(), parameters.as_slice()) {
        ("s.len", _) => (format!("{text}.len()"), Int),
        ("s.int", _) => (format!("number({text})"), Int),
        ("s.tolower", _) => (format!("{text}.to_lower()"), Text),
        ("s.toupper", _) => (format!("{text}.to_upper()"), Text),
        ("s.trim", _) => (format!("trimmed({text})"), Text),
        ("s.substr", [start, length]) => {
            let (start, length): (i64, i64) = (start.parse().ok()?, length.parse().ok()?);
            match length {
                0 => (format!("{text}.sub_string({start})"), Text),
                _ => (format!("{text}.sub_string({start}, {length})"), Text),
            }
        }
        ("s.select", [index, separator @ ..]) => {
            let separator = separator.first().filter(|it| !it.is_empty()).unwrap_or(&",");
            let index: i64 = index.parse().ok()?;
            (format!("part({text}, {}, {index})", literal(separator)), Text)
        }
        ("s.replace", [from, to]) if plain(from) && plain(to) => {
            (format!("replaced({text}, {}, {})", literal(from), literal(to)), Text)
        }
        ("uri.user", _) => (format!("uri_user({text})"), Text),
        ("uri.host" | "uri.domain", _) => (format!("uri_host({text})"), Text),
        _ => return None,
    };
    Some(made)
}

/// Functions of the script that expressions need, in the order in which they are written.
pub(super) const HELPERS: &[(&str, &str)] = &[
    (
        "push_avp(",
        "// Gives a variable one more value, which is read from now on; those that it had stay behind it.\nfn push_avp(name, value) {\n    if value == () { return pop_avp(name); }\n    if avp(name) != () {\n        let older = avp(name + \".older\") ?? [];\n        older.push(avp(name));\n        set_avp(name + \".older\", older);\n    }\n    set_avp(name, value);\n}",
    ),
    (
        "pop_avp(",
        "// Takes the newest value of a variable away; the one behind it is read from now on.\nfn pop_avp(name) {\n    let older = avp(name + \".older\") ?? [];\n    if older.is_empty() { return del_avp(name); }\n    set_avp(name, older.pop());\n    set_avp(name + \".older\", older);\n    true\n}",
    ),
    (
        "only_avp(",
        "// Gives a variable this value and no other.\nfn only_avp(name, value) {\n    del_avp(name + \".older\");\n    set_avp(name, value);\n}",
    ),
    (
        "clear_avp(",
        "// Leaves a variable without a value.\nfn clear_avp(name) {\n    del_avp(name + \".older\");\n    del_avp(name)\n}",
    ),
    (
        "avp_at(",
        "// One value of a variable: 0 is the newest, -1 the oldest; `()` when there is none.\nfn avp_at(name, index) {\n    let values = avp_values(name);\n    if index < 0 { index += values.len(); }\n    if index < 0 || index >= values.len() { return (); }\n    values[index]\n}",
    ),
    (
        "avp_list(",
        "// The values of a variable with commas between them, the newest first; `()` when there is none.\nfn avp_list(name) {\n    let list = ();\n    for value in avp_values(name) { list = if list == () { \"\" + value } else { list + \",\" + value }; }\n    list\n}",
    ),
    (
        "avp_values(",
        "// The values of a variable, the newest first.\nfn avp_values(name) {\n    if avp(name) == () { return []; }\n    let values = avp(name + \".older\") ?? [];\n    values.push(avp(name));\n    values.reverse();\n    values\n}",
    ),
    (
        "number(",
        "// The number that a text is; 0 when it is none.\nfn number(text) {\n    try { return parse_int(text); } catch { return 0; }\n}",
    ),
    (
        "trimmed(",
        "// A text without the blanks around it.\nfn trimmed(text) {\n    text.trim();\n    text\n}",
    ),
    (
        "part(",
        "// One part of a text between separators, counted from 0, or from the end with a minus; empty when there is none.\nfn part(text, separator, index) {\n    let parts = text.split(separator);\n    if index < 0 { index += parts.len(); }\n    if index < 0 || index >= parts.len() { return \"\"; }\n    parts[index]\n}",
    ),
    (
        "replaced(",
        "// A text with every `old` replaced by `new_text`.\nfn replaced(text, old, new_text) {\n    text.replace(old, new_text);\n    text\n}",
    ),
    (
        "uri_user(",
        "// The user of a URI, empty where it has none.\nfn uri_user(uri) {\n    let rest = uri_rest(uri);\n    if !rest.contains(\"@\") { return \"\"; }\n    rest.split(\"@\")[0].split(\":\")[0]\n}",
    ),
    (
        "uri_host(",
        "// The host of a URI.\nfn uri_host(uri) {\n    let rest = uri_rest(uri);\n    if rest.contains(\"@\") { rest = rest.split(\"@\")[1]; }\n    rest = rest.split(\";\")[0].split(\"?\")[0];\n    if rest.starts_with(\"[\") { return rest.split(\"]\")[0] + \"]\"; }\n    rest.split(\":\")[0]\n}",
    ),
    (
        "uri_rest(",
        "// What stands behind the scheme of a URI.\nfn uri_rest(uri) {\n    let at = uri.index_of(\":\");\n    if at < 0 { uri } else { uri.sub_string(at + 1) }\n}",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn simple(name: &str) -> Variable {
        Variable { name: name.to_owned(), ..Variable::default() }
    }

    #[test]
    fn variables_are_taken_apart() {
        assert_eq!(parse("$ru", false), Some((simple("ru"), 3)));
        assert_eq!(parse("$rux is", true), Some((simple("ru"), 3)));
        assert_eq!(parse("$?", false).unwrap().0.name, "retcode");
        let (found, length) = parse("$avp(s:x) and", false).unwrap();
        assert_eq!((found.argument.as_deref(), length), (Some("s:x"), 9));
        let (found, length) = parse("$(hdr(To)[0]{uri.user}{s.len}).", false).unwrap();
        assert_eq!(found.argument.as_deref(), Some("To"));
        assert_eq!(found.index.as_deref(), Some("0"));
        assert_eq!(found.transformations, ["uri.user", "s.len"]);
        assert_eq!(length, 30);
        assert_eq!(parse("$f.did)", false).unwrap().0.name, "f.did");
        for none in ["$", "$(", "$ 5", "x"] {
            assert_eq!(parse(none, true), None, "{none}");
        }
    }

    #[test]
    fn every_row_can_be_reached() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(!ROWS[..index].iter().any(|above| above.name == row.name), "{}", row.name);
        }
        for (select, name) in SELECTS {
            assert!(read(name).is_some(), "{select}");
        }
        for name in OTHERS {
            assert!(!IN_LOG.contains(name), "{name}");
        }
    }

    #[test]
    fn the_server_knows_what_logs_may_hold() {
        let known: Vec<&str> = crate::script::pseudo::variables().map(|(name, _)| name).collect();
        for name in IN_LOG {
            assert!(known.contains(name), "{name}");
        }
    }
}
