-- The corpus. A case is a line of its name and marks, then the query up to a semicolon at a line's end.
--   approximate=a,b   columns that the content does not determine: compared with tolerance
--   full              a construct that is not maintained incrementally yet: full mode must keep it all the same
--   over=x            reads the stream table x of an earlier case, by its name

--- carry_all_types
SELECT * FROM wide;
--- project_integers
SELECT id, i4 + 1 AS a, i8 * 2 AS b, i2 - i4 AS c, -i4 AS d, abs(i8) AS e, i4 % 3 AS f FROM wide WHERE i4 > 0;
--- project_nulls
SELECT id, i4 IS NULL AS a, coalesce(i4, -1) AS b, nullif(i4, 1) AS c, i4 IS DISTINCT FROM i2 AS d,
       b IS UNKNOWN AS e, greatest(i4, i2, 2) AS f, least(i4, i2) AS g FROM wide;
--- filter_three_valued
SELECT id, b FROM wide WHERE b IS NOT TRUE OR (i4 < 2 AND NOT b);
--- filter_null_comparison
SELECT id, i4 FROM wide WHERE NOT (i4 = 1 AND t = 'a');
--- project_case
SELECT id, CASE WHEN i4 > 1 THEN 'many' WHEN i4 = 1 THEN 'one' ELSE t END AS c,
       CASE t WHEN 'a' THEN 1 WHEN 'b' THEN 2 END AS d FROM wide;
--- project_guarded_division
SELECT id, CASE WHEN i4 <> 0 THEN 100 / i4 ELSE 0 END AS a, CASE WHEN n2 > 0 THEN 1 / n2 END AS b FROM wide;
--- project_numeric
SELECT id, n * 2 AS a, n + n2 AS b, -n AS c, round(n2, 1) AS d, n2 / 3 AS e, n2 * n2 AS f, trunc(n2) AS g, n = 1 AS h
  FROM wide;
--- filter_numeric_nan
SELECT id, n FROM wide WHERE n > 1 OR n = 'NaN';
--- project_floats
SELECT id, f8 * 2 AS a, f8 + f4 AS b, -f8 AS c, f8 = 0 AS d, f8 > f4 AS e, f4::float8 AS f FROM wide;
--- project_text
SELECT id, upper(t) AS a, length(t) AS b, t || '!' AS c, substr(t, 1, 2) AS d, t LIKE 'a%' AS e, lower(v) AS f,
       replace(t, 'a', 'zz') AS g, t > 'b' AS h, left(t, 1) AS i, strpos(t, 'b') AS j FROM wide;
--- project_bpchar
SELECT id, c = 'a' AS a, length(c) AS b, c::text AS d, c || 'x' AS e, c < 'b' AS f FROM wide;
--- project_dates
SELECT id, d + 1 AS a, d - date '2024-01-01' AS b, date_trunc('month', ts) AS c, extract(year FROM ts) AS e,
       ts - interval '1 day' AS f, ts::date AS g, tm + interval '1 hour' AS h, d < date '2024-06-01' AS i FROM wide;
--- project_timestamptz_pinned
SELECT id, date_trunc('day', tz) AS a, tz + interval '1 hour' AS b, extract(epoch FROM tz) AS c, tz::date AS d FROM wide;
--- project_intervals
SELECT id, iv * 2 AS a, justify_hours(iv) AS b, ttz AS c, iv + interval '1 month' AS d, iv = interval '1 day' AS e FROM wide;
--- evaluate_by_postgres
SELECT id, md5(t) AS a, regexp_replace(t, '[ab]+', '-') AS b, reverse(t) AS c, format('%s/%s', t, i4) AS d,
       split_part(v, 'a', 1) AS e, width_bucket(i4, 0, 10, 5) AS f, sha256(bt) AS g, initcap(t) AS h FROM wide;
--- filter_by_postgres
SELECT id, t FROM wide WHERE t ~ '^a' OR t SIMILAR TO '(b|c)%';
--- project_jsonb
SELECT id, jb ->> 'a' AS a, jb @> '{"a": 1}' AS b, jb -> 'b' AS c, j ->> 'a' AS d, jsonb_typeof(jb) AS e FROM wide;
--- project_arrays
SELECT id, ia[1] AS a, cardinality(ia) AS b, 1 = ANY (ia) AS c, ia || 7 AS d, array_to_string(ta, '+') AS e FROM wide;
--- project_bytes_and_networks
SELECT id, u::text AS a, encode(bt, 'hex') AS b, host(ip) AS c, masklen(ip) AS d, ip << net AS e, trunc(mac) AS f FROM wide;
--- project_user_types
SELECT id, e::text AS a, e > 'sad' AS b, (p).a AS c, (p).b AS d, s + 1 AS f, g AS h FROM wide;
--- project_ranges
SELECT id, lower(r) AS a, r @> 3 AS b, isempty(r) AS c, mr AS d, upper(mr) AS e FROM wide;
--- project_geometry_and_money
SELECT id, pt[0] AS a, area(bx) AS b, m * 2 AS c, bits | B'0101' AS d, length(vb) AS e, tsv @@ 'cat'::tsquery AS f FROM wide;
--- filter_in_lists
SELECT id, i4, t FROM wide WHERE i4 IN (1, 2, 3) OR t = ANY ('{a,b}') OR n2 IN (1.0, 2.50);
--- project_row_compare
SELECT id, (i2, i4) < (1, 2) AS a, ROW(i4, t) IS NULL AS b, i4 BETWEEN 0 AND 2 AS c FROM wide;
--- keyless_rows
SELECT v, w FROM keyless;
--- keyless_filter
SELECT k FROM keyless WHERE w <> 'x';
--- keyless_constant
SELECT 1 AS one FROM keyless WHERE f = f;
--- toast_rows
SELECT id, body FROM notes;
--- toast_expressions
SELECT id, length(body) AS l, md5(body) AS h, left(body, 3) AS s FROM notes WHERE body IS NOT NULL;

--- join_two
SELECT o.id, c.name, c.region, o.qty FROM orders o JOIN customers c ON c.id = o.customer_id;
--- join_three
SELECT o.id, c.name, p.name AS product, o.qty * p.price AS total
  FROM orders o JOIN customers c ON c.id = o.customer_id JOIN products p ON p.id = o.product_id;
--- join_filtered
SELECT o.id, c.name, o.note FROM orders o JOIN customers c ON c.id = o.customer_id
 WHERE c.vip AND o.status IN ('paid', 'sent') AND o.qty > 1;
--- join_using_commas
SELECT o.id, c.id AS customer, p.id AS product FROM orders o, customers c, products p
 WHERE o.customer_id = c.id AND o.product_id = p.id AND p.category <> c.region;
--- join_self
SELECT x.a, x.b, y.b AS c FROM edges x JOIN edges y ON x.b = y.a;
--- join_self_loops
SELECT x.a, y.b FROM edges x JOIN edges y ON x.a = y.a AND x.b = y.b;
--- join_triangles
SELECT x.a, y.a AS b, z.a AS c FROM edges x JOIN edges y ON x.b = y.a JOIN edges z ON y.b = z.a AND z.b = x.a;
--- join_residual
SELECT o.id, p.id AS product FROM orders o JOIN products p ON o.product_id = p.id AND o.price > p.price;
--- join_residual_by_postgres
SELECT o.id, c.id AS customer FROM orders o JOIN customers c ON c.id = o.customer_id AND o.status ~ left(c.name, 1);
--- join_numeric_scales
SELECT x.k, y.k AS k2, x.v, y.v AS v2 FROM keyless x JOIN keyless y ON x.v = y.v WHERE x.k < y.k;
--- join_float_zeroes
SELECT w.id, k.f, w.f8 FROM keyless k JOIN wide w ON k.f = w.f8;
--- join_text
SELECT k.k, c.id FROM keyless k JOIN customers c ON k.w = c.region;
--- join_bpchar
SELECT w.id, k.k FROM wide w JOIN keyless k ON w.c = k.w::bpchar;
--- join_intervals
SELECT x.id, y.id AS id2 FROM wide x JOIN wide y ON x.iv = y.iv WHERE x.id < y.id;
--- join_jsonb
SELECT x.id, y.id AS id2 FROM wide x JOIN wide y ON x.jb = y.jb AND x.id <> y.id;
--- join_mixed_integers
SELECT w.id, k.k FROM wide w JOIN keyless k ON w.i8 = k.k;
--- join_on_expressions
SELECT o.id, c.id AS customer FROM orders o JOIN customers c ON o.customer_id + 1 = c.id;
--- join_two_columns
SELECT w.id, e.a FROM wide w JOIN edges e ON w.i4 = e.a AND w.i2 = e.b;
--- join_unequal
SELECT c.id, p.id AS product FROM customers c JOIN products p ON c.id < p.id AND p.price > 2;
--- join_cross
SELECT c.name, p.category FROM customers c CROSS JOIN products p;
--- join_stars_of_one_table
SELECT o.id, a.name AS one, b.name AS two FROM orders o JOIN customers a ON a.id = o.customer_id
  JOIN customers b ON b.id = o.product_id;
--- join_after_subquery
SELECT s.id, s.big, c.name FROM (SELECT id, customer_id, qty > 2 AS big FROM orders WHERE status <> 'lost') s
  JOIN customers c ON c.id = s.customer_id;

--- union_all_tables
SELECT id, name FROM customers UNION ALL SELECT id, name FROM products;
--- union_all_tags
SELECT 'a' AS tag, k FROM keyless WHERE k > 1 UNION ALL SELECT 'b', k FROM keyless WHERE k < 3;
--- union_all_three_levels
SELECT a FROM edges UNION ALL (SELECT b FROM edges UNION ALL SELECT k FROM keyless);
--- union_all_joined
SELECT u.tag, count(*) AS n FROM (SELECT 'c' AS tag, id FROM customers UNION ALL SELECT 'p', id FROM products) u
  JOIN orders o ON o.customer_id = u.id GROUP BY u.tag;
--- union_all_types
SELECT i4::int8 AS x FROM wide UNION ALL SELECT k FROM keyless;

--- distinct_rows
SELECT DISTINCT k, w FROM keyless;
--- distinct_nulls
SELECT DISTINCT b, e FROM wide;
--- distinct_numeric approximate=v
SELECT DISTINCT v FROM keyless;
--- distinct_float approximate=f
SELECT DISTINCT f FROM keyless;
--- distinct_join
SELECT DISTINCT c.region, p.category FROM orders o JOIN customers c ON c.id = o.customer_id
  JOIN products p ON p.id = o.product_id;
--- distinct_expressions
SELECT DISTINCT upper(w) AS u, k % 2 AS m FROM keyless;

--- count_groups
SELECT w, count(*) AS n, count(v) AS nv, count(f) AS nf FROM keyless GROUP BY w;
--- sum_integers
SELECT t, sum(i2) AS a, sum(i4) AS b, sum(i8) AS c, avg(i4) AS d, avg(i8) AS e, avg(i2) AS f FROM wide GROUP BY t;
--- sum_numeric_scales
SELECT k, sum(v) AS s, avg(v) AS a, count(v) AS n FROM keyless GROUP BY k;
--- sum_numeric_typmod
SELECT category, sum(price) AS s, avg(price) AS a, min(price) AS lo, max(price) AS hi FROM products GROUP BY category;
--- sum_floats approximate=s,a,s4,a4
SELECT k, sum(f) AS s, avg(f) AS a, sum(f::float4) AS s4, avg(f::float4) AS a4 FROM keyless GROUP BY k;
--- min_max_native
SELECT t, min(i4) AS a, max(i8) AS b, min(d) AS c, max(ts) AS e, min(t) AS f, max(v) AS g, max(tz) AS h, min(tm) AS i
  FROM wide GROUP BY t;
--- min_max_undetermined approximate=a,b,c,d
SELECT k, min(v) AS a, max(v) AS b, min(f) AS c, max(f) AS d FROM keyless GROUP BY k;
--- min_max_any_type
SELECT i4, min(ip) AS a, max(e) AS b, min(ia) AS c, max(m) AS d, min(lsn) AS f, max(o) AS g, min(bt) AS h, max(ta) AS i
  FROM wide GROUP BY i4;
--- sum_any_type
SELECT i4, sum(m) AS a FROM wide GROUP BY i4;
--- aggregate_filters
SELECT status, count(*) FILTER (WHERE qty > 2) AS a, sum(qty) FILTER (WHERE price < 5) AS b,
       min(price) FILTER (WHERE note IS NULL) AS c FROM orders GROUP BY status;
--- aggregate_distinct
SELECT w, count(DISTINCT k) AS a, sum(DISTINCT k) AS b, avg(DISTINCT k) AS c, count(DISTINCT v) AS d, count(k) AS e
  FROM keyless GROUP BY w;
--- aggregate_distinct_filter
SELECT status, count(DISTINCT customer_id) FILTER (WHERE qty > 1) AS a, max(DISTINCT qty) AS b FROM orders GROUP BY status;
--- having_count
SELECT w, count(*) AS n FROM keyless GROUP BY w HAVING count(*) > 3;
--- having_expression
SELECT customer_id, sum(qty) AS n FROM orders GROUP BY customer_id HAVING sum(qty) > 5 AND min(price) < 8;
--- having_without_group
SELECT count(*) AS n FROM keyless HAVING count(*) > 2;
--- aggregate_global
SELECT count(*) AS n, sum(k) AS s, min(w) AS lo, max(k) AS hi, avg(k) AS a FROM keyless;
--- aggregate_global_empty
SELECT count(*) AS n, sum(k) AS s, max(w) AS m FROM keyless WHERE k > 1000;
--- aggregate_expressions
SELECT status, sum(qty * price) / count(*) AS a, round(avg(price), 1) AS b, max(qty) - min(qty) AS c,
       coalesce(sum(qty), 0) + 1 AS d, 'n=' || count(*) AS e FROM orders GROUP BY status;
