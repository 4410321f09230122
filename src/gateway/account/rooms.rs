//! The rooms that an account is in (XEP-0045), as SER had them.

use std::time::Instant;

use super::{Account, Action, Order, Text};
use crate::xmpp::{Jid, Stanza, StanzaError, Writer, ns};

/// The id of what the owner of a new room says.
const ACCEPTING_ID: &str = "sipjab-room";

/// One room.
#[derive(Debug)]
pub(super) struct Room<W> {
    jid: Jid,
    nick: String,
    /// The SIP URI that the user calls it by.
    pub(super) address: String,
    state: State<W>,
}

#[derive(Debug)]
enum State<W> {
    /// Presence is out; the order waits for the room's word.
    Joining(Order<W>),
    /// Presence is out again, after a new stream.
    Rejoining,
    Joined,
}

impl<W> Room<W> {
    pub(super) fn is_joined(&self) -> bool {
        matches!(self.state, State::Joined)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Joining(order) => Some(order.deadline),
            State::Rejoining | State::Joined => None,
        }
    }

    /// The order that waits for the room's word.
    pub(super) fn into_order(self) -> Option<Order<W>> {
        match self.state {
            State::Joining(order) => Some(order),
            State::Rejoining | State::Joined => None,
        }
    }

    pub(super) fn has_nick(&self, nick: &str) -> bool {
        self.nick == nick
    }

    /// The presence that leaves the room.
    pub(super) fn leaving(&self) -> Vec<u8> {
        self.presence(|writer| {
            writer.attr("type", "unavailable");
        })
    }

    /// The presence that joins it, without what was said before when we were there.
    fn joining(&self, is_again: bool) -> Vec<u8> {
        self.presence(|writer| {
            writer.start_in("x", ns::MUC);
            if is_again {
                writer.start("history").attr("maxstanzas", "0");
            }
        })
    }

    /// Takes a new room as it is.
    fn accepting(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes)
            .start("iq")
            .attr("type", "set")
            .attr("to", self.jid.as_str())
            .attr("id", ACCEPTING_ID)
            .start_in("query", ns::MUC_OWNER)
            .start_in("x", ns::DATA_FORMS)
            .attr("type", "submit")
            .finish();
        bytes
    }

    fn presence(&self, inside: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.start("presence").attr("to", &format!("{}/{}", self.jid, self.nick));
        inside(&mut writer);
        writer.finish();
        bytes
    }
}

impl<W> Account<W> {
    /// The nickname in a room that the user has said none for.
    pub fn default_nick(&self) -> &str {
        &self.name
    }

    pub(super) fn join(&mut self, now: Instant, jid: Jid, nick: String, order: Order<W>) {
        if self.rooms.get(&jid).is_some_and(|room| room.is_joined() && room.nick == nick) {
            return self.actions.push_back(Action::Done(order.waiter));
        }
        if !self.rooms.contains_key(&jid) && self.rooms.len() >= self.settings.max_rooms {
            return self.fail(order, Text::ErrNewJconf);
        }
        if now >= order.deadline {
            return self.fail(order, Text::ErrJoinJconf);
        }
        let address = order.address.clone();
        let room = Room { jid: jid.clone(), nick, address, state: State::Joining(order) };
        let bytes = room.joining(false);
        self.write(bytes);
        if let Some(order) = self.rooms.insert(jid, room).and_then(Room::into_order) {
            self.fail(order, Text::ErrJoinJconf);
        }
    }

    pub(super) fn exit(&mut self, jid: &Jid, order: Order<W>) {
        let Some(room) = self.rooms.remove(jid) else {
            return self.fail(order, Text::ErrNotJconf);
        };
        let bytes = room.leaving();
        self.write(bytes);
        if let Some(joining) = room.into_order() {
            self.fail(joining, Text::ErrJoinJconf);
        }
        self.actions.push_back(Action::Done(order.waiter));
        self.actions.push_back(Action::Notice(Text::InfJconfExit, order.address));
    }

