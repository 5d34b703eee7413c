-- WITH RECURSIVE: how it is planned, and what it shows as rows come and go.
CREATE TABLE link (a int, b int);
INSERT INTO link VALUES (1, 2), (2, 3), (3, 4), (4, 2), (6, 7);
SELECT pgtrickle.create_stream_table('reach', $$
    WITH RECURSIVE r AS (SELECT a, b FROM link UNION SELECT r.a, l.b FROM r JOIN link l ON l.a = r.b) SELECT * FROM r $$,
    schedule => '1 ms');
SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT pgtrickle.explain($$
    WITH RECURSIVE r AS (SELECT a, b FROM link UNION SELECT r.a, l.b FROM r JOIN link l ON l.a = r.b) SELECT * FROM r $$);
SELECT a, array_agg(b ORDER BY b) FROM reach GROUP BY a ORDER BY a;
-- A circle that is cut off does not hold itself up.
DELETE FROM link WHERE a = 1;
SELECT pgtrickle.refresh_stream_table('reach');
SELECT a, array_agg(b ORDER BY b) FROM reach GROUP BY a ORDER BY a;
DELETE FROM link WHERE a = 3;
SELECT pgtrickle.refresh_stream_table('reach');
SELECT a, array_agg(b ORDER BY b) FROM reach GROUP BY a ORDER BY a;

-- UNION ALL, with a path that PostgreSQL builds.
CREATE TABLE part (id int PRIMARY KEY, parent int, name text, quantity int);
INSERT INTO part VALUES (1, NULL, 'car', 1), (2, 1, 'wheel', 4), (3, 2, 'bolt', 5), (4, 1, 'door', 2), (5, 4, 'bolt', 3);
SELECT pgtrickle.create_stream_table('tree', $$
    WITH RECURSIVE t AS (
        SELECT id, name, ARRAY[id] AS path, quantity FROM part WHERE parent IS NULL
        UNION ALL
        SELECT p.id, p.name, path || p.id, t.quantity * p.quantity FROM t JOIN part p ON p.parent = t.id)
    SELECT * FROM t $$, schedule => '1 ms');
SELECT pgtrickle.explain($$
    WITH RECURSIVE t AS (
        SELECT id, name, ARRAY[id] AS path, quantity FROM part WHERE parent IS NULL
        UNION ALL
        SELECT p.id, p.name, path || p.id, t.quantity * p.quantity FROM t JOIN part p ON p.parent = t.id)
    SELECT name, sum(quantity) FROM t WHERE cardinality(path) < 9 GROUP BY name $$);
SELECT * FROM tree ORDER BY path;
UPDATE part SET parent = 4 WHERE id = 2;
UPDATE part SET quantity = 10 WHERE id = 4;
SELECT pgtrickle.refresh_stream_table('tree');
SELECT * FROM tree ORDER BY path;

-- SEARCH and CYCLE are columns like others.
SELECT pgtrickle.create_stream_table('walk', $$
    WITH RECURSIVE w AS (SELECT a, b FROM link UNION ALL SELECT l.a, l.b FROM w JOIN link l ON l.a = w.b)
        SEARCH DEPTH FIRST BY a, b SET place
        CYCLE a, b SET again USING path
    SELECT a, b, again, place::text AS place FROM w $$, schedule => '1 ms');
INSERT INTO link VALUES (3, 2);
SELECT pgtrickle.refresh_stream_table('walk');
SELECT * FROM walk ORDER BY place, a, b;

-- One that does not end is in error until its data let it end.
SELECT pgtrickle.create_stream_table('endless', $$
    WITH RECURSIVE r AS (SELECT a, b FROM link UNION ALL SELECT r.a, l.b FROM r JOIN link l ON l.a = r.b) SELECT * FROM r $$,
    initialize => false, schedule => '1 ms');
SELECT pgtrickle.refresh_stream_table('endless');
SELECT sqlstate, message, expression FROM pgtrickle.errors('endless');
DELETE FROM link WHERE a = 3;
SELECT pgtrickle.refresh_stream_table('endless');
SELECT * FROM endless ORDER BY a, b;