--- group_by_expressions
SELECT qty % 3 AS m, date_trunc('hour', placed) AS h, count(*) AS n FROM orders GROUP BY 1, 2;
--- group_by_nulls
SELECT b, e, i2, count(*) AS n FROM wide GROUP BY b, e, i2;
--- group_by_float approximate=f
SELECT f, count(*) AS n FROM keyless GROUP BY f;
--- group_by_numeric approximate=v
SELECT v, count(*) AS n, sum(k) AS s FROM keyless GROUP BY v;
--- group_by_interval
SELECT count(*) AS n, max(id) AS id FROM wide GROUP BY iv;
--- group_by_bpchar
SELECT c, count(*) AS n FROM wide GROUP BY c;
--- group_by_opaque
SELECT ip, u, bits, count(*) AS n FROM wide GROUP BY ip, u, bits;
--- group_by_jsonb
SELECT count(*) AS n, min(id) AS id FROM wide GROUP BY jb;
--- group_by_arrays
SELECT ia, ta, count(*) AS n FROM wide GROUP BY ia, ta;
--- group_by_range
SELECT r, mr, count(*) AS n, min(id) AS id FROM wide GROUP BY r, mr;
--- group_by_record
SELECT p, count(*) AS n, sum(i4) AS s FROM wide GROUP BY p;
--- group_by_row
SELECT count(*) AS n, max(id) AS id FROM wide GROUP BY ROW(n, iv, jb);
--- group_by_array_of_equals
SELECT count(*) AS n, max(id) AS id FROM wide GROUP BY ARRAY[n, n2], ARRAY[f8, f4], ARRAY[c];
--- distinct_jsonb
SELECT count(*) AS n FROM (SELECT DISTINCT jb FROM wide) d;
--- distinct_arrays
SELECT DISTINCT ia, r FROM wide;
--- join_on_jsonb
SELECT x.id, y.id AS other FROM wide x JOIN wide y ON x.jb = y.jb AND x.id < y.id;
--- join_on_array
SELECT x.id, y.id AS other FROM wide x JOIN wide y ON x.ia = y.ia AND x.p IS NOT DISTINCT FROM y.p AND x.id < y.id;
--- join_on_range
SELECT x.id, y.id AS other FROM wide x JOIN wide y ON x.r = y.r AND x.mr = y.mr AND x.id < y.id;
--- union_of_tables
SELECT a FROM edges UNION SELECT k FROM keyless;
--- union_distinct_jsonb
SELECT count(*) AS n FROM (SELECT jb FROM wide UNION SELECT to_jsonb(n) FROM wide) u;
--- count_distinct_array
SELECT t, count(DISTINCT ia) AS a, count(DISTINCT jb) AS b, count(DISTINCT r) FILTER (WHERE b) AS c,
       count(DISTINCT (i4, n)) AS d FROM wide GROUP BY t;
--- having_on_array
SELECT cardinality(ia) AS c, count(*) AS n FROM wide GROUP BY ia HAVING ia <> '{3}';
--- group_without_aggregate
SELECT region, vip FROM customers GROUP BY region, vip;
--- rollup_count
SELECT region, vip, count(*) AS n FROM customers GROUP BY ROLLUP (region, vip);
--- rollup_grouping
SELECT region, vip, GROUPING(region) AS a, GROUPING(vip, region) AS b, count(*) AS n, max(id) AS id FROM customers
  GROUP BY ROLLUP (region, vip);
--- cube_aggregates
SELECT k, w, GROUPING(k, w) AS g, count(*) AS n, sum(v) AS s, count(DISTINCT f) AS d, min(w) AS lo,
       string_agg(w, ',' ORDER BY w) AS l FROM keyless GROUP BY CUBE (k, w);
--- grouping_sets_empty
SELECT status, count(*) AS n, sum(qty) AS q, GROUPING(status) AS g FROM orders WHERE qty > 90
  GROUP BY GROUPING SETS ((status), (), (status), ());
--- grouping_sets_only_empty
SELECT count(*) AS n, array_agg(id ORDER BY id) AS ids FROM orders WHERE qty = 3 GROUP BY GROUPING SETS ((), ());
--- grouping_nothing
SELECT 'one' AS x FROM orders WHERE qty > 90 GROUP BY ();
--- grouping_sets_of_expressions
SELECT qty % 3 AS m, status || '!' AS s, count(*) AS n, coalesce(sum(price), 0) AS p FROM orders
  GROUP BY GROUPING SETS ((qty % 3), (status || '!'), (qty % 3, status || '!'));
--- grouping_sets_nested
SELECT w, k, count(*) AS n FROM keyless GROUP BY GROUPING SETS (ROLLUP (w, k), GROUPING SETS ((k), ()), CUBE (k));
--- grouping_sets_distinct
SELECT w, k, count(*) AS n FROM keyless GROUP BY DISTINCT ROLLUP (w, k), ROLLUP (w);
--- grouping_sets_product
SELECT status, customer_id, product_id, sum(qty) AS q FROM orders GROUP BY status, ROLLUP (customer_id), CUBE (product_id);
--- grouping_sets_composite_keys
SELECT b, i2, e, count(*) AS n FROM wide GROUP BY ROLLUP ((b, i2), e);
--- grouping_having
SELECT region, vip, count(*) AS n FROM customers GROUP BY CUBE (region, vip) HAVING count(*) > 2 AND GROUPING(region) = 0;
--- grouping_having_key
SELECT region, vip, count(*) AS n FROM customers GROUP BY CUBE (region, vip) HAVING region IS NULL OR vip;
--- grouping_numeric_keys approximate=v
SELECT v, k, count(*) AS n, GROUPING(v) AS g FROM keyless GROUP BY CUBE (v, k);
--- grouping_canonical_keys
SELECT count(*) AS n, max(id) AS id, GROUPING(jb, iv) AS g FROM wide GROUP BY GROUPING SETS ((jb), (iv), (jb, iv), ());
--- grouping_key_in_aggregate
SELECT k, sum(k) AS s, count(k) AS n, k + 1 AS m FROM keyless GROUP BY ROLLUP (k);
--- grouping_filter
SELECT status, count(*) FILTER (WHERE qty > 1) AS a, sum(qty) FILTER (WHERE note IS NOT NULL) AS b FROM orders
  GROUP BY ROLLUP (status);
--- grouping_common_key
SELECT c.id, c.name, o.status, count(*) AS n FROM customers c JOIN orders o ON o.customer_id = c.id
  GROUP BY c.id, ROLLUP (o.status);
--- grouping_direct_argument
SELECT k, percentile_disc(k / 10.0) WITHIN GROUP (ORDER BY k) AS p, count(*) AS n FROM keyless WHERE k BETWEEN 0 AND 9
  GROUP BY ROLLUP (k);
--- grouping_sets_of_join
SELECT c.region, p.category, count(*) AS n, sum(o.qty * p.price) AS s, GROUPING(c.region, p.category) AS g
  FROM orders o JOIN customers c ON c.id = o.customer_id JOIN products p ON p.id = o.product_id
  GROUP BY GROUPING SETS ((c.region), (p.category), (c.region, p.category), ());
--- grouping_sets_of_left_join
SELECT c.region, o.status, count(*) AS n, count(o.id) AS m, GROUPING(o.status) AS g
  FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY ROLLUP (c.region, o.status);
--- distinct_of_grouping_sets
SELECT DISTINCT region, count(*) AS n FROM customers GROUP BY CUBE (region, vip);
--- groups_of_grouping_sets
SELECT g, count(*) AS n, sum(n) AS s FROM (SELECT GROUPING(k, w) AS g, count(*) AS n FROM keyless GROUP BY CUBE (k, w)) x
  GROUP BY g;
--- join_with_grouping_sets
SELECT c.id, x.vip, x.n FROM customers c
  JOIN (SELECT region, vip, count(*) AS n FROM customers GROUP BY ROLLUP (region, vip)) x ON x.region = c.region;
--- union_of_grouping_sets
SELECT region AS r, count(*) AS n FROM customers GROUP BY ROLLUP (region)
  UNION SELECT status, count(*) FROM orders GROUP BY CUBE (status);
--- in_grouping_sets
SELECT id FROM customers WHERE region IN (SELECT region FROM customers GROUP BY ROLLUP (region, vip) HAVING count(*) > 4);
--- over_grouping_sets over=rollup_count
SELECT region, sum(n) AS n FROM rollup_count WHERE region IS NOT NULL GROUP BY region;
--- ordered_set_percentiles
SELECT t, percentile_cont(0.5) WITHIN GROUP (ORDER BY i4) AS a, percentile_disc(0.25) WITHIN GROUP (ORDER BY i8 DESC) AS b,
       percentile_cont(ARRAY[0, 0.5, NULL, 1]) WITHIN GROUP (ORDER BY i2) AS c,
       percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY d) AS d
  FROM (SELECT t, i2, i4, i8, d FROM wide) x GROUP BY t;
--- ordered_set_of_types
SELECT i4, percentile_disc(0.5) WITHIN GROUP (ORDER BY e) AS a, percentile_disc(0.9) WITHIN GROUP (ORDER BY ip) AS b,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY v) AS c, percentile_cont(0.5) WITHIN GROUP (ORDER BY ts - timestamp '2024-01-01') AS d FROM wide GROUP BY i4;
--- ordered_set_mode
SELECT w, mode() WITHIN GROUP (ORDER BY k) AS a, mode() WITHIN GROUP (ORDER BY k DESC) AS b,
       mode() WITHIN GROUP (ORDER BY w) FILTER (WHERE k > 0) AS c FROM keyless GROUP BY w;
--- hypothetical_set
SELECT w, rank(2) WITHIN GROUP (ORDER BY k) AS a, dense_rank(2) WITHIN GROUP (ORDER BY k DESC NULLS LAST) AS b,
       percent_rank(2) WITHIN GROUP (ORDER BY k) AS c, cume_dist(2) WITHIN GROUP (ORDER BY k) AS d,
       rank(2, 1.00) WITHIN GROUP (ORDER BY k, v) AS e, rank('b') WITHIN GROUP (ORDER BY w) AS f FROM keyless GROUP BY w;
--- ordered_set_global
SELECT percentile_cont(0.3) WITHIN GROUP (ORDER BY qty) AS a, mode() WITHIN GROUP (ORDER BY status) AS b,
       rank(3) WITHIN GROUP (ORDER BY qty) AS c FROM orders WHERE qty > 3;
--- ordered_set_empty_filter
SELECT status, percentile_disc(0.5) WITHIN GROUP (ORDER BY qty) FILTER (WHERE qty > 90) AS a,
       rank(3) WITHIN GROUP (ORDER BY qty) FILTER (WHERE qty > 90) AS b FROM orders GROUP BY status;
--- string_agg_forms
SELECT w, string_agg(k::text, ',' ORDER BY k) AS a, string_agg(DISTINCT k::text, '+') AS b,
       string_agg(DISTINCT k::text, ', ' ORDER BY k::text DESC) AS c, string_agg(w, k::text ORDER BY k) FILTER (WHERE k > 1) AS d,
       string_agg(convert_to(w, 'UTF8'), '\x00' ORDER BY k) AS e FROM keyless GROUP BY w;
--- array_agg_forms
SELECT k, array_agg(w ORDER BY w) AS a, array_agg(DISTINCT w) AS b, array_agg(k ORDER BY k) FILTER (WHERE w IS NOT NULL) AS c,
       array_agg(ARRAY[k, 1] ORDER BY k) AS d, array_agg(DISTINCT ROW(k, w)::pair ORDER BY ROW(k, w)::pair) AS e FROM keyless GROUP BY k;
--- json_agg_forms
SELECT status, json_agg(id ORDER BY id) AS a, jsonb_agg(note ORDER BY id) AS b, json_object_agg(id, qty ORDER BY id) AS c,
       jsonb_object_agg(id, note ORDER BY id) FILTER (WHERE qty > 1) AS d, json_agg(DISTINCT qty) AS e,
       jsonb_agg(DISTINCT status) AS f FROM orders GROUP BY status;
--- json_agg_strict_and_unique
SELECT status, json_agg_strict(note ORDER BY id) AS a, jsonb_agg_strict(note ORDER BY id) AS b,
       json_object_agg_strict(id, note ORDER BY id) AS c, jsonb_object_agg_strict(id, note ORDER BY id) AS d,
       json_object_agg_unique(id, note ORDER BY id) AS e, jsonb_object_agg_unique(id, note ORDER BY id) AS f,
       json_object_agg_unique_strict(id, note ORDER BY id) AS g, jsonb_object_agg_unique_strict(id, note ORDER BY id) AS h
  FROM orders GROUP BY status;
--- json_constructors
SELECT status, JSON_ARRAYAGG(note ORDER BY id) AS a, JSON_ARRAYAGG(note ORDER BY id NULL ON NULL RETURNING jsonb) AS b,
       JSON_OBJECTAGG(id: note ABSENT ON NULL RETURNING jsonb) AS c, JSON_OBJECTAGG(id VALUE qty WITH UNIQUE KEYS RETURNING jsonb) AS d,
       length(JSON_ARRAYAGG(id ORDER BY id RETURNING text)) AS e, JSON_ARRAYAGG(id ORDER BY id) FILTER (WHERE qty > 2) AS f
  FROM orders GROUP BY status;
--- json_constructor_having
SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id HAVING JSON_ARRAYAGG(qty ORDER BY qty RETURNING text) LIKE '%1%';
--- json_constructor_nested
SELECT region, JSON_ARRAYAGG(JSON_OBJECT('id': id, 'name': name) ORDER BY id RETURNING jsonb) AS a FROM customers GROUP BY region;
--- variance_integers
SELECT w, variance(k) AS a, var_pop(k) AS b, var_samp(k::int2) AS c, stddev(k) AS d, stddev_pop(k::int8) AS e, stddev_samp(k * 100) AS f,
       var_samp(k::int8 * 1000000007) AS g FROM keyless GROUP BY w;
