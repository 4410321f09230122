//! §16.7 to §16.10: what responses, timer C, transport errors and CANCEL do to a response context.

use sipjab::sip::proxy::{Action, Actions, Best, BranchOutcome, ResponseContext};
use sipjab::sip::transaction::{BranchMint, Event, InviteClientState, Timer};
use sipjab::sip::{HeaderId, Message};

use super::clockwork::{BOTH, Clockwork, message, response};

/// A request with so many branches.
fn context(is_invite: bool, branches: usize) -> ResponseContext {
    let mut context = ResponseContext::new(is_invite);
    (0..branches).for_each(|_| _ = context.add());
    context
}

fn hears(context: &mut ResponseContext, branch: usize, code: u16) -> Actions {
    context.handle_response(branch, &response(code))
}

/// The status that goes upstream as the best, and whether a branch has received it.
fn best(context: &ResponseContext) -> (u16, bool) {
    match context.best().unwrap() {
        Best::Received(_, status) => (status, true),
        Best::Own(status) => (status, false),
    }
}

/// RFC 6026 §6: a response is compared with the transactions that there are.
#[test]
fn rfc6026_6_a_response_is_compared_with_our_transactions() {
    let mint = BranchMint::new();
    let heard = |branch: &str| {
        let via = format!("Via: SIP/2.0/UDP us.example;branch={branch}\r\n");
        mint.of_response(&message(&format!("SIP/2.0 200 OK\r\n{via}CSeq: 1 INVITE\r\n\r\n")))
    };
    let branch = mint.mint(0, 7);
    assert_eq!(heard(&branch.to_string()), Some(branch));
    assert_eq!(heard("z9hG4bKtheirs"), None);
    assert_eq!(heard(&BranchMint::new().mint(0, 7).to_string()), None, "of another proxy");
}

/// Step 2: 101 to 199 reset timer C, 100 does not.
#[test]
fn s16_7_2_a_provisional_response_resets_timer_c() {
    let mut call = Clockwork::invite(false);
    let first = call.hears(100).due(Timer::C).unwrap();
    assert_eq!(call.at(50_000).hears(100).due(Timer::C), Some(first));
    for code in [101, 180, 199] {
        let before = call.due(Timer::C).unwrap();
        let after = call.at(before - 1).hears(code).due(Timer::C).unwrap();
        assert!(after > before, "{code}");
    }
}

/// Step 2: it is reset to more than 3 minutes.
#[test]
fn s16_7_2_timer_c_is_reset_to_more_than_3_minutes() {
    let mut call = Clockwork::invite(false);
    let due = call.hears(180).at(60_000).hears(180).due(Timer::C).unwrap();
    assert!(due - 60_000 > 180_000, "{due}");
}

/// Step 5: before a final response went upstream, 101 to 199 and any 2xx go there at once.
#[test]
fn s16_7_5_provisional_and_2xx_responses_are_forwarded_at_once() {
    for code in [101, 180, 183, 199, 200, 202, 299] {
        assert_eq!(hears(&mut context(true, 2), 0, code)[0], Action::Forward, "{code}");
    }
}

/// Step 5: a 6xx is not forwarded at once.
#[test]
fn s16_7_5_a_6xx_waits_for_the_other_branches() {
    let actions = hears(&mut context(true, 2), 0, 603);
    assert_eq!(actions[..], [Action::Cancel(1)]);
}

/// Step 5: after a 6xx there are no new branches.
#[test]
fn s16_7_5_after_a_6xx_no_branch_is_made() {
    let mut call = context(true, 2);
    assert!(call.may_grow());
    hears(&mut call, 0, 603);
    assert!(!call.may_grow());
}

/// Step 5: after a final response went upstream, any 2xx to an INVITE does so, too.
#[test]
fn s16_7_5_after_a_final_response_a_2xx_to_an_invite_is_forwarded() {
    let mut call = context(true, 3);
    hears(&mut call, 0, 200);
    for branch in [1, 0, 2] {
        assert!(hears(&mut call, branch, 200).contains(&Action::Forward), "{branch}");
    }
    let mut refused = context(true, 1);
    hears(&mut refused, 0, 486);
    refused.handle_answer();
    assert_eq!(hears(&mut refused, 0, 200)[..], [Action::Forward]);
}

