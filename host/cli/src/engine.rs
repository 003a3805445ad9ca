//! `forebay run` after the job was checked: a run directory, an application manager as a process of its own, the agent
//! of this machine inside this one, and a view of what happens. The engine decides nothing about the job: it passes on
//! what people ask for, and sees to it that nothing is left behind.

mod agent_task;
mod dataflow_task;
mod disk;
mod listeners;
mod lock;
mod manager_process;
mod progress;
mod pulse;
mod renderer;
mod salvage;
mod signals;
mod stopping;
mod terms;
mod watching;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use forebay_cluster::events::{JobEvent, Outcome, Summary};
use forebay_cluster::farewell;
use forebay_cluster::manager::FaultPoint;
use forebay_cluster::run_directory::RunDirectory;
use forebay_cluster::submission::Submission;
use forebay_cluster::token::Token;
use forebay_job::Job;
use forebay_runtime::Plan;

use crate::checking::Checked;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::text::shell_word;
use crate::view::{Received, View};
use agent_task::AgentTask;
use dataflow_task::{DataflowPlan, Executor};
use listeners::{Listeners, remove_socket};
use renderer::Renderer;
use stopping::{Next, Stopping};
use terms::Terms;
use watching::Watching;

pub(crate) use agent_task::launcher;
pub(crate) use listeners::refuse_plain_text;
pub(crate) use lock::EngineLock;
pub(crate) use manager_process::end_last_manager;
pub(crate) use salvage::{Wreck, end_without_run};
pub(crate) use signals::{Asked, SUSPEND_REFUSED, Signals};

/// How long the agent may take to notice that the job is over, and to clean up.
const AGENT_ENDS_WITHIN: Duration = Duration::from_secs(15);
/// How long events of a manager that is gone may take to arrive.
const EVENTS_ARRIVE_WITHIN: Duration = Duration::from_secs(10);
/// Agents whose application manager has died knock again within this.
const AGENTS_KNOCK_WITHIN: Duration = Duration::from_secs(5);
/// How long the application manager may take to leave once it has written the summary.
const MANAGER_LEAVES_WITHIN: Duration = Duration::from_secs(10);

/// How a job is to be run.
pub(crate) struct Settings {
    /// Folder of all runs.
    pub(crate) runs: PathBuf,
    /// Where agents of other machines may join.
    pub(crate) listen: Option<SocketAddr>,
    /// How many agents are awaited.
    pub(crate) agents: u32,
    /// What nodes may use of this machine.
    pub(crate) machine: Machine,
    /// Text of the operator's grants.
    pub(crate) grants: String,
    /// Who shows what happens.
    pub(crate) view: Box<dyn View>,
    /// Where the first application manager kills itself, for tests.
    pub(crate) fault_point: Option<FaultPoint>,
}

/// What is to be run.
pub(crate) enum Work {
    /// A job, in a run directory of its own.
    New(Box<Checked>),
    /// A run whose engine is gone.
    Continued(Box<Continued>),
}

/// A run that goes on.
pub(crate) struct Continued {
    pub(crate) run: RunDirectory,
    pub(crate) job: Job,
    /// Absent: it has none.
    pub(crate) dataflow: Option<Plan>,
    pub(crate) lock: EngineLock,
}

/// Runs a job to its end, whatever the end is. An error means that it never began.
///
/// Must be driven by a thread that lives as long as the process.
pub(crate) async fn run(
    work: Work,
    settings: Settings,
    signals: Signals,
) -> Result<Summary, Failure> {
    let (run, job, dataflow, staged, _lock) = match work {
        Work::New(checked) => {
            let run = create(&checked.job, &settings)?;
            let lock = EngineLock::take(&run);
            let staged = stage(&run, &checked, &settings);
            (run, checked.job, checked.dataflow, staged, lock?)
        }
        Work::Continued(continued) => {
            let Continued {
                run,
                job,
                dataflow,
                lock,
            } = *continued;
            remove_socket(&run);
            (run, job, dataflow, Ok(()), Some(lock))
        }
    };
    log_to(&run);
    let dataflow = dataflow.map(|plan| DataflowPlan::new(plan, &run));
    let prepared = match &dataflow {
        Some(_) => staged.and_then(|()| clear_spill(&run)),
        None => staged,
    };
    let started = match prepared {
        Ok(()) => Engine::start(&job, run.clone(), dataflow, settings, signals).await,
        Err(failure) => Err(failure),
    };
    let ended = match started {
        Ok(engine) => Ok(engine.serve().await),
        Err(failure) => {
            write_end(&run, &salvage::summary(&run, Wreck::of(&failure)));
            Err(failure.of_run(run.root()))
        }
    };
    remove_socket(&run);
    // What it held was gone with the dataflow.
    let _ = fs::remove_dir_all(run.spill());
    ended
}