--- variance_numeric
SELECT k, variance(v) AS a, var_pop(v) AS b, stddev(v) AS c, stddev_pop(v) AS d, var_samp(v) AS e, stddev_samp(v) AS f FROM keyless GROUP BY k;
--- variance_typmod
SELECT status, stddev(price) AS a, variance(price) AS b, stddev_pop(price) FILTER (WHERE qty > 1) AS c, var_pop(DISTINCT qty) AS d
  FROM orders GROUP BY status;
--- variance_floats approximate=a,b,c,d
SELECT k, variance(f) AS a, var_pop(f) AS b, stddev(f) AS c, stddev_pop(f::float4) AS d FROM keyless GROUP BY k;
--- variance_finite_floats approximate=a,b,c,d
SELECT k, variance(f) AS a, var_pop(f::float4) AS b, stddev(f * k) AS c, stddev_pop(f) AS d
  FROM keyless WHERE f < 'Infinity' AND f > 1 AND k > 0 GROUP BY k;
--- regression approximate=a,b,c,d,e,f,g,h,i,j,l
SELECT w, regr_sxx(f, k) AS a, regr_syy(f, k) AS b, regr_sxy(f, k) AS c, regr_avgx(f, k) AS d, regr_avgy(f, k) AS e,
       regr_slope(f, k) AS f, regr_intercept(f, k) AS g, regr_r2(f, k) AS h, corr(f, k) AS i, covar_pop(f, k) AS j,
       covar_samp(f, k) AS l, regr_count(f, k) AS m FROM keyless WHERE f IS DISTINCT FROM 0.1 GROUP BY w;
--- regression_finite approximate=a,b,c,d,e,f,g,h,i,j,l
SELECT status, regr_sxx(qty, (price * 100)::int) AS a, regr_syy(qty, (price * 100)::int) AS b, regr_sxy(qty, (price * 100)::int) AS c, regr_avgx(qty, (price * 100)::int) AS d,
       regr_avgy(qty, (price * 100)::int) AS e, regr_slope(qty, (price * 100)::int) AS f, regr_intercept(qty, (price * 100)::int) AS g, regr_r2(qty, (price * 100)::int) AS h,
       corr(qty, (price * 100)::int) AS i, covar_pop(qty, (price * 100)::int) AS j, covar_samp(qty, (price * 100)::int) FILTER (WHERE qty > 0) AS l,
       regr_count(qty, (price * 100)::int) AS m FROM orders GROUP BY status;
--- bit_aggregates
SELECT t, bit_and(i2) AS a, bit_or(i4) AS b, bit_xor(i8) AS c, bit_and(bits) AS d, bit_or(bits) AS e, bit_xor(bits) AS f,
       bit_xor(DISTINCT i4) AS g, bit_or(i2) FILTER (WHERE i4 > 0) AS h FROM wide GROUP BY t;
--- bool_aggregates
SELECT t, bool_and(DISTINCT b) AS a, bool_or(b) FILTER (WHERE i4 > 1) AS c, every(b) AS d FROM wide GROUP BY t;
--- range_aggregates
SELECT t, range_agg(r) AS a, range_intersect_agg(r) AS b, range_agg(mr) AS c, range_intersect_agg(mr) AS d,
       range_agg(r) FILTER (WHERE i4 > 1) AS e FROM wide GROUP BY t;
--- any_value_of_a_key
SELECT k, any_value(k) AS a, any_value(k) FILTER (WHERE k > 1) AS b, any_value(w ORDER BY w) AS c, any_value(NULL::int) AS d
  FROM keyless GROUP BY k;
--- min_max_of_types
SELECT i4, min(ia) AS a, max(ta) AS b, min(e) AS c, max(ip) AS d, min(net::inet) AS f, max(u::text) AS g, min(nm::text) AS h, max(tz) AS i,
       min(v COLLATE "C") AS j, max(o) AS l, min(d) AS m, max(tm) AS q, min(lsn) AS r FROM wide GROUP BY i4;
--- min_max_records
SELECT i4, min(ROW(i2, t COLLATE "C")::pair)::text AS a, max(p)::text AS b FROM wide GROUP BY i4;
--- min_max_collated
SELECT i4, min(t) AS a, max(v) AS b, max(t COLLATE "C") AS d, max(t COLLATE "pg_c_utf8") AS e FROM wide GROUP BY i4;
--- min_max_equal_values approximate=a,b
SELECT i4, min(n) AS a, max(n2) AS b, max(iv) - min(iv) = interval '0' AS c, min(c) = max(c) AS d FROM wide GROUP BY i4;
--- min_max_of_time
SELECT t, min(ttz)::text = max(ttz)::text AS a, max(ts) AS b, min(m) AS c, max(bt) AS d FROM wide GROUP BY t;
--- sum_intervals
SELECT t, sum(iv) AS a, avg(iv) AS b, sum(ts - timestamp '2024-01-01') AS c, avg(d - date '2024-01-01') AS d FROM wide GROUP BY t;
--- sum_times_and_money
SELECT t, sum(tm::interval) AS a, avg(tm) AS b, sum(m) AS c, sum(m) FILTER (WHERE i4 > 1) AS d, sum(DISTINCT m) AS e FROM wide GROUP BY t;
--- count_distinct_types
SELECT t, count(DISTINCT iv) AS a, count(DISTINCT f8) AS b, count(DISTINCT n) AS c, count(DISTINCT (i4, t)) AS d, count(DISTINCT jb) AS e,
       count(DISTINCT ia) AS f, count(DISTINCT c) AS g, count(DISTINCT ip) AS h, count(DISTINCT p) AS i, count(DISTINCT r) AS j,
       count(DISTINCT e) AS l, count(DISTINCT v) FILTER (WHERE i4 > 0) AS m FROM wide GROUP BY t;
--- distinct_sums approximate=c,d,g
SELECT w, sum(DISTINCT k) AS a, avg(DISTINCT k) AS b, sum(DISTINCT v) AS c, avg(DISTINCT f) AS d, stddev(DISTINCT k) AS e,
       max(DISTINCT k) AS f, sum(DISTINCT f) AS g FROM keyless GROUP BY w;
--- user_aggregates
SELECT w, longest(w) AS a, product(k) AS b, list(k ORDER BY k) AS c, list(w ORDER BY w) AS d, count_all(k, 1, NULL) AS e, share(k) AS f,
       share(DISTINCT k) FILTER (WHERE k > 0) AS g, count_all(VARIADIC ARRAY[k, k]) AS h, product(DISTINCT k) AS i FROM keyless GROUP BY w;
--- user_aggregates_global
SELECT longest(note) AS a, product(qty) AS b, list(id ORDER BY id) AS c, share(qty) AS d FROM orders WHERE qty > 4;
--- user_aggregates_having
SELECT status FROM orders GROUP BY status HAVING product(qty) > 10 AND longest(note) <> 'b';
--- aggregates_of_aggregates
SELECT q, max(n) AS a, sum(s) AS b, string_agg(c, ';' ORDER BY c) AS d, avg(dev) AS e FROM
  (SELECT qty AS q, status AS c, count(*) AS n, sum(price) AS s, stddev(id) AS dev FROM orders GROUP BY qty, status) x GROUP BY q;
--- aggregate_filter_guards
SELECT k, sum(10 / k) FILTER (WHERE k <> 0) AS a, string_agg((10 / k)::text, ',' ORDER BY k) FILTER (WHERE k <> 0) AS b,
       max(10 / nullif(k, 0)) AS c, variance(10 / k) FILTER (WHERE k <> 0) AS d, bit_or(10 / k) FILTER (WHERE k <> 0) AS e FROM keyless GROUP BY k;
--- aggregate_order_expressions
SELECT w, array_agg(k ORDER BY abs(k), k) AS a, string_agg(k::text, '' ORDER BY -k) AS b, array_agg(k ORDER BY k DESC NULLS LAST) AS c,
       array_agg(w ORDER BY w COLLATE "C" DESC, k) AS d, array_agg(DISTINCT k ORDER BY k DESC) AS e FROM keyless GROUP BY w;
--- aggregate_over_expressions
SELECT upper(status) AS s, array_agg(upper(status) || qty ORDER BY qty, id) AS a, sum(CASE WHEN note IS NULL THEN 0 ELSE qty END) AS b,
       bool_and(price > 1) AS c, count(nullif(qty, 2)) AS d FROM orders GROUP BY upper(status);
--- group_toast
SELECT left(body, 2) AS k, count(*) AS n, max(length(body)) AS l, min(body) AS b FROM notes GROUP BY left(body, 2);
--- aggregate_join
SELECT c.region, count(*) AS n, sum(o.qty * p.price) AS revenue, avg(p.price) AS a, max(o.placed) AS latest
  FROM orders o JOIN customers c ON c.id = o.customer_id JOIN products p ON p.id = o.product_id GROUP BY c.region;
--- aggregate_columns_of_the_key
SELECT p.name, p.category, count(*) AS n FROM customers c JOIN orders o ON o.customer_id = c.id
  JOIN products p ON p.id = o.product_id GROUP BY p.id HAVING p.price > 1;
--- aggregate_self_join
SELECT x.a, count(*) AS paths, count(DISTINCT y.b) AS ends FROM edges x JOIN edges y ON x.b = y.a GROUP BY x.a;
--- aggregate_of_aggregate
SELECT n, count(*) AS customers FROM (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) s GROUP BY n;
--- join_of_aggregates
SELECT a.customer_id, a.n, b.total FROM (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) a
  JOIN (SELECT customer_id, sum(qty) AS total FROM orders WHERE status = 'paid' GROUP BY customer_id) b
  ON a.customer_id = b.customer_id;
--- join_aggregate_with_table
SELECT c.name, s.n, s.latest FROM customers c
  JOIN (SELECT customer_id, count(*) AS n, max(placed) AS latest FROM orders GROUP BY customer_id) s ON s.customer_id = c.id;
--- aggregate_of_join_of_aggregates
SELECT c.region, max(s.n) AS most, sum(s.n) AS total FROM customers c
  JOIN (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) s ON s.customer_id = c.id GROUP BY c.region;
--- aggregate_distinct_rows
SELECT w, count(*) AS n FROM (SELECT DISTINCT k, w FROM keyless) d GROUP BY w;
--- aggregate_union_all
SELECT x, count(*) AS n FROM (SELECT a AS x FROM edges UNION ALL SELECT b FROM edges) u GROUP BY x;
--- view_rows
SELECT * FROM regional;
--- view_aggregate
SELECT region, category, sum(total) AS total FROM regional GROUP BY region, category;
--- cte
WITH big AS (SELECT * FROM orders WHERE qty > 1), named AS (SELECT b.id, c.name FROM big b JOIN customers c ON c.id = b.customer_id)
SELECT name, count(*) AS n FROM named GROUP BY name;
--- cte_twice
WITH s AS (SELECT customer_id, sum(qty) AS q FROM orders GROUP BY customer_id)
SELECT x.customer_id, y.customer_id AS other FROM s x JOIN s y ON x.q = y.q AND x.customer_id < y.customer_id;
--- aggregate_ordered
SELECT w, string_agg(k::text, ',' ORDER BY k, v, f) AS ks, array_agg(k ORDER BY k DESC) AS a FROM keyless GROUP BY w;
--- aggregate_booleans
SELECT t, bool_and(b) AS a, bool_or(b) AS o, bit_and(i4) AS c, every(i4 > 0) AS d FROM wide GROUP BY t;
--- aggregate_statistics approximate=a,b
SELECT w, stddev(k) AS a, var_pop(k) AS b FROM keyless GROUP BY w;

--- over_rows over=join_three
SELECT name, count(*) AS n, sum(total) AS total FROM join_three GROUP BY name;
--- over_aggregate over=aggregate_join
SELECT region, revenue / n AS mean FROM aggregate_join WHERE n > 1;
--- over_keyless over=keyless_rows
SELECT w, count(*) AS n, sum(v) AS s FROM keyless_rows GROUP BY w;
--- over_two over=count_groups
SELECT g.w, g.n, s.n AS more FROM count_groups g JOIN having_count s ON s.w = g.w;
--- over_third_level over=over_rows
SELECT count(*) AS names, sum(n) AS orders, max(total) AS most FROM over_rows;
--- over_table_and_stream_table over=over_rows
SELECT c.id, r.total FROM customers c JOIN over_rows r ON r.name = c.name;

