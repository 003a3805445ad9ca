//! Every word of the job file: the keys of each table, and what other systems call them.

/// The keys of one table of the job file.
pub(crate) struct Table {
    /// As documentation writes it; empty for the top of the file.
    pub(crate) path: &'static str,
    pub(crate) keys: &'static [&'static str],
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
        "dataflow",
        "sources",
        "transforms",
        "sinks",
        "roles",
    ],
};

pub(crate) const MANAGER: Table = Table {
    path: "am",
    keys: &["plugin", "properties"],
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
        "input",
        "dealing",
        "passes",
        "tensors",
        "output",
        "input_ring",
        "output_ring",
        "limits",
    ],
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
};

pub(crate) const DEALING: Table = Table {
    path: "roles.NAME.dealing",
    keys: &["rounds", "pad", "key", "rows", "credit"],
};

pub(crate) const DATAFLOW: Table = Table {
    path: "dataflow",
    keys: &[
        "parallelism",
        "threads",
        "memory",
        "queue_rows",
        "queue_bytes",
    ],
};

pub(crate) const SOURCE: Table = Table {
    path: "sources.NAME",
    keys: &[
        "path",
        "generate",
        "format",
        "compression",
        "schema",
        "delimiter",
        "quote",
        "escape",
        "header",
        "null_values",
        "malformed",
        "record_bytes",
        "parallelism",
        "batch_rows",
        "event_time",
        "watermark",
        "idle_after",
        "replay",
    ],
};

pub(crate) const MALFORMED: Table = Table {
    path: "sources.NAME.malformed",
    keys: &["skip"],
};

pub(crate) const REPLAY: Table = Table {
    path: "sources.NAME.replay",
    keys: &["speed", "start"],
};

pub(crate) const GENERATE: Table = Table {
    path: "sources.NAME.generate",
    keys: &["rate", "rows", "seed", "columns"],
};

pub(crate) const GENERATE_COLUMN: Table = Table {
    path: "sources.NAME.generate.columns.NAME",
    keys: &[
        "kind",
        "least",
        "most",
        "mean",
        "deviation",
        "of",
        "share",
        "start",
        "step",
    ],
};

pub(crate) const TRANSFORM: Table = Table {
    path: "transforms.NAME",
    keys: &[
        "sql",
        "sql_file",
        "operator",
        "input",
        "config",
        "key",
        "parallelism",
    ],
};

pub(crate) const SINK: Table = Table {
    path: "sinks.NAME",
    keys: &[
        "input",
        "path",
        "to",
        "format",
        "delimiter",
        "quote",
        "escape",
        "header",
        "null_values",
        "overwrite",
        "parallelism",
    ],
};

/// Of several that have a key, the first is named to whoever puts it into another one that is no part of these.
const TABLES: [&Table; 14] = [
    &JOB,
    &MANAGER,
    &JOB_LIMITS,
    &ROLE,
    &ROLE_LIMITS,
    &DATAFLOW,
    &SOURCE,
    &MALFORMED,
    &REPLAY,
    &GENERATE,
    &GENERATE_COLUMN,
    &TRANSFORM,
    &SINK,
    &DEALING,
];

/// What people write for a key, from other systems; a word may mean one thing in one table and another in the next.
const OTHER_WORDS: [(&str, &str); 59] = [
    ("args", "arguments"),
    ("batch", "dealing"),
    ("batch_rows", "dealing"),
    ("batch_rows", "rounds"),
    ("batch_size", "batch_rows"),
    ("batch_size", "dealing"),
    ("batch_size", "rounds"),
    ("buffer", "input_ring"),
    ("cmd", "command"),
    ("columns", "schema"),
    ("columns", "tensors"),
    ("component", "operator"),
    ("count", "nodes"),
    ("cpus", "cores"),
    ("distribution", "dealing"),
    ("env", "environment"),
    ("epochs", "passes"),
    ("features", "tensors"),
    ("file", "path"),
    ("file", "sql_file"),
    ("from", "input"),
    ("gpu", "gpus"),
    ("inputs", "input"),
    ("instances", "nodes"),
    ("interpreter", "python"),
    ("iterations", "passes"),
    ("keys", "key"),
    ("location", "path"),
    ("manager", "am"),
    ("max", "most"),
    ("min", "least"),
    ("na_values", "null_values"),
    ("options", "config"),
    ("outputs", "output"),
    ("padding", "pad"),
    ("parallelism", "nodes"),
    ("partition_by", "key"),
    ("partitioning", "dealing"),
    ("partitions", "parallelism"),
    ("predictions", "output"),
    ("query", "sql"),
    ("repeat", "passes"),
    ("replicas", "nodes"),
    ("rowtime", "event_time"),
    ("runner", "plugin"),
    ("select", "sql"),
    ("sep", "delimiter"),
    ("separator", "delimiter"),
    ("settings", "config"),
    ("sharding", "dealing"),
    ("source", "input"),
    ("target", "to"),
    ("tasks", "parallelism"),
    ("timestamp", "event_time"),
    ("type", "format"),
    ("type", "kind"),
    ("values", "of"),
    ("venv", "python"),
    ("weight", "pad"),
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
        .find(|(word, meant)| *word == key && table.keys.contains(meant));
    if let Some((_, meant)) = other {
        return Some(format!("did you mean `{meant}`?"));
    }
    let homes = TABLES.iter().filter(|home| home.keys.contains(&key));
    // Better a table inside this one.
    if let Some(home) = homes.min_by_key(|home| !home.path.starts_with(table.path)) {
        return Some(match home.path {
            "" => format!("`{key}` belongs at the top of the file, before the first `[table]`"),
            path => format!("`{key}` belongs in `[{path}]`"),
        });
    }
    nearest(key, table.keys).map(|meant| format!("did you mean `{meant}`?"))
}

/// The candidate that is few typing mistakes away from `word`.
pub fn nearest<'a, S: AsRef<str> + 'a>(
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