    /// A new stream knows nothing of rooms.
    pub(super) fn rejoin(&mut self) {
        let mut joining = Vec::new();
        for room in self.rooms.values_mut() {
            let is_again = !matches!(room.state, State::Joining(_));
            if is_again {
                room.state = State::Rejoining;
            }
            joining.push(room.joining(is_again));
        }
        joining.into_iter().for_each(|bytes| self.write(bytes));
    }

    pub(super) fn expire_rooms(&mut self, now: Instant) {
        let is_due = |room: &Room<W>| room.deadline().is_some_and(|at| at <= now);
        let due: Vec<_> =
            self.rooms.iter().filter(|(_, it)| is_due(it)).map(|(jid, _)| jid.clone()).collect();
        for jid in due {
            self.refuse_room(&jid, Text::ErrJoinJconf);
        }
    }

    /// Takes presence that a room sends; false when it is not from a room.
    pub(super) fn handle_room_presence(
        &mut self,
        now: Instant,
        from: &Jid,
        stanza: &Stanza,
    ) -> bool {
        let bare = Jid::from(from.to_bare());
        let Some(room) = self.rooms.get_mut(&bare) else { return false };
        let nick = from.resource().map(|resource| resource.as_str());
        let is_own = nick == Some(room.nick.as_str()) || has_status(stanza, "110");
        match (StanzaError::read(stanza), stanza.type_attribute().as_deref()) {
            (Some(error), _) => {
                let is_taken = error.condition == crate::xmpp::Condition::Conflict;
                let text = if is_taken { Text::ErrJconfNick } else { Text::ErrJconfRefused };
                self.refuse_room(&bare, text);
            }
            (None, Some("unavailable")) if is_own && !has_status(stanza, "303") => {
                self.refuse_room(&bare, Text::InfJconfExit);
            }
            // COMPAT(ejabberd, many): rooms that say nothing but our presence, in the nick they gave us.
            (None, None) if is_own => {
                if let Some(nick) = nick {
                    nick.clone_into(&mut room.nick);
                }
                // XEP-0045 §10.1.2: nobody else comes in before the owner is content.
                if has_status(stanza, "201") {
                    let bytes = room.accepting();
                    self.write(bytes);
                } else {
                    self.enter_room(now, &bare);
                }
            }
            _ => {}
        }
        true
    }

    /// Takes an answer, if it is that of a room to its owner.
    pub(super) fn handle_room_answer(&mut self, now: Instant, stanza: &Stanza) {
        if stanza.id().as_deref() == Some(ACCEPTING_ID)
            && let Some(Ok(from)) = stanza.from_jid()
        {
            self.enter_room(now, &from);
        }
    }

    fn enter_room(&mut self, now: Instant, jid: &Jid) {
        let Some(room) = self.rooms.get_mut(jid) else { return };
        if let State::Joining(order) = std::mem::replace(&mut room.state, State::Joined) {
            self.actions.push_back(Action::Done(order.waiter));
        }
        self.flush(now);
    }

    /// Forgets a room, and tells who joined it or was in it.
    fn refuse_room(&mut self, jid: &Jid, text: Text) {
        let Some(room) = self.rooms.remove(jid) else { return };
        let address = room.address.clone();
        match room.into_order() {
            Some(order) => self.fail(order, text),
            None => self.actions.push_back(Action::Notice(text, address)),
        }
        let about =
            |order: &Order<W>| matches!(&order.wish, super::Wish::Say { room, .. } if room == jid);
        let (lost, kept) = std::mem::take(&mut self.waiting).into_iter().partition(about);
        self.waiting = kept;
        let lost: std::collections::VecDeque<_> = lost;
        for order in lost {
            self.fail(order, Text::ErrNotJconf);
        }
    }
}

fn has_status(stanza: &Stanza, code: &str) -> bool {
    stanza.payload("x", ns::MUC_USER).is_some_and(|payload| {
        let tree = payload.tree();
        let mut children = tree.root().children();
        children.any(|it| it.name() == "status" && it.attribute("code") == Some(code))
    })
}
