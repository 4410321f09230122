use super::*;
use crate::xmpp::jid;
use crate::xmpp::ns::ContentNamespace::Client;
use crate::xmpp::stream::test_clock::start_of_time;

/// An account whose orders and stanzas are written down as they come and go.
struct Play {
    account: Account<&'static str>,
    start: Instant,
    now: Instant,
    lines: Vec<String>,
    /// What the server is told of the user's activity is written down, too.
    shows_activity: bool,
}

fn room() -> Jid {
    jid::parse("chatting@conference.x.com").unwrap()
}

fn stanza(to: &str) -> Vec<u8> {
    format!("<message to='{to}'/>").into_bytes()
}

impl Play {
    fn new() -> Self {
        let settings = AccountSettings {
            ser: Ser::parse("jabber.x.com=*", "2;icq.x.com;msn.x.com=%;"),
            cache_time: Duration::from_secs(600),
            delay_time: Duration::from_secs(90),
            queue: 3,
            max_rooms: 1,
            approves: true,
            sent_copies: true,
        };
        let start = start_of_time();
        let account = Account::new(Arc::new(settings), "joe");
        Self { account, start, now: start, lines: Vec::new(), shows_activity: false }
    }

    fn online() -> Self {
        let mut play = Self::new();
        play.wants("on", Wish::Online, "").ready(false);
        play.lines.clear();
        play
    }

    fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = self.start + Duration::from_secs(seconds);
        self
    }

    fn wants(&mut self, waiter: &'static str, wish: Wish, address: &str) -> &mut Self {
        let deadline = self.now + Duration::from_secs(90);
        let order = Order { wish, address: address.to_owned(), deadline, waiter };
        self.account.handle_order(self.now, order);
        self.note(format!("order {waiter}"))
    }

    fn writes(&mut self, waiter: &'static str, to: &str) -> &mut Self {
        let wish = Wish::Send { to: jid::parse(to).unwrap(), stanza: stanza(to) };
        self.wants(waiter, wish, "sip:there")
    }

    fn joins(&mut self) -> &mut Self {
        let wish = Wish::Join { room: room(), nick: "bob".into() };
        self.wants("join", wish, "sip:room")
    }

    fn joined() -> Self {
        let mut play = Self::online();
        play.joins().hears("<presence from='chatting@conference.x.com/bob'/>");
        play.lines.clear();
        play
    }

    fn ready(&mut self, is_resumed: bool) -> &mut Self {
        let jid = FullJid::new("joe@x.com/r").unwrap();
        self.account.handle_ready(self.now, jid, is_resumed);
        self.note("ready".into())
    }

    fn hears(&mut self, text: &str) -> &mut Self {
        let stanza = Stanza::parse(text, Client).unwrap();
        let is_taken = self.account.handle_stanza(self.now, &stanza);
        self.note(format!("{} {}", stanza.name(), if is_taken { "taken" } else { "left" }))
    }

    fn waits(&mut self) -> &mut Self {
        self.account.handle_timeout(self.now);
        self.note("time".into())
    }

    /// Nothing is kept elsewhere.
    fn note(&mut self, cause: String) -> &mut Self {
        self.account.leave();
        let mut line = format!("{} s {cause}", (self.now - self.start).as_secs());
        while let Some(action) = self.account.poll_action() {
            line += &match action {
                Action::Connect => " connect".into(),
                Action::Disconnect => " disconnect".into(),
                Action::Active(_) if !self.shows_activity => String::new(),
                Action::Active(true) => " active".into(),
                Action::Active(false) => " inactive".into(),
                Action::Send(token, bytes) => {
                    let token = token.map(|token| format!("#{token}")).unwrap_or_default();
                    format!(" --> {}{token}", String::from_utf8(bytes).unwrap())
                }
                Action::Done(waiter) => format!(" done({waiter})"),
                Action::Failed(waiter, text, from) => format!(" failed({waiter} {text:?} {from})"),
                Action::Notice(text, from) => format!(" notice({text:?} {from})"),
                Action::Deliver(it) => {
                    let body = it.stanza.child_text("body").unwrap_or_default();
                    format!(" deliver({} {}{body})", it.from, it.prefix)
                }
            };
        }
        self.lines.push(line);
        self
    }

    #[track_caller]
    fn reads(&self, expected: &str) {
        let words = |text: &str| text.split_whitespace().collect::<String>();
        let happened = self.lines.join("\n");
        assert!(words(expected) == words(&happened), "what happened:\n{happened}");
    }
}

