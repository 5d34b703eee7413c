-- Subqueries in expressions and LATERAL ones. The format is that of queries.sql.

--- sub_scalar_count
SELECT id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS n FROM customers c;
--- sub_scalar_sum_or_zero
SELECT id, coalesce((SELECT sum(o.qty) FROM orders o WHERE o.customer_id = c.id), 0) AS n FROM customers c;
--- sub_scalar_two_aggregates
SELECT id, (SELECT max(o.qty) - min(o.qty) + count(o.note) FROM orders o WHERE o.customer_id = c.id AND o.status <> 'void') AS n
  FROM customers c;
--- sub_scalar_having
SELECT id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id HAVING count(*) > 2) AS n FROM customers c;
--- sub_scalar_global
SELECT id, qty, (SELECT max(qty) FROM orders) AS m FROM orders;
--- sub_scalar_global_where
SELECT id, qty FROM orders WHERE qty * 2 > (SELECT avg(qty) FROM orders);
--- sub_scalar_global_none
SELECT id, (SELECT name FROM products WHERE id < 0) AS m FROM customers;
--- sub_scalar_value
SELECT o.id, (SELECT p.name FROM products p WHERE p.id = o.product_id) AS m FROM orders o;
--- sub_scalar_correlated_average
SELECT o.id, o.qty FROM orders o WHERE o.qty > (SELECT avg(i.qty) FROM orders i WHERE i.product_id = o.product_id);
--- sub_scalar_inequality
SELECT a, b, (SELECT count(*) FROM edges f WHERE f.a < e.a) AS n FROM edges e;
--- sub_scalar_two_columns
SELECT a, b, (SELECT min(f.b) FROM edges f WHERE f.a = e.a AND f.b > e.b) AS n FROM edges e;
--- sub_scalar_numeric_key approximate=n
SELECT n, (SELECT count(*) FROM keyless k WHERE k.v = w.n) AS c, (SELECT max(k.w) FROM keyless k WHERE k.v = w.n) AS x FROM wide w;
--- sub_scalar_of_numeric
SELECT id, n2, (SELECT max(k.v + w.n2) FROM keyless k WHERE k.k = w.i4) AS x FROM wide w;
--- sub_scalar_float_key
SELECT id, (SELECT count(*) FROM keyless k WHERE k.f = w.f8) AS c FROM wide w;
--- sub_scalar_text_null_key
SELECT id, (SELECT count(*) FROM keyless k WHERE k.w IS NOT DISTINCT FROM w.t) AS c FROM wide w;
--- sub_in_case
SELECT id, CASE WHEN qty > 1 THEN (SELECT p.name FROM products p WHERE p.id = o.product_id) ELSE o.note END AS n FROM orders o;
--- sub_case_guards_division
SELECT id, CASE WHEN i4 <> 0 THEN (SELECT count(*) FROM edges e WHERE e.a = 10 / w.i4) ELSE -1 END AS n FROM wide w;
--- sub_case_guards_two_rows
SELECT id, CASE WHEN (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) < 2
                THEN (SELECT o.qty FROM orders o WHERE o.customer_id = c.id) END AS n FROM customers c;
--- sub_coalesce
SELECT id, coalesce(o.note, (SELECT p.name FROM products p WHERE p.id = o.product_id), 'none') AS n FROM orders o;
--- sub_exists_or
SELECT id FROM customers c WHERE vip OR EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.qty > 3);
--- sub_not_exists_or_null
SELECT id FROM customers c WHERE region IS NULL OR NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id);
--- sub_in_or
SELECT id FROM orders o WHERE qty = 1 OR product_id IN (SELECT id FROM products WHERE category = 'toys');
--- sub_in_selected
SELECT id, i4, i4 IN (SELECT k FROM keyless) AS x, i4 NOT IN (SELECT k FROM keyless WHERE k IS NOT NULL) AS y FROM wide;
--- sub_in_selected_nulls
SELECT id, t IN (SELECT w FROM keyless) AS x, t IN (SELECT w FROM keyless WHERE k > 1000000) AS y FROM wide;
--- sub_in_correlated_selected
SELECT a, b, a IN (SELECT f.b FROM edges f WHERE f.a = e.b) AS x FROM edges e;
--- sub_not_in_rows
SELECT id, i4, t FROM wide WHERE (i4, t) NOT IN (SELECT k, w FROM keyless);
--- sub_in_rows_selected
SELECT id, (i4, t) IN (SELECT k, w FROM keyless) AS x FROM wide;
--- sub_any_less
SELECT id, i4 < ANY (SELECT k FROM keyless) AS x FROM wide;
--- sub_all_greater
SELECT id, i4 > ALL (SELECT k FROM keyless WHERE k < 3) AS x FROM wide;
--- sub_all_where
SELECT id FROM orders o WHERE qty >= ALL (SELECT i.qty FROM orders i WHERE i.customer_id = o.customer_id);
--- sub_all_different
SELECT id, i4 <> ALL (SELECT k FROM keyless) AS x FROM wide;
--- sub_all_empty
SELECT id, i4 = ALL (SELECT k FROM keyless WHERE false) AS x, i4 = ANY (SELECT k FROM keyless WHERE false) AS y FROM wide;
--- sub_row_compare
SELECT id, (i4, i8) = (SELECT max(k), max(k) FROM keyless) AS x, (i4, i8) < (SELECT min(k), 3 FROM keyless) AS y FROM wide;
--- sub_exists_selected
SELECT id, EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id) AS x, EXISTS (SELECT FROM products) AS y FROM customers c;
--- sub_exists_of_groups
SELECT id FROM customers c
 WHERE EXISTS (SELECT o.product_id FROM orders o WHERE o.customer_id = c.id GROUP BY o.product_id HAVING count(*) > 1);
--- sub_exists_of_distinct_union
SELECT id FROM products p
 WHERE EXISTS (SELECT a FROM edges WHERE a = p.id UNION SELECT qty FROM orders o WHERE o.product_id = p.id);
--- sub_scalar_of_union
SELECT id, (SELECT count(*) FROM (SELECT a FROM edges WHERE a = p.id UNION ALL SELECT b FROM edges WHERE b = p.id) x) AS n FROM products p;
--- sub_scalar_of_except
SELECT id, (SELECT count(*) FROM (SELECT b FROM edges WHERE a = p.id EXCEPT SELECT a FROM edges WHERE b = p.id) x) AS n FROM products p;
--- sub_deep_two_levels
SELECT id FROM customers c
 WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id
                  AND o.qty > (SELECT count(*) FROM edges e WHERE e.a = c.id AND e.b = o.product_id));
--- sub_deep_skips_a_level
SELECT id, (SELECT count(*) FROM orders o WHERE EXISTS (SELECT 1 FROM edges e WHERE e.a = c.id AND e.b = o.qty)) AS n FROM customers c;
--- sub_deep_three_levels
SELECT a, b, (SELECT count(*) FROM edges f WHERE f.a = e.a AND f.b IN
                (SELECT g.a FROM edges g WHERE g.b > ANY (SELECT h.b FROM edges h WHERE h.a = e.b AND h.b <> f.b))) AS n
  FROM edges e;
