//! Small configurations, and what is done with a MESSAGE.

use super::super::Dialect::{self, Kamailio, OpenSer, OpenSips, Ser0, Ser2};

/// Number of the trap, dialect, statements of the main route, other blocks, and what is done with a MESSAGE.
pub(super) type Case = (u8, Dialect, &'static str, &'static str, &'static [&'static str]);

pub(super) const CASES: &[Case] = &[
    // `break` and `drop` leave the route, not the `if`, and the caller goes on.
    (
        1,
        Ser0,
        "route(1); sl_send_reply(\"200\", \"on\");",
        "route[1] { if (method==\"MESSAGE\") { if (method==\"MESSAGE\") { break; }; }; sl_send_reply(\"500\", \"no\"); }",
        &["sl 200 on"],
    ),
    (1, Ser0, "if (method==\"MESSAGE\") { drop; }; sl_send_reply(\"500\", \"no\");", "", &[]),
    // A function that gave 0 had seen to everything.
    (
        2,
        Ser0,
        "if (!t_newtran()) { sl_reply_error(); break; }; t_reply(\"202\", \"ok\");",
        "",
        &["transaction", "reply 202 ok"],
    ),
    // `drop` ends everything in SER 2, `break` the route.
    (3, Ser2, "route(A); sl_reply(\"500\", \"no\");", "route[A] { drop; }", &[]),
    (3, Ser2, "route(A); sl_reply(\"200\", \"on\");", "route[A] { break; }", &["sl 200 on"]),
    (
        3,
        OpenSer,
        "route(1); sl_send_reply(\"200\", \"on\");",
        "route[1] { break; }",
        &["sl 200 on"],
    ),
    (
        3,
        Kamailio,
        "$var(i) = 0; while ($var(i) < 5) { $var(i) = $var(i) + 1; if ($var(i) == 3) { break; } } sl_send_reply(\"200\", \"$var(i)\");",
        "",
        &["sl 200 3"],
    ),
    // What a route answers: `return` is true, 0 the end of everything, a negative number false.
    (
        5,
        OpenSer,
        "if (route(1)) { sl_send_reply(\"200\", \"yes\"); }",
        "route[1] { return; }",
        &["sl 200 yes"],
    ),
    (5, OpenSer, "route(1); sl_send_reply(\"500\", \"no\");", "route[1] { return(0); }", &[]),
    (
        5,
        OpenSer,
        "if (!route(1)) { sl_send_reply(\"404\", \"none\"); }",
        "route[1] { return(-1); }",
        &["sl 404 none"],
    ),
    // … and at its end what the last function said.
    (
        5,
        OpenSer,
        "if (!route(1)) { sl_send_reply(\"404\", \"none\"); } else { sl_send_reply(\"200\", \"found\"); }",
        "route[1] { lookup(\"location\"); }",
        &["sl 404 none"],
    ),
    (
        5,
        Kamailio,
        "if (route(A)) { send_reply(\"200\", \"yes\"); } else { send_reply(\"404\", \"none\"); }",
        "route[A] { if (is_method(\"ACK\")) { return; } lookup(\"location\"); }",
        &["sl 404 none"],
    ),
    // SER before 2 took only a negative number for no, and had none.
    (
        5,
        Ser0,
        "if (route(1)) { sl_send_reply(\"200\", \"yes\"); } else { sl_send_reply(\"500\", \"no\"); };",
        "route[1] { break; }",
        &["sl 200 yes"],
    ),
    // The Request-URI is the one that the script has made.
    (
        8,
        Ser0,
        "rewritehost(\"elsewhere.example\"); if (uri==myself) { sl_send_reply(\"500\", \"no\"); } else { sl_send_reply(\"200\", \"not ours\"); };",
        "",
        &["sl 200 not ours"],
    ),
    (
        8,
        OpenSer,
        "if (from_uri==myself && uri==myself) { sl_send_reply(\"200\", \"ours\"); }",
        "",
        &["sl 200 ours"],
    ),
    // The whole message is searched, line by line and whatever the case, its body as well.
    (
        9,
        Ser0,
        "if (search(\"to:.*ROMEO@\")) { sl_send_reply(\"200\", \"header\"); };",
        "",
        &["sl 200 header"],
    ),
    (
        9,
        Ser0,
        "if (search(\"\\nhell\")) { sl_send_reply(\"200\", \"body\"); };",
        "",
        &["sl 200 body"],
    ),
    (
        9,
        Ser0,
        "if (search(\"^From:.*Hello\")) { sl_send_reply(\"500\", \"over the end of a line\"); };",
        "",
        &[],
    ),
    (
        9,
        Ser0,
        "if (search(\"^Hello$\")) { sl_send_reply(\"200\", \"a line\"); };",
        "",
        &["sl 200 a line"],
    ),
    // A question behind an edit is answered from the message as it came.
    (
        10,
        OpenSer,
        "remove_hf(\"Content-Type\"); if (is_present_hf(\"Content-Type\")) { sl_send_reply(\"200\", \"$hdr(Content-Type) $ct.\"); }",
        "",
        &["sl 200 text/plain ."],
    ),
    (
        10,
        Ser0,
        "if (method==\"MESSAGE\") { append_hf(\"X-A: 1\\r\\n\"); }; if (is_present_hf(\"X-A\")) { sl_send_reply(\"500\", \"no\"); } else { sl_send_reply(\"200\", \"did not come\"); };",
        "",
        &["sl 200 did not come"],
    ),
    (
        10,
        Ser0,
        "append_hf(\"P-Hint: usrloc\\r\\n\"); if (search(\"^P-Hint: us\")) { sl_send_reply(\"500\", \"no\"); }; if (!search(\"usrloc\")) { sl_send_reply(\"200\", \"did not come\"); };",
        "",
        &["sl 200 did not come"],
    ),
    (
        10,
        Kamailio,
        "route(EDIT); if ($hdr(X-A) != \"\") { send_reply(\"500\", \"no\"); } if ($hdr(Content-Type) == \"text/plain\") { send_reply(\"200\", \"came\"); }",
        "route[EDIT] { append_hf(\"X-A: 1\\r\\n\"); subst('/^Content-Type:.*$/Content-Type: text\\/html/'); return; }",
        &["sl 200 came"],
    ),
    (
        10,
        Kamailio,
        "append_hf(\"X-A: 1\\r\\n\"); msg_apply_changes(); if (is_present_hf(\"X-A\")) { send_reply(\"200\", \"applied\"); }",
        "",
        &["sl 200 applied"],
    ),
    // Expressions ignore the case, and a bracket may hold a backslash.
    (
        11,
        OpenSer,
        "if (uri=~\"^SIP:[r\\.]OM.O@\") { sl_send_reply(\"200\", \"found\"); }",
        "",
        &["sl 200 found"],
    ),
    (
        11,
        OpenSer,
        "if (uri=~\"\\@sip\\.example\") { sl_send_reply(\"200\", \"found\"); }",
        "",
        &["sl 200 found"],
    ),
    (
        11,
        Ser0,
        "subst_uri(\"/^sip:(rom)eo@(.*)$/sip:\\1@\\2/i\"); t_relay();",
        "",
        &["relay sip:rom@sip.example"],
    ),
    // Texts stay what they were, whatever they mean to the new language.
    (
        12,
        Ser0,
        "sl_send_reply(\"404\", \"No `x` ${a} 'y' \\\\\");",
        "",
        &["sl 404 No `x` ${a} 'y' \\"],
    ),
    // Variables stand for something in some dialects and in some texts only.
    (13, Ser0, "sl_send_reply(\"404\", \"No $rU\");", "", &["sl 404 No $rU"]),
    (13, OpenSer, "sl_send_reply(\"404\", \"No $rU\");", "", &["sl 404 No romeo"]),
    (13, Kamailio, "sl_send_reply(\"404\", \"No $rU, $$\");", "", &["sl 404 No romeo, $"]),
    // `!` binds to the whole comparison, and a single bar is an or.
    (14, Ser0, "if (!method==\"MESSAGE\") { sl_send_reply(\"500\", \"no\"); };", "", &[]),
    (
        14,
        Ser0,
        "if (!method==\"MESSAGE\" | !(uri=~\"juliet\" | uri=~\"nurse\")) { sl_send_reply(\"200\", \"or\"); };",
        "",
        &["sl 200 or"],
    ),
    // The longest message is as long as the buffer was.
    (15, Ser0, "if (len_gt(max_len)) { sl_send_reply(\"513\", \"no\"); };", "", &[]),
    (
        15,
        OpenSer,
        "if (msg:len >= 100) { sl_send_reply(\"513\", \"long\"); }",
        "",
        &["sl 513 long"],
    ),
    // Flags by number and by name.
    (
        16,
        Ser0,
        "setflag(3); if (isflagset(3)) { resetflag(3); if (!isflagset(3)) { sl_send_reply(\"200\", \"flags\"); }; };",
        "",
        &["sl 200 flags"],
    ),
    (
        16,
        OpenSips,
        "setflag(ACC_DO); if (isflagset(ACC_DO) and !isflagset(OTHER)) { sl_send_reply(\"200\", \"names\"); }",
        "",
        &["sl 200 names"],
    ),
    // What stands behind t_relay() is done, too.
    (
        18,
        Ser0,
        "t_relay(); setflag(1); forward(uri:host, uri:port);",
        "",
        &["relay sip:romeo@sip.example", "forward sip:romeo@sip.example"],
    ),
    // lookup() leaves the Request-URI alone when it finds nobody.
    (
        19,
        OpenSer,
        "if (!lookup(\"location\")) { sl_send_reply(\"404\", \"No $ru\"); }",
        "",
        &["sl 404 No sip:romeo@sip.example"],
    ),
    (
        19,
        Ser0,
        "if (mf_process_maxfwd_header(\"10\")) { sl_send_reply(\"200\", \"hops left\"); };",
        "",
        &["sl 200 hops left"],
    ),
    // The newest value is read, and `:=` leaves no other.
    (
        22,
        OpenSer,
        "$avp(s:x) = \"a\"; $avp(s:x) = \"b\"; sl_send_reply(\"200\", \"$avp(s:x)\");",
        "",
        &["sl 200 b"],
    ),
    (
        22,
        OpenSer,
        "$avp(s:7) = \"name\"; $avp(i:7) = \"number\"; sl_send_reply(\"200\", \"$avp(s:7) $avp(i:7)\");",
        "",
        &["sl 200 name number"],
    ),
    (
        22,
        Kamailio,
        "$avp(x) = 1; $avp(x) = $null; if ($avp(x) == $null) { sl_send_reply(\"200\", \"gone\"); }",
        "",
        &["sl 200 gone"],
    ),
    // … and the one behind it, once the newest is taken away.
    (
        22,
        Kamailio,
        "$avp(x) = \"a\"; $avp(x) = \"b\"; $avp(x) = $null; sl_send_reply(\"200\", \"$avp(x)\"); $avp(x) = $null; if ($avp(x) == $null) { sl_send_reply(\"404\", \"none\"); }",
        "",
        &["sl 200 a", "sl 404 none"],
    ),
    (
        22,
        OpenSer,
        "$avp(s:x) = 1; $avp(s:x) = 2; $avp(s:x) = 3; while ($avp(s:x)) { sl_send_reply(\"200\", \"$avp(s:x)\"); $avp(s:x) = $null; }",
        "",
        &["sl 200 3", "sl 200 2", "sl 200 1"],
    ),
    (
        22,
        Kamailio,
        "$avp(x) = \"a\"; $avp(x) = \"b\"; $avp(x) = \"c\"; $var(i) = 1; sl_send_reply(\"200\", \"$(avp(x)[0])$(avp(x)[1])$(avp(x)[2]) $(avp(x)[-1])$(avp(x)[$var(i)]) $(avp(x)[*])\"); if ($(avp(x)[3]) == $null) { sl_send_reply(\"404\", \"none\"); }",
        "",
        &["sl 200 cba ab c,b,a", "sl 404 none"],
    ),
    (
        22,
        Kamailio,
        "$avp(x) = 1; $avp(x) = 2; $(avp(x)[*]) = 3; $avp(x) = $null; if ($avp(x) == $null) { sl_send_reply(\"200\", \"replaced\"); }",
        "",
        &["sl 200 replaced"],
    ),
    (
        22,
        OpenSips,
        "$avp(x) = 1; $avp(x) = 2; $avp(x) := $avp(x) + 3; sl_send_reply(200, \"$avp(x)\"); $avp(x) = NULL; if ($avp(x) == NULL) { sl_send_reply(404, \"none\"); }",
        "",
        &["sl 200 5", "sl 404 none"],
    ),
    (
        22,
        Kamailio,
        "$avp(x) = 1; $avp(x) = 2; $(avp(x)[*]) = $null; if ($avp(x) == $null) { sl_send_reply(\"200\", \"all gone\"); }",
        "route[UNUSED] { $avp(x) = $null; }",
        &["sl 200 all gone"],
    ),
    (
        22,
        OpenSer,
        "$avp(s:x) = \"a\"; $avp(s:x) = \"b\"; avp_delete(\"$avp(s:x)\"); sl_send_reply(\"200\", \"$avp(s:x)\"); $avp(s:x) = \"c\"; avp_delete(\"$avp(s:x)/g\"); if (!is_avp_set(\"$avp(s:x)\")) { sl_send_reply(\"404\", \"none\"); }",
        "",
        &["sl 200 a", "sl 404 none"],
    ),
    (
        22,
        OpenSer,
        "$avp(s:x) = \"a\"; $avp(s:y) = \"b\"; avp_copy(\"$avp(s:y)\", \"$avp(s:x)\"); $avp(s:x) = $null; sl_send_reply(\"200\", \"$avp(s:x)$avp(s:y)\");",
        "",
        &["sl 200 ab"],
    ),
    // What is nothing takes the newest away like `$null`.
    (
        22,
        Kamailio,
        "$avp(x) = 1; $avp(x) = 2; $avp(x) = $avp(never); sl_send_reply(\"200\", \"$avp(x)$(avp(x)[1])\");",
        "",
        &["sl 200 1"],
    ),
    // The values of one name stay apart from those of a number, and of another route.
    (
        22,
        OpenSer,
        "$avp(i:7) = 1; $avp(i:7) = 2; $avp(s:7) = \"s\"; route(1); sl_send_reply(\"200\", \"$avp(i:7)$avp(s:7)\");",
        "route[1] { $avp(i:7) = $null; }",
        &["sl 200 1s"],
    ),
    (
        22,
        Ser2,
        "$x = \"a\"; $x += \"b\"; if ($x == \"b\") { sl_reply(\"200\", \"newest\"); }",
        "",
        &["sl 200 newest"],
    ),
    (
        22,
        Kamailio,
        "if ($var(never) == 0) { sl_send_reply(\"200\", \"nothing yet\"); }",
        "",
        &["sl 200 nothing yet"],
    ),
    (
        22,
        Ser2,
        "$x = \"a\"; $x = \"b\"; if ($x == \"b\") { sl_reply(\"200\", \"b\"); }",
        "",
        &["sl 200 b"],
    ),
    (
        22,
        Ser2,
        "$x = \"a\"; $x += \"b\"; $x += \"c\"; if ($x[1] == \"c\" && $x[2] == \"b\" && $x[-1] == \"a\") { sl_reply(\"200\", \"by number\"); }",
        "",
        &["sl 200 by number"],
    ),
    // Numbers as texts.
    (
        23,
        OpenSips,
        "strip(\"2\"); prefix(\"0\"); sl_send_reply(404, \"$rU\");",
        "",
        &["sl 404 0meo"],
    ),
    // A leading 0 is octal outside of texts.
    (
        23,
        OpenSer,
        "setflag(010); if (isflagset(8) && !isflagset(10)) { sl_send_reply(\"404\", \"octal\"); }",
        "",
        &["sl 404 octal"],
    ),
    (23, OpenSer, "strip(\"010\"); sl_send_reply(\"0404\", \"$rU.\");", "", &["sl 404 ."]),
    // Book-keeping needs nothing here.
    (
        24,
        Ser0,
        "sl_filter_ACK(); t_unref(); t_release(); sl_send_reply(\"200\", \"on\");",
        "",
        &["sl 200 on"],
    ),
    // What cannot be done is false, and is never taken for done.
    (
        25,
        Ser0,
        "if (exec_msg(\"true\")) { sl_send_reply(\"500\", \"no\"); } else { sl_send_reply(\"200\", \"not done\"); };",
        "",
        &["sl 200 not done"],
    ),
];
