-- Commands that need a database without sessions work while a worker is connected to it (HAZARDS H38).
SELECT current_database() AS home \gset
CREATE ROLE regress_stranger;
CREATE DATABASE regression_quiet;
\c regression_quiet
CREATE EXTENSION pg_trickle;
CREATE TABLE t (a int PRIMARY KEY);
SELECT pgtrickle.create_stream_table('st', 'SELECT a FROM t');
SELECT pgtrickle.refresh_stream_table('st');
SELECT pid AS worker FROM pg_stat_activity WHERE datname = 'regression_quiet' AND backend_type = 'pg_trickle' \gset
\c :home
-- A stranger disturbs nobody by trying.
SET ROLE regress_stranger;
DROP DATABASE regression_quiet;
ALTER DATABASE regression_quiet RENAME TO regression_mine;
CREATE DATABASE regression_mine TEMPLATE regression_quiet;
RESET ROLE;
SELECT pid = :worker AS undisturbed FROM pg_stat_activity WHERE datname = 'regression_quiet' AND backend_type = 'pg_trickle';
CREATE DATABASE regression_copy TEMPLATE regression_quiet;
ALTER DATABASE regression_quiet RENAME TO regression_renamed;
-- The worker comes back, and serves.
\c regression_renamed
INSERT INTO t VALUES (1);
SELECT pgtrickle.refresh_stream_table('st');
TABLE st;
-- In the copy the stream table is an ordinary table: it is not of this database's incarnation.
\c regression_copy
SELECT name FROM pgtrickle.stream_table_status();
INSERT INTO t VALUES (1);
TABLE st;
\c :home
-- An error gives the database back.
ALTER DATABASE regression_renamed RENAME TO regression_copy;
\c regression_renamed
INSERT INTO t VALUES (2);
SELECT pgtrickle.refresh_stream_table('st');
SELECT count(*) FROM st;
\c :home
DROP DATABASE regression_copy;
DROP DATABASE regression_renamed;
SELECT datname FROM pg_database WHERE datname IN ('regression_quiet', 'regression_copy', 'regression_renamed');
DROP ROLE regress_stranger;
