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

#[test]
fn branches_follow_what_is_defined() {
    let text = "#!define A\n#!ifdef A\na=1\n#!else\nb=1\n#!endif\n#!ifndef A\nc=1\n#!endif\nd=1\n";
    let source = kamailio(text);
    assert_eq!(source.text.split_whitespace().collect::<Vec<_>>(), ["a=1", "d=1"]);
    assert_eq!(source.place(source.text.find("d=1").unwrap()).line, 10);
    let options = Options { undefines: vec!["A".into()], ..Options::default() };
    let source =
        read_text("a", text.into(), Path::new("a"), &options, Some(Dialect::Kamailio)).unwrap().0;
    assert_eq!(source.text.split_whitespace().collect::<Vec<_>>(), ["b=1", "c=1", "d=1"]);
}

#[test]
fn code_takes_the_place_of_its_name_and_values_keep_theirs() {
    let source = kamailio(
        "#!define N 5\n#!define LOG xlog(\"a\")\n#!substdef \"!HOST!h.example!g\"\nLOG; x(N, \"HOST\", \"LOG\");\n",
    );
    assert!(source.text.contains("xlog(\"a\"); x(N, \"h.example\", \"LOG\");"), "{}", source.text);
    assert_eq!(source.constants.get("N"), Some(&Constant::Number(5)));
}

#[test]
fn unbalanced_branches_are_told() {
    for text in ["#!ifdef A\n", "#!endif\n", "#!else\n"] {
        assert_eq!(
            kamailio(text).findings.iter().filter(|it| it.code == Code::Parse).count(),
            1,
            "{text}"
        );
    }
}

#[test]
fn includes_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cfg");
    std::fs::write(
        &path,
        "a=1\ninclude_file \"b.cfg\"\ninclude_file \"none.cfg\"\nimport_file \"none.cfg\"\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("b.cfg"), "b=1\ninclude_file \"a.cfg\"\n").unwrap();
    let (source, _) = super::read(&path, &Options::default(), Some(Dialect::Kamailio)).unwrap();
    let codes: Vec<_> = source.findings.iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::Include, Code::Include, Code::Dropped]);
    let place = source.place(source.text.find("b=1").unwrap());
    assert_eq!((place.file, place.line), (1, 1));
    assert!(super::read(&folder.path().join("none"), &Options::default(), None).is_err());
    std::fs::write(folder.path().join("binary"), [0, 1, 2]).unwrap();
    assert!(super::read(&folder.path().join("binary"), &Options::default(), None).is_err());
}

#[test]
fn a_text_that_never_ends_costs_its_line() {
    let source = kamailio("x(\"a);\ny();\n");
    assert_eq!(source.text, "x(\"a);\"\ny();\n");
    assert_eq!(source.findings.len(), 1);
}

#[test]
fn columns_of_a_long_line_count_letters() {
    let line = "é".repeat(3000);
    let source = kamailio(&format!("a=\"{line}\" b=1\n"));
    let place = source.place(source.text.find("b=1").unwrap());
    assert_eq!((place.line, place.column), (1, 3006));
    assert_eq!(source.place(source.text.len()).line, 1);
}

#[test]
fn what_is_defined_does_not_grow_without_end() {
    let names = ["A", "B", "C", "D", "E"];
    let define = |pair: &[&str]| format!("#!define {} {}\n", pair[0], [pair[1]; 1000].join(" + "));
    let defines: String = names.windows(2).map(define).collect();
    let source = kamailio(&format!("{defines}#!define E x()\nx(A);\ny(D);\n"));
    let found: Vec<_> = source.findings.iter().map(|it| (it.code, it.place.line)).collect();
    assert_eq!(found, [(Code::Parse, 6)]);
    assert!(source.text.contains("x(A);\ny(x() + x()"), "{}", &source.text[..200]);
}

#[test]
fn what_is_substituted_does_not_grow_without_end() {
    let substitution = format!("#!subst \"//{}/g\"\n", "a".repeat(500)).repeat(5);
    let source = kamailio(&format!("{substitution}x(\"{}\");\ny();\n", "b".repeat(500)));
    let found: Vec<_> = source.findings.iter().map(|it| (it.code, it.place.line)).collect();
    assert_eq!(found, [(Code::Parse, 6)]);
    assert!(source.text.ends_with("\");\ny();\n"));
}

#[test]
fn files_that_include_many_each_are_too_many() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..5 {
        let line = format!("include_file \"{}.cfg\"\n", number + 1);
        std::fs::write(folder.path().join(format!("{number}.cfg")), line.repeat(10)).unwrap();
    }
    std::fs::write(folder.path().join("5.cfg"), "a=1\n").unwrap();
    let options = Options::default();
    let read = |name| super::read(&folder.path().join(name), &options, Some(Dialect::Kamailio));
    assert!(read("0.cfg").unwrap_err().contains("more than 1000 files"));
    assert_eq!(read("3.cfg").unwrap().0.text.matches("a=1").count(), 100);
}

#[test]
fn what_is_defined_adds_a_megabyte_at_most() {
    let code = ["x()"; 1000].join(";");
    let text = format!("#!KAMAILIO\n#!define A {code}\n{}", "A;A;A;A\n".repeat(1000));
    let options = Options::default();
    let path = std::path::Path::new("a.cfg");
    let read = super::read_text("a.cfg", text, path, &options, Some(Dialect::Kamailio));
    assert_eq!(read.unwrap_err(), "a.cfg:69: what it defines makes it more than 1 MB longer");
}