/// Step 5: no other response is forwarded at once.
#[test]
fn s16_7_5_other_responses_are_not_forwarded_at_once() {
    for code in [100, 300, 302, 401, 404, 486, 500, 503, 600] {
        assert!(!hears(&mut context(true, 2), 0, code).contains(&Action::Forward), "{code}");
    }
    let mut answered = context(true, 2);
    hears(&mut answered, 0, 200);
    for code in [180, 404, 603] {
        assert!(!hears(&mut answered, 1, code).contains(&Action::Forward), "{code} after a 2xx");
    }
}

/// Step 5: a 100 is never forwarded.
#[test]
fn s16_7_5_a_100_is_never_forwarded() {
    for is_invite in BOTH {
        assert_eq!(hears(&mut context(is_invite, 1), 0, 100)[..], []);
    }
}

/// RFC 4320 §4.1: to a request other than INVITE no provisional response is forwarded.
#[test]
fn rfc4320_4_1_no_provisional_response_to_a_non_invite_is_forwarded() {
    for code in [100, 180, 183, 199] {
        assert_eq!(hears(&mut context(false, 1), 0, code)[..], [], "{code}");
    }
}

/// Step 6: when all branches are over and nothing final went upstream, a final response does.
#[test]
fn s16_7_6_the_end_of_all_branches_has_a_final_response() {
    let mut call = context(true, 3);
    assert_eq!(hears(&mut call, 0, 486)[..], []);
    assert_eq!(call.handle_outcome(1, BranchOutcome::Unreachable)[..], []);
    assert_eq!(hears(&mut call, 2, 404)[..], [Action::Exhausted]);
    assert!(call.best().is_some());
}

/// Step 6: it is the best of those received.
#[test]
fn s16_7_6_the_best_response_is_chosen() {
    for (codes, chosen) in [
        ([404, 302, 500], 302),
        ([500, 486, 501], 486),
        ([486, 401, 404], 401),
        ([408, 480, 503], 480),
        ([503, 500, 503], 500),
    ] {
        let mut call = context(true, 3);
        codes.iter().enumerate().for_each(|(branch, code)| _ = hears(&mut call, branch, *code));
        assert_eq!(best(&call), (chosen, true), "{codes:?}");
    }
}

/// Step 6: without any final response it is 408.
#[test]
fn s16_7_6_without_a_final_response_it_is_408() {
    let mut call = context(true, 2);
    hears(&mut call, 0, 180);
    call.handle_outcome(0, BranchOutcome::Timeout);
    call.handle_outcome(1, BranchOutcome::Timeout);
    assert_eq!(best(&call), (408, false));
}

/// Step 6: otherwise it is one of those stored.
#[test]
fn s16_7_6_otherwise_it_is_one_that_was_received() {
    let mut call = context(true, 2);
    call.handle_outcome(0, BranchOutcome::Timeout);
    hears(&mut call, 1, 486);
    assert_eq!(best(&call), (486, true));
}

/// Step 6: a 6xx goes before all others.
#[test]
fn s16_7_6_a_6xx_is_chosen_if_there_is_one() {
    for other in [300, 401, 404, 500] {
        let mut call = context(true, 2);
        hears(&mut call, 0, other);
        hears(&mut call, 1, 606);
        assert_eq!(best(&call), (606, true), "{other}");
    }
}