/// An engine that was killed may have left something there.
fn clear_spill(run: &RunDirectory) -> Result<(), Failure> {
    let spill = run.spill();
    let cleared = match fs::remove_dir_all(&spill) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir(&spill),
    };
    cleared.map_err(|error| {
        Failure::input(format!("cannot make the folder `{}`", spill.display()))
            .caused_by(Some(&error))
    })
}

/// What cannot be written is lost; people are told all the same.
fn write_end(run: &RunDirectory, summary: &Summary) {
    if let Err(error) = salvage::write(run, summary) {
        tracing::error!("cannot write the end of the run: {error}");
    }
}

fn create(job: &Job, settings: &Settings) -> Result<RunDirectory, Failure> {
    RunDirectory::create(&settings.runs, &job.name).map_err(|error| {
        Failure::from_input(&error)
            .with_hint("choose a folder that you may write to with `--runs DIR`")
    })
}

fn stage(run: &RunDirectory, checked: &Checked, settings: &Settings) -> Result<(), Failure> {
    let grants = settings.grants.clone();
    let none = BTreeMap::new();
    let components = checked.dataflow.as_ref().map_or(&none, Plan::components);
    let (job, plugins) = (&checked.job, &checked.plugins);
    Submission::stage(run, job, plugins, components, grants, settings.agents)
        .map(|_submission| ())
        .map_err(|error| Failure::from_input(&error))
}

/// What the agent and its libraries have to say goes to a file: the terminal belongs to the view.
fn log_to(run: &RunDirectory) {
    let mut options = std::fs::OpenOptions::new();
    let log = options.create(true).append(true);
    if let Ok(file) = log.open(run.logs().join("engine.log")) {
        crate::logging::to_file(file);
    }
}

/// Everything that belongs to one running job.
struct Engine {
    run: RunDirectory,
    signals: Signals,
    terms: Terms,
    agent: AgentTask,
    watching: Watching,
    renderer: Renderer,
    stopping: Stopping,
    /// A manager died between the end of the job and telling it.
    has_untold_agents: bool,
    /// Held for a later term; dropped, nobody could join any more.
    listeners: Listeners,
}

impl Engine {
    async fn start(
        job: &Job,
        run: RunDirectory,
        dataflow: Option<DataflowPlan>,
        settings: Settings,
        signals: Signals,
    ) -> Result<Self, Failure> {
        let listeners = Listeners::bind(&run, settings.listen)?;
        let plan = dataflow.map(Executor::new);
        let agent = agent_task::Plan::new(&run, &settings.machine, settings.listen, plan).await?;
        let terms = Terms::begin(&run, &listeners, settings.fault_point)?;
        let control = watching::connect(&run).await?;
        let renderer = Renderer::start(settings.view);
        if let Some(address) = listeners.tcp_address() {
            renderer.remark(how_to_join(&run, address));
        }
        let watching = Watching::start(control.clone(), renderer.queue());
        Ok(Self {
            agent: agent.start(watching.begun()),
            watching,
            stopping: Stopping::new(control, job),
            run,
            signals,
            terms,
            renderer,
            has_untold_agents: false,
            listeners,
        })
    }

    /// Until the job has ended and everything of it is gone.
    async fn serve(mut self) -> Summary {
        let summary = match self.until_ended().await {
            Ok(summary) => summary,
            Err(wreck) => self.clean_up_after(wreck).await,
        };
        self.agent.finish(AGENT_ENDS_WITHIN).await;
        if self.has_untold_agents {
            self.dismiss_agents().await;
        }
        self.terms.leave(MANAGER_LEAVES_WITHIN).await;
        self.show_the_rest().await;
        summary
    }

    async fn until_ended(&mut self) -> Result<Summary, Wreck> {
        loop {
            let next = tokio::select! {
                biased;
                told = self.watching.ended() => match told {
                    Some(summary) => return Ok(summary),
                    None => self.watch_again(),
                },
                event = self.terms.event() => {
                    match event {
                        terms::Event::Due => self.next_term()?,
                        terms::Event::Died(ended) => {
                            if let Some(summary) = self.manager_died(&ended).await? {
                                return Ok(summary);
                            }
                        }
                    }
                    Next::GoOn
                },
                asked = self.signals.next() => self.asked(asked),
                () = self.renderer.unread() => self.stopping.quietly("nobody reads the output any more"),
                failure = self.agent.failed() => self.agent_failed(&failure),
                () = self.stopping.deadline() => Next::GiveUp("the application manager does not end the job".into()),
            };
            if let Next::GiveUp(reason) = next {
                return Err(Wreck {
                    outcome: Outcome::Stopped,
                    engine_failed: false,
                    reason,
                    hint: None,
                });
            }
        }
    }

