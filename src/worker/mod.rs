//! The background processes: the launcher, and one worker a database.

mod delta;
