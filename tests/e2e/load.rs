//! Many MESSAGEs at once: at a rate, or as many in flight as a window allows.

use std::collections::HashMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::sip::{Message, Outgoing};
use crate::sip_agent::{Agent, T1};

/// When the next message may leave.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// So many per second.
    Rate(u32),
    /// When fewer than so many are unanswered.
    Window(usize),
}

/// How the messages leave.
#[derive(Clone, Copy)]
pub(crate) enum Link<'a> {
    Udp(SocketAddr),
    Tcp(&'a TcpStream),
}

/// What became of one message.
pub(crate) struct Fate {
    /// When it was sent first.
    pub(crate) sent: Instant,
    /// The final response.
    pub(crate) answer: Option<Message>,
    repeated: Instant,
}

/// Sends `messages` in order and collects what became of each; `before` is told each index as its
/// message is about to leave. Ends when all are answered, or `patience` after the last one left.
pub(crate) fn deliver(
    agent: &mut Agent,
    link: Link,
    pace: Pace,
    patience: Duration,
    messages: &[Outgoing],
    mut before: impl FnMut(usize),
) -> Vec<Fate> {
    let branches = messages.iter().enumerate().map(|(index, message)| (&*message.branch, index));
    let index_of: HashMap<&str, usize> = branches.collect();
    let mut fates: Vec<Fate> = Vec::with_capacity(messages.len());
    let mut answered = 0;
    let mut next_slot = Instant::now();
    let mut last_sweep = next_slot;
    let mut deadline = next_slot + patience;
    while answered < messages.len() && Instant::now() < deadline {
        let now = Instant::now();
        let may_send = fates.len() < messages.len()
            && match pace {
                Pace::Rate(_) => now >= next_slot,
                Pace::Window(window) => fates.len() - answered < window,
            };
        if may_send {
            before(fates.len());
            send(agent, link, &messages[fates.len()]);
            let sent = Instant::now();
            fates.push(Fate { sent, answer: None, repeated: sent });
            deadline = sent + patience;
            if let Pace::Rate(rate) = pace {
                next_slot += Duration::from_secs(1) / rate;
            }
            continue;
        }
        let slot = next_slot.saturating_duration_since(now);
        let wait = if slot.is_zero() { Duration::from_millis(50) } else { slot };
        if let Some((message, _)) = agent.next(wait)
            && message.status() >= 200
            && let Some(&index) = index_of.get(message.branch())
            && fates[index].answer.replace(message).is_none()
        {
            answered += 1;
        }
        if now - last_sweep > T1 / 5 {
            last_sweep = now;
            repeat_unanswered(agent, link, messages, &mut fates);
        }
    }
    fates
}

/// RFC 3261 §17.1.2.2: over UDP what is not answered is sent again.
fn repeat_unanswered(agent: &Agent, link: Link, messages: &[Outgoing], fates: &mut [Fate]) {
    if matches!(link, Link::Tcp(_)) {
        return;
    }
    let now = Instant::now();
    for (message, fate) in messages.iter().zip(fates) {
        if fate.answer.is_none() && now - fate.repeated > T1 {
            fate.repeated = now;
            send(agent, link, message);
        }
    }
}

fn send(agent: &Agent, link: Link, message: &Outgoing) {
    match link {
        Link::Udp(to) => agent.send_udp(&message.to_bytes("UDP", agent.local), to),
        Link::Tcp(mut stream) => {
            stream.write_all(&message.to_bytes("TCP", agent.local)).expect("sipjab reads");
        }
    }
}