--- sub_in_having
SELECT customer_id, sum(qty) AS n FROM orders GROUP BY customer_id HAVING sum(qty) > (SELECT avg(qty) FROM orders);
--- sub_in_having_correlated
SELECT customer_id, count(*) AS n FROM orders o GROUP BY customer_id
HAVING count(*) > (SELECT count(*) FROM edges e WHERE e.a = o.customer_id);
--- sub_over_groups
SELECT customer_id, sum(qty) AS n, (SELECT c.name FROM customers c WHERE c.id = o.customer_id) AS name FROM orders o GROUP BY customer_id;
--- sub_inside_aggregate
SELECT customer_id, sum((SELECT p.price FROM products p WHERE p.id = o.product_id) * qty) AS n FROM orders o GROUP BY customer_id;
--- sub_inside_filter
SELECT customer_id, count(*) FILTER (WHERE EXISTS (SELECT 1 FROM products p WHERE p.id = o.product_id AND p.price > 2)) AS n
  FROM orders o GROUP BY customer_id;
--- sub_in_group_by
SELECT (SELECT p.category FROM products p WHERE p.id = o.product_id) AS c, count(*) AS n FROM orders o GROUP BY 1;
--- sub_dependent_over_groups
SELECT c.id, c.name, count(o.id) AS n, (SELECT count(*) FROM edges e WHERE e.a = length(c.name)) AS m
  FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id;
--- sub_global_over_groups
SELECT count(*) AS n, (SELECT max(qty) FROM orders) AS m FROM edges;
--- sub_user_aggregate_correlated
SELECT id, (SELECT string_agg(o.status, ',' ORDER BY o.status) FROM orders o WHERE o.customer_id = c.id) AS s,
       (SELECT array_agg(o.qty ORDER BY o.qty) FROM orders o WHERE o.customer_id < c.id) AS t FROM customers c;
--- sub_variance_correlated
SELECT id, (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY o.qty) FROM orders o WHERE o.customer_id = c.id) AS p FROM customers c;
--- sub_join_condition
SELECT o.id, p.name FROM orders o JOIN products p ON p.id = o.product_id
   AND EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer_id AND c.vip);
--- sub_left_join_condition_second
SELECT o.id, p.name FROM orders o LEFT JOIN products p ON p.id = o.product_id
   AND EXISTS (SELECT 1 FROM edges e WHERE e.a = p.id);
--- sub_left_join_condition_first
SELECT o.id, p.name FROM orders o LEFT JOIN products p ON p.id = o.product_id
   AND o.qty > (SELECT avg(i.qty) FROM orders i WHERE i.customer_id = o.customer_id);
--- sub_left_join_condition_both
SELECT o.id, p.name FROM orders o LEFT JOIN products p ON p.id = o.product_id
   AND EXISTS (SELECT 1 FROM edges e WHERE e.a = p.id AND e.b >= o.qty);
--- sub_left_join_condition_global
SELECT o.id, p.name FROM orders o LEFT JOIN products p ON p.id = o.product_id AND p.price > (SELECT avg(price) FROM products);
--- sub_correlated_left_join
SELECT id, (SELECT count(p.id) FROM orders o LEFT JOIN products p ON p.id = o.product_id AND p.id > c.id WHERE o.customer_id = c.id) AS n
  FROM customers c;
--- sub_correlated_left_join_side
SELECT id, (SELECT count(s.a) + count(*) FROM orders o LEFT JOIN (SELECT a, count(*) AS n FROM edges e WHERE e.b = c.id GROUP BY a) s
              ON s.a = o.qty WHERE o.customer_id = c.id) AS n FROM customers c;
--- sub_nested_from
SELECT id, (SELECT sum(n) FROM (SELECT product_id, count(*) AS n FROM orders o WHERE o.customer_id = c.id GROUP BY product_id) x WHERE n > 1) AS s
  FROM customers c;
--- sub_with_inside
SELECT id, (WITH mine AS (SELECT * FROM orders o WHERE o.customer_id = c.id) SELECT count(*) FROM mine m, mine k WHERE m.qty = k.qty) AS n
  FROM customers c;
--- sub_with_outside
WITH big AS (SELECT * FROM orders WHERE qty > 2) SELECT id, (SELECT count(*) FROM big WHERE big.customer_id = c.id) AS n FROM customers c;
--- sub_values
SELECT id, (SELECT max(v.x) FROM (VALUES (o.qty), (o.product_id), (NULL)) v (x)) AS m FROM orders o;
--- sub_of_view
SELECT id, (SELECT sum(total) FROM priced x WHERE x.customer_id = c.id) AS n FROM customers c;
--- sub_several
SELECT id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS n, (SELECT max(qty) FROM orders o WHERE o.customer_id = c.id) AS m,
       (SELECT count(*) FROM edges e WHERE e.a = c.id) AS e FROM customers c
 WHERE (SELECT count(*) FROM edges e WHERE e.b = c.id) < 5;
--- sub_of_outer_join
SELECT c.id, o.id AS o, (SELECT count(*) FROM edges e WHERE e.a IS NOT DISTINCT FROM o.qty) AS n
  FROM customers c LEFT JOIN orders o ON o.customer_id = c.id;
--- sub_not_in_correlated
SELECT id FROM customers c WHERE c.id NOT IN (SELECT o.product_id FROM orders o WHERE o.customer_id < c.id);
--- sub_in_left_side
SELECT id FROM orders o WHERE (SELECT p.category FROM products p WHERE p.id = o.product_id) IN (SELECT region FROM customers);
--- sub_not_of_less
SELECT id FROM wide WHERE NOT i4 < ANY (SELECT k FROM keyless);
--- sub_distinct
SELECT DISTINCT (SELECT c.region FROM customers c WHERE c.id = o.customer_id) AS r FROM orders o;
--- sub_union_arms
SELECT id, (SELECT count(*) FROM edges e WHERE e.a = c.id) AS n FROM customers c
UNION SELECT id, (SELECT max(e.b) FROM edges e WHERE e.a = p.id) FROM products p;
--- sub_without_from
SELECT (SELECT count(*) FROM orders) AS a, EXISTS (SELECT FROM edges) AS b;
--- sub_error_hidden_by_guard
SELECT id FROM wide w WHERE i4 <> 0 AND (SELECT count(*) FROM edges e WHERE e.a = 100 / w.i4) >= 0;

--- lateral_plain
SELECT c.id, x.qty FROM customers c, LATERAL (SELECT o.qty FROM orders o WHERE o.customer_id = c.id AND o.qty > 1) x;
--- lateral_aggregate
SELECT c.id, x.n, x.m FROM customers c, LATERAL (SELECT count(*) AS n, max(o.qty) AS m FROM orders o WHERE o.customer_id = c.id) x;
--- lateral_grouped
SELECT c.id, x.* FROM customers c CROSS JOIN LATERAL (SELECT status, count(*) AS n FROM orders o WHERE o.customer_id = c.id GROUP BY status) x;
--- lateral_left
SELECT c.id, x.* FROM customers c LEFT JOIN LATERAL (SELECT o.qty, o.status FROM orders o WHERE o.customer_id = c.id AND o.qty > 2) x ON true;
--- lateral_left_on
SELECT c.id, x.* FROM customers c LEFT JOIN LATERAL (SELECT o.qty, count(*) AS n FROM orders o WHERE o.customer_id = c.id GROUP BY o.qty) x
    ON x.n > 1 AND x.qty < c.id + 3;
