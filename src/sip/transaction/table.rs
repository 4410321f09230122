//! The live transactions of one worker with their timers: finds one by what a message carries,
//! lets it take its step and tells what is left to do.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;

use super::{
    Branch, BranchMint, Client, ClientInput, Event, InviteClient, InviteClientInput, InviteServer,
    KeyHasher, Output, Outputs, Patience, Refused, Server, ServerInput, ServerKey, Timer, TimerId,
    Timings, Wheel,
};
use crate::sip::Message;

/// The transaction that something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The server transaction with this key.
    Server(ServerKey),
    /// The client transaction with this branch.
    Client(Branch),
}

/// What is left to do after a transaction took a step, in this order.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Step<U> {
    /// Bytes for the transport.
    pub send: Option<Bytes>,
    /// The CANCEL for an INVITE, for [`Table::open_client`] with [`Branch::of_cancel`]; it goes where the INVITE went.
    pub cancel: Option<Bytes>,
    /// News for the user.
    pub event: Option<Event>,
    /// What the user had attached, given back because the transaction is over.
    pub over: Option<U>,
}

/// A step of a transaction whose timer fired.
#[derive(Debug, PartialEq, Eq)]
pub enum Fired<S, C> {
    /// Of a server transaction.
    Server(ServerKey, Step<S>),
    /// Of a client transaction.
    Client(Branch, Step<C>),
}

/// The table holds as many transactions as it may; a request is answered 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many transactions")]
pub struct Full;

/// The transactions of one worker. `S` and `C` are what its user attaches to each server and
/// client transaction: where to send, whom to tell.
#[derive(Debug)]
pub struct Table<S, C> {
    servers: Entries<ServerKey, ServerMachine, S>,
    clients: Entries<Branch, ClientMachine, C>,
    wheel: Wheel<(Owner, Timer)>,
    /// The timers that fired in one call, kept for its room.
    due: Vec<(Owner, Timer)>,
    mint: BranchMint,
    worker: u16,
    /// The number of the next branch.
    serial: u64,
    timings: Timings,
    limit: usize,
}

/// Entries lie in boxes, so that the map moves little when it grows.
type Entries<K, M, U> = HashMap<K, Box<Entry<M, U>>, BuildHasherDefault<KeyHasher>>;

/// What serves an INVITE lies in a box of its own, so that the other, which is far more frequent, stays small.
#[derive(Debug)]
enum ServerMachine {
    NonInvite(Server),
    Invite(Box<InviteServer>),
}

/// The same on the other side.
#[derive(Debug)]
enum ClientMachine {
    NonInvite(Client),
    Invite(Box<InviteClient>),
}

#[derive(Debug)]
struct Entry<M, U> {
    machine: M,
    timers: [Option<TimerId>; Timer::COUNT],
    user: U,
}

impl<S, C> Table<S, C> {
    /// An empty table for at most `limit` transactions, whose branches lead back to `worker`.
    pub fn new(
        now: Instant,
        worker: u16,
        mint: BranchMint,
        timings: Timings,
        limit: usize,
    ) -> Self {
        Self {
            servers: HashMap::default(),
            clients: HashMap::default(),
            wheel: Wheel::new(now),
            due: Vec::new(),
            mint,
            worker,
            serial: 0,
            timings,
            limit,
        }
    }

