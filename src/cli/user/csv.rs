//! Users in a CSV file (RFC 4180).

use super::{UserError, sip_user};

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewUser {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) sip_id: String,
    pub(super) jab_id: String,
    pub(super) password: String,
}

/// The users of a file: `sip_id,jab_id,password`, with or without these words as its first line.
pub(super) fn read(text: &str) -> Result<Vec<NewUser>, UserError> {
    let mut users = Vec::new();
    for (line, row) in (1..).zip(text.lines()).filter(|(_, row)| !row.trim().is_empty()) {
        let wrong = |reason: String| UserError::Csv { line, reason };
        let fields = fields(row).ok_or_else(|| wrong("a quote is not closed".to_owned()))?;
        let [sip_id, jab_id, password] = <[String; 3]>::try_from(fields)
            .map_err(|fields| wrong(format!("{} fields, expected 3", fields.len())))?;
        if line == 1 && sip_id == "sip_id" {
            continue;
        }
        let sip_id = sip_user(&sip_id).map_err(|error| wrong(error.to_string()))?;
        users.push(NewUser { line, sip_id, jab_id, password });
    }
    Ok(users)
}

/// One line of a file.
pub(super) fn row(fields: [&str; 3]) -> String {
    let quoted = |field: &&str| field.contains([',', '"', '\n', '\r']);
    let field = |field: &str| match quoted(&field) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    };
    fields.map(field).join(",")
}

/// The fields of a line; `None` when a quote is not closed.
fn fields(row: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut letters = row.trim_end_matches('\r').chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            letter => field.push(letter),
        }
    }
    fields.push(field);
    (!is_quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_headings_are_understood() {
        let text = "sip_id,jab_id,password\r\nsip:a@x,a,\"x,\"\"y\"\"\"\r\n\r\nb@x,b@y.com,\r\n";
        let users = read(text).unwrap();
        let shown: Vec<_> =
            users.iter().map(|it| (it.line, &*it.sip_id, &*it.jab_id, &*it.password)).collect();
        assert_eq!(shown, [(2, "sip:a@x", "a", "x,\"y\""), (4, "sip:b@x", "b@y.com", "")]);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let fields = ["sip:a@x", "a", "x,\"y\""];
        let user = read(&row(fields)).unwrap().remove(0);
        assert_eq!([&*user.sip_id, &*user.jab_id, &*user.password], fields);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, said) in [
            ("sip:a@x,a", "line 1: 2 fields, expected 3"),
            ("sip:a@x,a,p\nnobody,a,p", "line 2: `nobody` is no SIP user: expected sip:user@host"),
            ("sip:a@x,a,\"p", "line 1: a quote is not closed"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), said);
        }
    }
}
