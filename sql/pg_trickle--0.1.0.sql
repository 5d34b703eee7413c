\echo Use "CREATE EXTENSION pg_trickle" to load this file. \quit

-- Schemas ------------------------------------------------------------------------------------------------------------

CREATE SCHEMA pgtrickle;
COMMENT ON SCHEMA pgtrickle IS 'pg_trickle: functions and catalog of stream tables';
GRANT USAGE ON SCHEMA pgtrickle TO PUBLIC;

CREATE SCHEMA pgtrickle_definitions;
COMMENT ON SCHEMA pgtrickle_definitions IS 'pg_trickle: the queries of stream tables, as views that nobody reads by name';
REVOKE ALL ON SCHEMA pgtrickle_definitions FROM PUBLIC;

-- First of all, so that nothing is left of an installation that could not work.
CREATE FUNCTION pgtrickle.assert_preloaded() RETURNS void
    AS 'MODULE_PATHNAME', 'assert_preloaded_wrapper' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
SELECT pgtrickle.assert_preloaded();
DROP FUNCTION pgtrickle.assert_preloaded();

-- Catalog ------------------------------------------------------------------------------------------------------------

-- What a dump carries: names, not OIDs; nothing that is true in this cluster only.
CREATE TABLE pgtrickle.stream_table (
    id uuid PRIMARY KEY,
    table_schema name NOT NULL,
    table_name name NOT NULL,
    query text NOT NULL,
    schedule text,
    refresh_mode text NOT NULL CHECK (refresh_mode IN ('auto', 'differential', 'full')),
    sla_tier text NOT NULL CHECK (sla_tier IN ('critical', 'standard', 'background')),
    suspended boolean NOT NULL DEFAULT false,
    settings text[] NOT NULL,
    UNIQUE (table_schema, table_name) DEFERRABLE INITIALLY IMMEDIATE
);
REVOKE ALL ON pgtrickle.stream_table FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('pgtrickle.stream_table', '');
COMMENT ON TABLE pgtrickle.stream_table IS 'definitions of stream tables, as their owners gave them';
COMMENT ON COLUMN pgtrickle.stream_table.id IS 'names the definition view: pgtrickle_definitions.st_<id without hyphens>';
COMMENT ON COLUMN pgtrickle.stream_table.query IS 'the query as written; the definition view is what is evaluated';
COMMENT ON COLUMN pgtrickle.stream_table.schedule IS 'the schedule as written; null: pg_trickle.default_schedule';
COMMENT ON COLUMN pgtrickle.stream_table.settings IS 'settings that results can depend on, as name=value, pinned at creation';

-- What is true in this cluster and database only; rows of another incarnation are not live.
CREATE TABLE pgtrickle.live_table (
    relid oid PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    view oid NOT NULL,
    key_index oid NOT NULL,
    key_columns int2[],
    mode text NOT NULL CHECK (mode IN ('differential', 'full')),
    reason text,
    generation int8 NOT NULL,
    system_identifier int8 NOT NULL,
    database oid NOT NULL
);
REVOKE ALL ON pgtrickle.live_table FROM PUBLIC;
COMMENT ON TABLE pgtrickle.live_table IS 'stream tables of this database: their objects, and how they are maintained';
COMMENT ON COLUMN pgtrickle.live_table.key_index IS 'the index by which changed rows are found; 0: none';
COMMENT ON COLUMN pgtrickle.live_table.key_columns IS 'the unique key of the result, if one is known';
COMMENT ON COLUMN pgtrickle.live_table.reason IS 'why it is refreshed in full';
COMMENT ON COLUMN pgtrickle.live_table.generation IS 'grows with every change of the definition';

CREATE TABLE pgtrickle.frontier (
    relid oid NOT NULL,
    frontier text NOT NULL,
    applied_at timestamptz NOT NULL,
    clock int8
);
REVOKE ALL ON pgtrickle.frontier FROM PUBLIC;
COMMENT ON TABLE pgtrickle.frontier IS 'what each stream table covers, as pg_snapshot; appended, the last row counts';
COMMENT ON COLUMN pgtrickle.frontier.clock IS 'the time as of which temporal filters are, in microseconds since 2000-01-01 UTC';