--- left_join
SELECT c.id, o.id AS order_id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.qty > 2;
--- left_join_own_condition
SELECT c.id, c.name, o.qty FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND c.vip;
--- left_join_residual
SELECT o.id, o.price, p.name FROM orders o LEFT JOIN products p ON p.id = o.product_id AND o.price > p.price;
--- left_join_by_postgresql
SELECT c.id, e.b FROM customers c LEFT JOIN edges e ON e.a = c.id AND md5(c.name) < md5(e.b::text);
--- left_join_without_keys
SELECT c.id, e.a, e.b FROM customers c LEFT JOIN edges e ON c.id < e.a;
--- left_join_on_true
SELECT c.id, s.a FROM customers c LEFT JOIN (SELECT a FROM edges WHERE b = 6) s ON true;
--- left_join_on_false
SELECT c.id, e.a FROM customers c LEFT JOIN edges e ON false;
--- left_join_keyless
SELECT k.k, k.v, e.b FROM keyless k LEFT JOIN edges e ON e.a = k.k;
--- left_join_of_duplicates
SELECT e.a, f.b FROM edges e LEFT JOIN edges f ON f.a = e.b;
--- left_join_numeric_keys
SELECT w.id, w.n, k.v, k.w FROM wide w LEFT JOIN keyless k ON k.v = w.n;
--- left_join_mixed_types
SELECT w.id, w.i2, e.b FROM wide w LEFT JOIN edges e ON e.a = w.i2 AND e.b = w.i8;
--- left_join_not_distinct
SELECT w.id, k.k, k.w FROM wide w LEFT JOIN keyless k ON k.w IS NOT DISTINCT FROM w.t;
--- left_join_chain
SELECT o.id, c.name, p.category, e.b FROM orders o LEFT JOIN customers c ON c.id = o.customer_id
LEFT JOIN products p ON p.id = o.product_id AND p.category = c.region LEFT JOIN edges e ON e.a = p.id;
--- left_join_nested
SELECT c.id, x.oid, x.category FROM customers c LEFT JOIN
(SELECT o.id AS oid, o.customer_id, p.category FROM orders o JOIN products p ON p.id = o.product_id) x ON x.customer_id = c.id;
--- left_join_in_parentheses
SELECT c.id, o.id AS oid, p.name FROM customers c LEFT JOIN (orders o JOIN products p ON p.id = o.product_id AND p.price > 1) ON o.customer_id = c.id;
--- left_join_computed_before
SELECT c.id, x.one, x.up, coalesce(x.one, 0) AS z FROM customers c
LEFT JOIN (SELECT customer_id, 1 AS one, upper(note) AS up FROM orders WHERE qty > 0) x ON x.customer_id = c.id;
--- left_join_filtered_above
SELECT c.id, c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE o.id IS NULL AND c.id > 5;
--- left_join_grouped
SELECT c.region, count(*) AS n, count(o.id) AS orders, sum(o.qty) AS q FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.region;
--- left_join_of_groups
SELECT c.id, g.n, g.s FROM customers c LEFT JOIN (SELECT customer_id, count(*) AS n, sum(qty) AS s FROM orders GROUP BY customer_id) g ON g.customer_id = c.id;
--- left_join_counted_only
SELECT count(*) AS n FROM edges e LEFT JOIN orders o ON o.id = e.a;
--- left_join_using
SELECT id, c.name, p.price FROM customers c LEFT JOIN products p USING (id);
--- left_join_jsonb
SELECT w.id, x.id AS other FROM wide w LEFT JOIN wide x ON x.jb = w.jb AND x.id <> w.id;
--- right_join
SELECT o.id, c.id AS customer, c.name FROM orders o RIGHT JOIN customers c ON c.id = o.customer_id;
--- right_join_residual
SELECT o.id, p.id AS product FROM orders o RIGHT JOIN products p ON p.id = o.product_id AND o.price < p.price;
--- full_join
SELECT c.id, c.name, p.id AS pid, p.price FROM customers c FULL JOIN products p ON p.id = c.id;
--- full_join_using
SELECT id, c.region, p.category FROM customers c FULL JOIN products p USING (id);
--- full_join_keyless
SELECT e.a, e.b, k.k, k.w FROM edges e FULL JOIN keyless k ON k.k = e.a;
--- full_join_one_sided
SELECT c.id, p.id AS pid FROM customers c FULL JOIN products p ON p.id = c.id AND c.vip AND p.price > 2;
--- full_join_of_full_join
SELECT coalesce(c.id, p.id, o.id) AS id, c.name, p.price, o.qty FROM customers c FULL JOIN products p ON p.id = c.id FULL JOIN orders o ON o.id = coalesce(c.id, p.id);
--- outer_and_inner_joins
SELECT o.id, c.name, p.name AS product, e.b FROM orders o JOIN products p ON p.id = o.product_id
LEFT JOIN customers c ON c.id = o.customer_id JOIN edges e ON e.a = o.qty;
--- left_join_over_stream_tables
SELECT c.id, r.order_id FROM customers c LEFT JOIN left_join r ON r.id = c.id AND r.order_id > 10;
--- full_window full
SELECT id, customer_id, row_number() OVER (PARTITION BY customer_id ORDER BY id) AS nth FROM orders LIMIT 1000000;
--- window_row_number
SELECT id, customer_id, row_number() OVER (PARTITION BY customer_id ORDER BY id) AS nth FROM orders;
--- window_ranks
SELECT id, qty, rank() OVER w AS r, dense_rank() OVER w AS d, percent_rank() OVER w AS p, cume_dist() OVER w AS c FROM orders
WINDOW w AS (PARTITION BY customer_id ORDER BY qty DESC NULLS LAST);
--- window_ntile
SELECT id, ntile(4) OVER (ORDER BY price, id) AS quarter FROM products;
--- window_lag_lead
SELECT id, lag(price) OVER w AS before, lead(price, 2, 0.0) OVER w AS after, lag(qty, 1, -1) OVER w AS q FROM orders
WINDOW w AS (PARTITION BY product_id ORDER BY placed NULLS FIRST, id);
--- window_values
SELECT id, first_value(name) OVER w AS f, last_value(name) OVER w AS l, nth_value(name, 2) OVER w AS n FROM products
WINDOW w AS (PARTITION BY category ORDER BY price DESC, id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING);
--- window_running
SELECT id, sum(price) OVER (PARTITION BY status ORDER BY id) AS total, count(*) OVER (ORDER BY id) AS n FROM orders;
--- window_peers
SELECT id, qty, sum(price) OVER (ORDER BY qty) AS total, count(note) OVER (PARTITION BY status ORDER BY qty DESC) AS n FROM orders;
--- window_rows_frame
SELECT id, sum(qty) OVER (PARTITION BY customer_id ORDER BY placed, id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING) AS s,
avg(price) OVER (PARTITION BY customer_id ORDER BY placed, id ROWS 3 PRECEDING) AS a FROM orders;
--- window_range_frame
SELECT id, i4, sum(i8) OVER (ORDER BY i4 RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS s,
count(*) OVER (ORDER BY d RANGE BETWEEN '30 days' PRECEDING AND CURRENT ROW) AS n FROM wide;
--- window_range_descending
SELECT id, count(*) OVER (ORDER BY n2 DESC NULLS FIRST RANGE BETWEEN 1.5 PRECEDING AND UNBOUNDED FOLLOWING) AS n FROM wide;
--- window_groups_frame
SELECT id, qty, max(price) OVER (ORDER BY qty GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS m,
count(*) OVER (PARTITION BY status ORDER BY qty GROUPS BETWEEN CURRENT ROW AND 2 FOLLOWING) AS n FROM orders;
--- window_exclude
SELECT id, count(*) OVER (w RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) AS a,
sum(qty) OVER (w GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE GROUP) AS b,
count(qty) OVER (w RANGE BETWEEN UNBOUNDED PRECEDING AND 2 FOLLOWING EXCLUDE TIES) AS c,
min(qty) OVER (w RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE NO OTHERS) AS d FROM orders WINDOW w AS (ORDER BY customer_id);
--- window_exclude_rows
SELECT id, sum(qty) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING EXCLUDE CURRENT ROW) AS s FROM orders;
--- window_filter
SELECT id, count(*) FILTER (WHERE qty > 1) OVER (PARTITION BY customer_id) AS n, sum(price) FILTER (WHERE status = 'paid') OVER (ORDER BY id) AS s FROM orders;
--- window_whole_table
SELECT id, sum(price) OVER () AS total, count(*) OVER () AS n, price / nullif(sum(price) OVER (), 0) AS share FROM products;
--- window_several
SELECT id, row_number() OVER (PARTITION BY status ORDER BY id) AS a, row_number() OVER (PARTITION BY customer_id ORDER BY id DESC) AS b,
rank() OVER (ORDER BY qty) AS c, sum(qty) OVER (PARTITION BY status) AS d FROM orders;
--- window_in_expression
SELECT id, coalesce(price - lag(price) OVER (ORDER BY id), 0) AS step, row_number() OVER (ORDER BY id) % 2 = 0 AS even FROM orders;
--- window_over_groups
SELECT customer_id, sum(price) AS total, rank() OVER (ORDER BY sum(price) DESC NULLS LAST) AS r, sum(sum(price)) OVER (ORDER BY customer_id) AS running FROM orders GROUP BY customer_id;
--- window_over_groups_all
SELECT status, count(*) AS n, sum(count(*)) OVER () AS total FROM orders GROUP BY status HAVING count(*) > 1;
--- window_partition_of_groups
SELECT region, vip, count(*) AS n, max(count(*)) OVER (PARTITION BY region) AS m FROM customers GROUP BY region, vip;
--- window_distinct
SELECT DISTINCT status, count(*) OVER (PARTITION BY status) AS n FROM orders;
--- window_then_limit
SELECT id, rank() OVER (ORDER BY price DESC NULLS LAST) AS r FROM products ORDER BY rank() OVER (ORDER BY price DESC NULLS LAST), id LIMIT 6;
--- window_distinct_on
SELECT DISTINCT ON (status) status, id, count(*) OVER (PARTITION BY customer_id) AS n FROM orders ORDER BY status, count(*) OVER (PARTITION BY customer_id) DESC, id;
--- window_in_subquery
SELECT status, count(*) AS n FROM (SELECT status, row_number() OVER (PARTITION BY status ORDER BY id) AS nth FROM orders) q WHERE nth <= 3 GROUP BY status;
--- window_top_row_number
SELECT * FROM (SELECT id, customer_id, price, row_number() OVER (PARTITION BY customer_id ORDER BY price DESC NULLS LAST, id) AS nth FROM orders) q WHERE nth <= 2;
--- window_top_rank
SELECT * FROM (SELECT id, qty, rank() OVER (ORDER BY qty DESC) AS r FROM orders) q WHERE r < 4;
--- window_joined
SELECT c.id, q.nth FROM customers c JOIN (SELECT customer_id, row_number() OVER (ORDER BY id) AS nth FROM orders) q ON q.customer_id = c.id;
--- window_of_join
SELECT o.id, p.category, sum(o.price) OVER (PARTITION BY p.category ORDER BY o.id) AS s FROM orders o JOIN products p ON p.id = o.product_id;
--- window_left_join
SELECT c.id, o.id AS oid, count(o.id) OVER (PARTITION BY c.id) AS n FROM customers c LEFT JOIN orders o ON o.customer_id = c.id;
--- window_union
SELECT a, rank() OVER (ORDER BY a) AS r FROM edges UNION ALL SELECT id, count(*) OVER () FROM customers;
--- window_over_union
SELECT x, count(*) OVER (PARTITION BY x) AS n FROM (SELECT a AS x FROM edges UNION ALL SELECT b FROM edges) q;
--- window_of_window
SELECT id, r, count(*) OVER (PARTITION BY r) AS ties FROM (SELECT id, rank() OVER (ORDER BY qty) AS r FROM orders) q;
--- window_in_cte
WITH w AS (SELECT id, customer_id, lag(id) OVER (PARTITION BY customer_id ORDER BY id) AS previous FROM orders) SELECT a.id, b.customer_id FROM w a JOIN orders b ON b.id = a.previous;
--- window_keyless
SELECT k, count(*) OVER (PARTITION BY k) AS n, rank() OVER (ORDER BY k) AS r FROM keyless;
--- window_collations
SELECT id, rank() OVER (ORDER BY name) AS r, rank() OVER (ORDER BY name COLLATE "C") AS c FROM customers;
--- window_every_order
SELECT id, rank() OVER (ORDER BY jb, ia, r DESC) AS a, rank() OVER (PARTITION BY n ORDER BY iv) AS b, rank() OVER (PARTITION BY e ORDER BY ip NULLS FIRST) AS c FROM wide;
--- window_float_sum approximate=s
SELECT id, sum(f8) OVER (PARTITION BY b ORDER BY id) AS s FROM wide WHERE f8 BETWEEN -10 AND 10;
--- window_array_agg
SELECT id, array_agg(id) OVER (PARTITION BY status ORDER BY id ROWS 1 PRECEDING) AS ids, string_agg(status, ',') OVER (PARTITION BY customer_id ORDER BY id) AS s FROM orders;
--- window_loose ignored=n
SELECT status, qty, row_number() OVER (PARTITION BY status ORDER BY qty) AS n FROM orders;
--- window_frames
SELECT id, sum(qty) OVER (w ROWS UNBOUNDED PRECEDING) AS a, avg(price) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS b,
min(price) OVER (w GROUPS UNBOUNDED PRECEDING) AS c, max(qty) OVER (w RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS d,
stddev_samp(qty) OVER w AS e, bool_or(qty > 2) OVER w AS f, bit_or(qty) OVER w AS g, count(note) OVER w AS h FROM orders
WINDOW w AS (PARTITION BY status ORDER BY qty DESC NULLS LAST, id);
--- window_frames_of_peers
SELECT id, sum(price) OVER w AS a, avg(qty) OVER w AS b, count(*) OVER w AS c, rank() OVER w AS d, dense_rank() OVER w AS e,
sum(qty) FILTER (WHERE note IS NOT NULL) OVER w AS f, max(qty) OVER w AS g FROM orders WINDOW w AS (PARTITION BY customer_id ORDER BY qty, status COLLATE "C");
--- window_values_running
SELECT id, first_value(name) OVER w AS f, last_value(name) OVER w AS l, nth_value(price, 2) OVER w AS n, nth_value(price, 3) OVER (w ROWS UNBOUNDED PRECEDING) AS m
FROM products WINDOW w AS (PARTITION BY category ORDER BY price DESC, id);
--- window_rows_around
SELECT id, sum(qty) OVER (w ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS a, avg(price) OVER (w ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING) AS b,
max(note) FILTER (WHERE qty > 1) OVER (w ROWS BETWEEN CURRENT ROW AND 2 FOLLOWING) AS c, count(*) OVER (w ROWS BETWEEN 2 PRECEDING AND 4 PRECEDING) AS d,
min(qty) OVER (w ROWS 2 PRECEDING) AS e, row_number() OVER w AS f FROM orders WINDOW w AS (PARTITION BY status ORDER BY placed DESC, id);
--- window_first_around
SELECT * FROM (SELECT id, row_number() OVER w AS nth, sum(qty) OVER (w ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING) AS s FROM orders
WINDOW w AS (PARTITION BY customer_id ORDER BY id)) q WHERE nth <= 2;
--- window_far_neighbours
SELECT id, lag(qty, 7, 0) OVER w AS a, lead(id, 12) OVER w AS b, lag(id, -1) OVER w AS c, lag(id, 0) OVER w AS d, lead(price, 1, price) OVER w AS e FROM orders
WINDOW w AS (ORDER BY placed, id);
--- window_offset_column
SELECT id, lag(id, qty) OVER (ORDER BY id) AS a, lag(id, NULL) OVER (ORDER BY id) AS b FROM orders;
--- window_numeric_peers
SELECT id, n, count(*) OVER (ORDER BY n) AS c, rank() OVER (ORDER BY n DESC) AS r FROM wide;
--- window_every_native_order
SELECT id, rank() OVER (ORDER BY f8, f4 DESC) AS a, rank() OVER (ORDER BY iv, d DESC NULLS LAST) AS b, rank() OVER (ORDER BY b, u NULLS FIRST) AS c,
dense_rank() OVER (ORDER BY ts, tz) AS d FROM wide;
--- window_duplicates
SELECT k, count(*) OVER (ORDER BY k) AS n, sum(k) OVER (ORDER BY k ROWS UNBOUNDED PRECEDING) AS s, row_number() OVER (ORDER BY k) AS r FROM keyless;
--- window_numeric_sums
SELECT id, sum(n) OVER (ORDER BY id) AS a, avg(n) OVER (PARTITION BY b ORDER BY id) AS b, sum(iv) OVER (ORDER BY id) AS c FROM wide;
--- window_float_running approximate=s,a
SELECT id, sum(f4) OVER (ORDER BY id) AS s, avg(f8) OVER (PARTITION BY b) AS a FROM wide WHERE f8 BETWEEN -10 AND 10 AND f4 BETWEEN -10 AND 10;
--- window_guarded_argument
SELECT id, sum(100 / qty) FILTER (WHERE qty <> 0) OVER (ORDER BY id) AS s, lag(qty * 2) OVER (ORDER BY id) AS l FROM orders;
--- window_no_order
SELECT id, row_number() OVER (PARTITION BY status) >= 1 AS n, rank() OVER (PARTITION BY status) AS r, first_value(status) OVER (PARTITION BY status) AS s FROM orders;
--- window_mixed_with_foreign
SELECT id, row_number() OVER w AS n, ntile(3) OVER w AS t, lag(id) OVER w AS l, sum(qty) OVER (PARTITION BY status ORDER BY qty, id) AS s FROM orders
WINDOW w AS (PARTITION BY status ORDER BY id);
--- window_first_between
SELECT * FROM (SELECT id, customer_id, row_number() OVER w AS nth, lead(id, 2) OVER w AS next, lag(id) OVER w AS before FROM orders
WINDOW w AS (PARTITION BY customer_id ORDER BY price DESC NULLS LAST, id)) q WHERE nth BETWEEN 2 AND 3;
--- window_first_reversed
SELECT id, status FROM (SELECT id, status, row_number() OVER (PARTITION BY status ORDER BY id DESC) AS nth FROM orders) q WHERE 3 > nth;
--- window_first_in
SELECT id, status, nth FROM (SELECT id, status, row_number() OVER (PARTITION BY status ORDER BY id) AS nth FROM orders) q WHERE nth IN (1, 4);
--- window_first_ties
SELECT id, r, n, s FROM (SELECT id, rank() OVER w AS r, dense_rank() OVER w AS n, sum(qty) OVER w AS s FROM orders WINDOW w AS (PARTITION BY status ORDER BY qty)) q WHERE r <= 2;
--- window_first_peers
SELECT id, s, nth FROM (SELECT id, qty, row_number() OVER w AS nth, sum(price) OVER (PARTITION BY status ORDER BY qty, id) AS s FROM orders WINDOW w AS (PARTITION BY status ORDER BY qty, id)) q WHERE nth <= 2;
--- window_first_one
SELECT c.name, q.id FROM customers c LEFT JOIN (SELECT * FROM (SELECT id, customer_id, row_number() OVER (PARTITION BY customer_id ORDER BY placed DESC, id) AS nth FROM orders) r WHERE nth = 1) q ON q.customer_id = c.id;
--- window_first_of_several
SELECT id, nth, total FROM (SELECT id, row_number() OVER (PARTITION BY status ORDER BY id) AS nth, sum(qty) OVER (PARTITION BY customer_id) AS total FROM orders) q WHERE nth <= 2;
--- window_first_lateral
SELECT c.id, q.id AS oid FROM customers c CROSS JOIN LATERAL (SELECT * FROM (SELECT o.id, row_number() OVER (ORDER BY o.price DESC NULLS LAST, o.id) AS nth FROM orders o WHERE o.customer_id = c.id) r WHERE nth <= 2) q;
--- window_over_stream_table
SELECT id, sum(nth) OVER (PARTITION BY customer_id) AS s FROM window_row_number;
--- limit_lateral
SELECT c.id, q.id AS oid FROM customers c CROSS JOIN LATERAL (SELECT o.id FROM orders o WHERE o.customer_id = c.id ORDER BY o.price DESC NULLS LAST, o.id LIMIT 2) q;
--- limit_scalar
SELECT c.id, (SELECT o.id FROM orders o WHERE o.customer_id = c.id ORDER BY o.status DESC NULLS LAST, o.id LIMIT 1) AS latest FROM customers c;
--- limit_lateral_left
SELECT p.id, q.a FROM products p LEFT JOIN LATERAL (SELECT DISTINCT ON (e.a) e.a FROM edges e WHERE e.b < p.id ORDER BY e.a OFFSET 1 LIMIT 2) q ON true WHERE p.id < 8;
--- window_lateral
SELECT c.id, q.id AS oid, q.r FROM customers c CROSS JOIN LATERAL (SELECT o.id, rank() OVER (PARTITION BY o.status ORDER BY o.qty) AS r FROM orders o WHERE o.customer_id = c.id) q;
--- window_scalar
SELECT c.id, (SELECT max(r) FROM (SELECT rank() OVER (ORDER BY o.qty) AS r FROM orders o WHERE o.customer_id = c.id) q) AS m FROM customers c;
--- limit_text
SELECT id, name FROM customers ORDER BY name DESC, id LIMIT 7;
--- limit_enum
SELECT id, e FROM wide ORDER BY e DESC NULLS LAST, id OFFSET 2 LIMIT 9;
--- limit_text_ties
SELECT id, region FROM customers ORDER BY region OFFSET 0 FETCH FIRST 3 ROWS WITH TIES;
--- limit_ranges
SELECT id, r FROM wide ORDER BY r NULLS FIRST, mr, id LIMIT 5;
--- distinct_on_text
SELECT DISTINCT ON (customer_id) customer_id, note, id FROM orders ORDER BY customer_id, note DESC NULLS LAST, id;
--- limit_plain
SELECT id, price FROM products ORDER BY price DESC NULLS LAST, id LIMIT 5;
--- limit_offset
SELECT id, qty, status COLLATE "C" AS status FROM orders ORDER BY qty, 3 DESC NULLS FIRST, id OFFSET 4 LIMIT 10;
--- limit_no_count
SELECT id, f8 FROM wide ORDER BY f8 DESC, id OFFSET 7;
--- limit_numeric_ties
SELECT n, count(*) AS c FROM (SELECT n + 0 AS n FROM wide ORDER BY n FETCH FIRST 5 ROWS WITH TIES) q GROUP BY n HAVING count(*) > 100;
--- limit_with_ties
SELECT id, i4 FROM wide ORDER BY i4 FETCH FIRST 4 ROWS WITH TIES;
--- limit_with_ties_desc
SELECT a, b FROM edges ORDER BY b DESC NULLS LAST FETCH FIRST 3 ROWS WITH TIES;
--- limit_all_columns
SELECT a, b FROM edges ORDER BY a DESC, b LIMIT 9;
--- limit_not_determined ignored=id
SELECT id, qty FROM orders ORDER BY qty DESC LIMIT 7;
--- limit_not_determined_offset ignored=id,note
SELECT id, note, qty, customer_id FROM orders ORDER BY customer_id, qty NULLS FIRST OFFSET 2 ROWS FETCH NEXT 6 ROWS ONLY;
--- limit_every_type
SELECT id, b, i2, d, tm, tz, u, bt FROM wide ORDER BY b, i2, d DESC, tm, tz NULLS FIRST, u, bt DESC, id LIMIT 12;
--- limit_more_types
SELECT id, f4, n, c COLLATE "C" AS c, ttz, iv, o FROM wide ORDER BY iv, ttz DESC, 4, f4 DESC NULLS LAST, n, o, id LIMIT 15;
--- limit_bytes
SELECT id, t COLLATE "C" AS t, bt FROM wide ORDER BY 2 DESC NULLS LAST, bt NULLS FIRST, id LIMIT 6;
--- limit_of_groups
SELECT customer_id, sum(price) AS total FROM orders GROUP BY customer_id ORDER BY sum(price) DESC, customer_id LIMIT 4;
--- limit_of_join
SELECT o.id, o.price, p.category FROM orders o JOIN products p ON p.id = o.product_id ORDER BY o.price * p.price DESC NULLS LAST, o.id LIMIT 8;
--- limit_of_distinct
SELECT DISTINCT a FROM edges ORDER BY a DESC LIMIT 3;
--- limit_in_subquery
SELECT c.region, count(*) AS n, sum(o.price) AS total FROM (SELECT customer_id, price FROM orders ORDER BY placed DESC NULLS LAST, id LIMIT 20) o
JOIN customers c ON c.id = o.customer_id GROUP BY c.region;
--- limit_in_cte_twice
WITH few AS (SELECT id, qty FROM orders ORDER BY qty DESC, id LIMIT 6) SELECT a.id, b.id AS other FROM few a JOIN few b ON a.qty = b.qty;
--- limit_of_limit
SELECT id, price FROM (SELECT id, price FROM products ORDER BY id LIMIT 20) q ORDER BY price DESC NULLS LAST, id LIMIT 3;
--- limit_in_arms
(SELECT id FROM customers ORDER BY id LIMIT 3) UNION ALL (SELECT id FROM products ORDER BY id DESC LIMIT 3);
--- limit_of_union
SELECT a FROM edges UNION SELECT qty FROM orders ORDER BY 1 DESC NULLS LAST LIMIT 4;
--- limit_of_union_all
SELECT a, 1 AS n FROM edges UNION ALL SELECT id, qty FROM orders ORDER BY a, n LIMIT 11;
--- limit_in_semi_join
SELECT o.id FROM orders o WHERE o.customer_id IN (SELECT id FROM customers ORDER BY id DESC LIMIT 5);
--- limit_in_exists
SELECT c.id FROM customers c WHERE EXISTS (SELECT 1 FROM edges ORDER BY a OFFSET 10 LIMIT 1);
--- limit_left_join
SELECT c.id, q.price FROM customers c LEFT JOIN (SELECT id, price FROM products ORDER BY price, id LIMIT 10) q ON q.id = c.id;
--- limit_zero
SELECT count(*) AS n FROM (SELECT id FROM orders LIMIT 0) q;
--- limit_evaluated
SELECT id, upper(name) AS n FROM products ORDER BY (price * 100)::int % 7 DESC, id LIMIT 5;
--- limit_over_stream_table
SELECT id, price FROM limit_plain ORDER BY price, id LIMIT 2;
--- distinct_on_plain
SELECT DISTINCT ON (customer_id) customer_id, id, price FROM orders ORDER BY customer_id, placed DESC NULLS LAST, id;
--- distinct_on_hidden
SELECT DISTINCT ON (status, qty) id FROM orders ORDER BY qty, status, price DESC, id DESC;
--- distinct_on_expression
SELECT DISTINCT ON (qty % 3) id, qty FROM orders ORDER BY qty % 3, qty DESC NULLS LAST, id;
--- distinct_on_numeric
SELECT DISTINCT ON (n) id, n FROM wide ORDER BY n, id DESC;
--- distinct_on_jsonb
SELECT count(*) AS c FROM (SELECT DISTINCT ON (jb) jb, id FROM wide) q;
--- distinct_on_loose ignored=id
SELECT DISTINCT ON (customer_id) customer_id, id FROM orders;
--- distinct_on_limit
SELECT DISTINCT ON (customer_id) customer_id, id, qty FROM orders ORDER BY customer_id DESC NULLS LAST, qty DESC, id LIMIT 4;
--- distinct_on_of_groups
SELECT DISTINCT ON (region) region, vip, count(*) AS n FROM customers GROUP BY region, vip ORDER BY region, count(*) DESC, vip;
--- exists_plain
SELECT c.id, c.name FROM customers c WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id);
--- exists_residual
SELECT o.id, o.price FROM orders o WHERE EXISTS (SELECT 1 FROM products p WHERE p.id = o.product_id AND p.price > o.price);
--- exists_without_keys
SELECT c.id FROM customers c WHERE EXISTS (SELECT * FROM edges e WHERE e.a > c.id);
--- exists_uncorrelated
SELECT c.id, c.region FROM customers c WHERE EXISTS (SELECT 1 FROM edges WHERE a = 5 AND b = 6);
--- exists_over_join
SELECT c.id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o JOIN products p ON p.id = o.product_id WHERE o.customer_id = c.id AND p.price > 2);
--- exists_over_groups
SELECT c.id FROM customers c WHERE EXISTS (SELECT sum(qty) FROM orders GROUP BY customer_id HAVING count(*) > 9);
--- exists_nested
SELECT c.id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND EXISTS (SELECT 1 FROM products p WHERE p.id = o.product_id));
--- exists_by_postgresql
SELECT c.id, c.name FROM customers c WHERE EXISTS (SELECT 1 FROM keyless k WHERE md5(k.w) = md5(c.name));
--- exists_own_condition
SELECT e.a, e.b FROM edges e WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = e.a AND e.b > 2);
--- exists_of_itself
SELECT e.a, e.b FROM edges e WHERE EXISTS (SELECT 1 FROM edges f WHERE f.a = e.b AND f.b = e.a);
--- not_exists
SELECT c.id, c.name FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.qty > 1);
--- not_exists_residual
SELECT o.id, o.price FROM orders o WHERE NOT EXISTS (SELECT 1 FROM products p WHERE p.id = o.product_id AND p.price > o.price);
--- not_exists_duplicates
SELECT e.a, e.b FROM edges e WHERE NOT EXISTS (SELECT 1 FROM keyless k WHERE k.k = e.a);
--- not_exists_uncorrelated
SELECT c.id FROM customers c WHERE NOT EXISTS (SELECT 1 FROM edges WHERE a = 5 AND b = 6);
--- not_exists_in_group
SELECT c.region, count(*) AS n FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id) GROUP BY c.region;
--- in_subquery
SELECT c.id, c.name FROM customers c WHERE c.id IN (SELECT customer_id FROM orders WHERE qty > 2);
--- in_subquery_numeric
SELECT w.id, w.n FROM wide w WHERE w.n IN (SELECT v FROM keyless);
--- in_subquery_of_groups
SELECT c.id FROM customers c WHERE c.id IN (SELECT customer_id FROM orders GROUP BY customer_id HAVING count(*) > 1);
--- in_subquery_union
SELECT c.id FROM customers c WHERE c.id IN (SELECT a FROM edges UNION SELECT qty FROM orders);
--- in_subquery_rows
SELECT w.id FROM wide w WHERE (w.i4, w.i8) IN (SELECT a, b FROM edges);
--- in_subquery_correlated
SELECT o.id FROM orders o WHERE o.qty IN (SELECT e.a FROM edges e WHERE e.b = o.product_id);
--- any_subquery
SELECT c.id FROM customers c WHERE c.id < ANY (SELECT a FROM edges WHERE b > 3);
--- not_in_keys
SELECT c.id FROM customers c WHERE c.id NOT IN (SELECT id FROM products WHERE price > 2);
--- not_in_nulls
SELECT c.id, c.region FROM customers c WHERE c.region NOT IN (SELECT category FROM products);
--- not_in_nulls_inside
SELECT c.id FROM customers c WHERE c.id NOT IN (SELECT customer_id FROM orders WHERE qty > 4);
--- not_in_correlated
SELECT o.id, o.note FROM orders o WHERE o.note NOT IN (SELECT p.category FROM products p WHERE p.id = o.product_id);
--- several_subqueries
SELECT c.id FROM customers c WHERE c.id IN (SELECT customer_id FROM orders) AND NOT EXISTS (SELECT 1 FROM edges e WHERE e.a = c.id) AND c.region IS NOT NULL;
--- subquery_over_outer_join
SELECT c.id, o.qty FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE NOT EXISTS (SELECT 1 FROM products p WHERE p.id = o.product_id);
--- except_of_itself
SELECT a FROM edges EXCEPT SELECT b FROM edges;
--- except_nulls
SELECT region, vip FROM customers EXCEPT SELECT category, price > 2 FROM products;
--- except_numerics approximate=n
SELECT n FROM wide EXCEPT SELECT v FROM keyless;
--- intersect_rows
SELECT a, b FROM edges INTERSECT SELECT i4, i8 FROM wide;
--- intersect_nulls
SELECT t, i4 FROM wide INTERSECT SELECT w, k FROM keyless;
--- set_operations_nested
(SELECT a FROM edges UNION SELECT id FROM customers) EXCEPT (SELECT b FROM edges INTERSECT SELECT qty FROM orders) EXCEPT SELECT 3;
--- except_jsonb
SELECT count(*) AS n FROM (SELECT jb FROM wide WHERE id < 30 EXCEPT SELECT jb FROM wide WHERE id > 30) d;
--- except_all
SELECT a FROM edges EXCEPT ALL SELECT b FROM edges;
--- intersect_all
SELECT a FROM edges INTERSECT ALL SELECT b FROM edges;
--- except_all_nulls
SELECT k, w FROM keyless EXCEPT ALL SELECT qty, note FROM orders;
--- intersect_all_nulls
SELECT region, vip FROM customers INTERSECT ALL SELECT category, price > 2 FROM products;
--- intersect_all_numerics approximate=n
SELECT n FROM wide INTERSECT ALL SELECT v FROM keyless;
--- except_all_floats approximate=f
SELECT f FROM keyless EXCEPT ALL SELECT f8 FROM wide;
--- except_all_mixed_types
SELECT i4 FROM wide EXCEPT ALL SELECT i8 FROM wide WHERE id > 20;
--- set_operations_all_nested
((SELECT a FROM edges UNION ALL SELECT id FROM customers) EXCEPT ALL (SELECT b FROM edges INTERSECT ALL SELECT qty FROM orders))
  UNION ALL SELECT a FROM edges WHERE a > 3;
