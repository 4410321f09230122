//! From the stream header to the bound resource.

use std::time::Instant;

use sha1::{Digest, Sha1};

use super::{Client, Event, Refusal, SaltedPassword, Security, State};
use crate::xmpp::element::Element;
use crate::xmpp::error::StanzaError;
use crate::xmpp::jid::FullJid;
use crate::xmpp::ns::{self, ContentNamespace};
use crate::xmpp::stanza::{Kind, Stanza};
use crate::xmpp::stream::end::{CLOSING_TAG, CloseReason};
use crate::xmpp::stream::features::Features;
use crate::xmpp::stream::header::{HeaderError, StreamHeader};
use crate::xmpp::stream::sasl::{Challenge, Sasl, SaslError};
use crate::xmpp::writer::Writer;

const BIND_ID: &str = "sipjab-bind";
const SESSION_ID: &str = "sipjab-session";
const FIELDS_ID: &str = "sipjab-auth-1";
const AUTH_ID: &str = "sipjab-auth-2";

/// What a `jabber:iq:auth` binds when nothing is configured.
const LEGACY_RESOURCE: &str = "sipjab";

impl Client {
    pub(super) fn handle_header(&mut self, tag: &[u8]) {
        let header = match StreamHeader::read(tag) {
            Ok(header) => header,
            Err(error) => return self.fail(CloseReason::Header(error)),
        };
        if header.scope.content() != ContentNamespace::Client {
            return self.fail(CloseReason::Header(HeaderError::Namespace));
        }
        self.scope = header.scope.into();
        if self.state != State::AwaitingHeader {
            return;
        }
        self.stream_id = header.id.unwrap_or_default();
        self.state = State::AwaitingFeatures;
        // A server of before RFC 3920 sends no features.
        if header.version.0 == 0 {
            self.begin_legacy_auth();
        }
    }

    /// Takes one element on the way to the bound resource.
    pub(super) fn negotiate(&mut self, now: Instant, stanza: &Stanza) {
        let is = |name, namespace| stanza.name() == name && stanza.namespace() == namespace;
        match self.state {
            State::AwaitingFeatures => match Features::read(stanza) {
                Some(features) => self.handle_features(now, features),
                None => self.misbehave("no stream features"),
            },
            State::AwaitingProceed if is("proceed", ns::TLS) => {
                self.enter(now, State::AwaitingTls);
                self.events.push_back(Event::StartTls);
            }
            State::AwaitingProceed => self.misbehave("no TLS after all"),
            State::Authenticating if stanza.namespace() == ns::SASL => {
                self.handle_sasl(now, stanza);
            }
            State::Resuming if is("resumed", ns::SM) => self.handle_resumed(now, stanza),
            State::Resuming if is("failed", ns::SM) => self.handle_not_resumed(now, stanza),
            State::Enabling if is("enabled", ns::SM) => self.handle_enabled(now, stanza),
            State::Enabling if is("failed", ns::SM) => self.become_ready(now, false),
            _ if stanza.kind() == Kind::Iq && stanza.type_attribute().is_some() => {
                self.handle_answer(now, stanza);
            }
            // What nobody has told us about may be told some day.
            _ if stanza.kind() == Kind::Nonza => {}
            _ => self.misbehave("stanza before the resource"),
        }
    }

    fn misbehave(&mut self, what: &'static str) {
        self.fail(CloseReason::Protocol(what));
    }

    fn handle_features(&mut self, now: Instant, features: Features) {
        self.features = features;
        let wants_tls = !self.has_tls && self.config.security != Security::Outside;
        if wants_tls && self.features.has_tls {
            Writer::new(&mut self.out).empty("starttls", ns::TLS);
            return self.enter(now, State::AwaitingProceed);
        }
        if wants_tls && self.config.security == Security::Required {
            self.out.extend_from_slice(CLOSING_TAG);
            return self.refuse(Refusal::NoTls);
        }
        if !self.is_authenticated {
            return self.authenticate(now);
        }
        match &self.resumption {
            Some(resumption) if self.features.has_sm => {
                let (id, received) = (resumption.id.clone(), resumption.received);
                Writer::new(&mut self.out)
                    .start_in("resume", ns::SM)
                    .attr("previd", &id)
                    .attr("h", &received.to_string())
                    .end();
                self.enter(now, State::Resuming);
            }
            _ => {
                self.give_up_resumption();
                self.bind(now);
            }
        }
    }

