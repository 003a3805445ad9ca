//! The page of figures: on which machine, when, from which commit, and the table.

use std::fs;

use anyhow::{Context, Result};

use super::figures::{Figure, short};
use crate::workspace::{Workspace, output};

/// Where and when was measured.
pub(super) struct Machine {
    processor: String,
    cores: usize,
    memory: String,
    kernel: String,
    /// Of the folder in which the runs lie.
    file_system: String,
    date: String,
    commit: String,
}

impl Machine {
    pub(super) fn read(workspace: &Workspace) -> Result<Self> {
        let says = |program: &str, arguments: &[&str]| -> Result<String> {
            let said = output(workspace.command(program).args(arguments))?;
            Ok(said.trim().to_owned())
        };
        let processor = field("/proc/cpuinfo", "model name")?;
        let memory_kib: f64 = field("/proc/meminfo", "MemTotal")?
            .trim_end_matches(" kB")
            .parse()
            .context("`/proc/meminfo` says no number")?;
        let temporary = std::env::temp_dir();
        let file_system = says(
            "stat",
            &["--file-system", "--format=%T", &temporary.to_string_lossy()],
        )?;
        let mut commit = says("git", &["rev-parse", "--short", "HEAD"])?;
        if !says(
            "git",
            &["status", "--porcelain", "--", ".", ":!docs/performance.md"],
        )?
        .is_empty()
        {
            commit.push_str(" and changes that are in no commit");
        }
        Ok(Self {
            processor,
            cores: std::thread::available_parallelism()?.get(),
            memory: format!("{:.0} GiB", memory_kib / 1024.0 / 1024.0),
            kernel: says("uname", &["--kernel-name", "--kernel-release", "--machine"])?,
            file_system,
            date: says("date", &["--utc", "+%F %H:%M UTC"])?,
            commit,
        })
    }
}

/// What stands behind the first `name:` of a file of the kernel.
fn field(path: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
    let found = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    });
    found.with_context(|| format!("`{path}` has no `{name}`"))
}

/// The whole page.
pub(super) fn page(machine: &Machine, command: &str, figures: &[Figure]) -> String {
    let Machine {
        processor,
        cores,
        memory,
        kernel,
        file_system,
        date,
        commit,
    } = machine;
    let missed = figures.iter().filter(|figure| !figure.is_met()).count();
    let met = figures.len() - missed;
    format!(
        "# Performance

Written by `{command}`; the measurements are in [tests/bench](../tests/bench/src/main.rs). No other document has figures of how
fast Forebay is.

| | |
| --- | --- |
| processor | {processor} |
| cores | {cores} |
| memory | {memory} |
| kernel | {kernel} |
| file system of the runs | {file_system} |
| date | {date} |
| commit | {commit} |
| command | `{command}` |

Targets: {met} met, {missed} missed.

{table}
- The target is held against the median; where it is a promise about the worst, against the figure that is set in bold.
- *p99* stands where there are 100 samples or more, *max* where there are fewer, *min* where the target is a least.
- Everything is warm (files and compiled plugins were used before) unless it says cold. The binary has the profile of this
  repository, not that of a release.
- Times of events have whole milliseconds.
{notes}",
        table = table(figures),
        notes = notes(figures)
    )
}

fn notes(figures: &[Figure]) -> String {
    let note = |figure: &Figure| Some(format!("- {}: {}.\n", figure.what, figure.note.as_ref()?));
    figures.iter().filter_map(note).collect()
}

/// The table of figures.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut lines = vec![
        "| what | target | median | worst | samples | beside it | |".to_owned(),
        "| --- | ---: | ---: | ---: | ---: | --- | --- |".to_owned(),
    ];
    lines.extend(figures.iter().map(line));
    lines.join("\n") + "\n"
}

fn line(figure: &Figure) -> String {
    let amount = |value: f64| {
        format!("{} {}", short(value), figure.unit)
            .trim_end()
            .to_owned()
    };
    let (worst, which) = figure.samples.worst(figure.target);
    let worst = format!("{which} {}", amount(worst));
    let (median, worst) = match figure.judged.as_str() {
        "median" => (amount(figure.samples.median()), worst),
        _ => (amount(figure.samples.median()), format!("**{worst}**")),
    };
    let beside = figure.beside.iter();
    let beside: Vec<_> = beside
        .map(|(what, samples)| format!("{what}: {}", amount(samples.median())))
        .collect();
    let beside = beside.join("; ");
    let (at, target) = figure.target.words();
    format!(
        "| {} | {at} {} | {median} | {worst} | {} | {beside} | {} |",
        figure.what,
        amount(target),
        figure.samples.number(),
        if figure.is_met() { "met" } else { "**missed**" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(row: &str) -> Figure {
        Figure::parse(row).expect("a whole row")
    }

    fn figures() -> Vec<Figure> {
        vec![
            figure(
                r#"{"what":"submit","unit":"ms","at_most":300,"judged":"median","samples":[120.25,80,90],"beside":[{"what":"by hand","samples":[2.5]},{"what":"by night","samples":[1]}]}"#,
            ),
            figure(
                r#"{"what":"memory","unit":"MB","at_most":60,"judged":"max","samples":[50,61],"beside":[]}"#,
            ),
            figure(
                r#"{"what":"restarts","unit":"","at_most":0,"judged":"max","samples":[0],"beside":[],"note":"none is better"}"#,
            ),
            figure(
                r#"{"what":"rows","unit":"M rows/s","at_least":2,"judged":"median","samples":[4.5,1.5],"beside":[]}"#,
            ),
        ]
    }

    #[test]
    fn a_missed_target_is_said_beside_its_figure() {
        let expected = "\
| what | target | median | worst | samples | beside it | |
| --- | ---: | ---: | ---: | ---: | --- | --- |
| submit | at most 300 ms | 90 ms | max 120 ms | 3 | by hand: 2.5 ms; by night: 1 ms | met |
| memory | at most 60 MB | 55.5 MB | **max 61 MB** | 2 |  | **missed** |
| restarts | at most 0 | 0 | **max 0** | 1 |  | met |
| rows | at least 2 M rows/s | 3 M rows/s | min 1.5 M rows/s | 2 |  | met |
";
        assert_eq!(table(&figures()), expected);
    }

    #[test]
    fn the_page_says_where_when_and_from_what_its_figures_come() {
        let machine = Machine {
            processor: "A processor".into(),
            cores: 2,
            memory: "8 GiB".into(),
            kernel: "Linux 6.1".into(),
            file_system: "ext2/ext3".into(),
            date: "2026-01-01 00:00 UTC".into(),
            commit: "abc1234".into(),
        };
        let page = page(&machine, "cargo xtask bench", &figures());
        let facts = [
            "| processor | A processor |",
            "| cores | 2 |",
            "| memory | 8 GiB |",
            "| kernel | Linux 6.1 |",
            "| date | 2026-01-01 00:00 UTC |",
            "| commit | abc1234 |",
            "| command | `cargo xtask bench` |",
            "3 met, 1 missed",
            "\n- restarts: none is better.\n",
        ];
        for fact in facts {
            assert!(page.contains(fact), "{fact} is not in\n{page}");
        }
        assert!(page.contains(&table(&figures())), "{page}");
    }
}
