//! A graph becomes tasks, and tasks run.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::chain::{Chain, Link, Owner};
use crate::checkpoint::{Checkpoint, Coordinator};
use crate::element::Told;
use crate::error::{Cause, Error};
use crate::event_time::Stamps;
use crate::exchange::{Deal, Edge, Exchange, Fan, Gauge, Receiver, Rounds, Sender, channel};
use crate::executor::{Clock, Meter, Scheduler, Simulated, Task, Threads, Work};
use crate::graph::{Graph, Kind, Make, Node};
use crate::inputs::Inputs;
use crate::meeting::Meeting;
use crate::operator::{EventTime, Source, TaskContext};
use crate::progress::{Progress, Watched, WatchedTask};
use crate::task::{Common, OperatorTask, SourceTask, Turns};

/// How many elements a task works on before others have their turn. A simulation has them take turns after each.
const ELEMENTS_IN_A_ROW: usize = 16;

/// How a dataflow is to run.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Worker threads; as many as there are processors unless said otherwise.
    pub threads: usize,
    /// Where to go on; `None` at the beginning.
    pub checkpoint: Option<&'a Checkpoint>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            checkpoint: None,
        }
    }
}

/// Looks at a running dataflow and steers it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    coordinator: Arc<Coordinator>,
    watched: Arc<Vec<Watched>>,
    scheduler: Arc<Scheduler>,
}

impl Handle {
    /// How far every operator is, in the order in which they were added.
    pub fn progress(&self) -> Vec<Progress> {
        self.watched.iter().map(Watched::progress).collect()
    }

    /// Sends a barrier through the dataflow. Numbers grow.
    pub fn trigger(&self, barrier: u64) {
        self.coordinator.trigger(barrier);
    }

    /// The state at a barrier that has been triggered, if it has come through; once.
    pub fn checkpoint(&self, barrier: u64) -> Option<Checkpoint> {
        self.coordinator.take(barrier)
    }

    /// Waits until a barrier that has been triggered has come through; `None` if it will not, because the dataflow has failed, or
    /// the barrier was given up.
    pub fn wait_for_checkpoint(&self, barrier: u64) -> Option<Checkpoint> {
        self.coordinator.wait(barrier)
    }

    /// Nobody waits for this barrier any more.
    pub fn give_up(&self, barrier: u64) {
        self.coordinator.give_up(barrier);
    }

    /// The sources end where they are; what they have read goes through.
    pub fn end_sources(&self) {
        self.coordinator.end_sources();
    }

    /// Ends everything where it is.
    pub fn stop(&self) {
        self.scheduler.stop(Error::Stopped);
    }
}

/// A dataflow at work in threads of its own. Dropped, it is stopped.
#[derive(Debug)]
pub struct Running {
    threads: Threads,
    handle: Handle,
}

impl Running {
    /// To look at it and to steer it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits for the end; how far everything was.
    ///
    /// # Errors
    ///
    /// The first failure, or [`Error::Stopped`].
    pub fn wait(self) -> Result<Vec<Progress>, Error> {
        let outcome = self.threads.wait();
        outcome.map(|()| self.handle.progress())
    }
}

/// A dataflow in the caller's thread: a seed decides who runs next, and time passes when nobody can. The same seed, the same run.
#[derive(Debug)]
pub struct Simulation {
    tasks: Simulated,
    handle: Handle,
}

impl Simulation {
    /// To look at it and to steer it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// One task runs until it waits; `false` when nobody can.
    pub fn step(&mut self) -> bool {
        self.tasks.step()
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// The first failure; [`Error::Stalled`] when nobody can go on.
    pub fn run(self) -> Result<Vec<Progress>, Error> {
        let outcome = self.tasks.run();
        outcome.map(|()| self.handle.progress())
    }
}

impl Graph {
    /// Starts it in threads.
    ///
    /// # Errors
    ///
    /// An operator cannot be made or does not take up its state; a thread cannot be started.
    pub fn start(&self, options: &Options<'_>) -> Result<Running, Error> {
        let engine = Engine::new(Clock::real, ELEMENTS_IN_A_ROW);
        let (tasks, handle) = Assembly::of(self, &engine).assemble(options.checkpoint)?;
        let threads = Threads::start(&engine.scheduler, &engine.clock, tasks, options.threads)
            .map_err(Error::Thread)?;
        Ok(Running { threads, handle })
    }