    fn authenticate(&mut self, now: Instant) {
        let offer = match (&self.features.sasl, self.config.legacy_auth) {
            (Some(offer), _) => offer,
            (None, true) => return self.begin_legacy_auth(),
            (None, false) => {
                return self.refuse(Refusal::Sasl(SaslError::NoMechanism(String::new())));
            }
        };
        let (username, password) = (&self.config.username, &self.config.password);
        let nonce = format!("{:032x}", rand::random::<u128>());
        match Sasl::new(offer, username, password, self.has_tls, self.binding.as_ref(), nonce) {
            Err(SaslError::NoMechanism(_))
                if self.config.legacy_auth && self.features.has_legacy_auth =>
            {
                self.begin_legacy_auth();
            }
            Err(error) => {
                self.out.extend_from_slice(CLOSING_TAG);
                self.refuse(Refusal::Sasl(error));
            }
            Ok(sasl) => {
                Writer::new(&mut self.out)
                    .start_in("auth", ns::SASL)
                    .attr("mechanism", sasl.mechanism())
                    .text(&sasl.initial())
                    .end();
                self.sasl = Some(Box::new(sasl));
                self.enter(now, State::Authenticating);
            }
        }
    }

    fn handle_sasl(&mut self, now: Instant, stanza: &Stanza) {
        let Some(mut sasl) = self.sasl.take() else { return };
        let text = stanza.tree().root().text();
        let outcome = match stanza.name() {
            "challenge" => sasl.challenge(&text).map(Some),
            "success" => sasl.finish(&text).map(|()| None),
            "failure" => Err(SaslError::read(stanza)),
            _ => Err(SaslError::Malformed("is of an unknown kind")),
        };
        match outcome {
            Ok(Some(Challenge::Derive(derivation))) => {
                self.sasl = Some(sasl);
                self.enter(now, State::AwaitingKeys);
                self.events.push_back(Event::Derive(derivation));
            }
            Ok(Some(Challenge::Respond(response))) => {
                self.sasl = Some(sasl);
                self.respond(&response);
            }
            Ok(None) => {
                self.is_authenticated = true;
                self.open(now);
            }
            Err(error) => {
                self.out.extend_from_slice(CLOSING_TAG);
                match error.is_temporary() {
                    true => self.end(CloseReason::Protocol("temporary-auth-failure")),
                    false => self.refuse(Refusal::Sasl(error)),
                }
            }
        }
    }

    /// Takes the hashed password that [`Event::Derive`] asked for.
    pub fn handle_keys(&mut self, now: Instant, keys: &SaltedPassword) {
        if self.state != State::AwaitingKeys {
            return;
        }
        let proof = self.sasl.as_mut().map(|sasl| sasl.respond(keys));
        match proof {
            Some(Ok(proof)) => {
                self.enter(now, State::Authenticating);
                self.respond(&proof);
            }
            _ => self.misbehave("SASL out of order"),
        }
    }

    fn respond(&mut self, text: &str) {
        Writer::new(&mut self.out).start_in("response", ns::SASL).text(text).end();
    }

    /// XEP-0078 §3.1: which fields?
    fn begin_legacy_auth(&mut self) {
        if !self.config.legacy_auth {
            let error = SaslError::NoMechanism("only jabber:iq:auth".to_owned());
            return self.refuse(Refusal::Sasl(error));
        }
        Writer::new(&mut self.out)
            .start("iq")
            .attr("type", "get")
            .attr("id", FIELDS_ID)
            .start_in("query", ns::LEGACY_AUTH)
            .text_child("username", &self.config.username)
            .finish();
        self.state = State::LegacyFields;
    }

