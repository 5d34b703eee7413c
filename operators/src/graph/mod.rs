//! From a plan to a dataflow: arrangements and their sharing, operators, sinks.
