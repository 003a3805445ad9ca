//! What a user reads for each kind of mistake.

use std::collections::BTreeSet;

use forebay_job::{Diagnostic, Document};
use insta::assert_snapshot;

use crate::{lines, problems};

const TWELVE: &str = r#"# no name
guarantee = "exactly-once"
framwork = "ring"

[limits]
place_within = "soon"

[roles.worker]
nodes = "two"
script = "train.py"
command = ["train"]

[roles.server]
nodes_min = 4
nodes_max = 2
script = "/srv/serve.py"
environment = { FOREBAY_ROLE = "server" }

[roles.Scorer]
command = ["score"]
enviroment = { LEVEL = "high" }
dealing = { rounds = 2 }
"#;

#[test]
fn twelve_mistakes_are_twelve_reports_in_one_run() {
    assert_eq!(problems(TWELVE).lines().count(), 12);
    assert_snapshot!(problems(TWELVE), @r#"
job.toml:1:1: error[job/missing-key]: the job has no `name` (name); hint: begin the file with `name = "my-job"`
job.toml:2:13: error[job/not-supported]: the guarantee `exactly-once` is not supported by this version (guarantee); hint: write `guarantee = "none"`: a failure then begins the job's input again
job.toml:3:1: error[job/unknown-key]: `framwork` is not a key of a job file (framwork); hint: did you mean `framework`?
job.toml:6:16: error[job/bad-value]: `place_within` is "soon", which is not a duration (limits.place_within); hint: a whole number and a unit, such as "10 min" or "500 ms"
job.toml:9:9: error[job/wrong-type]: `nodes` wants a whole number, found a string (roles.worker.nodes); hint: such as `nodes = 1`
job.toml:11:11: error[job/conflict]: `script` and `command` exclude each other (roles.worker.command); hint: `script` is run by the role's `python`; `command` is any other program
job.toml:14:13: error[job/conflict]: `nodes_min` is 4, more than `nodes_max`, 2 (roles.server.nodes_min); hint: `nodes` lies between the two bounds; it is 1 unless given
job.toml:16:10: error[job/bad-path]: `script`: the path "/srv/serve.py" is absolute (roles.server.script); hint: give a path inside the folder of the job file, relative to it
job.toml:17:17: error[job/bad-variable]: the variable `FOREBAY_ROLE` belongs to the host (roles.server.environment.FOREBAY_ROLE); hint: names that begin with `FOREBAY_` are reserved
job.toml:19:8: error[job/bad-name]: "Scorer" cannot name a role (roles.Scorer); hint: use lower-case letters, digits and dashes, a letter first, at most 63 characters: `scorer`
job.toml:21:1: error[job/unknown-key]: `enviroment` is not a key of `[roles.Scorer]` (roles.Scorer.enviroment); hint: did you mean `environment`?
job.toml:22:11: error[job/missing-key]: `dealing` wants an `input`, and the role has none (roles.Scorer.dealing); hint: add `input = "NAME"`, a source, a transform or a role with an `output`
"#);
}

#[test]
fn the_missing_name_is_reported_beside_others() {
    assert_snapshot!(problems("[roles.a]\nnodes = 1.5\n"), @r#"
job.toml:1:1: error[job/missing-key]: the job has no `name` (name); hint: begin the file with `name = "my-job"`
job.toml:1:8: error[job/missing-key]: the role has nothing to run (roles.a); hint: add `script = "train.py"` or `command = ["program", "argument"]`
job.toml:2:9: error[job/wrong-type]: `nodes` wants a whole number, found a float (roles.a.nodes); hint: such as `nodes = 1`
"#);
}

#[test]
fn syntax_errors_stop() {
    assert_snapshot!(problems("name = \"a\n[roles.a]\n"), @r#"
job.toml:1:10: error[job/syntax]: this is not valid TOML: invalid basic string, expected `"`
"#);
    assert_snapshot!(problems("[roles.a\n"), @r"
job.toml:1:9: error[job/syntax]: this is not valid TOML: unclosed table, expected `]`
");
    assert_snapshot!(problems("name = \n"), @r"
job.toml:1:8: error[job/syntax]: this is not valid TOML: string values must be quoted, expected literal string
");
}

#[test]
fn two_roles_of_one_name_tell_both_places() {
    let text =
        "name = \"a\"\n\n[roles.worker]\nscript = \"a.py\"\n\n[roles.worker]\nscript = \"b.py\"\n";
    assert_snapshot!(problems(text), @r"
job.toml:6:8: error[job/duplicate-key]: two roles are named `worker`, first in line 3 (roles.worker); hint: rename one of them, or put both into one
");
}

#[test]
fn a_key_given_twice_tells_both_places() {
    assert_snapshot!(problems("name = \"a\"\nname = \"b\"\n"), @r"
job.toml:2:1: error[job/duplicate-key]: `name` is given twice, first in line 1 (name); hint: rename one of them, or put both into one
");
    assert_snapshot!(problems("[roles.a]\nnodes = 1\ncores = 1\nnodes = 2\n"), @r"
job.toml:4:1: error[job/duplicate-key]: `roles.a.nodes` is given twice, first in line 2 (roles.a.nodes); hint: rename one of them, or put both into one
");
    assert_snapshot!(problems("am = { plugin = \"a\", plugin = \"b\" }\n"), @r"
job.toml:1:22: error[job/duplicate-key]: `am` is given twice (am); hint: rename one of them, or put both into one
");
}

#[test]
fn unknown_keys_offer_the_nearest() {
    let text = r#"
name = "a"
script = "a.py"
sourses = 1
[am]
propertis = {}
[roles.a]
command = ["true"]
replicas = 2
nodse = 2
colour = "red"
limits = { grace = "1 s", stop_grase = "1 s" }
"#;
    assert_snapshot!(problems(text), @r"
job.toml:3:1: error[job/unknown-key]: `script` is not a key of a job file (script); hint: `script` belongs in `[roles.NAME]`
job.toml:4:1: error[job/unknown-key]: `sourses` is not a key of a job file (sourses); hint: did you mean `sources`?
job.toml:6:1: error[job/unknown-key]: `propertis` is not a key of `[am]` (am.propertis); hint: did you mean `properties`?
job.toml:9:1: error[job/unknown-key]: `replicas` is not a key of `[roles.a]` (roles.a.replicas); hint: did you mean `nodes`?
job.toml:10:1: error[job/unknown-key]: `nodse` is not a key of `[roles.a]` (roles.a.nodse); hint: did you mean `nodes`?
job.toml:11:1: error[job/unknown-key]: `colour` is not a key of `[roles.a]` (roles.a.colour); hint: known keys: nodes, nodes_min, nodes_max, plugin, properties, script, command, python, arguments, environment, files, cores, memory, gpus, input, dealing, passes, tensors, output, input_ring, output_ring, limits
job.toml:12:12: error[job/unknown-key]: `grace` is not a key of `[roles.a.limits]` (roles.a.limits.grace); hint: known keys: start_within, report_within, respond_within, attach_within, linger_within, stall_kill, stop_grace, log_bytes
job.toml:12:27: error[job/unknown-key]: `stop_grase` is not a key of `[roles.a.limits]` (roles.a.limits.stop_grase); hint: did you mean `stop_grace`?
");
}

#[test]
fn words_of_later_versions_are_refused_by_name() {
    let text = r#"
name = "a"
guarantee = "at-least-once"
[sources.rows]
path = "rows.csv"
[roles.a]
command = ["true"]
input = "rows"
"#;
    assert_snapshot!(problems(text), @r#"
job.toml:3:13: error[job/not-supported]: the guarantee `at-least-once` is not supported by this version (guarantee); hint: write `guarantee = "none"`: a failure then begins the job's input again
"#);
}

#[test]
fn wrong_types_say_what_was_found_and_wanted() {
    let text = r#"
name = 3
framework = ["a"]
properties = "x"
am = 1
[roles]
a = 1
[roles.b]
command = "echo hello"
nodes = "2"
python = true
arguments = [1, [2]]
environment = { A = { B = 1 } }
memory = 1024
limits.stop_grace = 10
"#;
    assert_snapshot!(problems(text), @r#"
job.toml:2:8: error[job/wrong-type]: `name` wants a string, found an integer (name); hint: give one string in quotes
job.toml:3:13: error[job/wrong-type]: `framework` wants a string, found an array (framework); hint: give one string in quotes
job.toml:4:14: error[job/wrong-type]: `properties` wants a table, found a string (properties); hint: write `[properties]`
job.toml:5:6: error[job/wrong-type]: `am` wants a table, found an integer (am); hint: write `[am]`
job.toml:7:5: error[job/wrong-type]: `a` wants a table, found an integer (roles.a); hint: write `[roles.a]`
job.toml:9:11: error[job/wrong-type]: `command` wants a list of strings, found a string (roles.b.command); hint: write `command = ["echo", "hello"]`
job.toml:10:9: error[job/wrong-type]: `nodes` wants a whole number, found a string (roles.b.nodes); hint: such as `nodes = 1`
job.toml:11:10: error[job/wrong-type]: `python` wants a string, found a boolean (roles.b.python); hint: give one string in quotes
job.toml:12:17: error[job/wrong-type]: `arguments` wants strings, numbers or booleans, found an array (roles.b.arguments)
job.toml:13:21: error[job/wrong-type]: `A` wants strings, numbers or booleans, found an inline table (roles.b.environment.A)
job.toml:14:10: error[job/wrong-type]: `memory` wants a size in quotes, found an integer (roles.b.memory); hint: a whole number and a unit, such as "512 MiB" or "2 GB"
job.toml:15:21: error[job/wrong-type]: `stop_grace` wants a duration in quotes, found an integer (roles.b.limits.stop_grace); hint: a whole number and a unit, such as "10 min" or "500 ms"
"#);
    assert_snapshot!(problems("name = \"a\"\n[[roles]]\nname = \"a\"\n"), @r"
job.toml:2:3: error[job/wrong-type]: `roles` wants a table, found an array of tables (roles); hint: write `[roles.NAME]` for each, in single brackets
");
}

#[test]
fn values_outside_their_bounds() {
    let text = r#"
name = "a"
guarantee = "always"
[limits]
place_within = "0 s"
orphan_grace = "400 days"
[roles.a]
command = ["true"]
nodes = 0
cores = -1
gpus = 65
memory = "12 parsecs"
[roles.b]
command = ["true"]
nodes_min = 2
[roles.c]
command = ["true"]
nodes = 5
nodes_max = 4
"#;
    assert_snapshot!(problems(text), @r#"
job.toml:3:13: error[job/bad-value]: "always" is not a guarantee (guarantee); hint: one of `none`, `at-least-once`, `exactly-once`
job.toml:5:16: error[job/out-of-range]: `place_within` is 0 ms (limits.place_within); hint: give 1 ms to 365 days
job.toml:6:16: error[job/out-of-range]: `orphan_grace` is 9600 hours (limits.orphan_grace); hint: give 1 ms to 365 days
job.toml:9:9: error[job/out-of-range]: `nodes` is 0 (roles.a.nodes); hint: give a number from 1 to 10000
job.toml:10:9: error[job/out-of-range]: `cores` is -1 (roles.a.cores); hint: give a number from 1 to 4096
job.toml:11:8: error[job/out-of-range]: `gpus` is 65 (roles.a.gpus); hint: give a number from 0 to 64
job.toml:12:10: error[job/bad-value]: `memory` is "12 parsecs", which is not a size (roles.a.memory); hint: a whole number and a unit, such as "512 MiB" or "2 GB"
job.toml:15:13: error[job/conflict]: `nodes` is 1, fewer than `nodes_min`, 2 (roles.b.nodes_min); hint: `nodes` lies between the two bounds; it is 1 unless given
job.toml:19:13: error[job/conflict]: `nodes` is 5, more than `nodes_max`, 4 (roles.c.nodes_max); hint: `nodes` lies between the two bounds; it is 1 unless given
"#);
}

#[test]
fn names_are_checked_and_better_ones_offered() {
    let text = r#"
name = "My Job"
framework = ""
[am]
plugin = "a b"
[roles.Worker_1]
command = ["true"]
[roles.am]
command = ["true"]
[roles."ü"]
command = ["true"]
[roles.a]
script = "a.py"
python = "my env"
environment = { "A=B" = "", FOREBAY_X = "1", OK_1 = "fine" }
"#;
    assert_snapshot!(problems(text), @r#"
job.toml:2:8: error[job/bad-name]: "My Job" cannot name a job (name); hint: use lower-case letters, digits and dashes, a letter first, at most 63 characters: `my-job`
job.toml:3:13: error[job/bad-name]: "" is neither the name nor the path of a plugin (framework); hint: give a name such as `command`, or a path with a `/` in it
job.toml:5:10: error[job/bad-name]: "a b" is neither the name nor the path of a plugin (am.plugin); hint: give a name such as `command`, or a path with a `/` in it
job.toml:6:8: error[job/bad-name]: "Worker_1" cannot name a role (roles.Worker_1); hint: use lower-case letters, digits and dashes, a letter first, at most 63 characters: `worker-1`
job.toml:8:8: error[job/bad-name]: "am" cannot name a role (roles.am); hint: settings of the application manager go into `[am]`; call the role something else
job.toml:10:8: error[job/bad-name]: "ü" cannot name a role (roles."ü"); hint: use lower-case letters, digits and dashes, a letter first, at most 63 characters
job.toml:14:10: error[job/bad-name]: "my env" is neither the name of an environment nor a path (roles.a.python); hint: give an environment's name, or the path of a Python with a `/` in it
job.toml:15:17: error[job/bad-variable]: "A=B" cannot name an environment variable (roles.a.environment."A=B"); hint: use letters, digits and underscores, no digit first
job.toml:15:29: error[job/bad-variable]: the variable `FOREBAY_X` belongs to the host (roles.a.environment.FOREBAY_X); hint: names that begin with `FOREBAY_` are reserved
"#);
}

#[test]
fn paths_and_programs_are_checked() {
    let text = r#"
name = "a"
[roles.a]
script = "../train.py"
files = ["/etc/passwd", "data/***", "ok/*.csv"]
[roles.b]
command = []
[roles.c]
command = ["bin/../../run"]
[roles.d]
[roles.e]
plugin = "brings-its-own"
[roles.f]
command = ["a\u0000b"]
[roles.g]
command = ["python", "a.py"]
python = "home"
"#;
    assert_snapshot!(problems(text), @r#"
job.toml:4:10: error[job/bad-path]: `script`: the path "../train.py" leaves the folder of the job file (roles.a.script); hint: give a path inside the folder of the job file, relative to it
job.toml:5:9: error[job/bad-path]: `files`: the path "/etc/passwd" is absolute (roles.a.files); hint: give a path inside the folder of the job file, relative to it
job.toml:5:9: error[job/bad-value]: "data/***" is not a pattern: wildcards are either regular `*` or recursive `**` (roles.a.files); hint: `*` is any text but `/`, `**` any folders, `?` one character, `[ab]` one of these
job.toml:7:11: error[job/bad-value]: `command` names no program (roles.b.command); hint: the first word is the program
job.toml:9:11: error[job/bad-path]: `command`: the path "bin/../../run" leaves the folder of the job file (roles.c.command); hint: give a path inside the folder of the job file, relative to it
job.toml:10:8: error[job/missing-key]: the role has nothing to run (roles.d); hint: add `script = "train.py"` or `command = ["program", "argument"]`
job.toml:14:12: error[job/bad-value]: `command` holds a NUL character (roles.f.command)
job.toml:17:10: warning[job/no-effect]: `python` does not choose the program of a `command` (roles.g.python); hint: use `script`, or begin the command with the interpreter's path
"#);
}

#[test]
fn a_job_without_roles_has_nothing_to_run() {
    assert_snapshot!(problems("name = \"a\"\n"), @r"
job.toml:1:1: error[job/no-roles]: the job has neither roles nor a dataflow, so nothing would run (roles); hint: add `[roles.NAME]` with a `script` or a `command`, or `[sources.NAME]` and `[sinks.NAME]`
");
}

#[test]
fn columns_count_characters() {
    assert_snapshot!(problems("name = \"a\"\nroles.a = { environment = { A = \"üü\" }, x = 1, command = [\"a\"] }\n"), @r"
job.toml:2:41: error[job/unknown-key]: `x` is not a key of `[roles.a]` (roles.a.x); hint: known keys: nodes, nodes_min, nodes_max, plugin, properties, script, command, python, arguments, environment, files, cores, memory, gpus, input, dealing, passes, tensors, output, input_ring, output_ring, limits
");
}

#[test]
fn problems_of_others_find_their_place() {
    let text = "name = \"a\"\n[roles.worker]\nnodes = 2\nproperties = { \"a.b\" = \"c\" }\n";
    let document = Document::parse(text, "job.toml", "");
    let keys = [
        "roles.worker.nodes",
        "roles.worker.gpus",
        "roles.worker.properties.\"a.b\"",
        "roles.scheduler.nodes",
        "roles",
        "am.plugin",
        "not a key [",
    ];
    let located = keys.map(|key| document.locate(Diagnostic::error("ring/odd", key, "odd")));
    assert_snapshot!(lines(&located), @r#"
job.toml:3:9: error[ring/odd]: odd (roles.worker.nodes)
job.toml:2:8: error[ring/odd]: odd (roles.worker.gpus)
job.toml:4:24: error[ring/odd]: odd (roles.worker.properties."a.b")
job.toml:2:2: error[ring/odd]: odd (roles.scheduler.nodes)
job.toml:2:2: error[ring/odd]: odd (roles)
job.toml:1:1: error[ring/odd]: odd (am.plugin)
job.toml:1:1: error[ring/odd]: odd (not a key [)
"#);
}

#[test]
fn a_text_that_is_too_large_is_refused() {
    let text = "#".repeat(forebay_job::TEXT_BYTES_MAX + 1);
    assert_snapshot!(problems(&text), @r"
job.toml:1:1: error[job/too-large]: the job file is larger than 1048576 bytes; hint: keep data in files of its own that the job names
");
}

/// Names of sources and transforms, and of sinks, that nobody had better look at.
fn mistaken(text: &str) -> Option<(Vec<String>, Vec<String>)> {
    let text = format!("name = \"job\"\n{text}");
    let mistaken = Document::parse(text, "job.toml", "").check().mistaken()?;
    let list = |names: BTreeSet<String>| names.into_iter().collect();
    Some((list(mistaken.relations), list(mistaken.sinks)))
}

#[test]
fn only_what_has_a_mistake_is_mistaken() {
    let source = "[sources.rows]\npath = \"rows.csv\"\n";
    let sink = "[sinks.out]\ninput = \"rows\"\nto = \"blackhole\"\n";
    let of = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    let both = |relations: &[&str], sinks: &[&str]| Some((of(relations), of(sinks)));
    for (text, expected) in [
        (format!("{source}{sink}"), both(&[], &[])),
        (
            format!("{source}delimeter = \";\"\n{sink}"),
            both(&["rows"], &[]),
        ),
        (
            format!("{source}{sink}overwrit = true\n"),
            both(&[], &["out"]),
        ),
        // Its place can be looked at.
        (
            format!("{source}{}", sink.replace("rows", "row")),
            both(&[], &[]),
        ),
        // A name without quotes is one of small letters.
        (
            format!("[sources.Rows]\npath = \"rows.csv\"\n{sink}"),
            both(&["Rows", "rows"], &[]),
        ),
        (
            format!("[sources.\"a.b\"]\npath = \"rows.csv\"\n{sink}"),
            both(&["a.b"], &[]),
        ),
        // The sink has the name of the transform.
        (
            format!("{source}[transforms.out]\nsql = \"SELECT * FROM rows\"\n{sink}"),
            both(&[], &["out"]),
        ),
        (source.to_owned(), both(&[], &[])),
        (
            format!("{source}[[sinks]]\ninput = \"rows\"\n"),
            both(&[], &[]),
        ),
        // Nobody knows what there is.
        (format!("[[sources]]\npath = \"rows.csv\"\n{sink}"), None),
        (format!("[source.rows]\npath = \"rows.csv\"\n{sink}"), None),
        ("[sources".to_owned(), None),
    ] {
        assert_eq!(mistaken(&text), expected, "{text}");
    }
}

#[test]
fn roles_with_an_output_are_mistaken_like_relations() {
    let dataflow =
        "[sources.rows]\npath = \"rows.csv\"\n[sinks.out]\ninput = \"rows\"\nto = \"blackhole\"\n";
    let score = "output.score = \"int8\"";
    for (role, expected) in [
        (
            "[roles.scorer]\ninput = \"rows\"\noutput.score = 1".to_owned(),
            Some(vec!["scorer"]),
        ),
        (
            format!("[roles.scorer]\ninput = \"row\"\n{score}"),
            Some(vec!["scorer"]),
        ),
        (
            format!("[roles.Scorer]\ninput = \"rows\"\n{score}"),
            Some(vec!["Scorer", "scorer"]),
        ),
        // Its rows are what they are, however many nodes make them.
        (
            format!("[roles.scorer]\nnodes = 0\ninput = \"rows\"\n{score}"),
            Some(vec![]),
        ),
        // A role that answers nothing gives no rows.
        ("[roles.scorer]\ninput = \"row\"".to_owned(), Some(vec![])),
        // Nobody knows which of them give rows.
        ("[[roles]]\ninput = \"rows\"".to_owned(), None),
        ("[role.a]\ninput = \"rows\"".to_owned(), None),
    ] {
        let text = format!("{dataflow}{role}\ncommand = [\"true\"]\n");
        let relations = mistaken(&text).map(|(relations, _)| relations);
        let expected = expected.map(|names| names.into_iter().map(str::to_owned).collect());
        assert_eq!(relations, expected, "{text}");
    }
}

#[test]
fn a_draft_keeps_what_could_be_read() {
    let text = "[roles.a]\nnodes = \"x\"\ncommand = [\"true\"]\n[roles.B]\ncommand = [\"true\"]\n";
    let checked = Document::parse(text, "job.toml", "").check();
    let draft = checked.draft().expect("no syntax error");
    let roles: Vec<_> = draft
        .roles
        .iter()
        .map(|role| (role.name.as_str(), role.nodes))
        .collect();
    assert_eq!(roles, [("a", 1)]);
    assert!(checked.into_job().is_err());
}