    /// Prepares a simulated run.
    ///
    /// # Errors
    ///
    /// An operator cannot be made or does not take up its state.
    pub fn simulate(
        &self,
        seed: u64,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Simulation, Error> {
        let engine = Engine::new(Clock::simulated, 1);
        let (tasks, handle) = Assembly::of(self, &engine).assemble(checkpoint)?;
        Ok(Simulation {
            tasks: Simulated::start(&engine.scheduler, &engine.clock, tasks, seed),
            handle,
        })
    }
}

/// What all tasks of a dataflow share.
struct Engine {
    coordinator: Arc<Coordinator>,
    scheduler: Arc<Scheduler>,
    clock: Clock,
    elements_in_a_row: usize,
}

impl Engine {
    fn new(clock: fn(Arc<Scheduler>) -> Clock, elements_in_a_row: usize) -> Self {
        let coordinator = Arc::<Coordinator>::default();
        let at_end = coordinator.clone();
        let scheduler = Arc::new(Scheduler::new(move || at_end.close()));
        Self {
            coordinator,
            clock: clock(scheduler.clone()),
            scheduler,
            elements_in_a_row,
        }
    }
}

/// The two ends of all queues of one exchange: by task before, then by task behind.
struct Wires {
    senders: BTreeMap<usize, Vec<Sender>>,
    receivers: BTreeMap<usize, Vec<Receiver>>,
}

impl Wires {
    fn lay(graph: &Graph, from: &Node, to: &Node, exchange: &Exchange) -> Self {
        let (mut senders, mut receivers) = (BTreeMap::new(), BTreeMap::new());
        for before in 0..from.parallelism {
            for behind in 0..to.parallelism {
                if *exchange == Exchange::Forward && before != behind {
                    continue;
                }
                let (sender, receiver) = channel(graph.bounds);
                senders.entry(before).or_insert_with(Vec::new).push(sender);
                receivers
                    .entry(behind)
                    .or_insert_with(Vec::new)
                    .push(receiver);
            }
        }
        Self { senders, receivers }
    }
}

/// Makes tasks of a graph.
struct Assembly<'a> {
    graph: &'a Graph,
    engine: &'a Engine,
    /// By the operator behind and its input.
    wires: BTreeMap<(usize, usize), Wires>,
    owners: Vec<Vec<Owner>>,
    meetings: Vec<Meeting>,
    watched: Vec<Vec<WatchedTask>>,
}

impl<'a> Assembly<'a> {
    fn of(graph: &'a Graph, engine: &'a Engine) -> Self {
        let owner = |node: &Node, task| Owner {
            operator: node.name.clone(),
            task,
            schema: node.schema.clone(),
            counters: Arc::default(),
        };
        let owners = graph.nodes.iter().map(|node| {
            (0..node.parallelism)
                .map(|task| owner(node, task))
                .collect()
        });
        Self {
            graph,
            engine,
            wires: BTreeMap::new(),
            owners: owners.collect(),
            meetings: graph
                .nodes
                .iter()
                .map(|node| Meeting::of(node.parallelism))
                .collect(),
            watched: graph.nodes.iter().map(|_| Vec::new()).collect(),
        }
    }

