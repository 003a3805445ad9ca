//! Random dataflows of builders, all of them right.

use std::time::Duration;

use forebay_job::{
    Compression, DataflowSettings, FileFormat, FormatKind, Generate, JobBuilder, Quote, Replay,
    SinkBuilder, SourceBuilder, TransformBuilder, TransformKind, Values,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;

use crate::valid;

/// What gives rows in every one of these dataflows.
pub(crate) const GIVERS: [&str; 4] = ["files", "made", "query", "component"];

fn filled() -> impl Strategy<Value = String> {
    "[a-z'\"\\\\ü.=#\\[\\n\\t]{0,8}[a-z/]"
}

fn span() -> impl Strategy<Value = Duration> {
    (1..100_000_u64).prop_map(Duration::from_millis)
}

fn number() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("not finite", |number| number.is_finite())
}

fn positive() -> impl Strategy<Value = f64> {
    number().prop_map(|number| number.abs().max(f64::MIN_POSITIVE))
}

fn time() -> impl Strategy<Value = String> {
    (
        1..10_000_u32,
        1..13_u32,
        1..29_u32,
        0..60_u32,
        select(vec!["Z", "-05:00", "+14:00"]),
    )
        .prop_map(|(year, month, day, second, zone)| {
            format!("{year:04}-{month:02}-{day:02}T12:34:{second:02}.5{zone}")
        })
}

prop_compose! {
    fn format(kinds: &'static [FormatKind])(
        kind in option::of(select(kinds)),
        delimiter in option::of(select(vec![',', ';', '\t', ' '])),
        quote in select(vec![Quote::Double, Quote::Character('\'')]),
        escape in option::of(select(vec!['\\', '^'])),
        header in option::of(any::<bool>()),
        null_values in vec(any::<String>().prop_filter("NUL", |text| !text.contains('\0')), 0..3),
    ) -> FileFormat {
        FileFormat { kind, delimiter, quote, escape, header, null_values }
    }
}

const TEXTS: &[FormatKind] = &[FormatKind::Csv, FormatKind::Jsonl];
const ALL: &[FormatKind] = &[
    FormatKind::Csv,
    FormatKind::Jsonl,
    FormatKind::Parquet,
    FormatKind::Arrow,
    FormatKind::ArrowStream,
];

fn settings() -> impl Strategy<Value = DataflowSettings> {
    let memory = (16 << 20)..u64::MAX;
    let queues = (1..=16_777_216_u32, 1024..u64::MAX);
    (1..=1024_u32, option::of(1..=1024_u32), memory, queues).prop_map(
        |(parallelism, threads, memory_bytes, (queue_rows, queue_bytes))| DataflowSettings {
            parallelism,
            threads,
            memory_bytes,
            queue_rows,
            queue_bytes,
        },
    )
}

prop_compose! {
    fn files()(
        path in filled(),
        format in format(TEXTS),
        compression in option::of(select(vec![Compression::None, Compression::Gzip, Compression::Zstd])),
        schema in option::of(vec(filled(), 0..5)),
        skip in option::of(0..=i64::MAX as u64),
        record_bytes in option::of(1024..=1_u64 << 30),
        time in option::of((filled(), option::of(span()), option::of(span()))),
        replay in option::of((option::of(positive()), option::of(time()))),
    ) -> SourceBuilder {
        let mut source = SourceBuilder::new("files").path(&path).format(&format);
        source = compression.into_iter().fold(source, SourceBuilder::compression);
        source = skip.into_iter().fold(source, SourceBuilder::skip_malformed);
        source = record_bytes.into_iter().fold(source, SourceBuilder::record_bytes);
        if let Some((column, watermark, idle_after)) = &time {
            source = source.event_time(column);
            source = watermark.iter().fold(source, |source, span| source.watermark(*span));
            source = idle_after.iter().fold(source, |source, span| source.idle_after(*span));
            source = replay.into_iter().fold(source, |source, (speed, start)| source.replay(&Replay { speed, start }));
        }
        let Some(names) = schema else {
            return source;
        };
        let names = names.into_iter().enumerate().map(|(index, name)| format!("{index}{name}"));
        let names = time.map(|(column, ..)| column).into_iter().chain(names).chain([String::new()]);
        source.schema(names.map(|name| (name, "Decimal128(10, 2)")))
    }
}

fn values() -> impl Strategy<Value = Values> {
    let integers = (any::<i64>(), any::<i64>());
    let texts = vec(filled(), 1..4);
    prop_oneof![
        Just(Values::Sequence),
        integers.prop_map(|(one, other)| Values::Integers {
            least: one.min(other),
            most: one.max(other)
        }),
        (-1e300..1e300, 1.0..1e300).prop_map(|(least, more): (f64, f64)| Values::Floats {
            least,
            most: (least + more).max(least.next_up())
        }),
        (number(), positive()).prop_map(|(mean, deviation)| Values::Normal { mean, deviation }),
        texts.prop_map(|of| Values::Choice { of }),
        (0.0..=1.0).prop_map(|share| Values::Booleans { share }),
        (option::of(time()), option::of(span()))
            .prop_map(|(start, step)| Values::EventTime { start, step }),
    ]
}