CREATE TABLE pgtrickle.refresh_log (
    relid oid NOT NULL,
    refreshed_at timestamptz NOT NULL,
    duration_ms float8 NOT NULL,
    rows_changed int8 NOT NULL,
    delta_compute_ms float8,
    merge_apply_ms float8,
    index_update_ms float8,
    error text,
    cut_ms float8,
    decode_ms float8,
    commit_ms float8
);
CREATE INDEX refresh_log_relid ON pgtrickle.refresh_log (relid, refreshed_at);
REVOKE ALL ON pgtrickle.refresh_log FROM PUBLIC;
COMMENT ON TABLE pgtrickle.refresh_log IS 'history of refreshes, kept for pg_trickle.history_retention; many within a second are one row: the longest, with the rows of all';
COMMENT ON COLUMN pgtrickle.refresh_log.delta_compute_ms IS 'until the difference was known: cut, decoding, dataflow';

CREATE TABLE pgtrickle.error_row (
    relid oid NOT NULL,
    sqlstate text NOT NULL,
    message text NOT NULL,
    expression text NOT NULL,
    row_text text,
    occurrences int8 NOT NULL,
    noticed_at timestamptz NOT NULL
);
CREATE INDEX error_row_relid ON pgtrickle.error_row (relid);
REVOKE ALL ON pgtrickle.error_row FROM PUBLIC;
COMMENT ON TABLE pgtrickle.error_row IS 'samples of the rows on which the queries of stream tables fail at present';

-- A publication FOR ALL TABLES takes these in, and refuses deletes from a table that does not say how its rows are told apart.
ALTER TABLE pgtrickle.frontier REPLICA IDENTITY FULL;
ALTER TABLE pgtrickle.refresh_log REPLICA IDENTITY FULL;
ALTER TABLE pgtrickle.error_row REPLICA IDENTITY FULL;

CREATE TABLE pgtrickle.capture_grant (
    relid oid PRIMARY KEY,
    granted_by oid NOT NULL
);
REVOKE ALL ON pgtrickle.capture_grant FROM PUBLIC;
COMMENT ON TABLE pgtrickle.capture_grant IS 'tables whose owners let the stream tables of others capture their changes';

-- Capture: layouts and segments. Segments are made at run time, and are members of the extension too.
CREATE TABLE pgtrickle.layout (
    layout int4 NOT NULL,
    source oid NOT NULL,
    attnum int2 NOT NULL,
    name name NOT NULL,
    type oid NOT NULL,
    base_type oid NOT NULL,
    typmod int4 NOT NULL,
    collation_id oid NOT NULL,
    length int2 NOT NULL,
    by_value bool NOT NULL,
    align "char" NOT NULL,
    PRIMARY KEY (layout, attnum)
);
REVOKE ALL ON pgtrickle.layout FROM PUBLIC;
COMMENT ON TABLE pgtrickle.layout IS 'columns of change rows: enough to decode them when the columns are gone';

CREATE TABLE pgtrickle.segment (
    relation oid PRIMARY KEY,
    state "char" NOT NULL,
    sealed text
);
REVOKE ALL ON pgtrickle.segment FROM PUBLIC;
COMMENT ON TABLE pgtrickle.segment IS 'the change buffer''s relations: active, closed, sealed at a frontier, or free';

CREATE FUNCTION pgtrickle.segment_content() RETURNS bool
    AS 'MODULE_PATHNAME', 'segment_content_wrapper' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION pgtrickle.segment_content() FROM PUBLIC;
COMMENT ON FUNCTION pgtrickle.segment_content() IS 'raises an error: the relations of the change buffer are no materialized views';

CREATE FUNCTION pgtrickle.capture() RETURNS trigger
    AS 'MODULE_PATHNAME', 'pgtrickle_capture' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION pgtrickle.capture() FROM PUBLIC;
COMMENT ON FUNCTION pgtrickle.capture() IS 'records changes of captured tables; called by triggers that the worker installs';

-- Functions ----------------------------------------------------------------------------------------------------------

CREATE FUNCTION pgtrickle.row_hash(VARIADIC "any") RETURNS int8
    AS 'MODULE_PATHNAME', 'row_hash' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION pgtrickle.row_hash("any") IS 'hash of a row''s stored form; indexes of stream tables without a key use it';

