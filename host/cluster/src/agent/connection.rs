//! Keeps one connection to the AM: connects, hands messages both ways, connects again with back-off.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::connect::{self, Discovery, ManagerAddress};
use crate::token::Token;
use crate::wire::cluster::{AgentMessage, ManagerMessage};

/// Messages that wait for the network; more wait in the agent's loop.
const QUEUE_MAX: usize = 64;
pub(crate) const BACK_OFF_MIN: Duration = Duration::from_millis(100);
pub(crate) const BACK_OFF_MAX: Duration = Duration::from_secs(2);

/// What happened to the connection.
#[derive(Debug)]
pub(super) enum Event {
    /// It stands; the first message of the agent is to be `register`.
    Up(mpsc::Sender<AgentMessage>),
    Message(Box<ManagerMessage>),
    /// It is gone, or could not be made; another try follows.
    Down(String),
    /// The AM does not want this agent; another try follows only if the agent stays.
    Refused(Status),
}

/// Runs until its future is dropped. `client`: the connection, for other calls, while there is one.
pub(super) async fn keep(
    address: ManagerAddress,
    token: Token,
    events: mpsc::Sender<Event>,
    client: watch::Sender<Option<Discovery>>,
) {
    let mut back_off = BACK_OFF_MIN;
    loop {
        let end = converse(&address, &token, &events, &client).await;
        client.send_replace(None);
        if end.was_welcome {
            back_off = BACK_OFF_MIN;
        }
        if events.send(end.event).await.is_err() {
            return;
        }
        tokio::time::sleep(back_off).await;
        back_off = (2 * back_off).min(BACK_OFF_MAX);
    }
}

struct End {
    event: Event,
    was_welcome: bool,
}

async fn converse(
    address: &ManagerAddress,
    token: &Token,
    events: &mpsc::Sender<Event>,
    client: &watch::Sender<Option<Discovery>>,
) -> End {
    let mut was_welcome = false;
    let event = match attach(address, token, events).await {
        Err(event) => event,
        Ok((discovery, mut inbound)) => {
            client.send_replace(Some(discovery));
            forward(&mut inbound, events, &mut was_welcome).await
        }
    };
    End { event, was_welcome }
}

async fn attach(
    address: &ManagerAddress,
    token: &Token,
    events: &mpsc::Sender<Event>,
) -> Result<(Discovery, Streaming<ManagerMessage>), Event> {
    let connected = connect::discovery(address, token).await;
    let mut discovery = connected.map_err(|error| Event::Down(deepest_cause(&error)))?;
    let (outbound, queue) = mpsc::channel(QUEUE_MAX);
    let told = events.send(Event::Up(outbound)).await;
    told.map_err(|_| Event::Down("the agent has ended".to_owned()))?;
    let answer = discovery
        .attach(ReceiverStream::new(queue))
        .await
        .map_err(end_of_call)?;
    Ok((discovery, answer.into_inner()))
}

async fn forward(
    inbound: &mut Streaming<ManagerMessage>,
    events: &mpsc::Sender<Event>,
    was_welcome: &mut bool,
) -> Event {
    loop {
        match inbound.message().await {
            Ok(Some(message)) => {
                *was_welcome = true;
                if events
                    .send(Event::Message(Box::new(message)))
                    .await
                    .is_err()
                {
                    return Event::Down("the agent has ended".to_owned());
                }
            }
            Ok(None) => return Event::Down("the application manager hung up".to_owned()),
            Err(status) => return end_of_call(status),
        }
    }
}

/// A refusal by name, as against a connection that broke.
fn end_of_call(status: Status) -> Event {
    match status.code() {
        Code::Unauthenticated
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::InvalidArgument
        | Code::Unimplemented => Event::Refused(status),
        _ => Event::Down(format!("{}: {}", status.code(), status.message())),
    }
}

/// The outer ones say no more than that there is no connection.
fn deepest_cause(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