--- except_all_of_except
(SELECT a, b FROM edges EXCEPT ALL SELECT b, a FROM edges) EXCEPT SELECT k, k FROM keyless;
--- except_all_grouped
SELECT a, count(*) AS n FROM (SELECT a FROM edges EXCEPT ALL SELECT customer_id FROM orders) d GROUP BY a;
--- except_all_bpchar
SELECT c FROM wide EXCEPT ALL SELECT t FROM wide WHERE length(t) < 3;
--- intersect_all_jsonb
SELECT count(*) AS n FROM (SELECT jb FROM wide WHERE id < 30 INTERSECT ALL SELECT jb FROM wide WHERE id > 30) d;
--- unnest_of_column
SELECT w.id, el FROM wide w, unnest(w.ia) el;
--- unnest_left
SELECT w.id, el FROM wide w LEFT JOIN LATERAL unnest(w.ia) el ON true;
--- unnest_left_condition
SELECT w.id, el FROM wide w LEFT JOIN LATERAL unnest(w.ia) el ON el > w.i4;
--- unnest_with_ordinality
SELECT w.id, u.el, u.nth FROM wide w CROSS JOIN LATERAL unnest(w.ia) WITH ORDINALITY u(el, nth);
--- unnest_left_with_ordinality
SELECT w.id, u.* FROM wide w LEFT JOIN unnest(w.ta) WITH ORDINALITY u(el, nth) ON nth < 2;
--- unnest_of_several
SELECT w.id, u.* FROM wide w, unnest(w.ia, w.ta) WITH ORDINALITY u(a, b, n);
--- unnest_filtered_by_both
SELECT w.id, el FROM wide w, unnest(w.ia) el WHERE el = w.i4 AND w.id > 10 AND el + 1 > 0;
--- unnest_grouped
SELECT el, count(*) AS n, sum(w.i8) AS s FROM wide w, unnest(w.ia) el GROUP BY el;
--- unnest_counted
SELECT count(*) AS n FROM wide w, unnest(w.ia);
--- unnest_joined
SELECT w.id, c.name, el FROM wide w, unnest(w.ia) el, customers c WHERE c.id = el;
--- unnest_of_join
SELECT o.id, c.name, st FROM orders o, customers c, string_to_table(o.note || ' ' || c.name, ' ') st WHERE c.id = o.customer_id;
--- unnest_of_unnest
SELECT w.id, el, f FROM wide w, unnest(w.ia) el, generate_series(1, el) f;
--- unnest_between_joins
SELECT w.id, el, o.id AS oid FROM customers c JOIN wide w ON w.id = c.id CROSS JOIN unnest(w.ia) el LEFT JOIN orders o ON o.qty = el;
--- unnest_in_outer_side
SELECT c.id, x.el FROM customers c LEFT JOIN (SELECT w.id, el FROM wide w, unnest(w.ia) el) x USING (id);
--- unnest_in_full_join
SELECT x.el, k.k FROM (SELECT el FROM wide w, unnest(w.ia) el) x FULL JOIN keyless k ON k.k = x.el;
--- unnest_distinct
SELECT DISTINCT el FROM wide w, unnest(w.ia) el;
--- unnest_keyless
SELECT k, gs FROM keyless, generate_series(1, k) gs;
--- series_constant
SELECT gs FROM generate_series(1, 5) gs;
--- series_constant_joined
SELECT gs, w.id FROM generate_series(0, 4) gs LEFT JOIN wide w ON w.i4 = gs;
--- series_counted
SELECT count(*) AS n FROM generate_series(1, 5);
--- series_of_dates
SELECT w.id, gs FROM wide w, generate_series(w.d::timestamp, w.d + 3, '1 day') gs WHERE w.d > '2024-01-15';
--- series_of_timestamptz
SELECT w.id, gs FROM wide w, generate_series(w.tz, w.tz + interval '2 days', '1 day') gs;
--- series_grouped_left
SELECT gs, count(o.id) AS n FROM generate_series(-2, 6) gs LEFT JOIN orders o ON o.qty = gs GROUP BY gs;
--- series_that_raises_is_guarded
SELECT w.id, gs FROM wide w, generate_series(1, CASE WHEN w.i4 > 0 THEN 6 / w.i4 ELSE 0 END) gs;
--- rows_from
SELECT w.id, r.* FROM wide w, ROWS FROM (unnest(w.ia), generate_series(1, 2), string_to_table(w.t, 'a')) WITH ORDINALITY r(a, b, c, n);
--- function_scalar
SELECT w.id, up, le FROM wide w, upper(w.t) up, length(up) le;
--- function_regexp
SELECT w.id, mt FROM wide w, regexp_matches(w.t || 'aXbX', '(a|b)', 'g') mt;
--- function_regexp_left
SELECT w.id, mt[1] AS mt FROM wide w LEFT JOIN regexp_matches(w.t, '^(a)') mt ON true;
--- function_jsonb_each
SELECT w.id, el.key, el.value FROM wide w, jsonb_each(CASE WHEN jsonb_typeof(w.jb) = 'object' THEN w.jb ELSE '{}' END) el;
--- function_jsonb_elements
SELECT w.id, el FROM wide w, jsonb_path_query(w.jb, 'strict $.b[*]', '{}', true) el;
--- function_json_keys
SELECT w.id, el FROM wide w LEFT JOIN json_object_keys(CASE WHEN json_typeof(w.j) = 'object' THEN w.j END) el ON true;
--- function_recordset
SELECT w.id, r.a, r.b FROM wide w, jsonb_to_recordset(jsonb_build_array(w.jb, w.jb)) AS r(a numeric, b text) WHERE jsonb_typeof(w.jb) = 'object';
--- function_record
SELECT w.id, r.* FROM wide w LEFT JOIN jsonb_to_record(CASE WHEN jsonb_typeof(w.jb) = 'object' THEN w.jb END) AS r(a numeric, b int[]) ON r.a > 0;
--- function_populate
SELECT w.id, r.* FROM wide w, jsonb_populate_record(w.p, jsonb_build_object('b', w.jb)) r;
--- function_populate_set
SELECT w.id, r.a, r.b FROM wide w, json_populate_recordset(NULL::pair, '[{"a": 1}, {"a": 2, "b": "x"}]') r WHERE w.id < 20;
--- function_range_parts
SELECT w.id, el FROM wide w, unnest(w.mr) el;
--- function_of_tsvector
SELECT w.id, el.lexeme, el.positions FROM wide w, unnest(w.tsv) el;
--- function_of_user
SELECT w.id, s.a, s.b FROM wide w, pairs(w.i4) s;
--- function_of_user_plpgsql
SELECT w.id, cd FROM wide w, countdown(w.i4) cd;
--- function_of_user_record
SELECT w.id, x, y FROM wide w, both_ends(w.r) AS s(x, y);
--- function_composite
SELECT w.id, s.* FROM wide w, as_pair(w.i4, w.t) s;
--- json_table_nested
SELECT w.id, q.* FROM wide w, JSON_TABLE(w.jb, '$' COLUMNS (n FOR ORDINALITY, a numeric PATH '$.a' NULL ON ERROR,
  NESTED PATH '$.b[*]' COLUMNS (b int PATH '$'))) q;