CREATE FUNCTION pgtrickle.single(anyelement, bigint) RETURNS anyelement
    AS 'MODULE_PATHNAME', 'single_value' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION pgtrickle.single(anyelement, bigint) IS 'the first argument, unless a scalar subquery has more rows than one';

CREATE FUNCTION pgtrickle.canonical_image("any") RETURNS bytea
    AS 'MODULE_PATHNAME', 'canonical_image' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgtrickle.canonical_image("any") IS 'the same bytes for values that are equal; keys of stream tables are compared by it';

CREATE FUNCTION pgtrickle.multirange_instants(anymultirange) RETURNS bytea
    AS 'MODULE_PATHNAME', 'multirange_instants' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgtrickle.multirange_instants(anymultirange) IS 'when a multirange of dates or timestamps begins and ends; temporal filters compare these with the clock';

CREATE FUNCTION pgtrickle.version() RETURNS text
    AS 'MODULE_PATHNAME', 'version_wrapper' LANGUAGE C STRICT STABLE PARALLEL SAFE;
COMMENT ON FUNCTION pgtrickle.version() IS 'version of the loaded library';

CREATE FUNCTION pgtrickle.create_stream_table(
    name text, query text, schedule text DEFAULT NULL, refresh_mode text DEFAULT 'auto',
    sla_tier text DEFAULT 'standard', initialize bool DEFAULT true, if_not_exists bool DEFAULT false)
    RETURNS regclass
    AS 'MODULE_PATHNAME', 'create_stream_table_wrapper' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.create_stream_table(text, text, text, text, text, bool, bool)
    IS 'creates a table that follows a query';

CREATE FUNCTION pgtrickle.create_or_replace_stream_table(
    name text, query text, schedule text DEFAULT NULL, refresh_mode text DEFAULT 'auto',
    sla_tier text DEFAULT 'standard', initialize bool DEFAULT true, if_not_exists bool DEFAULT false)
    RETURNS regclass
    AS 'MODULE_PATHNAME', 'create_or_replace_stream_table_wrapper' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.create_or_replace_stream_table(text, text, text, text, text, bool, bool)
    IS 'creates a stream table, or gives an existing one this definition; no work if it has it';

CREATE FUNCTION pgtrickle.alter_stream_table(
    name text, query text DEFAULT NULL, schedule text DEFAULT NULL, refresh_mode text DEFAULT NULL,
    sla_tier text DEFAULT NULL, status text DEFAULT NULL)
    RETURNS void
    AS 'MODULE_PATHNAME', 'alter_stream_table_wrapper' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.alter_stream_table(text, text, text, text, text, text)
    IS 'changes a stream table; null leaves as it is';

CREATE FUNCTION pgtrickle.drop_stream_table(name text, cascade bool DEFAULT false, if_exists bool DEFAULT false)
    RETURNS void
    AS 'MODULE_PATHNAME', 'drop_stream_table_wrapper' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.drop_stream_table(text, bool, bool) IS 'drops a stream table, as DROP TABLE does';

CREATE FUNCTION pgtrickle.refresh_stream_table(name text) RETURNS void
    AS 'MODULE_PATHNAME', 'refresh_stream_table_wrapper' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.refresh_stream_table(text)
    IS 'returns when the content includes everything committed before the call';

CREATE FUNCTION pgtrickle.refresh_all() RETURNS void
    AS 'MODULE_PATHNAME', 'refresh_all_wrapper' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.refresh_all() IS 'refreshes all stream tables that the caller may refresh';

CREATE FUNCTION pgtrickle.wait_for(name text, timeout interval DEFAULT NULL) RETURNS bool
    AS 'MODULE_PATHNAME', 'wait_for_wrapper' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.wait_for(text, interval)
    IS 'waits until everything committed before the call is reflected, without forcing a refresh; false: timed out';

CREATE FUNCTION pgtrickle.rebuild(name text) RETURNS void
    AS 'MODULE_PATHNAME', 'rebuild_wrapper' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.rebuild(text) IS 'computes a stream table anew from its sources and repairs its content by difference';

