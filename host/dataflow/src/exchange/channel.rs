//! The queue from one task to another: bounded in rows and in bytes, one writer, one reader.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use arrow_array::{Array, RecordBatch};

use crate::Element;

/// How much one queue holds. A batch that is larger than a bound passes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Rows; 16,384 unless said otherwise.
    pub rows: usize,
    /// Bytes of Arrow buffers; 4 MiB unless said otherwise.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            rows: 16_384,
            bytes: 4 << 20,
        }
    }
}

/// What something weighs in a queue. Watermarks, barriers and ends weigh nothing: they must never wait for room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Weight {
    pub(crate) fn of(batch: &RecordBatch) -> Self {
        let bytes = |column: &dyn Array| {
            let data = column.to_data();
            data.get_slice_memory_size()
                .unwrap_or_else(|_| column.get_array_memory_size())
        };
        Self {
            rows: batch.num_rows(),
            bytes: batch.columns().iter().map(|column| bytes(column)).sum(),
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    elements: VecDeque<(Weight, Element)>,
    load: Weight,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The reader is gone.
    is_abandoned: bool,
}

#[derive(Debug)]
struct Channel {
    bounds: Bounds,
    queue: Mutex<Queue>,
}

impl Channel {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue and its two ends.
pub(crate) fn channel(bounds: Bounds) -> (Sender, Receiver) {
    let channel = Arc::new(Channel {
        bounds,
        queue: Mutex::default(),
    });
    (Sender(channel.clone()), Receiver(channel))
}

#[derive(Debug)]
pub(crate) struct Sender(Arc<Channel>);

impl Sender {
    /// Ready when something of this weight fits.
    pub(crate) fn poll_room(&self, weight: Weight, context: &mut Context<'_>) -> Poll<()> {
        let bounds = self.0.bounds;
        let mut queue = self.0.queue();
        let fits = queue.load.rows + weight.rows <= bounds.rows
            && queue.load.bytes + weight.bytes <= bounds.bytes;
        if fits || queue.load == Weight::default() || queue.is_abandoned {
            return Poll::Ready(());
        }
        keep_waker(&mut queue.writer, context);
        Poll::Pending
    }

    /// Ready when nothing waits in it that has weight.
    pub(crate) fn poll_empty(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.0.queue();
        if queue.load == Weight::default() {
            return Poll::Ready(());
        }
        keep_waker(&mut queue.writer, context);
        Poll::Pending
    }

    /// Whether nobody reads any more; then nothing that is pushed is kept.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.queue().is_abandoned
    }

    /// Appends, whether there is room or not.
    pub(crate) fn push(&self, weight: Weight, element: Element) {
        let mut queue = self.0.queue();
        if queue.is_abandoned {
            return;
        }
        queue.load.rows += weight.rows;
        queue.load.bytes += weight.bytes;
        match (&element, queue.elements.back_mut()) {
            // Only the last of several watermarks says anything; and so a reader that does not read holds few of them.
            (Element::Watermark(_), Some((_, last @ Element::Watermark(_)))) => *last = element,
            _ => queue.elements.push_back((weight, element)),
        }
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

#[derive(Debug)]
pub(crate) struct Receiver(Arc<Channel>);

impl Receiver {
    pub(crate) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Element> {
        let mut queue = self.0.queue();
        let Some((weight, element)) = queue.elements.pop_front() else {
            keep_waker(&mut queue.reader, context);
            return Poll::Pending;
        };
        queue.load.rows -= weight.rows;
        queue.load.bytes -= weight.bytes;
        let writer = queue.writer.take();
        drop(queue);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(element)
    }

    /// Looks into the queue from outside.
    pub(crate) fn gauge(&self) -> Gauge {
        Gauge(self.0.clone())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let abandoned = Queue {
            is_abandoned: true,
            ..Queue::default()
        };
        let before = std::mem::replace(&mut *self.0.queue(), abandoned);
        if let Some(writer) = before.writer {
            writer.wake();
        }
    }
}

/// How full a queue is.
#[derive(Debug, Clone)]
pub(crate) struct Gauge(Arc<Channel>);

impl Gauge {
    pub(crate) fn load(&self) -> Weight {
        self.0.queue().load
    }
}

fn keep_waker(place: &mut Option<Waker>, context: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(context.waker()),
        none => *none = Some(context.waker().clone()),
    }
}
