//! Every word of the job file: the keys of each table, and the words that a later version will take.

/// The keys of one table of the job file.
pub(crate) struct Table {
    /// As documentation writes it; empty for the top of the file.
    pub(crate) path: &'static str,
    pub(crate) keys: &'static [&'static str],
    /// Words of the language that this version refuses by name.
    pub(crate) later: &'static [&'static str],
}

pub(crate) const JOB: Table = Table {
    path: "",
    keys: &[
        "name",
        "framework",
        "guarantee",
        "am",
        "properties",
        "limits",
        "roles",
    ],
    later: &["sources", "transforms", "sinks"],
};

pub(crate) const MANAGER: Table = Table {
    path: "am",
    keys: &["plugin", "properties"],
    later: &[],
};

pub(crate) const JOB_LIMITS: Table = Table {
    path: "limits",
    keys: &[
        "place_within",
        "stop_within",
        "orphan_grace",
        "agent_lost_after",
        "quarantine_grace",
        "restarts",
    ],
    later: &[],
};

pub(crate) const ROLE: Table = Table {
    path: "roles.NAME",
    keys: &[
        "nodes",
        "nodes_min",
        "nodes_max",
        "plugin",
        "properties",
        "script",
        "command",
        "python",
        "arguments",
        "environment",
        "files",
        "cores",
        "memory",
        "gpus",
        "limits",
    ],
    later: &["input", "dealing"],
};

pub(crate) const ROLE_LIMITS: Table = Table {
    path: "roles.NAME.limits",
    keys: &[
        "start_within",
        "report_within",
        "respond_within",
        "attach_within",
        "linger_within",
        "stall_kill",
        "stop_grace",
        "log_bytes",
    ],
    later: &[],
};

const TABLES: [&Table; 5] = [&JOB, &MANAGER, &JOB_LIMITS, &ROLE, &ROLE_LIMITS];

/// What people write for a key, from other systems.
const OTHER_WORDS: [(&str, &str); 12] = [
    ("args", "arguments"),
    ("cmd", "command"),
    ("count", "nodes"),
    ("cpus", "cores"),
    ("env", "environment"),
    ("gpu", "gpus"),
    ("instances", "nodes"),
    ("interpreter", "python"),
    ("manager", "am"),
    ("replicas", "nodes"),
    ("runner", "plugin"),
    ("venv", "python"),
];

/// Every key of the job file by its full name, such as `roles.NAME.nodes`.
pub fn keys() -> impl Iterator<Item = String> {
    TABLES.into_iter().flat_map(|table| {
        table.keys.iter().map(|key| match table.path {
            "" => (*key).to_owned(),
            path => format!("{path}.{key}"),
        })
    })
}

/// What the user may have meant by an unknown `key` of `table`.
pub(crate) fn suggestion(table: &Table, key: &str) -> Option<String> {
    let other = OTHER_WORDS
        .iter()
        .find(|(word, _)| *word == key)
        .map(|(_, meant)| *meant);
    if let Some(meant) = other.filter(|meant| table.keys.contains(meant)) {
        return Some(format!("did you mean `{meant}`?"));
    }
    if let Some(home) = TABLES.iter().find(|home| home.keys.contains(&key)) {
        return Some(match home.path {
            "" => format!("`{key}` belongs at the top of the file, before the first `[table]`"),
            path => format!("`{key}` belongs in `[{path}]`"),
        });
    }
    nearest(key, table.keys).map(|meant| format!("did you mean `{meant}`?"))
}

/// The candidate that is few typing mistakes away from `word`.
pub(crate) fn nearest<'a, S: AsRef<str> + 'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a S>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(word, candidate.as_ref()),
                candidate.as_ref(),
            )
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