CREATE FUNCTION pgtrickle.verify(name text)
    RETURNS TABLE (difference text, occurrences int8, row_text text)
    AS 'MODULE_PATHNAME', 'verify_wrapper' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.verify(text) IS 'rows in which content and query differ at one snapshot; none: right';

CREATE FUNCTION pgtrickle.errors(name text)
    RETURNS TABLE (sqlstate text, message text, expression text, row_text text, occurrences int8, noticed_at timestamptz)
    AS 'MODULE_PATHNAME', 'errors_wrapper' LANGUAGE C STRICT STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.errors(text) IS 'rows on which the query of a stream table fails';

CREATE FUNCTION pgtrickle.stream_table_status()
    RETURNS TABLE (
        name text, status text, refresh_mode text, sla_tier text, schedule interval, schedule_text text,
        last_refresh_at timestamptz, staleness_secs float8, rows_changed_last_cycle int8, avg_refresh_ms float8,
        pending_change_rows int8, state_bytes int8, last_error text, effective_mode text, mode_reason text,
        owner regrole, refreshes int8, error_rows int8)
    AS 'MODULE_PATHNAME', 'stream_table_status_wrapper' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.stream_table_status() IS 'one row a stream table: state, freshness, work';

CREATE FUNCTION pgtrickle.change_buffer_status()
    RETURNS TABLE (
        source_table regclass, stream_tables int8, pending_rows int8, pending_bytes int8, oldest_change_at timestamptz)
    AS 'MODULE_PATHNAME', 'change_buffer_status_wrapper' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.change_buffer_status()
    IS 'one row a source table: changes that were captured and are not read yet';

CREATE FUNCTION pgtrickle.scheduler_status()
    RETURNS TABLE (
        worker_pid int4, worker_state text, sla_tier text, stream_tables int8, suspended int8, failing int8,
        pending int8, oldest_pending_at timestamptz, memory_bytes int8)
    AS 'MODULE_PATHNAME', 'scheduler_status_wrapper' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.scheduler_status() IS 'this database''s worker and the memory it uses, and one row a tier: how many are behind';

CREATE FUNCTION pgtrickle.explain(query text, format text DEFAULT 'text') RETURNS SETOF text
    AS 'MODULE_PATHNAME', 'explain_wrapper' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.explain(text, text) IS 'the dataflow by which a query would be maintained; nothing is run';

CREATE FUNCTION pgtrickle.refresh_history(name text DEFAULT NULL)
    RETURNS TABLE (
        name text, refreshed_at timestamptz, duration_ms float8, rows_changed int8, delta_compute_ms float8,
        merge_apply_ms float8, index_update_ms float8, error text, cut_ms float8, decode_ms float8, commit_ms float8)
    AS 'MODULE_PATHNAME', 'refresh_history_wrapper' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.refresh_history(text) IS 'recent refreshes, newest first';

CREATE FUNCTION pgtrickle.dependencies(name text DEFAULT NULL)
    RETURNS TABLE (name text, source regclass, kind text)
    AS 'MODULE_PATHNAME', 'dependencies_wrapper' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.dependencies(text) IS 'what stream tables read: tables, views, stream tables';

CREATE FUNCTION pgtrickle.stream_table_definition(name text) RETURNS text
    AS 'MODULE_PATHNAME', 'stream_table_definition_wrapper' LANGUAGE C STRICT STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.stream_table_definition(text) IS 'the call that creates the stream table again';

CREATE FUNCTION pgtrickle.validate_query(query text)
    RETURNS TABLE (incremental bool, construct text, reason text, hint text)
    AS 'MODULE_PATHNAME', 'validate_query_wrapper' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.validate_query(text) IS 'whether a query can be maintained incrementally, and if not, why';

CREATE FUNCTION pgtrickle.allow_capture("table" regclass) RETURNS void
    AS 'MODULE_PATHNAME', 'allow_capture_wrapper' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.allow_capture(regclass)
    IS 'lets the stream tables of others capture the changes of a table of the caller''s';

CREATE FUNCTION pgtrickle.forbid_capture("table" regclass) RETURNS void
    AS 'MODULE_PATHNAME', 'forbid_capture_wrapper' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtrickle.forbid_capture(regclass) IS 'takes back allow_capture';
