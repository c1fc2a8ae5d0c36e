//! Templates over data as `inspect` and `ps` have it. What is wanted here was printed by Docker's
//! own client; `tests/e2e/templates.rs` asks it again.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Labels, NilList, NilMap, Omit, Template, TemplateError, Value, value};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    id: &'static str,
    state: State,
    health: Option<State>,
    env: Vec<&'static str>,
    labels: BTreeMap<&'static str, &'static str>,
    binds: NilList<String>,
    volumes: NilMap<String>,
    signal: Omit<String>,
    timeout: Omit<Option<u64>>,
    nano_cpus: i64,
    networks: BTreeMap<&'static str, State>,
    plain: serde_json::Value,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: &'static str,
    pid: u32,
}

fn object() -> Value {
    let state = || State {
        status: "running",
        pid: 7,
    };
    value(&Object {
        id: "c0cac5f46dc03d91",
        state: state(),
        health: None,
        env: vec!["A=b", "C=d"],
        labels: BTreeMap::from([("b.c", "2"), ("a", "1")]),
        binds: NilList::default(),
        volumes: NilMap::default(),
        signal: Omit::default(),
        timeout: Omit(None),
        nano_cpus: 5,
        networks: BTreeMap::from([("none", state())]),
        plain: serde_json::json!({"n": null, "f": 1.5, "l": [1, "a"]}),
    })
    .unwrap()
}

fn print(template: &str) -> String {
    let filled = Template::parse(template).and_then(|template| template.inspect(&object()));
    filled.unwrap_or_else(|error| error.to_string())
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (template, want) in cases {
        assert_eq!(print(template), *want, "{template}");
    }
}