#[test]
fn the_first_message_opens_the_stream_and_waits_for_it() {
    let mut play = Play::new();
    play.writes("a", "al@y.com").at(1).ready(false);
    play.account.handle_acked(1);
    play.at(2).note("acked".into());
    play.reads(
        "
        0 s order a   connect
        1 s ready     --> <message to='al@y.com'/>#1
        2 s acked     done(a)
        ",
    );
}

#[test]
fn a_server_that_is_away_is_told_when_time_is_up() {
    let mut play = Play::new();
    play.writes("a", "al@y.com").at(90).waits();
    play.lines.remove(0);
    play.reads("90 s time failed(a ErrNoJsrv sip:there)");
}

#[test]
fn a_wrong_password_fails_what_waits_and_is_told_without_it_too() {
    let mut play = Play::new();
    play.writes("a", "al@y.com").writes("b", "al@y.com");
    play.account.handle_refused(Text::ErrJauth, false);
    play.note("refused".into());
    play.account.handle_refused(Text::ErrJauth, false);
    play.note("again".into()).lines.drain(..2);
    play.reads(
        "0 s refused disconnect failed(a ErrJauth sip:there) failed(b ErrJauth sip:there)
         0 s again",
    );
    let mut play = Play::online();
    play.account.handle_refused(Text::InfDisconnected, false);
    play.note("refused".into());
    assert!(play.lines[0].ends_with("notice(InfDisconnected )"), "{:?}", play.lines);
}

#[test]
fn what_is_kept_elsewhere_opens_the_stream_and_is_told_there() {
    let mut play = Play::new();
    play.account.open(play.now);
    play.note("open".into()).at(6000).waits();
    assert_eq!(play.at(0).lines.pop().as_deref(), Some("6000 s time"));
    play.account.handle_refused(Text::ErrJauth, true);
    play.note("refused".into()).reads("0 s open connect 0 s refused disconnect");
}

#[test]
fn what_has_not_left_is_taken_back() {
    let mut play = Play::new();
    play.writes("a", "al@y.com").writes("kept", "al@y.com");
    assert_eq!(play.account.withdraw(|waiter| *waiter == "kept"), ["kept"]);
    play.ready(false).writes("b", "al@y.com");
    assert_eq!(play.account.waiter(2), Some(&"b"));
    assert_eq!(play.account.handle_unsent(2), Some("b"));
    play.account.handle_lost(2);
    play.note("lost".into()).lines.drain(..2);
    play.reads(
        "0 s ready --> <message to='al@y.com'/>#1
         0 s order b --> <message to='al@y.com'/>#2
         0 s lost",
    );
}

#[test]
fn no_more_orders_wait_than_may() {
    let mut play = Play::new();
    for waiter in ["a", "b", "c"] {
        play.writes(waiter, "al@y.com");
    }
    play.lines.clear();
    play.writes("d", "al@y.com").reads("0 s order d failed(d ErrStoreJmsg sip:there)");
}

#[test]
fn silence_ends_the_stream_and_traffic_puts_it_off() {
    let mut play = Play::online();
    play.at(500).hears("<message from='al@y.com/r'><body>hi</body></message>");
    play.at(600).waits().at(1100).waits();
    play.reads(
        "
        500 s message taken deliver(sip:al*y.com@jabber.x.com hi)
        600 s time
        1100 s time --> <presence type='unavailable'/> disconnect notice(InfJoffline )
        ",
    );
    assert!(play.account.is_over());
}

#[test]
fn xep_0352_the_server_knows_whether_the_user_is_there() {
    let mut play = Play { shows_activity: true, ..Play::new() };
    play.wants("on", Wish::Online, "").ready(false);
    play.at(10).writes("a", "al@y.com").at(40).writes("b", "al@y.com");
    play.at(70).waits().at(100).waits();
    play.at(200).wants("on", Wish::Online, "").at(300).ready(true);
    play.account.handle_broken();
    play.at(310).writes("c", "al@y.com").ready(true).at(370).waits();
    play.reads(
        "
        0 s order on    connect
        0 s ready       inactive done(on)
        10 s order a    active --> <message to='al@y.com'/>#1
        40 s order b    --> <message to='al@y.com'/>#2
        70 s time
        100 s time      inactive
        200 s order on  done(on)
        300 s ready     inactive
        310 s order c
        310 s ready     --> <message to='al@y.com'/>#3
        370 s time      inactive
        ",
    );
}

