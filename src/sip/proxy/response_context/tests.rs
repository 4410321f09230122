use std::fmt::Write;

use bytes::Bytes;

use super::*;

/// A request with its branches, and a trace of what happened: branches by letter, `=>` what goes upstream.
struct Call {
    context: ResponseContext,
    trace: String,
}

fn response(code: u16, headers: &str) -> Message {
    let text = format!("SIP/2.0 {code} x\r\nCSeq: 1 INVITE\r\n{headers}\r\n");
    Message::parse(Bytes::from(text)).unwrap()
}

fn letter(branch: usize) -> char {
    char::from(b'a' + branch as u8)
}

impl Call {
    fn invite(branches: usize) -> Self {
        Self::new(true, branches)
    }

    fn message(branches: usize) -> Self {
        Self::new(false, branches)
    }

    fn new(is_invite: bool, branches: usize) -> Self {
        let mut context = ResponseContext::new(is_invite);
        (0..branches).for_each(|_| _ = context.add());
        Self { context, trace: String::new() }
    }

    fn hears(&mut self, branch: char, code: u16) -> &mut Self {
        let index = (branch as u8 - b'a') as usize;
        let actions = self.context.handle_response(index, &response(code, ""));
        self.note(&format!("{branch}: {code}"), code, &actions)
    }

    fn ends(&mut self, branch: char, outcome: BranchOutcome) -> &mut Self {
        let index = (branch as u8 - b'a') as usize;
        let actions = self.context.handle_outcome(index, outcome);
        self.note(&format!("{branch}: {outcome:?}"), 0, &actions)
    }

    fn caller_cancels(&mut self) -> &mut Self {
        let actions = self.context.handle_cancel();
        self.note("caller: CANCEL", 0, &actions)
    }

    fn note(&mut self, what: &str, code: u16, actions: &[Action]) -> &mut Self {
        self.trace += what;
        for action in actions {
            match action {
                Action::Forward => write!(self.trace, " => {code}").unwrap(),
                Action::Cancel(branch) => {
                    write!(self.trace, " CANCEL {}", letter(*branch)).unwrap();
                }
                Action::Exhausted => {
                    let status = match self.context.best() {
                        Some(Best::Received(_, status)) => status.to_string(),
                        Some(Best::Own(status)) => format!("own {status}"),
                        None => "nothing".to_owned(),
                    };
                    write!(self.trace, " => best {status}").unwrap();
                }
            }
        }
        self.trace.push('\n');
        self
    }

    #[track_caller]
    fn reads(&self, expected: &str) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&self.trace), words(expected), "it went\n{}", self.trace);
    }
}

#[test]
fn s16_7_step_5_what_is_provisional_goes_upstream_at_once_but_100() {
    let mut call = Call::invite(2);
    call.hears('a', 100).hears('a', 180).hears('b', 183);
    call.reads("a: 100  a: 180 => 180  b: 183 => 183");
}

#[test]
fn s16_7_step_10_a_2xx_cancels_the_others() {
    let mut call = Call::invite(3);
    call.hears('a', 180).hears('b', 180).hears('b', 200).hears('a', 487).hears('c', 100);
    call.hears('c', 487);
    call.reads(
        "a: 180 => 180
         b: 180 => 180
         b: 200 => 200 CANCEL a CANCEL c
         a: 487
         c: 100
         c: 487",
    );
}

#[test]
fn s16_7_step_5_every_2xx_to_an_invite_reaches_the_caller() {
    let mut call = Call::invite(2);
    call.hears('a', 200).hears('b', 200).hears('a', 200);
    call.reads("a: 200 => 200 CANCEL b  b: 200 => 200  a: 200 => 200");
}

#[test]
fn s16_7_step_5_a_2xx_after_a_time_out_reaches_the_caller() {
    let mut call = Call::invite(1);
    call.hears('a', 180).ends('a', BranchOutcome::Timeout).hears('a', 200);
    call.reads("a: 180 => 180  a: Timeout => best own 408  a: 200 => 200");
}

#[test]
fn s16_7_step_5_other_requests_have_one_answer() {
    let mut call = Call::message(2);
    call.hears('a', 180).hears('a', 200).hears('b', 200).hears('b', 404);
    call.reads("a: 180  a: 200 => 200  b: 200  b: 404");
}

#[test]
fn s16_7_step_5_a_6xx_ends_the_others_and_is_the_answer() {
    let mut call = Call::invite(2);
    call.hears('b', 180).hears('a', 603).hears('b', 487);
    call.reads("b: 180 => 180  a: 603 CANCEL b  b: 487 => best 603");
    assert!(!call.context.may_grow());
}

#[test]
fn s16_7_step_5_a_2xx_wins_against_a_6xx() {
    let mut call = Call::invite(2);
    call.hears('b', 180).hears('a', 600).hears('b', 200);
    call.reads("b: 180 => 180  a: 600 CANCEL b  b: 200 => 200");
}