--- lateral_left_reaches_further
SELECT e.a, c.id, x.n FROM edges e, customers c LEFT JOIN LATERAL (SELECT count(*) AS n FROM orders o WHERE o.customer_id = c.id AND o.qty = e.a) x ON x.n > 0
 WHERE e.b = c.id;
--- lateral_values
SELECT o.id, v.k, v.x FROM orders o, LATERAL (VALUES ('qty', o.qty), ('product', o.product_id)) v (k, x);
--- lateral_chain
SELECT c.id, x.qty, y.n FROM customers c, LATERAL (SELECT o.qty FROM orders o WHERE o.customer_id = c.id) x,
       LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = x.qty AND e.b >= c.id) y;
--- lateral_distinct
SELECT p.id, x.r FROM products p, LATERAL (SELECT DISTINCT c.region AS r FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.product_id = p.id) x;
--- lateral_union
SELECT p.id, x.v FROM products p, LATERAL (SELECT e.b AS v FROM edges e WHERE e.a = p.id UNION ALL SELECT p.id) x;
--- lateral_expressions_only
SELECT x.d, x.d + 1 AS e FROM orders o, LATERAL (SELECT o.qty * 2 AS d) x WHERE x.d > 2;
--- lateral_in_left_join_in_subquery
SELECT id, (SELECT count(y.z) FROM orders o LEFT JOIN LATERAL (SELECT e.b AS z FROM edges e WHERE e.a = o.qty AND e.b > c.id) y ON true
             WHERE o.customer_id = c.id) AS n FROM customers c;
--- lateral_right_join
SELECT x.n, c.id FROM orders o, LATERAL (SELECT o.qty + 1 AS n) x RIGHT JOIN customers c ON c.id = x.n WHERE o.id > 0;
--- lateral_numeric_image
SELECT w.id, x.s FROM wide w, LATERAL (SELECT max(w.n::text || k.w) AS s FROM keyless k WHERE k.k = w.i4) x;

--- sub_top_one
SELECT id, (SELECT o.qty FROM orders o WHERE o.customer_id = c.id ORDER BY o.placed DESC NULLS LAST, o.id LIMIT 1) AS q FROM customers c;
--- sub_top_one_of_each
SELECT id, (SELECT o.qty FROM orders o WHERE o.customer_id = c.id ORDER BY o.qty DESC NULLS LAST LIMIT 1) AS q FROM customers c;
--- sub_offset
SELECT id, (SELECT o.qty FROM orders o WHERE o.customer_id = c.id ORDER BY o.qty OFFSET 1 LIMIT 1) AS q FROM customers c;
--- sub_exists_limit
SELECT id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id ORDER BY o.qty OFFSET 2);
--- lateral_top_two
SELECT c.id, x.id AS o, x.qty FROM customers c, LATERAL (SELECT o.id, o.qty FROM orders o WHERE o.customer_id = c.id ORDER BY o.qty DESC NULLS LAST, o.id LIMIT 2) x;
--- lateral_left_top_one
SELECT c.id, x.qty FROM customers c LEFT JOIN LATERAL (SELECT o.qty FROM orders o WHERE o.customer_id = c.id ORDER BY o.qty, o.id LIMIT 1) x ON true;
--- lateral_distinct_on
SELECT c.id, x.status, x.qty FROM customers c, LATERAL (SELECT DISTINCT ON (o.status) o.status, o.qty FROM orders o WHERE o.customer_id = c.id ORDER BY o.status, o.qty) x;
--- lateral_rollup
SELECT c.id, x.* FROM customers c, LATERAL (SELECT o.status, count(*) AS n FROM orders o WHERE o.customer_id = c.id GROUP BY ROLLUP (o.status)) x;
--- lateral_numeric_top
SELECT w.id, w.n2, x.v FROM wide w, LATERAL (SELECT k.v FROM keyless k WHERE k.v <= w.n ORDER BY k.v DESC, scale(k.v), k.k LIMIT 1) x;
--- sub_except_all
SELECT id, (SELECT count(*) FROM (SELECT b FROM edges WHERE a = p.id EXCEPT ALL SELECT a FROM edges WHERE b = p.id) x) AS n FROM products p;
--- sub_intersect_all_numeric
SELECT id, (SELECT count(*) FROM (SELECT v FROM keyless k WHERE k.k = w.i4 INTERSECT ALL SELECT n FROM wide v WHERE v.i4 = w.i4) x) AS n FROM wide w;
--- sub_function_outside
SELECT id, (SELECT sum(g) FROM generate_series(1, o.qty) g WHERE g <> o.product_id) AS n FROM orders o;
--- sub_function_and_table
SELECT id, (SELECT count(*) FROM unnest(w.ia) u (x) JOIN edges e ON e.a = u.x) AS n FROM wide w;
--- sub_any_of_function
SELECT id, 1 IN (SELECT unnest(ia)) AS x, EXISTS (SELECT FROM unnest(ia) x WHERE x > i4) AS y FROM wide;
--- sub_function_of_subquery
SELECT c.id, g FROM customers c, generate_series(1, (SELECT count(*)::int FROM orders o WHERE o.customer_id = c.id)) g;
--- lateral_function_and_subquery
SELECT o.id, g, x.n FROM orders o, generate_series(1, o.qty % 4) g, LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = g) x;
--- lateral_subquery_of_function
SELECT w.id, x.s FROM wide w LEFT JOIN LATERAL (SELECT sum(u) AS s FROM unnest(w.ia) u WHERE u > w.i4) x ON x.s IS NOT NULL;
--- lateral_target_set
SELECT p.id, x.g FROM products p, LATERAL (SELECT generate_series(1, e.b % 3) AS g FROM edges e WHERE e.a = p.id) x;
--- sub_array
SELECT id, ARRAY(SELECT o.qty FROM orders o WHERE o.customer_id = c.id ORDER BY o.qty DESC NULLS LAST) AS a,
       cardinality(ARRAY(SELECT o.status FROM orders o WHERE o.customer_id < c.id)) AS n FROM customers c;
--- sub_array_ordered_by_another
SELECT id, ARRAY(SELECT o.status FROM orders o WHERE o.customer_id = c.id ORDER BY o.qty, o.id) AS a FROM customers c;
--- sub_array_limited
SELECT id, ARRAY(SELECT o.qty FROM orders o WHERE o.customer_id = c.id ORDER BY o.qty, o.id LIMIT 3) AS a FROM customers c;
--- sub_array_plain
SELECT ARRAY(SELECT DISTINCT a FROM edges ORDER BY a) AS a, ARRAY(SELECT a FROM edges WHERE false) AS b;
--- sub_array_of_arrays
SELECT id, ARRAY(SELECT ARRAY[e.a, e.b] FROM edges e WHERE e.a = c.id ORDER BY e.b) AS a FROM customers c;
--- sub_array_any
SELECT id FROM orders o WHERE qty = ANY (ARRAY(SELECT e.a FROM edges e WHERE e.b = o.product_id));
--- sub_order_by_limit
SELECT id FROM customers c ORDER BY (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) DESC, id LIMIT 4;
--- sub_distinct_on
SELECT DISTINCT ON ((SELECT c.region FROM customers c WHERE c.id = o.customer_id)) id, qty FROM orders o
 ORDER BY (SELECT c.region FROM customers c WHERE c.id = o.customer_id), id;
