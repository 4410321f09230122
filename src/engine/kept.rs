//! What a request takes along from one of its routes to the next.

use std::collections::BTreeMap;

use rhai::{Dynamic, ImmutableString};

use super::record_route::Recording;
use crate::script::export::Kind;
use crate::script::route::{Authentication, Listener, Route};
use crate::sip::proxy::loose_route::Followed;
use crate::sip::proxy::record_route::RecordRoute;
use crate::sip::transport::Source;

/// What the routes of a request have left behind, so that the next one finds it.
pub(super) struct Kept {
    original_uri: ImmutableString,
    pub(super) flags: u32,
    variables: BTreeMap<ImmutableString, Dynamic>,
    reply_headers: Vec<(ImmutableString, ImmutableString)>,
    record_route: Option<RecordRoute>,
    record_route_params: String,
    followed: Option<Followed>,
    send_socket: Option<Listener>,
    authentication: Option<Authentication>,
}

impl Kept {
    /// What a route has said until now.
    pub(super) fn of(route: &Route) -> Self {
        Self {
            original_uri: route.original_uri.clone(),
            flags: route.flags,
            variables: route.variables.clone(),
            reply_headers: route.reply_headers.clone(),
            record_route: route.record_route.clone(),
            record_route_params: route.record_route_params.clone(),
            followed: route.followed.clone(),
            send_socket: route.send_socket,
            authentication: route.authentication.clone(),
        }
    }

    /// Takes what a later route leaves behind. How a copy leaves is said by a `branch_route` for its copy alone.
    pub(super) fn update(&mut self, route: &Route) {
        self.flags = route.flags;
        if !(self.variables.is_empty() && route.variables.is_empty()) {
            self.variables.clone_from(&route.variables);
        }
        // A branch_route may have added others while this route has waited for it.
        for header in &route.reply_headers {
            if !self.reply_headers.contains(header) {
                self.reply_headers.push(header.clone());
            }
        }
        if matches!(route.kind, Kind::Request | Kind::Failure) {
            self.record_route.clone_from(&route.record_route);
            self.record_route_params.clone_from(&route.record_route_params);
            self.followed.clone_from(&route.followed);
            self.send_socket = route.send_socket;
            self.authentication.clone_from(&route.authentication);
        }
    }

    /// Gives it to a route that begins.
    pub(super) fn lend(&self, route: &mut Route) {
        route.original_uri = self.original_uri.clone();
        route.flags = self.flags;
        route.noted_flags.set(self.flags);
        route.variables.clone_from(&self.variables);
        route.reply_headers.clone_from(&self.reply_headers);
        route.record_route.clone_from(&self.record_route);
        route.record_route_params.clone_from(&self.record_route_params);
        route.followed.clone_from(&self.followed);
        route.send_socket = self.send_socket;
        route.authentication.clone_from(&self.authentication);
    }

    /// Whether the Route of the request is done with.
    pub(super) fn is_followed(&self) -> bool {
        self.followed.is_some()
    }

    /// What Record-Route shall say on a copy of a request from `source`.
    pub(super) fn recording(&self, source: Source) -> Option<Recording> {
        Recording::wished(&self.record_route, source)
    }

    /// The listener that copies leave from.
    pub(super) fn send_socket(&self) -> Option<Listener> {
        self.send_socket
    }

    /// The headers of our own replies.
    pub(super) fn reply_headers(&self) -> Vec<(ImmutableString, ImmutableString)> {
        self.reply_headers.clone()
    }
}
