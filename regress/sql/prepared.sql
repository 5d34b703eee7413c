-- Changes of prepared transactions arrive when another session commits them, without anybody else's commit.
CREATE TABLE t (a int PRIMARY KEY);
SELECT pgtrickle.create_stream_table('st', 'SELECT a FROM t', schedule => '1 ms');
SELECT pgtrickle.refresh_stream_table('st');
BEGIN;
INSERT INTO t VALUES (1);
PREPARE TRANSACTION 'regress_kept';
BEGIN;
INSERT INTO t VALUES (2);
PREPARE TRANSACTION 'regress_dropped';
SELECT pgtrickle.refresh_stream_table('st');
TABLE st;
ROLLBACK PREPARED 'regress_dropped';
COMMIT PREPARED 'regress_kept';
SELECT pgtrickle.wait_for('st');
TABLE st;
SELECT * FROM pgtrickle.verify('st');
-- A stream table that is created in a prepared transaction.
BEGIN;
SELECT pgtrickle.create_stream_table('st2', 'SELECT a FROM t', schedule => '1 ms');
PREPARE TRANSACTION 'regress_created';
COMMIT PREPARED 'regress_created';
INSERT INTO t VALUES (3);
SELECT pgtrickle.refresh_stream_table('st2');
SELECT * FROM st2 ORDER BY a;
DROP TABLE t CASCADE;