--- json_table_left
SELECT w.id, q.el FROM wide w LEFT JOIN JSON_TABLE(w.jb, '$.b[*]' COLUMNS (el numeric PATH '$', x int EXISTS PATH '$.y')) q ON q.el > 1;
--- json_table_constant
SELECT a, c.id FROM JSON_TABLE('[1, 2, 3]', '$[*]' COLUMNS (a int PATH '$')) q JOIN customers c ON c.id = q.a;
--- sets_in_list
SELECT id, unnest(ia) AS el FROM wide;
--- sets_in_step
SELECT id, unnest(ia) AS el, generate_series(1, 2) AS gs, t || '!' AS u FROM wide;
--- sets_nested
SELECT id, generate_series(1, unnest(ia)) AS gs FROM wide;
--- sets_nested_in_step
SELECT id, generate_series(1, generate_series(0, 2)) AS gs, unnest(ia) * 2 AS el FROM wide WHERE i4 > 0;
--- sets_over_groups
SELECT k, generate_series(1, count(*)) AS n FROM keyless GROUP BY k;
--- sets_as_group
SELECT unnest(ia) AS el, count(*) AS n FROM wide GROUP BY 1;
--- sets_as_group_of_join
SELECT unnest(w.ia) AS el, c.region, count(*) AS n, generate_series(1, 2) AS gs FROM wide w JOIN customers c ON c.id = w.id GROUP BY 1, 2;
--- sets_distinct
SELECT DISTINCT unnest(ia) AS el, i4 > 1 AS b FROM wide;
--- sets_sorted_by
SELECT id FROM wide ORDER BY generate_series(1, 2);
--- sets_without_from
SELECT generate_series(1, 3) AS a, generate_series(1, 2) AS b;
--- sets_in_subquery
SELECT el, count(*) AS n FROM (SELECT id, unnest(ia) AS el FROM wide WHERE i4 > 0) q WHERE q.id > 5 GROUP BY el;
--- sets_in_union
SELECT unnest(ia) AS el FROM wide UNION SELECT generate_series(1, 2);
--- sets_in_sublink
SELECT id, i4 FROM wide WHERE i4 IN (SELECT unnest(ia) FROM wide);
--- sets_composite
SELECT id, (jsonb_each(CASE WHEN jsonb_typeof(jb) = 'object' THEN jb ELSE '{}' END)).* FROM wide;
--- function_in_lateral
SELECT w.id, l.el FROM wide w, LATERAL (SELECT el FROM unnest(w.ia) el WHERE el > w.i4) l;
--- function_in_lateral_join
SELECT w.id, l.* FROM wide w, LATERAL (SELECT el, o.id AS oid FROM unnest(w.ia) el JOIN orders o ON o.qty = el AND o.id > w.i4) l WHERE w.id > 3;
--- function_in_lateral_nested
SELECT c.id, l.* FROM customers c, wide w, LATERAL (SELECT x.el + c.id AS a, y FROM (SELECT el FROM unnest(w.ia) el) x, generate_series(1, x.el) y) l WHERE c.id = w.id;
--- function_in_lateral_list
SELECT w.id, l.el, l.n FROM wide w CROSS JOIN LATERAL (SELECT unnest(w.ia) AS el, w.i4 + 1 AS n) l;
--- function_in_lateral_of_two
SELECT w.id, l.st FROM customers c JOIN wide w ON w.id = c.id, LATERAL (SELECT st FROM string_to_table(c.name || w.t, 'a') st WHERE st <> w.v) l;
--- function_in_lateral_under_aggregate
SELECT c.region, (SELECT sum(l.el) FROM wide w, LATERAL (SELECT el FROM unnest(w.ia) el WHERE el < c.id) l WHERE w.id = c.id) AS s FROM customers c;
--- function_in_lateral_aggregate
SELECT w.id, l.s FROM wide w, LATERAL (SELECT sum(el) AS s FROM unnest(w.ia) el) l;
--- function_in_lateral_limit
SELECT w.id, l.el FROM wide w LEFT JOIN LATERAL (SELECT el FROM unnest(w.ia) el ORDER BY el DESC NULLS LAST LIMIT 1) l ON true;
--- function_in_scalar_subquery
SELECT w.id, (SELECT max(el) FROM unnest(w.ia) el) AS mx FROM wide w;
--- function_in_exists
SELECT w.id FROM wide w WHERE EXISTS (SELECT FROM unnest(w.ia) el WHERE el = w.i4);
--- function_in_not_exists
SELECT w.id FROM wide w WHERE NOT EXISTS (SELECT FROM unnest(w.ia) el WHERE el > w.i4);
--- function_in_correlated_in
SELECT w.id FROM wide w WHERE w.i4 IN (SELECT unnest(w.ia));
--- function_of_subquery
SELECT gs FROM generate_series(1, (SELECT max(a) FROM edges)) gs;
--- function_beside_left_join
SELECT w.id, o.id AS oid, el FROM wide w LEFT JOIN (orders o CROSS JOIN LATERAL unnest(w.ia) el) ON o.qty = el;
--- sets_in_correlated_subquery
SELECT w.id, (SELECT count(*) FROM (SELECT unnest(w.ia)) q) AS n FROM wide w;
--- except_all_correlated
SELECT w.id, (SELECT count(*) FROM (SELECT a FROM edges WHERE b = w.i4 EXCEPT ALL SELECT k FROM keyless WHERE k > w.i4) d) AS n FROM wide w;
--- whole_row
SELECT id, c FROM customers c;
--- whole_row_of_everything
SELECT id, w FROM wide w;
--- whole_row_as_json
SELECT id, row_to_json(c)::text AS j, to_jsonb(c) AS b, c::text AS t FROM customers c;
--- whole_row_null_tests
SELECT k, keyless IS NULL AS a, keyless IS NOT NULL AS b FROM keyless;
--- whole_row_counted
SELECT count(c) AS a, count(DISTINCT c) AS b, count(c.*) AS d FROM customers c;
--- whole_row_padded
SELECT c.id, o IS NULL AS a, o IS NOT NULL AS b, o::text AS t, (o).qty FROM customers c LEFT JOIN orders o ON o.customer_id = c.id;
--- whole_row_padded_counted
SELECT c.id, count(o) AS n, count(*) AS m FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id;
--- whole_row_full_join
SELECT row_to_json(c)::text AS a, row_to_json(x)::text AS b FROM customers c FULL JOIN keyless x ON x.k = c.id;
--- whole_row_padded_twice
SELECT p.id, c::text AS c, o::text AS o FROM products p LEFT JOIN (customers c LEFT JOIN orders o ON o.customer_id = c.id) ON c.id = p.id;
--- whole_row_of_subquery
SELECT id, row_to_json(q)::text AS j, (q).u FROM (SELECT id, region, upper(name) AS u FROM customers) q;
--- whole_row_of_subquery_padded
SELECT c.id, row_to_json(q)::text AS j, q IS NULL AS n FROM customers c
  LEFT JOIN (SELECT customer_id, sum(qty) AS s FROM orders GROUP BY 1) q ON q.customer_id = c.id;
