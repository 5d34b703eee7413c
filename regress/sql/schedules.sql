-- Schedules: what is understood, what is not, and what it comes to.
CREATE TABLE t (a int);
CREATE FUNCTION try(schedule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text;
BEGIN
    PERFORM pgtrickle.create_or_replace_stream_table('st', 'SELECT a FROM t', schedule => try.schedule);
    RETURN (SELECT s.schedule::text || ' (' || coalesce(s.schedule_text, 'null') || ')'
              FROM pgtrickle.stream_table_status() s);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN sqlstate || ': ' || sqlerrm || ' / ' || detail;
END $$;
SELECT s, try(s) FROM unnest(ARRAY['5 seconds', '100 ms', '1ms', '1 hour', '5s', '1h30m', '1h 30m', '90m', '2 days',
    '00:00:05', '1 day 00:30', '1.5 s', ' 10 s ', 'DEFAULT', NULL]) s;
SELECT s, try(s) FROM unnest(ARRAY['0.5 ms', '0 s', '-5 s', '101 years', '1000000 days', '1 month', '5', '', 'soon', '5 parsecs',
    '* * * *', '61 * * * *', '* * * * * * *', '@sometimes', '5 seconds and a half']) s;
-- Cron: the bound is the time until the next tick.
CREATE FUNCTION within(schedule text, bound interval) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pgtrickle.create_or_replace_stream_table('st', 'SELECT a FROM t', schedule => within.schedule);
    RETURN (SELECT s.schedule > '0' AND s.schedule <= bound AND s.schedule_text = within.schedule
              FROM pgtrickle.stream_table_status() s);
END $$;
SELECT s, within(s, bound::interval)
  FROM (VALUES ('* * * * *', '1 minute'), ('@hourly', '1 hour'), ('0 0 * * *', '25 hours'), ('*/10 * * * * *', '10 seconds'),
               ('0 12 * * MON', '8 days')) v (s, bound);
-- A pattern that never fires; one that does seldom.
SELECT pgtrickle.create_or_replace_stream_table('st', 'SELECT a FROM t', schedule => '0 0 31 2 *');
SELECT pgtrickle.create_or_replace_stream_table('st', 'SELECT a FROM t', schedule => '0 0 30 2,4 *');
SELECT pgtrickle.create_or_replace_stream_table('st', 'SELECT a FROM t', schedule => '0 0 29 2 *');
-- Calculated: as its dependents need.
SELECT pgtrickle.create_or_replace_stream_table('st', 'SELECT a FROM t', schedule => 'calculated');
SELECT schedule, schedule_text FROM pgtrickle.stream_table_status();
-- NULL: the setting's.
SELECT pgtrickle.create_or_replace_stream_table('st', 'SELECT a FROM t');
SELECT schedule, schedule_text FROM pgtrickle.stream_table_status();
SHOW pg_trickle.default_schedule;
ALTER SYSTEM SET pg_trickle.default_schedule = '1 minute';
SELECT pg_reload_conf();
\c
SELECT schedule, schedule_text FROM pgtrickle.stream_table_status();
ALTER SYSTEM RESET pg_trickle.default_schedule;
SELECT pg_reload_conf();
\c
-- The settings: bounds, kinds, and no others.
SELECT name, setting, unit, context, vartype, min_val, boot_val FROM pg_settings WHERE name LIKE 'pg_trickle.%' ORDER BY name;
SELECT name FROM pg_settings WHERE name LIKE 'pg_trickle.%' AND (short_desc IS NULL OR extra_desc IS NULL);
ALTER SYSTEM SET pg_trickle.default_schedule = 'soon';
ALTER SYSTEM SET pg_trickle.default_schedule = '* * * * *';
ALTER SYSTEM SET pg_trickle.default_schedule = '0 s';
ALTER SYSTEM SET pg_trickle.max_parallel_workers = 0;
ALTER SYSTEM SET pg_trickle.memory_limit_mb = 1;
ALTER SYSTEM SET pg_trickle.no_such_thing = 1;
SET pg_trickle.enabled = off;
DROP TABLE t CASCADE;
DROP FUNCTION try, within;