#[test]
fn who_is_not_online_cannot_go() {
    let mut play = Play::new();
    play.wants("off", Wish::Offline, "").wants("exit", Wish::Exit { room: room() }, "sip:room");
    play.reads(
        "0 s order off failed(off InfDisconnected )
         0 s order exit failed(exit InfDisconnected sip:room)",
    );
    let mut play = Play::joined();
    play.wants("off", Wish::Offline, "");
    play.reads(
        "0 s order off done(off)
         --> <presence to='chatting@conference.x.com/bob' type='unavailable'/>
         --> <presence type='unavailable'/> disconnect notice(InfJoffline )",
    );
}

#[test]
fn a_message_that_the_stream_lost_is_told() {
    let mut play = Play::online();
    play.writes("a", "al@y.com");
    play.account.handle_broken();
    play.account.handle_lost(1);
    play.note("lost".into()).writes("b", "al@y.com").lines.remove(0);
    play.reads("0 s lost failed(a ErrSendJmsg sip:there) 0 s order b");
}

#[test]
fn a_room_is_joined_spoken_in_and_left() {
    let mut play = Play::online();
    play.joins().hears("<presence from='chatting@conference.x.com/al'/>");
    let say = Wish::Say { room: room(), stanza: stanza("chatting@conference.x.com") };
    play.wants("early", say, "sip:room");
    play.hears("<presence from='chatting@conference.x.com/bob'/>");
    let said = |nick: &str| {
        format!(
            "<message type='groupchat' from='chatting@conference.x.com/{nick}'>\
             <body>hi</body></message>"
        )
    };
    play.hears(&said("al")).hears(&said("bob"));
    play.wants("exit", Wish::Exit { room: room() }, "sip:room").hears(&said("al"));
    play.reads(
        "
        0 s order join  --> <presence to='chatting@conference.x.com/bob'>
                            <x xmlns='http://jabber.org/protocol/muc'/></presence>
        0 s presence taken
        0 s order early
        0 s presence taken done(join) --> <message to='chatting@conference.x.com'/>#1
        0 s message taken deliver(sip:room [al] hi)
        0 s message taken
        0 s order exit --> <presence to='chatting@conference.x.com/bob' type='unavailable'/>
                       done(exit) notice(InfJconfExit sip:room)
        0 s message taken
        ",
    );
}

/// XEP-0045 §10.1.2: a room of Prosody's or ejabberd's stays locked until its owner says something.
#[test]
fn a_room_that_is_new_is_taken_as_it_is() {
    let mut play = Play::online();
    play.joins().lines.clear();
    play.hears(
        "<presence from='chatting@conference.x.com/bob'><x \
         xmlns='http://jabber.org/protocol/muc#user'><status code='201'/></x></presence>",
    );
    play.hears("<iq type='result' id='sipjab-room' from='chatting@conference.x.com'/>");
    play.reads(
        "0 s presence taken
         --> <iq type='set' to='chatting@conference.x.com' id='sipjab-room'>
         <query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data'
         type='submit'/></query></iq>
         0 s iq taken done(join)",
    );
}

#[test]
fn a_room_says_why_it_lets_nobody_in() {
    let refused = |condition: &str| {
        let mut play = Play::online();
        play.joins().hears(&format!(
            "<presence type='error' from='chatting@conference.x.com/bob'><error type='auth'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
        ));
        play.lines.pop().unwrap()
    };
    assert!(refused("conflict").ends_with("failed(join ErrJconfNick sip:room)"));
    assert!(refused("registration-required").ends_with("failed(join ErrJconfRefused sip:room)"));
    let mut play = Play::online();
    play.joins().at(90).waits();
    assert!(play.lines.pop().unwrap().ends_with("failed(join ErrJoinJconf sip:room)"));
}

#[test]
fn who_has_not_joined_cannot_speak_and_rooms_have_a_bound() {
    let mut play = Play::online();
    let say = Wish::Say { room: room(), stanza: stanza("chatting@conference.x.com") };
    play.wants("say", say, "sip:room").joins();
    let wish = Wish::Join { room: jid::parse("more@c.x").unwrap(), nick: "bob".into() };
    play.wants("more", wish, "sip:more").lines.remove(1);
    play.reads(
        "0 s order say failed(say ErrNotJconf sip:room)
         0 s order more failed(more ErrNewJconf sip:more)",
    );
}

