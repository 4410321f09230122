use super::*;

fn read(text: &str, dialect: Dialect) -> Source {
    let options = Options::default();
    read_text("a.cfg", text.to_owned(), Path::new("a.cfg"), &options, Some(dialect)).unwrap().0
}

fn kamailio(text: &str) -> Source {
    read(text, Dialect::Kamailio)
}

#[test]
fn comments_are_blank_and_kept_aside() {
    let source = kamailio("/* one */\na=1 # two\n/* a\n * b */ b=2 // three\nc=\"# none\"\n");
    assert_eq!(source.text, "         \na=1 \n    \n        b=2 \nc=\"# none\"\n");
    let lines: Vec<_> =
        source.comments.iter().map(|it| (it.lines.join("|"), it.is_trailing)).collect();
    assert_eq!(
        lines,
        [
            (" one ".into(), false),
            (" two".into(), true),
            (" a| * b ".into(), false),
            (" three".into(), true)
        ]
    );
    assert_eq!(source.findings, []);
}