--- sub_of_merged_column
SELECT id, (SELECT count(*) FROM edges e WHERE e.a = id) AS n FROM customers FULL JOIN (SELECT product_id AS id, qty FROM orders WHERE qty > 2) o USING (id);
--- sub_of_whole_row
SELECT id, (SELECT count(*) FROM edges e WHERE e.a = (c).id) AS n, (SELECT max(row_to_json(c)::text || e.b) FROM edges e WHERE e.a = c.id) AS j FROM customers c;
--- sub_lateral_in_exists
SELECT id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o, LATERAL (SELECT max(e.b) AS m FROM edges e WHERE e.a = o.qty AND e.b > c.id) x
                                          WHERE o.customer_id = c.id AND x.m > 2);
--- sub_in_union_correlated
SELECT id, 3 IN (SELECT o.qty FROM orders o WHERE o.customer_id = c.id UNION SELECT e.b FROM edges e WHERE e.a = c.id) AS x FROM customers c;
--- sub_not_in_aggregate
SELECT id FROM orders o WHERE qty NOT IN (SELECT max(e.b) FROM edges e WHERE e.a = o.product_id GROUP BY e.a % 2);
--- sub_rows_in_or
SELECT id FROM orders o WHERE status = 'paid' OR (qty, product_id) IN (SELECT a, b FROM edges e WHERE e.a <> o.customer_id);
--- sub_nested_guards
SELECT id, CASE WHEN qty > 1 THEN CASE WHEN product_id > 2 THEN (SELECT count(*) FROM edges e WHERE e.a > 10 / (o.qty - 1))
                                   ELSE (SELECT max(b) FROM edges e WHERE e.a = o.qty) END END AS x FROM orders o;
--- sub_fallible_left_side
SELECT id, CASE WHEN qty <> 0 THEN 12 / qty IN (SELECT a FROM edges) END AS x FROM orders;
--- sub_having_exists
SELECT product_id, count(*) AS n FROM orders o GROUP BY product_id HAVING EXISTS (SELECT 1 FROM products p WHERE p.id = o.product_id AND p.price > 1);
--- sub_having_in
SELECT product_id, count(*) AS n FROM orders o GROUP BY product_id HAVING count(*) IN (SELECT a FROM edges e WHERE e.b <> o.product_id);
--- sub_in_rollup
SELECT customer_id, status, count(*) AS n, (SELECT count(*) FROM edges e WHERE e.a IS NOT DISTINCT FROM o.customer_id) AS m
  FROM orders o GROUP BY ROLLUP (customer_id, status);
--- sub_rollup_inside
SELECT id, (SELECT sum(n) FROM (SELECT status, count(*) AS n FROM orders o WHERE o.customer_id = c.id GROUP BY CUBE (status, qty)) x) AS n FROM customers c;
--- sub_aggregate_of_aggregate
SELECT region, sum((SELECT count(*) FROM orders o WHERE o.customer_id = c.id)) AS n, max((SELECT max(qty) FROM orders o WHERE o.customer_id > c.id)) AS m
  FROM customers c GROUP BY region;
--- sub_grouped_by_scalar_and_filtered
SELECT n, count(*) AS c FROM (SELECT id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS n FROM customers c) x WHERE n > 0 GROUP BY n;
--- sub_joined_results
SELECT x.id, y.id AS other FROM (SELECT id, (SELECT max(qty) FROM orders o WHERE o.customer_id = c.id) AS m FROM customers c) x
  JOIN (SELECT id, (SELECT max(b) FROM edges e WHERE e.a = p.id) AS m FROM products p) y ON x.m = y.m;
--- sub_with_twice
SELECT id, (WITH m AS MATERIALIZED (SELECT qty FROM orders o WHERE o.customer_id = c.id) SELECT count(*) FROM m WHERE qty > (SELECT avg(qty) FROM m)) AS n FROM customers c;
--- sub_with_nested_outside
WITH a AS (SELECT * FROM orders WHERE qty > 1), b AS (SELECT a.*, (SELECT count(*) FROM a x WHERE x.customer_id = a.customer_id) AS n FROM a)
SELECT c.id, (SELECT max(n) FROM b WHERE b.customer_id = c.id) AS n FROM customers c;
--- sub_jsonb_bound
SELECT id, (SELECT count(*) FROM keyless k WHERE k.k = (w.jb ->> 'a')::int) AS n FROM wide w WHERE jsonb_typeof(jb -> 'a') = 'number' AND (jb ->> 'a') ~ '^[0-9]{1,4}$';
--- sub_array_bound
SELECT id, (SELECT count(*) FROM edges e WHERE e.a = ANY (w.ia)) AS n FROM wide w;
--- lateral_chain_of_expressions
SELECT o.id, y.c FROM orders o, LATERAL (SELECT o.qty + 1 AS b) x, LATERAL (SELECT x.b * 2 AS c WHERE x.b > 1) y;
--- lateral_left_twice
SELECT c.id, x.qty, y.n FROM customers c LEFT JOIN LATERAL (SELECT qty FROM orders o WHERE o.customer_id = c.id) x ON true
  LEFT JOIN LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = x.qty HAVING count(*) > 0) y ON y.n < c.id + 5;
--- lateral_join_inside_left
SELECT c.id, o.id AS o, x.n FROM customers c LEFT JOIN (orders o CROSS JOIN LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = o.qty) x) ON o.customer_id = c.id AND x.n > 0;
--- lateral_full_join
SELECT x.n, y.m FROM (SELECT c.id, z.n FROM customers c, LATERAL (SELECT count(*) AS n FROM orders o WHERE o.customer_id = c.id) z) x
  FULL JOIN (SELECT p.id, z.m FROM products p, LATERAL (SELECT max(e.b) AS m FROM edges e WHERE e.a = p.id) z) y ON x.id = y.id AND x.n = y.m;
--- lateral_aggregated
SELECT x.status, sum(x.n) AS n FROM customers c, LATERAL (SELECT status, count(*) AS n FROM orders o WHERE o.customer_id = c.id GROUP BY status) x GROUP BY x.status;
--- lateral_values_aggregated
SELECT k, max(x) AS m FROM orders o, LATERAL (VALUES ('a', o.qty), ('b', o.product_id)) v (k, x) GROUP BY k;
--- lateral_exists_of_previous
SELECT c.id, x.id AS o FROM customers c, LATERAL (SELECT o.id FROM orders o WHERE o.customer_id = c.id AND NOT EXISTS (SELECT 1 FROM edges e WHERE e.a = o.qty AND e.b = c.id)) x;
--- lateral_not_in_of_previous
SELECT c.id, x.id AS o FROM customers c, LATERAL (SELECT o.id FROM orders o WHERE o.qty NOT IN (SELECT e.a FROM edges e WHERE e.b = c.id)) x;
--- sub_full_join_of_null_keys
SELECT a.k AS k1, b.k AS k2, a.n, b.n AS m FROM (SELECT k, count(*) AS n FROM keyless GROUP BY k) a
  FULL JOIN (SELECT i4 AS k, count(*) AS n FROM wide GROUP BY i4) b ON a.k = b.k;
