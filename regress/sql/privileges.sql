-- Who may do what.
CREATE ROLE regress_owner;
CREATE ROLE regress_other;
CREATE ROLE regress_monitor IN ROLE pg_monitor;
CREATE SCHEMA own AUTHORIZATION regress_owner;
CREATE SCHEMA other AUTHORIZATION regress_other;
GRANT USAGE ON SCHEMA own TO regress_other, regress_monitor;
CREATE TABLE secret (a int PRIMARY KEY, b int);
INSERT INTO secret VALUES (1, 1), (2, 2);

-- Without SELECT there is nothing to follow.
SET ROLE regress_owner;
SELECT pgtrickle.create_stream_table('own.st', 'SELECT a, b FROM public.secret');
SELECT pgtrickle.create_stream_table('own.st', 'SELECT a, b FROM public.secret', initialize => false);
SELECT * FROM pgtrickle.validate_query('SELECT a FROM public.secret');
SELECT pgtrickle.explain('SELECT a FROM public.secret');
SELECT pgtrickle.create_stream_table('public.st', 'SELECT 1 AS a');
SELECT pgtrickle.create_stream_table('other.st', 'SELECT 1 AS a');
RESET ROLE;
-- SELECT alone does not put capture on another's table: its writers would pay (full mode).
GRANT SELECT ON secret TO regress_owner;
SET ROLE regress_owner;
SELECT pgtrickle.create_stream_table('own.st', 'SELECT a, 10 / b AS q FROM public.secret', schedule => '1 hour');
SELECT effective_mode FROM pgtrickle.stream_table_status() WHERE name = 'own.st';
SELECT pgtrickle.create_stream_table('own.st2', 'SELECT a, b FROM public.secret', refresh_mode => 'differential');
SELECT pgtrickle.allow_capture('public.secret');
RESET ROLE;
SELECT pgtrickle.allow_capture('secret');
SET ROLE regress_owner;
SELECT pgtrickle.alter_stream_table('own.st', refresh_mode => 'differential');
SELECT effective_mode FROM pgtrickle.stream_table_status() WHERE name = 'own.st';
RESET ROLE;
INSERT INTO secret VALUES (3, 3);
SET ROLE regress_owner;
SELECT pgtrickle.refresh_stream_table('own.st');
SELECT * FROM own.st ORDER BY a;
SELECT relowner::regrole FROM pg_class WHERE relnamespace = 'pgtrickle_definitions'::regnamespace;

-- Another user sees that it is there, and nothing of it.
SET ROLE regress_other;
SELECT pgtrickle.refresh_stream_table('own.st');
SELECT pgtrickle.rebuild('own.st');
SELECT pgtrickle.verify('own.st');
SELECT pgtrickle.wait_for('own.st');
SELECT pgtrickle.alter_stream_table('own.st', status => 'suspended');
SELECT pgtrickle.alter_stream_table('own.st', query => 'SELECT 1 AS a, 2 AS q');
SELECT pgtrickle.create_or_replace_stream_table('own.st', 'SELECT 1 AS a, 2 AS q');
SELECT pgtrickle.drop_stream_table('own.st');
DROP TABLE own.st;
SELECT pgtrickle.refresh_all();
SELECT name, rows_changed_last_cycle, avg_refresh_ms, pending_change_rows, state_bytes, last_error, refreshes, error_rows
  FROM pgtrickle.stream_table_status();
SELECT * FROM pgtrickle.refresh_history();
SELECT source_table, pending_rows, pending_bytes, oldest_change_at FROM pgtrickle.change_buffer_status();
SELECT sla_tier, pending, oldest_pending_at FROM pgtrickle.scheduler_status();
SELECT pgtrickle.stream_table_definition('own.st');
SELECT * FROM own.st;
SELECT * FROM pgtrickle.stream_table;
SELECT * FROM pgtrickle.error_row;
SELECT * FROM pgtrickle.segment;
SELECT pgtrickle.capture();
CREATE TABLE other.mine (a int);
CREATE TRIGGER forged AFTER INSERT ON other.mine FOR EACH STATEMENT EXECUTE FUNCTION pgtrickle.capture();
SELECT * FROM pgtrickle_definitions.nothing;
CREATE VIEW pgtrickle_definitions.v AS SELECT 1;
CREATE TABLE pgtrickle.mine (a int);
SELECT pgtrickle.allow_capture('public.secret');
SELECT pgtrickle.forbid_capture('public.secret');
-- SELECT on the result lets wait, MAINTAIN lets refresh; neither shows rows of the sources.
RESET ROLE;
GRANT SELECT ON own.st TO regress_other;
SET ROLE regress_other;
SELECT pgtrickle.wait_for('own.st');
SELECT pgtrickle.refresh_stream_table('own.st');
RESET ROLE;
GRANT MAINTAIN ON own.st TO regress_other;
INSERT INTO secret VALUES (4, 0);
SET ROLE regress_other;
SELECT pgtrickle.refresh_stream_table('own.st');
SELECT * FROM pgtrickle.errors('own.st');
SELECT pgtrickle.verify('own.st');
SET ROLE regress_monitor;
SELECT sqlstate, message, expression, row_text, occurrences FROM pgtrickle.errors('own.st');
SELECT name, last_error, error_rows FROM pgtrickle.stream_table_status() WHERE name = 'own.st';
SET ROLE regress_owner;
SELECT sqlstate, message, expression, row_text, occurrences FROM pgtrickle.errors('own.st');
RESET ROLE;
DELETE FROM secret WHERE b = 0;