/// Step 7: a 401 or 407 carries the challenges of all others, unchanged.
#[test]
fn s16_7_7_a_challenge_carries_those_of_all_branches() {
    let challenge = |code: u16, line: &str| {
        message(&format!("SIP/2.0 {code} x\r\n{line}\r\nCSeq: 1 INVITE\r\n\r\n"))
    };
    let mut call = context(true, 4);
    for (branch, code, line) in [
        (0, 407, "Proxy-Authenticate: Digest realm=\"a\", nonce=\"1,2\""),
        (1, 401, "WWW-Authenticate: Digest realm=\"b\", nonce=\"3\""),
        (2, 404, "WWW-Authenticate: Digest realm=\"c\", nonce=\"4\""),
        (3, 407, "Proxy-Authenticate: Digest realm=\"d\", nonce=\"5\""),
    ] {
        call.handle_response(branch, &challenge(code, line));
    }
    let chosen = call.best_response().unwrap().unwrap();
    let mut found: Vec<String> = chosen
        .headers()
        .filter(|it| matches!(it.id, HeaderId::WwwAuthenticate | HeaderId::ProxyAuthenticate))
        .map(|it| String::from_utf8(it.value.to_vec()).unwrap())
        .collect();
    found.sort();
    let realms = ["a\", nonce=\"1,2", "b\", nonce=\"3", "d\", nonce=\"5"];
    assert_eq!(found, realms.map(|realm| format!("Digest realm=\"{realm}\"")));
}

/// Step 9: the response context lives until all of its transactions are over, also after a final response.
#[test]
fn s16_7_9_the_context_outlives_a_final_response() {
    let mut call = context(true, 2);
    hears(&mut call, 0, 200);
    assert!(call.is_pending());
    assert_eq!(hears(&mut call, 1, 200)[..], [Action::Forward]);
    assert!(!call.is_pending());
}

/// Step 10: a final response that is forwarded cancels all pending branches.
#[test]
fn s16_7_10_a_final_response_cancels_what_is_pending() {
    let mut call = context(true, 4);
    hears(&mut call, 3, 404);
    let actions = hears(&mut call, 0, 200);
    assert_eq!(actions[..], [Action::Forward, Action::Cancel(1), Action::Cancel(2)]);
}

/// When timer C fires, the transaction ends: by its CANCEL, and after 64·T1 without an answer to that.
#[test]
fn s16_8_timer_c_ends_the_transaction() {
    let mut call = Clockwork::invite(false);
    let due = call.hears(180).due(Timer::C).unwrap();
    assert_eq!(call.at(due).told.last(), Some(&Event::Overdue));
    assert_eq!(call.at(due + 32_000).machine.state(), InviteClientState::Terminated);
}

/// When timer C fires after a provisional response, a CANCEL goes out.
#[test]
fn s16_8_after_a_provisional_response_timer_c_cancels() {
    let mut call = Clockwork::invite(false);
    let due = call.hears(180).due(Timer::C).unwrap();
    call.at(due);
    assert_eq!(call.cancels.len(), 1);
    let cancel = Message::parse(call.cancels[0].clone()).unwrap();
    assert_eq!(cancel.top_via().unwrap().branch, Some("z9hG4bKours"));
}

/// Without a provisional response it is as if 408 had come.
#[test]
fn s16_8_without_a_provisional_response_it_is_as_if_408_had_come() {
    for is_reliable in BOTH {
        let mut silent = Clockwork::invite(is_reliable);
        assert_eq!(silent.at(200_000).told, [Event::Timeout]);
    }
    let mut call = context(true, 1);
    assert_eq!(call.handle_outcome(0, BranchOutcome::Timeout)[..], [Action::Exhausted]);
    assert_eq!(best(&call), (408, false));
}

/// A transport error is as if 503 had come.
#[test]
fn s16_9_a_transport_error_is_as_if_503_had_come() {
    assert_eq!(Clockwork::invite(true).breaks().told, [Event::Unreachable]);
    assert_eq!(Clockwork::request(true).breaks().told, [Event::Unreachable]);
    let (mut broken, mut told) = (context(true, 1), context(true, 1));
    broken.handle_outcome(0, BranchOutcome::Unreachable);
    hears(&mut told, 0, 503);
    assert_eq!(best(&broken).0, best(&told).0, "503 leaves as 500, step 6");
}

/// A CANCEL cancels all pending branches.
#[test]
fn s16_10_a_cancel_cancels_what_is_pending() {
    let mut call = context(true, 3);
    hears(&mut call, 0, 180);
    hears(&mut call, 1, 486);
    assert_eq!(call.handle_cancel()[..], [Action::Cancel(0), Action::Cancel(2)]);
}
