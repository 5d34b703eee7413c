-- Nobody changes a stream table but its refresh; users may do with it what they do with tables otherwise.
CREATE TABLE t (a int PRIMARY KEY, b int);
INSERT INTO t VALUES (1, 1), (2, 2);
SELECT pgtrickle.create_stream_table('st', 'SELECT a, b FROM t');
INSERT INTO st VALUES (3, 3);
\echo :SQLSTATE
UPDATE st SET b = 0;
DELETE FROM st;
TRUNCATE st;
TRUNCATE t, st;
MERGE INTO st USING t ON st.a = t.a WHEN MATCHED THEN DELETE;
MERGE INTO st USING t ON st.a = t.a WHEN NOT MATCHED THEN INSERT VALUES (1, 1);
INSERT INTO st SELECT * FROM t ON CONFLICT DO NOTHING;
COPY st FROM stdin;
3	3
\.
WITH d AS (DELETE FROM st RETURNING a) SELECT count(*) FROM d;
-- By way of a view, a rule, a trigger, a prepared statement, a function, replica role, a partition.
CREATE VIEW v AS SELECT * FROM st;
DELETE FROM v;
CREATE TABLE other (a int);
CREATE RULE r AS ON INSERT TO other DO ALSO DELETE FROM st;
INSERT INTO other VALUES (1);
DROP RULE r ON other;
PREPARE p AS DELETE FROM st;
EXECUTE p;
DEALLOCATE p;
DO $$ BEGIN DELETE FROM st; END $$;
SET session_replication_role = replica;
DELETE FROM st;
RESET session_replication_role;
-- Foreign keys: on a stream table they may point, but not change it.
CREATE TABLE target (a int PRIMARY KEY);
INSERT INTO target VALUES (1), (2);
ALTER TABLE st ADD FOREIGN KEY (a) REFERENCES target ON DELETE CASCADE;
DELETE FROM target WHERE a = 1;
ALTER TABLE st DROP CONSTRAINT st_a_fkey;
SELECT * FROM st ORDER BY a;
-- What does not change it goes: reading, locking rows, indexes, statistics, grants, comments, views, publications.
SELECT a FROM st ORDER BY a FOR UPDATE;
CREATE INDEX ON st (b);
ANALYZE st;
VACUUM st;
COMMENT ON TABLE st IS 'follows t';
GRANT SELECT ON st TO PUBLIC;
SET client_min_messages = error;
CREATE PUBLICATION pub FOR TABLE st;
RESET client_min_messages;
UPDATE t SET b = b + 10;
SELECT pgtrickle.refresh_stream_table('st');
SELECT * FROM st ORDER BY a;
DROP PUBLICATION pub;
-- A prepared plan that was made before the table was a stream table.
CREATE TABLE later (a int);
PREPARE q AS INSERT INTO later VALUES (1);
EXECUTE q;
DROP TABLE later;
SELECT pgtrickle.create_stream_table('later', 'SELECT a FROM t');
EXECUTE q;
DEALLOCATE q;
-- Names and owner may change; the definition goes along.
CREATE SCHEMA s;
CREATE ROLE regress_dml_owner;
GRANT ALL ON SCHEMA s TO regress_dml_owner;
GRANT SELECT, TRIGGER ON t TO regress_dml_owner;
ALTER TABLE later RENAME TO sooner;
ALTER TABLE sooner SET SCHEMA s;
ALTER SCHEMA s RENAME TO s2;
ALTER TABLE s2.sooner OWNER TO regress_dml_owner;
SELECT name, owner FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT relowner::regrole FROM pg_class WHERE relnamespace = 'pgtrickle_definitions'::regnamespace ORDER BY 1;
INSERT INTO t VALUES (5, 5);
SELECT pgtrickle.refresh_stream_table('s2.sooner');
SELECT * FROM s2.sooner ORDER BY a;
-- So do the names of what it reads.
ALTER TABLE t RENAME TO t_renamed;
SELECT pgtrickle.stream_table_definition('st');
ALTER TABLE t_renamed RENAME TO t;
-- Dropping: as a table, as a dependent, with its source.
SELECT pgtrickle.drop_stream_table('s2.sooner');
DROP TABLE t;
DROP TABLE st;
SELECT pgtrickle.create_stream_table('st', 'SELECT a, b FROM t');
SELECT pgtrickle.create_stream_table('st2', 'SELECT a FROM st');
CREATE VIEW v2 AS SELECT * FROM st2;
SELECT pgtrickle.drop_stream_table('st');
\echo :SQLSTATE
SELECT pgtrickle.drop_stream_table('nothing');
\echo :SQLSTATE
SELECT pgtrickle.drop_stream_table('t');
\echo :SQLSTATE
SELECT pgtrickle.drop_stream_table(NULL);
\echo :SQLSTATE
SELECT pgtrickle.drop_stream_table('nothing', if_exists => true);
ALTER TABLE t DROP COLUMN b;
ALTER TABLE t DROP COLUMN b CASCADE;
SELECT to_regclass('st'), to_regclass('st2'), to_regclass('v2'), to_regclass('v');
SELECT count(*) FROM pgtrickle.stream_table;
SELECT pgtrickle.create_stream_table('st', 'SELECT a FROM t');
SELECT pgtrickle.create_stream_table('st2', 'SELECT a FROM st');
SELECT pgtrickle.drop_stream_table('st', cascade => true);
SELECT to_regclass('st'), to_regclass('st2');
DROP TABLE t, other, target;
DROP SCHEMA s2;
DROP ROLE regress_dml_owner;
