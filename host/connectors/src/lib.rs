//! Sources and sinks of the dataflow.