#[test]
fn s16_7_step_6_the_best_response_is_of_the_lowest_class() {
    for (codes, best) in [
        (&[486, 302][..], 302),
        (&[500, 404], 404),
        (&[404, 603, 302], 603),
        (&[404, 486], 404),
        (&[486, 407], 407),
        (&[404, 484], 484),
        (&[408, 486], 486),
        (&[487, 408], 408),
        (&[503, 501], 501),
        (&[503], 500),
        (&[503, 404], 404),
    ] {
        let mut call = Call::invite(codes.len());
        codes.iter().enumerate().for_each(|(at, code)| _ = call.hears(letter(at), *code));
        let Some(Best::Received(_, found)) = call.context.best() else { panic!("{codes:?}") };
        assert_eq!(found, best, "{codes:?}");
    }
}

#[test]
fn every_failure_has_a_rank() {
    assert!((300..=699).all(|code| rank(code) < u8::MAX));
}

#[test]
fn no_row_of_worth_is_hidden_by_an_earlier_one() {
    for (at, (row, _)) in WORTH.iter().enumerate() {
        let is_hidden = |code| WORTH[..at].iter().any(|(above, _)| above.contains(&code));
        assert!(!row.clone().all(is_hidden), "row {at} ({row:?}) can never match");
    }
}

#[test]
fn s16_7_step_7_challenges_of_all_branches_go_upstream_together() {
    let mut context = ResponseContext::new(true);
    (0..3).for_each(|_| _ = context.add());
    let first = response(407, "Proxy-Authenticate: Digest realm=\"a\"\r\n");
    let second = response(401, "WWW-Authenticate: Digest realm=\"b\"\r\n");
    _ = context.handle_response(0, &response(404, ""));
    _ = context.handle_response(1, &first);
    assert_eq!(context.handle_response(2, &second)[..], [Action::Exhausted]);
    let best = context.best_response().unwrap().unwrap();
    assert_eq!(best.status(), Some(401), "of equals the lower");
    let realms: Vec<_> = [HeaderId::WwwAuthenticate, HeaderId::ProxyAuthenticate]
        .into_iter()
        .flat_map(|id| best.header(id).map(|value| String::from_utf8_lossy(value).into_owned()))
        .collect();
    assert_eq!(realms, ["Digest realm=\"b\"", "Digest realm=\"a\""]);
}

#[test]
fn s16_8_a_branch_that_times_out_counts_as_408() {
    let mut call = Call::invite(2);
    call.ends('a', BranchOutcome::Timeout).hears('b', 486);
    call.reads("a: Timeout  b: 486 => best 486");
    let mut call = Call::invite(1);
    call.ends('a', BranchOutcome::Timeout);
    call.reads("a: Timeout => best own 408");
}

#[test]
fn s16_9_a_branch_that_cannot_be_sent_counts_as_503_which_is_500_upstream() {
    let mut call = Call::invite(1);
    call.ends('a', BranchOutcome::Unreachable);
    call.reads("a: Unreachable => best own 500");
}

#[test]
fn s16_10_the_callers_cancel_reaches_every_branch() {
    let mut call = Call::invite(3);
    call.hears('a', 180).caller_cancels().hears('b', 183).caller_cancels();
    call.hears('a', 487).hears('b', 487).ends('c', BranchOutcome::Timeout);
    call.reads(
        "a: 180 => 180
         caller: CANCEL CANCEL a CANCEL b CANCEL c
         b: 183 => 183
         caller: CANCEL
         a: 487
         b: 487
         c: Timeout => best 487",
    );
}

#[test]
fn s9_1_a_cancel_that_crosses_the_2xx_changes_nothing() {
    let mut call = Call::invite(1);
    call.hears('a', 180).caller_cancels().hears('a', 200);
    call.reads("a: 180 => 180  caller: CANCEL CANCEL a  a: 200 => 200");
    let mut call = Call::invite(1);
    call.hears('a', 200).caller_cancels();
    call.reads("a: 200 => 200  caller: CANCEL");
}

#[test]
fn s9_1_only_an_invite_is_cancelled() {
    let mut call = Call::message(2);
    call.hears('b', 100).hears('a', 200);
    call.reads("b: 100  a: 200 => 200");
}

#[test]
fn a_branch_that_the_script_skipped_counts_for_nothing() {
    let mut call = Call::invite(2);
    call.ends('a', BranchOutcome::Skipped).hears('b', 404);
    call.reads("a: Skipped  b: 404 => best 404");
    let mut call = Call::invite(1);
    call.ends('a', BranchOutcome::Skipped);
    call.reads("a: Skipped => best nothing");
}

#[test]
fn a_cancelled_call_without_any_response_ends_with_487() {
    let mut call = Call::invite(1);
    call.caller_cancels().ends('a', BranchOutcome::Timeout);
    call.reads("caller: CANCEL CANCEL a  a: Timeout => best own 487");
}

#[test]
fn a_second_try_begins_anew_after_the_first_failed() {
    let mut call = Call::invite(1);
    call.hears('a', 503);
    assert!(call.context.may_grow());
    call.context.add();
    call.hears('b', 180).hears('b', 200);
    call.reads("a: 503 => best 500  b: 180 => 180  b: 200 => 200");
}
