//! Interpreters, scripts, staged files.

use forebay_cluster::wire::cluster::program::Kind;
use forebay_cluster::wire::cluster::{
    CommandProgram, Interpreter, LaunchFile, ScriptProgram, StagedFile, Start,
};

use crate::harness::tests;
use crate::life::not_started;
use crate::world::{World, code, node_id, program, shell};

tests![
    a_staged_script_runs_and_its_traceback_is_told,
    a_file_is_fetched_once_for_all_nodes,
    a_missing_interpreter_is_named_with_the_places_tried,
    a_missing_script_is_named,
    a_missing_program_is_named,
    a_file_that_the_manager_does_not_have_is_named,
    a_path_that_leaves_the_working_folder_is_refused,
    a_program_that_is_none_is_told_by_the_systems_word,
];

fn script(path: &str, interpreter: &str) -> Start {
    let interpreter = Some(Interpreter {
        name: interpreter.to_owned(),
        base: "/nowhere/job".to_owned(),
    });
    program(Kind::Script(ScriptProgram {
        interpreter,
        path: path.to_owned(),
        arguments: vec!["--fast".to_owned()],
    }))
}

fn staged(path: &str, sha256: &str, bytes: usize) -> StagedFile {
    StagedFile {
        path: path.to_owned(),
        sha256: sha256.to_owned(),
        bytes: bytes as u64,
        executable: false,
    }
}

async fn a_staged_script_runs_and_its_traceback_is_told() {
    let mut world = World::new().await;
    let text =
        b"import sys, helper\nprint(sys.argv[1:], open('plan.json').read())\nraise KeyError('x')\n";
    let helper = b"";
    let files = vec![
        staged("lib/train.py", &world.manager.stage(text), text.len()),
        staged("lib/helper.py", &world.manager.stage(helper), 0),
    ];
    let plan = LaunchFile {
        path: "plan.json".to_owned(),
        content: b"{}".to_vec(),
    };
    let start = Start {
        staged: files,
        files: vec![plan],
        arguments: vec!["--more".to_owned()],
        ..script("lib/train.py", "/usr/bin/python3")
    };
    world.talk.run(start).await;
    let ended = world.talk.ended().await;
    assert_eq!(code(&ended), Some(1));
    assert_eq!(ended.last_lines[0], "['--fast', '--more'] {}");
    let error = ended.error.unwrap();
    assert_eq!(
        (error.kind.as_str(), error.message.as_str()),
        ("KeyError", "'x'")
    );
    assert!(
        error.traceback.contains("lib/train.py"),
        "{}",
        error.traceback
    );
}

async fn a_file_is_fetched_once_for_all_nodes() {
    let mut world = World::new().await;
    let hash = world.manager.stage(b"content");
    for index in 0..3 {
        world.talk.place(&format!("worker:{index}"), &[]).await;
    }
    for index in 0..3 {
        let node = Some(node_id(&format!("worker:{index}")));
        let staged = vec![staged("data", &hash, 7)];
        world
            .talk
            .start(Start {
                node,
                staged,
                ..shell("cat data")
            })
            .await;
    }
    for _node in 0..3 {
        assert_eq!(world.talk.ended().await.last_lines, ["content"]);
    }
    assert_eq!(world.manager.fetches(), [hash]);
}

/// Places `worker:0`, starts this, and wants a refusal: code, message, hint.
async fn refusal(start: Start) -> (String, String, String) {
    let mut world = World::new().await;
    world.talk.place("worker:0", &[]).await;
    world.talk.start(start).await;
    let ended = world.talk.ended().await;
    let refused = not_started(&ended);
    (refused.code, refused.message, ended.hint)
}

async fn a_missing_interpreter_is_named_with_the_places_tried() {
    let (code, message, hint) = refusal(script("a.py", "digits")).await;
    assert_eq!(code, "interpreter-missing");
    assert!(
        message.starts_with("no Python interpreter for `digits`; these places were tried: "),
        "{message}"
    );
    assert!(
        message.contains("`/nowhere/job/.forebay/environments/digits/bin/python`"),
        "{message}"
    );
    assert!(
        message.contains("`/nowhere/.forebay/environments/digits/bin/python`"),
        "{message}"
    );
    assert!(hint.contains("make an environment"), "{hint}");
}

async fn a_missing_script_is_named() {
    let (code, message, _) = refusal(script("a.py", "/usr/bin/python3")).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        (
            "script-missing",
            "the script `a.py` is not among the staged files"
        )
    );
}

async fn a_missing_program_is_named() {
    let words = vec!["no-such-program".to_owned()];
    let (code, message, _) = refusal(program(Kind::Command(CommandProgram { words }))).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        (
            "program-missing",
            "there is no program `no-such-program` on the path"
        )
    );
}

async fn a_file_that_the_manager_does_not_have_is_named() {
    let staged = vec![staged("data", &"0".repeat(64), 7)];
    let (code, message, _) = refusal(Start {
        staged,
        ..shell("exit")
    })
    .await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        (
            "staging-failed",
            "the application manager does not have `data`"
        )
    );
}

async fn a_path_that_leaves_the_working_folder_is_refused() {
    let files = vec![LaunchFile {
        path: "../outside".to_owned(),
        content: Vec::new(),
    }];
    let (code, message, _) = refusal(Start {
        files,
        ..shell("exit")
    })
    .await;
    assert_eq!(code, "staging-failed");
    assert_eq!(
        message,
        "the path `../outside` does not stay below the node's working folder"
    );
}

async fn a_program_that_is_none_is_told_by_the_systems_word() {
    let content = b"#!/no/such/interpreter\n";
    let mut world = World::new().await;
    let file = StagedFile {
        executable: true,
        ..staged("tool", &world.manager.stage(content), content.len())
    };
    world.talk.place("worker:0", &[]).await;
    let words = vec!["./tool".to_owned()];
    world
        .talk
        .start(Start {
            staged: vec![file],
            ..program(Kind::Command(CommandProgram { words }))
        })
        .await;
    let refused = not_started(&world.talk.ended().await);
    assert_eq!(refused.code, "spawn-failed");
    assert!(
        refused.message.contains("No such file or directory"),
        "{}",
        refused.message
    );
}