prop_compose! {
    fn made()(
        rate in option::of(positive()),
        rows in option::of(0..=i64::MAX as u64),
        seed in 0..=i64::MAX as u64,
        columns in vec((filled(), values()), 0..6),
        tasks in 1..=1024_u32,
        batch_rows in 1..=1_048_576_u32,
    ) -> SourceBuilder {
        let time = ("at".to_owned(), Values::EventTime { start: None, step: None });
        let named = columns.into_iter().enumerate().map(|(index, (name, values))| (format!("{name}{index}"), values));
        let columns = named.chain([time]).collect();
        let made = Generate { rate, rows, seed, columns };
        SourceBuilder::new("made").generate(&made).event_time("at").parallelism(tasks).batch_rows(batch_rows)
    }
}

fn json() -> impl Strategy<Value = Json> {
    let single = prop_oneof![
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        number().prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    single.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Json::from),
            btree_map(any::<String>(), inner, 0..5)
                .prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

fn config() -> impl Strategy<Value = String> {
    let entries = btree_map(any::<String>(), json(), 0..4);
    entries.prop_map(|entries| Json::Object(entries.into_iter().collect()).to_string())
}

fn component() -> impl Strategy<Value = TransformBuilder> {
    let key = vec("[a-z]{1,2}", 0..3).prop_filter("twice", |names| {
        names
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len()
            == names.len()
    });
    (
        select(&GIVERS[..3]),
        config(),
        key,
        option::of(1..=1024_u32),
    )
        .prop_map(|(input, config, key, tasks)| {
            let component = TransformBuilder::new("component")
                .operator("../a/b.wasm")
                .input(input)
                .config(&config)
                .key(key);
            tasks
                .into_iter()
                .fold(component, TransformBuilder::parallelism)
        })
}

fn query() -> impl Strategy<Value = TransformBuilder> {
    let query = prop_oneof![
        any::<String>()
            .prop_filter("NUL", |text| !text.contains('\0'))
            .prop_map(|text| TransformBuilder::new("query").sql(&format!("{text}SELECT"))),
        "[a-z]{1,5}/[a-z ]{1,5}[.]sql"
            .prop_map(|path| TransformBuilder::new("query").sql_file(&path)),
    ];
    (query, option::of(1..=1024_u32))
        .prop_map(|(query, tasks)| tasks.into_iter().fold(query, TransformBuilder::parallelism))
}

fn sinks() -> impl Strategy<Value = [SinkBuilder; 3]> {
    let input = || select(&GIVERS[..]);
    let files = (input(), filled(), format(ALL), any::<bool>()).prop_map(
        |(input, path, format, replaces)| {
            // Nothing that a source reads.
            let sink = SinkBuilder::new("out-files")
                .input(input)
                .path(&format!("out/{path}"))
                .format(&format);
            if replaces { sink.overwrite() } else { sink }
        },
    );
    let screen = (input(), format(TEXTS)).prop_map(|(input, format)| {
        SinkBuilder::new("screen_")
            .input(input)
            .stdout()
            .format(&format)
    });
    let nothing = (input(), 1..=1024_u32).prop_map(|(input, tasks)| {
        SinkBuilder::new("z")
            .input(input)
            .blackhole()
            .parallelism(tasks)
    });
    (files, screen, nothing).prop_map(|(files, screen, nothing)| [files, screen, nothing])
}

prop_compose! {
    /// Adds a dataflow to a job; its sources and transforms are [`GIVERS`].
    pub(crate) fn with_dataflow(job: JobBuilder)(
        settings in settings(),
        files in files(),
        made in made(),
        query in query(),
        component in component(),
        sinks in sinks(),
    ) -> JobBuilder {
        let job = job.clone().dataflow(&settings).add_source(files).add_source(made);
        sinks.into_iter().fold(job.add_transform(query).add_transform(component), JobBuilder::add_sink)
    }
}

proptest! {
    #[test]
    fn a_dataflow_that_is_built_is_what_is_read(builder in with_dataflow(JobBuilder::new("a").base("/jobs"))) {
        let job = builder.build().expect("it is valid");
        prop_assert_eq!(&valid(&builder.to_toml()), &job);
        prop_assert_eq!(valid(&job.to_toml()), job);
    }

    #[test]
    fn what_a_component_is_told_comes_as_it_was_built(config in config()) {
        let component = TransformBuilder::new("a").operator("a.wasm").input("rows").config(&config);
        let job = JobBuilder::new("a")
            .add_source(SourceBuilder::new("rows").path("a.csv"))
            .add_transform(component)
            .add_sink(SinkBuilder::new("out").input("a").stdout())
            .build()
            .expect("it is valid");
        let TransformKind::Operator(component) = &job.dataflow.transforms[0].kind else {
            panic!("it is a component");
        };
        prop_assert_eq!(&component.config, &config);
    }

    #[test]
    fn what_is_no_json_is_refused(config in any::<String>()) {
        let is_object = matches!(serde_json::from_str(&config), Ok(Json::Object(_)));
        let component = TransformBuilder::new("a").operator("a.wasm").input("rows").config(&config);
        let job = JobBuilder::new("a")
            .add_source(SourceBuilder::new("rows").path("a.csv"))
            .add_transform(component)
            .add_sink(SinkBuilder::new("out").input("a").stdout());
        prop_assert_eq!(job.build().is_ok(), is_object);
    }
}
