-- The sources of the corpus: every column type, with and without a primary key, TOASTed values, views.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN small AS int CHECK (VALUE BETWEEN -100 AND 100);

CREATE TABLE wide (
    id int PRIMARY KEY,
    b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, n2 numeric(12,2), t text, v varchar(20),
    c char(6), bt bytea, d date, tm time, ttz timetz, ts timestamp, tz timestamptz, iv interval, u uuid, j json,
    jb jsonb, ia int[], ta text[], r int4range, mr int4multirange, ip inet, net cidr, mac macaddr, bits bit(4),
    vb varbit, pt point, bx box, m money, nm name, o oid, lsn pg_lsn, tsv tsvector, e mood, p pair, s small,
    g int GENERATED ALWAYS AS (i4 * 2) STORED
);
CREATE TABLE keyless (k int, v numeric, w text, f float8);
CREATE TABLE edges (a int, b int);
CREATE TABLE customers (id int PRIMARY KEY, name text, region text, vip bool,
    tag text GENERATED ALWAYS AS (upper(name)) VIRTUAL);
CREATE TABLE products (id int PRIMARY KEY, name text, price numeric(10,2), category text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, product_id int, qty int, price numeric(10,2), status text,
    placed timestamptz, note text, amount numeric GENERATED ALWAYS AS (qty * price) VIRTUAL);
CREATE TABLE notes (id int PRIMARY KEY, body text);
ALTER TABLE notes ALTER body SET STORAGE EXTERNAL;

CREATE VIEW priced AS SELECT o.id, o.customer_id, o.qty * p.price AS total, p.category
    FROM orders o JOIN products p ON p.id = o.product_id;
CREATE VIEW regional AS SELECT c.region, x.category, x.total FROM priced x JOIN customers c ON c.id = x.customer_id;

-- Functions that return rows.
CREATE FUNCTION pairs(int) RETURNS SETOF pair IMMUTABLE LANGUAGE sql AS
    'SELECT g, repeat(''x'', g) FROM generate_series(1, $1) g';
CREATE FUNCTION countdown(n int) RETURNS SETOF int IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN WHILE n > 0 LOOP RETURN NEXT n; n := n - 1; END LOOP; END';
CREATE FUNCTION both_ends(int4range) RETURNS TABLE (a int, b int) IMMUTABLE LANGUAGE sql AS
    'SELECT lower($1), upper($1) WHERE NOT isempty($1)';
CREATE FUNCTION described(customers) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1.name || coalesce($1.tag, ''none'')';
CREATE FUNCTION as_pair(int, text) RETURNS pair IMMUTABLE LANGUAGE sql AS 'SELECT ROW($1, $2)::public.pair';
-- Aggregates of the user's.
CREATE FUNCTION longest_step(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS
    'SELECT CASE WHEN $1 IS NULL OR length($2) > length($1) OR length($2) = length($1) AND $2 COLLATE "C" < $1 COLLATE "C" THEN coalesce($2, $1) ELSE $1 END';
CREATE AGGREGATE longest (text) (sfunc = longest_step, stype = text);
CREATE FUNCTION product_step(numeric, numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN CASE WHEN $2 = 0 THEN $1 ELSE $1 * $2 END; END $$;
CREATE FUNCTION product_back(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS
    'SELECT CASE WHEN $2 = 0 THEN $1 ELSE $1 / $2 END';
CREATE AGGREGATE product (numeric) (sfunc = product_step, stype = numeric, initcond = '1',
    msfunc = product_step, minvfunc = product_back, mstype = numeric, minitcond = '1');
CREATE AGGREGATE list (anycompatible) (sfunc = array_append, stype = anycompatiblearray, initcond = '{}');
CREATE FUNCTION count_step(bigint, VARIADIC int[]) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    'SELECT $1 + count(x) FROM unnest($2) AS x';
CREATE AGGREGATE count_all (VARIADIC int[]) (sfunc = count_step, stype = bigint, initcond = '0');
CREATE FUNCTION share_step(bigint[], int) RETURNS bigint[] LANGUAGE sql IMMUTABLE STRICT AS
    'SELECT $1 || $2::bigint';
CREATE FUNCTION share_final(bigint[]) RETURNS text LANGUAGE sql IMMUTABLE AS
    'SELECT coalesce(array_length($1, 1), 0) || '' of '' || coalesce((SELECT sum(x) FROM unnest($1) AS x)::text, ''nothing'')';
CREATE AGGREGATE share (int) (sfunc = share_step, stype = bigint[], initcond = '{}', finalfunc = share_final);
