//! Message texts that gateways have been seen to break.

/// Each is valid in SIP and in XMPP, so it must arrive as it left.
pub(crate) const TRICKY: [&str; 10] = [
    "plain",
    "🎉👩‍👩‍👧‍👦 flags 🇪🇺 and skin 👍🏽",
    "שלום עולם \u{202b}right to left\u{202c} مرحبا",
    "<b>not & markup</b> &amp; ]]> <!-- --> <?xml?>",
    "two\nlines\n\nand a blank one",
    "tab\tand  double  blanks  ",
    "'single' \"double\" `back`",
    "zero\u{200b}width, combining e\u{301}, ｆｕｌｌ, 漢字かな",
    "MESSAGE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP x\nContent-Length: 0\n\n",
    "%00 %41 \\20 $ru {} \\u0041",
];

/// The text of the `index`th message: its number, then a tricky rest.
pub(crate) fn numbered(index: usize) -> String {
    format!("{index:04} {}", TRICKY[index % TRICKY.len()])
}

/// Ten thousand bytes and more, of which every character is two to four bytes.
pub(crate) fn large(index: usize) -> String {
    let mut text = format!("{index:04} ");
    while text.len() < 10_000 {
        text.push_str("größer ✓ 𝄞 & <x>\n");
    }
    text
}
