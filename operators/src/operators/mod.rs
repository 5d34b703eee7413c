//! The streaming operators, one a file.
