//! From a job to what can run: everything is looked at, and everything that is wrong is told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{Schema, SchemaRef};
use forebay_connectors::{Access, MalformedRow, Origin, type_text};
use forebay_dataflow::{Bounds, Cause, Graph, Stream};
use forebay_job::{Diagnostic, Job, Mistaken, Role, SqlText, Transform, TransformKind};
use forebay_plugin::OperatorHost;
use forebay_sql::{Relation, Relations, Resources};
use tokio::runtime::Handle;

use crate::order::{Inputs, in_order, reached};
use crate::problem::{Problem, code, problem, unreadable};
use crate::role::{self, Around, FeedingAttempt, Feeds};
use crate::sinks::{self, Sink, Writing};
use crate::sources::{self, Shared, Source, count};
use crate::step::Step;
use crate::transforms::{self, Planned as PlannedTransform, Sql, inputs_of};

/// What planning may use.
#[derive(Debug)]
pub struct Setting {
    /// Reads and writes files in its threads; it must outlive every dataflow of the plan.
    pub runtime: Handle,
    /// Where compiled components are kept, a folder that only the user can write. `None`: they are compiled each time.
    pub compiled: Option<PathBuf>,
    /// Where sorts write what does not fit into memory. `None`: the system's folder for temporary files.
    pub spill: Option<PathBuf>,
    /// Components by transform, instead of the files that the job names.
    pub components: BTreeMap<String, Vec<u8>>,
    /// What has mistakes that were told already: it is not looked at, nor is what reads it.
    pub mistaken: Mistaken,
    /// Output that is there is no problem: an earlier attempt of this run has written it and it is replaced, or nothing is to run.
    pub replaces_output: bool,
    /// How long a barrier waits for a node to be done with what was before it; then its checkpoint is given up. A minute unless said
    /// otherwise.
    pub acknowledge_within: Duration,
}

impl Setting {
    /// One that keeps nothing.
    pub fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            compiled: None,
            spill: None,
            components: BTreeMap::new(),
            mistaken: Mistaken::default(),
            replaces_output: false,
            acknowledge_within: Duration::from_mins(1),
        }
    }
}

/// What came of planning.
pub struct Planned {
    /// Everything that was found, errors and warnings.
    pub problems: Vec<Problem>,
    /// What can run; `None`: there is an error.
    pub plan: Option<Plan>,
}

/// A dataflow that can run, as often as wanted.
pub struct Plan {
    job: Job,
    sources: Vec<Source>,
    /// Transforms and fed roles, each behind what it reads.
    steps: Vec<Step>,
    sinks: Vec<Sink>,
    feeds: Feeds,
    components: BTreeMap<String, Vec<u8>>,
    resources: Resources,
    bounds: Bounds,
}

impl Plan {
    /// The job with everything that planning has found: the columns of files, the text of queries.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The components of its operators, by transform.
    pub fn components(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.components
    }

    /// Sorts write what does not fit into memory there, instead of where the setting said.
    #[must_use]
    pub fn with_spill(mut self, folder: PathBuf) -> Self {
        self.resources.spill = Some(folder);
        self
    }

    /// The channels of the nodes that its dataflows feed.
    pub fn feeds(&self) -> &Feeds {
        &self.feeds
    }

    /// A dataflow, from its beginning. Nodes that are fed by `attempt` get its rows; later attempts have higher numbers.
    ///
    /// # Errors
    ///
    /// What planning could not know: somebody has changed files since then.
    pub fn graph(&self, attempt: u64) -> Result<Graph, Cause> {
        let mut graph = Graph::new().with_bounds(self.bounds);
        let streams = self.streams(&mut graph, attempt)?;
        for sink in &self.sinks {
            sink.add(&mut graph, &streams[&sink.input])?;
        }
        Ok(graph)
    }

    /// The first malformed rows that each source has left out in the dataflows of this plan.
    pub fn malformed_rows(&self) -> Vec<(&str, MalformedRow)> {
        let of = |source: &'_ Source| source.malformed_rows();
        let sources = self.sources.iter();
        sources
            .flat_map(|source| {
                of(source)
                    .into_iter()
                    .map(|row| (source.name.as_str(), row))
            })
            .collect()
    }

