-- LEFT, RIGHT and FULL joins: how they are planned, and what they show as rows come and go.
CREATE TABLE c (id int PRIMARY KEY, name text);
CREATE TABLE o (id int PRIMARY KEY, c int, price numeric);
INSERT INTO c VALUES (1, 'one'), (2, 'two'), (3, NULL);
INSERT INTO o VALUES (10, 1, 1.50), (11, 1, 2.0), (12, NULL, 3), (13, 9, 4);

SELECT pgtrickle.create_stream_table('by_key', 'SELECT c.id, c.name, o.id AS oid, o.price FROM c LEFT JOIN o ON o.c = c.id', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('residual', 'SELECT c.id, o.id AS oid FROM c LEFT JOIN o ON o.c = c.id AND o.price > length(c.name) - 2', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('whole', 'SELECT c.id, o.id AS oid, coalesce(name, ''nobody'') AS who FROM c FULL JOIN o ON o.c = c.id', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('without', 'SELECT o.id FROM c RIGHT JOIN o ON o.c = c.id WHERE c.id IS NULL', schedule => '1 ms');
SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT pgtrickle.explain('SELECT c.id, c.name, o.id AS oid, o.price FROM c LEFT JOIN o ON o.c = c.id');
SELECT pgtrickle.explain('SELECT c.id, o.id AS oid FROM c LEFT JOIN o ON o.c = c.id AND o.price > length(c.name) - 2');
SELECT * FROM by_key ORDER BY id, oid;
SELECT * FROM residual ORDER BY id, oid;
SELECT * FROM whole ORDER BY id, oid;
SELECT * FROM without ORDER BY id;

-- The last match goes, the first comes; NULL meets nothing.
DELETE FROM o WHERE c = 1;
UPDATE o SET c = 2 WHERE id = 12;
INSERT INTO c VALUES (9, 'nine');
DELETE FROM c WHERE id = 3;
SELECT pgtrickle.refresh_all();
SELECT * FROM by_key ORDER BY id, oid;
SELECT * FROM residual ORDER BY id, oid;
SELECT * FROM whole ORDER BY id, oid;
SELECT * FROM without ORDER BY id;
TRUNCATE o;
SELECT pgtrickle.refresh_all();
SELECT * FROM by_key ORDER BY id, oid;
SELECT * FROM whole ORDER BY id, oid;

-- A condition that fails holds the table back until the row is repaired, padded or not.
SELECT pgtrickle.create_stream_table('fails', 'SELECT c.id, o.id AS oid FROM c LEFT JOIN o ON o.c = c.id AND 1 / o.price > 0', schedule => '1 ms');
INSERT INTO o VALUES (20, 1, 0), (21, 2, 5);
SELECT pgtrickle.refresh_stream_table('fails');
SELECT message, occurrences FROM pgtrickle.errors('fails');
UPDATE o SET price = 1 WHERE id = 20;
SELECT pgtrickle.refresh_stream_table('fails');
SELECT * FROM fails ORDER BY id, oid;
SELECT count(*) FROM pgtrickle.errors('fails');

SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['by_key', 'residual', 'whole', 'without', 'fails']) AS name;
DROP TABLE c, o;