#[test]
fn fields_and_go_printing() {
    check(&[
        ("", ""),
        ("plain text", "plain text"),
        ("{{.ID}}", "c0cac5f46dc03d91"),
        ("{{.Id}}", "c0cac5f46dc03d91"),
        ("{{.State}}", "{running 7}"),
        // Go's names do not go with JSON's: then all is as it came from JSON.
        (
            "{{.Id}} {{.State}}",
            "c0cac5f46dc03d91 map[Pid:7 Status:running]",
        ),
        ("{{.NanoCPUs}}", "5"),
        ("{{.Health}}", "<nil>"),
        ("{{.Env}} {{.Labels}}", "[A=b C=d] map[a:1 b.c:2]"),
        (
            "{{.Binds}} {{.Volumes}} {{.Signal}} {{.Timeout}}",
            "[] map[]  <nil>",
        ),
        ("{{.Labels.zz}}", "<no value>"),
        (
            "{{.Plain.n}} {{.Plain.f}} {{.Plain.l}}",
            "<no value> 1.5 [1 a]",
        ),
        ("{{.Plain}}", "map[f:1.5 l:[1 a] n:<nil>]"),
        ("{{json .State}}", r#"{"Status":"running","Pid":7}"#),
        ("{{json .Binds}} {{json .Health}}", "null null"),
        ("{{json .Signal}}", r#""""#),
        (r"a\tb", r"a\tb"),
    ]);
    let all = print("{{json .}}");
    assert!(!all.contains("Signal") && !all.contains("Timeout"), "{all}");
    assert!(all.contains(r#""Health":null,"Env""#), "{all}");
}

#[test]
fn control() {
    check(&[
        ("{{if .Health}}a{{else if .Env}}b{{else}}c{{end}}", "b"),
        (
            "{{with .State}}{{.Pid}}{{end}}{{with .Health}}x{{else with .ID}}{{len .}}{{end}}",
            "716",
        ),
        ("{{range .Env}}{{.}};{{end}}", "A=b;C=d;"),
        (
            "{{range $i, $v := .Env}}{{if $i}},{{end}}{{$v}}{{end}}",
            "A=b,C=d",
        ),
        (
            "{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}",
            "a=1 b.c=2 ",
        ),
        ("{{range .Binds}}x{{else}}none{{end}}", "none"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        (
            "{{range .Env}}{{break}}{{end}}{{range .Env}}{{continue}}x{{end}}",
            "",
        ),
        (
            "{{$x := 1}}{{if true}}{{$x = 2}}{{$x := 3}}{{end}}{{$x}} {{$.ID | len}}",
            "2 16",
        ),
        (" a {{- /* c */ -}} b {{- 3 -}} c", " ab3c"),
        (
            "{{range $p, $n := .Networks}}{{$p}} {{$n.Pid}}{{end}}",
            "none 7",
        ),
    ]);
}

#[test]
fn functions() {
    check(&[
        (
            "{{index .Env 1}} {{index .Labels \"b.c\"}} {{index .Labels \"zz\"}}|",
            "C=d 2 |",
        ),
        (
            "{{index .Networks \"zz\"}} {{index .Volumes \"x\"}}|",
            "<nil> |",
        ),
        (
            "{{slice .ID 0 4}} {{truncate .ID 4}} {{len .Env}} {{len .Binds}}",
            "c0ca c0ca 2 0",
        ),
        (
            "{{join .Env \",\"}} {{split \"a:b\" \":\"}} {{upper \"a\"}} {{lower \"A\"}} {{title \"a b\"}}",
            "A=b,C=d [a b] A a A B",
        ),
        ("{{pad \"x\" 1 2}}|{{pad \"\" 1 2}}|", " x  ||"),
        (
            "{{eq .State.Status \"a\" \"running\"}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge \"b\" \"a\"}}",
            "true true true true false true",
        ),
        (
            "{{and 1 0}} {{or 0 \"x\"}} {{not .Health}} {{eq nil .Health}}",
            "0 x true true",
        ),
        (
            "{{print 1 2 \"a\" \"b\" 3}} {{println \"a\" 1}}",
            "1 2ab3 a 1\n",
        ),
        (
            "{{html \"<a>&\"}} {{js \"it's\"}} {{urlquery \"a b&c\"}}",
            "&lt;a&gt;&amp; it\\'s a+b%26c",
        ),
        (
            "{{printf \"%.4s|%-4d|%04d|%x|%q|%5.2f|%v|%t|%c|%%\" .ID 7 7 255 \"q\" 1.239 .Env true 65}}",
            "c0ca|7   |0007|ff|\"q\"| 1.24|[A=b C=d]|true|A|%",
        ),
        (
            "{{printf \"%d %s %d\" \"x\" 1}} {{printf \"x\" 1}} {{printf \"%+v\" .State}}",
            "%!d(string=x) %!s(int=1) %!d(MISSING) x%!(EXTRA int=1) {Status:running Pid:7}",
        ),
        (
            "{{1e6}} {{1.0}} {{0.0001}} {{0.00001}} {{0x10}} {{'a'}} {{1_000}} {{-3}}",
            "1e+06 1 0.0001 1e-05 16 97 1000 -3",
        ),
        (
            "{{.ID | printf \"%.4s\" | upper}} {{\",\" | join .Env}}",
            "C0CA A=b,C=d",
        ),
        (
            "{{json \"<a>\"}} {{\"\\t\\u00e9\"}}{{`\\n`}}",
            "\"<a>\" \té\\n",
        ),
    ]);
}

#[test]
fn what_is_wrong_with_a_template() {
    for (template, want) in [
        ("{{foo}}", "function \"foo\" not defined"),
        ("{{.Id", "unclosed action"),
        ("{{if .Id}}", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        (
            "{{if 1}}{{else}}{{else}}{{end}}",
            "expected end; found {{else}}",
        ),
        ("{{$x}}", "undefined variable \"$x\""),
        ("{{if}}x{{end}}", "missing value for if"),
        ("{{1 | 2}}", "non executable command in pipeline stage 2"),
        ("{{.Id.}}", "unexpected <.> in operand"),
        ("{{.Id}", "bad character U+007D '}'"),
        ("{{\"abc}}", "unterminated quoted string"),
        ("{{!}}", "unexpected \"!\" in command"),
        ("{{break}}", "{{break}} outside {{range}}"),
        ("{{1.X}}", "bad number syntax: \"1.X\""),
        ("{{\"a\".X}}", "unexpected . after term \"\\\"a\\\"\""),
        (
            "{{99999999999999999999}}",
            "integer overflow: \"99999999999999999999\"",
        ),
        ("{{$x, $y := 1}}", "too many declarations in command"),
        ("{{(1}}", "unclosed left paren"),
        ("{{/* c }}", "unclosed comment"),
        (
            "{{template \"a\"}}",
            "{{template}} is not here: one format is one template",
        ),
    ] {
        assert_eq!(
            print(template),
            format!("template: :1: {want}"),
            "{template}"
        );
    }
    assert_eq!(
        print("a\n{{foo}}"),
        "template: :2: function \"foo\" not defined"
    );
    assert_eq!(
        print("{{\n.Id"),
        "template: :2: unclosed action started at :1"
    );
}

#[test]
fn what_does_not_fit_the_data() {
    for (template, want) in [
        (
            "{{.Nope}}",
            ":1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\"",
        ),
        (
            "{{.Id.Foo}}",
            ":1:5: executing \"\" at <.Id.Foo>: can't evaluate field Foo in type interface {}",
        ),
        (
            "a\nb {{.State.Nope}}",
            ":2:10: executing \"\" at <.State.Nope>: map has no entry for key \"Nope\"",
        ),
        (
            "{{index .Env 9}}",
            ":1:2: executing \"\" at <index .Env 9>: error calling index: index out of range: 9",
        ),
        (
            "{{index .Env 2}}",
            ":1:2: executing \"\" at <index .Env 2>: error calling index: reflect: slice index out of range",
        ),
        (
            "{{.Env 1}}",
            ":1:2: executing \"\" at <.Env>: Env is not a method but has arguments",
        ),
        (
            "{{join .Env}}",
            ":1:2: executing \"\" at <join>: wrong number of args for join: want 2 got 1",
        ),
        (
            "{{upper 3}}",
            ":1:8: executing \"\" at <3>: expected string; found 3",
        ),
        (
            "{{len 3}}",
            ":1:2: executing \"\" at <len 3>: error calling len: len of type int",
        ),
        (
            "{{eq 1 \"1\"}}",
            ":1:2: executing \"\" at <eq 1 \"1\">: error calling eq: incompatible types for comparison",
        ),
        (
            "{{nil}}",
            ":1:2: executing \"\" at <nil>: nil is not a command",
        ),
        (
            "{{3 4}}",
            ":1:2: executing \"\" at <3>: can't give argument to non-function 3",
        ),
        (
            "{{range .Id}}{{end}}",
            ":1:8: executing \"\" at <.Id>: range can't iterate over c0cac5f46dc03d91",
        ),
    ] {
        assert_eq!(print(template), format!("template: {want}"), "{template}");
    }
}

#[test]
fn rows_and_their_header() {
    #[derive(Serialize)]
    #[serde(rename = "*formatter.ContainerContext")]
    struct Row {
        #[serde(rename = "ID")]
        id: &'static str,
        #[serde(rename = "Label")]
        labels: Labels,
    }
    let labels = Labels(BTreeMap::from([("com.x".to_owned(), "1".to_owned())]));
    let row = value(&Row { id: "abc", labels }).unwrap();
    let titles = super::titles(&[("ID", "CONTAINER ID")]);
    let both = |template: &str| {
        let template = Template::parse(template).unwrap();
        (
            template.header(&titles),
            template.fill(&row).unwrap_or_else(|e| e.to_string()),
        )
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        both("{{.ID}} {{.Label \"com.x\"}}"),
        pair("CONTAINER ID x", "abc 1")
    );
    assert_eq!(
        both("{{upper .ID}} {{json .ID}}"),
        pair("CONTAINER ID CONTAINER ID", "ABC \"abc\"")
    );
    assert_eq!(both("{{truncate .ID 1}}"), pair("CONTAINER ID", "a"));
    assert_eq!(both("{{json .}}").1, "{\"ID\":\"abc\"}");
    assert_eq!(
        both("{{.Nope}}").1,
        "template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *formatter.ContainerContext"
    );
    assert_eq!(
        both("{{.Label}}").1,
        "template: :1:2: executing \"\" at <.Label>: wrong number of args for Label: want 1 got 0"
    );
}

#[test]
fn hostile_templates_end() {
    let refused = |template: String| {
        let error = Template::parse(&template).and_then(|t| t.inspect(&object()));
        error.unwrap_err()
    };
    // Deeper than any stack.
    for (open, close) in [
        ("{{if 1}}", "{{end}}"),
        ("{{if 1}}{{else if 1}}", "{{end}}"),
    ] {
        let deep = format!("{}{}", open.repeat(100_000), close.repeat(100_000));
        assert!(matches!(refused(deep), TemplateError::Parse { .. }));
    }
    let parens = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(matches!(refused(parens), TemplateError::Parse { .. }));
    // Larger than any memory.
    for template in [
        "{{pad \"x\" 9000000000000 0}}",
        "{{$x := \"xxxxxxxxxxxxxxxx\"}}{{range 99}}{{$x = print $x $x}}{{end}}",
        "{{range 9}}{{pad \"x\" 16000000 0}}{{end}}",
    ] {
        refused(template.to_owned());
    }
    assert_eq!(print("{{printf \"%9999999d\" 1}}"), "%!(BADWIDTH)1");
    for verb in ["d", "s", "f", "e", "g", "x", "q"] {
        let wide = print(&format!("{{{{printf \"%900000.900000{verb}\" 1.5}}}}"));
        assert!(wide.len() < 3_000_000, "{verb}");
    }
    assert_eq!(print("{{printf \"%.70000f\" 1.5 | len}}"), "70002");
    // Longer than any patience.
    assert!(matches!(
        refused("{{range 99999999999}}{{range 99999999999}}{{end}}{{end}}".to_owned()),
        TemplateError::Endless(_)
    ));
    // Not UTF-8 boundaries.
    assert_eq!(
        print("{{slice \"é\" 0 1}}{{truncate \"é\" 1}}"),
        "\u{fffd}\u{fffd}"
    );
}
