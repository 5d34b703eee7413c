//! The key of a stream table was inferred, and made an index of, by pg_trickle itself: when it does not hold any more, because
//! a source has lost a constraint or because its values are too long, the index goes. An index of the user's is never touched; if the content violates it, the
//! error names it.

use crate::catalog::{key, live_table};
use crate::pg::invalidation::{self, Invalidated};
use crate::pg::lock::{self, Mode as Lock};
use crate::pg::role::as_extension;
use crate::pg::txn::{self, Failure, Isolation};
use crate::pg::{catalog_lookup, log};
use crate::worker::database::Database;
use crate::worker::table::{Doubt, Mode};
use hashbrown::HashSet;

/// So often the lock is asked for without waiting, so that no reader waits behind the worker; then for as long as the worker
/// ever waits for a lock.
const POLITE_ATTEMPTS: u32 = 5;

impl Database {
    /// Detaches graphs that read a relation whose keys are not what they were when the plan was made; returned with whatever
    /// reads them.
    pub fn check_keys(&mut self, refused: &HashSet<u32>, invalidated: &Invalidated) -> HashSet<u32> {
        let (mut stale, mut unseen) = (HashSet::new(), Vec::new());
        for (table, state) in &self.tables {
            let Mode::Incremental(graph) = &state.mode else { continue };
            let concerned = |relation: &u32| invalidated.includes(*relation) && !refused.contains(relation);
            for (relation, facts) in graph.keys.iter().filter(|(relation, _)| concerned(relation)) {
                if !lock::try_lock(*relation, Lock::AccessShare) {
                    unseen.push(*relation);
                } else if catalog_lookup::key_facts(*relation) != *facts {
                    stale.insert(*table);
                }
            }
        }
        invalidation::put_back(unseen.into_iter());
        for table in &stale {
            self.detach_and_forget(*table);
        }
        let mut held = self.readers_of(&stale);
        held.extend(stale);
        held
    }

    /// Drops the key's index if the key does not hold, as far as is known since the definition was compiled.
    pub fn give_up_key(&mut self, table: u32) -> Result<(), Failure> {
        let state = &self.tables[&table];
        let definition = state.definition.clone();
        let Some(numbers) = &definition.key_columns else { return Ok(()) };
        let given_up = match &state.mode {
            Mode::Incremental(graph) => {
                let kept =
                    graph.plan.key.as_ref().is_some_and(|key| key.iter().all(|at| numbers.contains(&(*at as i16 + 1))));
                let column = |number: &i16| graph.plan.columns.get((*number - 1) as usize);
                let nullable = numbers.iter().filter_map(column).any(|column| column.nullable);
                let too_long = state.key_doubted == Some(Doubt::TooLong);
                !kept
                    || too_long
                    || (nullable && txn::run(Isolation::ReadCommitted, || Ok(key::forbids_null(&definition)))?)
            }
            // The query says nothing of keys then: only what was found.
            Mode::Full(_) => state.key_doubted.is_some(),
            Mode::Undecided => false,
        };
        if !given_up {
            return Ok(());
        }
        let state_doubt = state.key_doubted;
        let attempts = state.trouble.as_ref().map_or(0, |trouble| trouble.attempts);
        // First the other index, while everybody reads on; it stays if the lock cannot be had now.
        let hash = txn::run(Isolation::ReadCommitted, || Ok(as_extension(|| key::hash_index(&definition))))?;
        txn::run(Isolation::ReadCommitted, || {
            if attempts >= POLITE_ATTEMPTS {
                lock::lock(table, Lock::AccessExclusive);
            } else if !lock::try_lock(table, Lock::AccessExclusive) {
                let name = &definition.name;
                return Err(Failure::new(
                    b"55P03",
                    format!("waiting for a lock on stream table {name} to drop its key"),
                ));
            }
            as_extension(|| {
                key::replace_by_hash(&definition);
                live_table::put_key(table, hash);
            });
            Ok(())
        })?;
        let why = match state_doubt {
            Some(Doubt::TooLong) => "its values are too long for an index",
            _ => "a source has lost a constraint",
        };
        log::log(&format!("stream table {} has no key any more: {why}", definition.name));
        let state = self.tables.get_mut(&table).expect("decided tables exist");
        state.definition.key_index = hash;
        state.definition.key_columns = None;
        state.key_doubted = None;
        Ok(())
    }

    /// What is to be done about a table whose content violates a constraint of its own: `None` if its key was at fault, which
    /// is then given up, else the failure with a word about what the user can do.
    pub fn violation(&mut self, table: u32, failure: Failure) -> Option<Failure> {
        let doubt = match &failure.sqlstate {
            b"54000" => Doubt::TooLong,
            [b'2', b'3', ..] if failure.hint.is_none() => Doubt::Violated,
            _ => return Some(failure),
        };
        let Some(state) = self.tables.get_mut(&table) else { return Some(failure) };
        let definition = &state.definition;
        let not_null = failure.sqlstate == *b"23502";
        let violated = txn::run(Isolation::ReadCommitted, || {
            let forbids_null = not_null && key::forbids_null(definition);
            let named = key::violated(table, definition.key_index, &failure.message);
            // One of the two messages about too long values names no index.
            let only_own = doubt == Doubt::TooLong && named.is_none() && key::is_only_index(definition);
            Ok((named, forbids_null || only_own))
        });
        let Ok((named, without_name)) = violated else { return Some(failure) };
        let own = without_name || named.as_ref().is_some_and(|(_, own)| *own);
        if own && definition.key_columns.is_some() && state.key_doubted != Some(doubt) {
            state.key_doubted = Some(doubt);
            self.detach_and_forget(table);
            return None;
        }
        let what = match named {
            Some((name, false)) if doubt == Doubt::TooLong => format!("index \"{name}\""),
            Some((name, false)) => format!("index or constraint \"{name}\""),
            None if not_null => "NOT NULL constraint".to_string(),
            _ => return Some(failure),
        };
        let hint = format!("Drop the {what} of stream table {}, or change its query.", definition.name);
        Some(failure.hint(hint))
    }
}
