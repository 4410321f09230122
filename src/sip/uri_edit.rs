//! A URI with one part replaced, as text; what does not fit its place is refused.

use super::error::UriError;
use super::uri::Uri;
use super::uri_equivalence::is_same_name;

/// The parts of a SIP URI on the way to a new text.
struct Parts<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    params: &'a str,
    headers: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// The URI with this user part, already escaped; `None` removes user and password.
    pub fn with_user(&self, user: Option<&str>) -> Result<String, UriError> {
        let fits = user.is_none_or(|user| !user.is_empty() && !user.contains([':', '@']));
        if !fits {
            return Err(UriError::User);
        }
        let password = user.and(self.password());
        self.rebuilt(|parts| Parts { user, password, ..parts })
    }

    /// The URI with this password; a URI without user cannot have one.
    pub fn with_password(&self, password: Option<&str>) -> Result<String, UriError> {
        if self.user().is_none() || password.is_some_and(|password| password.contains('@')) {
            return Err(UriError::User);
        }
        self.rebuilt(|parts| Parts { password, ..parts })
    }

    /// The URI with this host; an IPv6 address needs its brackets.
    pub fn with_host(&self, host: &str) -> Result<String, UriError> {
        if !matches!(super::host::host_port(host), Ok((whole, None)) if whole == host) {
            return Err(UriError::Host);
        }
        self.rebuilt(|parts| Parts { host, ..parts })
    }

    /// The URI with this port, or without one.
    pub fn with_port(&self, port: Option<u16>) -> Result<String, UriError> {
        self.rebuilt(|parts| Parts { port, ..parts })
    }

    /// The URI with these parameters, `name=value;name`, instead of its own; empty for none.
    pub fn with_params(&self, params: &str) -> Result<String, UriError> {
        if params.contains(['?', '@']) {
            return Err(UriError::Param);
        }
        self.rebuilt(|parts| Parts { params, ..parts })
    }

    /// The URI with a parameter, `name` or `name=value`, behind its own.
    pub fn with_param(&self, param: &str) -> Result<String, UriError> {
        match self.params().as_str() {
            "" => self.with_params(param),
            own => self.with_params(&format!("{own};{param}")),
        }
    }

    /// The URI without the parameters of this name.
    pub fn without_param(&self, name: &str) -> Result<String, UriError> {
        let own = self.params().as_str().split(';');
        let kept: Vec<&str> = own
            .filter(|piece| !piece.split('=').next().is_some_and(|it| is_same_name(it, name)))
            .collect();
        self.with_params(&kept.join(";"))
    }

    /// The URI without headers behind `?`, as a Request-URI must be (RFC 3261 §19.1.1).
    pub fn without_headers(&self) -> Result<String, UriError> {
        self.rebuilt(|parts| Parts { headers: None, ..parts })
    }

    fn rebuilt<'b>(
        &'b self,
        change: impl FnOnce(Parts<'b>) -> Parts<'b>,
    ) -> Result<String, UriError> {
        if !self.is_sip() {
            return Err(UriError::NotSip);
        }
        let text = change(Parts {
            user: self.user(),
            password: self.password(),
            host: self.host(),
            port: self.port(),
            params: self.params().as_str(),
            headers: self.headers(),
        })
        .written(self.scheme().as_str(), self.as_str().len());
        Uri::parse(&text)?;
        Ok(text)
    }
}

impl Parts<'_> {
    fn written(&self, scheme: &str, size: usize) -> String {
        let mut out = String::with_capacity(size + 32);
        out.extend([scheme, ":"]);
        if let Some(user) = self.user {
            out.push_str(user);
            if let Some(password) = self.password {
                out.extend([":", password]);
            }
            out.push('@');
        }
        out.push_str(self.host);
        if let Some(port) = self.port {
            out.extend([":", &port.to_string()]);
        }
        if !self.params.is_empty() {
            out.extend([";", self.params]);
        }
        if let Some(headers) = self.headers {
            out.extend(["?", headers]);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "sip:a:p@h.example:5070;lr;x=1?s=t";

    fn full() -> Uri<'static> {
        Uri::parse(FULL).unwrap()
    }

    #[test]
    fn one_part_changes_and_the_rest_stays() {
        let cases = [
            (full().with_user(Some("b")), "sip:b:p@h.example:5070;lr;x=1?s=t"),
            (full().with_user(None), "sip:h.example:5070;lr;x=1?s=t"),
            (full().with_password(None), "sip:a@h.example:5070;lr;x=1?s=t"),
            (full().with_host("[::1]"), "sip:a:p@[::1]:5070;lr;x=1?s=t"),
            (full().with_port(None), "sip:a:p@h.example;lr;x=1?s=t"),
            (full().with_params(""), "sip:a:p@h.example:5070?s=t"),
            (full().with_param("q"), "sip:a:p@h.example:5070;lr;x=1;q?s=t"),
            (full().without_param("LR"), "sip:a:p@h.example:5070;x=1?s=t"),
            (Uri::parse("sip:h;%6cr").unwrap().without_param("lr"), "sip:h"),
            (full().without_headers(), "sip:a:p@h.example:5070;lr;x=1"),
        ];
        for (edited, expected) in cases {
            assert_eq!(edited.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_part_cannot_break_out_of_its_place() {
        let uri = full();
        assert!(uri.with_user(Some("x@evil")).is_err());
        assert!(uri.with_user(Some("x y")).is_err());
        assert!(uri.with_user(Some("")).is_err());
        assert!(uri.with_host("h;lr").is_err());
        assert!(uri.with_host("h:1").is_err());
        assert!(uri.with_params("a?b=c").is_err());
        assert!(uri.with_params("a\r\nb").is_err());
        assert!(Uri::parse("tel:1").unwrap().with_host("h").is_err());
    }
}