-- Of values that are equal and written differently, one that comes up first goes round.
CREATE TABLE rate (a int, v numeric);
INSERT INTO rate VALUES (1, 1.0), (1, 2.50), (2, 1.00);
SELECT pgtrickle.create_stream_table('sums', $$
    WITH RECURSIVE s (a, v) AS (SELECT a, v FROM rate UNION SELECT a, v + 1 FROM s WHERE v < 4) SELECT * FROM s $$,
    schedule => '1 ms');
SELECT pgtrickle.explain($$
    WITH RECURSIVE s (a, v) AS (SELECT a, v FROM rate UNION SELECT a, v + 1 FROM s WHERE v < 4) SELECT * FROM s $$);
SELECT * FROM sums ORDER BY a, v;
INSERT INTO rate VALUES (2, 3.000), (1, 3.5);
SELECT pgtrickle.refresh_stream_table('sums');
SELECT * FROM sums ORDER BY a, v;
DELETE FROM rate WHERE v < 3;
SELECT pgtrickle.refresh_stream_table('sums');
SELECT * FROM sums ORDER BY a, v;

-- A WITH clause of the recursive term's own.
SELECT pgtrickle.explain($$
    WITH RECURSIVE r AS (SELECT a, b FROM link UNION
        (WITH s AS (SELECT a, b FROM r WHERE b < 9) SELECT s.a, l.b FROM s JOIN link l ON l.a = s.b)) SELECT * FROM r $$);

-- What is refreshed in full, and why.
SELECT construct, reason FROM pgtrickle.validate_query($$
    WITH RECURSIVE r AS (SELECT a, b FROM link UNION
        (WITH s AS (SELECT a, b FROM r) SELECT x.a, y.b FROM s x JOIN s y ON y.a = x.b)) SELECT * FROM r $$);
SELECT construct, reason FROM pgtrickle.validate_query($$
    WITH RECURSIVE r AS (SELECT a, b FROM link UNION
        (WITH s AS (SELECT a, b FROM r) SELECT l.a, l.b FROM link l WHERE NOT EXISTS (SELECT FROM s WHERE s.b = l.a))) SELECT * FROM r $$);
SELECT construct, reason FROM pgtrickle.validate_query($$
    WITH RECURSIVE r AS (SELECT a, b FROM link UNION
        (WITH s AS (SELECT a, b FROM r) SELECT l.a, l.b FROM link l LEFT JOIN s ON s.b = l.a)) SELECT * FROM r $$);
SELECT construct, reason FROM pgtrickle.validate_query($$
    WITH RECURSIVE r AS (SELECT a, v FROM rate UNION SELECT DISTINCT a, v + 1 FROM r WHERE v < 4) SELECT * FROM r $$);
SELECT construct, reason FROM pgtrickle.validate_query($$
    WITH RECURSIVE r AS (SELECT a, to_timestamp(b) AS t FROM link UNION ALL SELECT l.b, r.t FROM r JOIN link l ON l.a = r.a WHERE r.t > now()) SELECT a FROM r $$);
SELECT construct, reason FROM pgtrickle.validate_query($$
    WITH RECURSIVE r AS (SELECT a FROM link UNION ALL SELECT DISTINCT a + 1 FROM r WHERE a < 9) SELECT * FROM r $$);
SELECT construct, reason FROM pgtrickle.validate_query($$
    WITH RECURSIVE r AS (SELECT a FROM link UNION SELECT m + 1 FROM (SELECT max(a) AS m FROM (SELECT * FROM r) r) s WHERE m < 9) SELECT * FROM r $$);
SELECT construct, reason FROM pgtrickle.validate_query($$
    WITH RECURSIVE r AS (SELECT a FROM link UNION (SELECT a + 1 FROM r WHERE a < 9 UNION ALL SELECT 1)) SELECT * FROM r $$);
SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['reach', 'tree', 'walk', 'endless', 'sums']) AS name;
DROP TABLE link, part, rate;
