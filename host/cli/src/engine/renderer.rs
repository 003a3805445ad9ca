//! A thread of its own for the view: a terminal or a reader may be slow, or stand still, and signals are answered all
//! the same.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::view::{Received, Shown, View};

/// Events on their way to the view; behind so many, the stream of events waits.
const EVENTS_WAITING_MAX: usize = 1024;
/// Events that are shown at once: a flood of lines costs one drawing each so many.
const BATCH_MAX: usize = 256;

/// An event with its place in the queue; what the engine itself has to say needs none.
type Queued = (Shown, Option<OwnedSemaphorePermit>);

/// The view at work.
pub(super) struct Renderer {
    queue: Queue,
    unread: Option<oneshot::Receiver<()>>,
    thread: JoinHandle<()>,
}

/// Where events are put to be shown. Cheap to clone.
#[derive(Clone)]
pub(super) struct Queue {
    sender: mpsc::UnboundedSender<Queued>,
    places: Arc<Semaphore>,
}

impl Queue {
    /// Waits for a place and puts the event there.
    pub(super) async fn put(&self, event: Received) {
        let place = self.places.clone().acquire_owned().await.ok();
        self.send(Shown::Event(Box::new(event)), place);
    }

    fn send(&self, shown: Shown, place: Option<OwnedSemaphorePermit>) {
        // The thread only leaves when every sender has.
        let _ = self.sender.send((shown, place));
    }
}

impl Renderer {
    pub(super) fn start(view: Box<dyn View>) -> Self {
        let (sender, queued) = mpsc::unbounded_channel();
        let (told, unread) = oneshot::channel();
        let thread = tokio::task::spawn_blocking(move || render(view, queued, told));
        let queue = Queue {
            sender,
            places: Arc::new(Semaphore::new(EVENTS_WAITING_MAX)),
        };
        Self {
            queue,
            unread: Some(unread),
            thread,
        }
    }

    /// For the stream of events.
    pub(super) fn queue(&self) -> Queue {
        self.queue.clone()
    }

    /// Shows an event without waiting for a place.
    pub(super) fn event(&self, event: Received) {
        self.queue.send(Shown::Event(Box::new(event)), None);
    }

    /// Shows what the engine itself has to say.
    pub(super) fn remark(&self, text: impl Into<String>) {
        self.queue.send(Shown::Remark(text.into()), None);
    }

    /// Comes back once, when nobody can read any more.
    pub(super) async fn unread(&mut self) {
        if let Some(unread) = &mut self.unread {
            let is_unread = unread.await.is_ok();
            self.unread = None;
            if is_unread {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Waits until everything is shown. Every [`Queue`] must be gone.
    pub(super) async fn finish(self) {
        let Self { queue, thread, .. } = self;
        drop(queue);
        // It cannot panic but by a mistake of the view, which the summary must survive.
        let _ = thread.await;
    }
}

fn render(
    mut view: Box<dyn View>,
    mut queued: mpsc::UnboundedReceiver<Queued>,
    unread: oneshot::Sender<()>,
) {
    let mut unread = Some(unread);
    let mut batch = Vec::new();
    while queued.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
        let (shown, places): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        drop(places);
        if unread.is_some() && view.show(&shown).is_err() {
            // From here on events are only taken, so that their stream does not stand still.
            let _ = unread.take().map(|unread| unread.send(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    const WATCHDOG: Duration = Duration::from_secs(20);

    /// Shows nothing after the first event, as a reader that is gone.
    struct Gone(Arc<AtomicUsize>);

    impl View for Gone {
        fn show(&mut self, _batch: &[Shown]) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn event() -> Received {
        Received::parse(r#"{"time_ms":1,"kind":"phase","phase":"running"}"#.into()).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn events_go_on_after_the_last_reader_has_gone_and_it_is_told_once() {
        let shown = Arc::new(AtomicUsize::new(0));
        let mut renderer = Renderer::start(Box::new(Gone(shown.clone())));
        let queue = renderer.queue();
        let flood = async {
            for _ in 0..3 * EVENTS_WAITING_MAX {
                queue.put(event()).await;
            }
        };
        tokio::time::timeout(WATCHDOG, flood)
            .await
            .expect("the stream of events stands still");
        tokio::time::timeout(WATCHDOG, renderer.unread())
            .await
            .expect("nobody is told");
        drop(queue);
        tokio::time::timeout(WATCHDOG, renderer.finish())
            .await
            .expect("the thread stays");
        assert_eq!(shown.load(Ordering::SeqCst), 1);
    }
}
