//! Batches go through a channel where they lie: neither end allocates memory of their size, except for the one copy of what a node has written.

#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array,
    RecordBatch, StringArray, StructArray,
};
use arrow_schema::{DataType, Field, Fields, Schema};
use forebay_channel::{
    Body, Channel, Columns, Header, HostEnd, Kind, NodeEnd, Record, Retention, Setting, Writer,
    read_body,
};

/// Bytes that this process has asked for so far.
static ASKED_FOR: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the allocator of the system does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED_FOR.fetch_add(layout.size(), Relaxed);
        // SAFETY: whoever calls keeps to the rules of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// All threads are counted together.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The result, and how many bytes were asked for meanwhile, also of what was given back at once.
fn counted<T>(act: impl FnOnce() -> T) -> (T, usize) {
    let before = ASKED_FOR.load(Relaxed);
    let result = act();
    (result, ASKED_FOR.load(Relaxed) - before)
}

const ROWS: usize = 8_000;
/// All allocations for a batch together: names, headers of arrays.
const SMALL: usize = 16 << 10;
/// The first batches make room in lists of leases.
const WARM: usize = 8;
/// Records fit into a quarter.
const RING: u64 = 4 << 20;

/// More than 640 KiB, of columns that are all kinds of memory.
fn batch() -> RecordBatch {
    let cell = Arc::new(Field::new("item", DataType::Float32, false));
    let cells: Float32Array = (0..ROWS * 16).map(|_| Some(0.5)).collect();
    let features = FixedSizeListArray::new(cell, 16, Arc::new(cells), None);
    let ids: Int64Array = (0..).take(ROWS).map(Some).collect();
    let names: StringArray = (0..ROWS)
        .map(|row| (row % 4 > 0).then_some("a name"))
        .collect();
    let mut tags = ListBuilder::new(Int32Builder::new());
    for row in 0..ROWS {
        tags.append_value((0..row % 4).map(|_| Some(7)));
    }
    let cities = ["Kiel", "Trier"].into_iter().cycle().take(ROWS);
    let cities: DictionaryArray<Int32Type> = cities.collect();
    let columns: [(&str, ArrayRef); 5] = [
        ("features", Arc::new(features)),
        ("id", Arc::new(ids)),
        ("name", Arc::new(names)),
        ("tags", Arc::new(tags.finish())),
        ("city", Arc::new(cities)),
    ];
    RecordBatch::try_from_iter(columns).expect("they are as long")
}

fn ends() -> (HostEnd, NodeEnd) {
    let channel = Channel::new(Setting {
        input_bytes: RING,
        output_bytes: RING,
        retention: Retention::Read,
    });
    let (host, descriptors) = channel
        .expect("there is memory")
        .begin(1)
        .expect("there is memory");
    (host, NodeEnd::open(descriptors).expect("it is a channel"))
}

fn write(writer: &mut Writer, columns: &Columns, batch: &RecordBatch) {
    let body = Body::new(columns, batch).expect("it can be sent");
    let bytes = body.bytes();
    let mut slot = writer
        .reserve(bytes)
        .expect("it fits")
        .expect("there is room");
    body.write(slot.body());
    let header = Header {
        rows: u32::try_from(batch.num_rows()).expect("they are few"),
        ..Header::new(Kind::Data)
    };
    slot.commit(header, bytes);
}

fn take(node: &mut NodeEnd) -> Record {
    node.input
        .take()
        .expect("it is sound")
        .expect("it was written")
}

/// The batch as the node reads it; neither end asks for much memory.
fn feed(
    round: usize,
    host: &mut HostEnd,
    node: &mut NodeEnd,
    columns: &Columns,
    batch: &RecordBatch,
) -> RecordBatch {
    let ((), of_host) = counted(|| write(&mut host.input, columns, batch));
    let (read, of_node) = counted(|| {
        let body = take(node).into_buffer();
        read_body(columns, ROWS, &body).expect("it is one of these columns")
    });
    if round >= WARM {
        assert!(of_host < SMALL, "the host has written with {of_host} bytes");
        assert!(of_node < SMALL, "the node has read with {of_node} bytes");
    }
    read
}

/// Columns of numbers that become a matrix on their way.
#[test]
fn a_matrix_is_packed_where_the_node_reads_it() {
    const WIDTH: usize = 20;
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let numbers: ArrayRef = Arc::new((0..ROWS).map(|_| Some(0.5)).collect::<Float64Array>());
    let fields: Fields = (0..WIDTH)
        .map(|at| Field::new(format!("c{at}"), DataType::Float64, true))
        .collect();
    let apart = StructArray::new(fields, vec![numbers; WIDTH], None);
    let batch = RecordBatch::try_from_iter([("features", Arc::new(apart) as ArrayRef)]).unwrap();
    let cell = Arc::new(Field::new("item", DataType::Float32, false));
    let width = i32::try_from(WIDTH).unwrap();
    let matrix = Field::new("features", DataType::FixedSizeList(cell, width), false);
    let columns = Columns::under(Arc::new(Schema::new(vec![matrix])), &batch);
    let (mut host, mut node) = ends();
    for round in 0..100 {
        let read = feed(round, &mut host, &mut node, &columns, &batch);
        assert_eq!(read.num_rows(), ROWS);
    }
}

#[test]
fn no_end_allocates_memory_of_the_size_of_a_batch() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let batch = batch();
    let columns = Columns::of(&batch);
    let bytes = Body::new(&columns, &batch).unwrap().bytes();
    assert!(bytes > 640 << 10, "{bytes}");
    let (mut host, mut node) = ends();
    for round in 0..100 {
        let read = feed(round, &mut host, &mut node, &columns, &batch);
        let ((), of_answer) = counted(|| write(&mut node.output, &columns, &read));
        let (heard, of_hearing) = counted(|| {
            let record = host.output.take().unwrap().expect("it was written");
            read_body(&columns, ROWS, &record.copied_buffer()).unwrap()
        });
        assert!(read == batch && heard == batch);
        if round < WARM {
            continue;
        }
        assert!(
            of_answer < SMALL,
            "the node has answered with {of_answer} bytes"
        );
        // What a node has written it may go on writing, so it is copied: once.
        let most = bytes + SMALL;
        assert!(
            (bytes..most).contains(&of_hearing),
            "the host has heard an answer of {bytes} bytes with {of_hearing}"
        );
    }
    write(&mut host.input, &columns, &batch);
    let record = take(&mut node);
    let (_, of_copy) = counted(|| record.body().to_vec());
    assert!(of_copy >= bytes, "a copy is counted");
}