    fn assemble(mut self, checkpoint: Option<&Checkpoint>) -> Result<(Vec<Task>, Handle), Error> {
        let chains = self.graph.chains();
        for head in chains.iter().map(|chain| chain[0]) {
            for (number, input) in self.graph.nodes[head].inputs.iter().enumerate() {
                let (from, to) = (&self.graph.nodes[input.from], &self.graph.nodes[head]);
                self.wires.insert(
                    (head, number),
                    Wires::lay(self.graph, from, to, &input.exchange),
                );
            }
        }
        let mut tasks = Vec::new();
        for chain in &chains {
            for task in 0..self.graph.nodes[chain[0]].parallelism {
                tasks.push(self.task(chain, task, checkpoint)?);
            }
        }
        checkpoint.map_or(Ok(()), |checkpoint| no_task_is_missing(checkpoint, &tasks))?;
        self.engine.coordinator.expect(tasks.len());
        let watched = self.graph.nodes.iter().zip(self.watched);
        let watched = watched
            .map(|(node, tasks)| Watched {
                operator: node.name.clone(),
                part: node.part(),
                tasks,
            })
            .collect();
        let handle = Handle {
            coordinator: self.engine.coordinator.clone(),
            watched: Arc::new(watched),
            scheduler: self.engine.scheduler.clone(),
        };
        Ok((tasks, handle))
    }