--- sub_full_join_of_single_rows
SELECT e.a, x.n, y.n AS m FROM edges e, (SELECT count(*) AS n FROM keyless) x FULL JOIN (SELECT count(*) AS n FROM wide) y ON x.n = y.n;
--- sub_case_in_case_guard
SELECT id, CASE qty WHEN CASE product_id WHEN 1 THEN 2 ELSE 3 END THEN (SELECT max(b) FROM edges e WHERE e.a = o.qty) END AS x FROM orders o;
--- sub_relabelled_key
SELECT c.name::bpchar AS n, count(*) AS c FROM customers c GROUP BY c.id;
--- sub_json_any
SELECT id, jb @@ ANY (SELECT ('$.' || w)::jsonpath FROM keyless WHERE w ~ '^[a-z]+$') AS x FROM wide;
--- sub_left_join_on_expression
SELECT o.id, q.x FROM orders o LEFT JOIN (SELECT p.id, p.price + k.v AS x FROM products p JOIN keyless k ON k.k = p.id) q
    ON q.id = o.product_id AND EXISTS (SELECT FROM wide w WHERE w.n = q.x);
--- sub_filter_guards
SELECT customer_id, sum((SELECT p.id FROM products p WHERE p.price = o.price)) FILTER (WHERE (SELECT count(*) FROM products p WHERE p.price = o.price) < 2) AS s
  FROM orders o GROUP BY customer_id;
--- sub_without_from_exists
SELECT 1 AS x WHERE EXISTS (SELECT FROM orders WHERE qty > 3);
--- sub_constant_not_in
SELECT id FROM customers WHERE 1 + 1 NOT IN (SELECT k FROM keyless);
--- sub_on_before_where
SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id AND (SELECT p.category FROM products p WHERE p.id = o.product_id) = 'toys' WHERE c.vip;
--- lateral_after_where
SELECT w.id, q.n FROM wide w, LATERAL (SELECT count(*) AS n FROM jsonb_array_elements(w.jb) e) q WHERE jsonb_typeof(w.jb) = 'array';
--- lateral_after_where_division
SELECT o.id, q.m FROM orders o, LATERAL (SELECT max(10 / o.qty + e.b) AS m FROM edges e) q WHERE o.qty <> 0;
--- lateral_left_after_where
SELECT o.id, q.m FROM orders o LEFT JOIN LATERAL (SELECT max(10 / o.qty + e.b) AS m FROM edges e) q ON true WHERE o.qty <> 0 AND q.m IS NOT NULL;
--- guard_array_coerce
SELECT id, CASE ARRAY[i4::numeric] WHEN ia::numeric[] THEN (SELECT count(*) FROM wide x WHERE x.i4 = w.i4) ELSE -1 END AS n,
       CASE ia::text[] WHEN ARRAY[i4::text] THEN (SELECT 10 / max(x.i4 - 2) FROM wide x WHERE x.i4 = w.i4) WHEN '{1,2}' THEN 0 END AS m
  FROM wide w WHERE i4 <> 2;
--- level_aggregate_of_outer
SELECT customer_id, (SELECT sum(o.qty)) AS s, (SELECT p.name FROM products p WHERE p.id = max(o.product_id)) AS best FROM orders o GROUP BY customer_id;
--- level_aggregate_of_all
SELECT (SELECT count(o.note) + count(*) FROM products) AS n, (SELECT max(p.id) FROM products p WHERE p.id < count(o.id)) AS m FROM orders o;
--- level_aggregate_in_exists
SELECT status FROM orders o GROUP BY status HAVING EXISTS (SELECT FROM edges e WHERE e.a = max(o.qty) AND e.b < count(o.id));
--- level_aggregate_in_in
SELECT status, sum(qty) IN (SELECT e.a FROM edges e WHERE e.b > min(o.qty)) AS x FROM orders o GROUP BY status;
--- level_aggregate_two_levels
SELECT status, (SELECT count(*) FROM products p WHERE p.id IN (SELECT e.a FROM edges e WHERE e.b = max(o.qty) OR e.b = p.id)) AS n FROM orders o GROUP BY status;
--- level_aggregate_in_from
SELECT status, (SELECT x.m + x.n FROM (SELECT max(o.qty) AS m, count(*) AS n FROM edges e WHERE e.a = max(o.product_id)) x) AS n FROM orders o GROUP BY status;
--- level_aggregate_in_with
SELECT status, (WITH m AS (SELECT sum(o.qty) AS s) SELECT count(*) FROM m, edges e WHERE e.a < m.s) AS n FROM orders o GROUP BY status;
--- level_aggregate_of_middle
SELECT c.id, (SELECT (SELECT sum(o.qty) + c.id + count(*) FROM edges e WHERE e.a = 1 AND e.b = 2) FROM orders o WHERE o.customer_id = c.id) AS n FROM customers c;
--- level_aggregate_union
SELECT status, (SELECT max(v) FROM (SELECT max(o.qty) AS v UNION ALL SELECT e.a FROM edges e WHERE e.b = min(o.qty)) u) AS n FROM orders o GROUP BY status;
--- level_aggregate_distinct_filter
SELECT status, (SELECT count(*) FROM edges e WHERE e.a <= count(DISTINCT o.qty) FILTER (WHERE o.note IS NOT NULL)) AS n FROM orders o GROUP BY status;
--- level_aggregate_collected
SELECT status, (SELECT string_agg(o.id::text, ',' ORDER BY o.id)) AS ids FROM orders o GROUP BY status;
--- level_aggregate_json
SELECT status, (SELECT json_arrayagg(o.id ORDER BY o.id)::text || p.name FROM products p WHERE p.id = 1) AS ids FROM orders o GROUP BY status;
--- level_aggregate_of_subquery
SELECT status, (SELECT max(e.b) FROM edges e WHERE e.a = sum((SELECT count(*) FROM products p WHERE p.id = o.product_id))) AS n FROM orders o GROUP BY status;
--- level_grouping
SELECT status, product_id, (SELECT e.b + GROUPING(o.status, o.product_id) FROM edges e WHERE e.a = GROUPING(o.status) ORDER BY e.b LIMIT 1) AS n
  FROM orders o GROUP BY ROLLUP (status, product_id);