    /// How many transactions live.
    pub fn len(&self) -> usize {
        self.servers.len() + self.clients.len()
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is attached to a server transaction, if it lives.
    pub fn server(&self, key: &ServerKey) -> Option<&S> {
        self.servers.get(key).map(|entry| &entry.user)
    }

    /// The same, to change it.
    pub fn server_mut(&mut self, key: &ServerKey) -> Option<&mut S> {
        self.servers.get_mut(key).map(|entry| &mut entry.user)
    }

    /// What is attached to a client transaction, if it lives.
    pub fn client(&self, branch: &Branch) -> Option<&C> {
        self.clients.get(branch).map(|entry| &entry.user)
    }

    /// The same, to change it.
    pub fn client_mut(&mut self, branch: &Branch) -> Option<&mut C> {
        self.clients.get_mut(branch).map(|entry| &mut entry.user)
    }

    /// A branch that no request had before, for a request to be built with.
    pub fn next_branch(&mut self) -> Branch {
        let branch = self.mint.mint(self.worker, self.serial);
        self.serial += 1;
        branch
    }

    /// Begins a transaction for a request other than INVITE that has none yet. A key that lives begins anew.
    pub fn open_server(
        &mut self,
        now: Instant,
        key: ServerKey,
        is_reliable: bool,
        user: S,
    ) -> Result<(), Full> {
        let (machine, outputs) = Server::new(now, is_reliable, self.timings);
        self.insert_server(key, ServerMachine::NonInvite(machine), outputs, user)
    }

    /// Begins a transaction for an INVITE that has none yet. A key that lives begins anew.
    ///
    /// It lives until the user gives it a final response.
    pub fn open_invite_server(
        &mut self,
        now: Instant,
        key: ServerKey,
        is_reliable: bool,
        user: S,
    ) -> Result<(), Full> {
        let (machine, outputs) = InviteServer::new(now, is_reliable, self.timings);
        self.insert_server(key, ServerMachine::Invite(Box::new(machine)), outputs, user)
    }

    /// Begins a transaction for a request of ours other than INVITE, which `request` is the whole of.
    ///
    /// `branch` comes from [`next_branch`](Self::next_branch) and is the one in its topmost Via. For a CANCEL
    /// it is [`Branch::of_cancel`] of its INVITE's; there is room for one in a full table, too.
    /// Without `patience` it waits 64·T1 for its final response.
    pub fn open_client(
        &mut self,
        now: Instant,
        branch: Branch,
        request: Bytes,
        is_reliable: bool,
        patience: Option<Duration>,
        user: C,
    ) -> Result<Step<C>, Full> {
        let (machine, outputs) = Client::new(now, request, is_reliable, self.timings, patience);
        self.insert_client(branch, ClientMachine::NonInvite(machine), outputs, user)
    }

    /// Begins a transaction for an INVITE of ours, which `request` is the whole of.
    ///
    /// `branch` comes from [`next_branch`](Self::next_branch) and is the one in its topmost Via.
    /// Without `patience` it waits as long as the table's timings say.
    pub fn open_invite_client(
        &mut self,
        now: Instant,
        branch: Branch,
        request: Bytes,
        is_reliable: bool,
        patience: Option<Patience>,
        user: C,
    ) -> Result<Step<C>, Full> {
        let patience = patience.unwrap_or(self.timings.invite_patience());
        let (machine, outputs) =
            InviteClient::new(now, request, is_reliable, self.timings, patience);
        self.insert_client(branch, ClientMachine::Invite(Box::new(machine)), outputs, user)
    }

    /// Takes a request that arrived again, its ACK, or a transport error. `None` if there is no such
    /// transaction: the request is new, or the ACK is for a 2xx.
    pub fn handle_server(
        &mut self,
        now: Instant,
        key: &ServerKey,
        input: ServerInput,
    ) -> Option<Step<S>> {
        let outputs = self.servers.get_mut(key)?.machine.handle(now, input);
        self.finish_server(key, outputs)
    }

    /// Takes a response. `None` if there is no such transaction: the response is a stray one.
    ///
    /// `branch` comes from [`BranchMint::of_response`].
    pub fn handle_response(
        &mut self,
        now: Instant,
        branch: &Branch,
        response: &Message,
    ) -> Option<Step<C>> {
        let code = response.status()?;
        let outputs = match &mut self.clients.get_mut(branch)?.machine {
            ClientMachine::NonInvite(client) => client.handle(now, ClientInput::Response(code)),
            ClientMachine::Invite(client) => {
                client.handle(now, InviteClientInput::Response(code, response))
            }
        };
        self.finish_client(branch, outputs)
    }

    /// Takes the news that the transport failed. `None` if there is no such transaction.
    pub fn handle_client_error(&mut self, now: Instant, branch: &Branch) -> Option<Step<C>> {
        let outputs = match &mut self.clients.get_mut(branch)?.machine {
            ClientMachine::NonInvite(client) => client.handle(now, ClientInput::TransportError),
            ClientMachine::Invite(client) => client.handle(now, InviteClientInput::TransportError),
        };
        self.finish_client(branch, outputs)
    }

    /// Cancels an INVITE of ours: its CANCEL is in the step, or in that of its first provisional response.
    ///
    /// Nothing is left to do for a request that has its final response or is no INVITE (RFC 3261 §9.1). The
    /// transaction ends by its final response, which goes up as ever, or after 64·T1 by [`Event::Timeout`].
    /// `None` if there is no such transaction.
    pub fn cancel(&mut self, now: Instant, branch: &Branch) -> Option<Step<C>> {
        let outputs = match &mut self.clients.get_mut(branch)?.machine {
            ClientMachine::NonInvite(_) => Outputs::new(),
            ClientMachine::Invite(client) => client.handle(now, InviteClientInput::Cancel),
        };
        self.finish_client(branch, outputs)
    }

    /// Sends the user's response, or says why it must not be sent.
    pub fn respond(
        &mut self,
        now: Instant,
        key: &ServerKey,
        code: u16,
        response: Bytes,
    ) -> Result<Step<S>, Refused> {
        let entry = self.servers.get_mut(key).ok_or(Refused::Over)?;
        let outputs = entry.machine.respond(now, code, response)?;
        self.finish_server(key, outputs).ok_or(Refused::Over)
    }

    /// When [`advance`](Self::advance) should be called next; `None` with no timer set.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// Lets the timers that are due fire, and puts what is left to do behind `fired`.
    pub fn advance(&mut self, now: Instant, fired: &mut Vec<Fired<S, C>>) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now, &mut due);
        for (owner, timer) in due.drain(..) {
            fired.extend(self.fire(now, owner, timer));
        }
        self.due = due;
    }

    fn fire(&mut self, now: Instant, owner: Owner, timer: Timer) -> Option<Fired<S, C>> {
        match owner {
            Owner::Server(key) => {
                let entry = self.servers.get_mut(&key)?;
                entry.timers[timer.index()] = None;
                let step = self.handle_server(now, &key, ServerInput::Timer(timer))?;
                Some(Fired::Server(key, step))
            }
            Owner::Client(branch) => {
                let entry = self.clients.get_mut(&branch)?;
                entry.timers[timer.index()] = None;
                let outputs = match &mut entry.machine {
                    ClientMachine::NonInvite(client) => {
                        client.handle(now, ClientInput::Timer(timer))
                    }
                    ClientMachine::Invite(client) => {
                        client.handle(now, InviteClientInput::Timer(timer))
                    }
                };
                let step = self.finish_client(&branch, outputs)?;
                Some(Fired::Client(branch, step))
            }
        }
    }

    /// Destroys a server transaction without an answer, and gives back what was attached.
    pub fn forget_server(&mut self, key: &ServerKey) -> Option<S> {
        self.take_server(key)
    }

    /// The durations that its transactions follow.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    fn insert_server(
        &mut self,
        key: ServerKey,
        machine: ServerMachine,
        outputs: Outputs,
        user: S,
    ) -> Result<(), Full> {
        self.make_room()?;
        self.take_server(&key);
        let mut entry = Entry::new(machine, user);
        entry.carry_out(Owner::Server(key), outputs, &mut self.wheel);
        self.servers.insert(key, Box::new(entry));
        Ok(())
    }

    fn insert_client(
        &mut self,
        branch: Branch,
        machine: ClientMachine,
        outputs: Outputs,
        user: C,
    ) -> Result<Step<C>, Full> {
        if !branch.is_cancel() {
            self.make_room()?;
        }
        let mut entry = Entry::new(machine, user);
        let done = entry.carry_out(Owner::Client(branch), outputs, &mut self.wheel);
        self.clients.insert(branch, Box::new(entry));
        Ok(done.into_step(None))
    }

    fn finish_server(&mut self, key: &ServerKey, outputs: Outputs) -> Option<Step<S>> {
        let entry = self.servers.get_mut(key)?;
        let done = entry.carry_out(Owner::Server(*key), outputs, &mut self.wheel);
        let over = if done.is_over { self.take_server(key) } else { None };
        Some(done.into_step(over))
    }

    fn finish_client(&mut self, branch: &Branch, outputs: Outputs) -> Option<Step<C>> {
        let entry = self.clients.get_mut(branch)?;
        let done = entry.carry_out(Owner::Client(*branch), outputs, &mut self.wheel);
        let over = if done.is_over {
            self.clients.remove(branch).map(|entry| entry.dissolve(&mut self.wheel))
        } else {
            None
        };
        Some(done.into_step(over))
    }

    fn take_server(&mut self, key: &ServerKey) -> Option<S> {
        self.servers.remove(key).map(|entry| entry.dissolve(&mut self.wheel))
    }

    fn make_room(&self) -> Result<(), Full> {
        if self.len() < self.limit { Ok(()) } else { Err(Full) }
    }
}