#[test]
fn rooms_are_joined_again_without_their_history_on_a_new_stream_only() {
    let mut play = Play::joined();
    play.account.handle_broken();
    play.ready(true);
    play.account.handle_broken();
    play.ready(false);
    play.reads(
        "0 s ready
         0 s ready --> <presence to='chatting@conference.x.com/bob'>
         <x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>",
    );
}

#[test]
fn a_transport_is_waited_for_when_the_user_is_registered_with_it() {
    let mut play = Play::online();
    play.writes("a", "123@icq.x.com").hears(
        "<iq type='result'><query xmlns='jabber:iq:roster'><item jid='icq.x.com'/></query></iq>",
    );
    play.writes("b", "al%h.com@msn.x.com").hears("<presence from='icq.x.com/reg'/>");
    play.at(1).hears("<presence from='icq.x.com' type='unavailable'/>").writes("c", "1@icq.x.com");
    play.at(91).waits();
    play.reads(
        "
        0 s order a
        0 s iq taken
        0 s order b failed(b ErrNoRegim sip:there)
        0 s presence taken --> <message to='123@icq.x.com'/>#1
        1 s presence taken
        1 s order c
        91 s time failed(c ErrSendIm sip:there)
        ",
    );
}

#[test]
fn errors_come_back_with_the_words_of_ser() {
    let mut play = Play::online();
    play.hears(
        "<message type='error' from='al@y.com'><body>hi</body><error type='cancel' code='404'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    play.reads(
        "0 s message taken deliver(sip:al*y.com@jabber.x.com {Error (404 - item-not-found) when
         trying to send following message}hi)",
    );
}

fn carbon(from: &str, name: &str) -> String {
    format!(
        "<message from='{from}'><{name} xmlns='urn:xmpp:carbons:2'><forwarded \
         xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='joe@x.com/phone' \
         to='al@y.com'><body>hi</body></message></forwarded></{name}></message>"
    )
}

#[test]
fn what_was_written_elsewhere_is_seen_here_too_but_only_from_our_own_account() {
    let mut play = Play::online();
    play.hears(&carbon("joe@x.com", "sent")).hears(&carbon("evil@y.com", "sent"));
    play.reads(
        "0 s message taken deliver(sip:al*y.com@jabber.x.com [joe] hi)
         0 s message taken",
    );
}

#[test]
fn who_asks_for_presence_gets_it_as_in_ser_and_questions_are_left() {
    let mut play = Play::online();
    play.hears("<presence type='subscribe' from='al@y.com'/>");
    play.hears("<iq type='get' id='1' from='al@y.com/r'><ping xmlns='urn:xmpp:ping'/></iq>");
    play.reads(
        "0 s presence taken --> <presence type='subscribed' to='al@y.com'/>
         0 s iq left",
    );
}

/// What was written before the user said that he goes is not left behind.
#[test]
fn who_goes_offline_goes_when_all_is_written_that_he_wrote_before() {
    let mut play = Play::online();
    play.writes("a", "al@y.com").wants("off", Wish::Offline, "");
    play.account.handle_acked(1);
    play.at(1).note("acked".into());
    play.reads(
        "
        0 s order a     --> <message to='al@y.com'/>#1
        0 s order off   done(off)
        1 s acked       done(a) --> <presence type='unavailable'/> disconnect notice(InfJoffline )
        ",
    );
}

#[test]
fn what_waits_for_a_server_that_is_away_is_written_before_its_user_goes() {
    let mut play = Play::online();
    play.account.handle_broken();
    play.writes("a", "al@y.com").wants("off", Wish::Offline, "").at(60).ready(false);
    play.account.handle_acked(1);
    play.at(61).note("acked".into());
    play.reads(
        "
        0 s order a
        0 s order off   done(off)
        60 s ready      --> <message to='al@y.com'/>#1
        61 s acked      done(a) --> <presence type='unavailable'/> disconnect notice(InfJoffline )
        ",
    );
}

#[test]
fn what_waits_in_vain_is_told_before_its_user_goes() {
    let mut play = Play::online();
    play.account.handle_broken();
    play.writes("a", "al@y.com").wants("off", Wish::Offline, "").at(90).waits();
    play.reads(
        "
        0 s order a
        0 s order off   done(off)
        90 s time       failed(a ErrNoJsrv sip:there) disconnect notice(InfJoffline )
        ",
    );
}

#[test]
fn who_changes_his_mind_stays() {
    let mut play = Play::online();
    play.writes("a", "al@y.com").wants("off", Wish::Offline, "");
    play.account.stay_online();
    play.account.handle_acked(1);
    play.note("acked".into());
    assert!(play.account.is_on());
}