--- level_grouping_sets
SELECT status, customer_id, (SELECT count(*) FROM edges e WHERE e.a = max(o.qty)) AS n FROM orders o GROUP BY GROUPING SETS ((status), (customer_id), ());
--- level_aggregate_same_twice
SELECT status, sum(qty) AS s, (SELECT sum(o.qty) - count(*) FROM edges) AS t FROM orders o GROUP BY status HAVING sum(qty) > (SELECT avg(o.qty) - max(e.a) FROM edges e);
--- level_aggregate_lateral
SELECT c.id, x.status, x.n FROM customers c, LATERAL (SELECT o.status, (SELECT count(*) FROM edges e WHERE e.a = max(o.qty) AND e.b <> c.id) AS n FROM orders o WHERE o.customer_id = c.id GROUP BY o.status) x;
--- level_aggregate_ordered
SELECT status, (SELECT max(e.b) FROM edges e WHERE e.a = min(o.qty)) AS n FROM orders o GROUP BY status ORDER BY (SELECT count(*) FROM edges e WHERE e.a = max(o.qty)), status LIMIT 2;
--- level_window_guards
SELECT id, CASE WHEN row_number() OVER (PARTITION BY customer_id ORDER BY id) = 1 THEN (SELECT p.name FROM products p WHERE p.id = o.product_id) ELSE note END AS x FROM orders o;
--- level_window_in
SELECT a, b, rank() OVER (PARTITION BY a ORDER BY b) IN (SELECT k FROM keyless) AS x FROM edges;
--- level_window_in_correlated
SELECT a, b, count(*) OVER (PARTITION BY a) NOT IN (SELECT f.b FROM edges f WHERE f.a = e.b) AS x, (SELECT max(f.b) FROM edges f WHERE f.a = e.a) AS y FROM edges e;
--- level_window_and_exists
SELECT id, sum(qty) OVER (PARTITION BY status) > 3 AND EXISTS (SELECT FROM products p WHERE p.id = o.product_id AND p.price > o.price) AS x FROM orders o;
--- level_window_over_groups
SELECT status, CASE WHEN rank() OVER (ORDER BY sum(qty)) <= 2 THEN (SELECT count(*) FROM edges e WHERE e.a = max(o.qty)) END AS n FROM orders o GROUP BY status;
--- level_window_two_windows
SELECT id, CASE WHEN lag(qty) OVER (PARTITION BY customer_id ORDER BY id) > 1 THEN (SELECT min(e.b) FROM edges e WHERE e.a = o.qty)
                WHEN count(*) OVER (PARTITION BY product_id) < 3 THEN (SELECT count(*) FROM edges e WHERE e.b = o.id) END AS x FROM orders o;
--- level_window_of_subquery
SELECT id, max((SELECT p.price FROM products p WHERE p.id = o.product_id)) OVER (PARTITION BY status) > ALL (SELECT k.v FROM keyless k WHERE k.k = o.qty) AS x FROM orders o;
--- level_window_lateral
SELECT c.id, x.o, x.y FROM customers c, LATERAL (SELECT o.id AS o, CASE WHEN rank() OVER (ORDER BY o.qty, o.id) = 1 THEN (SELECT count(*) FROM edges e WHERE e.a = o.qty AND e.b <> c.id) END AS y FROM orders o WHERE o.customer_id = c.id) x;
--- level_window_distinct
SELECT DISTINCT status, coalesce(nullif(count(*) OVER (PARTITION BY status), 2), (SELECT max(p.id) FROM products p WHERE p.name > o.status)) AS n FROM orders o;
--- exists_limit
SELECT id FROM customers c WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id LIMIT 1);
--- exists_limit_none
SELECT id FROM customers c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id LIMIT 0) AND id > 1;
--- exists_limit_selected
SELECT id, EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id FETCH FIRST 3 ROWS ONLY) AS x, EXISTS (SELECT FROM orders LIMIT ALL) AS y FROM customers c;
--- exists_offset
SELECT id, EXISTS (SELECT o.qty FROM orders o WHERE o.customer_id = c.id OFFSET 1) AS x FROM customers c;
--- exists_offset_where
SELECT id FROM customers c WHERE EXISTS (SELECT DISTINCT o.qty FROM orders o WHERE o.customer_id = c.id LIMIT 2 OFFSET 2) OR vip;
--- exists_offset_not
SELECT id FROM customers c WHERE NOT EXISTS (SELECT o.status FROM orders o WHERE o.customer_id = c.id GROUP BY o.status ORDER BY o.status OFFSET 1);
--- exists_limit_ordered
SELECT id FROM customers c WHERE EXISTS (SELECT o.qty FROM orders o WHERE o.customer_id <> c.id ORDER BY o.qty DESC LIMIT 2);
--- exists_limit_union
SELECT id FROM customers c WHERE EXISTS (SELECT o.qty FROM orders o WHERE o.customer_id = c.id UNION SELECT e.a FROM edges e WHERE e.b = c.id LIMIT 5 OFFSET 1);
--- limit_of_one_row
SELECT id, (SELECT p.name FROM products p WHERE p.id = o.product_id LIMIT 1) AS n, (SELECT max(qty) FROM orders LIMIT 1) AS m FROM orders o;
--- limit_of_constant_key
SELECT id, name FROM customers WHERE id = 3 LIMIT 1;
--- limit_past_one_row
SELECT id, (SELECT p.name FROM products p WHERE p.id = o.product_id OFFSET 1) AS n FROM orders o;
--- rows_of_scalars_in
SELECT id FROM orders o WHERE ((SELECT max(a) FROM edges e WHERE e.b = o.qty), o.product_id) IN (SELECT a, b FROM edges);
--- rows_of_scalars_selected
SELECT id, ((SELECT max(e.a) FROM edges e WHERE e.b = o.qty), (SELECT min(e.b) FROM edges e)) IN (SELECT a, b FROM edges) AS x,
       ((SELECT count(*) FROM edges e WHERE e.a = o.qty), o.qty) NOT IN (SELECT e.a::int8, e.b FROM edges e WHERE e.a <> o.product_id) AS y FROM orders o;
--- rows_of_scalars_compared
SELECT id, (o.qty, (SELECT max(a) FROM edges)) = (SELECT min(e.a), max(e.b) FROM edges e WHERE e.b > o.product_id) AS x,
       ((SELECT count(*) FROM edges e WHERE e.b = o.id), o.qty) < (SELECT max(e.a)::int8, min(e.b) FROM edges e) AS y FROM orders o;
