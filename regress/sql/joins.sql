-- Inner joins by every kind of condition: how each is planned, what it costs, and what it shows as rows come and go.
CREATE TABLE a (id int PRIMARY KEY, k int, lo int, hi int, name text);
CREATE TABLE b (k int PRIMARY KEY, v int, w text);
CREATE TABLE c (k int, v int, z numeric);
INSERT INTO a VALUES (1, 1, 0, 10, 'x'), (2, 2, 5, 15, 'y'), (3, NULL, 0, 100, NULL), (4, 2, 20, 10, 'empty range');
INSERT INTO b VALUES (1, 7, 'seven'), (2, 12, 'twelve');
INSERT INTO c VALUES (1, 7, 1.0), (1, 7, 1.00), (NULL, 3, NULL);

-- By equality: looked up by key, one path for each input that changes.
SELECT pgtrickle.explain('SELECT a.id, b.v FROM a JOIN b USING (k)');
SELECT pgtrickle.explain('SELECT a.id, b.v, c.z FROM a JOIN b ON b.k = a.k JOIN c ON c.k = b.k AND c.v = b.v WHERE a.name <> ''y''');
-- By NULL-safe equality.
SELECT pgtrickle.explain('SELECT a.id, c.z FROM a JOIN c ON a.k IS NOT DISTINCT FROM c.k');
-- By a range, by inequality, by nothing: every row of the other side is looked at, and this is said.
SELECT pgtrickle.explain('SELECT a.id, b.k FROM a JOIN b ON b.v BETWEEN a.lo AND a.hi');
SELECT pgtrickle.explain('SELECT a.id, b.k FROM a JOIN b ON b.k <> a.k');
SELECT pgtrickle.explain('SELECT a.id, b.k FROM a CROSS JOIN b');
-- No path begins with a cross product that can be avoided.
SELECT pgtrickle.explain('SELECT a.id, c.z FROM a, c, b WHERE a.k = b.k AND b.v = c.v');

SELECT pgtrickle.create_stream_table('joined', 'SELECT * FROM a NATURAL JOIN b', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('chained', 'SELECT a.id, b.v, c.z FROM a JOIN b ON b.k = a.k JOIN c ON c.k = b.k AND c.v = b.v', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('null_safe', 'SELECT a.id, c.z FROM a JOIN c ON a.k IS NOT DISTINCT FROM c.k', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('ranged', 'SELECT a.id, b.k FROM a JOIN b ON b.v BETWEEN a.lo AND a.hi', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('unequal', 'SELECT a.id, b.k FROM a JOIN b ON b.k <> a.k', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('crossed', 'SELECT a.id, b.k, a2.id AS other FROM a CROSS JOIN b, a AS a2', schedule => '1 ms');
SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT * FROM joined ORDER BY id;
SELECT * FROM chained ORDER BY id, z::text;
SELECT * FROM null_safe ORDER BY id, z::text;
SELECT * FROM ranged ORDER BY id, k;
SELECT * FROM unequal ORDER BY id, k;
SELECT count(*) FROM crossed;

-- Both sides in one transaction, a key moved, a row that joins nothing, a duplicate taken away.
BEGIN;
UPDATE b SET k = 3, v = 8 WHERE k = 2;
INSERT INTO a VALUES (5, 3, 0, 9, 'new'), (6, 99, 1, 1, 'alone');
DELETE FROM c WHERE z::text = '1.00';
INSERT INTO c VALUES (3, 8, 2.50);
COMMIT;
SELECT pgtrickle.refresh_all();
SELECT * FROM joined ORDER BY id;
SELECT * FROM chained ORDER BY id, z::text;
SELECT * FROM null_safe ORDER BY id, z::text;
SELECT * FROM ranged ORDER BY id, k;
SELECT * FROM unequal ORDER BY id, k;
SELECT count(*) FROM crossed;
TRUNCATE b;
SELECT pgtrickle.refresh_all();
SELECT count(*) FROM joined;
SELECT count(*) FROM crossed;
SELECT count(*) FROM null_safe;

SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['joined', 'chained', 'null_safe', 'ranged', 'unequal', 'crossed']) AS name;
DROP TABLE a, b, c;
