-- GROUPING SETS, ROLLUP, CUBE and GROUPING(): how they are planned, and what they show as rows come and go.
CREATE TABLE sales (region text, product text, amount numeric);
INSERT INTO sales VALUES ('north', 'tea', 10), ('north', 'coffee', 5.50), ('south', 'tea', 1), (NULL, 'tea', 2.25);
SELECT pgtrickle.create_stream_table('by_rollup',
    'SELECT region, product, GROUPING(region, product) AS g, count(*) AS n, sum(amount) AS amount FROM sales GROUP BY ROLLUP (region, product)',
    schedule => '1 ms');
SELECT pgtrickle.create_stream_table('by_sets',
    'SELECT product, count(*) AS n, string_agg(region, '','' ORDER BY region) AS regions FROM sales GROUP BY GROUPING SETS ((product), (), ())',
    schedule => '1 ms');
SELECT pgtrickle.create_stream_table('by_nothing', 'SELECT 1 AS one FROM sales GROUP BY ()', schedule => '1 ms');
SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT pgtrickle.explain('SELECT region, product, GROUPING(region, product) AS g, count(*) AS n FROM sales WHERE amount > 1 GROUP BY ROLLUP (region, product)');
SELECT pgtrickle.explain('SELECT region, count(*) AS n FROM sales GROUP BY DISTINCT ROLLUP (region), CUBE (region) HAVING GROUPING(region) = 0');
SELECT * FROM by_rollup ORDER BY g, region, product;
SELECT * FROM by_sets ORDER BY product, n;
INSERT INTO sales VALUES ('south', 'coffee', 4), ('north', 'tea', 0.125);
DELETE FROM sales WHERE region IS NULL;
SELECT pgtrickle.refresh_all();
SELECT * FROM by_rollup ORDER BY g, region, product;
SELECT * FROM by_sets ORDER BY product, n;
-- The empty grouping set has a row over no rows.
DELETE FROM sales;
SELECT pgtrickle.refresh_all();
SELECT * FROM by_rollup;
SELECT * FROM by_sets;
SELECT * FROM by_nothing;
UPDATE sales SET amount = amount + 1;
INSERT INTO sales VALUES (NULL, NULL, NULL);
SELECT pgtrickle.refresh_all();
SELECT * FROM by_rollup ORDER BY g, region, product;
SELECT name, differences FROM (VALUES ('by_rollup'), ('by_sets'), ('by_nothing')) AS t (name),
    LATERAL (SELECT count(*) AS differences FROM pgtrickle.verify(name)) AS v;
SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['by_rollup', 'by_sets', 'by_nothing']) AS name;
DROP TABLE sales;