--- rows_of_in_in
SELECT id, (qty IN (SELECT a FROM edges)) IN (SELECT c.vip FROM customers c WHERE c.id < o.customer_id) AS x FROM orders o;
--- rows_any_order
SELECT id, ((SELECT min(e.b) FROM edges e WHERE e.a = o.qty), o.qty) > ANY (SELECT a, b FROM edges) AS x FROM orders o;
--- errors_not_asked_for
SELECT id, CASE WHEN qty > 1000000 THEN (SELECT id FROM products) END AS n, coalesce(id, (SELECT a FROM edges)) AS m FROM orders;
--- errors_of_no_rows
SELECT (SELECT id FROM products) AS n FROM orders WHERE qty > 1000000;
--- errors_of_no_partner
SELECT c.id, o.id AS o FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.qty > 1000000 AND (SELECT e.b FROM edges e WHERE e.a > c.id) > 0;
--- merged_full_lateral
SELECT id, x.n FROM customers c FULL JOIN products p USING (id), LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = id) x;
--- merged_alias_lateral
SELECT j.id, j.region, x.n FROM (customers c FULL JOIN products p USING (id)) AS j CROSS JOIN LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = j.id) x;
--- merged_using_alias
SELECT j.id, c.name, x.n FROM customers c FULL JOIN products p USING (id) AS j, LATERAL (SELECT max(e.b) AS n FROM edges e WHERE e.a = j.id) x;
--- merged_using_alias_left
SELECT j.id, x.n FROM customers c LEFT JOIN products p USING (id) AS j LEFT JOIN LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = j.id HAVING count(*) > 0) x ON x.n > j.id;
--- merged_whole_row
SELECT j.id, row_to_json(j)::text AS t FROM (customers c LEFT JOIN products p USING (id)) AS j (id, a1, a2, a3, a4, b1, b2, b3);
--- merged_whole_row_lateral
SELECT x.id, x.present FROM (customers c FULL JOIN products p USING (id)) AS j (id, a1, a2, a3, a4, b1, b2, b3), LATERAL (SELECT j.id, j IS NULL AS present, (SELECT count(*) FROM edges e WHERE e.a = j.id) AS n) x;
--- merged_whole_row_of_sides
SELECT id, (SELECT count(*) FROM edges e WHERE e.a = id AND (c IS NOT NULL OR p IS NULL)) AS n, c IS NULL AS a, p IS NULL AS b FROM customers c FULL JOIN products p USING (id);
--- merged_three_deep
SELECT id, x.n FROM customers c FULL JOIN products p USING (id) FULL JOIN orders o USING (id), LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = id AND e.b <> coalesce(p.id, 0)) x;
--- merged_three_deep_left
SELECT id, x.n FROM customers c LEFT JOIN products p USING (id) LEFT JOIN orders o USING (id) LEFT JOIN LATERAL (SELECT e.b AS n FROM edges e WHERE e.a = id) x ON x.n > o.qty;
--- merged_four_deep
SELECT id, y.k FROM customers c FULL JOIN products p USING (id) FULL JOIN orders o USING (id) FULL JOIN notes n USING (id) LEFT JOIN LATERAL (SELECT k.k FROM keyless k WHERE k.k = id) y ON true;
--- merged_natural
SELECT id, name, x.n FROM customers NATURAL FULL JOIN products, LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = id) x;
--- merged_natural_left_on
SELECT id, e.b FROM customers NATURAL LEFT JOIN products LEFT JOIN edges e ON EXISTS (SELECT FROM keyless k WHERE k.k = id AND k.k = e.a);
--- merged_inside_left
SELECT o.id AS o, s.n FROM orders o LEFT JOIN (customers c FULL JOIN products p USING (id) AS j CROSS JOIN LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = j.id) s) ON o.customer_id = coalesce(c.id, p.id);
--- merged_inside_left_alias
SELECT o.id AS o, j.id, s.n FROM orders o LEFT JOIN ((customers c FULL JOIN products p USING (id)) AS j CROSS JOIN LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = j.id AND e.b < o.qty) s) ON o.customer_id = j.id;
--- merged_functions
SELECT id, g FROM customers c FULL JOIN products p USING (id), generate_series(1, id % 3) g;
--- merged_functions_left
SELECT id, g FROM customers c FULL JOIN products p USING (id) LEFT JOIN LATERAL generate_series(1, id % 3) g ON g <> id;
--- merged_in_scalar
SELECT id, (SELECT max(e.b) FROM edges e WHERE e.a = id) AS m, (SELECT count(*) FROM orders o WHERE o.customer_id = id AND o.product_id = p.id) AS n FROM customers c FULL JOIN products p USING (id);
--- merged_in_where
SELECT id FROM customers c FULL JOIN products p USING (id) WHERE EXISTS (SELECT FROM edges e WHERE e.a = id) OR id NOT IN (SELECT customer_id FROM orders o WHERE o.qty = id);
--- merged_semi_join
SELECT id FROM customers c FULL JOIN products p USING (id) WHERE EXISTS (SELECT FROM edges e WHERE e.a = id) AND id IN (SELECT customer_id FROM orders);
--- merged_grouped
SELECT g, count(*) AS c, (SELECT count(*) FROM edges e WHERE e.a = g) AS n FROM (SELECT id AS g FROM customers c FULL JOIN products p USING (id)) x GROUP BY g;
--- merged_windows
SELECT id, CASE WHEN row_number() OVER (PARTITION BY id % 2 ORDER BY id) < 3 THEN (SELECT count(*) FROM edges e WHERE e.a = id) END AS n FROM customers c FULL JOIN products p USING (id);
--- merged_lateral_of_lateral
SELECT id, x.id2, y.n FROM customers c FULL JOIN products p USING (id), LATERAL (SELECT id + 1 AS id2 FROM orders o WHERE o.customer_id = id) x, LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = id AND e.b = x.id2) y;
--- merged_lateral_using
SELECT id, x.n FROM customers c LEFT JOIN (SELECT o.customer_id AS id, count(*) AS n FROM orders o GROUP BY 1) x USING (id) LEFT JOIN LATERAL (SELECT e.b FROM edges e WHERE e.a = id) y ON y.b = id;
--- merged_lateral_full_inside
SELECT c.id, x.k, x.n FROM customers c, LATERAL (SELECT k, count(*) AS n FROM (SELECT o.qty AS k FROM orders o WHERE o.customer_id = c.id) a FULL JOIN (SELECT e.a AS k FROM edges e WHERE e.b = c.id) b USING (k) GROUP BY k) x;
--- merged_lateral_full_inside_alias
SELECT c.id, x.k FROM customers c, LATERAL (SELECT j.k FROM ((SELECT o.qty AS k FROM orders o WHERE o.customer_id = c.id) a FULL JOIN (SELECT e.a AS k FROM edges e WHERE e.b = c.id) b USING (k)) AS j) x;
--- merged_exists_full_inside
SELECT c.id FROM customers c WHERE EXISTS (SELECT FROM (SELECT o.qty AS k FROM orders o WHERE o.customer_id = c.id) a FULL JOIN (SELECT e.a AS k FROM edges e) b USING (k) WHERE k = c.id);
--- merged_text_using
SELECT name, x.n FROM customers c JOIN products p USING (name), LATERAL (SELECT count(*) AS n FROM orders o WHERE o.status < name) x;
--- merged_types_using
SELECT k, x.n FROM (SELECT id AS k FROM customers) a FULL JOIN (SELECT k::bigint AS k FROM keyless) b USING (k), LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = k) x;
--- merged_virtual
SELECT id, tag, x.n FROM customers c FULL JOIN orders o USING (id) LEFT JOIN LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a < o.amount AND c.tag IS NOT NULL AND e.b = id) x ON true;
--- merged_whole_row_of_using_alias
SELECT row_to_json(j)::text AS j, x.n FROM customers c FULL JOIN products p USING (id) AS j, LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = (j).id) x;
--- merged_right
SELECT id, x.n FROM customers c RIGHT JOIN (products p LEFT JOIN orders o USING (id)) USING (id), LATERAL (SELECT count(*) AS n FROM edges e WHERE e.a = id AND e.b <> coalesce(o.qty, 1)) x;
--- chain_left_joins
SELECT o.id, p1.id AS a, p2.id AS b, p3.id AS c, p4.id AS d, p5.id AS e, p6.id AS f, p7.id AS g, p8.id AS h FROM orders o LEFT JOIN products p1 ON p1.id = o.product_id
  LEFT JOIN products p2 ON p2.id = p1.id + 1 LEFT JOIN products p3 ON p3.id = p2.id + 1 LEFT JOIN customers p4 ON p4.id = o.customer_id
  LEFT JOIN customers p5 ON p5.id = p4.id + 1 LEFT JOIN notes p6 ON p6.id = p5.id LEFT JOIN products p7 ON p7.id = p6.id LEFT JOIN customers p8 ON p8.id = p7.id + 2;
