-- EXISTS, IN and their negations in WHERE: how they are planned, and what they show as rows come and go.
CREATE TABLE c (id int PRIMARY KEY, name text);
CREATE TABLE o (id int PRIMARY KEY, c int, price numeric);
INSERT INTO c VALUES (1, 'one'), (2, 'two'), (3, NULL);
INSERT INTO o VALUES (10, 1, 1.50), (11, 1, 2.0), (12, 2, 3);

SELECT pgtrickle.create_stream_table('with_orders', 'SELECT id FROM c WHERE EXISTS (SELECT FROM o WHERE o.c = c.id)', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('without', 'SELECT id FROM c WHERE NOT EXISTS (SELECT FROM o WHERE o.c = c.id AND o.price > 1.75)', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('listed', 'SELECT id FROM c WHERE id IN (SELECT c FROM o)', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('unlisted', 'SELECT id FROM c WHERE id NOT IN (SELECT c FROM o)', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('dear', 'SELECT id FROM o WHERE price >= ANY (SELECT max(price) FROM o GROUP BY c)', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('busy', 'SELECT name FROM c WHERE EXISTS (SELECT FROM o WHERE price > 2.5)', schedule => '1 ms');
SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT pgtrickle.explain('SELECT id FROM c WHERE EXISTS (SELECT FROM o WHERE o.c = c.id)');
SELECT pgtrickle.explain('SELECT id FROM c WHERE id NOT IN (SELECT c FROM o)');
SELECT * FROM with_orders ORDER BY id;
SELECT * FROM without ORDER BY id;
SELECT * FROM listed ORDER BY id;
SELECT * FROM unlisted ORDER BY id;
SELECT * FROM dear ORDER BY id;
SELECT * FROM busy ORDER BY name;

-- The second of two matches changes nothing; the last one does.
DELETE FROM o WHERE id = 10;
UPDATE o SET price = 1 WHERE id = 12;
SELECT pgtrickle.refresh_all();
SELECT * FROM with_orders ORDER BY id;
SELECT * FROM without ORDER BY id;
SELECT * FROM busy ORDER BY name;
-- A NULL in the list leaves NOT IN unknown for all.
INSERT INTO o VALUES (13, NULL, 9);
SELECT pgtrickle.refresh_all();
SELECT * FROM listed ORDER BY id;
SELECT * FROM unlisted ORDER BY id;
SELECT * FROM dear ORDER BY id;
DELETE FROM o WHERE id <> 11;
SELECT pgtrickle.refresh_all();
SELECT * FROM unlisted ORDER BY id;
TRUNCATE o;
SELECT pgtrickle.refresh_all();
SELECT * FROM with_orders ORDER BY id;
SELECT * FROM unlisted ORDER BY id;

-- More than joins.
SELECT construct, reason FROM pgtrickle.validate_query('SELECT id FROM c WHERE id = 1 OR EXISTS (SELECT FROM o)');
SELECT construct, reason FROM pgtrickle.validate_query('SELECT id FROM c WHERE id > ALL (SELECT c FROM o)');
SELECT construct, reason FROM pgtrickle.validate_query('SELECT id FROM c WHERE NOT (id > ANY (SELECT c FROM o))');
SELECT construct, reason FROM pgtrickle.validate_query('SELECT id FROM c WHERE id IN (SELECT max(o.id) FROM o WHERE o.c = c.id)');
SELECT construct, reason FROM pgtrickle.validate_query('SELECT id FROM c WHERE id IN (SELECT o.id FROM o, LATERAL (SELECT o.c) x WHERE x.c = c.id)');

SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['with_orders', 'without', 'listed', 'unlisted', 'dear', 'busy']) AS name;
DROP TABLE c, o;
