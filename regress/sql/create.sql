-- create_stream_table(), and everything that it refuses.
CREATE TABLE orders (id int PRIMARY KEY, customer int, amount numeric(10,2), note text);
INSERT INTO orders SELECT i, i % 3, i, 'n' || i FROM generate_series(1, 9) i;

SELECT pgtrickle.create_stream_table('per_customer', 'SELECT customer, count(*) AS n, sum(amount) AS total FROM orders GROUP BY customer');
SELECT * FROM per_customer ORDER BY customer;
\d per_customer
-- Named arguments, in a schema, with all of them given.
CREATE SCHEMA s;
SELECT pgtrickle.create_stream_table(
    name => 's."Big Orders"', query => 'SELECT id, amount FROM orders WHERE amount > 5', schedule => '100 ms',
    refresh_mode => 'differential', sla_tier => 'critical', initialize => true, if_not_exists => false);
SELECT * FROM s."Big Orders" ORDER BY id;
\d s."Big Orders"
-- Without a key of its own: rows are found by their hash.
SELECT pgtrickle.create_stream_table('notes', 'SELECT note FROM orders WHERE id < 4');
\d notes
-- Not filled by the creator, but by the worker.
BEGIN;
SELECT pgtrickle.create_stream_table('later', 'SELECT id FROM orders WHERE id < 3', initialize => false);
TABLE later;
COMMIT;
SELECT pgtrickle.refresh_stream_table('later');
SELECT * FROM later ORDER BY id;
-- It may exist already.
SELECT pgtrickle.create_stream_table('later', 'SELECT 1 AS one', if_not_exists => true);
SELECT pgtrickle.create_stream_table('later', 'SELECT 1 AS one');
SELECT pgtrickle.create_stream_table('orders', 'SELECT 1 AS one', if_not_exists => true);
SELECT pgtrickle.create_stream_table('orders', 'SELECT 1 AS one');

-- What comes out is as the query says: types, modifiers, collations.
SELECT pgtrickle.create_stream_table('typed', $$
    SELECT id::int8 AS big, amount, note COLLATE "C" AS c, 'x'::varchar(7) AS v, ARRAY[id] AS a, NULL::text AS nothing FROM orders $$);
\d typed

-- Over views, CTEs and other stream tables.
CREATE VIEW dear AS SELECT * FROM orders WHERE amount > 3;
SELECT pgtrickle.create_stream_table('dear_customers', 'WITH d AS (SELECT customer FROM dear) SELECT DISTINCT customer FROM d');
SELECT pgtrickle.create_stream_table('dear_count', 'SELECT count(*) AS n FROM dear_customers');
SELECT * FROM dear_count;
SELECT name, source, kind FROM pgtrickle.dependencies() WHERE name LIKE '%dear%' ORDER BY 1, 2;
SELECT pgtrickle.stream_table_definition('dear_count');
SELECT pgtrickle.stream_table_definition('s."Big Orders"');

-- Bad arguments: one clear error each, and nothing is left.
SELECT pgtrickle.create_stream_table(NULL, 'SELECT 1 AS a');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', NULL);
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT 1 AS a', refresh_mode => NULL);
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT 1 AS a', sla_tier => NULL);
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT 1 AS a', initialize => NULL);
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT 1 AS a', if_not_exists => NULL);
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT 1 AS a', refresh_mode => 'often');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT 1 AS a', sla_tier => 'gold');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT 1 AS a', schedule => 'now and then');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('', 'SELECT 1 AS a');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('a.b.c', 'SELECT 1 AS a');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('"x', 'SELECT 1 AS a');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('nowhere.x', 'SELECT 1 AS a');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('pg_temp.x', 'SELECT 1 AS a');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('pg_catalog.x', 'SELECT 1 AS a');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', '');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELEKT');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT 1 AS a; SELECT 2 AS b');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'DELETE FROM orders');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'EXPLAIN SELECT 1');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT 1 AS a INTO y');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'WITH d AS (DELETE FROM orders RETURNING id) SELECT id FROM d');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM orders FOR UPDATE');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT FROM orders');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT $1::int AS a');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT nothing FROM orders');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM nothing');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT id, id FROM orders');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT note COLLATE "C" || (note COLLATE "POSIX") AS a FROM orders');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT ROW(1, 2) AS a');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT xmin FROM orders');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT id AS ctid FROM orders');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('x', 'SELECT 1 / (id - id) AS a FROM orders');
\echo :SQLSTATE
CREATE TEMP TABLE fleeting (a int);
SELECT pgtrickle.create_stream_table('x', 'SELECT a FROM fleeting');
\echo :SQLSTATE
BEGIN READ ONLY;
SELECT pgtrickle.create_stream_table('x', 'SELECT 1 AS a');
\echo :SQLSTATE
ROLLBACK;
SELECT to_regclass('x'), count(*) FROM pg_class WHERE relnamespace = 'pgtrickle_definitions'::regnamespace;
SELECT count(*) FROM pgtrickle.stream_table;

-- In a transaction with writes before and after, and rolled back with it.
BEGIN;
INSERT INTO orders VALUES (10, 10, 10);
SELECT pgtrickle.create_stream_table('ten', 'SELECT id, amount FROM orders WHERE customer = 10');
INSERT INTO orders VALUES (11, 10, 11);
SELECT * FROM ten;
SELECT pgtrickle.refresh_stream_table('ten');
ROLLBACK;
SELECT to_regclass('ten');
BEGIN;
INSERT INTO orders VALUES (10, 10, 10);
SELECT pgtrickle.create_stream_table('ten', 'SELECT id, amount FROM orders WHERE customer = 10');
INSERT INTO orders VALUES (11, 10, 11);
COMMIT;
SELECT pgtrickle.refresh_stream_table('ten');
SELECT * FROM ten ORDER BY id;

-- create_or_replace_stream_table()
SELECT pgtrickle.create_or_replace_stream_table('ten', 'SELECT id, amount FROM orders WHERE customer = 10');
SELECT generation FROM pgtrickle.live_table WHERE relid = 'ten'::regclass;
SELECT pgtrickle.create_or_replace_stream_table('ten', 'SELECT id, amount FROM orders WHERE id = 11', schedule => '1h');
SELECT * FROM ten;
SELECT generation FROM pgtrickle.live_table WHERE relid = 'ten'::regclass;
SELECT schedule_text FROM pgtrickle.stream_table_status() WHERE name = 'public.ten';
SELECT pgtrickle.create_or_replace_stream_table('eleven', 'SELECT id FROM orders WHERE id = 11');
TABLE eleven;
SELECT pgtrickle.create_or_replace_stream_table('orders', 'SELECT 1 AS a');
-- The same text may mean another table by now.
ALTER TABLE orders RENAME TO old_orders;
CREATE TABLE orders (id int PRIMARY KEY);
INSERT INTO orders VALUES (11);
SELECT pgtrickle.create_or_replace_stream_table('eleven', 'SELECT id FROM orders WHERE id = 11');
INSERT INTO old_orders VALUES (12, 11, 12);
SELECT source FROM pgtrickle.dependencies('eleven');
DROP TABLE orders CASCADE;
ALTER TABLE old_orders RENAME TO orders;
DROP TABLE orders;
DROP TABLE orders CASCADE;
DROP SCHEMA s;
SELECT count(*) FROM pgtrickle.stream_table;
