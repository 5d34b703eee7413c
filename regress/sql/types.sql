-- Values of every kind of type: domains, enums, arrays, ranges, composite values, jsonb paths, full-text search, collations.
CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (x int, y text);
CREATE COLLATION careless (provider = builtin, locale = 'C.UTF-8');
CREATE TABLE t (id int PRIMARY KEY, p percent, m mood, tags text[], valid int4range, spans int4multirange, q pair, j jsonb, body text,
                n numeric, f float8, c char(4), iv interval, bits bit varying, addr inet, u uuid, name text COLLATE "C");
INSERT INTO t VALUES
    (1, 10, 'sad', '{a,b}', '[1,5)', '{[1,3),[5,7)}', (1, 'one'), '{"a": {"b": [1, 2, 3]}, "n": 1.0}', 'The quick brown foxes', 1.0, '-0', 'ab', '1 day', '101', '10.0.0.1', '00000000-0000-0000-0000-000000000001', 'a'),
    (2, 20, 'happy', '{b,c}', '[5,9)', '{}', (1, 'one'), '{"a": {"b": [4]}, "n": 1.00}', 'A lazy dog', 1.00, '0', 'ab  ', '24 hours', '1', '10.0.0.2', '00000000-0000-0000-0000-000000000002', 'B'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (4, 30, 'ok', '{}', 'empty', '{[1,2)}', (2, NULL), '{"n": 2}', 'dogs and foxes', 'NaN', 'NaN', 'zz', '1 mon', '', '::1', '00000000-0000-0000-0000-000000000003', 'b');

-- Equal values that are written differently are one group: each shows one that is there.
SELECT pgtrickle.create_stream_table('groups', 'SELECT n, f, c, iv, count(*) AS rows FROM t GROUP BY n, f, c, iv', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('documents', 'SELECT j -> ''n'' AS n, count(*) AS rows FROM t GROUP BY j -> ''n''', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('composites', 'SELECT q, count(*) AS rows, min((q).y) AS y FROM t GROUP BY q', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('moods', 'SELECT m, max(p) AS p FROM t GROUP BY m', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('happiest', 'SELECT id, m FROM t ORDER BY m DESC NULLS LAST, id LIMIT 2', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('tagged', 'SELECT tag, count(*) AS rows FROM t, unnest(tags) AS tag GROUP BY tag', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('inside', 'SELECT id, upper(valid) AS above FROM t WHERE valid @> 5 OR spans && int4multirange(int4range(6, 9))', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('united', 'SELECT range_agg(valid) AS spans, range_intersect_agg(valid) AS common FROM t WHERE NOT isempty(valid)', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('paths', 'SELECT id, e FROM t, jsonb_path_query(j, ''$.a.b[*] ? (@ > 1)'') AS e', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('found', 'SELECT id, ts_rank(to_tsvector(''english'', body), to_tsquery(''english'', ''fox'')) > 0 AS ranked FROM t WHERE to_tsvector(''english'', body) @@ to_tsquery(''english'', ''fox | dog'')', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('named', 'SELECT min(name) AS binary, min(name COLLATE careless) AS builtin, string_agg(name, '','' ORDER BY name COLLATE careless) AS sorted FROM t', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('addresses', 'SELECT family(addr) AS version, bit_or(bits::bit(3)) AS bits, count(DISTINCT u) AS ids FROM t GROUP BY family(addr)', schedule => '1 ms');
SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT pgtrickle.explain('SELECT n, count(*) AS rows FROM t GROUP BY n');
SELECT pgtrickle.explain('SELECT q, count(*) AS rows FROM t GROUP BY q');

SELECT * FROM groups ORDER BY n::text, f::text;
SELECT * FROM documents ORDER BY n::text;
SELECT * FROM composites ORDER BY q;
SELECT * FROM moods ORDER BY m;
SELECT * FROM happiest ORDER BY m DESC;
SELECT * FROM tagged ORDER BY tag;
SELECT * FROM inside ORDER BY id;
SELECT * FROM united;
SELECT * FROM paths ORDER BY id, e;
SELECT * FROM found ORDER BY id;
SELECT * FROM named;
SELECT * FROM addresses ORDER BY version;

UPDATE t SET n = 1.0, f = '-0', c = 'ab', iv = '1 day' WHERE id = 3;
UPDATE t SET q = (1, 'one'), m = 'happy', tags = '{b,b}', valid = '[3,7)', j = '{"a": {"b": 2}, "n": 1}', body = 'a FOX', name = 'A' WHERE id = 4;
DELETE FROM t WHERE id = 1;
ALTER TYPE mood ADD VALUE 'elated';
SELECT pgtrickle.refresh_all();
UPDATE t SET m = 'elated' WHERE id = 3;
SELECT pgtrickle.refresh_all();
SELECT * FROM groups ORDER BY n::text, f::text;
SELECT * FROM documents ORDER BY n::text;
SELECT * FROM composites ORDER BY q;
SELECT * FROM moods ORDER BY m;
SELECT * FROM happiest ORDER BY m DESC;
SELECT * FROM tagged ORDER BY tag;
SELECT * FROM inside ORDER BY id;
SELECT * FROM united;
SELECT * FROM paths ORDER BY id, e;
SELECT * FROM found ORDER BY id;
SELECT * FROM named;
SELECT * FROM addresses ORDER BY version;

SELECT count(pgtrickle.drop_stream_table(name)) FROM pgtrickle.stream_table_status();
DROP TABLE t;
DROP TYPE mood;
DROP TYPE pair;
DROP DOMAIN percent;
DROP COLLATION careless;