    fn streams(&self, graph: &mut Graph, attempt: u64) -> Result<BTreeMap<String, Stream>, Cause> {
        let mut streams = BTreeMap::new();
        let shared = Shared {
            resources: self.resources.clone(),
            origin: Origin::default(),
        };
        for source in &self.sources {
            let columns = self.columns_of(source);
            let stream = source.add(graph, columns.as_ref(), &shared)?;
            streams.insert(source.name.clone(), stream);
        }
        self.transform(graph, &mut streams, attempt)?;
        Ok(streams)
    }

    /// Adds transforms and roles to a graph, over these streams instead of the job's own sources. A simulation of transforms runs in
    /// memory, where files would have it wait.
    ///
    /// # Errors
    ///
    /// A stream that they read is missing, or has other columns than the source.
    pub fn transform(
        &self,
        graph: &mut Graph,
        streams: &mut BTreeMap<String, Stream>,
        attempt: u64,
    ) -> Result<(), Cause> {
        let spill = self.resources.spill.clone();
        let feeding = FeedingAttempt {
            feeds: &self.feeds,
            attempt,
            spill: spill.unwrap_or_else(std::env::temp_dir),
        };
        for step in &self.steps {
            let stream = match step {
                Step::Transform(transform) => {
                    Some(transform.add(graph, streams, &self.resources)?)
                }
                Step::Role(fed) => {
                    let input = streams.get(&fed.input);
                    let input = input.ok_or_else(|| format!("there is no `{}`", fed.input))?;
                    fed.add(graph, input, &feeding)?
                }
            };
            streams.extend(stream.map(|stream| (step.name().clone(), stream)));
        }
        Ok(())
    }

    /// The columns of a source that anybody reads; `None`: all.
    fn columns_of(&self, source: &Source) -> Option<BTreeSet<String>> {
        let name = &source.name;
        let mut sinks = self.job.dataflow.sinks.iter();
        let feeds_role = |step: &Step| matches!(step, Step::Role(fed) if fed.input == *name);
        // A role knows its columns by their places.
        if sinks.any(|sink| sink.input == *name) || self.steps.iter().any(feeds_role) {
            return None;
        }
        let transforms = self.steps.iter().filter_map(|step| match step {
            Step::Transform(transform) => Some(transform),
            Step::Role(_) => None,
        });
        let reads = transforms.flat_map(|transform| transform.reads());
        let of_source = reads.filter(|(relation, _)| *relation == name);
        let columns: Option<Vec<_>> = of_source.map(|(_, columns)| columns).collect();
        Some(columns?.into_iter().flatten().cloned().collect())
    }
}

/// Plans the dataflow of a job. Looks at every file that it names, and compiles its components.
pub async fn plan(job: &Job, setting: Setting) -> Planned {
    let access = Access::new(&job.base, setting.runtime.clone());
    let mut planner = Planner {
        job,
        broken: setting.mistaken.relations.clone(),
        setting,
        access,
        problems: Vec::new(),
        relations: Relations::new(),
        queries: BTreeMap::new(),
        inputs: Inputs::new(),
        components: BTreeMap::new(),
    };
    let plan = planner.plan().await;
    let has_error = planner
        .problems
        .iter()
        .any(|problem| problem.diagnostic.is_error());
    Planned {
        problems: planner.problems,
        plan: plan.filter(|_| !has_error),
    }
}

struct Planner<'a> {
    job: &'a Job,
    setting: Setting,
    access: Access,
    problems: Vec<Problem>,
    /// What can be read so far.
    relations: Relations,
    /// Sources and transforms that cannot be read: what reads them is not looked at.
    broken: BTreeSet<String>,
    queries: BTreeMap<String, Sql>,
    /// What each transform reads.
    inputs: Inputs,
    components: BTreeMap<String, Vec<u8>>,
}