--- chain_left_joins_residual
SELECT o.id, p1.id AS a, p2.id AS b, p3.id AS c, p4.id AS d, p5.id AS e FROM orders o LEFT JOIN products p1 ON p1.id = o.product_id AND p1.price > o.price
  LEFT JOIN products p2 ON p2.id = p1.id + 1 AND p2.price <> p1.price LEFT JOIN products p3 ON p3.id = p2.id AND p3.category > p1.category
  LEFT JOIN customers p4 ON p4.id = o.customer_id AND p4.name < p3.name LEFT JOIN customers p5 ON p5.id = p4.id + 1 AND p5.id <> o.qty;
--- chain_full_joins
SELECT id, c.name, p.price, o.qty, n.body, w.i4 FROM customers c FULL JOIN products p USING (id) FULL JOIN orders o USING (id) FULL JOIN notes n USING (id) FULL JOIN wide w USING (id);
--- chain_laterals
SELECT c.id, q.x AS a, r.x AS b, s.x AS c, t.x AS d FROM customers c LEFT JOIN LATERAL (SELECT max(e.b) AS x FROM edges e WHERE e.a = c.id) q ON true LEFT JOIN LATERAL (SELECT count(*) AS x FROM edges e WHERE e.b = q.x) r ON r.x > 0
  LEFT JOIN LATERAL (SELECT sum(o.qty) AS x FROM orders o WHERE o.product_id = r.x OR o.customer_id = c.id) s ON true LEFT JOIN LATERAL (SELECT count(*) AS x FROM orders o WHERE o.qty < s.x AND o.customer_id = q.x) t ON t.x <> r.x;
--- chain_scalars
SELECT id, (SELECT count(*) FROM edges e WHERE e.a < o.qty) AS a, (SELECT count(*) FROM edges e WHERE e.b < o.qty) AS b, (SELECT max(e.a) FROM edges e WHERE e.b <> o.id) AS c, (SELECT min(e.b) FROM edges e WHERE e.a > o.customer_id) AS d,
  (SELECT count(*) FROM products p WHERE p.price > o.price) AS e, (SELECT count(*) FROM customers c WHERE c.name > o.status) AS f FROM orders o;
--- chain_nested_scalars
SELECT id, (SELECT count(*) FROM edges e WHERE e.a <= (SELECT count(*) FROM edges f WHERE f.b <= e.a + o.qty AND f.a >= (SELECT min(g.a) FROM edges g WHERE g.b >= f.b AND g.a <> e.b AND g.b < (SELECT count(*) + o.id FROM products p WHERE p.id > g.a)))) AS n FROM orders o;
--- chain_not_in
SELECT id FROM customers WHERE id NOT IN (SELECT customer_id FROM orders WHERE qty NOT IN (SELECT a FROM edges WHERE b NOT IN (SELECT k FROM keyless WHERE k NOT IN (SELECT i4 FROM wide WHERE i4 IS NOT NULL))));
--- chain_with
WITH a AS (SELECT c.id, p.id AS p FROM customers c LEFT JOIN products p ON p.id = c.id + 1), b AS (SELECT x.id, y.p FROM a x LEFT JOIN a y ON y.id = x.p),
  c AS (SELECT x.id, y.p FROM b x LEFT JOIN b y ON y.id = x.p), d AS (SELECT x.id, y.p FROM c x LEFT JOIN c y ON y.id = x.p) SELECT x.id, y.p FROM d x LEFT JOIN d y ON y.id = x.p;
--- sorted_input_alone
SELECT string_agg(id::text, ',') AS ids, json_agg(id) AS j, array_agg(qty) AS q FROM (SELECT id, qty FROM orders ORDER BY price DESC NULLS LAST, id) o;
--- sorted_input_hidden_key
SELECT array_agg(note) AS notes, count(*) AS n, sum(qty) AS q FROM (SELECT note, qty FROM orders WHERE qty > 0 ORDER BY status, id DESC) o;
--- sorted_input_limited
SELECT string_agg(id || ':' || coalesce(status, '-'), ' ') FILTER (WHERE qty > 0) AS s FROM (SELECT * FROM orders ORDER BY price, id LIMIT 7) o;
--- sorted_input_json_array
SELECT c.id, JSON_ARRAY(SELECT o.id FROM orders o WHERE o.customer_id = c.id ORDER BY o.qty, o.id) AS j FROM customers c;
--- sorted_input_lateral
SELECT c.id, x.s FROM customers c, LATERAL (SELECT string_agg(q.id::text, ',') AS s FROM (SELECT id FROM orders o WHERE o.customer_id = c.id ORDER BY price DESC, id) q) x;
--- sorted_input_union
SELECT array_agg(x) AS a FROM (SELECT id FROM orders UNION ALL SELECT id + 1000 FROM customers ORDER BY 1 DESC) q (x);
--- full_on_first
SELECT c.id, p.id AS p FROM customers c FULL JOIN products p ON c.id = p.id AND EXISTS (SELECT FROM edges e WHERE e.a = c.id % 5);
--- full_on_second
SELECT c.id, p.id AS p, p.name FROM customers c FULL JOIN products p ON c.id = p.id AND (SELECT count(*) FROM edges e WHERE e.a < p.id) > 2;
--- full_on_both
SELECT c.id, p.id AS p FROM customers c FULL JOIN products p ON c.id = p.id AND EXISTS (SELECT FROM edges e WHERE e.a = c.id % 3 AND e.b < p.id);
--- full_on_both_keyless
SELECT k.k, k.w, e.a, e.b FROM keyless k FULL JOIN edges e ON k.k = e.a AND e.b IN (SELECT o.qty FROM orders o WHERE o.customer_id > k.k OR o.product_id = e.b) AND (SELECT max(id) FROM products p WHERE p.id <> e.b + k.k) > 3;
--- full_on_both_lateral
SELECT o.id, x.n, x.m FROM orders o, LATERAL (SELECT c.id AS n, p.id AS m FROM (SELECT id FROM customers WHERE id < o.qty + 3) c FULL JOIN (SELECT id FROM products WHERE id > o.qty) p ON c.id = p.id AND EXISTS (SELECT FROM edges e WHERE e.a = c.id % 3 AND e.b < p.id + o.qty) WHERE coalesce(c.id, p.id) < 6) x;
--- full_on_nothing_of_second
SELECT c.id FROM customers c FULL JOIN products p ON c.id = p.id AND EXISTS (SELECT FROM edges e WHERE e.a = c.id % 3 AND e.b < p.id);