-- The query runs as its owner in a restricted operation, whoever asks, and never finds what the caller put in its way.
CREATE FUNCTION own.who(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT current_user::text';
ALTER FUNCTION own.who OWNER TO regress_owner;
SET ROLE regress_owner;
SELECT pgtrickle.create_stream_table('own.run_as', 'SELECT a, own.who(a) AS who FROM public.secret', schedule => '1 hour');
RESET ROLE;
INSERT INTO secret VALUES (5, 5);
SELECT pgtrickle.refresh_stream_table('own.run_as');
SELECT DISTINCT who FROM own.run_as;
SET ROLE regress_owner;
CREATE FUNCTION own.become(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'RESET ROLE'; RETURN $1; END $$;
CREATE FUNCTION own.hide(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE loot (a int); RETURN $1; END $$;
CREATE FUNCTION own.later(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN LISTEN own; RETURN $1; END $$;
SELECT pgtrickle.create_stream_table('own.escapes', 'SELECT own.become(a) AS a FROM public.secret');
SELECT pgtrickle.create_stream_table('own.escapes', 'SELECT own.hide(a) AS a FROM public.secret');
SELECT pgtrickle.create_stream_table('own.escapes', 'SELECT own.later(a) AS a FROM public.secret', initialize => false);
SELECT pgtrickle.refresh_stream_table('own.escapes');
SELECT pgtrickle.drop_stream_table('own.escapes');
-- The caller's search path decides when the query is read, and never again.
SET search_path = own, public;
CREATE TABLE own.src (a int);
INSERT INTO own.src VALUES (1);
SELECT pgtrickle.create_stream_table('by_path', 'SELECT a FROM src', schedule => '1 hour');
RESET search_path;
INSERT INTO own.src VALUES (2);
SELECT pgtrickle.refresh_stream_table('own.by_path');
SELECT * FROM own.by_path ORDER BY a;
-- Operators of a caller's schema do not reach the extension's own statements.
CREATE FUNCTION own.eq(oid, oid) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE ''reached''; END';
CREATE OPERATOR own.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = own.eq);
SET search_path = own, pg_catalog;
SELECT pgtrickle.create_stream_table('own.trap', 'SELECT 1 AS a');
SELECT pgtrickle.alter_stream_table('own.trap', query => 'SELECT 2 AS a');
SELECT count(*) FROM pgtrickle.verify('own.by_path');
SELECT pgtrickle.drop_stream_table('own.trap');
RESET search_path;

-- Row-level security holds for the stream table's owner, and may not look at the session.
RESET ROLE;
CREATE TABLE guarded (a int, who name);
INSERT INTO guarded VALUES (1, 'regress_owner'), (2, 'regress_other');
GRANT SELECT ON guarded TO regress_owner;
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (who = current_user);
SELECT * FROM pgtrickle.validate_query('SELECT a FROM guarded');
SET ROLE regress_owner;
SELECT * FROM pgtrickle.validate_query('SELECT a FROM public.guarded');
SELECT pgtrickle.create_stream_table('own.guarded', 'SELECT a FROM public.guarded', schedule => '1 hour');
SELECT pgtrickle.refresh_stream_table('own.guarded');
SELECT * FROM own.guarded;
RESET ROLE;
ALTER POLICY own ON guarded USING (who = current_setting('app.who'));
SET ROLE regress_owner;
SELECT pgtrickle.refresh_stream_table('own.guarded');
SELECT pgtrickle.create_stream_table('own.guarded2', 'SELECT a FROM public.guarded');
RESET ROLE;
DROP TABLE guarded CASCADE;

-- Rights that are taken back: it stops, and says why.
RESET ROLE;
SELECT pgtrickle.refresh_stream_table('own.st');
REVOKE SELECT ON secret FROM regress_owner;
INSERT INTO secret VALUES (6, 6);
SELECT pgtrickle.forbid_capture('secret');
SELECT pgtrickle.rebuild('own.st');
SELECT name, status, last_error FROM pgtrickle.stream_table_status() WHERE name = 'own.st';
SELECT count(*) FROM own.st;
GRANT SELECT ON secret TO regress_owner;

RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA own, other CASCADE;
DROP TABLE secret;
DROP ROLE regress_owner, regress_other, regress_monitor;