impl Planner<'_> {
    async fn plan(&mut self) -> Option<Plan> {
        let sources = self.sources().await;
        self.read_queries();
        self.find_inputs();
        let order = self.order();
        let steps = self.steps(&order);
        let used = self.used();
        let feds = steps.iter().filter_map(|step| match step {
            Step::Role(fed) => Some((fed.role.clone(), fed.channel())),
            Step::Transform(_) => None,
        });
        let mut plan = Plan {
            feeds: Feeds::new(feds.collect()),
            job: self.resolved(&sources),
            sources: kept(sources, &used, |source| &source.name),
            steps: kept(steps, &used, Step::name),
            sinks: Vec::new(),
            components: std::mem::take(&mut self.components),
            resources: self.resources(),
            bounds: self.bounds(),
        };
        let streams = plan.streams(&mut Graph::new(), 0);
        plan.sinks = match &streams {
            Ok(streams) => self.sinks(streams).await,
            Err(error) => {
                let found = problem(code::SQL, "", error.as_ref(), None);
                self.problems.push(found);
                self.sinks(&BTreeMap::new()).await
            }
        };
        (self.broken.is_empty() && streams.is_ok()).then_some(plan)
    }

    async fn sources(&mut self) -> Vec<Source> {
        let mut prepared = Vec::new();
        for source in &self.job.dataflow.sources {
            if self.broken.contains(&source.name) {
                continue;
            }
            match sources::prepare(source, &self.access).await {
                Ok(source) => {
                    self.relations
                        .insert(source.name.clone(), source.relation.clone());
                    prepared.push(source);
                }
                Err(problems) => self.is_broken(&source.name, problems),
            }
        }
        prepared
    }

    fn is_broken(&mut self, name: &str, problems: impl IntoIterator<Item = Problem>) {
        self.broken.insert(name.to_owned());
        self.problems.extend(problems);
    }

    fn read_queries(&mut self) {
        for transform in &self.job.dataflow.transforms {
            if self.broken.contains(&transform.name) {
                continue;
            }
            if let TransformKind::Sql(text) = &transform.kind {
                match Sql::read(&transform.name, text, &self.job.base) {
                    Ok(sql) => {
                        self.queries.insert(transform.name.clone(), sql);
                    }
                    Err(problem) => self.is_broken(&transform.name, [problem]),
                }
            }
        }
    }

    fn find_inputs(&mut self) {
        for transform in &self.job.dataflow.transforms {
            let inputs = if self.broken.contains(&transform.name) {
                Ok(Vec::new())
            } else {
                inputs_of(transform, self.queries.get(&transform.name))
            };
            let inputs = inputs.unwrap_or_else(|problem| {
                self.is_broken(&transform.name, [problem]);
                Vec::new()
            });
            self.inputs
                .insert(transform.name.clone(), inputs.into_iter().collect());
        }
        for role in &self.job.roles {
            if let Some(input) = &role.input {
                let inputs = BTreeSet::from([input.clone()]);
                self.inputs.insert(role.name.clone(), inputs);
            }
        }
    }

    /// Transforms and roles behind those that they read. Those that read each other in a circle are broken.
    fn order(&mut self) -> Vec<String> {
        let transforms = self.job.dataflow.transforms.iter().map(|one| &one.name);
        let roles = self.job.roles.iter().filter(|role| role.input.is_some());
        let names = transforms.chain(roles.map(|role| &role.name));
        let names: Vec<String> = names.cloned().collect();
        // A name that nobody has may be one of a transform, mistyped: by then all others are known.
        let is_known = |name: &String| {
            let mut inputs = self.inputs[name].iter();
            inputs.all(|input| self.is_named(input))
        };
        let (known, unknown): (Vec<_>, Vec<_>) = names.into_iter().partition(is_known);
        let names: Vec<String> = known.into_iter().chain(unknown).collect();
        let (order, circles) = in_order(&names, &self.inputs);
        for circle in circles {
            self.tell_circle(&circle);
            self.broken.extend(circle);
        }
        order
    }

    fn is_named(&self, name: &str) -> bool {
        let dataflow = &self.job.dataflow;
        dataflow.sources.iter().any(|source| source.name == name) || self.inputs.contains_key(name)
    }

    fn tell_circle(&mut self, circle: &[String]) {
        let first = circle.first().map_or("", String::as_str);
        let way: Vec<String> = circle
            .iter()
            .skip(1)
            .map(|name| format!("`{name}`, which reads "))
            .collect();
        let mut roles = self.job.roles.iter();
        let (what, table) = if roles.any(|role| role.name == first) {
            ("roles and transforms", "roles")
        } else {
            ("transforms", "transforms")
        };
        let message = format!(
            "{what} read each other in a circle: `{first}` reads {}`{first}`",
            way.concat()
        );
        let found = Diagnostic::error(code::CYCLE, format!("{table}.{first}"), message)
            .with_hint("let one of them read a source instead");
        self.problems.push(found.into());
    }

    fn steps(&mut self, order: &[String]) -> Vec<Step> {
        let mut planned = Vec::new();
        let mut host = None;
        for name in order {
            let reads_broken = self.inputs[name]
                .iter()
                .any(|input| self.broken.contains(input));
            if reads_broken || self.broken.contains(name) {
                self.broken.insert(name.clone());
                continue;
            }
            match self.step(name, &mut host) {
                Ok((step, relation)) => {
                    let relation = relation.map(|relation| (name.clone(), relation));
                    self.relations.extend(relation);
                    planned.push(step);
                }
                Err(problems) => self.is_broken(name, problems),
            }
        }
        planned
    }

    fn step(
        &mut self,
        name: &str,
        host: &mut Option<OperatorHost>,
    ) -> Result<(Step, Option<Relation>), Vec<Problem>> {
        let (transforms, roles) = (&self.job.dataflow.transforms, &self.job.roles);
        if let Some(transform) = transforms.iter().find(|one| one.name == name) {
            let (transform, relation) = self.transform(transform, host)?;
            return Ok((Step::Transform(Box::new(transform)), Some(relation)));
        }
        let role = roles.iter().find(|role| role.name == name);
        self.role(role.ok_or_else(Vec::new)?)
    }

    /// A role that is fed, and what it answers.
    fn role(&mut self, role: &Role) -> Result<(Step, Option<Relation>), Vec<Problem>> {
        let input = role.input.as_ref();
        // An unknown input was told by the job file.
        let input = input.and_then(|input| self.relations.get(input));
        let input = input.ok_or_else(Vec::new)?;
        let fed = role::prepare(
            role,
            &Around {
                schema: &input.schema,
                is_bounded: input.is_bounded,
                runtime: self.setting.runtime.clone(),
                acknowledge_within: self.setting.acknowledge_within,
            },
        )?;
        let relation = fed.schema().map(|schema| Relation {
            schema: schema.clone(),
            lineage: input.lineage.clone(),
            bytes: None,
            ..input.clone()
        });
        Ok((Step::Role(Arc::new(fed)), relation))
    }

    fn transform(
        &mut self,
        transform: &Transform,
        host: &mut Option<OperatorHost>,
    ) -> Result<(PlannedTransform, Relation), Vec<Problem>> {
        let operator = match (&transform.kind, self.queries.get(&transform.name)) {
            (TransformKind::Sql(_), Some(sql)) => {
                let problems = &mut self.problems;
                let planned = transforms::plan_query(transform, sql, &self.relations, problems);
                return planned.map_err(|problem| vec![problem]);
            }
            // Its file could not be read, which was told.
            (TransformKind::Sql(_), None) => return Err(Vec::new()),
            (TransformKind::Operator(operator), _) => operator,
        };
        let component = self.component(&transform.name, &operator.component)?;
        let host = match host {
            Some(host) => host,
            None => host.insert(self.operator_host(&transform.name)?),
        };
        // An unknown input was told by the job file.
        let input = self.relations.get(&operator.input).ok_or_else(Vec::new)?;
        let planned = transforms::plan_operator(transform, operator, &component, input, host)?;
        self.components.insert(transform.name.clone(), component);
        Ok(planned)
    }

    fn component(&self, name: &str, path: &Path) -> Result<Vec<u8>, Vec<Problem>> {
        if let Some(component) = self.setting.components.get(name) {
            return Ok(component.clone());
        }
        read_component(&self.job.resolve(path)).map_err(|error| {
            let key = format!("transforms.{name}.operator");
            let what = ("the component", path);
            vec![unreadable(code::OPERATOR, key, what, &error)]
        })
    }

    fn operator_host(&self, name: &str) -> Result<OperatorHost, Vec<Problem>> {
        let key = format!("transforms.{name}.operator");
        OperatorHost::new(self.setting.compiled.clone())
            .map_err(|error| vec![problem(code::OPERATOR, key, &error, None)])
    }

    /// Everything that feeds a sink or a role; what does not is told, where all that is read is known.
    fn used(&mut self) -> BTreeSet<String> {
        let dataflow = &self.job.dataflow;
        let sinks = dataflow.sinks.iter().map(|sink| &sink.input);
        let roles = self.job.roles.iter().filter_map(|role| role.input.as_ref());
        let fed = self.job.roles.iter().filter(|role| role.input.is_some());
        let fed = fed.map(|role| &role.name);
        let used = reached(sinks.chain(roles).chain(fed), &self.inputs);
        let sources = dataflow.sources.iter().map(|one| ("sources", &one.name));
        let transforms = dataflow.transforms.iter();
        let transforms = transforms.map(|one| ("transforms", &one.name));
        let unused = sources
            .chain(transforms)
            .filter(|(_, name)| !used.contains(*name));
        let told = unused.map(|(table, name)| {
            let message = format!("nothing reads `{name}`, so it does not run");
            let found = Diagnostic::warning(code::UNUSED, format!("{table}.{name}"), message);
            Problem::from(found.with_hint("read it in a transform, give it a sink, or remove it"))
        });
        let is_error = |problem: &Problem| problem.diagnostic.is_error();
        if self.broken.is_empty() && !self.problems.iter().any(is_error) {
            self.problems.extend(told);
        }
        used
    }

    /// A sink whose input is broken has no stream: it is looked at as far as it can be without columns.
    async fn sinks(&mut self, streams: &BTreeMap<String, Stream>) -> Vec<Sink> {
        let no_columns: SchemaRef = Schema::empty().into();
        let mut prepared = Vec::new();
        for sink in &self.job.dataflow.sinks {
            if self.setting.mistaken.sinks.contains(&sink.name) {
                continue;
            }
            let stream = streams.get(&sink.input);
            let schema = stream.map_or(&no_columns, Stream::schema);
            let tasks = stream.map_or(1, Stream::parallelism);
            let writing = Writing {
                access: &self.access,
                runtime: &self.setting.runtime,
                replaces_output: self.setting.replaces_output,
            };
            match sinks::prepare(sink, schema, tasks, &writing).await {
                Ok(sink) => prepared.push(sink),
                Err(problem) => self.problems.push(problem),
            }
        }
        prepared
    }

    /// The job as it runs: nothing of it depends on files that may change, but for the rows themselves.
    fn resolved(&mut self, sources: &[Source]) -> Job {
        let mut job = self.job.clone();
        for source in &mut job.dataflow.sources {
            let found = sources.iter().find(|found| found.name == source.name);
            let schema = found.and_then(Source::file_schema);
            if let (forebay_job::Origin::Files(files), Some(schema)) = (&mut source.origin, schema)
            {
                let columns = schema.fields().iter();
                let column = |field: &std::sync::Arc<arrow_schema::Field>| {
                    (field.name().clone(), type_text(field.data_type()))
                };
                files.schema = Some(columns.map(column).collect());
            }
        }
        for transform in &mut job.dataflow.transforms {
            let sql = self.queries.remove(&transform.name);
            if let (TransformKind::Sql(text), Some(sql)) = (&mut transform.kind, sql) {
                *text = SqlText::Inline(sql.text);
            }
        }
        job
    }

    fn resources(&self) -> Resources {
        let memory = self.job.dataflow.settings.memory_bytes;
        Resources {
            runtime: self.setting.runtime.clone(),
            memory: Some(usize::try_from(memory).unwrap_or(usize::MAX)),
            spill: self.setting.spill.clone(),
        }
    }

    fn bounds(&self) -> Bounds {
        let settings = &self.job.dataflow.settings;
        Bounds {
            rows: count(settings.queue_rows),
            bytes: usize::try_from(settings.queue_bytes).unwrap_or(usize::MAX),
        }
    }
}

/// Largest component that is read. The plugin host's own limit is lower: it has the better message.
const COMPONENT_BYTES_MAX: u64 = 256 << 20;

fn read_component(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut component = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(COMPONENT_BYTES_MAX).read_to_end(&mut component)?;
    Ok(component)
}

fn kept<T>(all: Vec<T>, used: &BTreeSet<String>, name: impl Fn(&T) -> &String) -> Vec<T> {
    all.into_iter()
        .filter(|one| used.contains(name(one)))
        .collect()
}