--- whole_row_of_join
SELECT row_to_json(j)::text AS t FROM (customers JOIN orders ON orders.customer_id = customers.id) AS j;
--- whole_row_of_join_using
SELECT row_to_json(j)::text AS t FROM (customers FULL JOIN products USING (id)) AS j;
--- whole_row_of_join_padded
SELECT p.id, row_to_json(j)::text AS t, j IS NULL AS n FROM products p
  LEFT JOIN (customers c LEFT JOIN orders o ON o.customer_id = c.id) AS j ON j.product_id = p.id;
--- whole_row_of_full_join_padded
SELECT p.id, row_to_json(j)::text AS t FROM products p LEFT JOIN (customers FULL JOIN edges ON a = id) AS j ON j.b = p.id;
--- whole_row_of_view
SELECT v.id, v::text AS t FROM priced v;
--- whole_row_grouped
SELECT c, count(*) AS n FROM customers c GROUP BY c;
--- whole_row_distinct
SELECT DISTINCT e FROM edges e;
--- whole_row_compared
SELECT a.id FROM customers a JOIN customers b ON a = b WHERE a >= b;
--- whole_row_argument
SELECT c.id, described(c) AS d, c.described AS e FROM customers c;
--- whole_row_argument_padded
SELECT p.id, described(c) AS d FROM products p LEFT JOIN customers c ON c.id = p.id;
--- whole_row_aggregated
SELECT region, array_agg(c ORDER BY c.id)::text AS a, jsonb_agg(to_jsonb(c) ORDER BY c.id) AS j FROM customers c GROUP BY region;
--- whole_row_of_function
SELECT w.id, row_to_json(x)::text AS j FROM wide w, jsonb_to_recordset('[{"a": 1}, {"b": "x"}]') AS x(a numeric, b text);
--- whole_row_of_function_padded
SELECT w.id, row_to_json(x)::text AS j, x IS NULL AS n, x AS x FROM wide w LEFT JOIN pairs(w.i4) x ON x.a > 1;
--- whole_row_of_values
SELECT row_to_json(v)::text AS j FROM (VALUES (1, 'x'), (2, NULL)) v;
--- whole_row_correlated
SELECT c.id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id AND c IS NOT NULL) AS n FROM customers c;
--- whole_row_correlated_padded
SELECT p.id, (SELECT count(*) FROM edges e WHERE e.a = p.id AND c IS NULL) AS n FROM products p LEFT JOIN customers c ON c.id = p.id;
--- whole_row_lateral
SELECT c.id, l.t FROM customers c, LATERAL (SELECT c::text || count(*) AS t FROM orders o WHERE o.customer_id = c.id) l;
--- whole_row_lateral_left
SELECT c.id, l IS NULL AS n, l::text AS t FROM customers c LEFT JOIN LATERAL (SELECT o.qty, o.note FROM orders o WHERE o.customer_id = c.id AND qty > 2) l ON true;
--- whole_row_and_function
SELECT w.id, el, w::text = '' AS t FROM wide w CROSS JOIN unnest(w.ia) el;
--- whole_row_and_padded_function
SELECT c.id, o::text AS o, s FROM customers c LEFT JOIN orders o ON o.customer_id = c.id CROSS JOIN LATERAL generate_series(1, o.qty) s;
--- table_oid
SELECT c.id, c.tableoid = 'customers'::regclass AS t, e.tableoid::int8 > 0 AS e FROM customers c LEFT JOIN edges e ON e.a = c.id;
--- virtual_column
SELECT id, tag, region FROM customers WHERE tag > 'A';
--- virtual_column_alone
SELECT tag FROM customers;
--- virtual_column_joined
SELECT o.id, c.tag, o.amount FROM orders o JOIN customers c ON c.tag = upper(o.note);
--- virtual_column_padded
SELECT c.id, o.amount, o.amount IS NULL AS n FROM customers c LEFT JOIN orders o ON o.customer_id = c.id;
--- virtual_column_grouped
SELECT tag, count(*) AS n, sum(o.amount) AS s FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY tag;
--- virtual_column_in_subquery
SELECT c.id, (SELECT max(amount) FROM orders o WHERE o.customer_id = c.id AND o.note < c.tag) AS m FROM customers c;
--- type_enum
SELECT e, count(*) AS n, min(e) AS a, max(e) AS b, array_agg(DISTINCT e) AS l FROM wide GROUP BY e;
--- type_enum_joined
SELECT a.id, b.id AS other FROM wide a JOIN wide b ON a.e = b.e AND a.e > 'sad' WHERE a.id < b.id;
--- type_domain
SELECT s, sum(s) AS t, count(DISTINCT s) AS n FROM wide GROUP BY s HAVING s IS DISTINCT FROM 1;
--- type_array
SELECT id, ia[1:2] AS a, ta || ARRAY['z'] AS b, array_length(ia, 1) AS c, ia @> ARRAY[1] AS d, ia && ARRAY[2, 3] AS e,
       array_position(ia, 2) AS f, array_remove(ia, 1) AS g FROM wide;
--- type_array_grouped
SELECT ia, count(*) AS n FROM wide GROUP BY ia;
--- type_range
SELECT id, r * int4range(2, 4) AS a, r -|- int4range(5, 7) AS b, upper_inf(r) AS c, r && mr AS d, range_merge(mr) AS e FROM wide WHERE NOT isempty(r);
--- type_range_aggregated
SELECT b, range_agg(r) AS a, range_intersect_agg(r) AS i FROM wide GROUP BY b;
--- type_composite
SELECT id, p, (p).b || '!' AS c, p = ROW(1, 'x')::pair AS e, p < ROW(2, 'a')::pair AS f, p IS NULL AS n FROM wide;
--- type_composite_joined
SELECT a.id, b.id AS other FROM wide a JOIN wide b ON a.p = b.p WHERE a.id < b.id;
--- type_jsonb_paths
SELECT id, jb @? '$.b[*] ? (@ > 1)' AS a, jb @@ '$.a == 1' AS b, jb #> '{b,0}' AS c, jsonb_path_query_array(jb, '$.b[*]') AS d,
       jb || '{"z": 1}' AS e, jb ? 'a' AS f, jb -> 'b' ->> -1 AS g, jsonb_set('{"a": {}}', '{a,b}', jb) AS h FROM wide;
--- type_tsvector
SELECT id, tsv @@ to_tsquery('simple', 'cat & sat') AS a, ts_rank(tsv, 'cat') AS b, to_tsvector('simple', t) @@ 'ab' AS c,
       setweight(tsv, 'A') AS d, numnode(plainto_tsquery('simple', t)) AS e FROM wide WHERE tsv @@ 'cat | dog';
--- type_network
SELECT net, count(*) AS n, max(ip) AS m FROM wide WHERE ip << '10.0.0.0/8' OR ip IS NULL GROUP BY net;
--- recursive_reach
WITH RECURSIVE reach (a, b) AS (SELECT a, b FROM edges WHERE a < 3 UNION SELECT r.a, e.b FROM reach r JOIN edges e ON e.a = r.b)
SELECT a, b FROM reach;
--- over_full over=full_window
SELECT nth, count(*) AS n FROM full_window GROUP BY nth;
--- over_full_then_incremental over=over_full
SELECT sum(n) AS n FROM over_full;
--- join_key_in_each_arm
SELECT o.id, p.name FROM orders o, products p
 WHERE (p.id = o.product_id AND p.category = 'a' AND o.qty < 3) OR (p.id = o.product_id AND o.status = 'paid')
    OR (o.qty > 5 AND p.id = o.product_id AND p.category IS NULL);
--- join_key_is_an_arm
SELECT o.id, c.name FROM orders o JOIN customers c ON (c.id = o.customer_id AND c.vip) OR c.id = o.customer_id;
--- recursive_union
WITH RECURSIVE reach AS (SELECT a, b FROM edges UNION SELECT r.a, e.b FROM reach r JOIN edges e ON e.a = r.b)
SELECT a, count(*) AS n, max(b) AS m FROM reach GROUP BY a;
--- recursive_union_all
WITH RECURSIVE hops AS (SELECT DISTINCT a, b, 1 AS depth FROM edges WHERE a = 0
  UNION ALL SELECT h.a, e.b, h.depth + 1 FROM hops h JOIN (SELECT DISTINCT a, b FROM edges) e ON e.a = h.b WHERE h.depth < 4)
SELECT * FROM hops;
--- recursive_path
WITH RECURSIVE path AS (SELECT DISTINCT a, b, ARRAY[a] AS seen FROM edges
  UNION ALL SELECT p.a, e.b, p.seen || p.b FROM path p JOIN (SELECT DISTINCT a, b FROM edges WHERE b <> 2) e ON e.a = p.b WHERE p.b <> ALL (p.seen))
SELECT a, b, seen FROM path;
--- recursive_cycle
WITH RECURSIVE walk AS (SELECT DISTINCT a, b FROM edges WHERE a < 2
  UNION ALL SELECT e.a, e.b FROM walk w JOIN (SELECT DISTINCT a, b FROM edges WHERE b < 3) e ON e.a = w.b)
  CYCLE a, b SET circle USING path
SELECT a, b, circle, cardinality(path) AS n FROM walk;
--- recursive_search_breadth
WITH RECURSIVE walk AS (SELECT DISTINCT a, b, 0 AS depth FROM edges WHERE a < 2
  UNION ALL SELECT e.a, e.b, w.depth + 1 FROM walk w JOIN (SELECT DISTINCT a, b FROM edges) e ON e.a = w.b WHERE w.depth < 3)
  SEARCH BREADTH FIRST BY a, b SET position