    /// XEP-0078 §3.2: the password, hashed with the stream's id where the server knows how.
    fn legacy_auth(&mut self, now: Instant, stanza: &Stanza) {
        let fields = stanza.payload("query", ns::LEGACY_AUTH).map(|query| query.tree());
        let has_digest =
            fields.is_some_and(|fields| fields.root().child("digest", ns::LEGACY_AUTH).is_some());
        let resource = self.config.resource.clone().unwrap_or_else(|| LEGACY_RESOURCE.to_owned());
        let mut writer = Writer::new(&mut self.out);
        writer
            .start("iq")
            .attr("type", "set")
            .attr("id", AUTH_ID)
            .start_in("query", ns::LEGACY_AUTH)
            .text_child("username", &self.config.username);
        match has_digest {
            true => {
                let hash = legacy_digest(&self.stream_id, &self.config.password);
                writer.text_child("digest", &hash)
            }
            false => writer.text_child("password", &self.config.password),
        };
        writer.text_child("resource", &resource).finish();
        let jid = format!("{}@{}/{resource}", self.config.username, self.config.domain);
        self.jid = FullJid::new(&jid).ok();
        self.enter(now, State::LegacyAuth);
    }

    pub(super) fn bind(&mut self, now: Instant) {
        let mut writer = Writer::new(&mut self.out);
        writer.start("iq").attr("type", "set").attr("id", BIND_ID).start_in("bind", ns::BIND);
        if let Some(resource) = &self.config.resource {
            writer.text_child("resource", resource);
        }
        writer.finish();
        self.enter(now, State::Binding);
    }

    /// Takes the answer to the question that is out.
    fn handle_answer(&mut self, now: Instant, stanza: &Stanza) {
        let expected = match self.state {
            State::Binding => BIND_ID,
            State::AwaitingSession => SESSION_ID,
            State::LegacyFields => FIELDS_ID,
            State::LegacyAuth => AUTH_ID,
            _ => return,
        };
        if stanza.id().as_deref() != Some(expected) {
            return;
        }
        match (self.state, StanzaError::read(stanza)) {
            (State::Binding, Some(error)) => self.refuse(Refusal::Bind(error)),
            (State::Binding, None) => self.handle_bound(now, stanza),
            // RFC 6121 §1.4: sessions mean nothing any more.
            (State::AwaitingSession, _) => self.enable(now),
            (_, Some(error)) => {
                self.out.extend_from_slice(CLOSING_TAG);
                let condition = error.condition.name().to_owned();
                self.refuse(Refusal::Sasl(SaslError::Failure { condition, text: error.text }));
            }
            (State::LegacyFields, None) => self.legacy_auth(now, stanza),
            (_, None) => {
                self.give_up_resumption();
                match self.jid {
                    Some(_) => self.become_ready(now, false),
                    None => self.misbehave("no JID can be made of the account's name"),
                }
            }
        }
    }

    fn handle_bound(&mut self, now: Instant, stanza: &Stanza) {
        let tree = stanza.payload("bind", ns::BIND).map(|bind| bind.tree());
        let jid = tree.as_ref().and_then(|tree| tree.root().child("jid", ns::BIND));
        let Some(jid) = jid.map(Element::text).and_then(|jid| FullJid::new(&jid).ok()) else {
            return self.misbehave("no JID was bound");
        };
        self.jid = Some(jid);
        if !self.features.needs_session {
            return self.enable(now);
        }
        Writer::new(&mut self.out)
            .start("iq")
            .attr("type", "set")
            .attr("id", SESSION_ID)
            .empty("session", ns::SESSION)
            .finish();
        self.enter(now, State::AwaitingSession);
    }

    fn enable(&mut self, now: Instant) {
        if !self.features.has_sm {
            return self.become_ready(now, false);
        }
        Writer::new(&mut self.out).start_in("enable", ns::SM).attr("resume", "true").end();
        self.enter(now, State::Enabling);
    }
}

/// XEP-0078 §3.2
fn legacy_digest(stream_id: &str, password: &str) -> String {
    use std::fmt::Write;
    let hash = Sha1::new().chain_update(stream_id).chain_update(password).finalize();
    hash.iter().fold(String::with_capacity(40), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    })
}