/// What a transaction's outputs come to, once its timers are set.
#[derive(Default)]
struct Done {
    send: Option<Bytes>,
    cancel: Option<Bytes>,
    event: Option<Event>,
    is_over: bool,
}

impl Done {
    fn into_step<U>(self, over: Option<U>) -> Step<U> {
        Step { send: self.send, cancel: self.cancel, event: self.event, over }
    }
}

impl ServerMachine {
    fn handle(&mut self, now: Instant, input: ServerInput) -> Outputs {
        match self {
            Self::NonInvite(server) => server.handle(input),
            Self::Invite(server) => server.handle(now, input),
        }
    }

    fn respond(&mut self, now: Instant, code: u16, response: Bytes) -> Result<Outputs, Refused> {
        match self {
            Self::NonInvite(server) => server.respond(now, code, response),
            Self::Invite(server) => server.respond(now, code, response),
        }
    }
}

impl<M, U> Entry<M, U> {
    fn new(machine: M, user: U) -> Self {
        Self { machine, timers: [None; Timer::COUNT], user }
    }

    /// Sets and stops timers and collects the rest; no step sends or tells more than one thing.
    fn carry_out(
        &mut self,
        owner: Owner,
        outputs: Outputs,
        wheel: &mut Wheel<(Owner, Timer)>,
    ) -> Done {
        let mut done = Done::default();
        for output in outputs {
            match output {
                Output::Send(bytes) => done.send = Some(bytes),
                Output::Cancel(bytes) => done.cancel = Some(bytes),
                Output::ToUser(event) => done.event = Some(event),
                Output::Terminated => done.is_over = true,
                Output::CancelTimer(timer) => {
                    self.timers[timer.index()].take().map(|id| wheel.cancel(id));
                }
                Output::SetTimer(timer, deadline) => {
                    let id = match timer.is_only_an_end() {
                        true => wheel.insert_late(deadline, (owner, timer)),
                        false => wheel.insert(deadline, (owner, timer)),
                    };
                    self.timers[timer.index()].replace(id).map(|old| wheel.cancel(old));
                }
            }
        }
        done
    }

    /// Stops all timers and gives back what was attached.
    fn dissolve(self, wheel: &mut Wheel<(Owner, Timer)>) -> U {
        for timer in self.timers.into_iter().flatten() {
            wheel.cancel(timer);
        }
        self.user
    }
}

#[cfg(test)]
mod tests;
