//! Aggregates over a sorted subquery: its order is theirs, as far as PostgreSQL itself keeps it; here it does.

use trickle_regress::Cluster;

#[test]
fn aggregates_see_the_order_of_a_sorted_subquery() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, k int, n int, s text)");
    session.run("INSERT INTO t SELECT i, i % 3, i * 7 % 11, 's' || i FROM generate_series(1, 20) i");
    let queries = [
        "SELECT string_agg(id::text, ',') AS x FROM (SELECT id FROM t ORDER BY n DESC, id) q",
        "SELECT array_agg(s) AS x, sum(n) AS n FROM (SELECT s, n FROM t WHERE n > 1 ORDER BY k, n, id DESC) q",
        "SELECT json_agg(q) AS x FROM (SELECT id, s FROM t ORDER BY n, id LIMIT 5) q",
        "SELECT JSON_ARRAY(SELECT id FROM t ORDER BY n, id) AS x",
        "SELECT JSON_ARRAYAGG(s) AS x FROM (SELECT s FROM t ORDER BY n DESC, id) q",
        "SELECT k, (SELECT string_agg(s, ' ') FROM (SELECT s FROM t i WHERE i.k = o.k ORDER BY n, id) q) AS x
           FROM (VALUES (0), (1), (2), (3)) AS o (k)",
        "SELECT jsonb_object_agg(n, s) AS x FROM (SELECT n, s FROM t ORDER BY n, id) q",
        "SELECT array_agg(x) AS x FROM (SELECT id FROM t UNION ALL SELECT n FROM t ORDER BY 1 DESC) q (x)",
    ];
    for (number, query) in queries.iter().enumerate() {
        session.run(&format!(
            "SELECT pgtrickle.create_stream_table('st{number}', $q${query}$q$, refresh_mode => 'differential', schedule => '1 hour')"
        ));
    }
    let changes = [
        "INSERT INTO t SELECT i, i % 3, i * 5 % 13, 't' || i FROM generate_series(21, 30) i",
        "DELETE FROM t WHERE id % 4 = 0",
        "UPDATE t SET n = 20 - n",
        "DELETE FROM t",
        "INSERT INTO t VALUES (3, 1, 1, 'c'), (2, 1, 2, 'b'), (1, 0, 3, NULL)",
    ];
    for change in changes {
        session.run(change);
        session.run("SELECT pgtrickle.refresh_all()");
        for (number, query) in queries.iter().enumerate() {
            let content = session.rows(&format!("SELECT q::text FROM st{number} q ORDER BY 1"));
            assert_eq!(content, session.rows(&format!("SELECT q::text FROM ({query}) q ORDER BY 1")), "{query}");
        }
    }
}