    fn watch_again(&mut self) -> Next {
        self.watching.again();
        Next::GoOn
    }

    fn asked(&mut self, asked: Asked) -> Next {
        match asked {
            Asked::Suspend => {
                self.renderer.remark(SUSPEND_REFUSED);
                Next::GoOn
            }
            Asked::Stop(reason) => {
                let (next, remark) = self.stopping.asked(reason);
                self.renderer.remark(remark);
                next
            }
        }
    }

    /// Without the agent of this machine the job cannot go on as it was meant.
    fn agent_failed(&mut self, failure: &Failure) -> Next {
        self.renderer.remark(failure.to_string());
        self.stopping.broken(format!(
            "the agent of the engine failed: {}",
            failure.sentence()
        ));
        Next::GoOn
    }

    /// The next term takes over, unless the one that died had come to the end, or they die too often.
    async fn manager_died(
        &mut self,
        ended: &io::Result<ExitStatus>,
    ) -> Result<Option<Summary>, Wreck> {
        if let Some(summary) = self.untold_end().await {
            self.has_untold_agents = true;
            return Ok(Some(summary));
        }
        let (cause, wait) = self.terms.died(ended);
        let Some(wait) = wait else {
            return Err(Wreck {
                outcome: Outcome::Failed,
                engine_failed: true,
                reason: format!("application managers die again and again; the last: {cause}"),
                hint: Some(self.advice()),
            });
        };
        self.renderer.remark(format!(
            "{cause}; another one takes over in {} ms",
            wait.as_millis()
        ));
        Ok(None)
    }

    fn advice(&self) -> String {
        disk::advice(&self.run).map_or_else(
            || {
                let log = self.run.manager_log(self.terms.term());
                format!("its log is `{}`", log.display())
            },
            str::to_owned,
        )
    }

    /// The summary that a manager has written before it went, with everything before it shown.
    async fn untold_end(&mut self) -> Option<Summary> {
        let end_of = |event: &Received| match event.event() {
            JobEvent::Summary(summary) => Some(summary.clone()),
            _ => None,
        };
        let written = salvage::events_after(&self.run, self.watching.seen());
        let end = written.iter().find_map(end_of)?;
        // What it had sent is still on its way.
        let told = tokio::time::timeout(EVENTS_ARRIVE_WITHIN, self.watching.ended()).await;
        if let Ok(Some(summary)) = told {
            return Some(summary);
        }
        if told.is_err() {
            self.watching.cut().await;
        }
        for event in salvage::events_after(&self.run, self.watching.seen()) {
            self.renderer.event(event);
        }
        Some(end)
    }

    fn next_term(&mut self) -> Result<(), Wreck> {
        self.terms
            .next(&self.listeners)
            .map_err(|failure| Wreck::of(&failure))
    }

    /// Ends everything by force and writes the end that nobody else writes.
    async fn clean_up_after(&mut self, wreck: Wreck) -> Summary {
        self.agent.kill();
        self.agent.finish(AGENT_ENDS_WITHIN).await;
        self.terms.kill();
        self.watching.give_up();
        self.dismiss_agents().await;
        let summary = salvage::summary(&self.run, wreck);
        write_end(&self.run, &summary);
        if let Ok(end) = Received::new(salvage::line(self.watching.seen() + 1, summary.clone())) {
            self.renderer.event(end);
        }
        summary
    }

    /// Agents of other machines knock at the listener again: they hear that the job is over, and end their nodes.
    async fn dismiss_agents(&mut self) {
        let Some(listener) = self.listeners.tcp.take() else {
            return;
        };
        let said = match Token::read_file(&self.run.token_file()) {
            Ok(token) => farewell::say(listener, &token, AGENTS_KNOCK_WITHIN).await,
            Err(error) => Err(io::Error::other(error)),
        };
        if let Err(error) = said {
            tracing::warn!(%error, "agents of other machines keep their nodes until their orphan grace is over");
        }
    }

    /// A reader that is slow is waited for, unless somebody asks for the end again.
    async fn show_the_rest(self) {
        let Self {
            renderer,
            watching,
            stopping,
            mut signals,
            ..
        } = self;
        drop((watching, stopping));
        tokio::select! {
            () = renderer.finish() => {}
            _ = signals.stop() => {}
        }
    }
}

fn how_to_join(run: &RunDirectory, address: SocketAddr) -> String {
    format!(
        "agents join with: forebay agent --am {address} --token-file {}",
        shell_word(&run.token_file().to_string_lossy())
    )
}