    fn task(
        &mut self,
        chain: &[usize],
        task: usize,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Task, Error> {
        let names: Vec<_> = chain
            .iter()
            .map(|&operator| &*self.graph.nodes[operator].name)
            .collect();
        let name = names.join(" -> ");
        let id = (Arc::<str>::from(name.as_str()), task);
        let meter = Arc::new(Meter::default());
        let inputs = self.inputs(chain[0], task);
        self.watch(chain, task, &meter, &inputs);
        let state = checkpoint
            .map(|checkpoint| {
                checkpoint
                    .tasks
                    .get(&id)
                    .ok_or("there is none of this task".into())
            })
            .transpose();
        let refuse = |reason: Cause| Error::Restore {
            operator: name.clone(),
            checkpoint: checkpoint.map_or(0, |checkpoint| checkpoint.barrier),
            reason: reason.to_string(),
        };
        let state = state.map_err(refuse)?;
        let common = Common {
            id,
            chain: Chain {
                links: self.links(chain, task)?,
                fan: self.fan(chain, task),
            },
            coordinator: self.engine.coordinator.clone(),
            meter: meter.clone(),
            turns: Turns::of(self.engine.elements_in_a_row),
        };
        let work = match &self.graph.nodes[chain[0]].kind {
            Kind::Source { make, event_time } => {
                let mut work = self.source(chain[0], make, event_time.clone(), common)?;
                state
                    .map_or(Ok(()), |state| work.restore(state))
                    .map_err(refuse)?;
                Box::pin(work.run()) as Work
            }
            Kind::Operator { .. } => {
                let inputs = Inputs::new(
                    inputs,
                    self.graph.shares_sources(chain[0]),
                    self.graph.must_not_choose(chain[0]),
                );
                let mut work = OperatorTask { common, inputs };
                state
                    .map_or(Ok(()), |state| work.restore(state))
                    .map_err(refuse)?;
                Box::pin(work.run())
            }
        };
        Ok(Task {
            name,
            number: task,
            meter,
            work,
        })
    }

    fn source(
        &self,
        operator: usize,
        make: &Make<dyn Source>,
        event_time: Option<(EventTime, usize)>,
        common: Common,
    ) -> Result<SourceTask, Error> {
        let owner = self.owners[operator][common.id.1].clone();
        let source =
            make(self.context(operator, owner.task)).map_err(|cause| owner.blame(cause))?;
        Ok(SourceTask {
            common,
            source,
            owner,
            stamps: event_time.map(|(settings, column)| Stamps::new(settings, column)),
            clock: self.engine.clock.clone(),
            orders: self.engine.coordinator.enlist(),
            spoke: Some(self.engine.clock.now()),
            told: Told::default(),
        })
    }

    fn context(&self, operator: usize, task: usize) -> TaskContext {
        let node = &self.graph.nodes[operator];
        TaskContext {
            operator: node.name.clone(),
            task,
            parallelism: node.parallelism,
            counters: self.owners[operator][task].counters.clone(),
            clock: self.engine.clock.clone(),
            meeting: self.meetings[operator].clone(),
            failure: self.engine.scheduler.failure(),
        }
    }

    fn links(&self, chain: &[usize], task: usize) -> Result<Vec<Link>, Error> {
        let mut links = Vec::new();
        for &operator in chain {
            let Kind::Operator { make } = &self.graph.nodes[operator].kind else {
                continue;
            };
            let owner = self.owners[operator][task].clone();
            let made = make(self.context(operator, task)).map_err(|cause| owner.blame(cause))?;
            links.push(Link {
                owner,
                operator: made,
            });
        }
        Ok(links)
    }

    fn inputs(&mut self, operator: usize, task: usize) -> Vec<(usize, Receiver)> {
        let of_operator = self.wires.range_mut((operator, 0)..(operator + 1, 0));
        of_operator
            .flat_map(|(&(_, input), wires)| {
                let receivers = wires.receivers.remove(&task).unwrap_or_default();
                receivers.into_iter().map(move |receiver| (input, receiver))
            })
            .collect()
    }

    fn watch(
        &mut self,
        chain: &[usize],
        task: usize,
        meter: &Arc<Meter>,
        inputs: &[(usize, Receiver)],
    ) {
        for &operator in chain {
            let is_head = operator == chain[0];
            let gauges = inputs
                .iter()
                .filter(|_| is_head)
                .map(|(_, receiver)| receiver.gauge());
            self.watched[operator].push(WatchedTask {
                counters: self.owners[operator][task].counters.clone(),
                meter: meter.clone(),
                queues: gauges.collect::<Vec<Gauge>>(),
            });
        }
    }

    /// The way out of a task, to all who read its last operator.
    fn fan(&mut self, chain: &[usize], task: usize) -> Fan {
        let last = chain[chain.len() - 1];
        let owner = self.owners[last][task].clone();
        let mut edges = Vec::new();
        for (&(behind, input), wires) in &mut self.wires {
            let input = &self.graph.nodes[behind].inputs[input];
            if input.from == last {
                let targets = wires.senders.remove(&task).unwrap_or_default();
                let deal = deal(&input.exchange, &owner, targets.len());
                edges.push(Edge::new(task, deal, targets));
            }
        }
        Fan::new(owner, edges)
    }
}

/// A checkpoint of more tasks than there are: their state would be lost.
fn no_task_is_missing(checkpoint: &Checkpoint, tasks: &[Task]) -> Result<(), Error> {
    let exists = |(operators, number): &(Arc<str>, usize)| {
        tasks
            .iter()
            .any(|task| task.name == **operators && task.number == *number)
    };
    match checkpoint.tasks.keys().find(|task| !exists(task)) {
        None => Ok(()),
        Some((operators, number)) => Err(Error::Restore {
            operator: operators.to_string(),
            checkpoint: checkpoint.barrier,
            reason: format!("there is no task {number} any more"),
        }),
    }
}

fn deal(exchange: &Exchange, owner: &Owner, targets: usize) -> Deal {
    let schema = owner
        .schema
        .as_ref()
        .expect("only an operator that emits is read");
    match exchange {
        Exchange::Rounds { rows, rest } => Deal::Rounds(Rounds::new(
            schema,
            *rows,
            targets,
            rest.clone(),
            owner.counters.clone(),
        )),
        // Also of one target: parts are as large as they are wanted.
        Exchange::Credit { rows } => Deal::Credit { rows: *rows },
        _ if targets == 1 => Deal::One,
        Exchange::Forward => Deal::One,
        Exchange::Hash(columns) => {
            let position = |column: &String| {
                schema
                    .index_of(column)
                    .expect("it was checked when the graph was made")
            };
            Deal::Hash(columns.iter().map(position).collect())
        }
        Exchange::Broadcast => Deal::Broadcast,
        // Each task begins with another target, or the first would get most of a short stream.
        Exchange::RoundRobin => Deal::RoundRobin {
            next: owner.task % targets,
        },
    }
}