SELECT a, b, depth, position::text AS position FROM walk;
--- full_recursive_search_of_sets full
WITH RECURSIVE walk AS (SELECT a, b, 0 AS depth FROM edges WHERE a < 2
  UNION SELECT e.a, e.b, w.depth + 1 FROM walk w JOIN edges e ON e.a = w.b WHERE w.depth < 3)
  SEARCH BREADTH FIRST BY a, b SET position
SELECT a, b, depth, position::text AS position FROM walk;
--- recursive_counting
WITH RECURSIVE n AS (SELECT id, 1 AS k FROM customers UNION ALL SELECT id, k + 1 FROM n WHERE k < id % 7)
SELECT id, k, k * 10 AS t FROM n;
--- recursive_without_tables
WITH RECURSIVE n (k) AS (VALUES (1) UNION ALL SELECT k + 1 FROM n WHERE k < 20)
SELECT n.k, e.a, e.b FROM n JOIN edges e ON e.b = n.k;
--- recursive_used_twice
WITH RECURSIVE reach AS (SELECT a, b FROM edges UNION SELECT r.a, e.b FROM reach r JOIN edges e ON e.a = r.b)
SELECT x.a, x.b FROM reach x JOIN reach y ON x.a = y.b AND x.b = y.a;
--- recursive_left_join
WITH RECURSIVE r AS (SELECT a, b, 0 AS depth, NULL::text AS name FROM edges
  UNION SELECT e.a, e.b, r.depth + 1, c.name FROM r JOIN edges e ON e.a = r.b LEFT JOIN customers c ON c.id = e.b WHERE r.depth < 3)
SELECT * FROM r;
--- recursive_left_join_inequality
WITH RECURSIVE r AS (SELECT DISTINCT a, b, 0 AS depth, NULL::int AS other FROM edges WHERE a < 2
  UNION ALL SELECT r.b, s.b, r.depth + 1, s.a FROM r LEFT JOIN (SELECT DISTINCT a, b FROM edges WHERE a > 4) s ON s.a > r.b WHERE r.depth < 2)
SELECT * FROM r;
--- recursive_exists
WITH RECURSIVE r AS (SELECT a, b FROM edges WHERE a = 1
  UNION SELECT e.a, e.b FROM r, edges e WHERE e.a = r.b AND EXISTS (SELECT 1 FROM customers c WHERE c.id = e.b AND c.vip))
SELECT * FROM r;
--- recursive_not_exists
WITH RECURSIVE r AS (SELECT a, b FROM edges WHERE a = 1
  UNION SELECT e.a, e.b FROM r, edges e WHERE e.a = r.b AND NOT EXISTS (SELECT 1 FROM customers c WHERE c.id = e.b AND c.vip))
SELECT * FROM r;
--- recursive_two_ctes
WITH RECURSIVE up AS (SELECT a, b FROM edges UNION SELECT u.a, e.b FROM up u JOIN edges e ON e.a = u.b AND e.b > e.a),
 both_ways AS (SELECT a, b FROM up UNION SELECT w.a, u.a FROM both_ways w JOIN up u ON u.b = w.b)
SELECT a, b FROM both_ways;
--- recursive_nested
WITH RECURSIVE outside AS (SELECT 1 AS a UNION
  (WITH RECURSIVE inside AS (SELECT a, b FROM edges UNION SELECT i.a, e.b FROM inside i JOIN edges e ON e.a = i.b AND e.b < 4)
   SELECT i.b FROM outside o JOIN inside i ON i.a = o.a))
SELECT a FROM outside;
--- recursive_with_clause
WITH RECURSIVE r AS (SELECT a, b, 0 AS d FROM edges UNION (WITH s AS (SELECT a, b, d FROM r WHERE d < 3) SELECT s.a, e.b, d + 1 FROM s JOIN edges e ON e.a = s.b))
SELECT * FROM r;
--- recursive_distinct_inside
WITH RECURSIVE r AS (SELECT a, b FROM edges WHERE a < 3 UNION SELECT DISTINCT r.a, e.b FROM r JOIN edges e ON e.a = r.b)
SELECT * FROM r;
--- recursive_except_inside
WITH RECURSIVE r AS (SELECT b FROM edges WHERE a < 3 UNION (SELECT e.b FROM r JOIN edges e ON e.a = r.b EXCEPT SELECT id FROM customers WHERE vip))
SELECT * FROM r;
--- recursive_numeric
WITH RECURSIVE r AS (SELECT k, v FROM keyless WHERE v < 100 UNION SELECT k, v + 10 FROM r WHERE v < 50)
SELECT k, round(v, 2) AS v FROM r;
--- recursive_subquery_of_groups
WITH RECURSIVE r AS (SELECT a, 0::bigint AS n FROM edges UNION SELECT g.b, g.n FROM r JOIN (SELECT a, b, count(*) AS n FROM edges GROUP BY a, b) g ON g.a = r.a)
SELECT * FROM r;
--- recursive_text
WITH RECURSIVE r AS (SELECT id, name::text AS path, 0 AS d FROM customers WHERE id < 4
  UNION ALL SELECT c.id, r.path || '/' || coalesce(c.name, '?'), d + 1 FROM r JOIN customers c ON c.id = r.id + 1 WHERE d < 3)
SELECT id, path, upper(path) AS big FROM r;
--- recursive_over_stream_table
WITH RECURSIVE r AS (SELECT a, b FROM recursive_union_all UNION SELECT r.a, x.b FROM r JOIN recursive_union_all x ON x.a = r.b)
SELECT * FROM r;
--- recursive_not_null_safe
WITH RECURSIVE r AS (SELECT a, b FROM edges UNION SELECT r.a, e.b FROM r JOIN edges e ON e.a IS NOT DISTINCT FROM r.b)
SELECT * FROM r;
--- recursive_fails
WITH RECURSIVE r AS (SELECT DISTINCT a, b, 0 AS d FROM edges WHERE a < 3 UNION ALL SELECT r.a, e.b, d + 1 FROM r JOIN (SELECT DISTINCT a, b FROM edges) e ON e.a = r.b AND 12 / (r.d + 1) > 3)
SELECT * FROM r;
--- full_recursive_aggregate full
WITH RECURSIVE r AS (SELECT a, 0 AS d FROM edges WHERE a < 3 UNION ALL SELECT m, d + 1 FROM (SELECT max(a) AS m, max(d) AS d FROM (SELECT * FROM r) s) t WHERE d < 3)
SELECT * FROM r;
--- full_recursive_distinct full
WITH RECURSIVE r AS (SELECT a, 0 AS d FROM edges WHERE a < 3 UNION ALL SELECT DISTINCT a, d + 1 FROM r WHERE d < 3)
SELECT * FROM r;
--- recursive_unnest
WITH RECURSIVE r AS (SELECT id, ia, 0 AS d FROM wide WHERE i4 > 0 UNION ALL SELECT r.id, ARRAY[el], d + 1 FROM r, unnest(r.ia) WITH ORDINALITY u(el, nth) WHERE d < 2 AND nth < 3)
SELECT id, ia, d FROM r;
--- recursive_jsonb
WITH RECURSIVE r AS (SELECT id, jb, 0 AS d FROM wide UNION ALL SELECT r.id, el, d + 1 FROM r LEFT JOIN jsonb_path_query(r.jb, 'lax $.*') el ON true WHERE d < 3 AND jb IS NOT NULL)
SELECT id, jb::text AS jb, d FROM r;
--- recursive_with_clause_all
WITH RECURSIVE r AS (SELECT DISTINCT a, b, 0 AS d FROM edges WHERE a < 3 UNION ALL
  (WITH s AS (SELECT a, b, d FROM r WHERE d < 3), t AS (SELECT s.a AS x, s.b AS y, s.d FROM s) SELECT t.x, e.b, t.d + 1 FROM t JOIN (SELECT DISTINCT a, b FROM edges WHERE a < 5) e ON e.a = t.y))
SELECT * FROM r;
--- recursive_with_clause_chain
WITH RECURSIVE r AS (SELECT DISTINCT a, 0 AS d FROM edges UNION ALL
  (WITH s AS (SELECT a, d FROM r WHERE d < 3), t AS (SELECT a + 1 AS a, d FROM s), u AS (SELECT * FROM t)
   SELECT a, d + 1 FROM u WHERE a < 6))
SELECT * FROM r;
--- recursive_of_two_arms
WITH RECURSIVE r AS (SELECT a, b FROM edges WHERE a < 2 UNION
  (WITH s AS (SELECT a, b FROM r) SELECT e.a, e.b FROM (SELECT b AS x FROM s) q JOIN edges e ON e.a = q.x))
SELECT * FROM r;
--- recursive_with_clause_of_both_arms
WITH RECURSIVE r AS (SELECT DISTINCT a, 0 AS d FROM edges UNION ALL
  (WITH s AS (SELECT a, d FROM r WHERE d < 3) SELECT a + 1, d + 1 FROM s WHERE a < 6 UNION ALL SELECT a - 1, d + 1 FROM s WHERE a > 0))
SELECT * FROM r;
--- full_recursive_with_clause_in_exists full
WITH RECURSIVE r AS (SELECT a, b FROM edges WHERE a < 2 UNION
  (WITH s AS (SELECT a, b FROM r) SELECT e.a, e.b FROM edges e WHERE EXISTS (SELECT 1 FROM s WHERE s.b = e.a)))
SELECT * FROM r;
--- full_recursive_with_clause_missing full
WITH RECURSIVE r AS (SELECT a, b, 0 AS d FROM edges WHERE a < 2 UNION
  (WITH s AS (SELECT a, b, d FROM r WHERE d < 2) SELECT e.a, e.b, 1 FROM edges e LEFT JOIN s ON s.b = e.a WHERE e.a < 4))
SELECT * FROM r;
--- recursive_numeric_chain
WITH RECURSIVE r AS (SELECT v, v AS at FROM keyless WHERE v > 0 AND v < 8 UNION SELECT r.v, k.v + 1 FROM r JOIN keyless k ON k.v = r.at AND r.at < 7)
SELECT round(v, 3) AS v, round(at, 3) AS at, count(*) AS n FROM r GROUP BY round(v, 3), round(at, 3);
--- recursive_floats
WITH RECURSIVE r AS (SELECT f AS x, 0 AS d FROM keyless UNION SELECT x / 2, d + 1 FROM r WHERE x > 0.5 AND d < 4)
SELECT x + 0.0 AS x, d FROM r WHERE x <> 0;
--- recursive_cycle_of_sets
WITH RECURSIVE walk AS (SELECT a, b FROM edges WHERE a < 2 UNION SELECT e.a, e.b FROM walk w JOIN edges e ON e.a = w.b AND e.b < 3)
  CYCLE a, b SET circle USING path
SELECT a, b, circle, cardinality(path) AS n FROM walk;
--- recursive_jsonb_sets
WITH RECURSIVE r AS (SELECT jb, 0 AS d FROM wide UNION SELECT jb -> 'a', d + 1 FROM r WHERE d < 3)
SELECT d, count(*) AS n, bool_or(jb = '1') AS one FROM r GROUP BY d;
--- full_recursive_jsonb_sets full
WITH RECURSIVE r AS (SELECT jb, 0 AS d FROM wide UNION SELECT el, d + 1 FROM r, jsonb_path_query(r.jb, 'lax $.*') el WHERE d < 3)
SELECT d, count(*) AS n FROM r GROUP BY d;
--- recursive_composites
WITH RECURSIVE r AS (SELECT p, (p).a AS a FROM wide UNION SELECT ROW(a - 1, (p).b)::pair, a - 1 FROM r WHERE a > 0)
SELECT (p).a AS x, (p).b AS y, a FROM r;
--- recursive_arrays_of_numerics
WITH RECURSIVE r AS (SELECT ARRAY[v] AS vs FROM keyless WHERE v > 0 AND v < 5 UNION SELECT vs || vs[1] FROM r WHERE cardinality(vs) < 3)
SELECT cardinality(vs) AS n, count(*) AS many, round(sum(vs[1]), 4) AS total FROM r GROUP BY cardinality(vs);
--- full_recursive_with_inside full
WITH RECURSIVE r (a, b) AS (SELECT a, b FROM edges UNION
  (WITH x AS (SELECT * FROM r) SELECT p.a, q.b FROM x p JOIN x q ON p.b = q.a)) SELECT a, b FROM r;
--- recursive_negative_zero
WITH RECURSIVE r (x) AS (SELECT f FROM keyless WHERE f = 0 UNION SELECT -x FROM r) SELECT count(*) AS n FROM r;
--- with_in_the_target_of_a_subquery_of_with
WITH w AS (SELECT a, b FROM edges), v AS (SELECT k FROM keyless
 WHERE k IN (SELECT (SELECT count(*) FROM w WHERE w.a = e.a) FROM edges e))
SELECT v.k, (SELECT max(w.b) FROM w WHERE w.a = v.k) AS m FROM v;
--- json_constructor_with_a_subquery
SELECT k, JSON_OBJECT('a': v, 'b': (SELECT count(*) FROM edges e WHERE e.a = k) RETURNING jsonb)::text AS j FROM keyless;
--- values_alone
VALUES (1, 'a'::varchar(3), 1.50::numeric(4, 2)), (2, NULL, NULL), (2, NULL, NULL), (NULL, 'abc', 2.5::numeric(5, 3)), (1 + 1, upper('b'), 0);
--- values_joined
SELECT o.id, v.label FROM orders o JOIN (VALUES (1, 'one'), (2, 'two'), (2, 'zwei'), (NULL, 'none'), (length('abc'), 'three')) AS v (qty, label) USING (qty);
--- values_listed
SELECT id FROM orders WHERE (qty, status) IN (VALUES (1, 'paid'), (2, 'sent'), (NULL, 'lost'));
--- values_outer
SELECT v.s, count(o.id) AS n FROM (VALUES ('paid'), ('never'), (NULL)) AS v (s) LEFT JOIN orders o ON o.status = v.s GROUP BY v.s;
